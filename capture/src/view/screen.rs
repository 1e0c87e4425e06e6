//! Text from the wire, made fit for a terminal: what could steer it, or hide or reorder what stands there, is escaped.

use std::fmt::Write as _;

/// True for a character that steers a terminal (C0, DEL, C1) or changes how its neighbours read (bidi controls,
/// zero-width characters, line separators, tags).
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{ad}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with every unfit character as `\xNN` or `\u{N}`.
pub fn fit(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if !is_unfit(c) => out.push(c),
            '\0'..='\x7f' => write!(out, "\\x{:02X}", c as u32).expect("a String takes any text"),
            _ => write!(out, "\\u{{{:x}}}", c as u32).expect("a String takes any text"),
        }
    }
    out
}

/// A JSON document on one line with every unfit character as `\uNNNN`: the same document, fit for a terminal.
pub fn fit_json(line: String) -> String {
    if line.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return line;
    }
    let mut out = String::with_capacity(line.len());
    let mut units = [0; 2];
    for c in line.chars() {
        if is_unfit(c) {
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}").expect("a String takes any text");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The first `width` characters, the last of them `…` where there are more.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_become_text() {
        assert_eq!(fit("/a\x1b[2J\x1b]0;title\x07"), r"/a\x1B[2J\x1B]0;title\x07");
        assert_eq!(fit("a\u{9b}31mb\u{202e}c\u{7f}"), r"a\u{9b}31mb\u{202e}c\x7F");
        assert_eq!(fit("grün/日本"), "grün/日本");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }

    proptest! {
        #[test]
        fn nothing_unfit_is_left(text in any::<String>()) {
            prop_assert!(!fit(&text).chars().any(is_unfit));
        }

        #[test]
        fn a_json_document_stays_the_same(text in any::<String>()) {
            let line = fit_json(serde_json::to_string(&text).unwrap());
            prop_assert!(!line.chars().any(is_unfit));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
