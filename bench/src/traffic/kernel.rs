//! The few calls of the kernel that the generator needs: maps, the program, runs of it that send live frames.
//!
//! Plain system calls, because aya loads object files only and the program is none.

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;
const MAP_TYPE_ARRAY: u32 = 2;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
/// The first device of every network namespace.
const LOOPBACK_IFINDEX: u32 = 1;
const TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
const LICENSE: &CStr = c"GPL";
const LOG_BYTES: usize = 1 << 16;

/// Frames the kernel makes before it hands them on together.
pub(super) const BATCH_FRAMES: u32 = 64;

/// An array map.
#[derive(Debug)]
pub(super) struct ArrayMap {
    fd: OwnedFd,
    value_bytes: usize,
}

impl ArrayMap {
    pub(super) fn new(value_bytes: usize, count: u32) -> io::Result<Self> {
        let mut attributes = [0; 10];
        attributes[0] = pair(MAP_TYPE_ARRAY, size_of::<u32>() as u32);
        attributes[1] = pair(value_bytes as u32, count);
        Ok(Self { fd: descriptor(bpf(MAP_CREATE, &mut attributes)?), value_bytes })
    }

    pub(super) fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    pub(super) fn set(&self, index: u32, value: &[u8]) -> io::Result<()> {
        assert_eq!(value.len(), self.value_bytes, "a value of the map's size");
        self.element(MAP_UPDATE_ELEM, index, value.as_ptr() as u64)
    }

    pub(super) fn get<const N: usize>(&self, index: u32) -> io::Result<[u8; N]> {
        assert_eq!(N, self.value_bytes, "a value of the map's size");
        let mut value = [0; N];
        self.element(MAP_LOOKUP_ELEM, index, value.as_mut_ptr() as u64)?;
        Ok(value)
    }

    fn element(&self, command: libc::c_long, index: u32, value: u64) -> io::Result<()> {
        let mut attributes = [0; 4];
        attributes[0] = pair(self.fd() as u32, 0);
        attributes[1] = &raw const index as u64;
        attributes[2] = value;
        bpf(command, &mut attributes).map(|_| ())
    }
}

/// A program's place among those that the kernel calls directly (its XDP dispatcher), kept until this is dropped.
///
/// A run puts its program there and takes it out again, and each time waits for a grace period and interrupts every core to
/// change the code: with bursts of a hundred frames that was half of a sender's time. It does not where the program is there
/// already, as one is that is attached anywhere: here, where no frame comes.
#[derive(Debug)]
struct Dispatched {
    _link: OwnedFd,
    /// That the loopback device is in, and nothing else.
    _namespace: File,
}

impl Dispatched {
    fn new(program: &OwnedFd) -> io::Result<Self> {
        let attach = || {
            // SAFETY: no memory is involved; of this process only the calling thread, which ends here, leaves its namespace.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            let namespace = File::open("/proc/thread-self/ns/net")?;
            let mut attributes = [0; 8];
            attributes[0] = pair(program.as_raw_fd() as u32, LOOPBACK_IFINDEX);
            attributes[1] = pair(ATTACH_TYPE_XDP, XDP_FLAGS_SKB_MODE);
            let link = descriptor(bpf(LINK_CREATE, &mut attributes)?);
            Ok(Self { _link: link, _namespace: namespace })
        };
        std::thread::scope(|scope| scope.spawn(attach).join()).expect("attaching does not panic")
    }
}

/// A loaded XDP program.
#[derive(Debug)]
pub(super) struct Program {
    fd: OwnedFd,
    _dispatched: Dispatched,
}

impl Program {
    /// Loads it; the verifier's last words are in the error.
    pub(super) fn load(code: &[u64]) -> io::Result<Self> {
        let mut log = vec![0u8; LOG_BYTES];
        let mut attributes = [0; 16];
        attributes[0] = pair(PROG_TYPE_XDP, code.len() as u32);
        attributes[1] = code.as_ptr() as u64;
        attributes[2] = LICENSE.as_ptr() as u64;
        attributes[3] = pair(1, LOG_BYTES as u32);
        attributes[4] = log.as_mut_ptr() as u64;
        match bpf(PROG_LOAD, &mut attributes) {
            Ok(fd) => {
                let fd = descriptor(fd);
                Ok(Self { _dispatched: Dispatched::new(&fd)?, fd })
            }
            Err(error) => {
                let said = CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy();
                let last: Vec<&str> = said.lines().rev().take(8).collect();
                Err(io::Error::new(error.kind(), format!("{error}: {}", last.join(" | "))))
            }
        }
    }

    /// Runs it on frames of `frame_bytes`, which go where it sends them.
    pub(super) fn send(&self, frame_bytes: usize, count: u32) -> io::Result<()> {
        let frame = vec![0u8; frame_bytes];
        let mut attributes = [0; 10];
        attributes[0] = pair(self.fd.as_raw_fd() as u32, 0);
        attributes[1] = pair(frame_bytes as u32, 0);
        attributes[2] = frame.as_ptr() as u64;
        attributes[4] = pair(count, 0);
        attributes[8] = pair(TEST_XDP_LIVE_FRAMES, 0);
        attributes[9] = pair(count.min(BATCH_FRAMES), 0);
        bpf(PROG_TEST_RUN, &mut attributes).map(|_| ())
    }

    /// Runs it once on a frame of `frame_bytes` and returns what it made of it.
    pub(super) fn make(&self, frame_bytes: usize) -> io::Result<Vec<u8>> {
        let frame = vec![0u8; frame_bytes];
        let mut made = vec![0u8; frame_bytes];
        let mut attributes = [0; 10];
        attributes[0] = pair(self.fd.as_raw_fd() as u32, 0);
        attributes[1] = pair(frame_bytes as u32, frame_bytes as u32);
        attributes[2] = frame.as_ptr() as u64;
        attributes[3] = made.as_mut_ptr() as u64;
        attributes[4] = pair(1, 0);
        bpf(PROG_TEST_RUN, &mut attributes)?;
        made.truncate((attributes[1] >> 32) as usize);
        Ok(made)
    }
}

/// Two neighbouring fields of 32 bits; this program is for little-endian machines.
const fn pair(first: u32, second: u32) -> u64 {
    first as u64 | (second as u64) << 32
}

fn bpf(command: libc::c_long, attributes: &mut [u64]) -> io::Result<libc::c_long> {
    let size = size_of_val(attributes);
    // SAFETY: attributes of the size given, whose pointers are to memory that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn descriptor(fd: libc::c_long) -> OwnedFd {
    // SAFETY: a descriptor the kernel just made for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}
