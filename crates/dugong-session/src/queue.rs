//! Requests without outcome, and which of them have news.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::failed::Failed;
use crate::request::Request;

/// The requests of a run that have no outcome yet. `F` is a request on its way.
pub(crate) struct Queue<F> {
    /// By their index in the run.
    waiting: BTreeMap<usize, Waiting<F>>,
    /// Indices of requests whose outcome can be given, oldest news first. Empty if the order of the requests counts.
    ready: VecDeque<usize>,
    board: Arc<Board>,
    pub(crate) is_ordered: bool,
    /// How many requests were added.
    taken: usize,
}

struct Waiting<F> {
    request: Request,
    flight: Result<F, Failed>,
    bell: Arc<Bell>,
    is_awaited: bool,
    /// Its outcome can be given.
    is_ready: bool,
}

/// An iterator that takes longer does not hold up the requests that it has given.
pub(crate) const SLOW_ITERATOR: Duration = Duration::from_millis(1);

/// The requests that have news, so that their owner need not look at all of them.
#[derive(Default)]
struct Board(Mutex<News>);

#[derive(Default)]
struct News {
    indices: Vec<usize>,
    owner: Option<Waker>,
}

/// Puts a request on the board.
struct Bell {
    index: usize,
    is_rung: AtomicBool,
    board: Arc<Board>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the indices, and wakes the owner when there are new ones.
    fn take(&self, owner: &Waker) -> Vec<usize> {
        let mut news = self.lock();
        if news.owner.as_ref().is_none_or(|before| !before.will_wake(owner)) {
            news.owner = Some(owner.clone());
        }
        std::mem::take(&mut news.indices)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut news = self.board.lock();
        news.indices.push(self.index);
        // With others on the board, the owner is awake.
        let owner = if news.indices.len() == 1 { news.owner.clone() } else { None };
        drop(news);
        owner.into_iter().for_each(Waker::wake);
    }
}

impl<F> Queue<F> {
    pub(crate) fn new() -> Self {
        Queue { waiting: BTreeMap::new(), ready: VecDeque::new(), board: Arc::default(), is_ordered: true, taken: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Adds a request. `begin` submits it, with a waker for its news.
    pub(crate) fn add(&mut self, request: Request, begin: impl FnOnce(&Request, &Waker) -> Result<F, Failed>) {
        let index = self.taken;
        self.taken += 1;
        let bell = Arc::new(Bell { index, is_rung: AtomicBool::new(false), board: self.board.clone() });
        let flight = begin(&request, &bell.clone().into());
        if flight.is_err() {
            bell.wake_by_ref();
        }
        self.waiting.insert(index, Waiting { request, flight, bell, is_awaited: false, is_ready: false });
    }

    /// Advances all requests with news. `advance` returns true when the outcome can be given. Later news wake `owner`.
    pub(crate) fn advance(&mut self, owner: &Waker, mut advance: impl FnMut(&mut F, &Waker) -> bool) {
        for index in self.board.take(owner) {
            let Some(waiting) = self.waiting.get_mut(&index) else { continue };
            // News that come from here on ring again.
            waiting.bell.is_rung.store(false, Ordering::Release);
            let waker = Waker::from(waiting.bell.clone());
            let is_ready = waiting.flight.as_mut().map_or(true, |flight| advance(flight, &waker));
            if is_ready && !std::mem::replace(&mut waiting.is_ready, true) && !self.is_ordered {
                self.ready.push_back(index);
            }
        }
    }

    /// Whether an outcome can be given.
    pub(crate) fn has_ready(&self) -> bool {
        match self.is_ordered {
            true => self.waiting.first_key_value().is_some_and(|(_, waiting)| waiting.is_ready),
            false => !self.ready.is_empty(),
        }
    }

    /// Takes a request whose outcome can be given, with its index.
    pub(crate) fn pop_ready(&mut self) -> Option<(usize, Request, Result<F, Failed>)> {
        let index = if self.is_ordered {
            *self.waiting.first_key_value().filter(|(_, waiting)| waiting.is_ready)?.0
        } else {
            self.ready.pop_front()?
        };
        self.waiting.remove(&index).map(|waiting| (index, waiting.request, waiting.flight))
    }

    /// Takes the oldest request, whether its outcome can be given or not.
    pub(crate) fn pop_first(&mut self) -> Option<(usize, Request)> {
        self.waiting.pop_first().map(|(index, waiting)| (index, waiting.request))
    }

    /// The oldest request, the first time that the caller waits for it. Without an order, the caller waits for all of them.
    pub(crate) fn newly_awaited(&mut self) -> Option<&F> {
        let mut first = self.waiting.first_entry().filter(|_| self.is_ordered)?;
        if std::mem::replace(&mut first.get_mut().is_awaited, true) {
            return None;
        }
        first.into_mut().flight.as_ref().ok()
    }
}
