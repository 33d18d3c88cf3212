//! Networks that fail between a session and an honest server: proxies that cut, a server that dies and comes back.

#[path = "support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dugong_origin::{Arrivals, Config, Fault, Faults, Origin, Proxy, document};
use dugong_session::{Cause, Failed, Outcome, Request, Sent, Session};
use support::watched;

fn origin() -> Origin {
    Origin::start(Config::default()).unwrap()
}

/// A session that repeats soon, and as often as needed.
fn session(address: SocketAddr) -> Session {
    let builder = Session::builder(&format!("http://{address}")).timeout(Duration::from_millis(200));
    let builder = builder.backoff(Duration::from_millis(1), Duration::from_millis(10));
    builder.retries(10_000).retry_budget(None).build().unwrap()
}

fn documents(count: usize) -> impl Iterator<Item = Request> {
    (0..count).map(|id| Request::get(format!("/doc/{id}")))
}

#[track_caller]
fn check_document(Outcome { index, result, .. }: Outcome) {
    assert_eq!(*result.unwrap().content(), document(&index.to_string()), "document {index}");
}

/// Half of the requests get a document, the others change a count.
fn mixed(seed: u64, number: usize) -> Request {
    let id = format!("/count/{seed}-{number}");
    match number % 6 {
        0 => Request::put(id).body("x".repeat(number)),
        1 => Request::post(id).body("x".repeat(number)),
        2 => Request::put(id).body("x".repeat(number)).retry(false),
        _ => Request::get(format!("/doc/{number}")),
    }
}

/// Compares an outcome with what arrived.
fn check(number: usize, result: Result<Vec<u8>, Failed>, arrived: Arrivals) -> Result<(), String> {
    let may_repeat = !matches!(number % 6, 1 | 2);
    match (result, number % 6) {
        (Ok(content), 3..) if content != document(&number.to_string()) => Err("the document is another".to_owned()),
        (Ok(_), ..3) if arrived.whole == 0 => Err(format!("has a reply, and arrived {arrived:?}")),
        (_, ..3) if !may_repeat && arrived.heads > 1 => Err(format!("arrived {arrived:?}")),
        (Err(failed), _) if failed.sent == Sent::No && arrived.heads > 0 => Err(format!("arrived {arrived:?}: {failed:?}")),
        (Err(failed), _) if failed.sent != Sent::Yes && arrived.whole > 0 => Err(format!("arrived {arrived:?}: {failed:?}")),
        (Err(failed), _) if u64::from(failed.attempts) < arrived.heads => Err(format!("arrived {arrived:?}: {failed:?}")),
        (Err(failed), _) if may_repeat => Err(format!("was not repeated: {failed:?}")),
        (Err(failed), _) if failed.safe_to_retry != (failed.sent == Sent::No) => Err(format!("{failed:?}")),
        (Ok(_) | Err(_), _) => Ok(()),
    }
}

#[test]
fn a_proxy_that_does_harm_loses_and_doubles_nothing() {
    for seed in 0..10 {
        watched(&format!("seed {seed}"), || {
            let origin = origin();
            let proxy = Proxy::start_with(origin.address(), move |number| Faults::random(seed, number)).unwrap();
            let session = session(proxy.address());
            let outcomes: Vec<_> = session.run((0..600).map(|number| mixed(seed, number))).collect();
            session.close();
            drop(session);
            // A request may still be on its way through the proxy, to a server that answers no one.
            drop(proxy);
            while origin.counts().open != 0 {
                thread::yield_now();
            }
            let arrivals: HashMap<_, _> = origin.arrivals();
            assert_eq!(outcomes.len(), 600);
            for Outcome { index, result, .. } in outcomes {
                let arrived = arrivals.get(format!("{seed}-{index}").as_str()).copied().unwrap_or_default();
                let content = result.map(|reply| reply.into_content().to_vec());
                check(index, content, arrived).unwrap_or_else(|fault| panic!("seed {seed}, request {index}: {fault}"));
            }
        });
    }
}

#[test]
fn a_cut_of_all_connections_costs_no_outcome() {
    watched("the cut", || {
        let origin = origin();
        let proxy = Proxy::start(origin.address()).unwrap();
        let session = session(proxy.address());
        for (number, outcome) in session.run(documents(1000)).enumerate() {
            if number % 100 == 50 {
                proxy.cut();
            }
            check_document(outcome);
        }
    });
}

#[test]
fn a_server_that_dies_and_comes_back_answers_all_requests() {
    watched("the server that comes back", || {
        let mut origin = origin();
        let address = origin.address();
        let session = session(address);
        let mut run = session.run(documents(600));
        run.by_ref().take(200).for_each(check_document);
        origin.stop();
        let revive = move || {
            // Long enough for some connections to be refused.
            thread::sleep(Duration::from_millis(50));
            Origin::start(Config { listen: address, ..Config::default() }).unwrap()
        };
        let revived = thread::spawn(revive);
        run.for_each(check_document);
        assert!(revived.join().unwrap().counts().requests > 0);
    });
}

#[test]
fn a_server_that_stays_away_fails_each_request_unsent() {
    watched("the server that stays away", || {
        let address = origin().address();
        let builder = Session::builder(&format!("http://{address}")).backoff(Duration::from_millis(1), Duration::from_millis(5));
        let session = builder.build().unwrap();
        let outcomes: Vec<_> = session.run((0..100).map(|number| mixed(0, number))).collect();
        assert_eq!(outcomes.len(), 100);
        for Outcome { index, result, .. } in outcomes {
            let failed = result.unwrap_err();
            assert!(matches!(failed.cause, Cause::Unreachable(Some(_))), "{index}: {failed:?}");
            assert_eq!((failed.sent, failed.attempts, failed.safe_to_retry), (Sent::No, 0, true), "{index}: {failed:?}");
        }
        // The session is as good as new once the server is there.
        let _origin = Origin::start(Config { listen: address, ..Config::default() }).unwrap();
        assert_eq!(*session.get("/doc/1").unwrap().content(), document("1"));
    });
}

#[test]
fn a_server_that_ends_each_connection_at_once_fails_each_request() {
    watched("the server that ends connections", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        thread::spawn(move || {
            // A stream that is dropped is closed, before or after the client has sent something.
            for _ in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let builder = Session::builder(&format!("http://{address}")).connections(16);
        let session = builder.backoff(Duration::from_millis(1), Duration::from_millis(5)).build().unwrap();
        let outcomes: Vec<_> = session.run((0..40).map(|number| mixed(1, number))).collect();
        assert_eq!(outcomes.len(), 40);
        for Outcome { index, result, .. } in outcomes {
            let failed = result.unwrap_err();
            assert_eq!(failed.sent == Sent::No, failed.attempts == 0, "{index}: {failed:?}");
            assert!(failed.connection_error().is_some(), "{index}: no reason in {failed:?}");
        }
        // The retries of each request and the budget allow no more.
        let accepted = accepted.load(Ordering::SeqCst);
        assert!(accepted < 300, "{accepted} connections");
    });
}

#[test]
fn an_answer_that_no_request_asked_for_is_nowhere() {
    watched("the server that answers twice", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let answers =
                        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).is_ok_and(|count| count > 0) && stream.write_all(answers).is_ok() {}
                });
            }
        });
        let session = session(address);
        for Outcome { index, result, .. } in session.run((0..100).map(|number| Request::get(format!("/{number}")))) {
            assert_eq!(*result.unwrap().content(), b"a"[..], "{index}");
        }
        assert!(session.stats().not_pipelining);
    });
}

#[test]
fn a_stalled_connection_moves_its_requests() {
    watched("the stall", || {
        let origin = origin();
        let stalls = |number| match number {
            0..3 => Faults::default().to_client(3000, Fault::Stall),
            3 => Faults::default().to_server(0, Fault::Stall),
            _ => Faults::default(),
        };
        let proxy = Proxy::start_with(origin.address(), stalls).unwrap();
        let session = session(proxy.address());
        session.run(documents(300)).for_each(check_document);
        assert!(session.stats().opened >= 5, "{:?}", session.stats());
    });
}

#[test]
fn a_half_closed_connection_is_not_used_again() {
    watched("the half-closed connection", || {
        let origin = origin();
        // The server's side of each connection ends behind a few answers, and the client's side stays open.
        let proxy = Proxy::start_with(origin.address(), |_| Faults::default().to_client(20_000, Fault::Fin)).unwrap();
        let session = session(proxy.address());
        session.run(documents(300)).for_each(check_document);
    });
}

#[test]
fn delayed_networks_are_pipelined_through() {
    watched("the delay", || {
        let origin = origin();
        let proxy = Proxy::start_with(origin.address(), |_| Faults::default().delay(Duration::from_millis(5))).unwrap();
        let session = session(proxy.address());
        session.run(documents(500)).for_each(check_document);
        assert!(proxy.most_together() > 1);
        assert_eq!(proxy.connections() as u64, session.stats().opened);
    });
}
