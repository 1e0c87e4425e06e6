//! A filesystem that forgets: what may be on disk when the power goes between two recorded changes.
//!
//! Content is on disk up to the file's last sync; behind it anything up to what was written. A name is where it was
//! until a folder it is or was in is synced; of the changes since, any beginning may be on disk, or all but one.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::Mark;
use crate::disk::{self, Change};

/// One step of a recorded run; paths are below the dataset's folder.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A change, and the content of the file it names after it.
    Change(Change, Vec<u8>),
    Mark(Mark),
}

/// Runs `act` with its changes and marks recorded.
pub(super) fn record(dir: &Path, act: impl FnOnce(&mut dyn FnMut(Mark))) -> Vec<Event> {
    let events = Rc::new(RefCell::new(Vec::new()));
    let (changes, root) = (Rc::clone(&events), dir.to_owned());
    let seen = move |change: Change| {
        let content = match &change {
            Change::CreateFile(path) | Change::SyncFile(path) | Change::SetLen(path, _) => {
                fs::read(path).expect("a file just changed is readable")
            }
            Change::CreateFolder(_)
            | Change::SyncFolder(_)
            | Change::Rename(..)
            | Change::RemoveFile(_)
            | Change::RemoveFolder(_) => Vec::new(),
        };
        changes.borrow_mut().push(Event::Change(below(&root, change), content));
    };
    let marks = Rc::clone(&events);
    disk::tests::watched(seen, || act(&mut |mark| marks.borrow_mut().push(Event::Mark(mark))));
    events.take()
}

fn below(root: &Path, change: Change) -> Change {
    let cut = |path: PathBuf| path.strip_prefix(root).expect("below the dataset's folder").to_owned();
    match change {
        Change::CreateFile(path) => Change::CreateFile(cut(path)),
        Change::CreateFolder(path) => Change::CreateFolder(cut(path)),
        Change::SyncFile(path) => Change::SyncFile(cut(path)),
        Change::SyncFolder(path) => Change::SyncFolder(cut(path)),
        Change::SetLen(path, len) => Change::SetLen(cut(path), len),
        Change::Rename(from, to) => Change::Rename(cut(from), cut(to)),
        Change::RemoveFile(path) => Change::RemoveFile(cut(path)),
        Change::RemoveFolder(path) => Change::RemoveFolder(cut(path)),
    }
}

/// What is on a disk: its folders, and its files with their content.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct State {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl State {
    /// Files and their lengths, for a message.
    pub(super) fn names(&self) -> Vec<(&Path, usize)> {
        self.files.iter().map(|(name, content)| (name.as_path(), content.len())).collect()
    }

    /// Makes it so below `dir`, which is empty.
    pub(super) fn lay_out(&self, dir: &Path) {
        for folder in &self.folders {
            fs::create_dir_all(dir.join(folder)).expect("writable");
        }
        for (name, content) in &self.files {
            fs::write(dir.join(name), content).expect("writable");
        }
    }
}

/// Names, each for a folder or for a file's number.
#[derive(Clone, Debug, Default)]
struct Names {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, usize>,
}

impl Names {
    /// A change of names; one whose name never reached the disk changes nothing.
    fn apply(&mut self, change: &Change, created: usize) {
        match change {
            Change::CreateFolder(path) => self.add_folder(path),
            Change::CreateFile(path) => self.put(path, created),
            Change::Rename(from, to) => {
                if let Some(file) = self.files.remove(from) {
                    self.put(to, file);
                }
            }
            Change::RemoveFile(path) => {
                self.files.remove(path);
            }
            Change::RemoveFolder(path) => {
                let inner =
                    self.files.keys().chain(&self.folders).any(|name| name != path && name.starts_with(path));
                if !inner {
                    self.folders.remove(path);
                }
            }
            Change::SyncFile(_) | Change::SyncFolder(_) | Change::SetLen(..) => {}
        }
    }

    fn put(&mut self, path: &Path, file: usize) {
        self.add_folder(path.parent().expect("a file is in a folder"));
        self.files.insert(path.to_owned(), file);
    }

    fn add_folder(&mut self, path: &Path) {
        let folders = path.ancestors().filter(|folder| !folder.as_os_str().is_empty());
        self.folders.extend(folders.map(Path::to_owned));
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    synced: Vec<u8>,
    written: Vec<u8>,
}

/// The disk of a run, as far as it has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    now: Names,
    synced: Names,
    /// Changes of names since, each with the number of the file it made.
    pending: Vec<(Change, usize)>,
    contents: Vec<Content>,
}

impl Disk {
    /// A disk on which everything is safe.
    pub(super) fn holding(state: &State) -> Disk {
        let mut disk = Disk::default();
        disk.synced.folders.clone_from(&state.folders);
        for (number, (name, content)) in state.files.iter().enumerate() {
            disk.synced.files.insert(name.clone(), number);
            disk.contents.push(Content { synced: content.clone(), written: content.clone() });
        }
        disk.now = disk.synced.clone();
        disk
    }

    /// Goes one change on.
    pub(super) fn advance(&mut self, change: &Change, content: &[u8]) {
        match change {
            Change::CreateFile(_) => {
                self.contents.push(Content { synced: Vec::new(), written: content.to_vec() });
                self.rename(change);
            }
            Change::CreateFolder(_)
            | Change::Rename(..)
            | Change::RemoveFile(_)
            | Change::RemoveFolder(_) => {
                self.rename(change);
            }
            Change::SyncFile(path) => {
                let number = self.now.files[path];
                self.contents[number] = Content { synced: content.to_vec(), written: content.to_vec() };
            }
            Change::SetLen(path, _) => {
                let number = self.now.files[path];
                self.contents[number].written = content.to_vec();
            }
            Change::SyncFolder(folder) => {
                let (synced, pending) =
                    std::mem::take(&mut self.pending).into_iter().partition(|(change, _)| {
                        names_of(change).iter().any(|name| name.parent() == Some(folder))
                    });
                self.pending = pending;
                let synced: Vec<(Change, usize)> = synced;
                synced.iter().for_each(|(change, created)| self.synced.apply(change, *created));
            }
        }
    }

    fn rename(&mut self, change: &Change) {
        let created = self.contents.len().saturating_sub(1);
        self.now.apply(change, created);
        self.pending.push((change.clone(), created));
    }

    /// Everything that may be on disk when the power goes before `next` is done.
    pub(super) fn crashes(&self, next: Option<(&Change, &[u8])>) -> BTreeSet<State> {
        let mut contents = self.contents.clone();
        if let Some((Change::SyncFile(path), content)) = next {
            contents[self.now.files[path]].written = content.to_vec();
        }
        let choices = contents_on_disk(&contents);
        let mut states = BTreeSet::new();
        for names in self.names_on_disk() {
            for contents in &choices {
                let files =
                    names.files.iter().map(|(name, number)| (name.clone(), contents[*number].clone()));
                states.insert(State { folders: names.folders.clone(), files: files.collect() });
            }
        }
        states
    }

    fn names_on_disk(&self) -> Vec<Names> {
        let with = |is_kept: &dyn Fn(usize) -> bool| {
            let mut names = self.synced.clone();
            let kept = self.pending.iter().enumerate().filter(|(at, _)| is_kept(*at));
            kept.for_each(|(_, (change, created))| names.apply(change, *created));
            names
        };
        let beginnings = (0..=self.pending.len()).map(|kept| with(&|at| at < kept));
        let all_but_one = (0..self.pending.len()).map(|lost| with(&|at| at != lost));
        beginnings.chain(all_but_one).collect()
    }
}

fn names_of(change: &Change) -> Vec<&Path> {
    match change {
        Change::CreateFile(path)
        | Change::CreateFolder(path)
        | Change::SyncFile(path)
        | Change::SyncFolder(path)
        | Change::SetLen(path, _)
        | Change::RemoveFile(path)
        | Change::RemoveFolder(path) => vec![path],
        Change::Rename(from, to) => vec![from, to],
    }
}

/// What the files may hold: all as synced, all as written, all torn halfway, and each alone written or torn.
fn contents_on_disk(contents: &[Content]) -> Vec<Vec<Vec<u8>>> {
    let synced = |content: &Content| content.synced.clone();
    let written = |content: &Content| content.written.clone();
    let all = |of: fn(&Content) -> Vec<u8>| contents.iter().map(of).collect::<Vec<_>>();
    let mut choices =
        vec![all(|content| content.synced.clone()), all(|content| content.written.clone()), all(torn)];
    let unsynced = contents.iter().enumerate().filter(|(_, content)| content.synced != content.written);
    for (number, _) in unsynced {
        for of in [written as fn(&Content) -> Vec<u8>, torn] {
            let alone = contents
                .iter()
                .enumerate()
                .map(|(at, content)| if at == number { of(content) } else { synced(content) });
            choices.push(alone.collect());
        }
    }
    choices
}

/// Half of what was not synced, or half of what was not yet cut off.
fn torn(content: &Content) -> Vec<u8> {
    let (synced, written) = (&content.synced, &content.written);
    if written.len() < synced.len() {
        return synced[..written.len() + (synced.len() - written.len()) / 2].to_vec();
    }
    let same = synced.iter().zip(written).take_while(|(a, b)| a == b).count();
    written[..same + (written.len() - same) / 2].to_vec()
}
