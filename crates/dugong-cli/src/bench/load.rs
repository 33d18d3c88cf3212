//! The loop: one thread waits for all connections, and for the moment at which the next request is due.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dugong_http::driver::{Connect, Progress};
use dugong_http::{Closed, Error};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::connection::{Clock, Open};
use super::feed::Feed;
use super::plan::BenchPlan;
use super::report::{Live, Report};
use super::schedule::Schedule;
use super::tally::{Kind, Tally};
use super::timer::Timer;
use crate::interrupt::is_ignored;
use crate::outcome::Exit;
use crate::stderr::say;

/// Measures the servers of a plan.
pub(crate) fn run(plan: &BenchPlan) -> Exit {
    let cannot_wait = |error| {
        say(&format_args!("cannot wait for connections: {error}"));
        Exit::Output
    };
    let mut load = match Load::new(plan) {
        Ok(load) => load,
        Err(error) => return cannot_wait(error),
    };
    let end = match load.open().and_then(|()| load.run()) {
        Ok(end) => end,
        Err(Failure::System(error)) => return cannot_wait(error),
        Err(Failure::Connect(error)) => {
            say(&format_args!("{error:#}"));
            if !plan.json {
                return Exit::Connection;
            }
            load.tally.failed(Kind::of_connecting(&error), 1);
            End::default()
        }
        Err(Failure::Interrupted) => {
            say(&"interrupted");
            if !plan.json {
                return Exit::Interrupted;
            }
            End { is_interrupted: true, ..End::default() }
        }
    };
    let report = Report { plan, tally: &load.tally, seconds: end.time.as_secs_f64(), late: end.late };
    if let Err(error) = report.print() {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Exit::Success;
        }
        say(&format_args!("cannot write to standard output: {error}"));
        return Exit::Output;
    }
    match load.tally.failures() {
        _ if end.is_interrupted => Exit::Interrupted,
        0 => Exit::Success,
        _ => Exit::Connection,
    }
}

/// Why nothing was measured.
enum Failure {
    System(io::Error),
    Connect(Box<Error>),
    Interrupted,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::System(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Connect(Box::new(error))
    }
}

/// How a run ended.
#[derive(Default)]
struct End {
    /// How long was measured.
    time: Duration,
    is_interrupted: bool,
    /// How many requests were due and had not been sent.
    late: usize,
}

struct Load<'a> {
    plan: &'a BenchPlan,
    poll: Poll,
    timer: Timer,
    clock: Clock,
    connections: Vec<Connection>,
    feed: Feed,
    tally: Tally,
    stopped: Arc<AtomicBool>,
}

/// A connection, or the attempt to make one.
struct Connection {
    /// Which origin it is for.
    lane: usize,
    state: State,
    /// Whether its lane knows that it has room.
    is_listed: bool,
}

enum State {
    /// Connecting again begins at this moment.
    Pausing(u64),
    /// With the descriptors that are in the poller.
    Connecting(Box<Connect>, Vec<RawFd>),
    Open(Box<Open>),
}

/// The token of the timer; each connection has its index.
const TIMER: Token = Token(usize::MAX);
/// How often limits are checked.
const TICK: Duration = Duration::from_millis(100);
/// The time before another attempt to connect, if the last one was of no use.
const PAUSE: u64 = 100_000_000;

impl<'a> Load<'a> {
    fn new(plan: &'a BenchPlan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        let stopped = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // `nohup` has it ignored; a handler would undo that.
            if signal != SIGHUP || !is_ignored(signal) {
                // A second signal ends the program, in case printing blocks.
                signal_hook::flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, Arc::clone(&stopped))?;
                signal_hook::flag::register(signal, Arc::clone(&stopped))?;
            }
        }
        let warm_up = nanoseconds(plan.warm_up);
        let end = plan.time.map(|time| warm_up + nanoseconds(time));
        let schedule = Schedule::new(warm_up, end, plan.requests, plan.rate.map(|rate| 1e9 / rate));
        let feed = Feed::new(schedule, plan.lanes.iter().map(|lane| lane.requests.clone()).collect(), plan.turns.clone());
        let (clock, tally) = (Clock(Instant::now()), Tally::new());
        Ok(Load { plan, poll, timer, clock, connections: Vec::new(), feed, tally, stopped })
    }

    /// Makes all connections.
    fn open(&mut self) -> Result<(), Failure> {
        for index in 0..self.plan.connections {
            let (lane, state) = (index % self.plan.lanes.len(), State::Pausing(0));
            self.connections.push(Connection { lane, state, is_listed: false });
            self.connect(index)?;
        }
        self.await_connections()
    }

    /// Waits until each connection stands: connecting is not measured.
    fn await_connections(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        let mut swept = Instant::now();
        // An open one stays open here, so none is looked at twice.
        let mut standing = 0;
        loop {
            let rest = self.connections[standing..].iter();
            standing += rest.take_while(|connection| matches!(connection.state, State::Open(_))).count();
            if standing == self.connections.len() {
                break;
            }
            self.wait(&mut events, Some(TICK))?;
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Failure::Interrupted);
            }
            for event in &events {
                let index = event.token().0;
                match &mut self.connections[index].state {
                    State::Open(open) => open.edge.note(event),
                    _ => self.connect(index)?,
                }
            }
            if swept.elapsed() >= TICK {
                swept = Instant::now();
                for index in 0..self.connections.len() {
                    if !matches!(self.connections[index].state, State::Open(_)) {
                        self.connect(index)?;
                    }
                }
            }
        }
        self.clock = Clock(Instant::now());
        Ok(())
    }

    fn run(&mut self) -> Result<End, Failure> {
        let (warm_up, tick) = (nanoseconds(self.plan.warm_up), nanoseconds(TICK));
        let end = self.plan.time.map_or(u64::MAX, |time| warm_up + nanoseconds(time));
        let mut live = Live::new(self.plan);
        let mut events = Events::with_capacity(1024);
        let mut next_tick = tick;
        let mut received = Vec::new();
        for index in 0..self.connections.len() {
            self.drive(index);
        }
        loop {
            let now = self.clock.now();
            let is_interrupted = self.stopped.load(Ordering::Relaxed);
            if is_interrupted || now >= end || self.is_done() {
                self.count_silence();
                let late = self.feed.lanes.iter().map(|lane| lane.waiting.len()).sum();
                let time = Duration::from_nanos(now.min(end).saturating_sub(warm_up));
                return Ok(End { time, is_interrupted, late });
            }
            if self.feed.schedule.is_timed() {
                self.dispatch(now);
            }
            if now >= next_tick {
                next_tick = now + tick;
                self.check_limits(now);
                live.show(&self.tally, now, warm_up);
            }
            let timeout = Duration::from_nanos(next_tick.min(end).saturating_sub(now));
            let timeout = match self.feed.schedule.next_due().map(|due| Duration::from_nanos(due.saturating_sub(now))) {
                Some(wait) if wait < timeout => self.timer.wake_after(wait)?.or(Some(timeout)),
                _ => Some(timeout),
            };
            self.wait(&mut events, timeout)?;
            for event in events.iter().filter(|event| event.token() != TIMER) {
                self.handle(event, &mut received);
            }
            // All sends together: the server, which falls asleep when it has no request, is woken once for all of them.
            received.drain(..).for_each(|index| self.drive(index));
        }
    }

    /// Waits for events. A signal ends the wait without any.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// Receives what an event announces, and notes the connection in `received`: it may have room for requests.
    fn handle(&mut self, event: &Event, received: &mut Vec<usize>) {
        let index = event.token().0;
        match &mut self.connections[index].state {
            State::Open(open) => {
                open.edge.note(event);
                match open.receive(&self.feed, &mut self.tally, self.clock) {
                    Ok(()) => received.push(index),
                    Err(error) => {
                        open.count_bytes(&self.feed, &mut self.tally, self.clock);
                        self.lose(index, &error);
                    }
                }
            }
            State::Connecting(..) => self.reconnect(index),
            State::Pausing(_) => {}
        }
    }

    /// Gives the requests that are due to connections that have room, in turn.
    fn dispatch(&mut self, now: u64) {
        self.feed.distribute(now);
        for lane in 0..self.feed.lanes.len() {
            while !self.feed.lanes[lane].waiting.is_empty()
                && let Some(index) = self.feed.lanes[lane].with_room.pop_front()
            {
                self.connections[index].is_listed = false;
                self.drive(index);
            }
        }
    }

    /// Lets a connection send and receive.
    fn drive(&mut self, index: usize) {
        let Connection { lane, state: State::Open(open), is_listed } = &mut self.connections[index] else { return };
        let driven = open.drive(*lane, &mut self.feed, &mut self.tally, self.clock);
        match driven {
            Err(error) => self.lose(index, &error),
            Ok(()) if open.edge.has_ended() && open.in_flight.is_empty() => self.restart(index, 0),
            Ok(()) if self.feed.schedule.is_timed() && !*is_listed && open.has_room() => {
                *is_listed = true;
                self.feed.lanes[*lane].with_room.push_back(index);
            }
            Ok(()) => {}
        }
    }

    /// Accounts for the requests of a connection that has ended, and makes another one.
    fn lose(&mut self, index: usize, error: &Error) {
        let Connection { lane, state: State::Open(open), .. } = &mut self.connections[index] else { return };
        let is_useless = open.answered == 0;
        let is_in_order = matches!(error, Error::Closed { cause: Closed::InOrder(_), .. });
        let mut unanswered = std::mem::take(&mut open.in_flight);
        if is_in_order && !is_useless {
            // The server has said that it would not answer these.
            unanswered.drain(..).rev().for_each(|due| self.feed.put_back(*lane, due));
        } else if unanswered.is_empty() && is_useless {
            // Otherwise a server that closes each connection at once would be asked for ever.
            unanswered.extend(self.feed.lanes[*lane].waiting.pop_front());
        }
        self.fail(Kind::of(error), unanswered);
        self.restart(index, if is_useless { PAUSE } else { 0 });
    }

    fn fail(&mut self, kind: Kind, requests: impl IntoIterator<Item = u64>) {
        let measured = requests.into_iter().filter(|&due| self.feed.schedule.is_measured(due)).count();
        self.tally.failed(kind, measured as u64);
    }

    /// Drops a connection, and begins to make another one after a pause.
    fn restart(&mut self, index: usize, pause: u64) {
        let Connection { state, .. } = &mut self.connections[index];
        if let State::Open(open) = state {
            // Closing removes it anyway.
            let _ = self.poll.registry().deregister(&mut SourceFd(&open.edge.transport.as_fd().as_raw_fd()));
        }
        *state = State::Pausing(self.clock.now() + pause);
        if pause == 0 {
            self.reconnect(index);
        }
    }

    /// Goes on with connecting. A failure takes one request with it.
    fn reconnect(&mut self, index: usize) {
        match self.connect(index) {
            Ok(()) => self.drive(index),
            Err(error) => {
                let now = self.clock.now();
                let due = self.feed.take(self.connections[index].lane, now);
                self.fail(Kind::of_connecting(&error), due);
                self.connections[index].state = State::Pausing(now + PAUSE);
            }
        }
    }

    /// Takes a step of connecting.
    fn connect(&mut self, index: usize) -> Result<(), Error> {
        let Connection { lane, state, .. } = &mut self.connections[index];
        let lane = &self.plan.lanes[*lane];
        let registry = self.poll.registry();
        // Before the step, which may close descriptors: others could get their numbers.
        let mut connect = match std::mem::replace(state, State::Pausing(u64::MAX)) {
            State::Connecting(connect, registered) => {
                for descriptor in registered {
                    let _ = registry.deregister(&mut SourceFd(&descriptor));
                }
                connect
            }
            _ => Box::new(Connect::new(&lane.config, &lane.origin, Instant::now())?.never_blocking()),
        };
        let token = Token(index);
        match connect.step(Instant::now())? {
            Progress::Done(established) => {
                let descriptor = established.transport.as_fd().as_raw_fd();
                let both = Interest::READABLE | Interest::WRITABLE;
                registry.register(&mut SourceFd(&descriptor), token, both).map_err(Error::Socket)?;
                *state = State::Open(Box::new(Open::new(established, self.plan.depth, self.clock.now())));
            }
            Progress::Needs(_) => {
                let set = connect.poll_set();
                let mut registered = Vec::with_capacity(set.descriptors().len());
                for (descriptor, interest) in set.descriptors() {
                    let interest = match (interest.reads(), interest.writes()) {
                        (true, true) => Interest::READABLE | Interest::WRITABLE,
                        (true, false) => Interest::READABLE,
                        _ => Interest::WRITABLE,
                    };
                    let descriptor = descriptor.as_raw_fd();
                    registry.register(&mut SourceFd(&descriptor), token, interest).map_err(Error::Socket)?;
                    registered.push(descriptor);
                }
                drop(set);
                *state = State::Connecting(connect, registered);
            }
        }
        Ok(())
    }

    /// Ends connections whose server is silent for too long, and goes on with connecting where it is time.
    fn check_limits(&mut self, now: u64) {
        let limit = self.plan.timeout.map_or(u64::MAX, nanoseconds);
        for index in 0..self.connections.len() {
            match &mut self.connections[index].state {
                State::Open(open) if !open.in_flight.is_empty() && now.saturating_sub(open.quiet_since) > limit => {
                    let unanswered = std::mem::take(&mut open.in_flight);
                    self.fail(Kind::Timeout, unanswered);
                    self.restart(index, 0);
                }
                State::Connecting(..) => self.reconnect(index),
                State::Pausing(until) if *until <= now => self.reconnect(index),
                _ => {}
            }
        }
    }

    /// Whether all requests are over.
    fn is_done(&self) -> bool {
        self.feed.is_empty()
            && self.connections.iter().all(|connection| match &connection.state {
                State::Open(open) => open.in_flight.is_empty(),
                _ => true,
            })
    }

    /// Counts the requests in flight as errors if the whole run had no other result.
    fn count_silence(&mut self) {
        if self.tally.requests == 0 && self.tally.errors.is_empty() {
            let open = self.connections.iter_mut().filter_map(|connection| match &mut connection.state {
                State::Open(open) => Some(open),
                _ => None,
            });
            let unanswered: Vec<_> = open.flat_map(|open| std::mem::take(&mut open.in_flight)).collect();
            self.fail(Kind::Timeout, unanswered);
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}
