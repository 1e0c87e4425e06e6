//! Listens to the changes of one thread, and lets one of them fail.

use std::{cell::RefCell, io};

use super::Change;

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

struct Watch {
    /// Called after each change that was made.
    seen: Box<dyn FnMut(Change)>,
    /// Changes that are still made before one fails.
    until_failure: Option<(usize, i32)>,
}

/// Runs `act` with every change of this thread told to `seen`.
pub(crate) fn watched<T>(seen: impl FnMut(Change) + 'static, act: impl FnOnce() -> T) -> T {
    WATCH.with_borrow_mut(|slot| *slot = Some(Watch { seen: Box::new(seen), until_failure: None }));
    let result = act();
    WATCH.with_borrow_mut(|slot| *slot = None);
    result
}

/// Runs `act` with the change after the first `made` failing with this error number, once; false where none did.
pub(crate) fn failing<T>(made: usize, errno: i32, act: impl FnOnce() -> T) -> (T, bool) {
    let watch = Watch { seen: Box::new(|_| {}), until_failure: Some((made, errno)) };
    WATCH.with_borrow_mut(|slot| *slot = Some(watch));
    let result = act();
    let watch = WATCH.with_borrow_mut(Option::take);
    (result, watch.is_some_and(|watch| watch.until_failure.is_none()))
}

pub(super) fn before(_change: &Change) -> io::Result<()> {
    WATCH.with_borrow_mut(|slot| {
        let Some(Watch { until_failure: failure @ Some(_), .. }) = slot else { return Ok(()) };
        match failure {
            Some((0, errno)) => {
                let errno = *errno;
                *failure = None;
                Err(io::Error::from_raw_os_error(errno))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    })
}

pub(super) fn after(change: Change) {
    WATCH.with_borrow_mut(|slot| {
        if let Some(watch) = slot {
            (watch.seen)(change);
        }
    });
}
