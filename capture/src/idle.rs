//! Threads that stand back: for whoever must not wait, or for everybody.

use std::io;

/// How far a thread stands back that has work of its own: a collector beside it gets two thirds of the processor. With nine tenths
/// the rest is less than the batches of two collectors take, and rows are shed before a ring is full (bench/record/lossless.md).
const STAND_BACK: i32 = 3;

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

    /// A field of the calling thread's line, counted behind the name, which may hold anything.
    fn field(nth: usize) -> Option<String> {
        let line = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread");
        let (_, rest) = line.rsplit_once(')')?;
        rest.split(' ').nth(nth).map(str::to_owned)
    }

    /// Asserts that `change` makes the field what is expected, of its thread and of no other.
    fn assert_changes_its_thread_alone(change: fn() -> io::Result<()>, nth: usize, expected: &str) {
        let before = field(nth);
        let changed = std::thread::spawn(move || {
            change().expect("any thread may");
            field(nth)
        });
        assert_eq!(changed.join().expect("no panic").as_deref(), Some(expected));
        assert_eq!(field(nth), before);
        assert_ne!(before.as_deref(), Some(expected));
    }

    #[test]
    fn a_thread_stands_back_and_the_others_do_not() {
        assert_changes_its_thread_alone(stand_back, 17, "3");
    }

    #[test]
    fn a_thread_becomes_idle_and_the_others_stay() {
        assert_changes_its_thread_alone(become_idle, 39, "5");
    }
}
