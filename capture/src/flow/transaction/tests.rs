//! Pairing against hand-made connections: what is proved, what is only likely, what must stay alone.

use super::*;
use crate::flow::direction::Extent;

pub(super) const MSS: u32 = 100;

/// A request of `MSS` bytes at `seq`, sent when the client had read the server's stream up to `ack`.
pub(super) fn request(seq: u32, ack: u32) -> Side<RequestId> {
    side(RequestId::default(), seq, ack)
}

pub(super) fn response(seq: u32, ack: u32, extent: Extent) -> Side<ResponseId> {
    Side { extent, end_seq: None, ts_end: None, ..side(ResponseId::default(), seq, ack) }
}

fn side<Id>(id: Id, seq: u32, ack: u32) -> Side<Id> {
    Side {
        id,
        seq,
        head_end: seq.wrapping_add(MSS),
        ack: Some(ack),
        sample_weight: 1,
        ts_first: 0,
        is_repeat: false,
        ts_last: 0,
        extent: Extent::None,
        end_seq: Some(seq.wrapping_add(MSS)),
        ts_end: Some(0),
        version_minor: None,
        is_behind_gap: false,
    }
}

pub(super) fn interim_of(status: i32, seq: u32, end_seq: Option<u32>) -> Interim {
    Interim { status, seq, end_seq, is_behind_gap: false }
}

pub(super) fn open(transactions: &mut Transactions, seq: u32, ack: u32, is_continuous: bool) {
    let before = if is_continuous { Before::Continuous } else { Before::Unknown };
    assert!(transactions.open_request(request(seq, ack), RequestTraits::default(), before).is_none());
}

pub(super) fn reply(transactions: &mut Transactions, seq: u32, ack: u32) -> Option<Match> {
    let found = transactions.find(seq, Some(ack));
    if let Some(found) = found {
        transactions.answer(found, response(seq, ack, Extent::Length(50)), Flags::NONE, None);
    }
    found
}

#[test]
fn lockstep_is_proved() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    assert_eq!(
        reply(&mut transactions, 500, 1_100),
        Some(Match { position: 0, state: PairState::AckVerified })
    );
    open(&mut transactions, 1_100, 650, true);
    assert_eq!(
        reply(&mut transactions, 650, 1_200),
        Some(Match { position: 1, state: PairState::AckVerified })
    );
}

#[test]
fn the_first_pair_seen_mid_stream_is_likely_and_the_next_is_proved() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, false);
    assert_eq!(reply(&mut transactions, 500, 1_100).map(|found| found.state), Some(PairState::Positional));
    open(&mut transactions, 1_100, 650, true);
    assert_eq!(reply(&mut transactions, 650, 1_200).map(|found| found.state), Some(PairState::AckVerified));
}

#[test]
fn pipelined_responses_are_proved_in_a_chain() {
    let mut transactions = Transactions::default();
    for seq in [1_000, 1_100, 1_200] {
        open(&mut transactions, seq, 500, true);
    }
    for (position, seq) in [500, 650, 800].into_iter().enumerate() {
        let found = reply(&mut transactions, seq, 1_300);
        assert_eq!(found, Some(Match { position, state: PairState::AckVerified }));
    }
}

#[test]
fn a_lost_pipelined_response_leaves_the_next_in_doubt() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    open(&mut transactions, 1_100, 500, true);
    let found = reply(&mut transactions, 650, 1_200);
    assert_eq!(found.map(|found| found.state), Some(PairState::Ambiguous));
}

#[test]
fn a_lost_pipelined_request_proves_nothing() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    open(&mut transactions, 1_200, 500, false);
    assert_eq!(reply(&mut transactions, 500, 1_300).map(|found| found.state), Some(PairState::AckVerified));
    // Begins where the answer to the unseen request at 1100 would begin.
    let found = reply(&mut transactions, 650, 1_300);
    assert_ne!(found.map(|found| found.state), Some(PairState::AckVerified));
}

#[test]
fn after_a_lost_response_the_next_pair_is_right_at_once() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    // The client had read 150 bytes nobody here saw when it sent this.
    open(&mut transactions, 1_100, 650, true);
    let found = reply(&mut transactions, 650, 1_200);
    assert_eq!(found, Some(Match { position: 1, state: PairState::AckVerified }));
    let abandoned = transactions.get(0);
    assert!(abandoned.abandoned_at().is_some() && !abandoned.is_unanswered(), "the first request lost hope");
    let late = reply(&mut transactions, 500, 1_100);
    assert_eq!(late, Some(Match { position: 0, state: PairState::AckVerified }), "its answer was only late");
}

#[test]
fn an_interim_response_the_mirror_lost_makes_no_false_proof() {
    let mut transactions = Transactions::default();
    let traits = RequestTraits { expects_continue: true, ..RequestTraits::default() };
    transactions.open_request(request(1_000, 500), traits, Before::Continuous);
    // The client acknowledges the unseen 100 (Continue); the next response is still to the first request.
    open(&mut transactions, 1_100, 525, true);
    let found = reply(&mut transactions, 525, 1_200);
    assert_eq!(found.map(|found| found.state), Some(PairState::Ambiguous));
}

#[test]
fn interim_responses_fold_and_keep_the_chain() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    for (status, seq) in [(100, 500), (103, 525), (100, 550)] {
        let found = transactions.find(seq, Some(1_100)).expect("waits");
        assert_eq!(found.state, PairState::AckVerified);
        transactions.add_info(found, interim_of(status, seq, Some(seq + 25)));
    }
    assert_eq!(reply(&mut transactions, 575, 1_100).map(|found| found.state), Some(PairState::AckVerified));
    assert_eq!(transactions.get(0).info_status(), [100, 103, 100]);
    assert!(transactions.get(0).flags.contains(Flags::MULTIPLE_100));
}

#[test]
fn a_response_the_server_sent_before_it_had_the_request_stands_alone() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    assert_eq!(transactions.find(500, Some(1_000)), None);
    assert_eq!(transactions.find(500, None), None);
    assert!(transactions.has_unanswered());
}

#[test]
fn a_response_older_than_the_request_is_not_its_answer() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    assert_eq!(transactions.find(400, Some(1_100)), None);
}

#[test]
fn sequence_numbers_wrap() {
    let mut transactions = Transactions::default();
    open(&mut transactions, u32::MAX - 200, u32::MAX - 5, true);
    let found = reply(&mut transactions, u32::MAX - 5, u32::MAX - 100);
    assert_eq!(found.map(|found| found.state), Some(PairState::AckVerified));
}

#[test]
fn beyond_the_limit_the_oldest_leaves_flagged() {
    let mut transactions = Transactions::default();
    for nth in 0..TRANSACTION_COUNT_PER_FLOW_MAX as u32 {
        open(&mut transactions, 1_000 + nth * MSS, 500, true);
    }
    let displaced = transactions
        .open_request(request(1_000_000, 500), RequestTraits::default(), Before::Unknown)
        .expect("the limit is reached");
    assert_eq!(displaced.index, 0);
    assert!(displaced.flags.contains(Flags::PAIRING_OVERFLOW));
    assert_eq!(transactions.len(), TRANSACTION_COUNT_PER_FLOW_MAX);
}

const EARLY: Early =
    Early { status: None, interim: None, is_whole: true, extent: Extent::Length(50), flags: Flags::NONE };

fn early(transactions: &mut Transactions, seq: u32, ack: u32, early: Early) {
    let response = response(seq, ack, Extent::Unknown);
    assert!(transactions.open_response(response, Flags::RESP_UNMATCHED, early).is_none());
}

#[test]
fn a_connection_without_a_transaction_keeps_no_room_for_one() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    transactions.let_go();
    assert_eq!(
        (transactions.len(), transactions.open.capacity()),
        (1, 1),
        "what is open stays, with room for itself"
    );
    assert!(transactions.take_oldest().is_some());
    transactions.let_go();
    assert_eq!(transactions.open.capacity(), 0);
}

#[test]
fn an_answer_that_waits_is_to_have_its_request_before_later_ones() {
    let mut transactions = Transactions::default();
    early(&mut transactions, 500, 1_100, EARLY);
    assert_eq!([499, 500, 501].map(|seq| transactions.has_early_before(seq)), [false, false, true]);
    open(&mut transactions, 1_000, 500, true);
    transactions.join_early(Call::Early, None);
    assert!(!transactions.has_early_before(501), "it has it");
}

#[test]
fn an_answer_that_came_before_its_request_is_proved_all_the_same() {
    let mut transactions = Transactions::default();
    early(&mut transactions, 500, 1_100, EARLY);
    assert!(transactions.take_settled(None).is_none(), "its request may still come");
    open(&mut transactions, 1_000, 500, true);
    assert_eq!(transactions.join_early(Call::Early, None).folded, 0);
    assert_eq!(transactions.len(), 1);
    let joined = transactions.get(0);
    assert_eq!(joined.pair_state, PairState::AckVerified);
    assert!(!joined.flags.contains(Flags::RESP_UNMATCHED));
    assert_eq!(joined.response.map(|response| response.extent), Some(Extent::Length(50)));
}

pub(super) fn interim(status: i32) -> Early {
    Early { interim: Some(status), extent: Extent::None, ..EARLY }
}

#[test]
fn interim_answers_that_came_early_fold_in_order() {
    let mut transactions = Transactions::default();
    early(&mut transactions, 800, 1_100, EARLY);
    early(&mut transactions, 600, 1_100, interim(103));
    early(&mut transactions, 500, 1_100, interim(100));
    open(&mut transactions, 1_000, 500, true);
    assert_eq!(transactions.join_early(Call::Early, None).folded, 2);
    let asked = |transactions: &Transactions| {
        let asked = transactions.open.iter().find(|open| open.request.is_some());
        asked.map(|open| (open.info_status().to_vec(), open.pair_state))
    };
    // The heads of `early` are of `MSS` bytes: the final response begins where the second interim one ends only at 700.
    assert_eq!(asked(&transactions), Some((vec![100, 103], PairState::RequestOnly)));
    transactions.join_early(Call::Last, None);
    assert_eq!(asked(&transactions), Some((vec![100, 103], PairState::Positional)));
}

#[test]
fn an_interim_answer_without_its_end_proves_nothing() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    let found = transactions.find(500, Some(1_100)).expect("waits");
    transactions.add_info(found, interim_of(100, 500, None));
    assert_eq!(reply(&mut transactions, 600, 1_100).map(|found| found.state), Some(PairState::Positional));
}

#[test]
fn an_interim_answer_leads_on_only_from_where_the_answer_should_begin() {
    for (interim, expected) in [(500, Some(525)), (550, None)] {
        let mut transactions = Transactions::default();
        open(&mut transactions, 1_000, 500, false);
        let found = transactions.find(interim, Some(1_100)).expect("waits");
        assert_eq!(found.state, PairState::Positional);
        transactions.add_info(found, interim_of(100, interim, Some(interim + 25)));
        assert_eq!(transactions.get(0).response_expected, expected, "{interim}");
    }
}

#[test]
fn what_is_only_likely_makes_nothing_else_expected() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    open(&mut transactions, 1_100, 500, true);
    // The answer to the first passed unseen: the second's is taken for it, and must not prove what follows.
    assert_eq!(reply(&mut transactions, 650, 1_200).map(|found| found.state), Some(PairState::Ambiguous));
    let next = reply(&mut transactions, 800, 1_200);
    assert_ne!(next.map(|found| found.state), Some(PairState::AckVerified));
}

#[test]
fn a_late_request_mends_what_was_concluded_without_it() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_100, 500, false);
    open(&mut transactions, 1_000, 500, true);
    for (position, seq) in [500, 650].into_iter().enumerate() {
        let found = reply(&mut transactions, seq, 1_200);
        assert_eq!(found, Some(Match { position, state: PairState::AckVerified }));
    }
}

#[test]
fn a_late_request_whose_turn_is_over_proves_nothing() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, false);
    assert_eq!(reply(&mut transactions, 900, 1_200).map(|found| found.state), Some(PairState::Positional));
    open(&mut transactions, 1_100, 500, true);
    // The answer to the first one, for all that is known.
    assert_eq!(reply(&mut transactions, 500, 1_200).map(|found| found.state), Some(PairState::Positional));
}

#[test]
fn an_answer_behind_a_missing_one_waits_for_it() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    open(&mut transactions, 1_100, 500, true);
    assert!(!transactions.misses_answer_before(500, Some(1_200)), "it is the first one's");
    assert!(transactions.misses_answer_before(650, Some(1_200)), "the first one's begins at 500");
    early(&mut transactions, 650, 1_200, EARLY);
    transactions.join_early(Call::Read(700), None);
    assert_eq!(transactions.len(), 3, "the client has read the first one's: it is only late");
    assert_eq!(
        reply(&mut transactions, 500, 1_200),
        Some(Match { position: 0, state: PairState::AckVerified })
    );
    transactions.join_early(Call::Early, None);
    assert_eq!(transactions.get(1).pair_state, PairState::AckVerified, "it begins where the first one ends");
}

#[test]
fn an_answer_to_a_request_behind_a_gap_waits_for_what_is_missing() {
    let late_comes = |late: bool| {
        let mut transactions = Transactions::default();
        let behind = request(1_100, 500);
        assert!(transactions.open_request(behind, RequestTraits::default(), Before::Gap).is_none());
        early(&mut transactions, 500, 1_200, EARLY);
        transactions.join_early(Call::Early, None);
        assert_eq!(transactions.len(), 2, "a request before it may still come");
        if late {
            open(&mut transactions, 1_000, 500, false);
        }
        transactions.join_early(Call::Read(700), None);
        assert_eq!(transactions.len(), 2, "it came, or may still come though the client has read the answer");
        transactions.join_early(Call::Last, None);
        let of = |transaction: &Transaction| transaction.response.is_some() && transaction.request.is_some();
        transactions.open.iter().position(of).map(|at| transactions.get(at).request.map(|side| side.seq))
    };
    assert_eq!(late_comes(true), Some(Some(1_000)));
    assert_eq!(late_comes(false), Some(Some(1_100)), "nothing else came");
}

#[test]
fn a_late_request_takes_back_what_an_answer_before_it_proved_of_the_next() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 900, 400, true);
    open(&mut transactions, 1_000, 500, true);
    open(&mut transactions, 1_200, 500, false);
    let found = transactions.find(500, Some(1_300)).expect("the client's ACK tells");
    assert_eq!((found.position, found.state), (1, PairState::AckVerified));
    // The head of the first one's answer is in progress.
    transactions.answer(found, response(500, 1_300, Extent::Length(50)), Flags::NONE, Some(400));
    open(&mut transactions, 1_100, 500, true);
    let next = transactions.find(650, Some(1_300)).map(|found| (found.position, found.state));
    assert_eq!(
        next,
        Some((2, PairState::AckVerified)),
        "it is the late one's, not that of the one behind it"
    );
}

#[test]
fn behind_a_request_that_left_unanswered_the_answer_may_be_its() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 500, true);
    assert!(transactions.take_oldest().is_some(), "there were too many");
    open(&mut transactions, 1_100, 500, true);
    assert_eq!(reply(&mut transactions, 500, 1_200).map(|found| found.state), Some(PairState::Positional));
    open(&mut transactions, 1_200, 650, true);
    assert_eq!(reply(&mut transactions, 650, 1_300).map(|found| found.state), Some(PairState::AckVerified));
}

#[test]
fn interim_answers_that_come_behind_the_final_one_fold_in_order() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 1_000, 400, true);
    let found = transactions.find(800, Some(1_100)).unwrap();
    transactions.answer(found, response(800, 1_100, Extent::None), Flags::NONE, None);
    let mut folded = Vec::new();
    for (seq, status) in [(700, 103), (500, 100), (600, 102)] {
        early(&mut transactions, seq, 1_100, interim(status));
        folded.push(transactions.fold_late());
    }
    assert_eq!(folded, [1, 0, 2], "where nothing is missing between");
    assert_eq!(transactions.get(0).info_status(), [100, 102, 103]);
    early(&mut transactions, 300, 900, interim(100));
    assert_eq!(transactions.fold_late(), 0, "the server had not read the request");
}

#[test]
fn within_a_body_that_is_proved_no_answer_waits() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 0, 500, true);
    let answer = response(500, MSS, Extent::Delimited);
    let found = transactions.find_expected(500, Some(MSS)).unwrap();
    transactions.answer(found, answer, Flags::NONE, None);
    for seq in [650, 900] {
        early(&mut transactions, seq, MSS, EARLY);
    }
    assert_eq!(transactions.retract_in_bodies(), Retracted::default(), "nothing says where it ends");
    transactions.iter_mut().next().unwrap().response.as_mut().unwrap().end_seq = Some(900);
    assert_eq!(transactions.retract_in_bodies(), Retracted { heads: 1, messages: 0 });
    assert!(transactions.get(0).flags().contains(Flags::START_LINE_IN_BODY));
    assert_eq!((transactions.len(), transactions.get(1).response.unwrap().seq), (2, 900));
}

#[test]
fn within_the_body_of_a_request_none_waits() {
    for expects_continue in [false, true] {
        let mut transactions = Transactions::default();
        let traits = RequestTraits { expects_continue, ..RequestTraits::default() };
        let long = Side { end_seq: Some(1_000), ..request(0, 500) };
        for (side, traits) in [(long, traits), (request(300, 500), RequestTraits::default())] {
            transactions.open_request(side, traits, Before::Unknown);
        }
        let messages = u64::from(!expects_continue);
        let expected = Retracted { heads: 0, messages };
        assert_eq!(transactions.retract_in_bodies(), expected, "unless it may never have been sent");
    }
}

#[test]
fn what_an_answer_brought_goes_along_with_it() {
    let mut transactions = Transactions::default();
    for seq in [0, MSS] {
        open(&mut transactions, seq, 500, false);
    }
    early(&mut transactions, 850, 2 * MSS, interim(102));
    let end = transactions.open.back_mut().unwrap().response.as_mut().unwrap();
    (end.head_end, end.extent) = (900, Extent::None);
    let found = transactions.find(900, Some(2 * MSS)).unwrap();
    transactions.answer(found, response(900, 2 * MSS, Extent::Unknown), Flags::SWITCH_FAILED, None);
    assert_eq!(transactions.fold_before(0), 1);
    let found = transactions.find(700, Some(2 * MSS)).unwrap();
    transactions.answer(found, response(700, 2 * MSS, Extent::Unknown), Flags::NONE, None);
    let told = [0, 1].map(|at| {
        let open = transactions.get(at);
        (open.info_status().to_vec(), open.flags().contains(Flags::SWITCH_FAILED))
    });
    assert_eq!(told, [(vec![], false), (vec![102], true)]);
}

#[test]
fn a_request_that_is_taken_back_leaves_its_answer_to_another() {
    for others in [0, 1] {
        let mut transactions = Transactions::default();
        open(&mut transactions, 40, 500, false);
        if others == 1 {
            open(&mut transactions, 40 + MSS, 500, false);
        }
        let found = transactions.find(700, Some(3 * MSS)).unwrap();
        transactions.answer(found, response(700, 3 * MSS, Extent::Unknown), Flags::NONE, None);
        assert_eq!(transactions.retract_requests((0, 60)), Retracted { heads: 0, messages: 1 });
        let kept = transactions.get(0);
        assert_eq!((transactions.len(), kept.response.map(|side| side.seq)), (1, Some(700)));
        assert_eq!(kept.request.is_some(), others == 1, "or it stands alone");
        assert_eq!(kept.pair_state == PairState::ResponseOnly, others == 0);
        open(&mut transactions, 10, 500, true);
        assert_eq!(transactions.retract_requests((0, 60)), Retracted::default(), "it follows on another");
    }
}

#[test]
fn an_answer_that_is_taken_back_leaves_its_request_to_another() {
    let mut transactions = Transactions::default();
    open(&mut transactions, 0, 500, false);
    for (seq, body) in [(700, (650, 750)), (900, (899, 900))] {
        let found = transactions.find(seq, Some(MSS)).unwrap();
        transactions.answer(found, response(seq, MSS, Extent::Unknown), Flags::NONE, None);
        let messages = u64::from(seq == 700);
        assert_eq!(transactions.retract_responses(body), Retracted { heads: 0, messages });
    }
    assert_eq!(transactions.get(0).response.map(|side| side.seq), Some(900));
}
