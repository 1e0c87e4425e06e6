//! Segments whose order is broken, through both halves: what may tell of the next heads is handed over, and nothing else.

use super::differential::Pair;
use super::frames::{Segment, head};
use common::config::Config;
use common::limits::DISORDER_BYTES_MAX;
use common::record::tcp_flag::ACK;
use harness::needs_root;

/// First sequence number.
const FIRST: u32 = 1000;

/// A head that tells of a body of so many bytes, and the body.
fn message(body_bytes: usize) -> Vec<u8> {
    let head = format!("POST /up HTTP/1.1\r\nHost: example.org\r\nContent-Length: {body_bytes}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; body_bytes]].concat()
}

/// Sends pieces of a stream in the order given; of each the bytes that were handed over, as offsets, and where a gap told
/// of something due.
fn copied(pair: &mut Pair, src_port: u16, stream: &[u8], pieces: &[(usize, usize)]) -> Vec<Vec<(u32, u32)>> {
    let mut copied = Vec::new();
    for (from, to) in pieces {
        let template = Segment { src_port, ..Segment::new(&stream[*from..*to]) };
        let records = pair.compare(&template.at(FIRST + *from as u32).flags(ACK).frame(), "disorder").0;
        let ranges = records.iter().map(|(record, _)| {
            let from = record.seq - FIRST;
            (from, from + u32::from(record.copied))
        });
        copied.push(ranges.collect());
    }
    copied
}

#[test]
fn behind_a_gap_in_a_head_all_is_handed_over_till_one_begins_in_order() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let (first, second) = (message(900), message(800));
    let stream = [&first[..], &second, &second].concat();
    let (two, three) = (first.len(), first.len() + second.len());
    let head_bytes = first.len() - 900;
    let pieces =
        [(0, 30), (head_bytes, 500), (30, head_bytes), (500, two), (two, two + 500), (two + 500, three)];
    let told = copied(&mut pair, 1, &stream, &pieces);
    let as_one = |(from, to): (usize, usize)| vec![(from as u32, to as u32)];
    let all: Vec<_> = pieces[..4].iter().map(|piece| as_one(*piece)).collect();
    assert_eq!(told[..4], all, "with the body that follows");
    let head_end = (two + second.len() - 800) as u32;
    assert_eq!(told[4][0], (two as u32, head_end), "a head");
    assert_eq!(told[4].len() + told[5].len(), 1, "in order, so that its body is not: {told:?}");
}

#[test]
fn of_a_body_whose_length_is_known_nothing_is_handed_over() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let stream = [message(3_000), head(100)].concat();
    let pieces =
        [(0, 500), (1_000, 1_500), (500, 1_000), (2_000, 2_500), (2_500, stream.len()), (1_500, 2_000)];
    let told = copied(&mut pair, 1, &stream, &pieces);
    let behind = (stream.len() - 100) as u32;
    let heads: Vec<u32> = told.iter().flatten().map(|(from, _)| *from).collect();
    assert_eq!(heads[..2], [0, behind]);
    let body: u32 = told
        .iter()
        .flatten()
        .filter(|(from, _)| *from > 0 && *from < behind)
        .map(|(from, to)| to - from)
        .sum();
    assert!(body <= 500, "but what comes late, behind the gap that the next head is behind of: {told:?}");
}

#[test]
fn what_is_handed_over_is_bounded() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let stream = [&head(100)[..], &vec![b'x'; 200_000]].concat();
    let pieces: Vec<(usize, usize)> = (0..190).map(|nth| (1_000 * nth, 1_000 * nth + 1_000)).collect();
    let pieces: Vec<(usize, usize)> =
        pieces.into_iter().filter(|(from, _)| *from != 20_000 && *from != 90_000).collect();
    let told = copied(&mut pair, 1, &stream, &pieces);
    let body: u32 = told.iter().flatten().filter(|(from, _)| *from > 0).map(|(from, to)| to - from).sum();
    assert_eq!(body, u32::from(DISORDER_BYTES_MAX), "once: what never comes opens nothing anew");
    assert_eq!(u64::from(body), pair.counters().disorder_bytes);
}
