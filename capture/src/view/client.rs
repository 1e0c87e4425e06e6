//! The viewer's end of the control socket: finds a running capture, asks, reads answers line by line.
//!
//! What comes is checked as if a stranger had sent it: bounded in length, understood or refused.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use thiserror::Error;

use super::protocol::{ANSWER_BYTES_MAX, Answer, Request};

/// Why there is nothing to see.
#[derive(Debug, Error)]
pub enum ViewError {
    /// No socket in the usual places.
    #[error(
        "no running capture was found in {}: start one, or give its socket (--control PATH)",
        listed(folders)
    )]
    NoneFound {
        /// Where sockets usually are.
        folders: Vec<PathBuf>,
    },
    /// More than one socket.
    #[error("several captures are running: choose one by --control: {}", listed(sockets))]
    SeveralFound {
        /// The sockets.
        sockets: Vec<PathBuf>,
    },
    /// Nobody answers.
    #[error("no capture answers at {}: {hint}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What to try.
        hint: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the capture broke")]
    Broken(#[source] io::Error),
    /// The capture closed without a word, as it does to a viewer that reads too slowly.
    #[error("the capture hung up: it ended, or this viewer read too slowly")]
    HungUp,
    /// An answer that is none.
    #[error("the capture was not understood: {0}")]
    Unknown(String),
    /// The capture refused.
    #[error("the capture refused: {0}")]
    Refused(String),
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The socket that is meant where none is named: the only one in `folders`.
pub fn find_socket(folders: &[PathBuf]) -> Result<PathBuf, ViewError> {
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut sockets: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "sock")).collect();
    sockets.sort();
    // One that a killed capture left behind is no choice.
    if sockets.len() > 1 {
        sockets.retain(|path| UnixStream::connect(path).is_ok());
    }
    match sockets.len() {
        0 => Err(ViewError::NoneFound { folders: folders.to_vec() }),
        1 => Ok(sockets.swap_remove(0)),
        _ => Err(ViewError::SeveralFound { sockets }),
    }
}

/// Answers of a capture, one after the other.
#[derive(Debug)]
pub struct Answers {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Answers {
    /// Asks the capture at `path`.
    pub fn ask(path: &Path, request: &Request) -> Result<Answers, ViewError> {
        let mut stream = UnixStream::connect(path).map_err(|source| {
            let hint = if source.kind() == io::ErrorKind::PermissionDenied {
                "run as root, as the user of the capture, or as a member of its --control-group"
            } else if source.kind() == io::ErrorKind::NotFound {
                "is it running, and without --control off?"
            } else {
                "the capture behind this socket has ended"
            };
            ViewError::Unreachable { path: path.to_owned(), hint, source }
        })?;
        let mut line = serde_json::to_vec(request).expect("a request is text and numbers");
        line.push(b'\n');
        match stream.write_all(&line) {
            // It hung up already: what it said before that tells why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.map_err(ViewError::Broken)?,
        }
        Ok(Answers { stream: BufReader::new(stream), line: Vec::new() })
    }

    /// The connection, to be closed from elsewhere.
    pub fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    /// True where the next answer, or a part of it, has been read already.
    pub fn is_more_at_hand(&self) -> bool {
        !self.stream.buffer().is_empty()
    }

    /// Waits for an answer for `time` at the most; true where there is one.
    pub fn is_readable_within(&self, time: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(self.stream(), PollFlags::IN)], Some(&timeout)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The next answer; a refusal is an error.
    pub fn next_answer(&mut self) -> Result<Answer<'static>, ViewError> {
        self.line.clear();
        let mut bounded = self.stream.by_ref().take(ANSWER_BYTES_MAX as u64);
        let count = match bounded.read_until(b'\n', &mut self.line) {
            // So it looks where the other end had not heard all when it hung up.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            read => read.map_err(ViewError::Broken)?,
        };
        if count == 0 {
            return Err(ViewError::HungUp);
        }
        if self.line.last() != Some(&b'\n') {
            return Err(ViewError::Unknown(format!("a line of {count} bytes does not end")));
        }
        let text = std::str::from_utf8(&self.line).map_err(|error| ViewError::Unknown(error.to_string()))?;
        match Answer::parse(text).map_err(ViewError::Unknown)? {
            Answer::Error(reason) => Err(ViewError::Refused(super::screen::fit(&reason))),
            answer @ (Answer::Status(_)
            | Answer::Row(_)
            | Answer::Missed(_)
            | Answer::Top(_)
            | Answer::End(_)) => Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::view::{filter::Filter, protocol::Ask};

    #[test]
    fn the_only_running_capture_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().join("missing"), folder.path().to_owned()];
        let error = find_socket(&folders).unwrap_err();
        assert!(error.to_string().contains("no running capture"), "{error}");
        let path = folder.path().join("a.sock");
        let live = UnixListener::bind(&path).unwrap();
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert_eq!(find_socket(&folders).unwrap(), path);
        let stale = folder.path().join("b.sock");
        drop(UnixListener::bind(&stale).unwrap());
        assert_eq!(find_socket(&folders).unwrap(), path, "a stale socket is no choice");
        fs::remove_file(&stale).unwrap();
        let _second = UnixListener::bind(&stale).unwrap();
        let error = find_socket(&folders).unwrap_err();
        assert!(error.to_string().contains("b.sock"), "{error}");
        drop(live);
    }

    #[test]
    fn a_stranger_at_the_other_end_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let request = Request::new(Ask::Status, Filter::default());
        for (said, part) in [
            (b"{}\n".to_vec(), "not understood"),
            (b"\xff\n".to_vec(), "not understood"),
            (vec![b'x'; ANSWER_BYTES_MAX + 1], "does not end"),
            (Vec::new(), "hung up"),
            (b"{\"v\":1,\"error\":\"no \\u001b[2J\"}\n".to_vec(), r"refused: no \x1B[2J"),
        ] {
            let mut answers = Answers::ask(&path, &request).unwrap();
            let (mut end, _) = listener.accept().unwrap();
            let speaker = std::thread::spawn(move || end.write_all(&said));
            let error = answers.next_answer().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            drop(answers);
            // It may not have been heard to its end.
            speaker.join().unwrap().unwrap_or_default();
        }
        drop(listener);
        let error = Answers::ask(&path, &request).unwrap_err().to_string();
        assert!(error.contains("has ended"), "{error}");
    }
}
