//! What the kernel knows about links, addresses and routes, asked over rtnetlink in the namespace of the caller.
//!
//! Requests are dumps, answers are walked attribute by attribute; what is not understood is passed over.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::FromRawFd as _;

const ANSWER_BYTES_MAX: usize = 1 << 16;
const HEADER_BYTES: usize = 16;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Bytes of a packet.
    pub mtu: u32,
    /// Bridge, bond or switch it is a port of.
    pub master: Option<u32>,
    /// Interface it was made on top of.
    pub lower: Option<u32>,
    /// Kind of a virtual interface (`veth`, `vlan`, ...).
    pub kind: Option<String>,
    /// Receive queues.
    pub rx_queue_count: u32,
    /// Id of the XDP program attached to it.
    pub xdp_program: Option<u32>,
}

/// All interfaces of the namespace.
pub fn links() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    dump(libc::RTM_GETLINK, libc::AF_UNSPEC as u8, 16, |body| links.extend(link(body)))?;
    Ok(links)
}

/// Frames a link lost, as its driver tells the kernel (`struct rtnl_link_stats64`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkErrors {
    /// Dropped by the driver or the kernel behind it.
    pub dropped: u64,
    /// The card's ring was full.
    pub over: u64,
    /// Came damaged.
    pub crc: u64,
    /// The card's memory was full.
    pub fifo: u64,
    /// Missed by the card.
    pub missed: u64,
}

/// What every interface of the namespace lost, by index.
pub fn errors() -> io::Result<Vec<(u32, LinkErrors)>> {
    let mut found = Vec::new();
    dump(libc::RTM_GETLINK, libc::AF_UNSPEC as u8, 16, |body| found.extend(link_errors(body)))?;
    Ok(found)
}

fn link_errors(body: &[u8]) -> Option<(u32, LinkErrors)> {
    let attributes = body.get(16..)?;
    let (_, stats) = self::attributes(attributes).find(|(kind, _)| *kind == libc::IFLA_STATS64)?;
    let nth = |at: usize| stats.get(at * 8..)?.first_chunk().copied().map(u64::from_ne_bytes);
    let errors =
        LinkErrors { dropped: nth(6)?, over: nth(11)?, crc: nth(12)?, fifo: nth(14)?, missed: nth(15)? };
    Some((u32_at(body, 4)?, errors))
}

/// Interfaces with an address other than a link-local one, by index, possibly repeated.
pub fn addressed() -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    dump(libc::RTM_GETADDR, libc::AF_UNSPEC as u8, 8, |body| {
        let scope = body.get(3).copied();
        if scope != Some(libc::RT_SCOPE_LINK) {
            found.extend(u32_at(body, 4));
        }
    })?;
    Ok(found)
}

/// Interfaces a unicast route leads out of, by index, possibly repeated; link-local prefixes do not count.
pub fn routed() -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        dump(libc::RTM_GETROUTE, family as u8, 12, |body| {
            let unicast = body.get(7).copied() == Some(libc::RTN_UNICAST);
            let attributes = || attributes(body.get(12..).unwrap_or_default());
            let link_local = attributes().any(|(kind, value)| {
                kind == libc::RTA_DST && matches!(value, [0xfe, 0x80..=0xbf, ..] | [169, 254, _, _])
            });
            if unicast && !link_local {
                found.extend(
                    attributes().filter(|(kind, _)| *kind == libc::RTA_OIF).filter_map(|(_, v)| u32_at(v, 0)),
                );
            }
        })?;
    }
    Ok(found)
}

/// Sends a dump request of a type with a zeroed body of `body_bytes` (its first byte the family) and hands over the body
/// of each answer.
fn dump(kind: u16, family: u8, body_bytes: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut socket = open()?;
    let mut request = vec![0; HEADER_BYTES + body_bytes];
    let length = request.len() as u32;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&kind.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[HEADER_BYTES] = family;
    socket.write_all(&request)?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.read(&mut answer)?;
        if messages(&answer[..length], &mut each)? {
            return Ok(());
        }
    }
}

/// Walks the messages of one datagram; true behind the last one of the dump.
fn messages(mut bytes: &[u8], each: &mut impl FnMut(&[u8])) -> io::Result<bool> {
    while let (Some(length), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let Some(body) = bytes.get(HEADER_BYTES..length as usize) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "cut netlink message"));
        };
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(true),
            libc::NLMSG_ERROR => {
                let errno = u32_at(body, 0).unwrap_or_default() as i32;
                return Err(io::Error::from_raw_os_error(-errno));
            }
            _ => each(body),
        }
        bytes = bytes.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn open() -> io::Result<File> {
    // SAFETY: socket has no preconditions.
    let fd =
        unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor the kernel just made, owned by nobody else.
    Ok(unsafe { File::from_raw_fd(fd) })
}

fn link(body: &[u8]) -> Option<Link> {
    let mut link = Link { ifindex: u32_at(body, 4)?, ..Link::default() };
    link.up = u32_at(body, 8)? & libc::IFF_UP as u32 != 0;
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            libc::IFLA_MASTER => link.master = u32_at(value, 0),
            libc::IFLA_LINK => link.lower = u32_at(value, 0),
            libc::IFLA_NUM_RX_QUEUES => link.rx_queue_count = u32_at(value, 0)?,
            libc::IFLA_LINKINFO => {
                link.kind =
                    attributes(value).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND).map(|(_, v)| text(v));
            }
            IFLA_XDP => {
                link.xdp_program = attributes(value)
                    .find(|(kind, _)| *kind == IFLA_XDP_PROG_ID)
                    .and_then(|(_, v)| u32_at(v, 0));
            }
            _ => {}
        }
    }
    Some(link)
}

/// The attributes in a stretch of bytes: type without flags, and value.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & NLA_TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known() {
        let links = links().unwrap();
        let loopback = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(loopback.ifindex, 1);
        assert!(loopback.mtu >= 1500);
    }

    #[test]
    fn loopback_has_lost_nothing() {
        let errors = errors().unwrap();
        assert!(
            errors.iter().any(|(ifindex, of)| *ifindex == 1 && *of == LinkErrors::default()),
            "{errors:?}"
        );
    }

    #[test]
    fn cut_answers_are_refused_and_cut_attributes_end_the_walk() {
        let mut cut = vec![0; 20];
        cut[..4].copy_from_slice(&64u32.to_ne_bytes());
        assert!(messages(&cut, &mut |_| {}).is_err());
        assert_eq!(attributes(&[9, 0, 1, 0, 0]).count(), 0);
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
    }
}
