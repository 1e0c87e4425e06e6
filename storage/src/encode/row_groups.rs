//! Row groups into a `Write`, one behind the other, each ending with its bloom filters.

use std::io::Write;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    column::writer::ColumnCloseResult,
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, KeyValue, RowGroupMetaData},
        writer::{SerializedRowGroupWriter, TrackedWrite},
    },
};

use super::{
    coded::{ChunkWriter, CodedColumn},
    footer::{Footer, RowGroupIndexes},
    properties::{FileLayout, Layout},
};
use crate::encrypt;

const MAGIC: &[u8; 4] = b"PAR1";

/// A Parquet file in the making, without its footer.
pub(crate) struct RowGroups<W: Write> {
    out: TrackedWrite<W>,
    layout: Layout,
    columns: ArrowRowGroupWriterFactory,
    /// Of a file that is not encrypted.
    coded: Option<ChunkWriter>,
    footer: Footer,
}

/// An encoded column of a row group.
enum Chunk {
    Arrow(ArrowColumnChunk),
    Coded(Bytes, ColumnCloseResult),
}

impl<W: Write + Send> RowGroups<W> {
    /// Begins a file.
    pub(crate) fn new(out: W, layout: Layout) -> Result<RowGroups<W>> {
        let FileLayout { columns, cipher } = layout.file()?;
        let mut out = TrackedWrite::new(out);
        out.write_all(if cipher.is_some() { encrypt::MAGIC } else { MAGIC })?;
        let coded = cipher.is_none().then(|| ChunkWriter::new(layout.properties.clone()));
        let created_by = layout.properties.created_by().to_owned();
        let footer = Footer::new(layout.parquet.clone(), created_by, cipher);
        Ok(RowGroups { out, layout, columns, coded, footer })
    }

    /// Appends `rows` as one row group; after an error the file's end is undefined and only its snapshots hold.
    // A stage of its own in profiles (bench/instructions).
    #[inline(never)]
    pub(crate) fn append(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut writers = self.columns.create_column_writers(self.footer.row_groups())?.into_iter();
        let mut chunks = Vec::with_capacity(writers.len());
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            if let Some(coded) = &mut self.coded
                && let Some(leaves) = CodedColumn::all_of(column)
                && coded.takes(&self.layout.parquet.column(chunks.len()))
            {
                for leaf in leaves {
                    let descriptor = self.layout.parquet.column(chunks.len());
                    let (bytes, closed) = coded.write(leaf, &descriptor)?;
                    chunks.push(Chunk::Coded(bytes, closed));
                    writers.next();
                }
                continue;
            }
            for leaf in compute_leaves(field, column)? {
                let mut writer = writers.next().expect("one writer per leaf of the same schema");
                writer.write(&leaf)?;
                chunks.push(Chunk::Arrow(writer.close()?));
            }
        }
        self.append_chunks(chunks)
    }

    /// Appends all of `rows`, whose codes differ, as one row group, as `append` does.
    pub(crate) fn append_all(&mut self, rows: impl Iterator<Item = Result<RecordBatch>>) -> Result<()> {
        let mut writers = self.columns.create_column_writers(self.footer.row_groups())?;
        for rows in rows {
            encode_columns(&mut writers, &rows?)?;
        }
        let chunks: Result<_> = writers.into_iter().map(|writer| Ok(Chunk::Arrow(writer.close()?))).collect();
        self.append_chunks(chunks?)
    }

    // A stage of its own in profiles (bench/instructions).
    #[inline(never)]
    fn append_chunks(&mut self, chunks: Vec<Chunk>) -> Result<()> {
        let ordinal = self.footer.row_groups();
        let footer = &mut self.footer;
        let sorting = self.layout.sorting.clone();
        let mut group = SerializedRowGroupWriter::new(
            self.layout.parquet.clone(),
            self.layout.properties.clone(),
            &mut self.out,
            i32::try_from(ordinal).map_err(|source| ParquetError::External(Box::new(source)))?,
            Some(Box::new(|out, mut row_group: RowGroupMetaData, filters, columns, offsets| {
                for (column, filter) in row_group.columns_mut().iter_mut().zip(filters) {
                    if let Some(filter) = filter {
                        let start = out.bytes_written();
                        filter.write(&mut *out)?;
                        place_filter(column, start, out.bytes_written())?;
                    }
                }
                let row_group = row_group.into_builder().set_sorting_columns(sorting).build()?;
                footer.push(row_group, RowGroupIndexes { columns, offsets })
            })),
        );
        for chunk in chunks {
            match chunk {
                Chunk::Arrow(chunk) => chunk.append_to_row_group(&mut group)?,
                Chunk::Coded(bytes, closed) => group.append_column(&bytes, closed)?,
            }
        }
        group.close()?;
        self.out.flush()?;
        Ok(())
    }

    /// Bytes of magic and row groups so far.
    pub(crate) fn data_len(&self) -> u64 {
        self.out.bytes_written() as u64
    }

    /// Row groups appended.
    pub(crate) fn row_groups(&self) -> usize {
        self.footer.row_groups()
    }

    /// What would make the file whole if it ended here.
    pub(crate) fn tail(&self, metadata: Vec<KeyValue>) -> Result<Vec<u8>> {
        self.footer.tail(self.data_len(), metadata)
    }

    /// The writer below, for what only it can do; never write to it.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        self.out.inner_mut()
    }

    /// Appends the file's tail and gives the writer back.
    pub(crate) fn finish(mut self, tail: &[u8]) -> Result<W> {
        self.out.write_all(tail)?;
        self.out.into_inner()
    }
}

fn encode_columns(writers: &mut [ArrowColumnWriter], rows: &RecordBatch) -> Result<()> {
    let mut writers = writers.iter_mut();
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        for leaf in compute_leaves(field, column)? {
            writers.next().expect("one writer per leaf of the same schema").write(&leaf)?;
        }
    }
    Ok(())
}

fn place_filter(column: &mut ColumnChunkMetaData, start: usize, end: usize) -> Result<()> {
    let narrow = |source| ParquetError::External(Box::new(source));
    *column = column
        .clone()
        .into_builder()
        .set_bloom_filter_offset(Some(i64::try_from(start).map_err(narrow)?))
        .set_bloom_filter_length(Some(i32::try_from(end - start).map_err(narrow)?))
        .build()?;
    Ok(())
}
