//! A row in the making: the numbers of its parts, and the values that belong to neither head alone.
//!
//! A batch holds one for each transaction, so each byte of it is a hundred kilobytes of memory that go through the cache twice.

use crate::{
    flags::Flags,
    values::{PairState, RowValues, TimeSource},
};

/// An integer that may be absent, in its own size: an `Option` takes twice that.
///
/// The least number stands for absent; no count, time or sequence number is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sparse<T>(T);

/// A type of which one value can stand for none.
pub(crate) trait Spare: Copy + PartialEq {
    /// That value.
    const SPARE: Self;
}

impl Spare for i32 {
    const SPARE: i32 = i32::MIN;
}

impl Spare for i64 {
    const SPARE: i64 = i64::MIN;
}

impl<T: Spare> Sparse<T> {
    /// The integer, where there is one.
    #[inline]
    pub(crate) fn get(self) -> Option<T> {
        (self.0 != T::SPARE).then_some(self.0)
    }
}

impl<T: Spare> From<Option<T>> for Sparse<T> {
    #[inline]
    fn from(value: Option<T>) -> Sparse<T> {
        Sparse(value.unwrap_or(T::SPARE))
    }
}

/// One row: `RowValues`, and the numbers of the records it joins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) connection: u32,
    pub(crate) request: u32,
    pub(crate) response: u32,
    pub(crate) transaction_index: i32,
    pub(crate) ts_ns: i64,
    pub(crate) ts_source: TimeSource,
    pub(crate) pair_state: PairState,
    pub(crate) req_seq: Sparse<i64>,
    pub(crate) req_end_seq: Sparse<i64>,
    pub(crate) resp_seq: Sparse<i64>,
    pub(crate) resp_ack: Sparse<i64>,
    pub(crate) req_body_bytes: Sparse<i64>,
    pub(crate) resp_body_bytes: Sparse<i64>,
    pub(crate) ttfb_us: Sparse<i64>,
    pub(crate) req_duration_us: Sparse<i64>,
    pub(crate) resp_head_duration_us: Sparse<i64>,
    pub(crate) total_us: Sparse<i64>,
    pub(crate) flags: Flags,
}

const _: () = assert!(size_of::<Row>() <= 128, "two lines of the cache");

impl Row {
    /// A row that joins the records of these numbers.
    pub(crate) fn new([connection, request, response]: [u32; 3], values: &RowValues) -> Row {
        Row {
            connection,
            request,
            response,
            transaction_index: values.transaction_index,
            ts_ns: values.ts_ns,
            ts_source: values.ts_source,
            pair_state: values.pair_state,
            req_seq: values.req_seq.into(),
            req_end_seq: values.req_end_seq.into(),
            resp_seq: values.resp_seq.into(),
            resp_ack: values.resp_ack.into(),
            req_body_bytes: values.req_body_bytes.into(),
            resp_body_bytes: values.resp_body_bytes.into(),
            ttfb_us: values.ttfb_us.into(),
            req_duration_us: values.req_duration_us.into(),
            resp_head_duration_us: values.resp_head_duration_us.into(),
            total_us: values.total_us.into(),
            flags: values.flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_that_may_be_absent_is_what_it_was_made_of() {
        for value in [None, Some(0), Some(1), Some(-1), Some(i64::MAX)] {
            assert_eq!(Sparse::from(value).get(), value);
        }
        assert_eq!(Sparse::from(Some(999)).get(), Some(999_i32));
        assert_eq!(Sparse::<i32>::from(None).get(), None);
        assert_eq!(size_of::<Sparse<i64>>(), size_of::<i64>());
    }
}
