//! Inputs that repeat what a parser may be made to look at again: each with the work to be counted.

use std::{io::Cursor, net::Ipv4Addr, sync::Arc};

use bench::wire::{self, Path, Segment, Side, flag};
use capture::{
    collector::{Collector, CollectorSettings},
    http::{HeadEnd, Parser},
    ledger::CollectorLedger,
    redact::{Key, Policy, Redactor},
    settings::{Environment, parse},
    source::{
        decider::{Decider, FrameRef},
        pcap::PcapSource,
    },
};
use common::{config::Config, decide::dissect::Link};

/// What is counted, with everything it needs made before.
pub(super) type Work = Box<dyn FnOnce()>;

/// Something repeated.
pub(super) struct Case {
    pub(super) name: String,
    /// Bytes, or pieces, of the small input.
    pub(super) len: usize,
    /// Makes an input of a length ready.
    pub(super) prepare: Box<dyn Fn(usize) -> Work>,
}

/// Bytes of a head, four times of which are within the limit of one.
const HEAD_LEN: usize = 2048;

/// Frames, of which each costs much more than a byte does.
const FRAME_COUNT: usize = 48;

pub(super) fn all() -> Vec<Case> {
    [heads(), frames(), capture_files(), policies(), command_lines()].into_iter().flatten().collect()
}

fn case(name: impl Into<String>, len: usize, prepare: impl Fn(usize) -> Work + 'static) -> Case {
    Case { name: name.into(), len, prepare: Box::new(prepare) }
}

/// `unit` as often as it fits in `len` bytes; `#` in it is a number that is another one each time.
fn repeated(unit: &str, len: usize) -> String {
    let mut text = String::with_capacity(len);
    for nth in 0.. {
        let piece = unit.replace('#', &nth.to_string());
        if text.len() + piece.len() > len {
            break;
        }
        text.push_str(&piece);
    }
    text
}

/// Where in a request something is repeated, at `@`.
const PLACES: &[(&str, &str)] = &[
    ("target", "GET /@ HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("field", "GET / HTTP/1.1\r\nHost: h\r\nX-Any: @\r\n\r\n"),
    ("cookie", "GET / HTTP/1.1\r\nHost: h\r\nCookie: @\r\n\r\n"),
    ("address", "GET / HTTP/1.1\r\nHost: h\r\nForwarded: @\r\n\r\n"),
];

/// What is repeated there: separators, escapes, beginnings of secrets that never end, secrets.
const UNITS: &[&str] = &[
    "a",
    "/a#",
    ";a#=b",
    "&a=b",
    "?",
    "=",
    "%25",
    "%252541",
    "http://",
    "http://u:p",
    "u:p@",
    "//u:",
    "eyJ.",
    "eyJhbGciOi.",
    "{\"a\":",
    "\"token\":\"x\",",
    "\\\"",
    "token=x&",
    "a=b; ",
    "a#=b; ",
    "for=192.0.2.7, ",
    "for=\"[2001:db8::1]\";",
    "Basic ",
    "0123456789abcdef0123456789abcd ",
    "9f86d081884c7d659a2feaa0c55ad015,",
    "Qk9z-",
    "...",
];

/// Lines repeated, and the lines behind the first of one.
const LINES: &[&str] = &[
    "A: b\r\n",
    "N#: b\r\n",
    ":\r\n",
    " folded\r\n",
    "Cookie: a=b\r\n",
    "Set-Cookie: a#=b; Path=/\r\n",
    "X-Token: #\r\n",
    "A:\n",
];

fn heads() -> Vec<Case> {
    let mut cases = Vec::new();
    for (place, frame) in PLACES {
        for unit in UNITS {
            let prepare = |len: usize| head(frame.replace('@', &repeated(unit, len)));
            cases.push(case(format!("{place} of '{unit}'"), HEAD_LEN, prepare));
        }
    }
    for line in LINES {
        let name = format!("lines of '{}'", line.escape_debug());
        let prepare = |len: usize| head(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", repeated(line, len)));
        cases.push(case(name, HEAD_LEN, prepare));
    }
    cases.push(case("an end of head that does not come, byte by byte", HEAD_LEN, |len| {
        let head = format!("GET / HTTP/1.1\r\n{}", repeated("A:\r\n\r", len)).replace("\r\n\r", "\r\n ");
        Box::new(move || {
            let mut end = HeadEnd::new();
            assert!(head.as_bytes().chunks(1).all(|byte| end.advance(byte).is_none()));
        })
    }));
    cases
}

/// Parsed and redacted, under rules that look at everything.
fn head(text: String) -> Work {
    let rules = "[[path]]\npattern = \"{*a*a*b}\"\naction = \"token\"\n[clients]\nipv4_prefix = 24\nipv6_prefix = 48\n";
    let policy = Policy::from_toml(rules, "growth").unwrap();
    let mut redactor = Redactor::new(policy, Key::from_bytes([7; 32]));
    let mut parser = Parser::new();
    Box::new(move || {
        let head = parser.request(text.as_bytes(), true).unwrap();
        assert!(!redactor.request(&head).fields.is_empty());
    })
}

/// A segment: sender, client's port, sequence number, payload.
type Sent = (Side, u16, u32, Vec<u8>);

/// So many of something.
type Sending = fn(usize) -> Vec<Sent>;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn frames() -> Vec<Case> {
    let in_pieces = |count: usize| -> Vec<Sent> {
        let head = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(count * 4));
        let pieces = head.as_bytes().chunks(4).zip((1..).step_by(4));
        pieces.map(|(piece, seq)| (Side::Client, 40000, seq, piece.to_vec())).collect()
    };
    let starts: [(&str, Sending); 4] = [
        ("requests of one connection", |count| {
            let seqs = (0..count as u32).map(|nth| 1 + nth * REQUEST.len() as u32);
            seqs.map(|seq| (Side::Client, 40000, seq, REQUEST.to_vec())).collect()
        }),
        ("connections", |count| {
            (0..count as u16).map(|nth| (Side::Client, 1024 + nth, 1, REQUEST.to_vec())).collect()
        }),
        ("a request again and again", |count| vec![(Side::Client, 40000, 1, REQUEST.to_vec()); count]),
        ("heads that do not end", |count| {
            let seqs = (0..count as u32).map(|nth| 1 + nth * 1000);
            seqs.map(|seq| (Side::Client, 40000, seq, b"GET / HTTP/1.1\r\nA: ".to_vec())).collect()
        }),
    ];
    let mut cases: Vec<Case> = starts
        .into_iter()
        .map(|(name, made)| case(name, FRAME_COUNT, move |count| collected(made(count))))
        .collect();
    cases.push(case("a head in small pieces", FRAME_COUNT, move |count| collected(in_pieces(count))));
    cases.push(case("the pieces backwards", FRAME_COUNT, move |count| {
        let mut pieces = in_pieces(count);
        pieces[1..].reverse();
        collected(pieces)
    }));
    cases.push(case("chunks of one byte", FRAME_COUNT, |count| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let first = head.len() as u32 + 1;
        let chunks =
            (0..count as u32).map(|nth| (Side::Server, 40000, first + nth * 6, b"1\r\na\r\n".to_vec()));
        collected(std::iter::once((Side::Server, 40000, 1, head)).chain(chunks).collect())
    }));
    cases
}

/// Decided, and what comes of it collected, to the rows.
fn collected(sent: Vec<Sent>) -> Work {
    let frames: Vec<Vec<u8>> = sent.iter().map(frame).collect();
    let settings = CollectorSettings::of_files(1 << 16);
    let (outlet, inlet) = crossbeam_channel::unbounded();
    let redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
    let mut collector = Collector::new(&settings, redactor, outlet, Arc::new(CollectorLedger::default()));
    let mut decider = Decider::new(&Box::<Config>::default());
    Box::new(move || {
        for (bytes, ts_ns) in frames.iter().zip((1..).step_by(1000)) {
            let original_len = bytes.len() as u32;
            decider.decide(
                FrameRef { ts_ns, link: Link::Ethernet, bytes, original_len, ifindex: 0 },
                &mut collector,
            );
        }
        collector.finish();
        assert!(inlet.into_iter().all(|sealed| storage::table(*sealed.batch, "here").is_ok()));
    })
}

fn frame((from, port, seq, payload): &Sent) -> Vec<u8> {
    let end = |last| Ipv4Addr::new(10, 0, 0, last).into();
    let path = Path { client: (end(1), *port), server: (end(2), 80), vlan_ids: Vec::new() };
    let flags = flag::ACK | flag::PSH;
    wire::frame(&path, &Segment { from: *from, seq: *seq, ack: 1, flags, options: &[], payload, ip_id: 0 })
}

/// A block of a pcapng file.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (12 + body.len().next_multiple_of(4)) as u32;
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    [&kind.to_le_bytes(), &len.to_le_bytes(), body, &padding, &len.to_le_bytes()].concat()
}

fn capture_files() -> Vec<Case> {
    let section =
        block(0x0a0d_0d0a, &[&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
    let interface = block(1, &[1, 0, 0, 0, 0, 0, 4, 0]);
    let packet = block(6, &[[0_u8; 12].as_slice(), &[4, 0, 0, 0, 4, 0, 0, 0], &[1; 4]].concat());
    let option = [1_u8, 0, 4, 0, b'n', b'o', b't', b'e'];
    let with_options = block(1, &[[1, 0, 0, 0, 0, 0, 4, 0].as_slice(), &option.repeat(64)].concat());
    let repeating = |name: &str, unit: &[u8]| {
        let (start, unit) = ([section.clone(), interface.clone()].concat(), unit.to_vec());
        case(name, FRAME_COUNT * 4, move |count| capture_file([start.clone(), unit.repeat(count)].concat()))
    };
    vec![
        repeating("interfaces of a pcapng file", &interface),
        repeating("options of interfaces", &with_options),
        repeating("sections", &[section.clone(), interface.clone()].concat()),
        repeating("blocks of no known kind", &block(0x0bad, &[0; 8])),
        repeating("packets", &packet),
    ]
}

fn capture_file(bytes: Vec<u8>) -> Work {
    Box::new(move || {
        let mut source = PcapSource::from_reader("growth", Cursor::new(bytes)).unwrap();
        while let Ok(Some(frame)) = source.next() {
            assert!(!frame.bytes.is_empty());
        }
    })
}

fn policies() -> Vec<Case> {
    let file = |name: &str, start: &'static str, unit: &'static str| {
        case(format!("a policy of {name}"), HEAD_LEN, move |len| {
            let text = format!("{start}{}", repeated(unit, len));
            Box::new(move || {
                assert!(Policy::from_toml(&text, "growth").map_or_else(|why| !why.is_empty(), |_| true))
            })
        })
    };
    let pattern = |name: &str, unit: &'static str| {
        case(format!("a pattern of {name}"), HEAD_LEN / 8, move |len| {
            let text = format!("[[path]]\npattern = \"{{{}}}\"\naction = \"token\"\n", repeated(unit, len));
            Box::new(move || {
                assert!(Policy::from_toml(&text, "growth").map_or_else(|why| !why.is_empty(), |_| true))
            })
        })
    };
    vec![
        file("fields", "[fields]\n", "X-# = \"token\"\n"),
        file("cookies", "[cookies]\n", "c# = \"drop\"\n"),
        file("patterns", "", "[[path]]\npattern = \"/a#/{*}\"\naction = \"keep\"\n"),
        file("brackets", "a = ", "["),
        file("quotes", "name = \"", "\\\""),
        pattern("stars", "*"),
        pattern("stars and letters", "*a"),
    ]
}

fn command_lines() -> Vec<Case> {
    [("networks", "--net\n10.0.0.0/8\n"), ("ports", "--port\n#\n"), ("words", "word\n")]
        .into_iter()
        .map(|(name, unit)| {
            case(format!("a command line of {name}"), HEAD_LEN / 4, move |len| {
                let text = format!("hdrcap\n--iface\neth0\n--out\n/data\n{}", repeated(unit, len));
                let environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
                Box::new(move || {
                    let words: Vec<std::ffi::OsString> = text.lines().map(Into::into).collect();
                    assert!(
                        parse(words, &environment)
                            .map_or_else(|error| matches!(error.exit_code(), 0 | 2), |_| true)
                    );
                })
            })
        })
        .collect()
}
