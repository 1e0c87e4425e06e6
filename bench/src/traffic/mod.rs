//! Live traffic: a workload's frames sent through an interface, lap after lap, by an XDP program in the kernel.
//!
//! Each lap has other clients, ports, sequence numbers and targets, so that every frame is distinct. Invariant: only
//! whole laps are sent, so that what a capture must find is a lap's truth, so many times.

mod kernel;
pub mod pace;
mod program;
pub mod replay;
pub mod slot;

use std::{io, time::Duration};

use anyhow::Context as _;
use serde::Serialize;

use crate::workload::{Options, Summary, Transaction, Workload};
use kernel::{ArrayMap, BATCH_FRAMES, Program};
use pace::Pace;
use program::state;
use slot::{FRAME_BYTES_MAX, Slot};

/// Frames between two looks at the clock.
const BURST_FRAMES: u64 = 16 * BATCH_FRAMES as u64;

/// A lap's frames, and what is true about them.
#[derive(Debug)]
pub struct Lap {
    /// Frames in order.
    pub slots: Vec<Slot>,
    /// Sums over them.
    pub summary: Summary,
    /// Their transactions, as of lap 0 but with the workload's own targets.
    pub transactions: Vec<Transaction>,
    /// Numbers by which the clients' addresses of a lap differ from those of the one before.
    pub address_step: u32,
}

impl Lap {
    /// The frames of a workload.
    pub fn new(options: Options) -> anyhow::Result<Self> {
        let mut workload = Workload::new(options);
        let mut slots = Vec::new();
        let mut transactions = Vec::new();
        while let Some(frame) = workload.next() {
            slots.push(Slot::new(frame.bytes)?);
            transactions.extend(workload.take_transactions());
        }
        let summary = workload.summary().clone();
        let address_step = (summary.connections as u32 + 1).next_power_of_two();
        Ok(Self { slots, summary, transactions, address_step })
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sent {
    /// Whole laps.
    pub laps: u64,
    /// Frames.
    pub frames: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Time it took.
    pub seconds: f64,
}

/// A lap in the kernel's memory, ready to be sent.
#[derive(Debug)]
pub struct Generator {
    lap: Lap,
    state: ArrayMap,
    _slots: ArrayMap,
    program: Program,
}

impl Generator {
    /// Loads a lap and the program that sends it out of an interface.
    pub fn load(lap: Lap, ifindex: u32) -> anyhow::Result<Self> {
        let count = u32::try_from(lap.slots.len()).context("too many frames")?;
        let loaded = || -> io::Result<_> {
            let slots = ArrayMap::new(slot::SLOT_BYTES, count)?;
            for (index, slot) in (0..).zip(&lap.slots) {
                slots.set(index, &slot.as_value())?;
            }
            let state = ArrayMap::new(state::BYTES, 1)?;
            let program = Program::load(&program::program(state.fd(), slots.fd(), lap.address_step))?;
            Ok((state, slots, program))
        };
        let (state, slots, program) =
            loaded().context("the traffic generator could not be loaded into the kernel (it needs root)")?;
        let mut value = [0; state::BYTES];
        value[state::SLOT_COUNT as usize..][..4].copy_from_slice(&count.to_ne_bytes());
        value[state::IFINDEX as usize..][..4].copy_from_slice(&ifindex.to_ne_bytes());
        state.set(0, &value)?;
        Ok(Self { lap, state, _slots: slots, program })
    }

    /// The lap it sends.
    pub fn lap(&self) -> &Lap {
        &self.lap
    }

    /// Sends whole laps, so many frames a second (0: as fast as it can), until the duration is over.
    pub fn send(&self, frames_per_second: u64, duration: Duration) -> anyhow::Result<Sent> {
        let lap_frames = self.lap.slots.len() as u64;
        let mut pace = Pace::begin(frames_per_second);
        let mut laps = 0;
        while laps == 0 || pace.elapsed() < duration {
            let mut left = lap_frames;
            while left > 0 {
                let burst = pace.burst(BURST_FRAMES).min(left);
                // The kernel sends whole batches, so what is no multiple of one goes by itself.
                let burst =
                    if burst > BATCH_FRAMES.into() { burst - burst % u64::from(BATCH_FRAMES) } else { burst };
                self.program.send(FRAME_BYTES_MAX, burst as u32).context("the frames could not be sent")?;
                left -= burst;
                pace.sent(burst);
            }
            laps += 1;
        }
        let sent = Sent {
            laps,
            frames: laps * lap_frames,
            transactions: laps * self.lap.summary.transactions,
            seconds: pace.elapsed().as_secs_f64(),
        };
        let (next, lap) = self.position()?;
        anyhow::ensure!(
            (next, u64::from(lap)) == (0, laps),
            "the kernel is at frame {next} of lap {lap}, not of {laps}"
        );
        Ok(sent)
    }

    /// The next frame, made as it would be sent.
    pub fn make(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.program.make(FRAME_BYTES_MAX)?)
    }

    fn position(&self) -> io::Result<(u32, u32)> {
        let value: [u8; state::BYTES] = self.state.get(0)?;
        let field = |at: i16| {
            let at = at as usize;
            u32::from_ne_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]])
        };
        Ok((field(state::NEXT), field(state::LAP)))
    }
}
