//! `hdrcap redact`: what would be stored of a head under a policy, part by part, and why.
//!
//! Takes the way of a captured head, so that the explanation is the program's, not a description of it.
//! Invariant: shows what would be stored, never what was replaced.

use std::fmt::{self, Write as _};

use storage::values::FieldLine;

use super::{
    Redactor,
    policy::Action,
    spans::Why,
    trace::{Note, Part},
};
use crate::http::{HeadEnd, Malformed, Parser, StartLine, start_line_kind};

/// What would be stored of one part of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// `target`, `method`, `reason`, or the name of the field.
    pub part: String,
    /// What would be stored.
    pub stored: String,
    /// What was done: the replacement or nothing, the action, and the reason.
    pub notes: Vec<String>,
}

/// What would be stored of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The policy, as files name it.
    pub policy: String,
    /// The head's end was not in the input.
    pub is_cut: bool,
    /// Every part, in wire order.
    pub parts: Vec<Explained>,
    /// Columns that are made of several parts.
    pub derived: Vec<(&'static str, String)>,
}

impl Redactor {
    /// Explains what becomes of a head, a request's or a response's.
    ///
    /// # Errors
    /// Where the bytes begin with no start line.
    pub fn explain(&mut self, bytes: &[u8]) -> Result<Explanation, Malformed> {
        self.lines.trace_on();
        let complete = HeadEnd::new().advance(bytes).is_some();
        let (start, fields, derived) = match start_line_kind(bytes) {
            StartLine::Request => self.explain_request(bytes, complete)?,
            StartLine::Response => self.explain_response(bytes, complete)?,
            StartLine::Preface | StartLine::None | StartLine::NeedMore => return Err(Malformed),
        };
        let parts = start
            .into_iter()
            .chain(fields.into_iter().enumerate().map(|(at, (name, stored))| (Part::Line(at), name, stored)));
        let parts =
            parts.map(|(part, name, stored)| Explained { part: name, stored, notes: self.notes(part) });
        Ok(Explanation { policy: self.policy_name(), is_cut: !complete, parts: parts.collect(), derived })
    }

    fn explain_request(&mut self, bytes: &[u8], complete: bool) -> Result<Parted, Malformed> {
        let mut parser = Parser::new();
        let head = parser.request(bytes, complete)?;
        let values = self.request(&head);
        let start = vec![
            (Part::Method, "method".to_owned(), shown(values.method_raw)),
            (Part::Target, "target".to_owned(), shown(values.target_raw)),
        ];
        let names = values.cookie_names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
        let optional = [
            ("host", values.host.map(shown)),
            ("path", values.path.map(shown)),
            ("query", values.query.map(shown)),
            ("path_template", values.path_template.map(shown)),
            ("authorization_scheme", values.authorization_scheme.map(shown)),
            ("cookie_names", Some(names).filter(|names| !names.is_empty())),
        ];
        Ok((start, lines(values.fields), present(optional)))
    }

    fn explain_response(&mut self, bytes: &[u8], complete: bool) -> Result<Parted, Malformed> {
        let mut parser = Parser::new();
        let head = parser.response(bytes, complete)?;
        let values = self.response(&head, &[]);
        let start = values
            .reason
            .map(|reason| (Part::Reason, "reason".to_owned(), shown(reason)))
            .into_iter()
            .collect();
        let names = values.set_cookie_names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
        let optional = [("set_cookie_names", Some(names).filter(|names| !names.is_empty()))];
        Ok((start, lines(values.fields), present(optional)))
    }

    fn notes(&self, part: Part) -> Vec<String> {
        let of_part = self.lines.trace().iter().filter(|note| note.part == part);
        of_part.map(|note| self.note(note)).collect()
    }

    fn note(&self, note: &Note) -> String {
        let why = reason(note.why);
        let stored = || shown(self.lines.memory_at(note.start, note.end));
        match note.action {
            Action::Keep => format!("kept: {why}"),
            Action::Token => format!("{}: {why}", stored()),
            Action::Drop => format!("dropped: {why}"),
            Action::Mask(_) => format!("{}, masked: {why}", stored()),
            Action::Truncate(_) => format!("{}, truncated: {why}", stored()),
        }
    }
}

type Parted = (Vec<(Part, String, String)>, Vec<(String, String)>, Vec<(&'static str, String)>);

fn lines(fields: &[FieldLine<'_>]) -> Vec<(String, String)> {
    let name =
        |line: &FieldLine<'_>| if line.name.is_empty() { "(no name)".to_owned() } else { shown(line.name) };
    fields.iter().map(|line| (name(line), shown(line.value))).collect()
}

fn present<const N: usize>(columns: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    columns.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// As the files have it: bytes that are no UTF-8 escaped. Control characters as well: this goes to a terminal.
fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let escape = |out: &mut String, byte: u32| {
        write!(out, "\\x{byte:02x}").expect("memory takes every character");
    };
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() { escape(&mut out, u32::from(char)) } else { out.push(char) }
        }
        chunk.invalid().iter().for_each(|byte| escape(&mut out, u32::from(*byte)));
    }
    out
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::FieldRule => "the policy's [fields] name it",
        Why::ParameterRule => "the policy's [parameters] name it",
        Why::CookieRule => "the policy's [cookies] name it",
        Why::PathRule => "a pattern of the policy's [[path]] matches",
        Why::Client => "a field for the client's address, and the policy has [clients]",
        Why::FieldName => "the field's name promises a secret",
        Why::ParameterName => "the parameter's name promises a secret",
        Why::Credentials => "credentials",
        Why::Cookie => "value of a cookie",
        Why::CookieAttribute => "not surely an attribute of a cookie",
        Why::Userinfo => "userinfo before a host",
        Why::Json => "JSON with a name that promises a secret",
        Why::Encoded => "a secret shows once it is percent-decoded",
        Why::Jwt => "it looks like a JSON Web Token",
        Why::LongValue => "a long value as if drawn at random",
        Why::Malformed => "too malformed to tell where a secret would end",
    }
}

impl Explanation {
    /// The parts alone, as they would be stored.
    pub fn stored(&self) -> String {
        self.parts.iter().fold(String::new(), |mut text, part| {
            writeln!(text, "{}: {}", part.part, part.stored).expect("memory takes every character");
            text
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy: {}", self.policy)?;
        if self.is_cut {
            writeln!(f, "the head is cut: its end (an empty line) is missing, so its last value is doubted")?;
        }
        for part in &self.parts {
            writeln!(f, "\n{}\n    stored  {}", part.part, part.stored)?;
            if part.notes.is_empty() {
                writeln!(f, "    why     as it is: nothing in it is known for a secret")?;
            }
            for note in &part.notes {
                writeln!(f, "    why     {note}")?;
            }
        }
        if !self.derived.is_empty() {
            writeln!(f, "\ncolumns made of these")?;
        }
        for (name, value) in &self.derived {
            writeln!(f, "    {name}  {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{Key, Policy};

    fn explained(policy: &str, head: &str) -> Explanation {
        let policy = Policy::from_toml(policy, "test").unwrap();
        Redactor::new(policy, Key::from_bytes([7; 32])).explain(head.as_bytes()).unwrap()
    }

    #[test]
    fn every_part_has_its_value_and_its_reason() {
        let policy = "[cookies]\ntheme = \"keep\"\n[fields]\nX-Tenant = \"mask:2\"\nX-Ok = \"keep\"";
        let head = "GET /a?token=hunter22&x=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hunter22\r\n\
                    Cookie: theme=dark; sid=hunter22\r\nX-Tenant: acme-corp\r\nX-Ok: yes\r\n\r\n";
        let explanation = explained(policy, head);
        let text = explanation.to_string();
        assert!(!text.contains("hunter22") && !explanation.is_cut, "{text}");
        let notes = |part: &str| {
            let part = explanation.parts.iter().find(|explained| explained.part == part).unwrap();
            (part.stored.clone(), part.notes.join("; "))
        };
        assert!(notes("target").1.ends_with("the parameter's name promises a secret"), "{text}");
        assert_eq!(notes("Host"), ("h".to_owned(), String::new()));
        assert!(notes("Authorization").1.ends_with(": credentials"), "{text}");
        let (stored, cookie) = notes("Cookie");
        assert!(stored.starts_with("theme=dark; sid=tok:"), "{text}");
        assert!(
            cookie.contains("kept: the policy's [cookies]") && cookie.contains("value of a cookie"),
            "{text}"
        );
        assert_eq!(notes("X-Tenant").1, "ac***, masked: the policy's [fields] name it");
        assert_eq!(notes("X-Ok").1, "kept: the policy's [fields] name it");
        assert!(text.starts_with("policy: default-2 policy=test hash="), "{text}");
        assert!(text.contains("cookie_names  theme, sid"), "{text}");
    }

    #[test]
    fn responses_and_cut_heads() {
        let text =
            explained("", "HTTP/1.1 302 Found\r\nLocation: http://u:hunter22@h/\r\nSet-Cookie: a=hunter22")
                .to_string();
        assert!(!text.contains("hunter22"), "{text}");
        for part in ["the head is cut", "userinfo before a host", "value of a cookie", "reason\n", "\x1b"] {
            assert_eq!(text.contains(part), part != "\x1b", "{part} in {text}");
        }
        let mut redactor = Redactor::new(Policy::default(), Key::from_bytes([7; 32]));
        assert!(redactor.explain(b"hello\r\n\r\n").is_err());
    }
}
