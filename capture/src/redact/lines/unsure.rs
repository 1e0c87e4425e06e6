//! Lines that some reader may read in another way than we do: folded, without a name, badly named, with control bytes.
//!
//! Invariant: where it cannot be told where a secret begins or ends, all of the line behind its name is one.

use memchr::memchr;
use storage::field::Field;

use super::{
    super::{
        class::{self, Class},
        detect,
        policy::{Action, Rule},
        sensitive,
        spans::Why,
    },
    Bounds, LineRedactor, Patch, Place, Sought,
};
use crate::http::{Line, Shape, syntax::is_token_char, unfold_value};

/// A malformed line, its place, and whether more of it may be missing.
#[derive(Clone, Copy)]
pub(super) struct Unsure<'l> {
    pub(super) index: usize,
    pub(super) line: &'l Line,
    pub(super) cut: bool,
}

impl LineRedactor {
    /// A line that some reader may read in another way than we do.
    pub(super) fn unsure_line<'a>(&mut self, unsure: Unsure<'_>, bytes: &'a [u8], names: &mut Vec<&'a [u8]>) {
        let Unsure { index, line, cut } = unsure;
        if line.shape.has(Shape::NAME_BAD) {
            return self.badly_named_line(index, line, bytes);
        }
        let wire = line.value(bytes);
        let mut value = std::mem::take(&mut self.unfolded);
        value.clear();
        unfold_value(wire, &mut value);
        let name = line.name(bytes);
        let class = if line.shape.has(Shape::NAMELESS) {
            Class::Secret(Rule { action: Action::Token, why: Why::Malformed })
        } else {
            Class::of(line.field, name, &self.policy)
        };
        let long = !class::names_things(line.field, name);
        let sought = Sought { field: line.field, class, cut, long };
        self.search(&value, sought, &mut |_| ());
        if class == Class::Plain && self.may_hide_anything(&value) {
            self.spans.add(0, value.len(), Action::Token, Why::Malformed);
        }
        if self.spans.is_empty() && line.shape.has(Shape::FOLDED) {
            let value = Place::Head(self.kept(&value));
            self.patches.push(Patch { line: index, name_len: None, value, raw: None });
        } else {
            self.patch_line(index, line, &value, bytes);
        }
        self.unfolded = value;
        if line.field == Some(Field::Cookie) {
            detect::cookie_names(wire, |name| names.push(name));
        }
        if line.field == Some(Field::SetCookie) {
            detect::set_cookie_name(wire, |name| names.push(name));
        }
    }

    /// Too broken to tell where in it a secret begins and ends.
    fn may_hide_anything(&self, value: &[u8]) -> bool {
        sensitive::mentions(value) || memchr(b'@', value).is_some() || self.jwt.find(value).is_some()
    }

    /// Keeps what is surely a name; all behind it is one token.
    fn badly_named_line(&mut self, index: usize, line: &Line, bytes: &[u8]) {
        let name = line.name(bytes);
        let name_len = name.iter().position(|&byte| !is_token_char(byte)).unwrap_or(name.len());
        let rest = &bytes[line.start as usize + name_len..line.end as usize];
        self.spans.clear();
        self.spans.add(0, rest.len(), Action::Token, Why::Malformed);
        let Some(value) = self.replaced(rest) else { return };
        let start = self.memory.len();
        self.memory.extend_from_within(value.start..value.end);
        self.memory.extend_from_slice(&bytes[line.end as usize..line.raw_end()]);
        let raw = Some(Bounds { start, end: self.memory.len() });
        let (name_len, value) = (Some(name_len), Place::Head(value));
        self.patches.push(Patch { line: index, name_len, value, raw });
    }

    /// A line under no policy: only folds are taken out of its value.
    pub(super) fn line_as_it_is<'a>(
        &mut self,
        index: usize,
        line: &Line,
        bytes: &'a [u8],
        names: &mut Vec<&'a [u8]>,
    ) {
        let value = line.value(bytes);
        self.spans.clear();
        if line.field == Some(Field::Cookie) {
            detect::cookie_names(value, |name| names.push(name));
        }
        if line.field == Some(Field::SetCookie) {
            detect::set_cookie_name(value, |name| names.push(name));
        }
        if line.shape.has(Shape::FOLDED) {
            let start = self.memory.len();
            unfold_value(value, &mut self.memory);
            let value = Place::Head(Bounds { start, end: self.memory.len() });
            self.patches.push(Patch { line: index, name_len: None, value, raw: None });
        }
    }
}
