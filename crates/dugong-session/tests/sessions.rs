//! Requests to many origins.

use std::io::Read;

use dugong_origin::{Config, Origin, document};
use dugong_session::{Auth, Cause, Request, Sent, Sessions};

struct Server {
    origin: Origin,
    url: String,
}

fn servers<const N: usize>() -> [Server; N] {
    std::array::from_fn(|_| {
        let origin = Origin::start(Config::default()).unwrap();
        let url = format!("http://{}", origin.address());
        Server { origin, url }
    })
}

/// A URL as a value in a query.
fn encoded(url: &str) -> String {
    url.replace(':', "%3A").replace('/', "%2F")
}

#[test]
fn requests_go_to_the_origins_of_their_urls() {
    let servers = servers::<2>();
    let sessions = Sessions::new().unwrap();
    for server in &servers {
        assert_eq!(sessions.get(format!("{}/doc/1", server.url)).unwrap().content(), &document("1"));
        assert_eq!(sessions.put(format!("{}/x", server.url), "hello").unwrap().status(), 200);
        let mut streamed = sessions.request(Request::get(format!("{}/doc/2", server.url)).streamed()).unwrap();
        let mut content = Vec::new();
        streamed.read_to_end(&mut content).unwrap();
        assert_eq!(content, document("2"));
        assert_eq!(server.origin.counts().requests, 3);
    }
    assert_eq!(sessions.stats().len(), 2);
    assert!(sessions.stats().iter().all(|(_, stats)| stats.opened == 1), "{:?}", sessions.stats());
}

#[test]
fn a_target_that_is_no_url_is_an_error_that_quotes_it() {
    let sessions = Sessions::new().unwrap();
    for target in ["/x", "ftp://h/", "http://user@h/", "example.org"] {
        let failed = sessions.get(target).unwrap_err();
        assert_eq!(failed.sent, Sent::No);
        let Cause::Invalid(error) = &failed.cause else { panic!("{failed:?}") };
        assert!(error.to_string().contains(target) || target.contains("user"), "{error}");
    }
}

#[test]
fn a_redirect_to_another_origin_is_followed_without_credentials() {
    let [here, elsewhere] = servers();
    let to = encoded(&format!("{}/echo", elsewhere.url));
    let sessions = Sessions::builder().redirects(3).auth(Auth::bearer("secret").unwrap()).build().unwrap();
    let request = || Request::get(format!("{}/redirect/1?to={to}", here.url)).header("Cookie", "secret").header("X-Tag", "x");
    let reply = sessions.request(request()).unwrap();
    assert_eq!(reply.attempts(), 2);
    assert!(reply.text().contains("X-Tag: x\r\n") && !reply.text().contains("secret"), "{}", reply.text());
    let direct = sessions.get(format!("{}/echo", elsewhere.url)).unwrap();
    assert!(direct.text().contains("Authorization: Bearer secret\r\n"), "{}", direct.text());
    // Without leave, the redirect is the reply.
    let sessions = Sessions::new().unwrap();
    assert_eq!(sessions.request(request()).unwrap().status(), 302);
}

#[test]
fn callbacks_are_not_asked_about_another_origin_that_a_redirect_named() {
    let [here, elsewhere] = servers();
    let to = encoded(&format!("{}/echo", elsewhere.url));
    let sessions = Sessions::builder().redirects(3).sign(|request| Ok(request.header("X-Signature", "secret")?)).build().unwrap();
    let reply = sessions.get(format!("{}/redirect/1?to={to}", here.url)).unwrap();
    assert!(!reply.text().contains("secret"), "{}", reply.text());
}

#[test]
fn a_loop_between_origins_ends() {
    let [here, there] = servers();
    let to = encoded(&format!("{}/redirect/1000", there.url));
    let sessions = Sessions::builder().redirects(7).build().unwrap();
    let reply = sessions.get(format!("{}/redirect/2?to={to}", here.url)).unwrap();
    assert_eq!((reply.status().as_u16(), reply.attempts()), (302, 8));
}

#[test]
fn a_run_over_many_origins_keeps_the_order_and_uses_all_at_once() {
    let servers = servers::<5>();
    let sessions = Sessions::builder().redirects(2).build().unwrap();
    let url = |i: usize| match i % 10 {
        7 => format!("{}/redirect/1?to={}", servers[i % 5].url, encoded(&format!("{}/doc/{i}", servers[(i + 1) % 5].url))),
        _ => format!("{}/doc/{i}", servers[i % 5].url),
    };
    let outcomes = sessions.run((0..3000).map(|i| Request::get(url(i))));
    let mut count = 0;
    for outcome in outcomes {
        assert_eq!(outcome.index, count);
        assert_eq!(outcome.result.unwrap().content(), &document(&count.to_string()));
        count += 1;
    }
    assert_eq!(count, 3000);
    let mut seen: Vec<_> =
        sessions.run((0..500).map(|i| Request::get(url(i)))).unordered().map(|outcome| outcome.index).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..500));
}

#[test]
fn a_slow_origin_does_not_hold_up_the_requests_to_another() {
    let [slow, quick] = servers();
    let sessions = Sessions::new().unwrap();
    let urls = [format!("{}/small?delay=300", slow.url), format!("{}/small", quick.url)];
    let order: Vec<_> = sessions.run(urls.map(Request::get)).unordered().map(|outcome| outcome.index).collect();
    assert_eq!(order, [1, 0]);
}

#[test]
fn bad_requests_in_a_run_are_outcomes() {
    let [server] = servers();
    let sessions = Sessions::new().unwrap();
    let urls =
        [format!("{}/small", server.url), "/small".to_owned(), "http://127.0.0.1:1/".to_owned(), format!("{}/x y", server.url)];
    let outcomes: Vec<_> = sessions.run(urls.map(Request::get)).collect();
    assert_eq!(outcomes.iter().map(|outcome| outcome.result.is_ok()).collect::<Vec<_>>(), [true, false, false, false]);
    assert!(outcomes[1..].iter().all(|outcome| outcome.sent() == Sent::No && outcome.attempts() == 0));
}

#[test]
fn the_number_of_sessions_is_bounded() {
    let servers = servers::<5>();
    let sessions = Sessions::builder().max_sessions(2).build().unwrap();
    for server in servers.iter().chain(&servers) {
        sessions.get(format!("{}/small", server.url)).unwrap();
        assert!(sessions.stats().len() <= 2);
    }
    let outcomes = sessions.run(servers.iter().map(|server| Request::get(format!("{}/small", server.url))));
    assert!(outcomes.into_iter().all(|outcome| outcome.result.is_ok()));
    sessions.get(format!("{}/small", servers[0].url)).unwrap();
    assert!(sessions.stats().len() <= 2, "{:?}", sessions.stats());
}

#[test]
fn threads_share_the_sessions() {
    let servers = servers::<3>();
    let sessions = Sessions::new().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (sessions, servers) = (&sessions, &servers);
            scope.spawn(move || {
                for i in 0..100 {
                    let id = (thread * 100 + i).to_string();
                    let reply = sessions.get(format!("{}/doc/{id}", servers[i % 3].url)).unwrap();
                    assert_eq!(reply.content(), &document(&id));
                }
            });
        }
    });
    assert_eq!(sessions.stats().len(), 3);
    assert!(sessions.stats().iter().all(|(_, stats)| stats.opened <= 4), "{:?}", sessions.stats());
}
