//! Shows rows to whoever watches, where somebody does; see `view::feed`.

use storage::{
    batch::{ConnectionId, RequestId, ResponseId},
    values::RowValues,
};

use super::{Collector, Stages};
use crate::{
    ledger::Counter,
    view::{
        feed::{Feed, Shown},
        sighting::Sighting,
    },
};

impl Collector {
    /// Shows rows at this feed from now on.
    pub fn set_feed(&mut self, feed: Feed) {
        self.stages.feed = Some(feed);
    }
}

impl Stages {
    /// Learns whether somebody watches; called at burst boundaries.
    pub(super) fn look_for_viewers(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.begin_burst();
        }
    }

    /// Shows the row that was just appended.
    #[inline]
    pub(super) fn show(
        &mut self,
        ids: (ConnectionId, Option<RequestId>, Option<ResponseId>),
        values: &RowValues,
    ) {
        if self.feed.as_ref().is_some_and(Feed::is_watched) {
            self.show_watched(ids, values);
        }
    }

    #[cold]
    fn show_watched(
        &mut self,
        (connection, request, response): (ConnectionId, Option<RequestId>, Option<ResponseId>),
        values: &RowValues,
    ) {
        let (Some(feed), batch) = (&mut self.feed, &self.batch) else { return };
        let shown = feed.offer(|| Sighting::of(&batch.glance(connection, request, response), values));
        self.tally.count(match shown {
            Shown::Copied => Counter::WatchRows,
            Shown::Dropped => Counter::WatchDropped,
        });
    }
}
