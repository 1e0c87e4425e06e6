//! What redaction made of lines that have a number: the policy decides by a line's bytes alone, so once is enough.
//!
//! Holds values already redacted, names of cookies as places within the value, and nothing of a secret.

use storage::values::{LINE_NUMBER_SLOTS, LineNumber};

/// Bytes of all redacted values; when they are full, all are forgotten.
const VALUES_BYTES_MAX: usize = 4 << 20;

/// Names of cookies remembered, of all lines; when they are full, all are forgotten.
const NAME_COUNT_MAX: usize = 1 << 18;

/// Bytes the memory of redaction takes at the most.
pub const RECALL_BYTES_MAX: usize =
    VALUES_BYTES_MAX + NAME_COUNT_MAX * size_of::<[u32; 2]>() + LINE_NUMBER_SLOTS * size_of::<Slot>();

#[derive(Clone, Copy, Default)]
struct Slot {
    number: Option<LineNumber>,
    value: Range,
    names: Range,
    is_replaced: bool,
}

#[derive(Clone, Copy, Default)]
struct Range {
    start: u32,
    end: u32,
}

impl Range {
    fn of<T>(self, all: &[T]) -> &[T] {
        &all[self.start as usize..self.end as usize]
    }
}

/// What became of a line.
#[derive(Clone, Copy)]
pub(super) struct Recalled<'a> {
    /// Its value redacted, where that differs from the wire.
    pub(super) value: Option<&'a [u8]>,
    /// Where in its value on the wire the names of cookies begin and end.
    pub(super) names: &'a [[u32; 2]],
}

/// Outcomes by line number.
pub(super) struct Recall {
    /// Empty until a line has a number.
    slots: Vec<Slot>,
    values: Vec<u8>,
    names: Vec<[u32; 2]>,
}

impl Recall {
    pub(super) fn new() -> Recall {
        Recall { slots: Vec::new(), values: Vec::new(), names: Vec::new() }
    }

    #[inline]
    pub(super) fn get(&self, number: LineNumber) -> Option<Recalled<'_>> {
        let slot = self.slots.get(slot_of(number))?;
        (slot.number == Some(number)).then(|| Recalled {
            value: slot.is_replaced.then(|| slot.value.of(&self.values)),
            names: slot.names.of(&self.names),
        })
    }

    /// Notes what became of the line.
    pub(super) fn note(
        &mut self,
        number: LineNumber,
        value: Option<&[u8]>,
        names: impl Iterator<Item = [u32; 2]>,
    ) {
        let bytes = value.map_or(0, <[u8]>::len);
        let is_full = self.values.len() + bytes > VALUES_BYTES_MAX || self.names.len() > NAME_COUNT_MAX / 2;
        if self.slots.is_empty() || is_full {
            self.slots.clear();
            self.slots.resize(LINE_NUMBER_SLOTS, Slot::default());
            self.values.clear();
            self.values.reserve(VALUES_BYTES_MAX);
            self.names.clear();
            self.names.reserve(NAME_COUNT_MAX);
        }
        if bytes > VALUES_BYTES_MAX {
            return;
        }
        let (value_start, names_start) = (self.values.len() as u32, self.names.len() as u32);
        self.values.extend_from_slice(value.unwrap_or_default());
        // A line has fewer cookies than the room that is left, so this never grows.
        self.names.extend(names.take(NAME_COUNT_MAX / 2));
        self.slots[slot_of(number)] = Slot {
            number: Some(number),
            value: Range { start: value_start, end: self.values.len() as u32 },
            names: Range { start: names_start, end: self.names.len() as u32 },
            is_replaced: value.is_some(),
        };
    }
}

fn slot_of(number: LineNumber) -> usize {
    number.get() as usize % LINE_NUMBER_SLOTS
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;
    use storage::{
        batch::Batch,
        values::{ConnectionValues, PairState, RowValues, TimeSource},
    };

    use super::super::{Key, Policy, Redactor};
    use crate::http::Parser;

    const LINES: &[&str] = &[
        "Host: Shop.example",
        "Cookie: session=hunter2; theme=dark; =x",
        "Cookie: session=hunter3; JSESSIONID=eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        "Authorization: Bearer hunter2",
        "Referer: http://user:secret@a.example/?token=hunter2&page=2",
        "X-Plain: value",
        "X-Long: c2VjcmV0IHZhbHVlIG9mIGNvbnNpZGVyYWJsZSBsZW5ndGg0ODE1MTYyMzQy",
        "X-Api-Key: hunter2",
        "X-Odd:  spaced ",
        "X-Name,With-Comma: value",
        "X-Binary: \u{e4}\\",
        "Set-Cookie: session=hunter2; Path=/; HttpOnly",
        "Connection: keep-alive",
        "Content-Length: 5",
        "Accept: */*",
        " folded",
        "no colon",
    ];

    fn rows(
        heads: &[(bool, Vec<usize>)],
        tools: &mut dyn FnMut() -> (Parser, Redactor),
        is_shared: bool,
    ) -> Batch {
        let mut batch = Batch::new();
        let address = (IpAddr::from([10, 0, 0, 1]), 80);
        let connection = batch.connection(&ConnectionValues {
            iface: "a",
            queue: None,
            sample_weight: 1,
            flow_id: 1,
            community_id: None,
            client: address,
            server: address,
            vlan_ids: &[],
            tunnel: None,
            syn_seen: false,
            tcp_rtt_us: None,
        });
        let row = RowValues::unmeasured(1, TimeSource::Pcap, PairState::RequestOnly);
        let (mut parser, mut redactor) = tools();
        for (is_complete, lines) in heads {
            if !is_shared {
                (parser, redactor) = tools();
            }
            let lines: String = lines.iter().map(|line| format!("{}\r\n", LINES[*line])).collect();
            let end = if *is_complete { "\r\n" } else { "" };
            let head = format!("GET / HTTP/1.1\r\n{lines}{end}");
            let head = parser.request(head.as_bytes(), *is_complete).expect("a request");
            let request = batch.request(&redactor.request(&head));
            let head = format!("HTTP/1.1 200 OK\r\n{lines}{end}");
            let head = parser.response(head.as_bytes(), *is_complete).expect("a response");
            let response = batch.response(&redactor.response(&head, &[]));
            batch.row(connection, Some(request), Some(response), &row);
        }
        batch
    }

    proptest! {
        /// The twin of remembering is to forget everything behind each head.
        #[test]
        fn what_is_remembered_changes_no_row(
            heads in proptest::collection::vec(
                (any::<bool>(), proptest::collection::vec(0..LINES.len(), 0..8)), 1..30),
            is_on in any::<bool>(),
        ) {
            let policy = if is_on { Policy::default() } else { Policy::off() };
            let mut tools = || (Parser::new(), Redactor::new(policy.clone(), Key::from_bytes([7; 32])));
            let shared = storage::table(&rows(&heads, &mut tools, true), "here").expect("a table");
            let alone = storage::table(&rows(&heads, &mut tools, false), "here").expect("a table");
            prop_assert_eq!(shared, alone);
        }
    }
}
