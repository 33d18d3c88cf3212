//! The methods that read a body (statements 13).

use std::sync::Arc;

use dugong_http::Error;
use dugong_http::driver::{BYPASS_MIN, Progress};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyOverflowError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use crate::buffer::{Buffer, NewBytes, fresh_bytes, new_bytearray};
use crate::errors;
use crate::guard::{ConnectionGuard, Role};
use crate::head::HTTPResponse;
use crate::link::{Driver, Link, Sides, State};
use crate::need::Need;
use crate::state::HTTPConnection;
use crate::task::{Step, Task};
use crate::wire::Wire;

/// The most that `read` allocates before it knows the size. One system call delivers no more than this.
const MOST: usize = 256 * 1024;

/// The result of a step that reads a body.
enum Progressed<T> {
    Done(T),
    /// The end of the body, which is reported now.
    End,
    Needs(Need),
}

/// The common part of the methods that read a body: it finds the body, and reports its end.
#[derive(Default)]
struct BodyReader {
    guard: Option<ConnectionGuard>,
    /// The connection that it reads from; `None` for the one that is current when it begins.
    link: Option<Arc<Link>>,
    /// Whether it is no error if a response is due whose head was not read.
    is_lenient: bool,
    driver: Driver,
}

impl BodyReader {
    /// Makes a step, unless the body was read to its reported end.
    fn step<'py, T>(
        &mut self,
        connection: &Bound<'py, HTTPConnection>,
        step: impl FnOnce(&ConnectionGuard, &mut State, Sides, &mut Wire<'_, 'py>) -> Result<Progressed<T>, BodyError>,
    ) -> PyResult<Progressed<T>> {
        let py = connection.py();
        let is_first = self.guard.is_none();
        if is_first {
            match self.begin(connection)? {
                Some(guard) => self.guard = Some(guard),
                None => return Ok(Progressed::End),
            }
        }
        let guard = self.guard.as_ref().expect("just made");
        let mut done = None;
        let progressed = guard.step(py, |state, sides, wire| {
            if state.current.is_none() {
                return match is_first && !self.is_lenient && guard.link.is_head_unread(state) {
                    true => Ok(Err(errors::StateError::new_err(HEAD_UNREAD))),
                    false => Ok(Ok(Progressed::End)),
                };
            }
            if guard.link.is_closed() {
                return Err(guard.link.body_gone(py, state));
            }
            let progressed = if state.is_at_end() {
                Progressed::End
            } else {
                step(guard, state, sides, wire).map_err(|error| match error {
                    BodyError::Engine(_) if guard.link.is_closed() => guard.link.body_gone(py, state),
                    BodyError::Engine(error) => guard.exception(py, state, error),
                    BodyError::Python(error) => error,
                })?
            };
            if let Progressed::End = progressed {
                guard.link.set_current(state, None);
                let trailers = state.receiving.half().trailers();
                let trailers = (!trailers.is_empty()).then(|| trailers.clone());
                done = Some((guard.link.note_answer(state), state.response.take(), trailers));
            }
            Ok(Ok(progressed))
        })?;
        // This may drop the last reference to a response, which runs the program's code, so the state must be free here.
        if let Some((_, Some(response), Some(trailers))) = done {
            HTTPResponse::set_trailers(response.bind(py), &trailers)?;
        }
        progressed
    }

    /// Takes the connection that the body comes from; `None` without a body.
    fn begin(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Option<ConnectionGuard>> {
        let (py, this) = (connection.py(), connection.get());
        let (link, in_use) = match &self.link {
            Some(link) => (Some(link.clone()), this.in_use(py, link)),
            None => this.link_in_use(py),
        };
        let current = in_use.as_ref().map(|in_use| &in_use.link).or(link.as_ref());
        let has_body = current.is_some_and(|link| link.is_in_body());
        if self.link.is_none() && this.has_cut() {
            this.check_cut(py, has_body)?;
        }
        if let Some(in_use) = in_use {
            return in_use.guard(Role::Read(self.driver)).map(Some);
        }
        match link {
            Some(link) if has_body => link.with(py, |state| Err(link.body_gone(py, state))),
            _ => Ok(None),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.guard.as_ref().map_or(Ok(()), |guard| guard.traverse(visit))
    }

    fn pause(&self, py: Python<'_>) -> PyResult<bool> {
        self.guard.as_ref().map_or(Ok(false), |guard| guard.pause(py))
    }
}

const HEAD_UNREAD: &str = "a response is due whose head was not read; call read_response() first";

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

/// `read(n)`.
pub(crate) enum Read {
    /// The argument as it was passed. The first step checks it.
    Begin(Option<Py<PyAny>>, Driver),
    Some(ReadSome),
    All(ReadAll),
}

impl Read {
    pub(crate) fn new(size: Option<Bound<'_, PyAny>>) -> Self {
        Read::Begin(size.map(Bound::unbind), Driver::default())
    }
}

impl Task for Read {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        if let Read::Begin(size, driver) = self {
            let reader = BodyReader { driver: *driver, ..BodyReader::default() };
            let size = size.as_ref().map(|size| size.bind(connection.py())).filter(|size| !size.is_none());
            let is_limited = size.map_or(Ok(false), |size| size.ge(0))?;
            *self = match size.filter(|_| is_limited) {
                // A number that does not fit is no limit.
                Some(size) => {
                    let limit =
                        size.extract().or_else(|error: PyErr| match error.is_instance_of::<PyOverflowError>(size.py()) {
                            true => Ok(usize::MAX),
                            false => Err(error),
                        })?;
                    Read::Some(ReadSome { reader, limit })
                }
                None => Read::All(ReadAll { reader, content: None }),
            };
        }
        match self {
            Read::Begin(..) => unreachable!("just begun"),
            Read::Some(some) => some.step(connection),
            Read::All(all) => all.step(connection),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Read::Begin(size, _) => size.as_ref().map_or(Ok(()), |size| visit.call(size)),
            Read::Some(some) => some.reader.traverse(visit),
            Read::All(all) => all.reader.traverse(visit),
        }
    }

    fn driven_by(&mut self, driver: Driver) {
        if let Read::Begin(_, before) = self {
            *before = driver;
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
        let progressed = self.reader.step(connection, |guard, state, sides, wire| {
            // Large content goes directly from the socket into the array. Other content is in the buffer, so its size is known.
            let direct = state.receiving.half().bypass().unwrap_or(0).min(limit as u64);
            let size = if direct >= BYPASS_MIN {
                usize::try_from(direct).unwrap_or(MOST).min(MOST)
            } else {
                match state.duplex(sides).fill_content(wire)? {
                    Progress::Needs(interest) => return Ok(Progressed::Needs(guard.need(interest))),
                    Progress::Done(false) => return Ok(Progressed::End),
                    Progress::Done(true) => state.receiving.half().unconsumed().len().min(limit),
                }
            };
            let mut array = new_bytearray(py, size)?;
            match state.duplex(sides).read_content(fresh_bytes(&mut array), wire)? {
                Progress::Needs(interest) => Ok(Progressed::Needs(guard.need(interest))),
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
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.target)?;
        self.reader.traverse(visit)
    }

    fn driven_by(&mut self, driver: Driver) {
        self.reader.driver = driver;
    }

    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.buffer.is_none() {
            self.buffer = Some(Buffer::writable(self.target.bind(py))?);
        }
        let buffer = self.buffer.as_mut().expect("just taken");
        let count = if buffer.len() == 0 {
            0
        } else {
            let progressed = self.reader.step(connection, |guard, state, sides, wire| {
                match state.duplex(sides).read_content(buffer.bytes_mut(py), wire)? {
                    Progress::Needs(interest) => Ok(Progressed::Needs(guard.need(interest))),
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

impl ReadAll {
    /// Reads the body of this connection, even if the object has another one by now.
    pub(crate) fn on(link: Arc<Link>, driver: Driver) -> Self {
        ReadAll { reader: BodyReader { link: Some(link), driver, ..BodyReader::default() }, content: None }
    }

    /// Releases the connection. The next step takes it again.
    pub(crate) fn let_go(&mut self) {
        self.reader.guard = None;
    }
}

impl Task for ReadAll {
    fn driven_by(&mut self, driver: Driver) {
        self.reader.driver = driver;
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.reader.traverse(visit)
    }

    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        loop {
            let content = &mut self.content;
            let progressed = self.reader.step(connection, |guard, state, sides, wire| {
                if content.is_none() {
                    let left = |state: &State| {
                        let half = state.receiving.half();
                        half.content_length().map(|length| length - half.content_received())
                    };
                    let size = match left(state).map(usize::try_from) {
                        Some(Ok(size)) => size,
                        // The length is not known: begin with the size of the received data.
                        _ => match state.duplex(sides).fill_content(wire)? {
                            Progress::Needs(interest) => return Ok(Progressed::Needs(guard.need(interest))),
                            Progress::Done(false) => return Ok(Progressed::End),
                            Progress::Done(true) => state.receiving.half().unconsumed().len(),
                        },
                    };
                    // A server can announce more than fits into memory.
                    *content = Some(NewBytes::new(py, size).or_else(|_| NewBytes::new(py, size.min(MOST)))?);
                }
                let content = content.as_mut().expect("just made");
                if content.room(py).is_empty() {
                    // The body is longer than the first guess. Grow by the size of the received data.
                    match state.duplex(sides).fill_content(wire)? {
                        Progress::Needs(interest) => return Ok(Progressed::Needs(guard.need(interest))),
                        Progress::Done(false) => return Ok(Progressed::End),
                        Progress::Done(true) => content.grow(py, state.receiving.half().unconsumed().len())?,
                    }
                }
                match state.duplex(sides).read_content(content.room(py), wire)? {
                    Progress::Needs(interest) => Ok(Progressed::Needs(guard.need(interest))),
                    Progress::Done(0) => Ok(Progressed::End),
                    Progress::Done(count) => {
                        content.filled(count);
                        Ok(Progressed::Done(()))
                    }
                }
            })?;
            match progressed {
                Progressed::Done(()) if self.reader.pause(py)? => return Ok(Step::Turn),
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
pub(crate) struct Discard {
    reader: BodyReader,
}

/// Without a body, it does nothing.
impl Default for Discard {
    fn default() -> Self {
        Discard { reader: BodyReader { is_lenient: true, ..BodyReader::default() } }
    }
}

impl Discard {
    /// Reads the body of this connection, even if the object has another one by now.
    pub(crate) fn of(link: &Arc<Link>, driver: Driver) -> Self {
        let mut discard = Discard::default();
        discard.reader.link = Some(link.clone());
        discard.reader.driver = driver;
        discard
    }
}

impl Task for Discard {
    fn driven_by(&mut self, driver: Driver) {
        self.reader.driver = driver;
    }

    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        loop {
            let progressed =
                self.reader.step(connection, |guard, state, sides, wire| match state.duplex(sides).discard_some(wire)? {
                    Progress::Needs(interest) => Ok(Progressed::Needs(guard.need(interest))),
                    Progress::Done(true) => Ok(Progressed::Done(())),
                    Progress::Done(false) => Ok(Progressed::End),
                })?;
            match progressed {
                Progressed::Needs(need) => return Ok(Step::Needs(need)),
                Progressed::Done(()) if self.reader.pause(py)? => return Ok(Step::Turn),
                Progressed::Done(()) => {}
                Progressed::End => return Step::done(py),
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.reader.traverse(visit)
    }
}

/// `read_raw(n)`.
pub(crate) struct ReadRaw {
    guard: Option<ConnectionGuard>,
    size: usize,
    content: Option<NewBytes>,
}

impl ReadRaw {
    pub(crate) fn new(size: usize) -> Self {
        ReadRaw { guard: None, size, content: None }
    }
}

impl Task for ReadRaw {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.guard.is_none() {
            let Some(guard) = connection.get().guard(py, Role::Read(Driver::Call))? else {
                return Err(errors::ConnectionClosed::new_err("there is no connection"));
            };
            self.guard = Some(guard);
            self.content = Some(NewBytes::new(py, self.size.min(MOST))?);
        }
        let (guard, content) = self.guard.as_ref().zip(self.content.as_mut()).expect("just made");
        let mut left = self.size - content.len();
        while left > 0 {
            content.grow(py, 1)?;
            let progress = guard.step(py, |state, sides, wire| {
                if guard.link.is_closed() {
                    return Err(state.gone(py));
                }
                let room = content.room(py);
                let room = room.len().min(left);
                let read = state.duplex(sides).read_raw(&mut content.room(py)[..room], wire);
                match read.map_err(|error| guard.exception(py, state, error))? {
                    Progress::Needs(interest) => Ok(Err(guard.need(interest))),
                    Progress::Done(count) => Ok(Ok(count)),
                }
            })?;
            match progress {
                Err(need) => return Ok(Step::Needs(need)),
                Ok(0) => break,
                Ok(count) => {
                    content.filled(count);
                    left -= count;
                    if guard.pause(py)? {
                        return Ok(Step::Turn);
                    }
                }
            }
        }
        let content = self.content.take().expect("made in the first step");
        Ok(Step::Done(content.finish(py).into_any()))
    }

    fn timed_out(&mut self, _: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        // It has no timeout (statement 13.6).
        Ok(())
    }
}
