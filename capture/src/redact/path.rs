//! Rules for segments of paths, in targets and in every URI within a value.
//!
//! A pattern is a path in which braces mark what is acted on and `*` stands for any characters: `/users/{*}`. Segments
//! are compared percent-decoded, in any case, without their parameters, with dot segments resolved.
//! Invariant: a segment is acted on however its path is spelled; the first rule that marks it decides.

use memchr::{memchr, memmem};

use super::{
    detect::decode_all,
    policy::Action,
    spans::{Spans, Why},
};
use crate::http::target::authority_len;

/// Segments one pattern may have.
pub(super) const STEP_COUNT_MAX: usize = 32;

/// What becomes of the segments that a pattern marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathRule {
    /// The first step is the path's first segment.
    is_anchored: bool,
    steps: Vec<Step>,
    action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// Lower case; `*` stands for any bytes.
    glob: Vec<u8>,
    is_marked: bool,
}

impl PathRule {
    /// Understands a pattern, or says what is wrong with it.
    pub(super) fn new(pattern: &str, action: Action) -> Result<PathRule, String> {
        let (is_anchored, rest) = match pattern.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let steps = rest.split('/').map(Step::new).collect::<Result<Vec<_>, _>>()?;
        if steps.len() > STEP_COUNT_MAX {
            return Err(format!("more than {STEP_COUNT_MAX} segments"));
        }
        if !steps.iter().any(|step| step.is_marked) {
            return Err("no segment is in braces, so nothing would be acted on".to_owned());
        }
        Ok(PathRule { is_anchored, steps, action })
    }

    fn matches(&self, segments: &[Segment], at: usize) -> bool {
        (!self.is_anchored || at == 0)
            && segments[at..].len() >= self.steps.len()
            && self.steps.iter().zip(&segments[at..]).all(|(step, segment)| glob(&step.glob, &segment.name))
    }
}

impl Step {
    fn new(text: &str) -> Result<Step, String> {
        let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let glob = inner.unwrap_or(text);
        if glob.is_empty() {
            return Err("a segment is empty; * stands for any".to_owned());
        }
        if let Some(odd) = glob.chars().find(|char| "{}?#;%".contains(*char)) {
            return Err(format!(
                "'{odd}' in a segment; braces enclose a whole one, and % is written decoded"
            ));
        }
        Ok(Step { glob: glob.to_ascii_lowercase().into_bytes(), is_marked: inner.is_some() })
    }
}

/// A segment of the path at hand.
#[derive(Debug, Default)]
struct Segment {
    start: usize,
    end: usize,
    /// Decoded, in lower case, without parameters.
    name: Vec<u8>,
}

/// Applies rules; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct PathMatcher {
    segments: Vec<Segment>,
    spare: Vec<Segment>,
    decoded: Vec<u8>,
    marked: Vec<bool>,
}

impl PathMatcher {
    /// Adds what the rules want for each path in `text`, the target of a request or any value.
    pub(super) fn search(&mut self, text: &[u8], target: bool, rules: &[PathRule], spans: &mut Spans) {
        let is_absolute = target && memmem::find(text, b"://").is_some_and(|at| at < authority_len(text));
        if text.first() == Some(&b'/') || target && !is_absolute {
            let len = text.iter().position(|&byte| b"?#".contains(&byte)).unwrap_or(text.len());
            self.path(text, 0, if target { len } else { path_end(text, 0) }, rules, spans);
        }
        // A path ends where the next begins: each byte is looked at once, however many there are.
        let mut starts = memmem::find_iter(text, b"://").peekable();
        while let Some(at) = starts.next() {
            let text = &text[..starts.peek().copied().unwrap_or(text.len())];
            let start = at + 3 + authority_len(&text[at + 3..]);
            self.path(text, start, path_end(text, start), rules, spans);
        }
        let mut starts = memmem::find_iter(text, b"=/").peekable();
        while let Some(at) = starts.next() {
            let text = &text[..starts.peek().copied().unwrap_or(text.len())];
            self.path(text, at + 1, path_end(text, at + 1), rules, spans);
        }
    }

    /// True where a rule acts on anything of `text`.
    pub(super) fn finds(&mut self, text: &[u8], rules: &[PathRule]) -> bool {
        let mut spans = Spans::default();
        self.search(text, false, rules, &mut spans);
        !spans.is_empty()
    }

    fn path(&mut self, text: &[u8], start: usize, end: usize, rules: &[PathRule], spans: &mut Spans) {
        self.part(&text[..end], start);
        self.marked.clear();
        self.marked.resize(self.segments.len(), false);
        for rule in rules {
            for at in 0..self.segments.len() {
                if !rule.matches(&self.segments, at) {
                    continue;
                }
                for (offset, step) in rule.steps.iter().enumerate() {
                    let (segment, marked) = (&self.segments[at + offset], &mut self.marked[at + offset]);
                    if !step.is_marked || *marked {
                        continue;
                    }
                    *marked = true;
                    if rule.action == Action::Keep {
                        spans.keep(segment.start, segment.end, Why::PathRule);
                    } else {
                        spans.add(segment.start, segment.end, rule.action, Why::PathRule);
                    }
                }
            }
        }
    }

    /// Parts a path into segments, dot segments resolved (RFC 3986 section 5.2.4), empty ones left out.
    fn part(&mut self, path: &[u8], from: usize) {
        self.spare.append(&mut self.segments);
        let mut start = from;
        while start < path.len() {
            let end = memchr(b'/', &path[start..]).map_or(path.len(), |at| start + at);
            let raw = &path[start..end];
            let name = if memchr(b'%', raw).is_some() {
                decode_all(raw, &mut self.decoded);
                &self.decoded[..]
            } else {
                raw
            };
            let name = memchr(b';', name).map_or(name, |at| &name[..at]);
            match name {
                b"" if raw.is_empty() => {}
                b"." => {}
                b".." => self.spare.extend(self.segments.pop()),
                _ => {
                    let mut segment = self.spare.pop().unwrap_or_default();
                    segment.name.clear();
                    segment.name.extend(name.iter().map(u8::to_ascii_lowercase));
                    (segment.start, segment.end) = (start, end);
                    self.segments.push(segment);
                }
            }
            start = end + 1;
        }
    }
}

/// Where a path that begins at `start` within other text ends.
fn path_end(text: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| b"?#&\"'<>, \t".contains(byte);
    text[start..].iter().position(ends).map_or(text.len(), |at| start + at)
}

/// True where `*` of `pattern` can be filled so that it is `text`; both in lower case.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, from));
            at += 1;
        } else if pattern.get(at) == Some(&text[from]) {
            at += 1;
            from += 1;
        } else if let Some((star_at, star_from)) = star {
            star = Some((star_at, star_from + 1));
            at = star_at + 1;
            from = star_from + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{key::Key, token::Tokenizer};

    fn dropped(pattern: &str, text: &str) -> String {
        let rules = [PathRule::new(pattern, Action::Drop).unwrap()];
        let mut spans = Spans::default();
        PathMatcher::default().search(text.as_bytes(), text.starts_with('/'), &rules, &mut spans);
        let mut out = Vec::new();
        spans.write(text.as_bytes(), &Tokenizer::new(Key::from_bytes([7; 32])), &mut out, |_| ());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn marked_segments_are_acted_on() {
        for (pattern, path, expected) in [
            ("/users/{*}", "/users/42/orders?x=/users/7", "/users//orders?x=/users/"),
            ("/users/{*}", "/v1/users/42", "/v1/users/42"),
            ("users/{*}", "/v1/users/42/users/43", "/v1/users//users/"),
            ("{cust-*}", "/a/cust-1/b/CUST-2;x=1/custom", "/a//b//custom"),
            ("/a/*/{*}/{x*y}", "/a/b/c/x1y/z", "/a/b///z"),
            ("/users/{*}", "/users", "/users"),
        ] {
            assert_eq!(dropped(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn however_the_path_is_spelled() {
        for (path, expected) in [
            ("/USERS/42", "/USERS/"),
            ("/%75sers/42", "/%75sers/"),
            ("//users//42", "//users//"),
            ("/./users/./42", "/./users/./"),
            ("/x/../users/42", "/x/../users/"),
            ("/users;v=1/42;w=2", "/users;v=1/"),
            ("/%2575sers/42", "/%2575sers/"),
        ] {
            assert_eq!(dropped("/users/{*}", path), expected, "{path}");
        }
    }

    #[test]
    fn paths_within_values() {
        for (text, expected) in [
            ("http://h/users/42?x", "http://h/users/?x"),
            ("<https://h:1/users/42>; rel=next", "<https://h:1/users/>; rel=next"),
            ("next=/users/42&y", "next=/users/&y"),
            ("see users/42", "see users/42"),
        ] {
            assert_eq!(dropped("/users/{*}", text), expected, "{text}");
        }
    }

    #[test]
    fn the_first_rule_decides() {
        let rules = [
            PathRule::new("/users/{me}", Action::Keep).unwrap(),
            PathRule::new("/users/{*}", Action::Token).unwrap(),
        ];
        let mut matcher = PathMatcher::default();
        assert!(!matcher.finds(b"/users/me", &rules));
        assert!(matcher.finds(b"/users/you", &rules));
    }

    #[test]
    fn a_pattern_that_does_nothing_is_refused() {
        for pattern in ["/users/*", "", "/", "//{x}", "/{a}b", "/{a?}", "/a%20/{b}"] {
            assert!(PathRule::new(pattern, Action::Token).is_err(), "{pattern}");
        }
        let long = vec!["{*}"; STEP_COUNT_MAX + 1].join("/");
        assert!(PathRule::new(&long, Action::Token).is_err());
    }

    #[test]
    fn globs() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("*", "x", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*a*b*", "xaxxb", true),
            ("a", "", false),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} {text}");
        }
    }
}
