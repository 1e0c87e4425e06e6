//! The allocator of the integration tests: the system's, and for each thread the bytes it holds and has held at the most.
//!
//! What one thread takes and another gives back is in the wrong account, so only work of one thread is measured.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

#[global_allocator]
static HEAP: Counting = Counting;

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn account(bytes: isize) {
    // A thread that is ending has no account any more.
    let counted = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        held.get()
    });
    if let Ok(held) = counted {
        PEAK.try_with(|peak| peak.set(peak.get().max(held))).unwrap_or_default();
    }
}

// SAFETY: every call goes to the system's allocator with its arguments as they are; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of `System`, as it is that of this trait.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        account(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller keeps the contract of `System`, as it is that of this trait.
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        account(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    // SAFETY: the caller keeps the contract of `System`, as it is that of this trait.
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        account(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Bytes this thread held at the most, above those it held before, while `work` ran.
pub(super) fn peak_bytes(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    usize::try_from(PEAK.get() - before).unwrap_or_default()
}

#[test]
fn what_is_held_is_counted() {
    let peak = peak_bytes(|| drop(vec![1_u8; 1 << 20]));
    assert!((1 << 20..2 << 20).contains(&peak), "{peak}");
}
