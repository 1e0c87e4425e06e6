//! Draws the state of `hdrcap top`: a title, rates and losses, a table, a line of keys. Fits 80 by 24 and larger.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table},
};

use super::state::{Kind, LOSSES, Link, RATES, Sort, State};
use crate::view::{
    screen::{cut, fit},
    tail::{duration, time_of_day},
    toplist::TopLine,
    vitals::{Fill, Vitals},
};

/// Lines of the middle: as many as there are losses, and a frame.
const MIDDLE_LINES: u16 = LOSSES.len() as u16 + 2;

const HELP: &str = "\
 Tab, arrows, 1-5   next table, or that one: hosts, paths, clients,
                    statuses, endpoints (slowest first)
 s, r               sort by the next column; reverse
 /                  show only lines with this text; Esc clears
 p, space           pause; the capture goes on
 up, down, Home     scroll
 q, Ctrl-C          leave; the capture goes on

 Tables are of the last seconds, and of the rows that were
 seen: under load collectors show one row in some, and the
 title says which share. Rates, losses and fills are of all.
 err: status 500 and above. Times: to the first byte.";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let [title, middle, table, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(MIDDLE_LINES),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(state), title);
    let [rates, losses] = Layout::horizontal([Constraint::Min(40), Constraint::Length(40)]).areas(middle);
    draw_rates(frame, rates, state);
    draw_losses(frame, losses, state);
    draw_table(frame, table, state);
    frame.render_widget(keys_line(state), keys);
    if state.is_help {
        draw_help(frame);
    }
}

/// What is unusual comes first: a narrow terminal cuts the rest.
fn title_line(state: &State) -> Line<'static> {
    let mut spans = vec![Span::from("hdrcap top  ").bold()];
    let mut loud = |text: String, color: Color| {
        spans.push(Span::styled(format!("{text}  "), Style::new().fg(color).add_modifier(Modifier::BOLD)));
    };
    match &state.link {
        Link::Waiting => loud("waiting for the capture".to_owned(), Color::Yellow),
        Link::Live => {}
        Link::Ended => loud("THE CAPTURE ENDED".to_owned(), Color::Red),
        Link::Lost(why) => loud(format!("UNREACHABLE: {}", fit(why)), Color::Red),
    }
    if state.is_paused {
        loud("PAUSED".to_owned(), Color::Yellow);
    }
    if let Some(share) = state.share {
        spans.push(Span::from(format!("sample {:.0}%  ", share * 100.0)));
    }
    if let Some(top) = &state.top {
        let vitals = &top.vitals;
        let up_seconds = vitals.unix_ns.saturating_sub(vitals.started_unix_ns).max(0) / 1_000_000_000;
        spans.push(Span::from(format!(
            "up {:02}:{:02}:{:02}  at {}  {} {}",
            up_seconds / 3600,
            up_seconds / 60 % 60,
            up_seconds % 60,
            &time_of_day(vitals.unix_ns)[..8],
            cut(&fit(&vitals.sensor), 32),
            cut(&fit(&vitals.sources.join(",")), 32),
        )));
    }
    Line::from(spans)
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let block = Block::bordered().title("a second");
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let lines = Layout::vertical([Constraint::Length(1); RATES.len() + 3]).split(inside);
    for (nth, (label, _)) in RATES.into_iter().enumerate() {
        let [words, spark] =
            Layout::horizontal([Constraint::Length(17), Constraint::Min(5)]).areas(lines[nth]);
        let history = &state.history[nth];
        let now = history.back().map_or_else(|| "-".to_owned(), |rate| short(*rate));
        let is_bad = label == "lost" && history.back().is_some_and(|rate| *rate > 0);
        let style = if is_bad { Style::new().fg(Color::Red) } else { Style::new() };
        frame.render_widget(Line::from(format!("{label:<7}{now:>9} ")).style(style), words);
        let width = usize::from(spark.width);
        let data: Vec<u64> = history.iter().skip(history.len().saturating_sub(width)).copied().collect();
        frame.render_widget(Sparkline::default().data(data).style(style.patch(Style::new().dim())), spark);
    }
    if let Some(top) = &state.top {
        for (nth, line) in fill_lines(&top.vitals).into_iter().enumerate() {
            frame.render_widget(line, lines[RATES.len() + nth]);
        }
    }
}

/// Fill of rings and queue, and what is free on disk.
fn fill_lines(vitals: &Vitals) -> [Line<'static>; 3] {
    let fullest = vitals.rings.iter().max_by_key(|ring| ring.most).copied().unwrap_or_default();
    let rings = match vitals.rings.len() {
        _ if fullest.size == 0 => "none (files)".to_owned(),
        count => format!("{} most {} of {count}", share(fullest.now, fullest), share(fullest.most, fullest)),
    };
    let queue = format!(
        "{}/{} most {}  lag {}",
        vitals.queue.now,
        vitals.queue.size,
        vitals.queue.most,
        duration(i64::try_from(vitals.lag_ns / 1000).unwrap_or(i64::MAX))
    );
    let disk =
        vitals.disk_free_bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{}B", short(bytes)));
    let line = |label: &str, text: String, is_bad: bool| {
        let line = Line::from(format!("{label:<10}{text}"));
        if is_bad { line.fg(Color::Red) } else { line }
    };
    let is_tight = |fill: Fill| fill.size > 0 && fill.most * 10 >= fill.size * 9;
    let is_disk_tight = vitals.disk_free_bytes.is_some_and(|bytes| bytes < 1 << 30);
    [
        line("rings", rings, is_tight(fullest)),
        line("queue", queue, is_tight(vitals.queue)),
        line("disk free", disk, is_disk_tight),
    ]
}

fn share(bytes: u64, of: Fill) -> String {
    format!("{}%", bytes * 100 / of.size.max(1))
}

fn draw_losses(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let block = Block::bordered().title("lost: in all, a second");
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let Some(top) = &state.top else { return };
    let lines = LOSSES.map(|(label, names)| {
        let sum: u64 = names.iter().map(|name| top.vitals.count(name)).sum();
        let rate = state.rate(names).map_or_else(|| "-".to_owned(), |rate| short(rate.round() as u64));
        let line = Line::from(format!("{label:<14}{:>12}{rate:>11}", short(sum)));
        match (sum, state.rate(names)) {
            (_, Some(rate)) if rate > 0.0 => line.fg(Color::Red),
            (1.., _) => line.fg(Color::Yellow),
            (0, _) => line.dim(),
        }
    });
    frame.render_widget(Paragraph::new(lines.to_vec()), inside);
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let lines = state.lines();
    let tabs = Kind::ALL.into_iter().enumerate().flat_map(|(nth, kind)| {
        let name = format!(" {}:{} ", nth + 1, kind.name());
        let is_shown = kind == state.kind;
        [if is_shown { Span::from(name).reversed().bold() } else { Span::from(name) }]
    });
    let window = state.top.as_ref().map_or(0, |top| top.window_seconds);
    let rows_seen = state.top.as_ref().map_or(0, |top| top.tables.rows);
    let block = Block::bordered()
        .title(Line::from_iter(tabs))
        .title(Line::from(format!(" {} rows in {window} s ", short(rows_seen))).alignment(Alignment::Right));
    let widths = [
        Constraint::Min(20),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    // What a line of the table may take: two frames, six columns and the spaces between.
    let key_width = usize::from(area.width.saturating_sub(2 + 50 + 6)).max(20);
    let rows = lines.iter().skip(state.scroll).map(|line| table_row(line, rows_seen, key_width));
    let head = Row::new(
        [
            (Some(Sort::Name), state.kind.name()),
            (Some(Sort::Rows), "rows"),
            (None, "share"),
            (Some(Sort::Errors), "err"),
            (Some(Sort::P50), "p50"),
            (Some(Sort::P95), "p95"),
            (Some(Sort::Max), "max"),
        ]
        .map(|(sort, name)| {
            let is_sorted = sort == Some(state.sort());
            let arrow = if state.is_reversed { "^" } else { "v" };
            let text = if is_sorted { format!("{name}{arrow}") } else { name.to_owned() };
            let is_key = sort == Some(Sort::Name);
            Cell::from(Line::from(text).alignment(if is_key { Alignment::Left } else { Alignment::Right }))
        }),
    )
    .bold();
    frame.render_widget(Table::new(rows, widths).header(head).block(block), area);
}

fn table_row(line: &TopLine, rows_seen: u64, key_width: usize) -> Row<'static> {
    let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    let time = |micros: Option<u64>| {
        right(micros.map_or_else(|| "-".to_owned(), |us| duration(i64::try_from(us).unwrap_or(i64::MAX))))
    };
    let about = if line.over > 0 { "~" } else { "" };
    let row = Row::new([
        Cell::from(cut(&fit(&line.key), key_width)),
        right(format!("{about}{}", short(line.rows))),
        right(format!("{:.1}%", line.rows as f64 * 100.0 / rows_seen.max(1) as f64)),
        right(short(line.errors)),
        time(line.ttfb_p50_us),
        time(line.ttfb_p95_us),
        time(line.ttfb_max_us),
    ]);
    if line.errors > 0 { row.fg(Color::Red) } else { row }
}

fn keys_line(state: &State) -> Line<'static> {
    if state.is_typing {
        return Line::from(format!("/{}_   Enter keeps it, Esc clears it", fit(&state.filter))).bold();
    }
    let filter =
        if state.filter.is_empty() { String::new() } else { format!("  only: {}", fit(&state.filter)) };
    Line::from(format!("? help  Tab table  s sort  r reverse  / filter  p pause  q quit{filter}")).dim()
}

fn draw_help(frame: &mut Frame<'_>) {
    let lines = HELP.lines().count() as u16 + 2;
    let area = frame.area().centered(Constraint::Length(66), Constraint::Length(lines));
    frame.render_widget(Clear, area);
    frame.render_widget(
        Paragraph::new(HELP).block(Block::bordered().title(" help: any key closes it ")),
        area,
    );
}

/// A number in at most five characters and a unit.
fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")];
    for (from, unit) in UNITS {
        if number >= from {
            let of = if unit == "k" { 1000 } else { from };
            return format!("{:.1}{unit}", number as f64 / of as f64);
        }
    }
    number.to_string()
}
