//! Which request follows another on a connection, and when a connection is opened.

use dugong_session::plan::{Action, Config, Event, Head, Job, JobId, Loss};

use super::desk::{Desk, ms};

#[test]
fn the_first_request_of_an_unknown_origin_goes_alone() {
    // RFC 9112 §9.3.2
    let mut desk = Desk::single();
    let [first, second, third] = desk.gets();
    assert_eq!(desk.on(0), Some([first].as_slice()));
    desk.answer(0);
    assert_eq!(desk.on(0), Some([second, third].as_slice()));
}

#[test]
fn no_request_follows_one_that_is_not_idempotent() {
    // RFC 9112 §9.3.2
    let mut desk = Desk::known(Config::default());
    let (get, post, last) = (desk.get(), desk.post(), desk.get());
    assert_eq!(desk.on(0), Some([get, post].as_slice()));
    desk.answer(0);
    assert_eq!(desk.on(0), Some([post].as_slice()));
    desk.answer(0);
    assert_eq!(desk.on(0), Some([last].as_slice()));
}

#[test]
fn a_large_upload_travels_alone() {
    let mut desk = Desk::known(Config::default());
    let put = |upload| Job { upload, ..Job::new(true) };
    let (get, small) = (desk.get(), desk.submit(put(256 << 10)));
    let (large, last) = (desk.submit(put((256 << 10) + 1)), desk.get());
    assert_eq!(desk.on(0), Some([get, small].as_slice()));
    desk.answer(0);
    desk.answer(0);
    assert_eq!(desk.on(0), Some([large].as_slice()));
    desk.answer(0);
    assert_eq!(desk.on(0), Some([last].as_slice()));
}

#[test]
fn an_upload_that_waits_for_an_empty_connection_does_not_hold_up_the_others() {
    let mut desk = Desk::new(Config { connections: 2, depth: 3, ..Config::default() });
    desk.get();
    desk.answer(0);
    let [.., fourth] = desk.gets::<4>();
    assert_eq!(desk.on(1), Some([fourth].as_slice()));
    desk.answer(0);
    let upload = desk.submit(Job { upload: 1 << 20, ..Job::new(true) });
    let passing = desk.get();
    assert!(desk.on(0).unwrap().contains(&passing), "the least busy connection is kept for the upload");
    desk.answer(1);
    assert_eq!(desk.on(1), Some([upload].as_slice()));
}

#[test]
fn no_more_than_depth_are_in_flight_and_no_more_than_connections_are_open() {
    let mut desk = Desk::new(Config { connections: 2, depth: 3, ..Config::default() });
    desk.get();
    desk.answer(0);
    desk.gets::<9>();
    assert_eq!((desk.opened(), desk.on(0).unwrap().len(), desk.on(1).unwrap().len()), (2, 3, 3));
}

#[test]
fn no_connection_is_opened_while_an_open_one_has_room() {
    let mut desk = Desk::new(Config::default());
    desk.get();
    desk.answer(0);
    desk.gets::<32>();
    assert_eq!(desk.opened(), 1);
    desk.get();
    assert_eq!(desk.opened(), 2);
}

#[test]
fn a_slow_answer_does_not_hold_up_the_rest() {
    let mut desk = Desk::new(Config { connections: 2, ..Config::default() });
    desk.get();
    desk.later(ms(100));
    desk.answer(0); // the median is 100 ms
    let slow = desk.get();
    desk.later(ms(900));
    let beside = desk.get();
    assert_eq!(desk.on(0), Some([slow, beside].as_slice()), "after 0.9 s it is not slow");
    desk.later(ms(200));
    let elsewhere = desk.get();
    assert_eq!(desk.on(1), Some([elsewhere].as_slice()));
}

#[test]
fn large_and_small_replies_share_no_connection_if_there_is_a_choice() {
    let mut desk = Desk::new(Config { connections: 2, ..Config::default() });
    let large = || Job { large: true, ..Job::new(true) };
    desk.get();
    desk.answer(0);
    let (small, big) = (desk.get(), desk.submit(large()));
    assert_eq!((desk.on(0), desk.on(1)), (Some([small].as_slice()), Some([big].as_slice())));
    let (small_2, big_2) = (desk.get(), desk.submit(large()));
    assert_eq!((desk.on(0).unwrap()[1], desk.on(1).unwrap()[1]), (small_2, big_2));

    let mut desk = Desk::known(Config::default());
    let mixed = [desk.get(), desk.submit(large())];
    assert_eq!(desk.on(0), Some(mixed.as_slice()), "without a choice they do");
}

#[test]
fn idle_connections_expire() {
    let mut desk = Desk::known(Config { idle_timeout: ms(500), ..Config::default() });
    assert_eq!(desk.plan.wait_until(), Some(desk.now + ms(500)));
    desk.later(ms(500));
    assert_eq!((desk.on(0), desk.plan.stats().connections), (None, 0));
    let get = desk.get();
    assert_eq!(desk.on(1), Some([get].as_slice()));
}

#[test]
fn a_readable_idle_connection_is_never_used_again() {
    let mut desk = Desk::known(Config::default());
    desk.tell(0, Event::Readable);
    assert_eq!(desk.on(0), None);
    desk.get();
    assert_eq!(desk.opened(), 2);
}

#[test]
fn an_idle_connection_that_closes_teaches_and_costs_nothing() {
    let mut desk = Desk::known(Config::default());
    desk.tell(0, Event::Lost(Loss::Closed));
    let [first, second] = desk.gets();
    assert_eq!(desk.on(1), Some([first, second].as_slice()), "neither alone nor later");
    assert_eq!(desk.plan.stats().budget, Some(10));
}

#[test]
fn no_request_follows_an_announced_close() {
    // RFC 9112 §9.6
    let mut desk = Desk::known(Config::default());
    let [last, behind] = desk.gets();
    desk.tell(0, Event::Head(Head { persists: false, ..Head::new(200) }));
    let later = desk.get();
    assert_eq!((desk.on(0), desk.opened()), (Some([last, behind].as_slice()), 1), "one connection, and it is still open");
    desk.tell(0, Event::Complete);
    assert!(desk.log.contains(&Action::Close(desk.id(0))));
    assert_eq!(desk.on(1), Some([behind, later].as_slice()));
    assert!(desk.outcome(last).is_some());
}

fn recalls(desk: &Desk) -> Vec<JobId> {
    desk.log.iter().filter_map(|action| if let Action::Recall { job, .. } = action { Some(*job) } else { None }).collect()
}

#[test]
fn jobs_that_have_not_left_are_taken_back_from_behind_a_slow_answer() {
    let mut desk = Desk::new(Config { connections: 2, ..Config::default() });
    desk.get();
    desk.answer(0); // the median is next to nothing
    desk.sends_at_once = false;
    let [slow, sent, second, third] = desk.gets();
    desk.tell(0, Event::SentAll(slow));
    desk.tell(0, Event::SentSome(sent));
    assert_eq!(desk.plan.wait_until(), Some(desk.now + ms(1000)));
    desk.later(ms(999));
    assert_eq!(recalls(&desk), []);
    desk.later(ms(1));
    assert_eq!(recalls(&desk), [second, third]);
    desk.tell(0, Event::Recalled(second));
    desk.tell(0, Event::SentSome(third)); // it was too late
    assert_eq!((desk.on(0), desk.on(1)), (Some([slow, sent, third].as_slice()), Some([second].as_slice())));
    assert!(desk.plan.wait_until() > Some(desk.now));
}

#[test]
fn jobs_are_taken_back_when_another_connection_can_have_them() {
    let mut desk = Desk::new(Config { connections: 2, depth: 3, ..Config::default() });
    desk.get();
    desk.answer(0);
    desk.sends_at_once = false;
    let [slow, second, third, other] = desk.gets();
    desk.tell(0, Event::SentAll(slow));
    let [_, _] = desk.gets();
    desk.tell(1, Event::Head(Head::new(200)));
    desk.later(ms(1500));
    assert_eq!((recalls(&desk), desk.on(1).unwrap()[0]), (vec![], other), "both are full, and both are slow");
    desk.tell(1, Event::Complete);
    assert_eq!(recalls(&desk), [second, third]);
}

#[test]
fn without_another_connection_jobs_stay_behind_a_slow_answer() {
    let mut desk = Desk::known(Config::default());
    desk.sends_at_once = false;
    let [slow, _] = desk.gets();
    desk.tell(0, Event::SentAll(slow));
    desk.later(ms(2000));
    assert_eq!(recalls(&desk), []);
    assert!(desk.plan.wait_until() > Some(desk.now));
}
