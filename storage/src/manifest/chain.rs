//! A manifest read from its first line to its last: which files it lists, and where its chain is broken.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
};

use super::entry::{Entry, LineHash};

/// Longest line: room for the names of all files that one file replaces.
pub const LINE_BYTES_MAX: u64 = 16 << 20;

/// What is kept of a file that the manifest lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFile {
    /// Rows in it.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// What a sensor's manifest says.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Whose it is.
    pub sensor: String,
    /// Lines in it.
    pub lines: u64,
    /// Files that are published, by name.
    pub live: BTreeMap<String, LiveFile>,
    /// Files whose rows are in another one; they may still be there for a moment.
    pub replaced: HashSet<String>,
    /// What is wrong with lines, in words that begin with the line's number.
    pub breaks: Vec<String>,
    /// Hash of the last line.
    pub head: LineHash,
    /// Hash of every line, if they were asked for.
    pub hashes: HashSet<LineHash>,
    /// The file ends in a part of a line, which an append under way or a crash leaves.
    pub is_torn: bool,
}

impl Chain {
    /// A manifest without lines.
    pub(super) fn empty(sensor: &str) -> Chain {
        Chain {
            sensor: sensor.to_owned(),
            lines: 0,
            live: BTreeMap::new(),
            replaced: HashSet::new(),
            breaks: Vec::new(),
            head: LineHash::NONE,
            hashes: HashSet::new(),
            is_torn: false,
        }
    }

    /// Reads the manifest of `sensor`; lines that make no sense are breaks, not errors.
    pub fn read(mut file: &File, sensor: &str) -> io::Result<Chain> {
        file.rewind()?;
        let mut chain = Chain::empty(sensor);
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            match line.pop() {
                None => return Ok(chain),
                Some(b'\n') => chain.take(&line),
                Some(_) if line.len() as u64 + 1 == LINE_BYTES_MAX => {
                    return Err(io::Error::other(format!("line {} is too long", chain.lines + 1)));
                }
                Some(_) => {
                    chain.is_torn = true;
                    return Ok(chain);
                }
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        self.lines += 1;
        let before = std::mem::replace(&mut self.head, LineHash::of(line));
        self.hashes.insert(self.head);
        match Entry::parse(line) {
            Ok((entry, prev)) => {
                if prev != before.to_string() {
                    self.breaks.push(format!(
                        "line {} does not follow the line before it: a line was changed, removed or put in",
                        self.lines
                    ));
                }
                self.apply(entry);
            }
            Err(error) => self.breaks.push(format!("line {} is no entry: {error}", self.lines)),
        }
    }

    fn apply(&mut self, entry: Entry) {
        let added = match entry {
            Entry::Add(file) => file,
            Entry::Replace { old, new } => {
                for name in old {
                    self.live.remove(&name);
                    self.replaced.insert(name);
                }
                new
            }
            Entry::Remove { file, .. } => {
                self.live.remove(&file);
                return;
            }
        };
        self.replaced.remove(&added.file);
        let file = LiveFile { rows: added.rows, bytes: added.bytes, sha256: added.sha256 };
        self.live.insert(added.file, file);
    }
}
