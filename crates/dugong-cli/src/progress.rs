//! Progress: a line for the whole and one for a large file for people, lines of JSON for programs.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::json;

use crate::flags::How;
use crate::plan::{Destination, HiArgs};

/// The line for the whole is shown for this many URLs or more,
const MANY_URLS: usize = 10;
/// and a line for a file that is this large or more.
const MUCH_CONTENT: u64 = 8 << 20;
/// The time between two lines of JSON.
const PERIOD: Duration = Duration::from_millis(500);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Nothing,
    /// Lines on a terminal.
    Lines,
    /// A line of JSON on standard error, now and then and at the end.
    Json,
}

impl Show {
    /// Lines are for people only: not in a pipe, not between lines of content, and not in the summary.
    pub(crate) fn of(plan: &HiArgs) -> Self {
        let apart = !matches!(plan.destination, Destination::Stdout { .. }) || !io::stdout().is_terminal();
        match plan.progress {
            How::Json => Show::Json,
            How::Bar if apart && !plan.json_on_stderr() && io::stderr().is_terminal() => Show::Lines,
            How::Bar | How::None => Show::Nothing,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Progress {
    show: Show,
    lines: MultiProgress,
    /// The line for the whole.
    whole: Option<ProgressBar>,
    /// The lines for large files, by the numbers of their URLs.
    files: BTreeMap<u64, ProgressBar>,
    /// `None` while a list is read.
    total: Option<usize>,
    answered: u64,
    bytes: u64,
    begun: Instant,
    /// When the last line of JSON was written.
    told: Instant,
    /// The current files: URL, bytes received, and length.
    current: BTreeMap<u64, (String, u64, Option<u64>)>,
}

impl Progress {
    pub(crate) fn new(total: Option<usize>, show: Show) -> Self {
        let target = if show == Show::Lines { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let now = Instant::now();
        let (files, current) = (BTreeMap::new(), BTreeMap::new());
        let mut progress =
            Progress { show, lines, whole: None, files, total, answered: 0, bytes: 0, begun: now, told: now, current };
        if show == Show::Lines && total.is_none_or(|total| total >= MANY_URLS) {
            let bar = ProgressBar::new(total.unwrap_or_default() as u64).with_style(whole_style(total.is_some(), has_colours()));
            progress.whole = Some(progress.lines.add(bar));
        }
        progress
    }

    /// Notes that the response for a URL of this number begins, with content of this length if it is known.
    pub(crate) fn expect(&mut self, number: u64, url: &str, length: Option<u64>) {
        if self.show == Show::Json {
            self.current.insert(number, (url.to_owned(), 0, length));
        }
        if self.show == Show::Lines && length.is_some_and(|length| length >= MUCH_CONTENT) {
            let bar = ProgressBar::new(length.unwrap_or_default()).with_style(file_style(has_colours()));
            let bar = self.lines.add(bar);
            bar.set_message(short(url));
            bar.tick();
            self.files.insert(number, bar);
        }
    }

    pub(crate) fn received(&mut self, number: u64, count: usize) {
        self.bytes += count as u64;
        match self.show {
            Show::Nothing => {}
            Show::Lines => {
                if let Some(file) = self.files.get(&number) {
                    file.inc(count as u64);
                }
                // A line is drawn at most twenty times a second, so it does not need a new text for each small response.
                if let Some(whole) = &self.whole
                    && (count >= 64 * 1024 || self.answered.is_multiple_of(64))
                {
                    whole.set_message(self.so_far());
                }
            }
            Show::Json => {
                if let Some((_, bytes, _)) = self.current.get_mut(&number) {
                    *bytes += count as u64;
                }
                self.tell(false);
            }
        }
    }

    pub(crate) fn answered(&mut self, number: u64) {
        self.answered += 1;
        self.current.remove(&number);
        if let Some(file) = self.files.remove(&number) {
            file.finish_and_clear();
        }
        if let Some(whole) = &self.whole {
            whole.set_position(self.answered);
        }
        self.tell(false);
    }

    /// Hides the lines while `write` writes to standard error.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        self.lines.suspend(write);
    }

    /// Removes the lines.
    pub(crate) fn end(&mut self) {
        for bar in self.files.values().chain(&self.whole) {
            bar.finish_and_clear();
        }
        self.tell(true);
    }

    fn so_far(&self) -> String {
        let rate = self.bytes as f64 / self.begun.elapsed().as_secs_f64().max(1e-3);
        format!("{} {}/s", HumanBytes(self.bytes), HumanBytes(rate as u64))
    }

    /// Writes a line of JSON, if it is time.
    fn tell(&mut self, is_last: bool) {
        if self.show != Show::Json || !is_last && self.told.elapsed() < PERIOD {
            return;
        }
        self.told = Instant::now();
        let file = self.current.values().next().map(|(url, bytes, total)| json!({ "url": url, "bytes": bytes, "total": total }));
        let line = json!({
            "answered": self.answered,
            "requested": self.total,
            "bytes": self.bytes,
            "seconds": (self.begun.elapsed().as_secs_f64() * 1e3).round() / 1e3,
            "file": file,
        });
        // If standard error is closed, it is lost.
        let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
    }
}

/// Tells if lines may have colours (no-color.org).
fn has_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The last part of a URL, cut to what a line has room for.
fn short(url: &str) -> String {
    let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or(url);
    name.chars().filter(|&c| crate::readable::is_visible(c)).take(30).collect()
}

fn whole_style(has_end: bool, has_colours: bool) -> ProgressStyle {
    let template = match (has_end, has_colours) {
        (true, true) => "{bar:30.cyan} {pos}/{len} {msg} {rate}/s {eta}",
        (true, false) => "{bar:30} {pos}/{len} {msg} {rate}/s {eta}",
        (false, _) => "{pos} {msg} {rate}/s",
    };
    ProgressStyle::with_template(template).expect("the template is valid").with_key(
        "rate",
        |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // A failure only spoils the line.
            let _ = write!(out, "{:.0}", state.per_sec());
        },
    )
}

fn file_style(has_colours: bool) -> ProgressStyle {
    let template = match has_colours {
        true => "{bar:30.green} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
        false => "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
    };
    ProgressStyle::with_template(template).expect("the template is valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for has_colours in [false, true] {
            file_style(has_colours);
            for has_end in [false, true] {
                whole_style(has_end, has_colours);
            }
        }
    }

    #[test]
    fn a_line_names_the_last_part_of_a_url() {
        assert_eq!(short("http://h/a/b.iso"), "b.iso");
        assert_eq!(short("http://h/a/"), "a");
        assert_eq!(short(&format!("http://h/{}\u{1b}", "x".repeat(99))), "x".repeat(30));
    }
}
