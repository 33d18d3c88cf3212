//! Responses that arrive whole.

use dugong_session::plan::{Action, Config, End, Event, Head, Job, JobId};

use super::desk::{Desk, ms};

/// The oldest of three jobs is answered, in parts or at once. Its caller may have given it up.
fn answered(config: &Config, head: Head, bytes: u64, whole: bool, given_up: bool) -> (Desk, [JobId; 3]) {
    let mut desk = Desk::known(config.clone());
    let jobs = [(); 3].map(|()| desk.submit(Job { expects: true, ..Job::new(true) }));
    desk.later(ms(3));
    if given_up {
        desk.plan.cancel(desk.now, jobs[0]);
        desk.go();
    }
    if whole {
        desk.tell(0, Event::Answer(head, bytes));
    } else {
        desk.tell(0, Event::Head(head));
        if desk.on(0).is_some_and(|flights| !flights.is_empty()) {
            desk.tell(0, if bytes > 0 { Event::Last(bytes) } else { Event::Complete });
        }
    }
    (desk, jobs)
}

#[test]
fn a_response_that_arrives_whole_means_what_its_parts_mean() {
    let small = Config { window: 150, max_content: 200, ..Config::default() };
    let repeating = Config { repeat_statuses: vec![500], retries: 2, ..Config::default() };
    let ordinary = Head::new(200);
    let heads = [
        ordinary,
        Head::new(404),
        Head::new(417),
        Head::new(500),
        Head { retry_after: Some(ms(50)), ..Head::new(503) },
        Head { keep_alive_max: Some(0), ..ordinary },
        Head { keep_alive_max: Some(9), ..ordinary },
        Head { persists: false, ..ordinary },
    ];
    for config in [Config::default(), small, repeating] {
        for head in heads {
            for bytes in [0, 100, 170, 300] {
                for given_up in [false, true] {
                    let case = format!("{config:?} {head:?} {bytes} {given_up}");
                    let head = Head { length: Some(bytes), ..head };
                    let (parts, jobs) = answered(&config, head, bytes, false, given_up);
                    let (whole, same_jobs) = answered(&config, head, bytes, true, given_up);
                    assert_eq!(jobs, same_jobs);
                    assert_eq!(parts.plan.stats(), whole.plan.stats(), "{case}");
                    assert_eq!(parts.plan.wait_until(), whole.plan.wait_until(), "{case}");
                    assert_eq!(jobs.map(|job| parts.outcome(job)), jobs.map(|job| whole.outcome(job)), "{case}");
                    assert_eq!(parts.on(0), whole.on(0), "{case}");
                }
            }
        }
    }
}

#[test]
fn the_outcome_of_a_response_that_arrives_whole_is_the_next_action() {
    let mut desk = Desk::known(Config { connections: 1, depth: 2, is_proven: true, ..Config::default() });
    let [first, _, third] = desk.gets();
    let on = desk.id(0);
    desk.plan.handle(desk.now, on, Event::Answer(Head::new(200), 100));
    let Some(Action::Over { job, outcome }) = desk.plan.next_decided(desk.now) else { panic!() };
    assert_eq!((job, outcome.end), (first, End::Reply));
    assert_eq!(desk.plan.next_decided(desk.now), None, "the free place waits");
    assert_eq!(desk.plan.next_action(desk.now), Some(Action::Send { job: third, on }));
}
