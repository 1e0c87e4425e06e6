//! What the rows of the last seconds were about: tables of hosts, paths, clients, statuses and endpoints.
//!
//! Fed by the hub, off the collectors. Memory is fixed: a table per kind and second, of a fixed number of keys.

use serde::{Deserialize, Serialize};

use super::{
    sighting::{Part, Sighting, TEXT_BYTES_MAX},
    toplist::{KEY_COUNT_MAX, Tally, TopLine, Toplist, lines},
};

/// Seconds a window reaches back.
pub const WINDOW_SECONDS: usize = 10;

/// Kinds of tables, in order.
pub const KIND_COUNT: usize = 5;

/// Bytes of the tables of one viewer at the most: a hash table has room for twice its keys, and the longest key is that
/// of an endpoint.
pub const WINDOW_BYTES_MAX: usize =
    WINDOW_SECONDS * KIND_COUNT * 2 * KEY_COUNT_MAX * (size_of::<(String, Tally)>() + TEXT_BYTES_MAX);

/// The tables of one viewer.
#[derive(Debug, Default)]
pub struct Window {
    slots: [Slot; WINDOW_SECONDS],
    second: u64,
    scratch: String,
}

#[derive(Debug, Default)]
struct Slot {
    tables: [Toplist; KIND_COUNT],
    rows: u64,
}

/// The tables as viewers get them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// Rows seen in the window that fulfil the viewer's filter.
    pub rows: u64,
    /// Hosts, most rows first.
    pub hosts: Vec<TopLine>,
    /// Path templates, most rows first.
    pub paths: Vec<TopLine>,
    /// Addresses of clients, most rows first.
    pub clients: Vec<TopLine>,
    /// Status codes, most rows first.
    pub statuses: Vec<TopLine>,
    /// Method, host and path template together, slowest first by the 95th percentile.
    pub endpoints: Vec<TopLine>,
}

impl Window {
    /// Goes on to `second` of a clock that does not go back; what is older than the window is forgotten.
    pub fn advance(&mut self, second: u64) {
        let steps = second.saturating_sub(self.second).min(WINDOW_SECONDS as u64);
        for step in 0..steps {
            let slot = &mut self.slots[((second - step) % WINDOW_SECONDS as u64) as usize];
            slot.tables.iter_mut().for_each(Toplist::clear);
            slot.rows = 0;
        }
        self.second = self.second.max(second);
    }

    /// Notes a row in the second at hand.
    pub fn note(&mut self, seen: &Sighting) {
        let Window { slots, second, scratch } = self;
        let slot = &mut slots[(*second % WINDOW_SECONDS as u64) as usize];
        slot.rows += 1;
        let is_error = seen.status.is_some_and(|status| status >= 500);
        let ttfb_us = seen.ttfb_us.and_then(|micros| u64::try_from(micros).ok());
        let [hosts, paths, clients, statuses, endpoints] = &mut slot.tables;
        let mut note = |table: &mut Toplist, key: std::fmt::Arguments<'_>| {
            scratch.clear();
            std::fmt::write(scratch, key).expect("a String takes any text");
            table.note(scratch, is_error, ttfb_us);
        };
        let host = seen.text(Part::Host).unwrap_or("-");
        let path = seen.text(Part::Template).or(seen.text(Part::Path));
        note(clients, format_args!("{}", seen.client.0));
        match seen.status {
            Some(status) => note(statuses, format_args!("{status}")),
            None => note(statuses, format_args!("none")),
        }
        if let Some(method) = seen.text(Part::Method) {
            let path = path.unwrap_or("-");
            note(hosts, format_args!("{host}"));
            note(paths, format_args!("{path}"));
            note(endpoints, format_args!("{method} {host} {path}"));
        }
    }

    /// The tables, each of at most `count` lines.
    pub fn tables(&self, count: usize) -> Tables {
        let of = |kind: usize| self.slots.iter().map(move |slot| &slot.tables[kind]);
        let by_rows = |line: &TopLine| line.rows;
        Tables {
            rows: self.slots.iter().map(|slot| slot.rows).sum(),
            hosts: lines(of(0), count, by_rows),
            paths: lines(of(1), count, by_rows),
            clients: lines(of(2), count, by_rows),
            statuses: lines(of(3), count, by_rows),
            endpoints: lines(of(4), count, |line| line.ttfb_p95_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sighting::testing::sighting;

    #[test]
    fn tables_are_of_the_last_seconds() {
        let mut window = Window::default();
        window.advance(100);
        window.note(&sighting(("GET", "a.example", "/x"), 200, 5));
        window.note(&sighting(("GET", "a.example", "/slow"), 500, 900));
        window.advance(101);
        window.note(&sighting(("POST", "b.example", "/x"), 201, 7));
        let tables = window.tables(50);
        assert_eq!(tables.rows, 3);
        assert_eq!((tables.hosts[0].key.as_str(), tables.hosts[0].rows), ("a.example", 2));
        assert_eq!(tables.hosts[0].errors, 1);
        assert_eq!((tables.paths[0].key.as_str(), tables.paths[0].rows), ("/x", 2));
        assert_eq!(tables.clients[0].rows, 3);
        assert_eq!(tables.statuses.len(), 3);
        assert_eq!(tables.endpoints[0].key, "GET a.example /slow");
        assert_eq!(tables.endpoints[0].ttfb_max_us, Some(900_000));
        assert_eq!(window.tables(1).paths.len(), 1);
        window.advance(100 + WINDOW_SECONDS as u64);
        assert_eq!(window.tables(50).rows, 1, "the first second is over");
        window.advance(5000);
        assert_eq!(window.tables(50), Tables::default());
    }
}
