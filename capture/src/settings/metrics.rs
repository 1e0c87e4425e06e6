//! Where metrics are asked for: an address of TCP, or the path of a Unix socket.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

/// An address of `--metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// Loopback, unless another address was typed.
    Tcp(SocketAddr),
    /// A socket that is made at this path.
    Unix(PathBuf),
}

impl MetricsAddress {
    /// The folder in which a socket is made, and removed at the end.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            MetricsAddress::Tcp(_) => None,
            MetricsAddress::Unix(path) => {
                Some(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
            }
        }
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricsAddress::Tcp(socket) => write!(f, "{socket}"),
            MetricsAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ACCEPTED: &str = "expected an address such as 127.0.0.1:9108 or [::1]:9108, a port such as 9108 (on \
                                127.0.0.1), or unix:/run/hdrcap/metrics.sock";
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(MetricsAddress::Unix(PathBuf::from(path))),
                false => Err(format!("'{path}' is no absolute path; {ACCEPTED}")),
            };
        }
        if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
            return Ok(MetricsAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        }
        text.parse().map(MetricsAddress::Tcp).or(Err(format!("'{text}' is no address; {ACCEPTED}")))
    }
}

/// Understands a share: `1%` or `0.01`.
pub(super) fn parse_portion(text: &str) -> Result<f64, String> {
    let (number, divisor) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / divisor);
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
        format!("'{text}' is no share; expected a percentage such as 1% or 0.5%, or a number from 0 to 1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback() {
        for (text, told) in [
            ("9108", "127.0.0.1:9108"),
            (":9108", "127.0.0.1:9108"),
            ("0.0.0.0:9108", "0.0.0.0:9108"),
            ("[::1]:9108", "[::1]:9108"),
            ("unix:/run/hdrcap/metrics.sock", "unix:/run/hdrcap/metrics.sock"),
        ] {
            assert_eq!(text.parse::<MetricsAddress>().unwrap().to_string(), told);
        }
        for text in ["", "70000", "localhost", "unix:metrics.sock", "127.0.0.1"] {
            assert!(text.parse::<MetricsAddress>().unwrap_err().contains("127.0.0.1:9108"), "{text}");
        }
    }

    #[test]
    fn shares_are_percentages_or_numbers() {
        assert_eq!(
            [parse_portion("1%"), parse_portion("0.01"), parse_portion("0")],
            [Ok(0.01), Ok(0.01), Ok(0.0)]
        );
        assert!(["", "%", "2", "-1%", "nan"].iter().all(|text| parse_portion(text).is_err()));
    }
}
