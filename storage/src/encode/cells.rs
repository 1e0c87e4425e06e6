//! Column builders: each takes its cells from a tile of rows.
//!
//! The one place that says where in a row, connection, request or response a column's value stands.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

use super::gather::{pair_state_code, time_source_code};
use crate::{
    batch::{
        Batch, CONNECTION_TEXTS, REQUEST_TEXTS, RESPONSE_TEXTS,
        row::Row,
        side::{ConnectionRecord, RequestRecord, ResponseRecord, Span},
        strings::ABSENT,
    },
    flags::Flags,
    prefetch::prefetch_all,
    schema::{Int, List, Long, Source, Truth, Word},
};

/// One row and the records it joins.
pub(crate) struct RowRef<'a> {
    pub(crate) values: &'a Row,
    pub(crate) connection: &'a ConnectionRecord<CONNECTION_TEXTS>,
    pub(crate) request: Option<&'a RequestRecord<REQUEST_TEXTS>>,
    pub(crate) response: Option<&'a ResponseRecord<RESPONSE_TEXTS>>,
}

impl RowRef<'_> {
    /// Asks for its heads; the connection is mostly that of the row before.
    #[inline]
    pub(crate) fn expect(&self) {
        if let Some(request) = self.request {
            prefetch_all(request);
        }
        if let Some(response) = self.response {
            prefetch_all(response);
        }
    }

    fn flags(&self) -> Flags {
        let request = self.request.map_or(Flags::NONE, |request| request.flags);
        let response = self.response.map_or(Flags::NONE, |response| response.flags);
        self.values.flags.with(request).with(response)
    }
}

/// Rows whose cells are appended together, as many as a word has bits: the records of one side stay in a first-level cache while the
/// columns of that side pass over them.
pub(crate) const TILE_ROWS: usize = u64::BITS as usize;

/// Which cells have a value: a word a tile of rows, the first row in the lowest bit.
#[derive(Debug)]
pub(crate) struct Validity {
    words: Vec<u64>,
    cells: usize,
}

impl Validity {
    fn new(rows: usize) -> Validity {
        Validity { words: Vec::with_capacity(rows.div_ceil(TILE_ROWS)), cells: 0 }
    }

    /// Appends a tile; all but the last are whole.
    fn push(&mut self, word: u64, cells: usize) {
        debug_assert!(self.cells.is_multiple_of(TILE_ROWS), "a tile behind the last");
        self.words.push(word.to_le());
        self.cells += cells;
    }

    /// Appends a tile of which every cell has a value.
    fn push_all(&mut self, cells: usize) {
        self.push(u64::MAX.unbounded_shr((TILE_ROWS - cells) as u32), cells);
    }

    /// Nothing where every cell has a value.
    pub(crate) fn build(self) -> Option<NullBuffer> {
        let bits = BooleanBuffer::new(Buffer::from_vec(self.words), 0, self.cells);
        Some(NullBuffer::new(bits)).filter(|nulls| nulls.null_count() > 0)
    }
}

/// Numbers, or codes, some of them null.
#[derive(Debug)]
pub(crate) struct Cells<T> {
    /// A default one where there is no value.
    pub(crate) values: Vec<T>,
    pub(crate) validity: Validity,
}

impl<T: Default> Cells<T> {
    fn new(rows: usize) -> Cells<T> {
        Cells { values: Vec::with_capacity(rows), validity: Validity::new(rows) }
    }

    #[inline]
    fn fill<'a>(&mut self, tile: &[RowRef<'a>], value: impl Fn(&RowRef<'a>) -> Option<T>) {
        let mut valid = 0;
        self.values.extend(tile.iter().enumerate().map(|(at, row)| {
            let cell = value(row);
            valid |= u64::from(cell.is_some()) << at;
            cell.unwrap_or_default()
        }));
        self.validity.push(valid, tile.len());
    }

    #[inline]
    fn fill_all<'a>(&mut self, tile: &[RowRef<'a>], value: impl Fn(&RowRef<'a>) -> T) {
        self.values.extend(tile.iter().map(value));
        self.validity.push_all(tile.len());
    }
}

/// Lists of codes, of numbers, or of pairs of codes.
#[derive(Debug)]
pub(crate) struct Lists {
    pub(crate) offsets: Vec<i32>,
    pub(crate) validity: Validity,
    pub(crate) entries: Vec<u32>,
    /// The second of each pair.
    pub(crate) values: Vec<u32>,
}

impl Lists {
    fn new(rows: usize) -> Lists {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Lists { offsets, validity: Validity::new(rows), entries: Vec::new(), values: Vec::new() }
    }

    /// Adds a list a row: `append` adds a row's entries, and says whether it has a list. A side that is absent has none, one that is there
    /// may have an empty one.
    #[inline]
    fn fill<'a>(&mut self, tile: &[RowRef<'a>], append: impl Fn(&mut Lists, &RowRef<'a>) -> bool) {
        let mut valid = 0;
        for (at, row) in tile.iter().enumerate() {
            valid |= u64::from(append(self, row)) << at;
            let end = i32::try_from(self.entries.len()).expect("a batch is sealed long before 2^31 entries");
            self.offsets.push(end);
        }
        self.validity.push(valid, tile.len());
    }

    fn codes<'a>(&mut self, tile: &[RowRef<'a>], all: &[u32], span: impl Fn(&RowRef<'a>) -> Option<Span>) {
        self.fill(tile, |lists, row| {
            let span = span(row);
            lists.entries.extend_from_slice(span.unwrap_or_default().of(all));
            span.is_some()
        });
    }

    fn numbers<'a>(&mut self, tile: &[RowRef<'a>], all: &[i32], span: impl Fn(&RowRef<'a>) -> Option<Span>) {
        self.fill(tile, |lists, row| {
            let span = span(row);
            let numbers = span.unwrap_or_default().of(all).iter();
            lists.entries.extend(numbers.map(|number| number.cast_unsigned()));
            span.is_some()
        });
    }

    fn pairs<'a>(
        &mut self,
        tile: &[RowRef<'a>],
        all: &[[u32; 2]],
        span: impl Fn(&RowRef<'a>) -> Option<Span>,
    ) {
        self.fill(tile, |lists, row| {
            let span = span(row);
            for [name, value] in span.unwrap_or_default().of(all) {
                lists.entries.push(*name);
                lists.values.push(*value);
            }
            span.is_some()
        });
    }

    fn flags(&mut self, tile: &[RowRef<'_>]) {
        self.fill(tile, |lists, row| {
            let mut bits = row.flags().bits();
            while bits != 0 {
                lists.entries.push(bits.trailing_zeros());
                bits &= bits - 1;
            }
            true
        });
    }
}

/// A column in the making.
#[derive(Debug)]
pub(crate) enum Builder {
    /// This many rows, none with a value.
    Absent(usize),
    Codes(Cells<u32>),
    Ints(Cells<i32>),
    Longs(Cells<i64>),
    Truths(Vec<bool>),
    Lists(Lists),
}

impl Builder {
    pub(crate) fn new(source: Source, rows: usize) -> Builder {
        match source {
            Source::Word(_)
            | Source::Sensor
            | Source::Connection(_)
            | Source::Request(_)
            | Source::Response(_) => Builder::Codes(Cells::new(rows)),
            Source::Int(_) => Builder::Ints(Cells::new(rows)),
            Source::Time | Source::Long(_) => Builder::Longs(Cells::new(rows)),
            Source::Truth(_) => Builder::Truths(Vec::with_capacity(rows)),
            Source::List(_) => Builder::Lists(Lists::new(rows)),
        }
    }

    /// Appends the cells of `tile` in the column of `source`, which is the one the builder was made for.
    pub(crate) fn append(&mut self, source: Source, tile: &[RowRef<'_>], batch: &Batch) {
        match (self, source) {
            (Builder::Absent(_), _) => {}
            (Builder::Codes(cells), source) => append_codes(cells, source, tile),
            (Builder::Ints(cells), Source::Int(int)) => append_ints(cells, int, tile),
            (Builder::Longs(cells), Source::Long(long)) => append_longs(cells, long, tile),
            (Builder::Longs(cells), Source::Time) => {
                cells.fill_all(tile, |row| row.values.ts_ns.div_euclid(1000));
            }
            (Builder::Truths(values), Source::Truth(truth)) => append_truths(values, truth, tile),
            (Builder::Lists(lists), Source::List(list)) => append_lists(lists, list, tile, batch),
            (Builder::Ints(_) | Builder::Longs(_) | Builder::Truths(_) | Builder::Lists(_), _) => {
                unreachable!("a builder is made for its source")
            }
        }
    }
}

fn append_codes(cells: &mut Cells<u32>, source: Source, tile: &[RowRef<'_>]) {
    let present = |code: u32| (code != ABSENT).then_some(code);
    match source {
        Source::Word(Word::TimeSource) => cells.fill_all(tile, |row| time_source_code(row.values.ts_source)),
        Source::Word(Word::PairState) => cells.fill_all(tile, |row| pair_state_code(row.values.pair_state)),
        Source::Sensor => cells.fill_all(tile, |_| 0),
        Source::Connection(text) => cells.fill(tile, |row| present(row.connection.texts[text as usize])),
        Source::Request(text) => {
            cells.fill(tile, |row| row.request.and_then(|request| present(request.texts[text as usize])));
        }
        Source::Response(text) => {
            cells.fill(tile, |row| row.response.and_then(|response| present(response.texts[text as usize])));
        }
        Source::Time | Source::Int(_) | Source::Long(_) | Source::Truth(_) | Source::List(_) => {
            unreachable!("a builder of codes is made for strings")
        }
    }
}

fn append_ints(cells: &mut Cells<i32>, int: Int, tile: &[RowRef<'_>]) {
    match int {
        Int::Queue => cells.fill(tile, |row| row.connection.queue.get()),
        Int::SampleWeight => cells.fill_all(tile, |row| row.connection.sample_weight),
        Int::ClientPort => cells.fill_all(tile, |row| i32::from(row.connection.client.1)),
        Int::ServerPort => cells.fill_all(tile, |row| i32::from(row.connection.server.1)),
        Int::IpVersion => {
            cells.fill_all(tile, |row| if row.connection.server.0.is_ipv4() { 4 } else { 6 });
        }
        Int::TransactionIndex => cells.fill_all(tile, |row| row.values.transaction_index),
        Int::Status => cells.fill(tile, |row| row.response.and_then(|response| response.status.get())),
        Int::RequestHeadBytes => cells.fill(tile, |row| row.request.map(|request| request.head_bytes)),
        Int::ResponseHeadBytes => cells.fill(tile, |row| row.response.map(|response| response.head_bytes)),
        Int::RequestHeaderCount => cells.fill(tile, |row| row.request.map(|request| request.header_count)),
        Int::ResponseHeaderCount => {
            cells.fill(tile, |row| row.response.map(|response| response.header_count))
        }
    }
}

fn append_longs(cells: &mut Cells<i64>, long: Long, tile: &[RowRef<'_>]) {
    match long {
        Long::TimeNs => cells.fill_all(tile, |row| row.values.ts_ns),
        Long::FlowId => cells.fill_all(tile, |row| row.connection.flow_id),
        Long::TunnelId => cells.fill(tile, |row| row.connection.tunnel_id.get()),
        Long::RequestSeq => cells.fill(tile, |row| row.values.req_seq.get()),
        Long::RequestEndSeq => cells.fill(tile, |row| row.values.req_end_seq.get()),
        Long::ResponseSeq => cells.fill(tile, |row| row.values.resp_seq.get()),
        Long::ResponseAck => cells.fill(tile, |row| row.values.resp_ack.get()),
        Long::RequestContentLength => {
            cells.fill(tile, |row| row.request.and_then(|request| request.content_length.get()));
        }
        Long::ResponseContentLength => {
            cells.fill(tile, |row| row.response.and_then(|response| response.content_length.get()));
        }
        Long::RequestBodyBytes => cells.fill(tile, |row| row.values.req_body_bytes.get()),
        Long::ResponseBodyBytes => cells.fill(tile, |row| row.values.resp_body_bytes.get()),
        Long::TtfbUs => cells.fill(tile, |row| row.values.ttfb_us.get()),
        Long::RequestDurationUs => cells.fill(tile, |row| row.values.req_duration_us.get()),
        Long::ResponseHeadDurationUs => cells.fill(tile, |row| row.values.resp_head_duration_us.get()),
        Long::TotalUs => cells.fill(tile, |row| row.values.total_us.get()),
        Long::TcpRttUs => cells.fill(tile, |row| row.connection.tcp_rtt_us.get()),
        Long::HeaderOrderHash => cells.fill(tile, |row| row.request.map(|request| request.header_order_hash)),
    }
}

fn append_truths(values: &mut Vec<bool>, truth: Truth, tile: &[RowRef<'_>]) {
    match truth {
        Truth::SynSeen => values.extend(tile.iter().map(|row| row.connection.syn_seen)),
        Truth::IsConnect => {
            values.extend(tile.iter().map(|row| row.request.is_some_and(|request| request.is_connect)));
        }
    }
}

fn append_lists(lists: &mut Lists, list: List, tile: &[RowRef<'_>], batch: &Batch) {
    match list {
        List::VlanIds => lists.numbers(tile, &batch.vlan_ids, |row| Some(row.connection.vlan_ids)),
        List::InfoStatus => {
            let of_response = |row: &RowRef<'_>| row.response.map(|response| response.info_status);
            let of_request = |row: &RowRef<'_>| {
                row.request.map(|request| request.info_status).filter(|status| status.len > 0)
            };
            lists.numbers(tile, &batch.info_status, |row| of_response(row).or_else(|| of_request(row)));
        }
        List::SetCookies => lists
            .codes(tile, &batch.set_cookies.entries, |row| row.response.map(|response| response.set_cookies)),
        List::CookieNames => lists
            .codes(tile, &batch.cookie_names.entries, |row| row.request.map(|request| request.cookie_names)),
        List::SetCookieNames => lists.codes(tile, &batch.set_cookie_names.entries, |row| {
            row.response.map(|response| response.set_cookie_names)
        }),
        List::RequestOthers => lists.pairs(tile, &batch.request_others.entries, |row| {
            row.request.map(|request| request.headers_other)
        }),
        List::ResponseOthers => lists.pairs(tile, &batch.response_others.entries, |row| {
            row.response.map(|response| response.headers_other)
        }),
        List::Flags => lists.flags(tile),
    }
}
