//! How a field's value is searched: by the policy's exception, else by what the field is for.

use storage::field::Field;

use super::{
    address,
    policy::{Action, Policy, Rule},
    sensitive::{self, Names},
    spans::Why,
};

/// How a field's value is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Excepted by the policy.
    Kept,
    /// Whatever is found in it.
    Plain,
    /// All of it.
    Secret(Rule),
    /// All of it as addresses, and whatever is found in it.
    Addresses(Rule),
    /// All but the scheme.
    Credentials(Rule),
    /// Each cookie's value.
    Cookies(Rule),
    /// The cookie's value.
    SetCookie(Rule),
    /// An authority.
    Host,
}

impl Class {
    /// The class of the field of this name.
    pub(super) fn of(field: Option<Field>, name: &[u8], policy: &Policy) -> Class {
        let exception = policy.field_exception(name).map(|action| Rule { action, why: Why::FieldRule });
        if let Some(rule) = exception {
            return Class::under(rule, field);
        }
        let rule = |why| Rule { action: Action::Token, why };
        if let Some(prefixes) = policy.clients()
            && address::is_address_field(name)
        {
            return Class::Addresses(Rule { action: Action::Truncate(prefixes), why: Why::Client });
        }
        match field {
            Some(Field::Authorization | Field::ProxyAuthorization) => {
                Class::Credentials(rule(Why::Credentials))
            }
            Some(Field::Cookie) => Class::Cookies(rule(Why::Cookie)),
            Some(Field::SetCookie) => Class::SetCookie(rule(Why::Cookie)),
            Some(Field::Host) => Class::Host,
            Some(_) => Class::Plain,
            None if sensitive::is_sensitive(name, Names::Field) => Class::Secret(rule(Why::FieldName)),
            None => Class::Plain,
        }
    }

    fn under(rule: Rule, field: Option<Field>) -> Class {
        match (rule.action, field) {
            (Action::Keep, _) => Class::Kept,
            (
                Action::Token | Action::Drop | Action::Mask(_),
                Some(Field::Authorization | Field::ProxyAuthorization),
            ) => Class::Credentials(rule),
            (Action::Token | Action::Drop | Action::Mask(_), Some(Field::Cookie)) => Class::Cookies(rule),
            (Action::Token | Action::Drop | Action::Mask(_), Some(Field::SetCookie)) => {
                Class::SetCookie(rule)
            }
            (Action::Truncate(_), _) => Class::Addresses(rule),
            (Action::Token | Action::Drop | Action::Mask(_), _) => Class::Secret(rule),
        }
    }
}

/// Fields that the schema knows whose long values name things.
const NAMING: &[Field] = &[
    Field::Etag,
    Field::IfNoneMatch,
    Field::XRequestId,
    Field::Traceparent,
    Field::Via,
    Field::ContentType,
    Field::ContentSecurityPolicy,
];

/// What names of fields end in that hold long names of things: requests, traces, versions of content.
const NAME_FIELDS: &[&[u8]] = &[
    b"request-id",
    b"requestid",
    b"correlation-id",
    b"correlationid",
    b"trace-id",
    b"traceid",
    b"spanid",
    b"tracestate",
    b"b3",
    b"-cf-id",
    b"-id-2",
    b"cf-ray",
    b"if-match",
    b"if-range",
    b"digest",
    b"content-md5",
    b"security-policy-report-only",
];

/// True for a field whose long values are names of things, not secrets.
pub(super) fn names_things(field: Option<Field>, name: &[u8]) -> bool {
    if let Some(field) = field {
        return NAMING.contains(&field);
    }
    NAME_FIELDS.iter().any(|ending| {
        name.len() >= ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> Class {
        Class::of(Field::from_name(name.as_bytes()), name.as_bytes(), &Policy::default())
    }

    #[test]
    fn names_of_things_keep_their_long_values() {
        for name in ["ETag", "X-Request-Id", "x-amzn-trace-id", "X-Amz-Cf-Id", "X-B3-TraceId", "tracestate"] {
            assert!(names_things(Field::from_name(name.as_bytes()), name.as_bytes()), "{name}");
            assert_eq!(class(name), Class::Plain, "{name}");
        }
        for name in ["User-Agent", "Referer", "X-Anything", "id"] {
            assert!(!names_things(Field::from_name(name.as_bytes()), name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_policy_decides_first() {
        let policy = Policy::default().with_field("cookie", Action::Drop).with_field("x-key", Action::Keep);
        let drop = Rule { action: Action::Drop, why: Why::FieldRule };
        assert_eq!(Class::of(Some(Field::Cookie), b"Cookie", &policy), Class::Cookies(drop));
        assert_eq!(Class::of(None, b"X-Key", &policy), Class::Kept);
        assert!(matches!(class("X-Key"), Class::Secret(Rule { why: Why::FieldName, .. })));
    }
}
