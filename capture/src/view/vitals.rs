//! How a running capture does: counters and fills, as the control plane reads them from the ledger, for viewers to see.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// State of a capture at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// Name of the capturing host.
    pub sensor: String,
    /// Process id of the capture.
    pub pid: u32,
    /// When this was read: Unix time in nanoseconds.
    pub unix_ns: i64,
    /// When the capture began: Unix time in nanoseconds.
    pub started_unix_ns: i64,
    /// Interfaces, or capture files.
    pub sources: Vec<String>,
    /// Every counter, under its name in the balance.
    pub counters: BTreeMap<String, u64>,
    /// Bytes in each ring now and at the most of late, by core.
    pub rings: Vec<Fill>,
    /// Batches in the queue to the encoder.
    pub queue: Fill,
    /// Bytes free where the dataset is; `None` where the kernel does not say.
    pub disk_free_bytes: Option<u64>,
    /// Nanoseconds the slowest stage is behind.
    pub lag_ns: u64,
}

/// How full something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Now.
    pub now: u64,
    /// The most there was of late.
    pub most: u64,
    /// What there is room for; zero where there is none such.
    pub size: u64,
}

impl Vitals {
    /// A counter's value; zero for one that this capture does not have.
    pub fn count(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }
}

/// Where the control plane leaves the vitals and the hub takes them.
#[derive(Clone, Debug, Default)]
pub struct VitalsDesk(Arc<Mutex<Arc<Vitals>>>);

impl VitalsDesk {
    /// Leaves new vitals.
    pub fn leave(&self, vitals: Vitals) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(vitals);
    }

    /// The vitals left last.
    pub fn look(&self) -> Arc<Vitals> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
