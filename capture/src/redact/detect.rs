//! Where secrets are in a value: credentials, cookies, parameters, userinfo, tokens of known form.
//!
//! Each detector adds spans of one value. Invariant: when in doubt, a span; a broken value never ends one early.

use memchr::{memchr, memchr_iter, memchr2, memmem, memrchr};

use super::{
    long_value,
    path::PathMatcher,
    policy::{Action, Policy, Rule},
    sensitive,
    spans::{Spans, Why},
};
use crate::http::{
    syntax::{hex_pair, is_blank, is_token, leading_len, split_once, trim},
    target::authority_len,
};

/// Authentication schemes that are kept: IANA's, and those in wide use. Any other first word may be a secret itself.
const SCHEMES: &[&[u8]] = &[
    b"Basic",
    b"Bearer",
    b"Digest",
    b"DPoP",
    b"GNAP",
    b"HOBA",
    b"Mutual",
    b"Negotiate",
    b"OAuth",
    b"PrivateToken",
    b"SCRAM-SHA-1",
    b"SCRAM-SHA-256",
    b"vapid",
    b"Concealed",
    b"NTLM",
    b"Kerberos",
    b"AWS4-HMAC-SHA256",
    b"AWS4-ECDSA-P256-SHA256",
    b"AWS",
    b"ApiKey",
    b"Api-Key",
    b"Token",
    b"JWT",
    b"Key",
    b"Hawk",
    b"MAC",
    b"SharedKey",
    b"SharedKeyLite",
    b"Signature",
    b"GoogleLogin",
    b"MediaBrowser",
    b"Discogs",
    b"Splunk",
    b"SSWS",
    b"Zoho-oauthtoken",
    b"Session",
];

/// Attributes of a Set-Cookie line that are kept (RFC 6265, and what browsers added).
const COOKIE_ATTRIBUTES: &[&[u8]] = &[
    b"Expires",
    b"Max-Age",
    b"Domain",
    b"Path",
    b"Secure",
    b"HttpOnly",
    b"SameSite",
    b"Partitioned",
    b"Priority",
    b"Version",
    b"Comment",
];

/// A cookie without value whose name is this long may be a value without name (`c2VjcmV0IHZhbHVlcw=`).
const COOKIE_NAME_DOUBTED_BYTES: usize = 16;

/// Shortest run that begins like a JSON Web Token and is taken for one.
const JWT_BYTES_MIN: usize = 16;

/// Rounds of percent-decoding a nested value gets.
const DECODE_ROUNDS_MAX: usize = 3;

/// Length of the known scheme a value of Authorization begins with (RFC 9110 section 11.4).
pub(super) fn scheme_len(value: &[u8]) -> Option<usize> {
    let len = value.iter().position(|&byte| is_blank(byte)).unwrap_or(value.len());
    SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(&value[..len])).then_some(len)
}

/// Everything behind the scheme.
pub(super) fn credentials(value: &[u8], rule: Rule, spans: &mut Spans) {
    let scheme_len = scheme_len(value).unwrap_or(0);
    let blanks = value[scheme_len..].iter().take_while(|&&byte| is_blank(byte)).count();
    spans.add(scheme_len + blanks, value.len(), rule.action, rule.why);
}

/// One `name=value` of a Cookie or the first of a Set-Cookie line: where its value is, and its name if it surely is one.
struct CookiePair<'a> {
    name: Option<&'a [u8]>,
    secret_start: usize,
    secret_end: usize,
}

/// Parts the piece `start..end` of `value`.
fn cookie_pair(value: &[u8], start: usize, end: usize) -> CookiePair<'_> {
    let piece = trim(&value[start..end]);
    let piece_start = start + leading_len(&value[start..end]);
    let secret_end = piece_start + piece.len();
    let whole = CookiePair { name: None, secret_start: piece_start, secret_end };
    let Some((name, secret)) = split_once(piece, b'=') else { return whole };
    let padding = !secret.is_empty() && secret.iter().all(|&byte| byte == b'=');
    let long = secret.is_empty() && name.len() >= COOKIE_NAME_DOUBTED_BYTES;
    let doubted = padding || long || begins_jwt(name);
    if !is_token(name) || doubted {
        return whole;
    }
    CookiePair { name: Some(name), secret_start: piece_start + name.len() + 1, secret_end }
}

/// The value of each cookie (RFC 6265 section 4.2), `rule` for those that the policy does not name; names go to `names`.
pub(super) fn cookies<'a>(
    value: &'a [u8],
    (rule, policy): (Rule, &Policy),
    spans: &mut Spans,
    mut names: impl FnMut(&'a [u8]),
) {
    // What stands within quotes may be part of another cookie's value, whatever it looks like.
    let quote = if policy.has_cookies() { memchr(b'"', value) } else { None };
    let mut start = 0;
    while start < value.len() {
        let end = memchr(b';', &value[start..]).map_or(value.len(), |at| start + at);
        let pair = cookie_pair(value, start, end);
        let named = pair.name.and_then(|name| policy.cookie(name));
        let rule = named.filter(|_| quote.is_none_or(|quote| end <= quote)).unwrap_or(rule);
        spans.add(pair.secret_start, pair.secret_end, rule.action, rule.why);
        if rule.action == Action::Keep {
            spans.keep(pair.secret_start, pair.secret_end, rule.why);
        }
        pair.name.into_iter().for_each(&mut names);
        start = end + 1;
    }
}

/// The names of the cookies alone.
pub(super) fn cookie_names<'a>(value: &'a [u8], mut names: impl FnMut(&'a [u8])) {
    let mut start = 0;
    while start < value.len() {
        let end = memchr(b';', &value[start..]).map_or(value.len(), |at| start + at);
        cookie_pair(value, start, end).name.into_iter().for_each(&mut names);
        start = end + 1;
    }
}

/// The name of the cookie that is set.
pub(super) fn set_cookie_name<'a>(value: &'a [u8], names: impl FnMut(&'a [u8])) {
    let end = memchr(b';', value).unwrap_or(value.len());
    cookie_names(&value[..end], names);
}

/// The value of the cookie that is set (RFC 6265 section 4.1), and every attribute that is not surely one.
pub(super) fn set_cookie<'a>(
    value: &'a [u8],
    (rule, policy): (Rule, &Policy),
    spans: &mut Spans,
    names: impl FnMut(&'a [u8]),
) {
    let end = memchr(b';', value).unwrap_or(value.len());
    cookies(&value[..end], (rule, policy), spans, names);
    if rule.action == Action::Keep {
        return;
    }
    let mut start = end + 1;
    while start < value.len() {
        let end = memchr(b';', &value[start..]).map_or(value.len(), |at| start + at);
        let attribute = &value[start..end];
        let (name, content) = split_once(attribute, b'=').unwrap_or((attribute, b""));
        let known = COOKIE_ATTRIBUTES.iter().any(|known| known.eq_ignore_ascii_case(trim(name)));
        let odd = content.iter().any(|byte| b"=@%{\"".contains(byte)) || long_value::holds(content);
        if !known || odd {
            let action = if rule.action == Action::Drop { Action::Drop } else { Action::Token };
            spans.add(start, end, action, Why::CookieAttribute);
        }
        start = end + 1;
    }
}

fn begins_jwt(bytes: &[u8]) -> bool {
    bytes.len() >= JWT_BYTES_MIN && memmem::find(bytes, b"eyJ").is_some()
}

/// Runs that begin like a JSON Web Token (`{"` in base64url), whole or cut.
pub(super) fn jwts(value: &[u8], spans: &mut Spans) {
    let mut from = 0;
    while let Some(at) = memmem::find(&value[from..], b"eyJ") {
        let start = from + at;
        let run = value[start..].iter().take_while(|&&byte| is_jwt_char(byte)).count();
        if run >= JWT_BYTES_MIN {
            spans.add(start, start + run, Action::Token, Why::Jwt);
        }
        from = start + run;
    }
}

fn is_jwt_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.=%~+".contains(&byte)
}

/// A value that may hold parameters, URIs, or both.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) value: &'a [u8],
    /// It is a request target.
    pub(super) target: bool,
    /// Its end is missing.
    pub(super) cut: bool,
}

impl Text<'_> {
    /// It is a URI, or holds one: parameters end at `&`.
    pub(super) fn is_uri(&self) -> bool {
        self.target || self.value.first() == Some(&b'/') || memmem::find(self.value, b"://").is_some()
    }
}

/// Searches text under one policy.
#[derive(Default)]
pub(super) struct TextDetector {
    decoded: Vec<u8>,
    paths: PathMatcher,
}

impl TextDetector {
    /// Parameters, userinfo, JSON, and all of these percent-encoded within. A parameter's value is taken as long as any
    /// reader might take it: in a query to the next `&`, in a path to the query, elsewhere to the end.
    pub(super) fn search(&mut self, text: Text<'_>, policy: &Policy, spans: &mut Spans) {
        let value = text.value;
        self.parameters(text, policy, spans);
        if !policy.paths().is_empty() {
            self.paths.search(value, text.target, policy.paths(), spans);
        }
        if text.cut || memchr(b'@', value).is_some() {
            userinfo(text, spans);
        }
        let Some(unusual) = memchr2(b'%', b'{', value) else { return };
        if holds_json_secret(value) {
            spans.add(0, value.len(), Action::Token, Why::Json);
        }
        if memchr(b'%', &value[unusual..]).is_some() {
            self.nested(text, policy, spans);
        }
    }

    fn parameters(&mut self, text: Text<'_>, policy: &Policy, spans: &mut Spans) {
        let value = text.value;
        let mut query = None;
        let mut from = 0;
        while let Some(at) = memchr(b'=', &value[from..]) {
            let equals = from + at;
            from = equals + 1;
            let name = name_before(value, equals);
            let Some(rule) = self.parameter_rule(name, policy) else { continue };
            let query = *query.get_or_insert_with(|| {
                text.is_uri().then(|| memchr2(b'?', b'#', value).unwrap_or(value.len()))
            });
            let delimiter = query.map(|query| if equals > query { b'&' } else { b'?' });
            let end = delimiter.and_then(|delimiter| memchr(delimiter, &value[from..]));
            let end = end.map_or(value.len(), |at| from + at);
            if rule.action == Action::Keep {
                // Where it surely ends: elsewhere what follows may be another's.
                if delimiter == Some(b'&') {
                    spans.keep(from, end, rule.why);
                }
                continue;
            }
            spans.add(equals + 1, end, rule.action, rule.why);
            from = end;
        }
    }

    fn parameter_rule(&mut self, name: &[u8], policy: &Policy) -> Option<Rule> {
        if name.is_empty() {
            return None;
        }
        if memchr(b'%', name).is_none() {
            return policy.parameter(name);
        }
        decode_all(name, &mut self.decoded);
        policy.parameter(&self.decoded)
    }

    /// Pieces that hold a secret once decoded: all of the piece behind its name.
    fn nested(&mut self, text: Text<'_>, policy: &Policy, spans: &mut Spans) {
        let value = text.value;
        let uri = text.is_uri();
        let query = if uri { memchr(b'?', value).unwrap_or(value.len()) } else { 0 };
        let mut start = 0;
        while start < value.len() {
            let delimiter = if !uri {
                None
            } else if start < query {
                Some(b'/')
            } else {
                Some(b'&')
            };
            let limit = if start < query { query } else { value.len() };
            let end = delimiter
                .and_then(|delimiter| memchr(delimiter, &value[start..limit]))
                .map_or(limit, |at| start + at);
            let piece =
                Text { value: &value[start..end], target: false, cut: text.cut && end == value.len() };
            if memchr(b'%', piece.value).is_some()
                && let Some(why) = self.hides_secret(piece, policy)
            {
                let name_len = memchr(b'=', &value[start..end]).map_or(0, |at| at + 1);
                spans.add(start + name_len, end, Action::Token, why);
            }
            start = end + 1;
        }
    }

    fn hides_secret(&mut self, piece: Text<'_>, policy: &Policy) -> Option<Why> {
        decode_all(piece.value, &mut self.decoded);
        let decoded = &self.decoded[..];
        let is_named = |at| policy.parameter(name_before(decoded, at)).is_some_and(Rule::replaces);
        if memchr_iter(b'=', decoded).any(is_named)
            || holds_json_secret(decoded)
            || holds_userinfo(decoded, piece.cut)
            || !policy.paths().is_empty() && self.paths.finds(decoded, policy.paths())
        {
            return Some(Why::Encoded);
        }
        if memmem::find(decoded, b"eyJ").is_some() {
            return Some(Why::Jwt);
        }
        (policy.finds_long_values() && long_value::holds(decoded)).then_some(Why::LongValue)
    }
}

/// True where the byte at `at` is an `=` behind the name of a parameter that stays; a name may not be encoded here.
#[inline]
pub(super) fn is_harmless_parameter(value: &[u8], at: usize, policy: &Policy) -> bool {
    value[at] == b'=' && !policy.parameter(name_before(value, at)).is_some_and(Rule::replaces)
}

/// The name before the `=` at `equals`, quotes and blanks between them left out.
fn name_before(value: &[u8], equals: usize) -> &[u8] {
    let separator = |byte: u8| is_blank(byte) || byte == b'"' || byte == b'\'';
    let end = value[..equals].iter().rposition(|&byte| !separator(byte)).map_or(0, |last| last + 1);
    let start = value[..end].iter().rposition(|&byte| !is_name_char(byte)).map_or(0, |last| last + 1);
    &value[start..end]
}

fn is_name_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.%[]$:~!*+@".contains(&byte)
}

/// JSON in which anything promises a secret; what stands in quotes may be a name, and is asked about as one.
fn holds_json_secret(value: &[u8]) -> bool {
    let quoted = || value.split(|&byte| byte == b'"' || byte == b'\\');
    memchr(b'{', value).is_some() && (sensitive::mentions(value) || quoted().any(sensitive::mentions))
}

fn holds_userinfo(value: &[u8], cut: bool) -> bool {
    memmem::find(value, b"://").is_some_and(|at| cut || memchr(b'@', &value[at..]).is_some())
}

/// Userinfo (RFC 3986 section 3.2.1) of each authority, and an authority cut before it could show its `@`.
fn userinfo(text: Text<'_>, spans: &mut Spans) {
    let value = text.value;
    let mut found = false;
    for at in memmem::find_iter(value, b"//") {
        if at > 0 && (value[at - 1].is_ascii_alphanumeric() || value[at - 1] == b'/') {
            continue;
        }
        found = true;
        let start = at + 2;
        let end = start + authority_len(&value[start..]);
        match memrchr(b'@', &value[start..end]) {
            Some(len) => spans.add(start, start + len, Action::Token, Why::Userinfo),
            None if text.cut && end == value.len() => spans.add(start, end, Action::Token, Why::Userinfo),
            None => {}
        }
    }
    if !found && value.first() != Some(&b'/') {
        bare_userinfo(text, spans);
    }
}

/// A value that is an authority: everything before its last `@`, and all of it where that may be missing.
pub(super) fn authority(value: &[u8], cut: bool, spans: &mut Spans) {
    let end = authority_len(value);
    match memrchr(b'@', &value[..end]) {
        Some(len) => spans.add(0, len, Action::Token, Why::Userinfo),
        None if cut && memchr(b':', value).is_some() => {
            spans.add(0, value.len(), Action::Token, Why::Userinfo)
        }
        None => {}
    }
}

/// `user:password@host` without a scheme.
fn bare_userinfo(text: Text<'_>, spans: &mut Spans) {
    let value = text.value;
    let end = authority_len(value);
    let len = memrchr(b'@', &value[..end]).or((text.cut && end == value.len()).then_some(end));
    let Some(len) = len else { return };
    if memchr(b':', &value[..len]).is_some() {
        spans.add(0, len, Action::Token, Why::Userinfo);
    }
}

/// Percent-decodes `value` into `decoded`, as often as there is something to decode.
pub(super) fn decode_all(value: &[u8], decoded: &mut Vec<u8>) {
    decoded.clear();
    decoded.extend_from_slice(value);
    for _ in 0..DECODE_ROUNDS_MAX {
        let Some(first) = memchr(b'%', decoded) else { return };
        decode_from(first, decoded);
    }
}

/// Decodes in place, from the first `%` on: what is decoded is never longer.
fn decode_from(first: usize, bytes: &mut Vec<u8>) {
    let (mut from, mut to) = (first, first);
    while from < bytes.len() {
        let pair = bytes.get(from + 1..from + 3).and_then(|digits| hex_pair(digits[0], digits[1]));
        let (byte, len) = match pair.filter(|_| bytes[from] == b'%') {
            Some(byte) => (byte, 3),
            None => (bytes[from], 1),
        };
        bytes[to] = byte;
        to += 1;
        from += len;
    }
    bytes.truncate(to);
}
