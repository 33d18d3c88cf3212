//! A progress bar for people, shown if there is enough to wait for.

use std::fmt::Write;

use indicatif::{HumanBytes, ProgressBar, ProgressState, ProgressStyle};

/// The bar is shown for this many URLs or more,
const MANY_URLS: usize = 10;
/// and for this much content or more in one response.
const MUCH_CONTENT: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    shown: bool,
    /// `None` while a list is read.
    total: Option<usize>,
    answered: u64,
    bytes: u64,
}

impl Progress {
    pub(crate) fn new(total: Option<usize>, wanted: bool) -> Self {
        let mut progress = Progress { bar: wanted.then(ProgressBar::hidden), shown: false, total, answered: 0, bytes: 0 };
        if total.is_none_or(|total| total >= MANY_URLS) {
            progress.show();
        }
        progress
    }

    fn show(&mut self) {
        if let (Some(bar), false) = (&mut self.bar, self.shown) {
            *bar = ProgressBar::new(self.total.unwrap_or_default() as u64).with_style(style());
            bar.set_position(self.answered);
            self.shown = true;
        }
    }

    /// Notes that a response begins, with content of this length if it is known.
    pub(crate) fn expect(&mut self, length: Option<u64>) {
        if length.is_some_and(|length| length >= MUCH_CONTENT) {
            self.show();
        }
    }

    pub(crate) fn received(&mut self, count: usize) {
        self.bytes += count as u64;
        // The bar is drawn at most twenty times a second, so it does not need a new text for each small response.
        if let Some(bar) = &self.bar
            && (count >= 64 * 1024 || self.answered.is_multiple_of(64))
        {
            bar.set_message(HumanBytes(self.bytes).to_string());
        }
    }

    pub(crate) fn answered(&mut self) {
        self.answered += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.answered);
        }
    }

    /// Hides the bar while `write` writes to standard error.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {rate}/s {eta}").expect("the template is valid").with_key(
        "rate",
        |state: &ProgressState, out: &mut dyn Write| {
            // A failure only spoils the bar.
            let _ = write!(out, "{:.0}", state.per_sec());
        },
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_valid() {
        super::style();
    }
}
