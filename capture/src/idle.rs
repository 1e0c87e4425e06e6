//! A thread that only gets what nobody else wants: of the processor, and so, by the kernel's rules, of the disk.

use std::io;

/// Gives the calling thread the idle scheduling class; the kernel takes its input and output for idle as well.
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
