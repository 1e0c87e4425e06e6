//! The order of a row group's rows: those of one server, host, client and connection stand together.
//!
//! Neighbours that repeat each other is what makes pages small and statistics sharp. Sorting compares small keys:
//! servers, hosts and connections are ranked once each, so no string is compared per row.

use arrow_array::{Array, StringArray};

use super::texts::Texts;
use crate::batch::{Batch, address_rank, columns::RequestText, strings::ABSENT};

/// Sort key of one row and the row it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    server: u32,
    host: u32,
    connection: u32,
    ts_ns: i64,
    row: u32,
}

/// The rows `rows` of `batch`, whose strings are `texts`, clustered.
pub(crate) fn clustered(batch: &Batch, texts: &Texts, rows: impl Iterator<Item = u32>) -> Vec<u32> {
    let servers = ranks(batch.connections.records.len(), |at| {
        let (address, port) = batch.connections.records[at].server;
        (address_rank(address), port)
    });
    let connections = ranks(batch.connections.records.len(), |at| {
        let record = &batch.connections.records[at];
        (address_rank(record.client.0), record.client.1, record.flow_id)
    });
    let hosts = text_ranks(&texts.requests[RequestText::Host as usize].values);
    let mut keys: Vec<Key> = rows
        .map(|row| {
            let parts = &batch.rows[row as usize];
            let host = match parts.request {
                ABSENT => ABSENT,
                request => batch.requests.records[request as usize].texts[RequestText::Host as usize],
            };
            Key {
                server: servers[parts.connection as usize],
                host: if host == ABSENT { 0 } else { hosts[host as usize] + 1 },
                connection: connections[parts.connection as usize],
                ts_ns: parts.ts_ns,
                row,
            }
        })
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| key.row).collect()
}

/// Rank of each of `count` items by its key; equal keys share a rank.
fn ranks<K: Ord>(count: usize, key: impl Fn(usize) -> K) -> Vec<u32> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by_key(|&at| key(at));
    let mut ranks = vec![0; count];
    let mut rank = 0;
    for pair in order.windows(2) {
        rank += u32::from(key(pair[0]) != key(pair[1]));
        ranks[pair[1]] = rank;
    }
    ranks
}

fn text_ranks(strings: &StringArray) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).take(strings.len()).collect();
    order.sort_unstable_by_key(|&code| strings.value(code as usize));
    let mut ranks = vec![0; order.len()];
    for (rank, code) in (0..).zip(order) {
        ranks[code as usize] = rank;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_share_a_rank() {
        let keys = [30, 10, 30, 20];
        assert_eq!(ranks(4, |at| keys[at]), [2, 0, 2, 1]);
        assert_eq!(ranks(0, |_| 0), [0u32; 0]);
    }
}
