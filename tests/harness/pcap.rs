//! Captures made by hand, for tests that need a file and no network.

use std::{
    fs,
    path::{Path, PathBuf},
};

const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Writes a capture of a handshake, one request (`GET /kept`) and its response, and returns its path.
///
/// # Panics
/// Where `folder` is not writable.
#[must_use]
pub fn one_transaction(folder: &Path) -> PathBuf {
    let request = b"GET /kept HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (client, server) = (End([10, 0, 0, 1], 40000), End([10, 0, 0, 2], 80));
    let answered = 1 + request.len() as u32;
    let frames = [
        frame(client, server, Tcp { seq: 0, ack: 0, flags: SYN }, b""),
        frame(server, client, Tcp { seq: 0, ack: 1, flags: SYN | ACK }, b""),
        frame(client, server, Tcp { seq: 1, ack: 1, flags: PSH | ACK }, request),
        frame(server, client, Tcp { seq: 1, ack: answered, flags: PSH | ACK }, response),
    ];
    // Microseconds, version 2.4, whole frames, Ethernet.
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1];
    let mut bytes: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
    for (frame, microseconds) in frames.iter().zip((0_u32..).step_by(1000)) {
        let length = frame.len() as u32;
        let header = [1_700_000_000, microseconds, length, length];
        bytes.extend(header.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(frame);
    }
    let file = folder.join("transaction.pcap");
    fs::write(&file, bytes).expect("the folder is writable");
    file
}

#[derive(Clone, Copy)]
struct End([u8; 4], u16);

struct Tcp {
    seq: u32,
    ack: u32,
    flags: u8,
}

fn frame(from: End, to: End, tcp: Tcp, payload: &[u8]) -> Vec<u8> {
    const LINK: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let packet_bytes = (40 + payload.len()) as u16;
    let mut frame = LINK.to_vec();
    frame.extend([0x45, 0]);
    frame.extend(packet_bytes.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(from.0);
    frame.extend(to.0);
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend(tcp.seq.to_be_bytes());
    frame.extend(tcp.ack.to_be_bytes());
    frame.extend([0x50, tcp.flags, 0x10, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}
