//! The thread that serves viewers: takes sightings from the feeds, filters and tallies them, answers at the socket.
//!
//! One loop around poll(2) that never waits for a viewer. It yields to every other thread of the process, and its work is
//! bounded by the feeds: `SHOWN_COUNT_MAX` rows a pump, and bursts beyond. Invariant: what happens here harms no capture.

mod viewer;

use std::{
    io,
    os::unix::net::UnixStream,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{info, warn};

use self::viewer::{Leave, Scene, Viewer};
use super::{
    feed::{Epoch, Feed, Tap, feed},
    socket::Socket,
    vitals::VitalsDesk,
};
use crate::{
    ledger::{CollectorLedger, Counter, ViewCounter, ViewLedger},
    limits::VIEWER_COUNT_MAX,
};

/// Between two pumps of the feeds while somebody watches; shorter than a person sees.
const PUMP: Duration = Duration::from_millis(50);

/// Between two looks at viewers that say and take nothing.
const CARE: Duration = Duration::from_millis(500);

/// How long the last words to viewers may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// Yields to the other threads of the process (`nice`).
const NICENESS: i32 = 10;

/// A hub at work; it ends when told, with the last words to its viewers.
pub struct Hub {
    desk: VitalsDesk,
    ledger: Arc<ViewLedger>,
    /// Closed to wake the thread for its end.
    door: UnixStream,
    thread: JoinHandle<()>,
}

/// What becomes a hub once the collectors are there.
pub struct HubPlan {
    socket: Socket,
    epoch: Epoch,
    taps: Vec<Tap>,
    collectors: Vec<Arc<CollectorLedger>>,
}

impl HubPlan {
    /// A hub to be, at a socket that is bound.
    pub fn new(socket: Socket) -> HubPlan {
        HubPlan { socket, epoch: Epoch::default(), taps: Vec::new(), collectors: Vec::new() }
    }

    /// The feed of one more collector.
    pub fn feed(&mut self, collector: &Arc<CollectorLedger>) -> Feed {
        let (feed, tap) = feed(&self.epoch);
        self.taps.push(tap);
        self.collectors.push(Arc::clone(collector));
        feed
    }

    /// Starts the thread.
    pub fn start(self) -> io::Result<Hub> {
        let (door, inside) = UnixStream::pair()?;
        self.epoch.divide(self.taps.len());
        let (desk, ledger) = (VitalsDesk::default(), Arc::new(ViewLedger::default()));
        info!(socket = %self.socket.path().display(), "hdrcap top and hdrcap tail can watch");
        let serving = Serving {
            plan: self,
            desk: desk.clone(),
            ledger: Arc::clone(&ledger),
            inside,
            viewers: Vec::new(),
            is_watched: false,
            pumped_at: now(),
            started_at: now(),
        };
        let thread = std::thread::Builder::new().name("hdrcap-view".into()).spawn(move || serving.run())?;
        Ok(Hub { desk, ledger, door, thread })
    }
}

impl Hub {
    /// Where the control plane leaves the vitals.
    pub fn desk(&self) -> &VitalsDesk {
        &self.desk
    }

    /// What the hub counts.
    pub fn ledger(&self) -> &Arc<ViewLedger> {
        &self.ledger
    }

    /// Shows viewers what there still is, tells them that the capture ended, and takes the socket away.
    pub fn finish(self) {
        drop(self.door);
        if self.thread.join().is_err() {
            warn!("the thread that serves viewers ended before its time; the capture is not touched by that");
        }
    }
}

struct Serving {
    plan: HubPlan,
    desk: VitalsDesk,
    ledger: Arc<ViewLedger>,
    inside: UnixStream,
    viewers: Vec<Viewer>,
    is_watched: bool,
    pumped_at: Instant,
    started_at: Instant,
}

impl Serving {
    fn run(mut self) {
        // Where it may not yield it competes: bounded all the same.
        rustix::process::setpriority_process(None, NICENESS).unwrap_or_default();
        while !self.wait() {
            self.accept();
            self.hear();
            self.pump(now());
            self.hand_over();
        }
        self.farewell();
    }

    /// Waits until something is to be done; true where it is the end.
    fn wait(&self) -> bool {
        let timeout = match (self.is_watched, self.viewers.is_empty()) {
            (true, _) => Some(timespec(PUMP)),
            (false, false) => Some(timespec(CARE)),
            (false, true) => None,
        };
        let mut fds = vec![
            PollFd::new(&self.inside, PollFlags::IN),
            PollFd::new(self.plan.socket.listener(), PollFlags::IN),
        ];
        for viewer in &self.viewers {
            let wanted = if viewer.has_mail() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            fds.push(PollFd::new(viewer.stream(), wanted));
        }
        // A failure (a signal, no memory) is looked at again in the next round.
        poll(&mut fds, timeout.as_ref()).is_ok() && !fds[0].revents().is_empty()
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.plan.socket.listener().accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let refusal = if self.viewers.len() >= VIEWER_COUNT_MAX {
                Some(format!("{VIEWER_COUNT_MAX} viewers are watching already"))
            } else {
                self.plan.socket.admit(&stream).err()
            };
            let mut viewer = Viewer::new(stream, now());
            match refusal {
                None => {
                    self.count(ViewCounter::Viewers);
                    self.viewers.push(viewer);
                }
                Some(why) => {
                    self.count(ViewCounter::ViewersRefused);
                    viewer.refuse(why);
                    // Whether the refusal can be delivered is the refused one's affair.
                    viewer.hand_over(now()).unwrap_or_default();
                }
            }
        }
    }

    fn hear(&mut self) {
        let (desk, dropped, now) = (self.desk.clone(), self.dropped(), now());
        let vitals = || desk.look();
        let scene = Scene { now, vitals: &vitals, dropped };
        let ledger = &self.ledger;
        self.viewers.retain_mut(|viewer| match viewer.hear(&scene) {
            Ok(()) => true,
            Err(Leave::Refused) => {
                ledger.add(ViewCounter::ViewRequestsBad as usize, 1);
                true
            }
            Err(Leave::Done | Leave::Slow) => false,
        });
        let is_watched = self.viewers.iter().any(Viewer::is_streaming);
        if is_watched && !self.is_watched {
            // What was left from the last time is old.
            self.plan.taps.iter_mut().for_each(|tap| while tap.pop().is_ok() {});
            self.plan.epoch.advance();
        } else if !is_watched && self.is_watched {
            self.plan.epoch.end();
        }
        self.is_watched = is_watched;
    }

    /// Takes what the collectors showed, once in a while.
    fn pump(&mut self, now: Instant) {
        if !self.is_watched || now.duration_since(self.pumped_at) < PUMP {
            return;
        }
        self.pumped_at = now;
        let second = now.duration_since(self.started_at).as_secs();
        let (desk, dropped) = (self.desk.clone(), self.dropped());
        let vitals = || desk.look();
        let scene = Scene { now, vitals: &vitals, dropped };
        self.viewers.iter_mut().for_each(|viewer| viewer.tick(second, &scene));
        let mut lines_dropped = 0;
        for tap in &mut self.plan.taps {
            for _ in 0..tap.slots() {
                let Ok(seen) = tap.pop() else { break };
                let mut line = None;
                let shown = self.viewers.iter_mut().map(|viewer| viewer.show(&seen, &mut line));
                lines_dropped += shown.filter(|is_dropped| *is_dropped).count();
            }
        }
        self.ledger.add(ViewCounter::ViewLinesDropped as usize, lines_dropped as u64);
        self.plan.epoch.advance();
    }

    fn hand_over(&mut self) {
        let (now, ledger) = (now(), &self.ledger);
        self.viewers.retain_mut(|viewer| match viewer.hand_over(now) {
            Ok(()) => true,
            Err(Leave::Slow) => {
                ledger.add(ViewCounter::ViewersDropped as usize, 1);
                false
            }
            Err(Leave::Done | Leave::Refused) => false,
        });
    }

    /// Shows the rest, says goodbye, and waits a moment for it to be read.
    fn farewell(mut self) {
        let start = now();
        self.pump(start + PUMP);
        self.viewers.iter_mut().for_each(|viewer| viewer.end("the capture ended"));
        loop {
            self.hand_over();
            let left = FAREWELL.saturating_sub(now().duration_since(start));
            if self.viewers.is_empty() || left.is_zero() {
                return;
            }
            let streams = self.viewers.iter().map(|viewer| PollFd::new(viewer.stream(), PollFlags::OUT));
            let mut fds: Vec<_> = streams.collect();
            if poll(&mut fds, Some(&timespec(left))).is_err() {
                return;
            }
        }
    }

    /// Rows that collectors did not copy, of all time.
    fn dropped(&self) -> u64 {
        let collectors = self.plan.collectors.iter();
        collectors.map(|ledger| ledger.counts.read()[Counter::WatchDropped as usize]).sum()
    }

    fn count(&self, counter: ViewCounter) {
        self.ledger.add(counter as usize, 1);
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).expect("a time of this module is short")
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the loop of the hub owns its clock")]
    Instant::now()
}

#[cfg(test)]
mod tests;
