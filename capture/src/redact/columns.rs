//! Columns that are no slice of the head: host in lower case, path template, combined Transfer-Encoding.
//!
//! Made from values already redacted. Invariant: written once per head, into memory that is reused.

use storage::{
    field::Field,
    search::{holds_any, holds_in},
    values::FieldLine,
};

use super::token::Tokenizer;
use crate::http::target::{self, without_userinfo};

/// Memory of one made column.
#[derive(Debug, Default)]
pub(super) struct Column(Vec<u8>);

impl Column {
    /// The host in lower case; in the case it has where a token is in it.
    pub(super) fn lower_case<'a>(
        &'a mut self,
        host: Option<&'a [u8]>,
        tokenizer: &Tokenizer,
    ) -> Option<&'a [u8]> {
        let host = host.map(|host| if holds_any(host, [b'@']) { without_userinfo(host) } else { host })?;
        if !holds_in(host, b'A'..=b'Z') || (0..host.len()).any(|at| tokenizer.len_at(&host[at..]) > 0) {
            return Some(host);
        }
        self.0.clear();
        self.0.extend(host.iter().map(u8::to_ascii_lowercase));
        Some(&self.0)
    }

    /// The path with its variable segments named.
    pub(super) fn template<'a>(
        &'a mut self,
        path: Option<&'a [u8]>,
        tokenizer: &Tokenizer,
    ) -> Option<&'a [u8]> {
        let path = path?;
        self.0.clear();
        let varies = target::write_template(path, |at| tokenizer.len_at(at), &mut self.0);
        Some(if varies { &self.0 } else { path })
    }

    /// All lines of a field, joined where there are several (RFC 9110 section 5.3).
    pub(super) fn joined<'a>(&'a mut self, fields: &[FieldLine<'a>], field: Field) -> Option<&'a [u8]> {
        let mut values = fields.iter().filter(|line| line.field == Some(field));
        let first = values.next()?.value;
        let Some(second) = values.next() else { return Some(first) };
        self.0.clear();
        self.0.extend_from_slice(first);
        for line in std::iter::once(second).chain(values) {
            self.0.extend_from_slice(b", ");
            self.0.extend_from_slice(line.value);
        }
        Some(&self.0)
    }
}
