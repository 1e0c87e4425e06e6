//! Rows in the making: what a collector appends to and an encoder reads.
//!
//! Three column sets (connection, request, response) take each value once, as it comes, as a small code into an
//! arena; a row joins them by number. Nothing is sorted or laid out here: sealing a batch is handing it over.
//! Invariant: every number in a row, and every code in a record, is valid in its own batch and in no other.

mod address;
mod codes;
pub(crate) mod columns;
mod glance;
mod known;
mod lines;
pub(crate) mod row;
mod sequences;
pub(crate) mod side;
pub(crate) mod strings;
mod targets;

use std::net::{IpAddr, Ipv6Addr};

use ahash::RandomState;

pub use self::glance::Glance;
use self::{
    address::write_address,
    codes::successor_of,
    columns::{ConnectionText, REQUEST_HOMES, RESPONSE_HOMES, RequestText, ResponseText},
    known::{KNOWN_LINES_BYTES_MAX, KnownLines},
    lines::{GivenValues, LineSink},
    row::Row,
    sequences::Sequences,
    side::{ConnectionRecord, Expected, LineList, RequestRecord, ResponseRecord, Side, Span, TextList},
    strings::{ABSENT, Intake},
    targets::Targets,
};
use crate::{
    field::Field,
    flags::Flags,
    values::{ConnectionValues, FieldLine, LineNumber, RequestValues, ResponseValues, RowValues},
};

/// Rows of a full batch, and so of a row group: the size DuckDB scans best.
pub const BATCH_ROWS_MAX: usize = 122_880;

/// Bytes of a full batch, records and values together: what one row group takes in memory before it is encoded.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Bytes a batch takes besides, for the codes of lines known by number.
pub const BATCH_KNOWN_BYTES_MAX: usize = 3 * KNOWN_LINES_BYTES_MAX;

pub(crate) const CONNECTION_TEXTS: usize = ConnectionText::CODINGS.len();
pub(crate) const REQUEST_TEXTS: usize = RequestText::CODINGS.len();
pub(crate) const RESPONSE_TEXTS: usize = ResponseText::CODINGS.len();

/// A connection of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionId(u32);

/// A request of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestId(u32);

/// A response of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseId(u32);

/// Connections, requests, responses and the rows that join them, ready to be encoded as row groups.
#[derive(Debug)]
pub struct Batch {
    pub(crate) rows: Vec<Row>,
    pub(crate) connections: Side<ConnectionRecord<CONNECTION_TEXTS>, CONNECTION_TEXTS>,
    pub(crate) vlan_ids: Vec<i32>,
    pub(crate) requests: Side<RequestRecord<REQUEST_TEXTS>, REQUEST_TEXTS>,
    pub(crate) cookie_names: TextList,
    pub(crate) request_others: LineList,
    pub(crate) responses: Side<ResponseRecord<RESPONSE_TEXTS>, RESPONSE_TEXTS>,
    pub(crate) info_status: Vec<i32>,
    pub(crate) set_cookies: TextList,
    pub(crate) set_cookie_names: TextList,
    pub(crate) response_others: LineList,
    request_lines: KnownLines,
    response_lines: KnownLines,
    /// Start and length of the list of cookie names, by the Cookie line's number.
    cookie_lines: KnownLines,
    targets: Targets,
    request_names: Sequences,
    response_names: Sequences,
    intake: Intake,
    address: String,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        let hasher = &RandomState::new();
        Batch {
            rows: Vec::new(),
            connections: Side::new(ConnectionText::CODINGS, hasher),
            vlan_ids: Vec::new(),
            requests: Side::new(RequestText::CODINGS, hasher),
            cookie_names: TextList::new(hasher),
            request_others: LineList::new(hasher),
            responses: Side::new(ResponseText::CODINGS, hasher),
            info_status: Vec::new(),
            set_cookies: TextList::new(hasher),
            set_cookie_names: TextList::new(hasher),
            response_others: LineList::new(hasher),
            request_lines: KnownLines::default(),
            response_lines: KnownLines::default(),
            cookie_lines: KnownLines::default(),
            targets: Targets::default(),
            request_names: Sequences::new(hasher.clone()),
            response_names: Sequences::new(hasher.clone()),
            intake: Intake::default(),
            address: String::new(),
        }
    }

    /// An empty batch with room for as much as this one holds: the next one will hold about that.
    pub fn successor(&self) -> Batch {
        let hasher = &RandomState::new();
        Batch {
            rows: successor_of(&self.rows),
            connections: self.connections.successor(hasher),
            vlan_ids: successor_of(&self.vlan_ids),
            requests: self.requests.successor(hasher),
            cookie_names: self.cookie_names.successor(hasher),
            request_others: self.request_others.successor(hasher),
            responses: self.responses.successor(hasher),
            info_status: successor_of(&self.info_status),
            set_cookies: self.set_cookies.successor(hasher),
            set_cookie_names: self.set_cookie_names.successor(hasher),
            response_others: self.response_others.successor(hasher),
            targets: self.targets.successor(),
            request_names: self.request_names.successor(hasher),
            response_names: self.response_names.successor(hasher),
            ..Batch::new()
        }
    }

    /// Rows appended since the batch was empty.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Bytes held: records, rows, every distinct value once, and the tables that values are found in.
    pub fn raw_bytes(&self) -> usize {
        self.intake.bytes
            + self.rows.len() * size_of::<Row>()
            + self.connections.records.len() * size_of::<ConnectionRecord<CONNECTION_TEXTS>>()
            + self.requests.records.len() * size_of::<RequestRecord<REQUEST_TEXTS>>()
            + self.responses.records.len() * size_of::<ResponseRecord<RESPONSE_TEXTS>>()
    }

    /// True where the batch is to be sealed before the next row.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS_MAX || self.raw_bytes() >= BATCH_BYTES_MAX
    }

    /// Appends a connection's values; one call serves all its rows in this batch.
    pub fn connection(&mut self, values: &ConnectionValues<'_>) -> ConnectionId {
        let mut texts = [ABSENT; CONNECTION_TEXTS];
        self.put_connection(&mut texts, ConnectionText::Iface, values.iface);
        if let Some(id) = values.community_id {
            self.put_connection(&mut texts, ConnectionText::CommunityId, id);
        }
        self.put_address(&mut texts, ConnectionText::ClientIp, values.client.0);
        self.put_address(&mut texts, ConnectionText::ServerIp, values.server.0);
        if let Some(tunnel) = values.tunnel {
            self.put_connection(&mut texts, ConnectionText::TunnelType, tunnel.kind);
            self.put_address(&mut texts, ConnectionText::OuterSrcIp, tunnel.outer_src);
            self.put_address(&mut texts, ConnectionText::OuterDstIp, tunnel.outer_dst);
        }
        let vlan_start = self.vlan_ids.len();
        self.vlan_ids.extend(values.vlan_ids.iter().copied().map(i32::from));
        ConnectionId(self.connections.push(ConnectionRecord {
            texts,
            queue: values.queue.into(),
            sample_weight: values.sample_weight,
            flow_id: values.flow_id,
            client: values.client,
            server: values.server,
            vlan_ids: Span::between(vlan_start, self.vlan_ids.len()),
            tunnel_id: values.tunnel.and_then(|tunnel| tunnel.id).into(),
            syn_seen: values.syn_seen,
            tcp_rtt_us: values.tcp_rtt_us.into(),
        }))
    }

    fn put_connection(&mut self, texts: &mut [u32; CONNECTION_TEXTS], column: ConnectionText, value: &str) {
        texts[column as usize] =
            self.connections.texts[column as usize].put(value.as_bytes(), &mut self.intake);
    }

    fn put_address(&mut self, texts: &mut [u32; CONNECTION_TEXTS], column: ConnectionText, address: IpAddr) {
        let mut text = std::mem::take(&mut self.address);
        text.clear();
        write_address(address, &mut text);
        self.put_connection(texts, column, &text);
        self.address = text;
    }

    /// Tells of lines that the next request will have.
    #[inline]
    pub fn expect_request(&self, lines: impl Iterator<Item = LineNumber>) {
        lines.for_each(|number| self.request_lines.expect(number));
    }

    /// Tells of lines that the next response will have.
    #[inline]
    pub fn expect_response(&self, lines: impl Iterator<Item = LineNumber>) {
        lines.for_each(|number| self.response_lines.expect(number));
    }

    /// Appends a request head's values.
    // A stage of its own in profiles (bench/instructions).
    #[inline(never)]
    pub fn request(&mut self, values: &RequestValues<'_>) -> RequestId {
        self.intake.bad_utf8 = false;
        let cookies = number_of_only_cookies(values.fields);
        cookies.inspect(|number| self.cookie_lines.expect(*number));
        let given = [
            (RequestText::Method, Some(values.method.as_bytes())),
            (RequestText::MethodRaw, Some(values.method_raw)),
            (RequestText::TargetRaw, Some(values.target_raw)),
            (RequestText::Host, values.host),
            (RequestText::Version, values.version),
            (RequestText::TransferEncoding, values.transfer_encoding),
            (RequestText::AuthorizationScheme, values.authorization_scheme),
            (RequestText::TraceId, values.trace_id),
        ];
        // Asked for as early as can be, and stored in the same order.
        let given = self.requests.expect(given.map(|(column, value)| (column as usize, value)));
        let mut codes = [ABSENT; REQUEST_TEXTS];
        let survey = self.request_sink(&mut codes).look_ahead(values.fields);
        self.requests.put(given, &mut codes, &mut self.intake);
        let parts = self.target_parts(values, &mut codes);
        let stored = self.request_sink(&mut codes).put(values.fields, survey, &given_of(values));
        if let Some(parts) = parts {
            self.put_target_parts(values.target_raw, parts, &mut codes);
        }
        let cookie_names = self.put_cookie_names(values.cookie_names, cookies);
        RequestId(self.requests.push(RequestRecord {
            texts: codes,
            head_bytes: values.head_bytes,
            header_count: values.header_count,
            content_length: values.content_length.into(),
            header_order_hash: values.header_order_hash,
            info_status: Span::default(),
            cookie_names,
            headers_other: stored.others,
            flags: with_bad_utf8(values.flags, &self.intake),
            is_connect: values.is_connect,
        }))
    }

    /// Path, query and path template, which are to be put; those of a target met before are there already.
    fn target_parts<'v>(
        &self,
        values: &RequestValues<'v>,
        codes: &mut [u32; REQUEST_TEXTS],
    ) -> Option<Expected<'v, 3>> {
        let Some(parts) = self.targets.get(codes[RequestText::TargetRaw as usize]) else {
            let texts = [values.path, values.query, values.path_template];
            return Some(self.requests.expect(std::array::from_fn(|at| (PARTS[at] as usize, texts[at]))));
        };
        PARTS.into_iter().zip(parts).for_each(|(part, code)| codes[part as usize] = code);
        None
    }

    fn put_target_parts(&mut self, target: &[u8], parts: Expected<'_, 3>, codes: &mut [u32; REQUEST_TEXTS]) {
        self.requests.put(parts, codes, &mut self.intake);
        let code = codes[RequestText::TargetRaw as usize];
        self.targets.note((code, target), PARTS.map(|part| codes[part as usize]), &mut self.intake);
    }

    /// The names of the cookies; those of a line known by number are there already.
    fn put_cookie_names(&mut self, names: &[&[u8]], number: Option<LineNumber>) -> Span {
        if names.is_empty() {
            return Span::default();
        }
        if let Some([start, len]) = self.cookie_lines.get(number) {
            return Span { start, len };
        }
        let bad_utf8 = std::mem::take(&mut self.intake.bad_utf8);
        let names = self.cookie_names.put(names, &mut self.intake);
        if !self.intake.bad_utf8 {
            self.cookie_lines.note(number, [names.start, names.len]);
        }
        self.intake.bad_utf8 |= bad_utf8;
        names
    }

    fn request_sink<'s>(&'s mut self, codes: &'s mut [u32; REQUEST_TEXTS]) -> LineSink<'s> {
        LineSink {
            texts: &mut self.requests.texts,
            codes,
            names_column: RequestText::HeaderNames as usize,
            sequences: &mut self.request_names,
            others: &mut self.request_others,
            set_cookies: None,
            homes: &REQUEST_HOMES,
            known: &mut self.request_lines,
            intake: &mut self.intake,
        }
    }

    /// Appends a response head's values.
    // A stage of its own in profiles (bench/instructions).
    #[inline(never)]
    pub fn response(&mut self, values: &ResponseValues<'_>) -> ResponseId {
        self.intake.bad_utf8 = false;
        let given = [
            (ResponseText::Version, Some(values.version)),
            (ResponseText::Reason, values.reason),
            (ResponseText::UpgradeProtocol, values.upgrade_protocol),
            (ResponseText::TransferEncoding, values.transfer_encoding),
        ];
        let given = self.responses.expect(given.map(|(column, value)| (column as usize, value)));
        let mut codes = [ABSENT; RESPONSE_TEXTS];
        let survey = self.response_sink(&mut codes).look_ahead(values.fields);
        self.responses.put(given, &mut codes, &mut self.intake);
        let given = GivenValues {
            host: None,
            content_length: values.content_length,
            transfer_encoding: values.transfer_encoding,
        };
        let stored = self.response_sink(&mut codes).put(values.fields, survey, &given);
        let info_status = self.put_info_status(values.info_status);
        let set_cookie_names = self.set_cookie_names.put(values.set_cookie_names, &mut self.intake);
        ResponseId(self.responses.push(ResponseRecord {
            texts: codes,
            head_bytes: values.head_bytes,
            header_count: values.header_count,
            content_length: values.content_length.into(),
            status: values.status.into(),
            info_status,
            set_cookies: stored.set_cookies,
            set_cookie_names,
            headers_other: stored.others,
            flags: with_bad_utf8(values.flags, &self.intake),
        }))
    }

    /// The status code of a response; `None` where it had none.
    pub fn status(&self, id: ResponseId) -> Option<i32> {
        self.responses.records[id.0 as usize].status.get()
    }

    /// Sets the status codes of the 1xx responses before a response, where they were not known with it.
    pub fn set_info_status(&mut self, id: ResponseId, info_status: &[i32]) {
        self.responses.records[id.0 as usize].info_status = self.put_info_status(info_status);
    }

    /// Sets the status codes of the 1xx responses to a request that has no final one.
    pub fn set_info_status_unanswered(&mut self, id: RequestId, info_status: &[i32]) {
        self.requests.records[id.0 as usize].info_status = self.put_info_status(info_status);
    }

    fn put_info_status(&mut self, info_status: &[i32]) -> Span {
        let start = self.info_status.len();
        self.info_status.extend_from_slice(info_status);
        Span::between(start, self.info_status.len())
    }

    fn response_sink<'s>(&'s mut self, codes: &'s mut [u32; RESPONSE_TEXTS]) -> LineSink<'s> {
        LineSink {
            texts: &mut self.responses.texts,
            codes,
            names_column: ResponseText::HeaderNames as usize,
            sequences: &mut self.response_names,
            others: &mut self.response_others,
            set_cookies: Some(&mut self.set_cookies),
            homes: &RESPONSE_HOMES,
            known: &mut self.response_lines,
            intake: &mut self.intake,
        }
    }

    /// Appends a row that joins a connection with a request, a response, or both.
    pub fn row(
        &mut self,
        connection: ConnectionId,
        request: Option<RequestId>,
        response: Option<ResponseId>,
        values: &RowValues,
    ) {
        assert!((connection.0 as usize) < self.connections.records.len(), "the connection is of this batch");
        let request = request.map_or(ABSENT, |id| id.0);
        assert!(request == ABSENT || (request as usize) < self.requests.records.len());
        let response = response.map_or(ABSENT, |id| id.0);
        assert!(response == ABSENT || (response as usize) < self.responses.records.len());
        self.rows.push(Row::new([connection.0, request, response], values));
    }

    /// Copies a connection into the next batch and returns its id there.
    pub fn carry_connection(&self, id: ConnectionId, next: &mut Batch) -> ConnectionId {
        let mut record = self.connections.records[id.0 as usize];
        record.texts = next.connections.carry(&self.connections, &record.texts, &mut next.intake);
        let vlan_start = next.vlan_ids.len();
        next.vlan_ids.extend_from_slice(record.vlan_ids.of(&self.vlan_ids));
        record.vlan_ids = Span::between(vlan_start, next.vlan_ids.len());
        ConnectionId(next.connections.push(record))
    }

    /// Copies a request, still unanswered when the batch is sealed, into the next batch and returns its id there.
    pub fn carry_request(&self, id: RequestId, next: &mut Batch) -> RequestId {
        let mut record = self.requests.records[id.0 as usize];
        record.info_status = next.put_info_status(record.info_status.of(&self.info_status));
        record.texts = next.requests.carry(&self.requests, &record.texts, &mut next.intake);
        record.cookie_names =
            next.cookie_names.carry(&self.cookie_names, record.cookie_names, &mut next.intake);
        record.headers_other =
            next.request_others.carry(&self.request_others, record.headers_other, &mut next.intake);
        RequestId(next.requests.push(record))
    }

    /// Copies a response, its body not yet ended when the batch is sealed, into the next batch and returns its id there.
    pub fn carry_response(&self, id: ResponseId, next: &mut Batch) -> ResponseId {
        let mut record = self.responses.records[id.0 as usize];
        record.texts = next.responses.carry(&self.responses, &record.texts, &mut next.intake);
        record.info_status = next.put_info_status(record.info_status.of(&self.info_status));
        record.set_cookies = next.set_cookies.carry(&self.set_cookies, record.set_cookies, &mut next.intake);
        record.set_cookie_names =
            next.set_cookie_names.carry(&self.set_cookie_names, record.set_cookie_names, &mut next.intake);
        record.headers_other =
            next.response_others.carry(&self.response_others, record.headers_other, &mut next.intake);
        ResponseId(next.responses.push(record))
    }
}

/// What of a target is found in columns of its own.
const PARTS: [RequestText; 3] = [RequestText::Path, RequestText::Query, RequestText::PathTemplate];

fn given_of<'v>(values: &RequestValues<'v>) -> GivenValues<'v> {
    GivenValues {
        host: values.host,
        content_length: values.content_length,
        transfer_encoding: values.transfer_encoding,
    }
}

/// The number of the one line that names cookies, where there is but one.
fn number_of_only_cookies(lines: &[FieldLine<'_>]) -> Option<LineNumber> {
    let mut lines = lines.iter().filter(|line| matches!(line.field, Some(Field::Cookie | Field::SetCookie)));
    let number = lines.next()?.number?;
    lines.next().is_none().then_some(number)
}

fn with_bad_utf8(flags: Flags, intake: &Intake) -> Flags {
    if intake.bad_utf8 { flags.with(Flags::BAD_UTF8) } else { flags }
}

/// An address as one number that sorts IPv4 before IPv6 and each in its own order.
pub(crate) fn address_rank(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(v4) => (false, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (true, Ipv6Addr::to_bits(v6)),
    }
}
