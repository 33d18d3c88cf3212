//! Requests on their way: sent to the session of their origin, sent on by redirects, and given up.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dugong_http::{Fields, Method, Origin, Request, RequestHead};
use dugong_session::driver::{Asked, NotFollowed, follow};
use dugong_session::{Cause, Failed, Loss, NoRepeat, Reply, Ticket};

use crate::interrupt::Unfinished;
use crate::lanes::Lanes;
use crate::outcome::{Stop, reason};
use crate::plan::HiArgs;
use crate::progress::Progress;
use crate::ready::Bell;
use crate::stderr::say;

/// What sends requests, and tells of failures.
pub(crate) struct Asking<'a> {
    pub(crate) plan: &'a HiArgs,
    pub(crate) lanes: Lanes<'a>,
    pub(crate) progress: Progress,
    pub(crate) deadline: Option<Instant>,
    pub(crate) unfinished: Unfinished,
    /// Some request has no answer.
    pub(crate) has_failed: bool,
}

/// A request on its way, perhaps through redirects.
pub(crate) struct Journey {
    pub(crate) lane: usize,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    /// How often it may still be sent again after some of its answer came.
    pub(crate) again: u32,
    /// How many redirects may still be followed.
    pub(crate) left: u32,
    /// Attempts before the last redirect.
    pub(crate) attempts: u32,
    /// Why the last redirect is not followed, although the user wants that.
    pub(crate) refusal: Option<Rc<str>>,
}

impl Journey {
    /// Lets the session ring the bell at news, and read the answer even if much content waits already.
    pub(crate) fn listen(&self, bell: &Arc<Bell>) {
        if let Some(ticket) = &self.ticket {
            ticket.set_waker(&bell.waker());
            ticket.set_awaited(true);
        }
    }
}

/// How often a wait is interrupted to look for signals and new lines.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// After so many requests in a row that failed after all retries, an origin gets no more.
const HOPELESS: u32 = 3;

impl Asking<'_> {
    pub(crate) fn with_content(&self, head: RequestHead) -> Request {
        let request = Request::from(head);
        match &self.plan.content {
            Some(content) => request.body(content.clone()),
            None => request,
        }
    }

    /// Submits a request to the session of an origin.
    pub(crate) fn send(&mut self, lane: usize, request: Request) -> Result<Ticket, Stop> {
        let ticket = self.start(lane, request)?;
        self.lanes.lane(lane).pending += 1;
        Ok(ticket)
    }

    pub(crate) fn start(&mut self, lane: usize, request: Request) -> Result<Ticket, Stop> {
        let session = self.lanes.session(lane).map_err(system)?;
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let request = dugong_session::Request::from(request).streamed().total_timeout(left);
        session.submit_blocking(request).map_err(|failed| Stop::System(failed.into()))
    }

    /// Follows a redirect; false if the reply is none, or is not followed.
    pub(crate) fn next_hop(&mut self, journey: &mut Journey, reply: &Reply) -> Result<bool, Stop> {
        if !self.plan.follows {
            return Ok(false);
        }
        let Journey { method, target, fields, left, .. } = &*journey;
        let left = *left;
        let asked = Asked { method, target, fields, is_repeatable: true };
        let origin: Origin = self.lanes.origin(journey.lane).clone();
        let found = follow(asked, &origin, reply.status(), reply.fields());
        let mut refuse = |why: String| {
            journey.refusal = Some(why.into());
            Ok(false)
        };
        let next = match found {
            Ok(_) if left == 0 => return refuse(format!("--max-redirs is {}", self.plan.redirects)),
            Ok(next) => next,
            Err(NotFollowed::NoRedirect | NotFollowed::NoLocation) => return Ok(false),
            Err(NotFollowed::Insecure) => return refuse("it leads from https to http".to_owned()),
            Err(_) => return refuse("its Location is malformed".to_owned()),
        };
        // The options may not fit the other origin.
        let lane = match self.lanes.find(&next.origin) {
            Ok(lane) => lane,
            Err(why) => return refuse(why.to_string()),
        };
        let mut head = match RequestHead::new(next.method.clone(), &*next.target) {
            Ok(head) => head,
            Err(why) => return refuse(why.to_string()),
        };
        head.fields = next.fields.clone();
        self.lanes.lane(journey.lane).pending -= 1;
        let request = if next.keeps_content { self.with_content(head) } else { Request::from(head) };
        journey.ticket = Some(self.send(lane, request)?);
        journey.lane = lane;
        (journey.method, journey.target, journey.fields) = (next.method, next.target, next.fields);
        journey.left -= 1;
        journey.attempts += reply.attempts();
        Ok(true)
    }

    /// Sends a request again whose answer was cut.
    pub(crate) fn send_again(&mut self, journey: &mut Journey) -> Result<(), Stop> {
        let mut head = RequestHead::new(journey.method.clone(), &*journey.target).expect("it was sent before");
        head.fields = journey.fields.clone();
        self.lanes.lane(journey.lane).pending -= 1;
        journey.again -= 1;
        journey.ticket = Some(self.send(journey.lane, self.with_content(head))?);
        Ok(())
    }

    /// Whether the run has to end.
    pub(crate) fn check_end(&self) -> Result<(), Stop> {
        if self.unfinished.is_interrupted() {
            return Err(Stop::Interrupted);
        }
        match self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            true => Err(Stop::MaxTime),
            false => Ok(()),
        }
    }

    /// The same between answers and pieces of content that come without a wait, if this has to tell of the end.
    pub(crate) fn check_on_the_way(&self) -> Result<(), Stop> {
        if self.plan.has_last_words() { self.check_end() } else { Ok(()) }
    }

    /// Reports a failure, and decides if its origin gets more requests.
    pub(crate) fn failed(&mut self, url: &str, lane: usize, failed: &Failed) -> Rc<str> {
        self.has_failed = true;
        let text: Rc<str> = reason(failed).into();
        let place = self.lanes.lane(lane);
        let (is_unreachable, was_gone) = (matches!(failed.cause, Cause::Unreachable(_)), place.gone.is_some());
        if matches!(failed.cause, Cause::Lost { no_repeat: NoRepeat::Retries | NoRepeat::Budget, .. }) {
            place.failures += 1;
        }
        if is_unreachable || place.failures >= HOPELESS {
            place.gone = Some(text.clone());
        }
        match is_unreachable {
            true if was_gone => {}
            true => self.complain(&text),
            false => self.complain(&format_args!("{url}: {text}")),
        }
        text
    }

    pub(crate) fn is_out_of_time(&self, failed: &Failed) -> bool {
        matches!(failed.cause, Cause::TimedOut { .. })
    }

    /// Prints a line for people.
    pub(crate) fn complain(&self, text: &dyn fmt::Display) {
        if !self.plan.json_on_stderr() {
            self.progress.suspend(|| say(text));
        }
    }
}

pub(crate) fn system(error: dugong_http::Error) -> Stop {
    Stop::System(io::Error::other(error))
}

/// Tells if the connection ended, and the same request may get its answer on another one.
pub(crate) fn is_lost(failed: &Failed) -> bool {
    matches!(failed.cause, Cause::Lost { why: Loss::Closed | Loss::Reset | Loss::GivenUp | Loss::Stalled, .. })
}

/// The failure inside an error of reading content.
pub(crate) fn failure_of(error: &io::Error) -> Option<&Failed> {
    error.get_ref()?.downcast_ref()
}
