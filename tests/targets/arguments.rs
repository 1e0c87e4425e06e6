//! Command lines: words of any bytes are understood or refused with a message and exit code 2, never by a panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use capture::settings::{Environment, parse};

/// Every line of the input is a word.
pub(crate) fn run(input: &[u8]) {
    let words = input.split(|&byte| byte == b'\n').take(64).map(|word| OsString::from_vec(word.to_vec()));
    let line = std::iter::once(OsString::from("hdrcap")).chain(words);
    let environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
    if let Err(error) = parse(line.collect::<Vec<_>>(), &environment) {
        assert!(matches!(error.exit_code(), 0 | 2));
        assert!(!error.to_string().is_empty());
    }
}
