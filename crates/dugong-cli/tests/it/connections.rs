//! Servers that close, break, refuse, or are slow.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::Duration;

use crate::support::*;
use dugong_origin::{Config, Script};

#[test]
fn a_server_that_closes_after_k_responses_is_asked_again_for_the_rest() {
    for close_silently in [false, true] {
        let origin = origin_with(Config { close_after: Some(30), close_silently, ..Config::default() });
        let ran = get(documents(origin.address(), 100)).succeeds();
        assert!(ran.stdout() == all_documents(100));
        assert_eq!(origin.counts().connections, 4, "silently: {close_silently}");
    }
}

#[test]
fn after_a_reconnect_the_first_request_goes_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_exactly(&mut stream, 1);
        stream.write_all(ok("1").as_bytes()).unwrap();
        read_exactly(&mut stream, 2);
        stream.shutdown(Shutdown::Write).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        read_exactly(&mut stream, 1);
        stream.write_all(ok("2").as_bytes()).unwrap();
        read_exactly(&mut stream, 2);
        stream.write_all((ok("3") + &ok("4")).as_bytes()).unwrap();
    });
    let ran = get(urls(address, ["/1", "/2", "/3", "/4"])).succeeds();
    assert_eq!(ran.stdout(), b"1234");
    server.join().unwrap();
}

#[test]
fn an_http_1_0_server_gets_a_connection_for_each_request() {
    let origin = origin();
    let args = urls(origin.address(), (1..=5).map(|id| format!("/doc/{id}?http10=1")));
    assert_eq!(get(args).succeeds().stdout(), all_documents(5));
    assert_eq!(origin.counts().connections, 5);
    // A server that keeps the connection gets one request at a time.
    let args = urls(origin.address(), (1..=5).map(|id| format!("/doc/{id}?http10=1&connection=keep-alive")));
    assert_eq!(get(args).succeeds().stdout(), all_documents(5));
    assert_eq!(origin.counts().connections, 6);
}

#[test]
fn a_request_is_repeated_as_often_as_retries_says() {
    let closing = || Script::new().expect_requests(1).fin().wait_close();
    let server = scripted([closing(), closing(), closing(), Script::new().expect_requests(1).send(ok("never asked"))]);
    let ran = get([&*urls(server.address(), ["/1"])[0], "--retries=2"]).exits_with(3).says("/1: ").says("3 times (--retries)");
    assert_eq!(ran.stdout(), b"");
    assert_eq!(server.connections(), 3);
    ran.says("0 of 1 answered; 1 safe to send again, 0 unknown");

    let server = scripted([closing(), closing(), Script::new().expect_requests(1).send(ok("x")).wait_close()]);
    let ran = get([&*urls(server.address(), ["/1"])[0], "--retries=2", "--json"]).exits_with(0);
    assert_eq!(ran.stdout(), b"x");
    assert_eq!(each(&json(ran.stderr().as_bytes()), "attempts"), [3]);
}

#[test]
fn the_first_repeat_comes_after_at_most_the_retry_delay() {
    let server = scripted([Script::new().expect_requests(1).fin(), Script::new().expect_requests(1).send(ok("x")).wait_close()]);
    let url = urls(server.address(), ["/1"]).remove(0);
    let ran = Ran(program("get").args([&*url, "--retry-delay=0", "--max-time=20"]).output().unwrap()).succeeds();
    assert_eq!(ran.stdout(), b"x");
    let soon = program("get").args([&*url, "--retry-delay=soon"]).output().unwrap();
    Ran(soon).exits_with(2).says("--retry-delay \"soon\": expected seconds");
}

#[test]
fn one_url_that_fails_does_not_end_the_others() {
    let closing = || Script::new().expect_requests(1).fin().wait_close();
    let last = Script::new().expect_requests(1).send(ok("2")).wait_close();
    let server = scripted([closing(), last]);
    let ran = get(urls(server.address(), ["/1", "/2"]).iter().map(|url| &**url).chain(["--retries=0"])).exits_with(3);
    assert_eq!(ran.stdout(), b"2");
    ran.says("/1: ").says("1 of 2 answered; 1 safe to send again, 0 unknown");
}

#[test]
fn a_request_on_a_broken_connection_is_not_sent_again() {
    let server = scripted([first_alone(ok("1"), 2, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome").reset()]);
    let ran = get(urls(server.address(), ["/1", "/2", "/3"])).exits_with(3);
    // The reset may overtake data, but no content comes twice.
    assert!(["1some", "1", ""].contains(&str::from_utf8(ran.stdout()).unwrap()), "{:?}", ran.stdout());
    ran.says("safe to send again, 0 unknown");
}

#[test]
fn a_refused_connection_is_told_from_a_lost_one() {
    let address = TcpListener::bind("127.0.0.9:0").unwrap().local_addr().unwrap(); // no other test listens there
    let ran = get(urls(address, ["/1", "/2"])).exits_with(3);
    let wanted = format!("dugong: cannot connect to 127.0.0.9 port {}: {address}: Connection refused", address.port());
    assert!(ran.stderr().starts_with(&wanted), "{}", ran.stderr());
    ran.says("0 of 2 answered; 2 safe to send again, 0 unknown");
}

#[test]
fn a_silent_server_runs_into_the_timeout() {
    let server = scripted([first_alone(ok("1"), 1, "").wait_close()]);
    let mut args = urls(server.address(), ["/1", "/2"]);
    args.extend(["--timeout=0.2", "--retries=0", "--connections=1"].map(str::to_owned));
    let ran = Ran(program("get").args(args).output().unwrap()).exits_with(3);
    assert_eq!(ran.stdout(), b"1");
    ran.says("/2: no byte moved within the timeout (--timeout)").says("1 of 2 answered; 1 safe to send again, 0 unknown");
}

#[test]
fn a_reset_between_responses_is_a_loss_like_any_other() {
    let server = scripted([
        first_alone(ok("1"), 2, "").reset(),
        Script::new().expect_requests(1).send(ok("2")).expect_requests(1).send(ok("3")).wait_close(),
        Script::new().expect_requests(1).send(ok("3")).wait_close(),
    ]);
    let ran = get(urls(server.address(), ["/1", "/2", "/3"])).exits_with(0);
    assert_eq!(ran.stdout(), b"123");
}

#[test]
fn bytes_after_the_last_answer_change_nothing() {
    for paths in [&["/1"][..], &["/1", "/2"]] {
        let begun = |script: Script| match paths.len() {
            1 => script.expect_requests(1),
            _ => script.expect_requests(1).send(ok(paths[0])).expect_requests(1),
        };
        let last = ok(paths[paths.len() - 1]);
        let together = begun(Script::new()).send(last.clone() + "EXCESS").wait_close();
        let apart = begun(Script::new()).send(last).send("EXCESS").wait_close();
        for script in [together, apart] {
            let server = scripted([script]);
            let ran = get(urls(server.address(), paths)).succeeds();
            assert_eq!(ran.stdout(), paths.concat().as_bytes());
        }
    }
}

#[test]
fn an_answer_that_came_before_its_request_is_discarded() {
    // An unrequested answer follows the first one in one segment. It must not become the answer to the second request.
    let serve = |listener: TcpListener| {
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut next = 1;
            read_exactly(&mut stream, next);
            let answers: String = (0..next).map(|id| ok(&format!("answer {id}"))).collect();
            stream.write_all((answers + &ok("an evil answer")).as_bytes()).unwrap();
            // The remaining requests get their answers.
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                for _ in buffer[..count].windows(4).filter(|window| window == b"\r\n\r\n") {
                    if stream.write_all(ok(&format!("answer {next}")).as_bytes()).is_err() {
                        return;
                    }
                    next += 1;
                }
            }
        })
    };
    let scratch = tempfile::tempdir().unwrap();
    for with_files in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut args = urls(listener.local_addr().unwrap(), (0..40).map(|id| format!("/{id}")));
        args.push("--depth=4".to_owned());
        if with_files {
            args.extend(["--json".to_owned(), "-o".to_owned(), scratch.path().to_str().unwrap().to_owned()]);
        }
        let server = serve(listener);
        let ran = get(args).exits_with(3).says("1 of 40 answered; 39 safe to send again");
        server.join().unwrap();
        if with_files {
            assert_eq!(names(scratch.path()), ["0"]);
            assert_eq!(std::fs::read_to_string(scratch.path().join("0")).unwrap(), "answer 0");
            let outcomes = each(&json(ran.stdout()), "outcome");
            assert!(outcomes[..1].iter().all(|outcome| outcome == "ok"), "{outcomes:?}");
            assert!(outcomes[1..].iter().all(|outcome| outcome != "ok"), "{outcomes:?}");
        } else {
            assert_eq!(ran.stdout(), b"answer 0");
        }
    }
}

#[test]
fn content_that_ends_with_the_connection_is_complete_and_the_rest_is_fetched() {
    let origin = origin();
    let ran = get(urls(origin.address(), ["/doc/1", "/close/10", "/doc/2", "/doc/x?length=none"])).succeeds();
    let mut wanted = dugong_origin::document("1");
    let mut ten = [0; 10];
    dugong_origin::fill(0, 0, &mut ten);
    wanted.extend_from_slice(&ten);
    wanted.extend(dugong_origin::document("2"));
    wanted.extend(dugong_origin::document("x"));
    assert!(ran.stdout() == wanted);
    assert_eq!(origin.counts().connections, 2);
}

#[test]
fn a_request_whose_answer_had_begun_is_not_sent_again() {
    // An interim response is no answer.
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let again = Script::new().expect_requests(1).send(ok("2")).wait_close();
    let server = scripted([first_alone(ok("1"), 1, interim).fin().wait_close(), again]);
    assert_eq!(get(urls(server.address(), ["/1", "/2"])).exits_with(0).stdout(), b"12");
    // On standard output, content cannot be taken back.
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome";
    let never = Script::new().expect_requests(1).send(ok("never asked")).wait_close();
    let server = scripted([first_alone(ok("1"), 1, cut).pause(PAUSE).fin().wait_close(), never]);
    let ran = get(urls(server.address(), ["/1", "/2"])).exits_with(3).says("1 of 2 answered");
    // The program takes what has come before the connection ends.
    const PAUSE: Duration = Duration::from_millis(500);
    assert_eq!(ran.stdout(), b"1some");
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_server_of_another_protocol_is_quoted() {
    let server = scripted([Script::new().expect_requests(1).send("SSH-2.0-OpenSSH_9.2p1\r\n").wait_close()]);
    let ran = get([&*urls(server.address(), ["/1"])[0], "--retries=0"]).exits_with(3);
    ran.says("expected a status line that begins with HTTP/, at byte 0: \"SSH-2.0-OpenSSH_9.2p1\"");
}

#[test]
fn a_408_after_an_answer_is_followed_by_another_connection_however_it_is_cut() {
    let timeout = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    for length in [1, 9, 11, 12, timeout.len()] {
        let answers = |range: std::ops::Range<usize>| range.map(|number| ok(&number.to_string())).collect::<String>();
        let server = scripted([
            Script::new().expect_requests(1).send(answers(0..1) + &timeout[..length]).fin().wait_close(),
            Script::new().expect_requests(1).send(answers(1..2)).expect_requests(1).send(answers(2..3)).wait_close(),
        ]);
        let paths = (0..3).map(|number| format!("/{number}"));
        let ran = get(urls(server.address(), paths).into_iter().chain(["--depth=1".to_owned()]));
        assert_eq!((ran.code(), ran.stdout()), (Some(0), &b"012"[..]), "{length}: {}", ran.stderr());
    }
}

#[test]
fn attempts_count_each_start_of_a_file() {
    let cut = || Script::new().expect_requests(1).send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome").fin().wait_close();
    let (server, scratch) = (scripted([cut(), cut(), cut()]), tempfile::tempdir().unwrap());
    let [url, directory] = [&urls(server.address(), ["/1"])[0], scratch.path().to_str().unwrap()];
    let ran = get([url, "--retries=2", "--json", "--dir", directory]).exits_with(3);
    assert_eq!((server.connections(), each(&json(ran.stdout()), "attempts")), (3, vec![3.into()]));
}
