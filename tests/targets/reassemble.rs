//! One head in pieces of any cut, order and number, some with other content: put together it is the head, or says it is not.

use arbitrary::{Arbitrary, Unstructured};
use capture::{
    flow::assembler::{Assembler, Fed, HeadSpan, Place},
    limits::PARTIAL_COUNT_PER_DIRECTION_MAX,
};
use common::{
    decide,
    record::{Record, RecordKind, record_flag},
};

/// Pieces of one input at the most.
const PIECE_COUNT_MAX: usize = 128;

/// Longer than the head: nothing of it is cut.
const HEAD_LIMIT: usize = 1024;

const HEAD: &[u8] = b"POST /submit?id=4711 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: fuzz/1.0\r\nContent-Type: text/plain\r\n\
Content-Length: 11\r\nX-Empty:\r\nX-Folded: a\r\n b\r\nCookie: a=b; c=d; e=f\r\nAccept: */*\r\n\r\n";

#[derive(Arbitrary, Debug)]
struct Piece {
    from: u16,
    len: u8,
    is_wrong: bool,
}

/// The input is a first sequence number and a list of pieces.
pub(crate) fn run(input: &[u8]) {
    let mut source = Unstructured::new(input);
    let Ok(first) = u32::arbitrary(&mut source) else { return };
    let mut assembler = Assembler::default();
    let mut is_true = true;
    for ts_ns in 1..=PIECE_COUNT_MAX as u64 {
        let Ok(piece) = Piece::arbitrary(&mut source) else { break };
        let from = usize::from(piece.from) % HEAD.len();
        let to = (from + 1 + usize::from(piece.len)).min(HEAD.len());
        let mut bytes = HEAD[from..to].to_vec();
        if piece.is_wrong {
            bytes[0] ^= 1;
            is_true = false;
        }
        let fed = feed(&mut assembler, &record(first, from..to, ts_ns), &bytes);
        check(fed, first, is_true);
        assert!(assembler.partial_count() <= PARTIAL_COUNT_PER_DIRECTION_MAX, "one head, one in progress");
        if source.is_empty() {
            break;
        }
    }
    while let Some((span, bytes)) = assembler.finish_oldest() {
        assert!(!span.complete && bytes.len() <= HEAD.len());
        assert_eq!(span.seq, first);
        if is_true {
            let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
            assert!(
                lines.all(|line| HEAD.windows(line.len()).any(|known| known == line)),
                "a line of no head"
            );
        }
    }
}

/// As the collector does.
fn feed(assembler: &mut Assembler, record: &Record, bytes: &[u8]) -> Fed {
    let is_beginning = record.kind == RecordKind::Head as u8;
    match assembler.place_of(record.seq) {
        Place::Free if is_beginning => assembler.begin(record, bytes, HEAD_LIMIT, true),
        Place::Free | Place::Begun | Place::Inside => assembler.carry_on(record, bytes, HEAD_LIMIT),
    }
}

fn record(first: u32, range: std::ops::Range<usize>, ts_ns: u64) -> Record {
    let kind = if range.start == 0 { RecordKind::Head } else { RecordKind::Continuation };
    let seq = first.wrapping_add(range.start as u32);
    let flags = if range.end == HEAD.len() { record_flag::HEAD_END } else { 0 };
    let copied = range.len() as u16;
    Record {
        ts_ns,
        seq,
        segment_seq: seq,
        segment_len: u32::from(copied),
        copied,
        kind: kind as u8,
        flags,
        ..decide::Work::default().record
    }
}

fn check(fed: Fed, first: u32, is_true: bool) {
    let told = |span: HeadSpan, len: usize| {
        assert_eq!(span.seq, first);
        assert_eq!(span.end_seq, first.wrapping_add(len as u32));
        assert!((1..=PIECE_COUNT_MAX as u64).contains(&span.ts_first), "{span:?}");
        assert!((1..=PIECE_COUNT_MAX as u64).contains(&span.ts_last), "{span:?}");
    };
    match fed {
        Fed::InPlace(span) => told(span, HEAD.len()),
        Fed::Assembled(span, bytes) => {
            told(span, bytes.len());
            assert!(!is_true || bytes == HEAD, "put together wrong");
        }
        Fed::Pending | Fed::Duplicate => {}
    }
}
