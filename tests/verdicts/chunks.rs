//! Bodies in chunks, through both halves: the head behind one is found, and a start line inside of one is not taken for one.

use super::differential::Pair;
use super::frames::{Segment, head};
use common::config::Config;
use common::record::{
    RecordKind, record_flag,
    tcp_flag::{ACK, SYN},
};
use harness::needs_root;

/// A request that says that its body comes in chunks; of these the sizes and what stands at their beginnings.
fn chunked_request(chunks: &[(usize, &str)], trailer: &str) -> Vec<u8> {
    let mut bytes =
        b"POST /upload HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for (size, begin) in chunks {
        bytes.extend(format!("{size:x}\r\n{begin:x<size$}\r\n").bytes());
    }
    bytes.extend(format!("0\r\n{trailer}\r\n").bytes());
    bytes
}

/// Sends a stream in segments that end at the places given, and returns sequence number and flags of each head told of.
fn heads(
    pair: &mut Pair,
    stream: &[u8],
    src_port: u16,
    ends: impl IntoIterator<Item = usize>,
) -> Vec<(u32, u8)> {
    let mut heads = Vec::new();
    let syn = Segment { src_port, ..Segment::new(b"") };
    pair.compare(&syn.at(999).flags(SYN).frame(), "SYN");
    let mut begin = 0;
    for end in ends.into_iter().map(|end| end.min(stream.len())).chain([stream.len()]) {
        if begin < end {
            let template = Segment { src_port, ..Segment::new(&stream[begin..end]) };
            let frame = template.at(1000 + begin as u32).flags(ACK).frame();
            let records = pair.compare(&frame, "chunks").0.into_iter().map(|(record, _)| record);
            heads.extend(
                records.filter(|it| it.kind == RecordKind::Head as u8).map(|it| (it.seq - 1000, it.flags)),
            );
            begin = end;
        }
    }
    heads
}

#[test]
fn the_head_behind_chunks_is_found_wherever_segments_end() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let mut src_port = 1000;
    for trailer in ["", "X-Trailer: t\r\n"] {
        let request = chunked_request(&[(5, ""), (90, ""), (17, "")], trailer);
        let stream = [&request[..], &head(100)].concat();
        for bytes in (1..40).chain([64, 65, 100, 130, 200, stream.len()]) {
            let ends = (1..=stream.len()).map(|nth| nth * bytes);
            let found = heads(&mut pair, &stream, src_port, ends);
            let seqs: Vec<u32> = found.iter().map(|(seq, _)| *seq).collect();
            assert_eq!(seqs, [0, request.len() as u32], "in segments of {bytes} bytes");
            src_port += 1;
        }
        for end in 1..stream.len() {
            let found = heads(&mut pair, &stream, src_port, [end]);
            assert_eq!(found.len(), 2, "cut at {end}: {found:?}");
            src_port += 1;
        }
    }
}

/// A request in chunks, one of which begins with a start line, and another one: where that line and the other one begin.
fn with_a_lie() -> (Vec<u8>, usize, usize) {
    const LIE: &str = "GET /lie HTTP/1.1\r\n\r\n";
    let request = chunked_request(&[(100, ""), (300, LIE), (50, "")], "");
    let lie = request.windows(LIE.len()).position(|bytes| bytes == LIE.as_bytes()).unwrap();
    ([&request[..], &head(100)].concat(), lie, request.len())
}

#[test]
fn a_start_line_inside_a_chunk_is_told_of_and_begins_no_head() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let (stream, lie, behind) = with_a_lie();
    let found = heads(&mut pair, &stream, 1, [80, lie, lie + 200]);
    let [first, inside, next] = found[..] else { panic!("three: {found:?}") };
    assert_eq!((first.0, inside, next.0), (0, (lie as u32, record_flag::IN_CHUNK), behind as u32));
    let untold = String::from_utf8(stream).unwrap().replace("Transfer-Encoding", "Xransfer-Encoding");
    let found = heads(&mut pair, untold.as_bytes(), 2, [80, lie, lie + 200]);
    assert_eq!(
        found[1],
        (lie as u32, record_flag::HEAD_END),
        "where no head told of chunks nothing is hidden"
    );
}

#[test]
fn behind_chunks_that_a_start_line_is_in_the_next_head_is_found_though_none_told_of_them() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let (stream, lie, behind) = with_a_lie();
    // Transfer-Encoding in two segments: that there are chunks is seen by their sizes only.
    let found = heads(&mut pair, &stream, 1, [50, 80, lie, lie + 200]);
    let seqs: Vec<u32> = found.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, [0, lie, behind].map(|at| at as u32));
}

#[test]
fn what_is_lost_of_chunks_hides_no_head() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let request = chunked_request(&[(1000, ""), (1000, ""), (1000, "")], "");
    let stream = [&request[..], &head(100), &head(100)].concat();
    for lost in 1..request.len() / 500 {
        let src_port = lost as u16;
        let mut seqs = Vec::new();
        for (nth, begin) in (0..request.len()).step_by(500).chain([request.len()]).enumerate() {
            let end = if begin == request.len() { stream.len() } else { request.len().min(begin + 500) };
            let template = Segment { src_port, ..Segment::new(&stream[begin..end]) };
            if nth != lost {
                let records = pair.compare(&template.at(1000 + begin as u32).flags(ACK).frame(), "lost").0;
                let heads = records.iter().filter(|(record, _)| record.kind == RecordKind::Head as u8);
                seqs.extend(heads.map(|(record, _)| record.seq - 1000));
            }
        }
        assert_eq!(seqs, [0, request.len(), request.len() + 100].map(|at| at as u32), "without {lost}");
    }
}

#[test]
fn chunks_that_are_too_many_are_given_up() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    for (count, is_found) in [(60, true), (300, false)] {
        let request = chunked_request(&vec![(1, ""); count], "");
        let stream = [&request[..], &head(100)].concat();
        let found = heads(&mut pair, &stream, count as u16, []);
        assert_eq!(found.len() == 2, is_found, "{count} chunks in a segment");
        let next = Segment { src_port: count as u16, ..Segment::new(&head(100)) };
        let frame = next.at(1000 + stream.len() as u32).flags(ACK).frame();
        assert_eq!(
            pair.compare(&frame, "next").0.len(),
            1,
            "a segment's first byte begins a head in any case"
        );
    }
}

#[test]
fn the_end_of_chunks_in_the_segment_of_their_head_is_told() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    for (nth, trailer) in ["", "X-Trailer: t\r\n"].into_iter().enumerate() {
        let request = chunked_request(&[(5, ""), (90, "")], trailer);
        let frame = Segment { src_port: 1000 + nth as u16, ..Segment::new(&request) }.flags(ACK).frame();
        let records = pair.compare(&frame, "chunks").0;
        let told: Vec<u8> = records
            .iter()
            .filter(|(record, _)| record.flags & record_flag::CHUNK_END != 0)
            .map(|(record, _)| record.kind)
            .collect();
        assert!(!told.is_empty(), "{trailer:?}: {records:?}");
        let shorter = Segment { src_port: 2000 + nth as u16, ..Segment::new(&request[..request.len() - 1]) };
        let records = pair.compare(&shorter.flags(ACK).frame(), "chunks").0;
        assert!(records.iter().all(|(record, _)| record.flags & record_flag::CHUNK_END == 0), "{records:?}");
    }
}
