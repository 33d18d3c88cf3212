//! Redirects, credentials, signatures and digests, with real servers.

use std::io::Read;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dugong_origin::{Config, Origin, Script, Scripted, document};
use dugong_session::ranges::RangeError;
use dugong_session::{Answered, Auth, Cause, Digest, Request, Sent, Session, Sessions, SignRequest};

fn origin() -> (Origin, String) {
    let origin = Origin::start(Config::default()).unwrap();
    let url = format!("http://{}", origin.address());
    (origin, url)
}

/// A server that gives these answers to one request after another, and a session with it.
fn answering(answers: &[&str], build: impl FnOnce(dugong_session::Builder) -> dugong_session::Builder) -> (Scripted, Session) {
    let script = answers.iter().fold(Script::new(), |script, answer| script.expect_requests(1).send(*answer));
    let server = Scripted::start(vec![script.wait_close()]).unwrap();
    let builder = Session::builder(&format!("http://{}", server.address())).retries(0).timeout(Duration::from_secs(20));
    (server, build(builder).build().unwrap())
}

fn answer(status: &str, fields: &str, content: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{content}", content.len())
}

/// The requests that a server has got, when its clients are gone.
fn received(server: Scripted, session: Session) -> String {
    drop(session);
    String::from_utf8(server.join().concat()).unwrap()
}

#[test]
fn a_url_of_the_sessions_origin_is_sent_as_its_path() {
    let (server, session) = answering(&[&answer("200 OK", "", "")], |builder| builder);
    let url = format!("{}/a/b?c", session.origin());
    assert_eq!(session.get(url).unwrap().status(), 200);
    let got = received(server, session);
    assert!(got.starts_with("GET /a/b?c HTTP/1.1\r\n"), "{got}");
}

#[test]
fn a_url_of_another_origin_is_refused_before_anything_is_sent() {
    let ((server, url), (elsewhere, other)) = (origin(), origin());
    let direct = Session::new(&url).unwrap();
    let proxy = dugong_http::Proxy::new(&other).unwrap();
    let proxied = Session::builder(&url).config(dugong_http::Config::new().proxy(proxy)).build().unwrap();
    let other = format!("{other}/doc/1");
    for session in [&direct, &proxied] {
        let mut failures =
            vec![session.get(&other).unwrap_err(), session.run([Request::get(&other)]).next().unwrap().result.unwrap_err()];
        for error in [session.cat_ranges(&other, &[(0, 1)]).unwrap_err(), session.open(&other).unwrap_err()] {
            let RangeError::Failed { failed, .. } = error else { panic!("{error:?}") };
            failures.push(*failed);
        }
        for failed in failures {
            let text = failed.to_string();
            assert!(matches!(failed.cause, Cause::Invalid(_)) && failed.sent == Sent::No, "{failed:?}");
            assert!(text.contains(&url) && text.contains(&other) && text.contains("use Sessions"), "{text}");
        }
        assert_eq!(session.stats().opened, 0);
    }
    assert_eq!((server.counts().requests, elsewhere.counts().requests), (0, 0));
}

#[test]
fn redirects_are_the_reply_unless_they_are_asked_for() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    assert_eq!(session.get("/redirect/1").unwrap().status(), 302);
    let session = Session::builder(&url).redirects(3).build().unwrap();
    assert_eq!(session.get("/redirect/3").unwrap().status(), 200);
}

#[test]
fn a_loop_ends_after_as_many_redirects_as_are_allowed() {
    let (origin, url) = origin();
    let session = Session::builder(&url).redirects(5).build().unwrap();
    let reply = session.get("/redirect/1000").unwrap();
    assert_eq!((reply.status().as_u16(), reply.attempts()), (302, 6));
    assert_eq!(origin.counts().requests, 6);
}

#[test]
fn a_session_does_not_leave_its_origin() {
    let ((here, url), (elsewhere, other)) = (origin(), origin());
    let session = Session::builder(&url).redirects(5).build().unwrap();
    let other = other.replace(':', "%3A").replace('/', "%2F");
    let reply = session.get(format!("/redirect/1?to={other}%2Fsmall")).unwrap();
    assert_eq!(reply.status(), 302);
    assert!(reply.header("Location").is_some_and(|location| location.ends_with("/small")));
    assert_eq!((here.counts().requests, elsewhere.counts().requests), (1, 0));
}

#[test]
fn a_redirected_post_becomes_a_get_without_content_and_307_repeats_it() {
    let found = answer("302 Found", "Location: /b\r\n", "moved");
    let again = answer("307 Temporary Redirect", "Location: c\r\n", "");
    let (server, session) =
        answering(&[&found, &answer("200 OK", "", "one"), &again, &answer("200 OK", "", "two")], |builder| builder.redirects(1));
    let post = || Request::post("/a").header("Content-Type", "text/plain").header("X-Tag", "x").body("content");
    assert_eq!(session.request(post()).unwrap().text(), "one");
    assert_eq!(session.request(post()).unwrap().text(), "two");
    let requests = received(server, session);
    let requests: Vec<&str> = requests.split("X-Tag").collect();
    assert!(requests[0].starts_with("POST /a "), "{requests:?}");
    assert!(requests[1].contains("\r\n\r\ncontentGET /b ") && !requests[1].contains("Content-Type"), "{requests:?}");
    assert!(requests[2].contains("POST /a "), "{requests:?}");
    assert!(requests[3].contains("\r\n\r\ncontentPOST /c "), "{requests:?}");
    assert!(requests[4].ends_with("\r\n\r\ncontent"), "{requests:?}");
}

#[test]
fn a_failure_after_a_redirect_says_that_the_first_request_was_sent() {
    let moved = answer("303 See Other", "Location: /b\r\nConnection: close\r\n", "");
    let moves = Script::new().expect_requests(1).send(moved).fin().wait_close();
    let loses = Script::new().expect_requests(1).fin().wait_close();
    let server = Scripted::start(vec![moves, loses]).unwrap();
    let session = Session::builder(&format!("http://{}", server.address())).retries(0).redirects(1).build().unwrap();
    let failed = session.post("/a", "x").unwrap_err();
    assert_eq!((failed.sent, failed.answered, failed.attempts), (Sent::Yes, Answered::No, 2));
    assert!(!failed.safe_to_retry);
}

#[test]
fn runs_and_streamed_replies_follow_redirects() {
    let (_origin, url) = origin();
    let session = Session::builder(&url).redirects(9).build().unwrap();
    let targets = (0..40).map(|i| Request::get(format!("/redirect/{}?to=%2Fdoc%2F{i}", i % 9 + 1)));
    for outcome in session.run(targets) {
        let index = outcome.index;
        assert_eq!(outcome.result.unwrap().content(), &document(&index.to_string()), "{index}");
    }
    let targets = (0..40).map(|i| Request::get(format!("/redirect/{}?to=%2Fdoc%2F{i}", i % 9 + 1)).streamed());
    for outcome in session.run(targets) {
        let mut content = Vec::new();
        outcome.result.unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, document(&outcome.index.to_string()));
    }
}

#[test]
fn credentials_are_added_to_each_request_that_has_none() {
    let (_origin, url) = origin();
    let session = Session::builder(&url).auth(Auth::basic("Aladdin", "open sesame").unwrap()).build().unwrap();
    assert!(session.get("/echo").unwrap().text().contains("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    let own = Request::get("/echo").header("authorization", "mine");
    let echo = session.request(own).unwrap();
    assert!(echo.text().contains("authorization: mine\r\n") && !echo.text().contains("Basic"), "{}", echo.text());
}

#[test]
fn a_field_of_the_session_replaces_the_one_that_it_would_add() {
    let (_origin, url) = origin();
    let builder = || Session::builder(&url).header("accept-encoding", "gzip");
    let own = dugong_http::Config::new().default_field("Accept-Encoding", "gzip").default_field("User-Agent", "me");
    for session in [builder().header("User-Agent", "me").build(), Session::builder(&url).config(own).build()] {
        let echo = session.unwrap().get("/echo").unwrap().text().to_ascii_lowercase();
        assert!(echo.contains("accept-encoding: gzip\r\n") && echo.contains("user-agent: me\r\n"), "{echo}");
        assert!(!echo.contains("identity") && !echo.contains("dugong/"), "{echo}");
    }
}

#[test]
fn a_field_of_a_single_message_is_not_one_of_the_session() {
    for (name, value) in [("Transfer-Encoding", "chunked"), ("Content-Length", "0"), ("Host", "evil"), ("Expect", "100-continue")]
    {
        let refused = Session::builder("http://localhost").header(name, value).build().unwrap_err();
        assert!(refused.to_string().contains(&format!("the field {name:?} is about a single message")), "{refused}");
        let many = Sessions::builder().header(name, value).build().unwrap_err();
        assert_eq!(many.to_string(), refused.to_string());
    }
}

#[test]
fn each_attempt_is_signed_anew_by_the_thread_that_made_the_request() {
    let (_origin, url) = origin();
    let signed = Arc::new(Mutex::new(Vec::new()));
    let seen = signed.clone();
    let sign = move |request: &mut SignRequest<'_>| {
        seen.lock().unwrap().push((request.target().to_owned(), request.attempt(), thread::current().id()));
        Ok(request.header("X-Signature", format!("number {}", request.attempt()))?)
    };
    let session = Session::builder(&url).sign(sign).backoff(Duration::ZERO, Duration::ZERO).build().unwrap();
    let reply = session.get("/echo?busy=2&retry-after=0").unwrap();
    assert_eq!(reply.status(), 200);
    let text = reply.text();
    assert!(text.contains("X-Signature: number 3\r\n") && text.matches("X-Signature").count() == 1, "{text}");
    let me = thread::current().id();
    let expected: Vec<_> = (1..=3).map(|attempt| ("/echo?busy=2&retry-after=0".to_owned(), attempt, me)).collect();
    assert_eq!(*signed.lock().unwrap(), expected);
}

#[test]
fn an_error_of_the_signer_is_the_error_of_its_request_alone() {
    let (origin, url) = origin();
    let sign = |request: &mut SignRequest<'_>| if request.target() == "/bad" { Err("no key".into()) } else { Ok(()) };
    let session = Session::builder(&url).sign(sign).build().unwrap();
    let failed = session.get("/bad").unwrap_err();
    assert_eq!((failed.sent, failed.attempts), (Sent::No, 0));
    assert!(matches!(&failed.cause, Cause::Callback(error) if error.to_string() == "no key"), "{failed:?}");
    assert_eq!(session.get("/small").unwrap().status(), 200);
    assert_eq!(origin.counts().requests, 1);
}

#[test]
fn a_signature_covers_content_in_memory_and_a_source_is_signed_too() {
    let (_origin, url) = origin();
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let seen = lengths.clone();
    let sign = move |request: &mut SignRequest<'_>| {
        seen.lock().unwrap().push(request.content().map(<[u8]>::len));
        Ok(())
    };
    let session = Session::builder(&url).sign(sign).build().unwrap();
    assert_eq!(session.put("/x", "hello").unwrap().status(), 200);
    let upload = Request::put("/x").reader(&b"hello"[..], 5);
    assert!(session.request(upload).unwrap().text().contains("\"length\":5"));
    assert_eq!(*lengths.lock().unwrap(), [Some(5), None]);
}

#[test]
fn content_with_another_digest_is_an_error_that_quotes_both() {
    let good = answer("200 OK", "Content-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:\r\n", "hello");
    let bad = good.replace("hello", "jello");
    let (_server, session) = answering(&[&good, &bad, &bad, &bad], |builder| builder);
    let get = || Request::get("/").check(Digest::announced());
    assert_eq!(session.request(get()).unwrap().text(), "hello");
    let failed = session.request(get()).unwrap_err();
    let Cause::Digest(mismatch) = &failed.cause else { panic!("{failed:?}") };
    assert!(mismatch.to_string().contains("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="), "{mismatch}");
    assert_eq!((failed.sent, failed.answered, failed.safe_to_retry), (Sent::Yes, Answered::Partly, true));
    let mut streamed = session.request(get().streamed()).unwrap();
    let mut content = Vec::new();
    let error = streamed.read_to_end(&mut content).unwrap_err();
    assert_eq!(content, b"jello");
    assert!(error.to_string().contains("digest"), "{error}");
    assert_eq!(session.get("/").unwrap().text(), "jello");
}

#[test]
fn a_digest_that_the_caller_knows_is_checked_in_runs() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let known = Digest::sha256_hex("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08").unwrap();
    let requests = ["/doc/1", "/nothing"].map(|target| Request::get(target).check(known.clone()));
    let outcomes: Vec<_> = session.run(requests).collect();
    assert!(matches!(outcomes[0].error().unwrap().cause, Cause::Digest(_)));
    // A failure has its own content.
    assert_eq!(outcomes[1].reply().unwrap().status(), 404);
}

#[test]
fn a_redirected_request_is_signed_for_its_new_target() {
    let (_origin, url) = origin();
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let sign = move |request: &mut SignRequest<'_>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let target = request.target().to_owned();
        Ok(request.header("X-Signature", target)?)
    };
    let session = Session::builder(&url).sign(sign).redirects(2).build().unwrap();
    let reply = session.get("/redirect/1?to=%2Fecho%3Fa").unwrap();
    assert!(reply.text().contains("X-Signature: /echo?a\r\n"), "{}", reply.text());
    assert_eq!(count.load(Ordering::Relaxed), 2);
}
