//! Callers that go away, and time that runs out.

use dugong_session::plan::{Action, Config, End, Event, Failure, Head, Job, JobId, Sent};

use super::desk::{Desk, ms};

fn end(desk: &Desk, job: JobId) -> Option<End> {
    desk.outcome(job).map(|outcome| outcome.end)
}

const CANCELLED: Option<End> = Some(End::Failed(Failure::Cancelled));

fn cancel(desk: &mut Desk, job: JobId) {
    desk.plan.cancel(desk.now, job);
    desk.go();
}

#[test]
fn a_cancelled_job_is_over_at_once_and_its_response_is_skipped() {
    let mut desk = Desk::known(Config::default());
    let [first, second] = desk.gets();
    cancel(&mut desk, first);
    assert_eq!(end(&desk, first), CANCELLED);
    assert_eq!(desk.outcome(first).unwrap().sent, Sent::Yes);
    assert!(desk.log.contains(&Action::Skip { job: first, on: desk.id(0) }));
    desk.tell(0, Event::Head(Head { length: Some(64 << 10), ..Head::new(200) }));
    desk.tell(0, Event::Content(64 << 10));
    desk.tell(0, Event::Complete);
    desk.answer(0);
    assert_eq!((end(&desk, second), desk.opened()), (Some(End::Reply), 1));
}

#[test]
fn the_others_move_if_skipping_is_not_cheap() {
    let costly: [fn(&mut Desk); 3] = [
        |desk| desk.tell(0, Event::Head(Head { length: Some((64 << 10) + 1), ..Head::new(200) })),
        |desk| {
            desk.tell(0, Event::Head(Head::new(200)));
            desk.tell(0, Event::Content((64 << 10) + 1));
        },
        |desk| desk.later(ms(500)),
    ];
    for happens in costly {
        let mut desk = Desk::known(Config::default());
        let [first, second] = desk.gets();
        cancel(&mut desk, first);
        happens(&mut desk);
        assert_eq!((desk.on(0), desk.on(1)), (None, Some([second].as_slice())), "at once, and free of charge");
        assert_eq!(desk.plan.stats().budget, Some(10));
    }
}

#[test]
fn a_request_that_cannot_move_is_not_given_up_for_a_cancelled_one() {
    let mut desk = Desk::known(Config::default());
    let (get, post) = (desk.get(), desk.post());
    cancel(&mut desk, get);
    desk.later(ms(500));
    desk.answer(0);
    desk.answer(0);
    assert_eq!(end(&desk, post), Some(End::Reply));
}

#[test]
fn a_cancelled_job_that_was_not_sent_is_never_sent() {
    let mut desk = Desk::single();
    let [first, second, third] = desk.gets();
    cancel(&mut desk, second);
    assert_eq!((end(&desk, second), desk.outcome(second).unwrap().attempts), (CANCELLED, 0));
    desk.answer(0);
    assert_eq!(desk.on(0), Some([third].as_slice()));
    assert_eq!(end(&desk, first), Some(End::Reply));
}

#[test]
fn a_cancelled_job_that_the_driver_has_not_sent_is_recalled() {
    let mut desk = Desk::known(Config { depth: 2, ..Config::default() });
    desk.sends_at_once = false;
    let [first, second, third] = desk.gets();
    cancel(&mut desk, first);
    cancel(&mut desk, second);
    assert!(desk.log.contains(&Action::Skip { job: second, on: desk.id(0) }));
    desk.tell(0, Event::Recalled(second));
    desk.tell(0, Event::Recalled(first));
    assert_eq!(desk.on(0), Some([third].as_slice()));
    assert_eq!((desk.opened(), desk.outcome(second).unwrap().sent), (1, Sent::No));
}

#[test]
fn a_cancelled_job_that_leaves_nevertheless_says_so() {
    let mut plan = Desk::known(Config::default());
    plan.sends_at_once = false;
    let [_, second] = plan.gets();
    plan.plan.cancel(plan.now, second);
    let on = plan.id(0);
    assert_eq!(plan.plan.next_action(plan.now), Some(Action::Skip { job: second, on }));
    plan.plan.handle(plan.now, on, Event::SentSome(second));
    plan.go();
    let outcome = plan.outcome(second).unwrap();
    assert_eq!((outcome.sent, outcome.attempts), (Sent::Partly, 1));
}

#[test]
fn a_connection_whose_only_job_is_recalled_is_idle() {
    let mut desk = Desk::known(Config { idle_timeout: ms(700), ..Config::default() });
    desk.sends_at_once = false;
    let get = desk.get();
    cancel(&mut desk, get);
    desk.tell(0, Event::Recalled(get));
    assert_eq!(desk.plan.wait_until(), Some(desk.now + ms(700)));
    let post = desk.post();
    desk.tell(0, Event::SentAll(post));
    desk.answer(0);
    assert_eq!(end(&desk, post), Some(End::Reply));
}

#[test]
fn no_request_goes_behind_a_response_that_is_skipped() {
    let mut desk = Desk::new(Config { connections: 2, ..Config::default() });
    desk.get();
    desk.answer(0);
    let first = desk.get();
    cancel(&mut desk, first);
    let next = desk.get();
    assert_eq!((desk.on(0), desk.on(1)), (Some([first].as_slice()), Some([next].as_slice())));
}

#[test]
fn no_request_goes_behind_an_upload_that_was_cut_short() {
    let mut desk = Desk::known(Config::default());
    desk.sends_at_once = false;
    let (get, put) = (desk.get(), desk.submit(Job { upload: 1000, ..Job::new(true) }));
    desk.tell(0, Event::SentAll(get));
    desk.tell(0, Event::SentSome(put));
    cancel(&mut desk, put);
    let next = desk.get();
    assert_eq!(desk.on(0), Some([get, put].as_slice()));
    desk.answer(0);
    assert_eq!((desk.on(0), desk.on(1)), (None, Some([next].as_slice())), "given up when it is the oldest");
}

#[test]
fn a_connection_with_a_cancelled_upload_is_given_up() {
    let mut desk = Desk::single();
    desk.sends_at_once = false;
    let put = desk.submit(Job { upload: 1 << 20, ..Job::new(true) });
    desk.tell(0, Event::SentSome(put));
    cancel(&mut desk, put);
    assert_eq!(desk.on(0), None);
}

#[test]
fn the_total_timeout_covers_everything() {
    let mut desk = Desk::new(Config { connections: 1, total_timeout: Some(ms(3000)), ..Config::default() });
    let timed_out = Some(End::Failed(Failure::TimedOut { after: ms(3000) }));
    let [sent, queued] = desk.gets();
    desk.later(ms(2999));
    assert_eq!((end(&desk, sent), end(&desk, queued)), (None, None));
    assert_eq!(desk.plan.wait_until(), Some(desk.now + ms(1)));
    desk.later(ms(1));
    assert_eq!((end(&desk, sent), end(&desk, queued)), (timed_out, timed_out));
    assert_eq!((desk.outcome(sent).unwrap().attempts, desk.outcome(queued).unwrap().attempts), (1, 0));
}

#[test]
fn the_wait_before_a_repeat_counts_against_the_total_timeout() {
    let mut desk = Desk::single();
    let get = desk.submit(Job { total_timeout: Some(ms(3000)), ..Job::new(true) });
    desk.answer_with(0, Head { retry_after: Some(ms(2500)), ..Head::new(503) });
    desk.later(ms(2500));
    assert_eq!(desk.on(0), Some([get].as_slice()));
    desk.later(ms(500));
    assert!(end(&desk, get).is_some());
}

#[test]
fn a_byte_restarts_the_timeout() {
    let mut desk = Desk::new(Config { connections: 1, timeout: ms(1000), ..Config::default() });
    desk.get();
    for _ in 0..5 {
        desk.later(ms(999));
        desk.tell(0, Event::Moved);
    }
    assert!(desk.on(0).is_some());
    desk.later(ms(1000));
    assert!(desk.on(0).is_none());
}

#[test]
fn releasing_a_job_forgets_it_and_its_content() {
    let mut desk = Desk::single();
    let get = desk.get();
    desk.tell(0, Event::Head(Head::new(200)));
    desk.tell(0, Event::Content(700));
    assert_eq!(desk.plan.stats().held, 700);
    desk.plan.release(desk.now, get);
    desk.go();
    assert_eq!((end(&desk, get), desk.plan.stats().held), (CANCELLED, 0));
    let next = desk.get();
    assert_eq!(next.index(), get.index());
    assert_ne!(next, get);
}

#[test]
fn a_plan_that_closes_finishes_its_jobs_and_opens_nothing() {
    let mut desk = Desk::new(Config { connections: 2, depth: 2, ..Config::default() });
    desk.get();
    desk.answer(0);
    let [first, second] = desk.gets();
    let third = desk.get();
    desk.answer(1);
    assert_eq!(end(&desk, third), Some(End::Reply));
    let rests = desk.get();
    desk.answer_with(1, Head { retry_after: Some(ms(2000)), ..Head::new(503) });
    desk.plan.close_idle(desk.now);
    desk.go();
    assert_eq!((desk.on(0), desk.on(1)), (Some([first, second].as_slice()), None));
    let last = desk.get();
    desk.answer(0);
    assert_eq!(desk.on(0), Some([second, last].as_slice()));
    desk.answer(0);
    desk.answer(0);
    assert_eq!((end(&desk, last), desk.on(0)), (Some(End::Reply), None));
    desk.later(ms(2000));
    assert_eq!((end(&desk, rests), desk.opened(), desk.plan.wait_until()), (CANCELLED, 2, None));
}
