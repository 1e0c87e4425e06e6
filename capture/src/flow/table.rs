//! The connections of one collector: found by tuple, bounded, the one silent for longest leaving first.
//!
//! A slab of connections, a keyed hash index over it (collisions cannot be prepared from outside), a list in order of
//! last use. Invariant: never more than `flow_count_max` connections, whatever comes in.

use ahash::RandomState;
use common::record::Record;
use hashbrown::HashTable;
use storage::prefetch::prefetch_all;

use super::connection::Connection;

/// Both ends of a connection, the smaller one first, so that both directions find the same entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Address and port of the smaller end.
    pub low: ([u8; 16], u16),
    /// Address and port of the greater end.
    pub high: ([u8; 16], u16),
    /// 4 or 6.
    pub ip_version: u8,
}

impl FlowKey {
    /// The key of a record's connection, and which end sent it: 0 the low one, 1 the high one.
    pub fn of(record: &Record) -> (FlowKey, usize) {
        let src = (record.src_ip.bytes(), record.src_port);
        let dst = (record.dst_ip.bytes(), record.dst_port);
        let ip_version = record.ip_version;
        if src <= dst {
            (FlowKey { low: src, high: dst, ip_version }, 0)
        } else {
            (FlowKey { low: dst, high: src, ip_version }, 1)
        }
    }
}

/// Place of a connection in the table; valid until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowIndex(u32);

const NONE: u32 = u32::MAX;

/// What is in progress on a connection, or on all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Heads, those included of which only later pieces came.
    pub partials: usize,
    /// Transactions.
    pub transactions: usize,
}

#[derive(Debug)]
struct Slot {
    busy_at: u32,
    held: Held,
    connection: Option<Connection>,
}

/// Neighbours of a connection in order of last use; apart from the slots, as those of neighbours are seldom in the cache.
#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
}

/// Bytes of a connection in the table: its slot, and its places in the index and the lists.
pub const SLOT_BYTES: usize = size_of::<Slot>() + size_of::<Link>() + 4 * size_of::<u32>();

/// Connections by tuple.
#[derive(Debug)]
pub struct FlowTable {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    /// As many as slots.
    links: Vec<Link>,
    free: Vec<u32>,
    busy: Vec<u32>,
    held: Held,
    oldest: u32,
    newest: u32,
    hasher: RandomState,
    /// The keys told of last and their hashes: the connection at hand is looked for when the next one is told of already.
    expected: [Option<(FlowKey, u64)>; 2],
    flow_count_max: usize,
}

impl FlowTable {
    /// An empty table of at most `flow_count_max` connections.
    pub fn new(flow_count_max: usize) -> Self {
        assert!(flow_count_max > 0 && flow_count_max < NONE as usize);
        FlowTable {
            index: HashTable::new(),
            slots: Vec::new(),
            links: Vec::new(),
            free: Vec::new(),
            busy: Vec::new(),
            held: Held::default(),
            oldest: NONE,
            newest: NONE,
            hasher: RandomState::new(),
            expected: [None; 2],
            flow_count_max,
        }
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether the next connection needs another to leave first.
    pub fn is_full(&self) -> bool {
        self.len() == self.flow_count_max
    }

    /// Asks for what is known of a connection, which will be looked for soon.
    #[inline]
    pub fn expect(&mut self, key: FlowKey) {
        let hash = self.hasher.hash_one(key);
        self.expected = [self.expected[1], Some((key, hash))];
        // Whose it is, is seen when it is there: nearly always that of the first one found.
        if let Some(at) = self.index.find(hash, |_| true) {
            prefetch_all(&self.slots[*at as usize]);
        }
    }

    #[inline]
    fn hash(&self, key: &FlowKey) -> u64 {
        let known = self.expected.iter().flatten().find(|(expected, _)| expected == key);
        known.map_or_else(|| self.hasher.hash_one(key), |(_, hash)| *hash)
    }

    /// Finds a connection and makes it the newest.
    pub fn find(&mut self, key: &FlowKey) -> Option<FlowIndex> {
        let hash = self.hash(key);
        let slots = &self.slots;
        let found = *self.index.find(hash, |at| key_of(slots, *at) == *key)?;
        if found != self.newest {
            self.unlink(found);
            self.link_newest(found);
        }
        Some(FlowIndex(found))
    }

    /// Adds a connection that is not in the table.
    pub fn insert(&mut self, connection: Connection) -> FlowIndex {
        assert!(!self.is_full(), "the caller makes room first");
        let key = connection.key;
        let slot = Slot { busy_at: NONE, held: Held::default(), connection: Some(connection) };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.links.push(Link { older: NONE, newer: NONE });
                (self.slots.len() - 1) as u32
            }
        };
        let hash = self.hash(&key);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, at, |at| hasher.hash_one(key_of(slots, *at)));
        self.link_newest(at);
        FlowIndex(at)
    }

    /// Takes a connection out.
    pub fn remove(&mut self, at: FlowIndex) -> Connection {
        self.set_busy(at, false);
        self.note_held(at, Held::default());
        self.unlink(at.0);
        let connection = self.slots[at.0 as usize].connection.take().expect("an index names a connection");
        let hash = self.hasher.hash_one(connection.key);
        let entry = self.index.find_entry(hash, |found| *found == at.0);
        entry.expect("every connection is indexed").remove();
        self.free.push(at.0);
        connection
    }

    /// The connection at an index.
    pub fn get(&mut self, at: FlowIndex) -> &mut Connection {
        self.slots[at.0 as usize].connection.as_mut().expect("an index names a connection")
    }

    /// The connection silent for longest.
    pub fn oldest(&self) -> Option<FlowIndex> {
        (self.oldest != NONE).then_some(FlowIndex(self.oldest))
    }

    /// Moves a connection to where the next one to leave is taken from.
    pub fn make_oldest(&mut self, at: FlowIndex) {
        self.unlink(at.0);
        self.links[at.0 as usize] = Link { older: NONE, newer: self.oldest };
        match self.oldest {
            NONE => self.newest = at.0,
            oldest => self.links[oldest as usize].older = at.0,
        }
        self.oldest = at.0;
    }

    /// Keeps the table's view of a connection true after it was worked on.
    pub fn refresh(&mut self, at: FlowIndex) {
        let connection = self.get(at);
        let held = connection.held();
        if held == Held::default() {
            connection.let_go();
        }
        self.set_busy(at, held != Held::default());
        self.note_held(at, held);
    }

    /// The connection at an index, to be looked at.
    pub fn peek(&self, at: FlowIndex) -> &Connection {
        self.slots[at.0 as usize].connection.as_ref().expect("an index names a connection")
    }

    /// What is in progress on all connections.
    pub fn held(&self) -> Held {
        self.held
    }

    /// What is in progress on one, as of the last refresh.
    pub fn held_by(&self, at: FlowIndex) -> Held {
        self.slots[at.0 as usize].held
    }

    fn note_held(&mut self, at: FlowIndex, held: Held) {
        let before = std::mem::replace(&mut self.slots[at.0 as usize].held, held);
        self.held.partials = self.held.partials + held.partials - before.partials;
        self.held.transactions = self.held.transactions + held.transactions - before.transactions;
    }

    /// Puts a connection on, or takes it off, the list of those with work in progress.
    fn set_busy(&mut self, at: FlowIndex, busy: bool) {
        let place = self.slots[at.0 as usize].busy_at;
        match (busy, place) {
            (true, NONE) => {
                self.slots[at.0 as usize].busy_at = self.busy.len() as u32;
                self.busy.push(at.0);
            }
            (false, place) if place != NONE => {
                self.busy.swap_remove(place as usize);
                if let Some(&moved) = self.busy.get(place as usize) {
                    self.slots[moved as usize].busy_at = place;
                }
                self.slots[at.0 as usize].busy_at = NONE;
            }
            (true | false, _) => {}
        }
    }

    /// Connections with work in progress.
    pub fn busy_count(&self) -> usize {
        self.busy.len()
    }

    /// The `nth` connection with work in progress; going down from the last, removal on the way is safe.
    pub fn busy(&self, nth: usize) -> FlowIndex {
        FlowIndex(self.busy[nth])
    }

    fn link_newest(&mut self, at: u32) {
        self.links[at as usize] = Link { older: self.newest, newer: NONE };
        match self.newest {
            NONE => self.oldest = at,
            newest => self.links[newest as usize].newer = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: u32) {
        let Link { older, newer } = self.links[at as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
    }
}

fn key_of(slots: &[Slot], at: u32) -> FlowKey {
    slots[at as usize].connection.as_ref().expect("every indexed slot holds a connection").key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing;

    fn connection(port: u16) -> Connection {
        let mut record = testing::record(1, 1);
        record.src_port = port;
        Connection::new(&record)
    }

    fn order(table: &FlowTable) -> Vec<u32> {
        let mut at = table.oldest;
        std::iter::from_fn(|| {
            let here = (at != NONE).then_some(at)?;
            at = table.links[here as usize].newer;
            Some(here)
        })
        .collect()
    }

    #[test]
    fn both_directions_find_one_connection() {
        let mut record = testing::record(1, 1);
        let (key, side) = FlowKey::of(&record);
        std::mem::swap(&mut record.src_ip, &mut record.dst_ip);
        std::mem::swap(&mut record.src_port, &mut record.dst_port);
        let (back, other) = FlowKey::of(&record);
        assert_eq!(key, back);
        assert_eq!(side + other, 1);
    }

    #[test]
    fn what_is_expected_is_found_as_ever() {
        let mut table = FlowTable::new(3);
        let place = table.insert(connection(1));
        let (known, other) = (connection(1).key, connection(2).key);
        for expected in [known, other] {
            table.expect(expected);
            assert_eq!(table.find(&known), Some(place));
            assert_eq!(table.find(&other), None);
        }
        let place = table.insert(connection(2));
        assert_eq!(table.find(&other), Some(place));
    }

    #[test]
    fn the_silent_leave_first_and_slots_are_used_again() {
        let mut table = FlowTable::new(3);
        let places: Vec<FlowIndex> = (1..=3).map(|port| table.insert(connection(port))).collect();
        assert!(table.is_full());
        let first = table.get(places[0]).key;
        assert_eq!(table.find(&first), Some(places[0]));
        assert_eq!(table.oldest(), Some(places[1]));
        assert_eq!(table.remove(places[1]).key.low.1, 2);
        let again = table.insert(connection(9));
        assert_eq!(again, places[1]);
        assert_eq!(order(&table), [places[2].0, places[0].0, again.0]);
        table.make_oldest(again);
        assert_eq!(order(&table), [again.0, places[2].0, places[0].0]);
    }

    #[test]
    fn what_is_in_progress_is_summed_up() {
        let mut table = FlowTable::new(8);
        let places: Vec<FlowIndex> = (1..=3).map(|port| table.insert(connection(port))).collect();
        let held = |partials, transactions| Held { partials, transactions };
        table.note_held(places[0], held(2, 5));
        table.note_held(places[1], held(1, 1));
        table.note_held(places[0], held(0, 4));
        assert_eq!((table.held(), table.held_by(places[0])), (held(1, 5), held(0, 4)));
        table.remove(places[0]);
        assert_eq!(table.held(), held(1, 1));
    }

    #[test]
    fn the_busy_list_survives_removal_in_any_order() {
        let mut table = FlowTable::new(8);
        let places: Vec<FlowIndex> = (1..=5).map(|port| table.insert(connection(port))).collect();
        for at in &places {
            table.set_busy(*at, true);
            table.set_busy(*at, true);
        }
        table.set_busy(places[1], false);
        table.remove(places[4]);
        let mut left: Vec<u32> = (0..table.busy_count()).map(|nth| table.busy(nth).0).collect();
        left.sort_unstable();
        assert_eq!(left, [places[0].0, places[2].0, places[3].0]);
    }
}
