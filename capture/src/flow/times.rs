//! When a run of bytes came by. Pieces that follow on each other become one run, of which only the ends' times are known;
//! so that a head's are always told right or not at all, nothing is joined behind a line feed, where a head may end.

/// When a run of bytes came by, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Its first byte; `None` where that is not known.
    pub first: Option<u64>,
    /// Its last byte, and every line feed in it.
    pub last: u64,
    has_line_feed: bool,
}

impl Times {
    /// Of bytes that came by at once.
    pub fn at(ts_ns: u64, bytes: &[u8]) -> Self {
        Times { first: Some(ts_ns), last: ts_ns, has_line_feed: memchr::memchr(b'\n', bytes).is_some() }
    }

    /// Of what is left without the first `skipped` bytes.
    pub fn behind(self, skipped: usize) -> Self {
        let is_known = skipped == 0 || self.first == Some(self.last);
        Times { first: self.first.filter(|_| is_known), ..self }
    }

    /// Of both as one run, where `next` follows; `None` where a head may end in the first one.
    pub fn joined(self, next: Self) -> Option<Self> {
        (!self.has_line_feed).then_some(Times { first: self.first, ..next })
    }

    /// The same of runs that are one whatever ends in them: the time of such an end is then told late.
    pub fn merged(self, next: Self) -> Self {
        let has_line_feed = self.has_line_feed || next.has_line_feed;
        Times { first: self.first, last: next.last, has_line_feed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ends_of_a_run_are_told() {
        let (left, right) = (Times::at(1, b"a: b\r"), Times::at(2, b"\n\r\nGET"));
        let both = left.joined(right).unwrap();
        assert_eq!((both.first, both.last), (Some(1), 2));
        assert_eq!((both.behind(0).first, both.behind(1).first), (Some(1), None));
        assert_eq!(right.behind(3).first, Some(2), "it came at once");
        assert_eq!(both.joined(right), None, "a head may have ended");
        assert_eq!((both.merged(left).last, both.merged(left).joined(left)), (1, None));
    }
}
