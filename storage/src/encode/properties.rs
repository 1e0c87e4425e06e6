//! How each table's columns are laid out in Parquet: compression, encodings, statistics, bloom filters.

use std::sync::Arc;

use arrow_schema::{DataType, Field, SchemaRef};
use parquet::{
    arrow::{ArrowSchemaConverter, arrow_writer::ArrowRowGroupWriterFactory},
    basic::{Compression, Encoding, ZstdLevel},
    errors::Result,
    file::{
        metadata::SortingColumn,
        properties::{
            BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesBuilder,
            WriterPropertiesPtr,
        },
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, SchemaDescPtr},
};

use crate::{
    batch::BATCH_ROWS_MAX,
    encrypt::{self, FileCipher, Keyring},
    schema::{BLOOM_COLUMNS, REPEATING_NUMBERS, UNIQUE_COLUMNS},
};

/// Dictionary bytes of one column chunk before it falls back to plain values; bounded by the batch anyway.
const DICTIONARY_BYTES_MAX: usize = 64 << 20;

/// Share of look-ups for an absent value that a bloom filter lets through.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Columns by which rows of compacted files are sorted.
const SORTED_BY: [&str; 2] = ["host", "ts_ns"];

/// Name of the schema's root; Spark and DuckDB show it nowhere.
const SCHEMA_ROOT: &str = "schema";

/// What every file of one table shares.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) arrow: SchemaRef,
    pub(crate) parquet: SchemaDescPtr,
    pub(crate) properties: WriterPropertiesPtr,
    /// What the rows of a row group are sorted by, where they are.
    pub(crate) sorting: Option<Vec<SortingColumn>>,
    keyring: Keyring,
}

/// What one file of a table has for itself.
pub(crate) struct FileLayout {
    pub(crate) columns: ArrowRowGroupWriterFactory,
    /// Of an encrypted file.
    pub(crate) cipher: Option<Arc<FileCipher>>,
}

impl Layout {
    /// The layout of a table with this schema, compressed with zstd at `level` (1 to 22), encrypted where the ring has keys.
    pub(crate) fn new(arrow: SchemaRef, level: i32, keyring: &Keyring) -> Result<Layout> {
        let parquet = ArrowSchemaConverter::new().schema_root(SCHEMA_ROOT).convert(&arrow)?;
        let builder = properties(&arrow, level)?;
        let builder = match encrypt::properties(keyring, &parquet)? {
            // DuckDB cannot read an encrypted column with a filter, and few programs can read the filter.
            Some(encryption) => builder.with_file_encryption_properties(encryption),
            None => bloom_filters(builder, &arrow),
        };
        let properties = Arc::new(builder.build());
        Ok(Layout { arrow, parquet: Arc::new(parquet), properties, sorting: None, keyring: keyring.clone() })
    }

    /// The same for rows that are sorted by host, where the table has one, and time; those without a host first.
    pub(crate) fn sorted(arrow: &SchemaRef, level: i32, keyring: &Keyring) -> Result<Layout> {
        let mut layout = Layout::new(Arc::clone(arrow), level, keyring)?;
        let columns = layout.parquet.columns();
        let places = SORTED_BY.iter().filter_map(|name| {
            let place = columns.iter().position(|column| column.path().parts() == [*name])?;
            Some(SortingColumn {
                column_idx: i32::try_from(place).ok()?,
                descending: false,
                nulls_first: true,
            })
        });
        layout.sorting = Some(places.collect());
        Ok(layout)
    }

    /// Begins a file.
    pub(crate) fn file(&self) -> Result<FileLayout> {
        // The factory of column writers takes schema and identity of an encrypted file from a file writer, and from
        // nowhere else; the identity is told at the end of a file, so this one ends at once.
        let schema = self.parquet.root_schema_ptr();
        let unwritten = SerializedFileWriter::new(Vec::new(), schema, Arc::clone(&self.properties))?;
        let columns = ArrowRowGroupWriterFactory::new(&unwritten, Arc::clone(&self.arrow));
        let cipher = match self.keyring.footer_id() {
            None => None,
            Some(_) => Some(Arc::new(FileCipher::of(&unwritten.into_inner()?, &self.keyring)?)),
        };
        Ok(FileLayout { columns, cipher })
    }
}

fn properties(arrow: &SchemaRef, level: i32) -> Result<WriterPropertiesBuilder> {
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("hdrcap version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_max_row_group_row_count(None)
        .set_bloom_filter_position(BloomFilterPosition::AfterRowGroup);
    for field in arrow.fields() {
        builder = encoding(builder, field);
    }
    Ok(builder)
}

fn bloom_filters(mut builder: WriterPropertiesBuilder, arrow: &SchemaRef) -> WriterPropertiesBuilder {
    for name in BLOOM_COLUMNS.into_iter().filter(|name| arrow.field_with_name(name).is_ok()) {
        // The filter is made for a full row group and folded to what the row group holds.
        builder = builder
            .set_column_bloom_filter_fpp(ColumnPath::from(name), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(ColumnPath::from(name), BATCH_ROWS_MAX as u64);
    }
    builder
}

/// What repeats keeps the default, a dictionary. Other numbers stand close to their neighbours once clustered, and
/// unique values fill a dictionary for nothing.
fn encoding(builder: WriterPropertiesBuilder, field: &Field) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(field.name().as_str());
    let data_type = field.data_type();
    if REPEATING_NUMBERS.contains(&field.name().as_str()) {
        builder
    } else if matches!(data_type, DataType::Int32 | DataType::Int64 | DataType::Timestamp(..)) {
        builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
    } else if UNIQUE_COLUMNS.contains(&field.name().as_str()) {
        builder.set_column_dictionary_enabled(path, false)
    } else {
        builder
    }
}
