//! Where the bytes of a capture come from: a file or a pipe, counted, and decompressed where they are gzip.

use std::{
    fs::File,
    io::{self, Cursor, IsTerminal, Read},
    os::fd::{AsFd, AsRawFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;

use super::PcapFault;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Compressed bytes read at once.
const COMPRESSED_READ_BYTES: usize = 128 * 1024;

/// How long a silent pipe goes unasked whether to stop, in milliseconds.
const STOP_POLL_MS: i32 = 100;

/// What is known of an input besides its bytes.
pub(super) struct Input {
    pub(super) bytes_total: Option<u64>,
    pub(super) bytes_read: Arc<AtomicU64>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(
        path: &Path,
        stop: &Arc<AtomicBool>,
    ) -> Result<(Self, Box<dyn Read + Send>), PcapFault> {
        if path == Path::new("-") {
            if io::stdin().is_terminal() {
                let why = "standard input is a terminal: pipe a capture into it, as in tcpdump -w - | hdrcap --pcap -";
                return Err(PcapFault::Open(io::Error::other(why)));
            }
            // A descriptor of its own: the buffer in front of the standard one would hide bytes from poll.
            let file = io::stdin().as_fd().try_clone_to_owned().map_err(PcapFault::Open)?.into();
            let pipe = Pipe { file, stop: stop.clone() };
            return Ok(Self::counted(pipe, None, stop.clone()));
        }
        let file = File::open(path).map_err(PcapFault::Open)?;
        let metadata = file.metadata().map_err(PcapFault::Open)?;
        if metadata.is_dir() {
            return Err(PcapFault::Open(io::Error::other("it is a folder: name the capture files in it")));
        }
        if metadata.is_file() {
            return Ok(Self::counted(file, Some(metadata.len()), stop.clone()));
        }
        let pipe = Pipe { file, stop: stop.clone() };
        Ok(Self::counted(pipe, None, stop.clone()))
    }

    /// Takes any byte stream for input.
    pub(super) fn stream(reader: impl Read + Send + 'static) -> (Self, Box<dyn Read + Send>) {
        Self::counted(reader, None, Arc::default())
    }

    fn counted(
        reader: impl Read + Send + 'static,
        bytes_total: Option<u64>,
        stop: Arc<AtomicBool>,
    ) -> (Self, Box<dyn Read + Send>) {
        let bytes_read = Arc::<AtomicU64>::default();
        let counted = Counted { reader, bytes_read: bytes_read.clone() };
        (Self { bytes_total, bytes_read, stop }, Box::new(counted))
    }
}

/// The same bytes, decompressed where they begin like gzip.
pub(super) fn decompressed(mut reader: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    // An error here comes again, or the input is shorter than any capture: told by who reads on.
    let failure = reader.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start).err();
    let is_gzip = start == GZIP_MAGIC;
    let whole = Cursor::new(start).chain(Failing(failure)).chain(reader);
    if is_gzip {
        let buffered = io::BufReader::with_capacity(COMPRESSED_READ_BYTES, whole);
        return Box::new(MultiGzDecoder::new(buffered));
    }
    Box::new(whole)
}

/// Gives back an error met while looking at the first bytes, once.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

struct Counted<R> {
    reader: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A pipe whose writer may be silent: it ends when it is told to stop.
struct Pipe {
    file: File,
    stop: Arc<AtomicBool>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.stop.load(Ordering::Relaxed) {
            let mut poll = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: `poll` is one valid pollfd for the length of the call, and the descriptor is open as `file` owns it.
            let ready = unsafe { libc::poll(&raw mut poll, 1, STOP_POLL_MS) };
            match ready {
                0 => {}
                1.. => return self.file.read(buffer),
                _ => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        Ok(0)
    }
}
