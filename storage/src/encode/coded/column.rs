//! A column of codes as it stands in memory: the values of a page, and the levels that say where there are none.
//!
//! Invariant: no entry of a list is null, and a list that is null has none; other columns go another way.

use std::ops::Range;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, ListArray, StringArray, StructArray, cast::AsArray,
    types::Int32Type,
};
use parquet::file::metadata::LevelHistogram;

use super::hybrid;

/// Rows of a page at the most: what the parquet crate takes.
pub(super) const PAGE_ROWS_MAX: usize = 20_000;

/// Entries of lists on one page, but for the last row's: 17 bits each are half a mebibyte.
const PAGE_ENTRIES_MAX: usize = 1 << 18;

/// One Parquet column of strings, as codes into the strings met in its batch.
#[derive(Clone, Copy)]
pub(in crate::encode) struct CodedColumn<'a> {
    pub(super) codes: &'a Int32Array,
    pub(super) strings: &'a StringArray,
    lists: Option<&'a ListArray>,
}

/// Rows of a column that one page holds, and their entries: rows again, or what is in their lists.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) rows: Range<usize>,
    entries: Range<usize>,
}

/// Levels of a page, as they are written.
#[derive(Debug, Default)]
pub(super) struct Levels {
    definition: Vec<u32>,
    repetition: Vec<u32>,
}

impl<'a> CodedColumn<'a> {
    /// The Parquet columns of `column`, where it is made of codes.
    pub(in crate::encode) fn all_of(column: &'a ArrayRef) -> Option<Vec<CodedColumn<'a>>> {
        let Some(lists) = column.as_list_opt::<i32>() else {
            return Some(vec![CodedColumn::of(column, None)?]);
        };
        let entries = lists.values();
        if entries.null_count() > 0 {
            return None;
        }
        match entries.as_any().downcast_ref::<StructArray>() {
            Some(pairs) => pairs.columns().iter().map(|part| CodedColumn::of(part, Some(lists))).collect(),
            None => Some(vec![CodedColumn::of(entries, Some(lists))?]),
        }
    }

    fn of(coded: &'a ArrayRef, lists: Option<&'a ListArray>) -> Option<CodedColumn<'a>> {
        let coded: &DictionaryArray<Int32Type> = coded.as_dictionary_opt()?;
        let strings = coded.values().as_string_opt::<i32>().filter(|strings| strings.null_count() == 0)?;
        (lists.is_none() || coded.null_count() == 0).then(|| CodedColumn {
            codes: coded.keys(),
            strings,
            lists,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.lists.map_or(self.codes.len(), Array::len)
    }

    /// Parts the column into pages.
    pub(super) fn pages(&self) -> Vec<Page> {
        let mut pages = Vec::new();
        let mut start = 0;
        while start < self.rows() {
            let mut end = (start + PAGE_ROWS_MAX).min(self.rows());
            if let Some(lists) = self.lists {
                let offsets = lists.value_offsets();
                let limit = offsets[start].saturating_add(PAGE_ENTRIES_MAX as i32);
                end = end.min(offsets.partition_point(|offset| *offset <= limit) - 1).max(start + 1);
            }
            pages.push(Page { rows: start..end, entries: self.entry(start)..self.entry(end) });
            start = end;
        }
        pages
    }

    fn entry(&self, row: usize) -> usize {
        self.lists.map_or(row, |lists| lists.value_offsets()[row] as usize)
    }

    /// Calls `each` with the code of every value of the page.
    #[inline]
    pub(super) fn each_code(&self, page: &Page, mut each: impl FnMut(usize)) {
        let codes = &self.codes.values()[page.entries.clone()];
        match self.codes.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => codes.iter().for_each(|code| each(*code as usize)),
            Some(nulls) => {
                let nulls = nulls.slice(page.entries.start, page.entries.len());
                nulls.valid_indices().for_each(|at| each(codes[at] as usize));
            }
        }
    }

    /// Writes the levels of the page in front of its values, `max` being those of a value; adds them to the histograms.
    pub(super) fn write_levels(
        &self,
        page: &Page,
        levels: &mut Levels,
        [repetition, definition]: [(i16, &mut Option<LevelHistogram>); 2],
        out: &mut Vec<u8>,
    ) {
        levels.fill(self, page, definition.0 as u32);
        for ((max, histogram), levels) in [(repetition, &levels.repetition), (definition, &levels.definition)]
        {
            if let Some(histogram) = histogram {
                for level in 0..=max {
                    let count = levels.iter().filter(|at| **at == level as u32).count();
                    histogram.increment_by(level, count as i64);
                }
            }
            if max > 0 {
                let start = out.len();
                out.extend_from_slice(&[0; size_of::<u32>()]);
                hybrid::encode(levels, hybrid::width_of(max as usize + 1), out);
                let len = (out.len() - start - size_of::<u32>()) as u32;
                out[start..start + size_of::<u32>()].copy_from_slice(&len.to_le_bytes());
            }
        }
    }
}

impl Levels {
    /// Number of entries, with a value or without.
    pub(super) fn len(&self) -> usize {
        self.definition.len()
    }

    /// Number of entries without a value, `max` being the level of one with.
    pub(super) fn nulls(&self, max: i16) -> usize {
        self.definition.iter().filter(|level| **level != max as u32).count()
    }

    /// The levels of `page`: a value has definition level `max`, an empty list one less, an absent row 0.
    fn fill(&mut self, column: &CodedColumn<'_>, page: &Page, max: u32) {
        self.definition.clear();
        self.repetition.clear();
        let Some(lists) = column.lists else {
            let present = |at| column.codes.is_valid(at);
            match column.codes.null_count() {
                0 => self.definition.resize(page.rows.len(), max),
                _ => self.definition.extend(page.rows.clone().map(|at| u32::from(present(at)) * max)),
            }
            return;
        };
        let offsets = lists.value_offsets();
        for row in page.rows.clone() {
            let len = (offsets[row + 1] - offsets[row]) as usize;
            let empty = if lists.is_valid(row) { max - 1 } else { 0 };
            self.definition.push(if len == 0 { empty } else { max });
            self.repetition.push(0);
            let (definitions, repetitions) = (self.definition.len() + len, self.repetition.len() + len);
            self.definition.resize(definitions - usize::from(len > 0), max);
            self.repetition.resize(repetitions - usize::from(len > 0), 1);
        }
    }
}
