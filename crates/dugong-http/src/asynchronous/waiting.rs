//! How a task waits, and for how long.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::runtime::Runtime;
use super::transport::{Asks, Crossing, Polled, Transport};
use crate::error::Error;
use crate::halves::{Ends, Side};
use crate::patience::{Patience, more_exactly};
use crate::step::{Duplex, Progress, Receiving, Sending, Shared};
use crate::transport::WaitingFor;

/// How long somebody waits, and since when.
pub(super) struct Waiting<R: Runtime> {
    patience: Patience,
    /// The usual case, which needs no clock.
    is_endless: bool,
    /// Since when nothing has come; only if there is a limit.
    began: Option<Instant>,
    /// Until when the answer to an expectation is awaited.
    pub(super) continue_until: Option<Instant>,
    timer: Option<Box<Timer<R>>>,
}

/// Made when it is first needed, and kept.
struct Timer<R: Runtime> {
    timer: Pin<Box<R::Timer>>,
    /// When it is ready, unless it has been.
    set_to: Option<Instant>,
}

impl<R: Runtime> Waiting<R> {
    pub(super) fn new(patience: Patience) -> Self {
        Waiting { patience, is_endless: patience.is_endless(), began: None, continue_until: None, timer: None }
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    pub(super) fn is_endless(&self) -> bool {
        self.is_endless
    }

    /// Changes the limits.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Patience)) {
        change(&mut self.patience);
        self.is_endless = self.patience.is_endless();
    }

    /// A wait of its own begins, or is over.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.began = None;
    }

    /// After a step that needs something: pending, an error if that has lasted too long, or ready when it is time for another step
    /// anyway.
    #[inline]
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        waiting_for: WaitingFor,
        until: Option<Instant>,
        has_moved: bool,
    ) -> Poll<Result<(), Error>> {
        if has_moved {
            self.begin();
        }
        self.poll_limited(cx, waiting_for, &self.patience.clone(), until)
    }

    /// The same, with limits that may be others.
    pub(super) fn poll_limited(
        &mut self,
        cx: &mut Context<'_>,
        waiting_for: WaitingFor,
        patience: &Patience,
        until: Option<Instant>,
    ) -> Poll<Result<(), Error>> {
        let now = Instant::now();
        let expiry = patience.expiry(waiting_for, *self.began.get_or_insert(now));
        if let Some(expiry) = expiry.filter(|expiry| expiry.at <= now) {
            self.begin();
            return Poll::Ready(Err(Error::TimedOut { waiting_for, limit: expiry.limit, to: None }));
        }
        let Some(end) = expiry.map(|expiry| expiry.at).into_iter().chain(until).min() else { return Poll::Pending };
        if end <= now {
            return Poll::Ready(Ok(()));
        }
        self.poll_timer(cx, end).map(Ok)
    }

    /// Ready at `end`, or before: a timer that is set to an earlier time is left as it is, since setting one costs more than
    /// a step in vain, and most things come before their time.
    fn poll_timer(&mut self, cx: &mut Context<'_>, end: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::new(Timer { timer: Box::pin(R::timer(end)), set_to: Some(end) }));
        if timer.set_to.is_none_or(|set_to| set_to > end) {
            R::set(timer.timer.as_mut(), end);
            timer.set_to = Some(end);
        }
        ready!(timer.timer.as_mut().poll(cx));
        timer.set_to = None;
        Poll::Ready(())
    }
}

impl<R: Runtime> fmt::Debug for Waiting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("patience", &self.patience).field("began", &self.began).finish_non_exhaustive()
    }
}

/// A connection, or as much of it as somebody has, for the time of a call.
#[derive(Debug)]
pub(super) struct Access<'a, R: Runtime> {
    pub(super) sending: Option<&'a mut Sending>,
    pub(super) receiving: Option<&'a mut Receiving>,
    pub(super) shared: &'a Shared,
    pub(super) transport: &'a Transport<R>,
    pub(super) waiting: &'a mut Waiting<R>,
    /// Whose half it is, if it is one.
    pub(super) half: Option<Half<'a, R>>,
    pub(super) asks: Asks,
}

/// One of two halves.
#[derive(Debug)]
pub(super) struct Half<'a, R: Runtime> {
    pub(super) side: Side,
    pub(super) ends: &'a Ends<Transport<R>>,
    pub(super) crossing: Option<&'a Crossing>,
}

impl<R: Runtime> Clone for Half<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Runtime> Copy for Half<'_, R> {}

impl<'a, R: Runtime> Access<'a, R> {
    /// For whoever sends, and must not do so when the server has spoken unasked or has gone.
    pub(super) fn looking(self) -> Access<'a, R> {
        Access { asks: Asks::System, ..self }
    }

    /// Makes a step; if it needs something, the task is woken when it is worth trying again.
    #[inline]
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        waiting_for: WaitingFor,
        step: impl FnMut(&mut Duplex<'_>, &mut Polled<'_, '_, R>) -> Result<Progress<T>, Error>,
    ) -> Poll<Result<T, Error>> {
        let result = ready!(self.poll_unnoticed(cx, waiting_for, step));
        self.waiting.begin();
        if let Some(receiving) = &mut self.receiving {
            receiving.tell_complete(self.shared);
        }
        if let Some(half) = self.half {
            match half.side {
                Side::Responses => half.ends.something_was_read(&result),
                // It may be that there is nothing to wait for any more.
                Side::Requests if result.is_err() => self.shared.changed.tell(),
                Side::Requests => {}
            }
        }
        Poll::Ready(result)
    }

    #[inline]
    fn poll_unnoticed<T>(
        &mut self,
        cx: &mut Context<'_>,
        waiting_for: WaitingFor,
        mut step: impl FnMut(&mut Duplex<'_>, &mut Polled<'_, '_, R>) -> Result<Progress<T>, Error>,
    ) -> Poll<Result<T, Error>> {
        if !self.waiting.is_endless {
            self.waiting.patience.check(waiting_for)?;
        }
        if self.asks == Asks::System && self.transport.is_socket() {
            // Usually nothing has to be waited for; then the runtime need not know.
            let (result, _) = self.step(cx, Asks::SystemAlone, &mut step);
            if let Some(result) = done(result) {
                return Poll::Ready(result);
            }
        }
        loop {
            let (result, has_moved) = self.step(cx, self.asks, &mut step);
            if let Some(result) = done(result) {
                return Poll::Ready(result);
            }
            let is_endless = self.waiting.is_endless;
            let duplex = self.duplex();
            if is_endless && duplex.until().is_none() {
                return Poll::Pending;
            }
            let waiting_for = more_exactly(waiting_for, || duplex.has_begun_to_read());
            let until = duplex.until();
            if let Err(timed_out) = ready!(self.waiting.poll(cx, waiting_for, until, has_moved)) {
                let (result, has_moved) = self.step(cx, Asks::SystemAlone, &mut step);
                match done(result) {
                    Some(result) => return Poll::Ready(result),
                    None if has_moved => {}
                    None => return Poll::Ready(Err(timed_out)),
                }
            }
        }
    }

    /// Makes a step; also says whether bytes have gone one way or the other.
    #[inline]
    pub(super) fn step<T>(
        &mut self,
        cx: &mut Context<'_>,
        asks: Asks,
        step: impl FnOnce(&mut Duplex<'_>, &mut Polled<'_, '_, R>) -> Result<Progress<T>, Error>,
    ) -> (Result<Progress<T>, Error>, bool) {
        let crossing = self.half.and_then(|half| Some((half.crossing?, half.side)));
        let mut polled = self.transport.polled(cx, crossing, asks);
        let mut duplex =
            Duplex { sending: self.sending.as_deref_mut(), receiving: self.receiving.as_deref_mut(), shared: self.shared };
        let result = step(&mut duplex, &mut polled);
        (result, polled.has_moved())
    }

    /// Makes steps to their end.
    pub(super) async fn drive<T>(
        &mut self,
        waiting_for: WaitingFor,
        mut step: impl FnMut(&mut Duplex<'_>, &mut Polled<'_, '_, R>) -> Result<Progress<T>, Error>,
    ) -> Result<T, Error> {
        self.waiting.begin();
        std::future::poll_fn(|cx| self.poll(cx, waiting_for, &mut step)).await
    }

    pub(super) fn duplex(&mut self) -> Duplex<'_> {
        Duplex { sending: self.sending.as_deref_mut(), receiving: self.receiving.as_deref_mut(), shared: self.shared }
    }
}

/// What has come of a step, if it is done.
fn done<T>(result: Result<Progress<T>, Error>) -> Option<Result<T, Error>> {
    match result {
        Ok(Progress::Done(value)) => Some(Ok(value)),
        Ok(Progress::Needs(_)) => None,
        Err(error) => Some(Err(error)),
    }
}
