//! TCP sequence number arithmetic (RFC 9293 section 3.4): modulo 2^32, "before" and "after" within half the space.

/// Signed distance from `from` to `to`: positive where `to` lies ahead.
#[inline]
pub fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// True where `a` lies strictly behind (later than) `b`.
#[inline]
pub fn after(a: u32, b: u32) -> bool {
    distance(b, a) > 0
}

/// True where `a` lies at or behind (not earlier than) `b`.
#[inline]
pub fn at_or_after(a: u32, b: u32) -> bool {
    distance(b, a) >= 0
}

/// True where `a` lies from `from` on and before `to`.
#[inline]
pub fn is_within(a: u32, from: u32, to: u32) -> bool {
    at_or_after(a, from) && after(to, a)
}

/// The later of two sequence numbers.
#[inline]
pub fn latest(a: u32, b: u32) -> u32 {
    if after(a, b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        assert!(after(5, u32::MAX - 5));
        assert!(!after(u32::MAX - 5, 5));
        assert!(at_or_after(7, 7) && !after(7, 7));
        assert_eq!(distance(u32::MAX, 1), 2);
        assert_eq!(latest(u32::MAX, 3), 3);
    }
}
