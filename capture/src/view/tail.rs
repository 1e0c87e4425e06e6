//! `hdrcap tail`: prints transactions as they come, for people or as JSON lines, until the capture ends or it has enough.

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    client::{Answers, ViewError},
    filter::Filter,
    protocol::{Answer, Ask, Missed, Request, Row},
    screen::{cut, fit, fit_json},
};

/// What `hdrcap tail` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailSettings {
    /// Socket of the capture.
    pub control: ControlChoice,
    /// Which rows.
    pub filter: Filter,
    /// JSON lines instead of aligned text.
    pub json: bool,
    /// Ends after so many rows.
    pub count: Option<u64>,
    /// Ends after this time.
    pub duration: Option<Duration>,
    /// Whether lines are coloured.
    pub color: bool,
}

/// Which capture is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlChoice {
    /// The one at this socket.
    At(PathBuf),
    /// The only one that is running, its socket in one of these folders.
    OnlyOne(Vec<PathBuf>),
}

impl ControlChoice {
    /// The socket.
    pub fn path(&self) -> Result<PathBuf, ViewError> {
        match self {
            ControlChoice::At(path) => Ok(path.clone()),
            ControlChoice::OnlyOne(folders) => super::client::find_socket(folders),
        }
    }
}

/// Prints rows until the capture ends, the wished number came, or the time is over.
pub fn tail(settings: &TailSettings) -> anyhow::Result<ExitCode> {
    let path = settings.control.path()?;
    let mut answers = Answers::ask(&path, &Request::new(Ask::Tail, settings.filter.clone()))?;
    let deadline = settings.duration.map(|duration| now() + duration);
    let is_colored = settings.color && io::stdout().is_terminal();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut missed = Missed::default();
    let mut left = settings.count.unwrap_or(u64::MAX);
    while left > 0 {
        if !wait(&answers, deadline)? {
            break;
        }
        match answers.next_answer()? {
            Answer::Row(row) => {
                let line = if settings.json { json_line(&row) } else { text_line(&row, is_colored) };
                if writeln!(out, "{line}").is_err() {
                    // Nobody reads any more, as behind `| head`.
                    return Ok(ExitCode::SUCCESS);
                }
                left -= 1;
            }
            Answer::Missed(sum) => missed = sum,
            Answer::End(why) => {
                tell(&mut out, &fit(&why));
                break;
            }
            Answer::Status(_) | Answer::Top(_) | Answer::Error(_) => {}
        }
        if !answers.is_more_at_hand() && out.flush().is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if missed != Missed::default() {
        let Missed { dropped, lines_dropped } = missed;
        tell(
            &mut out,
            &format!("{dropped} rows were not shown (busy collectors), {lines_dropped} not read in time"),
        );
    }
    out.flush().unwrap_or_default();
    Ok(ExitCode::SUCCESS)
}

/// Waits for an answer; false where the time is over.
fn wait(answers: &Answers, deadline: Option<Instant>) -> Result<bool, ViewError> {
    let Some(deadline) = deadline else { return Ok(true) };
    if answers.is_more_at_hand() {
        return Ok(now() < deadline);
    }
    loop {
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return Ok(false);
        }
        match answers.is_readable_within(left) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => return Err(ViewError::Broken(error)),
        }
    }
}

/// A word beside the rows.
fn tell(out: &mut impl Write, text: &str) {
    // Rows first: standard error must not overtake them on a terminal.
    out.flush().unwrap_or_default();
    writeln!(io::stderr(), "hdrcap: {text}").unwrap_or_default();
}

fn json_line(row: &Row<'_>) -> String {
    fit_json(serde_json::to_string(row).expect("a row is text and numbers"))
}

/// A row in columns: time (UTC), status, time to first byte, method, client, host, target.
fn text_line(row: &Row<'_>, is_colored: bool) -> String {
    let status = row.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let (before, behind) = if is_colored { (color_of(row.status), "\x1b[0m") } else { ("", "") };
    let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map_or("-".to_owned(), fit);
    let mut target = text(&row.path);
    if let Some(query) = &row.query {
        target = format!("{target}?{}", fit(query));
    }
    let more = if row.is_cut { "…" } else { "" };
    format!(
        "{} {before}{status:>3}{behind} {:>8} {:<7} {:<21} {:<28} {target}{more}",
        time_of_day(row.ts_ns),
        row.ttfb_us.map_or_else(|| "-".to_owned(), duration),
        cut(&text(&row.method), 16),
        format!("{}:{}", row.client_ip, row.client_port),
        cut(&text(&row.host), 64),
    )
}

fn color_of(status: Option<i32>) -> &'static str {
    match status {
        Some(500..) => "\x1b[31m",
        Some(400..) => "\x1b[33m",
        Some(300..) => "\x1b[36m",
        Some(_) => "\x1b[32m",
        None => "\x1b[2m",
    }
}

/// Time of day in UTC, to the millisecond.
pub(super) fn time_of_day(unix_ns: i64) -> String {
    let millis = unix_ns.div_euclid(1_000_000).rem_euclid(86_400_000);
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Microseconds in the unit that fits.
pub(super) fn duration(micros: i64) -> String {
    match micros {
        ..1000 => format!("{micros}us"),
        1000..1_000_000 => format!("{:.1}ms", micros as f64 / 1e3),
        1_000_000.. => format!("{:.2}s", micros as f64 / 1e6),
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the duration of a tail is measured by its own loop")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sighting::testing::sighting;

    #[test]
    fn a_line_is_aligned_and_steers_no_terminal() {
        let seen = sighting(("GET", "shop.example", "/a\x1b[2J\x07\u{202e}b"), 200, 3);
        let line = text_line(&Row::of(&seen), false);
        assert_eq!(
            line,
            "22:13:20.123 200    3.0ms GET     10.0.0.1:40000        shop.example                 \
             /a\\x1B[2J\\x07\\u{202e}b"
        );
        let seen = sighting(("\x1b]0;x\x07", "h\x1bc", "/"), 503, 1200);
        let line = text_line(&Row::of(&seen), true);
        let colors = ["\x1b[31m", "\x1b[0m"];
        let rest = colors.iter().fold(line.clone(), |line, color| line.replace(color, ""));
        assert!(!rest.contains(char::is_control) && line != rest, "{line:?}");
        assert!(rest.contains(r"\x1B]0;x\x07") && rest.contains("1.20s"), "{rest}");
        let json = json_line(&Row::of(&seen));
        assert!(!json.contains(char::is_control), "{json}");
        let back: Row<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(back.method.as_deref(), Some("\x1b]0;x\x07"));
    }

    #[test]
    fn times_read_well() {
        assert_eq!(duration(999), "999us");
        assert_eq!(duration(1000), "1.0ms");
        assert_eq!(duration(2_345_678), "2.35s");
        assert_eq!(time_of_day(-1), "23:59:59.999");
        assert_eq!(time_of_day(86_400_000_000_000 + 3_661_001_000_000), "01:01:01.001");
    }
}
