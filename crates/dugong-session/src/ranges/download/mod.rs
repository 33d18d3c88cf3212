//! A download in parts that a later run continues.

mod part_file;
mod record;

use std::io;
use std::path::Path;
use std::sync::Arc;

use dugong_http::driver::decimal;
use dugong_http::{Fields, Status};

use self::part_file::PartFile;
use self::record::Record;
use super::ask::Ask;
use super::error::{RangeError, Target, WrongRange};
use super::field::{ContentRange, Span, strong_etag};
use super::spans::Spans;
use crate::digest::{Check, Digest};
use crate::failed::{Cause, Failed};

/// How to download.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DownloadOptions {
    /// Bytes of one range request. 8 MiB: a part takes much longer than a round trip.
    pub part_size: u64,
    /// Requests in flight. 8: two for each connection of a session, so that none idles between parts.
    pub parts: usize,
    /// How often in a row a part may break off before 4 KiB of it have come. 4, as a session repeats requests.
    pub retries: u32,
    /// The record is written after so many bytes, and at least every 5 s. 64 MiB: a killed run loses no more.
    pub checkpoint: u64,
    /// Digests that the whole content must have. The `Repr-Digest` of the server is checked without them (RFC 9530).
    pub digests: Vec<Digest>,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        DownloadOptions { part_size: 8 << 20, parts: 8, retries: 4, checkpoint: 64 << 20, digests: Vec::new() }
    }
}

/// Downloads one target to a file, in parts: a machine without I/O on the network.
///
/// Send the requests that [`next_request`](Download::next_request) returns, and report each answer: its [`head`](Download::head),
/// its [`content`](Download::content) piece by piece, and its [`end`](Download::end), or that it is [`lost`](Download::lost). Ask for
/// the next requests after each head, end and loss. Once the download [is done](Download::is_done), give up the requests that are
/// still in flight, and [finish](Download::finish).
///
/// # How it works
///
/// The first request asks for the first missing part. A 206 with a strong `ETag` and the complete length starts the others, with
/// `If-Range`. From a server without ranges, or without a strong `ETag`, the whole content comes in one response.
///
/// # On disk
///
/// The content of `NAME` collects in `.NAME.part` beside it. `.NAME.part.meta` records the URL, the strong `ETag`, the length and the
/// bytes that are there; only the owner can read it, because URLs may contain credentials. Content is brought to the disk
/// (`fdatasync`) before the record mentions it, and before the file gets its name. So a later run of the same URL continues after a
/// kill or a power failure, if the server still has the same version. A file that no run can continue is removed.
#[derive(Debug)]
pub struct Download {
    url: String,
    target: Target,
    options: DownloadOptions,
    file: PartFile,
    /// The version of the content: its strong `ETag` and its length, as far as the server said.
    etag: Option<String>,
    total: Option<u64>,
    /// Whether an answer of this run has that version.
    pinned: bool,
    have: Spans,
    /// Bytes that no request in flight is to bring. Only for `Phase::Parts`.
    missing: Spans,
    phase: Phase,
    flights: Vec<Flight>,
    next_index: usize,
    /// The server's `Repr-Digest`.
    announced: Check,
    losses: Losses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next answer tells whether the server has ranges, and of which version.
    Ask,
    /// The server has no ranges that we can use: ask for everything.
    Plain,
    /// Parts come, several at once.
    Parts,
    /// Parts came, and now a response with everything.
    WholeAmongParts,
    /// Everything comes in one response.
    Whole,
}

/// A request without its whole answer.
#[derive(Debug)]
struct Flight {
    index: usize,
    /// The bytes that it asked for; once the head is there, the bytes that come.
    span: Option<Span>,
    /// The position of the next byte; `None` before the head.
    at: Option<u64>,
    /// The number of losses before it was sent.
    round: u32,
}

/// What to do with the content of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Take {
    /// Pass it to [`Download::content`].
    Content,
    /// Drop the reply: its content is of no use. The machine knows no more of this request.
    Nothing,
}

impl Download {
    /// Opens the files beside `path` for the content of `target`, and reads what an earlier run left. `url` is the whole URL: only a
    /// run with the same one continues.
    ///
    /// # Errors
    /// [`RangeError::Busy`] if another download writes to `path`, [`RangeError::BadPath`] and [`RangeError::Io`] if it cannot be
    /// written.
    pub fn open(url: &str, target: &str, path: impl AsRef<Path>, options: DownloadOptions) -> Result<Self, RangeError> {
        let options = DownloadOptions { part_size: options.part_size.max(1), parts: options.parts.max(1), ..options };
        let (file, found) = PartFile::open(path.as_ref(), options.checkpoint)?;
        let mut download = Download {
            url: url.replace(|byte: char| byte.is_ascii_control(), " "),
            target: Target::from(target),
            options,
            file,
            etag: None,
            total: None,
            pinned: false,
            have: Spans::default(),
            missing: Spans::default(),
            phase: Phase::Ask,
            flights: Vec::new(),
            next_index: 0,
            announced: Check::default(),
            losses: Losses::default(),
        };
        match found.filter(|found| found.url == download.url && found.total > 0) {
            Some(Record { etag, total, have, .. }) => {
                (download.etag, download.total, download.have) = (Some(etag), Some(total), have);
                // The server must still say that the version is the same.
                download.have.remove(Span::new(total - 1, total));
                download.losses.best = download.have.covered();
            }
            None => download.file.begin(None)?,
        }
        Ok(download)
    }

    /// The number of bytes that are on disk, and of all, if it is known: for a bar of progress.
    #[must_use]
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.have.covered(), self.total)
    }

    /// The next request to send. `None` if none is needed now.
    pub fn next_request(&mut self) -> Option<Ask> {
        let idle = self.flights.is_empty();
        let span = match self.phase {
            Phase::Ask if idle => {
                let mut missing = self.have.gaps(Span::new(0, self.total.unwrap_or(u64::MAX - 1)));
                Some(missing.take_first(self.options.part_size).expect("the last byte is missing"))
            }
            Phase::Plain if idle => None,
            Phase::Parts if self.flights.len() < self.options.parts => Some(self.missing.take_first(self.options.part_size)?),
            _ => return None,
        };
        let index = self.next_index;
        self.next_index += 1;
        self.flights.push(Flight { index, span, at: None, round: self.losses.round });
        Some(Ask { index, span, if_range: span.and(self.etag.clone()) })
    }

    /// Takes the head of an answer.
    ///
    /// # Errors
    /// The content changed since the first answer, the answer has other bytes than asked for, or its status is neither 200 nor 206.
    /// Then give up all requests. [`RangeError::Io`] if the record cannot be written.
    ///
    /// # Panics
    /// If no request with this `index` is in flight, here as in the other methods.
    pub fn head(&mut self, index: usize, status: Status, fields: &Fields) -> Result<Take, RangeError> {
        let at = self.flight(index);
        let asked = self.flights[at].span;
        let granted = match status {
            Status::PARTIAL_CONTENT => self.part(asked, fields)?,
            Status::OK => self.whole(asked, fields)?,
            // An empty content, or a version that is shorter now: the answer to a plain request is certain.
            Status::RANGE_NOT_SATISFIABLE if self.phase == Phase::Ask => {
                self.phase = Phase::Plain;
                None
            }
            _ => return Err(RangeError::Status { target: self.target.clone(), status }),
        };
        match granted {
            None => {
                self.flights.remove(at);
                Ok(Take::Nothing)
            }
            Some(span) => {
                let flight = &mut self.flights[at];
                (flight.span, flight.at) = (Some(span), Some(span.start));
                if self.phase == Phase::Parts {
                    self.plan_missing();
                }
                Ok(Take::Content)
            }
        }
    }

    /// Takes a 206. Returns the bytes that it brings, or `None` if they are of no use.
    fn part(&mut self, asked: Option<Span>, fields: &Fields) -> Result<Option<Span>, RangeError> {
        let wrong = |got| RangeError::WrongRange { target: self.target.clone(), asked, got };
        let range = ContentRange::of(fields).map_err(|bad| wrong(WrongRange::Bad(bad)))?;
        let range = range.ok_or_else(|| wrong(WrongRange::Missing))?;
        let (ContentRange::Part { span, total }, Some(requested)) = (range, asked) else {
            return Err(wrong(WrongRange::Other(range)));
        };
        // A server may send less than it was asked for (RFC 9110 §15.3.7). The rest is asked for later.
        if span.start != requested.start || span.end > requested.end {
            return Err(wrong(WrongRange::Other(range)));
        }
        if let Some(length) = content_length(fields).filter(|&length| length != span.len()) {
            return Err(wrong(WrongRange::Length(length)));
        }
        let etag = strong_etag(fields);
        if self.phase != Phase::Ask {
            self.is_same(etag, total)?;
            return Ok(Some(span));
        }
        match total {
            Some(_) if etag.is_some() => {
                self.adopt(etag, total, fields)?;
                self.phase = Phase::Parts;
                Ok(Some(span))
            }
            Some(length) if span == Span::new(0, length) => {
                self.adopt(etag, total, fields)?;
                self.phase = Phase::Whole;
                Ok(Some(span))
            }
            // Parts of unknown versions must not be put together.
            _ => {
                self.phase = Phase::Plain;
                Ok(None)
            }
        }
    }

    /// Takes a 200: the whole content.
    fn whole(&mut self, asked: Option<Span>, fields: &Fields) -> Result<Option<Span>, RangeError> {
        let (etag, total) = (strong_etag(fields), content_length(fields));
        match self.phase {
            Phase::Ask | Phase::Plain => {
                self.adopt(etag, total, fields)?;
                self.phase = Phase::Whole;
            }
            Phase::Parts => {
                self.is_same(etag, total)?;
                if self.losses.whole_among_parts {
                    return Err(RangeError::WrongRange { target: self.target.clone(), asked, got: WrongRange::WholeAgain });
                }
                self.losses.whole_among_parts = true;
                self.phase = Phase::WholeAmongParts;
            }
            // Some other part was answered so. One is enough.
            Phase::WholeAmongParts => return Ok(None),
            Phase::Whole => unreachable!("one request is in flight, and its head came"),
        }
        Ok(Some(Span::new(0, self.total.unwrap_or(u64::MAX))))
    }

    /// Compares an answer with the first one.
    fn is_same(&self, etag: Option<&str>, total: Option<u64>) -> Result<(), RangeError> {
        let changed = |what, was, now| Err(RangeError::Changed { target: self.target.clone(), what, was, now });
        if self.etag.as_deref() != etag {
            return changed("ETag", self.etag.clone(), etag.map(str::to_owned));
        }
        match (self.total, total) {
            (Some(was), Some(now)) if was != now => changed("complete length", Some(was.to_string()), Some(now.to_string())),
            _ => Ok(()),
        }
    }

    /// Continues with the version that is on disk, if the first answer has it, or begins anew with that of the answer.
    fn adopt(&mut self, etag: Option<&str>, total: Option<u64>, fields: &Fields) -> Result<(), RangeError> {
        if self.pinned && self.etag.is_some() {
            self.is_same(etag, total)?;
        }
        self.pinned = true;
        self.announced = Check::of_representation(fields);
        if etag.is_some() && self.etag.as_deref() == etag && total.is_some() && self.total == total {
            return Ok(());
        }
        self.have.clear();
        let head = etag.zip(total).map(|(etag, total)| Record::head(&self.url, etag, total));
        self.file.begin(head.as_deref())?;
        (self.etag, self.total) = (etag.map(str::to_owned), total);
        Ok(())
    }

    /// Finds the bytes to ask for.
    fn plan_missing(&mut self) {
        let total = self.total.expect("parts have a complete length");
        self.missing = self.have.gaps(Span::new(0, total));
        for flight in &self.flights {
            if let Some(span) = flight.span {
                self.missing.remove(Span::new(flight.at.unwrap_or(span.start), span.end));
            }
        }
    }

    /// Takes the next piece of content of an answer, and writes it to the file.
    ///
    /// # Errors
    /// [`RangeError::Io`] if writing fails: the bytes on disk stay. [`RangeError::WrongRange`] if more comes than was announced.
    pub fn content(&mut self, index: usize, mut piece: &[u8]) -> Result<(), RangeError> {
        let at = self.flight(index);
        let flight = &mut self.flights[at];
        let (Some(span), Some(at)) = (flight.span, &mut flight.at) else { panic!("answer {index} has no head yet") };
        if piece.len() as u64 > span.end - *at {
            let got = WrongRange::Length(*at - span.start + piece.len() as u64);
            return Err(RangeError::WrongRange { target: self.target.clone(), asked: Some(span), got });
        }
        while !piece.is_empty() {
            let written = self.file.write_at(piece, *at)?;
            self.have.insert(Span::new(*at, *at + written as u64));
            *at += written as u64;
            piece = &piece[written..];
        }
        Ok(())
    }

    /// Takes the end of an answer.
    ///
    /// # Errors
    /// [`RangeError::WrongRange`] if less came than was announced.
    pub fn end(&mut self, index: usize) -> Result<(), RangeError> {
        let at = self.flight(index);
        let flight = self.flights.remove(at);
        let (Some(span), Some(at)) = (flight.span, flight.at) else { panic!("answer {index} has no head yet") };
        if self.phase == Phase::Whole && self.total.is_none() {
            self.total = Some(at);
        } else if at < span.end {
            let got = WrongRange::Length(at - span.start);
            return Err(RangeError::WrongRange { target: self.target.clone(), asked: Some(span), got });
        }
        if self.phase == Phase::WholeAmongParts && span == Span::new(0, self.total.unwrap_or(0)) {
            self.phase = Phase::Parts;
            self.plan_missing();
        }
        Ok(())
    }

    /// Reports that the rest of an answer will not come. What came of it stays. `false`: this happened too often, so give up.
    #[must_use]
    pub fn lost(&mut self, index: usize) -> bool {
        let at = self.flight(index);
        let flight = self.flights.remove(at);
        let was_whole = flight.at.is_some() && flight.span == Some(Span::new(0, self.total.unwrap_or(u64::MAX)));
        match self.phase {
            Phase::Parts => self.plan_missing(),
            Phase::WholeAmongParts if was_whole => {
                self.phase = Phase::Parts;
                self.plan_missing();
            }
            Phase::Whole if self.etag.is_some() && self.total.is_some() => self.phase = Phase::Ask,
            Phase::Whole => {
                // Without a version, the next response may be of another one.
                self.have.clear();
                self.total = None;
                self.phase = Phase::Plain;
            }
            Phase::Ask | Phase::Plain | Phase::WholeAmongParts => {}
        }
        self.losses.count(flight.round, self.have.covered()) <= self.options.retries
    }

    /// Reports that reading an answer failed. The download goes on if its connection was lost, and not too often.
    pub(crate) fn broke_off(&mut self, index: usize, error: io::Error) -> Result<(), RangeError> {
        let failed = match error.downcast::<Failed>() {
            Ok(failed) => failed,
            Err(error) => Failed::unsure(Cause::System(Arc::new(error))),
        };
        if matches!(failed.cause, Cause::Lost { .. }) && self.lost(index) {
            return Ok(());
        }
        Err(RangeError::failed(&self.target, failed))
    }

    fn flight(&self, index: usize) -> usize {
        let found = self.flights.iter().position(|flight| flight.index == index);
        found.unwrap_or_else(|| panic!("no request {index} is in flight"))
    }

    /// Whether all bytes are on disk.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.total.is_some_and(|total| self.have.covered() == total)
    }

    /// Checks the digests, and gives the file its name. Returns its length.
    ///
    /// # Errors
    /// [`RangeError::Digest`] if the content has another digest; then it is removed. [`RangeError::Io`].
    ///
    /// # Panics
    /// If it is not done.
    pub fn finish(self) -> Result<u64, RangeError> {
        assert!(self.is_done(), "the download is not done");
        let Download { total: Some(total), target, options, mut file, announced, .. } = self else {
            unreachable!("the length is known in the end")
        };
        file.cut(total)?;
        let mut checks = [Check::of_content(&options.digests, Status::OK, &Fields::new()), announced];
        if checks.iter().any(|check| !check.is_empty()) {
            file.read_all(|piece| checks.iter_mut().for_each(|check| check.update(piece)))?;
            if let Err(mismatch) = checks.into_iter().try_for_each(Check::finish) {
                file.discard();
                return Err(RangeError::Digest { target, mismatch });
            }
        }
        file.finish()?;
        Ok(total)
    }
}

/// Counts losses without progress.
#[derive(Debug, Default)]
struct Losses {
    in_a_row: u32,
    /// Losses that counted. Answers that end together count once.
    round: u32,
    /// The bytes that were there when the count began.
    best: u64,
    /// A part was answered with the whole content. That is used once.
    whole_among_parts: bool,
}

/// A loss behind so many bytes begins a new count.
const ENOUGH: u64 = 4 << 10;

impl Losses {
    fn count(&mut self, round: u32, covered: u64) -> u32 {
        if covered >= self.best.saturating_add(ENOUGH) {
            (self.best, self.in_a_row) = (covered, 0);
        }
        if round == self.round {
            self.round += 1;
            self.in_a_row += 1;
        }
        self.in_a_row
    }
}

/// The length of the content, if the head says it. The connection has checked the field.
fn content_length(fields: &Fields) -> Option<u64> {
    decimal(fields.get_bytes("Content-Length")?)
}
