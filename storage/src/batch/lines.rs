//! The header rule: each field line is stored once, whole, where queries want it.
//!
//! A line with a column of its own that comes once and whose bytes follow from the column is stored there alone. Any
//! other line goes to the other headers in wire order; if its field has a column, all lines of the field do, and the
//! column holds their combined value (RFC 9110 section 5.3). So a line is in its column exactly where the other
//! headers name no line of its field, which is what the rebuilding view relies on.

use memchr::memchr;

use super::{
    columns::{Given, Home, Homes},
    known::KnownLines,
    sequences::Sequences,
    side::{LineList, Span, TextList},
    strings::{ABSENT, Intake, Strings},
};
use crate::{
    escape,
    field::Field,
    values::{FieldLine, LineNumber},
};

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
    let add = |sum: i64, digit: &u8| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    };
    matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.iter().try_fold(0, add) == Some(number)
}

/// The columns a side's field lines go to.
pub(crate) struct LineSink<'a> {
    /// The side's string columns.
    pub(crate) texts: &'a mut [Strings],
    /// The record's codes, one per string column.
    pub(crate) codes: &'a mut [u32],
    /// The column of all names.
    pub(crate) names_column: usize,
    /// Sequences of names that came before.
    pub(crate) sequences: &'a mut Sequences,
    /// The lines without a column of their own; their names are the side's.
    pub(crate) others: &'a mut LineList,
    /// The set cookies of a response.
    pub(crate) set_cookies: Option<&'a mut TextList>,
    /// Home of a line by its field.
    pub(crate) homes: &'static Homes,
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

/// A line on its way: the number to note codes under, and the codes it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    number: Option<LineNumber>,
    name: u32,
    /// Absent before the value was looked up in the line's home.
    value: u32,
    /// That of the value, where it is to be looked up by it.
    hash: Option<u32>,
}

impl LineSink<'_> {
    /// Stores the lines of one head, which `look_ahead` has seen.
    pub(crate) fn put(
        &mut self,
        lines: &[FieldLine<'_>],
        Survey { fields: whole, sequence }: Survey,
        given: &GivenValues<'_>,
    ) -> Stored {
        let cookies_start = self.set_cookies.as_ref().map_or(0, |list| list.entries.len());
        let others_start = self.others.entries.len();
        let entries = std::mem::take(&mut self.intake.lines);
        let mut combined = 0;
        for (line, entry) in lines.iter().zip(&entries) {
            let Some(field) = field_of(line) else {
                self.push_other(line, *entry);
                continue;
            };
            let in_column = match self.homes[field as usize] {
                Home::Other => {
                    self.push_other(line, *entry);
                    continue;
                }
                Home::Given(column) => whole.is_single(field) && given.holds(column, line.value),
                Home::SetCookies => {
                    self.push_set_cookie(line, *entry);
                    whole.is_canonical(field)
                }
                Home::Text(column) if whole.repeated & field.bit() == 0 => {
                    self.codes[column] = self.value_code(*entry, |sink| {
                        sink.texts[column].put_hashed(line.value, entry.hash, sink.intake)
                    });
                    whole.is_single(field)
                }
                Home::Text(column) => {
                    if combined & field.bit() == 0 {
                        combined |= field.bit();
                        self.codes[column] = self.put_combined(column, field, lines);
                    }
                    false
                }
            };
            if !in_column {
                // Under its number the line has the code of another column.
                self.push_other(line, Entry { number: None, value: ABSENT, hash: None, ..*entry });
            }
        }
        self.intake.lines = entries;
        let names = &mut self.texts[self.names_column];
        self.codes[self.names_column] = self.sequences.put(sequence, &self.others.names, names, self.intake);
        let cookies_end = self.set_cookies.as_ref().map_or(0, |list| list.entries.len());
        Stored {
            others: Span::between(others_start, self.others.entries.len()),
            set_cookies: Span::between(cookies_start, cookies_end),
        }
    }

    /// Looks at all lines before the first value is stored, and asks for the places at which new values are looked for: they
    /// are far apart.
    pub(crate) fn look_ahead(&mut self, lines: &[FieldLine<'_>]) -> Survey {
        let (mut fields, mut seen) = (Fields::default(), 0);
        let mut entries = std::mem::take(&mut self.intake.lines);
        entries.clear();
        entries.reserve(lines.len());
        self.sequences.current.clear();
        for line in lines {
            let field = field_of(line);
            let bit = field.map_or(0, Field::bit);
            fields.repeated |= seen & bit;
            seen |= bit;
            if line.raw.is_some() {
                fields.distorted |= bit;
            }
            let mut entry = self.entry(line);
            if entry.value == ABSENT && line.raw.is_none() {
                entry.hash = self.expect(field, line.value);
            }
            self.sequences.current.push(entry.name);
            entries.push(entry);
        }
        self.intake.lines = entries;
        Survey { fields, sequence: self.sequences.expect() }
    }

    /// Looks up the line by its number, else its name.
    #[inline]
    fn entry(&mut self, line: &FieldLine<'_>) -> Entry {
        if let Some([name, value]) = self.known.get(line.number) {
            return Entry { number: line.number, name, value, hash: None };
        }
        let bad_utf8 = std::mem::take(&mut self.intake.bad_utf8);
        let name = match line.field {
            Some(field) => self.name_of_field(field, line.name),
            None => self.put_name(line.name),
        };
        let number = line.number.filter(|_| !self.intake.bad_utf8);
        self.intake.bad_utf8 |= bad_utf8;
        self.known.note(number, [name, ABSENT]);
        Entry { number, name, value: ABSENT, hash: None }
    }

    /// Tells the value's home that it will be looked for.
    fn expect(&self, field: Option<Field>, value: &[u8]) -> Option<u32> {
        match field.map_or(Home::Other, |field| self.homes[field as usize]) {
            Home::Text(column) => self.texts[column].expect(value),
            Home::Other => self.others.values.expect(value),
            Home::SetCookies => self.set_cookies.as_ref()?.strings.expect(value),
            // Mostly equal to what the column has, and then not looked for.
            Home::Given(_) => None,
        }
    }

    /// The code of the line's value in its home, or the one that `put` gives it there.
    #[inline]
    fn value_code(&mut self, entry: Entry, put: impl FnOnce(&mut Self) -> u32) -> u32 {
        if entry.value != ABSENT {
            return entry.value;
        }
        let bad_utf8 = std::mem::take(&mut self.intake.bad_utf8);
        let code = put(self);
        if !self.intake.bad_utf8 {
            self.known.note(entry.number, [entry.name, code]);
        }
        self.intake.bad_utf8 |= bad_utf8;
        code
    }

    /// All lines of a field as one value (RFC 9110 section 5.3).
    fn put_combined(&mut self, column: usize, field: Field, lines: &[FieldLine<'_>]) -> u32 {
        let separator: &[u8] = if field == Field::Cookie { b"; " } else { b", " };
        let values: Vec<&[u8]> =
            lines.iter().filter(|line| field_of(line) == Some(field)).map(|line| line.value).collect();
        self.texts[column].put(&values.join(separator), self.intake)
    }

    fn push_set_cookie(&mut self, line: &FieldLine<'_>, entry: Entry) {
        let code = self.value_code(entry, |sink| match &mut sink.set_cookies {
            Some(list) => list.strings.put_hashed(line.value, entry.hash, sink.intake),
            None => ABSENT,
        });
        if let Some(list) = &mut self.set_cookies {
            list.push_code(code, self.intake);
        }
    }

    /// Adds a line to the other headers: `name`, value; or, where the bytes are not `name: value CRLF`, all up to and
    /// with the colon, the rest; or, without a colon, an empty name and the line.
    fn push_other(&mut self, line: &FieldLine<'_>, entry: Entry) {
        let codes = match line.raw {
            None if line.name.is_empty() => {
                [self.put_name(b":"), self.others.values.put(&[b" ", line.value].concat(), self.intake)]
            }
            None => {
                let value = self.value_code(entry, |sink| {
                    sink.others.values.put_hashed(line.value, entry.hash, sink.intake)
                });
                [entry.name, value]
            }
            Some(raw) => {
                let (name, value) = match memchr(b':', raw) {
                    Some(colon) => (&[line.name, &raw[..=colon]].concat()[..], &raw[colon + 1..]),
                    None => (&b""[..], &[line.name, raw].concat()[..]),
                };
                [self.put_name(name), self.others.values.put(value, self.intake)]
            }
        };
        self.others.entries.push(codes);
        self.intake.bytes += size_of::<[u32; 2]>();
    }

    /// A field's name is mostly written as it was before.
    fn name_of_field(&mut self, field: Field, name: &[u8]) -> u32 {
        let before = self.sequences.by_field[field as usize];
        if before != ABSENT && self.others.names.get(before) == name {
            return before;
        }
        let code = self.put_name(name);
        self.sequences.by_field[field as usize] = code;
        code
    }

    fn put_name(&mut self, name: &[u8]) -> u32 {
        if memchr(b',', name).is_none() {
            return self.others.names.put(name, self.intake);
        }
        let mut stored = Vec::new();
        self.intake.bad_utf8 |= escape::escape_name_into(name, &mut stored);
        self.others.names.put_stored(&stored, self.intake)
    }
}

/// What a look at all lines of a head told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Survey {
    fields: Fields,
    /// Hash of the names.
    sequence: u32,
}

/// Which known fields come more than once in a head, and which have a line that is not canonical.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    repeated: u64,
    distorted: u64,
}

impl Fields {
    /// The field comes once, as `name: value CRLF`.
    fn is_single(self, field: Field) -> bool {
        (self.repeated | self.distorted) & field.bit() == 0
    }

    /// Every line of the field is `name: value CRLF`.
    fn is_canonical(self, field: Field) -> bool {
        self.distorted & field.bit() == 0
    }
}

/// The line's field, by its bare name also where the line is not canonical: a view tells the lines of a field by name.
#[inline]
fn field_of(line: &FieldLine<'_>) -> Option<Field> {
    match line.raw {
        None => line.field,
        Some(_) => line.field.or_else(|| Field::from_name(line.name.trim_ascii())),
    }
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
}
