//! What rows are, whatever their order: a number of them and a sum of their hashes.
//!
//! Rows that go into a merge and rows read back from its file must give the same one before anything is removed. Each
//! value counts with its column, each element with its place, so nothing can trade places unseen.

use std::sync::LazyLock;

use ahash::RandomState;
use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::ArrowError;

static HASH: LazyLock<RandomState> = LazyLock::new(|| RandomState::with_seeds(1, 2, 3, 4));

/// Stands for a value that is absent.
const ABSENT: u64 = 0x6162_7365_6e74;

/// Number of rows, and the sum of their hashes; within one process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) rows: u64,
    sum: u64,
}

impl Fingerprint {
    /// Adds the rows of a batch.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut rows = vec![0; batch.num_rows()];
        for column in batch.columns() {
            follow(&mut rows, &hashes(column)?);
        }
        self.rows += rows.len() as u64;
        self.sum = rows.iter().fold(self.sum, |sum, row| sum.wrapping_add(*row));
        Ok(())
    }
}

/// Each row's hash and that of the value behind it become one.
fn follow(rows: &mut [u64], values: &[u64]) {
    for (row, value) in rows.iter_mut().zip(values) {
        *row = HASH.hash_one((*row, *value));
    }
}

/// One hash for each element.
fn hashes(array: &dyn Array) -> Result<Vec<u64>, ArrowError> {
    let each = |hash: &dyn Fn(usize) -> u64| -> Vec<u64> {
        (0..array.len()).map(|at| if array.is_null(at) { ABSENT } else { hash(at) }).collect()
    };
    if let Some(strings) = array.as_string_opt::<i32>() {
        Ok(each(&|at| HASH.hash_one(strings.value(at))))
    } else if let Some(values) = array.as_primitive_opt::<Int64Type>() {
        Ok(each(&|at| HASH.hash_one(values.value(at))))
    } else if let Some(values) = array.as_primitive_opt::<TimestampMicrosecondType>() {
        Ok(each(&|at| HASH.hash_one(values.value(at))))
    } else if let Some(values) = array.as_primitive_opt::<Int32Type>() {
        Ok(each(&|at| HASH.hash_one(values.value(at))))
    } else if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        Ok(each(&|at| HASH.hash_one(values.value(at).to_bits())))
    } else if let Some(values) = array.as_boolean_opt() {
        Ok(each(&|at| HASH.hash_one(values.value(at))))
    } else if let Some(list) = array.as_list_opt::<i32>() {
        let elements = hashes(list.values())?;
        let place = |offset: i32| usize::try_from(offset).expect("offsets are not negative");
        let offsets = list.value_offsets();
        Ok(each(&|at| HASH.hash_one(&elements[place(offsets[at])..place(offsets[at + 1])])))
    } else if let Some(fields) = array.as_struct_opt() {
        let mut rows = vec![0; fields.len()];
        for field in fields.columns() {
            follow(&mut rows, &hashes(field)?);
        }
        Ok(each(&|at| rows[at]))
    } else {
        Err(ArrowError::NotYetImplemented(format!("comparing values of {}", array.data_type())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int32Array, StringArray};

    use super::*;

    fn of(columns: Vec<(&str, ArrayRef)>) -> Fingerprint {
        let mut print = Fingerprint::default();
        print.add(&RecordBatch::try_from_iter(columns).expect("columns of one length")).expect("known types");
        print
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let pair = |numbers: [i32; 2], words: [Option<&str>; 2]| {
            let numbers: ArrayRef = Arc::new(Int32Array::from(numbers.to_vec()));
            of(vec![("a", numbers), ("b", Arc::new(StringArray::from(words.to_vec())))])
        };
        let whole = pair([1, 2], [Some("x"), None]);
        assert_eq!(whole, pair([2, 1], [None, Some("x")]));
        for other in [
            pair([2, 1], [Some("x"), None]),
            pair([1, 2], [Some("x"), Some("")]),
            pair([1, 1], [Some("x"), None]),
            pair([1, 2], [Some("y"), None]),
        ] {
            assert_ne!(whole, other);
        }
        assert_ne!(
            of(vec![("a", Arc::new(Float64Array::from(vec![0.0])))]),
            of(vec![("a", Arc::new(Float64Array::from(vec![-0.0])))])
        );
    }

    #[test]
    fn a_lost_and_a_doubled_row_change_it() {
        let rows = RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]);
        let rows = rows.expect("a column");
        let of = |parts: &[RecordBatch]| {
            let mut print = Fingerprint::default();
            parts.iter().for_each(|part| print.add(part).expect("a known type"));
            print
        };
        let whole = of(std::slice::from_ref(&rows));
        assert_eq!(whole, of(&[rows.slice(1, 1), rows.slice(0, 1)]));
        assert_ne!(whole, of(&[rows.slice(0, 1)]));
        assert_ne!(whole, of(&[rows.clone(), rows.slice(0, 1)]));
        assert_ne!(whole, of(&[rows.slice(0, 1), rows.slice(0, 1)]));
    }
}
