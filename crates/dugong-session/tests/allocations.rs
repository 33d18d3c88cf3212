//! In the steady state, a job allocates nothing.

use std::time::Duration;

use allocation_counter::measure;
use dugong_session::plan::{Action, Config, ConnectionId, Event, Head, Job, JobId, Plan};

/// Jobs that are submitted together.
const BATCH: usize = 64;

fn config() -> Config {
    Config { total_timeout: Some(Duration::from_secs(60)), ..Config::default() }
}

/// Plays a server that answers everything.
struct Play {
    plan: Plan,
    now: Duration,
    in_flight: Vec<(ConnectionId, JobId)>,
}

impl Play {
    fn batch(&mut self) {
        for _ in 0..BATCH {
            self.now += Duration::from_micros(10);
            self.plan.submit(self.now, Job::new(true));
        }
        self.obey();
        while !self.in_flight.is_empty() {
            let (on, job) = self.in_flight.remove(0);
            self.now += Duration::from_micros(10);
            for event in [Event::SentAll(job), Event::Head(Head::new(200)), Event::Content(100), Event::Complete] {
                self.plan.handle(self.now, on, event);
                self.obey();
            }
        }
    }

    fn obey(&mut self) {
        while let Some(action) = self.plan.next_action(self.now) {
            match action {
                Action::Open(id) => self.plan.handle(self.now, id, Event::Opened),
                Action::Send { job, on } => self.in_flight.push((on, job)),
                Action::Over { job, .. } => self.plan.release(self.now, job),
                _ => {}
            }
        }
    }
}

#[test]
fn a_job_allocates_nothing() {
    let mut play = Play { plan: Plan::new(config(), 1), now: Duration::ZERO, in_flight: Vec::new() };
    (0..100).for_each(|_| play.batch());
    let info = measure(|| (0..100).for_each(|_| play.batch()));
    assert_eq!(info.count_total, 0, "{info:?}");
    assert_eq!(play.plan.stats().held, 0);
}
