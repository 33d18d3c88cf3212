//! One response: its head is judged, and its content goes where it belongs, piece by piece.

use std::sync::Arc;

use dugong_http::{Method, Status};
use dugong_session::Reply;

use crate::asking::{Asking, Journey, failure_of, is_lost};
use crate::checksum::Sum;
use crate::outcome::{Outcome, OutputError, Record, Stop};
use crate::partial::wrong_part;
use crate::ready::Bell;
use crate::sink::{Name, Sink, Target};

/// A URL of the list.
pub(crate) struct Place {
    /// Counts from 0.
    pub(crate) number: u64,
    pub(crate) url: String,
    pub(crate) name: Name,
}

/// What became of a request so far.
pub(crate) enum Step {
    /// The rest has not come.
    Waits,
    /// Its answer was cut, and none of it went where it cannot be taken back: it is to be sent again.
    Again,
    /// It has this result. The run ends if there is a reason.
    Over(Box<Record>, Option<Stop>),
}

/// The result of a URL, and the reason to end the run.
pub(crate) type Ended = (Box<Record>, Option<Stop>);

/// A response whose content comes.
pub(crate) struct Receiving {
    reply: Reply,
    record: Record,
    target: Target,
    sum: Option<Sum>,
    /// A part of it cannot be taken back: a head went to standard output.
    writes_head: bool,
}

impl Receiving {
    /// Judges the head of a reply.
    pub(crate) fn begin(
        asking: &mut Asking<'_>,
        place: &Place,
        journey: &mut Journey,
        reply: Reply,
        sink: &Sink,
    ) -> Result<Self, Ended> {
        let plan = asking.plan;
        let mut record = Record::begun(reply.head(), reply.sent(), journey.attempts + reply.attempts());
        let is_error = reply.status().is_error();
        let refusal = journey.refusal.take();
        let location = if plan.shows_heads() && refusal.is_none() { None } else { record.location.clone() };
        if is_error || location.is_some() {
            let to = location.map(|to| format!(" to {to}, which is not followed")).unwrap_or_default();
            let why = refusal.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            asking.complain(&format_args!("{}: {}{to}{why}", place.url, record.status_text()));
        }
        if refusal.is_some() {
            asking.has_failed = true;
            record.error = refusal;
        }
        if journey.method == Method::GET
            && let Some(wrong) = wrong_part(&journey.fields, &reply)
        {
            asking.complain(&format_args!("{}: {wrong}", place.url));
            asking.has_failed = true;
            (record.error, record.safe_to_retry) = (Some(wrong.into()), true);
            return Err((Box::new(record), None));
        }
        let target = match sink.target(&place.name, reply.head(), record.location.is_some()) {
            Ok(target) => target,
            Err(error) => {
                let (record, stop) = not_written(record, error, &plan.method);
                return Err((record, Some(stop)));
            }
        };
        let sum = plan.checksum.as_ref().filter(|_| !is_error).map(|checksum| checksum.begin());
        let writes_head = sink.writes_heads();
        asking.progress.expect(place.number, &place.url, reply.content_length());
        Ok(Receiving { reply, record, target, sum, writes_head })
    }

    /// Lets the session ring the bell at news, and read the content even if much of others waits already.
    pub(crate) fn listen(&mut self, bell: &Arc<Bell>) {
        if let Some(ticket) = self.reply.ticket_mut() {
            ticket.set_waker(&bell.waker());
            ticket.set_awaited(true);
        }
    }

    /// Writes the content that has come.
    pub(crate) fn advance(&mut self, asking: &mut Asking<'_>, place: &Place, journey: &mut Journey, sink: &mut Sink) -> Step {
        let plan = asking.plan;
        // Without its content, the answer is complete for the user.
        let is_skipped = self.reply.status().is_error() && plan.fail_early && matches!(self.target, Target::Discard);
        if is_skipped {
            return self.end(asking, place, sink);
        }
        loop {
            let ticket = self.reply.ticket_mut().expect("the request asked for a streamed reply");
            match ticket.next_piece() {
                Ok(None) => return Step::Waits,
                Ok(Some(piece)) if piece.is_empty() => return self.end(asking, place, sink),
                Ok(Some(piece)) => {
                    // Not after it: it may be the last one.
                    if let Err(stop) = asking.check_on_the_way() {
                        return self.stopped(stop, &plan.method);
                    }
                    self.record.bytes += piece.len() as u64;
                    if let Some(sum) = &mut self.sum {
                        sum.update(&piece);
                    }
                    if let Err(error) = self.target.write(&piece) {
                        let (record, stop) = not_written(self.record.clone(), error, &plan.method);
                        return Step::Over(record, Some(stop));
                    }
                    asking.progress.received(place.number, piece.len());
                }
                Err(error) => {
                    let Some(failed) = failure_of(&error) else { return self.stopped(Stop::System(error), &plan.method) };
                    let is_cut = matches!(self.target, Target::Stdout(_)) && (self.record.bytes > 0 || self.writes_head);
                    if !is_cut && journey.again > 0 && is_lost(failed) && journey.method.is_idempotent() {
                        journey.attempts += self.reply.attempts();
                        return Step::Again;
                    }
                    let error = asking.failed(&place.url, journey.lane, failed);
                    let record = self.record.clone().with_failure(failed, error).after(journey.attempts, &plan.method);
                    return match asking.is_out_of_time(failed) {
                        true => Step::stopped(record, Stop::MaxTime),
                        false if is_cut => Step::stopped(record, Stop::Cut),
                        false => Step::over(record),
                    };
                }
            }
        }
    }

    /// All content has come.
    fn end(&mut self, asking: &mut Asking<'_>, place: &Place, sink: &mut Sink) -> Step {
        let (plan, mut record, status) = (asking.plan, self.record.clone(), self.reply.status());
        if let Some(wrong) = self.sum.take().and_then(|sum| sum.check().err()) {
            asking.complain(&format_args!("{}: {wrong}", place.url));
            (record.outcome, record.error) = (Outcome::WrongDigest, Some(wrong.into()));
            return Step::stopped(record, Stop::Checksum);
        }
        match std::mem::replace(&mut self.target, Target::Discard).finish() {
            None => {}
            Some(Ok(path)) => {
                record.file = Some(path);
                sink.note(&place.name, &place.url, self.reply.fields());
            }
            Some(Err(error)) => {
                let (record, stop) = not_written(record, error, &plan.method);
                return Step::Over(record, Some(stop));
            }
        }
        record.outcome = match record.location {
            _ if status.is_error() => Outcome::ErrorStatus,
            _ if status == Status::NOT_MODIFIED => Outcome::Unchanged,
            Some(_) if record.error.is_some() => Outcome::NotFollowed,
            Some(_) => Outcome::Redirect,
            None => Outcome::Ok,
        };
        if status.is_error() && plan.fail_early { Step::stopped(record, Stop::ErrorStatus) } else { Step::over(record) }
    }

    fn stopped(&self, stop: Stop, method: &Method) -> Step {
        Step::stopped(self.record.clone().stopped(&stop, method), stop)
    }

    /// The record of a response whose rest is given up.
    pub(crate) fn into_record(self) -> Record {
        self.record
    }
}

impl Step {
    pub(crate) fn over(record: Record) -> Self {
        Step::Over(Box::new(record), None)
    }

    pub(crate) fn stopped(record: Record, stop: Stop) -> Self {
        Step::Over(Box::new(record), Some(stop))
    }
}

/// Content could not be written, which ends the run.
fn not_written(mut record: Record, error: OutputError, method: &Method) -> (Box<Record>, Stop) {
    let stop = Stop::from(error);
    record.safe_to_retry = method.is_idempotent();
    record.error = Some(stop.to_string().into());
    (Box::new(record), stop)
}
