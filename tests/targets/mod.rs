//! What the fuzzer drives: one function per parser, from any bytes, that panics where a promise is broken.
//!
//! `scripts/fuzz` builds each with libFuzzer (tests/fuzz); the tests run the kept inputs, and inputs near them, through
//! all of them. Invariant: pure functions of their input, but for files in a folder that is gone afterwards.

pub(crate) mod arguments;
pub(crate) mod capture_file;
pub(crate) mod control;
pub(crate) mod encryption_keys;
pub(crate) mod frames;
pub(crate) mod head;
pub(crate) mod manifest;
pub(crate) mod policy;
pub(crate) mod reassemble;
pub(crate) mod records;
pub(crate) mod redaction;
pub(crate) mod replay;
pub(crate) mod staged;

#[cfg(test)]
mod kept;

/// A target's name, which the folder of its kept inputs has too, and what runs it.
#[cfg(test)]
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
#[cfg(test)]
pub(crate) const ALL: &[Target] = &[
    ("arguments", arguments::run),
    ("capture_file", capture_file::run),
    ("control", control::run),
    ("encryption_keys", encryption_keys::run),
    ("frames", frames::run),
    ("head", head::run),
    ("manifest", manifest::run),
    ("policy", policy::run),
    ("reassemble", reassemble::run),
    ("records", records::run),
    ("redaction", redaction::run),
    ("replay", replay::run),
    ("staged", staged::run),
];
