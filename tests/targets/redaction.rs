//! Redaction, structured: a secret at a place of the default policy gets through under no spelling and no other rules.
//!
//! The input chooses place, spelling, what stands around it, and rules for other names.

use arbitrary::{Arbitrary, Unstructured};
use capture::{
    http::Parser,
    redact::{Action, Key, Policy, Redactor},
};
use storage::values::FieldLine;

const SECRET: &str = "Kq7ZtWm3XbVn9RdLp2HsGf5J";

/// Places, with `@` for the secret and `!` for an `@` that is meant: of a target, or a field line.
const PLACES: &[(bool, &str)] = &[
    (true, "/x?token=@"),
    (true, "/x?a=b&api_key=@"),
    (true, "http://user:@!host/"),
    (true, "/x;jsessionid=@"),
    (true, "/x?u=http%3A%2F%2Fh%2F%3Ftoken%3D@"),
    (false, "Authorization: Bearer @"),
    (false, "Proxy-Authorization: Basic @"),
    (false, "Cookie: a=@; b=@"),
    (false, "X-Api-Key: @"),
    (false, "X-Custom: password = @"),
    (false, "Referer: http://u:@!h/"),
];

#[derive(Arbitrary, Debug)]
struct Plan<'a> {
    place: u8,
    upper: bool,
    fold: Option<u8>,
    before: &'a [u8],
    behind: &'a [u8],
    rules: Vec<(u8, Change)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Change {
    Keep,
    Token,
    Drop,
    Mask(u8),
}

/// The input is a plan.
pub(crate) fn run(input: &[u8]) {
    let Ok(plan) = Plan::arbitrary(&mut Unstructured::new(input)) else { return };
    let head = head(&plan);
    let mut parser = Parser::new();
    let Ok(parsed) = parser.request(&head, true) else { return };
    let mut redactor = Redactor::new(policy(&plan), Key::from_bytes([7; 32]));
    let values = redactor.request(&parsed);
    let lines = values.fields.iter().flat_map(|line: &FieldLine<'_>| [Some(line.value), line.raw]).flatten();
    for output in lines.chain([values.target_raw, values.method_raw]) {
        for piece in SECRET.as_bytes().windows(10) {
            let found = output.windows(10).any(|window| window.eq_ignore_ascii_case(piece));
            assert!(!found, "{} of {}", output.escape_ascii(), head.escape_ascii());
        }
    }
}

/// Rules for names that no place has.
fn policy(plan: &Plan<'_>) -> Policy {
    plan.rules.iter().take(8).fold(Policy::default(), |policy, (name, change)| {
        let action = match change {
            Change::Keep => Action::Keep,
            Change::Token => Action::Token,
            Change::Drop => Action::Drop,
            Change::Mask(kept) => Action::Mask(*kept),
        };
        let name = format!("other{}", name % 16);
        match name.len() % 3 {
            0 => policy.with_field(&name, action),
            1 => policy.with_parameter(&name, action),
            _ => policy.with_cookie(&name, action),
        }
    })
}

/// Where a value may be folded and still says the same. In one that names its secret only by a word of its own, that is
/// between the words: within the name it makes another name, within the secret an end of it.
fn fold_place(value: &str, at: usize) -> usize {
    let between: Vec<usize> = value.match_indices(" = ").flat_map(|(at, _)| [at, at + 2]).collect();
    if between.is_empty() { at % (value.len() + 1) } else { between[at % between.len()] }
}

fn head(plan: &Plan<'_>) -> Vec<u8> {
    let (in_target, place) = PLACES[usize::from(plan.place) % PLACES.len()];
    let (name, value) = place.split_once(": ").unwrap_or((place, ""));
    let name = if plan.upper && !in_target { name.to_ascii_uppercase() } else { name.to_owned() };
    let filled = |text: &str| text.replace('@', SECRET).replace('!', "@");
    let mut value = filled(value);
    if let Some(at) = plan.fold {
        value.insert_str(fold_place(&value, usize::from(at)), "\r\n ");
    }
    let harmless = |bytes: &[u8]| {
        let mut bytes: Vec<u8> =
            bytes.iter().take(64).copied().filter(|byte| !b"\r\n".contains(byte)).collect();
        bytes.retain(|byte| !byte.is_ascii_control());
        bytes
    };
    let target = if in_target { filled(place) } else { "/".to_owned() };
    let mut head = format!("GET {target} HTTP/1.1\r\nHost: h\r\nA: ").into_bytes();
    head.extend(harmless(plan.before));
    if !in_target {
        head.extend_from_slice(format!("\r\n{name}: {value}").as_bytes());
    }
    head.extend_from_slice(b"\r\nZ: ");
    head.extend(harmless(plan.behind));
    head.extend_from_slice(b"\r\n\r\n");
    head
}
