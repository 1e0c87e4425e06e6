//! Which cores a collector may run on: its own, and any of the process while it is behind.
//!
//! A core may have more to do than its collector: the card's interrupts with the kernel half in them, or somebody else's work.
//! While its ring fills there, others may be idle. The kernel's scheduler knows where there is room, so a collector that is
//! behind is left to it, and comes back to its caches when it has kept up for a while.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A collector is behind where more than one in so many bytes of its ring are taken: what an idle core's wake-up, a burst of the
/// card or a slice of another thread leave there is less.
const BEHIND_SHARE: u64 = 16;

/// How long it must have kept up until it comes back.
const CALM_NS: u64 = 1_000_000_000;

/// Where the calling thread may run. Belongs to it, and stays with it.
#[derive(Debug)]
pub struct Affinity {
    own: CpuSet,
    all: CpuSet,
    holding: Holding,
}

impl Affinity {
    /// Pins the calling thread to a core.
    ///
    /// # Errors
    ///
    /// The core does not exist, or is none of the process's (cpuset).
    pub fn pin(core: u32) -> rustix::io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let mut own = CpuSet::new();
        own.set(core as usize);
        sched_setaffinity(None, &own)?;
        Ok(Self { own, all, holding: Holding::default() })
    }

    /// Lets the calling thread leave its core where its ring is that full, or come back; returns whether it leaves now. Where
    /// the kernel does not let it, it stays.
    #[inline]
    pub fn follow(&mut self, fill_bytes: u64, capacity_bytes: u64, now_ns: u64) -> bool {
        match self.holding.follow(fill_bytes > capacity_bytes / BEHIND_SHARE, now_ns) {
            Some(Move::Leave) => sched_setaffinity(None, &self.all).is_ok(),
            Some(Move::Return) => {
                // Where its core was taken from the process meanwhile, any other will do.
                sched_setaffinity(None, &self.own).unwrap_or_default();
                false
            }
            None => false,
        }
    }
}

/// Whether a collector holds to its core.
#[derive(Debug, Default)]
struct Holding {
    has_left: bool,
    /// When it was last behind.
    behind_ns: u64,
}

/// What changes.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    Leave,
    Return,
}

impl Holding {
    #[inline]
    fn follow(&mut self, is_behind: bool, now_ns: u64) -> Option<Move> {
        if is_behind {
            self.behind_ns = now_ns;
            return (!std::mem::replace(&mut self.has_left, true)).then_some(Move::Leave);
        }
        if self.has_left && now_ns.saturating_sub(self.behind_ns) >= CALM_NS {
            self.has_left = false;
            return Some(Move::Return);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING_BYTES: u64 = 1 << 20;

    #[test]
    fn it_leaves_once_and_returns_when_it_kept_up() {
        let mut holding = Holding::default();
        assert_eq!(holding.follow(false, 0), None);
        assert_eq!(holding.follow(true, 10), Some(Move::Leave));
        assert_eq!(holding.follow(true, 20), None, "it has left");
        assert_eq!(holding.follow(false, 19 + CALM_NS), None, "too early");
        assert_eq!(holding.follow(true, 30 + CALM_NS), None);
        assert_eq!(holding.follow(false, 29 + 2 * CALM_NS), None, "it was behind again");
        assert_eq!(holding.follow(false, 30 + 2 * CALM_NS), Some(Move::Return));
        assert_eq!(holding.follow(false, 40 + 2 * CALM_NS), None, "it is back");
        assert_eq!(holding.follow(true, 50 + 2 * CALM_NS), Some(Move::Leave));
    }

    #[test]
    fn a_thread_that_is_behind_may_run_where_its_process_may() {
        let cores = || sched_getaffinity(None).expect("a thread's cores");
        let of_process = cores();
        let core = (0..CpuSet::MAX_CPU).find(|core| of_process.is_set(*core)).expect("a core");
        let followed = std::thread::spawn(move || {
            let mut affinity = Affinity::pin(core as u32).expect("a core of this process");
            let pinned = cores();
            assert!(!affinity.follow(RING_BYTES / BEHIND_SHARE, RING_BYTES, 1), "it keeps up");
            assert_eq!(cores(), pinned);
            assert!(affinity.follow(RING_BYTES / BEHIND_SHARE + 1, RING_BYTES, 2));
            let behind = cores();
            assert!(!affinity.follow(0, RING_BYTES, 2 + CALM_NS));
            (pinned, behind, cores())
        });
        let mut own = CpuSet::new();
        own.set(core);
        assert_eq!(followed.join().expect("no panic"), (own, of_process, own));
        assert_eq!(cores(), of_process, "no other thread moves");
    }

    #[test]
    fn a_core_that_does_not_exist_is_an_error() {
        let pinned = std::thread::spawn(|| Affinity::pin(CpuSet::MAX_CPU as u32 - 1).is_err());
        assert!(pinned.join().expect("no panic"));
    }
}
