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

use super::sealed::{self, SealedIndexes};
use crate::encrypt::{self, FileCipher, Keyring, Reading};

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

/// What a file says of itself under this key.
pub(crate) fn text_of<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

/// What is known of the row groups written so far.
#[derive(Clone, Debug)]
pub(crate) struct Footer {
    schema: SchemaDescPtr,
    created_by: String,
    row_groups: Vec<RowGroupMetaData>,
    form: Form,
}

/// What stands in a tail besides the row groups' metadata.
#[derive(Clone, Debug)]
enum Form {
    Plain(Indexes),
    /// Each part is encrypted once, when its row group comes.
    Encrypted(Arc<FileCipher>, Vec<SealedIndexes>),
}

impl Footer {
    pub(crate) fn new(schema: SchemaDescPtr, created_by: String, cipher: Option<Arc<FileCipher>>) -> Footer {
        let form = match cipher {
            None => Form::Plain(Indexes::default()),
            Some(cipher) => Form::Encrypted(cipher, Vec::new()),
        };
        Footer { schema, created_by, row_groups: Vec::new(), form }
    }

    pub(crate) fn push(&mut self, row_group: RowGroupMetaData, indexes: RowGroupIndexes) -> Result<()> {
        match &mut self.form {
            Form::Plain(all) => {
                all.0.push(Arc::new(indexes));
                self.row_groups.push(row_group);
            }
            Form::Encrypted(cipher, all) => {
                let ordinal = self.row_groups.len();
                let file = file_metadata(&self.schema, "", &[], None);
                let alone = whole(file, vec![row_group], Some(Indexes(vec![Arc::new(indexes)])));
                let (row_group, sealed) = sealed::seal(cipher, &alone, ordinal)?;
                all.push(sealed);
                self.row_groups.push(row_group);
            }
        }
        Ok(())
    }

    pub(crate) fn row_groups(&self) -> usize {
        self.row_groups.len()
    }

    /// The bytes that, behind `data_len` bytes of magic and row groups, make a whole file.
    pub(crate) fn tail(&self, data_len: u64, metadata: Vec<KeyValue>) -> Result<Vec<u8>> {
        let file = file_metadata(&self.schema, &self.created_by, &self.row_groups, Some(metadata));
        match &self.form {
            Form::Plain(indexes) => {
                tail_of(&whole(file, self.row_groups.clone(), Some(indexes.clone())), data_len)
            }
            Form::Encrypted(cipher, all) => {
                sealed::tail(cipher, file, (self.row_groups.clone(), all), data_len)
            }
        }
    }
}

fn file_metadata(
    schema: &SchemaDescPtr,
    created_by: &str,
    row_groups: &[RowGroupMetaData],
    metadata: Option<Vec<KeyValue>>,
) -> FileMetaData {
    let rows = row_groups.iter().map(RowGroupMetaData::num_rows).sum();
    let created_by = Some(created_by.to_owned());
    FileMetaData::new(FORMAT_VERSION, rows, created_by, metadata, Arc::clone(schema), None)
}

fn whole(file: FileMetaData, row_groups: Vec<RowGroupMetaData>, indexes: Option<Indexes>) -> ParquetMetaData {
    let page_index = indexes.map(|indexes| Arc::new(indexes) as Arc<dyn PageIndexProvider>);
    ParquetMetaDataBuilder::new(file).set_row_groups(row_groups).set_page_index(page_index).build()
}

/// The end of a file whose first `data_len` bytes are magic and row groups of `metadata`.
pub(super) fn tail_of(metadata: &ParquetMetaData, data_len: u64) -> Result<Vec<u8>> {
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
pub(crate) fn read_tail(data_len: u64, tail: Vec<u8>, keyring: &Keyring) -> Result<ParquetMetaData> {
    let reader = TailReader { data_len, tail: Bytes::from(tail) };
    read_whole(&reader, keyring)
}

/// A whole file's metadata with page indexes; of an encrypted file with the keys of the ring.
pub(crate) fn read_whole<R: ChunkReader>(reader: &R, keyring: &Keyring) -> Result<ParquetMetaData> {
    let metadata = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    if !is_encrypted(reader)? {
        return metadata.parse_and_finish(reader);
    }
    let reading = Reading::new(keyring);
    let metadata = metadata.with_decryption_properties(Some(reading.properties()?));
    let result = metadata.parse_and_finish(reader);
    reading.result(result)
}

/// True where the file's end says that its footer is encrypted.
pub(crate) fn is_encrypted<R: ChunkReader>(reader: &R) -> Result<bool> {
    let Some(end) = reader.len().checked_sub(encrypt::MAGIC.len() as u64) else { return Ok(false) };
    Ok(&reader.get_bytes(end, encrypt::MAGIC.len())?[..] == encrypt::MAGIC)
}

/// The tail of the file that ends with `tail` and has this metadata, had it been closed behind its first `row_groups` row
/// groups, which end at `data_len`.
pub(crate) fn shortened_tail(
    (metadata, tail): (&ParquetMetaData, &[u8]),
    row_groups: usize,
    data_len: u64,
    keyring: &Keyring,
) -> Result<Vec<u8>> {
    let file = metadata.file_metadata();
    let cipher = match tail.ends_with(encrypt::MAGIC) {
        true => Some(Arc::new(FileCipher::of(tail, keyring)?)),
        false => None,
    };
    let created_by = file.created_by().unwrap_or_default().to_owned();
    let mut footer = Footer::new(file.schema_descr_ptr(), created_by, cipher);
    for (at, row_group) in metadata.row_groups()[..row_groups].iter().enumerate() {
        let index = metadata.page_index();
        let columns = 0..row_group.num_columns();
        footer.push(
            row_group.clone(),
            RowGroupIndexes {
                columns: columns.clone().map(|column| index?.column_index(at, column).cloned()).collect(),
                offsets: columns.map(|column| index?.offset_index(at, column).cloned()).collect(),
            },
        )?;
    }
    footer.tail(data_len, file.key_value_metadata().cloned().unwrap_or_default())
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
