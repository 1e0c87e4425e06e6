//! Threads that stand back: for whoever must not wait, or for everybody.

use std::io;

/// How far a thread stands back that has work of its own: a collector beside it gets nine tenths of the processor.
const STAND_BACK: i32 = 10;

/// Lets threads of usual weight go before the calling thread.
pub fn stand_back() -> io::Result<()> {
    // For Linux a process is a thread here, and none is the calling one.
    Ok(rustix::process::setpriority_process(None, STAND_BACK)?)
}

/// Gives the calling thread the idle scheduling class: what nobody else wants of the processor, and, by the kernel's rules,
/// of the disk.
pub fn become_idle() -> io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the kernel only reads the parameter, which outlives the call.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const lowest) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calling thread's scheduling policy: field 41 of its line, counted behind the name, which may hold anything.
    fn policy() -> Option<String> {
        let line = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread");
        let (_, rest) = line.rsplit_once(')')?;
        rest.split(' ').nth(39).map(str::to_owned)
    }

    /// Its niceness: field 19.
    fn niceness() -> Option<String> {
        let line = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread");
        let (_, rest) = line.rsplit_once(')')?;
        rest.split(' ').nth(17).map(str::to_owned)
    }

    #[test]
    fn a_thread_stands_back_and_the_others_do_not() {
        let before = niceness();
        let behind = std::thread::spawn(|| {
            stand_back().expect("any thread may");
            niceness()
        });
        assert_eq!(behind.join().expect("no panic").as_deref(), Some("10"));
        assert_eq!(niceness(), before);
        assert_ne!(before.as_deref(), Some("10"));
    }

    #[test]
    fn a_thread_becomes_idle_and_the_others_stay() {
        let before = policy();
        let idle = std::thread::spawn(|| {
            become_idle().expect("any thread may");
            policy()
        });
        assert_eq!(idle.join().expect("no panic").as_deref(), Some("5"));
        assert_eq!(policy(), before);
        assert_ne!(before.as_deref(), Some("5"));
    }
}
