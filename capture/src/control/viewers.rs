//! Viewers of a capture, as the control plane sees them: the socket bound at set-up, the vitals left for the hub.

use std::sync::Arc;

use tracing::warn;

use super::snapshot::Snapshot;
use crate::{
    ledger::{VIEW_COUNTER_COUNT, ViewLedger},
    settings::ControlSettings,
    view::{
        hub::{Hub, HubPlan},
        socket::{Owners, Socket, SocketError},
        vitals::{Fill, Vitals, VitalsDesk},
    },
};

/// Binds the control socket for the user that the process will be; to be called before it gives up its rights.
///
/// `None` where nobody is to watch, or nobody can: a capture whose usual socket cannot be had goes on without.
pub(super) fn bind(control: &ControlSettings, user: u32) -> Result<Option<HubPlan>, SocketError> {
    let (path, group, is_usual) = match control {
        ControlSettings::Off => return Ok(None),
        ControlSettings::At { path, group } => (path, group, false),
        ControlSettings::Usual { path, group } => (path, group, true),
    };
    match Socket::bind(path, Owners { user: Some(user), group: group.as_deref() }) {
        Ok(socket) => Ok(Some(HubPlan::new(socket))),
        Err(error) if is_usual && !matches!(error, SocketError::NoGroup { .. }) => {
            warn!("nobody can watch this capture: {:#}", anyhow::Error::from(error));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Tells the hub how the capture does, and the rest of the control plane what the hub counts.
pub(super) struct Teller {
    desk: VitalsDesk,
    ledger: Arc<ViewLedger>,
    sensor: String,
    started_unix_ns: i64,
}

impl Teller {
    /// A teller for this hub.
    pub(super) fn new(hub: &Hub, sensor: &str) -> Teller {
        let (desk, ledger) = (hub.desk().clone(), Arc::clone(hub.ledger()));
        Teller { desk, ledger, sensor: sensor.to_owned(), started_unix_ns: 0 }
    }

    /// What the hub counted.
    pub(super) fn counts(&self) -> [u64; VIEW_COUNTER_COUNT] {
        self.ledger.read()
    }

    /// Leaves the vitals for viewers.
    pub(super) fn tell(&mut self, snapshot: &Snapshot) {
        if self.started_unix_ns == 0 {
            self.started_unix_ns = snapshot.unix_ns;
        }
        let counters = snapshot.balance().counters();
        let ring = |core: &super::snapshot::CoreView| Fill {
            now: core.ring_bytes,
            most: core.ring_bytes_max,
            size: snapshot.ring_size_bytes,
        };
        self.desk.leave(Vitals {
            sensor: self.sensor.clone(),
            pid: std::process::id(),
            unix_ns: snapshot.unix_ns,
            started_unix_ns: self.started_unix_ns,
            sources: snapshot.interfaces.iter().map(|interface| interface.name.clone()).collect(),
            counters: counters.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            rings: snapshot.cores.iter().map(ring).collect(),
            queue: Fill {
                now: snapshot.encoder.queue,
                most: snapshot.encoder.queue_max,
                size: snapshot.encoder.queue_size,
            },
            disk_free_bytes: snapshot.disk_free_bytes,
            lag_ns: snapshot.lag_ns(),
        });
    }
}
