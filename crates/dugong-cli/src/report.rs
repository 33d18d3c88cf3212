//! What came of it: sentences for people, JSON for machines.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use dugong_http::{ResponseHead, Status};
use serde_json::json;

use crate::get::Stop;
use crate::output::OutputError;
use crate::plan::HiArgs;
use crate::readable::Readable;

/// Says something on standard error, in one line. If that is closed, nobody wants to hear it.
pub(crate) fn say(text: &dyn fmt::Display) {
    // Servers and files have their words in it. With one write, so that a signal does not cut it in two.
    let line = format!("dugong: {}\n", Readable(text.to_string().as_bytes()));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// What came of one URL.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<Status>,
    pub(crate) reason: Option<String>,
    /// Where a redirect leads, as it says.
    pub(crate) location: Option<String>,
    /// Bytes of content received.
    pub(crate) bytes: u64,
    pub(crate) file: Option<PathBuf>,
    pub(crate) error: Option<Rc<str>>,
    /// It has no complete answer, and asking again cannot do harm.
    pub(crate) safe_to_retry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered, not by an error, and the content is where it belongs.
    Ok,
    /// Answered by a redirect, whose content is where it belongs.
    Redirect,
    /// Answered by a status of 400 or above.
    ErrorStatus,
    /// The response had begun, and was not received or not written to its end.
    Incomplete,
    /// Sent, at least partly, and not a byte of a response has come.
    Unanswered,
    NotSent,
}

impl Outcome {
    fn code(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Redirect => "redirect",
            Outcome::ErrorStatus => "error-status",
            Outcome::Incomplete => "incomplete",
            Outcome::Unanswered => "unanswered",
            Outcome::NotSent => "not-sent",
        }
    }

    fn is_answered(self) -> bool {
        matches!(self, Outcome::Ok | Outcome::Redirect | Outcome::ErrorStatus)
    }
}

impl Record {
    /// A response has begun.
    pub(crate) fn begun(head: &ResponseHead) -> Self {
        Record {
            outcome: Outcome::Incomplete,
            status: Some(head.status()),
            // The reason may contain control characters of the upper half, which some terminals obey.
            reason: Some(head.reason_text().replace(char::is_control, "\u{fffd}")),
            location: location(head),
            bytes: 0,
            file: None,
            error: None,
            safe_to_retry: false,
        }
    }

    pub(crate) fn without_answer(outcome: Outcome, safe_to_retry: bool, error: Option<Rc<str>>) -> Self {
        Record { outcome, status: None, reason: None, location: None, bytes: 0, file: None, error, safe_to_retry }
    }

    /// Status and reason, for people.
    pub(crate) fn status_text(&self) -> String {
        let status = self.status.map(|status| status.to_string()).unwrap_or_default();
        format!("{status} {}", self.reason.as_deref().unwrap_or_default()).trim_end().to_owned()
    }
}

/// Where a redirect leads (RFC 9110 §15.4): a 304, or a choice without a preference, leads nowhere.
fn location(head: &ResponseHead) -> Option<String> {
    let is_redirect = matches!(head.status().as_u16(), 300..=303 | 307 | 308);
    let location = head.fields().get_bytes("location").filter(|_| is_redirect)?;
    Some(String::from_utf8_lossy(location).replace(char::is_control, "\u{fffd}"))
}

/// What came of all of it.
pub(crate) struct Summary<'a> {
    pub(crate) plan: &'a HiArgs,
    /// One for each job of the plan.
    pub(crate) records: &'a [Record],
    /// What the user should know about the server.
    pub(crate) notes: &'a [String],
    pub(crate) connections: u64,
    pub(crate) time: Duration,
    pub(crate) stop: Option<&'a Stop>,
}

impl Summary<'_> {
    /// Says why not everything was fetched, if that is news.
    pub(crate) fn explain(&self) {
        let Some(stop) = self.stop else { return };
        match stop {
            Stop::ErrorStatus | Stop::Output(OutputError::ReaderLeft) => return,
            // The error says to where.
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

    /// Prints the summary as JSON; false if that failed, which was reported.
    pub(crate) fn print_json(&self) -> bool {
        if self.plan.json_on_stderr() {
            // If nobody listens there, there is nobody to tell either.
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

    /// One object, with a line for each URL.
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
