//! A network, a server and a caller, played at random against a plan, which must keep its promises at every step.

use std::collections::BTreeMap;
use std::time::Duration;

use dugong_session::plan::{
    Action, Answered, Config, ConnectionId, End, Event, Failure, Head, Job, JobId, Loss, Outcome, Plan, Sent,
};

/// How often something goes wrong, in 256 events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Temper {
    pub(crate) refuses_connections: u8,
    pub(crate) loses: u8,
    pub(crate) stalls: u8,
    pub(crate) announces_close: u8,
    pub(crate) refuses: u8,
    pub(crate) is_slow: u8,
    pub(crate) callers_leave: u8,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    config: Config,
    temper: Temper,
    random: u64,
    now: Duration,
    connections: BTreeMap<ConnectionId, Link>,
    jobs: BTreeMap<JobId, Request>,
    /// In the order of their submission; the caller takes the replies in this order.
    order: Vec<JobId>,
    /// The first job that the caller has not taken.
    current: usize,
    answers: u64,
    /// Jobs whose owners have something to do.
    asked: Vec<JobId>,
}

/// A connection.
#[derive(Default)]
struct Link {
    is_open: bool,
    is_paused: bool,
    is_stalled: bool,
    announced_close: bool,
    flights: Vec<Flight>,
}

struct Flight {
    job: JobId,
    idempotent: bool,
    sent: Sent,
    skips: bool,
    head: bool,
}

struct Request {
    job: Job,
    /// Connections on which the server may have seen a byte of it.
    seen: u32,
    /// Content that has arrived for the caller and was not taken.
    untaken: u64,
    /// Bytes of a reply that came whole.
    whole: u64,
    is_awaited: bool,
    /// It may be sent once.
    is_ready: bool,
    outcome: Option<Outcome>,
}

impl World {
    pub(crate) fn new(config: Config, temper: Temper, seed: u64) -> Self {
        World {
            plan: Plan::new(config.clone(), seed),
            config,
            temper,
            random: seed | 1,
            now: Duration::ZERO,
            connections: BTreeMap::new(),
            jobs: BTreeMap::new(),
            order: Vec::new(),
            current: 0,
            answers: 0,
            asked: Vec::new(),
        }
    }

    /// Submits so many jobs, and plays until the caller has taken all replies.
    pub(crate) fn play(&mut self, jobs: usize) {
        let mut steps = 0;
        while self.order.len() < jobs || self.current < self.order.len() {
            steps += 1;
            assert!(steps < 100_000, "it does not end: {:?}", self.plan);
            self.obey();
            if self.order.len() < jobs && self.chance(100) {
                self.submit();
            } else if self.order.len() > self.current && self.chance(self.temper.callers_leave / 4) {
                self.leave();
            } else {
                if self.chance(30) {
                    self.wait_for_another();
                }
                self.take();
                self.obey();
                self.happen(jobs);
            }
        }
        self.obey();
        let stats = self.plan.stats();
        assert_eq!((stats.jobs, stats.held), (0, 0));
        if let Some(budget) = self.config.retry_budget {
            assert!(stats.repeated <= u64::from(budget) + self.answers / 10, "{stats:?}");
        }
        self.wait_until_all_is_closed();
    }

    fn wait_until_all_is_closed(&mut self) {
        for _ in 0..1000 {
            for id in self.ids(|link| !link.is_open) {
                self.tell(id, Event::Opened);
                self.connections.get_mut(&id).unwrap().is_open = true;
            }
            self.obey();
            let Some(until) = self.plan.wait_until() else { break };
            self.now = self.now.max(until);
            self.plan.advance(self.now);
        }
        assert_eq!((self.connections.len(), self.plan.stats().connections), (0, 0));
    }

    fn number(&mut self, below: u64) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    fn chance(&mut self, of_256: u8) -> bool {
        self.number(256) < u64::from(of_256)
    }

    fn ids(&self, wanted: impl Fn(&Link) -> bool) -> Vec<ConnectionId> {
        self.connections.iter().filter(|(_, link)| wanted(link)).map(|(id, _)| *id).collect()
    }

    fn tell(&mut self, on: ConnectionId, event: Event) {
        self.plan.handle(self.now, on, event);
    }

    // The caller

    fn submit(&mut self) {
        let idempotent = self.chance(200);
        let upload = if self.chance(60) { 1 + self.number(400_000) } else { 0 };
        let job = Job {
            repeat: [None, None, None, Some(true), Some(false)][self.number(5) as usize],
            read_once: upload > 0 && self.chance(100),
            upload,
            large: self.chance(30),
            streamed: self.chance(80),
            asks: self.chance(60),
            timeout: if self.chance(40) { Some(Duration::from_secs(1 + self.number(60))) } else { None },
            ..Job::new(idempotent)
        };
        let id = self.plan.submit(self.now, job);
        self.jobs
            .insert(id, Request { job, seen: 0, untaken: 0, whole: 0, is_awaited: false, is_ready: !job.asks, outcome: None });
        self.order.push(id);
    }

    /// A caller gives up a job of its choice.
    fn leave(&mut self) {
        let place = self.current + self.number((self.order.len() - self.current) as u64) as usize;
        self.plan.cancel(self.now, self.order[place]);
    }

    /// Another caller begins to wait for a job that is not the oldest.
    fn wait_for_another(&mut self) {
        let left = (self.order.len() - self.current) as u64;
        if left == 0 {
            return;
        }
        let place = self.current + self.number(left) as usize;
        let id = self.order[place];
        let request = self.jobs.get_mut(&id).unwrap();
        if !request.job.streamed && !std::mem::replace(&mut request.is_awaited, true) {
            self.plan.set_awaited(self.now, id, true);
        }
    }

    /// The caller waits for the oldest job, takes its content, and goes on to the next when it is over.
    fn take(&mut self) {
        while let Some(&id) = self.order.get(self.current) {
            let request = self.jobs.get_mut(&id).unwrap();
            // Each call once, and only if it says something new: it would hide that the plan missed a change.
            if !std::mem::replace(&mut request.is_awaited, true) {
                self.plan.set_awaited(self.now, id, true);
            }
            let untaken = std::mem::take(&mut request.untaken);
            let is_over = request.outcome.is_some();
            if untaken > 0 {
                self.plan.note_taken(self.now, id, untaken);
            }
            if !is_over {
                return;
            }
            self.plan.note_freed(request.whole);
            self.plan.release(self.now, id);
            self.jobs.remove(&id);
            self.current += 1;
        }
    }

    // The driver

    fn obey(&mut self) {
        while let Some(action) = self.plan.next_action(self.now) {
            match action {
                Action::Open(id) => {
                    assert!(self.connections.insert(id, Link::default()).is_none());
                    assert!(self.connections.len() <= self.config.connections, "too many connections");
                }
                Action::Ask(job) => {
                    assert!(self.jobs[&job].job.asks);
                    self.asked.push(job);
                }
                Action::Send { job, on } => self.send(job, on),
                Action::Deliver { job, on } => assert_eq!(self.connections[&on].flights[0].job, job),
                Action::Skip { job, on } => {
                    // The plan may have been faster than the driver with closing.
                    let Some(link) = self.connections.get_mut(&on) else { continue };
                    let position = link.flights.iter().position(|flight| flight.job == job && !flight.skips).expect("in flight");
                    link.flights[position].skips = true;
                    if link.flights[position].sent == Sent::No {
                        self.take_back(job, on);
                    }
                }
                Action::Recall { job, on } => {
                    let Some(link) = self.connections.get_mut(&on) else { continue };
                    let flight = link.flights.iter().find(|flight| flight.job == job && !flight.skips).expect("in flight");
                    if flight.sent == Sent::No {
                        self.take_back(job, on);
                    }
                }
                Action::Pause(on) => self.connections.get_mut(&on).unwrap().is_paused = true,
                Action::Resume(on) => self.connections.get_mut(&on).unwrap().is_paused = false,
                Action::Close(on) => drop(self.connections.remove(&on).expect("it is there")),
                Action::Over { job, outcome } => self.over(job, outcome),
            }
        }
    }

    /// Takes a job back of which no byte has left, if that is still possible.
    fn take_back(&mut self, job: JobId, on: ConnectionId) {
        let is_possible = self.chance(128);
        let flights = &mut self.connections.get_mut(&on).unwrap().flights;
        let position = flights.iter().position(|flight| flight.job == job).unwrap();
        let request = self.jobs.get_mut(&job).unwrap();
        if is_possible {
            flights.remove(position);
            request.is_ready = true;
        } else {
            flights[position].sent = Sent::Partly;
            request.seen += 1;
        }
        self.tell(on, if is_possible { Event::Recalled(job) } else { Event::SentSome(job) });
    }

    fn send(&mut self, job: JobId, on: ConnectionId) {
        let request = self.jobs.get_mut(&job).unwrap();
        assert!(request.outcome.is_none(), "sent after its outcome");
        assert!(request.is_ready, "its owner was not asked");
        request.is_ready = !request.job.asks;
        let link = self.connections.get_mut(&on).unwrap();
        assert!(link.is_open && !link.announced_close);
        assert!(link.flights.iter().all(|flight| flight.idempotent), "behind a request that is not idempotent");
        link.flights.push(Flight { job, idempotent: request.job.idempotent, sent: Sent::No, skips: false, head: false });
        let most = if self.answers == 0 { 1 } else { self.config.depth as usize };
        assert!(link.flights.len() <= most, "more than {most} in flight");
    }

    fn over(&mut self, job: JobId, outcome: Outcome) {
        let request = self.jobs.get_mut(&job).unwrap();
        assert!(request.outcome.is_none(), "two outcomes");
        assert_eq!(outcome.attempts, request.seen);
        assert_eq!(outcome.sent == Sent::No, request.seen == 0, "{outcome:?}");
        if outcome.safe_to_retry {
            assert!(request.seen == 0 || request.job.idempotent || request.job.repeat == Some(true));
        }
        request.outcome = Some(outcome);
    }

    // The network and the server

    fn happen(&mut self, jobs: usize) {
        if !self.asked.is_empty() && self.chance(60) {
            return self.answer_question();
        }
        let rests = |link: &Link| link.is_stalled || link.is_paused || link.flights.is_empty();
        let movable = self.ids(|link| !link.is_open || !rests(link));
        if movable.is_empty() || self.chance(self.temper.is_slow / 2) {
            return self.wait(jobs);
        }
        let passing = self.number(2000);
        self.now += Duration::from_micros(passing);
        let on = movable[self.number(movable.len() as u64) as usize];
        if !self.connections[&on].is_open {
            if self.chance(self.temper.refuses_connections) {
                self.connections.remove(&on);
                return self.tell(on, Event::NotOpened);
            }
            self.connections.get_mut(&on).unwrap().is_open = true;
            return self.tell(on, Event::Opened);
        }
        if self.chance(self.temper.loses) {
            self.connections.remove(&on);
            let why = [Loss::Closed, Loss::Reset, Loss::Garbage][self.number(3) as usize];
            return self.tell(on, Event::Lost(why));
        }
        if self.chance(self.temper.stalls / 4) {
            self.connections.get_mut(&on).unwrap().is_stalled = true;
            return;
        }
        let link = &self.connections[&on];
        match link.flights.iter().position(|flight| flight.sent != Sent::Yes) {
            Some(unsent) if unsent == 0 || self.chance(128) => self.write(on, unsent),
            _ => self.answer(on),
        }
    }

    fn answer_question(&mut self) {
        let position = self.number(self.asked.len() as u64) as usize;
        let job = self.asked.remove(position);
        if let Some(request) = self.jobs.get_mut(&job) {
            request.is_ready = true;
        }
        self.plan.ready(self.now, job);
    }

    fn wait(&mut self, jobs: usize) {
        match self.plan.wait_until() {
            Some(until) => {
                self.now = self.now.max(until);
                self.plan.advance(self.now);
            }
            None if !self.asked.is_empty() => self.answer_question(),
            None => {
                let is_busy = self.connections.values().any(|link| !link.flights.is_empty() || !link.is_open);
                let done = self.jobs.values().all(|request| request.outcome.is_some());
                assert!(is_busy || done, "jobs wait for nothing: {:?}", self.plan);
                assert!(done || self.order.len() < jobs || self.connections.values().any(|link| !link.is_paused), "deadlock");
            }
        }
    }

    /// Bytes of a request leave.
    fn write(&mut self, on: ConnectionId, position: usize) {
        let whole = self.chance(200);
        let flight = &mut self.connections.get_mut(&on).unwrap().flights[position];
        let job = flight.job;
        if flight.sent == Sent::No {
            let request = self.jobs.get_mut(&job).unwrap();
            request.seen += 1;
            let may_come_again = request.job.repeat.unwrap_or(request.job.idempotent) && !request.job.read_once;
            assert!(request.seen == 1 || may_come_again, "sent twice: {:?}", request.job);
        }
        flight.sent = if whole { Sent::Yes } else { Sent::Partly };
        // All before this one have left.
        let sent_all = if self.chance(128) { Event::SentAll(job) } else { Event::SentThrough(job) };
        self.tell(on, if whole { sent_all } else { Event::SentSome(job) });
    }

    fn answer(&mut self, on: ConnectionId) {
        let (refuses, closes) = (self.chance(self.temper.refuses), self.chance(self.temper.announces_close));
        let (wait, bytes) = (self.number(100), 1 + self.number(1200));
        let ends = self.chance(128);
        let whole = self.chance(64);
        let link = self.connections.get_mut(&on).unwrap();
        let flight = &mut link.flights[0];
        let (job, skips) = (flight.job, flight.skips);
        let is_collected = self.jobs.get(&job).is_some_and(|request| !request.job.streamed);
        if !flight.head && whole && is_collected && !refuses && !closes {
            let attempts = self.jobs[&job].seen;
            if let Some(answered) = self.plan.answer(self.now, on, &Head::new(200), bytes) {
                assert_eq!((answered.job, answered.attempts, skips), (job, attempts, false));
                link.flights.remove(0);
                self.answers += 1;
                self.jobs.get_mut(&job).unwrap().whole = answered.held;
                let (end, sent) = (End::Reply, Sent::Yes);
                self.over(job, Outcome { end, sent, answered: Answered::Yes, safe_to_retry: false, attempts });
                return;
            }
        }
        let event = if !flight.head {
            flight.head = true;
            link.announced_close = closes;
            if closes {
                // The driver stops sending: the plan has put those behind elsewhere.
                link.flights.truncate(1);
            }
            let head = Head::new(if refuses { 503 } else { 200 });
            Event::Head(Head { persists: !closes, retry_after: refuses.then_some(Duration::from_secs(wait)), ..head })
        } else if ends {
            link.flights.remove(0);
            self.answers += 1;
            // Every other one has content in its last piece.
            if bytes % 2 == 0 {
                Event::Complete
            } else {
                if let Some(request) = self.jobs.get_mut(&job).filter(|_| !skips) {
                    request.untaken += bytes;
                }
                Event::Last(bytes)
            }
        } else {
            if let Some(request) = self.jobs.get_mut(&job).filter(|_| !skips) {
                request.untaken += bytes;
            }
            Event::Content(bytes)
        };
        self.tell(on, event);
        if matches!(event, Event::Complete | Event::Last(_)) && !skips {
            self.obey();
            let outcome = self.jobs[&job].outcome.expect("a complete response ends its job");
            assert!(matches!(outcome.end, End::Reply | End::Failed(Failure::TooLarge { .. })), "{outcome:?}");
        }
    }
}
