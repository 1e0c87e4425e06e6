//! What a frame costs, in the same run as an XDP program that does nothing: said aloud, for records; and what the verifier follows.

use super::frames::{Segment, head};
use super::kernel::Kernel;
use bench::wrap::{Wrap, wrap};
use common::config::Config;
use common::record::tcp_flag::{ACK, FIN};
use common::verdict::Verdict;
use harness::{needs_root, say};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `r0 = XDP_PASS; exit`.
const IDLE: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
/// So few that the records of one burst fit the ring.
const REPEAT: u32 = 100;
/// For frames that yield none: the cost of starting a burst is no part of the figure.
const REPEAT_SILENT: u32 = 10_000;
const BURSTS: usize = 100;
/// A ring that stays in the cache.
const RING_BYTES: u32 = 256 * 1024;

/// A program that does nothing.
struct Idle(OwnedFd);

impl Idle {
    fn load() -> Self {
        let license = c"GPL";
        let mut attributes = [0u64; 16];
        attributes[0] = u64::from(BPF_PROG_TYPE_XDP) | (IDLE.len() as u64) << 32;
        attributes[1] = IDLE.as_ptr() as u64;
        attributes[2] = license.as_ptr() as u64;
        let fd = bpf(BPF_PROG_LOAD, &mut attributes).unwrap();
        // SAFETY: a descriptor the kernel just made.
        Self(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }

    fn time(&self, frame: &[u8], repeat: u32) -> u128 {
        let mut attributes = [0u64; 10];
        attributes[0] = self.0.as_raw_fd() as u64;
        attributes[1] = frame.len() as u64;
        attributes[2] = frame.as_ptr() as u64;
        attributes[4] = u64::from(repeat);
        // Between two runs the kernel looks for signals, of the other tests' children too, and gives up where there is one.
        while let Err(error) = bpf(BPF_PROG_TEST_RUN, &mut attributes) {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        }
        u128::from(attributes[4] >> 32)
    }
}

fn bpf(command: libc::c_long, attributes: &mut [u64]) -> io::Result<libc::c_long> {
    let size = size_of_val(attributes);
    // SAFETY: attributes of the size given, whose pointers are to live memory.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[test]
fn frames_cost_little() {
    needs_root();
    let mut kernel = Kernel::new(&Config::default(), RING_BYTES);
    let idle = Idle::load();
    let mut other = Segment::new(&[0; 100]);
    other.protocol = 17;
    let body = Segment::new(&[0x17; 1460]).flags(ACK);
    let wrapped = wrap(&body.frame(), Wrap::Vxlan { port: 4789, vni: 1 }, false);
    const STATUS_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";
    let response = Segment::new(&[STATUS_LINE, &head(600 - STATUS_LINE.len())].concat()).back();
    let cases = [
        ("no TCP", other.frame(), Verdict::SkippedProtocol, REPEAT_SILENT),
        ("empty ACK", Segment::new(b"").flags(ACK).frame(), Verdict::Empty, REPEAT_SILENT),
        ("body of 1460 bytes", body.frame(), Verdict::Body, REPEAT_SILENT),
        ("the same over IPv6", Segment { v6: true, ..body.clone() }.frame(), Verdict::Body, REPEAT_SILENT),
        ("the same in two tags", Segment { vlans: vec![1, 2], ..body }.frame(), Verdict::Body, REPEAT_SILENT),
        ("the same in VXLAN", wrapped, Verdict::Body, REPEAT_SILENT),
        (
            "text body of 1460 bytes",
            Segment::new(&[b'G'; 1460]).flags(ACK).frame(),
            Verdict::Body,
            REPEAT_SILENT,
        ),
        ("head of 600 bytes", Segment::new(&head(600)).frame(), Verdict::Head, REPEAT),
        ("the same of a response", response.frame(), Verdict::Head, REPEAT),
        (
            "end of their connection",
            Segment::new(b"").at(1600).flags(ACK | FIN).frame(),
            Verdict::Mark,
            REPEAT,
        ),
        ("head of 1460 bytes", Segment::new(&head(1460)).frame(), Verdict::Head, REPEAT),
    ];
    let mut said = String::from("nanoseconds above a program that does nothing:");
    for (name, frame, verdict, repeat) in cases {
        assert_eq!(kernel.decide(&frame).0, verdict, "{name}");
        let (mut idle_ns, mut ns) = (u128::MAX, u128::MAX);
        for _ in 0..BURSTS {
            idle_ns = idle_ns.min(idle.time(&frame, repeat));
            ns = ns.min(kernel.time(&frame, repeat));
        }
        said += &format!("\n    {:5} {name}", ns.saturating_sub(idle_ns));
    }
    say(&said);
}

/// Instructions the verifier may have to follow of one program: a quarter of its patience, as other kernels need more.
const VERIFIED_INSTRUCTIONS_MAX: u32 = 250_000;

#[test]
fn the_verifier_has_patience_left() {
    needs_root();
    let counts = Kernel::new(&Config::default(), RING_BYTES).verified_instructions();
    say(&format!("instructions the verifier followed: {counts:?}"));
    assert_eq!(counts.len(), 3);
    assert!(counts.iter().all(|(_, count)| *count < VERIFIED_INSTRUCTIONS_MAX), "{counts:?}");
}
