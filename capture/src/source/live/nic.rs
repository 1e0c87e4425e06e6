//! Facts about an interface that decide how to capture from it, and warnings for its operator.
//!
//! Read once at start, before anything is attached. Invariant: what the driver does not say is unknown, not assumed.

use super::ethtool::{self, Offloads};
use super::netlink::{self, Link};
use std::fmt;
use std::io;

/// Kinds of interfaces that are made on top of another and take their frames from it.
const UPPER_KINDS: [&str; 6] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"];

/// Why an interface cannot be captured from.
#[derive(Debug, thiserror::Error)]
pub enum NicError {
    /// It does not exist.
    #[error("no interface {name}; there are: {}", others.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        others: Vec<String>,
    },
    /// It is down.
    #[error("interface {name} is down; try: ip link set dev {name} up")]
    Down {
        /// Its name.
        name: String,
    },
    /// The kernel did not answer.
    #[error("could not ask the kernel about its interfaces")]
    Netlink(#[from] io::Error),
}

/// One interface as found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Link facts.
    pub link: Link,
    /// It has an address of its own.
    pub addressed: bool,
    /// A unicast route leads out of it.
    pub routed: bool,
    /// Interfaces that take their frames from it: ports' masters, VLANs, macvlans.
    pub users: Vec<String>,
    /// Offloads that change what is captured; `None` where the driver does not say.
    pub offloads: Option<Offloads>,
    /// Both directions of a connection arrive at one queue; `None` where the driver does not say.
    pub symmetric_rss: Option<bool>,
}

/// Something the operator should know before trusting the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NicWarning {
    /// VLAN tags are taken out of frames before XDP sees them.
    VlanStripped {
        /// Interface.
        name: String,
    },
    /// The card merges segments.
    SegmentsMerged {
        /// Interface.
        name: String,
    },
}

impl fmt::Display for NicWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VlanStripped { name } => write!(
                f,
                "{name} strips VLAN tags, so vlan_ids stay empty; to keep them: ethtool -K {name} rxvlan off"
            ),
            Self::SegmentsMerged { name } => write!(
                f,
                "{name} merges segments (LRO), which hides boundaries and timestamps; to see them as sent: \
                 ethtool -K {name} lro off"
            ),
        }
    }
}

/// Looks up interfaces that are to be captured from, in the order of their names.
pub fn find(names: &[String]) -> Result<Vec<Nic>, NicError> {
    let links = netlink::links()?;
    let addressed = netlink::addressed()?;
    let routed = netlink::routed()?;
    names
        .iter()
        .map(|name| {
            let Some(link) = links.iter().find(|link| link.name == *name) else {
                let others = links.iter().map(|link| link.name.clone()).collect();
                return Err(NicError::Unknown { name: name.clone(), others });
            };
            if !link.up {
                return Err(NicError::Down { name: name.clone() });
            }
            Ok(Nic {
                link: link.clone(),
                addressed: addressed.contains(&link.ifindex),
                routed: routed.contains(&link.ifindex),
                users: users(link, &links),
                offloads: ethtool::offloads(name),
                symmetric_rss: ethtool::rss_is_symmetric(name),
            })
        })
        .collect()
}

fn users(link: &Link, links: &[Link]) -> Vec<String> {
    let is_user = |other: &&Link| {
        let made_on_top = other.kind.as_deref().is_some_and(|kind| UPPER_KINDS.contains(&kind));
        link.master == Some(other.ifindex) || (made_on_top && other.lower == Some(link.ifindex))
    };
    links.iter().filter(is_user).map(|other| other.name.clone()).collect()
}

impl Nic {
    /// Nothing but the capture wants its frames: no address, no route, no interface on top.
    pub fn is_mirror_port(&self) -> bool {
        !self.addressed && !self.routed && self.users.is_empty()
    }

    /// Both directions of a connection are seen by one CPU. Where there is no card, the CPU is the one that sent.
    pub fn keeps_flows_together(&self) -> bool {
        let is_card = self.link.kind.is_none();
        is_card && (self.link.rx_queue_count <= 1 || self.symmetric_rss == Some(true))
    }

    /// What is wrong with capturing from it as it is.
    pub fn warnings(&self) -> Vec<NicWarning> {
        let name = || self.link.name.clone();
        let mut warnings = Vec::new();
        if self.offloads.is_some_and(|offloads| offloads.vlan_stripping) {
            warnings.push(NicWarning::VlanStripped { name: name() });
        }
        if self.offloads.is_some_and(|offloads| offloads.lro) {
            warnings.push(NicWarning::SegmentsMerged { name: name() });
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, name: &str) -> Link {
        Link { ifindex, name: name.to_owned(), up: true, rx_queue_count: 1, ..Link::default() }
    }

    #[test]
    fn ports_and_vlans_use_the_interface_and_veth_peers_do_not() {
        let mut port = link(2, "eth1");
        port.master = Some(9);
        let kind = |mut link: Link, kind: &str| {
            link.kind = Some(kind.to_owned());
            link.lower = Some(2);
            link
        };
        let links =
            [port.clone(), link(9, "br0"), kind(link(3, "eth1.7"), "vlan"), kind(link(4, "peer"), "veth")];
        assert_eq!(users(&port, &links), ["br0", "eth1.7"]);
    }

    #[test]
    fn unknown_interfaces_name_those_there_are() {
        let error = find(&["no-such-if".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no-such-if") && error.contains("lo"), "{error}");
    }

    #[test]
    fn warnings_name_the_command() {
        let nic = Nic {
            link: link(2, "eth1"),
            addressed: false,
            routed: false,
            users: Vec::new(),
            offloads: Some(Offloads { vlan_stripping: true, lro: true }),
            symmetric_rss: None,
        };
        let warnings: Vec<String> = nic.warnings().iter().map(ToString::to_string).collect();
        assert!(warnings[0].contains("ethtool -K eth1 rxvlan off"), "{warnings:?}");
        assert!(warnings[1].contains("ethtool -K eth1 lro off"), "{warnings:?}");
        assert!(nic.is_mirror_port());
    }

    #[test]
    fn cards_with_one_queue_or_a_symmetric_hash_keep_flows_together() {
        let keeps = |rx_queue_count, symmetric_rss, kind: Option<&str>| {
            let mut link = Link { rx_queue_count, ..link(2, "eth1") };
            link.kind = kind.map(str::to_owned);
            let (users, offloads) = (Vec::new(), None);
            Nic { link, addressed: false, routed: false, users, offloads, symmetric_rss }
                .keeps_flows_together()
        };
        assert!(keeps(1, None, None) && keeps(8, Some(true), None));
        assert!(!keeps(8, None, None) && !keeps(8, Some(false), None), "what is not said is not assumed");
        assert!(!keeps(1, None, Some("veth")), "the sender's CPU is the receiver's");
    }
}
