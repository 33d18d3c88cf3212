//! The window bounds memory, and cannot deadlock.

use dugong_session::plan::{Action, Config, End, Event, Failure, Head, Job, JobId};

use super::desk::Desk;

fn small() -> Config {
    Config { window: 1000, max_content: 5000, ..Config::default() }
}

fn stream(desk: &mut Desk) -> JobId {
    desk.submit(Job { streamed: true, ..Job::new(true) })
}

fn fill(desk: &mut Desk) {
    desk.tell(0, Event::Head(Head::new(200)));
    desk.tell(0, Event::Content(1000));
}

fn set_awaited(desk: &mut Desk, job: JobId) {
    desk.plan.set_awaited(desk.now, job, true);
    desk.go();
}

#[test]
fn a_full_window_stops_reading_and_sending_until_the_caller_takes_content() {
    let mut desk = Desk::known(small());
    let first = stream(&mut desk);
    fill(&mut desk);
    assert_eq!(desk.log.last(), Some(&Action::Pause(desk.id(0))));
    let second = desk.get();
    assert_eq!(desk.on(0), Some([first].as_slice()));
    assert_eq!(desk.plan.wait_until(), None, "a caller that does not read is no stall");
    desk.plan.note_taken(desk.now, first, 1);
    desk.go();
    assert!(desk.log.contains(&Action::Resume(desk.id(0))));
    assert_eq!(desk.on(0), Some([first, second].as_slice()));
}

#[test]
fn the_response_that_a_caller_waits_for_is_always_read_and_those_before_it() {
    let mut desk = Desk::known(small());
    let first = stream(&mut desk);
    let second = stream(&mut desk);
    fill(&mut desk);
    set_awaited(&mut desk, second);
    assert_eq!(desk.log.last(), Some(&Action::Resume(desk.id(0))));
    desk.tell(0, Event::Content(1000));
    desk.tell(0, Event::Complete);
    desk.answer(0);
    assert!(desk.outcome(first).is_some() && desk.outcome(second).is_some());
}

#[test]
fn a_job_that_a_caller_waits_for_is_sent_although_the_window_is_full() {
    let mut desk = Desk::known(small());
    let first = stream(&mut desk);
    fill(&mut desk);
    let [_, awaited] = desk.gets();
    set_awaited(&mut desk, awaited);
    assert_eq!(desk.on(0), Some([first, awaited].as_slice()));
    assert_eq!(desk.log.iter().filter(|action| matches!(action, Action::Resume(_))).count(), 1);
}

#[test]
fn a_collected_reply_counts_against_max_content_while_its_caller_waits() {
    let mut desk = Desk::known(small());
    let get = desk.get();
    set_awaited(&mut desk, get);
    desk.tell(0, Event::Head(Head::new(200)));
    desk.tell(0, Event::Content(5000));
    assert_eq!((desk.plan.stats().held, desk.outcome(get)), (0, None));
    desk.tell(0, Event::Content(1));
    assert_eq!(desk.outcome(get).unwrap().end, End::Failed(Failure::TooLarge { limit: 5000 }));
}

#[test]
fn collected_replies_that_no_caller_waits_for_fill_the_window() {
    let mut desk = Desk::known(small());
    let [first, second] = desk.gets();
    fill(&mut desk);
    desk.tell(0, Event::Complete);
    let third = desk.get();
    assert_eq!(desk.on(0), Some([second].as_slice()));
    desk.plan.release(desk.now, first);
    desk.go();
    assert_eq!(desk.on(0), Some([second, third].as_slice()));
}

/// A stream that fills the window, with an awaited job behind it on the first of two connections.
fn behind_a_stream(sent: bool, idempotent: bool) -> (Desk, JobId, JobId) {
    let mut desk = Desk::new(Config { connections: 2, ..small() });
    desk.get();
    desk.answer(0);
    let first = stream(&mut desk);
    desk.sends_at_once = sent;
    let second = desk.submit(Job::new(idempotent));
    desk.sends_at_once = true;
    assert_eq!(desk.on(0), Some([first, second].as_slice()));
    fill(&mut desk);
    set_awaited(&mut desk, second);
    (desk, first, second)
}

fn is_resumed(desk: &Desk) -> bool {
    desk.log.iter().any(|action| matches!(action, Action::Resume(_)))
}

#[test]
fn an_awaited_job_behind_a_stream_that_is_not_read_is_sent_again_elsewhere() {
    let (mut desk, first, second) = behind_a_stream(true, true);
    assert_eq!((desk.on(1), is_resumed(&desk)), (Some([second].as_slice()), false), "the stream is not read");
    desk.answer(1);
    let outcome = desk.outcome(second).unwrap();
    assert_eq!((outcome.end, outcome.attempts, desk.plan.stats().budget), (End::Reply, 2, Some(10)));
    desk.plan.note_taken(desk.now, first, 1000);
    desk.go();
    desk.tell(0, Event::Complete);
    assert!(desk.log.contains(&Action::Skip { job: second, on: desk.id(0) }));
    desk.answer(0);
    assert_eq!(desk.on(0), Some([].as_slice()), "its first response was skipped");
}

#[test]
fn an_awaited_job_behind_a_stream_is_taken_back_if_it_has_not_left() {
    let (mut desk, _, second) = behind_a_stream(false, false);
    assert!(desk.log.contains(&Action::Recall { job: second, on: desk.id(0) }));
    desk.tell(0, Event::Recalled(second));
    assert_eq!((desk.on(1), is_resumed(&desk)), (Some([second].as_slice()), false));
}

#[test]
fn a_stream_is_read_beyond_the_window_for_an_awaited_job_that_cannot_be_sent_again() {
    let (desk, _, second) = behind_a_stream(true, false);
    assert!(is_resumed(&desk));
    assert_eq!(desk.on(0).unwrap()[1], second);
}

#[test]
fn one_stream_is_read_for_an_awaited_job_without_a_connection() {
    let mut desk = Desk::new(Config { connections: 2, depth: 1, ..small() });
    let streams = [stream(&mut desk), stream(&mut desk)];
    for (number, length) in [3000, 2000].into_iter().enumerate() {
        desk.tell(number, Event::Head(Head { length: Some(length), ..Head::new(200) }));
        desk.tell(number, Event::Content(1000));
    }
    let get = desk.get();
    set_awaited(&mut desk, get);
    let resumed: Vec<_> = desk.log.iter().filter(|action| matches!(action, Action::Resume(_))).collect();
    assert_eq!(resumed, [&Action::Resume(desk.id(1))], "the one that ends first");
    desk.tell(1, Event::Content(1000));
    desk.tell(1, Event::Complete);
    assert_eq!((desk.on(0), desk.on(1)), (Some(&streams[..1]), Some([get].as_slice())));
}

#[test]
fn an_awaited_stream_is_read_a_little_ahead_of_its_caller() {
    let mut desk = Desk::known(small());
    let first = stream(&mut desk);
    set_awaited(&mut desk, first);
    fill(&mut desk);
    assert_eq!(desk.log.last(), Some(&Action::Deliver { job: first, on: desk.id(0) }), "still read");
    desk.tell(0, Event::Content(128 << 10));
    assert_eq!(desk.log.last(), Some(&Action::Pause(desk.id(0))));
    desk.plan.note_taken(desk.now, first, 1001);
    desk.go();
    assert_eq!(desk.log.last(), Some(&Action::Resume(desk.id(0))), "the window is still full");
}
