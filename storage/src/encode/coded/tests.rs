//! The parquet crate's own writer as the twin of this one: the same rows, statistics and indexes from both.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
        page_index::column_index::{ByteArrayColumnIndex, ColumnIndexMetaData},
    },
};
use proptest::prelude::*;

use super::column::PAGE_ROWS_MAX;
use crate::{
    encode::{Layout, RowGroups},
    encrypt::Keyring,
    schema::{coded_text, element, line_fields},
};

/// Strings that share beginnings with others, are long, or not ASCII.
fn strings(count: usize) -> StringArray {
    StringArray::from_iter_values((0..count).map(|nth| match nth % 5 {
        0 => format!("/common/beginning/{}", nth / 7),
        1 => "é".repeat(30 + nth % 5),
        2 => format!("{nth}{}", "~".repeat(70)),
        3 => String::new(),
        _ => nth.to_string(),
    }))
}

fn coded(codes: Vec<Option<i32>>, strings: &StringArray) -> ArrayRef {
    Arc::new(DictionaryArray::new(Int32Array::from(codes), Arc::new(strings.clone())))
}

/// A table of one nullable, one required and three list columns; a row's seed says what is in it.
fn table(seeds: &[u32], string_count: usize) -> RecordBatch {
    let strings = strings(string_count);
    let code = |seed: u32| (seed as usize % string_count) as i32;
    let flat = seeds.iter().map(|seed| (seed % 4 > 0).then(|| code(*seed))).collect();
    let required = seeds.iter().map(|seed| Some(code(seed / 3))).collect();
    let lens: Vec<usize> = seeds.iter().map(|seed| (seed % 11).saturating_sub(5) as usize).collect();
    let entries: Vec<_> = seeds
        .iter()
        .zip(&lens)
        .flat_map(|(seed, len)| (0..*len).map(move |nth| Some(code(seed / 2 + nth as u32))))
        .collect();
    let nulls = NullBuffer::from_iter(seeds.iter().map(|seed| seed % 11 != 1));
    let list = |field, entries, nulls| -> ArrayRef {
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lens.iter().copied()), entries, nulls))
    };
    let texts = coded(entries, &strings);
    let pairs: ArrayRef =
        Arc::new(StructArray::new(line_fields(), vec![Arc::clone(&texts), Arc::clone(&texts)], None));
    let pair = element(arrow_schema::DataType::Struct(line_fields()));
    let columns = [
        ("flat", coded(flat, &strings), true),
        ("required", coded(required, &strings), false),
        ("texts", list(element(coded_text()), Arc::clone(&texts), Some(nulls.clone())), true),
        ("flags", list(element(coded_text()), texts, None), false),
        ("pairs", list(pair, pairs, Some(nulls)), true),
    ];
    let fields: Fields = columns
        .iter()
        .map(|(name, column, nullable)| Field::new(*name, column.data_type().clone(), *nullable))
        .collect();
    let columns = columns.into_iter().map(|(_, column, _)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a table")
}

/// The table as a file, as one row group or as several parts of one, which are written without their codes.
fn file(schema: &SchemaRef, parts: &[RecordBatch]) -> Bytes {
    let layout = Layout::new(Arc::clone(schema), 1, &Keyring::default()).expect("a layout");
    let mut groups = RowGroups::new(Vec::new(), layout).expect("a file");
    match parts {
        [whole] => groups.append(whole),
        _ => groups.append_all(parts.iter().cloned().map(Ok)),
    }
    .expect("a row group");
    let tail = groups.tail(Vec::new()).expect("a tail");
    groups.finish(&tail).expect("a file").into()
}

fn metadata(file: &Bytes) -> ParquetMetaData {
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(file)
        .expect("metadata")
}

fn rows(file: &Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).expect("a reader");
    reader.with_batch_size(1 << 20).build().expect("a reader").map(|rows| rows.expect("rows")).collect()
}

fn index(of: &ParquetMetaData, column: usize) -> &ByteArrayColumnIndex {
    match of.page_index().expect("indexes").column_index(0, column) {
        Some(ColumnIndexMetaData::BYTE_ARRAY(index)) => index,
        other => panic!("an index of strings, not {other:?}"),
    }
}

/// Both writers' files of `table`: the codes of its parts differ, so that only a whole one is written from them.
fn files(table: &RecordBatch) -> [Bytes; 2] {
    let half = table.num_rows() / 2;
    let parts = [table.slice(0, half), table.slice(half, table.num_rows() - half)];
    [&[table.clone()][..], &parts].map(|parts| file(table.schema_ref(), parts))
}

fn agree(table: &RecordBatch) -> Result<(), TestCaseError> {
    let [ours, theirs] = files(table);
    prop_assert_eq!(rows(&ours), rows(&theirs));
    let [ours, theirs] = [&ours, &theirs].map(metadata);
    let columns = ours.row_group(0).columns().iter().zip(theirs.row_group(0).columns());
    for (at, (one, other)) in columns.enumerate() {
        prop_assert_eq!(one.statistics(), other.statistics());
        prop_assert_eq!(one.num_values(), other.num_values());
        prop_assert_eq!(one.encodings_mask(), other.encodings_mask());
        prop_assert_eq!(one.unencoded_byte_array_data_bytes(), other.unencoded_byte_array_data_bytes());
        prop_assert_eq!(one.repetition_level_histogram(), other.repetition_level_histogram());
        prop_assert_eq!(one.definition_level_histogram(), other.definition_level_histogram());
        if table.num_rows() <= PAGE_ROWS_MAX {
            prop_assert_eq!(one.page_encoding_stats(), other.page_encoding_stats());
            prop_assert_eq!(index(&ours, at), index(&theirs, at));
        }
    }
    Ok(())
}

/// Each page's share of the index is that of a file with the page's rows alone.
fn pages_agree(table: &RecordBatch) {
    let ours = metadata(&file(table.schema_ref(), std::slice::from_ref(table)));
    let starts: Vec<usize> = (0..table.num_rows()).step_by(PAGE_ROWS_MAX).collect();
    assert!(starts.len() > 1);
    for (page, start) in starts.into_iter().enumerate() {
        let rows = table.slice(start, PAGE_ROWS_MAX.min(table.num_rows() - start));
        let [_, alone] = files(&rows);
        let alone = metadata(&alone);
        for column in 0..alone.row_group(0).num_columns() {
            let (one, other) = (index(&ours, column), index(&alone, column));
            assert_eq!(one.min_value(page), other.min_value(0));
            assert_eq!(one.max_value(page), other.max_value(0));
            assert_eq!(one.null_count(page), other.null_count(0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_chunk_is_what_the_parquet_crate_would_have_written(
        seeds in proptest::collection::vec(any::<u32>(), 2..300),
        string_count in 1_usize..200,
    ) {
        agree(&table(&seeds, string_count))?;
    }
}

#[test]
fn so_it_is_with_many_pages() {
    let seeds: Vec<u32> = (0..50_001_u32).map(|nth| nth.wrapping_mul(0x9e37_79b9) >> 7).collect();
    let mixed = table(&seeds, 40_000);
    agree(&mixed).expect("the same");
    pages_agree(&mixed);
}

#[test]
fn so_it_is_where_there_is_nothing() {
    agree(&table(&[1; 9], 1)).expect("the same");
    agree(&table(&[0; 30_000], 5)).expect("the same");
}
