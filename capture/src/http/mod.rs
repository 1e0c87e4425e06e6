//! HTTP/1.x heads (RFC 9112): where one ends, what it says, and what is wrong with it.
//!
//! The stage between reassembly and redaction: takes borrowed bytes of one head, gives a `RequestHead` or
//! `ResponseHead` that borrows from them and from a reusable `Parser`.
//! Invariant: a malformed head is still a head. Whatever can be parsed is, the rest is flagged, and start line and
//! lines together rebuild the bytes exactly unless a flag says they do not.

mod ahead;
pub mod framing;
mod head;
mod head_end;
mod line;
mod line_feeds;
mod line_hash;
mod line_sum;
mod lines;
mod memory;
mod method;
#[cfg(test)]
mod naive;
mod order;
mod parser;
mod start;
pub(crate) mod syntax;
pub mod target;
#[cfg(test)]
mod tests;

pub use framing::{Body, RequestFraming, ResponseFraming};
pub use head::{Fields, RequestHead, ResponseHead};
pub use head_end::HeadEnd;
pub(crate) use line::unfold_value;
pub use line::{Line, Shape};
pub use memory::LINE_MEMORY_BYTES_MAX;
pub use method::Method;
pub use parser::{Malformed, Parser};
pub use start::{StartLine, start_line_kind};

/// Field lines of one head that are stored and interpreted; the rest is counted only (`too_many_headers`).
pub const FIELD_LINE_COUNT_MAX: usize = 1000;

/// Bytes of one field line beyond which it is flagged `header_too_long`: what common servers accept (8 KiB less CRLF).
pub const FIELD_LINE_BYTES_MAX: usize = 8190;

/// Longest method that `start_line_kind` takes for one.
pub const METHOD_BYTES_MAX: usize = 32;

/// Bytes `start_line_kind` looks through for the version behind an unregistered method (RFC 9112 section 3 asks for 8000).
pub const START_LINE_BYTES_MAX: usize = 8192;
