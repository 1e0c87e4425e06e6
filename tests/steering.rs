//! Both directions of a connection reach one collector, and where they do not, it is counted, told and remedied.

use std::path::Path;

use bench::wire::{self, Segment};
use harness::{
    cable::{self, SENDER, Wire},
    daemon::{Balance, Capture},
    query::Dataset,
    wait,
};

/// Connections of each test.
const CONNECTIONS: u16 = 100;

/// A CPU and a queue for each direction.
const CPU_OF: [(wire::Side, usize); 2] = [(wire::Side::Client, 0), (wire::Side::Server, 1)];

const REQUEST: &[u8] = b"GET /way HTTP/1.1\r\nHost: h\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Frames of whole connections, by their senders: handshake, request, response.
fn conversations(first_port: u16) -> Vec<(wire::Side, Vec<u8>)> {
    use wire::{Side::Client, Side::Server, flag};
    let mut frames = Vec::new();
    for port in first_port..first_port + CONNECTIONS {
        let client = ("10.0.0.1".parse().unwrap(), port);
        let path = wire::Path { client, server: ("10.0.0.2".parse().unwrap(), 80), vlan_ids: Vec::new() };
        let mut frame = |from, seq, ack, flags, payload| {
            let segment = Segment { from, seq, ack, flags, options: &[], payload, ip_id: 0 };
            frames.push((from, wire::frame(&path, &segment)));
        };
        let answered = 1 + REQUEST.len() as u32;
        frame(Client, 0, 0, flag::SYN, b"");
        frame(Server, 0, 1, flag::SYN | flag::ACK, b"");
        frame(Client, 1, 1, flag::ACK | flag::PSH, REQUEST);
        frame(Server, 1, answered, flag::ACK | flag::PSH, RESPONSE);
    }
    frames
}

/// A capture on a port with two queues, each read by a CPU of its own, one of which gets what clients send.
struct Split {
    wire: Wire,
    capture: Capture,
    first_port: u16,
}

impl Split {
    fn start(out: &Path, options: &[&str]) -> Self {
        cable::queue_per_cpu(CPU_OF.len());
        let mut all = vec!["--metrics", "9108", "--stats-interval", "500ms"];
        all.extend(options);
        Split { wire: Wire::open(SENDER), capture: Capture::start_here(out, &all), first_port: 10_000 }
    }

    /// Sends new connections, each direction from its CPU, and waits until a collector has counted them.
    fn send(&mut self) {
        let frames = conversations(self.first_port);
        self.first_port += CONNECTIONS;
        let expected = cable::metric("records") + frames.len() as f64;
        for (from, frame) in frames {
            let cpu = CPU_OF.iter().find(|(side, _)| *side == from).unwrap().1;
            cable::move_to(cpu);
            self.wire.send(&frame);
        }
        // Each frame is a mark or a head, and so a record.
        wait::until("the records are counted", || (cable::metric("records") >= expected).then_some(()));
    }

    fn stop(self) -> Balance {
        let balance = self.capture.stop("INT").balance();
        balance.assert_closed();
        balance
    }
}

#[test]
fn directions_at_different_cpus_meet_by_their_hash() {
    cable::in_namespace(CPU_OF.len(), || {
        let out = tempfile::tempdir().unwrap();
        let mut split = Split::start(out.path(), &[]);
        wait::until("it is told which steering is in force", || {
            split.capture.stderr().contains("steering=\"hash\"").then_some(())
        });
        split.send();
        let balance = split.stop();
        let pairs = balance.count("rows_ack_verified");
        assert_eq!((pairs, balance.count("records_misdirected")), (u64::from(CONNECTIONS), 0), "{balance:?}");
        balance.assert_in_files(Dataset(out.path()));
        let queues = Dataset(out.path()).query("SELECT DISTINCT queue FROM http");
        assert_eq!(queues.len(), 1, "the first segment of each came in where clients are: {queues:?}");
        let busy = "SELECT count(DISTINCT core) AS cores FROM capture_stats WHERE rows > 0";
        assert!(Dataset(out.path()).number(busy) > 1, "all connections went to one collector");
    });
}

#[test]
fn directions_that_do_not_meet_are_counted_and_told() {
    cable::in_namespace(CPU_OF.len(), || {
        let out = tempfile::tempdir().unwrap();
        let mut split = Split::start(out.path(), &["--steer", "cpu"]);
        split.send();
        // A collector may read what a server says before another reads the client's SYN: then that is told astray.
        let of_one = 1.0..=2.0;
        let astray = cable::metric("records_misdirected") / f64::from(CONNECTIONS);
        assert!(of_one.contains(&astray), "{astray} records of four are astray");
        wait::until("a warning with its remedy", || {
            split.send();
            split.capture.stderr().contains("steer by hash (--steer hash)").then_some(())
        });
        let connections = u64::from((split.first_port - 10_000) / CONNECTIONS) * u64::from(CONNECTIONS);
        let balance = split.stop();
        let astray = balance.count("records_misdirected") as f64 / connections as f64;
        assert!(of_one.contains(&astray), "{astray} records of four are astray");
        let alone = (balance.count("rows_request_only"), balance.count("rows_response_only"));
        assert_eq!(alone, (connections, connections), "apart they cannot be paired: {balance:?}");
        balance.assert_in_files(Dataset(out.path()));
    });
}
