//! Every encapsulation, alone and inside others: what is inside is seen, what it came in is told, what is not understood
//! is counted by its name.

use super::frames::{Random, Segment, head};
use super::kernel::Kernel;
use bench::wrap::{Wrap, fragment, wrap};
use common::config::Config;
use common::record::{Record, TunnelType, record_flag, tcp_flag::ACK};
use common::verdict::Verdict;
use harness::needs_root;

const RING_BYTES: u32 = 1 << 20;

fn kernel() -> Kernel {
    needs_root();
    Kernel::new(&Config::default(), RING_BYTES)
}

/// The record of a frame with a head in it, whatever is around it.
fn told(kernel: &mut Kernel, frame: &[u8]) -> Record {
    let (verdict, records) = kernel.decide(frame);
    assert_eq!(verdict, Verdict::Head);
    let [(record, bytes)] = &records.0[..] else { panic!("one record: {records:?}") };
    assert_eq!(bytes, &head(300));
    assert_eq!((record.src_port, record.dst_port, record.segment_len), (40000, 80, 300));
    *record
}

fn inside() -> Vec<u8> {
    Segment::new(&head(300)).frame()
}

/// The tunnels, and what each is called with which id.
fn tunnels() -> Vec<(Wrap, TunnelType, Option<u32>)> {
    let gre = |key, checksum, sequence, ethernet| Wrap::Gre { key, checksum, sequence, ethernet };
    vec![
        (Wrap::Vxlan { port: 4789, vni: 77 }, TunnelType::Vxlan, Some(77)),
        (Wrap::Vxlan { port: 8472, vni: 0xff_ffff }, TunnelType::Vxlan, Some(0xff_ffff)),
        (Wrap::VxlanGpe { vni: 5 }, TunnelType::Vxlan, Some(5)),
        (Wrap::Geneve { vni: 9, option_words: 0, ethernet: true }, TunnelType::Geneve, Some(9)),
        (Wrap::Geneve { vni: 9, option_words: 63, ethernet: false }, TunnelType::Geneve, Some(9)),
        (gre(None, false, false, false), TunnelType::Gre, None),
        (gre(None, true, true, true), TunnelType::Gre, None),
        (gre(Some(0xdead_beef), false, true, false), TunnelType::Gre, Some(0xdead_beef)),
        (gre(Some(0), true, true, true), TunnelType::Gre, Some(0)),
        (Wrap::Erspan1, TunnelType::Erspan1, None),
        (Wrap::Erspan2 { session: 1023 }, TunnelType::Erspan2, Some(1023)),
        (Wrap::Erspan3 { session: 3, subheader: false }, TunnelType::Erspan3, Some(3)),
        (Wrap::Erspan3 { session: 3, subheader: true }, TunnelType::Erspan3, Some(3)),
        (Wrap::Ipip, TunnelType::Ipip, None),
    ]
}

#[test]
fn each_tunnel_is_named_with_its_ends() {
    let mut kernel = kernel();
    for (layer, kind, id) in tunnels() {
        for (is_v6, inner_v6) in [(false, false), (false, true), (true, false), (true, true)] {
            let segment = Segment { v6: inner_v6, vlans: vec![12], ..Segment::new(&head(300)) };
            let record = told(&mut kernel, &wrap(&segment.frame(), layer, is_v6));
            assert_eq!(record.tunnel_type, kind as u8, "{layer:?}");
            assert_eq!((record.tunnel_has_id != 0).then_some(record.tunnel_id), id, "{layer:?}");
            assert_eq!(record.outer_ip_version, if is_v6 { 6 } else { 4 });
            assert_eq!(record.ip_version, if inner_v6 { 6 } else { 4 });
            let (src, dst) = if is_v6 { (1, 2) } else { (0, 0) };
            assert_eq!((record.outer_src_ip.bytes()[15], record.outer_dst_ip.bytes()[15]), (src, dst));
            assert_eq!(record.outer_src_ip.bytes()[..4] == [192, 0, 2, 1], !is_v6);
        }
    }
}

#[test]
fn labels_and_sessions_are_no_tunnels() {
    let mut kernel = kernel();
    let mut layers = vec![Wrap::Pppoe];
    layers.extend([1, 3, 8].map(|labels| Wrap::Mpls { labels }));
    layers.extend([true, false].map(|control_word| Wrap::PseudoWire { control_word }));
    for layer in layers {
        for v6 in [false, true] {
            let segment = Segment { v6, ..Segment::new(&head(300)) };
            let record = told(&mut kernel, &wrap(&segment.frame(), layer, false));
            assert_eq!((record.tunnel_type, record.outer_ip_version), (0, 0), "{layer:?}");
        }
    }
}

#[test]
fn tunnels_in_tunnels_are_followed_to_the_fourth() {
    let mut kernel = kernel();
    for (layer, kind, _) in tunnels() {
        let mut frame = inside();
        for depth in 1..=5 {
            frame = wrap(
                &frame,
                if depth == 1 { layer } else { Wrap::Vxlan { port: 4789, vni: depth } },
                depth == 2,
            );
            if depth == 5 {
                assert_eq!(kernel.decide(&frame).0, Verdict::SkippedDepth);
            } else {
                assert_eq!(told(&mut kernel, &frame).tunnel_type, kind as u8, "the innermost is told");
            }
        }
    }
}

#[test]
fn vxlan_is_found_on_ports_that_are_given_and_on_any_where_asked() {
    let frame = wrap(&inside(), Wrap::Vxlan { port: 4000, vni: 1 }, false);
    let mut config = Config::default();
    assert_eq!(kernel().decide(&frame).0, Verdict::SkippedProtocol);
    config.add_vxlan_port(4000);
    told(&mut Kernel::new(&config, RING_BYTES), &frame);
    let any = Config { vxlan_any: 1, ..Config::default() };
    let mut kernel = Kernel::new(&any, RING_BYTES);
    told(&mut kernel, &frame);
    const VXLAN_AT: usize = 14 + 20 + 8;
    for (at, bits) in [(0, 0x80), (1, 1), (3, 1), (7, 1), (8 + 12, 0x70)] {
        let mut other = frame.clone();
        other[VXLAN_AT + at] ^= bits;
        assert_eq!(kernel.decide(&other).0, Verdict::SkippedProtocol, "byte {at} is not as it must be");
    }
}

#[test]
fn filters_look_inside() {
    needs_root();
    let mut config = Config::default();
    config.add_port(80);
    assert!(config.add_net(common::config::Net::v4([10, 0, 0, 0], 24).unwrap()));
    let mut inner = Kernel::new(&config, RING_BYTES);
    let frame = wrap(&inside(), Wrap::Vxlan { port: 4789, vni: 1 }, false);
    told(&mut inner, &frame);
    let mut config = Config::default();
    config.add_port(4789);
    assert_eq!(Kernel::new(&config, RING_BYTES).decide(&frame).0, Verdict::FilteredPort);
    let mut config = Config::default();
    assert!(config.add_net(common::config::Net::v4([192, 0, 2, 0], 24).unwrap()));
    assert_eq!(Kernel::new(&config, RING_BYTES).decide(&frame).0, Verdict::FilteredNet);
}

/// A frame with bytes of it changed.
fn changed(layer: Wrap, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = wrap(&inside(), layer, false);
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[test]
fn what_is_not_understood_has_a_name() {
    const LINK: usize = 14;
    const IP: usize = LINK + 20;
    const UDP: usize = IP + 8;
    let gre = Wrap::Gre { key: None, checksum: false, sequence: false, ethernet: true };
    let vxlan = Wrap::Vxlan { port: 4789, vni: 1 };
    let geneve = Wrap::Geneve { vni: 1, option_words: 0, ethernet: true };
    let erspan3 = Wrap::Erspan3 { session: 1, subheader: false };
    let gpe = Wrap::VxlanGpe { vni: 1 };
    let mut kernel = kernel();
    for (verdict, frame) in [
        (Verdict::SkippedMpls, changed(Wrap::Mpls { labels: 1 }, LINK + 4, &[0x10])),
        (Verdict::SkippedPppoe, changed(Wrap::Pppoe, LINK + 6, &[0xc0, 0x21])),
        (Verdict::SkippedPppoe, changed(Wrap::Pppoe, LINK + 1, &[0xa7])),
        (Verdict::SkippedVxlan, changed(vxlan, UDP, &[0])),
        (Verdict::SkippedVxlan, changed(gpe, UDP + 3, &[4])),
        (Verdict::SkippedVxlan, changed(gpe, UDP, &[0x0d])),
        (Verdict::SkippedGeneve, changed(geneve, UDP, &[0x40])),
        (Verdict::SkippedGeneve, changed(geneve, UDP + 1, &[0x80])),
        (Verdict::SkippedGeneve, changed(geneve, UDP + 2, &[0x12, 0x34])),
        (Verdict::SkippedGre, changed(gre, IP + 2, &[0x00, 0x01])),
        (Verdict::SkippedGre, changed(gre, IP + 1, &[2])),
        (Verdict::SkippedGreRouting, changed(gre, IP, &[0x40])),
        (Verdict::SkippedGrePptp, changed(gre, IP, &[0x30, 0x01, 0x88, 0x0b])),
        (Verdict::SkippedErspan, changed(Wrap::Erspan2 { session: 1 }, IP + 8, &[0x20])),
        (Verdict::SkippedErspan, changed(erspan3, IP + 8, &[0x10])),
        (Verdict::SkippedErspan, changed(erspan3, IP + 8 + 10, &[0x04])),
        (Verdict::MalformedTunnel, changed(vxlan, IP + 4, &[0xff, 0xff])),
        (Verdict::MalformedTunnel, changed(vxlan, IP + 4, &[0, 7])),
        (Verdict::MalformedTunnel, changed(geneve, IP + 4, &[0, 12])),
    ] {
        assert_eq!(kernel.decide(&frame).0, verdict, "{frame:02x?}");
    }
}

/// A mirror that has a limit cuts what it wraps: what is there is taken, and what is missing is known.
#[test]
fn frames_cut_by_the_mirror_keep_what_is_there() {
    let whole = head(300);
    let mut kernel = kernel();
    for (src_port, (layer, _, _)) in (1..).zip(tunnels()) {
        let frame = Segment { src_port, ..Segment::new(&whole) }.frame();
        let cut = &frame[..14 + 20 + 20 + 128];
        let (verdict, records) = kernel.decide(&wrap(cut, layer, false));
        assert_eq!(verdict, Verdict::Head, "{layer:?}");
        let (record, bytes) = &records.0[0];
        assert_eq!((bytes, record.segment_len), (&whole[..128].to_vec(), 300));
        assert_eq!(record.flags, record_flag::SNAPPED);
    }
}

/// Each fragment becomes a segment: what they hold together is the head.
#[test]
fn fragments_become_segments() {
    let head = head(3000);
    let mut kernel = kernel();
    for (src_port, layer) in (1..).zip([None, Some(Wrap::Vxlan { port: 4789, vni: 1 }), Some(Wrap::Ipip)]) {
        for v6 in [false, true] {
            let segment = Segment { v6, src_port, ..Segment::new(&[&head[..], b"body"].concat()) }.frame();
            let whole = layer.map_or(segment.clone(), |layer| wrap(&segment, layer, v6));
            let mut bytes = Vec::new();
            let parts = fragment(&whole, 7, 1000);
            for (at, part) in parts.iter().enumerate() {
                let (verdict, records) = kernel.decide(part);
                assert_eq!(verdict, if at == 0 { Verdict::Head } else { Verdict::Continuation });
                for (record, piece) in records.0 {
                    assert_eq!(record.seq, 1000 + bytes.len() as u32);
                    assert_eq!(record.tunnel_type != 0, layer.is_some());
                    bytes.extend(piece);
                }
            }
            assert_eq!(bytes, head);
            let again = Segment { v6, src_port, ..Segment::new(b"more") }.at(1000 + 3004).flags(ACK).frame();
            assert_eq!(kernel.decide(&again).0, Verdict::Body, "the head has ended");
        }
    }
}

#[test]
fn fragments_that_do_not_follow_on_each_other_are_counted() {
    let segment = Segment::new(&head(3000)).frame();
    let mut kernel = kernel();
    let parts = fragment(&segment, 7, 1000);
    assert_eq!(kernel.decide(&parts[1]).0, Verdict::SkippedFragment, "nothing came before it");
    assert_eq!(kernel.decide(&parts[0]).0, Verdict::Head);
    assert_eq!(kernel.decide(&parts[2]).0, Verdict::SkippedFragment, "one is missing");
    assert_eq!(kernel.decide(&parts[1]).0, Verdict::Continuation);
    assert_eq!(kernel.decide(&parts[2]).0, Verdict::Continuation);
    let outer = fragment(&wrap(&segment, Wrap::Ipip, false), 9, 1000);
    assert_eq!(kernel.decide(&outer[1]).0, Verdict::SkippedFragmentOuter);
    let twice = fragment(&wrap(&parts[0], Wrap::Ipip, false), 10, 504);
    assert_eq!(
        kernel.decide(&twice[0]).0,
        Verdict::SkippedFragmentOuter,
        "fragments in fragments are not followed"
    );
}

/// Any layers around any conversation, whole and in fragments: both halves say the same.
#[test]
fn both_halves_agree_on_wrapped_frames() {
    needs_root();
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut numbers = bench::random::Random::new(5);
    let mut pair = super::differential::Pair::new(&Config { vxlan_any: 1, ..Config::default() });
    for round in 0..150 {
        let layers: Vec<Wrap> = (0..random.below(5)).map(|_| Wrap::random(&mut numbers)).collect();
        for frame in super::differential::conversation(&mut random) {
            let mut frame = frame;
            for layer in &layers {
                if layer.fits(&frame) {
                    frame = wrap(&frame, *layer, round % 3 == 0);
                }
            }
            let mut parts = if round % 4 == 0 { fragment(&frame, round, 1480) } else { vec![frame] };
            if parts.len() > 2 && random.below(4) == 0 {
                parts.swap(0, 1);
            }
            for mut part in parts {
                if random.below(4) == 0 {
                    let at = random.below(part.len().min(250));
                    part[at] = random.next() as u8;
                }
                pair.compare(&part, "wrapped");
            }
        }
    }
    assert!(pair.frames > 2000 && pair.records > 500, "{} frames, {} records", pair.frames, pair.records);
}
