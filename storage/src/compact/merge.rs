//! Sorted runs into one order, some rows of each in memory at a time.

use arrow_array::RecordBatch;
use arrow_select::interleave::interleave_record_batch;
use parquet::errors::Result;

use super::sort::{CHUNK_ROWS, Keys, Run};

/// Batches that end while rows are picked from them, after which the rows picked so far are put together.
const ENDED_MAX: usize = 16;

/// Reads several runs.
pub(super) struct Merge {
    /// Runs that still have rows; an earlier one comes first among equals.
    cursors: Vec<Cursor>,
}

/// Where a run is read.
struct Cursor {
    run: Run,
    batch: RecordBatch,
    keys: Keys,
    row: usize,
    /// Where its batch stands among those that rows are picked from.
    place: usize,
}

impl Cursor {
    /// The run's next batch, at `place`; `None` where it has none.
    fn open(mut run: Run, place: usize) -> Result<Option<Cursor>> {
        let Some(batch) = run.read()? else { return Ok(None) };
        let keys = Keys::of(&batch)?;
        Ok(Some(Cursor { run, batch, keys, row: 0, place }))
    }
}

impl Merge {
    pub(super) fn new(runs: Vec<Run>) -> Result<Merge> {
        let mut cursors = Vec::with_capacity(runs.len());
        for run in runs {
            cursors.extend(Cursor::open(run, 0)?);
        }
        Ok(Merge { cursors })
    }

    fn chunk(&mut self) -> Result<Option<RecordBatch>> {
        let mut batches = Vec::with_capacity(self.cursors.len() + ENDED_MAX);
        for (place, cursor) in self.cursors.iter_mut().enumerate() {
            cursor.place = place;
            batches.push(cursor.batch.clone());
        }
        let batches_max = batches.len() + ENDED_MAX;
        let mut picked = Vec::with_capacity(CHUNK_ROWS);
        while picked.len() < CHUNK_ROWS && batches.len() < batches_max {
            let keys = |at: &usize| self.cursors[*at].keys.at(self.cursors[*at].row);
            let Some(least) = (0..self.cursors.len()).min_by(|a, b| keys(a).cmp(&keys(b))) else { break };
            let cursor = &mut self.cursors[least];
            picked.push((cursor.place, cursor.row));
            cursor.row += 1;
            if cursor.row == cursor.batch.num_rows() {
                let ended = self.cursors.remove(least);
                if let Some(next) = Cursor::open(ended.run, batches.len())? {
                    batches.push(next.batch.clone());
                    self.cursors.insert(least, next);
                }
            }
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        Ok(if picked.is_empty() { None } else { Some(interleave_record_batch(&batches, &picked)?) })
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.chunk().transpose()
    }
}
