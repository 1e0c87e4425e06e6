//! Watching a running capture: what collectors show of their rows, the control socket, `hdrcap top` and `hdrcap tail`.
//!
//! collector → feed (bounded, lossy) → hub, a thread of its own → control socket → viewer, another process.
//! Invariant: nothing here makes a collector wait, lock or allocate; what there is no room for is dropped and counted.
//! Only redacted values come this way, and none reaches a terminal unescaped.

pub mod client;
pub mod feed;
pub mod filter;
pub mod hub;
pub mod protocol;
pub mod screen;
pub mod sighting;
pub mod socket;
pub mod tail;
pub mod top;
pub mod toplist;
pub mod vitals;
pub mod window;
