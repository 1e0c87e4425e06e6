//! Bodies that do not come, or whose length is cut, late or doubted, through both halves: the head behind one is found though
//! it begins in the middle of a segment.

use super::differential::Pair;
use super::frames::{Segment, head};
use common::config::Config;
use common::record::{
    RecordKind,
    tcp_flag::{ACK, SYN},
};
use harness::needs_root;

/// First sequence number of a client's and of a server's data.
const CLIENT: u32 = 1000;
const SERVER: u32 = 5000;

/// A connection of its own.
struct Talk<'a> {
    pair: &'a mut Pair,
    src_port: u16,
}

impl Talk<'_> {
    /// A piece of the client's stream, which begins so many bytes behind its start; the heads that it shows.
    fn ask(&mut self, stream: &[u8], (from, to): (usize, usize)) -> Vec<u32> {
        let frame = Segment { src_port: self.src_port, ..Segment::new(&stream[from..to]) };
        self.heads(&frame.at(CLIENT + from as u32).flags(ACK), CLIENT)
    }

    /// The same of the server's, with what it has read of the client's.
    fn answer(&mut self, stream: &[u8], (from, to): (usize, usize), read: usize) -> Vec<u32> {
        let template = Segment { src_port: self.src_port, ..Segment::new(&stream[from..to]) };
        let (seq, ack) = (SERVER + from as u32, CLIENT + read as u32);
        let frame = Segment { seq: ack, ack: seq, ..template.flags(ACK) }.back();
        self.heads(&frame, SERVER)
    }

    fn heads(&mut self, segment: &Segment, first: u32) -> Vec<u32> {
        let records = self.pair.compare(&segment.frame(), "talk").0.into_iter().map(|(record, _)| record);
        let heads = records.filter(|record| record.kind == RecordKind::Head as u8);
        heads.map(|record| record.seq - first).collect()
    }
}

/// Runs a test on as many connections as it asks for.
fn on_each(count: usize, test: impl Fn(usize, &mut Talk<'_>)) {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    for nth in 0..count {
        test(nth, &mut Talk { pair: &mut pair, src_port: 1000 + nth as u16 });
    }
}

const UPLOAD: &str =
    "POST /up HTTP/1.1\r\nHost: example.org\r\nX-Field: 0123456789\r\nContent-Length: 123\r\nX: y\r\n\r\n";

#[test]
fn behind_an_answer_that_has_no_body_the_next_is_found_whatever_it_tells() {
    let answers = ["304 Not Modified", "204 No Content", "200 OK", "103 Early Hints"];
    let tells = ["Content-Length: 7000\r\n", "Transfer-Encoding: chunked\r\n", ""];
    on_each(answers.len() * tells.len(), |nth, talk| {
        let (answer, tell) = (answers[nth % answers.len()], tells[nth / answers.len()]);
        let requests = [head(100), head(100), head(100)].concat();
        assert_eq!(talk.ask(&requests, (0, 300)), [0, 100, 200]);
        let first = format!("HTTP/1.1 {answer}\r\n{tell}\r\n").into_bytes();
        let stream =
            [&first[..], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\r\n\r\n"]
                .concat();
        let second = first.len();
        let third = stream.len() - "HTTP/1.1 200 OK\r\n\r\n".len();
        // The last one begins behind the end of the body before, which comes as told.
        assert_eq!(
            talk.answer(&stream, (0, stream.len()), 300),
            [0, second, third].map(|at| at as u32),
            "{answer} {tell}"
        );
    });
}

#[test]
fn behind_an_answer_that_is_whole_in_a_segment_of_its_own_both_places_are_looked_at() {
    for has_body in [true, false] {
        on_each(60, |cut, talk| {
            let requests = [head(100), head(100)].concat();
            talk.ask(&requests, (0, 200));
            let first = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n";
            let body = if has_body { &[b'x'; 60][..] } else { b"" };
            let stream = [first, body, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"].concat();
            let next = first.len() + body.len();
            // The second segment repeats some bytes of the first, or the first brings some of the body.
            let (end, begin) = if has_body {
                (first.len() + cut, first.len() + cut)
            } else {
                (first.len(), first.len() - cut % 30)
            };
            let found =
                [talk.answer(&stream, (0, end), 200), talk.answer(&stream, (begin, stream.len()), 200)];
            assert_eq!(found.concat(), [0, next as u32], "{has_body}, cut {cut}");
        });
    }
}

#[test]
fn a_length_that_segments_cut_is_read() {
    on_each(UPLOAD.len() - 5, |nth, talk| {
        let (cut, body) = (nth + 5, [b'b'; 123]);
        let stream = [UPLOAD.as_bytes(), &body, &head(100)].concat();
        let next = UPLOAD.len() + body.len();
        let found = [talk.ask(&stream, (0, cut)), talk.ask(&stream, (cut, stream.len()))].concat();
        assert_eq!(found, [0, next as u32], "cut at {cut}");
    });
    on_each(40, |nth, talk| {
        let stream = [UPLOAD.as_bytes(), &[b'b'; 123], &head(100)].concat();
        let next = UPLOAD.len() + 123;
        let bytes = nth + 1;
        let mut found = talk.ask(&stream, (0, 5));
        // Pieces as small as that up to the body, then all in one.
        for from in (5..UPLOAD.len()).step_by(bytes) {
            found.extend(talk.ask(&stream, (from, (from + bytes).min(UPLOAD.len()))));
        }
        found.extend(talk.ask(&stream, (UPLOAD.len(), stream.len())));
        assert_eq!(found, [0, next as u32], "in pieces of {bytes}");
    });
}

#[test]
fn a_head_whose_rest_came_first_tells_of_the_next() {
    on_each(2, |nth, talk| {
        let stream = [UPLOAD.as_bytes(), &[b'b'; 123], &head(100), &head(90)].concat();
        let (next, last) = (UPLOAD.len() + 123, stream.len() - 90);
        let syn = Segment { src_port: talk.src_port, ..Segment::new(b"") };
        talk.heads(&syn.at(CLIENT - 1).flags(SYN), CLIENT);
        let mut found = Vec::new();
        for piece in [(30, 80), (0, 30), (80, 150), (150, next - 10), (next - 10, stream.len())] {
            found.extend(talk.ask(&stream, piece));
            if nth == 1 {
                // A late copy of the SYN is no new connection.
                let syn = Segment { src_port: talk.src_port, ..Segment::new(b"") };
                talk.heads(&syn.at(CLIENT - 1).flags(SYN), CLIENT);
            }
        }
        assert_eq!(found, [0, next, last].map(|at| at as u32));
    });
}

#[test]
fn what_comes_again_and_what_looks_like_a_head_moves_no_expectation() {
    const LIE: &str = "GET /lie HTTP/1.1\r\n\r\n";
    on_each(3, |nth, talk| {
        let body = format!("{}{LIE}{}", "b".repeat(40), "b".repeat(123 - 40 - LIE.len()));
        let stream = [UPLOAD.as_bytes(), body.as_bytes(), &head(100)].concat();
        let (head_end, next) = (UPLOAD.len(), UPLOAD.len() + 123);
        let mut found = talk.ask(&stream, (0, 40));
        found.extend(talk.ask(&stream, (40, head_end + 40)));
        if nth == 1 {
            assert_eq!(talk.ask(&stream, (0, 40)), [0], "told of again");
            assert_eq!(talk.ask(&stream, (head_end + 10, head_end + 40)), [0; 0]);
        }
        if nth == 2 {
            assert_eq!(talk.ask(&stream, (head_end + 40, head_end + 90)), [head_end as u32 + 40], "the lie");
            found.extend(talk.ask(&stream, (head_end + 90, stream.len())));
        } else {
            found.extend(talk.ask(&stream, (head_end + 30, stream.len())));
        }
        assert_eq!(found, [0, next as u32], "{nth}");
    });
}

#[test]
fn data_that_comes_behind_its_acknowledgment_is_still_expected() {
    on_each(1, |_, talk| {
        let requests = [head(100), head(100), head(100)].concat();
        assert_eq!(talk.ask(&requests, (0, 100)), [0]);
        let answers = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(talk.answer(answers, (0, answers.len()), 200), [0]);
        assert_eq!(talk.ask(&requests, (90, 200)), [100], "late");
        assert_eq!(talk.ask(&requests, (190, 300)), [200]);
    });
}

#[test]
fn behind_a_body_that_never_comes_heads_are_found_in_pieces_of_any_size() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    on_each(24, |nth, talk| {
        let (bytes, is_pipelined) = (nth % 12 + 1, nth / 12 == 1);
        let first = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 70000\r\n\r\n";
        let stream = [&first[..], ANSWER, ANSWER].concat();
        let (second, third) = (first.len(), first.len() + ANSWER.len());
        let requests = [head(100), head(100), head(100)].concat();
        let ask = |talk: &mut Talk<'_>, from: usize| {
            let from = from * 100;
            assert_eq!(talk.ask(&requests, (from, from + 100)), [from as u32]);
        };
        let asked = if is_pipelined { 2 } else { 1 };
        (0..asked).for_each(|from| ask(talk, from));
        let mut found = Vec::new();
        for (from, to, read) in [(0, second, asked), (second, third, 2), (third, stream.len(), 3)] {
            if read > asked {
                let reached = SERVER + from as u32;
                let from = (read - 1) * 100;
                let request =
                    Segment { src_port: talk.src_port, ..Segment::new(&requests[from..from + 100]) };
                let request = Segment { ack: reached, ..request.at(CLIENT + from as u32).flags(ACK) };
                assert_eq!(talk.heads(&request, CLIENT), [from as u32]);
            }
            for from in (from..to).step_by(bytes) {
                found.extend(talk.answer(&stream, (from, (from + bytes).min(to)), read * 100));
            }
        }
        assert_eq!(found, [0, second as u32, third as u32], "in pieces of {bytes}, {is_pipelined}");
    });
}

#[test]
fn a_length_that_comes_again_with_the_next_head_is_not_its_own() {
    on_each(30, |nth, talk| {
        let first = format!("POST /a HTTP/1.1\r\nX: {:a>60}\r\nContent-Length: 4000\r\n\r\n", "");
        let (body, second) = ([b'b'; 4000], UPLOAD.len());
        let stream = [first.as_bytes(), &body, UPLOAD.as_bytes(), &[b'c'; 123], &head(100)].concat();
        let at = first.len() + body.len();
        let (cut, next) = (at + 5 + nth, at + second + 123);
        let mut found = talk.ask(&stream, (0, at));
        found.extend(talk.ask(&stream, (at, cut)));
        // All of the first message once more, and some of the second that is new.
        found.extend(talk.ask(&stream, (0, cut + 3)));
        found.extend(talk.ask(&stream, (cut + 3, stream.len())));
        found.dedup();
        assert!(found.contains(&(next as u32)), "cut at {cut}: {found:?}, not {next}");
    });
}

#[test]
fn what_is_new_in_a_segment_that_repeats_a_body_may_be_a_head() {
    on_each(20, |nth, talk| {
        // Of an answer to the one request under way no body is measured.
        talk.ask(&head(100), (0, 100));
        let first = b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n";
        let stream = [&first[..], &[b'x'; 600], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"].concat();
        let next = first.len() + 600;
        let mut found = talk.answer(&stream, (0, next), 100);
        found.extend(talk.answer(&stream, (next - 1 - nth, stream.len()), 100));
        assert_eq!(found, [0, next as u32], "{nth} bytes and one again");
    });
}

#[test]
fn a_request_that_comes_before_the_one_it_follows_makes_bodies_of_answers_measured() {
    on_each(1, |_, talk| {
        // What ends a body looks like the end of a head, so that another one is looked for behind it.
        let upload = [UPLOAD.as_bytes(), &[b'x'; 119], b"\r\n\r\n"].concat();
        let requests = [head(100), upload, head(100)].concat();
        let last = requests.len() - 100;
        talk.ask(&requests, (0, 100));
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n";
        let body = [b'x'; 600];
        let stream = [&answer[..], &body, answer, &body, answer, &body].concat();
        let bytes = answer.len() + body.len();
        assert_eq!(talk.answer(&stream, (0, bytes), 100), [0]);
        // Read to its end, so that the next request by itself says nothing.
        let read = Segment { src_port: talk.src_port, ack: SERVER + bytes as u32, ..Segment::new(b"") };
        talk.heads(&read.at(CLIENT + 100).flags(ACK), CLIENT);
        let late = |talk: &mut Talk<'_>, place: (usize, usize)| {
            let template = Segment { src_port: talk.src_port, ..Segment::new(&requests[place.0..place.1]) };
            let segment = Segment { ack: SERVER + bytes as u32, ..template.flags(ACK) };
            talk.heads(&segment.at(CLIENT + place.0 as u32), CLIENT)
        };
        assert_eq!(late(talk, (last - 20, requests.len())), [last as u32]);
        assert_eq!(late(talk, (100, last - 20)), [100]);
        let found = talk.answer(&stream, (bytes, stream.len()), requests.len());
        assert_eq!(found, [bytes as u32, 2 * bytes as u32]);
    });
}
