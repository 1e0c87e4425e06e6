//! The truth holds against a reader that knows nothing but the frames, and every knob does what it says.

use std::{collections::BTreeMap, net::IpAddr};

use super::*;
use crate::wire::{Side, flag};

/// Sequence number, payload and flags of a captured segment.
type Captured = (u32, Vec<u8>, u8);

/// A knob's name, what to count, and the knobs that bring it about.
type Case<'a> = (&'a str, &'a dyn Fn(&Capture) -> usize, Knobs);

/// What the frames of one direction say: first byte captured at each sequence number, and each segment.
#[derive(Default)]
struct Direction {
    bytes: BTreeMap<u32, u8>,
    segments: Vec<Captured>,
}

type Tuple = ((IpAddr, u16), (IpAddr, u16));

/// Reads frames the slow way: no state but a map of bytes.
fn read_naively(frames: &[TimedFrame]) -> BTreeMap<Tuple, Direction> {
    let mut directions = BTreeMap::<Tuple, Direction>::new();
    for TimedFrame { bytes, .. } in frames {
        let mut at = 12;
        while bytes[at..at + 2] == [0x81, 0] {
            at += 4;
        }
        let ip = &bytes[at + 2..];
        let (source, destination, tcp): (IpAddr, IpAddr, _) = if ip[0] >> 4 == 4 {
            let address = |at: usize| <[u8; 4]>::try_from(&ip[at..at + 4]).unwrap();
            (address(12).into(), address(16).into(), &ip[20..])
        } else {
            let address = |at: usize| <[u8; 16]>::try_from(&ip[at..at + 16]).unwrap();
            (address(8).into(), address(24).into(), &ip[40..])
        };
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let seq = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
        let direction = directions.entry(((source, port(0)), (destination, port(2)))).or_default();
        for (index, byte) in payload.iter().enumerate() {
            direction.bytes.entry(seq.wrapping_add(index as u32)).or_insert(*byte);
        }
        direction.segments.push((seq, payload.to_vec(), tcp[13]));
    }
    directions
}

fn assert_truth_holds(capture: &Capture) {
    let seed = capture.truth.seed;
    let directions = read_naively(&capture.frames);
    let nothing = Direction::default();
    for connection in &capture.truth.connections {
        for seen in &connection.messages {
            let Path { client, server, .. } = connection.path.clone();
            let tuple = match seen.side {
                Side::Client => (client, server),
                Side::Server => (server, client),
            };
            let read = directions.get(&tuple).unwrap_or(&nothing);
            for (offset, byte) in seen.message.head.iter().chain(&seen.message.body).enumerate() {
                let is_lost = seen.lost.iter().any(|lost| lost.contains(&offset));
                let expected = (!is_lost).then_some(byte);
                let found = read.bytes.get(&seen.seq.wrapping_add(offset as u32));
                assert_eq!(found, expected, "seed {seed}, byte {offset} of {}", seen.message.start_line);
            }
            assert_eq!(seen.start.is_some(), !seen.lost.iter().any(|lost| lost.start == 0), "seed {seed}");
        }
    }
}

#[test]
fn a_seed_fixes_every_byte() {
    let make = |seed| generate(seed, &Knobs::lossy(0.05)).frames;
    assert!((0..20).all(|seed| make(seed) == make(seed)));
    assert!(make(1) != make(2));
}

#[test]
fn the_truth_holds_for_a_naive_reader() {
    let lossy = [0.0, 0.001, 0.05, 0.2].map(Knobs::lossy);
    for knobs in [Knobs::default(), Knobs::wild()].into_iter().chain(lossy) {
        // A second connection on a tuple may use sequence numbers of the first: naive reading cannot tell.
        let knobs = Knobs { reuse_tuple: 0.0, ..knobs };
        for seed in 0..60 {
            assert_truth_holds(&generate(seed, &knobs));
        }
    }
}

#[test]
fn polite_traffic_is_whole_and_in_order() {
    for seed in 0..60 {
        let capture = generate(seed, &Knobs::default());
        for connection in &capture.truth.connections {
            assert_eq!(connection.syn_seen, [true, true]);
            for seen in &connection.messages {
                assert!(seen.is_whole() && seen.head_is_whole() && seen.start.unwrap().begins_segment);
            }
        }
        for direction in read_naively(&capture.frames).values() {
            let mut next = direction.segments[0].0;
            for (seq, payload, flags) in &direction.segments {
                assert_eq!(*seq, next, "seed {seed}");
                next =
                    next.wrapping_add(payload.len() as u32 + u32::from(flags & (flag::SYN | flag::FIN) != 0));
            }
        }
    }
}

#[test]
fn rows_could_be_told_apart_by_their_heads() {
    for seed in 0..60 {
        let mut heads = Vec::new();
        for connection in generate(seed, &Knobs::wild()).truth.connections {
            let whole = connection.messages.into_iter().filter(SeenMessage::head_is_whole);
            heads.extend(
                whole.filter(|seen| seen.message.kind != MessageKind::Interim).map(|s| s.message.head),
            );
        }
        let count = heads.len();
        heads.sort();
        heads.dedup();
        assert_eq!(heads.len(), count, "seed {seed}");
    }
}

/// Counts over many seeds what a knob is to bring about.
fn count(knobs: &Knobs, what: impl Fn(&Capture) -> usize) -> usize {
    (0..40).map(|seed| what(&generate(seed, knobs))).sum()
}

#[test]
fn knobs_of_segments_do_what_they_say() {
    let segments = |test: fn(&[Captured]) -> usize| {
        move |capture: &Capture| {
            read_naively(&capture.frames).values().map(|d| test(&d.segments)).sum::<usize>()
        }
    };
    let quiet = Knobs { body_bytes_max: 500, head_bytes_max: 500, ..Knobs::default() };
    let tiny = segments(|all| all.iter().filter(|(_, payload, _)| (1..9).contains(&payload.len())).count());
    let huge = segments(|all| all.iter().filter(|(_, payload, _)| payload.len() > 1_460).count());
    let backward = segments(|all| all.windows(2).filter(|w| w[1].0.wrapping_sub(w[0].0) > 1 << 31).count());
    let twice = segments(|all| all.windows(2).filter(|w| w[0] == w[1] && !w[0].1.is_empty()).count());
    let wrapped =
        segments(|all| usize::from(all.iter().any(|s| s.0.checked_add(s.1.len() as u32).is_none())));
    let resets = segments(|all| all.iter().filter(|(_, _, flags)| flags & flag::RST != 0).count());
    let cases: [Case<'_>; 9] = [
        ("tiny", &tiny, Knobs { tiny_segments: 1.0, ..quiet.clone() }),
        ("huge", &huge, Knobs { huge_segments: 1.0, body_bytes_max: 90_000, ..quiet.clone() }),
        ("reorder", &backward, Knobs { reorder: 0.5, ..quiet.clone() }),
        ("retransmit", &backward, Knobs { retransmit: 0.5, ..quiet.clone() }),
        ("overlap", &backward, Knobs { overlap: 1.0, tiny_segments: 1.0, ..quiet.clone() }),
        ("keep_alive", &backward, Knobs { keep_alive: 1.0, ..quiet.clone() }),
        ("duplicate", &twice, Knobs { duplicate: 1.0, reorder_distance_max: 0, ..quiet.clone() }),
        ("wrap", &wrapped, Knobs { wrap: 1.0, body_bytes_max: 9_000, random_segments: 1.0, ..quiet.clone() }),
        ("reset", &resets, Knobs { reset: 1.0, ..quiet.clone() }),
    ];
    for (name, what, knobs) in cases {
        assert!(count(&knobs, what) > 10, "{name}");
    }
    assert_eq!([count(&quiet, backward), count(&quiet, twice), count(&quiet, resets)], [0, 0, 0]);
}

#[test]
fn knobs_of_conversations_do_what_they_say() {
    let messages = |test: fn(&SeenMessage) -> bool| {
        move |capture: &Capture| {
            let connections = capture.truth.connections.iter();
            connections
                .map(|connection| connection.messages.iter().filter(|seen| test(seen)).count())
                .sum::<usize>()
        }
    };
    let interim = messages(|seen| seen.message.kind == MessageKind::Interim);
    let lying = messages(|seen| !seen.message.lies.is_empty());
    let lost = messages(|seen| !seen.is_whole());
    let unseen = messages(|seen| seen.start.is_none());
    let inside = messages(|seen| seen.start.is_some_and(|start| !start.begins_segment));
    // An answer that acknowledges only part of what it answers.
    let early = |capture: &Capture| {
        let connections = capture.truth.connections.iter();
        let answers = connections.flat_map(|connection| {
            let request = |transaction| {
                let kind = MessageKind::Request;
                connection
                    .messages
                    .iter()
                    .find(move |s| (s.message.kind, s.message.transaction) == (kind, transaction))
            };
            let finals = connection.messages.iter().filter(|seen| seen.message.kind == MessageKind::Final);
            finals.filter_map(move |seen| Some((request(seen.message.transaction)?, seen.start?)))
        });
        answers.filter(|(request, start)| request.end_seq.wrapping_sub(start.ack) as i32 > 0).count()
    };
    let tunnels =
        |capture: &Capture| capture.truth.connections.iter().filter(|c| c.tunnel_seqs.is_some()).count();
    let reused =
        |capture: &Capture| capture.truth.connections.windows(2).filter(|w| w[0].path == w[1].path).count();
    let quiet = Knobs::default();
    let cases: [Case<'_>; 10] = [
        ("interim", &interim, Knobs { interim: 1.0, ..quiet.clone() }),
        ("lying_body", &lying, Knobs { lying_body: 1.0, ..quiet.clone() }),
        ("lose", &lost, Knobs { lose: 0.2, ..quiet.clone() }),
        ("mid_stream", &unseen, Knobs { mid_stream: 1.0, ..quiet.clone() }),
        ("cut_off", &unseen, Knobs { cut_off: 1.0, ..quiet.clone() }),
        ("one_way", &unseen, Knobs { one_way: 1.0, ..quiet.clone() }),
        ("coalesce", &inside, Knobs { coalesce: 1.0, pipeline: 1.0, ..quiet.clone() }),
        ("early_response", &early, Knobs { early_response: 1.0, ..quiet.clone() }),
        ("tunnel", &tunnels, Knobs { tunnel: 1.0, ..quiet.clone() }),
        ("reuse_tuple", &reused, Knobs { reuse_tuple: 1.0, ..quiet.clone() }),
    ];
    for (name, what, knobs) in cases {
        assert!(count(&knobs, what) > 10, "{name}");
        assert_eq!(count(&quiet, what), 0, "{name} without its knob");
    }
}
