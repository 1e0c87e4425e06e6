//! Any bytes through parser and redaction: no panic, lines that lie end to end, and a head that its row rebuilds.
//!
//! The first byte chooses request or response, complete or not; the rest is the head.

use capture::{
    http::{FIELD_LINE_COUNT_MAX, Fields, HeadEnd, Parser, start_line_kind},
    redact::{Key, Policy, Redactor},
};

use storage::{flags::Flags, values::FieldLine};

/// The input is that byte and the head.
pub(crate) fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let complete = choice & 2 == 0;
    start_line_kind(bytes);
    for policy in [Policy::off(), Policy::default()] {
        let mut redactor = Redactor::new(policy, Key::from_bytes([7; 32]));
        if choice & 1 == 0 {
            request(bytes, complete, &mut redactor);
        } else {
            response(bytes, complete, &mut redactor);
        }
    }
}

fn request(bytes: &[u8], complete: bool, redactor: &mut Redactor) {
    let mut parser = Parser::new();
    let Ok(head) = parser.request(bytes, complete) else { return };
    check_lines(&head.fields, bytes, head.bytes.len(), head.complete);
    head.framing();
    let values = redactor.request(&head);
    assert_eq!(values.fields.len(), head.fields.lines().len());
    let version = values.version.map(|version| [b" HTTP/", version].concat()).unwrap_or_default();
    let start_line = [values.method_raw, b" ", values.target_raw, &version].concat();
    if head.complete {
        check_rebuilt(&start_line, values.fields, values.flags, head.bytes);
    }
}

fn response(bytes: &[u8], complete: bool, redactor: &mut Redactor) {
    let mut parser = Parser::new();
    let Ok(head) = parser.response(bytes, complete) else { return };
    check_lines(&head.fields, bytes, head.bytes.len(), head.complete);
    head.framing(None);
    let values = redactor.response(&head, &[]);
    assert_eq!(values.fields.len(), head.fields.lines().len());
    let status = values.status.map(|status| status.to_string()).unwrap_or_default();
    let reason = values.reason.map(|reason| [b" ", reason].concat()).unwrap_or_default();
    let start_line = [b"HTTP/", values.version, b" ", status.as_bytes(), &reason].concat();
    if head.complete {
        check_rebuilt(&start_line, values.fields, values.flags, head.bytes);
    }
}

fn check_lines(fields: &Fields<'_>, bytes: &[u8], head_len: usize, complete: bool) {
    let mut behind = 0;
    for line in fields.lines() {
        assert!(behind <= line.start && line.start <= line.name_end && line.name_end <= line.value_start);
        assert!(line.value_start <= line.value_end && line.value_end <= line.end);
        behind = line.end;
    }
    assert!(behind as usize <= head_len);
    let count = fields.count() as usize;
    assert_eq!(fields.lines().len(), count.min(FIELD_LINE_COUNT_MAX));
    if complete {
        assert_eq!(HeadEnd::new().advance(bytes), Some(head_len));
    }
}

/// What a row says is the head, unless a flag says that it is not.
fn check_rebuilt(start_line: &[u8], fields: &[FieldLine<'_>], flags: Flags, head: &[u8]) {
    let inexact = [Flags::START_LINE_NORMALIZED, Flags::TOO_MANY_HEADERS, Flags::REDACTED];
    if inexact.iter().any(|flag| flags.contains(*flag)) {
        return;
    }
    let mut rebuilt = [start_line, b"\r\n"].concat();
    for line in fields {
        rebuilt.extend_from_slice(line.name);
        match line.raw {
            None => rebuilt.extend_from_slice(&[b": ", line.value].concat()),
            Some(raw) => rebuilt.extend_from_slice(raw),
        }
        if !line.raw.is_some_and(|raw| raw.ends_with(b"\n")) {
            rebuilt.extend_from_slice(b"\r\n");
        }
    }
    rebuilt.extend_from_slice(if flags.contains(Flags::BARE_LF_END) { b"\n" } else { b"\r\n" });
    assert_eq!(rebuilt, head);
}
