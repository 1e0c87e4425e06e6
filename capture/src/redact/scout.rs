//! Finds the values of a head that are worth a search, with one pass over its bytes for all lines.
//!
//! Invariant: lines are asked in order, and a line that is not named holds nothing that a search would find, but for
//! what the whole head was searched for before.

use memchr::{memchr, memchr3};

use super::{detect, policy::Policy};
use crate::http::Line;

/// Places in a head where values may hold something.
pub(super) struct Scout<'a> {
    bytes: &'a [u8],
    /// The next `=`, `%` or `{`.
    parameter: usize,
    /// The next `@`.
    at: usize,
    /// Paths are acted on.
    has_paths: bool,
}

impl<'a> Scout<'a> {
    pub(super) fn new(bytes: &'a [u8], has_paths: bool) -> Scout<'a> {
        Scout { bytes, parameter: 0, at: memchr(b'@', bytes).unwrap_or(bytes.len()), has_paths }
    }

    /// True where the line's value holds more than parameters of harmless names.
    pub(super) fn finds(&mut self, line: &Line, policy: &Policy) -> bool {
        let (start, end) = (line.value_start as usize, line.value_end as usize);
        let is_mark = |byte: u8| matches!(byte, b'=' | b'%' | b'{' | b'@');
        let has_mark = self.bytes[start..end].iter().fold(false, |found, &byte| found | is_mark(byte));
        if !has_mark && !self.has_paths {
            return false;
        }
        if self.at < start {
            self.at = start + memchr(b'@', &self.bytes[start..]).unwrap_or(self.bytes.len() - start);
        }
        if self.parameter < start {
            self.pass_to(start);
        }
        while self.parameter < end {
            let value = &self.bytes[start..end];
            if !detect::is_harmless_parameter(value, self.parameter - start, policy) {
                return true;
            }
            self.pass_to(self.parameter + 1);
        }
        self.at < end || self.has_paths && memchr(b'/', &self.bytes[start..end]).is_some()
    }

    fn pass_to(&mut self, from: usize) {
        let rest = &self.bytes[from..];
        self.parameter = from + memchr3(b'=', b'%', b'{', rest).unwrap_or(rest.len());
    }
}
