//! What somebody who has taken over the process would try, tried by the process itself once it is confined.
//!
//! For `hdrcap doctor --security`, and for the tests: a safeguard that is in force refuses. The calls take no arguments
//! that mean anything, so that one which is not refused does no harm.

use std::{
    fs::File,
    io,
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
};

use libc::c_long;

/// An act and what came of it.
#[derive(Debug)]
pub struct Attempt {
    /// What was tried.
    pub act: &'static str,
    /// What the kernel said.
    pub outcome: io::Result<()>,
}

impl Attempt {
    /// True where the kernel said that we may not.
    pub fn is_refused(&self) -> bool {
        self.outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// System calls with consequences beyond the process.
const CALLS: [(&str, c_long); 14] = [
    ("run a program (execve)", libc::SYS_execve),
    ("start a process (fork, vfork)", libc::SYS_clone),
    ("trace a process (ptrace)", libc::SYS_ptrace),
    ("read another process's memory", libc::SYS_process_vm_readv),
    ("create a BPF map or program", libc::SYS_bpf),
    ("set up another io_uring", libc::SYS_io_uring_setup),
    ("register with an io_uring", libc::SYS_io_uring_register),
    ("mount a filesystem", libc::SYS_mount),
    ("enter a namespace", libc::SYS_setns),
    ("leave its namespaces (unshare)", libc::SYS_unshare),
    ("load a kernel module", libc::SYS_init_module),
    ("become another user (setresuid)", libc::SYS_setresuid),
    ("open kernel keys (keyctl)", libc::SYS_keyctl),
    ("watch performance counters", libc::SYS_perf_event_open),
];

/// Tries each act once.
pub fn all() -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> =
        CALLS.into_iter().map(|(act, number)| Attempt { act, outcome: call(number) }).collect();
    let mut add = |act, outcome: io::Result<()>| attempts.push(Attempt { act, outcome });
    add("read /etc/shadow", File::open("/etc/shadow").map(drop));
    add("list /", std::fs::read_dir("/").map(drop));
    add("make a file in /var/tmp", make(Path::new("/var/tmp/hdrcap.attempt")));
    add("make memory code", executable_memory());
    add("listen on a TCP port", TcpListener::bind("127.0.0.1:0").map(drop));
    add("connect to a TCP port", TcpStream::connect("127.0.0.1:9").map(drop));
    add("send a datagram", UdpSocket::bind("127.0.0.1:0").map(drop));
    add("signal another process", signal_init());
    attempts
}

/// A file that was made is taken away again.
fn make(path: &Path) -> io::Result<()> {
    File::create_new(path)?;
    std::fs::remove_file(path)
}

fn result(status: c_long) -> io::Result<()> {
    if status == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Calls by number with arguments that name nothing.
fn call(number: c_long) -> io::Result<()> {
    // Flags that contradict each other, so that a clone which is not refused makes no process.
    let nothing: c_long = if number == libc::SYS_clone { c_long::from(libc::CLONE_SIGHAND) } else { 0 };
    // SAFETY: null pointers and zeros: the kernel answers EFAULT or EINVAL where a filter does not answer first.
    result(unsafe { libc::syscall(number, nothing, 0, 0, 0, 0, 0) })
}

fn executable_memory() -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: an anonymous mapping at a place of the kernel's choice aliases nothing; one page stays until the end.
    let place = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if place == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn signal_init() -> io::Result<()> {
    // SAFETY: signal 0 only asks whether a signal could be sent.
    result(c_long::from(unsafe { libc::kill(1, 0) }))
}
