//! `pipeline`: many requests through one connection, with many in flight, that cannot deadlock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use dugong_http::driver::{Interest, Progress, Wants, Window};
use dugong_http::{Error, Misuse};
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyRuntimeWarning, PyStopAsyncIteration, PyStopIteration, PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyMapping, PyString, PyTuple, PyType};

use crate::argument::Whole;
use crate::body::{Discard, ReadAll};
use crate::connect::{Connect, Resolver};
use crate::errors::{self, state_error};
use crate::guard::{ConnectionGuard, Role};
use crate::link::{Driver, Link, Sides};
use crate::log;
use crate::need::Need;
use crate::operation::Operation;
use crate::request::{Arguments, Prepared};
use crate::response::{Head, final_head};
use crate::send::needs_connection;
use crate::state::HTTPConnection;
use crate::target::Target;
use crate::task::{Step, Task, run};
use crate::watch;

/// Sends the requests of an iterable, and yields their responses in the same order. `pipeline` returns it.
///
/// It never waits to send without being ready to read, so no server can make it deadlock. It yields a response as soon as its
/// head has come. Read the body from the connection as usual; the next step discards the rest. After an exception, the next step
/// goes on if the connection can: after a `ConnectionTimedOut`, and after an invalid request, which it leaves out and keeps in
/// `rest`.
#[pyclass(frozen, weakref, module = "dugong")]
pub(crate) struct Pipeline {
    connection: Py<HTTPConnection>,
    requests: Py<PyIterator>,
    max_requests: usize,
    max_bytes: usize,
    collect: bool,
    /// Taken out while an operation asks for the next response.
    state: Mutex<Option<Box<State>>>,
}

/// A `Pipeline` for `async for`. `co_pipeline` returns it.
///
/// You can also drive the iterators that `__anext__` returns, like those of the `co_` methods. If one is cancelled, the next one
/// goes on where it was.
#[pyclass(frozen, weakref, module = "dugong")]
pub(crate) struct AsyncPipeline {
    pipeline: Py<Pipeline>,
    /// Whether the program has used it.
    is_used: AtomicBool,
    /// The process that it belongs to: a forked child does not use it.
    process: u32,
}

#[derive(Default)]
struct State {
    begun: Option<Begun>,
    taken: u64,
    /// The request that was taken from the iterator last, if the connection has not taken it yet.
    current: Option<Current>,
    /// The requests that were not valid, as they were given.
    refused: Vec<Py<PyAny>>,
    /// The request whose response was yielded last.
    answered: Option<Py<PyAny>>,
    /// A response whose body is being collected.
    collecting: Option<(Py<PyAny>, ReadAll)>,
    /// The operation that asks for the next response, also while it waits.
    asker: Weak<()>,
}

/// The connection that a pipeline uses from its first step on.
struct Begun {
    link: Arc<Link>,
    target: Arc<Target>,
    /// The requests in flight, as they were given.
    window: Window<Py<PyAny>>,
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
        max_requests: Whole,
        max_bytes: Whole,
        collect: bool,
    ) -> PyResult<Self> {
        let max_requests = max_requests.at_least(1, "max_requests")?;
        let max_bytes = max_bytes.at_least(0, "max_bytes")?;
        if requests.is_instance_of::<PyString>() || PyUntypedBuffer::get(requests).is_ok() {
            let kind = requests.get_type().name()?;
            return Err(PyTypeError::new_err(format!("requests has to be an iterable of requests, such as a list, not {kind}")));
        }
        let (connection, requests) = (connection.clone().unbind(), requests.try_iter()?.unbind());
        let state = Mutex::new(Some(Box::default()));
        Ok(Pipeline { connection, requests, max_requests, max_bytes, collect, state })
    }

    fn description(&self, py: Python<'_>) -> String {
        let connection = self.connection.get().description(py);
        match &*self.state.lock() {
            None => format!("{connection}: running"),
            Some(state) => format!("{connection}: {} requests taken, {} unanswered", state.taken, state.in_flight().len()),
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
        // While it is in use, it is reachable anyway.
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

    /// How many requests it has taken from the iterable.
    #[getter]
    fn taken(&self) -> PyResult<u64> {
        self.with(|state| Ok(state.taken))
    }

    /// The requests that were sent and have no complete response yet, oldest first, as you gave them.
    ///
    /// After a `ConnectionClosed`, the server may or may not have carried them out.
    #[getter]
    fn unanswered<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.with(|state| {
            let answering = match &state.begun {
                Some(begun) if begun.link.is_in_body() => state.answered.as_ref(),
                _ => None,
            };
            PyList::new(py, answering.into_iter().chain(state.in_flight()).collect::<Vec<_>>())
        })
    }

    /// An iterator over the requests that were not sent, as you gave them: first the invalid ones, then the others.
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
        slf.get().is_used.store(true, Ordering::Relaxed);
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> Operation {
        self.is_used.store(true, Ordering::Relaxed);
        let pipeline = self.pipeline.bind(py);
        let next = Next::new(pipeline, Resolver::Thread, PyStopAsyncIteration::new_err(()));
        Operation::new(pipeline.get().connection.bind(py), "__anext__", next)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<dugong.AsyncPipeline to {}>", self.pipeline.get().description(py))
    }

    /// How many requests it has taken from the iterable.
    #[getter]
    fn taken(&self) -> PyResult<u64> {
        self.pipeline.get().taken()
    }

    /// The requests that were sent and have no complete response yet, oldest first, as you gave them.
    ///
    /// After a `ConnectionClosed`, the server may or may not have carried them out.
    #[getter]
    fn unanswered<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.pipeline.get().unanswered(py)
    }

    /// An iterator over the requests that were not sent, as you gave them: first the invalid ones, then the others.
    #[getter]
    fn rest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.is_used.store(true, Ordering::Relaxed);
        self.pipeline.get().rest(py)
    }
}

impl AsyncPipeline {
    pub(crate) fn new(pipeline: Bound<'_, Pipeline>) -> Self {
        AsyncPipeline { pipeline: pipeline.unbind(), is_used: AtomicBool::new(false), process: std::process::id() }
    }
}

impl Drop for AsyncPipeline {
    fn drop(&mut self) {
        if !*self.is_used.get_mut() && self.process == std::process::id() {
            // After the end of the interpreter, nothing is left to do.
            let text = "co_pipeline() was never iterated, so that it sent nothing";
            let _ = Python::try_attach(|py| errors::warn::<PyRuntimeWarning>(py, text));
        }
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
        self.in_flight().into_iter().chain(&self.answered).chain(&self.refused).try_for_each(|object| visit.call(object))
    }

    /// The requests in flight, oldest first, as they were given.
    fn in_flight(&self) -> Vec<&Py<PyAny>> {
        self.begun.as_ref().map(|begun| begun.window.tags().collect()).unwrap_or_default()
    }
}

/// The next response of a pipeline.
struct Next {
    pipeline: Py<Pipeline>,
    resolver: Resolver,
    driver: Driver,
    /// Raised when no response is left.
    end: Option<PyErr>,
    connect: Option<Connect>,
    /// Discards the body of the response before.
    discard: Option<Discard>,
    guard: Option<ConnectionGuard>,
    /// Identifies this operation: only one at a time may ask.
    token: Arc<()>,
}

impl Next {
    fn new(pipeline: &Bound<'_, Pipeline>, resolver: Resolver, end: PyErr) -> Self {
        let pipeline = pipeline.clone().unbind();
        Next {
            pipeline,
            resolver,
            driver: Driver::default(),
            end: Some(end),
            connect: None,
            discard: None,
            guard: None,
            token: Arc::default(),
        }
    }

    fn go_on(&mut self, connection: &Bound<'_, HTTPConnection>, pipeline: &Pipeline, state: &mut State) -> PyResult<Step> {
        let py = connection.py();
        if state.asker.upgrade().is_some_and(|asker| !Arc::ptr_eq(&asker, &self.token)) {
            return in_use();
        }
        state.asker = Arc::downgrade(&self.token);
        if let Some(need) = self.begin(connection, pipeline, state)? {
            return Ok(Step::Needs(need));
        }
        let link = state.begun.as_ref().expect("just begun").link.clone();
        if link.is_closed() {
            return link.with(py, |state| Err(link.body_gone(py, state)));
        }
        if let Some((response, reading)) = &mut state.collecting {
            return match reading.step(connection)? {
                Step::Done(body) => {
                    let pair = (response.clone_ref(py), body).into_pyobject(py)?;
                    (state.collecting, state.answered) = (None, None);
                    Ok(Step::Done(pair.into_any().unbind()))
                }
                step => Ok(step),
            };
        }
        if link.is_in_body() {
            match self.discard.get_or_insert_with(|| Discard::of(&link, self.driver)).step(connection)? {
                Step::Done(_) => self.discard = None,
                step => return Ok(step),
            }
        }
        let guard = match self.guard.take() {
            Some(guard) => guard,
            None => match connection.get().in_use(py, &link) {
                Some(in_use) => in_use.guard(Role::Both(self.driver))?,
                None => return Err(link.gone(py)),
            },
        };
        let response = match exchange(connection, &guard, pipeline, state)? {
            Exchanged::Response(response) => response,
            Exchanged::Needs(need) => {
                self.guard = Some(guard);
                return Ok(Step::Needs(need));
            }
            Exchanged::End => return Err(self.end.take().unwrap_or_else(|| PyStopIteration::new_err(()))),
        };
        drop(guard);
        if !pipeline.collect {
            return Ok(Step::Done(response));
        }
        state.collecting = Some((response, ReadAll::on(link, self.driver)));
        self.go_on(connection, pipeline, state)
    }

    /// Connects if necessary. The result is the need of that, if it has to wait.
    fn begin(
        &mut self,
        connection: &Bound<'_, HTTPConnection>,
        pipeline: &Pipeline,
        state: &mut State,
    ) -> PyResult<Option<Need>> {
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
        // A response whose body is being read is not waited for.
        let earlier = link.with(py, |state| {
            let in_content = state.receiving.half().is_in_content();
            Ok(state.shared.queue_mut().len() - usize::from(in_content))
        })?;
        let mut window = Window::after(earlier);
        window.set_max_requests(pipeline.max_requests);
        window.set_max_bytes(pipeline.max_bytes);
        state.begun = Some(Begun { link, target: connection.get().target(py)?, window });
        Ok(None)
    }
}

/// The result of a step of a pipeline.
enum Exchanged {
    Response(Py<PyAny>),
    Needs(Need),
    End,
}

/// The result of reading.
enum Read {
    Head(Head),
    Needs(Interest),
    /// No request is outstanding.
    Nothing,
}

/// Sends requests and reads the next head, as the window says.
fn exchange(
    connection: &Bound<'_, HTTPConnection>,
    guard: &ConnectionGuard,
    pipeline: &Pipeline,
    state: &mut State,
) -> PyResult<Exchanged> {
    let py = connection.py();
    let tolerant = connection.get().tolerates_missing_length();
    loop {
        let window = &mut state.begun.as_mut().expect("begun before").window;
        match window.wants() {
            Wants::Ready(interest) => return Ok(Exchanged::Needs(guard.need(interest))),
            Wants::Request if state.current.is_none() && !state.take_next(py, pipeline)? => continue,
            // If the connection does not take it, read first. The program may have sent requests that the window does not know.
            Wants::Request if state.send_current(py, guard)? => continue,
            Wants::Request | Wants::Response | Wants::Nothing => {}
        }
        let window = &mut state.begun.as_mut().expect("begun before").window;
        let has_current = state.current.is_some();
        let read = guard.step(py, |state, _, wire| {
            if guard.link.is_closed() {
                return Err(state.gone(py));
            }
            if window.take_unsent() {
                // If this fails, the responses that have arrived can still be read. Then reading reports the failure.
                let _ = state.duplex(Sides::Sender).flush(wire);
            }
            if !has_current && state.shared.queue_mut().is_empty() {
                guard.link.shrink(state);
                return Ok(Read::Nothing);
            }
            Ok(match final_head(py, guard, state, wire, tolerant)? {
                Progress::Done(head) => Read::Head(head),
                Progress::Needs(interest) => Read::Needs(interest),
            })
        })?;
        match read {
            Read::Head(head) => {
                connection.get().supersede_cut();
                if let Some(given) = window.answered() {
                    state.answered = Some(given);
                }
                return head.response(py, &guard.link).map(Exchanged::Response);
            }
            // While no response arrives, the window fills up.
            Read::Needs(interest) => {
                if let Some(interest) = window.waits(interest) {
                    return Ok(Exchanged::Needs(guard.need(interest)));
                }
            }
            Read::Nothing => {
                // It has read all responses, or the program has.
                if window.is_exhausted() {
                    // An idle connection takes no room in an event loop.
                    watch::stop_watching(py, guard.transport.number())?;
                    return Ok(Exchanged::End);
                }
                while window.answered().is_some() {}
            }
        }
    }
}

impl State {
    /// Takes the next request from the iterator. No lock is held while the iterator makes it.
    fn take_next(&mut self, py: Python<'_>, pipeline: &Pipeline) -> PyResult<bool> {
        let given = pipeline.requests.bind(py).clone().next().transpose()?;
        let begun = self.begun.as_mut().expect("begun before");
        let Some(given) = given else {
            begun.window.no_more();
            return Ok(false);
        };
        self.taken += 1;
        match prepare(&given, &begun.target) {
            Ok((prepared, size)) => self.current = Some(Current { given: given.unbind(), prepared, size }),
            Err(error) => {
                // A program that gives up finds it in `rest`, and one that goes on can do without it.
                self.refused.push(given.unbind());
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Has the connection take the current request, if the window has room for it.
    fn send_current(&mut self, py: Python<'_>, guard: &ConnectionGuard) -> PyResult<bool> {
        let (Some(current), Some(begun)) = (&mut self.current, &mut self.begun) else { return Ok(false) };
        let window = &mut begun.window;
        if !window.has_room_for(&current.prepared.request, current.size) {
            return Ok(false);
        }
        current.prepared.settle_host(&guard.link);
        let link = &guard.link;
        let taken = guard.step(py, |state, sides, wire| {
            if link.is_closed() {
                return Err(state.gone(py));
            }
            if let Some(error) = state.failure() {
                if state.shared.queue_mut().is_empty() {
                    return Err(guard.exception(py, state, error));
                }
                window.stop(None);
                return Ok(false);
            }
            if state.is_owing() {
                return state_error("the body of the previous request has not been written completely");
            }
            if state.shared.queue_mut().is_content_interrupted() {
                return Err(errors::misuse(Misuse::ContentInterrupted));
            }
            match state.duplex(sides).take_request(&current.prepared.request, wire) {
                Ok(Progress::Done(_)) => {
                    current.prepared.note(py, link, state);
                    return Ok(true);
                }
                Ok(Progress::Needs(interest)) => window.stop(Some(interest)),
                // Nothing of it was sent. Reading reports why, after the responses that can still be read.
                Err(_) if !state.shared.queue_mut().is_empty() => window.stop(None),
                Err(Error::Local(Misuse::ReadFirst)) => {
                    return Err(state.lost(py, "the connection ended before a request was sent"));
                }
                Err(error) => return Err(guard.exception(py, state, error)),
            }
            Ok(false)
        })?;
        if taken {
            let current = self.current.take().expect("just looked at");
            window.taken(current.given, current.size);
            if link.is_logged {
                log::sent(py, &current.prepared.method, &current.prepared.path)?;
            }
        }
        Ok(taken)
    }
}

/// Checks a request. The result is what to send, and how many bytes that counts in the window.
fn prepare(given: &Bound<'_, PyAny>, target: &Arc<Target>) -> PyResult<(Prepared, usize)> {
    let prepared = arguments(given)?.prepare(given.py(), target)?;
    let size = Window::<()>::size_of(&prepared.request).map_err(|misuse| match misuse {
        Misuse::ContentShort => PyTypeError::new_err("in a pipeline, the body of a request has to be given as bytes"),
        other => errors::misuse(other),
    })?;
    Ok((prepared, size))
}

impl Task for Next {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        let pipeline = self.pipeline.clone_ref(py);
        let pipeline = pipeline.get();
        pipeline.with(|state| {
            let step = self.go_on(connection, pipeline, state);
            if let (Err(_), Some(begun)) = (&step, &state.begun) {
                shut_down_if_over(connection, &begun.link)?;
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
        self.guard.as_ref().map_or(Ok(()), |guard| guard.traverse(visit))
    }

    fn driven_by(&mut self, driver: Driver) {
        self.resolver = self.resolver.driven_by(driver);
        self.driver = driver;
    }

    fn interrupted(&mut self, connection: &Bound<'_, HTTPConnection>) {
        if let Some(connect) = &mut self.connect {
            connect.interrupt(connection);
        }
        // No operation reads until the next call.
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

/// After the error that ends the connection, a pipeline reads nothing more, so the server need not keep the connection. The bytes
/// that have arrived stay for `read_raw`.
fn shut_down_if_over(connection: &Bound<'_, HTTPConnection>, link: &Arc<Link>) -> PyResult<()> {
    let py = connection.py();
    let is_over = link.with(py, |state| {
        let queue = state.shared.queue_mut();
        Ok(queue.is_over() && queue.failure().is_some())
    })?;
    if is_over && let Some(in_use) = connection.get().in_use(py, link) {
        in_use.transport.shut_down(py);
    }
    Ok(())
}

/// Headers of None are no headers; as a mapping they would be refused.
fn not_none<'py>(headers: Option<Bound<'py, PyAny>>) -> Option<Bound<'py, PyAny>> {
    headers.filter(|headers| !headers.is_none())
}

/// Takes apart a request: a path, a tuple of method, path, headers and body, or a mapping with these names.
fn arguments(given: &Bound<'_, PyAny>) -> PyResult<Arguments> {
    let py = given.py();
    let wrong = |what: &str| {
        PyTypeError::new_err(format!(
            "a request has to be a path, (method, path, headers, body) with the last two left out if you like, or a mapping with \
             these names, not {what}"
        ))
    };
    if given.is_instance_of::<PyString>() {
        return Ok(Arguments::new(intern!(py, "GET").clone().into_any(), given.clone(), None, None, None));
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
        return Ok(Arguments::new(method, path, not_none(Some(headers)), Some(body), None));
    }
    let items: Vec<_> = given.cast::<PyTuple>().map_or_else(|_| Vec::new(), |tuple| tuple.iter().collect());
    match &items[..] {
        [method, path, rest @ ..] if rest.len() <= 2 => {
            let (headers, body) = (not_none(rest.first().cloned()), rest.get(1).cloned());
            Ok(Arguments::new(method.clone(), path.clone(), headers, body, None))
        }
        _ => Err(wrong(&given.get_type().name()?.to_cow()?)),
    }
}
