//! Each value of column `pair_state`, by a conversation that leads to it.

use storage::values::PairState;

use super::talk::{
    Step::{self, Down, Lost, Open, Up},
    frames, rows_of,
};

const FIRST_PORT: u16 = 24_000;

const GET: Step<'_> = Up("GET /a HTTP/1.1|Host: a||");
const NEXT: Step<'_> = Up("GET /b HTTP/1.1|Host: a||");
const DONE: Step<'_> = Down("HTTP/1.1 204 No Content||");

/// A conversation whose first row has the state; a new state needs one here.
fn leading_to(state: PairState) -> &'static [Step<'static>] {
    match state {
        PairState::AckVerified => &[Open, GET, DONE],
        PairState::Positional => &[GET, DONE],
        PairState::RequestOnly => &[Open, GET, Lost(&DONE)],
        PairState::ResponseOnly => &[Open, Lost(&GET), DONE],
        PairState::Ambiguous => &[Open, GET, NEXT, Lost(&DONE), DONE],
    }
}

#[test]
fn every_pair_state_is_reached() {
    let talks = PairState::ALL.map(leading_to);
    let rows = rows_of(frames(FIRST_PORT, talks.into_iter()));
    let reached: Vec<&str> = rows.values().map(|rows| rows[0].pair_state.as_str()).collect();
    assert_eq!(reached, PairState::ALL.map(PairState::name));
}
