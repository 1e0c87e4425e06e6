//! What a dataset's writer is told: where, as whom, how big, how old.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{error::OpenError, staging};
use crate::{
    encrypt::Keyring,
    file::IoMode,
    schema::{STATS_TABLE, StatsSchema},
};

/// Size at which a file is published, by default.
pub const FILE_BYTES_MAX_DEFAULT: u64 = 256 << 20;

/// Age at which a file is published, by default.
pub const FILE_AGE_MAX_DEFAULT: Duration = Duration::from_secs(300);

/// Age of a file of `capture_stats` where those of `http` are published with every flush.
const STATS_FILE_AGE: Duration = Duration::from_secs(300);

/// zstd level, by default.
pub const ZSTD_LEVEL_DEFAULT: i32 = 1;

/// How a writer writes; `new` gives the defaults.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// Folder of the dataset; made if missing.
    pub dir: PathBuf,
    /// Name of this sensor: in every row, in file names, and the owner of a staging folder.
    pub sensor: String,
    /// zstd level, 1 to 22.
    pub zstd_level: i32,
    /// Size at which a file is published.
    pub file_bytes_max: u64,
    /// Age of its oldest row at which a file is published.
    pub file_age_max: Duration,
    /// How often batches are sealed at the latest: a row may be that old when it comes here.
    pub flush_interval: Duration,
    /// Name of the redaction policy, for the files' metadata.
    pub redaction_policy: String,
    /// Counters and gauges of `capture_stats`; `None` where that table is not written.
    pub stats: Option<StatsSchema>,
    /// How files are written.
    pub io: IoMode,
    /// Keys that files are encrypted with; without any they are not.
    pub keyring: Keyring,
    /// Number of the group that may read the dataset; `None` leaves it the user's.
    pub group: Option<u32>,
    /// Further key-value metadata of every file.
    pub metadata: BTreeMap<String, String>,
}

impl WriterSettings {
    /// The defaults, for this folder and sensor.
    pub fn new(dir: impl Into<PathBuf>, sensor: impl Into<String>) -> WriterSettings {
        WriterSettings {
            dir: dir.into(),
            sensor: sensor.into(),
            zstd_level: ZSTD_LEVEL_DEFAULT,
            file_bytes_max: FILE_BYTES_MAX_DEFAULT,
            file_age_max: FILE_AGE_MAX_DEFAULT,
            flush_interval: Duration::from_secs(5),
            redaction_policy: "none".to_owned(),
            stats: None,
            io: IoMode::Auto,
            keyring: Keyring::default(),
            group: None,
            metadata: BTreeMap::new(),
        }
    }

    /// How long a file of `table` stays open after its first rows came, which may have waited for a flush before; of
    /// `capture_stats` there may be one already.
    pub(super) fn open_max(&self, table: &str, has_stats: bool) -> Duration {
        let left = self.file_age_max.saturating_sub(self.flush_interval);
        // Where files end with every flush, those of `capture_stats` are collected: nobody waits for them, and each would
        // hold a few rows only. But for the first one: without any, the views over losses cannot be asked at all.
        if table == STATS_TABLE && left.is_zero() && has_stats { STATS_FILE_AGE } else { left }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        if !staging::is_sensor_name(&self.sensor) {
            return Err(OpenError::Sensor(self.sensor.clone()));
        }
        if !(1..=22).contains(&self.zstd_level) {
            return Err(OpenError::Setting {
                name: "zstd level",
                value: i64::from(self.zstd_level),
                allowed: "1 to 22",
            });
        }
        if self.file_bytes_max == 0 {
            return Err(OpenError::Setting { name: "file size limit", value: 0, allowed: "at least 1 byte" });
        }
        Ok(())
    }
}
