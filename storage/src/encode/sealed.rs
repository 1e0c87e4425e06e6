//! The end of an encrypted file: as that of any other, with each part encrypted.
//!
//! Page indexes and column metadata are encrypted once, when their row group comes, and the footer in every tail.

use parquet::{
    errors::{ParquetError, Result},
    file::metadata::{
        ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataBuilder, ParquetMetaDataReader,
        ParquetMetaDataWriter, RowGroupMetaData,
    },
};

use super::footer::tail_of;
use crate::encrypt::{FileCipher, column_metadata_ranges};

/// Bytes behind the footer of a file in clear: its length and the magic.
const END_BYTES: usize = 8;

/// Where a tail is taken to begin while it is in clear: an offset of 0 would be none.
const CLEAR_START: usize = 4;

/// Encrypted page indexes of one row group, by column.
#[derive(Clone, Debug, Default)]
pub(super) struct SealedIndexes(Vec<Sealed>);

#[derive(Clone, Debug)]
struct Sealed {
    column_index: Option<Vec<u8>>,
    offset_index: Option<Vec<u8>>,
}

/// Encrypts what a tail holds of the one row group of `alone`, which is the file's row group `ordinal`.
pub(super) fn seal(
    cipher: &FileCipher,
    alone: &ParquetMetaData,
    ordinal: usize,
) -> Result<(RowGroupMetaData, SealedIndexes)> {
    let clear = tail_of(alone, CLEAR_START as u64)?;
    let footer = footer_in_clear(&clear)?;
    let written = ParquetMetaDataReader::decode_metadata(footer)?;
    let ranges = column_metadata_ranges(footer)
        .ok_or_else(|| ParquetError::General("a footer without its columns".to_owned()))?;
    let mut row_group = alone.row_group(0).clone();
    let mut sealed = SealedIndexes::default();
    let columns = row_group.columns_mut().iter_mut().zip(written.row_group(0).columns()).zip(ranges);
    for (at, ((column, written), range)) in columns.enumerate() {
        let sealer = cipher.column(column, (ordinal, at))?;
        let (column_index, offset_index) = indexes_in_clear(written, &clear);
        sealed.0.push(Sealed {
            column_index: column_index.map(|plain| sealer.column_index(plain)).transpose()?,
            offset_index: offset_index.map(|plain| sealer.offset_index(plain)).transpose()?,
        });
        let metadata = footer.get(range).unwrap_or_default();
        *column = column
            .clone()
            .into_builder()
            .set_encrypted_column_metadata(sealer.column_metadata(metadata)?)
            .set_column_crypto_metadata(Some(sealer.crypto_metadata))
            .build()?;
    }
    Ok((row_group, sealed))
}

/// A column's index and its offset index, as they stand in `clear`.
fn indexes_in_clear<'a>(
    column: &ColumnChunkMetaData,
    clear: &'a [u8],
) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let part = |offset: Option<i64>, length: Option<i32>| {
        let start = usize::try_from(offset?).ok()?.checked_sub(CLEAR_START)?;
        clear.get(start..start.checked_add(usize::try_from(length?).ok()?)?)
    };
    (
        part(column.column_index_offset(), column.column_index_length()),
        part(column.offset_index_offset(), column.offset_index_length()),
    )
}

/// The bytes that, behind `data_len` bytes of magic and row groups, make a whole encrypted file.
pub(super) fn tail(
    cipher: &FileCipher,
    file: FileMetaData,
    (mut row_groups, sealed): (Vec<RowGroupMetaData>, &[SealedIndexes]),
    data_len: u64,
) -> Result<Vec<u8>> {
    let mut tail = Vec::new();
    let columns = row_groups.iter_mut().flat_map(|row_group| row_group.columns_mut());
    for (column, sealed) in columns.zip(sealed.iter().flat_map(|sealed| &sealed.0)) {
        let (index_at, index_len) = append(&mut tail, data_len, sealed.column_index.as_deref())?;
        let (offsets_at, offsets_len) = append(&mut tail, data_len, sealed.offset_index.as_deref())?;
        *column = column
            .clone()
            .into_builder()
            .set_column_index_offset(index_at)
            .set_column_index_length(index_len)
            .set_offset_index_offset(offsets_at)
            .set_offset_index_length(offsets_len)
            .build()?;
    }
    let metadata = ParquetMetaDataBuilder::new(file).set_row_groups(row_groups).build();
    let mut clear = Vec::new();
    ParquetMetaDataWriter::new(&mut clear, &metadata).finish()?;
    tail.extend(cipher.seal_footer(footer_in_clear(&clear)?)?);
    Ok(tail)
}

/// Appends a part to the tail: its offset in the file and its length.
fn append(tail: &mut Vec<u8>, data_len: u64, part: Option<&[u8]>) -> Result<(Option<i64>, Option<i32>)> {
    let Some(part) = part else { return Ok((None, None)) };
    let narrow = |source| ParquetError::External(Box::new(source));
    let offset = i64::try_from(data_len + tail.len() as u64).map_err(narrow)?;
    tail.extend(part);
    Ok((Some(offset), Some(i32::try_from(part.len()).map_err(narrow)?)))
}

/// The footer of a tail in clear, without what stands behind it.
fn footer_in_clear(tail: &[u8]) -> Result<&[u8]> {
    let footer = || {
        let (before, end) = tail.split_last_chunk::<END_BYTES>()?;
        let length = usize::try_from(u32::from_le_bytes(*end.first_chunk::<4>()?)).ok()?;
        before.get(before.len().checked_sub(length)?..)
    };
    footer().ok_or_else(|| ParquetError::General("a tail without its footer".to_owned()))
}
