//! Request targets (RFC 9112 section 3.2): form, authority, path, query, path template, and what is wrong with them.
//!
//! Asked by the parser for flags and by redaction for columns.
//! Invariant: path and query are slices of the target, undecoded.

use storage::{
    field::Field,
    flags::Flags,
    search::{holds_any, holds_any_or_non_ascii, holds_in},
};

use super::{
    head::Fields,
    method::Method,
    syntax::{split_once, trim},
};

/// The four forms of a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`.
    Origin,
    /// `scheme://authority/path?query`.
    Absolute,
    /// `host:port`, of CONNECT.
    Authority,
    /// `*`.
    Asterisk,
    /// None of the four; taken for a path and a query.
    Other,
}

/// A request target in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Its form.
    pub form: Form,
    /// Scheme of the absolute form.
    pub scheme: Option<&'a [u8]>,
    /// Host and port of the absolute and authority forms, without userinfo.
    pub authority: Option<&'a [u8]>,
    /// The path; `/` where an absolute form has none; `None` in authority form.
    pub path: Option<&'a [u8]>,
    /// The query without `?`.
    pub query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// Parts the target of a request of `method`.
    pub fn of(target: &'a [u8], method: Method) -> Target<'a> {
        let none = Target { form: Form::Other, scheme: None, authority: None, path: None, query: None };
        if target.first() == Some(&b'/') {
            return Target { form: Form::Origin, ..none }.with_path(target);
        }
        if method == Method::Connect {
            return Target { form: Form::Authority, authority: Some(without_userinfo(target)), ..none };
        }
        if target == b"*" {
            return Target { form: Form::Asterisk, path: Some(target), ..none };
        }
        let Some((scheme, rest)) = scheme_of(target) else { return none.with_path(target) };
        let authority_len = authority_len(rest);
        let authority = without_userinfo(&rest[..authority_len]);
        let absolute =
            Target { form: Form::Absolute, scheme: Some(scheme), authority: Some(authority), ..none };
        absolute.with_path(&rest[authority_len..])
    }

    fn with_path(self, rest: &'a [u8]) -> Target<'a> {
        let (path, query) = match split_once(rest, b'?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = if path.is_empty() && self.form == Form::Absolute { b"/" } else { path };
        Target { path: Some(path), query, ..self }
    }
}

/// The scheme of an absolute URI and what follows its `://` (RFC 3986 section 3.1).
pub fn scheme_of(uri: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = uri.iter().position(|&byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)))?;
    let rest = uri[len..].strip_prefix(b"://")?;
    uri.first().is_some_and(u8::is_ascii_alphabetic).then_some((&uri[..len], rest))
}

/// Bytes of the authority that `rest` begins with (RFC 3986 section 3.2).
pub fn authority_len(rest: &[u8]) -> usize {
    rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len())
}

/// An authority behind its last `@`.
pub fn without_userinfo(authority: &[u8]) -> &[u8] {
    memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..])
}

/// What is wrong with the target's bytes and form.
pub(super) fn flags(target: &[u8], method: Method) -> Flags {
    let mut flags = Flags::NONE;
    let origin = target.first() == Some(&b'/');
    if !origin && !target.is_empty() && Target::of(target, method).form == Form::Other {
        flags.insert(Flags::REQUEST_LINE_BAD);
    }
    let is_unusual = holds_any_or_non_ascii(target, [b'%', 0x7f]) || holds_in(target, 0..=b' ');
    if !is_unusual {
        return flags;
    }
    for (at, &byte) in target.iter().enumerate() {
        if byte.is_ascii_control() {
            flags.insert(Flags::CTL_IN_URI);
        }
        if byte > 0x7f {
            flags.insert(Flags::OBS_TEXT_IN_URI);
        }
        if byte == b'%' {
            flags.insert(percent_flags(&target[at + 1..]));
        }
    }
    flags
}

fn percent_flags(rest: &[u8]) -> Flags {
    let hex = |at: usize| rest.get(at).is_some_and(u8::is_ascii_hexdigit);
    if !hex(0) || !hex(1) {
        return Flags::PCT_BAD;
    }
    if rest.starts_with(b"25") && hex(2) && hex(3) { Flags::DOUBLE_ENCODED } else { Flags::NONE }
}

/// What is wrong with Host, alone and beside the target (RFC 9112 section 3.2).
pub(super) fn host_flags(target: &[u8], method: Method, fields: &Fields<'_>) -> Flags {
    let mut flags = Flags::NONE;
    if fields.all(Field::Host).any(|host| !is_authority(host)) {
        flags.insert(Flags::HOST_INVALID);
    }
    if target.first() == Some(&b'/') {
        return flags;
    }
    let Target { authority: Some(authority), scheme, .. } = Target::of(target, method) else { return flags };
    if fields.all(Field::Host).any(|host| !same_authority(trim(host), authority, scheme)) {
        flags.insert(Flags::HOST_URI_MISMATCH);
    }
    flags
}

/// Equal hosts in any case, and ports that are equal once the scheme's default is filled in.
fn same_authority(host: &[u8], authority: &[u8], scheme: Option<&[u8]>) -> bool {
    let default_port = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Some(&b"80"[..]),
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Some(&b"443"[..]),
        Some(_) | None => None,
    };
    let (host_name, host_port) = split_port(host);
    let (name, port) = split_port(authority);
    let port = port.or(default_port);
    let host_port = host_port.or(default_port).or(port);
    host_name.eq_ignore_ascii_case(name) && host_port == port
}

/// Host and port of an authority without userinfo; an empty port is none.
fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memrchr(b':', authority) {
        Some(colon) if authority[colon + 1..].iter().all(u8::is_ascii_digit) => {
            let port = &authority[colon + 1..];
            (&authority[..colon], (!port.is_empty()).then_some(port))
        }
        Some(_) | None => (authority, None),
    }
}

/// True for `uri-host [":" port]` (RFC 9110 section 7.2); an empty one is allowed.
fn is_authority(host: &[u8]) -> bool {
    let (name, _) = split_port(host);
    if let Some(literal) = name.strip_prefix(b"[") {
        let inner = literal.strip_suffix(b"]").unwrap_or(b"");
        return !inner.is_empty()
            && inner.iter().all(|&byte| byte.is_ascii_hexdigit() || b":.v%-_~".contains(&byte));
    }
    name.iter().all(|&byte| NAME[byte as usize])
}

/// What a registered name is made of (RFC 3986 section 3.2.2).
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = matches!(
            byte as u8,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
                | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
                | b'%'
        );
        byte += 1;
    }
    table
};

/// Shortest run of hex digits taken for an identifier.
const HEX_BYTES_MIN: usize = 8;
/// Shortest segment of mixed characters taken for an identifier.
const ID_BYTES_MIN: usize = 20;
/// Digits that make a long segment without dashes an identifier, whatever the case of its letters.
const ID_DIGITS_MIN: usize = 4;

/// Writes `path` with its variable segments named; `token_len` tells how many bytes a redaction token takes at a
/// place that begins one, with a `t` and a colon behind it. False, and nothing written, where no segment varies.
pub fn write_template(path: &[u8], token_len: impl Fn(&[u8]) -> usize, template: &mut Vec<u8>) -> bool {
    let has_tokens = holds_any(path, [b':']);
    if !has_tokens && !holds_in(path, b'0'..=b'9') {
        return false;
    }
    let start = template.len();
    let mut varies = false;
    for (index, segment) in path.split(|&byte| byte == b'/').enumerate() {
        if index > 0 {
            template.push(b'/');
        }
        if let Some(name) = variable(segment) {
            template.extend_from_slice(name);
            varies = true;
        } else if has_tokens {
            varies |= write_tokens_named(segment, &token_len, template);
        } else {
            template.extend_from_slice(segment);
        }
    }
    if !varies {
        template.truncate(start);
    }
    varies
}

fn write_tokens_named(segment: &[u8], token_len: impl Fn(&[u8]) -> usize, template: &mut Vec<u8>) -> bool {
    let mut found = false;
    let mut rest = segment;
    while let Some(at) = memchr::memchr(b't', rest) {
        let len = token_len(&rest[at..]);
        let (kept, skipped) = if len > 0 { (at, len) } else { (at + 1, 0) };
        template.extend_from_slice(&rest[..kept]);
        if len > 0 {
            template.extend_from_slice(b"{id}");
            found = true;
        }
        rest = &rest[kept + skipped..];
    }
    template.extend_from_slice(rest);
    found
}

/// What a segment that identifies one thing among many is called.
fn variable(segment: &[u8]) -> Option<&'static [u8]> {
    let Kinds { digits, hex_letters, upper, lower, dashes } = Kinds::of(segment);
    if digits == 0 {
        return None;
    }
    if digits == segment.len() {
        return Some(b"{int}");
    }
    if is_uuid(segment) {
        return Some(b"{uuid}");
    }
    if segment.len() >= HEX_BYTES_MIN && digits + hex_letters == segment.len() {
        return Some(b"{hex}");
    }
    let base64url = digits + upper + lower + dashes == segment.len();
    let mixed = (upper > 0 && lower > 0) || (dashes == 0 && digits >= ID_DIGITS_MIN);
    (segment.len() >= ID_BYTES_MIN && base64url && mixed).then_some(b"{id}")
}

/// How many bytes of each kind a segment has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kinds {
    digits: usize,
    /// Of those that are letters.
    hex_letters: usize,
    upper: usize,
    lower: usize,
    dashes: usize,
}

/// Bits of a sum for each kind.
const LANE_BITS: u32 = 12;

/// Bytes whose kinds fit in a sum.
const LANE_COUNT_MAX: usize = (1 << LANE_BITS) - 1;

/// One in the lanes of the kinds that a byte is of, in the order of `Kinds`.
static LANES: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        let letter = b.is_ascii_alphabetic() && b.is_ascii_hexdigit();
        let kinds = [
            b.is_ascii_digit(),
            letter,
            b.is_ascii_uppercase(),
            b.is_ascii_lowercase(),
            b == b'-' || b == b'_',
        ];
        let mut lane = 0;
        while lane < kinds.len() {
            table[byte] |= (kinds[lane] as u64) << (lane as u32 * LANE_BITS);
            lane += 1;
        }
        byte += 1;
    }
    table
};

impl Kinds {
    fn of(segment: &[u8]) -> Kinds {
        let mut kinds = Kinds::default();
        for part in segment.chunks(LANE_COUNT_MAX) {
            let sum = part.iter().fold(0, |sum, byte| sum + LANES[*byte as usize]);
            let lane = |nth: u32| (sum >> (nth * LANE_BITS)) as usize & LANE_COUNT_MAX;
            kinds.digits += lane(0);
            kinds.hex_letters += lane(1);
            kinds.upper += lane(2);
            kinds.lower += lane(3);
            kinds.dashes += lane(4);
        }
        kinds
    }
}

fn is_uuid(segment: &[u8]) -> bool {
    segment.len() == 36
        && segment.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The trace id of a well-formed traceparent value (W3C Trace Context section 3.2).
pub fn trace_id(traceparent: &[u8]) -> Option<&[u8]> {
    let is_hex = |byte: u8| byte.is_ascii_digit() | (byte.wrapping_sub(b'a') < 6);
    let hex = |part: &[u8]| part.iter().fold(true, |all, &byte| all & is_hex(byte));
    let zero = |part: &[u8]| part.iter().fold(true, |all, &byte| all & (byte == b'0'));
    let (ids, rest) = traceparent.split_at_checked(TRACE_IDS_BYTES)?;
    let (version, trace, parent) = (&ids[..2], &ids[3..35], &ids[36..52]);
    let dashed = ids[2] == b'-' && ids[35] == b'-' && ids[52] == b'-';
    let well_formed =
        dashed && rest.len() >= 2 && hex(version) && hex(trace) && hex(parent) && hex(&rest[..2]);
    let extended = rest.len() > 2 && (version == b"00" || rest[2] != b'-');
    (well_formed && !extended && version != b"ff" && !zero(trace) && !zero(parent)).then_some(trace)
}

/// Version, trace id and parent id, each with the dash behind it.
const TRACE_IDS_BYTES: usize = 2 + 1 + 32 + 1 + 16 + 1;

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = (Form, Option<&'static str>, Option<&'static str>, Option<&'static str>);

    fn parts(target: &'static str, method: Method) -> Parts {
        let text = |part: &'static [u8]| std::str::from_utf8(part).expect("a part of a text");
        let target = Target::of(target.as_bytes(), method);
        (target.form, target.authority.map(text), target.path.map(text), target.query.map(text))
    }

    #[test]
    fn the_four_forms_and_none() {
        let get = Method::Get;
        assert_eq!(parts("/a?b?c", get), (Form::Origin, None, Some("/a"), Some("b?c")));
        assert_eq!(parts("/a?", get), (Form::Origin, None, Some("/a"), Some("")));
        assert_eq!(parts("http://u:p@h:1/a?b", get), (Form::Absolute, Some("h:1"), Some("/a"), Some("b")));
        assert_eq!(parts("http://h?b", get), (Form::Absolute, Some("h"), Some("/"), Some("b")));
        assert_eq!(parts("h:1", Method::Connect), (Form::Authority, Some("h:1"), None, None));
        assert_eq!(parts("*", Method::Options), (Form::Asterisk, None, Some("*"), None));
        assert_eq!(parts("a/b?c", get), (Form::Other, None, Some("a/b"), Some("c")));
        assert_eq!(parts("", get), (Form::Other, None, Some(""), None));
    }

    #[test]
    fn templates_name_what_varies() {
        let rows = [
            ("/api/v1/users", None),
            ("/users/42/orders/7", Some("/users/{int}/orders/{int}")),
            ("/u/123e4567-e89b-12d3-a456-426614174000", Some("/u/{uuid}")),
            ("/c/deadbeef0", Some("/c/{hex}")),
            ("/c/deadbeef", None),
            ("/c/abc1234", None),
            ("/p/pi_3MtwBwLkdIwHu7ix28a3tqPa", Some("/p/{id}")),
            ("/p/01hgw2bbqq8zvq4c1m2n3p4q5r", Some("/p/{id}")),
            ("/blog/how-to-reset-your-password-in-2024", None),
            ("/token-pages/tok:/x;s=tok:", Some("/token-pages/{id}/x;s={id}")),
            ("/1/", Some("/{int}/")),
        ];
        for (path, expected) in rows {
            let mut template = b"kept".to_vec();
            let token_len = |at: &[u8]| if at.starts_with(b"tok:") { 4 } else { 0 };
            let varies = write_template(path.as_bytes(), token_len, &mut template);
            let written = varies.then(|| String::from_utf8(template[4..].to_vec()).unwrap());
            assert_eq!(written.as_deref(), expected, "{path}");
            assert!(varies || template == b"kept");
        }
    }

    #[test]
    fn kinds_agree_with_the_naive_twin() {
        for segment in [&b""[..], b"aF9-_z.%\xff0G", &b"a9F-".repeat(LANE_COUNT_MAX)] {
            let count = |is_kind: fn(&u8) -> bool| segment.iter().filter(|byte| is_kind(byte)).count();
            let naive = Kinds {
                digits: count(u8::is_ascii_digit),
                hex_letters: count(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_digit()),
                upper: count(u8::is_ascii_uppercase),
                lower: count(u8::is_ascii_lowercase),
                dashes: count(|byte| b"-_".contains(byte)),
            };
            assert_eq!(Kinds::of(segment), naive);
        }
    }

    #[test]
    fn trace_ids_only_of_well_formed_values() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let with =
            |version: &str, trace: &str, rest: &str| format!("{version}-{trace}-b7ad6b7169203331-{rest}");
        assert_eq!(trace_id(with("00", id, "01").as_bytes()), Some(id.as_bytes()));
        assert_eq!(trace_id(with("01", id, "01-more").as_bytes()), Some(id.as_bytes()));
        let zero = "0".repeat(32);
        for bad in
            [with("00", id, "01-more"), with("ff", id, "01"), with("00", &zero, "01"), with("00", id, "0")]
        {
            assert_eq!(trace_id(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(trace_id(with("00", &id.to_uppercase(), "01").as_bytes()), None);
    }
}
