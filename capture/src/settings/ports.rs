//! Sets of TCP ports as people write them: `80,8080-8090`.

use std::str::FromStr;

const ACCEPTED: &str = "expected ports 1 to 65535 and ranges of them, such as 80,8080-8090";

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

/// A set of ports: ranges in order that neither overlap nor touch. Without any it stands for all ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet {
    ranges: Vec<PortRange>,
}

impl PortSet {
    /// The ranges in ascending order; none where all ports are meant.
    pub fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }

    /// True where no port is left out.
    pub fn is_all(&self) -> bool {
        self.ranges.is_empty()
    }

    /// True where the port is meant.
    pub fn contains(&self, port: u16) -> bool {
        self.is_all() || self.ranges.iter().any(|range| (range.first..=range.last).contains(&port))
    }

    /// All ports of both sets, where both name ports.
    pub(super) fn union(sets: impl IntoIterator<Item = PortSet>) -> Self {
        let mut ranges: Vec<_> = sets.into_iter().flat_map(|set| set.ranges).collect();
        ranges.sort_by_key(|range| range.first);
        let mut merged: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(before) if range.first <= before.last.saturating_add(1) => {
                    before.last = before.last.max(range.last);
                }
                Some(_) | None => merged.push(range),
            }
        }
        Self { ranges: merged }
    }
}

impl FromStr for PortSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(|part| {
            let range = parse_range(part.trim())?;
            Ok(Self { ranges: vec![range] })
        });
        Ok(Self::union(parts.collect::<Result<Vec<_>, String>>()?))
    }
}

/// Where VXLAN is looked for besides its usual ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VxlanPorts {
    /// On these.
    These(PortSet),
    /// On all, where a datagram looks exactly like it.
    Any,
}

impl Default for VxlanPorts {
    fn default() -> Self {
        Self::These(PortSet::default())
    }
}

impl VxlanPorts {
    /// All ports of both; no port stands for none besides the usual.
    pub(super) fn union(given: impl IntoIterator<Item = Self>) -> Self {
        let mut sets = Vec::new();
        for ports in given {
            match ports {
                Self::These(set) => sets.push(set),
                Self::Any => return Self::Any,
            }
        }
        Self::These(PortSet::union(sets))
    }
}

impl FromStr for VxlanPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "any" { Ok(Self::Any) } else { text.parse().map(Self::These) }
    }
}

fn parse_range(part: &str) -> Result<PortRange, String> {
    if part.is_empty() {
        return Err(format!("a part between commas is empty; {ACCEPTED}"));
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let range = PortRange { first: parse_port(first)?, last: parse_port(last)? };
    if range.first > range.last {
        return Err(format!("'{part}' runs backwards; {ACCEPTED}"));
    }
    Ok(range)
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("'{text}' is not a port; {ACCEPTED}")),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Vec<(u16, u16)> {
        let set: PortSet = text.parse().unwrap();
        set.ranges().iter().map(|range| (range.first, range.last)).collect()
    }

    #[test]
    fn ranges_are_sorted_and_merged() {
        assert_eq!(ranges("80"), [(80, 80)]);
        assert_eq!(ranges("8080-8090, 80,443"), [(80, 80), (443, 443), (8080, 8090)]);
        assert_eq!(ranges("80-90,85-100,101,50-95"), [(50, 101)]);
        assert_eq!(ranges("65535,1-65534"), [(1, 65535)]);
    }

    #[test]
    fn vxlan_is_on_given_ports_or_on_any() {
        let these = |text: &str| VxlanPorts::These(text.parse().unwrap());
        assert_eq!("4000,5000-5002".parse(), Ok(these("4000,5000-5002")));
        assert_eq!("any".parse(), Ok(VxlanPorts::Any));
        assert!("all".parse::<VxlanPorts>().is_err());
        assert_eq!(VxlanPorts::union([these("1"), these("2")]), these("1-2"));
        assert_eq!(VxlanPorts::union([these("1"), VxlanPorts::Any]), VxlanPorts::Any);
        assert_eq!(VxlanPorts::union([]), VxlanPorts::default());
    }

    #[test]
    fn membership_agrees_with_a_list() {
        let set: PortSet = "80,8080-8082".parse().unwrap();
        let members: Vec<u16> = (0..=u16::MAX).filter(|port| set.contains(*port)).collect();
        assert_eq!(members, [80, 8080, 8081, 8082]);
        assert!(PortSet::default().is_all() && PortSet::default().contains(1));
    }
}
