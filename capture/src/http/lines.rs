//! The field lines of one head, with where the first of each known field is.
//!
//! What a head means is asked of a few of its lines by the names of their fields: that must not be a walk through all of them.
//! Invariant: a field that was seen has the place of its first whole line; the places of others say nothing.

use storage::field::Field;

use super::{
    FIELD_LINE_COUNT_MAX,
    line::{Line, Shape},
};

const _: () = assert!(FIELD_LINE_COUNT_MAX <= u16::MAX as usize, "places of lines are u16");

/// Place of a line whose field is not known.
const NO_FIELD: usize = Field::ALL.len();

/// Field lines in wire order.
#[derive(Debug)]
pub(super) struct Lines {
    all: Vec<Line>,
    /// Known fields that came on a whole line, as `Field::bit`.
    seen: u64,
    /// Known fields that came on more than one.
    repeated: u64,
    /// The last one is that of no known field.
    first: [u16; NO_FIELD + 1],
}

impl Lines {
    /// None, with room for as many.
    pub(super) fn with_capacity(count: usize) -> Lines {
        Lines { all: Vec::with_capacity(count), seen: 0, repeated: 0, first: [0; NO_FIELD + 1] }
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        (self.seen, self.repeated) = (0, 0);
    }

    /// Adds the next line. One cut short has no meaning (`12` may be the half of `1234`): its field is not seen.
    #[inline]
    pub(super) fn push(&mut self, line: Line) {
        let field = line.field.filter(|_| !line.shape.has(Shape::CUT));
        // No branch: which lines have a known field cannot be foretold.
        let (at, bit) = field.map_or((NO_FIELD, 0), |field| (field as usize, field.bit()));
        let first = &mut self.first[at];
        *first = if self.seen & bit == 0 { self.all.len() as u16 } else { *first };
        self.repeated |= self.seen & bit;
        self.seen |= bit;
        self.all.push(line);
    }

    /// In wire order.
    #[inline]
    pub(super) fn all(&self) -> &[Line] {
        &self.all
    }

    pub(super) fn all_mut(&mut self) -> &mut [Line] {
        &mut self.all
    }

    #[inline]
    pub(super) fn has(&self, field: Field) -> bool {
        self.seen & field.bit() != 0
    }

    #[inline]
    pub(super) fn repeats(&self, field: Field) -> bool {
        self.repeated & field.bit() != 0
    }

    /// True where any of the fields, as `Field::bit`, came on more than one whole line.
    pub(super) fn repeats_any(&self, fields: u64) -> bool {
        self.repeated & fields != 0
    }

    /// Where the first whole line of the field is.
    #[inline]
    pub(super) fn first(&self, field: Field) -> Option<usize> {
        self.has(field).then(|| usize::from(self.first[field as usize]))
    }

    /// The whole lines of the field.
    #[inline]
    pub(super) fn of(&self, field: Field) -> impl Iterator<Item = &Line> {
        let lines = match self.first(field) {
            None => &[],
            Some(first) if self.repeats(field) => &self.all[first..],
            Some(first) => &self.all[first..=first],
        };
        lines.iter().filter(move |line| line.field == Some(field) && !line.shape.has(Shape::CUT))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_of_a_field_are_those_that_a_walk_finds(
            heads in proptest::collection::vec(
                proptest::collection::vec((proptest::option::of(0..4_usize), any::<bool>()), 0..9), 1..4),
        ) {
            let mut lines = Lines::with_capacity(0);
            for head in heads {
                lines.clear();
                for (at, (field, is_cut)) in head.iter().enumerate() {
                    let shape = if *is_cut { Shape::CUT } else { Shape::default() };
                    let field = field.map(|at| Field::ALL[at]);
                    lines.push(Line { start: at as u32, field, shape, ..Line::default() });
                }
                prop_assert_eq!(lines.all().len(), head.len());
                for field in &Field::ALL[..5] {
                    let walked: Vec<usize> = (0..head.len())
                        .filter(|at| head[*at].0.map(|at| Field::ALL[at]) == Some(*field) && !head[*at].1)
                        .collect();
                    let found: Vec<usize> = lines.of(*field).map(|line| line.start as usize).collect();
                    prop_assert_eq!(lines.first(*field), walked.first().copied());
                    prop_assert_eq!(lines.has(*field), !walked.is_empty());
                    prop_assert_eq!(lines.repeats(*field), walked.len() > 1);
                    prop_assert_eq!(lines.repeats_any(field.bit()), walked.len() > 1);
                    prop_assert_eq!(found, walked);
                }
            }
        }
    }
}
