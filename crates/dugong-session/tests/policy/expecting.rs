//! `Expect: 100-continue`, and answers that come before the content was sent.

use dugong_session::plan::{Action, Answered, Config, End, Event, Head, Job, JobId, Sent};

use super::desk::Desk;

fn put() -> Job {
    Job { upload: 100_000, expects: true, ..Job::new(true) }
}

/// A desk with an upload whose head has left.
fn waits_for_100(job: Job) -> (Desk, JobId) {
    let mut desk = Desk::known(Config::default());
    desk.sends_at_once = false;
    let put = desk.submit(job);
    desk.tell(0, Event::SentSome(put));
    (desk, put)
}

fn early(status: u16) -> Event {
    Event::Head(Head { persists: false, ..Head::new(status) })
}

#[test]
fn an_origin_that_ignores_expectations_is_remembered() {
    let (mut desk, put) = waits_for_100(put());
    assert!(desk.plan.expects() && desk.plan.may_expect(put));
    desk.tell(0, Event::ExpectIgnored);
    assert!(!desk.plan.expects() && !desk.plan.may_expect(put));
}

#[test]
fn an_origin_that_once_answered_an_expectation_is_asked_again() {
    let (mut desk, _) = waits_for_100(put());
    desk.tell(0, Event::ExpectAnswered);
    desk.tell(0, Event::ExpectIgnored);
    assert!(desk.plan.expects());
}

#[test]
fn a_job_that_does_not_want_to_expects_nothing() {
    let (desk, get) = waits_for_100(Job::new(true));
    assert!(!desk.plan.may_expect(get));
}

#[test]
fn a_final_answer_before_the_content_is_the_reply_and_ends_the_connection() {
    let (mut desk, put) = waits_for_100(put());
    let get = desk.get();
    desk.tell(0, early(201));
    desk.tell(0, Event::Content(10));
    desk.tell(0, Event::Complete);
    let outcome = desk.outcome(put).unwrap();
    assert_eq!((outcome.end, outcome.sent, outcome.answered), (End::Reply, Sent::Partly, Answered::Yes));
    assert_eq!((desk.on(0), desk.on(1)), (None, Some([get].as_slice())));
    assert_eq!(desk.plan.stats().depth, 32, "that teaches nothing about the next connection");
}

#[test]
fn a_connection_that_persists_after_an_early_answer_goes_on() {
    let (mut desk, _) = waits_for_100(put());
    desk.answer(0);
    let get = desk.get();
    assert_eq!(desk.on(0), Some([get].as_slice()));
}

#[test]
fn a_failed_expectation_is_repeated_once_without_it_and_free_of_charge() {
    // RFC 9110 §10.1.1
    for job in [put(), Job { idempotent: false, asks: true, ..put() }, Job { read_once: true, asks: true, ..put() }] {
        let mut desk = Desk::new(Config { connections: 1, retries: 0, retry_budget: Some(0), ..Config::default() });
        desk.sends_at_once = false;
        let put = desk.submit(job);
        desk.plan.ready(desk.now, put);
        desk.go();
        desk.tell(0, Event::SentSome(put));
        desk.tell(0, early(417));
        desk.plan.ready(desk.now, put);
        desk.go();
        assert_eq!((desk.on(0), desk.on(1)), (None, Some([put].as_slice())), "at once");
        assert!(desk.plan.expects() && !desk.plan.may_expect(put));
        desk.tell(1, Event::SentAll(put));
        desk.answer_with(1, Head::new(417));
        let outcome = desk.outcome(put).unwrap();
        assert_eq!((outcome.end, outcome.attempts, desk.plan.stats().repeated), (End::Reply, 2, 0));
    }
}

#[test]
fn a_failed_expectation_is_the_reply_if_the_repeat_is_not_allowed() {
    let allowed = put();
    for job in [Job { repeat: Some(false), ..allowed }, Job { read_once: true, ..allowed }, Job { expects: false, ..allowed }] {
        let (mut desk, put) = waits_for_100(job);
        desk.plan.note_reading(put);
        desk.tell(0, early(417));
        assert!(desk.log.contains(&Action::Deliver { job: put, on: desk.id(0) }));
    }
}
