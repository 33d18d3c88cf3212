//! The summary: sentences for people, JSON for programs.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use dugong_http::Status;
use serde_json::json;

use crate::outcome::{Outcome, OutputError, Record, Stop};
use crate::plan::HiArgs;
use crate::stderr::say;

/// The result of the run.
pub(crate) struct Summary<'a> {
    pub(crate) plan: &'a HiArgs,
    /// One for each job of the plan.
    pub(crate) records: &'a [Record],
    /// Remarks about the server.
    pub(crate) notes: &'a [String],
    pub(crate) connections: u64,
    pub(crate) time: Duration,
    pub(crate) stop: Option<&'a Stop>,
}

impl Summary<'_> {
    /// Says why the run ended early, unless the user knows.
    pub(crate) fn explain(&self) {
        let Some(stop) = self.stop else { return };
        match stop {
            Stop::ErrorStatus | Stop::Output(OutputError::ReaderLeft) => return,
            // The error names the file.
            Stop::Output(_) => say(stop),
            Stop::Lost { .. } if self.connections == 0 => say(stop),
            Stop::Lost { .. } => match self.records.iter().position(|record| !record.outcome.is_answered()) {
                Some(index) => say(&format_args!("{}: {stop}", self.plan.jobs[index].url)),
                None => say(stop),
            },
        }
        let total = self.records.len();
        let left = self.records.iter().filter(|record| !record.outcome.is_answered());
        let (safe, unknown): (Vec<_>, Vec<_>) = left.partition(|record| record.safe_to_retry);
        let (safe, unknown) = (safe.len(), unknown.len());
        let answered = total - safe - unknown;
        say(&format_args!("{answered} of {total} answered; {safe} safe to send again, {unknown} unknown"));
    }

    /// Prints the summary as JSON. Returns false after a failure, which it reports.
    pub(crate) fn print_json(&self) -> bool {
        if self.plan.json_on_stderr() {
            // A failure cannot be reported: standard error is where it would go.
            let _ = self.write_json(&mut BufWriter::new(io::stderr().lock()));
            return true;
        }
        match self.write_json(&mut BufWriter::new(io::stdout().lock())) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                say(&OutputError::Stdout(error));
                false
            }
            _ => true,
        }
    }

    /// Writes one object, with a line for each URL.
    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"{\"urls\": [")?;
        for (index, (job, record)) in self.plan.jobs.iter().zip(self.records).enumerate() {
            out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
            let mut line = json!({
                "url": job.url,
                "status": record.status.map(Status::as_u16),
                "reason": record.reason,
                "bytes": record.bytes,
                "file": record.file.as_ref().map(|file| file.to_string_lossy()),
                "error": record.error.as_deref(),
                "outcome": record.outcome.code(),
                "safe_to_retry": record.safe_to_retry,
            });
            if let Some(location) = &record.location {
                line["location"] = json!(location);
            }
            write!(out, "{line}")?;
        }
        let count = |wanted: fn(Outcome) -> bool| self.records.iter().filter(|record| wanted(record.outcome)).count();
        let answered = count(Outcome::is_answered);
        let seconds = self.time.as_secs_f64();
        let totals = json!({
            "requested": self.records.len(),
            "answered": answered,
            "errors": count(|outcome| outcome == Outcome::ErrorStatus),
            "bytes": self.records.iter().map(|record| record.bytes).sum::<u64>(),
            "seconds": rounded(seconds, 1e6),
            "requests_per_second": rounded(answered as f64 / seconds.max(1e-9), 10.0),
            "connections": self.connections,
        });
        write!(out, "\n], \"totals\": {totals}")?;
        if !self.notes.is_empty() {
            write!(out, ", \"notes\": {}", json!(self.notes))?;
        }
        writeln!(out, "}}")?;
        out.flush()
    }
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
