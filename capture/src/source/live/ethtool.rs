//! What a card's driver says about itself, by the ethtool ioctl; `None` where it does not say.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GRSSH: u32 = 0x46;
const FLAG_RXVLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;

/// Head of `struct ethtool_rxfh`, before the indirection table and the key.
const RXFH_BYTES: usize = 24;
const RXFH_BYTES_MAX: usize = 64 * 1024;

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
    }
}
