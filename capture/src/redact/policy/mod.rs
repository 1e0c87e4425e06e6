//! What is to become of which value: built-in rules by name and form, and exceptions to them.
//!
//! Invariant: two policies that treat any head differently have different names.

mod file;
mod names;

use std::net::IpAddr;

pub use self::file::PolicyError;
use self::names::NameRules;
pub use super::address::Prefixes;
use super::{
    path::PathRule,
    sensitive::{self, Names},
    spans::Why,
};

/// Changes with every change of what the built-in rules do, so that files tell which were in force.
const RULES_VERSION: u32 = 2;

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stays.
    Keep,
    /// Becomes a keyed token.
    Token,
    /// Becomes empty.
    Drop,
    /// Keeps this many leading bytes, half at the most, followed by `***`.
    Mask(u8),
    /// Keeps the network of each address in it.
    Truncate(Prefixes),
}

/// An action, and what it is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) action: Action,
    pub(super) why: Why,
}

impl Rule {
    pub(super) fn replaces(self) -> bool {
        self.action != Action::Keep
    }
}

/// The redaction policy in force.
#[derive(Clone, Debug)]
pub struct Policy {
    on: bool,
    /// What the operator calls the exceptions.
    label: String,
    fields: NameRules,
    parameters: NameRules,
    cookies: NameRules,
    paths: Vec<PathRule>,
    clients: Option<Prefixes>,
    /// Whether long values that look random are replaced where no name promises a secret.
    long_values: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            on: true,
            label: "custom".to_owned(),
            fields: NameRules::default(),
            parameters: NameRules::default(),
            cookies: NameRules::default(),
            paths: Vec::new(),
            clients: None,
            long_values: true,
        }
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
        self.fields.insert(&name.to_ascii_lowercase(), action);
        self
    }

    /// This policy with an exception for the query or value parameter of this name.
    #[must_use]
    pub fn with_parameter(mut self, name: &str, action: Action) -> Policy {
        self.parameters.insert(&name.to_ascii_lowercase(), action);
        self
    }

    /// This policy with an exception for the cookie of this name, in this case.
    #[must_use]
    pub fn with_cookie(mut self, name: &str, action: Action) -> Policy {
        self.cookies.insert(name, action);
        self
    }

    /// This policy with addresses of clients cut to networks.
    #[must_use]
    pub fn with_clients(mut self, prefixes: Prefixes) -> Policy {
        self.clients = Some(prefixes);
        self
    }

    /// What the files' metadata call it (`redaction_policy`): `off`, `default-2`, or `default-2 policy=LABEL hash=HEX`.
    pub fn name(&self) -> String {
        if !self.on {
            return "off".to_owned();
        }
        let base = format!("default-{RULES_VERSION}");
        let rules = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            self.fields, self.parameters, self.cookies, self.paths, self.clients, self.long_values
        );
        let none = Policy::default();
        let is_default = self.fields.is_empty()
            && self.parameters.is_empty()
            && self.cookies.is_empty()
            && self.paths.is_empty()
            && self.clients == none.clients
            && self.long_values == none.long_values;
        if is_default {
            return base;
        }
        let hash = &blake3::hash(rules.as_bytes()).to_hex()[..16];
        format!("{base} policy={} hash={hash}", self.label)
    }

    /// Where the policy cuts addresses of clients, what is left of this one.
    pub(super) fn client(&self, address: IpAddr) -> Option<IpAddr> {
        self.clients.filter(|_| self.on).map(|prefixes| prefixes.network(address))
    }

    pub(super) fn clients(&self) -> Option<Prefixes> {
        self.clients
    }

    pub(super) fn finds_long_values(&self) -> bool {
        self.long_values
    }

    pub(super) fn paths(&self) -> &[PathRule] {
        &self.paths
    }

    pub(super) fn has_cookies(&self) -> bool {
        !self.cookies.is_empty()
    }

    /// The exception for the field of this name.
    #[inline]
    pub(super) fn field_exception(&self, name: &[u8]) -> Option<Action> {
        self.fields.get_any_case(name)
    }

    /// The exception for the cookie of this name.
    pub(super) fn cookie(&self, name: &[u8]) -> Option<Rule> {
        self.cookies.get(name).map(|action| Rule { action, why: Why::CookieRule })
    }

    /// What is to become of the parameter of this name (percent-decoded), where anything is said about it.
    #[inline]
    pub(super) fn parameter(&self, name: &[u8]) -> Option<Rule> {
        if let Some(action) = self.parameters.get_any_case(name) {
            return Some(Rule { action, why: Why::ParameterRule });
        }
        sensitive::is_sensitive(name, Names::Parameter)
            .then_some(Rule { action: Action::Token, why: Why::ParameterName })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_differ_have_different_names() {
        let plain = Policy::default;
        let prefixes = Prefixes { ipv4: 24, ipv6: 48 };
        let names = [
            plain().name(),
            Policy::off().name(),
            plain().with_field("X-Key", Action::Keep).name(),
            plain().with_field("X-Key", Action::Drop).name(),
            plain().with_parameter("x-key", Action::Drop).name(),
            plain().with_cookie("x-key", Action::Drop).name(),
            plain().with_cookie("X-Key", Action::Drop).name(),
            plain().with_clients(prefixes).name(),
            plain().with_clients(Prefixes { ipv4: 16, ..prefixes }).name(),
            Policy { long_values: false, ..plain() }.name(),
            Policy { paths: vec![PathRule::new("/{*}", Action::Drop).unwrap()], ..plain() }.name(),
            Policy { paths: vec![PathRule::new("/{*}", Action::Token).unwrap()], ..plain() }.name(),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
        }
        assert_eq!(plain().with_field("X-KEY", Action::Drop).name(), names[3]);
        assert!(names[3].starts_with("default-2 policy=custom hash="), "{}", names[3]);
    }

    #[test]
    fn exceptions_come_before_rules() {
        let policy = Policy::default().with_parameter("page_token", Action::Keep);
        assert_eq!(policy.parameter(b"Page_Token").map(|rule| rule.action), Some(Action::Keep));
        assert_eq!(policy.parameter(b"token").map(|rule| rule.action), Some(Action::Token));
        assert_eq!(policy.parameter(b"page"), None);
        assert_eq!(policy.field_exception(b"token"), None);
    }
}
