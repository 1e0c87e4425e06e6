//! Redacts the parts of one head: target, method, reason and each field line, into memory that is reused.
//!
//! What is not replaced is not copied. Invariant: of a line that is not surely harmless, value and raw form are
//! replaced alike, and both before anything outside can see them.

mod unsure;

use memchr::{memchr2, memmem};
use storage::{field::Field, flags::Flags, search::holds_any, values::FieldLine};

use self::unsure::Unsure;
use super::{
    class::{self, Class},
    detect::{self, Text, TextDetector},
    key::Key,
    long_value,
    policy::{Action, Policy},
    recall::{Range, Recall, Recalled},
    scout, sensitive,
    spans::{Spans, Why},
    token::Tokenizer,
    trace::{Note, Part, Trace},
};
use crate::http::{
    Fields, Line, RequestHead, Shape,
    syntax::{is_lenient_space, is_token},
    target::{Form, Target},
};

/// What a request target is searched for: what may begin a secret, and what a target must not hold.
const TARGET_SUSPECTS: [u8; 10] = [b'=', b'@', b'%', b'{', 0, b' ', b'\t', 0x0b, 0x0c, b'\r'];

/// Those that only a malformed target holds.
const TARGET_SPACES: [u8; 6] = [0, b' ', b'\t', 0x0b, 0x0c, b'\r'];

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
    /// Bytes of the name that stay, where not all do.
    name_len: Option<usize>,
    value: Place,
    raw: Option<Bounds>,
}

/// Where what replaces a value is.
#[derive(Clone, Copy)]
enum Place {
    /// In the memory of the head.
    Head(Bounds),
    /// Where it was put when the line came before.
    Recalled(Range),
}

/// What to look for in a value.
#[derive(Clone, Copy)]
struct Sought {
    field: Option<Field>,
    class: Class,
    /// Its end may be missing.
    cut: bool,
    /// It may hold a long value.
    long: bool,
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
    recall: Recall,
    trace: Trace,
    redacted: bool,
    /// Finds what a JSON Web Token begins with.
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
            text: TextDetector::default(),
            spans: Spans::default(),
            memory: Vec::new(),
            unfolded: Vec::new(),
            patches: Vec::new(),
            recall: Recall::new(),
            trace: Trace::default(),
            redacted: false,
            jwt: memmem::Finder::new(b"eyJ"),
        }
    }

    pub(super) fn policy_name(&self) -> String {
        let name = self.policy.name();
        if self.policy.is_on() { format!("{name} key={}", self.tokenizer.key_id()) } else { name }
    }

    /// Forgets the head before, and asks for what is known of this one's lines.
    pub(super) fn begin(&mut self, fields: &Fields<'_>) {
        self.recall.begin();
        fields.numbers().for_each(|number| self.recall.expect(number));
        self.memory.clear();
        self.patches.clear();
        self.trace.clear();
        self.redacted = false;
    }

    /// `redacted`, where anything of this head was replaced.
    pub(super) fn flags(&self) -> Flags {
        if self.redacted { Flags::REDACTED } else { Flags::NONE }
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub(super) fn trace_on(&mut self) {
        self.trace.start();
    }

    pub(super) fn trace(&self) -> &[Note] {
        self.trace.notes()
    }

    pub(super) fn memory_at(&self, start: usize, end: usize) -> &[u8] {
        &self.memory[start..end]
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
        let has_long = self.has_long_run(value);
        let searched = cut
            || has_long
            || !self.policy.paths().is_empty()
            || holds_any(value, TARGET_SUSPECTS)
            || self.has_jwt(value);
        if !self.policy.is_on() || !searched {
            return None;
        }
        self.trace.begin(Part::Target);
        self.spans.clear();
        self.text.search(Text { value, target: true, cut }, &self.policy, &mut self.spans);
        if has_long || cut && self.policy.finds_long_values() {
            let path_len = memchr2(b'?', b'#', value).unwrap_or(value.len());
            long_value::search(value, path_len, cut, &mut self.spans);
        }
        if bare {
            detect::authority(value, cut, &mut self.spans);
        }
        self.jwts(value);
        let spaces = || value.iter().position(|&byte| is_lenient_space(byte) || byte == 0);
        if let Some(space) = holds_any(value, TARGET_SPACES).then(spaces).flatten()
            && sensitive::mentions(value)
        {
            self.spans.add(space, value.len(), Action::Token, Why::Malformed);
        }
        self.replaced(value)
    }

    /// The method, where it is no token and may be anything.
    pub(super) fn method(&mut self, value: &[u8]) -> Option<Bounds> {
        if !self.policy.is_on() || is_token(value) {
            return None;
        }
        self.trace.begin(Part::Method);
        self.spans.clear();
        self.spans.add(0, value.len(), Action::Token, Why::Malformed);
        self.replaced(value)
    }

    /// The reason phrase, where anything in it is replaced.
    pub(super) fn reason(&mut self, value: &[u8], cut: bool) -> Option<Bounds> {
        if !self.policy.is_on() {
            return None;
        }
        let (long, control) = (self.has_long_run(value), holds_any(value, [0, b'\r']));
        if !cut && !long && !control && !self.has_jwt(value) && !scout::finds(value, &self.policy) {
            return None;
        }
        self.trace.begin(Part::Reason);
        self.spans.clear();
        self.plain(value, cut);
        if cut || long {
            self.long_values(value, cut);
        }
        if control && sensitive::mentions(value) {
            self.spans.add(0, value.len(), Action::Token, Why::Malformed);
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
        // Who wants to know why is told anew each time.
        let recalls = !self.trace.is_on();
        table.extend(fields.lines().iter().map(|line| line.field_line(bytes)));
        if !complete && let Some(last) = table.last_mut() {
            last.number = None;
        }
        for (index, line) in fields.lines().iter().enumerate() {
            let number = table[index].number.filter(|_| recalls);
            if let Some(recalled) = number.and_then(|number| self.recall.get(number)) {
                if recalled.is_anything() {
                    self.put_recalled(recalled, index, line.value(bytes), names);
                }
                continue;
            }
            let (value, cut) = (line.value(bytes), index + 1 == table.len() && !complete);
            self.trace.begin(Part::Line(index));
            let (patches_before, names_before) = (self.patches.len(), names.len());
            self.line((index, line, cut), bytes, names);
            if let Some(number) = number {
                let place = |name: &&[u8]| {
                    let start = name.as_ptr().addr() - value.as_ptr().addr();
                    [start as u32, (start + name.len()) as u32]
                };
                let redacted = match self.patches[patches_before..].first() {
                    Some(Patch { value: Place::Head(bounds), .. }) => {
                        Some(&self.memory[bounds.start..bounds.end])
                    }
                    Some(Patch { value: Place::Recalled(_), .. }) | None => None,
                };
                self.recall.note(number, redacted, names[names_before..].iter().map(place));
            }
        }
    }

    /// Notes what became of the line when it came before.
    fn put_recalled<'a>(
        &mut self,
        recalled: Recalled,
        line: usize,
        wire: &'a [u8],
        names: &mut Vec<&'a [u8]>,
    ) {
        let place = |&[start, end]: &[u32; 2]| &wire[start as usize..end as usize];
        names.extend(self.recall.names(recalled).iter().map(place));
        if let Some(value) = recalled.value() {
            self.redacted = true;
            self.patches.push(Patch { line, name_len: None, value: Place::Recalled(value), raw: None });
        }
    }

    /// Looks at a line of which nothing is known.
    fn line<'a>(
        &mut self,
        (index, line, cut): (usize, &Line, bool),
        bytes: &'a [u8],
        names: &mut Vec<&'a [u8]>,
    ) {
        let unsure = Shape::NAMELESS.with(Shape::NAME_BAD).with(Shape::FOLDED).with(Shape::CONTROL);
        if !self.policy.is_on() {
            return self.line_as_it_is(index, line, bytes, names);
        }
        if line.shape.has(unsure) {
            return self.unsure_line(Unsure { index, line, cut }, bytes, names);
        }
        let (name, value) = (line.name(bytes), line.value(bytes));
        let class = Class::of(line.field, name, &self.policy);
        let long = match line.field {
            Some(_) => !class::names_things(line.field, name) && (cut || self.has_long_run(value)),
            None => (cut || self.has_long_run(value)) && !class::names_things(None, name),
        };
        if class != Class::Plain || cut || long || self.has_jwt(value) || scout::finds(value, &self.policy) {
            let sought = Sought { field: line.field, class, cut, long };
            self.search(value, sought, &mut |name| names.push(name));
            self.patch_line(index, line, value, bytes);
        }
    }

    /// True where the value has a run that may be a secret.
    fn has_long_run(&self, value: &[u8]) -> bool {
        self.policy.finds_long_values() && long_value::has_run(value)
    }

    fn has_jwt(&self, value: &[u8]) -> bool {
        holds_any(value, [b'J']) && self.jwt.find(value).is_some()
    }

    fn jwts(&mut self, value: &[u8]) {
        if self.has_jwt(value) {
            detect::jwts(value, &mut self.spans);
        }
    }

    /// Puts the replaced parts in the table.
    pub(super) fn patch<'a>(&'a self, table: &mut [FieldLine<'a>]) {
        for patch in &self.patches {
            let line = &mut table[patch.line];
            if let Some(len) = patch.name_len {
                line.name = &line.name[..len];
            }
            line.value = match patch.value {
                Place::Head(bounds) => self.at(bounds),
                Place::Recalled(place) => self.recall.value(place),
            };
            if let Some(raw) = patch.raw {
                line.raw = Some(self.at(raw));
            }
        }
    }

    /// Finds the spans of one value.
    fn search<'v>(&mut self, value: &'v [u8], sought: Sought, name: &mut dyn FnMut(&'v [u8])) {
        self.spans.clear();
        let Sought { field, class, cut, long } = sought;
        let spans = &mut self.spans;
        match class {
            Class::Kept => return self.kept_field(value, field, name),
            Class::Plain => {
                self.plain(value, cut);
                if long {
                    self.long_values(value, cut);
                }
                return;
            }
            Class::Secret(rule) => spans.add(0, value.len(), rule.action, rule.why),
            Class::Addresses(rule) => {
                spans.add(0, value.len(), rule.action, rule.why);
                self.plain(value, cut);
            }
            Class::Credentials(rule) => detect::credentials(value, rule, spans),
            Class::Cookies(rule) => detect::cookies(value, (rule, &self.policy), spans, name),
            Class::SetCookie(rule) => detect::set_cookie(value, (rule, &self.policy), spans, name),
            Class::Host => {
                detect::authority(value, cut, spans);
                if value.iter().any(|byte| b"=%{".contains(byte)) {
                    self.text.search(Text { value, target: false, cut }, &self.policy, spans);
                }
                if long {
                    self.long_values(value, cut);
                }
            }
        }
        self.jwts(value);
    }

    /// A field that the policy keeps gives the names of its cookies all the same.
    fn kept_field<'v>(&mut self, value: &'v [u8], field: Option<Field>, name: &mut dyn FnMut(&'v [u8])) {
        self.trace.keep_all();
        if field == Some(Field::Cookie) {
            detect::cookie_names(value, &mut *name);
        }
        if field == Some(Field::SetCookie) {
            detect::set_cookie_name(value, &mut *name);
        }
    }

    fn long_values(&mut self, value: &[u8], cut: bool) {
        if self.policy.finds_long_values() {
            let text = Text { value, target: false, cut };
            let path_len = if text.is_uri() { memchr2(b'?', b'#', value).unwrap_or(value.len()) } else { 0 };
            long_value::search(value, path_len, cut, &mut self.spans);
        }
    }

    fn plain(&mut self, value: &[u8], cut: bool) {
        self.text.search(Text { value, target: false, cut }, &self.policy, &mut self.spans);
        self.jwts(value);
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
        self.patches.push(Patch { line: index, name_len: None, value: Place::Head(value), raw });
    }

    /// Writes `value` less its spans; `None` where it has none.
    fn replaced(&mut self, value: &[u8]) -> Option<Bounds> {
        self.spans.settle();
        self.trace.keep(self.spans.kept());
        if self.spans.is_empty() {
            return None;
        }
        self.redacted = true;
        let start = self.memory.len();
        let trace = &mut self.trace;
        self.spans.write(value, &self.tokenizer, &mut self.memory, |span| trace.replace(span));
        Some(Bounds { start, end: self.memory.len() })
    }

    fn kept(&mut self, value: &[u8]) -> Bounds {
        let start = self.memory.len();
        self.memory.extend_from_slice(value);
        Bounds { start, end: self.memory.len() }
    }
}
