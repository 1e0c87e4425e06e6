//! Realistic traffic: every row equals its line of the truth.

use std::collections::BTreeMap;

use bench::workload::{Options, Profile, Size, TimedFrame, Transaction, Workload};

use super::{
    pipeline::{Rings, run},
    rows::{Row, RowSide},
    seeds,
};

/// Transactions of one seed.
const TRANSACTION_COUNT: u64 = 1_500;

fn made(options: Options) -> (Vec<TimedFrame>, Vec<Transaction>) {
    let mut workload = Workload::new(options);
    let mut frames = Vec::new();
    let mut truth = Vec::new();
    while let Some(frame) = workload.next() {
        frames.push(frame);
        truth.extend(workload.take_transactions());
    }
    truth.extend(workload.take_transactions());
    (frames, truth)
}

/// The row that a transaction must become, pair state and flags apart.
fn told(transaction: &Transaction) -> (Option<RowSide>, Option<RowSide>) {
    let request = RowSide {
        seq: 0,
        start: vec![transaction.method.clone(), transaction.target.clone()],
        head_bytes: transaction.req_head_bytes,
        header_count: u64::from(transaction.req_header_count),
        header_names: String::new(),
        body_bytes: Some(transaction.req_body_bytes),
    };
    let response = RowSide {
        seq: 0,
        start: vec![transaction.status.to_string()],
        head_bytes: transaction.resp_head_bytes,
        header_count: u64::from(transaction.resp_header_count),
        header_names: String::new(),
        body_bytes: Some(transaction.resp_body_bytes),
    };
    (Some(request), Some(response))
}

fn plain(side: Option<RowSide>) -> Option<RowSide> {
    side.map(|side| RowSide { seq: 0, header_names: String::new(), ..side })
}

fn assert_told(options: Options, has_proof: bool) {
    let seed = options.seed;
    let (frames, truth) = made(options);
    let outcome = run(frames.into_iter(), Rings::One);
    assert_eq!(outcome.balance.discrepancies(), Vec::<String>::new(), "seed {seed}");
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    let count = outcome.rows.len();
    for row in outcome.rows {
        rows.insert((row.client, row.server, row.transaction_index), row);
    }
    assert_eq!(rows.len(), count, "seed {seed}: two rows of one transaction");
    for transaction in &truth {
        let ends = (
            (transaction.client_ip, transaction.client_port),
            (transaction.server_ip, transaction.server_port),
        );
        let key = (ends.0, ends.1, i64::from(transaction.transaction_index));
        let row = rows.remove(&key).unwrap_or_else(|| panic!("seed {seed}: no row of {transaction:?}"));
        assert_eq!(
            (plain(row.request.clone()), plain(row.response.clone())),
            told(transaction),
            "seed {seed}: {transaction:?} became {row:?}"
        );
        let host = row.host.as_deref().and_then(|host| host.split(':').next());
        assert_eq!(host, Some(&transaction.host[..]), "seed {seed}: {row:?}");
        assert!(!has_proof || row.pair_state == "ack_verified", "seed {seed}: {row:?}");
    }
    assert!(rows.is_empty(), "seed {seed}: rows of nothing: {rows:#?}");
}

fn options(profile: Profile, seed: u64) -> Options {
    Options::new(profile, Size::Transactions(TRANSACTION_COUNT), seed)
}

#[test]
fn undisturbed_rows_equal_the_truth() {
    for profile in [Profile::Heads, Profile::Mix] {
        for seed in seeds(4) {
            assert_told(options(profile, seed), true);
        }
    }
}

#[test]
fn late_and_doubled_frames_change_no_row() {
    for profile in [Profile::Heads, Profile::Mix] {
        for seed in seeds(4) {
            assert_told(Options { reorder: 0.03, duplicate: 0.05, ..options(profile, seed) }, false);
        }
    }
}
