//! `pipeline`: many requests through one connection, with many in flight, that cannot deadlock.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use dugong_http::step::{InFlight, Interest, Progress};
use dugong_http::{Error, Misuse};
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyStopAsyncIteration, PyStopIteration, PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyMapping, PyString, PyTuple, PyType};

use crate::body::{Discard, ReadAll};
use crate::connect::{Connect, Resolver};
use crate::errors::{self, state_error};
use crate::guard::{Grip, Role};
use crate::link::{Link, check_torn};
use crate::log;
use crate::need::Need;
use crate::operation::Operation;
use crate::request::{Arguments, Prepared};
use crate::response::final_response;
use crate::send::needs_connection;
use crate::state::HTTPConnection;
use crate::target::Target;
use crate::task::{Step, Task, run};

/// Sends requests as an iterable gives them, and yields their responses in the same order: what `pipeline` returns.
///
/// It never waits to send without being ready to read, so it cannot deadlock, whatever the server does. A response is
/// yielded as soon as its head has come; its body is read from the connection as usual, and what was not read when the next
/// response is asked for is discarded. If an exception was raised, the next call goes on, if the connection can: after a
/// `ConnectionTimedOut`, and after a request that was not valid: it is left out, and is in `rest`.
#[pyclass(frozen, weakref, module = "dugong")]
pub(crate) struct Pipeline {
    connection: Py<HTTPConnection>,
    requests: Py<PyIterator>,
    max_requests: usize,
    max_bytes: usize,
    collect: bool,
    /// Taken out while somebody asks for the next response.
    state: Mutex<Option<State>>,
}

/// What `co_pipeline` returns: like a `Pipeline`, for `async for`.
///
/// Each response can also be had by driving the iterator that `__anext__` returns, as those of the `co_` methods. If one is
/// cancelled, the next one goes on where it was.
#[pyclass(frozen, weakref, module = "dugong")]
pub(crate) struct AsyncPipeline {
    pipeline: Py<Pipeline>,
}

#[derive(Default)]
struct State {
    /// The connection that it has begun on, and what requests are made for.
    begun: Option<(Arc<Link>, Arc<Target>)>,
    in_flight: InFlight,
    exhausted: bool,
    taken: u64,
    /// Taken from the iterator, and not yet by the connection.
    current: Option<Current>,
    /// The requests that were not valid, as they were given.
    refused: Vec<Py<PyAny>>,
    /// The requests in flight, oldest first, as they were given.
    sent: VecDeque<Py<PyAny>>,
    /// The request whose response was yielded last.
    answered: Option<Py<PyAny>>,
    /// A response whose body is being collected.
    collecting: Option<(Py<PyAny>, ReadAll)>,
    /// Whoever asks for the next response, waiting included.
    asker: Weak<()>,
}

struct Current {
    given: Py<PyAny>,
    prepared: Prepared,
    size: usize,
}

impl Pipeline {
    pub(crate) fn new(
        connection: &Bound<'_, HTTPConnection>,
        requests: &Bound<'_, PyAny>,
        max_requests: usize,
        max_bytes: usize,
        collect: bool,
    ) -> PyResult<Self> {
        if max_requests == 0 {
            return Err(PyValueError::new_err("max_requests has to be at least 1"));
        }
        if requests.is_instance_of::<PyString>() || PyUntypedBuffer::get(requests).is_ok() {
            let kind = requests.get_type().name()?;
            return Err(PyTypeError::new_err(format!("requests has to be an iterable of requests, such as a list, not {kind}")));
        }
        let (connection, requests) = (connection.clone().unbind(), requests.try_iter()?.unbind());
        let state = Mutex::new(Some(State::default()));
        Ok(Pipeline { connection, requests, max_requests, max_bytes, collect, state })
    }

    fn description(&self, py: Python<'_>) -> String {
        let connection = self.connection.get().description(py);
        match &*self.state.lock() {
            None => format!("{connection}: running"),
            Some(state) => format!("{connection}: {} requests taken, {} unanswered", state.taken, state.sent.len()),
        }
    }

    /// Looks at the state, or changes it.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> PyResult<T>) -> PyResult<T> {
        let taken = self.state.lock().take();
        let Some(mut state) = taken else { return in_use() };
        let result = work(&mut state);
        *self.state.lock() = Some(state);
        result
    }
}

fn in_use<T>() -> PyResult<T> {
    Err(PyValueError::new_err("the pipeline is being used already"))
}

#[pymethods]
impl Pipeline {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        visit.call(&self.requests)?;
        // If it is being used, it is reachable anyway.
        match self.state.try_lock().as_deref() {
            Some(Some(state)) => state.traverse(&visit),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let before = self.state.lock().take();
        drop(before);
    }

    /// For annotations.
    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import(intern!(cls.py(), "types"))?.getattr(intern!(cls.py(), "GenericAlias"))?;
        alias.call1((cls, item))
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let connection = slf.get().connection.bind(slf.py());
        run(connection, &mut Next::new(slf, Resolver::Here, PyStopIteration::new_err(())))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<dugong.Pipeline to {}>", self.description(py))
    }

    /// How many requests were taken from the iterable.
    #[getter]
    fn taken(&self) -> PyResult<u64> {
        self.with(|state| Ok(state.taken))
    }

    /// The requests that were sent and have no complete response yet, oldest first, as they were given.
    ///
    /// After a `ConnectionClosed`, these are the ones that the server may or may not have carried out.
    #[getter]
    fn unanswered<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.with(|state| {
            let answering = match &state.begun {
                Some((link, _)) if link.receiver(py, |receiver| receiver.current.is_some())? => state.answered.as_ref(),
                _ => None,
            };
            PyList::new(py, answering.into_iter().chain(&state.sent))
        })
    }

    /// An iterator over the requests that were not sent, as they were given: those that were not valid, then the others.
    #[getter]
    fn rest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let first = self.with(|state| {
            PyTuple::new(py, state.refused.iter().chain(state.current.as_ref().map(|current| &current.given)).collect::<Vec<_>>())
        })?;
        py.import(intern!(py, "itertools"))?.call_method1(intern!(py, "chain"), (first, &self.requests))
    }
}

#[pymethods]
impl AsyncPipeline {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.pipeline)
    }

    /// For annotations.
    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import(intern!(cls.py(), "types"))?.getattr(intern!(cls.py(), "GenericAlias"))?;
        alias.call1((cls, item))
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> Operation {
        let pipeline = self.pipeline.bind(py);
        let next = Next::new(pipeline, Resolver::Thread, PyStopAsyncIteration::new_err(()));
        Operation::new(pipeline.get().connection.bind(py), "__anext__", next)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<dugong.AsyncPipeline to {}>", self.pipeline.get().description(py))
    }

    /// How many requests were taken from the iterable.
    #[getter]
    fn taken(&self) -> PyResult<u64> {
        self.pipeline.get().taken()
    }

    /// The requests that were sent and have no complete response yet, oldest first, as they were given.
    ///
    /// After a `ConnectionClosed`, these are the ones that the server may or may not have carried out.
    #[getter]
    fn unanswered<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.pipeline.get().unanswered(py)
    }

    /// An iterator over the requests that were not sent, as they were given: those that were not valid, then the others.
    #[getter]
    fn rest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.pipeline.get().rest(py)
    }
}

impl AsyncPipeline {
    pub(crate) fn new(pipeline: Bound<'_, Pipeline>) -> Self {
        AsyncPipeline { pipeline: pipeline.unbind() }
    }
}

impl State {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(current) = &self.current {
            visit.call(&current.given)?;
            current.prepared.traverse(visit)?;
        }
        if let Some((response, reading)) = &self.collecting {
            visit.call(response)?;
            reading.traverse(visit)?;
        }
        self.sent.iter().chain(&self.answered).chain(&self.refused).try_for_each(|object| visit.call(object))
    }
}

/// The next response of a pipeline.
struct Next {
    pipeline: Py<Pipeline>,
    resolver: Resolver,
    /// What is raised when there is none.
    end: Option<PyErr>,
    connect: Option<Connect>,
    discard: Option<Discard>,
    grip: Option<Grip>,
    /// There is one asker at a time.
    token: Arc<()>,
}

/// What came of sending as far as possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// All that there is, or as much as may be in flight.
    All,
    /// Nothing more until something is read.
    UntilRead,
    /// Nothing more until the connection is ready.
    UntilReady(Interest),
}

impl Next {
    fn new(pipeline: &Bound<'_, Pipeline>, resolver: Resolver, end: PyErr) -> Self {
        let pipeline = pipeline.clone().unbind();
        let (discard, token) = (Some(Discard::default()), Arc::default());
        Next { pipeline, resolver, end: Some(end), connect: None, discard, grip: None, token }
    }

    fn go_on(&mut self, connection: &Bound<'_, HTTPConnection>, pipeline: &Pipeline, state: &mut State) -> PyResult<Step> {
        let py = connection.py();
        if state.asker.upgrade().is_some_and(|asker| !Arc::ptr_eq(&asker, &self.token)) {
            return in_use();
        }
        state.asker = Arc::downgrade(&self.token);
        if let Some(need) = self.begin(connection, state)? {
            return Ok(Step::Needs(need));
        }
        let link = state.begun.as_ref().expect("just begun").0.clone();
        if link.is_closed() {
            return Err(link.body_gone(py));
        }
        if let Some((response, reading)) = &mut state.collecting {
            return match reading.step(connection)? {
                Step::Needs(need) => Ok(Step::Needs(need)),
                Step::Turn => Ok(Step::Turn),
                Step::Done(body) => {
                    let pair = (response.clone_ref(py), body).into_pyobject(py)?;
                    (state.collecting, state.answered) = (None, None);
                    Ok(Step::Done(pair.into_any().unbind()))
                }
            };
        }
        if let Some(discard) = &mut self.discard {
            discard.reads_from(&link);
            match discard.step(connection)? {
                Step::Done(_) => {}
                step => return Ok(step),
            }
            self.discard = None;
            state.answered = None;
        }
        if self.grip.is_none() {
            let Some(transport) = link.transport() else { return Err(link.gone(py)) };
            self.grip = Some(Grip::new(link.clone(), transport, connection.get().trace(py), Role::Both)?);
        }
        let response = match self.exchange(connection, pipeline, state)? {
            Ok(Some(response)) => response,
            Ok(None) => return Err(self.end.take().unwrap_or_else(|| PyStopIteration::new_err(()))),
            Err(need) => return Ok(Step::Needs(need)),
        };
        self.grip = None;
        if !pipeline.collect {
            return Ok(Step::Done(response));
        }
        state.collecting = Some((response, ReadAll::on(link)));
        self.go_on(connection, pipeline, state)
    }

    /// Makes sure that there is a connection to begin with; what it has to wait for.
    fn begin(&mut self, connection: &Bound<'_, HTTPConnection>, state: &mut State) -> PyResult<Option<Need>> {
        let py = connection.py();
        if state.begun.is_some() {
            return Ok(None);
        }
        if self.connect.is_some() || needs_connection(connection)? {
            let connect = self.connect.get_or_insert_with(|| Connect::new(self.resolver));
            if let Some(need) = connect.go_on(connection)? {
                return Ok(Some(need));
            }
            self.connect = None;
        }
        let Some(link) = connection.get().open_link() else {
            return Err(errors::ConnectionClosed::new_err("the connection was closed by disconnect()"));
        };
        // One whose content is being read has had its head, and is not waited for.
        let in_content = link.receiver(py, |receiver| receiver.receiving.half().is_in_content())?;
        let earlier = link.shared.queue().len() - usize::from(in_content);
        state.in_flight = InFlight::new(earlier);
        state.begun = Some((link, connection.get().target(py)?));
        Ok(None)
    }

    /// Reads the next head, and keeps requests going out: the response, or `None` if there is nothing more to do.
    fn exchange(
        &mut self,
        connection: &Bound<'_, HTTPConnection>,
        pipeline: &Pipeline,
        state: &mut State,
    ) -> PyResult<Result<Option<Py<PyAny>>, Need>> {
        let py = connection.py();
        let grip = self.grip.as_ref().expect("taken before");
        let mut sent = None;
        if state.in_flight.is_low(pipeline.max_requests, pipeline.max_bytes) {
            sent = Some(send_more(py, grip, pipeline, state)?);
        }
        loop {
            if state.current.is_none() && grip.link.shared.queue().is_empty() {
                // What is there to be sent can always be sent now.
                if sent.is_some() {
                    grip.link.shrink();
                    return Ok(Ok(None));
                }
                sent = Some(send_more(py, grip, pipeline, state)?);
                continue;
            }
            let tolerant = connection.get().tolerates_missing_length();
            let interest = match final_response(py, grip, tolerant)? {
                Progress::Done(response) => {
                    connection.get().supersede_cut();
                    if state.in_flight.answered() {
                        state.answered = state.sent.pop_front();
                    }
                    return Ok(Ok(Some(response)));
                }
                Progress::Needs(interest) => interest,
            };
            // While there is nothing to read, the window is filled up.
            let interest = match sent {
                None => {
                    sent = Some(send_more(py, grip, pipeline, state)?);
                    continue;
                }
                Some(Sent::UntilReady(also)) => interest | also,
                Some(Sent::All | Sent::UntilRead) => interest,
            };
            return Ok(Err(grip.need(interest)));
        }
    }
}

/// Sends requests as far as the window allows, and as is possible without waiting.
fn send_more(py: Python<'_>, grip: &Grip, pipeline: &Pipeline, state: &mut State) -> PyResult<Sent> {
    let sent = loop {
        if state.current.is_none() && !state.take_next(py, pipeline)? {
            break Sent::All;
        }
        match state.send_current(py, grip, pipeline)? {
            Sent::All => {}
            stopped => break stopped,
        }
    };
    grip.both(py, |sender, _, wire| {
        // If it fails, what has arrived can still be read; then reading reports the end.
        let _ = grip.duplex(Some(sender), None).flush(wire);
        Ok(())
    })?;
    Ok(sent)
}

impl State {
    /// Takes the next request from the iterator, if the window allows one more. No lock is held while it is made.
    fn take_next(&mut self, py: Python<'_>, pipeline: &Pipeline) -> PyResult<bool> {
        if self.exhausted || self.in_flight.is_full(pipeline.max_requests) {
            return Ok(false);
        }
        let Some(given) = pipeline.requests.bind(py).clone().next().transpose()? else {
            self.exhausted = true;
            return Ok(false);
        };
        self.taken += 1;
        match self.prepare(&given) {
            Ok((prepared, size)) => self.current = Some(Current { given: given.unbind(), prepared, size }),
            Err(error) => {
                // It is lost neither to a program that gives up, nor to one that goes on without it.
                self.refused.push(given.unbind());
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Checks a request; also how much it counts.
    fn prepare(&self, given: &Bound<'_, PyAny>) -> PyResult<(Prepared, usize)> {
        let (_, target) = self.begun.as_ref().expect("begun before");
        let prepared = arguments(given)?.prepare(given.py(), target)?;
        let size = InFlight::size_of(&prepared.request).map_err(|misuse| match misuse {
            Misuse::ContentShort => PyTypeError::new_err("in a pipeline, the body of a request has to be given as bytes"),
            other => errors::misuse(other),
        })?;
        Ok((prepared, size))
    }

    /// Has the connection take the current request, if there is room for it.
    fn send_current(&mut self, py: Python<'_>, grip: &Grip, pipeline: &Pipeline) -> PyResult<Sent> {
        let Some(current) = &mut self.current else { return Ok(Sent::All) };
        current.prepared.settle_host(&grip.link);
        if !self.in_flight.has_room(current.size, pipeline.max_bytes) {
            return Ok(Sent::UntilRead);
        }
        let link = &grip.link;
        let taken = grip.both(py, |sender, receiver, wire| {
            if link.is_closed() {
                return Err(link.gone(py));
            }
            if let Some(error) = grip.failure() {
                return if link.shared.queue().is_empty() { Err(grip.exception(py, error)) } else { Ok(Sent::UntilRead) };
            }
            if sender.is_owing() {
                return state_error("the body of the previous request has not been written completely");
            }
            check_torn(link)?;
            match grip.duplex(Some(sender), Some(receiver)).take_request(&current.prepared.request, wire) {
                Ok(Progress::Done(_)) => {
                    current.prepared.taken(py, link);
                    Ok(Sent::All)
                }
                Ok(Progress::Needs(interest)) => Ok(Sent::UntilReady(interest)),
                // Nothing of it was sent; reading will tell why, after what can still be read.
                Err(_) if !link.shared.queue().is_empty() => Ok(Sent::UntilRead),
                Err(Error::Local(Misuse::ReadFirst)) => Err(link.lost(py, "the connection ended before a request was sent")),
                Err(error) => Err(grip.exception(py, error)),
            }
        })?;
        if taken == Sent::All {
            let current = self.current.take().expect("just looked at");
            if link.is_logged {
                log::sent(py, &current.prepared.method, &current.prepared.path)?;
            }
            self.in_flight.sent(current.size);
            self.sent.push_back(current.given);
        }
        Ok(taken)
    }
}

impl Task for Next {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        let pipeline = self.pipeline.clone_ref(py);
        let pipeline = pipeline.get();
        pipeline.with(|state| {
            let step = self.go_on(connection, pipeline, state);
            if let (Err(_), Some((link, _))) = (&step, &state.begun) {
                // After the error that ends the connection a pipeline has nothing to read, so the server need not keep it.
                link.shut_down_if_over(py);
            }
            if let (Err(_), Some((_, reading))) = (&step, &mut state.collecting) {
                reading.let_go();
            }
            step
        })
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.pipeline)?;
        self.discard.as_ref().map_or(Ok(()), |discard| discard.traverse(visit))?;
        self.grip.as_ref().map_or(Ok(()), |grip| grip.traverse(visit))
    }

    fn awaited(&mut self) {
        self.resolver = self.resolver.awaited();
    }

    fn interrupted(&mut self, connection: &Bound<'_, HTTPConnection>) {
        if let Some(connect) = &mut self.connect {
            connect.interrupt(connection);
        }
        // Nobody reads until the next call.
        let let_go = |state: &mut State| {
            let is_mine = state.asker.upgrade().is_some_and(|asker| Arc::ptr_eq(&asker, &self.token));
            if let Some((_, reading)) = state.collecting.as_mut().filter(|_| is_mine) {
                reading.let_go();
            }
            Ok(())
        };
        let _ = self.pipeline.get().with(let_go);
    }

    fn timed_out(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        match &mut self.connect {
            Some(connect) => connect.timed_out(connection),
            None => {
                self.interrupted(connection);
                Err(errors::ConnectionTimedOut::new_err("timed out waiting for the next response"))
            }
        }
    }
}

/// What was given as a request: a path, a tuple of method, path, headers and body, or a mapping with these names.
fn arguments(given: &Bound<'_, PyAny>) -> PyResult<Arguments> {
    let py = given.py();
    let wrong = |what: &str| {
        PyTypeError::new_err(format!(
            "a request has to be a path, (method, path, headers, body) with the last two left out if you like, or a mapping with \
             these names, not {what}"
        ))
    };
    if given.is_instance_of::<PyString>() {
        return Ok(Arguments::new(intern!(py, "GET").clone().into_any(), given.clone(), None, None));
    }
    if let Ok(mapping) = given.cast::<PyMapping>() {
        let fields = PyDict::new(py);
        fields.update(mapping)?;
        let take = |name| fields.call_method1(intern!(py, "pop"), (name, py.None()));
        let (method, path) = (take("method")?, take("path")?);
        let (headers, body) = (take("headers")?, take("body")?);
        if let Some(name) = fields.keys().iter().next() {
            return Err(wrong(&format!("one with {}", name.repr()?)));
        }
        return Ok(Arguments::new(method, path, Some(headers), Some(body)));
    }
    let items: Vec<_> = given.cast::<PyTuple>().map_or_else(|_| Vec::new(), |tuple| tuple.iter().collect());
    match &items[..] {
        [method, path, rest @ ..] if rest.len() <= 2 => {
            Ok(Arguments::new(method.clone(), path.clone(), rest.first().cloned(), rest.get(1).cloned()))
        }
        _ => Err(wrong(&given.get_type().name()?.to_cow()?)),
    }
}
