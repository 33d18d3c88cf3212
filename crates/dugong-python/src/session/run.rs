//! `Run`: the outcomes of many requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use dugong_session::{News, Session, Ticket};
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyStopIteration, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyTuple};

use super::connector::check_interrupted;
use super::failure;
use super::outcome::Outcome;
use super::owner::{Hooks, Submitted};
use super::prepare::Prepared;
use super::process::OfProcess;
use crate::wait::{LOOK_FOR_SIGNALS, is_signal_thread};

/// The outcomes of the requests of an iterable. `Session.run` returns it.
///
/// Each request that it takes from the iterable ends with exactly one outcome. It takes more as outcomes are taken from it, and
/// nothing is sent or received between two steps unless another thread uses the session.
///
/// If the iterable raises, the outcomes of the requests before come first, and then the exception. `close`, or leaving a `with`
/// block, gives up the requests without an outcome; `abandoned` then has the outcomes that were not yielded.
#[pyclass(frozen, weakref, module = "dugong")]
pub(crate) struct Run {
    core: Py<PyAny>,
    session: OfProcess<Session>,
    hooks: Option<Arc<Hooks>>,
    is_ordered: bool,
    is_streamed: bool,
    /// Taken out while a step is made.
    state: Mutex<Option<State>>,
}

struct State {
    /// `None` after its end.
    requests: Option<Py<PyIterator>>,
    /// By their index minus `first`; `None` where the outcome was yielded.
    waiting: VecDeque<Option<Waiting>>,
    first: usize,
    /// How many have no outcome that was yielded.
    count: usize,
    taken: usize,
    ahead: usize,
    /// Answered ones, if the order is theirs.
    answered: VecDeque<usize>,
    /// The oldest one, of which the session knows that it is waited for.
    awaited: Option<usize>,
    notices: Arc<Notices>,
    /// The exception of the iterable.
    raised: Option<PyErr>,
    abandoned: Vec<Py<Outcome>>,
    is_closed: bool,
}

struct Waiting {
    submitted: Submitted,
    ticket: Result<OfProcess<Ticket>, PyErr>,
    is_answered: bool,
}

/// The indexes of requests with news.
struct Notices {
    indexes: Mutex<Vec<usize>>,
    thread: Mutex<Waker>,
}

struct Notice {
    index: usize,
    notices: Arc<Notices>,
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut indexes = self.notices.indexes.lock();
        indexes.push(self.index);
        let is_first = indexes.len() == 1;
        drop(indexes);
        if is_first {
            self.notices.thread.lock().wake_by_ref();
        }
    }
}

impl Run {
    pub(crate) fn new(
        core: Py<PyAny>,
        session: Session,
        hooks: Option<Arc<Hooks>>,
        requests: Py<PyIterator>,
        is_ordered: bool,
        is_streamed: bool,
    ) -> Self {
        let notices = Notices { indexes: Mutex::default(), thread: Mutex::new(dugong_session::driver::thread_waker()) };
        let state = State {
            requests: Some(requests),
            waiting: VecDeque::new(),
            first: 0,
            count: 0,
            taken: 0,
            ahead: session.take_ahead(),
            answered: VecDeque::new(),
            awaited: None,
            notices: Arc::new(notices),
            raised: None,
            abandoned: Vec::new(),
            is_closed: false,
        };
        Run { core, session: OfProcess::new(session), hooks, is_ordered, is_streamed, state: Mutex::new(Some(state)) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> PyResult<T>) -> PyResult<T> {
        let taken = self.state.lock().take();
        let Some(mut state) = taken else { return Err(PyValueError::new_err("the run is being used already")) };
        let result = work(&mut state);
        *self.state.lock() = Some(state);
        result
    }

    fn next(&self, py: Python<'_>, state: &mut State) -> PyResult<Option<Py<Outcome>>> {
        let session = self.session.get()?;
        let mut is_filled = false;
        loop {
            state.look(py)?;
            if let Some(index) = state.next_index(self.is_ordered) {
                return state.outcome(py, index, &self.core).map(Some);
            }
            // The iterable may be slow, or want the outcomes that are there, so it comes last.
            if !std::mem::replace(&mut is_filled, true) {
                self.fill(py, session, state)?;
                continue;
            }
            if state.count == 0 {
                return match state.raised.take() {
                    Some(error) => Err(error),
                    None => Ok(None),
                };
            }
            state.await_oldest();
            wait(py, session, &state.notices, None)?;
            is_filled = false;
        }
    }

    /// Submits requests until enough are under way.
    fn fill(&self, py: Python<'_>, session: &Session, state: &mut State) -> PyResult<()> {
        if state.count > state.ahead / 2 {
            return Ok(());
        }
        let mut moved = Instant::now();
        while state.count < state.ahead
            && let Some(requests) = &state.requests
        {
            let given = match requests.bind(py).clone().next() {
                Some(Ok(given)) => given,
                Some(Err(error)) => {
                    (state.requests, state.raised) = (None, Some(error));
                    break;
                }
                None => {
                    state.requests = None;
                    break;
                }
            };
            let index = state.taken;
            let waiting = self.submit(session, &given, index, &state.notices);
            if waiting.is_answered {
                state.answered.push_back(index);
            }
            state.waiting.push_back(Some(waiting));
            state.taken += 1;
            state.count += 1;
            if moved.elapsed() >= SLOW_ITERABLE {
                py.detach(|| session.turn());
                check_interrupted()?;
                state.look(py)?;
                if state.has_outcome(self.is_ordered) {
                    break;
                }
                moved = Instant::now();
            }
        }
        Ok(())
    }

    fn submit(&self, session: &Session, given: &Bound<'_, PyAny>, index: usize, notices: &Arc<Notices>) -> Waiting {
        let py = given.py();
        let refused = |submitted, error| Waiting { submitted, ticket: Err(error), is_answered: true };
        let prepared = match Prepared::new(given) {
            Ok(prepared) => prepared,
            Err(error) => return refused(Submitted::invalid(given), as_value_error(py, error)),
        };
        let mut request = prepared.request.clone();
        if self.is_streamed {
            request = request.streamed();
        }
        if self.hooks.is_some() {
            request = request.asks_owner();
        }
        let mut submitted = Submitted::new(prepared, self.hooks.clone());
        match session.submit_blocking(request) {
            Ok(ticket) => {
                ticket.set_waker(&Arc::new(Notice { index, notices: notices.clone() }).into());
                Waiting { submitted, ticket: Ok(OfProcess::new(ticket)), is_answered: false }
            }
            Err(failed) => {
                let error = submitted.exception(py, &failed);
                refused(submitted, error)
            }
        }
    }

    /// Gives up all that has no outcome, and notes the outcomes that were not yielded.
    fn give_up(&self, py: Python<'_>, state: &mut State) -> PyResult<()> {
        state.requests = None;
        state.is_closed = true;
        let session = self.session.get()?;
        for waiting in state.waiting.iter_mut().flatten().filter(|waiting| !waiting.is_answered) {
            if let Ok(ticket) = &mut waiting.ticket {
                waiting.submitted.give_up(ticket.get_mut()?);
            }
        }
        // The session is told that they are given up, and says how far each was.
        let patience = Instant::now() + LONGEST_GOODBYE;
        while state.waiting.iter().flatten().any(|waiting| !waiting.is_answered) && Instant::now() < patience {
            py.detach(|| session.turn());
            state.look(py)?;
            if state.waiting.iter().flatten().any(|waiting| !waiting.is_answered) {
                wait(py, session, &state.notices, Some(patience))?;
                state.look(py)?;
            }
        }
        while let Some(index) = state.oldest() {
            let outcome = state.outcome(py, index, &self.core)?;
            state.abandoned.push(outcome);
        }
        Ok(())
    }
}

/// An iterable that takes longer does not hold up the requests that it has given.
const SLOW_ITERABLE: Duration = Duration::from_millis(1);

/// How long `close` waits for another thread to tell how far the requests were.
const LONGEST_GOODBYE: Duration = Duration::from_secs(5);

impl State {
    /// Looks at the requests with news, and does what the session needs for them.
    fn look(&mut self, py: Python<'_>) -> PyResult<()> {
        let mut indexes = std::mem::take(&mut *self.notices.indexes.lock()).into_iter();
        while let Some(index) = indexes.next() {
            if let Err(error) = self.look_at(py, index) {
                // The exception ends this step, but the others have their news.
                self.notices.indexes.lock().extend(indexes);
                return Err(error);
            }
        }
        Ok(())
    }

    fn look_at(&mut self, py: Python<'_>, index: usize) -> PyResult<()> {
        let at = index.checked_sub(self.first);
        let Some(Some(waiting)) = at.and_then(|at| self.waiting.get_mut(at)) else { return Ok(()) };
        let Ok(ticket) = &mut waiting.ticket else { return Ok(()) };
        let ticket = ticket.get_mut()?;
        loop {
            match ticket.news() {
                News::None => return Ok(()),
                News::Over | News::Head => {
                    if !std::mem::replace(&mut waiting.is_answered, true) {
                        self.answered.push_back(index);
                    }
                    return Ok(());
                }
                news => waiting.submitted.serve(py, ticket, &news)?,
            }
        }
    }

    /// The next one whose outcome can be yielded.
    fn next_index(&mut self, is_ordered: bool) -> Option<usize> {
        if is_ordered {
            self.answered.clear();
            let front = self.waiting.front()?.as_ref()?;
            return front.is_answered.then_some(self.first);
        }
        self.answered.pop_front()
    }

    /// Whether an outcome can be yielded.
    fn has_outcome(&self, is_ordered: bool) -> bool {
        match self.waiting.front() {
            Some(Some(front)) if is_ordered => front.is_answered,
            _ => !is_ordered && !self.answered.is_empty(),
        }
    }

    fn oldest(&self) -> Option<usize> {
        self.waiting.iter().position(Option::is_some).map(|at| self.first + at)
    }

    /// Tells the session that the oldest one is waited for: its content is read even if the window is full.
    fn await_oldest(&mut self) {
        let oldest = self.oldest();
        if oldest == self.awaited {
            return;
        }
        self.awaited = oldest;
        let at = oldest.map(|index| index - self.first);
        if let Some(Some(Waiting { ticket: Ok(ticket), .. })) = at.map(|at| self.waiting[at].as_ref())
            && let Ok(ticket) = ticket.get()
        {
            ticket.set_awaited(true);
        }
    }

    /// Takes an answered request out, and makes its outcome.
    fn outcome(&mut self, py: Python<'_>, index: usize, core: &Py<PyAny>) -> PyResult<Py<Outcome>> {
        let waiting = self.waiting[index - self.first].take().expect("it has no outcome yet");
        self.count -= 1;
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        let Waiting { mut submitted, ticket, .. } = waiting;
        let outcome = match ticket {
            Err(error) => Outcome::refused(py, index, submitted.given, error),
            Ok(ticket) => match ticket.into_inner()?.take_reply() {
                Ok(result) => submitted.outcome(py, index, result, core)?,
                Err(_) => Outcome::refused(py, index, submitted.given, failure::unknown()),
            },
        };
        Py::new(py, outcome)
    }
}

/// Waits for notices with Python's lock released; a signal interrupts it if its handler raises.
fn wait(py: Python<'_>, session: &Session, notices: &Arc<Notices>, limit: Option<Instant>) -> PyResult<()> {
    *notices.thread.lock() = dugong_session::driver::thread_waker();
    let mut takes_signals = None;
    loop {
        py.check_signals()?;
        let look_again = takes_signals.unwrap_or(true).then(|| Instant::now() + LOOK_FOR_SIGNALS);
        let until = look_again.into_iter().chain(limit).min();
        let has_news = || !notices.indexes.lock().is_empty();
        let is_told = py.detach(|| session.wait_for(until, has_news)).map_err(failure::of_wait)?;
        check_interrupted()?;
        if is_told || limit.is_some_and(|limit| limit <= Instant::now()) {
            return Ok(());
        }
        if takes_signals.is_none() {
            takes_signals = Some(is_signal_thread(py)?);
        }
    }
}

/// A request of a wrong type is a wrong value of the iterable.
pub(crate) fn as_value_error(py: Python<'_>, error: PyErr) -> PyErr {
    use pyo3::exceptions::PyTypeError;
    if !error.is_instance_of::<PyTypeError>(py) {
        return error;
    }
    let wrong = PyValueError::new_err(error.value(py).to_string());
    wrong.set_cause(py, Some(error));
    wrong
}

#[pymethods]
impl Run {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.core)?;
        if let Some(Some(state)) = self.state.try_lock().as_deref() {
            visit.call(&state.requests)?;
            state.abandoned.iter().try_for_each(|outcome| visit.call(outcome))?;
            state.waiting.iter().flatten().try_for_each(|waiting| waiting.submitted.traverse(&visit))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let before = self.state.lock().take();
        drop(before);
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<Outcome>> {
        match self.with(|state| self.next(py, state))? {
            Some(outcome) => Ok(outcome),
            None => Err(PyStopIteration::new_err(())),
        }
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    /// How many requests it has taken from the iterable.
    #[getter]
    fn taken(&self) -> PyResult<usize> {
        self.with(|state| Ok(state.taken))
    }

    /// After `close`, the outcomes that were not yielded.
    #[getter]
    fn abandoned<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.with(|state| PyList::new(py, &state.abandoned))
    }

    /// Gives up the requests that have no outcome, and takes no more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.with(|state| if state.is_closed { Ok(()) } else { self.give_up(py, state) })
    }

    fn __repr__(&self) -> String {
        match &*self.state.lock() {
            None => "<dugong.Run: in use>".to_owned(),
            Some(state) => format!("<dugong.Run: {} requests taken, {} without outcome>", state.taken, state.count),
        }
    }
}
