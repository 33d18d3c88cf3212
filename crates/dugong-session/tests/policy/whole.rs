//! Responses that arrive whole.

use dugong_session::plan::{Action, Config, End, Event, Head, Job, JobId};

use super::desk::{Desk, ms};

/// The oldest of three jobs is answered in parts, or at once if the plan takes it so. Its caller may wait for it, or have given it up.
fn answered(config: &Config, head: Head, bytes: u64, whole: bool, caller: &str) -> (Desk, [JobId; 3], Option<(End, u32)>) {
    let mut desk = Desk::known(config.clone());
    let jobs = [(); 3].map(|()| desk.submit(Job { expects: true, streamed: caller == "streams", ..Job::new(true) }));
    desk.later(ms(3));
    match caller {
        "waits" => desk.plan.set_awaited(desk.now, jobs[0], true),
        "left" => desk.plan.cancel(desk.now, jobs[0]),
        _ => {}
    }
    desk.go();
    if whole && let Some(answered) = desk.whole(0, &head, bytes) {
        assert_eq!(answered.job, jobs[0]);
        return (desk, jobs, Some((End::Reply, answered.attempts)));
    }
    desk.tell(0, Event::Head(head));
    if desk.on(0).is_some_and(|flights| !flights.is_empty()) {
        desk.tell(0, if bytes > 0 { Event::Last(bytes) } else { Event::Complete });
    }
    let outcome = desk.outcome(jobs[0]).map(|outcome| (outcome.end, outcome.attempts));
    (desk, jobs, outcome)
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
                for caller in ["waits", "works", "left", "streams"] {
                    let case = format!("{config:?} {head:?} {bytes} {caller}");
                    let head = Head { length: Some(bytes), ..head };
                    let (parts, jobs, outcome) = answered(&config, head, bytes, false, caller);
                    let (whole, same_jobs, same_outcome) = answered(&config, head, bytes, true, caller);
                    assert_eq!((jobs, outcome), (same_jobs, same_outcome), "{case}");
                    assert_eq!(parts.plan.stats(), whole.plan.stats(), "{case}");
                    assert_eq!(parts.plan.wait_until(), whole.plan.wait_until(), "{case}");
                    assert_eq!(parts.on(0), whole.on(0), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_response_that_arrives_whole_ends_its_job_at_once() {
    let mut desk = Desk::known(Config { connections: 1, depth: 2, is_proven: true, ..Config::default() });
    let [first, _, third] = desk.gets();
    let on = desk.id(0);
    let answered = desk.plan.answer(desk.now, on, &Head::new(200), 100).unwrap();
    assert_eq!((answered.job, answered.attempts, answered.held), (first, 1, 100));
    assert_eq!(desk.plan.next_decided(desk.now), None, "the free place waits");
    assert_eq!(desk.plan.next_action(desk.now), Some(Action::Send { job: third, on }));
    desk.plan.release(desk.now, first);
    assert_eq!(desk.plan.stats().held, 100, "the job is forgotten, its content is not");
    desk.plan.note_freed(answered.held);
    assert_eq!(desk.plan.stats().held, 0);
}
