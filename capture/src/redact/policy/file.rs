//! A policy as people write it: TOML, checked whole at start; each refusal names line, key, and what is allowed.
//!
//! Invariant: what is accepted is in force; nothing is left out silently.

use std::{collections::BTreeMap, fmt, fs, io, path::Path};

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::{super::path::PathRule, Action, NameRules, Policy, Prefixes};

/// Rules of one kind: more are a mistake, and each costs every head.
const RULE_COUNT_MAX: usize = 1000;

/// A policy's file is a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Longest name of a policy, which stands in every file's metadata.
const LABEL_BYTES_MAX: usize = 64;

/// Leading characters a mask may keep.
const MASK_CHARS_MAX: u8 = 64;

/// Why a policy is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("cannot read the redaction policy {path}; check --redact-policy")]
    Unreadable {
        /// The file.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It says what cannot be meant.
    #[error("the redaction policy {path} is not accepted: {why}")]
    Refused {
        /// The file.
        path: String,
        /// Line, key, and what is allowed.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: Option<Spanned<String>>,
    long_values: Option<LongValues>,
    #[serde(default)]
    fields: BTreeMap<Spanned<String>, Spanned<Written>>,
    #[serde(default)]
    parameters: BTreeMap<Spanned<String>, Spanned<Written>>,
    #[serde(default)]
    cookies: BTreeMap<Spanned<String>, Spanned<Written>>,
    #[serde(default)]
    path: Vec<PathTable>,
    clients: Option<Clients>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LongValues {
    Token,
    Keep,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathTable {
    pattern: Spanned<String>,
    action: Spanned<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clients {
    ipv4_prefix: Spanned<u8>,
    ipv6_prefix: Spanned<u8>,
}

/// An action before it is known which addresses it keeps.
#[derive(Clone, Copy)]
enum Written {
    Done(Action),
    Truncate,
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ActionVisitor)
    }
}

struct ActionVisitor;

impl de::Visitor<'_> for ActionVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an action: \"keep\", \"token\", \"drop\", \"mask:N\" with N from 0 to {MASK_CHARS_MAX}, or \"truncate\""
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
        let mask = |chars: &str| chars.parse().ok().filter(|chars| *chars <= MASK_CHARS_MAX);
        match (text, text.strip_prefix("mask:").and_then(mask)) {
            ("keep", _) => Ok(Written::Done(Action::Keep)),
            ("token", _) => Ok(Written::Done(Action::Token)),
            ("drop", _) => Ok(Written::Done(Action::Drop)),
            ("truncate", _) => Ok(Written::Truncate),
            (_, Some(chars)) => Ok(Written::Done(Action::Mask(chars))),
            (_, None) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

impl Policy {
    /// Reads a policy from a file.
    pub fn load(path: &Path) -> Result<Policy, PolicyError> {
        let shown = path.display().to_string();
        let unreadable = |source| PolicyError::Unreadable { path: shown.clone(), source };
        let refused = |why: String| PolicyError::Refused { path: shown.clone(), why };
        if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(refused(format!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        let text = fs::read(path).map_err(unreadable)?;
        let Ok(text) = String::from_utf8(text) else { return Err(refused("it is not UTF-8".to_owned())) };
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let fits = is_label(&stem);
        Policy::from_toml(&text, if fits { &stem } else { "custom" }).map_err(refused)
    }

    /// Understands a policy; `label` is what it is called where it does not name itself.
    ///
    /// # Errors
    /// Says line, key, and what is allowed.
    pub fn from_toml(text: &str, label: &str) -> Result<Policy, String> {
        let document: Document = toml::from_str(text).map_err(|error| error.to_string())?;
        let reader = Reader { text, clients: document.clients.as_ref() };
        let label = match &document.name {
            None => label.to_owned(),
            Some(name) if is_label(name.get_ref()) => name.get_ref().clone(),
            Some(name) => {
                let allowed = format!("1 to {LABEL_BYTES_MAX} letters, digits, dots, dashes or underscores");
                return Err(reader.at(name.span().start, &format!("name: expected {allowed}")));
            }
        };
        Ok(Policy {
            label,
            fields: reader.names("fields", &document.fields, true)?,
            parameters: reader.names("parameters", &document.parameters, true)?,
            cookies: reader.names("cookies", &document.cookies, false)?,
            paths: reader.paths(&document.path)?,
            clients: reader.prefixes()?,
            long_values: !matches!(document.long_values, Some(LongValues::Keep)),
            ..Policy::default()
        })
    }
}

fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// Checks the parts of a document, and says where in its text something is wrong.
struct Reader<'a> {
    text: &'a str,
    clients: Option<&'a Clients>,
}

impl Reader<'_> {
    fn at(&self, offset: usize, why: &str) -> String {
        let line = self.text[..offset].matches('\n').count() + 1;
        format!("line {line}: {why}")
    }

    fn names(
        &self,
        table: &str,
        written: &BTreeMap<Spanned<String>, Spanned<Written>>,
        any_case: bool,
    ) -> Result<NameRules, String> {
        let mut rules = NameRules::default();
        if written.len() > RULE_COUNT_MAX {
            return Err(format!(
                "[{table}] has {} rules; at most {RULE_COUNT_MAX} are allowed",
                written.len()
            ));
        }
        for (name, action) in written {
            let text = name.get_ref();
            let key = if any_case { text.to_ascii_lowercase() } else { text.clone() };
            let at = |why: &str| Err(self.at(name.span().start, &format!("[{table}] {text:?}: {why}")));
            if key.is_empty() || key.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
                return at("a name has at least one character, and no blanks");
            }
            if rules.get(key.as_bytes()).is_some() {
                return at("named twice; names are the same in any case");
            }
            let action = self.action(action)?;
            rules.insert(&key, action);
        }
        Ok(rules)
    }

    fn action(&self, written: &Spanned<Written>) -> Result<Action, String> {
        match (written.get_ref(), self.clients) {
            (Written::Done(action), _) => Ok(*action),
            (Written::Truncate, Some(clients)) => Ok(Action::Truncate(clients.prefixes())),
            (Written::Truncate, None) => {
                let why = "\"truncate\" needs [clients] with ipv4_prefix and ipv6_prefix";
                Err(self.at(written.span().start, why))
            }
        }
    }

    fn paths(&self, tables: &[PathTable]) -> Result<Vec<PathRule>, String> {
        if tables.len() > RULE_COUNT_MAX {
            return Err(format!("{} [[path]] rules; at most {RULE_COUNT_MAX} are allowed", tables.len()));
        }
        let rules = tables.iter().map(|table| {
            let action = self.action(&table.action)?;
            PathRule::new(table.pattern.get_ref(), action).map_err(|why| {
                let pattern = table.pattern.get_ref();
                let allowed = "expected a pattern such as /users/{*} or {cust-*}";
                self.at(table.pattern.span().start, &format!("pattern {pattern:?}: {why}; {allowed}"))
            })
        });
        rules.collect()
    }

    fn prefixes(&self) -> Result<Option<Prefixes>, String> {
        let Some(clients) = self.clients else { return Ok(None) };
        for (key, prefix, max) in
            [("ipv4_prefix", &clients.ipv4_prefix, 32), ("ipv6_prefix", &clients.ipv6_prefix, 128)]
        {
            if *prefix.get_ref() > max {
                let why = format!("[clients] {key} {}: expected 0 to {max}", prefix.get_ref());
                return Err(self.at(prefix.span().start, &why));
            }
        }
        Ok(Some(clients.prefixes()))
    }
}

impl Clients {
    fn prefixes(&self) -> Prefixes {
        Prefixes { ipv4: (*self.ipv4_prefix.get_ref()).min(32), ipv6: (*self.ipv6_prefix.get_ref()).min(128) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_reaches_its_place() {
        let text = r#"
name = "shop-2"
long_values = "keep"

[fields]
"X-Tenant" = "token"
User-Agent = "mask:7"
"X-Peer" = "truncate"

[parameters]
page_token = "keep"

[cookies]
theme = "keep"
_ga = "drop"

[[path]]
pattern = "/users/{me}"
action = "keep"

[[path]]
pattern = "/users/{*}"
action = "token"

[clients]
ipv4_prefix = 24
ipv6_prefix = 48
"#;
        let policy = Policy::from_toml(text, "file").unwrap();
        let prefixes = Prefixes { ipv4: 24, ipv6: 48 };
        assert!(policy.name().contains(" policy=shop-2 hash="), "{}", policy.name());
        assert_eq!(policy.field_exception(b"x-tenant"), Some(Action::Token));
        assert_eq!(policy.field_exception(b"user-agent"), Some(Action::Mask(7)));
        assert_eq!(policy.field_exception(b"x-peer"), Some(Action::Truncate(prefixes)));
        assert_eq!(policy.parameter(b"page_token").unwrap().action, Action::Keep);
        assert_eq!(policy.cookie(b"theme").unwrap().action, Action::Keep);
        assert_eq!(policy.cookie(b"Theme"), None);
        assert_eq!((policy.paths().len(), policy.clients()), (2, Some(prefixes)));
        assert!(!policy.finds_long_values());
    }

    #[test]
    fn an_empty_policy_is_the_default() {
        assert_eq!(Policy::from_toml("", "x").unwrap().name(), Policy::default().name());
    }

    #[test]
    fn refusals_name_line_key_and_what_is_allowed() {
        for (text, parts) in [
            ("\nfeilds = 1", &["line 2", "feilds", "`fields`"][..]),
            ("[fields]\nA = \"hide\"", &["line 2", "\"hide\"", "\"mask:N\" with N from 0 to 64"]),
            ("[fields]\nA = \"mask:65\"", &["line 2", "mask:65"]),
            ("[fields]\nA = 1", &["line 2", "an action"]),
            ("[fields]\n\"\" = \"keep\"", &["line 2", "[fields] \"\"", "at least one character"]),
            ("[fields]\nAa = \"keep\"\naA = \"drop\"", &["[fields]", "named twice"]),
            ("[parameters]\nip = \"truncate\"", &["line 2", "needs [clients]"]),
            (
                "[[path]]\npattern = \"/users/*\"\naction = \"drop\"",
                &["line 2", "/users/*", "in braces", "/users/{*}"],
            ),
            ("[[path]]\npattern = \"/{*}\"", &["line 1", "`action`"]),
            ("[clients]\nipv4_prefix = 33\nipv6_prefix = 48", &["line 2", "ipv4_prefix 33", "0 to 32"]),
            ("[clients]\nipv4_prefix = 24", &["ipv6_prefix"]),
            ("name = \"a b\"", &["line 1", "name", "1 to 64 letters"]),
            ("long_values = \"drop\"", &["line 1", "drop", "`keep`"]),
            ("[fields", &["line 1"]),
        ] {
            let why = Policy::from_toml(text, "x").unwrap_err();
            for part in parts {
                assert!(why.contains(part), "{text}: lacks {part}:\n{why}");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_or_is_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        let error = Policy::load(&path).unwrap_err();
        assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
        fs::write(&path, [0xff]).unwrap();
        assert!(Policy::load(&path).unwrap_err().to_string().contains("not UTF-8"));
        fs::write(&path, "[fields]\nA = \"drop\"").unwrap();
        assert!(Policy::load(&path).unwrap().name().contains("policy=p hash="));
    }
}
