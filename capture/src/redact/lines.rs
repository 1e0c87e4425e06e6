//! Redacts the parts of one head: target, method, reason and each field line, into memory that is reused.
//!
//! What is not replaced is not copied. Invariant: of a line that is not surely harmless, value and raw form are
//! replaced alike, and both before anything outside can see them.

use memchr::{memchr, memchr2, memchr3, memmem};
use storage::{field::Field, flags::Flags, values::FieldLine};

use super::{
    detect::{self, Text, TextDetector},
    key::Key,
    policy::{Action, Policy},
    sensitive::{self, Names},
    spans::Spans,
    token::Tokenizer,
};
use crate::http::{
    Fields, Line, RequestHead, Shape,
    syntax::{is_lenient_space, is_token, is_token_char},
    target::{Form, Target},
    unfold_value,
};

/// A range of the redactor's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    start: usize,
    end: usize,
}

/// What replaces parts of a field line already in the table.
#[derive(Clone, Copy)]
struct Patch {
    line: usize,
    /// Bytes of the name that stay.
    name_len: usize,
    value: Bounds,
    raw: Option<Bounds>,
}

/// How a field's value is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Excepted by the policy.
    Kept,
    /// Whatever is found in it.
    Plain,
    /// All of it.
    Secret(Action),
    /// All but the scheme.
    Credentials(Action),
    /// Each cookie's value.
    Cookies(Action),
    /// The cookie's value.
    SetCookie(Action),
    /// An authority.
    Host,
}

/// A malformed line, its place, and whether more of it may be missing.
#[derive(Clone, Copy)]
struct Unsure<'l> {
    index: usize,
    line: &'l Line,
    cut: bool,
}

/// Redacts heads, one at a time.
pub(super) struct LineRedactor {
    policy: Policy,
    tokenizer: Tokenizer,
    text: TextDetector,
    spans: Spans,
    memory: Vec<u8>,
    unfolded: Vec<u8>,
    patches: Vec<Patch>,
    /// The head holds what a JSON Web Token begins with.
    jwt_seen: bool,
    redacted: bool,
    jwt: memmem::Finder<'static>,
}

impl LineRedactor {
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) fn new(policy: Policy, key: Key) -> LineRedactor {
        LineRedactor {
            policy,
            tokenizer: Tokenizer::new(key),
            text: TextDetector::new(),
            spans: Spans::default(),
            memory: Vec::new(),
            unfolded: Vec::new(),
            patches: Vec::new(),
            jwt_seen: false,
            redacted: false,
            jwt: memmem::Finder::new(b"eyJ"),
        }
    }

    pub(super) fn policy_name(&self) -> String {
        let name = self.policy.name();
        if self.policy.is_on() { format!("{name} key={}", self.tokenizer.key_id()) } else { name }
    }

    /// Forgets the head before.
    pub(super) fn begin(&mut self, bytes: &[u8]) {
        self.memory.clear();
        self.patches.clear();
        self.redacted = false;
        self.jwt_seen = self.policy.is_on() && self.jwt.find(bytes).is_some();
    }

    /// `redacted`, where anything of this head was replaced.
    pub(super) fn flags(&self) -> Flags {
        if self.redacted { Flags::REDACTED } else { Flags::NONE }
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The bytes of `bounds`, or `wire` where nothing was replaced.
    pub(super) fn resolve<'a>(&'a self, wire: &'a [u8], bounds: Option<Bounds>) -> &'a [u8] {
        bounds.map_or(wire, |bounds| self.at(bounds))
    }

    fn at(&self, bounds: Bounds) -> &[u8] {
        &self.memory[bounds.start..bounds.end]
    }

    /// The request target, where anything in it is replaced.
    pub(super) fn target(&mut self, head: &RequestHead<'_>) -> Option<Bounds> {
        let value = head.target;
        let cut = !head.start_line_complete;
        let form = Target::of(value, head.method).form;
        let bare = matches!(form, Form::Authority | Form::Other);
        let suspect = |byte: u8| matches!(byte, b'=' | b'@' | b'%' | b'{') || is_lenient_space(byte);
        let searched = cut || self.jwt_seen || value.iter().fold(false, |found, &byte| found | suspect(byte));
        if !self.policy.is_on() || !searched {
            return None;
        }
        self.spans.clear();
        self.text.search(Text { value, target: true, cut }, &self.policy, &mut self.spans);
        if bare {
            detect::authority(value, cut, &mut self.spans);
        }
        if self.jwt_seen {
            detect::jwts(value, &mut self.spans);
        }
        if let Some(space) = value.iter().position(|&byte| is_lenient_space(byte) || byte == 0)
            && sensitive::mentions(value)
        {
            self.spans.add(space, value.len(), Action::Token);
        }
        self.replaced(value)
    }

    /// The method, where it is no token and may be anything.
    pub(super) fn method(&mut self, value: &[u8]) -> Option<Bounds> {
        if !self.policy.is_on() || is_token(value) {
            return None;
        }
        self.spans.clear();
        self.spans.add(0, value.len(), Action::Token);
        self.replaced(value)
    }

    /// The reason phrase, where anything in it is replaced.
    pub(super) fn reason(&mut self, value: &[u8], cut: bool) -> Option<Bounds> {
        if !self.policy.is_on() {
            return None;
        }
        self.spans.clear();
        self.plain(value, cut);
        if memchr2(0, b'\r', value).is_some() && sensitive::mentions(value) {
            self.spans.add(0, value.len(), Action::Token);
        }
        self.replaced(value)
    }

    /// Fills the table with the lines of the head as on the wire, and notes what `patch` is to replace in it.
    ///
    /// The last line of a head that is not complete may go on, if only by a fold: its end proves nothing.
    pub(super) fn lines<'a>(
        &mut self,
        fields: &Fields<'a>,
        complete: bool,
        table: &mut Vec<FieldLine<'a>>,
        names: &mut Vec<&'a [u8]>,
    ) {
        let bytes = fields.bytes();
        let unsure = Shape::NAMELESS.with(Shape::NAME_BAD).with(Shape::FOLDED).with(Shape::CONTROL);
        let mut scout = Scout::new(bytes);
        let last = fields.lines().len().wrapping_sub(1);
        for (index, line) in fields.lines().iter().enumerate() {
            let cut = index == last && !complete;
            let (name, value, raw) = (line.name(bytes), line.value(bytes), line.raw(bytes));
            table.push(FieldLine { name, field: line.field, value, raw });
            if !self.policy.is_on() {
                self.line_as_it_is(index, line, bytes, names);
            } else if line.shape.has(unsure) {
                self.unsure_line(Unsure { index, line, cut }, bytes, names);
            } else {
                let class = self.class(line.field, name);
                if class != Class::Plain || cut || self.jwt_seen || scout.finds(line, &self.policy) {
                    self.search(value, class, cut, &mut |name| names.push(name));
                    self.patch_line(index, line, value, bytes);
                }
            }
        }
    }

    /// Puts the replaced parts in the table.
    pub(super) fn patch<'a>(&'a self, table: &mut [FieldLine<'a>]) {
        for patch in &self.patches {
            let line = &mut table[patch.line];
            line.name = &line.name[..patch.name_len];
            line.value = self.at(patch.value);
            if let Some(raw) = patch.raw {
                line.raw = Some(self.at(raw));
            }
        }
    }

    fn class(&self, field: Option<Field>, name: &[u8]) -> Class {
        let exception = self.policy.field_exception(name);
        if exception == Some(Action::Keep) {
            return Class::Kept;
        }
        let action = exception.unwrap_or(Action::Token);
        match (field, exception) {
            (Some(Field::Authorization | Field::ProxyAuthorization), _) => Class::Credentials(action),
            (Some(Field::Cookie), _) => Class::Cookies(action),
            (Some(Field::SetCookie), _) => Class::SetCookie(action),
            (_, Some(action)) => Class::Secret(action),
            (Some(Field::Host), None) => Class::Host,
            (Some(_), None) => Class::Plain,
            (None, None) if sensitive::is_sensitive(name, Names::Field) => Class::Secret(Action::Token),
            (None, None) => Class::Plain,
        }
    }

    /// Finds the spans of one value.
    fn search<'v>(&mut self, value: &'v [u8], class: Class, cut: bool, name: &mut dyn FnMut(&'v [u8])) {
        self.spans.clear();
        let spans = &mut self.spans;
        match class {
            Class::Kept => return,
            Class::Plain => return self.plain(value, cut),
            Class::Secret(action) => spans.add(0, value.len(), action),
            Class::Credentials(action) => detect::credentials(value, action, spans),
            Class::Cookies(action) => detect::cookies(value, action, spans, name),
            Class::SetCookie(action) => detect::set_cookie(value, action, spans, name),
            Class::Host => {
                detect::authority(value, cut, spans);
                if value.iter().any(|byte| b"=%{".contains(byte)) {
                    self.text.search(Text { value, target: false, cut }, &self.policy, spans);
                }
            }
        }
        if self.jwt_seen {
            detect::jwts(value, &mut self.spans);
        }
    }

    fn plain(&mut self, value: &[u8], cut: bool) {
        self.text.search(Text { value, target: false, cut }, &self.policy, &mut self.spans);
        if self.jwt_seen {
            detect::jwts(value, &mut self.spans);
        }
    }

    /// A line that some reader may read in another way than we do.
    fn unsure_line<'a>(&mut self, unsure: Unsure<'_>, bytes: &'a [u8], names: &mut Vec<&'a [u8]>) {
        let Unsure { index, line, cut } = unsure;
        if line.shape.has(Shape::NAME_BAD) {
            return self.badly_named_line(index, line, bytes);
        }
        let wire = line.value(bytes);
        let mut value = std::mem::take(&mut self.unfolded);
        value.clear();
        unfold_value(wire, &mut value);
        let class = if line.shape.has(Shape::NAMELESS) {
            Class::Secret(Action::Token)
        } else {
            self.class(line.field, line.name(bytes))
        };
        self.search(&value, class, cut, &mut |_| ());
        if class == Class::Plain && self.may_hide_anything(&value) {
            self.spans.add(0, value.len(), Action::Token);
        }
        if self.spans.is_empty() && line.shape.has(Shape::FOLDED) {
            let value = self.kept(&value);
            self.patches.push(Patch { line: index, name_len: line.name(bytes).len(), value, raw: None });
        } else {
            self.patch_line(index, line, &value, bytes);
        }
        self.unfolded = value;
        if matches!(class, Class::Cookies(_)) {
            detect::cookies(wire, Action::Keep, &mut self.spans, |name| names.push(name));
        }
        if matches!(class, Class::SetCookie(_)) {
            detect::set_cookie(wire, Action::Keep, &mut self.spans, |name| names.push(name));
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
        self.spans.add(0, rest.len(), Action::Token);
        let Some(value) = self.replaced(rest) else { return };
        let start = self.memory.len();
        self.memory.extend_from_within(value.start..value.end);
        self.memory.extend_from_slice(&bytes[line.end as usize..line.raw_end()]);
        let raw = Some(Bounds { start, end: self.memory.len() });
        self.patches.push(Patch { line: index, name_len, value, raw });
    }

    /// A line under no policy: only folds are taken out of its value.
    fn line_as_it_is<'a>(&mut self, index: usize, line: &Line, bytes: &'a [u8], names: &mut Vec<&'a [u8]>) {
        let value = line.value(bytes);
        self.spans.clear();
        if line.field == Some(Field::Cookie) {
            detect::cookies(value, Action::Keep, &mut self.spans, |name| names.push(name));
        }
        if line.field == Some(Field::SetCookie) {
            detect::set_cookie(value, Action::Keep, &mut self.spans, |name| names.push(name));
        }
        if line.shape.has(Shape::FOLDED) {
            let start = self.memory.len();
            unfold_value(value, &mut self.memory);
            let value = Bounds { start, end: self.memory.len() };
            self.patches.push(Patch { line: index, name_len: line.name(bytes).len(), value, raw: None });
        }
    }

    /// Notes the replacement of a line's value by `value` less its spans, in its raw form as well.
    fn patch_line(&mut self, index: usize, line: &Line, value: &[u8], bytes: &[u8]) {
        let Some(value) = self.replaced(value) else { return };
        let raw = line.shape.has(Shape::RAW).then(|| {
            let start = self.memory.len();
            self.memory.extend_from_slice(&bytes[line.name_end as usize..line.value_start as usize]);
            self.memory.extend_from_within(value.start..value.end);
            self.memory.extend_from_slice(&bytes[line.value_end as usize..line.raw_end()]);
            Bounds { start, end: self.memory.len() }
        });
        self.patches.push(Patch { line: index, name_len: line.name(bytes).len(), value, raw });
    }

    /// Writes `value` less its spans; `None` where it has none.
    fn replaced(&mut self, value: &[u8]) -> Option<Bounds> {
        if self.spans.is_empty() {
            return None;
        }
        self.redacted = true;
        let start = self.memory.len();
        self.spans.write(value, &self.tokenizer, &mut self.memory);
        Some(Bounds { start, end: self.memory.len() })
    }

    fn kept(&mut self, value: &[u8]) -> Bounds {
        let start = self.memory.len();
        self.memory.extend_from_slice(value);
        Bounds { start, end: self.memory.len() }
    }
}

/// Finds the values worth a search, with one pass over the head for all lines.
struct Scout<'a> {
    bytes: &'a [u8],
    /// The next `=`, `%` or `{`.
    parameter: usize,
    /// The next `@`.
    at: usize,
}

impl<'a> Scout<'a> {
    fn new(bytes: &'a [u8]) -> Scout<'a> {
        Scout { bytes, parameter: 0, at: memchr(b'@', bytes).unwrap_or(bytes.len()) }
    }

    /// True where the line's value holds more than parameters of harmless names; lines are asked in order.
    fn finds(&mut self, line: &Line, policy: &Policy) -> bool {
        let (start, end) = (line.value_start as usize, line.value_end as usize);
        if self.at < start {
            self.at = start + memchr(b'@', &self.bytes[start..]).unwrap_or(self.bytes.len() - start);
        }
        if self.parameter < start {
            self.pass_to(start);
        }
        while self.parameter < end {
            let value = &self.bytes[start..end];
            if !detect::is_harmless_parameter(value, self.parameter - start, policy) {
                return true;
            }
            self.pass_to(self.parameter + 1);
        }
        self.at < end
    }

    fn pass_to(&mut self, from: usize) {
        let rest = &self.bytes[from..];
        self.parameter = from + memchr3(b'=', b'%', b'{', rest).unwrap_or(rest.len());
    }
}
