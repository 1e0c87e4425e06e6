//! Addresses as text, for their columns: as `Display` writes them, without its machinery where they are IPv4.

use std::{fmt::Write as _, net::IpAddr};

/// Appends `address` to `text`.
pub(super) fn write_address(address: IpAddr, text: &mut String) {
    let v4 = match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => return write!(text, "{v6}").expect("a String takes any text"),
    };
    for (position, octet) in v4.octets().into_iter().enumerate() {
        if position > 0 {
            text.push('.');
        }
        let mut push = |digit: u8| text.push(char::from(b'0' + digit % 10));
        if octet >= 100 {
            push(octet / 100);
        }
        if octet >= 10 {
            push(octet / 10);
        }
        push(octet);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn addresses_are_as_display_writes_them() {
        let v4 = (0..=255).map(|octet: u8| Ipv4Addr::new(octet, 255 - octet, octet / 2, octet / 20).into());
        let v6 = [Ipv6Addr::LOCALHOST, Ipv6Addr::from_bits(u128::MAX / 3)].map(IpAddr::from);
        for address in v4.chain(v6) {
            let mut text = String::new();
            write_address(address, &mut text);
            assert_eq!(text, address.to_string());
        }
    }
}
