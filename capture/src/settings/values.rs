//! Values as people write them: sizes, times, shares, networks. Each refusal says which part and what is accepted.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    time::Duration,
};

use storage::retention::KeepFree;

use super::Sampling;

/// A network: an address without bits behind its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    prefix_len: u8,
}

impl Net {
    /// The lowest address of the network.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Leading bits that addresses of the network share.
    pub fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// True for an address of the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && Self::masked(address, self.prefix_len) == self.address
    }

    fn masked(address: IpAddr, prefix_len: u8) -> IpAddr {
        match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ACCEPTED: &str = "expected a network such as 10.0.0.0/8, 2001:db8::/32, or one address";
        let (address_text, len_text) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr =
            address_text.parse().or(Err(format!("'{address_text}' is not an IP address; {ACCEPTED}")))?;
        let len_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len =
            match len_text {
                None => len_max,
                Some(len) => len.parse().ok().filter(|len| *len <= len_max).ok_or_else(|| {
                    format!("'{len}' is not a prefix length from 0 to {len_max}; {ACCEPTED}")
                })?,
            };
        let net = Self { address: Self::masked(address, prefix_len), prefix_len };
        if net.address != address {
            return Err(format!("{address} has bits behind the first {prefix_len}; did you mean {net}?"));
        }
        Ok(net)
    }
}

/// Understands a number of bytes.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 18] = [
        ("", 1),
        ("b", 1),
        ("k", 1 << 10),
        ("kib", 1 << 10),
        ("kb", 1_000),
        ("m", 1 << 20),
        ("mib", 1 << 20),
        ("mb", 1_000_000),
        ("g", 1 << 30),
        ("gib", 1 << 30),
        ("gb", 1_000_000_000),
        ("t", 1 << 40),
        ("tib", 1 << 40),
        ("tb", 1_000_000_000_000),
        ("p", 1 << 50),
        ("pib", 1 << 50),
        ("pb", 1_000_000_000_000_000),
        ("bytes", 1),
    ];
    const ACCEPTED: &str = "expected a size such as 4096, 16k, 256MiB, or 2TB (k, M, G, T count in 1024s as KiB does; \
                            kB, MB, GB, TB in 1000s)";
    let (number, unit) = split_unit(text).ok_or_else(|| format!("'{text}' is not a size; {ACCEPTED}"))?;
    let unit = unit.to_ascii_lowercase();
    let (_, factor) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("'{unit}' is not a unit of size; {ACCEPTED}"))?;
    number.checked_mul(*factor).ok_or_else(|| format!("'{text}' is more than 64 bits count; {ACCEPTED}"))
}

/// Understands room on a filesystem: a size, or a share of it in percent.
pub(super) fn parse_room(text: &str) -> Result<KeepFree, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return parse_bytes(text).map(KeepFree::Bytes);
    };
    let percent = percent.parse().ok().filter(|percent| (1..=99).contains(percent));
    percent.map(KeepFree::Percent).ok_or_else(|| format!("'{text}' is not a share from 1% to 99%"))
}

/// Understands a length of time above zero.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    const ACCEPTED: &str = "expected a time such as 500ms, 10s, 5m, 12h, or 30d";
    let (number, unit) = split_unit(text).ok_or_else(|| format!("'{text}' is not a time; {ACCEPTED}"))?;
    if unit.is_empty() {
        return Err(format!("'{text}' has no unit; {ACCEPTED}"));
    }
    let (_, factor) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("'{unit}' is not a unit of time; {ACCEPTED}"))?;
    match number.checked_mul(*factor) {
        Some(0) => Err(format!("'{text}' is no time at all; {ACCEPTED}")),
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Err(format!("'{text}' is too long; {ACCEPTED}")),
    }
}

/// Understands a share of connections, `1/N` or `N`, and gives N.
pub(super) fn parse_sampling(text: &str) -> Result<Sampling, String> {
    if text == "auto" { Ok(Sampling::Auto) } else { parse_share(text).map(Sampling::Fixed) }
}

fn parse_share(text: &str) -> Result<u32, String> {
    let refusal = || format!("'{text}' is not a share; expected 1/N, such as 1/10 for one connection in ten");
    let weight = text.strip_prefix("1/").unwrap_or(text);
    match weight.parse() {
        Ok(0) | Err(_) => Err(refusal()),
        Ok(weight) if weight > super::resolve::SAMPLE_WEIGHT_MAX => {
            Err(format!("'{text}' is less than the smallest share, 1/{}", super::resolve::SAMPLE_WEIGHT_MAX))
        }
        Ok(weight) => Ok(weight),
    }
}

/// A whole number and the letters behind it.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("16k", 16 << 10),
            ("16 KiB", 16 << 10),
            ("16kB", 16_000),
            ("256MiB", 256 << 20),
            ("2TB", 2_000_000_000_000),
            ("1g", 1 << 30),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "-1", "1.5G", "1x", "99999999999T", "99999999999999999999"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, ms) in
            [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "0s", "s", "5 parsecs", "-5s", "99999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0", "192.0.2.1/32"] {
            assert_eq!(text.parse::<Net>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.1".parse::<Net>().unwrap().to_string(), "192.0.2.1/32");
        assert_eq!("::1".parse::<Net>().unwrap().to_string(), "::1/128");
        assert_eq!(
            "10.1.2.3/8".parse::<Net>(),
            Err("10.1.2.3 has bits behind the first 8; did you mean 10.0.0.0/8?".to_owned())
        );
        let net: Net = "10.0.0.0/8".parse().unwrap();
        let inside = |address: &str| net.contains(address.parse().unwrap());
        assert!(inside("10.9.9.9") && !inside("11.0.0.1") && !inside("::a00:1"));
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "example.com", "10.0.0.0/-1"] {
            assert!(text.parse::<Net>().is_err(), "{text}");
        }
    }
}
