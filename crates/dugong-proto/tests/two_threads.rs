//! Two threads share only the queue, and hold its lock for one call at a time. In any order of their calls, the story is
//! the same, or differs as the order of events does.
//!
//! No thread runs here. Each side is a list of calls, and we try every way to merge the two lists.

use dugong_proto::{
    Announced, CloseReason, Content, Error, Fields, HeadKind, Limits, Malformed, Method, Misuse, Offer, Outstanding, ReceiveHalf,
    RequestHead, SendHalf, Sent,
};

struct World {
    send: SendHalf,
    receive: ReceiveHalf,
    queue: Outstanding,
    offer: Option<Offer>,
    /// The result of each call, in the order of the calls.
    log: Vec<String>,
}

type Call = fn(&mut World);

impl World {
    fn new(request: &RequestHead) -> Self {
        let (send, receive) = (SendHalf::new("origin").unwrap(), ReceiveHalf::new(Limits::default(), 4096));
        let mut world = World { send, receive, queue: Outstanding::new(), offer: None, log: Vec::new() };
        world.send.request(request, &Fields::new(), &mut world.queue).unwrap();
        world
    }

    /// A world whose request has left, up to its content.
    fn with_head_sent(request: &RequestHead) -> Self {
        let mut world = World::new(request);
        world.send.sent(world.send.to_send().len(), &mut world.queue);
        world
    }

    fn note(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    fn place(&self, what: &str) -> Option<usize> {
        self.log.iter().position(|line| line == what)
    }

    /// Whether one call came before another.
    fn before(&self, one: &str, other: &str) -> bool {
        self.place(one).expect("it was called") < self.place(other).expect("it was called")
    }

    fn may_send_another(&mut self) -> Result<u64, Error> {
        self.send.request(&RequestHead::new(Method::GET, "/next").unwrap(), &Fields::new(), &mut self.queue)
    }
}

/// Runs every merge of the two lists, each in a world of its own, and checks each.
fn every_order(world: impl Fn() -> World, one: &[Call], other: &[Call], check: impl Fn(&mut World)) {
    let steps = one.len() + other.len();
    let mut orders = 0;
    for order in 0u32..1 << steps {
        if order.count_ones() as usize != other.len() {
            continue;
        }
        let mut world = world();
        let (mut one, mut other) = (one.iter(), other.iter());
        for step in 0..steps {
            let call = if order >> step & 1 == 0 { one.next() } else { other.next() };
            call.expect("each list has as many calls as the order takes")(&mut world);
        }
        check(&mut world);
        orders += 1;
    }
    assert!(orders > 1, "there is something to merge");
}

fn request(content: Announced) -> RequestHead {
    let mut head = RequestHead::new(if content == Announced::Nothing { Method::GET } else { Method::PUT }, "/").unwrap();
    head.content = content;
    head
}

// The calls of the sender.

fn sending(world: &mut World) {
    world.send.sending(&mut world.queue);
    world.note("sending");
}

fn sent_all(world: &mut World) {
    world.send.sent(world.send.to_send().len(), &mut world.queue);
    world.note("sent");
}

fn sent_some(world: &mut World) {
    world.send.sent(3, &mut world.queue);
    world.note("sent");
}

fn sent_nothing(world: &mut World) {
    world.send.sent(0, &mut world.queue);
    world.note("sent");
}

fn offer(world: &mut World) {
    world.offer = world.send.offer(5, &mut world.queue).ok();
    world.note(if world.offer.is_some() { "offer" } else { "refused" });
}

fn sent_offer(world: &mut World, count: usize) {
    if let Some(offer) = world.offer.take() {
        let framing = offer.prefix().len() + offer.suffix().len();
        world.send.sent_offer(&offer, b"hello", count + if count == 5 { framing } else { 0 }, &mut world.queue);
        world.note("sent offer");
    }
}

fn sent_offer_whole(world: &mut World) {
    sent_offer(world, 5);
}

fn sent_offer_in_part(world: &mut World) {
    sent_offer(world, 2);
}

fn sent_offer_not_at_all(world: &mut World) {
    sent_offer(world, 0);
}

fn finish(world: &mut World) {
    let finished = world.send.finish(&Fields::new(), &mut world.queue);
    world.note(match finished {
        Ok(()) => "finished".to_owned(),
        Err(Error::Local(misuse)) => misuse.code().to_owned(),
        Err(error) => error.to_string(),
    });
}

fn proceed(world: &mut World) {
    world.send.proceed_without_continue(&mut world.queue);
    world.note("proceed");
}

fn ask_for_another(world: &mut World) {
    let asked = world.may_send_another();
    world.note(if asked.is_ok() { "asked" } else { "not asked" });
}

fn give_up(world: &mut World) {
    world.send.give_up_content(&mut world.queue);
    world.note("give up");
}

// The calls of the receiver.

fn arrives(world: &mut World) {
    world.receive.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    world.note("arrives");
}

fn arrives_with_content(world: &mut World) {
    world.receive.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
    world.note("arrives");
}

fn two_arrive(world: &mut World) {
    world.receive.receive(&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(2));
    world.note("arrives");
}

fn continue_arrives(world: &mut World) {
    world.receive.receive(b"HTTP/1.1 100 Continue\r\n\r\n");
    world.note("arrives");
}

fn take_head(world: &mut World) {
    match world.receive.poll_head(&mut world.queue) {
        Ok(Some(_)) => {
            world.receive.take_head(&mut world.queue);
            world.note("head");
        }
        Ok(None) => world.note("no head"),
        Err(error) => world.note(format!("{error:?}")),
    }
}

fn take_content(world: &mut World) {
    let count = match world.receive.content(&mut world.queue) {
        Ok(Content::Bytes(bytes)) => bytes.len(),
        other => panic!("{other:?}"),
    };
    world.receive.consume(count, &mut world.queue);
    world.note("content");
}

#[test]
fn an_answer_during_the_write_counts() {
    // The transport takes the request in the middle of the write, so the answer can come before the write returns.
    for sent in [sent_all as Call, sent_some] {
        let begun = || {
            let mut world = World::new(&request(Announced::Nothing));
            sending(&mut world);
            world
        };
        every_order(begun, &[sent], &[arrives, take_head], |world| {
            assert!(world.place("head").is_some(), "{:?}", world.log);
            assert_eq!((world.queue.len(), world.queue.answered()), (0, 1), "{:?}", world.log);
            assert!(!world.queue.is_being_sent());
        });
    }
}

#[test]
fn an_answer_before_the_write_is_refused() {
    let begun = || {
        let mut world = World::new(&request(Announced::Nothing));
        arrives(&mut world);
        take_head(&mut world);
        world
    };
    every_order(begun, &[sending, sent_all], &[take_head], |world| {
        assert!(world.place("head").is_none(), "{:?}", world.log);
        let told: Vec<_> = world.log.iter().filter(|line| line.contains("UnaskedBytes")).collect();
        assert!(told.len() == 2 && told[0] == told[1], "it is said, and said again: {:?}", world.log);
    });
}

#[test]
fn an_answer_that_precedes_its_request_is_refused() {
    // An attacker may have chosen this surplus answer. It must not become the answer to the next request (RFC 9112 §9.2).
    let begun = || World::with_head_sent(&request(Announced::Nothing));
    every_order(begun, &[ask_for_another, sending, sent_all], &[two_arrive, take_head, take_head], |world| {
        let heads = world.log.iter().filter(|line| *line == "head").count();
        let asked = world.place("asked").is_some();
        if !asked || world.before("head", "sending") {
            // We knew of it when the request left.
            assert_eq!(heads, 1, "{:?}", world.log);
            assert!(world.queue.close_reason().is_some(), "{:?}", world.log);
            let error = world.receive.poll_head(&mut world.queue).unwrap_err();
            let what = [Malformed::UnaskedBytes, Malformed::EarlyResponse];
            assert!(matches!(error, Error::Remote { what: found, at: 38, .. } if what.contains(&found)), "{error:?}");
        } else if world.before("sending", "arrives") {
            assert_eq!((heads, world.queue.close_reason()), (2, None), "{:?}", world.log);
        }
    });
}

#[test]
fn a_write_that_took_nothing_leaves_the_request_unsent() {
    let mut world = World::new(&request(Announced::Nothing));
    sending(&mut world);
    let unanswered = |world: &World| world.queue.unanswered().next().unwrap();
    assert!(world.queue.is_being_sent());
    assert_eq!(unanswered(&world).sent, Sent::Partly, "it may have left");
    sent_nothing(&mut world);
    assert!(!world.queue.is_being_sent());
    assert_eq!(unanswered(&world).sent, Sent::Nothing);
    arrives(&mut world);
    let error = world.receive.poll_head(&mut world.queue).unwrap_err();
    assert!(matches!(error, Error::Remote { what: Malformed::UnaskedBytes, at: 0, .. }), "{error:?}");
}

#[test]
fn sent_bytes_are_counted_while_more_are_under_way() {
    let mut world = World::new(&request(Announced::Nothing));
    world.may_send_another().unwrap();
    let sent = |world: &World| world.queue.unanswered().map(|request| request.sent).collect::<Vec<_>>();
    let first = b"GET / HTTP/1.1\r\nHost: origin\r\n\r\n".len();
    sending(&mut world);
    assert_eq!(sent(&world), [Sent::Partly, Sent::Partly]);
    world.send.sent(first, &mut world.queue);
    assert_eq!(sent(&world), [Sent::Whole, Sent::Nothing]);
    sending(&mut world);
    assert_eq!(sent(&world), [Sent::Whole, Sent::Partly]);
    sent_nothing(&mut world);
    assert_eq!(sent(&world), [Sent::Whole, Sent::Nothing]);
}

#[test]
fn the_answer_may_come_before_the_last_of_the_content_is_noted() {
    let begun = || World::with_head_sent(&request(Announced::Length(5)));
    let offered = || {
        let mut world = begun();
        offer(&mut world);
        world
    };
    for answer in [&[arrives as Call, take_head][..], &[arrives_with_content, take_head, take_content]] {
        every_order(offered, &[sent_offer_whole], answer, |world| {
            assert_eq!(world.queue.close_reason(), None, "{:?}", world.log);
            assert_eq!((world.queue.len(), world.queue.is_over()), (0, false), "{:?}", world.log);
            assert_eq!(world.may_send_another(), Ok(1), "{:?}", world.log);
        });
        // After that, all of it is due at once.
        assert!(!begun().queue.is_response_due());
        assert!(offered().queue.is_response_due());
    }
}

#[test]
fn an_answer_to_content_that_was_cut_ends_the_connection() {
    let offered = || {
        let mut world = World::with_head_sent(&request(Announced::Length(5)));
        offer(&mut world);
        world
    };
    for sent in [sent_offer_in_part as Call, sent_offer_not_at_all] {
        for answer in [&[arrives as Call, take_head][..], &[arrives_with_content, take_head, take_content]] {
            every_order(offered, &[sent], answer, |world| {
                assert_eq!(world.queue.close_reason(), Some(CloseReason::ContentNotSent), "{:?}", world.log);
                assert!(world.queue.is_over() && world.queue.is_empty(), "{:?}", world.log);
                assert_eq!(world.may_send_another(), Err(Error::Closed(CloseReason::ContentNotSent)), "{:?}", world.log);
            });
        }
    }
}

#[test]
fn a_part_of_the_content_is_not_its_end() {
    let begun = || World::with_head_sent(&request(Announced::Length(10)));
    every_order(begun, &[offer, sent_offer_whole], &[arrives, take_head], |world| {
        assert!(!world.queue.is_response_due());
        assert_eq!(world.queue.close_reason(), Some(CloseReason::ContentNotSent), "{:?}", world.log);
    });
    // Content that was offered but not taken is no longer on its way.
    let mut world = World::with_head_sent(&request(Announced::Length(5)));
    offer(&mut world);
    assert!(world.queue.is_being_sent() && world.queue.is_response_due());
    sent_offer_in_part(&mut world);
    assert!(!world.queue.is_being_sent() && !world.queue.is_response_due());
}

#[test]
fn chunks_end_with_the_last_one_and_not_before() {
    let begun = || World::with_head_sent(&request(Announced::Chunked));
    every_order(begun, &[offer, sent_offer_whole, finish], &[arrives, take_head], |world| {
        let finished = world.place("finished").is_some();
        assert!(!finished || world.before("finished", "head"), "{:?}", world.log);
        let reason = (!finished).then_some(CloseReason::ContentNotSent);
        assert_eq!(world.queue.close_reason(), reason, "{:?}", world.log);
        assert!(finished || world.place("content-refused").is_some(), "{:?}", world.log);
    });
}

#[test]
fn a_final_answer_refuses_the_content_unless_the_wait_was_over_before() {
    let begun = || {
        let mut head = request(Announced::Length(5));
        head.expect_continue = true;
        World::with_head_sent(&head)
    };
    assert!(begun().queue.is_waiting_for_continue());
    every_order(begun, &[proceed, offer], &[arrives_with_content, take_head], |world| {
        let allowed = world.before("proceed", "head");
        assert_eq!(world.place("offer").is_some(), allowed, "{:?}", world.log);
    });
    every_order(begun, &[offer], &[continue_arrives, take_head], |world| {
        assert_eq!(world.place("offer").is_some(), world.place("offer") > world.place("head"), "{:?}", world.log);
        assert!(!world.queue.is_waiting_for_continue());
        assert!(world.send.offer(5, &mut world.queue).is_ok(), "{:?}", world.log);
    });
}

#[test]
fn content_that_is_given_up_ends_the_connection_with_the_answer() {
    let begun = || World::with_head_sent(&request(Announced::Length(5)));
    every_order(begun, &[give_up], &[arrives, take_head], |world| {
        assert_eq!(world.queue.close_reason(), Some(CloseReason::ContentNotSent), "{:?}", world.log);
        assert_eq!(world.queue.answered(), 1, "the answer can be read: {:?}", world.log);
        assert!(world.send.to_send().is_empty());
    });
    // If it comes before the answer, too, we send nothing more, and the answer is due.
    let mut world = begun();
    give_up(&mut world);
    assert_eq!(world.queue.close_reason(), Some(CloseReason::ContentNotSent));
    assert!(world.queue.is_response_due() && !world.queue.is_over());
    assert_eq!(world.send.offer(5, &mut world.queue).map(drop), Err(Misuse::ContentRefused.into()));
    assert_eq!(world.receive.poll_head(&mut world.queue), Ok(None::<HeadKind>));
}
