//! A server that harms each connection in one way. Each request of a session must end with exactly one outcome, a reply must be the
//! right one, and a failure must say no less and no more than the server saw.
//!
//! `DUGONG_CHAOS_SECONDS` sets how long each test runs, `DUGONG_CHAOS_SEED` the first seed. A failure names its seed.

#[path = "chaos/ledger.rs"]
mod ledger;
#[path = "support/mod.rs"]
mod support;

use std::io::Read;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use dugong_origin::Chaos;
use dugong_session::{Outcome, Session};
use ledger::{Kind, Ledger};
use support::watched;

/// The number of requests of each seed.
const REQUESTS: usize = 5000;

/// Plays `test` with ten seeds, or for as long as the environment says. `test` closes its session.
fn chaos(name: &str, test: impl Fn(u64, &Session, &mut Ledger)) {
    let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = variable("DUGONG_CHAOS_SEED").unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(variable("DUGONG_CHAOS_SECONDS").unwrap_or(0));
    for seed in first.. {
        let what = format!("{name} with DUGONG_CHAOS_SEED={seed}");
        watched(&what, || {
            let server = Chaos::start_harsh(seed).unwrap();
            let session = session(&server, seed);
            let mut ledger = Ledger::default();
            test(seed, &session, &mut ledger);
            session.close();
            let stats = session.stats();
            drop(session);
            // The server waits for the end of each connection, so a session that leaves one open hangs here.
            let faults = ledger.faults(&server.finish());
            assert!(faults.is_empty(), "{what}: {stats:?}\n{}", faults.join("\n"));
        });
        if seed >= first + 9 && Instant::now() >= end {
            break;
        }
    }
}

/// A session with settings that the seed chooses. Two of three have no limit for repeats, so that each GET must have a reply.
fn session(server: &Chaos, seed: u64) -> Session {
    let pick = |numbers: &[usize], shift: u64| numbers[(seed >> shift) as usize % numbers.len()];
    let builder = Session::builder(&format!("http://{}", server.address()))
        .connections(pick(&[4, 1, 2, 7], 0))
        .depth(pick(&[32, 4, 100], 1) as u32)
        // Long enough for a busy machine: a stall that is none costs a repeat, but no outcome.
        .timeout(Duration::from_millis(150))
        // The server never says 100 (Continue).
        .expect_timeout(Duration::from_millis(20))
        .backoff(Duration::from_millis(1), Duration::from_millis(10));
    let builder = if is_patient(seed) { builder.retries(1000).retry_budget(None) } else { builder };
    builder.build().unwrap()
}

fn is_patient(seed: u64) -> bool {
    !seed.is_multiple_of(3)
}

#[test]
fn gets_have_one_outcome_each_and_the_right_content() {
    chaos("gets", |seed, session, ledger| {
        let requests = (0..REQUESTS).map(|number| Kind::Get.request(seed, number));
        let run = session.run(requests);
        if seed.is_multiple_of(2) {
            ledger.take_all(run)
        } else {
            ledger.take_all(run.unordered())
        }
        assert_eq!(ledger.len(), REQUESTS, "DUGONG_CHAOS_SEED={seed}");
        if is_patient(seed) {
            assert_eq!(ledger.failed(), 0, "DUGONG_CHAOS_SEED={seed}: {:?}", ledger.first_failure());
        }
    });
}

#[test]
fn requests_that_change_something_arrive_once_unless_they_may_be_repeated() {
    chaos("mixed", |seed, session, ledger| {
        let requests = (0..REQUESTS).map(|number| Kind::of(seed, number).request(seed, number));
        let run = session.run(requests);
        if seed.is_multiple_of(2) {
            ledger.take_all(run)
        } else {
            ledger.take_all(run.unordered())
        }
        assert_eq!(ledger.len(), REQUESTS, "DUGONG_CHAOS_SEED={seed}");
        if is_patient(seed) {
            assert_eq!(ledger.failed_repeatable(), 0, "DUGONG_CHAOS_SEED={seed}: {:?}", ledger.first_failure());
        }
    });
}

#[test]
fn sixteen_threads_share_a_session_and_some_give_up() {
    chaos("threads", |seed, session, ledger| {
        let shared = Mutex::new(std::mem::take(ledger));
        thread::scope(|scope| {
            for share in 0..16 {
                let (session, shared) = (session.clone(), &shared);
                scope.spawn(move || use_share(seed, share, &session, shared));
            }
        });
        *ledger = shared.into_inner().unwrap();
        assert!(ledger.len() <= REQUESTS);
    });
}

/// Every sixteenth request, one after another, in runs of twenty, or in runs that are given up after three outcomes.
fn use_share(seed: u64, share: usize, session: &Session, ledger: &Mutex<Ledger>) {
    let numbers: Vec<_> = (share..REQUESTS).step_by(16).collect();
    for (turn, numbers) in numbers.chunks(20).enumerate() {
        let requests = numbers.iter().map(|number| Kind::of(seed, *number).request(seed, *number));
        match (turn + share) % 3 {
            0 => requests.for_each(|request| {
                let result = session.request(&request);
                ledger.lock().unwrap().note(&request, result);
            }),
            1 => session.run(requests).for_each(|Outcome { request, result, .. }| ledger.lock().unwrap().note(&request, result)),
            _ => {
                let outcomes: Vec<_> = session.run(requests.clone()).take(3).collect();
                let mut ledger = ledger.lock().unwrap();
                let given = outcomes.len();
                outcomes.into_iter().for_each(|Outcome { request, result, .. }| ledger.note(&request, result));
                requests.skip(given).for_each(|request| ledger.give_up(&request));
            }
        }
    }
}

#[test]
fn streamed_replies_give_a_beginning_of_the_right_content_or_all_of_it() {
    chaos("streamed", |seed, session, ledger| {
        for (number, outcome) in session.run((0..REQUESTS).map(|number| Kind::Get.request(seed, number))).streamed().enumerate() {
            assert_eq!(outcome.index, number, "DUGONG_CHAOS_SEED={seed}");
            let request = outcome.request;
            match outcome.result {
                Err(failed) => ledger.note(&request, Err(failed)),
                Ok(mut reply) => {
                    let mut content = Vec::new();
                    let read = match number % 7 {
                        // A reader that goes away before the end.
                        0 => (&mut reply).take(10).read_to_end(&mut content).map(drop),
                        _ => reply.read_to_end(&mut content).map(drop),
                    };
                    ledger.note_streamed(&request, &reply, &content, read, number.is_multiple_of(7));
                }
            }
        }
        assert_eq!(ledger.len(), REQUESTS, "DUGONG_CHAOS_SEED={seed}");
    });
}
