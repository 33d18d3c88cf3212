//! What `dugong get` has beyond one origin and one file for each URL.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;

use crate::support::*;
use dugong_origin::{Script, Scripted};

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 4\r\n\r\nhere")
}

/// A server that answers one request on each connection.
fn one_each(answers: impl IntoIterator<Item = String>) -> Scripted {
    scripted(answers.into_iter().map(|answer| Script::new().expect_requests(1).send(answer).wait_close()))
}

#[test]
fn urls_of_several_origins_are_written_in_the_order_given() {
    let origins = [origin(), origin(), origin()];
    let list: Vec<_> = (1..=90).map(|id| format!("http://{}/doc/{id}", origins[id % 3].address())).collect();
    assert!(get(&list).succeeds().stdout() == all_documents(90));
    let text = list.join("\n");
    assert!(get_with_input(["-i", "-"], &text).succeeds().stdout() == all_documents(90));
    assert!(origins.iter().all(|origin| origin.counts().requests == 60));
}

#[test]
fn an_origin_that_is_gone_does_not_end_the_others() {
    let origin = origin();
    let gone = std::net::TcpListener::bind("127.0.0.9:0").unwrap().local_addr().unwrap(); // no other test listens there
    let list = [documents(origin.address(), 2), urls(gone, ["/1", "/2"]), urls(origin.address(), ["/doc/3"])].concat();
    let ran =
        get(&list).exits_with(3).says("cannot connect to 127.0.0.9").says("3 of 5 answered; 2 safe to send again, 0 unknown");
    assert!(ran.stdout() == all_documents(3));
    assert_eq!(ran.stderr().lines().count(), 2, "{}", ran.stderr());
}

#[test]
fn connections_says_how_many_are_opened_to_an_origin() {
    let origin = origin();
    let list: Vec<_> = urls(origin.address(), (0..40).map(|id| format!("/doc/{id}?delay=20")));
    let run = |connections: &str| {
        let before = origin.counts().connections;
        let ran = program("get").args(&list).args(["--connections", connections, "--depth=2", "--timeout=20"]).output().unwrap();
        Ran(ran).succeeds();
        origin.counts().connections - before
    };
    assert_eq!(run("1"), 1);
    assert_eq!(run("3"), 3);
    let none = program("get").args([&*list[0], "--connections=0"]).output().unwrap();
    Ran(none).exits_with(2).says("expected at least 1");
}

#[test]
fn o_is_a_file_for_one_url_and_a_directory_otherwise() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let path = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let list = documents(origin.address(), 2);
    get([&*list[0], "-o", &path("file")]).succeeds();
    assert_eq!(fs::read(path("file")).unwrap(), all_documents(1));
    get([&*list[0], "--output", &path("deep/er/file")]).succeeds();
    assert_eq!(fs::read(path("deep/er/file")).unwrap(), all_documents(1));
    get([&*list[0], "-o", &path("slash/")]).succeeds();
    get([&*list[0], &list[1], "-o", &path("two")]).succeeds();
    fs::create_dir(path("there")).unwrap();
    get([&*list[0], "-o", &path("there")]).succeeds();
    fs::write(path("list"), &list[0]).unwrap();
    get(["-i", &path("list"), "-o", &path("listed")]).succeeds();
    for (directory, files) in [("slash", &["1"][..]), ("two", &["1", "2"]), ("there", &["1"]), ("listed", &["1"])] {
        assert_eq!(names(&scratch.path().join(directory)), files, "{directory}");
    }
    get([&*list[0], "-o", &path("file")]).exits_with(4).says("exists; --force replaces it");
    get([&*list[1], "-o", &path("file"), "--force"]).succeeds();
    assert_eq!(fs::read(path("file")).unwrap(), dugong_origin::document("2"));
    // Nothing is renamed onto a device.
    get([&*list[0], "-o", "/dev/null"]).succeeds();
    get([&*list[0], "-o", "/dev/full"]).exits_with(4).says("No space left").says("0 of 1 answered");
    for other in [["--dir", "x"], ["-O", "-q"]] {
        get([&*list[0], "-o", "x"].iter().chain(&other)).exits_with(2).says("cannot be used with");
    }
}

#[test]
fn remote_name_writes_into_the_current_directory() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let ran = command().arg("-O").args(documents(origin.address(), 2)).current_dir(scratch.path()).output().unwrap();
    Ran(ran).succeeds();
    assert_eq!(names(scratch.path()), ["1", "2"]);
}

#[test]
fn files_that_exist_are_skipped_on_request() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    fs::write(scratch.path().join("2"), "old").unwrap();
    let list = documents(origin.address(), 3);
    let args = ["--skip-existing", "--json", "--dir", scratch.path().to_str().unwrap()];
    let ran = get(list.iter().map(|url| &**url).chain(args)).exits_with(0);
    assert_eq!(each(&json(ran.stdout()), "outcome"), ["ok", "skipped", "ok"]);
    assert_eq!(fs::read_to_string(scratch.path().join("2")).unwrap(), "old");
    assert_eq!(origin.counts().requests, 2);
    get([&*list[0], "--dir", "x", "--skip-existing", "--force"]).exits_with(2).says("cannot be used with '--force'");
    get([&*list[0], "--skip-existing"]).exits_with(2).says("--output <NAME>|--dir <DIR>");
}

#[test]
fn redirects_are_followed_on_request_to_any_origin_and_without_credentials() {
    let elsewhere = one_each([ok("there")]);
    let target = format!("http://{}/b?c", elsewhere.address());
    let server = scripted([Script::new()
        .expect_requests(1)
        .send(redirect("/a/../x"))
        .expect_requests(1)
        .send(redirect(&target))
        .wait_close()]);
    let url = urls(server.address(), ["/1"]).remove(0);
    let ran = get([&*url, "-L", "-u", "me:sesame", "-H", "X-One: 1", "--json"]).exits_with(0);
    assert_eq!(ran.stdout(), b"there");
    let summary = json(ran.stderr().as_bytes());
    assert_eq!((each(&summary, "outcome"), each(&summary, "attempts")), (vec!["ok".into()], vec![3.into()]));
    let first = String::from_utf8(server.received(0)).unwrap();
    assert!(first.contains("GET /x HTTP/1.1\r\n") && first.matches("Authorization: ").count() == 2, "{first}");
    let last = String::from_utf8(elsewhere.received(0)).unwrap();
    assert!(last.starts_with("GET /b?c HTTP/1.1\r\n") && last.contains("X-One: 1") && !last.contains("Authorization"), "{last}");
}

#[test]
fn redirects_are_followed_up_to_a_bound() {
    let script = (0..3).fold(Script::new(), |script, _| script.expect_requests(1).send(redirect("/again")));
    let server = scripted([script.wait_close()]);
    let scratch = tempfile::tempdir().unwrap();
    let url = urls(server.address(), ["/1"]).remove(0);
    let args = ["-L", "--max-redirs=2", "--dir", scratch.path().to_str().unwrap()];
    let ran = get([&*url, "--json"].iter().chain(&args)).exits_with(3);
    assert_eq!(ran.stderr(), format!("dugong: {url}: 302 Found to /again, which is not followed: --max-redirs is 2\n"));
    assert!(names(scratch.path()).is_empty(), "a redirect has no file");
    let summary = json(ran.stdout());
    assert_eq!((each(&summary, "outcome"), each(&summary, "attempts")), (vec!["not-followed".into()], vec![3.into()]));
    assert_eq!((each(&summary, "error"), each(&summary, "status")), (vec!["--max-redirs is 2".into()], vec![302.into()]));
    get([&*url, "--max-redirs=2"]).exits_with(2).says("--location");
}

#[test]
fn a_range_is_requested_as_it_is_given() {
    for (given, sent) in [("0-99", "bytes=0-99"), ("100-", "bytes=100-"), ("-5", "bytes=-5"), ("0-1,5-6", "bytes=0-1,5-6")] {
        let server = one_each(["HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nab".to_owned()]);
        let ran = get([&*urls(server.address(), ["/"])[0], "--range", given]).succeeds();
        assert_eq!(ran.stdout(), b"ab");
        let received = String::from_utf8(server.received(0)).unwrap();
        assert!(received.contains(&format!("Range: {sent}\r\n")), "{received}");
    }
    for wrong in ["5", "-", "a-b", "bytes=0-1", "5-3"] {
        get(["http://a.test/", "--range", wrong]).exits_with(2).says(&format!("--range {wrong:?}: expected bytes such as 0-99"));
    }
}

#[test]
fn content_with_another_digest_leaves_no_file() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let url = &*documents(origin.address(), 1)[0];
    let file = scratch.path().join("file");
    let digest: String = {
        use sha2::Digest;
        sha2::Sha256::digest(all_documents(1)).iter().map(|byte| format!("{byte:02X}")).collect()
    };
    let (good, bad) = (format!("--checksum=sha256={digest}"), format!("--checksum=sha256={}", "0".repeat(64)));
    let ran = get([url, &bad, "-o", file.to_str().unwrap(), "--json"]).exits_with(5);
    assert_eq!(each(&json(ran.stdout()), "outcome"), ["wrong-digest"]);
    ran.says("/doc/1: the content has the digest sha256=").says("but --checksum says 0000");
    assert!(names(scratch.path()).is_empty());
    get([url, &good, "-o", file.to_str().unwrap()]).succeeds();
    assert_eq!(fs::read(&file).unwrap(), all_documents(1));
    get([url, url, &good]).exits_with(2).says("--checksum cannot be combined with several URLs or a list");
    get([url, "--checksum=md5=0"]).exits_with(2).says("expected sha256= and 64 hexadecimal digits");
}

#[test]
fn options_are_refused_beside_the_fields_that_they_send() {
    let url = "http://localhost:1/x";
    for (option, name) in
        [("--range=1-2", "Range"), ("--continue", "If-Range"), ("--parts=2", "Range"), ("--if-changed", "If-None-Match")]
    {
        let header = format!("{name}: x");
        let said = format!("{} cannot be combined with the header \"{name}\"", option.split('=').next().unwrap());
        get([url, "-O", option, "-H", &header]).exits_with(2).says(&said);
    }
}

#[test]
fn a_pipe_is_read_while_its_urls_are_requested() {
    let origin = origin();
    let list = documents(origin.address(), 2);
    let mut child = command().args(["-i", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for (url, id) in list.iter().zip(["1", "2"]) {
        writeln!(input, "{url}").unwrap();
        // It comes before the list has ended.
        let mut content = vec![0; dugong_origin::document(id).len()];
        output.read_exact(&mut content).unwrap();
        assert_eq!(content, dugong_origin::document(id));
    }
    drop(input);
    Ran(child.wait_with_output().unwrap()).succeeds();
}

#[test]
fn an_interrupted_run_ends_its_summary() {
    use rustix::process::{Pid, Signal, kill_process};
    let slow = Script::new().expect_requests(1).wait_close();
    let server = scripted([Script::new().expect_requests(1).send(ok("one")).wait_close(), slow]);
    let list = urls(server.address(), ["/1", "/2", "/3"]);
    let mut child = command().args(&list).args(["--json", "--depth=1"]).spawn().unwrap();
    let mut first = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let ran = Ran(child.wait_with_output().unwrap()).exits_with(130);
    let summary = json(ran.stderr().as_bytes());
    let outcomes = each(&summary, "outcome");
    assert_eq!((outcomes.len(), &outcomes[0]), (3, &"ok".into()), "{summary}");
    assert_eq!(each(&summary, "error")[2], "interrupted");
}

#[test]
fn a_part_that_was_not_requested_is_no_content() {
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-6/10\r\nContent-Length: 2\r\n\r\nab";
    for (options, said) in [
        (&["--json"][..], "asked for all of the content, and sent a part (206) with \"Content-Range: bytes 5-6/10\""),
        (&["--json", "--continue"], "asked for all of the content"),
        (&["--json", "--range=4-5"], "asked for bytes=4-5, and sent \"Content-Range: bytes 5-6/10\""),
    ] {
        let (server, scratch) = (one_each([part.to_owned()]), tempfile::tempdir().unwrap());
        let url = &urls(server.address(), ["/x"])[0];
        let ran = get([&[&**url, "--dir", scratch.path().to_str().unwrap()], options].concat()).exits_with(3).says(said);
        let summary = json(ran.stdout());
        assert_eq!((each(&summary, "outcome"), each(&summary, "safe_to_retry")), (vec!["incomplete".into()], vec![true.into()]));
        assert!(names(scratch.path()).is_empty());
    }
}
