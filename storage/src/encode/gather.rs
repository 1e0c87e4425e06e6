//! A batch's rows, in a given order, as Arrow columns.
//!
//! Rows are taken in tiles small enough that their records stay in the core's cache while every column passes over
//! them; strings stay codes, so a row group copies each distinct value once.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, SchemaRef};

use super::cells::{Builder, RowRef};
use crate::{
    batch::{
        Batch,
        side::LineList,
        strings::{ABSENT, Strings},
    },
    flags::Flags,
    schema::{COLUMNS, Column, List, Source, Word, line_fields},
    values::{PairState, TimeSource},
};

/// Rows whose records are worked on together: 256 rows are about 130 KiB, within a second-level cache.
const TILE_ROWS: usize = 256;

/// The words of `ts_source`, by `TimeSource`.
pub(crate) const TIME_SOURCES: [&str; 3] = ["hw", "xdp", "pcap"];

/// The words of `pair_state`, by `PairState`.
pub(crate) const PAIR_STATES: [&str; 5] = [
    PairState::AckVerified.name(),
    PairState::Positional.name(),
    PairState::RequestOnly.name(),
    PairState::ResponseOnly.name(),
    PairState::Ambiguous.name(),
];

/// Columns of the rows of `batch` at `order`.
// A stage of its own in profiles (bench/instructions).
#[inline(never)]
pub(crate) fn gather(
    batch: &Batch,
    order: &[u32],
    sensor: &str,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let builder = |column: &Column| match strings_of(column.source, batch) {
        Some(strings) if strings.len() == 0 => Builder::Absent(order.len()),
        Some(_) | None => Builder::new(column.source, order.len()),
    };
    let mut builders: Vec<Builder> = COLUMNS.iter().map(builder).collect();
    let mut tile = Vec::with_capacity(TILE_ROWS);
    for rows in order.chunks(TILE_ROWS) {
        tile.clear();
        tile.extend(rows.iter().map(|row| row_ref(batch, *row)));
        for (column, builder) in COLUMNS.iter().zip(&mut builders) {
            builder.append(column.source, &tile, batch);
        }
    }
    let columns: Result<Vec<ArrayRef>, ArrowError> = COLUMNS
        .iter()
        .zip(builders)
        .map(|(column, builder)| finish(column, builder, batch, sensor))
        .collect();
    RecordBatch::try_new(Arc::clone(schema), columns?)
}

fn row_ref(batch: &Batch, row: u32) -> RowRef<'_> {
    let row = &batch.rows[row as usize];
    RowRef {
        values: row,
        connection: &batch.connections.records[row.connection as usize],
        request: (row.request != ABSENT).then(|| &batch.requests.records[row.request as usize]),
        response: (row.response != ABSENT).then(|| &batch.responses.records[row.response as usize]),
    }
}

fn finish(column: &Column, builder: Builder, batch: &Batch, sensor: &str) -> Result<ArrayRef, ArrowError> {
    match builder {
        Builder::Absent(rows) => Ok(new_null_array(&column.data_type(), rows)),
        Builder::Codes(codes) => code_array(column, codes, batch, sensor),
        Builder::Ints(cells) => {
            Ok(Arc::new(Int32Array::try_new(ScalarBuffer::from(cells.values), cells.nulls.build())?))
        }
        Builder::Longs(cells) => {
            let (values, nulls) = (ScalarBuffer::from(cells.values), cells.nulls.build());
            Ok(if matches!(column.source, Source::Time) {
                Arc::new(TimestampMicrosecondArray::try_new(values, nulls)?.with_timezone("UTC"))
            } else {
                Arc::new(Int64Array::try_new(values, nulls)?)
            })
        }
        Builder::Truths(values) => Ok(Arc::new(BooleanArray::from(values))),
        Builder::Lists(lists) => {
            let Source::List(list) = column.source else { unreachable!("only lists are built from lists") };
            let entries = entry_array(list, lists.entries, lists.values, batch)?;
            let DataType::List(field) = column.data_type() else { unreachable!("a list has a list's type") };
            let offsets = OffsetBuffer::new(ScalarBuffer::from(lists.offsets));
            Ok(Arc::new(ListArray::try_new(field, offsets, entries, lists.nulls.build())?))
        }
    }
}

/// The strings that a column has codes of, where they are not the same for all batches.
fn strings_of(source: Source, batch: &Batch) -> Option<&Strings> {
    match source {
        Source::Connection(text) => Some(&batch.connections.texts[text as usize]),
        Source::Request(text) => Some(&batch.requests.texts[text as usize]),
        Source::Response(text) => Some(&batch.responses.texts[text as usize]),
        Source::Word(_)
        | Source::Sensor
        | Source::Time
        | Source::Int(_)
        | Source::Long(_)
        | Source::Truth(_)
        | Source::List(_) => None,
    }
}

fn code_array(column: &Column, codes: Vec<u32>, batch: &Batch, sensor: &str) -> Result<ArrayRef, ArrowError> {
    if let Some(strings) = strings_of(column.source, batch) {
        return if strings.is_coded() {
            dictionary(codes, Arc::new(text_array(strings)?))
        } else {
            plain(&codes, strings)
        };
    }
    match column.source {
        Source::Word(Word::TimeSource) => words(codes, &TIME_SOURCES),
        Source::Word(Word::PairState) => words(codes, &PAIR_STATES),
        Source::Sensor => words(codes, &[sensor]),
        Source::Connection(_)
        | Source::Request(_)
        | Source::Response(_)
        | Source::Time
        | Source::Int(_)
        | Source::Long(_)
        | Source::Truth(_)
        | Source::List(_) => unreachable!("only strings are built from codes"),
    }
}

fn words(codes: Vec<u32>, words: &[&str]) -> Result<ArrayRef, ArrowError> {
    dictionary(codes, Arc::new(StringArray::from_iter_values(words)))
}

/// Codes and the values they stand for; an absent code is a null.
fn dictionary(mut codes: Vec<u32>, values: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let nulls = validity(&codes);
    if nulls.is_some() {
        codes.iter_mut().filter(|code| **code == ABSENT).for_each(|code| *code = 0);
    }
    let len = codes.len();
    let keys = Int32Array::try_new(ScalarBuffer::new(Buffer::from_vec(codes), 0, len), nulls)?;
    Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
}

fn validity(codes: &[u32]) -> Option<NullBuffer> {
    let is_absent = codes.iter().fold(false, |found, code| found | (*code == ABSENT));
    is_absent.then(|| NullBuffer::new(BooleanBuffer::collect_bool(codes.len(), |at| codes[at] != ABSENT)))
}

/// Every value of a string column, by code.
fn text_array(strings: &Strings) -> Result<StringArray, ArrowError> {
    let (bytes, ends) = strings.parts();
    let offsets = std::iter::once(0).chain(ends.iter().map(|end| end.cast_signed()));
    let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(offsets));
    StringArray::try_new(offsets, Buffer::from_slice_ref(bytes), None)
}

/// The values themselves, in order of the codes.
fn plain(codes: &[u32], strings: &Strings) -> Result<ArrayRef, ArrowError> {
    let value = |code: &u32| if *code == ABSENT { &[][..] } else { strings.get(*code) };
    let bytes = codes.iter().map(|code| value(code).len()).sum();
    let mut values = Vec::with_capacity(bytes);
    let mut offsets = Vec::with_capacity(codes.len() + 1);
    offsets.push(0);
    for code in codes {
        values.extend_from_slice(value(code));
        offsets.push(i32::try_from(values.len()).expect("a batch is sealed long before 2 GiB"));
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(values), validity(codes))?))
}

/// Entries of a list column: `entries` are codes or numbers, `values` the second half of pairs.
fn entry_array(
    list: List,
    entries: Vec<u32>,
    values: Vec<u32>,
    batch: &Batch,
) -> Result<ArrayRef, ArrowError> {
    match list {
        List::VlanIds | List::InfoStatus => {
            let numbers: Vec<i32> = entries.into_iter().map(u32::cast_signed).collect();
            Ok(Arc::new(Int32Array::from(numbers)))
        }
        List::SetCookies => dictionary(entries, Arc::new(text_array(&batch.set_cookies.strings)?)),
        List::CookieNames => dictionary(entries, Arc::new(text_array(&batch.cookie_names.strings)?)),
        List::SetCookieNames => dictionary(entries, Arc::new(text_array(&batch.set_cookie_names.strings)?)),
        List::Flags => {
            let names: Vec<&str> = Flags::ALL.iter().map(|(_, name)| *name).collect();
            words(entries, &names)
        }
        List::RequestOthers => pairs(entries, values, &batch.request_others),
        List::ResponseOthers => pairs(entries, values, &batch.response_others),
    }
}

fn pairs(names: Vec<u32>, values: Vec<u32>, lines: &LineList) -> Result<ArrayRef, ArrowError> {
    let names = dictionary(names, Arc::new(text_array(&lines.names)?))?;
    let values = dictionary(values, Arc::new(text_array(&lines.values)?))?;
    Ok(Arc::new(StructArray::try_new(line_fields(), vec![names, values], None)?))
}

/// Code of a time source among `TIME_SOURCES`.
pub(crate) fn time_source_code(source: TimeSource) -> u32 {
    match source {
        TimeSource::Hardware => 0,
        TimeSource::Xdp => 1,
        TimeSource::Pcap => 2,
    }
}

/// Code of a pair state among `PAIR_STATES`.
pub(crate) fn pair_state_code(state: PairState) -> u32 {
    match state {
        PairState::AckVerified => 0,
        PairState::Positional => 1,
        PairState::RequestOnly => 2,
        PairState::ResponseOnly => 3,
        PairState::Ambiguous => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_its_bit_number_among_all() {
        for (at, (flag, _)) in Flags::ALL.iter().enumerate() {
            assert_eq!(flag.bits(), 1 << at);
        }
    }

    #[test]
    fn words_match_their_codes() {
        assert_eq!(PAIR_STATES[pair_state_code(PairState::Ambiguous) as usize], "ambiguous");
        assert_eq!(TIME_SOURCES[time_source_code(TimeSource::Pcap) as usize], "pcap");
    }
}
