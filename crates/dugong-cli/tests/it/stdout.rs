//! Content on standard output.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::support::*;
use dugong_origin::Script;

#[test]
fn contents_come_in_the_order_of_the_urls_at_every_depth() {
    let origin = origin();
    let wanted = all_documents(200);
    for depth in ["1", "2", "16", "64", "0"] {
        let mut args = documents(origin.address(), 200);
        args.push(format!("--depth={depth}"));
        assert!(get(args).succeeds().stdout() == wanted, "depth {depth}");
    }
    assert_eq!(origin.counts().connections, 5);
    assert_eq!(origin.counts().requests, 1000);
}

#[test]
fn every_framing_is_content() {
    let origin = origin();
    let paths =
        ["/bytes/70000", "/chunked/30000?ext=1&trailers=1", "/doc/x?status=204", "/bytes/0", "/chunked/9?hint=1", "/close/5000"];
    let mut wanted = Vec::new();
    for length in [70_000, 30_000, 9, 5000] {
        let mut bytes = vec![0; length];
        dugong_origin::fill(0, 0, &mut bytes);
        wanted.append(&mut bytes);
    }
    assert!(get(urls(origin.address(), paths)).succeeds().stdout() == wanted);
}

#[test]
fn no_more_requests_are_in_flight_than_the_depth_says() {
    for depth in [1, 16] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // First one, and then two, until the server has shown that it answers several.
            for batch in [1, depth.min(2), depth, 1] {
                read_exactly(&mut stream, batch);
                stream.write_all(ok("x").repeat(batch).as_bytes()).unwrap();
            }
        });
        let mut args = urls(address, (0..depth.min(2) + depth + 2).map(|i| format!("/{i}")));
        args.push(format!("--depth={depth}"));
        assert_eq!(get(args).succeeds().stdout(), "x".repeat(depth.min(2) + depth + 2).as_bytes());
        server.join().unwrap();
    }
}

#[test]
fn depth_0_sends_everything_before_any_answer() {
    // More than the megabyte that may be in flight with other depths.
    let (count, padding) = (3000, "x".repeat(500));
    let script =
        first_alone(ok("x"), 2, ok("x").repeat(2)).expect_requests(count - 3).send(ok("x").repeat(count - 3)).wait_close();
    let server = scripted([script]);
    let list: String = urls(server.address(), (0..count).map(|i| format!("/{i}?{padding}"))).join("\n");
    let ran = get_with_input(["--depth=0", "-i", "-"], &list).succeeds();
    assert_eq!(ran.stdout(), "x".repeat(count).as_bytes());
    server.join();
}

#[test]
fn errors_are_reported_and_their_content_is_not_written() {
    let origin = origin();
    let mut args = urls(origin.address(), ["/doc/1", "/nothing", "/doc/2", "/doc/3?status=503"]);
    let ran = get(&args).exits_with(1);
    assert_eq!(ran.stdout(), all_documents(2));
    assert_eq!(ran.stderr(), format!("dugong: {}: 404 Not Found\ndugong: {}: 503 Service Unavailable\n", args[1], args[3]));

    args.push("--keep-error-bodies".to_owned());
    let ran = get(&args).exits_with(1);
    assert!(ran.stdout().len() > all_documents(3).len());
    assert!(ran.stdout().ends_with(&dugong_origin::document("3")));
}

#[test]
fn fail_early_ends_with_the_first_error() {
    let origin = origin();
    let mut args = urls(origin.address(), ["/doc/1", "/nothing", "/doc/2"]);
    args.push("-f".to_owned());
    let ran = get(&args).exits_with(1);
    assert_eq!(ran.stdout(), dugong_origin::document("1"));
    assert_eq!(ran.stderr(), format!("dugong: {}: 404 Not Found\n", args[1]));
    // It does not read the content, which may be endless.
    let endless = Script::new().expect_requests(1).send("HTTP/1.1 500 No\r\nContent-Length: 9999999\r\n\r\nx").wait_close();
    let server = scripted([endless]);
    get([format!("http://{}/", server.address()), "--fail-early".to_owned()]).exits_with(1);
    server.join();
}

#[test]
fn include_prints_heads_before_contents() {
    let head = "HTTP/1.1 200 Fine\r\nX-One: 1\r\ncontent-length: 2\r\nX-One: \u{e4}\r\n\r\n";
    let server = scripted([first_alone([head, "ab"].concat(), 1, "HTTP/1.1 204 \r\n\r\n").wait_close()]);
    let mut args = urls(server.address(), ["/1", "/2"]);
    args.push("--include".to_owned());
    let ran = get(args).succeeds();
    assert_eq!(ran.stdout(), [head, "ab", "HTTP/1.1 204 \r\n\r\n"].concat().as_bytes());
}

#[test]
fn headers_are_sent_with_every_request() {
    let server = scripted([first_alone(ok("a"), 1, ok("b")).wait_close()]);
    let mut args = urls(server.address(), ["/1", "/2?q=1#fragment"]);
    args.extend(["-H", "X-Test:  some value ", "--header", "user-agent: me"].map(str::to_owned));
    get(args).succeeds();
    let address = server.address();
    let sent = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nX-Test: some value\r\nuser-agent: me\r\nAccept-Encoding: identity\r\n\r\n"
        )
    };
    assert_eq!(server.join()[0], (sent("/1") + &sent("/2?q=1")).as_bytes());
}

#[test]
fn headers_that_cannot_be_sent_are_refused_by_name() {
    for (header, said) in [
        ("Authorization secret", "header \"Authorization\": expected the form"),
        (": x", "header \"\": "),
        ("Bad Name: x", "header \"Bad Name\": "),
        ("X-Bad: a\nb", "header \"X-Bad\": the value of the field \"X-Bad\" contains a control character, at byte 1: \"a\\nb\""),
        ("Content-Length: 5", "header \"Content-Length\": "),
        ("Upgrade: h2c", "header \"Upgrade\": "),
    ] {
        let ran = get(["-H", header, "http://127.0.0.1:9/"]).exits_with(2).says(said);
        assert_eq!(ran.stderr().lines().count(), 1, "{}", ran.stderr());
    }
}

#[test]
fn a_closed_pipe_is_success() {
    let origin = origin();
    let mut child = command().arg(format!("http://{}/bytes/1000000000", origin.address())).spawn().unwrap();
    let mut first = [0; 1000];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ran = Ran(child.wait_with_output().unwrap()).succeeds();
    assert_eq!(ran.stdout(), b"");
    let mut wanted = [0; 1000];
    dugong_origin::fill(0, 0, &mut wanted);
    assert_eq!(first, wanted);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_a_failure() {
    let origin = origin();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command().args(documents(origin.address(), 2)).stdout(full).output().unwrap();
    Ran(output).exits_with(4).says("cannot write to standard output: No space left").says("0 of 2 answered");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_content() {
    let origin = origin();
    let size = 200_000_000_u64;
    let args =
        urls(origin.address(), [format!("/bytes/{size}"), format!("/chunked/{size}?chunk=16000000"), "/bytes/9".to_owned()]);
    let mut child = command().args(args).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // The remaining content exceeds the buffer of a pipe, so the program still runs.
    let rest = 1 << 20;
    io::copy(&mut (&mut stdout).take(2 * size - rest), &mut io::sink()).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(peak.expect("a running program has memory") < 20_000, "{peak:?} kB");
    assert_eq!(io::copy(&mut stdout, &mut io::sink()).unwrap(), rest + 9);
    Ran(child.wait_with_output().unwrap()).succeeds();
}

#[test]
fn a_pipe_gets_no_progress_bar() {
    let origin = origin();
    get(documents(origin.address(), 50)).succeeds();
}
