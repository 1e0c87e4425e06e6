//! Threads beside the pipeline that see to the dataset every now and then, until they are told to stop.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{RecvTimeoutError, Sender};

/// Such a thread.
pub struct Beside {
    stop: Sender<()>,
    is_stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Beside {
    /// Starts a thread that calls `act` at once and then whenever `pause` has passed; `act` may look whether it is to end.
    pub fn start(
        name: &str,
        pause: Duration,
        mut act: impl FnMut(&AtomicBool) + Send + 'static,
    ) -> io::Result<Beside> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_stopping);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            loop {
                act(&seen);
                match stopped.recv_timeout(pause) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Beside { stop, is_stopping, thread })
    }

    /// Waits until what is under way is over, or has given up.
    pub fn stop(self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        drop(self.stop);
        self.thread.join().expect("what runs beside the pipeline does not panic");
    }
}
