//! The screen of `hdrcap top`, drawn without a terminal.

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use super::{
    draw,
    state::{Kind, Link, State, Step},
    text_of,
};
use crate::view::{
    protocol::Top,
    sighting::testing::sighting,
    vitals::{Fill, Vitals},
    window::{WINDOW_SECONDS, Window},
};

fn top(second: i64, counts: &[(&str, u64)]) -> Top {
    let mut window = Window::default();
    for nth in 0..30 {
        window.note(&sighting(("GET", "shop.example", "/api/items"), 200, 3));
        if nth < 5 {
            window.note(&sighting(("POST", "pay.example", "/pay"), 503, 1900));
        }
    }
    window.note(&sighting(("GET", "evil\x1b[2J.example", "/\u{202e}x"), 404, 1));
    Top {
        vitals: Vitals {
            sensor: "lab".into(),
            unix_ns: 1_700_000_000_000_000_000 + second * 1_000_000_000,
            started_unix_ns: 1_700_000_000_000_000_000 - 3_600_000_000_000,
            sources: vec!["mirror0".into()],
            counters: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            rings: vec![Fill { now: 1 << 20, most: 1 << 23, size: 1 << 24 }],
            queue: Fill { now: 1, most: 2, size: 3 },
            disk_free_bytes: Some(500_000_000_000),
            lag_ns: 2_000_000,
            ..Vitals::default()
        },
        window_seconds: WINDOW_SECONDS,
        tables: window.tables(50),
    }
}

fn live() -> State {
    let mut state = State::default();
    state.take(top(0, &[("frames", 1000), ("shed", 0), ("watch_rows", 0)]));
    state.take(top(
        2,
        &[("frames", 5000), ("shed", 7), ("watch_rows", 50), ("watch_dropped", 150), ("rows", 10)],
    ));
    state
}

fn screen(state: &State, (width, height): (u16, u16)) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::draw(frame, state)).unwrap();
    text_of(terminal.backend())
}

fn press(state: &mut State, keys: &str) {
    for c in keys.chars() {
        assert_eq!(state.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)), Step::Stay);
    }
}

#[test]
fn everything_fits_80_by_24_and_shows_figures() {
    for size in [(80, 24), (200, 60), (60, 15), (20, 5), (1, 1)] {
        let lines = screen(&live(), size);
        let text = lines.join("\n");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        if size.0 < 80 {
            continue;
        }
        for part in [
            "up 01:00:02  at 22:13:22  lab mirror0",
            "sample 25%",
            "frames      2000 █",
            "lost           4",
            "queue shed               7          4",
            "6% most 50% of 1",
            "1/3 most 2",
            "500.0GB",
            "shop.example",
            "36 rows in 10 s",
            "? help",
        ] {
            assert!(text.contains(part), "{part} is missing at {size:?}:\n{text}");
        }
        assert!(text.contains(r"evil\x1B[2J.example"), "{text}");
    }
}

#[test]
fn keys_choose_sort_filter_and_pause() {
    let mut state = live();
    assert_eq!(state.lines()[0].key, "shop.example");
    press(&mut state, "5");
    assert_eq!(state.kind, Kind::Endpoints);
    assert_eq!(state.lines()[0].key, "POST pay.example /pay", "the slowest first");
    press(&mut state, "r");
    assert_eq!(state.lines().last().unwrap().key, "POST pay.example /pay");
    press(&mut state, "1s");
    assert_eq!(state.lines()[0].key, "pay.example", "by errors");
    press(&mut state, "/shop");
    state.key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    assert_eq!(state.lines().len(), 1);
    assert!(screen(&state, (80, 24)).join("\n").contains("only: shop"));
    assert_eq!(state.key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), Step::Stay);
    assert_eq!(state.lines().len(), 3);
    press(&mut state, "p");
    state.take(top(4, &[("frames", 9_999_999)]));
    assert_eq!(state.top.as_ref().unwrap().vitals.count("frames"), 5000, "a paused screen stands still");
    assert!(screen(&state, (80, 24))[0].contains("PAUSED"));
    press(&mut state, "p?");
    assert!(screen(&state, (80, 24)).join("\n").contains("any key closes it"));
    press(&mut state, "x");
    assert!(!state.is_help);
    for code in [KeyCode::Down, KeyCode::Down, KeyCode::Down, KeyCode::Down, KeyCode::Tab, KeyCode::Up] {
        assert_eq!(state.key(KeyEvent::new(code, KeyModifiers::NONE)), Step::Stay);
    }
    assert_eq!(state.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Step::Quit);
    assert_eq!(state.key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)), Step::Quit);
}

#[test]
fn the_end_of_a_capture_is_told() {
    let mut state = live();
    state.link = Link::Ended;
    assert!(screen(&state, (80, 24))[0].contains("THE CAPTURE ENDED"));
    state.link = Link::Lost("no \x1b[2J answer".to_owned());
    assert!(screen(&state, (110, 24))[0].contains(r"UNREACHABLE: no \x1B[2J answer"));
    assert!(screen(&State::default(), (80, 24))[0].contains("waiting"));
}
