//! `hdrcap top`: a terminal view of a running capture, refreshed until somebody leaves.
//!
//! A thread reads reports from the socket, and finds the capture again where it was lost; this one draws and reads keys.
//! Invariant: the terminal is given back as it was, whether by a key, a signal, an error or a panic.

mod draw;
mod state;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use ratatui::{
    DefaultTerminal, Terminal,
    backend::TestBackend,
    crossterm::event::{self, Event, KeyEventKind},
};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use self::state::{Link, State, Step};
use super::{
    client::Answers,
    filter::Filter,
    protocol::{Answer, Ask, Request, Top},
    screen,
    tail::ControlChoice,
};

/// Between two looks at keys and signals.
const BEAT: Duration = Duration::from_millis(100);

/// Between two tries to reach a capture that was lost.
const RETRY: Duration = Duration::from_secs(1);

/// Reports on their way from the socket to the screen.
const NEWS_COUNT_MAX: usize = 4;

/// Columns and lines of `--once` without `--json`.
const ONCE_SIZE: (u16, u16) = (120, 40);

/// What `hdrcap top` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopSettings {
    /// Socket of the capture.
    pub control: ControlChoice,
    /// Rows that the tables are of.
    pub filter: Filter,
    /// Time between two reports.
    pub every: Duration,
    /// One report, without a terminal.
    pub once: bool,
    /// As JSON.
    pub json: bool,
}

/// What the reading thread says.
enum News {
    Top(Box<Top>),
    Ended,
    Lost(String),
}

/// Shows a running capture until somebody leaves.
pub fn top(settings: &TopSettings) -> anyhow::Result<ExitCode> {
    let path = settings.control.path()?;
    let mut request = Request::new(Ask::Top, settings.filter.clone());
    request.every_ms = u64::try_from(settings.every.as_millis()).unwrap_or(u64::MAX);
    // Before the terminal is taken: who cannot watch is told so on it as it is.
    let answers = Answers::ask(&path, &request)?;
    if settings.once {
        return once(answers, settings.json);
    }
    if !io::stdout().is_terminal() {
        bail!("hdrcap top needs a terminal: give --once for one report, --once --json for a script");
    }
    let asked_to_leave = Arc::new(AtomicBool::new(false));
    // Not SIGHUP: where the terminal is gone there is nothing to give back, and who waits for keys there waits for ever.
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&asked_to_leave))
            .context("signals cannot be waited for")?;
    }
    let (sender, news) = sync_channel(NEWS_COUNT_MAX);
    // It ends with the process, or with the channel.
    std::thread::Builder::new()
        .name("hdrcap-top".into())
        .spawn(move || read(answers, &path, &request, &sender))?;
    let mut terminal = ratatui::try_init().context("the terminal could not be taken")?;
    let shown = show(&mut terminal, &news, &asked_to_leave);
    ratatui::try_restore().context("the terminal could not be given back: try the command reset")?;
    shown.context("the terminal could not be drawn to")?;
    Ok(ExitCode::SUCCESS)
}

fn show(terminal: &mut DefaultTerminal, news: &Receiver<News>, leave: &AtomicBool) -> io::Result<()> {
    let mut state = State::default();
    while !leave.load(Ordering::Relaxed) {
        while let Ok(news) = news.try_recv() {
            match news {
                News::Top(top) => state.take(*top),
                News::Ended => state.link = Link::Ended,
                News::Lost(why) => state.link = Link::Lost(why),
            }
        }
        terminal.draw(|frame| draw::draw(frame, &state))?;
        if event::poll(BEAT)?
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && state.key(key) == Step::Quit
        {
            break;
        }
    }
    Ok(())
}

/// Reads reports; where the capture ended or was lost, says so and tries again and again.
fn read(mut answers: Answers, path: &Path, request: &Request, news: &SyncSender<News>) {
    loop {
        let mut has_ended = false;
        let mut why = loop {
            let word = match answers.next_answer() {
                Ok(Answer::Top(top)) => News::Top(top),
                Ok(Answer::End(_)) => {
                    has_ended = true;
                    News::Ended
                }
                Ok(Answer::Status(_) | Answer::Row(_) | Answer::Missed(_) | Answer::Error(_)) => continue,
                Err(why) => break why,
            };
            if news.send(word).is_err() {
                return;
            }
        };
        answers = loop {
            // Behind its last word a capture hangs up; that is no loss.
            if !has_ended && news.send(News::Lost(why.to_string())).is_err() {
                return;
            }
            std::thread::sleep(RETRY);
            match Answers::ask(path, request) {
                Ok(answers) => break answers,
                Err(error) => why = error,
            }
        };
    }
}

/// Two reports, for rates, shown once.
fn once(mut answers: Answers, json: bool) -> anyhow::Result<ExitCode> {
    let mut state = State::default();
    for _ in 0..2 {
        match answers.next_answer()? {
            Answer::Top(top) => state.take(*top),
            Answer::End(why) => bail!("{}", screen::fit(&why)),
            Answer::Status(_) | Answer::Row(_) | Answer::Missed(_) | Answer::Error(_) => {}
        }
    }
    let text = if json { report(&state) } else { plain(&state)? };
    // A reader that went away has had enough.
    writeln!(io::stdout(), "{text}").unwrap_or_default();
    Ok(ExitCode::SUCCESS)
}

/// A report and the growth of its counters, as one JSON object.
fn report(state: &State) -> String {
    /// What `--once --json` prints.
    #[derive(Serialize)]
    struct Report<'a> {
        #[serde(flatten)]
        top: Option<&'a Top>,
        /// Share of the rows that the tables are of.
        sample_share: Option<f64>,
        /// Growth of each counter a second.
        per_second: std::collections::BTreeMap<&'a str, f64>,
    }
    let names = state.top.iter().flat_map(|top| top.vitals.counters.keys());
    let per_second = names.filter_map(|name| Some((name.as_str(), state.rate(&[name])?))).collect();
    let report = Report { top: state.top.as_ref(), sample_share: state.share, per_second };
    screen::fit_json(serde_json::to_string(&report).expect("a report is text and numbers"))
}

/// What a terminal would show, as text.
fn plain(state: &State) -> io::Result<String> {
    let (width, height) = ONCE_SIZE;
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw::draw(frame, state));
    let lines = text_of(terminal.backend());
    Ok(lines.join("\n"))
}

/// The lines of a drawn screen, without the spaces behind them.
fn text_of(backend: &TestBackend) -> Vec<String> {
    let buffer = backend.buffer();
    let line = |y: u16| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..buffer.area.height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests;
