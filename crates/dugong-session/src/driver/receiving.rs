//! Receiving responses.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use dugong_http::Error;
use dugong_http::driver::{Duplex, HeadKind, Progress};

use super::link::Wire;
use super::{Driver, Received};
use crate::facts;
use crate::plan::{ConnectionId, Event, Head, JobId};

/// Content of a known length is read into place in steps of this size, so that a server that only announces much costs no memory.
const STEP: usize = 128 * 1024;
/// Pieces of streamed content are read into memory that is got in this size, and cleared only once.
const SPARE: usize = 256 * 1024;
/// Content that is left over is received into the buffer of the connection, unless so much of it is known to come.
const LARGE: u64 = 16 * 1024;

/// What a connection has next.
enum Next {
    /// A head, or the end of one response.
    GoesOn,
    /// It has to wait.
    Waits,
}

impl Driver {
    /// Reads all that has arrived, until the plan says otherwise.
    pub(super) fn receive(&mut self, index: usize) {
        while let Some(link) = self.links[index].as_mut() {
            let (id, is_paused) = (link.id, link.is_paused);
            let Some(open) = link.open() else { return };
            if is_paused || !open.wire.is_readable && open.engine.receiving().half().unconsumed().is_empty() && !open.in_content {
                return;
            }
            if open.flights.is_empty() {
                // A TLS record without content, such as a session ticket, is no reason.
                if let Some(error) = open.engine.duplex().why_unusable(&mut open.wire) {
                    self.ended_idle(index, error);
                }
                return;
            }
            let next = if open.in_content { self.receive_content(index, id) } else { self.receive_head(index, id) };
            match next {
                Ok(Next::GoesOn) => {}
                Ok(Next::Waits) => return self.note_moved(index),
                // The plan may have closed it meanwhile.
                Err(_) if self.link_of(id).is_none() => return,
                Err(error) => return self.lose(index, error),
            }
        }
    }

    fn receive_head(&mut self, index: usize, id: ConnectionId) -> Result<Next, Error> {
        let Some(open) = self.links[index].as_mut().and_then(|link| link.open()) else { return Ok(Next::Waits) };
        let mut duplex = open.engine.duplex();
        match duplex.read_head_or_continue(&mut open.wire)? {
            Progress::Needs(_) => return Ok(Next::Waits),
            Progress::Done(HeadKind::Interim) => {
                // The server wants the content.
                open.expect_until = None;
                if let Some(flight) = open.flights.front_mut() {
                    flight.expects = false;
                }
                self.plan.handle(self.now, id, Event::ExpectAnswered);
                return Ok(Next::GoesOn);
            }
            Progress::Done(HeadKind::Final) => {}
        }
        open.wire.take_moved();
        let first = open.flights.front_mut().expect("a response has a request");
        let (number, job, expects) = (first.number, first.job, std::mem::take(&mut first.expects));
        // A response without content is complete now, and its request is none of the unanswered ones any more.
        let sent = duplex.queue().unanswered_request(number).map_or(first.sent, |request| request.sent);
        let is_cut = first.has_content && sent != dugong_http::Sent::Whole;
        if is_cut {
            // The server has answered without the rest of the content.
            duplex.give_up_content();
            open.upload.take_if(|upload| *upload == job);
            open.expect_until = None;
        }
        let persists = !is_cut && duplex.queue().close_reason().is_none();
        let half = open.engine.receiving().half();
        let facts = facts::of(half.head(), persists, half.content_length(), SystemTime::now);
        if !expects && persists && self.receive_whole(index, id, &facts) {
            return Ok(Next::GoesOn);
        }
        let Some(open) = self.links[index].as_mut().and_then(|link| link.open()) else { return Ok(Next::Waits) };
        open.in_content = true;
        if !persists {
            // The plan puts these elsewhere.
            open.outgoing.clear();
        }
        if expects {
            self.plan.handle(self.now, id, if is_cut { Event::ExpectAnswered } else { Event::ExpectIgnored });
        }
        self.plan.handle(self.now, id, Event::Head(facts));
        self.act_at_once();
        Ok(Next::GoesOn)
    }

    /// Gives a job its response if the content has arrived with the head, and the plan has nothing to decide about it; false if not.
    fn receive_whole(&mut self, index: usize, id: ConnectionId, facts: &Head) -> bool {
        let Some(open) = self.links[index].as_mut().and_then(|link| link.open()) else { return false };
        let half = open.engine.receiving().half();
        let arrived = half.unconsumed();
        let Some(content) = facts.length.and_then(|length| arrived.get(..usize::try_from(length).ok()?)) else { return false };
        let length = content.len();
        let Some(whole) = self.plan.answer(self.now, id, facts, length as u64) else { return false };
        if let Some(work) = self.works[whole.job.index()].take_if(|work| work.id == whole.job) {
            work.slot.tell(|state| state.keep(half.head(), content, &whole));
        } else {
            self.plan.note_freed(whole.held);
        }
        open.flights.pop_front();
        open.settled = open.settled.saturating_sub(1);
        if length > 0 {
            open.engine.duplex().consume(length);
        }
        self.act_at_once();
        true
    }

    /// The plan gives the response whose head was read to a job.
    pub(super) fn deliver(&mut self, job: JobId, on: ConnectionId) {
        let Some(open) = self.links.get_mut(on.index()).and_then(Option::as_mut).and_then(|link| link.open()) else { return };
        let Some(work) = self.works[job.index()].as_mut().filter(|work| work.id == job) else { return };
        let head = open.engine.receiving().half().head().clone();
        if work.is_streamed {
            let (attempts, sent) = (work.sends, self.plan.sent_of(job));
            work.slot.tell(|state| (state.flow().head, state.attempts, state.sent) = (Some(head), attempts, sent));
        } else {
            work.received().head = Some(head);
        }
        work.is_delivered = true;
    }

    fn receive_content(&mut self, index: usize, id: ConnectionId) -> Result<Next, Error> {
        let Some(open) = self.links[index].as_mut().and_then(|link| link.open()) else { return Ok(Next::Waits) };
        let flight = open.flights.front().expect("a response has a request");
        let (job, is_wanted) = (flight.job, !flight.is_skipped);
        let work = self.works[job.index()].as_mut().filter(|work| is_wanted && work.id == job && work.is_delivered);
        let mut duplex = open.engine.duplex();
        let received = match work {
            None => discard(&mut duplex, &mut open.wire)?,
            Some(work) if work.is_streamed => {
                let (received, piece) = collect_piece(&mut duplex, &mut open.wire, &mut self.spare);
                if !piece.is_empty() {
                    work.slot.tell(|state| state.flow().pieces.push_back(piece));
                }
                received
            }
            Some(work) => {
                let Received { content, filled, .. } = work.received();
                collect(&mut duplex, &mut open.wire, content, filled)
            }
        };
        if received.bytes > 0 {
            open.wire.take_moved();
        }
        if received.is_complete {
            self.complete(id, received.bytes);
        } else if received.bytes > 0 {
            self.plan.handle(self.now, id, Event::Content(received.bytes));
            self.act_at_once();
        }
        if let Some(error) = received.error {
            return Err(error);
        }
        Ok(if received.waits { Next::Waits } else { Next::GoesOn })
    }

    /// A response is complete, with so many bytes of content at its end.
    fn complete(&mut self, id: ConnectionId, bytes: u64) {
        let Some(open) = self.links[id.index()].as_mut().filter(|link| link.id == id).and_then(|link| link.open()) else {
            return;
        };
        open.in_content = false;
        let Some(flight) = open.flights.pop_front() else { return };
        open.settled = open.settled.saturating_sub(1);
        let trailers = open.engine.receiving().half().trailers();
        if !trailers.is_empty()
            && !flight.is_skipped
            && let Some(work) = self.works[flight.job.index()].as_mut().filter(|work| work.id == flight.job)
        {
            work.received().trailers = Some(trailers.clone());
        }
        self.plan.handle(self.now, id, if bytes > 0 { Event::Last(bytes) } else { Event::Complete });
        self.act_at_once();
    }
}

/// What a read of content gave.
#[derive(Default)]
struct Taken {
    bytes: u64,
    is_complete: bool,
    waits: bool,
    /// The connection ended behind these bytes.
    error: Option<Error>,
}

/// Appends content to `content`, of which the first `filled` bytes count, until it has to wait or enough has come for one event.
fn collect(duplex: &mut Duplex<'_>, wire: &mut Wire, content: &mut Vec<u8>, filled: &mut usize) -> Taken {
    let mut received = Taken::default();
    if let Err(error) = collect_some(duplex, wire, content, filled, &mut received) {
        received.error = Some(error);
    }
    received
}

fn collect_some(
    duplex: &mut Duplex<'_>,
    wire: &mut Wire,
    content: &mut Vec<u8>,
    filled: &mut usize,
    received: &mut Taken,
) -> Result<(), Error> {
    while (received.bytes as usize) < STEP {
        let left = duplex.content_left().unwrap_or(0);
        if left >= LARGE {
            let room = usize::try_from(left).unwrap_or(STEP).min(STEP);
            if content.len() < *filled + room {
                content.resize(*filled + room, 0);
            }
            match duplex.read_content(&mut content[*filled..], wire)? {
                Progress::Needs(_) => {
                    received.waits = true;
                    break;
                }
                Progress::Done(0) => {
                    received.is_complete = true;
                    break;
                }
                Progress::Done(count) => {
                    *filled += count;
                    received.bytes += count as u64;
                }
            }
            continue;
        }
        match duplex.fill_content(wire)? {
            Progress::Needs(_) => {
                received.waits = true;
                break;
            }
            Progress::Done(false) => {
                received.is_complete = true;
                break;
            }
            Progress::Done(true) => {
                let bytes = duplex.buffered_content();
                let count = bytes.len();
                content.truncate(*filled);
                content.extend_from_slice(bytes);
                *filled += count;
                received.bytes += count as u64;
                duplex.consume(count);
            }
        }
    }
    Ok(())
}

/// Takes the next piece of a streamed reply, in the memory of `spare` if it is large.
fn collect_piece(duplex: &mut Duplex<'_>, wire: &mut Wire, spare: &mut BytesMut) -> (Taken, Bytes) {
    if spare.len() < SPARE / 4 {
        // Memory whose pieces are all dropped is used again: a new one would cost a page fault for each of its pages.
        if spare.try_reclaim(SPARE - spare.len()) {
            spare.resize(SPARE, 0);
        } else {
            *spare = BytesMut::zeroed(SPARE);
        }
    }
    let mut taken = Taken::default();
    if let Err(error) = fill_piece(duplex, wire, spare, &mut taken) {
        taken.error = Some(error);
    }
    let filled = taken.bytes as usize;
    // A small piece that its reader keeps would keep all of the memory.
    let piece = if filled < LARGE as usize { Bytes::copy_from_slice(&spare[..filled]) } else { spare.split_to(filled).freeze() };
    (taken, piece)
}

fn fill_piece(duplex: &mut Duplex<'_>, wire: &mut Wire, spare: &mut [u8], taken: &mut Taken) -> Result<(), Error> {
    loop {
        let room = &mut spare[taken.bytes as usize..];
        if room.is_empty() {
            break;
        }
        let progress = if duplex.content_left().unwrap_or(0) >= LARGE {
            duplex.read_content(room, wire)?
        } else {
            match duplex.fill_content(wire)? {
                Progress::Done(true) => {
                    let bytes = duplex.buffered_content();
                    let count = bytes.len().min(room.len());
                    room[..count].copy_from_slice(&bytes[..count]);
                    duplex.consume(count);
                    Progress::Done(count)
                }
                Progress::Done(false) => Progress::Done(0),
                Progress::Needs(need) => Progress::Needs(need),
            }
        };
        match progress {
            Progress::Needs(_) => {
                taken.waits = true;
                break;
            }
            Progress::Done(0) => {
                taken.is_complete = true;
                break;
            }
            Progress::Done(count) => taken.bytes += count as u64,
        }
    }
    Ok(())
}

/// Reads content that no caller wants.
fn discard(duplex: &mut Duplex<'_>, wire: &mut Wire) -> Result<Taken, Error> {
    let mut received = Taken::default();
    while (received.bytes as usize) < STEP {
        match duplex.fill_content(wire)? {
            Progress::Needs(_) => {
                received.waits = true;
                break;
            }
            Progress::Done(false) => {
                received.is_complete = true;
                break;
            }
            Progress::Done(true) => {
                let count = duplex.buffered_content().len();
                received.bytes += count as u64;
                duplex.consume(count);
            }
        }
    }
    Ok(received)
}
