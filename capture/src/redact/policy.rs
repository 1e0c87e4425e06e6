//! What is to become of which value: built-in rules by name, and exceptions to them.
//!
//! Invariant: two policies that treat any head differently have different names.

use std::collections::BTreeMap;

use super::sensitive::{self, Names};

/// Changes with every change of what the built-in rules do, so that files tell which were in force.
const RULES_VERSION: u32 = 1;

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stays.
    Keep,
    /// Becomes a keyed token.
    Token,
    /// Becomes empty.
    Drop,
    /// Keeps this many leading bytes, followed by `***`.
    Mask(u8),
}

/// The redaction policy in force.
#[derive(Clone, Debug)]
pub struct Policy {
    on: bool,
    fields: BTreeMap<Vec<u8>, Action>,
    parameters: BTreeMap<Vec<u8>, Action>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { on: true, fields: BTreeMap::new(), parameters: BTreeMap::new() }
    }
}

impl Policy {
    /// Nothing is redacted.
    pub fn off() -> Policy {
        Policy { on: false, ..Policy::default() }
    }

    /// True unless nothing is redacted.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// This policy with an exception for the field of this name.
    #[must_use]
    pub fn with_field(mut self, name: &str, action: Action) -> Policy {
        self.fields.insert(name.to_ascii_lowercase().into_bytes(), action);
        self
    }

    /// This policy with an exception for the query or value parameter of this name.
    #[must_use]
    pub fn with_parameter(mut self, name: &str, action: Action) -> Policy {
        self.parameters.insert(name.to_ascii_lowercase().into_bytes(), action);
        self
    }

    /// What the files' metadata call it (`redaction_policy`).
    pub fn name(&self) -> String {
        if !self.on {
            return "off".to_owned();
        }
        let base = format!("default-{RULES_VERSION}");
        if self.fields.is_empty() && self.parameters.is_empty() {
            return base;
        }
        let rules = format!("{base} {:?} {:?}", self.fields, self.parameters);
        format!("{base}-{}", &blake3::hash(rules.as_bytes()).to_hex()[..16])
    }

    /// The exception for the field of this name.
    #[inline]
    pub(super) fn field_exception(&self, name: &[u8]) -> Option<Action> {
        exception(&self.fields, name)
    }

    /// What becomes of the parameter of this name (percent-decoded).
    #[inline]
    pub(super) fn parameter(&self, name: &[u8]) -> Action {
        let rule =
            || if sensitive::is_sensitive(name, Names::Parameter) { Action::Token } else { Action::Keep };
        exception(&self.parameters, name).unwrap_or_else(rule)
    }
}

#[inline]
fn exception(rules: &BTreeMap<Vec<u8>, Action>, name: &[u8]) -> Option<Action> {
    if rules.is_empty() {
        return None;
    }
    exception_of(rules, name)
}

#[cold]
fn exception_of(rules: &BTreeMap<Vec<u8>, Action>, name: &[u8]) -> Option<Action> {
    rules.iter().find(|(rule, _)| rule.eq_ignore_ascii_case(name)).map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_differ_have_different_names() {
        let plain = Policy::default();
        let names = [
            plain.name(),
            Policy::off().name(),
            plain.clone().with_field("X-Key", Action::Keep).name(),
            plain.clone().with_field("X-Key", Action::Drop).name(),
            plain.clone().with_parameter("x-key", Action::Drop).name(),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
        }
        assert_eq!(plain.clone().with_field("X-KEY", Action::Drop).name(), names[3]);
    }

    #[test]
    fn exceptions_come_before_rules() {
        let policy = Policy::default().with_parameter("page_token", Action::Keep);
        assert_eq!(policy.parameter(b"Page_Token"), Action::Keep);
        assert_eq!(policy.parameter(b"token"), Action::Token);
        assert_eq!(policy.field_exception(b"token"), None);
    }
}
