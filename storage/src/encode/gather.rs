//! A batch's rows, in a given order, as Arrow columns.
//!
//! Rows are taken in tiles small enough that their records stay in the core's cache while every column passes over
//! them, and those of the next tile are asked for meanwhile: rows stand in another order than the one they came in. Strings stay codes.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, SchemaRef};

use super::{
    cells::{Builder, Cells, RowRef, TILE_ROWS},
    texts::Texts,
};
use crate::{
    batch::{Batch, strings::ABSENT},
    flags::Flags,
    prefetch::prefetch_all,
    schema::{COLUMNS, Column, List, Source, Word, line_fields},
    values::{PairState, TimeSource},
};

const _: () = assert!(TILE_ROWS <= COLUMNS.len(), "each row of a tile is asked for with a column");

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

/// Columns of the rows of `batch` at `order`, whose strings are `texts`.
// A stage of its own in profiles (bench/instructions).
#[inline(never)]
pub(crate) fn gather(
    (batch, texts): (&Batch, &Texts),
    order: &[u32],
    sensor: &str,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let builder = |column: &Column| match texts.of(column.source) {
        Some(text) if text.values.is_empty() => Builder::Absent(order.len()),
        Some(_) | None => Builder::new(column.source, order.len()),
    };
    let mut builders: Vec<Builder> = COLUMNS.iter().map(builder).collect();
    let mut tiles = order.chunks(TILE_ROWS);
    let mut next = tile(batch, tiles.next());
    while !next.is_empty() {
        let rows_ahead = tiles.clone().nth(1).unwrap_or_default();
        let rows = std::mem::replace(&mut next, tile(batch, tiles.next()));
        for (at, (column, builder)) in COLUMNS.iter().zip(&mut builders).enumerate() {
            // A row a column, as more at a time would have to wait for each other.
            next.get(at).inspect(|row| row.expect());
            rows_ahead.get(at).inspect(|row| prefetch_all(&batch.rows[**row as usize]));
            builder.append(column.source, &rows, batch);
        }
    }
    let columns: Result<Vec<ArrayRef>, ArrowError> = COLUMNS
        .iter()
        .zip(builders)
        .map(|(column, builder)| finish(column, builder, texts, sensor))
        .collect();
    RecordBatch::try_new(Arc::clone(schema), columns?)
}

/// The rows of these numbers; none without.
fn tile<'a>(batch: &'a Batch, rows: Option<&[u32]>) -> Vec<RowRef<'a>> {
    rows.unwrap_or_default().iter().map(|row| row_ref(batch, *row)).collect()
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

fn finish(column: &Column, builder: Builder, texts: &Texts, sensor: &str) -> Result<ArrayRef, ArrowError> {
    match builder {
        Builder::Absent(rows) => Ok(new_null_array(&column.data_type(), rows)),
        Builder::Codes(cells) => code_array(column, cells, texts, sensor),
        Builder::Ints(cells) => {
            Ok(Arc::new(Int32Array::try_new(ScalarBuffer::from(cells.values), cells.validity.build())?))
        }
        Builder::Longs(cells) => {
            let (values, nulls) = (ScalarBuffer::from(cells.values), cells.validity.build());
            Ok(if matches!(column.source, Source::Time) {
                Arc::new(TimestampMicrosecondArray::try_new(values, nulls)?.with_timezone("UTC"))
            } else {
                Arc::new(Int64Array::try_new(values, nulls)?)
            })
        }
        Builder::Truths(values) => Ok(Arc::new(BooleanArray::from(values))),
        Builder::Lists(lists) => {
            let Source::List(list) = column.source else { unreachable!("only lists are built from lists") };
            let entries = entry_array(list, lists.entries, lists.values, texts)?;
            let DataType::List(field) = column.data_type() else { unreachable!("a list has a list's type") };
            let offsets = OffsetBuffer::new(ScalarBuffer::from(lists.offsets));
            Ok(Arc::new(ListArray::try_new(field, offsets, entries, lists.validity.build())?))
        }
    }
}

fn code_array(
    column: &Column,
    cells: Cells<u32>,
    texts: &Texts,
    sensor: &str,
) -> Result<ArrayRef, ArrowError> {
    let (codes, nulls) = (cells.values, cells.validity.build());
    if let Some(text) = texts.of(column.source) {
        return if text.is_coded {
            dictionary(codes, nulls, &text.values)
        } else {
            plain(&codes, nulls, &text.values)
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
    dictionary(codes, None, &Arc::new(StringArray::from_iter_values(words)))
}

/// Codes and the values they stand for.
fn dictionary(
    codes: Vec<u32>,
    nulls: Option<NullBuffer>,
    values: &Arc<StringArray>,
) -> Result<ArrayRef, ArrowError> {
    let len = codes.len();
    let keys = Int32Array::try_new(ScalarBuffer::new(Buffer::from_vec(codes), 0, len), nulls)?;
    Ok(Arc::new(DictionaryArray::try_new(keys, Arc::<StringArray>::clone(values))?))
}

/// The values themselves, in order of the codes.
fn plain(codes: &[u32], nulls: Option<NullBuffer>, strings: &StringArray) -> Result<ArrayRef, ArrowError> {
    let is_null = |at: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(at));
    let value = |at: usize| if is_null(at) { "" } else { strings.value(codes[at] as usize) };
    let mut values = Vec::with_capacity((0..codes.len()).map(|at| value(at).len()).sum());
    let mut offsets = Vec::with_capacity(codes.len() + 1);
    offsets.push(0);
    for at in 0..codes.len() {
        values.extend_from_slice(value(at).as_bytes());
        offsets.push(i32::try_from(values.len()).expect("a batch is sealed long before 2 GiB"));
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(values), nulls)?))
}

/// Entries of a list column: `entries` are codes or numbers, `values` the second half of pairs.
fn entry_array(
    list: List,
    entries: Vec<u32>,
    values: Vec<u32>,
    texts: &Texts,
) -> Result<ArrayRef, ArrowError> {
    match list {
        List::VlanIds | List::InfoStatus => {
            let numbers: Vec<i32> = entries.into_iter().map(u32::cast_signed).collect();
            Ok(Arc::new(Int32Array::from(numbers)))
        }
        List::SetCookies => dictionary(entries, None, &texts.set_cookies),
        List::CookieNames => dictionary(entries, None, &texts.cookie_names),
        List::SetCookieNames => dictionary(entries, None, &texts.set_cookie_names),
        List::Flags => {
            let names: Vec<&str> = Flags::ALL.iter().map(|(_, name)| *name).collect();
            words(entries, &names)
        }
        List::RequestOthers => pairs(entries, values, &texts.request_others),
        List::ResponseOthers => pairs(entries, values, &texts.response_others),
    }
}

fn pairs(names: Vec<u32>, values: Vec<u32>, strings: &[Arc<StringArray>; 2]) -> Result<ArrayRef, ArrowError> {
    let names = dictionary(names, None, &strings[0])?;
    let values = dictionary(values, None, &strings[1])?;
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
