//! What of a sensor's published files is at another place already: the memory of `--upload`, without the network.
//!
//! `DIR/.manifest/SENSOR.uploaded` gets one line of JSON, synced, for each object that was put there or taken back. What is
//! due follows from it and the manifest alone, so a restart goes on where the last one ended; a line that a crash loses
//! costs one more transfer of the same bytes to the same name. Invariant: only names that the sensor gives are ever due.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use crate::{
    dataset::name::DatasetFile,
    disk,
    file::FILE_MODE,
    manifest::{MANIFEST_FOLDER, Manifest, sensors},
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

/// Files that are not at the other place yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
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
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    sent: BTreeSet<String>,
    /// What the manifest said when it was read last.
    listed: Listed,
}

/// What a manifest says, as far as it matters here.
#[derive(Debug, Default)]
struct Listed {
    /// Length of the manifest, and when it was written to: it is read again where they are others.
    state: Option<(u64, SystemTime)>,
    /// Published files, and their bytes.
    live: BTreeMap<String, u64>,
    /// Files whose rows are in another one.
    replaced: BTreeSet<String>,
}

impl Uploads {
    /// Reads what `sensor` uploaded from the dataset at `dir` to the place called `to`, and mends what a crash left of it.
    pub fn open(dir: &Path, sensor: &str, to: &str) -> io::Result<Uploads> {
        let uploads = Uploads::read(dir, sensor, to)?;
        match File::options().read(true).write(true).open(&uploads.path) {
            Ok(file) => mend(&file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(uploads)
    }

    fn read(dir: &Path, sensor: &str, to: &str) -> io::Result<Uploads> {
        let manifest = Manifest::new(dir, sensor);
        let path = dir.join(MANIFEST_FOLDER).join(format!("{sensor}{UPLOADED_SUFFIX}"));
        let mut sent = BTreeSet::new();
        match File::open(&path) {
            Ok(file) => lines(&file).try_for_each(|line| line.map(|(line, _)| line.apply(to, &mut sent)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let known = Mutex::new(Known { sent, listed: Listed::default() });
        Ok(Uploads { manifest, path, to: to.to_owned(), known })
    }

    /// What is to be done, in this order; a step is only right once those before it are done.
    pub fn due(&self) -> io::Result<Vec<Step>> {
        let known = self.look()?;
        let sends = known.waiting().map(|(file, _)| Step::Send(file.clone()));
        let replaced = known.sent.iter().filter(|file| known.listed.replaced.contains(*file));
        Ok(sends.chain(replaced.cloned().map(Step::Withdraw)).collect())
    }

    /// How much waits to be sent.
    pub fn backlog(&self) -> io::Result<Backlog> {
        let known = self.look()?;
        Ok(known.waiting().fold(Backlog::default(), |sum, (_, bytes)| Backlog {
            files: sum.files + 1,
            bytes: sum.bytes.saturating_add(*bytes),
        }))
    }

    /// Remembers a step that was made.
    pub fn done(&self, step: Step) -> io::Result<()> {
        let mut known = self.known();
        let line = Line { to: self.to.clone(), done: step };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        line.apply(&self.to, &mut known.sent);
        disk::create_folder(self.manifest.dir(), self.path.parent().expect("it is in a folder"))?;
        let mut options = File::options();
        options.append(true).create(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
        let mut file = disk::make(disk::Change::CreateFile(self.path.clone()), || options.open(&self.path))?;
        file.write_all(&text)?;
        disk::sync_file(&self.path, &file)
    }

    /// True where a file is at the other place.
    pub fn has(&self, file: &str) -> bool {
        self.known().sent.contains(file)
    }

    /// What is known, with what the manifest says now.
    fn look(&self) -> io::Result<MutexGuard<'_, Known>> {
        let mut known = self.known();
        let state = match fs::metadata(self.manifest.path()) {
            Ok(metadata) => Some((metadata.len(), metadata.modified()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if state.is_none() || state != known.listed.state {
            let chain = self.manifest.read()?;
            // A name that leads elsewhere must not make a file of another folder known to the world.
            let is_own = |name: &String| {
                DatasetFile::parse(name).is_some_and(|file| file.sensor == self.manifest.sensor())
            };
            let live = chain.live.into_iter().filter(|(name, _)| is_own(name));
            known.listed = Listed {
                state,
                live: live.map(|(name, file)| (name, file.bytes)).collect(),
                replaced: chain.replaced.into_iter().filter(is_own).collect(),
            };
        }
        Ok(known)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn waiting(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.listed.live.iter().filter(|(file, _)| !self.sent.contains(*file))
    }
}

/// The files of every sensor of the dataset at `dir` that are not at the place called `to` yet. Writes nothing, so it may
/// run beside what sends them.
pub fn waiting(dir: &Path, to: &str) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for sensor in sensors(dir)? {
        let uploads = Uploads::read(dir, &sensor, to)?;
        files.extend(uploads.look()?.waiting().map(|(file, _)| file.clone()));
    }
    Ok(files)
}

impl Line {
    /// Notes in `sent` what the line says of the place called `to`.
    fn apply(&self, to: &str, sent: &mut BTreeSet<String>) {
        if self.to == to {
            match &self.done {
                Step::Send(file) => sent.insert(file.clone()),
                Step::Withdraw(file) => sent.remove(file),
            };
        }
    }
}

/// The lines up to the first that is none, each with its length without its end.
fn lines(file: &File) -> impl Iterator<Item = io::Result<(Line, u64)>> {
    let parsed = BufReader::new(file).split(b'\n').map(|line| {
        let line = line?;
        Ok(serde_json::from_slice::<Line>(&line).ok().map(|parsed| (parsed, line.len() as u64)))
    });
    parsed.map_while(Result::transpose)
}

/// Cuts off what a crash left behind the last whole line.
fn mend(file: &File) -> io::Result<()> {
    let whole = lines(file).try_fold(0, |sum, line| line.map(|(_, len)| sum + len + 1))?;
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
    Ok(())
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
            writer.write(batch(number), 0).expect("written");
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

    #[test]
    fn what_waits_is_told_with_its_bytes_by_somebody_else_too() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(open(dir.path(), "s3://a").backlog().expect("no manifest"), Backlog::default());
        write(dir.path(), 2);
        let uploads = open(dir.path(), "s3://a");
        let all = uploads.backlog().expect("a manifest");
        let due = uploads.due().expect("a manifest");
        uploads.done(due[0].clone()).expect("written");
        let left = uploads.backlog().expect("a manifest");
        assert_eq!((all.files, left.files), (2, 1));
        assert!(left.bytes > 0 && left.bytes < all.bytes, "{left:?} of {all:?}");
        write(dir.path(), 1);
        assert_eq!(uploads.backlog().expect("a manifest").files, 2, "what is published meanwhile waits too");
        let Step::Send(sent) = &due[0] else { panic!("a file is withdrawn: {due:?}") };
        // The line that is just being written is not cut off by who only looks.
        let path = dir.path().join(".manifest/s.uploaded");
        let lines = [fs::read(&path).expect("readable"), b"{\"to\"".to_vec()].concat();
        fs::write(&path, &lines).expect("writable");
        let names = waiting(dir.path(), "s3://a").expect("readable");
        assert!(names.len() == 2 && !names.contains(sent), "{names:?}");
        assert_eq!(waiting(dir.path(), "s3://b").expect("readable").len(), 3);
        assert_eq!(fs::read(&path).expect("readable"), lines);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_never_due() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), 1);
        let path = dir.path().join(".manifest/s.jsonl");
        let line = fs::read_to_string(&path).expect("a manifest");
        let name = waiting(dir.path(), "s3://a").expect("readable").remove(0);
        for other in ["../../etc/shadow", "/etc/shadow", ".manifest/s.jsonl", &name.replace("/s-", "/other-")]
        {
            fs::write(&path, line.replace(&name, other)).expect("writable");
            assert_eq!(open(dir.path(), "s3://a").due().expect("a manifest"), [], "{other}");
        }
    }
}
