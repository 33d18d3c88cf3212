//! The summary: sentences for people, JSON for programs. It is written while the run goes on, so that it needs no memory for each URL.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use dugong_http::Status;
use serde_json::json;

use crate::outcome::{Outcome, OutputError, Record};
use crate::plan::HiArgs;
use crate::stderr::say;

/// The results so far.
pub(crate) struct Report {
    /// Where the summary goes in JSON.
    out: Option<Box<dyn Write>>,
    /// Why it could not be written.
    failure: Option<io::Error>,
    on_stderr: bool,
    requested: u64,
    answered: u64,
    errors: u64,
    bytes: u64,
    safe: u64,
    /// Remarks about the server.
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(plan: &HiArgs) -> Self {
        let on_stderr = plan.json_on_stderr();
        let out: Option<Box<dyn Write>> = match plan.json {
            false => None,
            true if on_stderr => Some(Box::new(BufWriter::new(io::stderr()))),
            true => Some(Box::new(BufWriter::new(io::stdout()))),
        };
        let (requested, answered, errors, bytes, safe) = (0, 0, 0, 0, 0);
        Report { out, failure: None, on_stderr, requested, answered, errors, bytes, safe, notes: Vec::new() }
    }

    /// Adds the result of the next URL.
    pub(crate) fn add(&mut self, url: &str, record: &Record) {
        let begin: &[u8] = if self.requested == 0 { b"{\"urls\": [\n" } else { b",\n" };
        self.requested += 1;
        self.bytes += record.bytes;
        self.errors += u64::from(record.outcome == Outcome::ErrorStatus);
        if record.outcome.is_answered() {
            self.answered += 1;
        } else if record.safe_to_retry {
            self.safe += 1;
        }
        if self.out.is_none() {
            return;
        }
        self.write(|out| {
            out.write_all(begin)?;
            write_line(out, url, record)
        });
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if let Some(out) = &mut self.out
            && let Err(error) = write(out)
        {
            self.out = None;
            self.failure = Some(error);
        }
    }

    /// Adds a remark about the server, once.
    pub(crate) fn note(&mut self, text: &str) -> bool {
        let is_new = !self.notes.iter().any(|note| note == text);
        if is_new {
            self.notes.push(text.to_owned());
        }
        is_new
    }

    /// Says how many URLs have no answer.
    pub(crate) fn explain(&self) {
        let unknown = self.requested - self.answered - self.safe;
        if self.requested > self.answered {
            let Report { answered, requested, safe, .. } = self;
            say(&format_args!("{answered} of {requested} answered; {safe} safe to send again, {unknown} unknown"));
        }
    }

    /// Whether no URL was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.requested == 0
    }

    /// Whether some response had an error status.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Ends the summary in JSON. Returns false after a failure, which it reports if it can.
    pub(crate) fn end(mut self, connections: u64, time: Duration) -> bool {
        let seconds = time.as_secs_f64();
        let totals = json!({
            "requested": self.requested,
            "answered": self.answered,
            "errors": self.errors,
            "bytes": self.bytes,
            "seconds": rounded(seconds, 1e6),
            "requests_per_second": rounded(self.answered as f64 / seconds.max(1e-9), 10.0),
            "connections": connections,
        });
        let begin = if self.requested == 0 { "{\"urls\": [" } else { "" };
        let notes = if self.notes.is_empty() { String::new() } else { format!(", \"notes\": {}", json!(self.notes)) };
        self.write(|out| {
            writeln!(out, "{begin}\n], \"totals\": {totals}{notes}}}")?;
            out.flush()
        });
        match self.failure {
            None => true,
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => true,
            // Its message would go where the summary could not go.
            Some(_) if self.on_stderr => false,
            Some(error) => {
                say(&OutputError::Stdout(error));
                false
            }
        }
    }
}

/// Writes the result of a URL. A list may have millions, so this makes no tree of values first.
fn write_line(out: &mut dyn Write, url: &str, record: &Record) -> io::Result<()> {
    let Record { sent, answered, attempts, bytes, safe_to_retry, .. } = record;
    let file = record.file.as_ref().map(|file| file.to_string_lossy());
    let text = |out: &mut dyn Write, name: &str, text: Option<&str>| {
        write!(out, ",\"{name}\":")?;
        Ok::<_, io::Error>(serde_json::to_writer(out, &text)?)
    };
    write!(out, "{{\"answered\":\"{answered}\",\"attempts\":{attempts},\"bytes\":{bytes}")?;
    text(out, "error", record.error.as_deref())?;
    text(out, "file", file.as_deref())?;
    if let Some(location) = &record.location {
        text(out, "location", Some(location))?;
    }
    text(out, "outcome", Some(record.outcome.code()))?;
    text(out, "reason", record.reason.as_deref())?;
    write!(out, ",\"safe_to_retry\":{safe_to_retry},\"sent\":\"{sent}\",\"status\":")?;
    serde_json::to_writer(&mut *out, &record.status.map(Status::as_u16))?;
    text(out, "url", Some(url))?;
    out.write_all(b"}")
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
