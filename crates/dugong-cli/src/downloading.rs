//! Content that comes in parts, and stays on disk when it is interrupted.

use std::path::PathBuf;
use std::task::Waker;

use dugong_http::{Fields, Status};
use dugong_session::Reply;
use dugong_session::ranges::RangeError;

use crate::asking::{Asking, Journey, failure_of, is_lost};
use crate::outcome::{Outcome, OutputError, Record, Stop};
use crate::parts::{self, News, Parts};
use crate::receiving::{Ended, Place, Step};
use crate::sink::{Name, Sink};

/// A content of which parts are under way.
pub(crate) struct Downloading {
    /// `None` once the file is complete.
    parts: Option<Parts>,
    record: Record,
    /// The fields of the reply to a request for all of it, if there was one.
    version: Option<Fields>,
    path: PathBuf,
}

impl Downloading {
    /// Opens the file. `first` is the reply to a request for all of the content, if there was one.
    pub(crate) fn begin(
        asking: &mut Asking<'_>,
        place: &Place,
        journey: &Journey,
        first: Option<Reply>,
        sink: &Sink,
        waker: &Waker,
    ) -> Result<Self, Ended> {
        let mut record = match &first {
            Some(reply) => Record::begun(reply.head(), reply.sent(), journey.attempts + reply.attempts()),
            None => Record::not_requested(Outcome::NotSent, None),
        };
        let Name::File(file) = &place.name else { unreachable!("only files have parts") };
        let path = sink.path(file).expect("files have paths");
        let version = first.as_ref().map(|reply| reply.fields().clone());
        let target = &*journey.target;
        let whole = format!("{}{target}", asking.lanes.origin(journey.lane));
        let opened = Parts::open(asking.plan, &whole, target, &path, waker).and_then(|mut parts| {
            if let Some(reply) = first {
                asking.progress.expect(place.number, &place.url, reply.content_length());
                parts.begin_with(reply)?;
            }
            Ok(parts)
        });
        match opened {
            Ok(parts) => Ok(Downloading { parts: Some(parts), record, version, path }),
            Err(error) => {
                let stop = wrong_part(asking, &place.url, &mut record, &error);
                Err((Box::new(record), stop))
            }
        }
    }

    /// How many requests are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.parts.as_ref().map_or(0, Parts::in_flight)
    }

    /// Writes the content that has come, and requests more.
    pub(crate) fn advance(&mut self, asking: &mut Asking<'_>, place: &Place, journey: &Journey, sink: &mut Sink) -> Step {
        match self.receive(asking, place, journey) {
            Ok(Progress::Waits) => Step::Waits,
            Ok(Progress::Ends(stop)) => Step::Over(Box::new(self.record.clone()), stop),
            Ok(Progress::IsDone) => {
                (self.record.outcome, self.record.file) = (Outcome::Ok, Some(self.path.clone()));
                if let Some(fields) = &self.version {
                    sink.note(&place.name, &place.url, fields);
                }
                Step::over(self.record.clone())
            }
            Err(Broken::Stop(stop)) => Step::stopped(self.record.clone().stopped(&stop, &journey.method), stop),
            Err(Broken::Range(error)) => {
                let stop = wrong_part(asking, &place.url, &mut self.record, &error);
                Step::Over(Box::new(self.record.clone()), stop)
            }
        }
    }

    fn receive(&mut self, asking: &mut Asking<'_>, place: &Place, journey: &Journey) -> Result<Progress, Broken> {
        let (lane, target, url, record) = (journey.lane, &*journey.target, &place.url, &mut self.record);
        loop {
            let Some(parts) = &mut self.parts else { return Ok(Progress::IsDone) };
            while let Some(ask) = parts.next_request() {
                let ticket = asking.start(lane, parts::request(&ask, target, &journey.fields))?;
                parts.sent(&ask, ticket);
            }
            if parts.is_done() {
                self.parts.take().map(Parts::finish).transpose()?;
                return Ok(Progress::IsDone);
            }
            let failed = match parts.news()? {
                None => return Ok(Progress::Waits),
                Some(News::Piece(index, piece)) => {
                    asking.check_on_the_way()?;
                    record.bytes += piece.len() as u64;
                    asking.progress.received(place.number, piece.len());
                    parts.take_piece(index, &piece)?;
                    continue;
                }
                Some(News::Reply(index, reply)) => {
                    asking.lanes.lane(lane).failures = 0;
                    if record.status.is_none() {
                        *record = Record::begun(reply.head(), reply.sent(), reply.attempts());
                    }
                    if reply.status().is_error() && reply.status() != Status::RANGE_NOT_SATISFIABLE {
                        asking.complain(&format_args!("{url}: {}", record.status_text()));
                        record.outcome = Outcome::ErrorStatus;
                        return Ok(Progress::Ends(asking.plan.fail_early.then_some(Stop::ErrorStatus)));
                    }
                    parts.take_head(index, reply)?;
                    continue;
                }
                Some(News::Failed(failed)) => failed,
                Some(News::Broken(index, error)) => match failure_of(&error) {
                    Some(failed) if is_lost(failed) && parts.lost(index) => continue,
                    Some(failed) => failed.clone(),
                    None => return Err(Stop::System(error).into()),
                },
            };
            let error = asking.failed(url, lane, &failed);
            *record = record.clone().with_failure(&failed, error).after(journey.attempts, &journey.method);
            return if asking.is_out_of_time(&failed) { Err(Stop::MaxTime.into()) } else { Ok(Progress::Ends(None)) };
        }
    }

    /// The record of a content whose rest is given up.
    pub(crate) fn into_record(self) -> Record {
        self.record
    }
}

enum Progress {
    Waits,
    IsDone,
    /// It will not be complete. The run ends if there is a reason.
    Ends(Option<Stop>),
}
/// Reports a part that cannot be used. The result is the reason to end the run.
fn wrong_part(asking: &mut Asking<'_>, url: &str, record: &mut Record, error: &RangeError) -> Option<Stop> {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    record.error = Some(text.clone().into());
    record.safe_to_retry = true;
    match error {
        RangeError::Digest { .. } => {
            asking.complain(&format_args!("{url}: {text}"));
            (record.outcome, record.safe_to_retry) = (Outcome::WrongDigest, false);
            Some(Stop::Checksum)
        }
        RangeError::Io { .. } | RangeError::Busy { .. } | RangeError::BadPath { .. } => {
            Some(Stop::Output(OutputError::Part(text)))
        }
        _ => {
            asking.complain(&format_args!("{url}: {text}"));
            asking.has_failed = true;
            None
        }
    }
}

/// Why the parts of a content do not all come.
enum Broken {
    Stop(Stop),
    Range(RangeError),
}

impl From<Stop> for Broken {
    fn from(stop: Stop) -> Self {
        Broken::Stop(stop)
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Broken::Stop(Stop::System(error))
    }
}

impl From<RangeError> for Broken {
    fn from(error: RangeError) -> Self {
        Broken::Range(error)
    }
}
