//! Servers that are busy: 429 and 503, with and without `Retry-After`.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use dugong_origin::{Config, Origin, document};
use dugong_session::{Builder, Request, Session};
use support::watched;

fn origin() -> (Origin, Builder) {
    let origin = Origin::start(Config::default()).unwrap();
    let builder = Session::builder(&format!("http://{}", origin.address()));
    (origin, builder.backoff(Duration::from_millis(1), Duration::from_millis(5)).retry_budget(None))
}

#[test]
fn a_busy_server_is_asked_again_when_it_says_so() {
    watched("the busy server", || {
        let (origin, builder) = origin();
        let session = builder.build().unwrap();
        for (status, method) in [(429, "get"), (503, "put")] {
            let query = format!("busy=2&busy-status={status}&retry-after=0&{method}");
            let (reply, wanted) = match method {
                "get" => (session.get(format!("/doc/1?{query}")), document("1")),
                _ => (session.put(format!("/x?digest=0&{query}"), "hello"), br#"{"length":5,"sha256":null}"#.to_vec()),
            };
            let reply = reply.unwrap();
            assert_eq!((reply.status().as_u16(), reply.attempts()), (200, 3));
            assert_eq!(*reply.content(), wanted);
        }
        assert_eq!((origin.counts().requests, session.stats().repeated), (6, 4));
    });
}

#[test]
fn the_answer_of_a_busy_server_is_the_reply_if_it_must_not_or_can_not_be_repeated() {
    watched("the busy server", || {
        let (origin, builder) = origin();
        let session = builder.retries(1).build().unwrap();
        // Not idempotent; no time named; a time too far away, as delay and as date; all retries used up.
        let far = "Fri,%2031%20Dec%209999%2023:59:59%20GMT";
        for (index, (request, attempts)) in [
            (Request::post("/x?busy=9&retry-after=0").body("hello"), 1),
            (Request::get("/doc/1?busy=9"), 1),
            (Request::get("/doc/1?busy=9&retry-after=61"), 1),
            (Request::get(format!("/doc/1?busy=9&retry-after={far}")), 1),
            (Request::get("/doc/1?busy=9&retry-after=0"), 2),
            (Request::get("/doc/2?busy=9&retry-after=5").total_timeout(Duration::from_secs(4)), 1),
        ]
        .into_iter()
        .enumerate()
        {
            let reply = session.request(request).unwrap();
            assert_eq!((reply.status().as_u16(), reply.attempts()), (503, attempts), "{index}");
            assert_eq!(reply.text(), "come back later\n");
        }
        assert_eq!(origin.counts().requests, 7);
    });
}

#[test]
fn other_statuses_are_repeated_if_the_caller_names_them() {
    watched("the failing server", || {
        let (origin, builder) = origin();
        let session = builder.repeat_statuses([500, 503]).build().unwrap();
        let reply = session.get("/doc/1?busy=3&busy-status=500").unwrap();
        assert_eq!((reply.status().as_u16(), reply.attempts()), (200, 4));
        let reply = session.request(Request::post("/x?busy=1&busy-status=500").body("x").retry(true)).unwrap();
        assert_eq!((reply.status().as_u16(), reply.attempts()), (200, 2));
        assert_eq!(session.get("/doc/1?busy=1&busy-status=502").unwrap().status().as_u16(), 502);
        assert_eq!(origin.counts().requests, 7);
    });
}

#[test]
fn a_wait_holds_no_connection() {
    watched("the wait", || {
        let (_origin, builder) = origin();
        let session = builder.connections(1).build().unwrap();
        let requests = (0..50).map(|id| match id {
            // The first waits for a second, and the others do not wait for it.
            0 => Request::get("/doc/0?busy=1&retry-after=1"),
            _ => Request::get(format!("/doc/{id}")),
        });
        let order: Vec<_> = session.run(requests).unordered().map(|outcome| (outcome.index, outcome.result)).collect();
        assert_eq!(order.last().map(|(index, _)| *index), Some(0));
        for (index, result) in order {
            assert_eq!(*result.unwrap().content(), document(&index.to_string()), "{index}");
        }
    });
}
