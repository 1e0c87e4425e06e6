//! Where log lines go: to standard error, above the progress line where there is one.

use std::io::{self, Write};

use indicatif::ProgressBar;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::settings::{LogFormat, ReportSettings};

/// Starts logging; `HDRCAP_LOG` may name other levels than the settings do.
pub fn start(report: &ReportSettings, progress: &ProgressBar) {
    let level = if report.quiet { "warn" } else { "info" };
    // The store's client tells of each retry what the upload tells once.
    let levels = format!("{level},object_store=warn");
    let filter = EnvFilter::try_from_env("HDRCAP_LOG").unwrap_or_else(|_| EnvFilter::new(levels));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .with_writer(AboveProgress(progress.clone()));
    let started = match report.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    if let Err(error) = started {
        writeln!(io::stderr(), "log lines go elsewhere: {error}").unwrap_or_default();
    }
}

struct AboveProgress(ProgressBar);

impl<'a> MakeWriter<'a> for AboveProgress {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { progress: self.0.clone(), bytes: Vec::new() }
    }
}

/// One log line, written whole when it is complete.
pub struct Line {
    progress: ProgressBar,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A closed standard error must not end a capture.
        self.progress.suspend(|| io::stderr().write_all(&self.bytes).unwrap_or_default());
    }
}
