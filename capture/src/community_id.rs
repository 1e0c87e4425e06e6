//! Community ID v1: the connection name that Zeek, Suricata and others log too, so that rows join with theirs.
//!
//! Computed once per connection. Seed 0; SHA-1 over seed, addresses, protocol and ports with the smaller endpoint
//! first, in base64, behind `1:` (the specification at github.com/corelight/community-id-spec).

use std::net::{IpAddr, SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

/// Characters of an identifier: `1:` and the base64 of 20 bytes.
pub const COMMUNITY_ID_BYTES: usize = 30;

const PROTOCOL_TCP: u8 = 6;

/// Writes the identifier of a TCP connection, in whichever direction, into `id` and returns it as text.
pub fn community_id(a: SocketAddr, b: SocketAddr, id: &mut [u8; COMMUNITY_ID_BYTES]) -> &str {
    let (low, high) = if (a.ip(), a.port()) <= (b.ip(), b.port()) { (a, b) } else { (b, a) };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    update_address(&mut hash, low.ip());
    update_address(&mut hash, high.ip());
    hash.update([PROTOCOL_TCP, 0]);
    hash.update(low.port().to_be_bytes());
    hash.update(high.port().to_be_bytes());
    id[..2].copy_from_slice(b"1:");
    let written = STANDARD.encode_slice(hash.finalize(), &mut id[2..]).expect("28 characters hold 20 bytes");
    assert_eq!(written, COMMUNITY_ID_BYTES - 2);
    std::str::from_utf8(id).expect("base64 is ASCII")
}

fn update_address(hash: &mut Sha1, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => hash.update(v4.octets()),
        IpAddr::V6(v6) => hash.update(v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(a: &str, b: &str) -> String {
        let mut buffer = [0; COMMUNITY_ID_BYTES];
        community_id(a.parse().unwrap(), b.parse().unwrap(), &mut buffer).to_owned()
    }

    #[test]
    fn published_vectors_in_both_directions() {
        for (a, b, expected) in [
            ("128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            ("1.2.3.4:1122", "5.6.7.8:3344", "1:wCb3OG7yAFWelaUydu0D+125CLM="),
            (
                "[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943",
                "[2607:f8b0:400c:c03::1a]:25",
                "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
            ),
        ] {
            assert_eq!(id(a, b), expected);
            assert_eq!(id(b, a), expected);
        }
    }

    #[test]
    fn ports_order_a_connection_of_one_address() {
        // Computed from the specification's pseudo code with another SHA-1.
        assert_eq!(id("10.0.0.1:20", "10.0.0.1:10"), "1:1Lc+0H/HgLmR5V4rmOeuDZQS11k=");
        assert_eq!(id("10.0.0.1:10", "10.0.0.1:20"), "1:1Lc+0H/HgLmR5V4rmOeuDZQS11k=");
    }
}
