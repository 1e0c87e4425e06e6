//! Schema v1: the columns of both tables, in order, with what each is filled from.
//!
//! `COLUMNS` is the only list of the columns of `http`; the Arrow schema, the Parquet schema and the gathering of a
//! row group all follow from it. Frozen per major version: a golden test compares the Parquet message type.

mod stats;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

pub use self::stats::{STATS_COLUMNS_FIXED, StatsRow, StatsSchema};
use crate::batch::columns::{ConnectionText, RequestText, ResponseText};

/// The version in every file's metadata; a changed column makes a new one.
pub const SCHEMA_VERSION: &str = "1";

/// Name of the table of transactions, and of its folder.
pub const HTTP_TABLE: &str = "http";

/// Name of the table of counters, and of its folder.
pub const STATS_TABLE: &str = "capture_stats";

/// What a column of `http` is filled from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// The row's time in microseconds, as a time stamp.
    Time,
    /// A word from a fixed list.
    Word(Word),
    /// The sensor's name, the same in every row.
    Sensor,
    /// A string of one side.
    Connection(ConnectionText),
    Request(RequestText),
    Response(ResponseText),
    /// INT32.
    Int(Int),
    /// INT64.
    Long(Long),
    /// BOOLEAN.
    Truth(Truth),
    /// A list.
    List(List),
}

/// Words from a fixed list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    TimeSource,
    PairState,
}

/// INT32 columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Int {
    Queue,
    SampleWeight,
    ClientPort,
    ServerPort,
    IpVersion,
    TransactionIndex,
    Status,
    RequestHeadBytes,
    ResponseHeadBytes,
    RequestHeaderCount,
    ResponseHeaderCount,
}

/// INT64 columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Long {
    TimeNs,
    FlowId,
    TunnelId,
    RequestSeq,
    RequestEndSeq,
    ResponseSeq,
    ResponseAck,
    RequestContentLength,
    ResponseContentLength,
    RequestBodyBytes,
    ResponseBodyBytes,
    TtfbUs,
    RequestDurationUs,
    ResponseHeadDurationUs,
    TotalUs,
    TcpRttUs,
    HeaderOrderHash,
}

/// BOOLEAN columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Truth {
    SynSeen,
    IsConnect,
}

/// LIST columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    VlanIds,
    InfoStatus,
    SetCookies,
    CookieNames,
    SetCookieNames,
    RequestOthers,
    ResponseOthers,
    Flags,
}

/// One column of `http`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) nullable: bool,
}

const fn required(name: &'static str, source: Source) -> Column {
    Column { name, source, nullable: false }
}

const fn optional(name: &'static str, source: Source) -> Column {
    Column { name, source, nullable: true }
}

const fn request(name: &'static str, text: RequestText) -> Column {
    optional(name, Source::Request(text))
}

const fn response(name: &'static str, text: ResponseText) -> Column {
    optional(name, Source::Response(text))
}

const fn int(name: &'static str, int: Int) -> Column {
    optional(name, Source::Int(int))
}

const fn long(name: &'static str, long: Long) -> Column {
    optional(name, Source::Long(long))
}

const fn list(name: &'static str, list: List) -> Column {
    optional(name, Source::List(list))
}

/// The columns of `http`, in the order of the files.
#[rustfmt::skip]
pub(crate) const COLUMNS: &[Column] = &[
    required("ts", Source::Time),
    required("ts_ns", Source::Long(Long::TimeNs)),
    required("ts_source", Source::Word(Word::TimeSource)),
    required("sensor", Source::Sensor),
    required("iface", Source::Connection(ConnectionText::Iface)),
    int("queue", Int::Queue),
    required("sample_weight", Source::Int(Int::SampleWeight)),
    required("flow_id", Source::Long(Long::FlowId)),
    optional("community_id", Source::Connection(ConnectionText::CommunityId)),
    required("client_ip", Source::Connection(ConnectionText::ClientIp)),
    required("client_port", Source::Int(Int::ClientPort)),
    required("server_ip", Source::Connection(ConnectionText::ServerIp)),
    required("server_port", Source::Int(Int::ServerPort)),
    required("ip_version", Source::Int(Int::IpVersion)),
    list("vlan_ids", List::VlanIds),
    optional("tunnel_type", Source::Connection(ConnectionText::TunnelType)),
    long("tunnel_id", Long::TunnelId),
    optional("outer_src_ip", Source::Connection(ConnectionText::OuterSrcIp)),
    optional("outer_dst_ip", Source::Connection(ConnectionText::OuterDstIp)),
    required("transaction_index", Source::Int(Int::TransactionIndex)),
    required("syn_seen", Source::Truth(Truth::SynSeen)),
    required("pair_state", Source::Word(Word::PairState)),
    long("req_seq", Long::RequestSeq),
    long("req_end_seq", Long::RequestEndSeq),
    long("resp_seq", Long::ResponseSeq),
    long("resp_ack", Long::ResponseAck),
    request("method", RequestText::Method),
    request("method_raw", RequestText::MethodRaw),
    request("target_raw", RequestText::TargetRaw),
    request("host", RequestText::Host),
    request("path", RequestText::Path),
    request("query", RequestText::Query),
    request("path_template", RequestText::PathTemplate),
    request("req_version", RequestText::Version),
    response("resp_version", ResponseText::Version),
    int("status", Int::Status),
    response("reason", ResponseText::Reason),
    list("info_status", List::InfoStatus),
    response("upgrade_protocol", ResponseText::UpgradeProtocol),
    required("is_connect", Source::Truth(Truth::IsConnect)),
    int("req_head_bytes", Int::RequestHeadBytes),
    int("resp_head_bytes", Int::ResponseHeadBytes),
    int("req_header_count", Int::RequestHeaderCount),
    int("resp_header_count", Int::ResponseHeaderCount),
    long("req_content_length", Long::RequestContentLength),
    long("resp_content_length", Long::ResponseContentLength),
    long("req_body_bytes", Long::RequestBodyBytes),
    long("resp_body_bytes", Long::ResponseBodyBytes),
    request("req_transfer_encoding", RequestText::TransferEncoding),
    response("resp_transfer_encoding", ResponseText::TransferEncoding),
    response("content_encoding", ResponseText::ContentEncoding),
    long("ttfb_us", Long::TtfbUs),
    long("req_duration_us", Long::RequestDurationUs),
    long("resp_head_duration_us", Long::ResponseHeadDurationUs),
    long("total_us", Long::TotalUs),
    long("tcp_rtt_us", Long::TcpRttUs),
    request("user_agent", RequestText::UserAgent),
    request("referer", RequestText::Referer),
    request("origin", RequestText::Origin),
    request("accept", RequestText::Accept),
    request("accept_language", RequestText::AcceptLanguage),
    request("accept_encoding", RequestText::AcceptEncoding),
    request("req_content_type", RequestText::ContentType),
    request("authorization", RequestText::Authorization),
    request("authorization_scheme", RequestText::AuthorizationScheme),
    request("cookie", RequestText::Cookie),
    request("x_forwarded_for", RequestText::XForwardedFor),
    request("forwarded", RequestText::Forwarded),
    request("via", RequestText::Via),
    request("x_real_ip", RequestText::XRealIp),
    request("x_request_id", RequestText::XRequestId),
    request("traceparent", RequestText::Traceparent),
    request("trace_id", RequestText::TraceId),
    request("range", RequestText::Range),
    request("if_none_match", RequestText::IfNoneMatch),
    request("if_modified_since", RequestText::IfModifiedSince),
    request("req_cache_control", RequestText::CacheControl),
    request("req_connection", RequestText::Connection),
    request("expect", RequestText::Expect),
    response("server", ResponseText::Server),
    // Not `date`: the partition key of that name would hide it from every reader, and crashes DuckDB 1.3.
    response("resp_date", ResponseText::Date),
    response("resp_content_type", ResponseText::ContentType),
    response("location", ResponseText::Location),
    response("resp_cache_control", ResponseText::CacheControl),
    response("resp_connection", ResponseText::Connection),
    response("etag", ResponseText::Etag),
    response("last_modified", ResponseText::LastModified),
    response("vary", ResponseText::Vary),
    response("age", ResponseText::Age),
    response("expires", ResponseText::Expires),
    response("x_cache", ResponseText::XCache),
    response("retry_after", ResponseText::RetryAfter),
    response("www_authenticate", ResponseText::WwwAuthenticate),
    response("strict_transport_security", ResponseText::StrictTransportSecurity),
    response("content_security_policy", ResponseText::ContentSecurityPolicy),
    response("access_control_allow_origin", ResponseText::AccessControlAllowOrigin),
    list("set_cookies", List::SetCookies),
    list("cookie_names", List::CookieNames),
    list("set_cookie_names", List::SetCookieNames),
    request("req_header_names", RequestText::HeaderNames),
    response("resp_header_names", ResponseText::HeaderNames),
    list("req_headers_other", List::RequestOthers),
    list("resp_headers_other", List::ResponseOthers),
    long("req_header_order_hash", Long::HeaderOrderHash),
    required("flags", Source::List(List::Flags)),
];

/// Columns with a bloom filter: looked up by a single value that is not the sort order's.
pub(crate) const BLOOM_COLUMNS: [&str; 4] = ["flow_id", "client_ip", "x_request_id", "trace_id"];

/// Columns that may hold what a person sent or is: what a key of its own is for, where columns have several.
pub const SENSITIVE_COLUMNS: [&str; 23] = [
    "authorization",
    "client_ip",
    "community_id",
    "cookie",
    "flow_id",
    "forwarded",
    "location",
    "origin",
    "outer_src_ip",
    "path",
    "path_template",
    "query",
    "referer",
    "req_header_order_hash",
    "req_headers_other",
    "resp_headers_other",
    "set_cookies",
    "target_raw",
    "trace_id",
    "traceparent",
    "user_agent",
    "x_forwarded_for",
    "x_real_ip",
];

/// Numbers that repeat without being near to each other: a dictionary holds each once.
pub(crate) const REPEATING_NUMBERS: [&str; 1] = ["req_header_order_hash"];

/// Strings that are nearly all different.
pub(crate) const UNIQUE_COLUMNS: [&str; 3] = ["x_request_id", "traceparent", "trace_id"];

/// The Arrow schema of `http`: a repeating string is dictionary-coded in memory, which no file shows.
pub fn http_schema() -> SchemaRef {
    let fields: Vec<Field> =
        COLUMNS.iter().map(|column| Field::new(column.name, column.data_type(), column.nullable)).collect();
    Arc::new(Schema::new(fields))
}

impl Column {
    /// Arrow type of the column as gathered.
    pub(crate) fn data_type(&self) -> DataType {
        match self.source {
            Source::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Source::Word(Word::TimeSource | Word::PairState) | Source::Sensor => coded_text(),
            Source::Connection(text) => text_type(ConnectionText::CODINGS[text as usize].is_coded()),
            Source::Request(text) => text_type(RequestText::CODINGS[text as usize].is_coded()),
            Source::Response(text) => text_type(ResponseText::CODINGS[text as usize].is_coded()),
            Source::Int(_) => DataType::Int32,
            Source::Long(_) => DataType::Int64,
            Source::Truth(_) => DataType::Boolean,
            Source::List(List::VlanIds | List::InfoStatus) => DataType::List(element(DataType::Int32)),
            Source::List(List::SetCookies | List::CookieNames | List::SetCookieNames | List::Flags) => {
                DataType::List(element(coded_text()))
            }
            Source::List(List::RequestOthers | List::ResponseOthers) => {
                DataType::List(element(DataType::Struct(line_fields())))
            }
        }
    }
}

/// A string column whose values share codes.
pub(crate) fn coded_text() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn text_type(is_coded: bool) -> DataType {
    if is_coded { coded_text() } else { DataType::Utf8 }
}

/// The entry of a list, by the name Parquet's three-level form gives it; never null.
pub(crate) fn element(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, false))
}

/// The fields of an entry of `req_headers_other` and `resp_headers_other`.
pub(crate) fn line_fields() -> Fields {
    Fields::from(vec![Field::new("name", coded_text(), false), Field::new("value", coded_text(), false)])
}
