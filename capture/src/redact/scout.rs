//! Tells the values that are worth a search from the many that are not, with one look at each.
//!
//! Invariant: a value that is not named holds nothing that a search would find, but for long values and JSON Web
//! Tokens, which are looked for by themselves.

use memchr::{memchr, memchr3_iter};
use storage::search::holds_any;

use super::{detect, policy::Policy};

/// True where the value holds more than parameters of harmless names.
#[inline]
pub(super) fn finds(value: &[u8], policy: &Policy) -> bool {
    holds_any(value, [b'=', b'%', b'{', b'@']) && holds_harm(value, policy)
        || !policy.paths().is_empty() && memchr(b'/', value).is_some()
}

fn holds_harm(value: &[u8], policy: &Policy) -> bool {
    let mut marks = memchr3_iter(b'=', b'%', b'{', value);
    memchr(b'@', value).is_some() || marks.any(|at| !detect::is_harmless_parameter(value, at, policy))
}
