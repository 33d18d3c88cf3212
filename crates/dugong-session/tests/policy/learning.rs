//! Lessons from the behaviour of a server.

use dugong_session::plan::{Config, Event, Head, Job, JobId, Loss};

use super::desk::{Desk, ms};

fn patient() -> Config {
    Config { retry_budget: None, retries: 100, timeout: ms(5000), ..Config::default() }
}

/// The number of the newest connection, once it is open.
fn reopened(desk: &mut Desk) -> usize {
    if desk.on(desk.opened() - 1).is_none() {
        desk.later(ms(10_000));
    }
    desk.opened() - 1
}

#[test]
fn a_server_that_fails_when_pipelined_to_teaches_a_depth_of_one_after_a_second_try() {
    for why in [Loss::Closed, Loss::Reset, Loss::Garbage] {
        let mut desk = Desk::known(patient());
        desk.gets::<9>();
        desk.tell(0, Event::Lost(why));
        assert_eq!(desk.plan.stats().depth, 32, "one loss proves nothing");
        let second = reopened(&mut desk);
        desk.answer(second); // alone: fine
        assert!(!desk.plan.stats().not_pipelining);
        desk.tell(second, Event::Lost(why));
        assert!(desk.plan.stats().not_pipelining);
        let third = reopened(&mut desk);
        desk.answer(third);
        assert_eq!(desk.on(third).unwrap().len(), 1);
    }
}

#[test]
fn a_server_that_answers_what_no_request_asked_gets_one_request_on_each_connection() {
    let mut desk = Desk::known(patient());
    desk.gets::<1>();
    desk.answer(0);
    desk.tell(0, Event::Unasked);
    desk.tell(0, Event::Readable);
    assert!(!desk.plan.stats().not_pipelining, "nothing has changed if no request follows");
    desk.gets::<300>();
    for _ in 0..300 {
        let newest = reopened(&mut desk);
        let busy =
            (0..=newest).rev().find(|on| desk.on(*on).is_some_and(|jobs| !jobs.is_empty())).expect("a request is in flight");
        assert_eq!(desk.on(busy).unwrap().len(), 1);
        desk.answer(busy);
        assert_eq!(desk.on(busy), None, "the connection is closed behind its answer");
    }
    assert!(desk.plan.stats().not_pipelining);
}

#[test]
fn a_stall_is_a_loss_and_a_hint() {
    let mut desk = Desk::known(patient());
    desk.gets::<9>();
    for _ in 0..2 {
        let newest = desk.opened() - 1;
        desk.answer(newest);
        desk.later(ms(4999));
        assert!(desk.on(newest).is_some());
        desk.later(ms(1));
        assert_eq!(desk.on(newest), None);
        desk.later(ms(500));
    }
    // The first of them answered a pipelined request on the known connection, so a third strike is needed.
    let newest = desk.opened() - 1;
    desk.answer(newest);
    desk.later(ms(5000));
    assert!(desk.plan.stats().not_pipelining);
}

#[test]
fn losses_between_answers_to_pipelined_requests_do_not_teach() {
    let mut desk = Desk::known(patient());
    desk.gets::<30>();
    for lost in 0..5 {
        let newest = if lost == 0 { 0 } else { reopened(&mut desk) };
        (0..3).for_each(|_| desk.answer(newest));
        desk.tell(newest, Event::Lost(Loss::Reset));
    }
    assert_eq!(desk.plan.stats().depth, 32);
}

#[test]
fn the_depth_grows_again_slowly() {
    let mut desk = Desk::known(patient());
    desk.gets::<9>();
    desk.tell(0, Event::Lost(Loss::Reset));
    let second = reopened(&mut desk);
    desk.answer(second);
    desk.tell(second, Event::Lost(Loss::Reset));
    let third = reopened(&mut desk);
    let depths: Vec<_> = (0..1000)
        .map(|_| {
            desk.get();
            desk.answer(third);
            desk.plan.stats().depth
        })
        .collect();
    assert_eq!((depths[0], depths[198], depths[200], depths[400], depths[999]), (1, 1, 2, 4, 32));
}

#[test]
fn a_server_that_closes_after_k_responses_teaches_k() {
    let mut desk = Desk::known(patient()); // has one answer
    desk.gets::<10>();
    desk.answer(0);
    desk.answer_with(0, Head { persists: false, ..Head::new(200) });
    assert_eq!((desk.on(1).unwrap().len(), desk.plan.stats().depth), (3, 3));
    (0..3).for_each(|_| desk.answer(1));
    assert_eq!((desk.on(1), desk.on(2).unwrap().len()), (None, 3), "the plan closes it, and no request is lost");
}

#[test]
fn a_close_after_an_error_does_not_teach() {
    let mut desk = Desk::known(patient());
    desk.gets::<10>();
    desk.answer_with(0, Head { persists: false, ..Head::new(413) });
    assert_eq!((desk.on(1).unwrap().len(), desk.plan.stats().depth), (9, 32));
}

#[test]
fn a_server_that_closes_twice_after_k_responses_without_a_word_teaches_k() {
    let mut desk = Desk::known(patient());
    desk.gets::<20>();
    (0..3).for_each(|_| desk.answer(0));
    desk.tell(0, Event::Lost(Loss::Closed));
    let second = reopened(&mut desk);
    (0..4).for_each(|_| desk.answer(second));
    desk.tell(second, Event::Lost(Loss::Closed));
    let third = reopened(&mut desk);
    desk.answer(third);
    assert_eq!(desk.on(third).unwrap().len(), 3, "four in all");
}

#[test]
fn a_server_that_resets_twice_after_k_responses_to_single_requests_teaches_k() {
    let mut desk = Desk::known(Config { depth: 1, ..patient() });
    desk.gets::<20>();
    (0..3).for_each(|_| desk.answer(0));
    desk.tell(0, Event::Lost(Loss::Reset));
    let second = reopened(&mut desk);
    (0..4).for_each(|_| desk.answer(second));
    desk.tell(second, Event::Lost(Loss::Reset));
    let (third, repeated) = (reopened(&mut desk), desk.plan.stats().repeated);
    (0..4).for_each(|_| desk.answer(third));
    assert_eq!((desk.on(third), desk.plan.stats().repeated), (None, repeated), "the plan closes it, and no request is lost");
}

#[test]
fn keep_alive_max_is_kept() {
    let mut desk = Desk::single();
    desk.gets::<9>();
    desk.answer_with(0, Head { keep_alive_max: Some(2), ..Head::new(200) });
    assert_eq!(desk.on(0).unwrap().len(), 2);
    desk.answer_with(0, Head { keep_alive_max: Some(1), ..Head::new(200) });
    desk.answer_with(0, Head { keep_alive_max: Some(0), ..Head::new(200) });
    assert_eq!((desk.on(0), desk.on(1).unwrap().len()), (None, 3));
}

#[test]
fn a_learned_limit_grows_again() {
    let mut desk = Desk::known(patient());
    desk.get();
    desk.answer_with(0, Head { persists: false, ..Head::new(200) });
    for _ in 0..200 {
        desk.get();
        desk.answer(desk.opened() - 1);
    }
    assert_eq!(desk.plan.stats().depth, 4);
}

/// Submits two jobs that leave in one write.
fn pair(desk: &mut Desk) -> [JobId; 2] {
    let jobs = [(); 2].map(|()| desk.plan.submit(desk.now, Job::new(true)));
    desk.go();
    jobs
}

#[test]
fn the_first_pipelined_requests_are_a_pair_and_nothing_follows_before_both_are_answered() {
    let mut desk = Desk::unproven(Config { connections: 1, ..Config::default() });
    desk.gets::<10>();
    assert_eq!(desk.on(0).unwrap().len(), 1, "alone");
    desk.answer(0);
    assert_eq!(desk.on(0).unwrap().len(), 2, "a pair");
    desk.answer(0);
    assert_eq!(desk.on(0).unwrap().len(), 1, "nothing follows");
    desk.answer(0);
    assert_eq!(desk.on(0).unwrap().len(), 7, "the server answers both");
}

#[test]
fn requests_that_leave_one_after_another_prove_nothing() {
    let mut desk = Desk::unproven(Config { connections: 1, ..Config::default() });
    desk.get();
    desk.answer(0);
    let first = desk.get();
    let second = desk.get();
    assert_eq!(desk.on(0), Some([first].as_slice()));
    desk.answer(0);
    assert_eq!(desk.on(0), Some([second].as_slice()));
}

#[test]
fn a_server_that_drops_the_second_of_a_pair_gets_one_request_at_a_time() {
    let config = Config { connections: 1, timeout: ms(100), retries: 9, retry_budget: None, ..Config::default() };
    let mut desk = Desk::unproven(config);
    desk.get();
    desk.answer(0);
    let mut number = 0;
    for _ in 0..2 {
        let [_, dropped] = pair(&mut desk);
        desk.answer(number);
        assert_eq!(desk.on(number), Some([dropped].as_slice()));
        while desk.on(number).is_some() {
            desk.later(ms(100));
        }
        number = reopened(&mut desk);
        assert_eq!(desk.on(number), Some([dropped].as_slice()));
        desk.answer(number);
    }
    desk.gets::<5>();
    assert_eq!(desk.on(number).unwrap().len(), 1);
    assert!(desk.plan.stats().not_pipelining);
}

#[test]
fn a_pair_of_which_one_was_taken_back_proves_nothing() {
    let mut desk = Desk::unproven(Config { connections: 1, ..Config::default() });
    desk.get();
    desk.answer(0);
    desk.sends_at_once = false;
    let [first, second] = desk.gets();
    desk.plan.cancel(desk.now, second);
    desk.go();
    desk.tell(0, Event::Recalled(second));
    desk.tell(0, Event::SentAll(first));
    desk.answer(0);
    desk.gets::<3>();
    assert_eq!(desk.on(0).unwrap().len(), 2, "a pair again");
}
