//! Column chunks of strings written from the codes that the batch gave them.
//!
//! The parquet crate would hash every value of every row to find the code that it has here already. A code gets its
//! place in the chunk's dictionary where it is first met, and statistics look at a value once per page.
//! Invariant: what a reader gets, statistics and indexes included, is what that crate would have written.

mod bounds;
mod column;
mod compressor;
mod hybrid;
#[cfg(test)]
mod tests;

use arrow_array::Array;
use bytes::Bytes;
use parquet::{
    basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType, Type},
    bloom_filter::Sbbf,
    column::{
        page::{CompressedPage, Page as ParquetPage, PageWriter},
        writer::ColumnCloseResult,
    },
    data_type::ByteArray,
    errors::{ParquetError, Result},
    file::{
        metadata::{
            ColumnChunkMetaData, ColumnIndexBuilder, LevelHistogram, OffsetIndexBuilder, PageEncodingStats,
        },
        properties::WriterPropertiesPtr,
        statistics::{Statistics, ValueStatistics},
        writer::{SerializedPageWriter, TrackedWrite},
    },
    schema::types::ColumnDescPtr,
};

pub(super) use self::column::CodedColumn;
use self::{
    bounds::{Bounds, Trend},
    column::{Levels, Page},
    compressor::PageCompressor,
};

/// Writes chunks, with memory that outlives them.
pub(super) struct ChunkWriter {
    properties: WriterPropertiesPtr,
    compressor: PageCompressor,
    slots: Vec<Slot>,
    levels: Levels,
    indices: Vec<u32>,
    /// A page of values before it is compressed.
    plain: Vec<u8>,
    /// The dictionary's page before it is compressed.
    entries: Vec<u8>,
}

/// What is known of a code.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// Its place in the dictionary.
    index: u32,
    /// The last page that holds it, counted from 1; 0 before it is met.
    page: u32,
}

/// A chunk in the making.
struct Chunk<'a> {
    column: CodedColumn<'a>,
    descriptor: ColumnDescPtr,
    /// The codes in the dictionary, in its order.
    dictionary: Vec<usize>,
    pages: Vec<CompressedPage>,
    bounds: Bounds<'a>,
    trend: Trend<'a>,
    repetitions: Option<LevelHistogram>,
    definitions: Option<LevelHistogram>,
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
    nulls: usize,
    value_bytes: i64,
}

impl ChunkWriter {
    pub(super) fn new(properties: WriterPropertiesPtr) -> ChunkWriter {
        ChunkWriter {
            properties,
            compressor: PageCompressor::default(),
            slots: Vec::new(),
            levels: Levels::default(),
            indices: Vec::new(),
            plain: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// True where the column has the form that is written here.
    pub(super) fn takes(&self, descriptor: &ColumnDescPtr) -> bool {
        let path = descriptor.path();
        self.properties.dictionary_enabled(path)
            && matches!(self.properties.compression(path), Compression::ZSTD(_))
    }

    /// The bytes of a column's chunk, and what the file's metadata says of it, as if it began the file.
    pub(super) fn write(
        &mut self,
        column: CodedColumn<'_>,
        descriptor: &ColumnDescPtr,
    ) -> Result<(Bytes, ColumnCloseResult)> {
        if let Compression::ZSTD(level) = self.properties.compression(descriptor.path()) {
            self.compressor.set_level(level.compression_level())?;
        }
        self.slots.clear();
        self.slots.resize(column.strings.len(), Slot::default());
        self.entries.clear();
        let mut chunk = Chunk::new(column, descriptor);
        for page in column.pages() {
            self.page(&mut chunk, &page)?;
        }
        let dictionary = self.dictionary(&chunk)?;
        let filter = self.bloom_filter(&chunk)?;
        chunk.close(dictionary, self.properties.compression(descriptor.path()), filter)
    }

    /// Encodes one page, and takes it into statistics and indexes.
    fn page<'a>(&mut self, chunk: &mut Chunk<'a>, page: &Page) -> Result<()> {
        let max_levels = [chunk.descriptor.max_rep_level(), chunk.descriptor.max_def_level()];
        let mut histograms = max_levels.map(LevelHistogram::try_new);
        let [repetitions, definitions] = &mut histograms;
        let levels = [(max_levels[0], repetitions), (max_levels[1], definitions)];
        self.plain.clear();
        chunk.column.write_levels(page, &mut self.levels, levels, &mut self.plain);
        let (bounds, value_bytes) = self.index(chunk, page);
        let width = hybrid::width_of(chunk.dictionary.len());
        self.plain.push(width as u8);
        hybrid::encode(&self.indices, width, &mut self.plain);
        let nulls = self.levels.nulls();
        chunk.note(page, bounds, (nulls, value_bytes));
        let [repetitions, definitions] = histograms;
        chunk.column_index.append_histograms(&repetitions, &definitions);
        add(&mut chunk.repetitions, repetitions);
        add(&mut chunk.definitions, definitions);
        let data = ParquetPage::DataPage {
            buf: self.compressor.compress(&self.plain)?.into(),
            num_values: self.levels.len() as u32,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        chunk.pages.push(CompressedPage::new(data, self.plain.len()));
        Ok(())
    }

    /// Finds the places of the page's values in the dictionary, to which new ones are added; the bounds of the values, and their bytes.
    fn index<'a>(&mut self, chunk: &mut Chunk<'a>, page: &Page) -> (Bounds<'a>, i64) {
        let (slots, indices, dictionary) = (&mut self.slots, &mut self.indices, &mut chunk.dictionary);
        let entries = &mut self.entries;
        let (number, offsets) = (chunk.pages.len() as u32 + 1, chunk.column.strings.value_offsets());
        let (mut bounds, mut value_bytes) = (Bounds::default(), 0);
        indices.clear();
        indices.reserve(page.entry_count());
        // Rows of a connection stand together: most codes are the one before.
        chunk.column.each_run(page, |code, count| {
            let slot = &mut slots[code];
            if slot.page != number {
                let text = chunk.column.strings.value(code);
                if slot.page == 0 {
                    slot.index = dictionary.len() as u32;
                    dictionary.push(code);
                    entries.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    entries.extend_from_slice(text.as_bytes());
                }
                slot.page = number;
                bounds.add(text);
            }
            value_bytes += i64::from(offsets[code + 1] - offsets[code]) * count as i64;
            indices.extend(std::iter::repeat_n(slot.index, count));
        });
        (bounds, value_bytes)
    }

    fn dictionary(&mut self, chunk: &Chunk<'_>) -> Result<CompressedPage> {
        let page = ParquetPage::DictionaryPage {
            buf: self.compressor.compress(&self.entries)?.into(),
            num_values: chunk.dictionary.len() as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        Ok(CompressedPage::new(page, self.entries.len()))
    }

    fn bloom_filter(&self, chunk: &Chunk<'_>) -> Result<Option<Sbbf>> {
        let Some(wanted) = self.properties.bloom_filter_properties(chunk.descriptor.path()) else {
            return Ok(None);
        };
        let mut filter = Sbbf::new_with_ndv_fpp(wanted.ndv(), wanted.fpp())?;
        for code in &chunk.dictionary {
            filter.insert(chunk.column.strings.value(*code));
        }
        filter.fold_to_target_fpp(wanted.fpp());
        Ok(Some(filter))
    }
}

impl<'a> Chunk<'a> {
    fn new(column: CodedColumn<'a>, descriptor: &ColumnDescPtr) -> Chunk<'a> {
        Chunk {
            column,
            descriptor: descriptor.clone(),
            dictionary: Vec::new(),
            pages: Vec::new(),
            bounds: Bounds::default(),
            trend: Trend::new(),
            repetitions: LevelHistogram::try_new(descriptor.max_rep_level()),
            definitions: LevelHistogram::try_new(descriptor.max_def_level()),
            column_index: ColumnIndexBuilder::new(Type::BYTE_ARRAY),
            offset_index: OffsetIndexBuilder::new(),
            nulls: 0,
            value_bytes: 0,
        }
    }

    /// Takes a page with these bounds, nulls, and bytes of values into statistics and indexes.
    fn note(&mut self, page: &Page, bounds: Bounds<'a>, (nulls, value_bytes): (usize, i64)) {
        let ends = bounds.ends();
        let [least, greatest] = ends.map_or([Vec::new(), Vec::new()], |[least, greatest]| {
            [bounds::lower(least).0.as_bytes().to_vec(), bounds::upper(greatest).0.into_bytes()]
        });
        self.column_index.append(ends.is_none(), least, greatest, nulls as i64, None);
        self.bounds.join(bounds);
        ends.into_iter().for_each(|ends| self.trend.add(ends));
        self.offset_index.append_row_count(page.rows.len() as i64);
        self.offset_index.append_unencoded_byte_array_data_bytes(Some(value_bytes));
        self.nulls += nulls;
        self.value_bytes += value_bytes;
    }

    /// Lays the pages out behind the dictionary.
    fn close(
        mut self,
        dictionary: CompressedPage,
        compression: Compression,
        bloom_filter: Option<Sbbf>,
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let page_count = i32::try_from(self.pages.len()).map_err(external)?;
        let mut out = TrackedWrite::new(Vec::new());
        let mut writer = SerializedPageWriter::new(&mut out);
        let dictionary = writer.write_page(dictionary)?;
        let (mut plain_bytes, mut value_count) = (dictionary.uncompressed_size, 0);
        let mut data_offset = None;
        for page in std::mem::take(&mut self.pages) {
            let written = writer.write_page(page)?;
            let size = i32::try_from(written.compressed_size).map_err(external)?;
            self.offset_index.append_offset_and_size(written.offset as i64, size);
            plain_bytes += written.uncompressed_size;
            value_count += i64::from(written.num_values);
            data_offset.get_or_insert(written.offset as i64);
        }
        let bytes = Bytes::from(out.into_inner()?);
        let stats = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
        let metadata = ColumnChunkMetaData::builder(self.descriptor.clone())
            .set_compression(compression)
            .set_encodings_mask(EncodingMask::new_from_encodings(
                [Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY].iter(),
            ))
            .set_page_encoding_stats(vec![
                stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
                stats(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, page_count),
            ])
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(plain_bytes as i64)
            .set_num_values(value_count)
            .set_data_page_offset(data_offset.unwrap_or_default())
            .set_dictionary_page_offset(Some(dictionary.offset as i64))
            .set_statistics(self.statistics())
            .set_unencoded_byte_array_data_bytes(Some(self.value_bytes))
            .set_repetition_level_histogram(self.repetitions.take())
            .set_definition_level_histogram(self.definitions.take())
            .build()?;
        self.column_index.set_boundary_order(match (self.trend.rises, self.trend.falls) {
            (true, _) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (false, false) => BoundaryOrder::UNORDERED,
        });
        let closed = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.column.rows() as u64,
            metadata,
            bloom_filter,
            column_index: Some(self.column_index.build()?),
            offset_index: Some(self.offset_index.build()),
        };
        Ok((bytes, closed))
    }

    fn statistics(&self) -> Statistics {
        let nulls = Some(self.nulls as u64);
        Statistics::ByteArray(match self.bounds.ends() {
            None => ValueStatistics::new(None, None, None, nulls, false),
            Some([least, greatest]) => {
                let ((low, low_is_exact), (high, high_is_exact)) =
                    (bounds::lower(least), bounds::upper(greatest));
                let ends = [ByteArray::from(low), ByteArray::from(high.as_bytes().to_vec())];
                let [low, high] = ends.map(Some);
                ValueStatistics::new(low, high, None, nulls, false)
                    .with_min_is_exact(low_is_exact)
                    .with_max_is_exact(high_is_exact)
            }
        })
    }
}

fn add(sum: &mut Option<LevelHistogram>, more: Option<LevelHistogram>) {
    if let (Some(sum), Some(more)) = (sum, more) {
        sum.add(&more);
    }
}

fn external(source: std::num::TryFromIntError) -> ParquetError {
    ParquetError::External(Box::new(source))
}
