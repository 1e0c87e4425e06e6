//! Jobs on a dataset that nobody need be capturing into: `hdrcap recover`, `verify`, `compact` and `files`.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::atomic::AtomicBool,
};

use anyhow::{Context as _, bail};
use storage::{
    compact::{CompactSettings, Compactor, Merged},
    dataset::RecoverReport,
    manifest::{VerifyReport, live_files, sensors},
};

use crate::{
    confine::{
        self, Needs, Purpose,
        user::{IdentitySettings, assume},
    },
    idle,
    settings::UploadTarget,
    source::live::clock,
};

use super::encryption::keyring;

/// Makes the files of a dataset valid that a crash left unfinished, and says what became of each.
///
/// The exit code is not 0 where files wait for a key.
pub fn recover(dir: &Path, encryption_keys: Option<&Path>) -> anyhow::Result<ExitCode> {
    must_be_folder(dir)?;
    let report = storage::dataset::recover_with(dir, &keyring(encryption_keys)?)
        .with_context(|| format!("the files left in {} could not be read", dir.display()))?;
    print(&recovered(&report))?;
    Ok(if report.locked.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks a dataset against its manifests; the exit code is 0 only if everything is as they say.
pub fn verify(dir: &Path, heads: &[String], encryption_keys: Option<&Path>) -> anyhow::Result<ExitCode> {
    must_be_folder(dir)?;
    let report = storage::manifest::verify_with(dir, heads, &keyring(encryption_keys)?)
        .with_context(|| format!("{} could not be read", dir.display()))?;
    print(&verified(&report))?;
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Merges the small files of every sensor, those of the present hour apart; says what became what.
///
/// As root it becomes the owner of the folder, so that what it writes belongs with the rest.
pub fn compact(dir: &Path, zstd_level: i32, encryption_keys: Option<&Path>) -> anyhow::Result<ExitCode> {
    must_be_folder(dir)?;
    confine::forbid_core_dumps();
    let keyring = keyring(encryption_keys)?;
    assume(&IdentitySettings::default(), dir, Purpose::Files)?;
    confine::confine(&Needs { folders: vec![dir.to_owned()], ..Needs::default() });
    if let Err(error) = idle::become_idle() {
        writeln!(io::stderr(), "at ordinary priority: the kernel refuses another ({error})")
            .unwrap_or_default();
    }
    let settings = CompactSettings { zstd_level, keyring, ..CompactSettings::default() };
    let mut ended_well = true;
    for sensor in sensors(dir).with_context(|| format!("{} could not be read", dir.display()))? {
        ended_well &= compact_sensor(dir, &sensor, settings.clone())?;
    }
    Ok(if ended_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// True where nothing was in the way.
fn compact_sensor(dir: &Path, sensor: &str, settings: CompactSettings) -> anyhow::Result<bool> {
    let opened = Compactor::open(dir, sensor, settings);
    let opened = opened.with_context(|| format!("{} cannot be written to", dir.display()))?;
    let Some(mut compactor) = opened else {
        print(&[format!("left alone: sensor {sensor} is being compacted by a running process")])?;
        return Ok(true);
    };
    let planned = compactor.plan(clock::unix_ns()).context("the manifest could not be read")?;
    print(&[format!("sensor {sensor}: {planned} merges to do")])?;
    let mut ended_well = true;
    loop {
        match compactor.step(clock::unix_ns(), &AtomicBool::new(false)) {
            Ok(Some(merged)) => print(&[merged_line(&merged)])?,
            Ok(None) => break,
            Err(failed) => {
                ended_well = false;
                writeln!(io::stderr(), "hdrcap: {failed}").unwrap_or_default();
            }
        }
    }
    if compactor.locked() > 0 {
        print(&[format!(
            "left as they are: {} files are encrypted with a key that was not given (--encryption-keys)",
            compactor.locked()
        )])?;
    }
    Ok(ended_well)
}

fn merged_line(merged: &Merged) -> String {
    let Merged { file, rows, bytes, files_before, bytes_before } = merged;
    format!("merged {files_before} files into {file}: {rows} rows, {bytes} bytes, before {bytes_before}")
}

/// Prints the path of every file that the manifests list, each row being in one of them; with `waiting` of those that were
/// not uploaded there yet.
pub fn files(dir: &Path, waiting: Option<&UploadTarget>) -> anyhow::Result<ExitCode> {
    must_be_folder(dir)?;
    let files = match waiting {
        None => live_files(dir),
        Some(place) => storage::upload::waiting(dir, &place.to_string()),
    };
    let files = files.with_context(|| format!("{} could not be read", dir.display()))?;
    for file in files {
        writeln!(io::stdout(), "{}", dir.join(file).display()).context("the files could not be printed")?;
    }
    Ok(ExitCode::SUCCESS)
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
    for (path, why) in &report.locked {
        lines.push(format!("left as it is: {}: {why}", path.display()));
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
    if report.locked > 0 {
        lines.push(format!(
            "{} files are encrypted with a key that was not given (--encryption-keys): their bytes are checked, their \
             rows not counted",
            report.locked
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
