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

            /// The verdict a number stands for.
            pub const fn from_u32(value: u32) -> Option<Self> {
                $(if value == Verdict::$variant as u32 { return Some(Verdict::$variant); })+
                None
            }

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
    /// A later fragment of a TCP packet that does not follow on the one before it (lost, or out of order).
    SkippedFragment = "skipped_fragment",
    /// A fragment of another packet, which may have carried a tunnel, that does not follow on the one before it.
    SkippedFragmentOuter = "skipped_fragment_outer",
    /// More VLAN tags, extension headers or tunnels than are followed.
    SkippedDepth = "skipped_depth",
    /// MPLS with neither IP nor an Ethernet pseudo-wire behind its labels.
    SkippedMpls = "skipped_mpls",
    /// PPPoE with anything but IP in it (LCP, IPCP, ...).
    SkippedPppoe = "skipped_pppoe",
    /// VXLAN without a network identifier, or with a next protocol that is not followed.
    SkippedVxlan = "skipped_vxlan",
    /// GENEVE of another version, a control packet, or with a protocol that is not followed.
    SkippedGeneve = "skipped_geneve",
    /// GRE of another version, or with a protocol that is not followed.
    SkippedGre = "skipped_gre",
    /// GRE with source routing.
    SkippedGreRouting = "skipped_gre_routing",
    /// Enhanced GRE of PPTP: PPP in it, most often compressed or encrypted.
    SkippedGrePptp = "skipped_gre_pptp",
    /// ERSPAN of another version, or with a frame type that is not followed.
    SkippedErspan = "skipped_erspan",
    /// Shorter than its link layer needs.
    MalformedLink = "malformed_link",
    /// Header lengths of IPv4 or IPv6 that contradict the frame.
    MalformedIp = "malformed_ip",
    /// A tunnel's header that contradicts its packet.
    MalformedTunnel = "malformed_tunnel",
    /// A TCP header that contradicts its packet.
    MalformedTcp = "malformed_tcp",
    /// The ring was full: a head began in this frame and is lost.
    RingFullHead = "ring_full_head",
    /// The ring was full: a continuation or a mark is lost.
    RingFullOther = "ring_full_other",
}

/// Number of verdicts.
pub const VERDICT_COUNT: usize = Verdict::ALL.len();
