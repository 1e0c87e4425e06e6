//! The slow and obvious reading of a header section: what the fast one must agree with, and the rebuilding of a head.

use storage::{field::Field, flags::Flags};

/// One field line, owned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NaiveLine {
    pub(crate) name: Vec<u8>,
    pub(crate) field: Option<Field>,
    pub(crate) value: Vec<u8>,
    pub(crate) raw: Option<Vec<u8>>,
}

/// Everything behind the start line, read line by line; the empty line must be in it.
pub(crate) fn header_section(section: &[u8]) -> (Vec<NaiveLine>, Flags) {
    let mut flags = Flags::NONE;
    let mut groups: Vec<Vec<&[u8]>> = Vec::new();
    for physical in section.split_inclusive(|&byte| byte == b'\n') {
        match physical {
            b"\r\n" => break,
            b"\n" => {
                flags.insert(Flags::BARE_LF_END);
                break;
            }
            _ => {}
        }
        if !physical.ends_with(b"\r\n") {
            flags.insert(Flags::BARE_LF);
        }
        if physical.contains(&0) {
            flags.insert(Flags::NUL);
        }
        if physical.strip_suffix(b"\r\n").unwrap_or(physical).contains(&b'\r') {
            flags.insert(Flags::BARE_CR);
        }
        let continues = physical.starts_with(b" ") || physical.starts_with(b"\t");
        if continues {
            flags.insert(Flags::OBS_FOLD);
        }
        match groups.last_mut() {
            Some(group) if continues => group.push(physical),
            _ => groups.push(vec![physical]),
        }
    }
    let lines = groups.iter().map(|group| line(group, &mut flags)).collect();
    (lines, flags)
}

fn line(group: &[&[u8]], flags: &mut Flags) -> NaiveLine {
    let text = group.concat();
    let content = text.strip_suffix(b"\r\n").unwrap_or(&text);
    let colon = group[0].iter().position(|&byte| byte == b':');
    let nameless = text.starts_with(b" ") || text.starts_with(b"\t");
    let (name, after_colon) = match colon {
        Some(colon) if !nameless => (content[..colon].to_vec(), colon + 1),
        _ => (Vec::new(), 0),
    };
    if colon.is_none() && !nameless {
        flags.insert(Flags::MISSING_COLON);
    }
    if colon == Some(0) {
        flags.insert(Flags::EMPTY_NAME);
    }
    let mut trimmed = name.clone();
    while trimmed.ends_with(b" ") || trimmed.ends_with(b"\t") {
        trimmed.pop();
        flags.insert(Flags::SPACE_BEFORE_COLON);
    }
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let field = if trimmed.iter().all(token) {
        Field::ALL.iter().copied().find(|field| trimmed.eq_ignore_ascii_case(field.name().as_bytes()))
    } else {
        flags.insert(Flags::BAD_NAME_CHAR);
        None
    };
    let value = strip(&content[after_colon..]);
    let canonical = [&trimmed[..], b": ", &value, b"\r\n"].concat();
    let plain = canonical == text && group.len() == 1 && after_colon > 0;
    let raw = (!plain).then(|| content[trimmed.len()..].to_vec());
    NaiveLine { name: trimmed, field, value, raw }
}

/// Takes blanks and whole line ends off both sides.
fn strip(content: &[u8]) -> Vec<u8> {
    let mut value = content;
    loop {
        let before = value.len();
        for end in [&b"\r\n"[..], b"\n", b" ", b"\t"] {
            value = value.strip_prefix(end).unwrap_or(value);
            value = value.strip_suffix(end).unwrap_or(value);
        }
        if value.len() == before {
            return value.to_vec();
        }
    }
}

/// The bytes of a head from its parts: start line, lines as name, value and raw form, and the empty line's flag.
pub(crate) fn rebuild<'a>(
    start_line: &[u8],
    lines: impl Iterator<Item = (&'a [u8], &'a [u8], Option<&'a [u8]>)>,
    flags: Flags,
) -> Vec<u8> {
    let mut head = [start_line, b"\r\n"].concat();
    for (name, value, raw) in lines {
        head.extend_from_slice(name);
        match raw {
            None => head.extend_from_slice(&[b": ", value].concat()),
            Some(raw) => head.extend_from_slice(raw),
        }
        if !raw.is_some_and(|raw| raw.ends_with(b"\n")) {
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(if flags.contains(Flags::BARE_LF_END) { b"\n" } else { b"\r\n" });
    head
}
