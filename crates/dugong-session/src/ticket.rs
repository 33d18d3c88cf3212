//! A ticket: the caller's end of one job.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::{Buf, Bytes};
use dugong_http::Fields;

use crate::auth::BoxError;
use crate::digest::Check;
use crate::driver::core::Core;
use crate::driver::inbox::Command;
use crate::driver::parker::Parker;
use crate::driver::settings::Settings;
use crate::driver::slot::{Slot, UPLOAD_AHEAD};
use crate::failed::{Cause, Failed};
use crate::request::Request;
use crate::trail::Trail;

/// The caller's end of one job. If you drop it, the session gives the job up.
///
/// Look at its [`news`](Ticket::news) when your waker was woken, until they are [`News::None`].
pub struct Ticket {
    pub(crate) core: Arc<Core>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) request: Request,
    owner: Owner,
    /// `None` if it follows no redirects.
    pub(crate) trail: Option<Box<Trail>>,
    /// Of a streamed reply.
    pub(crate) check: Option<Box<Check>>,
    is_awaited: Cell<bool>,
    /// The content of the request, as far as it was not read.
    reader: Option<Box<dyn Read + Send>>,
    /// Some of that content was read.
    is_read: bool,
    /// Bytes of content that were read since the driver was last told.
    taken: u64,
    /// The reply was taken, and the plan has forgotten the job: so many bytes of it count against the window.
    pub(crate) held: Option<u64>,
}

/// Who waits for a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A thread, which can drive the session.
    Thread,
    /// A task, which watches the session's descriptor.
    Task,
}

/// The news of a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum News {
    /// Nothing has happened: wait.
    None,
    /// An attempt is about to begin. Open the content of the request from its beginning, and call [`begin`](Ticket::begin) or
    /// [`fail`](Ticket::fail).
    Begins {
        /// The number of the attempt; the first is 1.
        attempt: u32,
    },
    /// The connection has room for content: [`give`](Ticket::give) some, or [`finish`](Ticket::finish).
    WantsContent,
    /// The head of a streamed reply is there: [`take_reply`](Ticket::take_reply).
    Head,
    /// The job is over: [`take_reply`](Ticket::take_reply).
    Over,
}

impl Ticket {
    pub(crate) fn submit(core: &Arc<Core>, request: Request, owner: Owner, waker: Option<Waker>) -> Result<Self, Failed> {
        let invalid = |error| Failed::unsent(Cause::Invalid(Arc::new(error)));
        let request = request.for_origin(&core.settings.origin).map_err(invalid)?;
        if core.is_closed() {
            return Err(Failed::unsent(Cause::Cancelled));
        }
        let Settings { additions, redirects, plan, .. } = &core.settings;
        let is_plain = additions.is_empty() || request.is_foreign();
        let request = if is_plain { request } else { request.completed(additions) };
        let trail = (*redirects > 0).then(|| Box::new(Trail::within_origin(&request, *redirects, plan.total_timeout)));
        if owner == Owner::Task {
            core.task_came();
        }
        let slot = core.submit(request.clone(), waker);
        let is_awaited = Cell::new(false);
        let core = core.clone();
        Ok(Ticket {
            core,
            slot,
            request,
            owner,
            trail,
            check: None,
            is_awaited,
            reader: None,
            is_read: false,
            taken: 0,
            held: None,
        })
    }

    /// Submits the request that follows a redirect in the place of this one.
    pub(crate) fn resubmit(&mut self, request: Request) {
        let waker = self.slot.lock().waker.take();
        self.core.command(Command::Release { slot: self.slot.clone() });
        self.slot = self.core.submit(request.clone(), waker);
        self.request = request;
        self.reader = None;
        if self.is_awaited.get() {
            self.set_awaited(true);
        }
        if self.owner == Owner::Task {
            // No one else drives for it, if nothing happens.
            self.core.poke();
        }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Wakes this at each news from now on.
    pub fn set_waker(&self, waker: &Waker) {
        let mut state = self.slot.lock();
        if state.waker.as_ref().is_none_or(|before| !before.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
    }

    /// Returns what has happened since. It returns each question of the session once.
    pub fn news(&mut self) -> News {
        if self.leads_on() && self.follow() {
            return News::None;
        }
        let mut state = self.slot.lock();
        if state.ended.is_some() {
            return News::Over;
        }
        if std::mem::take(&mut state.asks.attempt) {
            return News::Begins { attempt: state.attempts + 1 };
        }
        if std::mem::take(&mut state.asks.content) {
            return News::WantsContent;
        }
        if state.head().is_some() { News::Head } else { News::None }
    }

    /// Whether a reply or an error can be taken.
    pub(crate) fn is_answered(&self) -> bool {
        let state = self.slot.lock();
        let is_answered = state.ended.is_some() || state.head().is_some();
        drop(state);
        is_answered && !self.leads_on()
    }

    /// Whether the session may need the owner: for its content, a callback, or a redirect.
    pub(crate) fn may_ask(&self) -> bool {
        self.trail.is_some() || self.request.may_ask()
    }

    /// Whether the session needs the owner.
    pub(crate) fn asks(&self) -> bool {
        let state = self.slot.lock();
        // A job that has ended needs nothing any more.
        let asks = state.ended.is_none() && (state.asks.attempt || state.asks.content);
        drop(state);
        asks || self.leads_on()
    }

    /// Tells the session whether the caller waits for this job right now: then its reply is read even if the window is full.
    pub fn set_awaited(&self, awaited: bool) {
        self.is_awaited.set(awaited);
        self.core.command(Command::Awaited { slot: self.slot.clone(), awaited });
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited.get()
    }

    /// Reads content of a streamed reply without waiting: `None` if none is there, 0 at its end or if `buffer` is empty.
    ///
    /// # Errors
    /// The reply is not complete: the error holds a [`Failed`].
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = self.slot.lock();
        let mut count = 0;
        while count < buffer.len()
            && let Some(piece) = state.flow().pieces.front_mut()
        {
            let some = piece.len().min(buffer.len() - count);
            piece.copy_to_slice(&mut buffer[count..count + some]);
            count += some;
            if piece.is_empty() {
                state.flow().pieces.pop_front();
            }
        }
        let is_empty = !state.has_pieces();
        drop(state);
        if count > 0 || buffer.is_empty() {
            self.note_taken(count, is_empty);
            if let Some(check) = &mut self.check {
                check.update(&buffer[..count]);
            }
            return Ok(Some(count));
        }
        Ok(self.at_end()?.then_some(0))
    }

    /// Takes the next piece of content of a streamed reply without waiting and without a copy: `None` if none is there, an empty one at
    /// the end.
    ///
    /// # Errors
    /// The reply is not complete: the error holds a [`Failed`].
    pub fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut state = self.slot.lock();
        if let Some(piece) = state.flow().pieces.pop_front() {
            let is_empty = !state.has_pieces();
            drop(state);
            self.note_taken(piece.len(), is_empty);
            if let Some(check) = &mut self.check {
                check.update(&piece);
            }
            return Ok(Some(piece));
        }
        drop(state);
        Ok(self.at_end()?.then(Bytes::new))
    }

    /// Tells the driver, but not for each small read.
    fn note_taken(&mut self, bytes: usize, is_empty: bool) {
        const WORTH_IT: u64 = 64 * 1024;
        self.taken += bytes as u64;
        if self.taken >= WORTH_IT || is_empty && self.taken > 0 {
            let bytes = std::mem::take(&mut self.taken);
            self.core.command(Command::Taken { slot: self.slot.clone(), bytes });
        }
    }

    /// The trailer section, once the content was read to its end.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        let mut state = self.slot.lock();
        if state.ended.is_some() { state.take_trailers() } else { None }
    }

    /// Goes on with an attempt: its content is open. A signed request takes the place of the first one.
    pub fn begin(&mut self, signed: Option<Request>) {
        self.core.command(Command::Ready { slot: self.slot.clone(), request: signed });
    }

    /// How much content the session takes now, in bytes.
    #[must_use]
    pub fn room(&self) -> usize {
        UPLOAD_AHEAD.saturating_sub(self.slot.lock().flow().upload.bytes)
    }

    /// Gives the session some content of the request. If another attempt is about to begin, the content is dropped: it belongs to the
    /// one before.
    pub fn give(&mut self, content: Bytes) {
        let mut state = self.slot.lock();
        if state.asks.attempt || content.is_empty() {
            return;
        }
        state.flow().upload.bytes += content.len();
        state.flow().upload.pieces.push_back(content);
        drop(state);
        self.core.command(Command::Content { slot: self.slot.clone() });
    }

    /// Ends the content of the request.
    pub fn finish(&mut self) {
        let mut state = self.slot.lock();
        if state.asks.attempt {
            return;
        }
        state.flow().upload.is_complete = true;
        drop(state);
        self.core.command(Command::Content { slot: self.slot.clone() });
    }

    /// Ends the job because producing its content or signature failed.
    pub fn fail(&mut self, error: io::Error) {
        self.fail_with(Cause::Source(Arc::new(error)));
    }

    fn fail_with(&mut self, cause: Cause) {
        self.core.command(Command::Fail { slot: self.slot.clone(), cause });
    }

    /// Goes on with an attempt whose content the owner gives, signed if the session has callbacks.
    #[cfg(feature = "tokio")]
    pub(crate) fn begin_signed(&mut self, attempt: u32) {
        match self.sign(attempt) {
            Ok(signed) => self.begin(signed),
            Err(error) => self.fail_with(Cause::Callback(error.into())),
        }
    }

    /// Runs the callbacks of the session, if it has any.
    fn sign(&self, attempt: u32) -> Result<Option<Request>, BoxError> {
        let Settings { additions, origin, .. } = &self.core.settings;
        if !additions.has_callbacks() || self.request.is_foreign() {
            return Ok(None);
        }
        self.request.signed(additions, origin, attempt).map(Some)
    }

    /// Does what the session needs of the owner, in the way of a blocking caller.
    pub(crate) fn serve(&mut self, news: &News) {
        match news {
            News::Begins { attempt } => {
                let unread = self.reader.take().filter(|_| !self.is_read);
                let signed = match self.sign(*attempt) {
                    Ok(signed) => signed,
                    Err(error) => return self.fail_with(Cause::Callback(error.into())),
                };
                let opened = match self.request.shared_source() {
                    // After 417, content that can be read once is still there if none of it was.
                    Some(source) if source.is_read_once() && unread.is_some() => Ok(unread),
                    source => source.map(|source| source.open()).transpose(),
                };
                match opened {
                    Ok(reader) => {
                        (self.reader, self.is_read) = (reader, false);
                        self.begin(signed);
                    }
                    Err(error) => self.fail(error),
                }
            }
            News::WantsContent => self.serve_content(),
            News::None | News::Head | News::Over => {}
        }
    }

    fn serve_content(&mut self) {
        const PIECE: usize = 64 * 1024;
        let Some(reader) = self.reader.as_mut() else { return self.finish() };
        self.is_read = true;
        let mut piece = vec![0; PIECE];
        let read = loop {
            match reader.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match read {
            Ok(0) => {
                self.reader = None;
                self.finish();
            }
            Ok(count) => {
                piece.truncate(count);
                self.give(Bytes::from(piece));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Waits in this thread for news, or until `until`; false then.
    ///
    /// # Errors
    /// The system does not let the session wait.
    pub fn wait(&mut self, until: Option<Instant>) -> io::Result<bool> {
        self.set_waker(&Parker::waker());
        let slot = &self.slot;
        self.core.wait(until, || {
            let state = slot.lock();
            state.ended.is_some() || state.asks.attempt || state.asks.content || state.head().is_some()
        })
    }

    /// Reads content of a streamed reply, and waits for it.
    pub(crate) fn read_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(count) = self.read(buffer)? {
                return Ok(count);
            }
            self.wait_for_content(None)?;
        }
    }

    /// Waits in this thread until a read returns at once, or until `until`; false then.
    ///
    /// # Errors
    /// The system does not let the session wait.
    pub fn wait_for_content(&mut self, until: Option<Instant>) -> io::Result<bool> {
        self.set_waker(&Parker::waker());
        self.set_awaited(true);
        let slot = &self.slot;
        let waited = self.core.wait(until, || {
            let state = slot.lock();
            state.ended.is_some() || state.has_pieces()
        });
        self.set_awaited(false);
        waited
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.owner == Owner::Task {
            self.core.task_left();
        }
        self.slot.lock().waker = None;
        if let Some(held) = self.held {
            return self.core.retire(self.slot.clone(), held);
        }
        self.core.command(Command::Release { slot: self.slot.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::slot::Ended;
    use crate::session::Session;

    #[test]
    fn a_job_that_has_ended_asks_for_nothing() {
        let session = Session::new("http://127.0.0.1:1").unwrap();
        let mut ticket = session.submit_blocking(Request::get("/").asks_owner()).unwrap();
        ticket.slot.tell(|state| state.asks.content = true);
        assert!(ticket.asks());
        ticket.slot.tell(|state| state.ended = Some(Ended::Failed(Failed::unsent(Cause::Cancelled))));
        assert!(matches!(ticket.news(), News::Over));
        assert!(!ticket.asks(), "a run would look at it again and again");
    }

    #[test]
    fn a_reply_that_was_taken_leaves_no_waker_behind() {
        struct Owner;
        impl std::task::Wake for Owner {
            fn wake(self: Arc<Self>) {}
        }
        let origin = dugong_origin::Origin::start(dugong_origin::Config::default()).unwrap();
        let session = Session::new(&format!("http://{}", origin.address())).unwrap();
        let owner = Arc::new(Owner);
        let mut ticket = session.submit_blocking(Request::get("/bytes/10")).unwrap();
        ticket.set_waker(&owner.clone().into());
        ticket.core.wait(None, || ticket.is_answered()).unwrap();
        assert_eq!(ticket.take_ended().unwrap().unwrap().content().len(), 10);
        assert!(ticket.held.is_some(), "the slot will serve another job");
        drop(ticket);
        assert_eq!(Arc::strong_count(&owner), 1, "the task would stay in memory");
    }
}
