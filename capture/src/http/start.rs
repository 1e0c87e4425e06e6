//! Start lines (RFC 9112 sections 3 and 4): recognised cheaply, then parsed leniently.
//!
//! Invariant: of a line with two or three words each word is kept as on the wire; whatever else stood between them is
//! flagged `start_line_normalized`, so that the rebuilt line is either exact or said not to be.

use memchr::memchr;
use storage::{flags::Flags, search::holds_any};

use super::{
    METHOD_BYTES_MAX, Method, START_LINE_BYTES_MAX,
    syntax::{LENIENT_SPACES, is_lenient_space, is_token, is_token_char, leading_len},
};

/// What bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// A request line.
    Request,
    /// A status line.
    Response,
    /// The preface of HTTP/2 (RFC 9113 section 3.4): HTTP/1 ends here.
    Preface,
    /// No start line.
    None,
    /// A start line as far as it goes; more bytes decide.
    NeedMore,
}

/// Tells what message, if any, begins here; what may stand before a start line is passed over.
///
/// A registered method in its own case is believed. Any other token needs ` HTTP/1.x` at the end of its line.
pub fn start_line_kind(bytes: &[u8]) -> StartLine {
    match bytes {
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..] => return StartLine::Response,
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', b' ', ..] => return StartLine::Request,
        _ => {}
    }
    let line = &bytes[leading_len(bytes)..];
    if let Some((name, [digit, ..])) = line.split_at_checked(5)
        && name.eq_ignore_ascii_case(b"HTTP/")
    {
        return if digit.is_ascii_digit() { StartLine::Response } else { StartLine::None };
    }
    for (pattern, kind) in [(&b"HTTP/"[..], StartLine::NeedMore), (b"PRI * HTTP/2.0", StartLine::Preface)] {
        if line.starts_with(pattern) {
            return kind;
        }
        if pattern.starts_with(line) {
            return StartLine::NeedMore;
        }
    }
    let token_len = line.iter().take(METHOD_BYTES_MAX + 1).take_while(|&&byte| is_token_char(byte)).count();
    match line.get(token_len) {
        Some(b' ' | b'\t') if token_len > 0 && token_len <= METHOD_BYTES_MAX => {
            request_kind(&line[..token_len], line)
        }
        None if token_len <= METHOD_BYTES_MAX => StartLine::NeedMore,
        Some(_) | None => StartLine::None,
    }
}

fn request_kind(method: &[u8], line: &[u8]) -> StartLine {
    if Method::from_name(method) != Method::Other {
        return StartLine::Request;
    }
    let window = &line[..line.len().min(START_LINE_BYTES_MAX)];
    match memchr(b'\n', window) {
        Some(end) if ends_with_version(&window[..end]) => StartLine::Request,
        Some(_) => StartLine::None,
        None if window.len() == START_LINE_BYTES_MAX => StartLine::None,
        None if window.iter().any(|&byte| byte.is_ascii_control() && byte != b'\r' && byte != b'\t') => {
            StartLine::None
        }
        None => StartLine::NeedMore,
    }
}

fn ends_with_version(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    matches!(line.split_last_chunk::<9>(), Some((_, [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor])) if minor.is_ascii_digit())
}

/// The words of a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method_raw: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) version: Option<&'a [u8]>,
    pub(super) flags: Flags,
}

/// Parts a request line (without its end); `None` where it is none.
pub(super) fn request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let parsed = exact_request_line(line).or_else(|| lenient_request_line(line))?;
    let mut flags = parsed.flags;
    if Method::from_name(parsed.method_raw) == Method::Other {
        let in_other_case = Method::is_name_in_other_case(parsed.method_raw);
        flags.insert(if in_other_case { Flags::METHOD_LOWERCASE } else { Flags::METHOD_UNKNOWN });
    }
    Some(RequestLine { flags, ..parsed })
}

/// The three words of a well-formed HTTP/1.0 or 1.1 request line, parted by single spaces.
fn exact_request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let (front, version) = line.split_last_chunk::<9>()?;
    if !matches!(version, b" HTTP/1.1" | b" HTTP/1.0") {
        return None;
    }
    let method_len = front.iter().position(|&byte| !is_token_char(byte)).filter(|&len| len > 0)?;
    let target = front[method_len..].strip_prefix(b" ").filter(|target| !target.is_empty())?;
    if holds_any(target, LENIENT_SPACES) {
        return None;
    }
    let version = &line[line.len() - 3..];
    Some(RequestLine { method_raw: &front[..method_len], target, version: Some(version), flags: Flags::NONE })
}

fn lenient_request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let mut flags = Flags::NONE;
    let content = line.trim_ascii_end();
    let method_len = content.iter().position(|&byte| is_lenient_space(byte)).unwrap_or(content.len());
    let (method_raw, rest) = content.split_at(method_len);
    let version_at = rest.iter().rposition(|&byte| is_lenient_space(byte)).map_or(0, |last| last + 1);
    let version = version_of(&rest[version_at..]);
    let middle = if version.is_some() { &rest[..version_at] } else { rest };
    let target = middle.trim_ascii();
    let delimiters_exact = match version {
        Some(_) => middle.len() == target.len() + 2 && middle.starts_with(b" ") && middle.ends_with(b" "),
        None => rest.len() == target.len() + 1 && rest.starts_with(b" "),
    };
    if (!delimiters_exact && !target.is_empty()) || content.len() != line.len() {
        flags.insert(Flags::DELIM_BAD.with(Flags::START_LINE_NORMALIZED));
    }
    let spaced = target.iter().any(|&byte| is_lenient_space(byte));
    if spaced || target.is_empty() || !is_token(method_raw) {
        flags.insert(Flags::REQUEST_LINE_BAD);
    }
    if target.is_empty() || version.is_none() {
        flags.insert(Flags::START_LINE_NORMALIZED);
    }
    let named =
        is_token(method_raw) && (!target.is_empty() || Method::from_name(method_raw) != Method::Other);
    let version = match version {
        Some((number, version_flags)) => {
            flags.insert(version_flags);
            Some(number)
        }
        None if !named => return None,
        None => {
            if !spaced && !target.is_empty() {
                flags.insert(Flags::HTTP09);
            }
            None
        }
    };
    Some(RequestLine { method_raw, target, version, flags })
}

/// Longest version number kept as one; a longer word is no version.
const VERSION_BYTES_MAX: usize = 8;

/// The number of an HTTP version word in any case, and what is wrong with it.
fn version_of(word: &[u8]) -> Option<(&[u8], Flags)> {
    let (name, number) = word.split_at_checked(5)?;
    if !name.eq_ignore_ascii_case(b"HTTP/") || number.len() > VERSION_BYTES_MAX {
        return None;
    }
    let mut flags = Flags::NONE;
    if name != b"HTTP/" {
        flags.insert(Flags::VERSION_BAD.with(Flags::START_LINE_NORMALIZED));
    }
    if !matches!(number, b"1.0" | b"1.1") {
        flags.insert(Flags::VERSION_BAD);
    }
    Some((number, flags))
}

/// The parts of a status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine<'a> {
    pub(super) version: &'a [u8],
    pub(super) status: Option<i32>,
    pub(super) reason: Option<&'a [u8]>,
    pub(super) flags: Flags,
}

/// Parts a status line (without its end); `None` where it is none.
pub(super) fn status_line(line: &[u8]) -> Option<StatusLine<'_>> {
    exact_status_line(line).or_else(|| lenient_status_line(line))
}

/// A well-formed status line of HTTP/1.0 or 1.1.
#[inline]
fn exact_status_line(line: &[u8]) -> Option<StatusLine<'_>> {
    let (version, rest) = line.strip_prefix(b"HTTP/")?.split_at_checked(3)?;
    let (b"1.1" | b"1.0", [b' ', a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..]) =
        (version, rest)
    else {
        return None;
    };
    let digit = |byte: &u8| i32::from(byte - b'0');
    let reason = match rest {
        [] => None,
        [b' ', reason @ ..] => Some(reason),
        [_, ..] => return None,
    };
    let status = Some(digit(a) * 100 + digit(b) * 10 + digit(c));
    Some(StatusLine { version, status, reason, flags: Flags::NONE })
}

fn lenient_status_line(line: &[u8]) -> Option<StatusLine<'_>> {
    let version_len = line.iter().position(|&byte| is_lenient_space(byte)).unwrap_or(line.len());
    let (version, mut flags) = version_of(&line[..version_len])?;
    let rest = &line[version_len..];
    let delimiter = rest.iter().position(|&byte| !is_lenient_space(byte)).unwrap_or(rest.len());
    if &rest[..delimiter] != b" " {
        flags.insert(Flags::DELIM_BAD.with(Flags::START_LINE_NORMALIZED));
    }
    let rest = &rest[delimiter..];
    let digits = rest.iter().position(|&byte| is_lenient_space(byte)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(digits);
    let status = number(word);
    let well_formed = word.len() == 3 && status.is_some_and(|status| (100..=599).contains(&status));
    if !well_formed {
        flags.insert(Flags::STATUS_BAD);
    }
    if status.is_none() || (word.len() > 1 && word[0] == b'0') {
        flags.insert(Flags::START_LINE_NORMALIZED);
    }
    let reason = match (status, after.first()) {
        (None, _) => (!rest.is_empty()).then_some(rest),
        (Some(_), None) => None,
        (Some(_), Some(&delimiter)) => {
            if delimiter != b' ' {
                flags.insert(Flags::DELIM_BAD.with(Flags::START_LINE_NORMALIZED));
            }
            Some(&after[1..])
        }
    };
    Some(StatusLine { version, status, reason, flags })
}

fn number(word: &[u8]) -> Option<i32> {
    if word.is_empty() || word.len() > 9 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(word.iter().fold(0, |value, &digit| value * 10 + i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_exact_status_line_is_what_the_lenient_way_says(
            line in r"HTTP/1\.[0-2][ \t][0-7][0-9]{1,3}([ \tx]O?K?)?",
        ) {
            if let Some(exact) = exact_status_line(line.as_bytes()) {
                prop_assert_eq!(Some(exact), lenient_status_line(line.as_bytes()));
            }
        }

        #[test]
        fn an_exact_request_line_is_what_the_lenient_way_says(line in r"[A-Z]{1,4} {1,2}[/a ]{0,3} HTTP/1\.[0-2]") {
            if let Some(exact) = exact_request_line(line.as_bytes()) {
                prop_assert_eq!(Some(exact), lenient_request_line(line.as_bytes()));
            }
        }
    }

    #[test]
    fn most_lines_are_exact() {
        assert!(
            exact_status_line(b"HTTP/1.1 200 OK").is_some() && exact_status_line(b"HTTP/1.0 404").is_some()
        );
        assert!(exact_request_line(b"GET / HTTP/1.1").is_some());
    }
}
