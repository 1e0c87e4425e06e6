//! Capture files: any bytes as pcap, pcapng or gzip of either give frames within the limit, then an end or one error.

use std::io::Cursor;

use capture::source::pcap::{FRAME_BYTES_MAX, PcapSource};

/// The input is the file.
pub(crate) fn run(input: &[u8]) {
    let mut source = match PcapSource::from_reader("fuzz", Cursor::new(input.to_vec())) {
        Ok(source) => source,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    loop {
        match source.next() {
            Ok(Some(frame)) => {
                assert!(frame.bytes.len() <= FRAME_BYTES_MAX);
                assert!(frame.ts_ns <= capture::source::pcap::TS_NS_MAX);
            }
            Ok(None) => break,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(matches!(source.next(), Ok(None)), "an error is the last that comes");
                break;
            }
        }
    }
    assert!(source.progress().bytes_read <= input.len() as u64);
}
