//! Sessions of blocking callers, over real sockets.

use std::cell::Cell;
use std::io::Read;
use std::thread;
use std::time::Duration;

use dugong_origin::{Config, Origin};
use dugong_session::{Answered, Cause, Request, Sent, Session, Sessions};

fn origin() -> (Origin, String) {
    let origin = Origin::start(Config::default()).unwrap();
    let url = format!("http://{}", origin.address());
    (origin, url)
}

#[test]
fn a_request_gets_its_reply() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let reply = session.get("/doc/1").unwrap();
    assert_eq!(reply.status(), 200);
    assert!(!reply.content().is_empty());
    assert_eq!(reply.attempts(), 1);
    let again = session.get("/doc/1").unwrap();
    assert_eq!(again.content(), reply.content());
    assert_eq!(session.stats().opened, 1);
}

#[test]
fn a_run_gives_each_outcome_in_order() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let mut count = 0;
    for outcome in session.run((1..=1000).map(|i| Request::get(format!("/doc/{i}")))) {
        assert_eq!(outcome.index, count);
        count += 1;
        assert_eq!(outcome.request.target().unwrap(), format!("/doc/{count}"));
        let reply = outcome.result.unwrap();
        assert_eq!(reply.status(), 200);
    }
    assert_eq!(count, 1000);
    assert!(session.stats().opened <= 4);
}

#[test]
fn a_streamed_reply_is_read_in_pieces() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let mut reply = session.request(Request::get("/bytes/10000000").streamed()).unwrap();
    let mut content = Vec::new();
    reply.read_to_end(&mut content).unwrap();
    assert_eq!(content.len(), 10_000_000);
    let collected = session.get("/bytes/10000000").unwrap();
    assert_eq!(collected.content(), &content);
}

#[test]
fn a_slow_iterator_does_not_hold_up_outcomes() {
    const SOME: usize = 200;
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let slowly = (0..SOME).map(|i| {
        thread::sleep(Duration::from_millis(2));
        Request::get(format!("/doc/{i}"))
    });
    let mut run = session.run(slowly);
    assert_eq!(run.next().unwrap().index, 0);
    assert!(run.taken() < SOME);
    assert_eq!(run.count(), SOME - 1);
}

#[test]
fn a_bad_request_is_an_outcome_and_the_run_goes_on() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let requests = ["/doc/1", "no slash", "/doc/2"].map(Request::get);
    let outcomes: Vec<_> = session.run(requests).collect();
    assert_eq!(outcomes.len(), 3);
    let failed = outcomes[1].error().unwrap();
    assert!(matches!(failed.cause, Cause::Invalid(_)));
    assert_eq!((failed.sent, failed.answered, failed.attempts), (Sent::No, Answered::No, 0));
    assert!(outcomes[0].reply().is_some() && outcomes[2].reply().is_some());
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let session = Session::builder(&url).retries(1).build().unwrap();
    let failed = session.get("/").unwrap_err();
    assert!(matches!(&failed.cause, Cause::Unreachable(Some(_))), "{failed:?}");
    assert_eq!((failed.sent, failed.attempts, failed.safe_to_retry), (Sent::No, 0, true));
    // One line tells all, and a report that walks along the sources tells nothing twice.
    let text = failed.to_string();
    assert!(text.starts_with("no connection could be opened: cannot connect to 127.0.0.1 port "), "{text}");
    assert!(text.contains("refused") && text.ends_with(" (sent: no, answered: no, attempts: 0)"), "{text}");
    assert!(std::error::Error::source(&failed).is_none());
}

#[test]
fn outcomes_come_before_the_next_request_is_taken() {
    let (_origin, url) = origin();
    let (session, sessions) = (Session::new(&url).unwrap(), Sessions::new().unwrap());
    for many in [false, true] {
        let given = Cell::new(0);
        let taken = Cell::new(0);
        let prefix = if many { url.as_str() } else { "" };
        let requests = (0..6_usize).map(|i| {
            // All but the last two outcomes were given.
            assert!(given.get() + 2 >= i, "{} of {i}", given.get());
            taken.set(i);
            thread::sleep(Duration::from_millis(20));
            Request::get(format!("{prefix}/doc/{i}"))
        });
        let mut outcomes: Box<dyn Iterator<Item = _>> =
            if many { Box::new(sessions.run(requests)) } else { Box::new(session.run(requests)) };
        while outcomes.next().is_some() {
            given.set(given.get() + 1);
        }
        drop(outcomes);
        assert_eq!((given.get(), taken.get()), (6, 5));
    }
}

#[test]
fn threads_share_the_connections() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let session = session.clone();
            scope.spawn(move || {
                for i in 0..100 {
                    let reply = session.get(format!("/doc/{}", thread * 100 + i)).unwrap();
                    assert_eq!(reply.status(), 200);
                }
            });
        }
    });
    assert!(session.stats().opened <= 4, "{:?}", session.stats());
}

#[test]
fn content_of_a_source_is_sent() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let content = vec![7; 3_000_000];
    let request = Request::put("/upload").reader(std::io::Cursor::new(content.clone()), 3_000_000);
    let reply = session.request(request).unwrap();
    assert!(reply.status().is_success(), "{reply:?}");
    let request = Request::put("/upload").reader(std::io::Cursor::new(content), None);
    let reply = session.request(request).unwrap();
    assert!(reply.status().is_success(), "{reply:?}");
    let reply = session.put("/upload", "hello").unwrap();
    assert!(reply.status().is_success(), "{reply:?}");
}
