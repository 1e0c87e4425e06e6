//! Heads in pieces: whatever order they come in, the bytes, the flags and the times of the head are the same.

use super::*;

fn record(seq: u32, copied: usize) -> Record {
    crate::flow::testing::record(seq, copied)
}

fn split(head: &[u8], cuts: &[usize], order: &[usize]) -> (HeadSpan, Vec<u8>) {
    let first = record(u32::MAX - 3, cuts.first().copied().unwrap_or(head.len()));
    let mut partial = Partial::new(&first, 1 << 16, true);
    let edges: Vec<usize> =
        std::iter::once(0).chain(cuts.iter().copied()).chain(std::iter::once(head.len())).collect();
    for &index in order {
        let (from, to) = (edges[index], edges[index + 1]);
        let piece = record(first.seq.wrapping_add(from as u32), to - from);
        partial.fill(Piece::of(&piece, &head[from..to]));
    }
    assert!(partial.is_done());
    let (span, bytes, rest) = partial.finish();
    assert!(rest.is_empty());
    (span, bytes)
}

#[test]
fn a_head_split_at_every_byte_is_whole_in_either_order() {
    let head = b"GET /a HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\n";
    for cut in 1..head.len() {
        for order in [[0, 1], [1, 0]] {
            let (span, bytes) = split(head, &[cut], &order);
            assert_eq!(bytes, head, "cut at {cut}, order {order:?}");
            assert!(span.complete);
            assert_eq!(span.flags.contains(Flags::OUT_OF_ORDER), order == [1, 0]);
        }
    }
}

#[test]
fn bare_line_feeds_end_a_head_wherever_they_are_cut() {
    for head in [&b"GET / HTTP/1.0\n\n"[..], b"GET / HTTP/1.0\r\n\n", b"GET / HTTP/1.0\n\r\n"] {
        for cut in 1..head.len() {
            assert_eq!(split(head, &[cut], &[0, 1]).1, head);
        }
    }
}

#[test]
fn the_first_copy_wins_and_a_conflict_is_told() {
    let mut partial = Partial::new(&record(100, 10), 1 << 16, true);
    partial.fill(Piece::of(&record(100, 10), b"GET / HTTP"));
    partial.fill(Piece::of(&record(105, 8), b"XHTTP/1."));
    partial.fill(Piece::of(&record(113, 5), b"1\n\n__"));
    assert!(partial.is_done());
    let (span, bytes, rest) = partial.finish();
    assert_eq!(rest.iter().map(|early| early.piece().bytes).collect::<Vec<_>>(), [b"__"]);
    assert_eq!(bytes, b"GET / HTTP/1.1\n\n".as_slice().get(..bytes.len()).unwrap());
    assert!(span.flags.contains(Flags::DATA_CONFLICT));
    assert!(span.flags.contains(Flags::RETRANSMITTED));
}

#[test]
fn behind_a_gap_only_whole_lines_are_kept() {
    let mut partial = Partial::new(&record(0, 20), 1 << 16, true);
    partial.fill(Piece::of(&record(0, 27), b"GET / HTTP/1.1\r\nA: 1\r\nCook"));
    partial.fill(Piece::of(&record(40, 21), b"secret\r\nB: 2\r\nC: 3\r\n\r\n"));
    let (span, bytes) = partial.give_up();
    assert_eq!(bytes, b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
    assert!(span.flags.contains(Flags::GAP_IN_HEAD) && !span.complete);
}

#[test]
fn a_cut_line_is_joined_with_none_behind_any_gap() {
    let mut partial = Partial::new(&record(0, 27), 1 << 16, true);
    partial.fill(Piece::of(&record(0, 27), b"GET / HTTP/1.1\r\nA: 1\r\nCook"));
    partial.fill(Piece::of(&record(30, 4), b"a=se"));
    partial.fill(Piece::of(&record(40, 14), b"cret\r\nB: 2\r\n\r\n"));
    assert_eq!(partial.give_up().1, b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n");
    let mut partial = Partial::new(&record(0, 3), 1 << 16, true);
    partial.fill(Piece::of(&record(0, 3), b"GET"));
    partial.fill(Piece::of(&record(10, 11), b"x\r\nB: 2\r\n\r\n"));
    assert_eq!(partial.give_up().1, b"GET");
}

#[test]
fn behind_a_gap_no_byte_of_a_body_is_kept() {
    for rest in [&b"x\r\n{\"key\": 1}\r\n\r\n"[..], b"x\r\nName: value\r\nplain text", b"x\r\na b: c\r\n\r\n"]
    {
        let mut partial = Partial::new(&record(0, 22), 1 << 16, true);
        partial.fill(Piece::of(&record(0, 22), b"GET / HTTP/1.1\r\nA: 1\r\n"));
        partial.fill(Piece::of(&record(40, rest.len()), rest));
        let (span, bytes) = partial.give_up();
        assert_eq!(bytes, b"GET / HTTP/1.1\r\nA: 1\r\n");
        assert!(span.flags.contains(Flags::GAP_IN_HEAD));
    }
}

#[test]
fn times_are_those_of_the_first_and_of_the_last_byte() {
    let head = b"GET / HTTP/1.1\r\nA: 1\r\n\r\nGET";
    let mut partial = Partial::new(&record(100, 5), 1 << 16, true);
    for (ts_ns, from, to) in [(7, 20, 24), (8, 24, 27), (9, 0, 5), (10, 18, 20), (11, 0, 18)] {
        let piece = &head[from..to];
        let record = Record { ts_ns, ..record(100 + from as u32, piece.len()) };
        partial.fill(Piece::of(&record, piece));
    }
    let (span, bytes, rest) = partial.finish();
    assert_eq!((&bytes[..], span.ts_first, span.ts_last), (&head[..24], 9, 7));
    let rest: Vec<_> = rest.iter().map(|early| (early.piece().seq, early.piece().times.last)).collect();
    assert_eq!(rest, [(124, 8)], "of the next head");
}

#[test]
fn the_time_of_an_end_inside_of_a_piece_is_that_pieces() {
    let head = b"GET / HTTP/1.1\r\n\r\nbody";
    let mut partial = Partial::new(&record(100, 4), 1 << 16, true);
    for (ts_ns, from, to) in [(7, 0, 4), (8, 20, 22), (9, 15, 20), (10, 4, 15)] {
        let piece = &head[from..to];
        partial.fill(Piece::of(&Record { ts_ns, ..record(100 + from as u32, piece.len()) }, piece));
    }
    let (span, _, rest) = partial.finish();
    assert_eq!((span.ts_first, span.ts_last), (7, 9), "not the body's, though that follows");
    let rest: Vec<_> = rest.iter().map(|early| (early.piece().seq, early.piece().times.last)).collect();
    assert_eq!(rest, [(118, 9), (120, 8)]);
}

#[test]
fn the_first_byte_of_a_head_that_pieces_hide_has_no_time() {
    let stream = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
    for (is_joined, expected) in [(false, (8, false)), (true, (9, true))] {
        let mut partial = Partial::new(&record(100, 3), 1 << 16, true);
        partial.fill(Piece::of(&record(100, 3), b"xx "));
        let pieces: &[(u64, usize, usize)] = if is_joined { &[(8, 0, 5), (9, 5, 10)] } else { &[(8, 0, 10)] };
        for (ts_ns, from, to) in pieces {
            let record = Record { ts_ns: *ts_ns, ..record(110 + *from as u32, to - from) };
            partial.fill(Piece::of(&record, &stream[*from..*to]));
        }
        // A head begins where the second byte of the run stands.
        let mut head = Partial::new(&record(111, 1), 1 << 16, true);
        let rest = partial.split_off(111);
        let has_ack = |early: &Early| early.piece().tcp_flags == tcp_flag::ACK;
        assert!(rest.iter().all(has_ack), "of whatever segment, it had one");
        rest.iter().for_each(|early| head.fill(early.piece()));
        let (span, _) = head.give_up();
        assert_eq!((span.ts_first, span.is_repeat), expected, "{is_joined}");
    }
}

#[test]
fn pieces_beyond_the_limit_are_forgotten() {
    let mut partial = Partial::new(&record(0, 1), 1 << 16, true);
    partial.fill(Piece::of(&record(0, 1), b"G"));
    for piece in 0..2 * FILLED_RANGE_COUNT_MAX {
        partial.fill(Piece::of(&record(10 + 2 * piece as u32, 1), b"x"));
    }
    assert_eq!(partial.filled.len(), FILLED_RANGE_COUNT_MAX);
}
