//! What ends the bodies of a connection's open messages: the declared length once the stream has passed it, the next head, the
//! peer's ACK, what closes chunks, or a FIN.

use super::Connection;
use crate::flow::{
    direction::{Direction, Extent},
    seq,
    transaction::Side,
};

impl Connection {
    /// Gives every open body its end, where the stream has shown it: data reached the declared length.
    pub fn settle_bodies(&mut self) {
        let Some(client) = self.client else { return };
        let [low, high] = &self.directions;
        let (up, down) = if client == 0 { (low, high) } else { (high, low) };
        for transaction in self.transactions.iter_mut() {
            if let Some(request) = &mut transaction.request {
                settle(request, up);
            }
            if let Some(response) = &mut transaction.response {
                settle(response, down);
            }
        }
    }

    /// Ends chunked bodies of one direction whose last chunk came by at or before `ts_max`, with nothing behind it.
    pub fn settle_chunked(&mut self, side: usize, ts_max: u64) {
        let Some((end, ts)) = self.directions[side].chunk_end() else { return };
        let Some(client) = self.client else { return };
        if ts > ts_max {
            return;
        }
        let way = &self.directions[side];
        let is_open = |extent, head_end| extent == Extent::Delimited && way.is_latest(head_end);
        for transaction in self.transactions.iter_mut() {
            if side == client {
                if let Some(request) =
                    transaction.request.as_mut().filter(|side| is_open(side.extent, side.head_end))
                {
                    close(request, way, end, false);
                }
            } else if let Some(response) =
                transaction.response.as_mut().filter(|side| is_open(side.extent, side.head_end))
            {
                close(response, way, end, false);
            }
        }
    }

    /// Closes the open bodies of one direction at `end`: the next head begins there, or the sender finished.
    pub fn close_bodies(&mut self, side: usize, end: u32, is_fin: bool) {
        let Some(client) = self.client else { return };
        let way = &self.directions[side];
        for transaction in self.transactions.iter_mut() {
            if side == client {
                if let Some(request) = &mut transaction.request {
                    close(request, way, end, is_fin);
                }
            } else if let Some(response) = &mut transaction.response {
                close(response, way, end, is_fin);
            }
        }
    }

    /// Closes the body of the response before the one at `position`, which is proved: nothing lies between the two
    /// where nothing lies between their requests.
    pub fn close_before(&mut self, position: usize) {
        let Some(client) = self.client else { return };
        let way = &self.directions[1 - client];
        if let Some((response, end)) = self.transactions.response_before(position) {
            close_at(response, way, end);
        }
    }

    /// Closes the body of the last response where both ends finished, the client with the request it answers.
    pub fn close_last(&mut self) {
        let Some(client) = self.client else { return };
        let (Some(asked_end), Some(end)) =
            (self.directions[client].fin_seq(), self.directions[1 - client].fin_seq())
        else {
            return;
        };
        let way = &self.directions[1 - client];
        if let Some(response) = self.transactions.proved_answer_to(asked_end) {
            close_at(response, way, end);
        }
    }

    /// Closes open response bodies by the ACK of a request that was not pipelined: the client had read all of them.
    pub fn close_acknowledged(&mut self, ack: u32) {
        let Some(client) = self.client else { return };
        if !self.transactions.has_unanswered() {
            self.close_bodies(1 - client, ack, false);
        }
    }
}

/// Ends a side whose declared body the stream has passed.
fn settle<Id>(side: &mut Side<Id>, way: &Direction) {
    if side.end_seq.is_none()
        && let Some(end) = side.extent.end_seq(side.head_end)
        && way.reached(end)
    {
        side.end_at(end, way);
    }
}

/// Ends a side that delimits itself at `end`, known from elsewhere.
fn close_at<Id>(side: &mut Side<Id>, way: &Direction, end: u32) {
    if side.end_seq.is_none() && side.extent == Extent::Delimited && seq::at_or_after(end, side.head_end) {
        side.end_at(end, way);
    }
}

/// Ends a side at `end`, or at its declared length where the stream went beyond that.
fn close<Id>(side: &mut Side<Id>, way: &Direction, end: u32, is_fin: bool) {
    if side.end_seq.is_some() || seq::after(side.head_end, end) {
        return;
    }
    match (side.extent, side.extent.end_seq(side.head_end)) {
        (Extent::None | Extent::Length(_), Some(declared)) => {
            if seq::at_or_after(end, declared) {
                side.end_at(declared, way);
            } else if is_fin {
                side.end_at(end, way);
            }
        }
        (Extent::Length(bytes), None) => {
            // Beyond 2 GiB only the exact end can be recognised, modulo the sequence space.
            if side.head_end.wrapping_add(bytes as u32) == end {
                side.end_at(end, way);
            }
        }
        (Extent::UntilClose, _) => {
            if is_fin {
                side.end_at(end, way);
            }
        }
        (Extent::Unknown, _) => {}
        (Extent::Delimited | Extent::None, _) => {
            if way.is_latest(side.head_end) && way.ended_chunks_at(end, side.ack) {
                side.end_at(end, way);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(extent: Extent) -> Side<u32> {
        Side {
            id: 0,
            seq: 100,
            head_end: 200,
            ack: None,
            sample_weight: 1,
            ts_first: 1,
            is_repeat: false,
            ts_last: 2,
            extent,
            end_seq: None,
            ts_end: None,
            version_minor: None,
            is_behind_gap: false,
        }
    }

    fn closed(extent: Extent, end: u32, is_fin: bool) -> Option<i64> {
        let mut side = side(extent);
        close(&mut side, &Direction::default(), end, is_fin);
        side.body_bytes()
    }

    #[test]
    fn bodies_end_where_tcp_says() {
        assert_eq!(closed(Extent::Delimited, 260, false), None, "another message may have passed unseen");
        assert_eq!(closed(Extent::Length(60), 260, false), Some(60));
        assert_eq!(closed(Extent::Length(60), 900, false), Some(60), "something unseen followed the body");
        assert_eq!(closed(Extent::Length(60), 230, true), Some(30), "the sender broke off");
        assert_eq!(closed(Extent::Length(60), 230, false), None);
        assert_eq!(closed(Extent::UntilClose, 230, false), None);
        assert_eq!(closed(Extent::UntilClose, 230, true), Some(30));
        assert_eq!(closed(Extent::Length(5 << 30), 200 + (5u64 << 30) as u32, false), Some(5 << 30));
        assert_eq!(
            closed(Extent::Delimited, 150, false),
            None,
            "an end before the head is of an older message"
        );
    }

    #[test]
    fn the_time_of_the_end_is_known_only_where_it_was_seen() {
        let mut way = Direction::default();
        way.observe(260, 77, false);
        let mut seen = side(Extent::Length(60));
        settle(&mut seen, &way);
        assert_eq!((seen.end_seq, seen.ts_end), (Some(260), Some(77)));
        way.observe(300, 99, true);
        let mut passed = side(Extent::Length(60));
        settle(&mut passed, &way);
        assert_eq!((passed.body_bytes(), passed.ts_end), (Some(60), None));
        let mut again = side(Extent::Length(100));
        settle(&mut again, &way);
        assert_eq!((again.body_bytes(), again.ts_end), (Some(100), None), "it may have come by before");
    }
}
