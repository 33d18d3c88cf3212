//! Jobs whose owners sign them or open their content, and jobs with a `timeout` of their own.

use dugong_session::plan::{Action, Config, End, Event, Failure, Head, Job, JobId, Loss, NoRepeat, Sent};

use super::desk::{Desk, ms};

fn asks(desk: &mut Desk) -> JobId {
    desk.submit(Job { asks: true, ..Job::new(true) })
}

fn questions(desk: &Desk) -> Vec<JobId> {
    desk.log.iter().filter_map(|action| if let Action::Ask(job) = action { Some(*job) } else { None }).collect()
}

fn ready(desk: &mut Desk, job: JobId) {
    desk.plan.ready(desk.now, job);
    desk.go();
}

#[test]
fn a_job_that_asks_is_sent_when_its_owner_is_ready_and_holds_up_no_other() {
    let mut desk = Desk::known(Config::default());
    let (signed, get) = (asks(&mut desk), desk.get());
    assert_eq!((questions(&desk), desk.on(0)), (vec![signed], Some([get].as_slice())));
    ready(&mut desk, signed);
    ready(&mut desk, signed);
    assert_eq!(desk.on(0), Some([get, signed].as_slice()), "once");
}

#[test]
fn no_connection_is_opened_for_a_job_whose_owner_is_not_ready() {
    let mut desk = Desk::single();
    let signed = asks(&mut desk);
    assert_eq!(desk.opened(), 0);
    ready(&mut desk, signed);
    assert_eq!(desk.on(0), Some([signed].as_slice()));
}

#[test]
fn its_owner_is_asked_again_before_each_repeat() {
    let mut desk = Desk::known(Config::default());
    let (first, second) = (asks(&mut desk), asks(&mut desk));
    let get = desk.get();
    ready(&mut desk, first);
    ready(&mut desk, second);
    desk.tell(0, Event::Lost(Loss::Reset));
    desk.later(ms(100));
    assert_eq!(questions(&desk), [first, second, second, first]);
    assert_eq!(desk.on(1), Some([get].as_slice()));
    desk.answer(1);
    let last = desk.get();
    assert_eq!(desk.on(1), Some([last].as_slice()));
    ready(&mut desk, first);
    ready(&mut desk, second);
    assert_eq!(desk.on(1), Some([last, first, second].as_slice()));
}

#[test]
fn a_repeat_goes_to_the_head_of_the_queue_when_its_owner_is_ready() {
    let mut desk = Desk::new(Config { connections: 1, depth: 1, ..Config::default() });
    let signed = asks(&mut desk);
    ready(&mut desk, signed);
    desk.answer_with(0, Head { retry_after: Some(ms(1000)), ..Head::new(503) });
    let [first, _] = desk.gets();
    desk.later(ms(1000));
    ready(&mut desk, signed);
    assert_eq!(desk.on(0), Some([first].as_slice()));
    desk.answer(0);
    assert_eq!(desk.on(0), Some([signed].as_slice()));
}

#[test]
fn the_total_timeout_and_a_cancel_end_a_job_whose_owner_is_not_ready() {
    let mut desk = Desk::single();
    let late = desk.submit(Job { asks: true, total_timeout: Some(ms(1000)), ..Job::new(true) });
    let cancelled = asks(&mut desk);
    desk.plan.cancel(desk.now, cancelled);
    desk.later(ms(1000));
    for (job, failure) in [(late, Failure::TimedOut { after: ms(1000) }), (cancelled, Failure::Cancelled)] {
        let outcome = desk.outcome(job).unwrap();
        assert_eq!((outcome.end, outcome.sent), (End::Failed(failure), Sent::No));
        ready(&mut desk, job);
    }
    assert_eq!((desk.opened(), desk.plan.stats().jobs), (0, 0));
}

#[test]
fn a_job_with_a_shorter_timeout_leaves_and_the_others_stay() {
    let mut desk = Desk::known(Config { timeout: ms(5000), ..Config::default() });
    let first = desk.get();
    let post = desk.submit(Job { timeout: Some(ms(1000)), ..Job::new(false) });
    desk.later(ms(999));
    desk.tell(0, Event::Moved);
    desk.later(ms(999));
    assert_eq!((desk.outcome(post), desk.plan.wait_until()), (None, Some(desk.now + ms(1))));
    desk.later(ms(1));
    let lost = Failure::Lost { why: Loss::Stalled, no_repeat: NoRepeat::Unsafe };
    assert_eq!(desk.outcome(post).unwrap().end, End::Failed(lost));
    assert_eq!(desk.on(0), Some([first, post].as_slice()), "its response is skipped when it comes");
    desk.later(ms(4000));
    assert_eq!(desk.on(0), None, "the session's own timeout");
}

#[test]
fn an_impatient_job_that_has_not_left_is_taken_back_free_of_charge() {
    let mut desk = Desk::known(Config::default());
    desk.sends_at_once = false;
    let first = desk.get();
    desk.tell(0, Event::SentAll(first));
    let post = desk.submit(Job { timeout: Some(ms(900)), ..Job::new(false) });
    desk.later(ms(900));
    assert_eq!(desk.log.last(), Some(&Action::Recall { job: post, on: desk.id(0) }));
    assert!(desk.plan.wait_until() > Some(desk.now));
    desk.tell(0, Event::SentSome(post)); // it was too late
    desk.later(ms(899));
    assert_eq!(desk.outcome(post), None);
    desk.later(ms(1));
    assert_eq!(desk.outcome(post).unwrap().sent, Sent::Partly);
}

#[test]
fn a_job_that_leaves_is_repeated_at_its_own_cost() {
    let mut desk = Desk::new(Config { connections: 1, retries: 1, timeout: ms(60_000), ..Config::default() });
    let get = desk.submit(Job { timeout: Some(ms(1000)), ..Job::new(true) });
    desk.later(ms(1000));
    assert!(desk.log.contains(&Action::Skip { job: get, on: desk.id(0) }));
    desk.later(ms(500));
    assert_eq!((desk.on(0), desk.on(1)), (None, Some([get].as_slice())), "nothing came to skip");
    desk.later(ms(1000));
    let outcome = desk.outcome(get).unwrap();
    assert_eq!(outcome.end, End::Failed(Failure::Lost { why: Loss::Stalled, no_repeat: NoRepeat::Retries }));
    assert_eq!((outcome.attempts, desk.plan.stats().budget, desk.plan.stats().depth), (2, Some(9), 32));
}

#[test]
fn a_connection_has_the_longer_timeout_of_its_oldest_job() {
    let mut desk = Desk::known(Config { timeout: ms(1000), ..Config::default() });
    let patient = desk.submit(Job { timeout: Some(ms(3000)), ..Job::new(true) });
    let get = desk.get();
    desk.later(ms(1100));
    assert!(desk.log.contains(&Action::Skip { job: get, on: desk.id(0) }), "it waits no longer than others");
    desk.later(ms(1899));
    assert!(desk.on(0).is_some() && desk.outcome(patient).is_none());
    desk.later(ms(1));
    assert_eq!(desk.on(0), None);
}
