//! `dugong bench`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;
use dugong_origin::{Config, Script};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

fn bench<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    Ran(program("bench").args(args).output().expect("the program runs"))
}

/// Runs it with `--json`. The result is the exit code and the summary.
fn measure<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> (i32, Value) {
    let ran = Ran(program("bench").arg("--json").args(args).output().expect("the program runs"));
    assert_eq!(ran.stderr(), "");
    (ran.code().unwrap(), json(ran.stdout()))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn each_request_is_counted_once() {
    // A close that is announced is no error.
    let origin = origin_with(Config { close_after: Some(7), ..Config::default() });
    let url = &*urls(origin.address(), ["/doc/1"])[0];
    let (code, summary) = measure(["-n", "100", "-c", "3", url]);
    assert_eq!((code, &summary["requests"], &summary["errors"]), (0, &Value::from(100), &serde_json::json!({})));
    assert_eq!(origin.counts().requests, 100);
    assert!(origin.counts().connections > 14);
}

#[test]
fn the_summary_has_these_members() {
    let origin = origin();
    let (_, summary) = measure(["-n", "10", &*urls(origin.address(), ["/small"])[0]]);
    assert_eq!(keys(&summary), ["bytes_per_second", "errors", "latency_ms", "requests", "requests_per_second", "seconds"]);
    assert_eq!(keys(&summary["latency_ms"]), ["50", "90", "95", "99", "99.9", "max"]);
    let seconds = summary["seconds"].as_f64().unwrap();
    let bytes = summary["bytes_per_second"].as_f64().unwrap() * seconds;
    // 189 bytes of head and 120 of content each. Printed figures are rounded.
    assert!((bytes / 3090.0 - 1.0).abs() < 0.01, "{summary}");
}

#[test]
fn people_get_lines() {
    let origin = origin();
    let url = &*urls(origin.address(), ["/small"])[0];
    let ran = bench(["-n", "20", "-c", "2", "--depth", "4", url]).succeeds();
    let text = String::from_utf8_lossy(ran.stdout());
    for said in ["2 connections, depth 4, ", "requests  20 (", "received  ", "latency   99 %   ", "latency   max    "] {
        assert!(text.contains(said), "{text}");
    }
    assert!(!text.contains("errors"), "{text}");
}

#[test]
fn it_ends_after_the_time() {
    let origin = origin();
    let (code, summary) = measure(["-t", "0.3", &*urls(origin.address(), ["/small"])[0]]);
    assert_eq!((code, &summary["seconds"]), (0, &Value::from(0.3)));
    assert!(summary["requests"].as_u64().unwrap() > 0);
}

#[test]
fn requests_are_pipelined_up_to_the_depth() {
    let answers = "HTTP/1.1 204 No Content\r\n\r\n".repeat(5);
    let script = Script::new().expect_requests(5).send(&*answers).expect_requests(3).send(&answers[..answers.len() * 3 / 5]);
    let server = scripted([script.wait_close()]);
    let url = &*urls(server.address(), ["/"])[0];
    let (code, summary) = measure(["-n", "8", "-c", "1", "--depth", "5", url]);
    assert_eq!((code, &summary["requests"]), (0, &Value::from(8)));
}

#[test]
fn errors_are_counted_by_kind() {
    let bad_status = ok("").replace("200 OK", "503 No");
    let first = Script::new().expect_requests(1).send(bad_status).expect_requests(1).send("HTTP/1.1 200 OK\r\n").fin();
    let second = Script::new().expect_requests(1).send(ok("")).expect_requests(1).send("nonsense\r\n\r\n").wait_close();
    let third = Script::new().expect_requests(1).wait_close();
    let server = scripted([first, second, third, Script::new().expect_requests(1).send(ok("")).wait_close()]);
    let url = &*urls(server.address(), ["/"])[0];
    let (code, summary) = measure(["-n", "6", "-c", "1", "--timeout", "0.5", url]);
    assert_eq!(code, 3);
    let errors = serde_json::json!({"closed": 1, "invalid": 1, "status-503": 1, "timeout": 1});
    assert_eq!((&summary["requests"], &summary["errors"]), (&Value::from(3), &errors));
}

#[test]
fn a_server_that_is_silent_to_the_end_is_an_error() {
    let server = scripted([Script::new().expect_requests(1).wait_close()]);
    let (code, summary) = measure(["-t", "0.2", "-c", "1", &*urls(server.address(), ["/"])[0]]);
    assert_eq!((code, &summary["errors"]), (3, &serde_json::json!({"timeout": 1})));
    assert_eq!(summary["latency_ms"]["50"], Value::Null);
}

#[test]
fn a_server_that_cannot_be_reached_ends_it_at_once() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = &*urls(closed, ["/"])[0];
    let ran = bench([url]).exits_with(3).says("cannot connect to 127.0.0.1 port ");
    assert_eq!(ran.stdout(), b"");
    let ran = bench([url, "--json"]).exits_with(3).says("cannot connect to 127.0.0.1 port ");
    let summary = json(ran.stdout());
    assert_eq!((&summary["requests"], &summary["errors"]), (&Value::from(0), &serde_json::json!({"connect": 1})));
    assert_eq!((&summary["requests_per_second"], &summary["latency_ms"]["50"]), (&Value::from(0.0), &Value::Null));
}

#[test]
fn a_server_that_goes_away_is_an_error_of_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = urls(listener.local_addr().unwrap(), ["/"]).remove(0);
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        read_exactly(&mut stream, 1);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    });
    let (code, summary) = measure(["-n", "3", "-c", "1", &*url]);
    server.join().unwrap();
    assert_eq!((code, &summary["requests"], &summary["errors"]), (3, &Value::from(1), &serde_json::json!({"connect": 2})));
}

#[test]
fn other_machines_are_measured_only_with_permission() {
    let origin = origin();
    let port = origin.address().port();
    let (url, resolve) = (format!("http://a.test:{port}/small"), format!("a.test:{port}:127.0.0.1,192.0.2.1"));
    let args = ["-n", "5", "--resolve", &resolve, &url];
    bench(args).exits_with(2).says("a.test has the address 192.0.2.1, which is not on this machine").says("--yes-i-may");
    assert_eq!(origin.counts().connections, 0);
    let ran = bench(["-n", "1", "--noproxy=*", "http://no-such-name.invalid/"]).exits_with(2);
    ran.says("no-such-name.invalid has no address");
    let mut command = program("bench");
    command.args(["-n", "1", "http://127.0.0.1:9/"]).env("http_proxy", "192.0.2.7:3128");
    Ran(command.output().unwrap()).exits_with(2).says("192.0.2.7 is not on this machine");
    bench(["--yes-i-may"].iter().chain(&args)).succeeds();
    assert_eq!(origin.counts().requests, 5);
}

#[test]
fn urls_of_several_origins_are_requested_in_turn() {
    let (one, other) = (origin(), origin());
    let list = [urls(one.address(), ["/doc/1", "/nothing"]), urls(other.address(), ["/doc/2"])].concat();
    let (code, summary) = measure(["-n", "90", "-c", "4", "--rate", "9000"].into_iter().chain(list.iter().map(|url| &**url)));
    assert_eq!((code, &summary["requests"], &summary["errors"]), (3, &Value::from(90), &serde_json::json!({"status-404": 30})));
    assert_eq!((one.counts().requests, other.counts().requests), (60, 30));
    bench(["-c", "1"].into_iter().chain(list.iter().map(|url| &**url)))
        .exits_with(2)
        .says("--connections 1 cannot be combined with URLs of 2 origins: each origin needs a connection");
}

#[test]
fn the_distribution_of_latencies_is_that_of_the_server() {
    let origin = origin();
    let paths = (0..50).map(|index| if index == 7 { "/small?delay=200" } else { "/small?delay=10" });
    let list = urls(origin.address(), paths);
    let args = ["-n", "500", "-c", "50", "--rate", "1000"];
    let (code, summary) = measure(args.into_iter().chain(list.iter().map(|url| &**url)));
    assert_eq!((code, &summary["requests"]), (0, &Value::from(500)));
    let latency = |name| summary["latency_ms"][name].as_f64().unwrap();
    // A busy machine can only make them longer.
    assert!(latency("50") >= 10.0 && latency("90") >= 10.0 && latency("99") >= 199.0 && latency("max") >= 200.0, "{summary}");
    assert!(latency("50") < 199.0, "{summary}");
}

#[test]
fn a_latency_counts_from_the_moment_at_which_the_request_was_due() {
    // One connection serves one request every 20 ms, and one is due each millisecond: the last waits for all before it.
    let origin = origin();
    let url = &*urls(origin.address(), ["/small?delay=20"])[0];
    let (_, timed) = measure(["-n", "20", "-c", "1", "--rate", "1000", url]);
    assert!(timed["latency_ms"]["max"].as_f64().unwrap() >= 380.0, "{timed}");
    assert!(timed["latency_ms"]["50"].as_f64().unwrap() >= 180.0, "{timed}");
}

#[test]
fn a_server_that_is_too_slow_for_the_rate_is_told() {
    let origin = origin();
    let ran = bench(["-t", "0.3", "-c", "1", "--rate", "1000", &*urls(origin.address(), ["/small?delay=50"])[0]]).exits_with(0);
    let text = String::from_utf8_lossy(ran.stdout());
    assert!(text.contains(" requests were due and not sent: the server is slower than --rate"), "{text}");
}

#[test]
fn the_warm_up_is_not_measured() {
    let origin = origin();
    let (code, summary) = measure(["-n", "10", "--warm-up", "0.2", &*urls(origin.address(), ["/small"])[0]]);
    assert_eq!((code, &summary["requests"]), (0, &Value::from(10)));
    assert!(origin.counts().requests > 10);
}

#[test]
fn content_method_and_fields_are_sent() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("content");
    fs::write(&file, "from a file").unwrap();
    let at_file = format!("@{}", file.display());
    for (args, line, content) in [
        (&["--data", "a=b"][..], "POST /x HTTP/1.1", "a=b"),
        (&["--data", &at_file, "--method", "PUT"], "PUT /x HTTP/1.1", "from a file"),
        (&["--method", "DELETE", "-H", "X-One: 1"], "DELETE /x HTTP/1.1", ""),
    ] {
        let server = scripted([Script::new().expect_requests(1).expect_bytes(content.len()).send(ok("")).wait_close()]);
        let url = urls(server.address(), ["/x"]).remove(0);
        bench(["-n", "1", "-c", "1", &*url].iter().chain(args)).succeeds();
        let received = String::from_utf8(server.received(0)).unwrap();
        assert!(received.starts_with(line) && received.ends_with(&format!("\r\n\r\n{content}")), "{received}");
        assert_eq!(received.contains("X-One: 1\r\n"), args.contains(&"-H"));
    }
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    let origin = origin();
    let url = &*urls(origin.address(), ["/small"])[0];
    for (args, said) in [
        (&["--depth", "2", "--data", "x"][..], "--depth 2 cannot be combined with --method POST: no request may follow one"),
        (&["-n", "5", "-t", "1"], "'--requests <N>' cannot be used with '--time <SECONDS>'"),
        (&["--rate", "0"], "--rate \"0\": expected a number above 0"),
        (&["--time", "0"], "--time \"0\": expected a time above 0"),
        (&["--warm-up", "x"], "--warm-up \"x\": expected seconds"),
        (&["--connections", "0"], "expected at least 1"),
        (&["--method", "A B"], "--method \"A B\": expected a method"),
        (&["--data", "@/no/such/file"], "--data: cannot read /no/such/file: "),
        (&["-H", "Content-Length: 7"], "header \"Content-Length\": "),
        (&["ftp://a.test/"], "ftp://a.test/"),
    ] {
        bench([url].iter().chain(args)).exits_with(2).says(said);
    }
    bench(&[] as &[&str]).exits_with(2).says("<URL>");
    assert_eq!(origin.counts().connections, 0);
}

#[test]
fn an_interrupt_prints_the_result_up_to_then() {
    let origin = origin();
    let url = urls(origin.address(), ["/small?delay=20"]).remove(0);
    let child = program("bench").args(["--json", "-t", "60", "-c", "1", &url]).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while origin.counts().requests < 3 {
        assert!(Instant::now() < end, "no requests come");
        thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let ran = Ran(child.wait_with_output().unwrap()).exits_with(130);
    assert!(json(ran.stdout())["requests"].as_u64().unwrap() >= 2);
}

#[test]
fn a_terminal_shows_a_line_meanwhile() {
    let origin = origin();
    for (quiet, shown) in [(None, true), (Some("-q"), false)] {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let ours = File::options().read(true).write(true).open(name).unwrap();
        let mut command = program("bench");
        command.args(["-t", "0.6"]).args(quiet).args(urls(origin.address(), ["/small"])).env("TERM", "xterm");
        assert!(command.stderr(ours).stdout(Stdio::null()).status().unwrap().success());
        drop(command);
        let mut seen = Vec::new();
        let _ = File::from(terminal).read_to_end(&mut seen);
        assert_eq!(String::from_utf8_lossy(&seen).contains(" requests, "), shown, "{}", String::from_utf8_lossy(&seen));
    }
}
