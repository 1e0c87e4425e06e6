//! One test per verdict: a frame that earns it, and what else it must do.

use super::frames::{Segment, head};
use super::kernel::Kernel;
use common::config::{Config, Net};
use common::record::tcp_flag::{ACK, FIN, PSH, RST, SYN};
use common::record::{RecordKind, record_flag};
use common::verdict::Verdict;
use harness::needs_root;

const RING_BYTES: u32 = 1 << 20;

fn kernel(config: &Config) -> Kernel {
    Kernel::new(config, RING_BYTES)
}

/// The verdict of one frame on an empty flow memory.
fn verdict_with(config: &Config, frame: &[u8]) -> Verdict {
    let (verdict, records) = kernel(config).decide(frame);
    let silent = !matches!(verdict, Verdict::Head | Verdict::Continuation | Verdict::Mark);
    assert_eq!(records.0.is_empty(), silent, "{verdict:?}");
    verdict
}

fn verdict(frame: &[u8]) -> Verdict {
    verdict_with(&Config::default(), frame)
}

macro_rules! verdict_tests {
    ($($(#[$doc:meta])* $name:ident => $body:expr;)+) => {
        $($(#[$doc])* #[test] fn $name() {
            needs_root();
                $body
        })+
    };
}

verdict_tests! {
    head_is_copied_up_to_its_empty_line => {
        let head = head(600);
        let payload = [&head[..], b"body"].concat();
        let (verdict, records) = kernel(&Config::default()).decide(&Segment::new(&payload).frame());
        assert_eq!(verdict, Verdict::Head);
        let [(record, bytes)] = &records.0[..] else { panic!("one record: {records:?}") };
        assert_eq!(bytes, &head);
        assert_eq!(record.kind, RecordKind::Head as u8);
        assert_eq!(record.flags, record_flag::HEAD_END);
        assert_eq!((record.seq, record.segment_len, record.ack), (1000, 604, 5000));
        assert_eq!((record.src_port, record.dst_port, record.ip_version), (40000, 80, 4));
    };
    continuation_of_a_head_in_progress => {
        let head = head(600);
        let mut kernel = kernel(&Config::default());
        assert_eq!(kernel.decide(&Segment::new(&head[..400]).frame()).0, Verdict::Head);
        let (verdict, records) = kernel.decide(&Segment::new(&head[400..]).at(1400).frame());
        assert_eq!(verdict, Verdict::Continuation);
        assert_eq!(records.0[0].1, head[400..]);
        assert_eq!(records.0[0].0.flags, record_flag::HEAD_END);
        assert_eq!(kernel.decide(&Segment::new(b"body").at(1600).flags(ACK).frame()).0, Verdict::Body);
    };
    mark_of_a_handshake_a_pushed_body_and_an_end => {
        let mut kernel = kernel(&Config::default());
        let (verdict, records) = kernel.decide(&Segment::new(b"").at(999).flags(SYN).frame());
        assert_eq!((verdict, records.0[0].0.seq, records.0[0].0.segment_seq), (Verdict::Mark, 999, 1000));
        kernel.decide(&Segment::new(&head(600)).frame());
        assert_eq!(kernel.decide(&Segment::new(b"pushed").at(1600).flags(ACK | PSH).frame()).0, Verdict::Mark);
        for flags in [FIN | ACK, RST] {
            assert_eq!(kernel.decide(&Segment::new(b"").at(1606).flags(flags).frame()).0, Verdict::Mark);
            assert_eq!(kernel.decide(&Segment::new(b"").back().flags(flags).frame()).0, Verdict::Mark);
        }
    };
    body_without_http => assert_eq!(verdict(&Segment::new(&[0x17, 3, 3, 0, 9]).frame()), Verdict::Body);
    empty_acknowledgement => assert_eq!(verdict(&Segment::new(b"").flags(ACK).frame()), Verdict::Empty);
    empty_end_of_an_unknown_connection => {
        assert_eq!(verdict(&Segment::new(b"").flags(FIN | ACK).frame()), Verdict::Empty);
    };
    filtered_port => {
        let mut config = Config::default();
        config.add_port(8080);
        assert_eq!(verdict_with(&config, &Segment::new(&head(99)).frame()), Verdict::FilteredPort);
        config.add_port(80);
        assert_eq!(verdict_with(&config, &Segment::new(&head(99)).frame()), Verdict::Head);
        assert_eq!(verdict_with(&config, &Segment::new(&head(99)).back().frame()), Verdict::Head);
    };
    filtered_net => {
        let mut config = Config::default();
        assert!(config.add_net(Net::v4([10, 9, 0, 0], 16).unwrap()));
        assert_eq!(verdict_with(&config, &Segment::new(&head(99)).frame()), Verdict::FilteredNet);
        assert!(config.add_net(Net::v4([10, 0, 0, 2], 32).unwrap()));
        assert_eq!(verdict_with(&config, &Segment::new(&head(99)).frame()), Verdict::Head);
        let v6 = Segment { v6: true, ..Segment::new(&head(99)) };
        assert_eq!(verdict_with(&config, &v6.frame()), Verdict::FilteredNet);
    };
    sampled_out_by_flow_and_in_both_directions => {
        let mut config = Config::default();
        config.set_sampling(4);
        let mut kernel = kernel(&config);
        let kept = (0..400u16).filter(|port| {
            let segment = Segment { src_port: 10000 + port, ..Segment::new(&head(99)) };
            let (there, back) = (kernel.decide(&segment.frame()), kernel.decide(&segment.back().frame()));
            assert_eq!(there.0, back.0);
            there.1.0.iter().all(|(record, _)| record.sample_weight == 4) && there.0 == Verdict::Head
        });
        let kept = kept.count();
        assert!((60..140).contains(&kept), "{kept} of 400 at 1/4");
    };
    skipped_ethertype => {
        assert_eq!(verdict(&[&[0; 12][..], &[0x08, 0x06], &[0; 46]].concat()), Verdict::SkippedEthertype);
    };
    skipped_protocol => {
        assert_eq!(verdict(&Segment { protocol: 1, ..Segment::new(b"ping") }.frame()), Verdict::SkippedProtocol);
    };
    skipped_fragment => {
        assert_eq!(verdict(&Segment { fragment: 185, ..Segment::new(b"x") }.frame()), Verdict::SkippedFragment);
        let fragment = vec![(44, vec![0, 0, 0x08, 0, 0, 0, 1])];
        let v6 = Segment { v6: true, extensions: fragment, ..Segment::new(b"x") };
        assert_eq!(verdict(&v6.frame()), Verdict::SkippedFragment);
    };
    skipped_depth => {
        let tags = |count| Segment { vlans: vec![7; count], ..Segment::new(&head(99)) };
        assert_eq!(verdict(&tags(4).frame()), Verdict::Head);
        assert_eq!(verdict(&tags(5).frame()), Verdict::SkippedDepth);
        let extensions = vec![(60, vec![0, 0, 0, 0, 0, 0, 0]); 60];
        assert_eq!(verdict(&Segment { v6: true, extensions, ..Segment::new(b"x") }.frame()), Verdict::SkippedDepth);
    };
    malformed_link => assert_eq!(verdict(&[&[0; 12][..], &[0x81, 0x00, 0x00]].concat()), Verdict::MalformedLink);
    malformed_ip => {
        let frame = Segment::new(&head(99)).frame();
        assert_eq!(verdict(&frame[..frame.len() - 1]), Verdict::MalformedIp, "shorter than its length field says");
        let mut short_header = frame.clone();
        short_header[14] = 0x44;
        assert_eq!(verdict(&short_header), Verdict::MalformedIp);
        assert_eq!(verdict(&frame[..30]), Verdict::MalformedIp);
    };
    malformed_tcp => {
        let mut frame = Segment::new(&head(99)).frame();
        frame[46] = 0x40;
        assert_eq!(verdict(&frame), Verdict::MalformedTcp, "header shorter than it can be");
        let mut long = Segment::new(b"x").frame();
        long[46] = 0xf0;
        assert_eq!(verdict(&long), Verdict::MalformedTcp, "header longer than the packet");
    };
    ring_full_head_and_other => {
        let mut kernel = Kernel::new(&Config::default(), 64 * 1024);
        let frame = Segment::new(&head(600)).frame();
        for _ in 0..300 {
            kernel.run(&frame);
        }
        kernel.run(&Segment::new(b"").flags(SYN).frame());
        let counters = kernel.counters();
        let lost = counters.frames_of(Verdict::RingFullHead);
        assert!(lost > 200, "{lost} of 300 heads found a ring of 64 KiB full");
        assert_eq!(counters.heads_ring_full, lost);
        assert_eq!(counters.heads, 300);
        assert_eq!(kernel.records().0.len() as u64, counters.records);
        assert_eq!(counters.records + counters.records_ring_full.iter().sum::<u64>(), 301);
    };
    ring_full_other => {
        let mut kernel = Kernel::new(&Config::default(), 64 * 1024);
        for _ in 0..500 {
            kernel.run(&Segment::new(b"").flags(SYN).frame());
        }
        let counters = kernel.counters();
        assert!(counters.frames_of(Verdict::RingFullOther) > 0);
        let frames = counters.frames_of(Verdict::RingFullOther) + counters.frames_of(Verdict::Mark);
        assert_eq!(frames, 500);
    };


}
