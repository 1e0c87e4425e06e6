//! Captures written by hand and read back: every format, every cut, every kind of damage.

use std::io::{self, Cursor, Write};

use flate2::{Compression, write::GzEncoder};
use pcap_parser::PcapBlockOwned;
use proptest::prelude::*;

use super::*;

/// A frame as tests compare it: time, link, bytes, original length, interface.
type Seen = (u64, Link, Vec<u8>, u32, u32);

fn read(bytes: &[u8]) -> (Vec<Seen>, Option<PcapFault>) {
    let mut source = match PcapSource::from_reader("test", Cursor::new(bytes.to_vec())) {
        Ok(source) => source,
        Err(error) => return (Vec::new(), Some(error.fault)),
    };
    read_on(&mut source)
}

fn read_on(source: &mut PcapSource) -> (Vec<Seen>, Option<PcapFault>) {
    let mut frames = Vec::new();
    loop {
        match source.next() {
            Ok(Some(f)) => frames.push((f.ts_ns, f.link, f.bytes.to_vec(), f.original_len, f.interface)),
            Ok(None) => return (frames, None),
            Err(error) => {
                assert_eq!(source.next().unwrap(), None, "one error, then the end");
                return (frames, Some(error.fault));
            }
        }
    }
}

/// Writes numbers in one byte order.
#[derive(Clone, Copy, Debug)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| self.u32(*value)).collect()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let len = padded as u32 + 12;
        let mut block = self.words(&[kind, len]);
        block.extend(body);
        block.resize(8 + padded, 0);
        block.extend(self.u32(len));
        block
    }

    fn section(self) -> Vec<u8> {
        let mut body = self.u32(0x1a2b_3c4d).to_vec();
        body.extend([self.u16(1), self.u16(0)].concat());
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16, snap_len: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [self.u16(link), self.u16(0)].concat();
        body.extend(self.u32(snap_len));
        for (code, value) in options {
            body.extend([self.u16(*code), self.u16(value.len() as u16)].concat());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    fn packet(self, interface: u32, ticks: u64, original_len: u32, bytes: &[u8]) -> Vec<u8> {
        let len = bytes.len() as u32;
        let mut body = self.words(&[interface, (ticks >> 32) as u32, ticks as u32, len, original_len]);
        body.extend(bytes);
        self.block(6, &body)
    }
}

const LE: Order = Order { big: false };
const BE: Order = Order { big: true };

/// A classic capture of one of the six kinds; `frames` are (seconds, nanoseconds, bytes).
fn classic(magic: u32, order: Order, link: u32, frames: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend([order.u16(2), order.u16(4)].concat());
    file.extend(order.words(&[0, 0, 65_535, link]));
    for (seconds, nanos, bytes) in frames {
        let fraction = if magic == 0xa1b2_3c4d { *nanos } else { *nanos / 1_000 };
        let len = bytes.len() as u32;
        file.extend(order.words(&[*seconds, fraction, len, len + 5]));
        if magic == 0xa1b2_cd34 {
            file.extend([0xee; 8]);
        }
        file.extend(bytes);
    }
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const MAGICS: [u32; 3] = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34];

#[test]
fn classic_in_every_flavour() {
    let frames = [(1_787_306_400, 123_456_000, b"first".to_vec()), (u32::MAX, 999_999_000, Vec::new())];
    for magic in MAGICS {
        for order in [LE, BE] {
            let file = classic(magic, order, 1, &frames);
            let expected = vec![
                (1_787_306_400_123_456_000, Link::Ethernet, b"first".to_vec(), 10, 0),
                (4_294_967_295_999_999_000, Link::Ethernet, Vec::new(), 5, 0),
            ];
            for file in [file.clone(), gzip(&file), [gzip(&file[..30]), gzip(&file[30..])].concat()] {
                let (seen, fault) = read(&file);
                assert_eq!(seen, expected, "{magic:x} {order:?}");
                assert!(fault.is_none(), "{fault:?}");
            }
        }
    }
}

#[test]
fn link_types_are_told_apart() {
    let known = [(1, Link::Ethernet), (113, Link::LinuxCooked1), (276, Link::LinuxCooked2)];
    let raw = [12, 14, 101, 228, 229].map(|number| (number, Link::RawIp));
    let loopback = [0, 108].map(|number| (number, Link::Loopback));
    for (number, link) in known.into_iter().chain(raw).chain(loopback) {
        // The bits above the type tell of a frame check sequence, and are no part of it.
        let file = classic(MAGICS[0], BE, number | 0x2400_0000, &[(1, 0, b"x".to_vec())]);
        assert_eq!(read(&file).0[0].1, link);
    }
}

#[test]
fn foreign_files_are_named() {
    for (bytes, expected) in [
        (&b""[..], "not a capture file: it is empty, expected pcap, pcapng or gzip of one"),
        (b"\xd4\xc3", "not a capture file: magic d4c3, expected pcap, pcapng or gzip of one"),
        (b"GET / HTTP/1.1", "not a capture file: magic 47455420, expected pcap, pcapng or gzip of one"),
        (
            b"\x28\xb5\x2f\xfd....",
            "not a capture file: magic 28b52ffd, expected pcap, pcapng or gzip of one; this is zstd: zstd -dc FILE | \
             hdrcap --pcap - ...",
        ),
        (
            &classic(MAGICS[0], LE, 105, &[]),
            "link type 105 (IEEE802_11) is not supported, expected Ethernet, raw IP, Linux cooked, BSD loopback or \
             NFLOG",
        ),
        (
            &classic(MAGICS[0], LE, 9999, &[]),
            "link type 9999 is not supported, expected Ethernet, raw IP, Linux cooked, BSD loopback or NFLOG",
        ),
    ] {
        let (frames, fault) = read(bytes);
        assert!(frames.is_empty());
        assert_eq!(fault.unwrap().to_string(), expected);
    }
    assert!(matches!(read(&gzip(b"hello world")).1, Some(PcapFault::NotACapture { .. })));
}

#[test]
fn pcapng_sections_interfaces_and_clocks() {
    let mut file = LE.section();
    file.extend(LE.interface(1, 0, &[(2, b"eth0"), (9, &[9]), (0, b"")]));
    file.extend(LE.interface(101, 0, &[(9, &[0x80 | 10]), (14, &100i64.to_le_bytes())]));
    file.extend(LE.block(5, &[7; 40]));
    file.extend(LE.packet(1, 1536, 3, b"raw"));
    file.extend(LE.packet(0, 5_000_000_001, 9, b"nanos"));
    file.extend(BE.section());
    file.extend(BE.interface(276, 4, &[(14, &(-1i64).to_be_bytes())]));
    file.extend(BE.block(3, &[BE.words(&[9]), b"simp".to_vec()].concat()));
    let mut obsolete = [BE.u16(0), BE.u16(77)].concat();
    obsolete.extend(BE.words(&[0, 3_000_000, 2, 2]));
    obsolete.extend(b"ob");
    file.extend(BE.block(2, &obsolete));
    let mut source = PcapSource::from_reader("test", Cursor::new(file)).unwrap();
    let (seen, fault) = read_on(&mut source);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(
        seen,
        vec![
            (101_500_000_000, Link::RawIp, b"raw".to_vec(), 3, 1),
            (5_000_000_001, Link::Ethernet, b"nanos".to_vec(), 9, 0),
            (5_000_000_001, Link::LinuxCooked2, b"simp".to_vec(), 9, 2),
            (2_000_000_000, Link::LinuxCooked2, b"ob".to_vec(), 2, 2),
        ]
    );
    let names: Vec<_> = source.interfaces().iter().map(|interface| interface.name.as_deref()).collect();
    assert_eq!(names, [Some("eth0"), None, None]);
}

#[test]
fn damage_is_placed_and_what_came_before_is_kept() {
    let good = [LE.section(), LE.interface(1, 0, &[]), LE.packet(0, 1, 1, b"a")].concat();
    let at = good.len();
    let mut short_trailer = LE.packet(0, 1, 1, b"a");
    *short_trailer.last_mut().unwrap() = 9;
    for (block, expected) in [
        (LE.packet(3, 1, 1, b"a"), "a packet of interface 3, which is not described before it"),
        (LE.block(6, &LE.words(&[0, 0, 0, 99, 99])), "a packet of 99 bytes in a block of 32"),
        (LE.block(6, &LE.words(&[0])), "a block of type 6 in 16 bytes, too short for its kind"),
        (LE.words(&[6, 8, 0]), "a block of 8 bytes, less than its frame"),
        (LE.words(&[6, u32::MAX, 0]), "a block of 4294967296 bytes, more than the 590884 it may have"),
        (short_trailer, "a block whose length is 36 at its start and 150994980 at its end"),
        (LE.block(0x0a0d_0d0a, &[0; 16]), "a section header without byte-order magic"),
    ] {
        let (frames, fault) = read(&[good.clone(), block].concat());
        assert_eq!(frames.len(), 1);
        let expected = format!("damaged at byte {at}: {expected}; every frame before it was read");
        assert_eq!(fault.unwrap().to_string(), expected);
    }
}

#[test]
fn an_absurd_length_is_refused_not_allocated() {
    let mut file = classic(MAGICS[0], LE, 1, &[(1, 0, b"a".to_vec())]);
    file.extend(LE.words(&[1, 1, 0x7fff_ffff, 0x7fff_ffff]));
    let (frames, fault) = read(&file);
    assert_eq!(frames.len(), 1);
    assert_eq!(
        fault.unwrap().to_string(),
        "damaged at byte 41: a packet of 2147483647 bytes, more than the 525312 a frame may have; every frame before \
         it was read"
    );
}

#[test]
fn frames_as_long_as_the_limit_pass() {
    let frames: Vec<_> = (0..4).map(|i| (i, 0, vec![i as u8; FRAME_BYTES_MAX])).collect();
    let (seen, fault) = read(&classic(MAGICS[0], LE, 1, &frames));
    assert!(fault.is_none());
    assert!(seen.iter().zip(&frames).all(|(seen, frame)| seen.2 == frame.2) && seen.len() == 4);
    let mut file = [LE.section(), LE.interface(1, 0, &[])].concat();
    for frame in &frames {
        file.extend(LE.packet(0, 0, 0, &frame.2));
    }
    let (seen, fault) = read(&file);
    assert!(fault.is_none() && seen.len() == 4, "{fault:?}");
}

#[test]
fn blocks_of_no_interest_may_be_longer_than_memory_holds() {
    let file = [
        LE.section(),
        LE.interface(1, 0, &[]),
        LE.block(0xbad, &vec![0; 3 * window::WINDOW_BYTES]),
        LE.packet(0, 1, 1, b"a"),
    ]
    .concat();
    let (seen, fault) = read(&file);
    assert!(fault.is_none() && seen.len() == 1, "{fault:?}");
}

#[test]
fn a_cut_gzip_yields_its_frames_and_says_truncated() {
    let frames: Vec<_> = (0..2_000).map(|i| (i, 0, vec![i as u8; 100])).collect();
    let zipped = gzip(&classic(MAGICS[0], LE, 1, &frames));
    let (seen, fault) = read(&zipped[..zipped.len() / 2]);
    assert!(!seen.is_empty() && seen.len() < 2_000);
    assert!(matches!(fault, Some(PcapFault::Truncated { .. })), "{fault:?}");
    // Without the trailer every frame is there, and yet the file is not whole.
    let (seen, fault) = read(&zipped[..zipped.len() - 4]);
    assert_eq!(seen.len(), 2_000);
    assert!(matches!(fault, Some(PcapFault::Truncated { .. })), "{fault:?}");
    let mut corrupt = zipped.clone();
    let middle = corrupt.len() - 6;
    corrupt[middle] ^= 0xff;
    assert!(matches!(read(&corrupt).1, Some(PcapFault::Read { .. })));
}

#[test]
fn a_failing_input_is_told_after_its_frames() {
    struct Broken(Cursor<Vec<u8>>);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the cable is out")),
                count => Ok(count),
            }
        }
    }
    let file = classic(MAGICS[0], LE, 1, &[(1, 0, b"a".to_vec())]);
    let mut source = PcapSource::from_reader("pipe", Broken(Cursor::new(file))).unwrap();
    assert_eq!(source.next().unwrap().unwrap().bytes, b"a");
    assert_eq!(
        source.next().unwrap_err().to_string(),
        "pipe: cannot be read behind byte 41: the cable is out; every frame before it was read"
    );
}

#[test]
fn files_report_progress_and_missing_ones_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcap.gz");
    let zipped = gzip(&classic(MAGICS[0], LE, 1, &[(1, 0, b"a".to_vec())]));
    std::fs::write(&path, &zipped).unwrap();
    let mut source = PcapSource::open(&path, &Arc::default()).unwrap();
    assert_eq!(read_on(&mut source).0.len(), 1);
    let len = zipped.len() as u64;
    assert_eq!(source.progress(), Progress { bytes_read: len, bytes_total: Some(len) });
    let error = |path: &Path| PcapSource::open(path, &Arc::default()).err().unwrap().to_string();
    let missing = folder.path().join("none.pcap");
    assert_eq!(
        error(&missing),
        format!("{}: cannot be opened: No such file or directory (os error 2)", missing.display())
    );
    let expected = format!(
        "{}: cannot be opened: it is a folder: name the capture files in it",
        folder.path().display()
    );
    assert_eq!(error(folder.path()), expected);
}

#[test]
fn a_silent_pipe_ends_when_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(status.success());
    let writer_path = path.clone();
    // The writer stays open, and silent in the middle of a packet, until the reader is done.
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut fifo = std::fs::File::create(writer_path).unwrap();
        let file = classic(MAGICS[0], LE, 1, &[(1, 0, b"a".to_vec()), (2, 0, b"bcd".to_vec())]);
        fifo.write_all(&file[..file.len() - 1]).unwrap();
        wait.recv().unwrap_err();
    });
    let stop = Arc::<AtomicBool>::default();
    let mut source = PcapSource::open(&path, &stop).unwrap();
    assert_eq!(source.next().unwrap().unwrap().bytes, b"a");
    stop.store(true, Ordering::Relaxed);
    assert_eq!(source.next().unwrap(), None);
    drop(done);
    writer.join().unwrap();
}

/// A capture of random frames, and the positions at which a frame ends.
fn any_capture() -> impl Strategy<Value = (Vec<u8>, Vec<usize>, usize)> {
    let frames = prop::collection::vec(
        (any::<u32>(), 0..1_000_000_000u32, prop::collection::vec(any::<u8>(), 0..40)),
        0..6,
    );
    (frames, 0..8usize).prop_map(|(frames, kind)| {
        let order = Order { big: kind % 2 == 1 };
        let mut ends = Vec::new();
        if kind < 6 {
            let head = classic(MAGICS[kind / 2], order, 1, &[]).len();
            for count in 1..=frames.len() {
                ends.push(classic(MAGICS[kind / 2], order, 1, &frames[..count]).len());
            }
            return (classic(MAGICS[kind / 2], order, 1, &frames), ends, head);
        }
        let mut file = order.section();
        let head = file.len();
        file.extend(order.interface(1, 0, &[(9, &[9])]));
        for (seconds, nanos, bytes) in &frames {
            file.extend(order.block(0xbad, &[1; 10]));
            file.extend(order.packet(0, u64::from(*seconds) * 1_000_000_000 + u64::from(*nanos), 0, bytes));
            ends.push(file.len());
        }
        (file, ends, head)
    })
}

proptest! {
    #[test]
    fn a_cut_anywhere_keeps_all_whole_frames((file, ends, head) in any_capture()) {
        let (whole, fault) = read(&file);
        prop_assert!(fault.is_none());
        prop_assert_eq!(whole.len(), ends.len());
        for cut in 0..file.len() {
            let (frames, fault) = read(&file[..cut]);
            let expected = ends.iter().filter(|end| **end <= cut).count();
            prop_assert_eq!(&frames[..], &whole[..expected], "cut at {}", cut);
            let clean = cut == head || ends.contains(&cut);
            match fault {
                None => prop_assert!(clean || cut > head, "cut at {}", cut),
                Some(PcapFault::Truncated { end, .. }) => prop_assert!(!clean && end == cut as u64, "cut at {}", cut),
                Some(PcapFault::NotACapture { .. }) => prop_assert!(cut < 4),
                Some(other) => prop_assert!(false, "cut at {}: {}", cut, other),
            }
        }
    }

    #[test]
    fn random_bytes_and_mutations_never_panic(
        (mut file, _, _) in any_capture(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        zipped in any::<bool>(),
    ) {
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        read(&if zipped { gzip(&file) } else { file });
    }

    #[test]
    fn another_reader_sees_the_same_frames((file, _, _) in any_capture()) {
        let ours: Vec<_> = read(&file).0.into_iter().map(|(_, _, bytes, _, _)| bytes).collect();
        // Its Kuznetzov variant knows one byte order only.
        prop_assume!(file[..4] != [0x34, 0xcd, 0xb2, 0xa1] && file[..4] != [0xa1, 0xb2, 0xcd, 0x34]);
        prop_assert_eq!(ours, read_by_pcap_parser(&file));
    }
}

/// The same capture through the pcap-parser crate, as a witness.
fn read_by_pcap_parser(file: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = pcap_parser::create_reader(65_536, Cursor::new(file.to_vec())).unwrap();
    let mut frames = Vec::new();
    loop {
        match reader.next() {
            Ok((len, block)) => {
                match block {
                    PcapBlockOwned::Legacy(packet) => frames.push(packet.data.to_vec()),
                    PcapBlockOwned::NG(pcap_parser::Block::EnhancedPacket(packet)) => {
                        frames.push(packet.data[..packet.caplen as usize].to_vec());
                    }
                    PcapBlockOwned::LegacyHeader(_) | PcapBlockOwned::NG(_) => {}
                }
                reader.consume(len);
            }
            Err(pcap_parser::PcapError::Eof) => return frames,
            Err(pcap_parser::PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}
