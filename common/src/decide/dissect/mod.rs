//! Dissect: from the link layer down to the TCP payload, layer by layer, into `Work`.
//!
//! One loop, one arm per layer; an arm reads its header, moves the cursor behind it and names the next layer. What ends
//! the way is a verdict. `near` does the same without the loop for the frames that most traffic consists of.
//! Invariant: the payload it leaves lies inside the innermost IP packet, and inside of what carries that.

pub mod fragment;
mod ip;
mod link;
pub(super) mod near;
mod tcp;
mod tunnel;

use super::Work;
use super::frame::{Frame, Memory};
use crate::config::Config;
use crate::verdict::Verdict;

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// DLT_EN10MB.
    Ethernet,
    /// DLT_RAW: IPv4 or IPv6, told by its first nibble.
    RawIp,
    /// DLT_LINUX_SLL.
    Cooked1,
    /// DLT_LINUX_SLL2.
    Cooked2,
}

macro_rules! layers {
    ($($(#[$doc:meta])* $variant:ident,)+) => {
        /// What the header at the cursor is.
        #[repr(u32)]
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Layer { $($(#[$doc])* $variant,)+ }

        impl Layer {
            /// The layer a number stands for; an unknown one is the end.
            #[inline(always)]
            const fn from_u32(value: u32) -> Self {
                $(if value == Self::$variant as u32 { return Self::$variant; })+
                Self::End
            }
        }
    };
}

layers! {
    Ethernet,
    RawIp,
    Cooked1,
    Cooked2,
    Vlan,
    Mpls,
    Pppoe,
    Ipv4,
    Ipv6,
    Extension,
    Authentication,
    Fragment,
    Udp,
    Vxlan,
    Geneve,
    Gre,
    Erspan2,
    Erspan3,
    Tcp,
    /// Nothing: all is told.
    End,
}

/// Where dissection stands. All zero: at the frame's first byte, where nothing is known yet.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// Where the next header begins.
    offset: u32,
    /// Where the bytes end that the innermost IP packet says it has; a mirror may have cut them.
    end: u32,
    /// Where those end that are there; zero before the first IP header.
    hand: u32,
    /// A `Layer`.
    layer: u32,
    /// The `Verdict` that ended the way, or `NO_VERDICT`.
    verdict: u32,
    /// Tunnels entered.
    depth: u32,
    /// Zero.
    reserved: u32,
    /// Where the payload of a fragmented datagram begins; zero where none is.
    fragment: u32,
    /// Where its first fragment ends.
    fragment_end: u32,
    /// What names the datagram, never zero.
    datagram: u64,
}

impl Cursor {
    /// At the frame's first byte.
    pub(super) const START: Self = Self {
        offset: 0,
        end: 0,
        hand: 0,
        layer: 0,
        verdict: 0,
        depth: 0,
        reserved: 0,
        fragment: 0,
        fragment_end: 0,
        datagram: 0,
    };

    /// Whether a packet may say that it has more bytes than its carrier: a mirror cuts what it wraps, or the rest is in
    /// other fragments.
    #[inline(always)]
    const fn may_be_cut(&self) -> bool {
        self.depth != 0 || self.fragment != 0
    }
}

/// `Cursor::verdict` of a way that goes on, or has come to TCP.
const NO_VERDICT: u32 = u32::MAX;

/// A frame on its way down its layers.
pub struct Dissection<'d, F, M> {
    pub(super) frame: &'d mut F,
    pub(super) memory: &'d mut M,
    pub(super) config: &'d Config,
    pub(super) work: &'d mut Work,
}

impl<F: Frame, M: Memory> Dissection<'_, F, M> {
    /// Fills in tuple, TCP fields, tags, tunnel and payload place of `work`.
    #[inline(always)]
    pub(super) fn run(mut self, link: Link) -> Result<(), Verdict> {
        let first = match link {
            Link::Ethernet => Layer::Ethernet,
            Link::RawIp => Layer::RawIp,
            Link::Cooked1 => Layer::Cooked1,
            Link::Cooked2 => Layer::Cooked2,
        };
        self.work.cursor = Cursor { layer: first as u32, verdict: NO_VERDICT, ..Cursor::START };
        F::descend(&mut self);
        let Cursor { layer, verdict, .. } = self.work.cursor;
        match Verdict::from_u32(verdict) {
            Some(verdict) => Err(verdict),
            None if layer == Layer::End as u32 => Ok(()),
            None => Err(Verdict::SkippedDepth),
        }
    }

    /// Goes down one layer; false at the end of the way.
    #[inline(always)]
    pub fn step(&mut self) -> bool {
        match self.layer() {
            Ok(layer) => {
                self.work.cursor.layer = layer as u32;
                layer != Layer::End
            }
            Err(verdict) => {
                self.work.cursor.verdict = verdict as u32;
                false
            }
        }
    }

    #[inline(always)]
    fn layer(&mut self) -> Result<Layer, Verdict> {
        match Layer::from_u32(self.work.cursor.layer) {
            Layer::Ethernet => self.ethernet(),
            Layer::RawIp => self.raw_ip(Verdict::SkippedEthertype),
            Layer::Cooked1 => self.cooked((14, 16)),
            Layer::Cooked2 => self.cooked((0, 20)),
            Layer::Vlan => self.vlan(),
            Layer::Mpls => self.mpls(),
            Layer::Pppoe => self.pppoe(),
            Layer::Ipv4 => self.ipv4(),
            Layer::Ipv6 => self.ipv6(),
            Layer::Extension => self.extension(8),
            Layer::Authentication => self.extension(4),
            Layer::Fragment => self.ipv6_fragment(),
            Layer::Udp => self.udp(),
            Layer::Vxlan => self.vxlan(),
            Layer::Geneve => self.geneve(),
            Layer::Gre => self.gre(),
            Layer::Erspan2 => self.erspan2(),
            Layer::Erspan3 => self.erspan3(),
            Layer::Tcp => self.tcp(),
            Layer::End => Ok(Layer::End),
        }
    }

    /// The bytes at an offset from the next header on.
    #[inline(always)]
    fn load<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]> {
        self.frame.load(self.work.cursor.offset + offset)
    }

    /// Moves behind a header; false where that is behind the bytes there are.
    #[inline(always)]
    fn pass(&mut self, bytes: u32) -> bool {
        let cursor = &mut self.work.cursor;
        cursor.offset += bytes;
        cursor.hand == 0 || cursor.offset <= cursor.hand
    }
}
