//! A driver without connections: it executes a plan on paper, and the test plays the server.

use std::collections::HashMap;
use std::time::Duration;

use dugong_session::plan::{Action, Config, ConnectionId, Event, Head, Job, JobId, Outcome, Plan, Whole};

pub(crate) struct Desk {
    pub(crate) plan: Plan,
    pub(crate) now: Duration,
    /// Every request leaves when it is sent.
    pub(crate) sends_at_once: bool,
    /// Connections in the order of their opening, with the requests in flight. `None`: closed.
    connections: Vec<(ConnectionId, Option<Vec<JobId>>)>,
    outcomes: HashMap<JobId, Outcome>,
    pub(crate) log: Vec<Action>,
}

pub(crate) fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

impl Desk {
    /// The server is known to answer pipelined requests.
    pub(crate) fn new(config: Config) -> Self {
        Desk::unproven(Config { is_proven: true, ..config })
    }

    pub(crate) fn unproven(config: Config) -> Self {
        Desk {
            plan: Plan::new(config, 1),
            now: Duration::from_secs(1),
            sends_at_once: true,
            connections: Vec::new(),
            outcomes: HashMap::new(),
            log: Vec::new(),
        }
    }

    /// One connection.
    pub(crate) fn single() -> Self {
        Desk::new(Config { connections: 1, ..Config::default() })
    }

    /// One connection that is known to be persistent.
    pub(crate) fn known(config: Config) -> Self {
        let mut desk = Desk::new(Config { connections: 1, ..config });
        desk.get();
        desk.answer(0);
        desk
    }

    pub(crate) fn submit(&mut self, job: Job) -> JobId {
        let id = self.plan.submit(self.now, job);
        self.go();
        id
    }

    pub(crate) fn get(&mut self) -> JobId {
        self.submit(Job::new(true))
    }

    pub(crate) fn gets<const N: usize>(&mut self) -> [JobId; N] {
        [(); N].map(|()| self.get())
    }

    pub(crate) fn post(&mut self) -> JobId {
        self.submit(Job::new(false))
    }

    /// Does all that the plan says.
    pub(crate) fn go(&mut self) {
        // The requests of one turn leave in one write.
        let mut sent = Vec::new();
        while let Some(action) = self.plan.next_action(self.now) {
            self.log.push(action);
            match action {
                Action::Open(id) => {
                    self.connections.push((id, Some(Vec::new())));
                    self.plan.handle(self.now, id, Event::Opened);
                }
                Action::Send { job, on } => {
                    self.flights(on).push(job);
                    sent.push((on, job));
                }
                Action::Close(on) => self.forget(on),
                Action::Over { job, outcome } => assert!(self.outcomes.insert(job, outcome).is_none(), "two outcomes"),
                Action::Ask(_)
                | Action::Deliver { .. }
                | Action::Skip { .. }
                | Action::Recall { .. }
                | Action::Pause(_)
                | Action::Resume(_) => {}
            }
        }
        if self.sends_at_once && !sent.is_empty() {
            for (on, job) in sent {
                self.plan.handle(self.now, on, Event::SentAll(job));
            }
            self.go();
        }
    }

    fn flights(&mut self, on: ConnectionId) -> &mut Vec<JobId> {
        let connection = self.connections.iter_mut().find(|(id, _)| *id == on).expect("a connection that was opened");
        connection.1.as_mut().expect("an open connection")
    }

    fn forget(&mut self, on: ConnectionId) {
        self.connections.iter_mut().filter(|(id, _)| *id == on).for_each(|(_, flights)| *flights = None);
    }

    pub(crate) fn id(&self, number: usize) -> ConnectionId {
        self.connections[number].0
    }

    /// The requests in flight on the connection that was opened as number `number`; `None` if it is closed.
    pub(crate) fn on(&self, number: usize) -> Option<&[JobId]> {
        self.connections[number].1.as_deref()
    }

    pub(crate) fn opened(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn tell(&mut self, number: usize, event: Event) {
        let on = self.id(number);
        if matches!(event, Event::Complete | Event::Last(_)) {
            self.flights(on).remove(0);
        }
        if let Event::Recalled(job) = event {
            self.flights(on).retain(|flight| *flight != job);
        }
        if matches!(event, Event::Lost(_)) {
            self.forget(on);
        }
        self.plan.handle(self.now, on, event);
        self.go();
    }

    /// The oldest request has an answer that arrives whole.
    pub(crate) fn whole(&mut self, number: usize, head: &Head, bytes: u64) -> Option<Whole> {
        let on = self.id(number);
        let whole = self.plan.answer(self.now, on, head, bytes)?;
        self.flights(on).remove(0);
        self.go();
        Some(whole)
    }

    /// The server answers the oldest request.
    pub(crate) fn answer(&mut self, number: usize) {
        self.answer_with(number, Head::new(200));
    }

    pub(crate) fn answer_with(&mut self, number: usize, head: Head) {
        self.tell(number, Event::Head(head));
        if self.on(number).is_some_and(|flights| !flights.is_empty()) {
            self.tell(number, Event::Complete);
        }
    }

    pub(crate) fn later(&mut self, time: Duration) {
        self.now += time;
        self.plan.advance(self.now);
        self.go();
    }

    pub(crate) fn outcome(&self, job: JobId) -> Option<Outcome> {
        self.outcomes.get(&job).copied()
    }
}
