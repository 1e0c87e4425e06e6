//! A cable with two ends in a namespace of its own: what is put on one end comes in at the port a capture listens on.
//!
//! For frames made by hand; the lab is for real hosts. The namespace is the calling thread's and goes with it.

use std::{
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::Command,
    thread,
};

use crate::{lab::MIRROR_PORT, needs_root, run};

/// The end of the cable that frames are put on.
pub const SENDER: &str = "sender";

/// Runs a test in a thread with a namespace that holds a veth pair, the mirror port and the sender, each with so many queues,
/// both up and without address.
///
/// # Panics
/// Without root, and where the test does.
pub fn in_namespace(queues: usize, test: impl FnOnce() + Send + 'static) {
    needs_root();
    let thread = thread::spawn(move || {
        // SAFETY: changes the namespace of this thread only, which ends with the test.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        let of_queues = format!("numrxqueues {queues} numtxqueues {queues}");
        ip(&format!("link add {MIRROR_PORT} {of_queues} type veth peer name {SENDER} {of_queues}"));
        for name in ["lo", MIRROR_PORT, SENDER] {
            ip(&format!("link set dev {name} up"));
        }
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip` in the namespace of this thread.
///
/// # Panics
/// Where it fails.
pub fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

/// True where an XDP program is attached to the mirror port of this thread's namespace.
///
/// # Panics
/// Where there is no such port.
#[must_use]
pub fn has_xdp() -> bool {
    let output = run(Command::new("ip").args(["-d", "link", "show", "dev", MIRROR_PORT]));
    String::from_utf8_lossy(&output.stdout).contains("prog/xdp")
}

/// A counter of the capture in this thread's namespace that has `--metrics 9108`, summed over its labels.
///
/// # Panics
/// Where nothing answers there.
#[must_use]
pub fn metric(name: &str) -> f64 {
    let scraped = run(Command::new("curl").args(["-s", "http://127.0.0.1:9108/metrics"])).stdout;
    let scraped = String::from_utf8_lossy(&scraped).into_owned();
    let lines = scraped.lines().filter(|line| line.starts_with(&format!("hdrcap_{name}_total{{")));
    let values = lines.filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<f64>().expect("a metric is a number")).sum()
}

/// Lets each CPU send on the queue of its number, as a card with a queue per CPU does.
///
/// # Panics
/// Where the kernel cannot (CONFIG_XPS).
pub fn queue_per_cpu(queues: usize) {
    // The files of this namespace show in a mount of its own only.
    let sets = (0..queues).map(|queue| {
        format!("printf '%x' {} > /sys/class/net/{SENDER}/queues/tx-{queue}/xps_cpus", 1 << queue)
    });
    let script = ["mount -t sysfs sysfs /sys".to_owned()].into_iter().chain(sets);
    let script = script.collect::<Vec<_>>().join(" && ");
    run(Command::new("unshare").args(["-m", "sh", "-c", &script]));
}

/// Puts the calling thread on a CPU: what it sends from now on comes in there.
///
/// # Panics
/// Where there is no such CPU.
pub fn move_to(cpu: usize) {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(cpu);
    rustix::thread::sched_setaffinity(None, &cpus).expect("the machine has this CPU");
}

/// A packet socket bound to an interface.
pub struct Wire(OwnedFd);

impl Wire {
    /// Opens one on an interface of this thread's namespace.
    ///
    /// # Panics
    /// Without the interface.
    #[must_use]
    pub fn open(iface: &str) -> Self {
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: socket has no preconditions.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(protocol)) };
        assert!(fd >= 0, "no packet socket");
        // SAFETY: a descriptor the kernel just made.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let name = std::ffi::CString::new(iface).expect("a name has no NUL");
        // SAFETY: a string that ends with NUL.
        let ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) };
        assert!(ifindex > 0, "no interface {iface}");
        // SAFETY: an all-zero address is valid memory.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = ifindex.cast_signed();
        let size = size_of_val(&address) as u32;
        // SAFETY: a complete address of the size given.
        let status = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
        assert_eq!(status, 0, "the socket cannot be bound to {iface}");
        Self(socket)
    }

    /// Sends one frame.
    ///
    /// # Panics
    /// Where the kernel does not take it whole.
    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the bytes of the slice are readable.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", std::io::Error::last_os_error());
    }

    /// Whether a frame with these bytes arrived among those waiting.
    #[must_use]
    pub fn received(&self, frame: &[u8]) -> bool {
        let mut buffer = [0u8; 4096];
        loop {
            // SAFETY: the buffer is writable.
            let length =
                unsafe { libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            if length < 0 {
                return false;
            }
            if &buffer[..length as usize] == frame {
                return true;
            }
        }
    }
}
