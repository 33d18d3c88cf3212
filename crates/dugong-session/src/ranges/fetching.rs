//! A download of a blocking caller.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dugong_http::Origin;

use super::download::{Download, DownloadOptions, Take};
use super::error::{RangeError, Target};
use crate::digest::Digest;
use crate::driver::parker::Parker;
use crate::failed::{Cause, Failed};
use crate::reply::Reply;
use crate::session::Session;
use crate::ticket::{News, Ticket};

/// A download that is to begin: see [`Session::download`]. [`Download`] says what it leaves on disk.
#[must_use = "a download begins with `run`"]
pub struct PendingDownload<'a, S = Session> {
    pub(crate) session: S,
    pub(crate) target: String,
    /// What the record on disk calls it: by default its URL.
    name: Option<String>,
    path: PathBuf,
    options: DownloadOptions,
    progress: Option<Progress<'a>>,
}

type Progress<'a> = Box<dyn FnMut(u64, Option<u64>) + Send + 'a>;

impl<'a, S> PendingDownload<'a, S> {
    pub(crate) fn new(session: S, target: &str, path: &Path) -> Self {
        let (target, path) = (target.to_owned(), path.to_owned());
        PendingDownload { session, target, name: None, path, options: DownloadOptions::default(), progress: None }
    }

    /// The same download from where its URL leads, if the target is one. A redirect may lead to another place each time, so the record on
    /// disk keeps the URL.
    pub(crate) fn at<T>(self, session: T, target: String) -> PendingDownload<'a, T> {
        let PendingDownload { target: url, path, options, progress, .. } = self;
        PendingDownload { session, target, name: Some(url), path, options, progress }
    }

    /// Sets the sizes and limits.
    pub fn options(mut self, options: DownloadOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the size of a part, in bytes. Default: 8 MiB.
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.options.part_size = bytes;
        self
    }

    /// Sets how many requests are in flight. Default: 8.
    pub fn parts(mut self, parts: usize) -> Self {
        self.options.parts = parts;
        self
    }

    /// Checks the whole content before the file gets its name. The server's `Repr-Digest` is checked without.
    pub fn check(mut self, digest: Digest) -> Self {
        self.options.digests.push(digest);
        self
    }

    /// Calls this as content arrives, in your thread or task: with the bytes that are on disk, and all, if the server has said how many.
    pub fn progress(mut self, progress: impl FnMut(u64, Option<u64>) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Opens the files.
    pub(crate) fn open(self, origin: &Origin) -> Result<(S, String, Download, Reporter<'a>), RangeError> {
        let PendingDownload { session, target, name, path, options, progress } = self;
        let name = name.unwrap_or_else(|| format!("{origin}{target}"));
        let download = Download::open(&name, &target, path, options)?;
        Ok((session, target, download, Reporter { progress, reported: (0, None) }))
    }
}

/// Tells the caller of progress.
pub(crate) struct Reporter<'a> {
    progress: Option<Progress<'a>>,
    reported: (u64, Option<u64>),
}

impl Reporter<'_> {
    pub(crate) fn report(&mut self, now: (u64, Option<u64>)) {
        if now != self.reported
            && let Some(progress) = &mut self.progress
        {
            progress(now.0, now.1);
        }
        self.reported = now;
    }
}

impl PendingDownload<'_> {
    /// Downloads, and returns the length of the file.
    ///
    /// # Errors
    /// [`RangeError`]. The bytes on disk stay if a later run can continue it.
    pub fn run(self) -> Result<u64, RangeError> {
        let origin = self.session.origin().clone();
        let (session, target, download, mut reporter) = self.open(&origin)?;
        let mut fetching = Fetching { session, target, download, flights: Vec::new() };
        loop {
            fetching.send()?;
            let has_moved = fetching.take_news()?;
            reporter.report(fetching.download.progress());
            if fetching.download.is_done() {
                break;
            }
            if !has_moved {
                fetching.wait()?;
            }
        }
        // The requests that are still in flight bring nothing new.
        fetching.flights.clear();
        fetching.download.finish()
    }
}

impl<S> fmt::Debug for PendingDownload<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = Target::from(&*self.target);
        f.debug_struct("PendingDownload").field("target", &target).field("path", &self.path).finish_non_exhaustive()
    }
}

/// A download with its requests.
struct Fetching {
    session: Session,
    target: String,
    download: Download,
    flights: Vec<Flight>,
}

struct Flight {
    index: usize,
    state: State,
}

enum State {
    Waiting(Ticket),
    Reading(Reply),
    /// Its answer is taken, or lost.
    Over,
}

/// Pieces that one answer may give before the others are looked at.
pub(crate) const PIECES: usize = 64;

impl Fetching {
    /// Sends the requests that are due.
    fn send(&mut self) -> Result<(), RangeError> {
        while let Some(ask) = self.download.next_request() {
            let request = ask.request(&self.target).streamed().large();
            let ticket = self.session.submit_blocking(request).map_err(|failed| self.failed(failed))?;
            self.flights.push(Flight { index: ask.index, state: State::Waiting(ticket) });
        }
        Ok(())
    }

    /// Takes all heads and content that are there. False if there was nothing.
    fn take_news(&mut self) -> Result<bool, RangeError> {
        let mut has_moved = false;
        for at in 0..self.flights.len() {
            let Flight { index, state } = &mut self.flights[at];
            let index = *index;
            let before = std::mem::replace(state, State::Over);
            let (after, moved) = match before {
                State::Waiting(ticket) => self.take_head(index, ticket)?,
                State::Reading(reply) => self.take_content(index, reply)?,
                State::Over => (State::Over, false),
            };
            self.flights[at].state = after;
            has_moved |= moved;
        }
        self.flights.retain(|flight| !matches!(flight.state, State::Over));
        Ok(has_moved)
    }

    fn take_head(&mut self, index: usize, mut ticket: Ticket) -> Result<(State, bool), RangeError> {
        let news = ticket.news();
        ticket.serve(&news);
        match ticket.take_reply() {
            Err(ticket) => Ok((State::Waiting(ticket), !matches!(news, News::None))),
            // The session has repeated it as often as it may.
            Ok(Err(failed)) => Err(self.failed(failed)),
            Ok(Ok(reply)) => {
                let taken = self.download.head(index, reply.status(), reply.fields())?;
                Ok((if taken == Take::Content { State::Reading(reply) } else { State::Over }, true))
            }
        }
    }

    fn take_content(&mut self, index: usize, mut reply: Reply) -> Result<(State, bool), RangeError> {
        for count in 0..PIECES {
            let ticket = reply.ticket_mut().expect("the reply is streamed");
            match ticket.next_piece() {
                Ok(None) => return Ok((State::Reading(reply), count > 0)),
                Ok(Some(piece)) if piece.is_empty() => {
                    self.download.end(index)?;
                    return Ok((State::Over, true));
                }
                Ok(Some(piece)) => self.download.content(index, &piece)?,
                Err(error) => {
                    self.download.broke_off(index, error)?;
                    return Ok((State::Over, true));
                }
            }
        }
        Ok((State::Reading(reply), true))
    }

    /// Waits until an answer has news.
    fn wait(&mut self) -> Result<(), RangeError> {
        let waker = Parker::waker();
        let flights = &mut self.flights;
        let mut tickets: Vec<_> = flights.iter_mut().filter_map(|flight| flight.state.ticket()).collect();
        for (ticket, _) in &tickets {
            ticket.set_waker(&waker);
            ticket.set_awaited(true);
        }
        let waited = self.session.wait_for(None, || tickets.iter().any(|(ticket, reads)| has_news(ticket, *reads)));
        // While this thread writes to the disk, the window bounds what arrives.
        tickets.drain(..).for_each(|(ticket, _)| ticket.set_awaited(false));
        match waited {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(Failed::unsure(Cause::System(Arc::new(error))))),
        }
    }

    fn failed(&self, failed: Failed) -> RangeError {
        RangeError::failed(&Target::from(&*self.target), failed)
    }
}

impl State {
    /// The ticket, and whether its content is read.
    fn ticket(&mut self) -> Option<(&Ticket, bool)> {
        match self {
            State::Waiting(ticket) => Some((ticket, false)),
            State::Reading(reply) => Some((reply.ticket_mut()?, true)),
            State::Over => None,
        }
    }
}

fn has_news(ticket: &Ticket, reads: bool) -> bool {
    if !reads {
        return ticket.is_answered() || ticket.asks();
    }
    let state = ticket.slot.lock();
    state.ended.is_some() || state.has_pieces()
}
