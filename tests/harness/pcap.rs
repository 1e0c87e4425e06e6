//! Captures made by hand, for tests that need a file and no network.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Writes a capture of one request (`GET /kept`) and its response, and returns its path.
///
/// # Panics
/// Where `folder` is not writable.
#[must_use]
pub fn one_transaction(folder: &Path) -> PathBuf {
    let request = b"GET /kept HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (client, server) = (([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 80));
    let after_request = 1 + request.len() as u32;
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(packet(0, frame(client, server, 1, 1, request)));
    bytes.extend(packet(1000, frame(server, client, 1, after_request, response)));
    let file = folder.join("transaction.pcap");
    fs::write(&file, bytes).expect("the folder is writable");
    file
}

fn packet(microseconds: u32, frame: Vec<u8>) -> Vec<u8> {
    let length = frame.len() as u32;
    let words = [1_700_000_000, microseconds, length, length];
    words.into_iter().flat_map(u32::to_le_bytes).chain(frame).collect()
}

type End = ([u8; 4], u16);

fn frame(from: End, to: End, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
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
    frame.extend(seq.to_be_bytes());
    frame.extend(ack.to_be_bytes());
    frame.extend([0x50, 0x18, 0x10, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}
