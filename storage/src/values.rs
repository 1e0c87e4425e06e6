//! What a collector hands to a batch: values of one connection, one request, one response, one row.
//!
//! All values are redacted before this point. Byte strings are as on the wire; the batch escapes what is not UTF-8.
//! A row joins the three by the small ids the batch gave out, so each value is copied once, whatever its rows.

use std::{net::IpAddr, num::NonZeroU64};

use crate::{field::Field, flags::Flags};

/// Where a row's time came from (column `ts_source`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeSource {
    /// The card's receive time stamp.
    Hardware,
    /// The kernel half's clock.
    Xdp,
    /// The capture file.
    Pcap,
}

/// How a row's two sides came together (column `pair_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PairState {
    /// The response's ACK covers the request's end, and no other request was open to it.
    AckVerified,
    /// First unanswered request to first response, without proof by ACK.
    Positional,
    /// No response was seen.
    RequestOnly,
    /// No request was seen.
    ResponseOnly,
    /// Several requests could be meant; the oldest was taken.
    Ambiguous,
}

impl PairState {
    /// Every state.
    pub const ALL: [PairState; 5] = [
        PairState::AckVerified,
        PairState::Positional,
        PairState::RequestOnly,
        PairState::ResponseOnly,
        PairState::Ambiguous,
    ];

    /// The word that stands in the files.
    pub const fn name(self) -> &'static str {
        match self {
            PairState::AckVerified => "ack_verified",
            PairState::Positional => "positional",
            PairState::RequestOnly => "request_only",
            PairState::ResponseOnly => "response_only",
            PairState::Ambiguous => "ambiguous",
        }
    }
}

/// Encapsulation a mirror put around the frames of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// `vxlan`, `geneve`, `gre`, `erspan1`, `erspan2`, `erspan3`, `ipip`.
    pub kind: &'static str,
    /// VNI, key or session id.
    pub id: Option<i64>,
    /// Sender of the outer packet.
    pub outer_src: IpAddr,
    /// Receiver of the outer packet.
    pub outer_dst: IpAddr,
}

/// Connection-level values, shared by the rows of one connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionValues<'a> {
    /// Interface name, or the capture file's.
    pub iface: &'a str,
    /// Receive queue.
    pub queue: Option<i32>,
    /// N of 1/N sampling.
    pub sample_weight: i32,
    /// Symmetric hash of the inner tuple.
    pub flow_id: i64,
    /// Community ID v1 (`1:` and 28 base64 characters); `None` where it would tell an address that must not stay.
    pub community_id: Option<&'a str>,
    /// The sender of requests.
    pub client: (IpAddr, u16),
    /// The sender of responses.
    pub server: (IpAddr, u16),
    /// VLAN ids, outermost first.
    pub vlan_ids: &'a [u16],
    /// Mirror encapsulation.
    pub tunnel: Option<Tunnel>,
    /// The connection's SYN came by.
    pub syn_seen: bool,
    /// Handshake round trip in microseconds.
    pub tcp_rtt_us: Option<i64>,
}

/// What a field line of certain bytes goes by: lines of one number are equal, and redacted alike.
///
/// The number modulo `LINE_NUMBER_SLOTS` is a slot that no other number in use at that time has.
pub type LineNumber = NonZeroU64;

/// Slots of line numbers: how many lines are known by number at a time.
pub const LINE_NUMBER_SLOTS: usize = 1 << 15;

/// One field line in wire order, redacted.
#[derive(Clone, Copy, Debug)]
pub struct FieldLine<'a> {
    /// Original case; empty for a line without a name.
    pub name: &'a [u8],
    /// The field, where the name is known by heart.
    pub field: Option<Field>,
    /// Value without surrounding white space.
    pub value: &'a [u8],
    /// Everything between name and line end (colon, white space, value, folds; and the LF where the line ended by LF
    /// alone), redacted; `None` where the line is exactly `name: value CRLF`.
    pub raw: Option<&'a [u8]>,
    /// What lines of these bytes go by; a line has one only where it is exactly `name: value CRLF`.
    pub number: Option<LineNumber>,
}

/// A request head's values.
#[derive(Clone, Copy, Debug)]
pub struct RequestValues<'a> {
    /// Registered method or `_OTHER`.
    pub method: &'static str,
    /// Method as on the wire.
    pub method_raw: &'a [u8],
    /// Request target as on the wire, redacted.
    pub target_raw: &'a [u8],
    /// Host or absolute-form authority in lower case.
    pub host: Option<&'a [u8]>,
    /// Path of the target; of one that begins with a slash, it follows from the target alone, as do query and template.
    pub path: Option<&'a [u8]>,
    /// Query of the target without `?`, redacted.
    pub query: Option<&'a [u8]>,
    /// Path with digits, UUIDs and long hex replaced.
    pub path_template: Option<&'a [u8]>,
    /// `1.0` or `1.1`; what the wire says where it is neither; `None` for HTTP/0.9.
    pub version: Option<&'a [u8]>,
    /// Bytes of the head on the wire, empty line included.
    pub head_bytes: i32,
    /// Field lines on the wire (may exceed `fields.len()`).
    pub header_count: i32,
    /// Declared Content-Length.
    pub content_length: Option<i64>,
    /// Transfer-Encoding, lines combined.
    pub transfer_encoding: Option<&'a [u8]>,
    /// Scheme of Authorization, in original case.
    pub authorization_scheme: Option<&'a [u8]>,
    /// Trace id of traceparent (32 hex digits), where well-formed.
    pub trace_id: Option<&'a [u8]>,
    /// Cookie names in order, comma-joined is not safe: one entry each. They follow from the lines of Cookie and Set-Cookie.
    pub cookie_names: &'a [&'a [u8]],
    /// CONNECT (RFC 9110 section 9.3.6).
    pub is_connect: bool,
    /// Hash of the lower-cased field names in order.
    pub header_order_hash: i64,
    /// Field lines in wire order.
    pub fields: &'a [FieldLine<'a>],
    /// Flags of this head.
    pub flags: Flags,
}

/// A response head's values.
#[derive(Clone, Copy, Debug)]
pub struct ResponseValues<'a> {
    /// `1.0` or `1.1`; what the wire says where it is neither.
    pub version: &'a [u8],
    /// Final status code; `None` where it is no number.
    pub status: Option<i32>,
    /// Reason phrase; empty where the line ends behind the status and a space, `None` without that space.
    pub reason: Option<&'a [u8]>,
    /// Status codes of the 1xx responses before it.
    pub info_status: &'a [i32],
    /// Bytes of the head on the wire, empty line included.
    pub head_bytes: i32,
    /// Field lines on the wire (may exceed `fields.len()`).
    pub header_count: i32,
    /// Declared Content-Length.
    pub content_length: Option<i64>,
    /// Transfer-Encoding, lines combined.
    pub transfer_encoding: Option<&'a [u8]>,
    /// Protocol switched to by a 101.
    pub upgrade_protocol: Option<&'a [u8]>,
    /// Names of the cookies set, in order.
    pub set_cookie_names: &'a [&'a [u8]],
    /// Field lines in wire order.
    pub fields: &'a [FieldLine<'a>],
    /// Flags of this head.
    pub flags: Flags,
}

/// Values of one row that belong to neither head alone.
#[derive(Clone, Copy, Debug)]
pub struct RowValues {
    /// First byte of the request, else of the response: Unix time in nanoseconds, UTC.
    pub ts_ns: i64,
    /// Clock of `ts_ns`.
    pub ts_source: TimeSource,
    /// n-th transaction seen on the connection, from 0.
    pub transaction_index: i32,
    /// How the sides came together.
    pub pair_state: PairState,
    /// Sequence number of the request's first byte.
    pub req_seq: Option<i64>,
    /// Sequence number behind the request head's last byte (and its body's, where known).
    pub req_end_seq: Option<i64>,
    /// Sequence number of the response's first byte.
    pub resp_seq: Option<i64>,
    /// Acknowledgment number of the segment that began the response.
    pub resp_ack: Option<i64>,
    /// Request body bytes seen, framing included.
    pub req_body_bytes: Option<i64>,
    /// Response body bytes seen, framing included.
    pub resp_body_bytes: Option<i64>,
    /// Last request byte to first response byte.
    pub ttfb_us: Option<i64>,
    /// First to last request byte.
    pub req_duration_us: Option<i64>,
    /// First byte of the response head to its last.
    pub resp_head_duration_us: Option<i64>,
    /// First request byte to last response byte.
    pub total_us: Option<i64>,
    /// Flags of capture and pairing, added to those of the heads.
    pub flags: Flags,
}

impl RowValues {
    /// Of a row with nothing measured, the first of its connection.
    pub const fn unmeasured(ts_ns: i64, ts_source: TimeSource, pair_state: PairState) -> RowValues {
        RowValues {
            ts_ns,
            ts_source,
            transaction_index: 0,
            pair_state,
            req_seq: None,
            req_end_seq: None,
            resp_seq: None,
            resp_ack: None,
            req_body_bytes: None,
            resp_body_bytes: None,
            ttfb_us: None,
            req_duration_us: None,
            resp_head_duration_us: None,
            total_us: None,
            flags: Flags::NONE,
        }
    }
}
