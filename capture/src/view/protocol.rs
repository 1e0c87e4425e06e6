//! The words of the control socket: one JSON object a line, each with the version of the protocol.
//!
//! A viewer asks once: for the state of things (`status`), for rows (`tail`), or for a table again and again (`top`). What
//! it is answered never holds a character that steers a terminal, so that any client may print it.

use std::{borrow::Cow, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    filter::Filter,
    screen,
    sighting::{Part, Sighting},
    vitals::Vitals,
    window::Tables,
};

/// Version of the protocol; raised where an old viewer would misread.
pub const VERSION: u32 = 1;

/// Bytes of a request: some times what a filter with every condition takes.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// Bytes of an answer that a viewer reads; the longest is a top report of full tables.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Milliseconds between two reports of `top`.
pub const EVERY_MS_MIN: u64 = 100;
/// See `EVERY_MS_MIN`.
pub const EVERY_MS_MAX: u64 = 60_000;

/// Lines of each table of a report.
pub const TABLE_LINES_MAX: usize = 100;

/// What a viewer asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Version of the protocol.
    pub v: u32,
    /// What for.
    pub ask: Ask,
    /// Which rows.
    #[serde(default)]
    pub filter: Filter,
    /// Milliseconds between two reports.
    #[serde(default = "every_ms_default")]
    pub every_ms: u64,
    /// Lines of each table.
    #[serde(default = "table_lines_default")]
    pub lines: usize,
}

/// See `Request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The vitals, once.
    Status,
    /// Rows as they come.
    Tail,
    /// Vitals and tables, at intervals.
    Top,
}

fn every_ms_default() -> u64 {
    1000
}

fn table_lines_default() -> usize {
    50
}

impl Request {
    /// A request of this version.
    pub fn new(ask: Ask, filter: Filter) -> Request {
        Request { v: VERSION, ask, filter, every_ms: every_ms_default(), lines: table_lines_default() }
    }

    /// Understands a line; the error says what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Request, String> {
        /// Read first: an unknown version is told as such, not as an unknown field.
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let versioned: Versioned = serde_json::from_slice(line).map_err(|error| {
            format!("not a request of this protocol, such as {{\"v\":{VERSION},\"ask\":\"status\"}}: {error}")
        })?;
        if versioned.v != VERSION {
            return Err(format!(
                "version {} of the protocol: this capture speaks version {VERSION}",
                versioned.v
            ));
        }
        let request: Request = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if !(EVERY_MS_MIN..=EVERY_MS_MAX).contains(&request.every_ms) {
            return Err(format!("every_ms {}: take {EVERY_MS_MIN} to {EVERY_MS_MAX}", request.every_ms));
        }
        if !(1..=TABLE_LINES_MAX).contains(&request.lines) {
            return Err(format!("lines {}: take 1 to {TABLE_LINES_MAX}", request.lines));
        }
        Ok(request)
    }
}

/// What a viewer is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<'a> {
    /// To `status`.
    Status(Box<Vitals>),
    /// To `tail`: a row.
    #[serde(borrow)]
    Row(Box<Row<'a>>),
    /// To `tail`: rows that were not shown, so far.
    Missed(Missed),
    /// To `top`.
    Top(Box<Top>),
    /// Nothing more comes, because the request was refused.
    Error(Cow<'a, str>),
    /// Nothing more comes, because the capture ended.
    End(Cow<'a, str>),
}

/// Rows that a viewer asked for and did not get, since it asked; those that a filter would have left out included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// Not copied by a collector.
    pub dropped: u64,
    /// Not sent, because the viewer reads too slowly.
    pub lines_dropped: u64,
}

/// A report of `top`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Top {
    /// State of the capture.
    pub vitals: Vitals,
    /// Seconds the tables reach back.
    pub window_seconds: usize,
    /// What the rows seen were about.
    pub tables: Tables,
}

/// A line as it is said.
#[derive(Serialize)]
struct Said<'a> {
    v: u32,
    #[serde(flatten)]
    answer: &'a Answer<'a>,
}

/// A line as it is heard.
#[derive(Deserialize)]
struct Line<'a> {
    v: u32,
    #[serde(flatten, borrow)]
    answer: Answer<'a>,
}

impl Answer<'_> {
    /// The answer as a line, end of line included, fit for a terminal.
    pub fn to_line(&self) -> String {
        let said = Said { v: VERSION, answer: self };
        let json = serde_json::to_string(&said).expect("an answer is text and numbers");
        let mut line = screen::fit_json(json);
        line.push('\n');
        line
    }

    /// Understands a line of a capture; the error says what is wrong with it.
    pub fn parse(line: &str) -> Result<Answer<'static>, String> {
        let line: Line<'static> = serde_json::from_str::<Line<'_>>(line)
            .map(|line| Line { v: line.v, answer: line.answer.into_owned() })
            .map_err(|error| format!("not an answer of this protocol: {error}"))?;
        if line.v != VERSION {
            return Err(format!("the capture speaks version {} of the protocol, not {VERSION}", line.v));
        }
        Ok(line.answer)
    }

    fn into_owned(self) -> Answer<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Answer::Status(vitals) => Answer::Status(vitals),
            Answer::Row(row) => Answer::Row(Box::new(row.into_owned())),
            Answer::Missed(missed) => Answer::Missed(missed),
            Answer::Top(top) => Answer::Top(top),
            Answer::Error(text) => Answer::Error(owned(text)),
            Answer::End(text) => Answer::End(owned(text)),
        }
    }
}

/// A row, under the names of the columns of the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the columns of table `http`, described in the README")]
pub struct Row<'a> {
    pub ts_ns: i64,
    pub client_ip: IpAddr,
    pub client_port: u16,
    pub server_ip: IpAddr,
    pub server_port: u16,
    pub method: Option<Cow<'a, str>>,
    pub host: Option<Cow<'a, str>>,
    pub path: Option<Cow<'a, str>>,
    pub query: Option<Cow<'a, str>>,
    pub path_template: Option<Cow<'a, str>>,
    pub status: Option<i32>,
    pub ttfb_us: Option<i64>,
    pub total_us: Option<i64>,
    pub req_body_bytes: Option<i64>,
    pub resp_body_bytes: Option<i64>,
    pub pair_state: Cow<'a, str>,
    pub sample_weight: i32,
    /// A text is longer in the files.
    pub is_cut: bool,
}

impl<'a> Row<'a> {
    /// The row of a sighting.
    pub fn of(seen: &'a Sighting) -> Row<'a> {
        let text = |part: Part| seen.text(part).map(Cow::Borrowed);
        Row {
            ts_ns: seen.ts_ns,
            client_ip: seen.client.0,
            client_port: seen.client.1,
            server_ip: seen.server.0,
            server_port: seen.server.1,
            method: text(Part::Method),
            host: text(Part::Host),
            path: text(Part::Path),
            query: text(Part::Query),
            path_template: text(Part::Template),
            status: seen.status,
            ttfb_us: seen.ttfb_us,
            total_us: seen.total_us,
            req_body_bytes: seen.req_body_bytes,
            resp_body_bytes: seen.resp_body_bytes,
            pair_state: Cow::Borrowed(seen.pair_state.name()),
            sample_weight: seen.sample_weight,
            is_cut: seen.is_cut,
        }
    }

    fn into_owned(self) -> Row<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Row {
            method: owned(self.method),
            host: owned(self.host),
            path: owned(self.path),
            query: owned(self.query),
            path_template: owned(self.path_template),
            pair_state: Cow::Owned(self.pair_state.into_owned()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::view::sighting::testing::sighting;

    #[test]
    fn requests_are_understood_or_refused_with_the_reason() {
        let request = Request::parse(br#"{"v":1,"ask":"tail","filter":{"status":"5xx"}}"#).unwrap();
        assert_eq!((request.ask, request.every_ms), (Ask::Tail, 1000));
        for (line, reason) in [
            ("", "not a request"),
            ("hello", "not a request"),
            ("{}", "not a request"),
            (r#"{"v":2,"ask":"dance","steps":3}"#, "speaks version 1"),
            (r#"{"v":1,"ask":"dance"}"#, "unknown variant"),
            (r#"{"v":1,"ask":"tail","fliter":{}}"#, "unknown field"),
            (r#"{"v":1,"ask":"tail","filter":{"status":"6x"}}"#, "is no status"),
            (r#"{"v":1,"ask":"top","every_ms":1}"#, "every_ms"),
            (r#"{"v":1,"ask":"top","lines":100000}"#, "lines"),
            (r#"{"v":1,"ask":"top","lines":-1}"#, "invalid value"),
        ] {
            let refusal = Request::parse(line.as_bytes()).unwrap_err();
            assert!(refusal.contains(reason), "{line}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Request::parse(&bytes).is_err());
        }
    }

    #[test]
    fn a_row_goes_through_the_socket_and_steers_no_terminal() {
        let seen = sighting(("GET", "shop.example", "/a\x1b[2J\u{9b}31m\u{202e}"), 200, 3);
        let line = Answer::Row(Box::new(Row::of(&seen))).to_line();
        assert!(line.trim_end().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
        let Answer::Row(row) = Answer::parse(&line).unwrap() else { panic!("{line}") };
        assert_eq!(*row, Row::of(&seen));
        assert_eq!(row.path.as_deref(), Some("/a\x1b[2J\u{9b}31m\u{202e}"));
        assert_eq!(row.pair_state, "ack_verified");
    }

    #[test]
    fn answers_of_another_version_are_refused() {
        assert!(Answer::parse(r#"{"v":2,"end":"x"}"#).unwrap_err().contains("version 2"));
        assert!(Answer::parse("{}").is_err());
        let missed = Missed { dropped: 3, lines_dropped: 1 };
        let line = Answer::Missed(missed).to_line();
        assert_eq!(line, "{\"v\":1,\"missed\":{\"dropped\":3,\"lines_dropped\":1}}\n");
    }
}
