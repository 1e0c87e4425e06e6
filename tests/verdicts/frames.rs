//! Frames made by hand.

use common::record::tcp_flag::{ACK, PSH};

/// A TCP segment and what it is wrapped in.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) vlans: Vec<u16>,
    pub(super) v6: bool,
    /// Type and body of IPv6 extension headers, or any bytes as IPv4 options.
    pub(super) extensions: Vec<(u8, Vec<u8>)>,
    pub(super) ip_options: Vec<u8>,
    pub(super) src: u8,
    pub(super) dst: u8,
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) tcp_options: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) protocol: u8,
    pub(super) fragment: u16,
}

impl Segment {
    pub(super) fn new(payload: &[u8]) -> Self {
        Self {
            vlans: Vec::new(),
            v6: false,
            extensions: Vec::new(),
            ip_options: Vec::new(),
            src: 1,
            dst: 2,
            src_port: 40000,
            dst_port: 80,
            seq: 1000,
            ack: 5000,
            flags: ACK | PSH,
            tcp_options: Vec::new(),
            payload: payload.to_vec(),
            protocol: 6,
            fragment: 0,
        }
    }

    pub(super) fn at(mut self, seq: u32) -> Self {
        self.seq = seq;
        self
    }

    pub(super) fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// The same in the other direction.
    pub(super) fn back(mut self) -> Self {
        std::mem::swap(&mut self.src, &mut self.dst);
        std::mem::swap(&mut self.src_port, &mut self.dst_port);
        std::mem::swap(&mut self.seq, &mut self.ack);
        self
    }

    /// From the link layer on.
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, self.dst, 2, 0, 0, 0, 0, self.src];
        for vlan in &self.vlans {
            frame.extend([0x81, 0x00]);
            frame.extend(vlan.to_be_bytes());
        }
        frame.extend(if self.v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        frame.extend(if self.v6 { self.ipv6() } else { self.ipv4() });
        frame
    }

    fn tcp(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.src_port.to_be_bytes());
        tcp.extend(self.dst_port.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([(5 + self.tcp_options.len() as u8 / 4) << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(&self.tcp_options);
        tcp.extend(&self.payload);
        tcp
    }

    fn ipv4(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let header_len = 20 + self.ip_options.len();
        let mut ip = vec![0x40 | (header_len / 4) as u8, 0];
        ip.extend(((header_len + tcp.len()) as u16).to_be_bytes());
        ip.extend([0, 7]);
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([64, self.protocol, 0, 0, 10, 0, 0, self.src, 10, 0, 0, self.dst]);
        ip.extend(&self.ip_options);
        ip.extend(tcp);
        ip
    }

    fn ipv6(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (index, (_, content)) in self.extensions.iter().enumerate() {
            body.push(self.extensions.get(index + 1).map_or(self.protocol, |next| next.0));
            body.extend(content);
        }
        body.extend(self.tcp());
        let first = self.extensions.first().map_or(self.protocol, |first| first.0);
        let mut ip = vec![0x60, 0, 0, 0];
        ip.extend((body.len() as u16).to_be_bytes());
        ip.extend([first, 64]);
        for host in [self.src, self.dst] {
            ip.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
        ip.extend(body);
        ip
    }
}

/// A request head of exactly so many bytes, its empty line included.
pub(super) fn head(bytes: usize) -> Vec<u8> {
    let mut head = b"GET /index.html HTTP/1.1\r\nHost: example.org\r\n".to_vec();
    while head.len() + 48 < bytes {
        head.extend(b"X-Field: 0123456789abcdef0123\r\n");
    }
    head.extend(b"X: ");
    while head.len() + 4 < bytes {
        head.push(b'v');
    }
    head.extend(b"\r\n\r\n");
    assert_eq!(head.len(), bytes, "a head needs room for its first lines");
    head
}

/// A body in chunks of random sizes.
pub(super) fn chunked(mut body: &[u8], random: &mut Random) -> Vec<u8> {
    let mut chunked = Vec::new();
    while !body.is_empty() {
        let (chunk, rest) = body.split_at(body.len().min(1 + random.below(700)));
        let extension = *random.pick(&["", "", ";a=b", " "]);
        chunked.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        chunked.extend([chunk, b"\r\n"].concat());
        body = rest;
    }
    chunked.extend(format!("0\r\n{}\r\n", random.pick(&["", "X-Trailer: t\r\n"])).bytes());
    chunked
}

/// Small numbers that look random and are the same in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
