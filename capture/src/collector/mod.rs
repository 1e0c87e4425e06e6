//! The collector of one core: records in, rows out, as function calls on borrowed bytes.
//!
//! record → connection → reassemble → parse → redact → pair → append. It allocates only for heads that span segments
//! and at batch boundaries; it never blocks: a full queue to the encoder sheds a batch and counts its rows.
//! Invariant: every record and head that comes in is counted out under one name of `ledger::Counter`.

mod aging;
mod heads;
mod observe;
mod pressure;
mod rows;
mod seal;
mod show;

use std::sync::Arc;

use common::record::{Record, RecordKind, record_flag, tcp_flag};
use crossbeam_channel::Sender;
use storage::{batch::Batch, flags::Flags, values::TimeSource};

pub use self::observe::{Moment, ParsedMark};

use self::observe::Observed;
use crate::{
    backlog::Backlog,
    encoder::Sealed,
    flow::{
        assembler::Place,
        connection::Connection,
        handshake::Handshakes,
        table::{FlowIndex, FlowKey, FlowTable},
    },
    http::{Parser, StartLine, start_line_kind},
    ledger::{CollectorLedger, Counter, Tally},
    limits::FLOW_COUNT_MAX,
    redact::Redactor,
    source::RecordSink,
    view::feed::Feed,
};

/// What a collector is told once.
#[derive(Clone, Debug)]
pub struct CollectorSettings {
    /// `--head-limit`, bytes.
    pub head_bytes_max: usize,
    /// Clock of the records.
    pub ts_source: TimeSource,
    /// Rows wait in an unsealed batch at the most this long; `None` seals only what is full.
    pub flush_interval_ns: Option<u64>,
    /// What a full queue to the encoder means.
    pub full_queue: FullQueue,
}

impl CollectorSettings {
    /// Of a collector of capture files: their clock, batches sealed when full, and a full queue waited for.
    pub fn of_files(head_bytes_max: usize) -> CollectorSettings {
        CollectorSettings {
            head_bytes_max,
            ts_source: TimeSource::Pcap,
            flush_interval_ns: None,
            full_queue: FullQueue::Wait,
        }
    }
}

/// What a collector does where the queue to the encoder is full.
#[derive(Clone, Debug)]
pub enum FullQueue {
    /// Lets the batch go and counts its rows: frames do not wait. The queue is full also where what all collectors handed on and
    /// is not written holds too much.
    Shed(Backlog),
    /// Waits: files do.
    Wait,
}

/// One collector.
pub struct Collector {
    table: FlowTable,
    handshakes: Handshakes,
    stages: Stages,
    tick_next_ns: u64,
}

/// The stages behind reassembly, and what they write into; apart from the connections, so that both can be borrowed.
struct Stages {
    head_bytes_max: usize,
    parser: Parser,
    redactor: Redactor,
    batch: Box<Batch>,
    /// Counts the batches: ids of an older one are void.
    epoch: u32,
    tally: Tally,
    observed: Observed,
    published: Arc<CollectorLedger>,
    outlet: Sender<Box<Sealed>>,
    ts_source: TimeSource,
    clock_offset_ns: i64,
    interfaces: Vec<(u32, String)>,
    full_queue: FullQueue,
    flush_interval_ns: Option<u64>,
    flush_next_ns: u64,
    feed: Option<Feed>,
}

impl Collector {
    /// A collector that hands its batches to `outlet` and publishes its counts to `published`.
    pub fn new(
        settings: &CollectorSettings,
        redactor: Redactor,
        outlet: Sender<Box<Sealed>>,
        published: Arc<CollectorLedger>,
    ) -> Self {
        Collector {
            table: FlowTable::new(FLOW_COUNT_MAX),
            handshakes: Handshakes::default(),
            tick_next_ns: 0,
            stages: Stages {
                head_bytes_max: settings.head_bytes_max,
                parser: Parser::new(),
                redactor,
                batch: Box::new(Batch::new()),
                epoch: 0,
                tally: Tally::default(),
                observed: Observed::new(&published),
                published,
                outlet,
                ts_source: settings.ts_source,
                clock_offset_ns: 0,
                interfaces: Vec::new(),
                full_queue: settings.full_queue.clone(),
                flush_interval_ns: settings.flush_interval_ns,
                flush_next_ns: 0,
                feed: None,
            },
        }
    }

    /// Names the interfaces records come from, by index (live) or by number in the file (pcap).
    pub fn set_interfaces(&mut self, interfaces: Vec<(u32, String)>) {
        self.stages.interfaces = interfaces;
    }

    /// Counts ring entries that were no records.
    pub fn count_invalid(&mut self, entries: u64) {
        self.stages.tally.add(Counter::RecordsInvalid, entries);
    }

    /// Counts records that another collector should have got.
    pub fn count_misdirected(&mut self, records: u64) {
        self.stages.tally.add(Counter::RecordsMisdirected, records);
    }

    /// Counts that the collector fell behind and may run on any core now.
    pub fn count_unpinned(&mut self) {
        self.stages.tally.count(Counter::Unpinned);
    }

    /// Notes how full the ring was when a burst began.
    pub fn note_ring_fill(&mut self, bytes: u64) {
        self.stages.published.ring.note(bytes);
    }

    fn mark(&mut self, record: &Record) {
        self.stages.tally.count(Counter::RecordsMark);
        let (key, side) = FlowKey::of(record);
        if record.tcp_flags & tcp_flag::SYN != 0 {
            self.handshakes.note(key, side, record);
        }
        let Some(at) = self.table.find(&key) else { return };
        if record.tcp_flags & tcp_flag::SYN != 0 {
            if self.table.get(at).is_new_connection(side, record) {
                self.end_connection(at);
            } else if let Some(handshake) = self.handshakes.take(&key, record.flow_hash) {
                self.table.get(at).begin_with(handshake);
            }
            return;
        }
        let connection = self.table.get(at);
        connection.note_segment(side, record);
        connection.settle_bodies();
        connection.close_last();
        self.stages.emit_settled(connection);
        self.update(at);
    }

    fn head(&mut self, record: &Record, bytes: &[u8]) {
        self.stages.tally.count(Counter::Heads);
        let at = self.connection_for(record);
        let (connection, stages) = (self.table.get(at), &mut self.stages);
        let (_, side) = FlowKey::of(record);
        if connection.has_left_http(side, record.seq) {
            stages.tally.count(Counter::AfterEnd);
            connection.note_segment(side, record);
            stages.emit_settled(connection);
            self.update(at);
            return;
        }
        let is_continuous = connection.directions[side].continues_at(record.seq);
        let is_in_chunk = record.flags & record_flag::IN_CHUNK != 0;
        if is_in_chunk {
            connection.directions[side].note_in_chunk(record.seq);
        }
        let is_in_message = is_in_chunk || connection.is_in_message(side, record.seq);
        let is_misplaced = connection.client.is_some_and(|client| match start_line_kind(bytes) {
            StartLine::Request => side != client,
            StartLine::Response => side == client,
            StartLine::Preface | StartLine::None | StartLine::NeedMore => false,
        });
        let is_outvoted = !is_in_message && is_misplaced && connection.outvotes();
        connection.note_segment(side, record);
        connection.directions[side].note_due(record.due);
        if is_in_message || is_outvoted {
            stages.tally.count(Counter::InMessage);
            connection.flag_body(side, Flags::START_LINE_IN_BODY);
        }
        if is_outvoted {
            // The version at the end of a request line, say, where a segment begins there.
            let fed = connection.directions[side].assembler.carry_on(record, bytes, stages.head_bytes_max);
            stages.fed_by_continuation(connection, side, record, fed);
        } else if !is_in_message {
            let way = &mut connection.directions[side];
            let fed = match way.assembler.place_of(record.seq) {
                Place::Free => way.assembler.begin(record, bytes, stages.head_bytes_max, is_continuous),
                Place::Begun => {
                    stages.tally.count(Counter::Duplicate);
                    way.assembler.carry_on(record, bytes, stages.head_bytes_max)
                }
                Place::Inside => {
                    stages.tally.count(Counter::InMessage);
                    way.assembler.carry_on(record, bytes, stages.head_bytes_max)
                }
            };
            stages.fed_by_head(connection, side, (record, bytes), fed);
        }
        connection.settle_bodies();
        stages.emit_settled(connection);
        self.update(at);
    }

    fn continuation(&mut self, record: &Record, bytes: &[u8]) {
        let (key, side) = FlowKey::of(record);
        let at = match self.table.find(&key) {
            Some(at) => at,
            None if record.flags & record_flag::EARLY != 0 => self.connection_for(record),
            None => {
                self.stages.tally.count(Counter::RecordsOrphan);
                return;
            }
        };
        let (connection, stages) = (self.table.get(at), &mut self.stages);
        let is_probe = connection.is_probe(side, record);
        connection.note_segment(side, record);
        if connection.has_left_http(side, record.seq) {
            stages.tally.count(Counter::RecordsOrphan);
        } else if is_probe {
            stages.tally.count(Counter::RecordsDuplicate);
        } else {
            let fed = connection.directions[side].assembler.carry_on(record, bytes, stages.head_bytes_max);
            stages.fed_by_continuation(connection, side, record, fed);
        }
        connection.settle_bodies();
        stages.emit_settled(connection);
        self.update(at);
    }

    /// Finds the connection of a head, or begins it.
    fn connection_for(&mut self, record: &Record) -> FlowIndex {
        let (key, _) = FlowKey::of(record);
        if let Some(at) = self.table.find(&key) {
            if !self.table.get(at).is_closed_before(record) {
                return at;
            }
            self.end_connection(at);
        }
        if self.table.is_full()
            && let Some(oldest) = self.table.oldest()
        {
            self.stages.tally.count(Counter::ConnectionsEvicted);
            self.end_connection(oldest);
        }
        self.stages.tally.count(Counter::Connections);
        let mut connection = Connection::new(record);
        if let Some(handshake) = self.handshakes.take(&key, record.flow_hash) {
            connection.begin_with(handshake);
        }
        self.table.insert(connection)
    }

    /// Writes out all that is left of a connection and forgets it.
    fn end_connection(&mut self, at: FlowIndex) {
        let mut connection = self.table.remove(at);
        for side in 0..2 {
            self.stages.finish_partials(&mut connection, side);
            connection.settle_chunked(side, u64::MAX);
        }
        self.stages.emit_all(&mut connection);
    }

    /// Keeps the table's view of a connection true after it was worked on.
    fn update(&mut self, at: FlowIndex) {
        if self.table.get(at).is_closed {
            self.table.make_oldest(at);
        }
        self.table.refresh(at);
    }
}

impl RecordSink for Collector {
    fn expect(&mut self, record: &Record) {
        self.table.expect(FlowKey::of(record).0);
    }

    fn record(&mut self, record: &Record, bytes: &[u8]) {
        debug_assert!(bytes.len() == usize::from(record.copied));
        self.stages.tally.count(Counter::Records);
        self.stages.observed.note(record.ts_ns);
        if record.ts_ns >= self.tick_next_ns {
            self.tick(record.ts_ns);
        }
        match RecordKind::from_byte(record.kind) {
            Some(RecordKind::Head) => self.head(record, bytes),
            Some(RecordKind::Continuation) => self.continuation(record, bytes),
            Some(RecordKind::Mark) => self.mark(record),
            None => self.stages.tally.count(Counter::RecordsInvalid),
        }
        self.relieve();
        if self.stages.batch.is_full() {
            self.seal();
        }
    }
}
