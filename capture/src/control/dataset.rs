//! Jobs on a dataset that nobody need be capturing into: `hdrcap recover` and `hdrcap verify`.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use storage::{dataset::RecoverReport, manifest::VerifyReport};

/// Makes the files of a dataset valid that a crash left unfinished, and says what became of each.
pub fn recover(dir: &Path) -> anyhow::Result<ExitCode> {
    must_be_folder(dir)?;
    let report = storage::dataset::recover(dir)
        .with_context(|| format!("the files left in {} could not be read", dir.display()))?;
    print(&recovered(&report))?;
    Ok(ExitCode::SUCCESS)
}

/// Checks a dataset against its manifests; the exit code is 0 only if everything is as they say.
pub fn verify(dir: &Path, heads: &[String]) -> anyhow::Result<ExitCode> {
    must_be_folder(dir)?;
    let report = storage::manifest::verify(dir, heads)
        .with_context(|| format!("{} could not be read", dir.display()))?;
    print(&verified(&report))?;
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn must_be_folder(dir: &Path) -> anyhow::Result<()> {
    if !dir.is_dir() {
        bail!("{} is not a folder: give the one that was --out", dir.display());
    }
    Ok(())
}

fn print(lines: &[String]) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", lines.join("\n")).context("the report could not be printed")
}

fn recovered(report: &RecoverReport) -> Vec<String> {
    let mut lines = Vec::new();
    for file in &report.published {
        let (path, cut) = (file.path.display(), file.bytes_cut);
        lines.push(format!("recovered {path}: {} rows, {cut} bytes behind them cut off", file.rows));
    }
    if !report.published.is_empty() {
        lines.push(format!(
            "of each, the rows of the last --flush-interval before the crash may be missing: about {} in all",
            report.rows_maybe_missing()
        ));
    }
    for path in &report.quarantined {
        lines.push(format!("quarantined {}: it holds no whole row group", path.display()));
    }
    for sensor in &report.live_sensors {
        lines.push(format!("left alone: sensor {sensor} is being written by a running process"));
    }
    let manifest = &report.manifest;
    for (what, files) in [
        ("listed in the manifest", &manifest.listed),
        ("removed, its rows are in another file", &manifest.removed),
        ("in the manifest, but not there", &manifest.missing),
        ("not in the manifest, and cannot be listed", &manifest.unlisted),
    ] {
        lines.extend(files.iter().map(|file| format!("{what}: {file}")));
    }
    lines.push(format!(
        "{} files recovered, {} quarantined, {} empty ones removed",
        report.published.len(),
        report.quarantined.len(),
        report.empty
    ));
    lines
}

fn verified(report: &VerifyReport) -> Vec<String> {
    let mut lines: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    for sensor in &report.sensors {
        lines.push(format!(
            "sensor {}: {} files, {} rows, {} bytes; {} lines, the last with the hash {}",
            sensor.sensor, sensor.files, sensor.rows, sensor.bytes, sensor.lines, sensor.head
        ));
    }
    lines.push(match report.problems.len() {
        0 if report.sensors.is_empty() => {
            "there is no manifest, and no file it would have to list".to_owned()
        }
        0 => "every file is there and is what the manifest says".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    });
    lines
}
