//! Sending requests and their content.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Buf;
use dugong_http::driver::{Interest, Progress, WaitingFor};
use dugong_http::{Closed, Error, Fields, Misuse, Sent, Within};

use super::Driver;
use super::connecting::may_heal;
use super::link::{Flight, Open};
use super::slot::{Asks, Slot, UPLOAD_AHEAD, Upload};
use crate::failed::Cause;
use crate::plan::{ConnectionId, Event, JobId};
use crate::request::Request;

/// Whether a link can go on after it has sent.
#[derive(PartialEq, Eq)]
enum Sending {
    /// There may be more to send.
    GoesOn,
    /// It waits for the connection, or for the owner of the content.
    Waits,
    /// Nothing is left to send.
    Idle,
    /// The connection is gone.
    Over,
}

impl Driver {
    /// Puts a job into the queue of a connection.
    pub(super) fn queue_job(&mut self, job: JobId, on: ConnectionId) {
        let Some(work) = self.works.get_mut(job.index()).and_then(Option::as_mut).filter(|work| work.id == job) else { return };
        if work.sends > 0 {
            work.start_over();
        }
        work.sends += 1;
        if work.expects {
            work.message = work.request.with_expectation(self.plan.may_expect(job)).map(Box::new);
        }
        if let Some(open) = self.link_of(on).and_then(|link| link.open()) {
            open.outgoing.push_back(job);
            self.make_ready(on.index());
        }
    }

    /// Sends as much as possible without waiting.
    pub(super) fn send(&mut self, index: usize) {
        loop {
            let taken = self.give_to_engine(index);
            if taken == Sending::Over || !self.flush(index) {
                return;
            }
            self.report_sent(index);
            if taken != Sending::GoesOn {
                break;
            }
        }
        let Some(link) = self.link(index) else { return };
        let Some(open) = link.open() else { return };
        let engine_waits = open.engine.duplex().need(Interest::READ, WaitingFor::Response).until;
        link.until = open.expect_until.into_iter().chain(engine_waits).min();
        self.note_moved(index);
    }

    /// Gives the engine content of the last request, then the next requests, as long as it takes them.
    fn give_to_engine(&mut self, index: usize) -> Sending {
        let content = self.send_content(index);
        if content != Sending::Idle {
            return content;
        }
        loop {
            let Some(open) = self.links[index].as_mut().and_then(|link| link.open()) else { return Sending::Over };
            let Some(&job) = open.outgoing.front() else { return Sending::Idle };
            let Some(work) = self.works[job.index()].as_mut().filter(|work| work.id == job) else {
                // Its caller went away. The plan has forgotten it.
                open.outgoing.pop_front();
                continue;
            };
            match open.engine.duplex().take_request(work.message(), &mut open.wire) {
                Ok(Progress::Done(number)) => {
                    open.outgoing.pop_front();
                    let from_owner = work.request.shared_source().is_some();
                    let has_content = from_owner || work.request.message().content().is_some();
                    let expects = work.message().as_head().is_ok_and(|head| head.expect_continue);
                    let sent = Sent::Nothing;
                    open.flights.push_back(Flight { job, number, sent, has_content, expects, is_skipped: false });
                    if from_owner {
                        open.upload = Some(job);
                        open.expect_until = if expects { Instant::now().checked_add(self.expect_timeout) } else { None };
                        return Sending::GoesOn;
                    }
                }
                Ok(Progress::Needs(_)) | Err(Error::Local(Misuse::ReadFirst)) => return Sending::Waits,
                Err(Error::Local(misuse)) => {
                    self.give_up(job, Cause::Invalid(Arc::new(Error::Local(misuse))));
                    self.act();
                }
                Err(error) => {
                    self.lose(index, error);
                    return Sending::Over;
                }
            }
        }
    }

    /// Sends content that the owner of the last request has given. `Idle` if none is due.
    fn send_content(&mut self, index: usize) -> Sending {
        loop {
            let Some(open) = self.links[index].as_mut().and_then(|link| link.open()) else { return Sending::Over };
            let Some(job) = open.upload else { return Sending::Idle };
            if let Some(until) = open.expect_until {
                if until > Instant::now() {
                    return Sending::Waits;
                }
                open.engine.duplex().proceed_without_continue();
                open.expect_until = None;
            }
            let Some(work) = self.works[job.index()].as_mut().filter(|work| work.id == job) else {
                if open.engine.sending().half().owes_content() {
                    return Sending::Waits;
                }
                // The answer to all of the content came before its owner said that this was all.
                open.upload = None;
                return Sending::Idle;
            };
            let mut state = work.slot.lock();
            let upload = &mut state.flow().upload;
            let asks = !upload.is_complete && upload.bytes < UPLOAD_AHEAD;
            let Some(piece) = upload.pieces.front().cloned() else {
                let is_complete = upload.is_complete;
                drop(state);
                if !is_complete {
                    self.plan.note_reading(job);
                    ask(&work.slot, |asks| asks.content = true);
                    return Sending::Waits;
                }
                match open.engine.duplex().finish_content(&Fields::new(), &mut open.wire) {
                    Ok(()) => {
                        open.upload = None;
                        return Sending::GoesOn;
                    }
                    Err(error) => return self.content_failed(index, job, error),
                }
            };
            drop(state);
            if asks {
                ask(&work.slot, |asks| asks.content = true);
            }
            match open.engine.duplex().write_content(&piece, &mut open.wire) {
                Ok(Progress::Done(count)) => work.slot.lock().flow().upload.advance(count),
                Ok(Progress::Needs(_)) => return Sending::Waits,
                Err(error) => return self.content_failed(index, job, error),
            }
        }
    }

    /// Decides after content could not be sent.
    fn content_failed(&mut self, index: usize, job: JobId, error: Error) -> Sending {
        let Some(open) = self.links[index].as_mut().and_then(|link| link.open()) else { return Sending::Over };
        match error {
            Error::Local(Misuse::ReadFirst | Misuse::AwaitContinue) => Sending::Waits,
            Error::Local(Misuse::ContentRefused) => {
                // The response says why.
                open.upload = None;
                open.wire.is_readable = true;
                self.make_ready(index);
                Sending::Waits
            }
            Error::Local(misuse) => {
                open.upload = None;
                let source = io::Error::new(io::ErrorKind::InvalidData, misuse.to_string());
                self.give_up(job, Cause::Source(Arc::new(source)));
                self.act();
                Sending::Waits
            }
            error => {
                self.sending_failed(index, error);
                Sending::Over
            }
        }
    }

    /// Sends what the engine holds; false if the connection is gone.
    fn flush(&mut self, index: usize) -> bool {
        let Some(open) = self.links[index].as_mut().and_then(|link| link.open()) else { return false };
        match open.engine.duplex().flush(&mut open.wire) {
            Ok(_) | Err(Error::Local(_)) => true,
            Err(error) => {
                self.sending_failed(index, error);
                false
            }
        }
    }

    /// Reads the responses that came before sending failed, then gives the connection up.
    fn sending_failed(&mut self, index: usize, error: Error) {
        // The plan moves requests of which no byte has left, so it must hear of these bytes before it hears of responses.
        self.report_sent(index);
        let Some(link) = self.link(index) else { return };
        let id = link.id;
        link.is_paused = false;
        if let Some(open) = link.open() {
            open.wire.is_readable = true;
        }
        self.receive(index);
        if self.link_of(id).is_some() {
            self.lose(index, error);
        }
    }

    /// Tells the plan how much of each request has left.
    fn report_sent(&mut self, index: usize) {
        let Some(link) = self.links[index].as_mut() else { return };
        let id = link.id;
        let Some(open) = link.open() else { return };
        if open.settled == open.flights.len() {
            return;
        }
        let sending = open.engine.sending();
        let is_all_sent = sending.half().to_send().is_empty() && sending.upload_left() == 0 && open.upload.is_none();
        let mut duplex = open.engine.duplex();
        let mut last_whole = None;
        for flight in open.flights.iter_mut().skip(open.settled) {
            let sent = if is_all_sent && !flight.has_content {
                Sent::Whole
            } else {
                duplex.queue().unanswered_request(flight.number).map_or(flight.sent, |request| request.sent)
            };
            match flight.now_sent(sent) {
                Some(Event::SentAll(job)) => last_whole = Some(job),
                Some(event) => self.plan.handle(self.now, id, event),
                None => {}
            }
            open.settled += usize::from(sent == Sent::Whole);
        }
        if let Some(job) = last_whole {
            self.plan.handle(self.now, id, Event::SentThrough(job));
        }
    }

    /// Tells the plan that bytes moved, if nothing else has told it.
    pub(super) fn note_moved(&mut self, index: usize) {
        let Some(link) = self.links[index].as_mut() else { return };
        let id = link.id;
        if link.open().is_some_and(|open| open.wire.take_moved()) {
            self.plan.handle(self.now, id, Event::Moved);
        }
    }

    /// Forgets a connection that has ended, and puts its error on the jobs that it takes down.
    pub(super) fn lose(&mut self, index: usize, error: Error) {
        let Some(mut link) = self.links[index].take() else { return };
        let (id, now) = (link.id, self.now);
        let mut event = Event::Lost(loss_of(&error));
        let is_final = !may_heal(&error);
        self.note_unasked(id, &error);
        let error = Arc::new(error);
        self.unreachable = Some(error.clone());
        if let Some(open) = link.open() {
            let Open { engine, flights, outgoing, .. } = open;
            if flights.is_empty() && is_final {
                event = Event::CannotOpen;
            }
            let mut duplex = engine.duplex();
            for flight in flights {
                let sent = duplex.queue().unanswered_request(flight.number).map_or(flight.sent, |request| request.sent);
                if let Some(event) = flight.now_sent(sent) {
                    self.plan.handle(now, id, event);
                }
                if flight.is_skipped {
                    continue;
                }
                if let Some(work) = self.works[flight.job.index()].as_mut().filter(|work| work.id == flight.job) {
                    work.error = Some(error.clone());
                }
            }
            if matches!(&*error, Error::Closed { cause: Closed::Incomplete(at, _), .. } if at.within == Within::Head) {
                self.plan.handle(now, id, Event::Begun);
            }
            // Nothing of these has left.
            for job in outgoing.iter().rev() {
                self.plan.handle(now, id, Event::Recalled(*job));
            }
        }
        drop(link);
        self.plan.handle(now, id, event);
        self.act();
    }

    /// The owner of a job has done what an attempt needs.
    pub(super) fn owner_is_ready(&mut self, slot: &Slot, request: Option<Request>) {
        let Some(work) = self.work_of(slot) else { return };
        if let Some(request) = request {
            work.request = request;
        }
        let id = work.id;
        self.plan.ready(self.now, id);
    }

    /// The owner of a job has given content: its connection goes on.
    pub(super) fn owner_gave_content(&mut self, slot: &Slot) {
        let Some(job) = slot.lock().job else { return };
        let waits = |link: &mut super::link::Link| link.open().is_some_and(|open| open.upload == Some(job));
        if let Some(index) = self.links.iter_mut().position(|link| link.as_mut().is_some_and(waits)) {
            self.make_ready(index);
        }
    }

    /// Asks the owner of a job to begin an attempt.
    pub(super) fn ask_owner(&mut self, job: JobId) {
        if let Some(work) = self.work(job) {
            let mut state = work.slot.lock();
            state.flow().upload = Upload::default();
            state.attempts = work.sends;
            drop(state);
            ask(&work.slot, |asks| *asks = Asks { attempt: true, content: false });
        }
    }
}

/// Asks the owner, unless it was asked before.
fn ask(slot: &Slot, change: impl FnOnce(&mut Asks)) {
    let mut state = slot.lock();
    let before = state.asks;
    change(&mut state.asks);
    let waker = if state.asks == before { None } else { state.waker.clone() };
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Upload {
    /// Drops bytes that were sent.
    fn advance(&mut self, count: usize) {
        let Some(piece) = self.pieces.front_mut() else { return };
        piece.advance(count);
        self.bytes -= count;
        if piece.is_empty() {
            self.pieces.pop_front();
        }
    }
}

impl Flight {
    /// Notes how much was sent, and returns the event if that has changed.
    fn now_sent(&mut self, sent: Sent) -> Option<Event> {
        if sent == self.sent {
            return None;
        }
        self.sent = sent;
        match sent {
            Sent::Nothing => None,
            Sent::Partly => Some(Event::SentSome(self.job)),
            Sent::Whole => Some(Event::SentAll(self.job)),
            _ => unreachable!("the crates are of one version"),
        }
    }
}

/// The plan's word for the end of a connection.
fn loss_of(error: &Error) -> crate::plan::Loss {
    use crate::plan::Loss;
    match error {
        Error::Closed { cause: Closed::InOrder(_) | Closed::Incomplete(_, None), .. } => Loss::Closed,
        Error::Remote { .. } | Error::Unsupported { .. } => Loss::Garbage,
        _ => Loss::Reset,
    }
}
