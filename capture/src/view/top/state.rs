//! What `hdrcap top` shows and how keys change it: a value, without a terminal and without a socket.

use std::collections::VecDeque;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::view::{protocol::Top, toplist::TopLine, vitals::Vitals};

/// Reports that are remembered for the sparklines.
const HISTORY_COUNT_MAX: usize = 240;

/// Characters of a filter.
const FILTER_CHARS_MAX: usize = 60;

/// What is followed over time: its label, and the counters it is the sum of.
pub(super) const RATES: [(&str, &[&str]); 4] = [
    ("frames", &["frames"]),
    ("heads", &["heads"]),
    ("rows", &["rows"]),
    ("lost", &["ring_full", "evicted", "shed", "disk_full", "disk_error", "staging_lost"]),
];

/// Losses by stage, in the order of the flow: the label, and the counters it is the sum of.
pub(super) const LOSSES: [(&str, &[&str]); 7] = [
    ("mirror (gaps)", &["upstream_gaps"]),
    ("card", &["nic_missed", "nic_no_buffer", "nic_crc", "nic_other"]),
    ("ring full", &["ring_full"]),
    ("malformed", &["malformed"]),
    ("evicted", &["evicted"]),
    ("queue shed", &["shed"]),
    ("disk", &["disk_full", "disk_error", "staging_lost"]),
];

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hosts,
    Paths,
    Clients,
    Statuses,
    Endpoints,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] =
        [Kind::Hosts, Kind::Paths, Kind::Clients, Kind::Statuses, Kind::Endpoints];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Hosts => "hosts",
            Kind::Paths => "paths",
            Kind::Clients => "clients",
            Kind::Statuses => "statuses",
            Kind::Endpoints => "endpoints",
        }
    }

    fn lines(self, top: &Top) -> &[TopLine] {
        match self {
            Kind::Hosts => &top.tables.hosts,
            Kind::Paths => &top.tables.paths,
            Kind::Clients => &top.tables.clients,
            Kind::Statuses => &top.tables.statuses,
            Kind::Endpoints => &top.tables.endpoints,
        }
    }

    /// What a table is sorted by until somebody says otherwise.
    fn usual_sort(self) -> Sort {
        match self {
            Kind::Hosts | Kind::Paths | Kind::Clients | Kind::Statuses => Sort::Rows,
            Kind::Endpoints => Sort::P95,
        }
    }
}

/// A column that a table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Rows,
    Errors,
    P50,
    P95,
    Max,
    Name,
}

impl Sort {
    const ALL: [Sort; 6] = [Sort::Rows, Sort::Errors, Sort::P50, Sort::P95, Sort::Max, Sort::Name];

    fn rank(self, line: &TopLine) -> u64 {
        match self {
            Sort::Rows => line.rows,
            Sort::Errors => line.errors,
            Sort::P50 => line.ttfb_p50_us.unwrap_or(0),
            Sort::P95 => line.ttfb_p95_us.unwrap_or(0),
            Sort::Max => line.ttfb_max_us.unwrap_or(0),
            Sort::Name => 0,
        }
    }
}

/// How the capture is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing came yet.
    Waiting,
    /// Reports come.
    Live,
    /// It said that it ended.
    Ended,
    /// It cannot be reached; why.
    Lost(String),
}

/// What a key led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    Quit,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) link: Link,
    /// The report at hand; it stands still while paused.
    pub(super) top: Option<Top>,
    /// A rate a second per entry of `RATES`, the newest last.
    pub(super) history: [VecDeque<u64>; RATES.len()],
    pub(super) kind: Kind,
    sort: Option<Sort>,
    pub(super) is_reversed: bool,
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) is_help: bool,
    pub(super) scroll: usize,
    /// Growth of every counter a second, as of the report at hand.
    before: Option<Vitals>,
    /// The share of rows that were seen, of those there were since the report before.
    pub(super) share: Option<f64>,
}

impl Default for State {
    fn default() -> Self {
        State {
            link: Link::Waiting,
            top: None,
            history: Default::default(),
            kind: Kind::Hosts,
            sort: None,
            is_reversed: false,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            is_help: false,
            scroll: 0,
            before: None,
            share: None,
        }
    }
}

impl State {
    /// Takes a report; while paused it is let go.
    pub(super) fn take(&mut self, top: Top) {
        self.link = Link::Live;
        if self.is_paused {
            return;
        }
        if let Some(last) = self.top.replace(top) {
            self.before = Some(last.vitals);
        }
        if self.elapsed_seconds().is_some() {
            for (history, (_, names)) in self.history.iter_mut().zip(RATES) {
                let rate = self.before.as_ref().zip(self.top.as_ref()).map_or(0.0, |(before, top)| {
                    growth(before, &top.vitals, names) as f64 / seconds_between(before, &top.vitals)
                });
                history.push_back(rate.round() as u64);
                if history.len() > HISTORY_COUNT_MAX {
                    history.pop_front();
                }
            }
            self.share = self.share_now().or(self.share);
        }
    }

    fn elapsed_seconds(&self) -> Option<f64> {
        let (before, top) = (self.before.as_ref()?, self.top.as_ref()?);
        // Two reports may show the same look at the ledger.
        (top.vitals.unix_ns > before.unix_ns).then(|| seconds_between(before, &top.vitals))
    }

    fn share_now(&self) -> Option<f64> {
        let (before, top) = (self.before.as_ref()?, self.top.as_ref()?);
        let seen = growth(before, &top.vitals, &["watch_rows"]);
        let missed = growth(before, &top.vitals, &["watch_dropped"]);
        (seen + missed > 0).then(|| seen as f64 / (seen + missed) as f64)
    }

    /// Growth of counters together, a second; `None` before there are two reports.
    pub(super) fn rate(&self, names: &[&str]) -> Option<f64> {
        let seconds = self.elapsed_seconds()?;
        Some(growth(self.before.as_ref()?, &self.top.as_ref()?.vitals, names) as f64 / seconds)
    }

    /// The column the table is sorted by.
    pub(super) fn sort(&self) -> Sort {
        self.sort.unwrap_or(self.kind.usual_sort())
    }

    /// The lines of the table, filtered and sorted.
    pub(super) fn lines(&self) -> Vec<&TopLine> {
        let Some(top) = &self.top else { return Vec::new() };
        let wanted = self.filter.to_lowercase();
        let all = self.kind.lines(top).iter();
        let mut lines: Vec<&TopLine> = all.filter(|line| line.key.to_lowercase().contains(&wanted)).collect();
        let sort = self.sort();
        lines.sort_by(|a, b| sort.rank(b).cmp(&sort.rank(a)).then_with(|| a.key.cmp(&b.key)));
        if self.is_reversed {
            lines.reverse();
        }
        lines
    }

    /// Does what a key says.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other key means nothing here")]
    pub(super) fn key(&mut self, key: KeyEvent) -> Step {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return Step::Quit;
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Step::Stay;
        }
        if self.is_help {
            self.is_help = false;
            return Step::Stay;
        }
        match key.code {
            KeyCode::Char('q') => return Step::Quit,
            KeyCode::Esc if self.filter.is_empty() => return Step::Quit,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('?' | 'h') => self.is_help = true,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('s') => self.sort_by_next(),
            KeyCode::Char('r') => self.is_reversed = !self.is_reversed,
            KeyCode::Tab | KeyCode::Right => self.show(1),
            KeyCode::BackTab | KeyCode::Left => self.show(Kind::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='5') => {
                let kind = Kind::ALL[digit as usize - '1' as usize];
                self.show((kind as usize + Kind::ALL.len() - self.kind as usize) % Kind::ALL.len());
            }
            KeyCode::Down => self.scroll = (self.scroll + 1).min(self.lines().len().saturating_sub(1)),
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
        Step::Stay
    }

    /// Goes on to another table, some further.
    fn show(&mut self, further: usize) {
        self.kind = Kind::ALL[(self.kind as usize + further) % Kind::ALL.len()];
        (self.sort, self.is_reversed, self.scroll) = (None, false, 0);
    }

    fn sort_by_next(&mut self) {
        let at = Sort::ALL.iter().position(|sort| *sort == self.sort()).unwrap_or(0);
        self.sort = Some(Sort::ALL[(at + 1) % Sort::ALL.len()]);
        self.scroll = 0;
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "every other key means nothing here")]
    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.chars().count() < FILTER_CHARS_MAX => self.filter.push(c),
            _ => {}
        }
        self.scroll = 0;
    }
}

fn growth(before: &Vitals, now: &Vitals, names: &[&str]) -> u64 {
    names.iter().map(|name| now.count(name).saturating_sub(before.count(name))).sum()
}

fn seconds_between(before: &Vitals, now: &Vitals) -> f64 {
    (now.unix_ns.saturating_sub(before.unix_ns) as f64 / 1e9).max(0.001)
}
