//! What redaction made of lines that have a number: the policy decides by a line's bytes alone, so once is enough.
//!
//! Holds values already redacted, names of cookies as places within the value, and nothing of a secret.
//! Invariant: what a head was told of stays where it is until the next head begins.

use storage::{
    prefetch::prefetch,
    values::{LINE_NUMBER_SLOTS, LineNumber},
};

/// Bytes of all redacted values; when three quarters are full, all are forgotten.
const VALUES_BYTES_MAX: usize = 4 << 20;

/// Names of cookies remembered, of all lines; when three quarters are full, all are forgotten.
const NAME_COUNT_MAX: usize = 1 << 18;

/// Bytes the memory of redaction takes at the most.
pub const RECALL_BYTES_MAX: usize =
    VALUES_BYTES_MAX + NAME_COUNT_MAX * size_of::<[u32; 2]>() + LINE_NUMBER_SLOTS * size_of::<Slot>();

/// Within one line of the cache.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Slot {
    number: Option<LineNumber>,
    outcome: Recalled,
}

const _: () = assert!(size_of::<Slot>() == 32);

/// Where a value is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    start: u32,
    end: u32,
}

impl Range {
    fn of<T>(self, all: &[T]) -> &[T] {
        &all[self.start as usize..self.end as usize]
    }
}

/// What became of a line.
#[derive(Clone, Copy, Default)]
pub(super) struct Recalled {
    value: Range,
    names: Range,
    is_replaced: bool,
}

impl Recalled {
    /// False where the line stays as it is and names no cookies.
    #[inline]
    pub(super) fn is_anything(self) -> bool {
        self.is_replaced || self.names.start != self.names.end
    }

    /// Its value redacted, where that differs from the wire.
    pub(super) fn value(self) -> Option<Range> {
        self.is_replaced.then_some(self.value)
    }
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

    /// Makes room for what the next head brings.
    pub(super) fn begin(&mut self) {
        let is_full =
            self.values.len() > VALUES_BYTES_MAX / 4 * 3 || self.names.len() > NAME_COUNT_MAX / 4 * 3;
        if is_full {
            self.slots.fill(Slot::default());
            self.values.clear();
            self.names.clear();
        }
    }

    /// Asks for what `get` with this number will look at.
    #[inline]
    pub(super) fn expect(&self, number: LineNumber) {
        prefetch(&self.slots, slot_of(number));
    }

    #[inline]
    pub(super) fn get(&self, number: LineNumber) -> Option<Recalled> {
        let slot = self.slots.get(slot_of(number))?;
        (slot.number == Some(number)).then_some(slot.outcome)
    }

    /// Where in the line's value on the wire the names of cookies begin and end.
    pub(super) fn names(&self, recalled: Recalled) -> &[[u32; 2]] {
        recalled.names.of(&self.names)
    }

    /// The redacted value that `get` told of for the head at hand.
    pub(super) fn value(&self, place: Range) -> &[u8] {
        place.of(&self.values)
    }

    /// Notes what became of the line, where there is room.
    pub(super) fn note(
        &mut self,
        number: LineNumber,
        value: Option<&[u8]>,
        names: impl ExactSizeIterator<Item = [u32; 2]>,
    ) {
        if self.slots.is_empty() {
            self.slots.resize(LINE_NUMBER_SLOTS, Slot::default());
            self.values.reserve_exact(VALUES_BYTES_MAX);
            self.names.reserve_exact(NAME_COUNT_MAX);
        }
        let (value_start, names_start) = (self.values.len(), self.names.len());
        let value_end = value_start + value.map_or(0, <[u8]>::len);
        let names_end = names_start + names.len();
        if value_end > VALUES_BYTES_MAX || names_end > NAME_COUNT_MAX {
            return;
        }
        self.values.extend_from_slice(value.unwrap_or_default());
        self.names.extend(names);
        let outcome = Recalled {
            value: Range { start: value_start as u32, end: value_end as u32 },
            names: Range { start: names_start as u32, end: names_end as u32 },
            is_replaced: value.is_some(),
        };
        self.slots[slot_of(number)] = Slot { number: Some(number), outcome };
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
        values::{
            ConnectionValues, FieldLine, PairState, RequestValues, ResponseValues, RowValues, TimeSource,
        },
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
            let values = redactor.request(&head);
            let fields = numbered(values.fields, is_shared);
            let request = batch.request(&RequestValues { fields: &fields, ..values });
            let head = format!("HTTP/1.1 200 OK\r\n{lines}{end}");
            let head = parser.response(head.as_bytes(), *is_complete).expect("a response");
            let values = redactor.response(&head, &[]);
            let fields = numbered(values.fields, is_shared);
            let response = batch.response(&ResponseValues { fields: &fields, ..values });
            batch.row(connection, Some(request), Some(response), &row);
        }
        batch
    }

    /// The lines, with their numbers where those of all heads are of one parser: no other's are to meet them in a batch.
    fn numbered<'a>(lines: &[FieldLine<'a>], is_one_parser: bool) -> Vec<FieldLine<'a>> {
        let number = |line: &FieldLine<'a>| line.number.filter(|_| is_one_parser);
        lines.iter().map(|line| FieldLine { number: number(line), ..*line }).collect()
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
            let shared = storage::table(rows(&heads, &mut tools, true), "here").expect("a table");
            let alone = storage::table(rows(&heads, &mut tools, false), "here").expect("a table");
            prop_assert_eq!(shared, alone);
        }
    }
}
