//! What a card's driver says about itself, by the ethtool ioctl; `None` where it does not say.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GRSSH: u32 = 0x46;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETH_SS_STATS: u32 = 1;
const ETH_GSTRING_BYTES: usize = 32;
const FLAG_RXVLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;

/// Head of `struct ethtool_rxfh`, before the indirection table and the key.
const RXFH_BYTES: usize = 24;
const RXFH_BYTES_MAX: usize = 64 * 1024;

/// Counters of one driver at the most.
const STATISTIC_COUNT_MAX: usize = 1 << 16;

/// Counters a driver may come to have between two requests: queues are added while it is asked.
const STATISTIC_COUNT_SPARE: usize = 1 << 12;

/// Offloads that change what a capture sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offloads {
    /// VLAN tags are taken out of frames.
    pub vlan_stripping: bool,
    /// Segments are merged by the card.
    pub lro: bool,
}

/// The offloads in force.
pub fn offloads(name: &str) -> Option<Offloads> {
    let mut request = [ETHTOOL_GFLAGS, 0];
    ioctl(name, request.as_mut_ptr().cast()).ok()?;
    Some(Offloads { vlan_stripping: request[1] & FLAG_RXVLAN != 0, lro: request[1] & FLAG_LRO != 0 })
}

/// The driver's own counters by name (`ethtool -S`); none where it has none, or they change while it is asked.
pub fn statistics(name: &str) -> Vec<(String, u64)> {
    let Some(count) = statistic_count(name).filter(|count| (1..=STATISTIC_COUNT_MAX).contains(count)) else {
        return Vec::new();
    };
    let room = count + STATISTIC_COUNT_SPARE;
    // Headers of 12 and of 8 bytes; what follows is written by the driver, as much as it has.
    let mut names = vec![0u32; 3 + room * ETH_GSTRING_BYTES / 4];
    names[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_STATS, count as u32]);
    let mut values = vec![0u64; 1 + room];
    values[0] = u64::from_ne_bytes(pair(ETHTOOL_GSTATS, count as u32));
    let asked = ioctl(name, names.as_mut_ptr().cast()).and_then(|()| ioctl(name, values.as_mut_ptr().cast()));
    let told = |word: u32| word as usize == count;
    let [_, values_told] = words(values[0]);
    if asked.is_err() || !told(names[2]) || !told(values_told) {
        return Vec::new();
    }
    let bytes: Vec<u8> = names[3..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let text = |name: &[u8]| {
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        String::from_utf8_lossy(&name[..end]).into_owned()
    };
    bytes.chunks_exact(ETH_GSTRING_BYTES).map(text).zip(values[1..].iter().copied()).take(count).collect()
}

/// Counters the driver has; `struct ethtool_sset_info` ends with as many words as there are bits in its mask.
fn statistic_count(name: &str) -> Option<usize> {
    let mut request = [u64::from_ne_bytes(pair(ETHTOOL_GSSET_INFO, 0)), 1 << ETH_SS_STATS, 0];
    ioctl(name, request.as_mut_ptr().cast()).ok()?;
    let [count, _] = words(request[2]);
    (request[1] == 1 << ETH_SS_STATS).then_some(count as usize)
}

fn pair(first: u32, second: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    bytes
}

fn words(double: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = double.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

/// Whether the card sends both directions of a connection to one queue.
pub fn rss_is_symmetric(name: &str) -> Option<bool> {
    let mut sizes = vec![0u32; RXFH_BYTES / 4];
    sizes[0] = ETHTOOL_GRSSH;
    ioctl(name, sizes.as_mut_ptr().cast()).ok()?;
    let (table_words, key_bytes) = (sizes[2] as usize, sizes[3] as usize);
    let total = table_words.checked_mul(4)?.checked_add(key_bytes)?.checked_add(RXFH_BYTES)?;
    if total > RXFH_BYTES_MAX {
        return None;
    }
    let mut whole = vec![0u32; total.div_ceil(4)];
    whole[0] = ETHTOOL_GRSSH;
    whole[2] = sizes[2];
    whole[3] = sizes[3];
    ioctl(name, whole.as_mut_ptr().cast()).ok()?;
    let bytes: Vec<u8> = whole.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let key = bytes.get(RXFH_BYTES + table_words * 4..total)?;
    let input_is_made_symmetric = bytes.get(17).is_some_and(|transform| *transform != 0);
    Some(input_is_made_symmetric || key_is_symmetric(key))
}

/// A Toeplitz key that repeats every 16 bits hashes both directions alike.
fn key_is_symmetric(key: &[u8]) -> bool {
    key.len() >= 4 && key.windows(3).all(|bytes| bytes[0] == bytes[2])
}

/// One `SIOCETHTOOL`; `data` begins with the command and is as large as the command wants it.
fn ioctl(name: &str, data: *mut libc::c_char) -> io::Result<()> {
    // SAFETY: socket has no preconditions.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor the kernel just made, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (place, byte) in ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *place = byte as libc::c_char;
    }
    let mut request = libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data } };
    // SAFETY: a complete request; the callers size `data` by the command in it.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symmetric_keys_repeat_every_two_bytes() {
        assert!(key_is_symmetric(&[0x6d, 0x5a].repeat(20)));
        assert!(!key_is_symmetric(&[0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2]));
        assert!(!key_is_symmetric(&[]));
    }

    #[test]
    fn loopback_merges_nothing_and_unknown_names_say_nothing() {
        assert_eq!(offloads("lo").map(|offloads| offloads.lro), Some(false));
        assert_eq!(offloads("no-such-if"), None);
        assert_eq!(statistics("lo"), []);
        assert_eq!(statistics("no-such-if"), []);
    }
}
