//! Addresses of clients, cut to a network: in rows, and in the fields in which proxies pass them on.
//!
//! Invariant: of what stands at the place of an address, no bit behind the prefix is written, whatever its spelling; what
//! cannot be read as an address becomes a token.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::token::Tokenizer;
use crate::http::syntax::trim;

/// Leading bits of client addresses that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Of 32.
    pub ipv4: u8,
    /// Of 128.
    pub ipv6: u8,
}

impl Prefixes {
    /// All bits stay.
    pub const WHOLE: Prefixes = Prefixes { ipv4: 32, ipv6: 128 };

    /// The network of an address; one of IPv4 within IPv6 is cut as IPv4.
    pub fn network(self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => IpAddr::V4(self.network_v4(v4)),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V6(self.network_v4(v4).to_ipv6_mapped()),
                None => {
                    let mask = u128::MAX.checked_shl(128 - u32::from(self.ipv6)).unwrap_or(0);
                    IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
                }
            },
        }
    }

    fn network_v4(self, v4: Ipv4Addr) -> Ipv4Addr {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.ipv4)).unwrap_or(0);
        Ipv4Addr::from_bits(v4.to_bits() & mask)
    }
}

/// What the names of fields hold in which proxies pass on the client's address.
const ADDRESS_FIELDS: &[&[u8]] = &[
    b"forwarded",
    b"client-ip",
    b"clientip",
    b"connecting-ip",
    b"real-ip",
    b"user-ip",
    b"userip",
    b"socketip",
    b"remote-ip",
    b"remote-addr",
    b"external-address",
    b"pseudo-ipv4",
    b"peer-ip",
    b"source-ip",
];

/// Fields that only look like it.
const NO_ADDRESS_FIELDS: &[&[u8]] = &[
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-server",
    b"x-forwarded-scheme",
    b"x-forwarded-prefix",
    b"x-forwarded-path",
    b"x-forwarded-uri",
    b"x-forwarded-method",
    b"x-forwarded-ssl",
];

/// True for a field in which proxies pass on the client's address.
pub(super) fn is_address_field(name: &[u8]) -> bool {
    let holds = |part: &[u8]| name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    ADDRESS_FIELDS.iter().any(|part| holds(part))
        && !NO_ADDRESS_FIELDS.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// Writes a list of addresses (X-Forwarded-For), or of parameters of which `for` is one (RFC 7239), cut to networks.
pub(super) fn write_truncated(list: &[u8], prefixes: Prefixes, tokenizer: &Tokenizer, out: &mut Vec<u8>) {
    for (at, element) in list.split(|&byte| byte == b',' || byte == b';').enumerate() {
        if at > 0 {
            out.extend_from_slice(if list[..offset(list, element)].ends_with(b";") { b";" } else { b"," });
        }
        let text = trim(element);
        let start = offset(element, text);
        out.extend_from_slice(&element[..start]);
        write_element(text, prefixes, tokenizer, out);
        out.extend_from_slice(&element[start + text.len()..]);
    }
}

fn offset(outer: &[u8], inner: &[u8]) -> usize {
    inner.as_ptr().addr() - outer.as_ptr().addr()
}

fn write_element(element: &[u8], prefixes: Prefixes, tokenizer: &Tokenizer, out: &mut Vec<u8>) {
    if let Some(equals) = memchr::memchr(b'=', element) {
        let (name, value) = (&element[..equals], &element[equals + 1..]);
        // Whose node it is of the others is the proxy's affair, not the client's.
        if [&b"by"[..], b"host", b"proto"].iter().any(|kept| kept.eq_ignore_ascii_case(trim(name))) {
            out.extend_from_slice(element);
            return;
        }
        out.extend_from_slice(name);
        out.push(b'=');
        return write_node(value, prefixes, tokenizer, out);
    }
    write_node(element, prefixes, tokenizer, out);
}

/// One node: an address with or without port, brackets and quotes; `unknown` and `_name` stay (RFC 7239 section 6).
fn write_node(node: &[u8], prefixes: Prefixes, tokenizer: &Tokenizer, out: &mut Vec<u8>) {
    let bare = node.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(node);
    let is_name = bare.eq_ignore_ascii_case(b"unknown") || bare.first() == Some(&b'_');
    if node.is_empty() || is_name && bare.len() <= NODE_NAME_BYTES_MAX && !bare.contains(&b':') {
        return out.extend_from_slice(node);
    }
    let Some(address) = std::str::from_utf8(bare).ok().and_then(address_of) else {
        return tokenizer.write(node, out);
    };
    write!(out, "{}", prefixes.network(address)).expect("memory takes every byte");
}

/// Longest name of a node that is taken for one.
const NODE_NAME_BYTES_MAX: usize = 32;

/// An address without its port, zone and brackets.
fn address_of(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse() {
        return Some(address);
    }
    if let Some(rest) = node.strip_prefix('[') {
        let (literal, _) = rest.split_once(']')?;
        let address = literal.split_once('%').map_or(literal, |(address, _)| address);
        return address.parse().ok().map(IpAddr::V6);
    }
    if let Some((address, _)) = node.split_once('%') {
        return address.parse().ok();
    }
    let (address, port) = node.split_once(':')?;
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| address.parse().ok().map(IpAddr::V4))?
}

#[cfg(test)]
mod tests {
    use super::{super::key::Key, *};

    const PREFIXES: Prefixes = Prefixes { ipv4: 24, ipv6: 48 };

    fn truncated(list: &str) -> String {
        let mut out = Vec::new();
        write_truncated(list.as_bytes(), PREFIXES, &Tokenizer::new(Key::from_bytes([7; 32])), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_become_networks_in_every_spelling() {
        for (list, expected) in [
            ("192.0.2.77", "192.0.2.0"),
            ("192.0.2.77:4711", "192.0.2.0"),
            ("192.0.2.77, 198.51.100.9,unknown", "192.0.2.0, 198.51.100.0,unknown"),
            ("2001:db8:1:2::3", "2001:db8:1::"),
            ("[2001:db8:1:2::3]:443", "2001:db8:1::"),
            ("\"[2001:db8:1:2::3]\"", "2001:db8:1::"),
            ("2001:DB8:1:2:0:0:0:3%eth0", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
            ("for=192.0.2.77;proto=http;by=203.0.113.43", "for=192.0.2.0;proto=http;by=203.0.113.43"),
            ("For=\"[2001:db8:1:2::3]:1\", for=_gw", "For=2001:db8:1::, for=_gw"),
            ("", ""),
        ] {
            assert_eq!(truncated(list), expected, "{list}");
        }
    }

    #[test]
    fn what_is_no_address_becomes_a_token() {
        for list in
            ["3221226061", "0xc000024d", "192.0.2.077", "192.0.2.77.", "host-77.example", "for=x77", "x=77"]
        {
            let out = truncated(list);
            assert!(out.contains("tok:") && !out.contains("77"), "{list}: {out}");
        }
    }

    #[test]
    fn prefixes_of_any_length() {
        let v4: IpAddr = "255.255.255.255".parse().unwrap();
        assert_eq!(Prefixes { ipv4: 0, ipv6: 0 }.network(v4).to_string(), "0.0.0.0");
        assert_eq!(Prefixes { ipv4: 31, ipv6: 0 }.network(v4).to_string(), "255.255.255.254");
        assert_eq!(Prefixes::WHOLE.network(v4), v4);
        let v6: IpAddr = "ffff::ffff".parse().unwrap();
        assert_eq!(Prefixes { ipv4: 0, ipv6: 0 }.network(v6).to_string(), "::");
        assert_eq!(Prefixes::WHOLE.network(v6), v6);
    }

    #[test]
    fn fields_of_proxies() {
        for name in ["X-Forwarded-For", "forwarded", "True-Client-IP", "CF-Connecting-IP", "x-real-ip"] {
            assert!(is_address_field(name.as_bytes()), "{name}");
        }
        for name in ["X-Forwarded-Proto", "x-forwarded-host", "Host", "Via", "X-Client"] {
            assert!(!is_address_field(name.as_bytes()), "{name}");
        }
    }
}
