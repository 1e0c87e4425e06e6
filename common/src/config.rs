//! What user space tells the frame path: filters, sampling, limits, steering, and which counters an interface has.
//!
//! One `Config` is the only value of an array map live, and a plain struct for a pcap. `#[repr(C)]`, all zero is valid
//! memory but not a valid configuration: start from `Config::default`.

use crate::limits::{HEAD_BYTES_DEFAULT, IFACE_COUNT_MAX, NET_COUNT_MAX};

/// Words of the port set: one bit per TCP port.
pub const PORT_WORD_COUNT: usize = 65536 / 64;

/// UDP ports on which VXLAN is expected without being told: RFC 7348, what Linux took before it, and VXLAN-GPE.
pub const VXLAN_PORTS: [u16; 3] = [4789, 8472, 4790];

/// Entries of the table that maps an interface index to its counters; a power of two.
pub const IFACE_TABLE_COUNT: usize = 256;

/// `Config::memory_key` where nobody needs a secret one.
const MEMORY_KEY_DEFAULT: u64 = 0x9E37_79B9_7F4A_7C15;

/// Which ring a record goes to.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// The ring of the CPU that sees the frame: both directions meet there when the card's RSS is symmetric.
    Cpu = 0,
    /// The ring that the symmetric flow hash names: both directions meet whatever the card does.
    Hash = 1,
}

impl Steering {
    /// Its name as `--steer` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Hash => "hash",
        }
    }
}

/// A prefix of `--net`. Address and mask in `words` form; IPv4 uses the first four
/// bytes of the first word.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Net {
    /// The prefix, bits outside the mask zero.
    pub address: [u64; 2],
    /// Ones where the prefix counts.
    pub mask: [u64; 2],
    /// 4 or 6.
    pub ip_version: u64,
}

impl Net {
    /// Prefix of an IPv4 network; `None` where `prefix_len` exceeds 32.
    pub fn v4(address: [u8; 4], prefix_len: u8) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&address);
        (prefix_len <= 32).then(|| Self::new(bytes, prefix_len, 4))
    }

    /// Prefix of an IPv6 network; `None` where `prefix_len` exceeds 128.
    pub fn v6(address: [u8; 16], prefix_len: u8) -> Option<Self> {
        (prefix_len <= 128).then(|| Self::new(address, prefix_len, 6))
    }

    fn new(bytes: [u8; 16], prefix_len: u8, ip_version: u64) -> Self {
        let ones = if prefix_len == 0 { 0 } else { u128::MAX << (128 - u32::from(prefix_len)) };
        let mask = words(&ones.to_be_bytes());
        let address = words(&bytes);
        Self { address: [address[0] & mask[0], address[1] & mask[1]], mask, ip_version }
    }

    /// Whether the address (in `words` form, of the same IP version) is inside the prefix.
    #[inline(always)]
    pub fn contains(&self, address: [u64; 2]) -> bool {
        ((address[0] ^ self.address[0]) & self.mask[0]) | ((address[1] ^ self.address[1]) & self.mask[1]) == 0
    }
}

/// An address as two little-endian words: the same numbers on every host.
#[inline(always)]
pub fn words(bytes: &[u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
    [u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p])]
}

/// Configuration of the frame path.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A flow is kept where the upper half of its hash is at most this: `u32::MAX` keeps all.
    pub sample_threshold: u32,
    /// N of the 1/N in force.
    pub sample_weight: u32,
    /// Bytes of one head that are copied at the most.
    pub head_limit: u32,
    /// One bit per counter slot: frames of that interface end in XDP. Right for a mirror port only, which carries no
    /// traffic of its own; frames of the others go on to the kernel's own stack.
    pub drop_slots: u32,
    /// A `Steering`.
    pub steering: u32,
    /// Rings that exist, at least one.
    pub ring_count: u32,
    /// Non-zero: only ports of the set are kept.
    pub port_filter: u32,
    /// Prefixes of `nets` in force; zero keeps all.
    pub net_count: u32,
    /// The multiplier that spreads the captured interface indexes over `iface_slots` without collision.
    pub iface_multiplier: u32,
    /// Non-zero: a UDP datagram of any port that looks exactly like VXLAN is taken for it.
    pub vxlan_any: u32,
    /// What places flows and datagrams in memory: drawn at each start of a live capture, so that no sender can fill one place;
    /// the same in every replay, so that it gives the same rows.
    pub memory_key: u64,
    /// Counter slot by spread interface index.
    pub iface_slots: [u8; IFACE_TABLE_COUNT],
    /// Prefixes: a flow is kept where source or destination is in one of them.
    pub nets: [Net; NET_COUNT_MAX],
    /// A flow is kept where source or destination port has its bit set.
    pub ports: [u64; PORT_WORD_COUNT],
    /// UDP to a port that has its bit set is VXLAN.
    pub vxlan_ports: [u64; PORT_WORD_COUNT],
}

const _: () = assert!(size_of::<Config>().is_multiple_of(8));
const _: () = assert!(IFACE_COUNT_MAX <= IFACE_TABLE_COUNT);
const _: () = assert!(IFACE_COUNT_MAX <= u32::BITS as usize);
const _: () = assert!(IFACE_COUNT_MAX.is_power_of_two());

impl Default for Config {
    fn default() -> Self {
        Self {
            sample_threshold: u32::MAX,
            sample_weight: 1,
            head_limit: HEAD_BYTES_DEFAULT,
            drop_slots: 0,
            steering: Steering::Cpu as u32,
            ring_count: 1,
            port_filter: 0,
            net_count: 0,
            iface_multiplier: 1,
            vxlan_any: 0,
            memory_key: MEMORY_KEY_DEFAULT,
            iface_slots: [0; IFACE_TABLE_COUNT],
            nets: [Net::default(); NET_COUNT_MAX],
            ports: [0; PORT_WORD_COUNT],
            vxlan_ports: ports_of(&VXLAN_PORTS),
        }
    }
}

impl Config {
    /// Keeps one flow in `weight`; zero and one keep all.
    pub fn set_sampling(&mut self, weight: u32) {
        self.sample_weight = weight.max(1);
        self.sample_threshold = u32::MAX / self.sample_weight;
    }

    /// Keeps flows with this port on either side (and those of other calls).
    pub fn add_port(&mut self, port: u16) {
        self.port_filter = 1;
        self.ports[usize::from(port) / 64] |= 1 << (port % 64);
    }

    /// Keeps flows with an address in this prefix (and those of other calls); false when `NET_COUNT_MAX` are set.
    pub fn add_net(&mut self, net: Net) -> bool {
        let index = self.net_count as usize;
        let free = index < NET_COUNT_MAX;
        if free {
            self.nets[index] = net;
            self.net_count += 1;
        }
        free
    }

    /// Gives each interface index the counter slot of its place in `ifindexes`; false where no multiplier of the
    /// search keeps them apart or they exceed `IFACE_COUNT_MAX`.
    pub fn set_ifaces(&mut self, ifindexes: &[u32]) -> bool {
        if ifindexes.len() > IFACE_COUNT_MAX {
            return false;
        }
        (0..1 << 16).map(|n: u32| n.wrapping_mul(0x9E37_79B8) | 1).any(|multiplier| {
            self.iface_multiplier = multiplier;
            let mut taken = [false; IFACE_TABLE_COUNT];
            ifindexes.iter().all(|&ifindex| {
                let place = self.iface_place(ifindex);
                !core::mem::replace(&mut taken[place], true)
            }) && self.fill_iface_slots(ifindexes)
        })
    }

    fn fill_iface_slots(&mut self, ifindexes: &[u32]) -> bool {
        self.iface_slots = [0; IFACE_TABLE_COUNT];
        for (slot, &ifindex) in (0..).zip(ifindexes) {
            self.iface_slots[self.iface_place(ifindex)] = slot;
        }
        true
    }

    #[inline(always)]
    fn iface_place(&self, ifindex: u32) -> usize {
        (ifindex.wrapping_mul(self.iface_multiplier) >> 24) as usize
    }

    /// Counter slot of an interface.
    #[inline(always)]
    pub fn iface_slot(&self, ifindex: u32) -> u32 {
        u32::from(self.iface_slots[self.iface_place(ifindex) % IFACE_TABLE_COUNT]) % IFACE_COUNT_MAX as u32
    }

    /// Whether frames of a counter slot end in XDP.
    #[inline(always)]
    pub fn drops(&self, slot: u32) -> bool {
        self.drop_slots >> (slot % u32::BITS) & 1 != 0
    }

    /// Takes UDP to this port for VXLAN (and to those of other calls).
    pub fn add_vxlan_port(&mut self, port: u16) {
        self.vxlan_ports[usize::from(port) / 64] |= 1 << (port % 64);
    }

    /// Whether the port set keeps this port.
    #[inline(always)]
    pub fn has_port(&self, port: u16) -> bool {
        is_in(&self.ports, port)
    }

    /// Whether UDP to this port is VXLAN.
    #[inline(always)]
    pub fn has_vxlan_port(&self, port: u16) -> bool {
        is_in(&self.vxlan_ports, port)
    }
}

#[inline(always)]
const fn is_in(ports: &[u64; PORT_WORD_COUNT], port: u16) -> bool {
    ports[(port >> 6) as usize % PORT_WORD_COUNT] >> (port & 63) & 1 != 0
}

fn ports_of(ports: &[u16]) -> [u64; PORT_WORD_COUNT] {
    let mut set = [0; PORT_WORD_COUNT];
    for &port in ports {
        set[usize::from(port) / 64] |= 1 << (port % 64);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn net_masks_what_lies_behind_its_prefix() {
        let net = Net::v4([10, 1, 255, 7], 16).unwrap();
        let address = |a: [u8; 4]| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&a);
            words(&bytes)
        };
        assert!(net.contains(address([10, 1, 0, 0])));
        assert!(!net.contains(address([10, 2, 0, 0])));
        assert!(Net::v4([0; 4], 0).unwrap().contains(address([255; 4])));
        assert!(Net::v4([0; 4], 33).is_none());
        assert!(Net::v6([0; 16], 129).is_none());
    }

    #[test]
    fn net_filters_end_at_their_limit() {
        let mut config = Config::default();
        let net = Net::v4([10, 0, 0, 0], 8).unwrap();
        assert!((0..NET_COUNT_MAX).all(|_| config.add_net(net)));
        assert!(!config.add_net(net));
    }

    proptest! {
        #[test]
        fn v6_prefix_equals_the_bitwise_one(a: u128, b: u128, len in 0u8..=128) {
            let net = Net::v6(a.to_be_bytes(), len).unwrap();
            let naive = len == 0 || (a ^ b) >> (128 - u32::from(len)) == 0;
            prop_assert_eq!(net.contains(words(&b.to_be_bytes())), naive);
        }

        #[test]
        fn port_set_holds_what_was_added(ports in prop::collection::vec(any::<u16>(), 0..20), probe: u16) {
            let mut config = Config::default();
            ports.iter().for_each(|&port| config.add_port(port));
            prop_assert_eq!(config.has_port(probe), ports.contains(&probe));
            prop_assert!(ports.iter().all(|&port| config.has_port(port)));
        }

        #[test]
        fn every_interface_has_its_own_slot(set in prop::collection::hash_set(1u32..100_000, 1..=IFACE_COUNT_MAX)) {
            let ifindexes: Vec<u32> = set.into_iter().collect();
            let mut config = Config::default();
            prop_assert!(config.set_ifaces(&ifindexes));
            for (slot, &ifindex) in (0..).zip(&ifindexes) {
                prop_assert_eq!(config.iface_slot(ifindex), slot);
            }
        }
    }
}
