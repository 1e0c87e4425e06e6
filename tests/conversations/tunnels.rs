//! What the mirror wrapped frames in, as the rows tell it: each encapsulation, its columns exactly.

use std::net::IpAddr;

use bench::{
    wire::Path,
    workload::TimedFrame,
    wrap::{Wrap, wrap},
};

use super::talk::{
    Step::{self, Down, Open, Up},
    Talk, rows_of, told,
};

const FIRST_PORT: u16 = 22_000;

const TALK: &[Step<'_>] = &[Open, Up("GET /a HTTP/1.1|Host: a||"), Down("HTTP/1.1 204 No Content||")];

/// Name, what is around each frame from the inside out, whether outer packets are IPv6, and the tunnel's columns.
type Line = (&'static str, &'static [Wrap], bool, &'static str);

const OUTER: &[Line] = &[
    ("bare", &[], false, "-"),
    ("MPLS", &[Wrap::Mpls { labels: 3 }], false, "-"),
    ("an Ethernet pseudo-wire", &[Wrap::PseudoWire { control_word: true }], false, "-"),
    ("PPPoE", &[Wrap::Pppoe], false, "-"),
    ("VXLAN", &[Wrap::Vxlan { port: 4789, vni: 77 }], false, "vxlan 77 192.0.2.1 192.0.2.2"),
    (
        "VXLAN on its old port, over IPv6",
        &[Wrap::Vxlan { port: 8472, vni: 0 }],
        true,
        "vxlan 0 fd00::1 fd00::2",
    ),
    ("VXLAN-GPE", &[Wrap::VxlanGpe { vni: 0xff_ffff }], false, "vxlan 16777215 192.0.2.1 192.0.2.2"),
    (
        "GENEVE with options",
        &[Wrap::Geneve { vni: 5, option_words: 63, ethernet: true }],
        false,
        "geneve 5 192.0.2.1 192.0.2.2",
    ),
    (
        "GENEVE around IP",
        &[Wrap::Geneve { vni: 5, option_words: 0, ethernet: false }],
        true,
        "geneve 5 fd00::1 fd00::2",
    ),
    (
        "GRE",
        &[Wrap::Gre { key: None, checksum: false, sequence: false, ethernet: false }],
        false,
        "gre - 192.0.2.1 192.0.2.2",
    ),
    (
        "GRE with key, checksum and sequence, transparent Ethernet",
        &[Wrap::Gre { key: Some(u32::MAX), checksum: true, sequence: true, ethernet: true }],
        false,
        "gre 4294967295 192.0.2.1 192.0.2.2",
    ),
    ("ERSPAN I", &[Wrap::Erspan1], false, "erspan1 - 192.0.2.1 192.0.2.2"),
    ("ERSPAN II", &[Wrap::Erspan2 { session: 1023 }], false, "erspan2 1023 192.0.2.1 192.0.2.2"),
    ("ERSPAN III", &[Wrap::Erspan3 { session: 9, subheader: false }], false, "erspan3 9 192.0.2.1 192.0.2.2"),
    (
        "ERSPAN III with its optional header",
        &[Wrap::Erspan3 { session: 9, subheader: true }],
        true,
        "erspan3 9 fd00::1 fd00::2",
    ),
    ("IP in IPv4", &[Wrap::Ipip], false, "ipip - 192.0.2.1 192.0.2.2"),
    ("IP in IPv6", &[Wrap::Ipip], true, "ipip - fd00::1 fd00::2"),
    (
        "the innermost of two tunnels",
        &[Wrap::Vxlan { port: 4789, vni: 8 }, Wrap::Erspan2 { session: 3 }],
        false,
        "vxlan 8 192.0.2.1 192.0.2.2",
    ),
    (
        "four tunnels in each other",
        &[
            Wrap::Erspan1,
            Wrap::Vxlan { port: 4789, vni: 1 },
            Wrap::Geneve { vni: 2, option_words: 1, ethernet: true },
            Wrap::Ipip,
        ],
        false,
        "erspan1 - 192.0.2.1 192.0.2.2",
    ),
    ("five are one too many", &[Wrap::Ipip, Wrap::Ipip, Wrap::Ipip, Wrap::Ipip, Wrap::Ipip], false, "no row"),
];

/// Client and server, of either IP version.
fn ends(is_v6: bool, number: usize) -> Path {
    let end = |last: u8| match is_v6 {
        false => IpAddr::from([10, 0, 0, last]),
        true => IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, last]),
    };
    // Tags inside of everything else, on every other connection.
    let vlan_ids = if number.is_multiple_of(2) { vec![7, 4094] } else { Vec::new() };
    Path { client: (end(1), FIRST_PORT + number as u16), server: (end(2), 80), vlan_ids }
}

/// The conversation within each encapsulation, by number; those that go around IP only have no tags inside.
pub(super) fn frames() -> (Vec<TimedFrame>, Vec<Path>) {
    let (mut frames, mut paths) = (Vec::new(), Vec::new());
    let mut ts_ns = 1_700_000_000_000_000_000;
    let lines = OUTER.iter().flat_map(|line| [(line, false), (line, true)]);
    for (number, ((_, wraps, is_outer_v6, _), is_v6)) in lines.enumerate() {
        let mut talk = Talk::new(FIRST_PORT + number as u16, ts_ns);
        talk.path = ends(is_v6, number);
        // Tags are the frame's: what goes around packets leaves them behind.
        if wraps.first().is_some_and(|first| first.wraps_packets()) {
            talk.path.vlan_ids.clear();
        }
        paths.push(talk.path.clone());
        for frame in talk.frames(TALK) {
            let bytes = wraps.iter().fold(frame.bytes, |bytes, layer| wrap(&bytes, *layer, *is_outer_v6));
            ts_ns = frame.ts_ns;
            frames.push(TimedFrame { ts_ns, bytes });
        }
    }
    (frames, paths)
}

#[test]
fn each_encapsulation_has_its_columns() {
    let (frames, paths) = frames();
    let mut rows = rows_of(frames);
    let names = OUTER.iter().flat_map(|line| [line, line]);
    for ((name, _, _, expected), path) in names.zip(paths) {
        let rows = rows.remove(&path.client.1).unwrap_or_default();
        if *expected == "no row" {
            assert!(rows.is_empty(), "{name}: {rows:?}");
            continue;
        }
        let [row] = rows.as_slice() else { panic!("{name}: {} rows", rows.len()) };
        assert_eq!(told(row), "GET /a (0) > 204 (0) ack_verified", "{name}");
        assert_eq!((row.client, row.server), (path.client, path.server), "{name}: the inner ends");
        assert_eq!(row.tunnel.as_deref().unwrap_or("-"), *expected, "{name}");
        assert_eq!(row.vlan_ids, path.vlan_ids, "{name}: tags inside");
    }
}
