//! The live source: XDP on one or several interfaces, one ring per collector, one program for all.
//!
//! Start order: facts, load, promiscuous mode, attach last. Stop order: detach first, then the collectors drain their
//! rings until they are empty. Invariant: dropping it leaves every interface as it was, and so does a kill.

pub mod affinity;
pub mod attach;
pub mod clock;
pub mod counters;
pub mod ethtool;
pub mod load;
pub mod losses;
pub mod netlink;
pub mod nic;
pub mod promiscuous;
pub mod pump;
pub mod ring;
pub mod steering;

use attach::{AttachError, Attachment, ModeChoice};
use common::config::{Config, Steering};
use common::counters::Counters;
use common::limits::{IFACE_COUNT_MAX, RING_COUNT_MAX};
use counters::Counted;
use load::{LoadError, Loaded, RING_BYTES_DEFAULT, RingPlan};
use nic::{Nic, NicError, NicWarning};
use promiscuous::Promiscuous;
use ring::Ring;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use steering::Post;

/// What becomes of captured frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActionChoice {
    /// Drop where nothing but the capture wants the frames, pass elsewhere.
    #[default]
    Auto,
    /// Pass everywhere.
    Pass,
    /// Drop everywhere, the host's own traffic included.
    Drop,
}

/// Which ring a record goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SteeringChoice {
    /// The CPU's where the cards keep connections together, the flow's elsewhere.
    #[default]
    Auto,
    /// The CPU's.
    Cpu,
    /// The flow's.
    Hash,
}

/// What to capture from, and how.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    /// Interface names, at most `IFACE_COUNT_MAX`.
    pub ifaces: Vec<String>,
    /// Filters, sampling and head limit; interface slots, action, steering and rings are filled in here.
    pub config: Box<Config>,
    /// What becomes of frames.
    pub action: ActionChoice,
    /// Which ring.
    pub steering: SteeringChoice,
    /// How to attach.
    pub mode: ModeChoice,
    /// Rings, each for one collector; `None` makes one per CPU.
    pub ring_count: Option<u32>,
    /// Bytes of each ring, a power of two.
    pub ring_bytes: u32,
    /// Whether frames for other hosts are asked for.
    pub promiscuous: bool,
}

impl LiveSettings {
    /// Defaults for these interfaces.
    pub fn new(ifaces: Vec<String>) -> Self {
        Self {
            ifaces,
            config: Box::default(),
            action: ActionChoice::default(),
            steering: SteeringChoice::default(),
            mode: ModeChoice::default(),
            ring_count: None,
            ring_bytes: RING_BYTES_DEFAULT,
            promiscuous: true,
        }
    }
}

/// Why live capture could not start.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// More interfaces than there are counters for.
    #[error(
        "{count} interfaces, but one process captures from {IFACE_COUNT_MAX} at the most: start a second one"
    )]
    IfaceCount {
        /// Interfaces asked for.
        count: usize,
    },
    /// An interface was named twice.
    #[error("interface {name} is named twice")]
    IfaceTwice {
        /// Its name.
        name: String,
    },
    /// About the interfaces.
    #[error(transparent)]
    Nic(#[from] NicError),
    /// About loading.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// About attaching.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The CPUs are unknown.
    #[error("could not read which CPUs are online")]
    Cpus(#[source] io::Error),
    /// Promiscuous mode was refused.
    #[error(
        "could not put {iface} into promiscuous mode: it needs cap_net_raw; or capture without it (--no-promisc)"
    )]
    Promiscuous {
        /// Interface.
        iface: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// A capture in progress.
#[derive(Debug)]
pub struct LiveSource {
    loaded: Loaded,
    nics: Vec<Nic>,
    config: Box<Config>,
    rings: Vec<Ring>,
    attachments: Vec<Attachment>,
    memberships: Vec<Promiscuous>,
}

impl LiveSource {
    /// Starts capturing: frames are in the rings from the moment this returns.
    pub fn open(settings: &LiveSettings) -> Result<Self, LiveError> {
        check_names(&settings.ifaces)?;
        let nics = nic::find(&settings.ifaces)?;
        let cpus = aya::util::online_cpus().map_err(|(_, error)| LiveError::Cpus(error))?;
        let cpu_count = cpus.iter().max().map_or(1, |last| last + 1);
        let ring_count = settings.ring_count.unwrap_or(cpu_count).min(RING_COUNT_MAX as u32);
        let mut config = configure(settings, &nics, (ring_count, cpu_count));
        let (loaded, rings) =
            Loaded::load(&config, RingPlan { count: ring_count, bytes: settings.ring_bytes })?;
        config.ring_count = ring_count;
        let mut source =
            Self { loaded, nics, config, rings, attachments: Vec::new(), memberships: Vec::new() };
        if settings.promiscuous {
            source.join()?;
        }
        for nic in &source.nics {
            source.attachments.push(attach::attach(source.loaded.program()?, nic, settings.mode)?);
        }
        Ok(source)
    }

    fn join(&mut self) -> Result<(), LiveError> {
        for nic in &self.nics {
            let membership = Promiscuous::join(nic.link.ifindex)
                .map_err(|source| LiveError::Promiscuous { iface: nic.link.name.clone(), source })?;
            self.memberships.push(membership);
        }
        Ok(())
    }

    /// The rings, each for one collector; empty after the first call.
    pub fn take_rings(&mut self) -> Vec<Ring> {
        std::mem::take(&mut self.rings)
    }

    /// What tells each collector, in the order of the rings, whether a record is its own.
    pub fn posts(&self) -> Vec<Post> {
        steering::posts(&self.config)
    }

    /// The interfaces, in counter order.
    pub fn nics(&self) -> &[Nic] {
        &self.nics
    }

    /// How each interface is attached, and the refusals that led to the generic mode.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// What is wrong with the interfaces as they are.
    pub fn warnings(&self) -> Vec<NicWarning> {
        self.nics.iter().flat_map(Nic::warnings).collect()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which ring records go to.
    pub fn steering(&self) -> Steering {
        if self.config.steering == Steering::Cpu as u32 { Steering::Cpu } else { Steering::Hash }
    }

    /// Changes the sampling of flows from now on to one in `weight`.
    pub fn set_sampling(&mut self, weight: u32) -> Result<(), LiveError> {
        self.config.set_sampling(weight);
        Ok(self.loaded.set_config(&self.config)?)
    }

    /// What the kernel half counted so far, by interface in the order of `nics`.
    pub fn counters(&self) -> Result<Vec<Counters>, LiveError> {
        Ok(self.counted()?.into_iter().map(|counted| counted.sum).collect())
    }

    /// The same, and which CPU saw how many frames.
    pub fn counted(&self) -> Result<Vec<Counted>, LiveError> {
        Ok(counters::read(&self.loaded, self.nics.len() as u32)?)
    }

    /// Stops the flow of frames; the rings keep what they hold.
    pub fn detach(&mut self) {
        self.attachments.clear();
        self.memberships.clear();
    }
}

fn check_names(names: &[String]) -> Result<(), LiveError> {
    if names.len() > IFACE_COUNT_MAX {
        return Err(LiveError::IfaceCount { count: names.len() });
    }
    let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
    match twice {
        Some((_, name)) => Err(LiveError::IfaceTwice { name: name.clone() }),
        None => Ok(()),
    }
}

/// The configuration with everything that follows from the interfaces, and from how many rings there are for how many CPUs.
fn configure(settings: &LiveSettings, nics: &[Nic], (ring_count, cpu_count): (u32, u32)) -> Box<Config> {
    let has_ring_per_cpu = ring_count >= cpu_count;
    let mut config = settings.config.clone();
    config.memory_key = RandomState::new().hash_one(());
    let ifindexes: Vec<u32> = nics.iter().map(|nic| nic.link.ifindex).collect();
    let placed = config.set_ifaces(&ifindexes);
    assert!(placed, "distinct interface indexes, no more than there are slots");
    let drops = |nic: &Nic| match settings.action {
        ActionChoice::Auto => nic.is_mirror_port(),
        ActionChoice::Pass => false,
        ActionChoice::Drop => true,
    };
    config.drop_slots =
        (0..).zip(nics).filter(|(_, nic)| drops(nic)).fold(0, |bits, (slot, _)| bits | 1 << slot);
    let steering = match settings.steering {
        SteeringChoice::Cpu => Steering::Cpu,
        SteeringChoice::Hash => Steering::Hash,
        // Each of several may see one direction, at a CPU of its own: two ports of a TAP do. And where a card has fewer queues
        // than there are CPUs, collectors of the others would have nothing to do.
        SteeringChoice::Auto
            if has_ring_per_cpu
                && nics.len() == 1
                && nics[0].keeps_flows_together()
                && nics[0].link.rx_queue_count >= ring_count =>
        {
            Steering::Cpu
        }
        SteeringChoice::Auto => Steering::Hash,
    };
    config.steering = steering as u32;
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_places_flows_by_a_key_of_its_own() {
        let key = || configure(&LiveSettings::new(Vec::new()), &[], (1, 1)).memory_key;
        assert_ne!(key(), key());
        assert_ne!(key(), Config::default().memory_key);
    }

    fn card(rx_queue_count: u32) -> Nic {
        let link = netlink::Link { ifindex: 1, up: true, rx_queue_count, ..netlink::Link::default() };
        Nic {
            link,
            addressed: false,
            routed: false,
            users: Vec::new(),
            offloads: None,
            symmetric_rss: Some(true),
        }
    }

    #[test]
    fn the_cpu_picks_the_ring_where_a_card_has_a_queue_for_each() {
        let steering =
            |queues, cpus| configure(&LiveSettings::new(Vec::new()), &[card(queues)], (cpus, cpus)).steering;
        for (queues, cpus, expected) in [
            (1, 1, Steering::Cpu),
            (4, 4, Steering::Cpu),
            (8, 4, Steering::Cpu),
            (1, 4, Steering::Hash),
            (2, 4, Steering::Hash),
        ] {
            assert_eq!(steering(queues, cpus), expected as u32, "{queues} queues, {cpus} CPUs");
        }
    }
}
