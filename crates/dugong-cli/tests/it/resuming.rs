//! `--continue`, `--parts` and `--if-changed`.

use std::fs;
use std::path::Path;

use crate::support::*;
use dugong_origin::Script;

fn whole(etag: &str, length: usize, content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nContent-Length: {length}\r\n\r\n{content}")
}

fn part(etag: &str, range: &str, content: &str) -> String {
    format!(
        "HTTP/1.1 206 Partial Content\r\nETag: \"{etag}\"\r\nContent-Range: bytes {range}\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    )
}

fn dir(path: &Path) -> [&str; 2] {
    ["--dir", path.to_str().unwrap()]
}

fn received(server: &dugong_origin::Scripted, number: usize) -> String {
    String::from_utf8(server.received(number)).unwrap()
}

#[test]
fn an_interrupted_file_is_completed_by_the_next_run() {
    let scratch = tempfile::tempdir().unwrap();
    let pause = std::time::Duration::from_millis(500);
    let cut = Script::new().expect_requests(1).send(whole("v1", 10, "01234")).pause(pause).fin().wait_close();
    let rest = Script::new().expect_requests(1).send(part("v1", "5-9/10", "56789")).wait_close();
    let server = scripted([cut, rest]);
    let url = urls(server.address(), ["/file"]).remove(0);
    let args = [&*url, "--continue", "--retries=0"];
    get(args.iter().chain(&dir(scratch.path()))).exits_with(3).says("/file: the connection ended after 5 of 10 bytes of content");
    assert_eq!(names(scratch.path()), [".file.part", ".file.part.meta"]);
    let ran = get(args.iter().chain(&dir(scratch.path())).chain(&["--json"])).exits_with(0);
    assert_eq!(names(scratch.path()), ["file"]);
    assert_eq!(fs::read_to_string(scratch.path().join("file")).unwrap(), "0123456789");
    let summary = json(ran.stdout());
    assert_eq!((each(&summary, "outcome"), each(&summary, "bytes")), (vec!["ok".into()], vec![5.into()]));
    let request = received(&server, 1);
    assert!(request.contains("Range: bytes=5-") && request.contains("If-Range: \"v1\"\r\n"), "{request}");
}

#[test]
fn a_file_that_has_changed_meanwhile_is_fetched_anew() {
    let scratch = tempfile::tempdir().unwrap();
    let pause = std::time::Duration::from_millis(500);
    let cut = Script::new().expect_requests(1).send(whole("v1", 10, "01234")).pause(pause).fin().wait_close();
    let server = scripted([cut, Script::new().expect_requests(1).send(whole("v2", 3, "new")).wait_close()]);
    let url = urls(server.address(), ["/file"]).remove(0);
    let args = [&*url, "--continue", "--retries=0"];
    get(args.iter().chain(&dir(scratch.path()))).exits_with(3);
    get(args.iter().chain(&dir(scratch.path()))).succeeds();
    assert_eq!(fs::read_to_string(scratch.path().join("file")).unwrap(), "new");
}

#[test]
fn without_continue_nothing_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let server = scripted([Script::new().expect_requests(1).send(whole("v1", 10, "01234")).fin().wait_close()]);
    let url = urls(server.address(), ["/file"]).remove(0);
    get([&*url, "--retries=0"].iter().chain(&dir(scratch.path()))).exits_with(3);
    assert!(names(scratch.path()).is_empty());
}

#[test]
fn many_files_are_completed_from_wherever_they_were_interrupted() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let list = documents(origin.address(), 60);
    let args = || list.iter().map(|url| &**url).chain(["--continue"]).chain(dir(scratch.path()));
    get(args().take(20).chain(["--continue"]).chain(dir(scratch.path()))).succeeds();
    get(args().chain(["--skip-existing"])).succeeds();
    assert_eq!(names(scratch.path()).len(), 60);
    for id in 1..=60 {
        let id = id.to_string();
        assert!(fs::read(scratch.path().join(&id)).unwrap() == dugong_origin::document(&id), "{id}");
    }
}

#[test]
fn a_signal_keeps_what_has_come() {
    use rustix::process::{Pid, Signal, kill_process};
    let scratch = tempfile::tempdir().unwrap();
    let half = Script::new().expect_requests(1).send(whole("v1", 10, "01234")).wait_close();
    let rest = Script::new().expect_requests(1).send(part("v1", "5-9/10", "56789")).wait_close();
    let server = scripted([half, rest]);
    let url = urls(server.address(), ["/file"]).remove(0);
    let child = command().args([&*url, "--continue"]).args(dir(scratch.path())).spawn().unwrap();
    let part = scratch.path().join(".file.part");
    while fs::metadata(&part).map_or(0, |found| found.len()) < 5 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    Ran(child.wait_with_output().unwrap()).exits_with(130).says("interrupted");
    get([&*url, "--continue"].iter().chain(&dir(scratch.path()))).succeeds();
    assert_eq!(fs::read_to_string(scratch.path().join("file")).unwrap(), "0123456789");
}

#[test]
fn a_large_file_comes_in_several_parts_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    const PART: usize = 8 << 20;
    let content: String = (0..2 * PART + 5).map(|index| char::from(b'a' + (index % 23) as u8)).collect();
    let piece = |start: usize, end: usize| part("v", &format!("{start}-{}/{}", end - 1, content.len()), &content[start..end]);
    let others = piece(PART, 2 * PART) + &piece(2 * PART, content.len());
    let server = scripted([first_alone(piece(0, PART), 2, others).wait_close()]);
    let (url, file) = (urls(server.address(), ["/large"]).remove(0), scratch.path().join("copy"));
    get([&*url, "--parts=3", "-o", file.to_str().unwrap()]).succeeds();
    assert!(fs::read_to_string(&file).unwrap() == content);
    assert_eq!(names(scratch.path()), ["copy"]);
    let requests = received(&server, 0);
    assert_eq!(requests.matches("Range: bytes=").count(), 3, "{requests}");
    assert_eq!(requests.matches("If-Range: \"v\"").count(), 2, "{requests}");
    get([&*url, "-o", "x", "--parts=2", "--range=0-1"]).exits_with(2).says("cannot be used with '--range <RANGE>'");
    get([&*url, "-o", "x", "--parts=0"]).exits_with(2).says("expected at least 1");
    for option in ["--parts=2", "--continue", "--if-changed"] {
        get([&*url, option]).exits_with(2).says("--output <NAME>|--dir <DIR>");
    }
}

#[test]
fn parts_have_the_wanted_digest_or_none_stay() {
    let scratch = tempfile::tempdir().unwrap();
    let server = scripted([Script::new().expect_requests(1).send(whole("v", 3, "abc")).wait_close()]);
    let url = urls(server.address(), ["/file"]).remove(0);
    let wrong = format!("--checksum=sha256={}", "0".repeat(64));
    get([&*url, "--continue", &wrong].iter().chain(&dir(scratch.path()))).exits_with(5).says("/file: ");
    assert!(names(scratch.path()).is_empty(), "{:?}", names(scratch.path()));
}

#[test]
fn a_mirror_moves_only_what_has_changed() {
    let scratch = tempfile::tempdir().unwrap();
    let not_modified = "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned();
    let first = first_alone(whole("a", 1, "A"), 1, whole("b", 1, "B")).wait_close();
    let second = first_alone(not_modified, 1, whole("c", 1, "C")).wait_close();
    let server = scripted([first, second]);
    let list = urls(server.address(), ["/a", "/b"]);
    let args = || list.iter().map(|url| &**url).chain(["--if-changed", "--json"]).chain(dir(scratch.path()));
    let ran = get(args()).exits_with(0);
    assert_eq!(each(&json(ran.stdout()), "outcome"), ["ok", "ok"]);
    let ran = get(args()).exits_with(0);
    assert_eq!(each(&json(ran.stdout()), "outcome"), ["unchanged", "ok"]);
    assert_eq!(each(&json(ran.stdout()), "bytes"), [0, 1]);
    assert_eq!(names(scratch.path()), [".dugong-index", "a", "b"]);
    assert_eq!(fs::read_to_string(scratch.path().join("a")).unwrap(), "A");
    assert_eq!(fs::read_to_string(scratch.path().join("b")).unwrap(), "C");
    let requests = received(&server, 1);
    assert!(requests.contains("If-None-Match: \"a\"\r\n") && requests.contains("If-None-Match: \"b\"\r\n"), "{requests}");
    assert!(!received(&server, 0).contains("If-None-Match"));
    get([&*list[0], "--if-changed", "--force", "--dir", "x"]).exits_with(2).says("cannot be used with '--force'");
}

#[test]
fn an_origin_that_is_gone_is_asked_for_no_more_parts() {
    let (server, scratch) = (scripted([]), tempfile::tempdir().unwrap());
    let list = urls(server.address(), (0..20).map(|id| format!("/{id}")));
    let args = ["--parts=2", "--retries=0", "--json", "--dir", scratch.path().to_str().unwrap()];
    let ran = get(list.iter().map(|url| &**url).chain(args)).exits_with(3);
    let summary = json(ran.stdout());
    assert_eq!(each(&summary, "url"), list);
    assert!(each(&summary, "safe_to_retry").iter().all(|safe| safe == true), "{summary}");
    assert!(server.connections() < 10, "{} connections", server.connections());
    assert!(names(scratch.path()).is_empty());
}
