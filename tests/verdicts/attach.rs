//! Real attachment, on veth pairs in a network namespace of the test's own thread: nothing outside of it is touched.

use super::frames::{Segment, head};
use super::kernel::Records;
use capture::source::live::attach::{AttachError, Mode, ModeChoice};
use capture::source::live::nic::NicError;
use capture::source::live::{ActionChoice, LiveError, LiveSettings, LiveSource, netlink};
use common::record::{RecordKind, tcp_flag::ACK};
use common::verdict::Verdict;
use harness::{
    cable::{self, Wire, ip},
    wait,
};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// Set in the environment of the child that holds an interface.
const CHILD_VARIABLE: &str = "HDRCAP_TEST_HOLD";

/// Runs a test in a namespace with a veth pair, `mirror0` and `sender`, both up and without address.
fn in_namespace(test: fn()) {
    cable::in_namespace(1, test);
}

fn settings(iface: &str) -> LiveSettings {
    LiveSettings { ring_bytes: 1 << 20, ..LiveSettings::new(vec![iface.to_owned()]) }
}

fn link(name: &str) -> netlink::Link {
    netlink::links().unwrap().into_iter().find(|link| link.name == name).unwrap()
}

/// Whether the kernel counts a promiscuous user of the interface.
fn is_promiscuous(name: &str) -> bool {
    let output = Command::new("ip").args(["-d", "link", "show", "dev", name]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("promiscuity "), "{text}");
    !text.contains("promiscuity 0")
}

/// Polls until a condition holds; panics where it never does.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    wait::until(what, || condition().then_some(()));
}

/// Sends a head and a frame that is none, and returns what the capture got, when it got both.
fn exchange(source: &mut LiveSource, frames: &[Vec<u8>]) -> Records {
    let wire = Wire::open("sender");
    frames.iter().for_each(|frame| wire.send(frame));
    wait_for("the frames' verdicts", || {
        let counters = &source.counters().unwrap()[0];
        counters.frames_of(Verdict::Head) + counters.frames_of(Verdict::Body) >= frames.len() as u64
    });
    let mut records = Records::default();
    for ring in &mut source.take_rings() {
        while ring.drain(64, &mut records) > 0 {}
    }
    records
}

#[test]
fn native_attach_captures_and_drops_on_a_mirror_port() {
    in_namespace(|| {
        let below = Wire::open("mirror0");
        let mut source = LiveSource::open(&settings("mirror0")).unwrap();
        assert_eq!(source.attachments()[0].mode, Mode::Native);
        assert!(source.attachments()[0].fallback.is_none());
        assert_eq!(source.config().drop_slots, 1, "nothing else wants its frames");
        let head = head(300);
        let frames = [Segment::new(&head).frame(), Segment::new(b"no head").at(7).flags(ACK).frame()];
        let records = exchange(&mut source, &frames);
        assert_eq!(records.0.len(), 1);
        assert_eq!(records.0[0].1, head);
        assert_eq!(records.0[0].0.ifindex, link("mirror0").ifindex);
        assert!(!below.received(&frames[0]), "a dropped frame does not reach the stack");
        assert!(link("mirror0").xdp_program.is_some() && is_promiscuous("mirror0"));
        source.detach();
        wait_for("the program to be gone", || link("mirror0").xdp_program.is_none());
        assert!(!is_promiscuous("mirror0"));
    });
}

#[test]
fn auto_passes_where_an_address_lives_and_on_ports_of_a_bridge() {
    in_namespace(|| {
        ip("address add 192.0.2.1/24 dev mirror0");
        let below = Wire::open("mirror0");
        let mut source = LiveSource::open(&settings("mirror0")).unwrap();
        assert_eq!(source.config().drop_slots, 0);
        let frames = [Segment::new(&head(300)).frame()];
        assert_eq!(exchange(&mut source, &frames).0.len(), 1);
        wait_for("the frame in the stack", || below.received(&frames[0]));
        drop(source);
        ip("address del 192.0.2.1/24 dev mirror0");
        ip("link add bridge type bridge");
        ip("link set dev mirror0 master bridge");
        let source = LiveSource::open(&settings("mirror0")).unwrap();
        assert_eq!(source.config().drop_slots, 0, "a bridge wants its frames");
        drop(source);
        ip("link set dev mirror0 nomaster");
        ip("link add link mirror0 name upper type macvlan");
        let asked = LiveSettings { action: ActionChoice::Drop, ..settings("mirror0") };
        assert_eq!(
            LiveSource::open(&settings("mirror0")).unwrap().config().drop_slots,
            0,
            "a macvlan wants its frames"
        );
        assert_eq!(LiveSource::open(&asked).unwrap().config().drop_slots, 1, "asked for");
    });
}

#[test]
fn two_interfaces_are_counted_apart() {
    in_namespace(|| {
        let both =
            LiveSettings { ifaces: vec!["mirror0".to_owned(), "lo".to_owned()], ..settings("mirror0") };
        let mut source = LiveSource::open(&both).unwrap();
        let lo = &source.attachments()[1];
        assert_eq!(lo.mode, Mode::Generic, "the loopback has no native XDP");
        let said = lo.fallback.as_ref().unwrap().to_string();
        assert!(said.contains("refuses native XDP") && said.contains("generic"), "{said}");
        let records = exchange(&mut source, &[Segment::new(&head(300)).frame()]);
        assert_eq!(records.0.len(), 1);
        let counters = source.counters().unwrap();
        assert_eq!((counters[0].frames_of(Verdict::Head), counters[1].frames_of(Verdict::Head)), (1, 0));
    });
}

#[test]
fn a_kill_leaves_nothing_behind() {
    in_namespace(|| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["verdicts::attach::child_holds_an_interface", "--exact", "--ignored", "--nocapture"])
            .env(CHILD_VARIABLE, "mirror0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("holding")), "the child attached");
        assert!(link("mirror0").xdp_program.is_some() && is_promiscuous("mirror0"));
        child.kill().unwrap();
        child.wait().unwrap();
        wait_for("XDP to be gone", || link("mirror0").xdp_program.is_none());
        wait_for("promiscuous mode to be gone", || !is_promiscuous("mirror0"));
    });
}

/// Not a test by itself: attaches and waits to be killed, or for its parent to end.
#[test]
#[ignore = "started by a_kill_leaves_nothing_behind"]
fn child_holds_an_interface() {
    let iface = std::env::var(CHILD_VARIABLE).unwrap();
    let source = LiveSource::open(&settings(&iface)).unwrap();
    println!("\nholding");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    drop(source);
}

#[test]
fn refusals_tell_what_to_do() {
    in_namespace(|| {
        let unknown = LiveSource::open(&settings("mirrr")).unwrap_err();
        assert!(matches!(&unknown, LiveError::Nic(NicError::Unknown { .. })));
        assert!(
            unknown.to_string().contains("mirror0, ") || unknown.to_string().contains(", mirror0"),
            "{unknown}"
        );
        let twice = LiveSettings { ifaces: vec!["lo".to_owned(); 2], ..settings("lo") };
        assert!(matches!(LiveSource::open(&twice), Err(LiveError::IfaceTwice { .. })));
        let odd = LiveSettings { ring_bytes: 100_000, ..settings("mirror0") };
        assert!(LiveSource::open(&odd).unwrap_err().to_string().contains("power of two"));
        ip("link set dev mirror0 down");
        let down = LiveSource::open(&settings("mirror0")).unwrap_err().to_string();
        assert!(down.contains("ip link set dev mirror0 up"), "{down}");
        ip("link set dev mirror0 up");
        let first = LiveSource::open(&settings("mirror0")).unwrap();
        let second = LiveSource::open(&settings("mirror0")).unwrap_err();
        assert!(matches!(&second, LiveError::Attach(AttachError::Occupied { .. })), "{second:?}");
        let id = link("mirror0").xdp_program.unwrap();
        assert!(second.to_string().contains(&format!("id {id} (hdrcap)")), "{second}");
        drop(first);
    });
}

#[test]
fn jumbo_interfaces_attach_natively() {
    in_namespace(|| {
        ip("link set dev mirror0 mtu 9000");
        ip("link set dev sender mtu 9000");
        let mut source = LiveSource::open(&settings("mirror0")).unwrap();
        assert_eq!(source.attachments()[0].mode, Mode::Native);
        let head = head(8000);
        let records = exchange(&mut source, &[Segment::new(&head).frame()]);
        let bytes: Vec<u8> = records.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(bytes, head);
        assert_eq!(records.0.len(), 4, "8000 bytes in slices of 2048");
    });
}

/// Frames as segmentation offload leaves them on a veth: up to 64 KiB, many heads in each, in many buffers or in one.
#[test]
fn super_frames_hold_many_heads() {
    in_namespace(|| {
        ip("link set dev mirror0 mtu 65535");
        ip("link set dev sender mtu 65535");
        for choice in [ModeChoice::Native, ModeChoice::Generic] {
            let asked = LiveSettings { mode: choice, ..settings("mirror0") };
            let mut source = LiveSource::open(&asked).unwrap();
            let (short, long) = (head(120), head(4000));
            let payload = [short.repeat(300), long.repeat(7)].concat();
            assert!(payload.len() > 62_000);
            let frames = [Segment::new(&payload).frame()];
            let records = exchange(&mut source, &frames);
            let heads = records.0.iter().filter(|(record, _)| record.kind == RecordKind::Head as u8).count();
            assert_eq!(heads, 307, "{choice:?}");
            let bytes: Vec<u8> = records.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
            assert!(bytes == payload, "{choice:?}: every byte of every head, in order");
            assert_eq!(source.counters().unwrap()[0].bytes[Verdict::Head as usize], frames[0].len() as u64);
        }
    });
}
