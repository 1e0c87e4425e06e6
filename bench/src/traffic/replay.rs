//! A capture file sent through an interface as it is, in batches of system calls.
//!
//! Slower than the XDP program, but it sends what the file has, whatever that is; a full queue of the interface is waited for.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, bail};

use super::{Sent, pace::Pace};
use crate::pcap::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES};

/// Frames given to one call.
const BATCH_FRAMES: usize = 64;

/// The frames of a classic pcap file of Ethernet in this machine's byte order.
pub fn frames(file: &[u8]) -> anyhow::Result<Vec<&[u8]>> {
    let number = |at: usize| {
        file.get(at..at + 4).map(|bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    if !matches!(number(0), Some(0xa1b2_c3d4 | 0xa1b2_3c4d)) || number(20) != Some(1) {
        bail!(
            "no classic pcap file of Ethernet in this machine's byte order: `tcpdump -r FILE -w OTHER` makes one"
        );
    }
    let mut frames = Vec::new();
    let mut at = FILE_HEADER_BYTES as usize;
    while let Some(len) = number(at + 8) {
        let start = at + FRAME_HEADER_BYTES as usize;
        let frame = file.get(start..start + len as usize).context("the file ends within a frame")?;
        frames.push(frame);
        at = start + frame.len();
    }
    Ok(frames)
}

/// An interface that takes frames as they are.
#[derive(Debug)]
pub struct Wire(OwnedFd);

impl Wire {
    /// Opens it.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        // SAFETY: socket has no preconditions; protocol 0 receives nothing.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor the kernel just made for us.
        let wire = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: a zeroed address is a valid one.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = ifindex as i32;
        let place = (&raw const address).cast();
        // SAFETY: a complete address of the size given.
        let status = unsafe { libc::bind(fd, place, size_of_val(&address) as u32) };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(wire) }
    }

    /// Sends frames in order, `frames_per_second` at the most (0: no limit), `times` over.
    pub fn send(&self, frames: &[&[u8]], frames_per_second: u64, times: u64) -> anyhow::Result<Sent> {
        let mut pace = Pace::begin(frames_per_second);
        for _ in 0..times {
            let mut left = frames;
            while !left.is_empty() {
                let burst = pace.burst(BATCH_FRAMES as u64) as usize;
                let taken = self.batch(&left[..burst.min(left.len())])?;
                left = &left[taken..];
                pace.sent(taken as u64);
            }
        }
        let frames = frames.len() as u64 * times;
        Ok(Sent { laps: times, frames, transactions: 0, seconds: pace.elapsed().as_secs_f64() })
    }

    /// Sends some frames, and returns how many the interface took.
    fn batch(&self, frames: &[&[u8]]) -> anyhow::Result<usize> {
        let mut parts: Vec<libc::iovec> = frames
            .iter()
            .map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = parts.iter_mut().map(message).collect();
        let count = messages.len() as u32;
        // SAFETY: as many messages as said, each of one part that is live for the call and only read.
        let sent = unsafe { libc::sendmmsg(self.0.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
        if sent >= 0 {
            return Ok(sent as usize);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR) => Ok(0),
            _ => Err(error)
                .context("the interface does not take a frame (is it up, and its MTU large enough?)"),
        }
    }
}

fn message(part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: a zeroed message is a valid, empty one.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_iov = part;
    message.msg_hdr.msg_iovlen = 1;
    message
}

/// The number of an interface.
pub fn ifindex(name: &str) -> anyhow::Result<u32> {
    let text = CString::new(name)?;
    // SAFETY: a string that ends with a zero.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("there is no interface {name}"));
    }
    Ok(index)
}
