//! `dugong put` and `dugong request`.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::*;
use dugong_origin::{Script, Scripted};
use rustix::process::{Pid, Signal, kill_process};

fn run<A: AsRef<std::ffi::OsStr>>(command: &str, args: impl IntoIterator<Item = A>) -> Ran {
    let mut program = program(command);
    program.args(["--timeout=20", "--connections=1", "--retry-delay=0.01"]);
    Ran(program.args(args).output().unwrap())
}

fn server(requests: usize, content: usize) -> Scripted {
    let script = (0..requests).fold(Script::new(), |script, _| {
        let script = script.expect_requests(1);
        let script = if content > 0 { script.expect_bytes(content) } else { script };
        script.send("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
    });
    scripted([script.wait_close()])
}

fn received(server: &Scripted) -> String {
    String::from_utf8(server.received(0)).unwrap()
}

#[test]
fn files_go_to_the_url_and_their_names() {
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let server = server(2, 3);
    let url = urls(server.address(), ["/in/"]).remove(0);
    let ran = run("put", [&*file("a b", "one"), &file("c?", "two"), &url, "--json"]).exits_with(0);
    let text = received(&server);
    assert!(text.contains("PUT /in/a%20b HTTP/1.1\r\n") && text.contains("PUT /in/c%3F HTTP/1.1\r\n"), "{text}");
    assert!(text.contains("Content-Length: 3\r\n\r\none") && text.ends_with("\r\n\r\ntwo"), "{text}");
    let summary = json(ran.stdout());
    assert_eq!(each(&summary, "url"), [format!("{url}a%20b"), format!("{url}c%3F")]);
    assert_eq!((each(&summary, "outcome"), each(&summary, "status")), (vec!["ok".into(); 2], vec![201.into(); 2]));
    assert_eq!(each(&summary, "bytes"), [3, 3]);
}

#[test]
fn many_files_are_uploaded_and_refusals_are_told() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let files: Vec<_> = (0..50).map(|id| scratch.path().join(format!("{id}")).to_str().unwrap().to_owned()).collect();
    files.iter().for_each(|file| fs::write(file, file.repeat(100)).unwrap());
    let url = format!("http://{}/store/", origin.address());
    let ran = run("put", files.iter().map(|file| &**file).chain([&*url])).succeeds();
    assert_eq!(ran.stdout(), b"");
    assert_eq!(origin.counts().requests, 50);
    let ran = run("put", files.iter().map(|file| &**file).chain(["--progress=json", &*url])).exits_with(0);
    let last = json(ran.stderr().lines().last().unwrap().as_bytes());
    assert_eq!((&last["answered"], &last["requested"]), (&50.into(), &50.into()));
    let refusing = format!("http://{}/x?status=403", origin.address());
    let ran = run("put", [&*files[0], &refusing, "--json"]).exits_with(1).says("/x?status=403: 403 Forbidden");
    let summary = json(ran.stdout());
    assert_eq!((&summary["urls"][0]["file"], &summary["urls"][0]["bytes"]), (&serde_json::Value::Null, &0.into()));
}

#[test]
fn standard_input_is_sent_in_chunks_and_never_twice() {
    let server = server(1, "5\r\nhello\r\n0\r\n\r\n".len());
    let url = urls(server.address(), ["/name"]).remove(0);
    let mut child = program("put").args(["-", &url]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    Ran(child.wait_with_output().unwrap()).succeeds();
    let text = received(&server);
    assert!(text.contains("Transfer-Encoding: chunked\r\n") && text.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{text}");
}

#[test]
fn a_server_may_refuse_before_the_content_comes() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let (large, small) = (scratch.path().join("large"), scratch.path().join("small"));
    fs::write(&large, vec![0; 3 << 20]).unwrap();
    fs::write(&small, "x").unwrap();
    let url = format!("http://{}/x?expect=no", origin.address());
    run("put", [large.to_str().unwrap(), &url]).exits_with(1).says(": 403 Forbidden");
    run("put", [small.to_str().unwrap(), &url, "--expect"]).exits_with(1).says(": 403 Forbidden");
    run("put", [small.to_str().unwrap(), &url]).succeeds();
}

#[test]
fn existing_resources_can_be_protected() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("a");
    fs::write(&file, "x").unwrap();
    let server = server(1, 1);
    run("put", [file.to_str().unwrap(), &urls(server.address(), ["/a"])[0], "--if-none-match"]).succeeds();
    assert!(received(&server).contains("If-None-Match: *\r\n"));
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let file = scratch.path().join("a");
    fs::write(&file, "x").unwrap();
    let (file, directory) = (file.to_str().unwrap(), scratch.path().to_str().unwrap());
    let (one, many) = (format!("http://{}/x", origin.address()), format!("http://{}/x/", origin.address()));
    for (args, said) in [
        (&[file, file, &one][..], "cannot be combined with 2 files: only a URL that ends in / takes several"),
        (&["-", &many], "- cannot be combined with the URL"),
        (&["/no/such/file", &one], "put: cannot read /no/such/file: No such file"),
        (&[directory, &one], "is a directory"),
        (&[file, "no url"], "is not a usable URL"),
        (&[&one], "no URL was given; see --help"),
        (&[file, &one, "--if-none-match", "-H", "If-None-Match: x"], "--if-none-match cannot be combined with the header"),
        (&[file, &one, "-H", "Content-Length: 5"], "header \"Content-Length\": "),
    ] {
        run("put", args).exits_with(2).says(said);
    }
    for (args, said) in [
        (&["GE T", &one][..], "the method \"GE T\": expected a method"),
        (&["POST", &one, "--data-json", "{"], "--data-json: this is not JSON: EOF"),
        (&["POST", &one, "--data", "@/no/such/file"], "--data: cannot read /no/such/file"),
        (&["POST", &one, "--data", "x", "--data-json", "1"], "cannot be used with '--data-json"),
        (&["POST", &one, "--force"], "--output"),
        (&["POST"], "<URL>"),
    ] {
        run("request", args).exits_with(2).says(said);
    }
    assert_eq!(origin.counts().connections, 0);
}

#[test]
fn a_request_has_any_method_and_content() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("content");
    fs::write(&file, "[1, 2]").unwrap();
    let at = format!("@{}", file.display());
    for (args, line, kind, content) in [
        (&["DELETE", "-H", "X: y"][..], "DELETE /x HTTP/1.1", None, ""),
        (&["PATCH", "--data", "a=b"], "PATCH /x HTTP/1.1", None, "a=b"),
        (&["POST", "--data-json", &at], "POST /x HTTP/1.1", Some("application/json"), "[1, 2]"),
        (&["PUT", "--data-json", "{}", "-H", "content-type: text/x"], "PUT /x HTTP/1.1", Some("text/x"), "{}"),
    ] {
        let server = server(1, content.len());
        let url = urls(server.address(), ["/x"]).remove(0);
        let ran = run("request", [args[0], &url].iter().chain(&args[1..])).succeeds();
        assert_eq!(ran.stdout(), b"ok");
        let text = received(&server);
        assert!(text.starts_with(line) && text.ends_with(&format!("\r\n\r\n{content}")), "{text}");
        let types: Vec<_> =
            text.lines().filter_map(|line| line.to_lowercase().strip_prefix("content-type: ").map(str::to_owned)).collect();
        assert_eq!(types, kind.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn the_answer_to_a_request_is_written_also_if_it_is_an_error() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let url = format!("http://{}/x?status=409", origin.address());
    let ran = run("request", ["POST", &*url, "--data", "x", "--include"]).exits_with(1).says("409");
    let text = String::from_utf8_lossy(ran.stdout()).into_owned();
    assert!(text.starts_with("HTTP/1.1 409 ") && text.contains("{\"length\":1,"), "{text}");
    let file = scratch.path().join("answer");
    let url = format!("http://{}/x", origin.address());
    let args = ["POST", &*url, "--data", "xy", "-o", file.to_str().unwrap()];
    let ran = run("request", args.iter().chain(&["--json"])).exits_with(0);
    assert_eq!(each(&json(ran.stdout()), "outcome"), ["ok"]);
    assert!(fs::read_to_string(&file).unwrap().starts_with("{\"length\":2,"));
    run("request", args).exits_with(4).says("--force replaces it");
    run("request", args.iter().chain(&["--force"])).succeeds();
}

#[test]
fn a_post_that_may_have_arrived_is_not_repeated() {
    let server = scripted([Script::new().expect_requests(1).fin().wait_close(), Script::new().expect_requests(1).send(ok("x"))]);
    let url = urls(server.address(), ["/x"]).remove(0);
    let ran = run("request", ["POST", &*url, "--json"]).exits_with(3);
    let summary = json(ran.stderr().as_bytes());
    assert_eq!((each(&summary, "safe_to_retry"), each(&summary, "sent")), (vec![false.into()], vec!["yes".into()]));
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_redirected_post_becomes_a_get_and_a_307_keeps_its_content() {
    let redirect = |status: &str| format!("HTTP/1.1 {status} X\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n");
    for (status, line, content) in [("303", "GET /there HTTP/1.1\r\n", ""), ("307", "POST /there HTTP/1.1\r\n", "hello")] {
        let script = Script::new().expect_requests(1).expect_bytes(5).send(redirect(status));
        let server = scripted([script.expect_requests(1).expect_bytes(content.len()).send(ok("done")).wait_close()]);
        let url = urls(server.address(), ["/x"]).remove(0);
        let ran = run("request", ["POST", &*url, "--data", "hello", "-L"]).succeeds();
        assert_eq!(ran.stdout(), b"done");
        let text = received(&server);
        let second = &text[text.find(line).unwrap_or_else(|| panic!("{text}"))..];
        assert!(second.ends_with(&format!("\r\n\r\n{content}")), "{text}");
    }
}

#[test]
fn a_post_that_was_redirected_to_a_dead_server_may_have_had_its_effect() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let redirect = format!("HTTP/1.1 307 X\r\nLocation: http://{dead}/\r\nContent-Length: 0\r\n\r\n");
    let server = scripted([Script::new().expect_requests(1).expect_bytes(5).send(redirect).wait_close()]);
    let url = urls(server.address(), ["/x"]).remove(0);
    let ran = run("request", ["POST", &*url, "--data", "hello", "-L", "--json", "--retries=0"]).exits_with(3);
    let summary = json(ran.stderr().as_bytes());
    assert_eq!((each(&summary, "sent"), each(&summary, "attempts")), (vec!["yes".into()], vec![1.into()]));
    assert_eq!((each(&summary, "outcome"), each(&summary, "safe_to_retry")), (vec!["unanswered".into()], vec![false.into()]));
}

#[test]
fn a_server_that_cannot_be_reached_is_told_once() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (file, url) = (file.to_str().unwrap(), format!("http://{dead}/"));
    let ran = run("put", [file, file, file, &*url, "--retries=0"]).exits_with(3).says("0 of 3 answered; 3 safe to send again");
    assert_eq!(ran.stderr().matches("cannot connect").count(), 1, "{}", ran.stderr());
}

#[test]
fn a_silent_pipe_holds_up_neither_a_signal_nor_the_end_of_the_time() {
    let script = || Script::new().expect_requests(1).wait_close();
    for (limit, code, error) in [(None, 130, "interrupted"), (Some("--max-time=0.3"), 3, "the time is over (--max-time)")] {
        let server = scripted([script()]);
        let url = urls(server.address(), ["/name"]).remove(0);
        let mut child = program("put").args(["-", &url, "--json"]).args(limit).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"hello").unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while server.connections() == 0 {
            assert!(Instant::now() < end, "no connection comes");
            std::thread::sleep(Duration::from_millis(5));
        }
        if limit.is_none() {
            kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
        }
        let ran = Ran(child.wait_with_output().unwrap()).exits_with(code).says(error);
        // Standard input was open to the end.
        drop(input);
        let summary = json(ran.stdout());
        assert_eq!((each(&summary, "url"), each(&summary, "error")), (vec![url.into()], vec![error.into()]));
    }
}

#[test]
fn a_refusal_before_the_content_leaves_the_request_sent_in_part() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("large");
    fs::write(&path, vec![7; 2 << 20]).unwrap();
    let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
    let server = scripted([Script::new().expect_requests(1).send(refusal).wait_close()]);
    let url = urls(server.address(), ["/x"]).remove(0);
    let ran = run("put", [path.to_str().unwrap(), &*url, "--json"]);
    let summary = json(ran.stdout());
    assert_eq!((each(&summary, "status"), each(&summary, "sent")), (vec![413.into()], vec!["partly".into()]));
}

#[test]
fn a_pipe_without_a_writer_holds_up_no_other_upload() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (pipe, socket, file) = (path("pipe"), path("socket"), path("file"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // A program cannot open it as a file.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::write(&file, "small").unwrap();
    let server = scripted([Script::new()
        .expect_requests(1)
        .expect_bytes("small".len())
        .send(ok(""))
        .expect_requests(1)
        .send("HTTP/1.1 100 Continue\r\n\r\n")
        .expect_bytes("4\r\nlate\r\n0\r\n\r\n".len())
        .send(ok(""))
        .wait_close()]);
    let url = urls(server.address(), ["/"]).remove(0);
    let args = ["--connections=1", "--timeout=20", "--json", &*pipe, &socket, &file, &url];
    let child = program("put").args(args).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !String::from_utf8_lossy(&server.received(0)).ends_with("small") {
        assert!(Instant::now() < end, "the file does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Only now has the pipe a writer.
    fs::write(&pipe, "late").unwrap();
    let ran = Ran(child.wait_with_output().unwrap()).exits_with(4).says(&format!("{url}socket: cannot read {socket}: "));
    let summary = json(ran.stdout());
    assert_eq!(each(&summary, "outcome"), ["ok", "not-sent", "ok"]);
    assert_eq!(each(&summary, "url"), [format!("{url}pipe"), format!("{url}socket"), format!("{url}file")]);
}
