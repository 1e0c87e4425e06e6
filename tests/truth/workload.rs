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

/// Rows equal the truth; of disturbed traffic some may be partial, and say so.
fn assert_told(options: Options, is_undisturbed: bool) {
    let seed = options.seed;
    let (frames, truth) = made(options);
    let outcome = run(frames.into_iter(), Rings::One);
    assert_eq!(outcome.balance.discrepancies(), Vec::<String>::new(), "seed {seed}");
    let mut rows: BTreeMap<_, Vec<Row>> = BTreeMap::new();
    let alone = outcome.rows.iter().filter(|row| row.request.is_none()).count();
    for row in outcome.rows.into_iter().filter(|row| row.request.is_some()) {
        rows.entry((row.client, row.server)).or_default().push(row);
    }
    for rows in rows.values_mut() {
        let seq = |row: &Row| row.request.as_ref().map_or(0, |request| request.seq);
        // The last one first, to be popped in order.
        rows.sort_by(|a, b| seq(a).wrapping_sub(seq(b)).cast_signed().cmp(&0).reverse());
    }
    // A connection that takes another one's place in the decision's memory cuts its head in progress.
    let displaced: u64 = outcome.balance.interfaces.iter().map(|interface| interface.heads_displaced).sum();
    let partial_max = if is_undisturbed { displaced as usize } else { truth.len() / 20 };
    let (mut sizes_unknown, mut partial, mut unproved) = (0, alone, 0);
    for transaction in &truth {
        let key = (
            (transaction.client_ip, transaction.client_port),
            (transaction.server_ip, transaction.server_port),
        );
        let row = rows.get_mut(&key).and_then(Vec::pop);
        let mut row = row.unwrap_or_else(|| panic!("seed {seed}: no row of {transaction:?}"));
        if row.is_partial() || row.response.is_none() {
            // A head's first segment that comes after its second.
            partial += 1;
            continue;
        }
        if let Some(response) = row.response.as_mut().filter(|response| response.body_bytes.is_none()) {
            // Two connections share a place in the decision's memory: the marks of one of them are missing.
            sizes_unknown += 1;
            response.body_bytes = Some(transaction.resp_body_bytes);
        }
        assert_eq!(
            (plain(row.request.clone()), plain(row.response.clone())),
            told(transaction),
            "seed {seed}: {transaction:?} became {row:?}"
        );
        let host = row.host.as_deref().and_then(|host| host.split(':').next());
        assert_eq!(host, Some(&transaction.host[..]), "seed {seed}: {row:?}");
        unproved += usize::from(row.pair_state != "ack_verified");
    }
    assert!(!is_undisturbed || unproved <= partial, "seed {seed}: {unproved} pairs are not proved");
    assert!(partial <= partial_max, "seed {seed}: {partial} partial rows, not {partial_max}");
    assert!(sizes_unknown * 200 < truth.len(), "seed {seed}: {sizes_unknown} body sizes unknown");
    rows.retain(|_, rows| !rows.is_empty());
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
