//! The column set of one side: its strings, its lists, and one record per connection, request or response.
//!
//! Values are appended once, in the order they come; rows join records of three sides by number.

use std::net::IpAddr;

use ahash::RandomState;

use super::{
    codes::successor_of,
    row::Sparse,
    strings::{ABSENT, Coding, Intake, Strings},
};
use crate::flags::Flags;

/// A run of entries in a list column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    /// The run from `start` to `end`, both positions in a list column.
    pub(crate) fn between(start: usize, end: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).expect("a batch is sealed long before 2^32 entries");
        Span { start: narrow(start), len: narrow(end - start) }
    }

    /// The entries of the run.
    pub(crate) fn of<T>(self, entries: &[T]) -> &[T] {
        &entries[self.start as usize..][..self.len as usize]
    }
}

/// Records of one side and the strings they name; `N` is the number of string columns.
#[derive(Debug)]
pub(crate) struct Side<R, const N: usize> {
    pub(crate) records: Vec<R>,
    pub(crate) texts: [Strings; N],
}

/// Values on their way: the column, and the hash of each that is looked for by it.
pub(crate) type Expected<'v, const M: usize> = [(usize, Option<&'v [u8]>, Option<u32>); M];

impl<R, const N: usize> Side<R, N> {
    pub(crate) fn new(codings: [Coding; N], hasher: &RandomState) -> Side<R, N> {
        Side { records: Vec::new(), texts: codings.map(|coding| Strings::new(coding, hasher.clone())) }
    }

    /// An empty side with room for as much.
    pub(crate) fn successor(&self, hasher: &RandomState) -> Side<R, N> {
        Side {
            records: successor_of(&self.records),
            texts: std::array::from_fn(|at| self.texts[at].successor(hasher)),
        }
    }

    /// Asks for what `put` with these values, each of the column of its number, will look at: their places are far apart.
    pub(crate) fn expect<'v, const M: usize>(
        &self,
        values: [(usize, Option<&'v [u8]>); M],
    ) -> Expected<'v, M> {
        values
            .map(|(column, value)| (column, value, value.and_then(|value| self.texts[column].expect(value))))
    }

    /// Appends the values of a record, each to the column of its number, and notes their codes.
    pub(crate) fn put<const M: usize>(
        &mut self,
        values: Expected<'_, M>,
        codes: &mut [u32; N],
        intake: &mut Intake,
    ) {
        for (column, value, hash) in values {
            if let Some(value) = value {
                codes[column] = self.texts[column].put_hashed(value, hash, intake);
            }
        }
    }

    /// Adds a record and returns its number.
    pub(crate) fn push(&mut self, record: R) -> u32 {
        let number = u32::try_from(self.records.len()).expect("a batch is sealed long before 2^32 records");
        self.records.push(record);
        number
    }

    /// Copies the values behind `codes` from `other`, and returns their codes here.
    pub(crate) fn carry(&mut self, other: &Side<R, N>, codes: &[u32; N], intake: &mut Intake) -> [u32; N] {
        let mut carried = [ABSENT; N];
        for (at, code) in codes.iter().copied().enumerate().filter(|(_, code)| *code != ABSENT) {
            carried[at] = self.texts[at].put_stored(other.texts[at].get(code), intake);
        }
        carried
    }
}

/// A LIST<STRING> column.
#[derive(Debug)]
pub(crate) struct TextList {
    pub(crate) strings: Strings,
    pub(crate) entries: Vec<u32>,
}

impl TextList {
    pub(crate) fn new(hasher: &RandomState) -> TextList {
        TextList { strings: Strings::new(Coding::Repeating, hasher.clone()), entries: Vec::new() }
    }

    /// An empty column with room for as much.
    pub(crate) fn successor(&self, hasher: &RandomState) -> TextList {
        TextList { strings: self.strings.successor(hasher), entries: successor_of(&self.entries) }
    }

    /// Adds one entry behind the last.
    pub(crate) fn push(&mut self, value: &[u8], intake: &mut Intake) {
        let code = self.strings.put(value, intake);
        self.push_code(code, intake);
    }

    /// Adds one entry, whose value has a code already.
    pub(crate) fn push_code(&mut self, code: u32, intake: &mut Intake) {
        self.entries.push(code);
        intake.bytes += size_of::<u32>();
    }

    /// Adds a whole list.
    pub(crate) fn put(&mut self, values: &[&[u8]], intake: &mut Intake) -> Span {
        let start = self.entries.len();
        for value in values {
            self.push(value, intake);
        }
        Span::between(start, self.entries.len())
    }

    /// Copies a list of `other`.
    pub(crate) fn carry(&mut self, other: &TextList, span: Span, intake: &mut Intake) -> Span {
        let start = self.entries.len();
        for code in span.of(&other.entries) {
            let code = self.strings.put_stored(other.strings.get(*code), intake);
            self.entries.push(code);
        }
        Span::between(start, self.entries.len())
    }
}

/// A LIST<STRUCT<name, value>> column: the field lines without a column of their own.
#[derive(Debug)]
pub(crate) struct LineList {
    pub(crate) names: Strings,
    pub(crate) values: Strings,
    pub(crate) entries: Vec<[u32; 2]>,
}

impl LineList {
    pub(crate) fn new(hasher: &RandomState) -> LineList {
        let strings = || Strings::new(Coding::Repeating, hasher.clone());
        LineList { names: strings(), values: strings(), entries: Vec::new() }
    }

    /// An empty column with room for as much.
    pub(crate) fn successor(&self, hasher: &RandomState) -> LineList {
        LineList {
            names: self.names.successor(hasher),
            values: self.values.successor(hasher),
            entries: successor_of(&self.entries),
        }
    }

    /// Copies the lines of `span` from `other`.
    pub(crate) fn carry(&mut self, other: &LineList, span: Span, intake: &mut Intake) -> Span {
        let start = self.entries.len();
        for [name, value] in span.of(&other.entries) {
            let name = self.names.put_stored(other.names.get(*name), intake);
            let value = self.values.put_stored(other.values.get(*value), intake);
            self.entries.push([name, value]);
        }
        Span::between(start, self.entries.len())
    }
}

/// What a connection's rows share, besides its strings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionRecord<const N: usize> {
    pub(crate) texts: [u32; N],
    pub(crate) queue: Sparse<i32>,
    pub(crate) sample_weight: i32,
    pub(crate) flow_id: i64,
    pub(crate) client: (IpAddr, u16),
    pub(crate) server: (IpAddr, u16),
    pub(crate) vlan_ids: Span,
    pub(crate) tunnel_id: Sparse<i64>,
    pub(crate) syn_seen: bool,
    pub(crate) tcp_rtt_us: Sparse<i64>,
}

/// What a request's rows share, besides its strings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestRecord<const N: usize> {
    pub(crate) texts: [u32; N],
    pub(crate) head_bytes: i32,
    pub(crate) header_count: i32,
    pub(crate) content_length: Sparse<i64>,
    pub(crate) header_order_hash: i64,
    /// Of responses that led to no final one.
    pub(crate) info_status: Span,
    pub(crate) cookie_names: Span,
    pub(crate) headers_other: Span,
    pub(crate) flags: Flags,
    pub(crate) is_connect: bool,
}

/// What a response's rows share, besides its strings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseRecord<const N: usize> {
    pub(crate) texts: [u32; N],
    pub(crate) head_bytes: i32,
    pub(crate) header_count: i32,
    pub(crate) content_length: Sparse<i64>,
    pub(crate) status: Sparse<i32>,
    pub(crate) info_status: Span,
    pub(crate) set_cookies: Span,
    pub(crate) set_cookie_names: Span,
    pub(crate) headers_other: Span,
    pub(crate) flags: Flags,
}
