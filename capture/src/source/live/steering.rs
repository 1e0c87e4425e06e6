//! Whether a record came to the collector that has its connection: by the flow hash where that picks the ring, else by a
//! small table that all collectors share.
//!
//! Stands between ring and collector: one look per record, no lock. Invariant: where all records of a connection come to one
//! collector, none of them is told astray.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use common::{
    config::{Config, Steering},
    decide::hash::ring_of,
    limits::RING_COUNT_MAX,
    record::{Record, tcp_flag},
};

/// Connections of which the shared table remembers who has them; a newer one takes an older one's place.
const OWNED_COUNT_MAX: usize = 1 << 15;

/// Bits of an entry that name a collector; the others are the connection's.
const COLLECTOR_BITS: u64 = 0xffff;

const _: () = assert!(OWNED_COUNT_MAX.is_power_of_two() && OWNED_COUNT_MAX as u64 <= COLLECTOR_BITS + 1);
const _: () = assert!(RING_COUNT_MAX < COLLECTOR_BITS as usize);

/// Where one collector stands among the others.
#[derive(Clone, Debug)]
pub struct Post {
    index: u32,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    /// The only one: everything is its own.
    Alone,
    /// Who has a connection follows from its hash.
    Hash { ring_count: u32 },
    /// Who saw it first has it.
    First(Arc<Owners>),
}

/// The posts of all collectors, in the order of their rings.
pub fn posts(config: &Config) -> Vec<Post> {
    let rule = if config.ring_count <= 1 {
        Rule::Alone
    } else if config.steering == Steering::Hash as u32 {
        Rule::Hash { ring_count: config.ring_count }
    } else {
        Rule::First(Arc::new(Owners::default()))
    };
    (0..config.ring_count.max(1)).map(|index| Post { index, rule: rule.clone() }).collect()
}

impl Post {
    /// Whether the record's connection is this collector's.
    #[inline]
    pub fn is_mine(&self, record: &Record) -> bool {
        match &self.rule {
            Rule::Alone => true,
            Rule::Hash { ring_count } => ring_of(record.flow_hash, *ring_count) == self.index,
            Rule::First(owners) => owners.has(record, self.index),
        }
    }
}

/// Which collector saw a connection first, by the lowest bits of its hash.
#[derive(Debug)]
struct Owners {
    places: Vec<AtomicU64>,
}

impl Default for Owners {
    fn default() -> Self {
        Owners { places: (0..OWNED_COUNT_MAX).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Owners {
    #[inline]
    fn has(&self, record: &Record, index: u32) -> bool {
        let place = &self.places[record.flow_hash as usize % OWNED_COUNT_MAX];
        let own = (record.flow_hash & !COLLECTOR_BITS) | (u64::from(index) + 1);
        let known = place.load(Ordering::Relaxed);
        if known == own {
            return true;
        }
        let is_known = known != 0 && (known ^ own) & !COLLECTOR_BITS == 0;
        // A new connection of the same ends may come another way, as the card may have been told to spread otherwise.
        let begins = record.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
        if !is_known || begins {
            place.store(own, Ordering::Relaxed);
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing;

    fn config(steering: Steering) -> Config {
        Config { steering: steering as u32, ring_count: 4, ..Config::default() }
    }

    fn record(flow_hash: u64) -> Record {
        Record { flow_hash, ..testing::record(1, 0) }
    }

    #[test]
    fn the_hash_names_one_collector() {
        let posts = posts(&config(Steering::Hash));
        for flow_hash in [0, 0x3fff_ffff, 0x4000_0000, 0xffff_ffff, u64::MAX] {
            let owners = posts.iter().filter(|post| post.is_mine(&record(flow_hash)));
            let owners: Vec<u32> = owners.map(|post| post.index).collect();
            assert_eq!(owners, [ring_of(flow_hash, 4)]);
        }
    }

    #[test]
    fn who_saw_a_connection_first_has_it() {
        let posts = posts(&config(Steering::Cpu));
        assert!(posts[1].is_mine(&record(7)) && posts[1].is_mine(&record(7)));
        assert!(!posts[2].is_mine(&record(7)), "its other direction");
        assert!(posts[1].is_mine(&record(7)), "and it keeps it");
        assert!(posts[2].is_mine(&record(7 + (1 << 20))), "a newer connection takes the place");
        let begins = Record { tcp_flags: tcp_flag::SYN, ..record(7 + (1 << 20)) };
        assert!(
            !posts[0].is_mine(&begins),
            "the answer was read before the SYN, or the card spreads otherwise"
        );
        assert!(posts[0].is_mine(&begins), "from now on it is");
        let answers = Record { tcp_flags: tcp_flag::SYN | tcp_flag::ACK, ..begins };
        assert!(!posts[3].is_mine(&answers));
    }

    #[test]
    fn the_only_collector_has_everything() {
        let alone = posts(&Config::default());
        assert!(alone.len() == 1 && alone[0].is_mine(&record(9)));
    }
}
