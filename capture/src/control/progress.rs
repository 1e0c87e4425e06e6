//! What a person sees while it runs: one refreshing line, or a bar where the end is known.

use std::{
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{balance::Balance, ledger::Counter, ledger::EncoderCounter, settings::ReportSettings};

/// The line, and what it showed last.
pub struct Progress {
    bar: ProgressBar,
    last: Option<Sums>,
}

#[derive(Clone, Copy)]
struct Sums {
    frames: u64,
    heads: u64,
}

impl Progress {
    /// A line on a terminal; nothing elsewhere, and nothing where quiet is asked for.
    pub fn new(report: &ReportSettings) -> Self {
        let visible = !report.quiet && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{elapsed_precise} {wide_msg}"));
        Progress { bar, last: None }
    }

    /// The line itself, for log lines to go above it.
    pub fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Shows how far the reading of files has come.
    pub fn set_position(&self, bytes_read: u64, bytes_total: Option<u64>) {
        if let Some(total) = bytes_total {
            if self.bar.length() != Some(total) {
                self.bar.set_length(total);
                self.bar.set_style(style("{elapsed_precise} [{bar:20}] {bytes}/{total_bytes} {wide_msg}"));
            }
            self.bar.set_position(bytes_read.min(total));
        }
    }

    /// Shows rates since the last call, `elapsed` ago.
    pub fn show(&mut self, balance: &Balance, elapsed: Duration) {
        let sums = Sums { frames: balance.frames(), heads: balance.heads() };
        let before = self.last.replace(sums).unwrap_or(sums);
        let per_second =
            |now: u64, then: u64| (now.saturating_sub(then) as f64 / elapsed.as_secs_f64()) as u64;
        self.bar.set_message(format!(
            "{} frames/s  {} heads/s  {} rows  {} lost  {} files",
            HumanCount(per_second(sums.frames, before.frames)),
            HumanCount(per_second(sums.heads, before.heads)),
            HumanCount(balance.collector(Counter::Rows)),
            HumanCount(balance.lost()),
            HumanCount(balance.encoder(EncoderCounter::FilesPublished)),
        ));
    }

    /// Prints something above the line.
    pub fn print(&self, text: &str) {
        // A closed standard error must not end a capture.
        self.bar.suspend(|| io::stderr().write_all(text.as_bytes()).unwrap_or_default());
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid").progress_chars("=> ")
}
