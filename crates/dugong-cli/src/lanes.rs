//! The origins of a run, each with a session of its own.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dugong_http::{Config, Error, Fields, Origin};
use dugong_session::Session;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::connecting;
use crate::fields::probe;
use crate::plan::HiArgs;
use crate::usage::UsageError;

/// The origins, and what waits for all of them at once.
pub(crate) struct Lanes<'a> {
    plan: &'a HiArgs,
    lanes: Vec<Lane>,
    by_origin: HashMap<String, usize>,
    poll: Option<Poll>,
}

/// One origin.
pub(crate) struct Lane {
    origin: Origin,
    /// `None` while it is not used, if there are many.
    session: Option<Session>,
    /// The fields of each request.
    pub(crate) fields: Fields,
    /// How many of its requests have no outcome yet.
    pub(crate) pending: usize,
    /// The numbers of its URLs that wait until it has fewer of those.
    pub(crate) waiting: VecDeque<u64>,
    /// Why no further request is sent to it.
    pub(crate) gone: Option<Rc<str>>,
    /// How many requests in a row failed after all retries.
    pub(crate) failures: u32,
    /// How many requests for parts of content are under way.
    pub(crate) parts: usize,
}

/// How many sessions may stand at once.
const SESSIONS: usize = 64;
/// A session's limits are times, and this is none in practice.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl<'a> Lanes<'a> {
    pub(crate) fn new(plan: &'a HiArgs) -> Self {
        Lanes { plan, lanes: Vec::new(), by_origin: HashMap::new(), poll: None }
    }

    /// The lane of an origin. A new one is checked first: the options and fields must fit it.
    pub(crate) fn find(&mut self, origin: &Origin) -> Result<usize, UsageError> {
        if let Some(index) = self.lanes.last().filter(|lane| lane.origin == *origin).map(|_| self.lanes.len() - 1) {
            return Ok(index);
        }
        let key = origin.to_string();
        if let Some(&index) = self.by_origin.get(&key) {
            return Ok(index);
        }
        let plan = self.plan;
        let mut fields = plan.fields.clone();
        plan.credentials.add_to(&mut fields, origin);
        probe(&plan.method, plan.content(), origin, &fields, &plan.headers)?;
        connecting::config(Config::new(), &plan.connect, origin)?;
        let (origin, waiting) = (origin.clone(), VecDeque::new());
        self.lanes.push(Lane { origin, session: None, fields, pending: 0, waiting, gone: None, failures: 0, parts: 0 });
        self.by_origin.insert(key, self.lanes.len() - 1);
        Ok(self.lanes.len() - 1)
    }

    pub(crate) fn lane(&mut self, index: usize) -> &mut Lane {
        &mut self.lanes[index]
    }

    pub(crate) fn origin(&self, index: usize) -> &Origin {
        &self.lanes[index].origin
    }

    /// The session of a lane.
    pub(crate) fn session(&mut self, index: usize) -> Result<Session, Error> {
        if let Some(session) = &self.lanes[index].session {
            return Ok(session.clone());
        }
        if self.lanes.iter().filter(|lane| lane.session.is_some()).count() >= SESSIONS {
            self.close_idle();
        }
        let session = self.make(index)?;
        if let Some(poll) = &self.poll {
            register(poll, &session, index).map_err(Error::Socket)?;
        } else if self.lanes.iter().any(|lane| lane.session.is_some()) {
            // The second one: from now on, several are waited for.
            let poll = Poll::new().map_err(Error::Socket)?;
            for (index, lane) in self.lanes.iter().enumerate() {
                if let Some(session) = &lane.session {
                    register(&poll, session, index).map_err(Error::Socket)?;
                }
            }
            register(&poll, &session, index).map_err(Error::Socket)?;
            self.poll = Some(poll);
        }
        self.lanes[index].session = Some(session.clone());
        Ok(session)
    }

    fn make(&self, index: usize) -> Result<Session, Error> {
        let (plan, lane) = (self.plan, &self.lanes[index]);
        let config = connecting::config(plan.observed(), &plan.connect, &lane.origin).expect("`find` has checked it");
        // The last repeat waits as long as the doubling says, no matter how many failed beside it.
        let doubled = plan.retry_delay.saturating_mul(1 << plan.retries.saturating_sub(1).min(20));
        let longest = doubled.min(Duration::from_secs(10)).max(plan.retry_delay);
        Session::builder(&lane.origin.to_string())
            .config(config)
            .connections(plan.connections)
            .depth(plan.depth)
            .retries(plan.retries)
            .retry_budget(None)
            .backoff(plan.retry_delay, longest)
            .timeout(plan.timeout.unwrap_or(FOR_EVER))
            .connect_timeout(plan.connect_timeout)
            .build()
    }

    fn close_idle(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.pending == 0) {
            if let Some(session) = lane.session.take() {
                if let Some(poll) = &self.poll {
                    // Closing removes it anyway.
                    let _ = poll.registry().deregister(&mut SourceFd(&session.as_raw_fd()));
                }
                session.close();
            }
        }
    }

    /// Lets all sessions go on until `is_ready`, or until a moment; false then.
    pub(crate) fn wait(&mut self, until: Option<Instant>, mut is_ready: impl FnMut() -> bool) -> io::Result<bool> {
        if self.poll.is_some() {
            return self.wait_together(until, is_ready);
        }
        match self.lanes.iter().find_map(|lane| lane.session.as_ref()) {
            Some(session) => session.wait_for(until, is_ready),
            None => Ok(is_ready()),
        }
    }

    fn wait_together(&mut self, until: Option<Instant>, mut is_ready: impl FnMut() -> bool) -> io::Result<bool> {
        let poll = self.poll.as_mut().expect("it is made with the second session");
        let mut events = Events::with_capacity(SESSIONS);
        loop {
            let sessions = || self.lanes.iter().filter_map(|lane| lane.session.as_ref());
            sessions().for_each(|session| {
                session.turn();
            });
            if is_ready() {
                return Ok(true);
            }
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return Ok(false);
            }
            let wake = sessions().filter_map(Session::wait_until).chain(until).min();
            match poll.poll(&mut events, wake.map(|wake| wake.saturating_duration_since(now))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    /// Ends all requests.
    pub(crate) fn close(&self) {
        self.lanes.iter().filter_map(|lane| lane.session.as_ref()).for_each(Session::close);
    }

    /// The origins whose server does not support several requests at once.
    pub(crate) fn not_pipelining(&self) -> impl Iterator<Item = &Origin> {
        // One that is gone has answered nothing since, so the loss may have had another reason.
        let refuses =
            |lane: &&Lane| lane.gone.is_none() && lane.session.as_ref().is_some_and(|session| session.stats().not_pipelining);
        self.lanes.iter().filter(refuses).map(|lane| &lane.origin)
    }

    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }
}

fn register(poll: &Poll, session: &Session, index: usize) -> io::Result<()> {
    poll.registry().register(&mut SourceFd(&session.as_raw_fd()), Token(index), Interest::READABLE)
}
