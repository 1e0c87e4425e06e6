//! The one verdict every frame gets, and the names its counters carry everywhere (balance, `--json`, metrics, capture_stats).
//!
//! Invariant: `frames = sum of verdicts`; a new way for a frame to end is a new variant here, never a silent return.

macro_rules! verdicts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// How a frame ended in `decide`.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Verdict { $($(#[$doc])* $variant,)+ }

        impl Verdict {
            /// Every verdict, in counter order.
            pub const ALL: &'static [Verdict] = &[$(Verdict::$variant,)+];

            /// The counter's name, `verdict_...`.
            pub const fn name(self) -> &'static str {
                match self { $(Verdict::$variant => concat!("verdict_", $name),)+ }
            }
        }
    };
}

verdicts! {
    /// At least one head begins in this frame; its region was copied.
    Head = "head",
    /// Carries on a head in progress; copied.
    Continuation = "continuation",
    /// SYN, FIN, RST or a pushed body end: recorded without bytes.
    Mark = "mark",
    /// TCP payload of no head in progress: counted only.
    Body = "body",
    /// TCP without payload and without news: counted only.
    Empty = "empty",
    /// Left out by `--port`.
    FilteredPort = "filtered_port",
    /// Left out by `--net`.
    FilteredNet = "filtered_net",
    /// Left out by `--sample`.
    SampledOut = "sampled_out",
    /// Neither IPv4 nor IPv6 (ARP, LLDP, STP, ...).
    SkippedEthertype = "skipped_ethertype",
    /// IP, but not TCP and not a tunnel that is followed.
    SkippedProtocol = "skipped_protocol",
    /// A later fragment of an IP datagram: no TCP header in it.
    SkippedFragment = "skipped_fragment",
    /// More VLAN tags, extension headers or tunnels than are followed.
    SkippedDepth = "skipped_depth",
    /// A tunnel variant that is not understood (version, type).
    SkippedTunnel = "skipped_tunnel",
    /// Shorter than its link layer needs.
    MalformedLink = "malformed_link",
    /// Header lengths of IPv4 or IPv6 that contradict the frame.
    MalformedIp = "malformed_ip",
    /// A TCP header that contradicts its packet.
    MalformedTcp = "malformed_tcp",
    /// The ring was full: a head began in this frame and is lost.
    RingFullHead = "ring_full_head",
    /// The ring was full: a continuation or a mark is lost.
    RingFullOther = "ring_full_other",
}

/// Number of verdicts.
pub const VERDICT_COUNT: usize = Verdict::ALL.len();
