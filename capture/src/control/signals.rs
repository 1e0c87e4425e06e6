//! The signals that stop a capture in order (SIGINT, SIGTERM) or ask for its balance (SIGUSR1).
//!
//! Caught before the first frame can come: a stop that is asked for while the capture starts is one in order too.

use std::io;

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

/// What the process is told by whoever started it.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    account: Signal,
}

impl Signals {
    /// Catches them from here on; each stays until somebody waits for it.
    pub(super) fn catch(runtime: &Runtime) -> io::Result<Signals> {
        let _inside = runtime.enter();
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            account: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.account.recv() => Told::Account,
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// To end in order.
    Stop,
    /// To print the balance.
    Account,
}
