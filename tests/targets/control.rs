//! The control socket, both ends: any line is a request, or an answer, or is refused with a reason; what is understood means
//! the same once it is said again, and no answer steers a terminal.

use capture::view::{
    protocol::{Answer, Request},
    sighting::Sighting,
};
use storage::{
    batch::Glance,
    values::{PairState, RowValues, TimeSource},
};

/// Every line of the input is said to a capture, and to a viewer.
pub(crate) fn run(input: &[u8]) {
    for line in input.split(|&byte| byte == b'\n') {
        match Request::parse(line) {
            Ok(request) => {
                let again = serde_json::to_vec(&request).expect("a request is text and numbers");
                assert_eq!(Request::parse(&again), Ok(request.clone()));
                let _is_wanted = request.filter.wants(&seen());
            }
            Err(why) => assert!(!why.is_empty()),
        }
        let Ok(text) = std::str::from_utf8(line) else { continue };
        match Answer::parse(text) {
            Ok(answer) => {
                let said = answer.to_line();
                assert!(!said.trim_end_matches('\n').contains(char::is_control), "{said:?}");
                let again = Answer::parse(said.trim_end()).expect("it was said by a capture");
                assert_eq!(again.to_line(), said);
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}

fn seen() -> Sighting {
    let glance = Glance {
        client: ([10, 0, 0, 1].into(), 40000),
        server: ([10, 0, 0, 2].into(), 80),
        sample_weight: 1,
        method: Some(b"GET"),
        host: Some(b"shop.example"),
        target: None,
        path: Some(b"/api/items/7"),
        query: None,
        path_template: Some(b"/api/items/{n}"),
        status: Some(503),
    };
    let values =
        RowValues { ttfb_us: Some(1), ..RowValues::unmeasured(0, TimeSource::Pcap, PairState::AckVerified) };
    Sighting::of(&glance, &values)
}
