//! Frames of every link type, in every encapsulation: the rows are those of the same frames, bare and on Ethernet.

use bench::{
    adversary::{self, Knobs},
    random::Random,
    workload::TimedFrame,
    wrap::{Wrap, wrap},
};
use common::decide::dissect::Link;

use super::{
    pipeline::{Setup, run_as},
    rows::Row,
};

/// Seeds of the test; each goes through all link types.
const SEEDS: u64 = 60;

/// An Ethernet frame as another link type has it.
fn on_link(bytes: &[u8], link: Link) -> Option<Vec<u8>> {
    let (ethertype, packet) = (&bytes[12..14], &bytes[14..]);
    let is_ip = [[0x08, 0x00], [0x86, 0xdd]].iter().any(|ip| ip == ethertype);
    let mac = &bytes[6..12];
    match link {
        Link::Ethernet => Some(bytes.to_vec()),
        Link::RawIp => is_ip.then(|| packet.to_vec()),
        Link::Cooked1 => Some([&[0, 0, 0, 1, 0, 6], mac, &[0, 0], ethertype, packet].concat()),
        Link::Cooked2 => Some([ethertype, &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6], mac, &[0, 0], packet].concat()),
    }
}

/// The frame within up to three layers that the random numbers pick, all frames of a capture within the same.
fn layers(random: &mut Random) -> Vec<(Wrap, bool)> {
    (0..random.below(4)).map(|_| (Wrap::random(random), random.chance(0.5))).collect()
}

fn wrapped(bytes: &[u8], layers: &[(Wrap, bool)]) -> Vec<u8> {
    layers.iter().fold(
        bytes.to_vec(),
        |bytes, (layer, is_v6)| {
            if layer.fits(&bytes) { wrap(&bytes, *layer, *is_v6) } else { bytes }
        },
    )
}

/// Rows without what tells of the way to here.
fn rows(frames: Vec<TimedFrame>, link: Link) -> Vec<Row> {
    let outcome = run_as(Setup { link, ..Setup::default() }, frames.into_iter());
    assert_eq!(outcome.balance.discrepancies(), [""; 0]);
    let bare = |row: Row| Row { tunnel: None, vlan_ids: Vec::new(), ..row };
    outcome.rows.into_iter().map(bare).collect()
}

#[test]
fn every_link_type_and_encapsulation_gives_the_same_rows() {
    let mut told = [0; 4];
    for seed in 0..SEEDS {
        let capture = adversary::generate(seed, &Knobs::default());
        let bare = rows(capture.frames.clone(), Link::Ethernet);
        let layers = layers(&mut Random::new(seed));
        for (nth, link) in [Link::Ethernet, Link::RawIp, Link::Cooked1, Link::Cooked2].into_iter().enumerate()
        {
            let on_link = |frame: &TimedFrame| {
                Some(TimedFrame { bytes: on_link(&wrapped(&frame.bytes, &layers), link)?, ..*frame })
            };
            // Tags and labels need a link layer that has a type for them.
            let Some(frames) = capture.frames.iter().map(on_link).collect::<Option<Vec<_>>>() else {
                continue;
            };
            assert_eq!(rows(frames, link), bare, "seed {seed}, {link:?}, {layers:?}");
            told[nth] += 1;
        }
    }
    assert!(told.iter().all(|count| *count > SEEDS / 4), "captures by link type: {told:?}");
}
