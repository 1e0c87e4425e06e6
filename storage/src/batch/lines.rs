//! The header rule: each field line is stored once, whole, where queries want it.
//!
//! A line with a column of its own that comes once and whose bytes follow from the column is stored there alone. Any
//! other line goes to the other headers in wire order; if its field has a column, all lines of the field do, and the
//! column holds their combined value (RFC 9110 section 5.3). So a line is in its column exactly where the other
//! headers name no line of its field, which is what the rebuilding view relies on.

use memchr::memchr;

use super::{
    columns::{Given, Home},
    known::KnownLines,
    side::{LineList, Span, TextList},
    strings::{ABSENT, Intake, Strings},
};
use crate::{escape, field::Field, values::FieldLine};

const _: () = assert!(Field::ALL.len() <= 64, "a set of fields is one u64");

/// Values of the columns that are not filled from field lines alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GivenValues<'a> {
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) content_length: Option<i64>,
    pub(crate) transfer_encoding: Option<&'a [u8]>,
}

impl GivenValues<'_> {
    /// True where the column alone gives back a line with this value.
    fn holds(&self, given: Given, value: &[u8]) -> bool {
        match given {
            Given::Host => self.host == Some(value),
            Given::TransferEncoding => self.transfer_encoding == Some(value),
            Given::ContentLength => self.content_length.is_some_and(|length| is_decimal_of(length, value)),
        }
    }
}

/// True where `text` is `number` as a canonical decimal, which is what a reader of the column writes.
fn is_decimal_of(number: i64, text: &[u8]) -> bool {
    let canonical = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.iter().all(u8::is_ascii_digit);
    canonical && std::str::from_utf8(text).is_ok_and(|digits| digits.parse() == Ok(number))
}

/// The columns a side's field lines go to.
pub(crate) struct LineSink<'a> {
    /// The side's string columns.
    pub(crate) texts: &'a mut [Strings],
    /// The record's codes, one per string column.
    pub(crate) codes: &'a mut [u32],
    /// The lines without a column of their own.
    pub(crate) others: &'a mut LineList,
    /// The set cookies of a response.
    pub(crate) set_cookies: Option<&'a mut TextList>,
    /// Home of a line by its field.
    pub(crate) home: fn(Field) -> Home,
    /// Codes that lines of a number have here already.
    pub(crate) known: &'a mut KnownLines,
    pub(crate) intake: &'a mut Intake,
}

/// Where the lines of one head went, besides the side's own columns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) others: Span,
    pub(crate) set_cookies: Span,
}

impl LineSink<'_> {
    /// Stores the lines of one head.
    pub(crate) fn put(&mut self, lines: &[FieldLine<'_>], given: &GivenValues<'_>) -> Stored {
        let cookies_start = self.set_cookies.as_ref().map_or(0, |list| list.entries.len());
        let others_start = self.others.entries.len();
        let whole = Fields::survey(lines);
        let mut combined = 0;
        for line in lines {
            let Some(field) = field_of(line) else {
                self.push_other(line);
                continue;
            };
            let in_column = match (self.home)(field) {
                Home::Other => false,
                Home::Given(column) => whole.is_single(field) && given.holds(column, line.value),
                Home::SetCookies => {
                    self.push_set_cookie(line);
                    whole.is_canonical(field)
                }
                Home::Text(column) => {
                    if combined & bit(field) == 0 {
                        combined |= bit(field);
                        self.put_text(column, field, lines, line, whole);
                    }
                    whole.is_single(field)
                }
            };
            if !in_column {
                self.push_other(line);
            }
        }
        let cookies_end = self.set_cookies.as_ref().map_or(0, |list| list.entries.len());
        Stored {
            others: Span::between(others_start, self.others.entries.len()),
            set_cookies: Span::between(cookies_start, cookies_end),
        }
    }

    fn put_text(
        &mut self,
        column: usize,
        field: Field,
        lines: &[FieldLine<'_>],
        first: &FieldLine<'_>,
        whole: Fields,
    ) {
        self.codes[column] = if whole.repeated & bit(field) == 0 {
            let texts = &mut self.texts[column];
            let put = |intake: &mut Intake| [texts.put(first.value, intake), ABSENT];
            let [code, _] = known_or_put(self.known, first, self.intake, put);
            code
        } else {
            let separator: &[u8] = if field == Field::Cookie { b"; " } else { b", " };
            let values: Vec<&[u8]> =
                lines.iter().filter(|line| field_of(line) == Some(field)).map(|line| line.value).collect();
            self.texts[column].put(&values.join(separator), self.intake)
        };
    }

    fn push_set_cookie(&mut self, line: &FieldLine<'_>) {
        if let Some(list) = &mut self.set_cookies {
            let strings = &mut list.strings;
            let put = |intake: &mut Intake| [strings.put(line.value, intake), ABSENT];
            let [code, _] = known_or_put(self.known, line, self.intake, put);
            list.push_code(code, self.intake);
        }
    }

    /// Adds a line to the other headers.
    fn push_other(&mut self, line: &FieldLine<'_>) {
        // A line of a set cookie or of a repeated field has codes of another column under its number.
        let is_known = line.field.is_none_or(|field| (self.home)(field) == Home::Other);
        let number = line.number.filter(|_| is_known);
        if let Some(codes) = self.known.get(number) {
            self.push_other_codes(codes);
            return;
        }
        let bad_utf8 = std::mem::take(&mut self.intake.bad_utf8);
        let codes = self.put_other(line);
        if !self.intake.bad_utf8 {
            self.known.note(number, codes);
        }
        self.intake.bad_utf8 |= bad_utf8;
        self.push_other_codes(codes);
    }

    fn push_other_codes(&mut self, codes: [u32; 2]) {
        self.others.entries.push(codes);
        self.intake.bytes += size_of::<[u32; 2]>();
    }

    /// Codes of a line among the other headers: `name`, value; or, where the bytes are not `name: value CRLF`, all up
    /// to and with the colon, the rest; or, without a colon, an empty name and the line.
    fn put_other(&mut self, line: &FieldLine<'_>) -> [u32; 2] {
        let (name, value) = match line.raw {
            None if line.name.is_empty() => {
                (self.put_name(b":"), self.put_value(&[b" ", line.value].concat()))
            }
            None => (self.put_name(line.name), self.put_value(line.value)),
            Some(raw) => match memchr(b':', raw) {
                Some(colon) => {
                    let (marker, rest) = raw.split_at(colon + 1);
                    (self.put_name(&[line.name, marker].concat()), self.put_value(rest))
                }
                None => (self.put_name(b""), self.put_value(&[line.name, raw].concat())),
            },
        };
        [name, value]
    }

    fn put_name(&mut self, name: &[u8]) -> u32 {
        if memchr(b',', name).is_none() {
            return self.others.names.put(name, self.intake);
        }
        let mut stored = Vec::new();
        self.intake.bad_utf8 |= escape::escape_name_into(name, &mut stored);
        self.others.names.put_stored(&stored, self.intake)
    }

    fn put_value(&mut self, value: &[u8]) -> u32 {
        self.others.values.put(value, self.intake)
    }
}

/// The codes that a line of this number has, or those that `put` gives it.
#[inline]
fn known_or_put(
    known: &mut KnownLines,
    line: &FieldLine<'_>,
    intake: &mut Intake,
    put: impl FnOnce(&mut Intake) -> [u32; 2],
) -> [u32; 2] {
    if let Some(codes) = known.get(line.number) {
        return codes;
    }
    let bad_utf8 = std::mem::take(&mut intake.bad_utf8);
    let codes = put(intake);
    if !intake.bad_utf8 {
        known.note(line.number, codes);
    }
    intake.bad_utf8 |= bad_utf8;
    codes
}

/// Which known fields come more than once in a head, and which have a line that is not canonical.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    repeated: u64,
    distorted: u64,
}

impl Fields {
    fn survey(lines: &[FieldLine<'_>]) -> Fields {
        let mut fields = Fields::default();
        let mut seen = 0;
        for line in lines {
            let field = field_of(line).map_or(0, bit);
            fields.repeated |= seen & field;
            seen |= field;
            if line.raw.is_some() {
                fields.distorted |= field;
            }
        }
        fields
    }

    /// The field comes once, as `name: value CRLF`.
    fn is_single(self, field: Field) -> bool {
        (self.repeated | self.distorted) & bit(field) == 0
    }

    /// Every line of the field is `name: value CRLF`.
    fn is_canonical(self, field: Field) -> bool {
        self.distorted & bit(field) == 0
    }
}

fn bit(field: Field) -> u64 {
    1 << (field as u8)
}

/// The line's field, by its bare name also where the line is not canonical: a view tells the lines of a field by name.
fn field_of(line: &FieldLine<'_>) -> Option<Field> {
    match line.raw {
        None => line.field,
        Some(_) => line.field.or_else(|| Field::from_name(line.name.trim_ascii())),
    }
}

/// Writes the names of all lines in stored form, comma-joined, over `out`; true where a byte was not UTF-8.
pub(crate) fn join_names(lines: &[FieldLine<'_>], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut bad_utf8 = false;
    for (position, line) in lines.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        if line.field.is_some() || (escape::is_plain(line.name) && memchr(b',', line.name).is_none()) {
            out.extend_from_slice(line.name);
        } else {
            bad_utf8 |= escape::escape_name_into(line.name, out);
        }
    }
    bad_utf8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_decimal_is_held_by_a_number() {
        assert!(is_decimal_of(0, b"0"));
        assert!(is_decimal_of(1234, b"1234"));
        for other in [&b"01"[..], b"+1", b" 1", b"1 ", b"", b"-1", b"1x", b"99999999999999999999"] {
            assert!(!is_decimal_of(1, other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn names_are_joined_in_wire_order_and_case() {
        let line =
            |name| FieldLine { name, field: Field::from_name(name), value: b"", raw: None, number: None };
        let mut out = Vec::new();
        assert!(!join_names(
            &[line(b"HOST"), line(b"x-a"), line(b""), line(b"a,b"), line(br"c\d")],
            &mut out
        ));
        assert_eq!(out, br"HOST,x-a,,a\x2Cb,c\\d");
        assert!(join_names(&[line(b"\xff")], &mut out));
        assert_eq!(out, br"\xFF");
    }
}
