//! Which jobs are sent again, when, and which of them pay.

use dugong_session::plan::{Action, Answered, Config, End, Event, Failure, Head, Job, JobId, Loss, NoRepeat, Plan, Sent};

use super::desk::{Desk, ms};

const RESET: Event = Event::Lost(Loss::Reset);

fn no_repeat(desk: &Desk, job: JobId) -> NoRepeat {
    match desk.outcome(job).expect("it is over").end {
        End::Failed(Failure::Lost { no_repeat, .. }) => no_repeat,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_loss_the_first_unanswered_request_goes_again_first_and_alone() {
    // RFC 9112 §9.3.1, §9.3.2
    let mut desk = Desk::known(Config::default());
    let [first, second, third] = desk.gets();
    desk.tell(0, RESET);
    assert_eq!(desk.on(1), Some([first].as_slice()));
    desk.answer(1);
    assert_eq!(desk.on(1), Some([second, third].as_slice()));
}

#[test]
fn the_first_repeat_waits_unless_an_open_connection_ended_before_it_answered_anything() {
    let waits = |answered: bool, why: Loss, head: bool| {
        let mut desk = if answered { Desk::known(Config::default()) } else { Desk::single() };
        desk.get();
        if head {
            desk.tell(0, Event::Head(Head::new(200)));
        }
        desk.tell(0, Event::Lost(why));
        desk.opened() == 1
    };
    // RFC 9112 §9.3.1: the server may have closed an idle connection just then.
    assert!(!waits(true, Loss::Closed, false) && !waits(true, Loss::Reset, false));
    assert!(waits(false, Loss::Closed, false), "a new connection");
    assert!(waits(true, Loss::Closed, true), "in the midst of a response");
    assert!(waits(true, Loss::Garbage, false));
}

#[test]
fn the_second_repeat_waits() {
    let mut desk = Desk::known(Config::default());
    let get = desk.get();
    desk.tell(0, RESET);
    assert_eq!(desk.on(1), Some([get].as_slice()));
    desk.tell(1, RESET);
    assert_eq!(desk.opened(), 2);
    assert!(desk.plan.wait_until() <= Some(desk.now + ms(200)));
}

#[test]
fn a_failed_connect_costs_nothing_while_another_connection_is_open() {
    let mut plan = Plan::new(Config { connections: 2, retries: 0, depth: 1, ..Config::default() }, 3);
    let now = ms(1000);
    let jobs = [plan.submit(now, Job::new(true)), plan.submit(now, Job::new(true))];
    let [Some(Action::Open(first)), Some(Action::Open(second))] = [plan.next_action(now), plan.next_action(now)] else {
        panic!()
    };
    plan.handle(now, first, Event::Opened);
    plan.handle(now, second, Event::NotOpened);
    assert_eq!(plan.next_action(now), Some(Action::Send { job: jobs[0], on: first }));
    assert_eq!(plan.next_action(now), None);
    plan.handle(now, first, Event::Head(Head::new(200)));
    plan.handle(now, first, Event::Complete);
    let actions: Vec<_> = std::iter::from_fn(|| plan.next_action(now)).collect();
    assert!(actions.contains(&Action::Send { job: jobs[1], on: first }), "{actions:?}");
}

#[test]
fn without_retries_a_request_goes_again_once_if_a_neighbour_may_have_taken_its_connection_down() {
    let mut desk = Desk::known(Config { retries: 0, retry_budget: Some(0), ..Config::default() });
    let [first, second] = desk.gets();
    desk.tell(0, Event::Lost(Loss::Closed));
    assert_eq!((desk.outcome(first), desk.outcome(second)), (None, None));
    desk.later(ms(100));
    assert_eq!(desk.on(1), Some([first].as_slice()), "it goes alone");
    desk.tell(1, Event::Lost(Loss::Closed));
    assert_eq!(desk.outcome(first).map(|outcome| outcome.attempts), Some(2));
    assert_eq!(desk.outcome(second), None);
}

#[test]
fn without_retries_a_request_whose_response_has_begun_is_not_repeated() {
    let mut desk = Desk::known(Config { retries: 0, ..Config::default() });
    let [first, second] = desk.gets();
    desk.tell(0, Event::Begun);
    desk.tell(0, Event::Lost(Loss::Closed));
    let outcome = desk.outcome(first).unwrap();
    assert_eq!(outcome.end, End::Failed(Failure::Lost { why: Loss::Closed, no_repeat: NoRepeat::Retries }));
    assert_eq!((outcome.attempts, desk.outcome(second)), (1, None));
}

#[test]
fn without_retries_a_request_goes_again_if_a_connection_that_answered_others_closes_just_then() {
    // RFC 9112 §9.3.1
    let mut desk = Desk::known(Config { retries: 0, ..Config::default() });
    let get = desk.get();
    desk.tell(0, Event::Lost(Loss::Closed));
    assert_eq!((desk.outcome(get), desk.on(1)), (None, Some([get].as_slice())));
    desk.tell(1, Event::Lost(Loss::Closed));
    assert_eq!(desk.outcome(get).map(|outcome| outcome.attempts), Some(2));
}

#[test]
fn without_retries_a_request_that_had_its_connection_for_itself_is_not_repeated() {
    let mut desk = Desk::new(Config { connections: 1, retries: 0, ..Config::default() });
    let get = desk.get();
    desk.tell(0, Event::Lost(Loss::Closed));
    let outcome = desk.outcome(get).unwrap();
    assert_eq!(outcome.end, End::Failed(Failure::Lost { why: Loss::Closed, no_repeat: NoRepeat::Retries }));
    assert_eq!(outcome.attempts, 1);
}

#[test]
fn a_loss_costs_one_token_and_those_behind_nothing() {
    let mut desk = Desk::known(Config { retries: 1, ..Config::default() });
    let [first, second] = desk.gets();
    desk.tell(0, RESET);
    assert_eq!(desk.plan.stats().budget, Some(9));
    desk.later(ms(100));
    desk.answer(1);
    assert_eq!(desk.outcome(first).unwrap().attempts, 2);
    desk.tell(1, RESET); // the first loss of `second` that it pays for
    assert_eq!(desk.outcome(second), None);
    desk.later(ms(200));
    desk.answer(2);
    let outcome = desk.outcome(second).unwrap();
    assert_eq!((outcome.end, outcome.attempts), (End::Reply, 3));
}

#[test]
fn retries_bound_the_repeats_of_a_job() {
    let mut desk = Desk::single();
    let get = desk.get();
    for lost in 0..5 {
        assert_eq!(desk.outcome(get), None);
        desk.tell(lost, RESET);
        desk.later(ms(10_000));
    }
    let outcome = desk.outcome(get).unwrap();
    assert_eq!((outcome.attempts, outcome.sent, outcome.answered, outcome.safe_to_retry), (5, Sent::Yes, Answered::No, true));
    assert_eq!(no_repeat(&desk, get), NoRepeat::Retries);
}

#[test]
fn the_budget_bounds_the_repeats_of_the_session() {
    let mut desk = Desk::known(Config { retry_budget: Some(2), depth: 1, ..Config::default() });
    let [first, second] = desk.gets();
    desk.tell(0, RESET);
    desk.later(ms(10_000));
    desk.tell(1, RESET);
    desk.later(ms(10_000));
    desk.tell(2, RESET);
    assert_eq!((no_repeat(&desk, first), desk.outcome(second)), (NoRepeat::Budget, None));
}

#[test]
fn waits_before_repeats_grow() {
    let mut desk = Desk::new(Config { connections: 1, retries: 9, ..Config::default() });
    desk.get();
    let mut longest = ms(0);
    for lost in 0..9 {
        desk.tell(lost, RESET);
        let wait = desk.plan.wait_until().unwrap() - desk.now;
        assert!(wait <= ms(100 << lost));
        longest = longest.max(wait);
        desk.later(wait);
        assert_eq!(desk.opened(), lost + 2);
    }
    assert!(longest > ms(1000));
}

#[test]
fn a_request_that_is_not_idempotent_is_repeated_only_if_no_byte_was_sent() {
    // RFC 9110 §9.2.2
    let mut desk = Desk::single();
    desk.sends_at_once = false;
    let post = desk.post();
    desk.tell(0, RESET);
    desk.later(ms(1000));
    desk.tell(1, Event::SentSome(post));
    desk.tell(1, RESET);
    let outcome = desk.outcome(post).unwrap();
    assert_eq!((outcome.sent, outcome.safe_to_retry, outcome.attempts), (Sent::Partly, false, 1));
    assert_eq!(no_repeat(&desk, post), NoRepeat::Unsafe);
}

#[test]
fn the_caller_overrules_the_method() {
    let mut desk = Desk::single();
    let post = desk.submit(Job { repeat: Some(true), ..Job::new(false) });
    desk.tell(0, RESET);
    desk.later(ms(1000));
    desk.answer(1);
    assert_eq!(desk.outcome(post).unwrap().end, End::Reply);
    let get = desk.submit(Job { repeat: Some(false), ..Job::new(true) });
    desk.tell(1, RESET);
    assert_eq!(no_repeat(&desk, get), NoRepeat::Unsafe);
}

#[test]
fn content_that_cannot_be_read_twice_is_never_repeated() {
    let mut desk = Desk::single();
    let put = desk.submit(Job { upload: 1000, read_once: true, ..Job::new(true) });
    desk.tell(0, RESET);
    assert_eq!((no_repeat(&desk, put), desk.outcome(put).unwrap().safe_to_retry), (NoRepeat::ReadOnce, true));
}

#[test]
fn a_response_that_the_caller_has_seen_is_not_repeated() {
    let mut desk = Desk::single();
    let get = desk.submit(Job { streamed: true, ..Job::new(true) });
    desk.tell(0, Event::Head(Head::new(200)));
    desk.tell(0, Event::Content(700));
    desk.tell(0, RESET);
    assert_eq!(no_repeat(&desk, get), NoRepeat::Given { content: 700 });
    assert_eq!(desk.outcome(get).unwrap().answered, Answered::Partly);
}

#[test]
fn a_response_that_was_only_collected_is_repeated() {
    let mut desk = Desk::single();
    let get = desk.get();
    desk.tell(0, Event::Head(Head::new(200)));
    desk.tell(0, Event::Content(700));
    desk.tell(0, RESET);
    assert_eq!((desk.outcome(get), desk.plan.stats().held), (None, 0));
}

#[test]
fn an_announced_close_costs_nothing() {
    let mut desk = Desk::known(Config { retries: 0, retry_budget: Some(0), ..Config::default() });
    let [_, second, third] = desk.gets();
    desk.answer_with(0, Head { persists: false, ..Head::new(200) });
    assert_eq!(desk.on(1), Some([second, third].as_slice()), "at once, and not alone");
}

#[test]
fn those_behind_an_announced_close_go_elsewhere_before_that_response_ends() {
    // RFC 9112 §9.6
    let mut desk = Desk::new(Config { connections: 2, ..Config::default() });
    desk.get();
    desk.answer(0);
    let [_, second] = desk.gets();
    desk.tell(0, Event::Head(Head { persists: false, ..Head::new(200) }));
    assert_eq!(desk.on(1), Some([second].as_slice()));
}

#[test]
fn bytes_that_left_count_even_if_the_time_is_over() {
    let mut desk = Desk::single();
    desk.sends_at_once = false;
    let post = desk.submit(Job { total_timeout: Some(ms(1000)), ..Job::new(false) });
    desk.now += ms(2000);
    desk.tell(0, Event::SentSome(post));
    let outcome = desk.outcome(post).unwrap();
    assert_eq!((outcome.sent, outcome.attempts, outcome.safe_to_retry), (Sent::Partly, 1, false));
}

#[test]
fn a_refusal_with_retry_after_is_repeated_then() {
    // RFC 6585 §4, RFC 9110 §10.2.3
    for status in [429, 503] {
        let mut desk = Desk::single();
        let get = desk.get();
        desk.answer_with(0, Head { retry_after: Some(ms(2000)), ..Head::new(status) });
        assert_eq!((desk.outcome(get), desk.plan.stats().in_flight), (None, 0), "its wait holds no connection");
        desk.later(ms(1999));
        assert_eq!(desk.on(0), Some([].as_slice()));
        desk.later(ms(1));
        assert_eq!(desk.on(0), Some([get].as_slice()));
    }
}

#[test]
fn a_refusal_is_the_reply_if_the_wait_is_too_long_or_the_repeat_not_allowed() {
    let refuse = |job: Job, config: Config, wait: u64| {
        let mut desk = Desk::new(config);
        let job = desk.submit(job);
        desk.answer_with(0, Head { retry_after: Some(ms(wait)), ..Head::new(503) });
        desk.outcome(job).map(|outcome| outcome.end)
    };
    let get = Job::new(true);
    let usual = Config::default;
    assert_eq!(refuse(get, usual(), 60_000), None);
    let reply = Some(End::Reply);
    assert_eq!(refuse(get, usual(), 60_001), reply);
    assert_eq!(refuse(Job { total_timeout: Some(ms(900)), ..get }, usual(), 1000), reply);
    assert_eq!(refuse(Job::new(false), usual(), 10), reply);
    assert_eq!(refuse(Job { read_once: true, upload: 9, ..get }, usual(), 10), reply);
    assert_eq!(refuse(get, Config { retries: 0, ..usual() }, 10), reply);
    assert_eq!(refuse(get, Config { retry_budget: Some(0), ..usual() }, 10), reply);
}

#[test]
fn other_statuses_are_repeated_by_a_setting() {
    let mut desk = Desk::new(Config { repeat_statuses: vec![502], ..Config::default() });
    let get = desk.get();
    desk.answer_with(0, Head::new(502));
    desk.later(ms(100));
    assert_eq!((desk.outcome(get), desk.on(0)), (None, Some([get].as_slice())));
}

#[test]
fn a_failed_connect_backs_off_for_all_and_ends_after_the_retries() {
    let mut desk = Desk::single();
    let mut plan_only = Plan::new(Config { retries: 2, ..Config::default() }, 3);
    let jobs = [plan_only.submit(desk.now, Job::new(true)), plan_only.submit(desk.now, Job::new(false))];
    let mut failed = 0;
    let mut over = Vec::new();
    while over.len() < 2 {
        match plan_only.next_action(desk.now) {
            Some(Action::Open(on)) => {
                failed += 1;
                plan_only.handle(desk.now, on, Event::NotOpened);
            }
            Some(Action::Over { job, outcome }) => over.push((job, outcome.end, outcome.sent, outcome.attempts)),
            Some(other) => panic!("{other:?}"),
            None => {
                let until = plan_only.wait_until().expect("it tries again");
                assert!(until > desk.now);
                desk.now = until;
            }
        }
    }
    assert_eq!(failed, 3);
    assert_eq!(over, jobs.map(|job| (job, End::Failed(Failure::Unreachable), Sent::No, 0)));
}

#[test]
fn a_connect_that_cannot_succeed_ends_all_that_wait_for_it_at_once() {
    let mut plan = Plan::new(Config::default(), 3);
    let now = ms(1000);
    let jobs = [plan.submit(now, Job::new(true)), plan.submit(now, Job::new(false))];
    let Some(Action::Open(on)) = plan.next_action(now) else { panic!() };
    plan.handle(now, on, Event::CannotOpen);
    for expected in jobs {
        let Some(Action::Over { job, outcome }) = plan.next_action(now) else { panic!() };
        assert_eq!((job, outcome.end, outcome.sent), (expected, End::Failed(Failure::Unreachable), Sent::No));
    }
    assert_eq!((plan.next_action(now), plan.wait_until(), plan.stats().queued), (None, None, 0));
    assert_eq!(plan.stats().opened, 0);
}

#[test]
fn a_connection_that_ends_before_a_request_could_be_sent_counts_as_a_failed_connect() {
    for ends in [Event::Lost(Loss::Closed), Event::Readable] {
        let mut plan = Plan::new(Config { retries: 2, ..Config::default() }, 3);
        let mut now = ms(1000);
        let job = plan.submit(now, Job::new(true));
        let mut tries = 0;
        let outcome = loop {
            match plan.next_action(now) {
                Some(Action::Open(on)) => {
                    tries += 1;
                    plan.handle(now, on, Event::Opened);
                    plan.handle(now, on, ends);
                }
                Some(Action::Over { outcome, .. }) => break outcome,
                Some(Action::Close(_)) => {}
                Some(other) => panic!("{other:?}"),
                None => now = plan.wait_until().expect("it tries again"),
            }
        };
        assert_eq!((tries, outcome.end, outcome.sent), (3, End::Failed(Failure::Unreachable), Sent::No));
        plan.release(now, job);
    }
}

#[test]
fn an_unused_connection_that_can_never_carry_a_request_ends_the_jobs_that_wait() {
    let mut plan = Plan::new(Config::default(), 3);
    let now = ms(1000);
    let job = plan.submit(now, Job::new(true));
    let Some(Action::Open(on)) = plan.next_action(now) else { panic!() };
    plan.handle(now, on, Event::Opened);
    plan.handle(now, on, Event::CannotOpen);
    let Some(Action::Over { job: over, outcome }) = plan.next_action(now) else { panic!() };
    assert_eq!((over, outcome.end, outcome.sent), (job, End::Failed(Failure::Unreachable), Sent::No));
    assert_eq!((plan.next_action(now), plan.wait_until()), (None, None));
}

#[test]
fn a_connection_whose_request_was_taken_back_before_its_end_counts_as_a_failed_connect() {
    let mut plan = Plan::new(Config { retries: 2, ..Config::default() }, 3);
    let mut now = ms(1000);
    plan.submit(now, Job::new(true));
    let mut tries = 0;
    loop {
        match plan.next_action(now) {
            Some(Action::Open(on)) => {
                tries += 1;
                assert!(tries < 10, "it opens one after another without a pause");
                plan.handle(now, on, Event::Opened);
            }
            Some(Action::Send { job, on }) => {
                plan.handle(now, on, Event::Recalled(job));
                plan.handle(now, on, Event::Lost(Loss::Closed));
            }
            Some(Action::Over { outcome, .. }) => {
                assert_eq!((tries, outcome.end, outcome.attempts), (3, End::Failed(Failure::Unreachable), 0));
                break;
            }
            Some(other) => panic!("{other:?}"),
            None => now = plan.wait_until().expect("it tries again"),
        }
    }
}

#[test]
fn an_event_for_several_requests_says_that_all_have_left() {
    let mut desk = Desk::known(Config { is_proven: true, ..Config::default() });
    desk.sends_at_once = false;
    let [first, second, third] = desk.gets();
    desk.tell(0, Event::SentSome(first));
    desk.tell(0, Event::SentThrough(second));
    desk.plan.cancel(desk.now, third);
    desk.plan.cancel(desk.now, second);
    desk.tell(0, Event::Lost(Loss::Reset));
    let facts = [second, third].map(|job| desk.outcome(job).map(|outcome| (outcome.sent, outcome.attempts)).unwrap());
    assert_eq!(facts, [(Sent::Yes, 1), (Sent::No, 0)]);
}

#[test]
fn the_last_content_completes_a_response() {
    let mut desk = Desk::single();
    let get = desk.get();
    desk.tell(0, Event::Head(Head::new(200)));
    desk.tell(0, Event::Last(700));
    assert_eq!((desk.outcome(get).unwrap().end, desk.plan.stats().held), (End::Reply, 700));
}

#[test]
fn a_response_whose_last_content_is_too_much_is_over_once() {
    let mut desk = Desk::new(Config { connections: 1, max_content: 100, ..Config::default() });
    let get = desk.get();
    desk.tell(0, Event::Head(Head::new(200)));
    desk.tell(0, Event::Last(101));
    assert_eq!(desk.outcome(get).unwrap().end, End::Failed(Failure::TooLarge { limit: 100 }));
}

#[test]
fn connections_that_are_lost_together_are_one_failure() {
    let mut desk = Desk::new(Config { connections: 4, depth: 1, retries: 9, retry_budget: None, ..Config::default() });
    let jobs = desk.gets::<4>();
    for round in 0..6 {
        let opened = desk.opened();
        (opened - 4..opened).for_each(|number| desk.tell(number, Event::Lost(Loss::Reset)));
        let last = desk.now + ms(100 << round);
        while desk.opened() < opened + 4 {
            let until = desk.plan.wait_until().unwrap();
            assert!(until <= last, "the wait of one failure in round {round}");
            desk.later(until - desk.now);
        }
    }
    let opened = desk.opened();
    (opened - 4..opened).for_each(|number| desk.answer(number));
    assert!(jobs.iter().all(|job| desk.outcome(*job).is_some_and(|outcome| outcome.end == End::Reply)));
}

#[test]
fn connects_that_fail_together_are_one_failure() {
    let mut plan = Plan::new(Config { retries: 9, ..Config::default() }, 3);
    let mut now = ms(1000);
    let jobs = [(); 4].map(|()| plan.submit(now, Job::new(true)));
    for round in 0..6 {
        let opened = jobs.map(|_| plan.next_action(now));
        for action in opened {
            let Some(Action::Open(on)) = action else { panic!("{action:?}") };
            plan.handle(now, on, Event::NotOpened);
        }
        assert_eq!(plan.next_action(now), None);
        let until = plan.wait_until().unwrap();
        assert!(until - now <= ms(100 << round), "{round}");
        now = until;
    }
}
