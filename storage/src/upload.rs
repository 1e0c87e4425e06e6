//! What of a sensor's published files is at another place already: the memory of `--upload`, without the network.
//!
//! `DIR/.manifest/SENSOR.uploaded` gets one line of JSON, synced, for each object that was put there or taken back. What is
//! due follows from it and the manifest alone, so a restart goes on where the last one ended; a line that a crash loses
//! costs one more transfer of the same bytes to the same name.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    disk,
    file::FILE_MODE,
    manifest::{MANIFEST_FOLDER, Manifest},
};

/// Ends the name of such a file, behind the sensor's.
const UPLOADED_SUFFIX: &str = ".uploaded";

/// One step that the other place lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Put this file there.
    Send(String),
    /// Take this one away: its rows are in another one, which is there.
    Withdraw(String),
}

#[derive(Serialize, Deserialize)]
struct Line {
    /// The place.
    to: String,
    /// The step that was made.
    done: Step,
}

/// What was uploaded to one place.
#[derive(Debug)]
pub struct Uploads {
    manifest: Manifest,
    path: PathBuf,
    to: String,
    sent: Mutex<BTreeSet<String>>,
}

impl Uploads {
    /// Reads what `sensor` uploaded from the dataset at `dir` to the place called `to`.
    pub fn open(dir: &Path, sensor: &str, to: &str) -> io::Result<Uploads> {
        let manifest = Manifest::new(dir, sensor);
        let path = dir.join(MANIFEST_FOLDER).join(format!("{sensor}{UPLOADED_SUFFIX}"));
        let sent = match File::options().read(true).write(true).open(&path) {
            Ok(file) => read(&file, to)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        Ok(Uploads { manifest, path, to: to.to_owned(), sent: Mutex::new(sent) })
    }

    /// What is to be done, in this order; a step is only right once those before it are done.
    pub fn due(&self) -> io::Result<Vec<Step>> {
        let chain = self.manifest.read()?;
        let sent = self.sent();
        let sends = chain.live.keys().filter(|file| !sent.contains(*file)).cloned().map(Step::Send);
        let replaced = sent.iter().filter(|file| chain.replaced.contains(*file));
        Ok(sends.chain(replaced.cloned().map(Step::Withdraw)).collect())
    }

    /// Remembers a step that was made.
    pub fn done(&self, step: Step) -> io::Result<()> {
        let mut sent = self.sent();
        match &step {
            Step::Send(file) => sent.insert(file.clone()),
            Step::Withdraw(file) => sent.remove(file),
        };
        let mut line = serde_json::to_vec(&Line { to: self.to.clone(), done: step })?;
        line.push(b'\n');
        disk::create_folder(self.manifest.dir(), self.path.parent().expect("it is in a folder"))?;
        let mut options = File::options();
        options.append(true).create(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
        let mut file = disk::make(disk::Change::CreateFile(self.path.clone()), || options.open(&self.path))?;
        file.write_all(&line)?;
        disk::sync_file(&self.path, &file)
    }

    /// True where a file is at the other place.
    pub fn has(&self, file: &str) -> bool {
        self.sent().contains(file)
    }

    fn sent(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files that the lines say are at this place; what a crash left behind the last whole line is cut off.
fn read(file: &File, to: &str) -> io::Result<BTreeSet<String>> {
    let mut sent = BTreeSet::new();
    let mut whole = 0;
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        match serde_json::from_slice::<Line>(&line) {
            Ok(Line { to: place, done: Step::Send(name) }) if place == to => sent.insert(name),
            Ok(Line { to: place, done: Step::Withdraw(name) }) if place == to => sent.remove(&name),
            Ok(_) => false,
            Err(_) => break,
        };
        whole += line.len() as u64 + 1;
    }
    let len = file.metadata()?.len();
    if whole != len {
        tracing::warn!(
            bytes = len.abs_diff(whole),
            "the list of uploaded files ends in half a line, which is cut off"
        );
        file.set_len(whole.min(len))?;
        // A last line without its end is whole all the same.
        if whole > len {
            (&mut &*file).write_all(b"\n")?;
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::atomic::AtomicBool};

    use super::*;
    use crate::{
        compact::{CompactSettings, Compactor},
        dataset::{Writer, WriterSettings, tests::batch},
    };

    const HOUR_NS: i64 = 3_600_000_000_000;

    fn write(dir: &Path, files: i64) {
        for number in 0..files {
            let mut writer = Writer::open(WriterSettings::new(dir, "s")).expect("a writable folder");
            writer.write(&batch(number), 0).expect("written");
            writer.close();
        }
    }

    fn open(dir: &Path, to: &str) -> Uploads {
        Uploads::open(dir, "s", to).expect("readable")
    }

    #[test]
    fn each_file_is_due_once_for_each_place_and_a_restart_remembers() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(open(dir.path(), "s3://a").due().expect("no manifest"), []);
        write(dir.path(), 3);
        let uploads = open(dir.path(), "s3://a");
        let due = uploads.due().expect("a manifest");
        assert_eq!(due.len(), 3);
        for step in &due[..2] {
            uploads.done(step.clone()).expect("written");
        }
        let uploads = open(dir.path(), "s3://a");
        assert_eq!(uploads.due().expect("a manifest"), due[2..]);
        let Step::Send(first) = &due[0] else { panic!("a file is withdrawn: {due:?}") };
        assert!(uploads.has(first));
        assert_eq!(open(dir.path(), "s3://b").due().expect("a manifest").len(), 3);
    }

    #[test]
    fn what_compaction_replaced_is_withdrawn_behind_its_successor() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), 3);
        let uploads = open(dir.path(), "s3://a");
        let due = uploads.due().expect("a manifest");
        for step in &due[..2] {
            uploads.done(step.clone()).expect("written");
        }
        let compactor = Compactor::open(dir.path(), "s", CompactSettings::default());
        let mut compactor = compactor.expect("a dataset").expect("no other is at work");
        compactor.plan(9 * HOUR_NS).expect("a manifest");
        let merged =
            compactor.step(9 * HOUR_NS, &AtomicBool::new(false)).expect("merged").expect("three files");
        let [Step::Send(first), Step::Send(second), _] = &due[..] else { panic!("{due:?}") };
        let expected =
            [Step::Send(merged.file), Step::Withdraw(first.clone()), Step::Withdraw(second.clone())];
        let due = uploads.due().expect("a manifest");
        assert_eq!(due, expected, "what was not sent yet never is");
        due.into_iter().for_each(|step| uploads.done(step).expect("written"));
        assert_eq!(open(dir.path(), "s3://a").due().expect("a manifest"), []);
    }

    #[test]
    fn half_a_line_costs_one_file_and_no_more() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), 2);
        let uploads = open(dir.path(), "s3://a");
        let due = uploads.due().expect("a manifest");
        due.iter().for_each(|step| uploads.done(step.clone()).expect("written"));
        let path = dir.path().join(".manifest/s.uploaded");
        let whole = fs::read(&path).expect("readable");
        let second = whole.iter().position(|byte| *byte == b'\n').expect("two lines") + 1;
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).expect("writable");
            let lines = usize::from(cut + 1 >= second) + usize::from(cut + 1 >= whole.len());
            let uploads = open(dir.path(), "s3://a");
            assert_eq!(uploads.due().expect("a manifest").len(), 2 - lines, "cut at {cut}");
            uploads.done(due[1].clone()).expect("written");
            assert_eq!(open(dir.path(), "s3://a").due().expect("a manifest").len(), usize::from(lines == 0));
        }
    }
}
