//! Servers that refuse pipelined requests, each in its own way, and servers that only seem to.

use std::io::{Read, Write};
use std::time::Duration;

use crate::servers::Server;
use crate::support::*;
use dugong_origin::{Config, Origin, Script, WhenPipelined};

const HABITS: [WhenPipelined; 3] = [WhenPipelined::Close, WhenPipelined::Stall, WhenPipelined::Silence];
const NOTE: &str = "the server does not answer several requests at once, so they go one at a time";

fn refusing(habit: WhenPipelined) -> Origin {
    origin_with(Config { when_pipelined: habit, ..Config::default() })
}

/// Runs `dugong get` so that it gives up pipelining after a second of silence.
fn get_soon(args: impl IntoIterator<Item = String>) -> Ran {
    Ran(program("get").args(["--timeout=1", "--connections=1"]).args(args).output().unwrap())
}

#[test]
fn a_server_that_does_not_pipeline_gets_one_request_at_a_time() {
    for habit in HABITS {
        let origin = refusing(habit);
        let ran = get_soon(documents(origin.address(), 40)).exits_with(0);
        assert!(ran.stdout() == all_documents(40), "{habit:?}");
        assert_eq!(ran.stderr(), format!("dugong: {NOTE}\n"));
    }
}

#[test]
fn the_summary_says_that_requests_go_one_at_a_time() {
    for habit in HABITS {
        let (origin, scratch) = (refusing(habit), tempfile::tempdir().unwrap());
        let mut args = documents(origin.address(), 40);
        args.push("--json".to_owned());
        let ran = get_soon(args.clone()).exits_with(0);
        assert_eq!(json(ran.stderr().as_bytes())["notes"], serde_json::json!([NOTE]), "{habit:?}");
        args.extend(["-o".to_owned(), scratch.path().to_str().unwrap().to_owned()]);
        let ran = get_soon(args).exits_with(0).says(NOTE);
        assert_eq!(json(ran.stdout())["notes"], serde_json::json!([NOTE]), "{habit:?}");
        assert_eq!(names(scratch.path()).len(), 40);
    }
}

#[test]
fn a_server_that_gets_one_request_at_a_time_refuses_none() {
    for habit in HABITS {
        let origin = refusing(habit);
        let mut args = documents(origin.address(), 5);
        args.push("--depth=1".to_owned());
        assert!(get(args).succeeds().stdout() == all_documents(5), "{habit:?}");
        assert!(get(documents(origin.address(), 1)).succeeds().stdout() == all_documents(1), "{habit:?}");
        assert_eq!(origin.counts().connections, 2, "{habit:?}");
    }
}

#[test]
fn a_slow_server_is_not_mistaken_for_one_that_does_not_pipeline() {
    // The patience with pipelining is half of the timeout, and the answers come after that.
    let origin = origin_with(Config { delay: Duration::from_millis(2200), ..Config::default() });
    let ran = Ran(program("get").arg("--timeout=4").args(documents(origin.address(), 4)).output().unwrap()).succeeds();
    assert!(ran.stdout() == all_documents(4));
}

#[test]
fn a_server_that_resets_the_connection_after_k_responses_is_asked_again_for_the_rest() {
    for close_silently in [false, true] {
        let config = Config { close_after: Some(10), close_silently, close_with_reset: true, ..Config::default() };
        let origin = origin_with(config);
        let ran = get(documents(origin.address(), 40)).succeeds();
        assert!(ran.stdout() == all_documents(40));
        assert_eq!(origin.counts().connections, 4, "silently: {close_silently}");
    }
}

#[test]
fn an_answer_whose_end_a_reset_overtook_is_fetched_again_into_its_file() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome";
    let server = scripted([
        first_alone(ok("1"), 2, cut).reset(),
        // The request whose answer had begun is repeated behind the others.
        Script::new().expect_requests(1).send(ok("3")).expect_requests(1).send(ok("all of it")).wait_close(),
    ]);
    let scratch = tempfile::tempdir().unwrap();
    let mut args = urls(server.address(), ["/1", "/2", "/3"]);
    args.extend(["-o".to_owned(), scratch.path().to_str().unwrap().to_owned()]);
    get(args).exits_with(0);
    for (name, content) in [("1", "1"), ("2", "all of it"), ("3", "3")] {
        assert_eq!(std::fs::read_to_string(scratch.path().join(name)).unwrap(), content);
    }
    assert_eq!(names(scratch.path()), ["1", "2", "3"]);
}

#[test]
fn an_answer_that_is_always_cut_is_fetched_again_as_often_as_retries_says() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome";
    let server = scripted(vec![Script::new().expect_requests(1).send(cut).fin().wait_close(); 8]);
    let scratch = tempfile::tempdir().unwrap();
    let mut args = urls(server.address(), ["/1"]);
    args.extend(["--retries=1".to_owned(), "--dir".to_owned(), scratch.path().to_str().unwrap().to_owned()]);
    let ran = get(args).exits_with(3).says("/1: the connection ended after 4 of 9 bytes of content");
    ran.says("0 of 1 answered; 1 safe to send again, 0 unknown");
    assert!((2..=4).contains(&server.connections()), "{}", server.connections());
    assert!(names(scratch.path()).is_empty());
}

#[test]
fn a_head_whose_end_a_reset_overtook_is_requested_again() {
    let server = scripted([
        first_alone(ok("1"), 2, "HTTP/1.1 200 OK\r\nContent-").reset(),
        Script::new().expect_requests(1).send(ok("2")).expect_requests(1).send(ok("3")).wait_close(),
    ]);
    let ran = get(urls(server.address(), ["/1", "/2", "/3"])).exits_with(0);
    assert_eq!(ran.stdout(), b"123");
}

#[test]
fn a_slow_answer_after_an_interim_one_gets_more_time() {
    let pause = Duration::from_millis(1500);
    let script = Script::new()
        .expect_requests(1)
        .send(ok("1"))
        .expect_requests(1)
        .send("HTTP/1.1 103 Early Hints\r\n\r\n")
        .pause(pause)
        .send(ok("2"))
        .wait_close();
    let server = scripted([script]);
    let args = urls(server.address(), ["/1", "/2"]).into_iter().chain(["--timeout=2".to_owned()]);
    let ran = Ran(program("get").arg("--connections=1").args(args).output().unwrap()).succeeds();
    assert_eq!(ran.stdout(), b"12");
    assert_eq!(server.connections(), 1);
}

#[test]
fn the_user_s_timeout_is_final() {
    for urls_in_flight in [1, 3] {
        let server = scripted([Script::new().expect_requests(1).wait_close()]);
        let list = documents(server.address(), urls_in_flight);
        let args = ["--timeout=1", "--retries=0", "--connections=1"];
        let ran = Ran(program("get").args(args).args(list).output().unwrap()).exits_with(3);
        ran.says("/doc/1: no byte moved within the timeout (--timeout)");
    }
}

#[test]
fn heads_are_requested_one_at_a_time_too() {
    let origin = refusing(WhenPipelined::Close);
    let ran = Ran(program("head").args(documents(origin.address(), 5)).arg("--connections=1").output().unwrap()).exits_with(0);
    ran.says("so they go one at a time");
}

#[test]
fn a_server_that_closes_after_each_response_gets_a_connection_for_each_request() {
    for close_with_reset in [false, true] {
        let origin = origin_with(Config { close_after: Some(1), close_silently: true, close_with_reset, ..Config::default() });
        let ran = get(documents(origin.address(), 7)).exits_with(0);
        assert!(ran.stdout() == all_documents(7));
        assert_eq!(origin.counts().connections, 7);
    }
}

/// Forty URLs. The answer to each is its path.
fn forty(server: &Server) -> (Vec<String>, String) {
    let paths: Vec<_> = (0..40).map(|id| format!("/{id}")).collect();
    (urls(server.address, &paths), paths.iter().map(|path| format!("at {path}")).collect())
}

#[test]
fn php_gets_one_request_at_a_time() {
    let server = Server::php();
    let (urls, wanted) = forty(&server);
    let ran = get(urls).exits_with(0);
    assert_eq!(str::from_utf8(ran.stdout()).unwrap(), wanted);
}

#[test]
fn bun_gets_one_request_at_a_time() {
    let server = Server::bun();
    let (urls, wanted) = forty(&server);
    let ran = get(urls).exits_with(0).says("so they go one at a time");
    assert_eq!(str::from_utf8(ran.stdout()).unwrap(), wanted);
}

#[test]
fn cpp_httplib_gets_one_request_at_a_time() {
    let server = Server::httplib();
    let (urls, wanted) = forty(&server);
    let ran = get(urls).exits_with(0).says("so they go one at a time");
    assert_eq!(str::from_utf8(ran.stdout()).unwrap(), wanted);
}

#[test]
fn proxy_py_gets_one_request_at_a_time() {
    let (origin, proxy) = (origin(), Server::proxy_py());
    let mut args = documents(origin.address(), 40);
    args.extend(["--proxy".to_owned(), format!("http://{}", proxy.address)]);
    let ran = get(args).exits_with(0).says("so they go one at a time");
    assert!(ran.stdout() == all_documents(40));
}

#[test]
fn a_server_that_died_is_not_said_to_refuse_pipelining() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let urls = urls(listener.local_addr().unwrap(), (0..20).map(|id| format!("/{id}")));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_exactly(&mut stream, 1);
        // Two more come together, and get no answer. The port is closed before the connection.
        stream.write_all(ok("first").as_bytes()).unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        drop(listener);
    });
    let ran = get(urls.into_iter().chain(["--retries=1".to_owned()])).exits_with(3).says("cannot connect");
    assert!(!ran.stderr().contains(NOTE), "{}", ran.stderr());
    server.join().unwrap();
}
