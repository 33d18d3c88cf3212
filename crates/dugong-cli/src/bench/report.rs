//! The result: lines for people, JSON for programs, and a line while it runs.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::plan::BenchPlan;
use super::tally::Tally;

/// The result of a run.
pub(crate) struct Report<'a> {
    pub(crate) plan: &'a BenchPlan,
    pub(crate) tally: &'a Tally,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// How many requests were due and had not been sent when the run ended.
    pub(crate) late: usize,
}

/// The percentiles of latencies.
const PERCENTILES: [(&str, f64); 5] = [("50", 0.5), ("90", 0.9), ("95", 0.95), ("99", 0.99), ("99.9", 0.999)];

impl Report<'_> {
    pub(crate) fn print(&self) -> io::Result<()> {
        let text = if self.plan.json { format!("{}\n", self.json()) } else { self.text() };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn json(&self) -> Value {
        let errors: serde_json::Map<_, _> =
            self.tally.errors.iter().map(|(kind, count)| (kind.to_string(), json!(count))).collect();
        let latencies: serde_json::Map<_, _> = self.latencies().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        json!({
            "requests": self.tally.requests,
            "errors": errors,
            "seconds": rounded(self.seconds, 1e6),
            "requests_per_second": rounded(self.per_second(self.tally.requests), 10.0),
            "bytes_per_second": rounded(self.per_second(self.tally.bytes), 10.0),
            "latency_ms": latencies,
        })
    }

    fn text(&self) -> String {
        let BenchPlan { connections, depth, .. } = self.plan;
        let mut text = format!("{connections} connections, depth {depth}, {:.2} s\n", self.seconds);
        let bytes = HumanBytes(self.per_second(self.tally.bytes) as u64);
        let _ = writeln!(text, "requests  {} ({:.1}/s)", self.tally.requests, self.per_second(self.tally.requests));
        let _ = writeln!(text, "received  {} ({bytes}/s)", HumanBytes(self.tally.bytes));
        for (name, value) in self.latencies() {
            let name = if name == "max" { name.to_owned() } else { format!("{name} %") };
            let value = value.map_or("-".to_owned(), |value| format!("{value:.3} ms"));
            let _ = writeln!(text, "latency   {name:<7} {value:>12}");
        }
        if self.tally.failures() > 0 {
            let kinds: Vec<_> = self.tally.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let _ = writeln!(text, "errors    {} ({})", self.tally.failures(), kinds.join(", "));
        }
        if self.late > 0 {
            let _ = writeln!(text, "late      {} requests were due and not sent: the server is slower than --rate", self.late);
        }
        text
    }

    /// The latencies in milliseconds; `None` without any answer.
    fn latencies(&self) -> impl Iterator<Item = (&'static str, Option<f64>)> {
        let latencies = &self.tally.latencies;
        let values = PERCENTILES.map(|(name, quantile)| (name, latencies.value_at_quantile(quantile)));
        let all = values.into_iter().chain([("max", latencies.max())]);
        all.map(|(name, value)| (name, (!latencies.is_empty()).then(|| rounded(value as f64 / 1e6, 1e4))))
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds.max(1e-9)
    }
}

/// The line while a run goes on.
pub(crate) struct Live {
    bar: Option<ProgressBar>,
    /// Requests and moment of the last line.
    last: (u64, u64),
}

impl Live {
    pub(crate) fn new(plan: &BenchPlan) -> Self {
        let bar = plan.live.then(|| {
            let style = ProgressStyle::with_template("{msg}").expect("the template is valid");
            ProgressBar::new_spinner().with_style(style)
        });
        Live { bar, last: (0, 0) }
    }

    /// Shows the state at `now`, in nanoseconds.
    pub(crate) fn show(&mut self, tally: &Tally, now: u64, warm_up: u64) {
        let Some(bar) = &self.bar else { return };
        let elapsed = Duration::from_nanos(now).as_secs_f64();
        if now < warm_up {
            bar.set_message(format!("{elapsed:.1} s, warming up"));
            return;
        }
        let (requests, at) = self.last;
        let rate = (tally.requests - requests) as f64 / Duration::from_nanos(now - at).as_secs_f64().max(1e-9);
        self.last = (tally.requests, now);
        let p99 = tally.latencies.value_at_quantile(0.99) as f64 / 1e6;
        let errors = tally.failures();
        bar.set_message(format!("{elapsed:.1} s, {} requests, {rate:.0}/s, 99 % {p99:.3} ms, {errors} errors", tally.requests));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
