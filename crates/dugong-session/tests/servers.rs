//! Servers of other projects. Each answers 1,000 requests of a run, and requests of 16 threads; some close connections as they like.

#[path = "support/peers.rs"]
mod peers;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use dugong_origin::{Peer, Proxy};
use dugong_session::{Outcome, Request, Session, Stats};
use peers::{FILES, apache, caddy, file, gunicorn, haproxy, nginx, node, uvicorn};
use support::watched;

/// What a server answers to `/number`.
type Content = fn(usize) -> String;

/// What the path is, which some servers answer with.
fn path(number: usize) -> String {
    format!("/{number}")
}

fn session(address: SocketAddr) -> Session {
    // A server that cannot pipeline may stall, which costs a timeout.
    let builder = Session::builder(&format!("http://{address}")).timeout(Duration::from_secs(2));
    builder.backoff(Duration::from_millis(1), Duration::from_millis(50)).build().unwrap()
}

/// Runs 1,000 requests, and lets 16 threads ask for 20 each.
fn use_server(address: SocketAddr, content: Content) -> Stats {
    watched("the server", || {
        let session = session(address);
        let requests = || (0..1000).map(|number| Request::get(path(number % FILES)));
        for Outcome { index, result, .. } in session.run(requests()) {
            let reply = result.unwrap_or_else(|failed| panic!("{index}: {failed:?}; {:?}", session.stats()));
            assert_eq!(reply.text(), content(index % FILES), "{index}");
        }
        thread::scope(|scope| {
            for thread in 0..16 {
                let session = &session;
                scope.spawn(move || {
                    for number in (thread * 20..).take(20) {
                        assert_eq!(session.get(path(number)).unwrap().text(), content(number), "{number}");
                    }
                });
            }
        });
        let stats = session.stats();
        assert!(stats.connections <= 4, "{stats:?}");
        stats
    })
}

/// The same through a proxy that sees if requests are pipelined.
fn use_pipelined(server: &Peer, content: Content) -> Stats {
    let proxy = Proxy::start(server.address()).unwrap();
    let stats = use_server(proxy.address(), content);
    assert!(proxy.most_together() > 1, "nothing was pipelined: {stats:?}");
    assert!(!stats.not_pipelining, "{stats:?}");
    stats
}

/// Uploads to a server that answers with the length.
fn upload(server: &Peer) {
    watched("the uploads", || {
        let session = session(server.address());
        let sizes = (0..60).map(|number| number * 9001);
        let requests = sizes.clone().map(|size| Request::put("/upload").body(vec![b'x'; size]));
        for (size, outcome) in sizes.zip(session.run(requests)) {
            assert_eq!(outcome.result.unwrap().text(), size.to_string());
        }
    });
}

#[test]
fn nginx_gets_pipelined_requests_on_four_connections() {
    let server = nginx("keepalive_requests 100000;");
    let stats = use_server(server.address(), file);
    assert!(stats.opened <= 4, "{stats:?}");
    let logged = fs::read_to_string(server.path("access")).unwrap();
    assert!(logged.lines().filter(|pipe| *pipe == "p").count() > 500);
}

#[test]
fn nginx_that_closes_after_seven_requests_teaches_seven() {
    let server = nginx("keepalive_requests 7;");
    let stats = use_pipelined(&server, file);
    // A close that is announced costs nothing, and no connection carries more than seven.
    assert!(stats.opened >= 1320 / 7, "{stats:?}");
    assert!(stats.repeated < 20, "{stats:?}");
}

#[test]
fn apache_that_closes_after_seven_requests_answers_all() {
    let server = apache("MaxKeepAliveRequests 7");
    let stats = use_pipelined(&server, file);
    // Apache does not count the first.
    assert!(stats.opened >= 1320 / 8, "{stats:?}");
}

#[test]
fn apache_with_its_defaults_answers_all() {
    use_pipelined(&apache(""), file);
}

#[test]
fn haproxy_in_front_of_nginx_answers_all() {
    let behind = nginx("keepalive_requests 7;");
    use_pipelined(&haproxy(behind.address()), file);
}

#[test]
fn caddy_in_front_of_nginx_answers_all() {
    let behind = nginx("keepalive_requests 7;");
    use_pipelined(&caddy(behind.address()), file);
}

#[test]
fn node_answers_all() {
    let server = node();
    use_pipelined(&server, path);
    upload(&server);
}

#[test]
fn gunicorn_with_workers_that_close_answers_all() {
    let server = gunicorn("sync");
    use_server(server.address(), path);
    upload(&server);
}

#[test]
fn gunicorn_with_threads_answers_all() {
    let server = gunicorn("gthread");
    use_server(server.address(), path);
    upload(&server);
}

#[test]
fn uvicorn_answers_all() {
    let server = uvicorn();
    use_pipelined(&server, path);
    upload(&server);
}
