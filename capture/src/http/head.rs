//! A parsed head: start line, field lines, and what they mean, borrowed from the bytes and from the parser.
//!
//! What redaction takes and what the flow asks for framing. Invariant: every range lies in `bytes`.

use storage::{field::Field, flags::Flags, values::LineNumber};

use super::{line::Line, lines::Lines, method::Method};

/// The field lines of one head.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) lines: &'a Lines,
    pub(super) count: u32,
}

impl<'a> Fields<'a> {
    /// The bytes that the lines' offsets are into.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The lines stored, in wire order.
    pub fn lines(&self) -> &'a [Line] {
        self.lines.all()
    }

    /// The numbers of the lines that have one, in wire order.
    pub fn numbers(&self) -> impl Iterator<Item = LineNumber> {
        self.lines().iter().filter_map(|line| line.number)
    }

    /// Field lines on the wire; may exceed the lines stored.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// True where the field came, on a whole line.
    #[inline]
    pub fn has(&self, field: Field) -> bool {
        self.lines.has(field)
    }

    /// True where the field came on more than one line.
    pub fn repeats(&self, field: Field) -> bool {
        self.lines.repeats(field)
    }

    /// Where in `lines` the first whole line of the field is.
    pub fn first_index(&self, field: Field) -> Option<usize> {
        self.lines.first(field)
    }

    /// The value of the field's first whole line, as on the wire.
    pub fn first(&self, field: Field) -> Option<&'a [u8]> {
        self.first_index(field).map(|index| self.lines()[index].value(self.bytes))
    }

    /// The values of all whole lines of the field, as on the wire.
    pub fn all(&self, field: Field) -> impl Iterator<Item = &'a [u8]> {
        let Fields { bytes, lines, .. } = *self;
        lines.of(field).map(move |line| line.value(bytes))
    }
}

/// A request head (RFC 9112 sections 3 and 5).
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The bytes it was parsed from, up to the end of the head.
    pub bytes: &'a [u8],
    /// The method, if registered.
    pub method: Method,
    /// The method as on the wire.
    pub method_raw: &'a [u8],
    /// The request target as on the wire.
    pub target: &'a [u8],
    /// `1.1`, `1.0`, or what the wire says; `None` without a version (HTTP/0.9, or a start line cut short).
    pub version: Option<&'a [u8]>,
    /// The field lines.
    pub fields: Fields<'a>,
    /// The declared Content-Length, where it is one number.
    pub content_length: Option<i64>,
    /// Hash of the lower-cased field names in order.
    pub header_order_hash: i64,
    /// The empty line came.
    pub complete: bool,
    /// The start line ended within the bytes.
    pub start_line_complete: bool,
    /// What is wrong with the head.
    pub flags: Flags,
}

/// A response head (RFC 9112 sections 4 and 5).
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The bytes it was parsed from, up to the end of the head.
    pub bytes: &'a [u8],
    /// `1.1`, `1.0`, or what the wire says.
    pub version: &'a [u8],
    /// The status code; `None` where it is no number.
    pub status: Option<i32>,
    /// The reason phrase; `None` where the line ends behind the status code.
    pub reason: Option<&'a [u8]>,
    /// The field lines.
    pub fields: Fields<'a>,
    /// The declared Content-Length, where it is one number.
    pub content_length: Option<i64>,
    /// The empty line came.
    pub complete: bool,
    /// The start line ended within the bytes.
    pub start_line_complete: bool,
    /// What is wrong with the head.
    pub flags: Flags,
}

impl<'a> ResponseHead<'a> {
    /// The protocol a 101 switches to (RFC 9110 section 15.2.2).
    pub fn upgrade_protocol(&self) -> Option<&'a [u8]> {
        self.fields.first(Field::Upgrade).filter(|_| self.status == Some(101))
    }
}
