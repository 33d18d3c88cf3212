//! How a task waits, and for how long.

use std::fmt;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::runtime::Runtime;
use super::transport::{Asks, CrossWakers, Polled, Transport};
use crate::error::Error;
use crate::halves::{Ending, SplitShared};
use crate::step::{Duplex, Progress, Receiving, Side};
use crate::transport::WaitingFor;
use crate::wait_limits::WaitLimits;

/// Timeout state; empty when no limits are set, which is the common case.
pub(super) struct Waiting<R: Runtime> {
    clock: Option<Box<Clock<R>>>,
}

/// The limits, and the time that has passed.
struct Clock<R: Runtime> {
    limits: WaitLimits,
    /// When the last bytes came.
    began: Option<Instant>,
    /// Until when the answer to an expectation is awaited.
    continue_until: Option<Instant>,
    /// Created when first needed, and kept.
    timer: Option<Pin<Box<R::Timer>>>,
    /// The time that the timer is set to, unless it has passed.
    set_to: Option<Instant>,
}

impl<R: Runtime> Waiting<R> {
    pub(super) fn new(limits: WaitLimits) -> Self {
        let mut waiting = Waiting { clock: None };
        if !limits.is_unlimited() {
            waiting.clock().limits = limits;
        }
        waiting
    }

    fn clock(&mut self) -> &mut Clock<R> {
        let new = || Clock { limits: WaitLimits::NONE, began: None, continue_until: None, timer: None, set_to: None };
        self.clock.get_or_insert_with(|| Box::new(new()))
    }

    pub(super) fn limits(&self) -> WaitLimits {
        self.clock.as_ref().map_or(WaitLimits::NONE, |clock| clock.limits)
    }

    #[inline]
    pub(super) fn is_unlimited(&self) -> bool {
        self.clock.is_none()
    }

    /// Changes the limits.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut WaitLimits)) {
        change(&mut self.clock().limits);
        if self.limits().is_unlimited() {
            self.clock = None;
        }
    }

    /// Starts a new wait, or ends the current one.
    #[inline]
    pub(super) fn begin(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.began = None;
        }
    }

    /// Until when the answer to an expectation is awaited. It is set once, even if futures that wait are dropped.
    pub(super) fn continue_until(&mut self, until: impl FnOnce() -> Instant) -> Instant {
        *self.clock().continue_until.get_or_insert_with(until)
    }

    /// Ends the wait for the answer to an expectation.
    pub(super) fn has_continued(&mut self) {
        self.begin();
        self.forget_continue();
    }

    /// Forgets the wait for an earlier expectation: a new request was taken.
    pub(super) fn forget_continue(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.continue_until = None;
        }
    }

    /// Fails if the deadline has passed.
    #[inline]
    pub(super) fn check(&self, waiting_for: WaitingFor) -> Result<(), Error> {
        self.clock.as_ref().map_or(Ok(()), |clock| clock.limits.check(waiting_for))
    }

    /// Whether a limit for this had passed before the next step.
    fn has_expired(&self, waiting_for: WaitingFor) -> bool {
        let Some(clock) = &self.clock else { return false };
        let expiry = clock.began.and_then(|began| clock.limits.expiry(waiting_for, began));
        expiry.is_some_and(|expiry| expiry.at <= Instant::now())
    }

    /// Waits after a step: pending, an error if a limit has passed, or ready when it is time for another step.
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
        let limits = self.limits();
        self.poll_limited(cx, waiting_for, &limits, until)
    }

    /// Waits with other limits.
    pub(super) fn poll_limited(
        &mut self,
        cx: &mut Context<'_>,
        waiting_for: WaitingFor,
        limits: &WaitLimits,
        until: Option<Instant>,
    ) -> Poll<Result<(), Error>> {
        let now = Instant::now();
        let clock = self.clock();
        let expiry = limits.expiry(waiting_for, *clock.began.get_or_insert(now));
        if let Some(expiry) = expiry.filter(|expiry| expiry.at <= now) {
            clock.began = None;
            return Poll::Ready(Err(Error::TimedOut { waiting_for, limit: expiry.limit, to: None }));
        }
        let Some(end) = expiry.map(|expiry| expiry.at).into_iter().chain(until).min() else { return Poll::Pending };
        if end <= now {
            return Poll::Ready(Ok(()));
        }
        clock.poll_timer(cx, end).map(Ok)
    }
}

impl<R: Runtime> Clock<R> {
    /// Ready at `end` or earlier. A timer that is set to an earlier time stays as it is: setting it costs more than a spare
    /// step, and most bytes come before their time.
    fn poll_timer(&mut self, cx: &mut Context<'_>, end: Instant) -> Poll<()> {
        let is_new = self.timer.is_none();
        let timer = self.timer.get_or_insert_with(|| Box::pin(R::timer(end)));
        if is_new || self.set_to.is_none_or(|set_to| set_to > end) {
            R::set(timer.as_mut(), end);
            self.set_to = Some(end);
        }
        ready!(timer.as_mut().poll(cx));
        self.set_to = None;
        Poll::Ready(())
    }
}

impl<R: Runtime> fmt::Debug for Waiting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiting").field(&self.limits()).finish()
    }
}

/// A connection, or the half of one that the caller has, for the time of a call.
#[derive(Debug)]
pub(super) struct Access<'a, R: Runtime> {
    pub(super) duplex: Duplex<'a>,
    pub(super) transport: &'a Transport<R>,
    pub(super) waiting: &'a mut Waiting<R>,
    /// The half, if the connection is split.
    pub(super) half: Option<Half<'a, R>>,
    pub(super) asks: Asks,
}

/// One of two halves.
#[derive(Debug)]
pub(super) struct Half<'a, R: Runtime> {
    pub(super) side: Side,
    pub(super) split: &'a SplitShared<Transport<R>>,
    pub(super) cross_wakers: Option<&'a CrossWakers>,
}

impl<R: Runtime> Half<'_, R> {
    /// Notes the end of a step that read. If the connection ended with it, wakes the sender: a stream of the caller's does not.
    pub(super) fn something_was_read<T>(&self, result: &Result<T, Error>) {
        if self.split.something_was_read(result)
            && let Some(cross_wakers) = self.cross_wakers
        {
            cross_wakers.wake();
        }
    }
}

impl<R: Runtime> Clone for Half<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Runtime> Copy for Half<'_, R> {}

impl<'a, R: Runtime> Access<'a, R> {
    pub(super) fn receiving(&self) -> &Receiving {
        self.duplex.receiving.as_ref().expect("responses are read with the receiving side")
    }

    /// Asks the system before the runtime: a sender must notice unasked bytes and the end of the stream.
    pub(super) fn looking(self) -> Access<'a, R> {
        Access { asks: Asks::System, ..self }
    }

    /// Makes a step. If it needs something, the task is woken when another step is worthwhile.
    #[inline]
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        waiting_for: WaitingFor,
        step: impl FnMut(&mut Duplex<'_>, &mut Polled<'_, '_, R>) -> Result<Progress<T>, Error>,
    ) -> Poll<Result<T, Error>> {
        let result = ready!(self.poll_inner(cx, waiting_for, step));
        self.waiting.begin();
        self.duplex.report_complete();
        self.duplex.release_buffers_between();
        if let Some(half) = &self.half {
            match half.side {
                Side::Responses => half.something_was_read(&result),
                // The reader may have nothing left to wait for.
                Side::Requests if result.is_err() => self.duplex.shared.notify(),
                Side::Requests => {}
            }
        }
        Poll::Ready(result)
    }

    /// Reads content that has arrived already, without the runtime.
    #[inline]
    pub(super) fn read_content_now(&mut self, buffer: &mut [u8]) -> Option<Result<usize, Error>> {
        if self.half.is_some() || self.receiving().half().unconsumed().is_empty() {
            return None;
        }
        if let Err(error) = self.waiting.check(WaitingFor::Content) {
            return Some(Err(error));
        }
        let mut system = self.transport.as_system()?;
        let read = done(self.duplex.read_content(buffer, &mut system))?;
        self.duplex.report_complete();
        self.duplex.release_buffers_between();
        Some(read)
    }

    #[inline]
    fn poll_inner<T>(
        &mut self,
        cx: &mut Context<'_>,
        waiting_for: WaitingFor,
        mut step: impl FnMut(&mut Duplex<'_>, &mut Polled<'_, '_, R>) -> Result<Progress<T>, Error>,
    ) -> Poll<Result<T, Error>> {
        self.waiting.check(waiting_for)?;
        loop {
            let is_last = self.waiting.has_expired(waiting_for);
            let (result, moved) = self.step(cx, self.asks, &mut step);
            let has_moved = moved.counts(is_last);
            let interest = match result {
                Ok(Progress::Needs(interest)) => interest,
                Ok(Progress::Done(value)) => return Poll::Ready(Ok(value)),
                Err(error) => return Poll::Ready(Err(error)),
            };
            let is_unlimited = self.waiting.is_unlimited();
            let need = self.duplex.need(interest, waiting_for);
            if is_unlimited && need.until.is_none() {
                self.duplex.release_idle_buffers();
                return Poll::Pending;
            }
            let Poll::Ready(waited) = self.waiting.poll(cx, need.phase, need.until, has_moved) else {
                self.duplex.release_idle_buffers();
                return Poll::Pending;
            };
            if let Err(timed_out) = waited {
                let (result, moved) = self.step(cx, Asks::SystemAlone, &mut step);
                match done(result) {
                    Some(result) => return Poll::Ready(result),
                    None if moved.counts(true) => {}
                    None => return Poll::Ready(Err(timed_out)),
                }
            }
        }
    }

    /// Makes a step; also returns in which directions bytes have passed.
    #[inline]
    pub(super) fn step<T>(
        &mut self,
        cx: &mut Context<'_>,
        asks: Asks,
        step: impl FnOnce(&mut Duplex<'_>, &mut Polled<'_, '_, R>) -> Result<T, Error>,
    ) -> (Result<T, Error>, Moved) {
        let cross_wakers = self.half.as_ref().and_then(|half| Some((half.cross_wakers?, half.side)));
        let mut polled = self.transport.polled(cx, cross_wakers, asks);
        let result = step(&mut self.duplex, &mut polled);
        let moved = Moved { any: polled.has_moved(), received: polled.has_received() };
        if self.half.is_none() && result.is_err() && self.duplex.shared.is_final(&result) {
            // Nothing is left to read, so the server need not keep the connection.
            self.transport.shutdown(Shutdown::Both);
        }
        (result, moved)
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
}

/// The directions in which bytes have passed in a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    any: bool,
    received: bool,
}

impl Moved {
    /// Whether the wait starts anew. In the last attempt, after a limit has passed, the system may take a few bytes although it
    /// has not announced room: it announces room only when it has much. The peer has made no progress then.
    fn counts(self, is_last: bool) -> bool {
        if is_last { self.received } else { self.any }
    }
}

/// Returns the result of a step that is done.
#[inline]
pub(super) fn done<T>(result: Result<Progress<T>, Error>) -> Option<Result<T, Error>> {
    match result {
        Ok(Progress::Done(value)) => Some(Ok(value)),
        Ok(Progress::Needs(_)) => None,
        Err(error) => Some(Err(error)),
    }
}
