//! The methods that read (statements 10 to 13).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dugong_http::step::{BYPASS_MIN, HeadKind, Interest, Progress};
use dugong_http::{Error, Malformed};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyString};

use crate::buffer::{Buffer, NewBytes, fresh_bytes, new_bytearray};
use crate::connect::Arrival;
use crate::connection::HTTPConnection;
use crate::errors::{self, state_error};
use crate::headers::Lines;
use crate::link::{Current, Grip, Receiver, Role, Sender};
use crate::task::{Need, Step, Task, Waitable};
use crate::wire::Wire;

/// Most bytes that `read` allocates before it knows how many there are: more than one call of the system gives is wasted.
const MOST: usize = 256 * 1024;

/// `read_response()`.
#[derive(Default)]
pub(crate) struct ReadResponse {
    grip: Option<Grip>,
    /// What it has waited for, since the request waits for the connection. The descriptor stays open as long as it is watched.
    arrival: Option<Arc<Arrival>>,
    /// Whether the first response to the request is awaited before its body is sent.
    awaits_continue: bool,
}

impl Task for ReadResponse {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.grip.is_none() {
            if self.arrival.take().is_some_and(|arrival| arrival.is_given_up()) {
                let text = "the connection could not be made, or was closed by disconnect()";
                return Err(errors::ConnectionClosed::new_err(text));
            }
            if let Err(error) = check_pending(connection) {
                let Some(arrival) = connection.get().arrival()? else { return Err(error) };
                self.arrival = Some(arrival.clone());
                return Ok(Step::Needs(Need { on: Waitable::Arrival(arrival), interest: Interest::READ, moved: false }));
            }
            // If it was closed, there is no grip.
            let Some(grip) = connection.get().grip(py, Role::Read) else {
                let link = connection.get().link();
                return Err(link.map_or_else(|| errors::StateError::new_err(()), |link| link.gone(py)));
            };
            grip.read(py, |receiver, _, _| {
                receiver.receiving.require_length(!connection.get().tolerates_missing_length());
                Ok(())
            })?;
            self.grip = Some(grip);
        }
        let grip = self.grip.as_ref().expect("just taken");
        self.awaits_continue = grip.link.shared.queue().is_waiting_for_continue();
        let tolerant = connection.get().tolerates_missing_length();
        grip.read(py, |receiver, sender, wire| {
            if grip.link.is_closed() {
                return Err(grip.link.gone(py));
            }
            match grip.duplex(sender, Some(receiver)).read_head_or_continue(wire) {
                Ok(Progress::Done(kind)) => Ok(Step::Done(response(py, grip, receiver, kind, self.awaits_continue, tolerant)?)),
                Ok(Progress::Needs(interest)) => Ok(Step::Needs(grip.need(interest))),
                Err(error) => Err(grip.exception(py, error)),
            }
        })
    }

    fn timed_out(&mut self, _: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        if let Some(grip) = &self.grip
            && self.awaits_continue
        {
            grip.link.silent.store(true, Ordering::Release);
        }
        Err(errors::ConnectionTimedOut::new_err("timed out waiting for the response"))
    }
}

/// Whether a response may be read now.
fn check_pending(connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
    let nothing = "no response is pending";
    let Some(link) = connection.get().link() else { return state_error(nothing) };
    if link.receiver(connection.py(), |receiver| receiver.current.is_some())? {
        return state_error("the body of the previous response has not been read to its end");
    }
    // What nobody asked for is an error of its own.
    let pending = link.shared.queue().is_response_due();
    if pending { Ok(()) } else { state_error(nothing) }
}

/// The head that was read, as an `HTTPResponse`.
fn response(
    py: Python<'_>,
    grip: &Grip,
    receiver: &mut Receiver,
    kind: HeadKind,
    awaited_continue: bool,
    tolerant: bool,
) -> PyResult<Py<PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let half = receiver.receiving.half();
    let head = half.head();
    let closing = tolerant && kind == HeadKind::Final && half.is_length_missing();
    if closing {
        warn(py, "the response has no length and does not say that the connection closes; reading up to its end")?;
    }
    if let Some(dugong_proto::Error::Remote {
        what: Malformed::TransferCoding | Malformed::CodingInHttp10 | Malformed::FoldedFramingField,
        ..
    }) = half.framing_fault()
    {
        warn(py, "the response has a transfer coding that cannot be read")?;
    }
    let (method, path) = grip.link.oldest(py).expect("the engine reads responses to requests that were taken");
    let status = head.status().as_u16();
    let reason = head.reason_text();
    let reason = if reason == "OK" { intern!(py, "OK").clone() } else { PyString::new(py, reason.trim()) };
    let length = if kind == HeadKind::Interim { Some(0) } else { half.content_length() };
    let lines = Py::new(py, Lines::new(head.fields(), closing))?;
    let make = MAKE.get_or_try_init(py, || {
        let class = py.import(intern!(py, "dugong"))?.getattr(intern!(py, "HTTPResponse"))?;
        class.getattr(intern!(py, "_lazy")).map(Bound::unbind)
    })?;
    let response = make.bind(py).call1((method, path, status, reason, lines, length))?.unbind();
    if kind == HeadKind::Interim {
        return Ok(response);
    }
    grip.link.refused.store(awaited_continue, Ordering::Release);
    if half.is_in_content() {
        receiver.current = Some(Current { number: half.completed(), response: response.clone_ref(py) });
    } else {
        grip.link.answered();
    }
    Ok(response)
}

fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let log = py.import(intern!(py, "dugong"))?.getattr(intern!(py, "log"))?;
    log.call_method1(intern!(py, "warning"), (text,)).map(drop)
}

/// What a step of reading a body came to.
enum Progressed<T> {
    Done(T),
    /// The end of the body, which is reported now.
    End,
    Needs(Need),
}

/// What the methods that read a body have in common: whose body, and what to do at its end.
#[derive(Default)]
struct BodyReader {
    grip: Option<Grip>,
}

impl BodyReader {
    /// Makes a step, if there is a body that was not read to its reported end.
    fn step<'py, T>(
        &mut self,
        connection: &Bound<'py, HTTPConnection>,
        step: impl FnOnce(&Grip, &mut Receiver, Option<&mut Sender>, &mut Wire<'_, 'py>) -> Result<Progressed<T>, BodyError>,
    ) -> PyResult<Progressed<T>> {
        let py = connection.py();
        if self.grip.is_none() {
            let Some(link) = connection.get().link() else { return Ok(Progressed::End) };
            if link.receiver(py, |receiver| receiver.current.is_none())? {
                return Ok(Progressed::End);
            }
            let Some(grip) = connection.get().grip(py, Role::Read) else { return Err(link.gone(py)) };
            self.grip = Some(grip);
        }
        let grip = self.grip.as_ref().expect("just taken");
        grip.read(py, |receiver, sender, wire| {
            if receiver.current.is_none() {
                return Ok(Progressed::End);
            }
            if grip.link.is_closed() {
                return Err(grip.link.gone(py));
            }
            let progressed = if receiver.is_at_end() {
                Progressed::End
            } else {
                step(grip, receiver, sender, wire).map_err(|error| match error {
                    BodyError::Engine(error) => grip.exception(py, error),
                    BodyError::Python(error) => error,
                })?
            };
            if let Progressed::End = progressed {
                end_body(py, grip, receiver)?;
            }
            Ok(progressed)
        })
    }
}

enum BodyError {
    Engine(Error),
    Python(PyErr),
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        BodyError::Engine(error)
    }
}

impl From<PyErr> for BodyError {
    fn from(error: PyErr) -> Self {
        BodyError::Python(error)
    }
}

/// The caller is told that the body is at its end: the next response can be read.
fn end_body(py: Python<'_>, grip: &Grip, receiver: &mut Receiver) -> PyResult<()> {
    let Some(current) = receiver.current.take() else { return Ok(()) };
    grip.link.answered();
    let trailers = receiver.receiving.half().trailers();
    if !trailers.is_empty() {
        let lines = Py::new(py, Lines::new(trailers, false))?;
        current.response.bind(py).call_method1(intern!(py, "_set_trailers"), (lines,))?;
    }
    Ok(())
}

/// `read(n)`.
pub(crate) enum Read {
    /// With the argument as it was passed: what is wrong with it is told by the first step.
    Begin(Option<Py<PyAny>>),
    Some(ReadSome),
    All(ReadAll),
}

impl Read {
    pub(crate) fn new(size: Option<Bound<'_, PyAny>>) -> Self {
        Read::Begin(size.map(Bound::unbind))
    }
}

impl Task for Read {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        if let Read::Begin(size) = self {
            let size = size.as_ref().map(|size| size.bind(connection.py())).filter(|size| !size.is_none());
            let size = size.map(|size| size.extract::<isize>()).transpose()?;
            *self = match size.map(usize::try_from) {
                Some(Ok(limit)) => Read::Some(ReadSome { reader: BodyReader::default(), limit }),
                None | Some(Err(_)) => Read::All(ReadAll::default()),
            };
        }
        match self {
            Read::Begin(_) => unreachable!("just begun"),
            Read::Some(some) => some.step(connection),
            Read::All(all) => all.step(connection),
        }
    }
}

/// At least one byte of the body, and at most `limit`.
pub(crate) struct ReadSome {
    reader: BodyReader,
    limit: usize,
}

impl ReadSome {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        let limit = self.limit;
        if limit == 0 {
            return Ok(Step::Done(PyBytes::new(py, b"").into_any().unbind()));
        }
        let progressed = self.reader.step(connection, |grip, receiver, mut sender, wire| {
            // Large content goes from the socket to where it is wanted; of other content it is known how much is there.
            let direct = receiver.receiving.half().bypass().unwrap_or(0).min(limit as u64);
            let size = if direct >= BYPASS_MIN {
                usize::try_from(direct).unwrap_or(MOST).min(MOST)
            } else {
                match grip.duplex(sender.as_deref_mut(), Some(receiver)).fill_content(wire)? {
                    Progress::Needs(interest) => return Ok(Progressed::Needs(grip.need(interest))),
                    Progress::Done(false) => return Ok(Progressed::End),
                    Progress::Done(true) => receiver.receiving.half().unconsumed().len().min(limit),
                }
            };
            let mut array = new_bytearray(py, size)?;
            match grip.duplex(sender, Some(receiver)).read_content(fresh_bytes(&mut array), wire)? {
                Progress::Needs(interest) => Ok(Progressed::Needs(grip.need(interest))),
                Progress::Done(0) => Ok(Progressed::End),
                Progress::Done(count) => {
                    if count < size {
                        pyo3::types::PyByteArrayMethods::resize(&array, count)?;
                    }
                    Ok(Progressed::Done(array.unbind()))
                }
            }
        })?;
        Ok(match progressed {
            Progressed::Done(array) => Step::Done(Py::<PyByteArray>::into_any(array)),
            Progressed::End => Step::Done(PyBytes::new(py, b"").into_any().unbind()),
            Progressed::Needs(need) => Step::Needs(need),
        })
    }
}

/// `readinto()`.
pub(crate) struct ReadInto {
    reader: BodyReader,
    target: Py<PyAny>,
    buffer: Option<Buffer>,
}

impl ReadInto {
    pub(crate) fn new(target: Bound<'_, PyAny>) -> Self {
        ReadInto { reader: BodyReader::default(), target: target.unbind(), buffer: None }
    }
}

impl Task for ReadInto {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.buffer.is_none() {
            self.buffer = Some(Buffer::writable(self.target.bind(py))?);
        }
        let buffer = self.buffer.as_mut().expect("just taken");
        let count = if buffer.len() == 0 {
            0
        } else {
            let progressed = self.reader.step(connection, |grip, receiver, sender, wire| {
                match grip.duplex(sender, Some(receiver)).read_content(buffer.bytes_mut(py), wire)? {
                    Progress::Needs(interest) => Ok(Progressed::Needs(grip.need(interest))),
                    Progress::Done(0) => Ok(Progressed::End),
                    Progress::Done(count) => Ok(Progressed::Done(count)),
                }
            })?;
            match progressed {
                Progressed::Done(count) => count,
                Progressed::End => 0,
                Progressed::Needs(need) => return Ok(Step::Needs(need)),
            }
        };
        Ok(Step::Done(count.into_pyobject(py)?.into_any().unbind()))
    }
}

/// `readall()`.
#[derive(Default)]
pub(crate) struct ReadAll {
    reader: BodyReader,
    content: Option<NewBytes>,
}

impl Task for ReadAll {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        loop {
            let content = &mut self.content;
            let progressed = self.reader.step(connection, |grip, receiver, mut sender, wire| {
                if content.is_none() {
                    let left = |receiver: &Receiver| {
                        let half = receiver.receiving.half();
                        half.content_length().map(|length| length - half.content_received())
                    };
                    let size = match left(receiver).map(usize::try_from) {
                        Some(Ok(size)) => size,
                        // Not announced: begin with what is there.
                        _ => match grip.duplex(sender.as_deref_mut(), Some(receiver)).fill_content(wire)? {
                            Progress::Needs(interest) => return Ok(Progressed::Needs(grip.need(interest))),
                            Progress::Done(false) => return Ok(Progressed::End),
                            Progress::Done(true) => receiver.receiving.half().unconsumed().len(),
                        },
                    };
                    // What a peer announces may be more than there is memory for.
                    *content = Some(NewBytes::new(py, size).or_else(|_| NewBytes::new(py, size.min(MOST)))?);
                }
                let content = content.as_mut().expect("just made");
                if content.room(py).is_empty() {
                    // More than was there at first. What is there now says how much more at least.
                    match grip.duplex(sender.as_deref_mut(), Some(receiver)).fill_content(wire)? {
                        Progress::Needs(interest) => return Ok(Progressed::Needs(grip.need(interest))),
                        Progress::Done(false) => return Ok(Progressed::End),
                        Progress::Done(true) => content.grow(py, receiver.receiving.half().unconsumed().len())?,
                    }
                }
                match grip.duplex(sender, Some(receiver)).read_content(content.room(py), wire)? {
                    Progress::Needs(interest) => Ok(Progressed::Needs(grip.need(interest))),
                    Progress::Done(0) => Ok(Progressed::End),
                    Progress::Done(count) => {
                        content.filled(count);
                        Ok(Progressed::Done(()))
                    }
                }
            })?;
            match progressed {
                Progressed::Done(()) => {}
                Progressed::Needs(need) => return Ok(Step::Needs(need)),
                Progressed::End => {
                    let bytes = match self.content.take() {
                        Some(content) => content.finish(py),
                        None => PyBytes::new(py, b"").unbind(),
                    };
                    return Ok(Step::Done(bytes.into_any()));
                }
            }
        }
    }
}

/// `discard()`.
#[derive(Default)]
pub(crate) struct Discard {
    reader: BodyReader,
}

impl Task for Discard {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let progressed = self.reader.step(connection, |grip, receiver, sender, wire| {
            match grip.duplex(sender, Some(receiver)).discard(wire)? {
                Progress::Needs(interest) => Ok(Progressed::<()>::Needs(grip.need(interest))),
                Progress::Done(()) => Ok(Progressed::End),
            }
        })?;
        match progressed {
            Progressed::Needs(need) => Ok(Step::Needs(need)),
            Progressed::Done(()) | Progressed::End => Step::done(connection.py()),
        }
    }
}

/// `read_raw(n)`.
pub(crate) struct ReadRaw {
    grip: Option<Grip>,
    size: usize,
    content: Option<NewBytes>,
}

impl ReadRaw {
    pub(crate) fn new(size: usize) -> Self {
        ReadRaw { grip: None, size, content: None }
    }
}

impl Task for ReadRaw {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.grip.is_none() {
            let Some(grip) = connection.get().grip(py, Role::Read) else {
                return Err(errors::ConnectionClosed::new_err("there is no connection"));
            };
            self.grip = Some(grip);
            self.content = Some(NewBytes::new(py, self.size.min(MOST))?);
        }
        let (grip, content) = self.grip.as_ref().zip(self.content.as_mut()).expect("just made");
        let mut left = self.size - content.len();
        while left > 0 {
            content.grow(py, 1)?;
            let progress = grip.read(py, |receiver, sender, wire| {
                if grip.link.is_closed() {
                    return Err(grip.link.gone(py));
                }
                let room = content.room(py);
                let room = room.len().min(left);
                let read = grip.duplex(sender, Some(receiver)).read_raw(&mut content.room(py)[..room], wire);
                match read.map_err(|error| grip.exception(py, error))? {
                    Progress::Needs(interest) => Ok(Err(grip.need(interest))),
                    Progress::Done(count) => Ok(Ok(count)),
                }
            })?;
            match progress {
                Err(need) => return Ok(Step::Needs(need)),
                Ok(0) => break,
                Ok(count) => {
                    content.filled(count);
                    left -= count;
                }
            }
        }
        let content = self.content.take().expect("made in the first step");
        Ok(Step::Done(content.finish(py).into_any()))
    }

    fn timed_out(&mut self, _: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        // It waits as long as it takes (statement 13.6).
        Ok(())
    }
}
