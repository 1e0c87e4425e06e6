//! Tables of borrowed values whose memory outlives what they borrow: filled anew for every head, never freed.
//!
//! The one unsafe file of the stage. Invariant: between two fillings nothing reads a table.

use storage::values::FieldLine;

/// A table of field lines.
#[derive(Default)]
pub(super) struct LineTable(Vec<FieldLine<'static>>);

impl LineTable {
    /// The table, empty, for lines that live as long as this loan.
    pub(super) fn lend<'a>(&'a mut self) -> &'a mut Vec<FieldLine<'a>> {
        self.0.clear();
        let table = (&raw mut self.0).cast::<Vec<FieldLine<'a>>>();
        // SAFETY: the two types differ in a lifetime only, so their layout is the same; the loan is exclusive for 'a;
        // what is left in the table afterwards is never read as 'static: this method is the only access, it clears
        // first, and the elements have no drop.
        unsafe { &mut *table }
    }
}

/// A table of names.
#[derive(Default)]
pub(super) struct NameTable(Vec<&'static [u8]>);

impl NameTable {
    /// The table, empty, for names that live as long as this loan.
    pub(super) fn lend<'a>(&'a mut self) -> &'a mut Vec<&'a [u8]> {
        self.0.clear();
        let table = (&raw mut self.0).cast::<Vec<&'a [u8]>>();
        // SAFETY: as in `LineTable::lend`.
        unsafe { &mut *table }
    }
}

const _: () = assert!(!std::mem::needs_drop::<FieldLine<'static>>());
