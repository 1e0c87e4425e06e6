//! The kernel half against the same decision in user space: same frames, same verdicts, same counters, same records.

use super::frames::{Random, Segment, chunked, head};
use super::kernel::{Kernel, Records, decide_in_user_space};
use capture::source::decider::Decider;
use common::config::{Config, Net};
use common::counters::Counters;
use common::record::tcp_flag::{ACK, FIN, PSH, RST, SYN};
use harness::{corpus::captures, needs_root, say};
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use std::fs::File;
use std::path::Path;

/// Largest frame a test run takes here: several buffers, as a jumbo frame has.
const FRAME_BYTES_MAX: usize = 16 * 1024;

/// Both halves, with equal memories.
pub(super) struct Pair {
    kernel: Kernel,
    decider: Decider,
    pub(super) frames: u64,
    pub(super) records: u64,
}

impl Pair {
    pub(super) fn new(config: &Config) -> Self {
        let kernel = Kernel::new(config, 4 << 20);
        Self { kernel, decider: Decider::new(config), frames: 0, records: 0 }
    }

    /// What both counted so far.
    pub(super) fn counters(&self) -> Counters {
        self.decider.counters()[0]
    }

    /// One frame through both, and its records; what they differ in is the failure.
    pub(super) fn compare(&mut self, frame: &[u8], what: &str) -> Records {
        if frame.len() < 14 || frame.len() > FRAME_BYTES_MAX {
            return Records::default();
        }
        self.kernel.run(frame);
        let theirs = self.kernel.records();
        let (verdict, ours) = decide_in_user_space(&mut self.decider, frame);
        assert_eq!(theirs, ours, "{what}: records of frame {} ({verdict:?})", self.frames);
        assert_eq!(
            self.kernel.counters(),
            self.decider.counters()[0],
            "{what}: counters at frame {} ({verdict:?})",
            self.frames
        );
        self.frames += 1;
        self.records += ours.0.len() as u64;
        ours
    }
}

fn narrow_config() -> Config {
    let mut config = Config::default();
    config.add_port(80);
    config.add_port(8080);
    assert!(config.add_net(Net::v4([10, 0, 0, 0], 29).unwrap()));
    assert!(config.add_net(Net::v6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 126).unwrap()));
    config.set_sampling(2);
    config.head_limit = 3000;
    config.memory_key = 0x0123_4567_89ab_cdef;
    config
}

#[test]
fn heads_split_at_every_byte() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let stream = [&head(120)[..], &head(110)[..], b"body"].concat();
    for split in 1..stream.len() {
        let begin = split as u32 * 100_000;
        let (left, right) = stream.split_at(split);
        for (seq, payload) in
            [(begin, left), (begin + split as u32, right), (begin + 234, b"more".as_slice())]
        {
            pair.compare(&Segment::new(payload).at(seq).frame(), "split");
        }
    }
    assert!(pair.records > pair.frames / 2);
}

/// Of every length that a record has, alone and with a body behind them.
#[test]
fn heads_of_every_length() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    for bytes in 60..=2200 {
        let head = head(bytes);
        // Each on a connection of its own: what is behind a gap is handed over.
        let alone = Segment { src_port: 10_000 + bytes as u16, ..Segment::new(&head) };
        pair.compare(&alone.frame(), "alone");
        let with_body = [&head[..], b"body"].concat();
        let with_body = Segment { src_port: 20_000 + bytes as u16, ..Segment::new(&with_body) };
        pair.compare(&with_body.frame(), "with a body");
    }
    assert_eq!(pair.records, 2 * 2141 + 2 * 152, "those of more than 2048 bytes take two records");
}

#[test]
fn a_head_in_segments_of_one_byte() {
    needs_root();
    let mut pair = Pair::new(&Config::default());
    let head = head(300);
    pair.compare(&Segment::new(&head[..8]).at(1000).frame(), "first");
    for (seq, byte) in (1008..).zip(&head[8..]) {
        pair.compare(&Segment::new(&[*byte]).at(seq).frame(), "one byte");
    }
    assert_eq!(pair.records, 293);
}

/// Conversations of several flows, cut, doubled, reordered and lost at random.
#[test]
fn torn_conversations() {
    needs_root();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for config in [Config::default(), narrow_config()] {
        let mut pair = Pair::new(&config);
        for _ in 0..150 {
            let mut frames = conversation(&mut random);
            for _ in 0..random.below(6) {
                let (a, b) = (random.below(frames.len()), random.below(frames.len()));
                match random.below(3) {
                    0 => frames.swap(a, b),
                    1 => frames.insert(b, frames[a].clone()),
                    _ => drop(frames.remove(a)),
                }
                if frames.is_empty() {
                    break;
                }
            }
            for frame in frames {
                pair.compare(&frame, "conversation");
            }
        }
        assert!(pair.frames > 1000 && pair.records > 300, "{} frames, {} records", pair.frames, pair.records);
    }
}

pub(super) fn conversation(random: &mut Random) -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    for _ in 0..1 + random.below(4) {
        let size = *random.pick(&[120, 130, 600, 1460, 2048, 2049, 4096, 6000, 20_000]);
        let mut head = head(size + random.below(90));
        if random.below(4) == 0 {
            head.splice(..3, *b"HTTP/1.1 200 OK\r\nX:");
        }
        if random.below(6) == 0 {
            head.retain(|byte| *byte != b'\r');
        }
        if random.below(4) == 0 {
            head.splice(..3, *b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX:");
        }
        stream.extend(head);
        let body = vec![*random.pick(b"x\n\r"); random.below(3000)];
        stream.extend(if random.below(2) == 0 { chunked(&body, random) } else { body });
    }
    let template = Segment {
        v6: random.below(3) == 0,
        vlans: vec![5; random.below(4)],
        ip_options: vec![1; random.below(3) * 4],
        tcp_options: vec![1; random.below(5) * 4],
        src: random.below(4) as u8,
        src_port: 1024 + random.below(2000) as u16,
        dst_port: *random.pick(&[80, 8080, 3128]),
        ..Segment::new(b"")
    };
    let mut seq = random.next() as u32;
    let mut frames = vec![Segment { seq: seq.wrapping_sub(1), flags: SYN, ..template.clone() }.frame()];
    let mut rest = &stream[..];
    while !rest.is_empty() {
        let size = *random.pick(&[1, 2, 3, 7, 64, 65, 66, 67, 500, 1448, 1460, 4000, 9000]);
        let (payload, behind) = rest.split_at(size.min(rest.len()));
        let flags = *random.pick(&[ACK, ACK | PSH, ACK | PSH, ACK | FIN, ACK | RST]);
        frames.push(Segment { seq, flags, payload: payload.to_vec(), ..template.clone() }.frame());
        seq = seq.wrapping_add(payload.len() as u32);
        rest = behind;
    }
    frames.push(Segment { seq, flags: ACK | FIN, ..template.clone() }.back().frame());
    frames
}

#[test]
fn mutated_and_random_frames() {
    needs_root();
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    let mut pair = Pair::new(&Config::default());
    for _ in 0..4000 {
        let frames = conversation(&mut random);
        let mut frame = random.pick(&frames).clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(frame.len().min(110));
            frame[at] = random.next() as u8;
        }
        if random.below(8) == 0 {
            frame.truncate(14 + random.below(frame.len() - 14));
        }
        pair.compare(&frame, "mutated");
        let noise: Vec<u8> = (0..14 + random.below(200)).map(|_| random.next() as u8).collect();
        pair.compare(&noise, "noise");
    }
    assert!(pair.frames > 6000);
}

#[test]
fn every_frame_of_the_corpus() {
    const NAME: &str = "verdicts::differential::every_frame_of_the_corpus";
    needs_root();
    let Some(files) = captures(NAME) else {
        return;
    };
    let mut pair = Pair::new(&Config::default());
    let mut other_links = 0;
    for file in &files {
        other_links += compare_file(&mut pair, file);
    }
    say(&format!(
        "{} frames of {} captures, {} records; {other_links} frames of other link types left out",
        pair.frames,
        files.len(),
        pair.records
    ));
    assert!(pair.frames > 1000 && pair.records > 100);
}

/// Compares the Ethernet frames of a capture; returns how many were of other link types.
fn compare_file(pair: &mut Pair, file: &Path) -> u64 {
    let what = file.display().to_string();
    let mut reader = match create_reader(1 << 20, File::open(file).unwrap()) {
        Ok(reader) => reader,
        Err(error) => {
            say(&format!("left out, not a capture ({error}): {what}"));
            return 0;
        }
    };
    let mut links = Vec::new();
    let mut other_links = 0;
    loop {
        match reader.next() {
            Ok((size, block)) => {
                match frame_of(&block, &mut links) {
                    Some((Linktype::ETHERNET, frame)) => drop(pair.compare(frame, &what)),
                    Some(_) => other_links += 1,
                    None => {}
                }
                reader.consume(size);
            }
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(_) => return other_links,
        }
    }
}

/// The frame in a block and its link type; `links` collects those of the interfaces described so far.
fn frame_of<'a>(block: &'a PcapBlockOwned<'_>, links: &mut Vec<Linktype>) -> Option<(Linktype, &'a [u8])> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            links.push(header.network);
            None
        }
        PcapBlockOwned::Legacy(block) => Some((*links.first()?, block.data)),
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            links.clear();
            None
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
            links.push(block.linktype);
            None
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
            Some((*links.get(block.if_id as usize)?, block.packet_data()))
        }
        PcapBlockOwned::NG(_) => None,
    }
}
