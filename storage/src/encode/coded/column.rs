//! A column of codes as it stands in memory: the values of a page, and the levels that say where there are none.
//!
//! Invariant: no entry of a list is null, and a list that is null has none; other columns go another way.

use std::ops::Range;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, ListArray, StringArray, StructArray, cast::AsArray,
    types::Int32Type,
};
use arrow_buffer::NullBuffer;
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

impl Page {
    /// Its entries, null or not.
    pub(super) fn entry_count(&self) -> usize {
        self.entries.len()
    }
}

/// Levels of a page, as they are written.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Of lists.
    definition: Vec<u32>,
    repetition: Vec<u32>,
    /// Definition levels of a column without lists, where they are not all the same: eight a byte, the first in the lowest bit.
    presence: Vec<u8>,
    /// Number of entries, with a value or without.
    len: usize,
    /// How many of them have each definition level.
    counts: Vec<usize>,
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

    /// Calls `each` with the code of every value of the page, and how many in a row have it.
    #[inline]
    pub(super) fn each_run(&self, page: &Page, each: impl FnMut(usize, usize)) {
        let codes = &self.codes.values()[page.entries.clone()];
        match self.codes.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => runs(codes.iter().copied(), each),
            Some(nulls) => {
                let nulls = nulls.slice(page.entries.start, page.entries.len());
                runs(nulls.valid_indices().map(|at| codes[at]), each);
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
        levels.fill(self, page, definition.0 as usize);
        if let Some(histogram) = repetition.1 {
            histogram.increment_by(0, page.rows.len() as i64);
            histogram.increment_by(repetition.0, (levels.len - page.rows.len()) as i64);
        }
        if let Some(histogram) = definition.1 {
            for (level, count) in (0..).zip(&levels.counts) {
                histogram.increment_by(level, *count as i64);
            }
        }
        if repetition.0 > 0 {
            let width = hybrid::width_of(repetition.0 as usize + 1);
            with_length(out, |out| hybrid::encode(&levels.repetition, width, out));
        }
        if definition.0 > 0 {
            let width = hybrid::width_of(definition.0 as usize + 1);
            with_length(out, |out| match levels.of_all() {
                Some(level) => hybrid::encode_run(level, levels.len, width, out),
                None if self.lists.is_some() => hybrid::encode(&levels.definition, width, out),
                None => hybrid::encode_bits(&levels.presence, levels.len, out),
            });
        }
    }
}

/// Appends what `append` does, and how many bytes that are in front of it.
fn with_length(out: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; size_of::<u32>()]);
    append(out);
    let len = (out.len() - start - size_of::<u32>()) as u32;
    out[start..start + size_of::<u32>()].copy_from_slice(&len.to_le_bytes());
}

/// Calls `each` with every code that differs from the one before, and how often it comes.
#[inline]
fn runs(mut codes: impl Iterator<Item = i32>, mut each: impl FnMut(usize, usize)) {
    let Some(mut last) = codes.next() else { return };
    let mut count = 1;
    for code in codes {
        if code == last {
            count += 1;
        } else {
            each(last as usize, count);
            (last, count) = (code, 1);
        }
    }
    each(last as usize, count);
}

impl Levels {
    /// Number of entries, with a value or without.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of entries without a value.
    pub(super) fn nulls(&self) -> usize {
        self.len - self.counts.last().copied().unwrap_or_default()
    }

    /// The definition level of all entries, where it is one.
    fn of_all(&self) -> Option<u32> {
        (0..).zip(&self.counts).find(|(_, count)| **count == self.len).map(|(level, _)| level)
    }

    /// The levels of `page`: a value has definition level `max`, an empty list one less, an absent row 0.
    fn fill(&mut self, column: &CodedColumn<'_>, page: &Page, max: usize) {
        self.definition.clear();
        self.repetition.clear();
        self.presence.clear();
        self.counts.clear();
        self.counts.resize(max + 1, 0);
        match column.lists {
            Some(lists) => self.fill_lists(lists, page, max as u32),
            None => self.fill_rows(column.codes, page, max as u32),
        }
    }

    fn fill_rows(&mut self, codes: &Int32Array, page: &Page, max: u32) {
        self.len = page.rows.len();
        let nulls = codes.nulls().map(|nulls| nulls.slice(page.rows.start, self.len));
        let null_count = nulls.as_ref().map_or(0, NullBuffer::null_count);
        self.counts[0] += null_count;
        self.counts[max as usize] += self.len - null_count;
        if let Some(nulls) = nulls.filter(|_| null_count > 0 && null_count < self.len) {
            let words = nulls.inner().bit_chunks().iter_padded();
            self.presence.extend(words.flat_map(u64::to_le_bytes));
            self.presence.truncate(self.len.div_ceil(u8::BITS as usize));
        }
    }

    fn fill_lists(&mut self, lists: &ListArray, page: &Page, max: u32) {
        let offsets = &lists.value_offsets()[page.rows.start..=page.rows.end];
        for (row, ends) in page.rows.clone().zip(offsets.windows(2)) {
            let len = (ends[1] - ends[0]) as usize;
            let level = match (len, lists.is_valid(row)) {
                (0, true) => max - 1,
                (0, false) => 0,
                (_, _) => max,
            };
            self.definition.push(level);
            self.repetition.push(0);
            for _ in 1..len {
                self.definition.push(max);
                self.repetition.push(1);
            }
            self.counts[level as usize] += len.max(1);
        }
        self.len = self.definition.len();
    }
}
