//! Realistic traffic: every row equals its line of the truth.

use std::{collections::BTreeMap, net::IpAddr};

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

/// What a run may lack, by what the decision is known not to see.
struct Lacks {
    /// Start lines whose first segment ends within their first token, or comes after the second.
    requests: usize,
    /// Heads cut where another connection took their place in the decision's memory, or come in the wrong order.
    partial: usize,
    /// Bodies whose end was not told of, for either reason.
    sizes: usize,
}

/// Every row equals its transaction; what is missing is within `lacks`, and nothing else is there.
fn assert_told(options: Options, lacks: impl Fn(usize, usize) -> Lacks) {
    let seed = options.seed;
    let (frames, truth) = made(options);
    let outcome = run(frames.into_iter(), Rings::One);
    assert_eq!(outcome.balance.discrepancies(), Vec::<String>::new(), "seed {seed}");
    let displaced: u64 = outcome.balance.interfaces.iter().map(|interface| interface.heads_displaced).sum();
    let lacks = lacks(truth.len(), displaced as usize);
    let (mut rows, alone) = by_connection(outcome.rows);
    let (mut requests, mut partial, mut sizes, mut unproved) = (0, 0, 0, 0);
    for transaction in &truth {
        let Some(mut row) =
            rows.get_mut(&ends(transaction)).and_then(|rows| rows.pop_if(|row| is_of(row, transaction)))
        else {
            requests += 1;
            continue;
        };
        unproved += usize::from(row.pair_state != "ack_verified");
        if row.is_partial() || row.response.is_none() {
            partial += 1;
            continue;
        }
        if let Some(response) = row.response.as_mut().filter(|response| response.body_bytes.is_none()) {
            sizes += 1;
            response.body_bytes = Some(transaction.resp_body_bytes);
        }
        let parts = (plain(row.request.clone()), plain(row.response.clone()));
        assert_eq!(parts, told(transaction), "seed {seed}: {transaction:?} became {row:?}");
        let host = row.host.as_deref().and_then(|host| host.split(':').next());
        assert_eq!(host, Some(&transaction.host[..]), "seed {seed}: {row:?}");
    }
    rows.retain(|_, rows| !rows.is_empty());
    assert!(rows.is_empty(), "seed {seed}: rows of nothing: {rows:#?}");
    assert!(requests <= lacks.requests, "seed {seed}: {requests} requests have no row");
    assert!(partial <= lacks.partial, "seed {seed}: {partial} rows are partial");
    assert!(sizes <= lacks.sizes, "seed {seed}: {sizes} body sizes are unknown");
    assert!(alone <= requests + partial, "seed {seed}: {alone} responses are alone");
    // A request behind one that was cut or not seen is only likely to be the one that is answered.
    let doubted = 2 * (lacks.requests + lacks.partial);
    assert!(unproved <= doubted, "seed {seed}: {unproved} pairs are not proved");
}

/// Client and server.
type Ends = ((IpAddr, u16), (IpAddr, u16));

fn ends(transaction: &Transaction) -> Ends {
    let Transaction { client_ip, client_port, server_ip, server_port, .. } = *transaction;
    ((client_ip, client_port), (server_ip, server_port))
}

fn is_of(row: &Row, transaction: &Transaction) -> bool {
    row.request.as_ref().is_some_and(|request| match &request.start[..] {
        [method, target] if row.is_partial() => {
            *method == transaction.method && transaction.target.starts_with(target)
        }
        start => *start == [transaction.method.clone(), transaction.target.clone()],
    })
}

/// Rows with a request, the last of each connection first, to be popped in order; and how many rows have none.
fn by_connection(all: Vec<Row>) -> (BTreeMap<Ends, Vec<Row>>, usize) {
    let mut rows: BTreeMap<_, Vec<Row>> = BTreeMap::new();
    let (asked, alone): (Vec<Row>, Vec<Row>) = all.into_iter().partition(|row| row.request.is_some());
    for row in asked {
        rows.entry((row.client, row.server)).or_default().push(row);
    }
    for rows in rows.values_mut() {
        let seq = |row: &Row| row.request.as_ref().map_or(0, |request| request.seq);
        rows.sort_by(|a, b| seq(b).wrapping_sub(seq(a)).cast_signed().cmp(&0));
    }
    (rows, alone.len())
}

fn options(profile: Profile, seed: u64) -> Options {
    Options::new(profile, Size::Transactions(TRANSACTION_COUNT), seed)
}

#[test]
fn undisturbed_rows_equal_the_truth() {
    let lacks = |_, displaced| Lacks { requests: 1, partial: displaced, sizes: 4 };
    for profile in [Profile::Heads, Profile::Mix] {
        for seed in seeds(4) {
            assert_told(options(profile, seed), lacks);
        }
    }
}

#[test]
fn late_and_doubled_frames_change_no_row() {
    let lacks = |count: usize, _| Lacks { requests: count / 100, partial: count / 20, sizes: count / 50 };
    for profile in [Profile::Heads, Profile::Mix] {
        for seed in seeds(4) {
            assert_told(Options { reorder: 0.03, duplicate: 0.05, ..options(profile, seed) }, lacks);
        }
    }
}
