//! Names of the dataset's files: which are this sensor's, and which hour they hold.
//!
//! `TABLE/date=YYYY-MM-DD/hour=H/SENSOR-START-PID-SEQUENCE.parquet`. Invariant: whatever removes or lists files goes by
//! this, so a file that somebody else put into the folder is never touched.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::partition::Partition;
use crate::schema::{HTTP_TABLE, STATS_TABLE};

/// Tables of a dataset, which are its folders.
pub(crate) const TABLES: [&str; 2] = [HTTP_TABLE, STATS_TABLE];

/// Files this process has named: whatever part of it begins one, no two are called the same.
static NAMED: AtomicU64 = AtomicU64::new(0);

/// Name of a file that `sensor` begins at `now_ns` (Unix time); each call gives another.
pub(crate) fn new_file_name(sensor: &str, now_ns: i64) -> String {
    // A file begun before 1970 by a clock that is wrong has a name all the same.
    let start = now_ns.div_euclid(1_000_000_000).max(0);
    let sequence = NAMED.fetch_add(1, Ordering::Relaxed);
    format!("{sensor}-{start}-{}-{sequence}.parquet", std::process::id())
}

/// A path below the dataset's folder that is a file of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DatasetFile {
    /// Hours since 1970-01-01T00:00Z of the rows.
    pub(crate) hour: i64,
    /// The path below the dataset's folder, with slashes.
    pub(crate) name: String,
    /// Who wrote it.
    pub(crate) sensor: String,
}

impl DatasetFile {
    /// Understands a path below the dataset's folder; `None` where it is no file of a dataset.
    pub(crate) fn parse(name: &str) -> Option<DatasetFile> {
        let mut parts = name.split('/');
        let (table, date, hour, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let table = TABLES.into_iter().find(|known| *known == table)?;
        let partition = Partition::parse(table, date, hour)?;
        let stem = file.strip_suffix(".parquet")?;
        let mut numbers = stem.rsplitn(4, '-');
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let are_numbers = numbers.by_ref().take(3).filter(|part| is_number(part)).count() == 3;
        let sensor = numbers.next()?;
        let is_ours = are_numbers && parts.next().is_none() && super::staging::is_sensor_name(sensor);
        is_ours.then(|| DatasetFile {
            hour: partition.hour,
            name: name.to_owned(),
            sensor: sensor.to_owned(),
        })
    }

    /// Where the file is.
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(&self.name)
    }
}

/// The path of `file` below the dataset's folder, with slashes; `None` where it is not below it or not UTF-8.
pub(crate) fn name_below(dir: &Path, file: &Path) -> Option<String> {
    Some(file.strip_prefix(dir).ok()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_writer_gives_are_ours() {
        let folder = "http/date=2026-11-22/hour=9";
        let good = format!("{folder}/edge-7-1795345707-42-0.parquet");
        let file = DatasetFile::parse(&good).expect("a name of ours");
        assert_eq!((file.sensor.as_str(), file.hour), ("edge-7", 498_705));
        let names = [0, 0, -1].map(|now_ns| new_file_name("s", now_ns));
        assert!(names[0] != names[1] && names[1] != names[2], "{names:?}");
        for name in names {
            assert!(DatasetFile::parse(&format!("{folder}/{name}")).is_some(), "{name}");
        }
        for bad in [
            "http/date=2026-11-22/hour=9/edge.parquet",
            "http/date=2026-11-22/hour=9/edge-1-2.parquet",
            "http/date=2026-11-22/hour=9/edge-1-2-x.parquet",
            "http/date=2026-11-22/hour=9/-1-2-3.parquet",
            "http/date=2026-11-22/hour=9/.edge-1-2-3.parquet",
            "http/date=2026-11-22/hour=9/edge-1-2-3.parquet.bak",
            "http/date=2026-11-22/hour=9/more/edge-1-2-3.parquet",
            "http/date=2026-11-22/hour=24/edge-1-2-3.parquet",
            "http/date=2026-11-22/hour=09/edge-1-2-3.parquet",
            "http/date=2026-02-30/hour=9/edge-1-2-3.parquet",
            "http/date=2026-11-22/../edge-1-2-3.parquet",
            "other/date=2026-11-22/hour=9/edge-1-2-3.parquet",
            "/http/date=2026-11-22/hour=9/edge-1-2-3.parquet",
            "",
        ] {
            assert_eq!(DatasetFile::parse(bad), None, "{bad}");
        }
    }
}
