//! Content that comes in parts, and stays on disk when it is interrupted.

use std::path::Path;
use std::time::Instant;

use dugong_http::Status;
use dugong_session::Reply;
use dugong_session::ranges::RangeError;

use crate::asking::{Asking, Journey, TICK, failure_of, is_lost, system};
use crate::outcome::{Outcome, OutputError, Record, Stop};
use crate::parts::{self, News, Parts};
use crate::sink::{Name, Sink};

/// Fetches content in parts. `first` is the reply to a request for all of it, if there was one.
pub(crate) fn fetch_parts(
    asking: &mut Asking<'_>,
    url: &str,
    name: &Name,
    journey: &Journey,
    first: Option<Reply>,
    sink: &mut Sink,
) -> (Record, Option<Stop>) {
    let mut record = match &first {
        Some(reply) => Record::begun(reply.head(), journey.attempts + reply.attempts()),
        None => Record::not_requested(Outcome::NotSent, None),
    };
    let Name::File(file) = name else { unreachable!("only files have parts") };
    let path = sink.path(file).expect("files have paths");
    let version = first.as_ref().map(|reply| reply.fields().clone());
    let stop = match receive_parts(asking, url, &path, journey, first, &mut record) {
        Ok(true) => {
            (record.outcome, record.file) = (Outcome::Ok, Some(path));
            if let Some(fields) = version {
                sink.note(name, url, &fields);
            }
            None
        }
        Ok(false) => None,
        Err(Broken::Stop(stop)) => {
            record = record.stopped(&stop, &journey.method);
            Some(stop)
        }
        Err(Broken::Range(error)) => wrong_part(asking, url, &mut record, &error),
    };
    (record, stop)
}

/// Receives all parts; false after a failure that ends this URL alone.
fn receive_parts(
    asking: &mut Asking<'_>,
    url: &str,
    path: &Path,
    journey: &Journey,
    first: Option<Reply>,
    record: &mut Record,
) -> Result<bool, Broken> {
    let (lane, target) = (journey.lane, &*journey.target);
    let whole = format!("{}{target}", asking.lanes.origin(lane));
    let mut parts = Parts::open(asking.plan, &whole, target, path)?;
    // The session must stand before it is waited for.
    asking.lanes.session(lane).map_err(system)?;
    if let Some(reply) = first {
        asking.progress.expect(url, reply.content_length());
        parts.begin_with(reply)?;
    }
    loop {
        while let Some(ask) = parts.next_request() {
            let ticket = asking.start(lane, parts::request(&ask, target, &journey.fields))?;
            parts.sent(&ask, ticket);
        }
        if parts.is_done() {
            parts.finish()?;
            return Ok(true);
        }
        let news = asking.lanes.wait_for(lane, Some(Instant::now() + TICK), || parts.news()).map_err(Stop::System)?;
        let failed = match news {
            None => {
                asking.check_end()?;
                continue;
            }
            Some(News::Piece(index, piece)) => {
                asking.check_on_the_way()?;
                record.bytes += piece.len() as u64;
                asking.progress.received(piece.len());
                parts.take_piece(index, &piece)?;
                continue;
            }
            Some(News::Reply(index, reply)) => {
                asking.lanes.lane(lane).failures = 0;
                if record.status.is_none() {
                    *record = Record::begun(reply.head(), reply.attempts());
                }
                if reply.status().is_error() && reply.status() != Status::RANGE_NOT_SATISFIABLE {
                    asking.complain(&format_args!("{url}: {}", record.status_text()));
                    record.outcome = Outcome::ErrorStatus;
                    return Ok(false);
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
        return if asking.is_out_of_time(&failed) { Err(Stop::MaxTime.into()) } else { Ok(false) };
    }
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

impl From<RangeError> for Broken {
    fn from(error: RangeError) -> Self {
        Broken::Range(error)
    }
}
