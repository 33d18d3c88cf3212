//! Content in files.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::*;

fn into(directory: &Path, mut args: Vec<String>) -> Vec<String> {
    args.extend(["--dir".to_owned(), directory.to_str().unwrap().to_owned()]);
    args
}

#[test]
fn each_content_goes_into_a_file_of_its_own() {
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("made/on the way");
    let ran = get(into(&directory, documents(origin.address(), 300))).succeeds();
    assert_eq!(ran.stdout(), b"");
    assert_eq!(names(&directory).len(), 300);
    for id in 1..=300 {
        let id = id.to_string();
        assert!(fs::read(directory.join(&id)).unwrap() == dugong_origin::document(&id), "{id}");
    }
}

#[test]
fn names_from_urls_stay_harmless_inside_the_directory() {
    let paths = [
        "/..%2f..%2fetc",
        "/%2e%2e",
        "//",
        "/a/../..",
        "/a/.",
        "/.bashrc",
        "/same",
        "/other/same",
        "/same?again",
        "/same.1",
        "/a%20b",
        "/a%0ab",
    ];
    let long = format!("/{}", "x".repeat(5000));
    let paths: Vec<_> = paths.into_iter().chain([&*long, &*long]).collect();
    let server = scripted([answering((0..paths.len()).map(|index| ok(&format!("{index:02}")))).wait_close()]);
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("deep/er");
    get(into(&directory, urls(server.address(), paths))).succeeds();
    assert_eq!(names(scratch.path()), ["deep"]);
    assert_eq!(names(&scratch.path().join("deep")), ["er"]);
    let contents: Vec<_> =
        names(&directory).into_iter().map(|name| (fs::read_to_string(directory.join(&name)).unwrap(), name)).collect();
    let (short, cut) = ("x".repeat(200), format!("{}.1", "x".repeat(198)));
    let mut wanted = [
        ("00", "_.%2f..%2fetc"),
        ("01", "%2e%2e"),
        ("02", "index"),
        ("03", "_."),
        ("04", "_"),
        ("05", "_bashrc"),
        ("06", "same"),
        ("07", "same.1"),
        ("08", "same.2"),
        ("09", "same.1.1"),
        ("10", "a b"),
        ("11", "a%0ab"),
        ("12", &short),
        ("13", &cut),
    ]
    .map(|(content, name)| (content.to_owned(), name.to_owned()));
    wanted.sort_by(|one, other| one.1.cmp(&other.1));
    assert_eq!(contents, wanted);
}

#[test]
fn files_that_exist_are_replaced_only_by_force() {
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("2"), "old").unwrap();
    let args = into(scratch.path(), documents(origin.address(), 3));
    get(&args).exits_with(4).says(&format!("{} exists; --force replaces it", scratch.path().join("2").display()));
    assert_eq!(origin.counts().requests, 0, "nothing is requested in vain");
    assert_eq!(names(scratch.path()), ["2"]);
    assert_eq!(fs::read_to_string(scratch.path().join("2")).unwrap(), "old");

    get(args.into_iter().chain(["--force".to_owned()])).succeeds();
    assert_eq!(names(scratch.path()), ["1", "2", "3"]);
    assert_eq!(fs::read(scratch.path().join("2")).unwrap(), dugong_origin::document("2"));
}

#[cfg(unix)]
#[test]
fn a_link_in_the_way_is_not_followed() {
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    let (directory, elsewhere) = (scratch.path().join("d"), scratch.path().join("elsewhere"));
    fs::create_dir(&directory).unwrap();
    std::os::unix::fs::symlink(&elsewhere, directory.join("1")).unwrap();
    let args = into(&directory, documents(origin.address(), 1));
    get(&args).exits_with(4).says("exists");
    get(args.into_iter().chain(["--force".to_owned()])).succeeds();
    assert!(!elsewhere.exists());
    assert!(directory.join("1").symlink_metadata().unwrap().is_file());
}

#[test]
fn errors_leave_no_file() {
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    let args = urls(origin.address(), ["/doc/1", "/nothing", "/doc/2"]);
    get(into(scratch.path(), args)).exits_with(1).says("/nothing: 404 Not Found");
    assert_eq!(names(scratch.path()), ["1", "2"]);
}

#[test]
fn complete_files_stay_when_the_connection_is_lost() {
    let begin = || answering([ok("one"), ok("two")]).expect_requests(1);
    let lost = [
        (
            begin().send("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\nonly so much").fin().wait_close(),
            "the connection ended after 12 of 300 bytes of content",
        ),
        (begin().send("HTTP/1.1 2").fin().wait_close(), "of a response head"),
        (begin().send("HTTP/1.1 200 OK\r\nA B: c\r\n\r\n").wait_close(), "invalid response"),
        (begin().send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n").wait_close(), "chunk size"),
    ];
    for (script, said) in lost {
        let server = scripted([script]);
        let scratch = tempfile::tempdir().unwrap();
        let mut args = into(scratch.path(), urls(server.address(), ["/1", "/2", "/3", "/4", "/5"]));
        args.push("--retries=0".to_owned());
        get(args).exits_with(3).says(said).says("/3: ").says("2 of 5 answered; 3 safe to send again, 0 unknown");
        assert_eq!(names(scratch.path()), ["1", "2"], "{said}");
        assert_eq!(fs::read_to_string(scratch.path().join("2")).unwrap(), "two");
    }
}

#[test]
fn a_directory_that_cannot_be_created_is_reported_before_anything_is_requested() {
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    get(into(&file.join("below"), documents(origin.address(), 1))).exits_with(4).says("cannot write");
    assert_eq!(origin.counts().connections, 0);
}

#[test]
fn a_file_that_appears_meanwhile_is_kept_and_nothing_unfinished_stays() {
    // The answers come after the file has appeared.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let there = scratch.path().join("2");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_exactly(&mut stream, 1);
        stream.write_all(ok("a").as_bytes()).unwrap();
        read_exactly(&mut stream, 2);
        fs::write(there, "theirs").unwrap();
        stream.write_all((ok("b") + &ok("c")).as_bytes()).unwrap();
        stream
    });
    let args = into(scratch.path(), urls(address, ["/1", "/2", "/3"]));
    get(args).exits_with(4).says("2 exists; --force replaces it").says("1 of 3 answered; 2 safe to send again, 0 unknown");
    assert_eq!(names(scratch.path()), ["1", "2"]);
    assert_eq!(fs::read_to_string(scratch.path().join("2")).unwrap(), "theirs");
    server.join().unwrap();
}

#[test]
fn a_file_instead_of_the_directory_has_its_own_message() {
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    let (file, directory) = (scratch.path().join("file"), scratch.path().join("1"));
    fs::write(&file, "old").unwrap();
    fs::create_dir(&directory).unwrap();
    let wanted = format!("{} is not a directory, but --dir needs one", file.display());
    for force in [false, true] {
        let options = || force.then(|| "--force".to_owned());
        let ran = get(into(&file, documents(origin.address(), 1)).into_iter().chain(options())).exits_with(4).says(&wanted);
        assert!(!ran.stderr().contains("--force"), "{}", ran.stderr());
        // Nor can --force replace a directory by a file.
        let ran = get(into(scratch.path(), documents(origin.address(), 1)).into_iter().chain(options())).exits_with(4);
        ran.says(&format!("cannot write {}: is a directory", directory.display()));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    get(into(Path::new("/dev/null"), documents(origin.address(), 1))).exits_with(4).says("/dev/null is not a directory");
    let list = documents(origin.address(), 2);
    let ran = get([&*list[0], &list[1], "-o", file.to_str().unwrap()]).exits_with(4);
    ran.says("is not a directory, but -o needs one for several URLs or a list");
    get([&*list[0], "-o", "-"]).exits_with(2).says("without -o, content goes to standard output");
    assert!(!Path::new("-").exists());
    assert_eq!(origin.counts().connections, 0);
}

#[test]
fn a_redirect_is_reported_with_its_location() {
    let redirect = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n{more}\r\nhere");
    let first = redirect("302 Found", "Location: https://other.example/\u{9b}\u{e4}\r\n");
    let others = [redirect("308 ", "location: /b\r\n"), redirect("300 Choose", ""), redirect("200 OK", "Location: /c\r\n")];
    let script = answering([first].into_iter().chain(others)).wait_close();
    let server = scripted(vec![script; 4]);
    let scratch = tempfile::tempdir().unwrap();
    let list = urls(server.address(), ["/1", "/2", "/3", "/4"]);
    let told = [
        format!("dugong: {}: 302 Found to https://other.example/\u{fffd}\u{e4}, which is not followed\n", list[0]),
        format!("dugong: {}: 308 to /b, which is not followed\n", list[1]),
    ];
    let ran = get(list.clone()).exits_with(0);
    assert_eq!((ran.stderr(), ran.stdout()), (&*told.concat(), &b"herehere"[..]));
    let ran = get(into(scratch.path(), list.clone()).into_iter().chain(["--json".to_owned()])).exits_with(0);
    assert_eq!(ran.stderr(), told.concat());
    let summary = json(ran.stdout());
    assert_eq!(each(&summary, "outcome"), ["redirect", "redirect", "ok", "ok"]);
    assert_eq!(each(&summary, "location")[1], "/b");
    assert_eq!(names(scratch.path()), ["3", "4"]);
    let kept = get(list.iter().map(|url| &**url).chain(["--keep-error-bodies"])).exits_with(0);
    assert_eq!(kept.stdout(), b"herehereherehere");
    let ran = get(list.into_iter().chain(["--json".to_owned()])).exits_with(0);
    assert_eq!(each(&json(ran.stderr().as_bytes()), "location")[0], "https://other.example/\u{fffd}\u{e4}");
}

/// Answers each path with its last segment. After the half of `/slow`, it waits until a file appears.
fn answer_in_halves(mut stream: std::net::TcpStream, until: &Path) {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        let target = String::from_utf8(request).unwrap().split(' ').nth(1).unwrap().to_owned();
        let answer = ok(target.rsplit('/').next().unwrap());
        let half = answer.len() - 2;
        stream.write_all(&answer.as_bytes()[..half]).unwrap();
        let end = Instant::now() + Duration::from_secs(15);
        while target == "/slow" && !until.exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        stream.write_all(&answer.as_bytes()[half..]).unwrap();
    }
}

#[test]
fn a_slow_file_holds_no_other_up_and_the_summary_keeps_the_order() {
    for option in [None, Some("--continue"), Some("--parts=2")] {
        let scratch = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let last = scratch.path().join("8");
        let server = std::thread::spawn(move || {
            let handlers: Vec<_> = (0..2)
                .map(|_| {
                    let (stream, last) = (listener.accept().unwrap().0, last.clone());
                    std::thread::spawn(move || answer_in_halves(stream, &last))
                })
                .collect();
            handlers.into_iter().for_each(|handler| handler.join().unwrap());
        });
        let paths = ["/slow".to_owned()].into_iter().chain((1..=8).map(|id| format!("/{id}")));
        let list = urls(address, paths);
        let begun = Instant::now();
        // The last of two values counts, as in curl.
        let options = ["--connections=2", "--json"].into_iter().chain(option).map(str::to_owned);
        let ran = get(into(scratch.path(), list.clone()).into_iter().chain(options)).exits_with(0);
        // Otherwise the slow one would have waited in vain.
        assert!(begun.elapsed() < Duration::from_secs(14), "{option:?}");
        assert_eq!(each(&json(ran.stdout()), "url"), list, "{option:?}");
        assert_eq!(names(scratch.path()), ["1", "2", "3", "4", "5", "6", "7", "8", "slow"], "{option:?}");
        assert_eq!(fs::read_to_string(scratch.path().join("slow")).unwrap(), "slow");
        server.join().unwrap();
    }
}
