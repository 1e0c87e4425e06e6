//! The kernel half, loaded and run on frames by BPF_PROG_TEST_RUN, beside the same decision in user space.

use aya::programs::{ProgramError, TestRun as _, TestRunOptions};
use capture::source::RecordSink;
use capture::source::decider::{Decider, FrameRef};
use capture::source::live::counters;
use capture::source::live::load::{Loaded, RingPlan};
use capture::source::live::ring::Ring;
use common::config::Config;
use common::counters::Counters;
use common::decide::dissect::Link;
use common::record::Record;
use common::verdict::Verdict;
use std::io::ErrorKind;

/// Interface index the kernel gives frames of a test run: the loopback's.
const TEST_IFINDEX: u32 = 1;

/// Records with their bytes, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records(pub(crate) Vec<(Record, Vec<u8>)>);

impl RecordSink for Records {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        self.0.push((Record { ts_ns: 0, queue: 0, ..*record }, bytes.to_vec()));
    }
}

/// The loaded kernel half on one CPU.
pub(crate) struct Kernel {
    loaded: Loaded,
    ring: Ring,
    counted: Counters,
}

impl Kernel {
    /// Loads it; the calling thread stays on its CPU from now on, because flows are remembered per CPU.
    pub(crate) fn new(config: &Config, ring_bytes: u32) -> Self {
        pin();
        let (loaded, mut rings) = Loaded::load(config, RingPlan { count: 1, bytes: ring_bytes }).unwrap();
        Self { loaded, ring: rings.remove(0), counted: Counters::default() }
    }

    /// What the verifier had to follow of each program.
    pub(crate) fn verified_instructions(&mut self) -> Vec<(&'static str, u32)> {
        self.loaded.verified_instructions().unwrap()
    }

    /// Runs the program once.
    pub(crate) fn run(&mut self, frame: &[u8]) {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        self.loaded.program().unwrap().test_run(options).unwrap();
    }

    /// Runs the program many times on one frame and returns the nanoseconds of one run; the ring is empty afterwards.
    pub(crate) fn time(&mut self, frame: &[u8], repeat: u32) -> u128 {
        loop {
            let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
            let result = self.loaded.program().unwrap().test_run(options);
            self.records();
            match result {
                Ok(result) => return result.duration.as_nanos(),
                // Between two runs the kernel looks for signals and gives up where there is one.
                Err(ProgramError::SyscallError(error)) if error.io_error.kind() == ErrorKind::Interrupted => {
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Runs the program once and returns the verdict it booked, and its records.
    pub(crate) fn decide(&mut self, frame: &[u8]) -> (Verdict, Records) {
        let before = self.counters();
        self.run(frame);
        let after = self.counters();
        let changed: Vec<_> = Verdict::ALL
            .iter()
            .filter(|verdict| after.frames_of(**verdict) != before.frames_of(**verdict))
            .collect();
        assert_eq!(changed.len(), 1, "one frame, one verdict: {changed:?}");
        assert_eq!(after.frames_total(), before.frames_total() + 1);
        (*changed[0], self.records())
    }

    /// What the ring holds.
    pub(crate) fn records(&mut self) -> Records {
        let mut records = Records::default();
        while self.ring.drain(256, &mut records) > 0 {}
        assert_eq!(self.ring.invalid_records(), 0);
        assert_eq!(self.ring.fill_bytes(), 0);
        records
    }

    pub(crate) fn counters(&mut self) -> Counters {
        self.counted = counters::read(&self.loaded, 1).unwrap()[0].sum;
        self.counted
    }
}

/// The user half of the comparison.
pub(crate) fn decide_in_user_space(decider: &mut Decider, frame: &[u8]) -> (Verdict, Records) {
    let mut records = Records::default();
    let frame = FrameRef {
        ts_ns: 0,
        link: Link::Ethernet,
        bytes: frame,
        original_len: frame.len() as u32,
        ifindex: TEST_IFINDEX,
    };
    let verdict = decider.decide(frame, &mut records);
    (verdict, records)
}

fn pin() {
    // SAFETY: a zeroed set is an empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: sched_getcpu has no preconditions.
    let cpu = unsafe { libc::sched_getcpu() };
    // SAFETY: the CPU exists, so it is inside the set.
    unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    // SAFETY: a complete set of the size given, for the calling thread.
    let status = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(status, 0, "pinning to CPU {cpu}");
}
