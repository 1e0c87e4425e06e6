//! The end of a Parquet file: page indexes, metadata, length, magic.
//!
//! The same bytes end a file that is closed and lie in the snapshot beside one in progress, so recovery never builds
//! what closing would not. Built from parts that are kept per row group and shared, never copied.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use parquet::{
    errors::{ParquetError, Result},
    file::{
        metadata::{
            FileMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataBuilder,
            ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData, page_index::PageIndexProvider,
        },
        page_index::{column_index::ColumnIndexMetaData, offset_index::OffsetIndexMetaData},
        reader::{ChunkReader, Length},
        writer::TrackedWrite,
    },
    schema::types::SchemaDescPtr,
};

/// Format version in the metadata, as parquet-rs writes it.
const FORMAT_VERSION: i32 = 1;

/// Page indexes of one row group, by column.
#[derive(Debug)]
pub(crate) struct RowGroupIndexes {
    pub(crate) columns: Vec<Option<ColumnIndexMetaData>>,
    pub(crate) offsets: Vec<Option<OffsetIndexMetaData>>,
}

#[derive(Clone, Debug, Default)]
struct Indexes(Vec<Arc<RowGroupIndexes>>);

impl PageIndexProvider for Indexes {
    fn has_offset_indexes(&self) -> bool {
        self.0.iter().any(|group| group.offsets.iter().any(Option::is_some))
    }

    fn has_column_indexes(&self) -> bool {
        self.0.iter().any(|group| group.columns.iter().any(Option::is_some))
    }

    fn column_index(&self, row_group: usize, column: usize) -> Option<&ColumnIndexMetaData> {
        self.0.get(row_group)?.columns.get(column)?.as_ref()
    }

    fn offset_index(&self, row_group: usize, column: usize) -> Option<&OffsetIndexMetaData> {
        self.0.get(row_group)?.offsets.get(column)?.as_ref()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// What is known of the row groups written so far.
#[derive(Clone, Debug)]
pub(crate) struct Footer {
    schema: SchemaDescPtr,
    created_by: String,
    row_groups: Vec<RowGroupMetaData>,
    indexes: Indexes,
}

impl Footer {
    pub(crate) fn new(schema: SchemaDescPtr, created_by: String) -> Footer {
        Footer { schema, created_by, row_groups: Vec::new(), indexes: Indexes::default() }
    }

    pub(crate) fn push(&mut self, row_group: RowGroupMetaData, indexes: RowGroupIndexes) {
        self.row_groups.push(row_group);
        self.indexes.0.push(Arc::new(indexes));
    }

    pub(crate) fn row_groups(&self) -> usize {
        self.row_groups.len()
    }

    /// The bytes that, behind `data_len` bytes of magic and row groups, make a whole file.
    pub(crate) fn tail(&self, data_len: u64, metadata: Vec<KeyValue>) -> Result<Vec<u8>> {
        let rows = self.row_groups.iter().map(RowGroupMetaData::num_rows).sum();
        let file = FileMetaData::new(
            FORMAT_VERSION,
            rows,
            Some(self.created_by.clone()),
            Some(metadata),
            Arc::clone(&self.schema),
            None,
        );
        let whole = ParquetMetaDataBuilder::new(file)
            .set_row_groups(self.row_groups.clone())
            .set_page_index(Some(Arc::new(self.indexes.clone())))
            .build();
        tail_of(&whole, data_len)
    }
}

/// The end of a file whose first `data_len` bytes are magic and row groups of `metadata`.
fn tail_of(metadata: &ParquetMetaData, data_len: u64) -> Result<Vec<u8>> {
    let mut tail = Vec::new();
    let mut out = TrackedWrite::new(Behind { skip: data_len, tail: &mut tail });
    advance(&mut out, data_len)?;
    ParquetMetaDataWriter::new_with_tracked(out, metadata).finish()?;
    Ok(tail)
}

/// Takes what stands behind the first bytes of a file.
struct Behind<'a> {
    skip: u64,
    tail: &'a mut Vec<u8>,
}

impl Write for Behind<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        self.skip -= skipped as u64;
        self.tail.extend_from_slice(&bytes[skipped..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The metadata writer counts its offsets from the writer's start, and only writing moves that count.
fn advance<W: Write>(out: &mut TrackedWrite<W>, mut bytes: u64) -> io::Result<()> {
    static NOTHING: [u8; 1 << 20] = [0; 1 << 20];
    while bytes > 0 {
        let step = NOTHING.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        out.write_all(&NOTHING[..step])?;
        bytes -= step as u64;
    }
    Ok(())
}

/// A file's metadata with page indexes, read from its tail alone.
pub(crate) fn read_tail(data_len: u64, tail: Vec<u8>) -> Result<ParquetMetaData> {
    let reader = TailReader { data_len, tail: Bytes::from(tail) };
    read_whole(&reader)
}

/// A whole file's metadata with page indexes.
pub(crate) fn read_whole<R: ChunkReader>(reader: &R) -> Result<ParquetMetaData> {
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional).parse_and_finish(reader)
}

/// The tail of the same file, had it been closed behind its first `row_groups` row groups, which end at `data_len`.
pub(crate) fn shortened_tail(metadata: ParquetMetaData, row_groups: usize, data_len: u64) -> Result<Vec<u8>> {
    let page_index = metadata.page_index().cloned();
    let file = metadata.file_metadata();
    let kept: Vec<RowGroupMetaData> = metadata.row_groups()[..row_groups].to_vec();
    let file = FileMetaData::new(
        file.version(),
        kept.iter().map(RowGroupMetaData::num_rows).sum(),
        file.created_by().map(str::to_owned),
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        None,
    );
    let shortened = ParquetMetaDataBuilder::new(file).set_row_groups(kept).set_page_index(page_index).build();
    tail_of(&shortened, data_len)
}

/// The first byte behind a row group's pages and bloom filters.
pub(crate) fn row_group_end(row_group: &RowGroupMetaData) -> u64 {
    let ends = row_group.columns().iter().map(|column| {
        let (start, length) = column.byte_range();
        let bloom_end = match (column.bloom_filter_offset(), column.bloom_filter_length()) {
            (Some(offset), Some(length)) => u64::try_from(offset + i64::from(length)).unwrap_or(u64::MAX),
            (_, _) => 0,
        };
        bloom_end.max(start + length)
    });
    ends.max().unwrap_or(0)
}

/// A file of which only the tail is at hand.
struct TailReader {
    data_len: u64,
    tail: Bytes,
}

impl TailReader {
    fn within(&self, start: u64) -> Result<usize> {
        start
            .checked_sub(self.data_len)
            .and_then(|at| usize::try_from(at).ok())
            .filter(|at| *at <= self.tail.len())
            .ok_or_else(|| ParquetError::EOF(format!("byte {start} is not in the file's tail")))
    }
}

impl Length for TailReader {
    fn len(&self) -> u64 {
        self.data_len + self.tail.len() as u64
    }
}

impl ChunkReader for TailReader {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let at = self.within(start)?;
        Ok(Box::new(self.tail.slice(at..).reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let at = self.within(start)?;
        let end = at.checked_add(length).filter(|end| *end <= self.tail.len());
        let end =
            end.ok_or_else(|| ParquetError::EOF(format!("{length} bytes at {start} pass the tail's end")))?;
        Ok(self.tail.slice(at..end))
    }
}
