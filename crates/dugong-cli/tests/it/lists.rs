//! URLs from arguments and from lists. Mistakes are found before anything is requested.

use std::fs;
use std::io::Write;

use crate::support::*;
use dugong_origin::Script;

#[test]
fn lists_add_to_the_arguments() {
    let origin = origin();
    let urls = documents(origin.address(), 4);
    let scratch = tempfile::tempdir().unwrap();
    let list = scratch.path().join("list");
    fs::write(&list, format!("# documents\n\n{}\r\n  {}  \n#{}", urls[1], urls[2], urls[0])).unwrap();
    let args = [&*urls[0], "-i", list.to_str().unwrap(), "--input", "-"];
    let ran = get_with_input(args, &urls[3]).succeeds();
    assert_eq!(ran.stdout(), all_documents(4));
}

#[test]
fn a_bad_line_is_named_with_file_and_number() {
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    let list = scratch.path().join("list");
    let good = &documents(origin.address(), 1)[0];
    for (line, said) in [
        (&b"no url"[..], "\"no url\" is not a usable URL"),
        (b"http://127.0.0.1:99999/", "its port is not a number"),
        (b"http://127.0.0.1/\xff", "not UTF-8 text"),
    ] {
        let mut text = format!("# list\n{good}\n\n").into_bytes();
        text.extend_from_slice(line);
        fs::write(&list, &text).unwrap();
        let ran = get(["-i", list.to_str().unwrap()]).exits_with(2).says(&format!("{}, line 4: ", list.display())).says(said);
        assert_eq!(ran.stderr().lines().count(), 1, "{}", ran.stderr());
    }
    assert_eq!(origin.counts().connections, 0);
    // A pipe is read while its URLs are requested, so the rest goes on.
    let ran = get_with_input(["-i", "-"], &format!("bad\n{good}\n")).exits_with(2).says("standard input, line 1: \"bad\" is not");
    assert_eq!(ran.stdout(), all_documents(1));
    get_with_input(["-i", "-"], "# none\n").exits_with(2).says("no URL was given");
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &[][..],
        &["--depth=-1", "http://127.0.0.1:9/"],
        &["--timeout=soon", "http://127.0.0.1:9/"],
        &["--no-such-flag", "http://127.0.0.1:9/"],
        &["--force", "http://127.0.0.1:9/"],
        &["--include", "-o", "x", "http://127.0.0.1:9/"],
        &["-i", "/no/such/list"],
        &["-i", "-"],
    ] {
        let ran = get(args.iter()).exits_with(2);
        assert_ne!(ran.stderr(), "", "{args:?}");
    }
}

#[test]
fn the_readme_has_all_options() {
    let readme = include_str!("../../README.md");
    for name in ["get", "head", "put", "request", "bench"] {
        let help = program(name).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let options = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let options: Vec<_> = options.filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--"))).collect();
        assert!(options.len() > 20 && options.contains(&"--timeout"), "{options:?}");
        for option in options {
            assert!(option == "--help" || readme.contains(&format!("`{option}")), "{option}");
        }
    }
}

#[test]
fn help_lists_the_exit_codes() {
    let ran = get(["--help"]).succeeds();
    let help = String::from_utf8_lossy(ran.stdout()).into_owned();
    for code in ["  0 ", "  1 ", "  2 ", "  3 ", "  4 ", "  130 "] {
        assert!(help.contains(code), "{help}");
    }
    let readme = include_str!("../../README.md");
    for code in ["| 0 |", "| 1 |", "| 2 |", "| 3 |", "| 4 |", "| 5 |", "| 130 |"] {
        assert!(readme.contains(code), "{code}");
    }
}

#[test]
fn blanks_and_letters_beyond_ascii_are_encoded_as_browsers_do() {
    for (given, sent) in [
        ("/a b", "/a%20b"),
        ("/gr\u{fc}\u{df}e?an=\u{e4} b#top", "/gr%C3%BC%C3%9Fe?an=%C3%A4%20b"),
        ("/%20\u{20ac}%zz", "/%20%E2%82%AC%zz"),
        ("/<`>{|}\"^", "/%3C%60%3E{|}\"^"),
        ("?\u{1f600}", "/?%F0%9F%98%80"),
    ] {
        let server = scripted([Script::new().expect_requests(1).send(ok("")).wait_close()]);
        get(urls(server.address(), [given])).succeeds();
        let request = String::from_utf8(server.received(0)).unwrap();
        assert!(request.starts_with(&format!("GET {sent} HTTP/1.1\r\n")), "{request}");
    }
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    let list = urls(origin.address(), ["/doc/a \u{e4}"]);
    let ran = get([&*list[0], "--json", "-o", scratch.path().to_str().unwrap()]).exits_with(0);
    assert_eq!(names(scratch.path()), ["a \u{e4}"]);
    assert_eq!(each(&json(ran.stdout()), "url"), [&*list[0]]);
}

#[test]
fn a_host_beyond_ascii_is_a_name_and_not_encoded() {
    let origin = origin();
    let port = origin.address().port();
    let url = format!("http://b\u{fc}cher.example:{port}/doc/\u{e4}");
    let ran = get([&*url, "--resolve", &format!("xn--bcher-kva.example:{port}:127.0.0.1"), "-v"]).exits_with(0);
    ran.says(&format!("> Host: xn--bcher-kva.example:{port}\n"));
}

#[test]
fn a_byte_order_mark_does_not_belong_to_the_first_url() {
    let origin = origin();
    let list = documents(origin.address(), 2).join("\r\n");
    let ran = get_with_input(["-i", "-"], &format!("\u{feff}{list}")).succeeds();
    assert_eq!(ran.stdout(), all_documents(2));
    get_with_input(["-i", "-"], &format!("\u{feff}# nothing\n{list}")).succeeds();
}

#[test]
fn the_error_for_a_malformed_url_says_what_to_write() {
    for (given, said) in [
        ("example.org", "it has no scheme; write \"http://example.org\" or \"https://example.org\""),
        ("localhost:8080/a", "it has no scheme; write \"http://localhost:8080/a\""),
        ("127.0.0.1:80", "it has no scheme; write \"http://127.0.0.1:80\""),
        ("[::1]/a", "it has no scheme; write \"http://[::1]/a\""),
        ("b\u{fc}cher.example/a", "it has no scheme; write \"http://b\u{fc}cher.example/a\""),
        ("http://h.example/a http://h.example/b", "it looks like several; write one per line or argument"),
        ("http://h.example/a\tb", "it contains the control character '\\t'; remove it, or write %09"),
    ] {
        let ran = get([given]).exits_with(2).says(&format!("{given:?} is not a usable URL: {said}"));
        assert_eq!(ran.stderr().lines().count(), 1);
        get_with_input(["-i", "-"], given).exits_with(2).says("standard input, line 1: ").says(said);
    }
    let ran = get(["user:secret@h.example/a"]).exits_with(2);
    assert!(!ran.stderr().contains("secret"), "{}", ran.stderr());
    get(["-i", "http://h.example/"]).exits_with(2).says("; -i takes a file with a list of URLs");
}

#[test]
fn the_error_for_an_option_of_curl_names_the_replacement() {
    for (arguments, said) in [
        (&["-J"][..], "dugong: the option '-J' of curl does not exist here: dugong get --remote-name"),
        (&["-k"], "--cacert FILE"),
        (&["--compressed"], "content is written as the server sends it"),
        (&["-X", "POST"], "use dugong request METHOD URL"),
        (&["-d", "a=b"], "dugong request POST URL --data TEXT"),
        (&["-sS"], "only errors and notes are printed"),
        (&["-I"], "use dugong head"),
        (&["--digest"], "--user sends Basic credentials"),
    ] {
        let ran = get(arguments.iter().copied().chain(["http://h.example/"])).exits_with(2).says(said);
        assert_eq!(ran.stderr().lines().count(), 1, "{}", ran.stderr());
    }
    get(["--no-such-flag", "http://h.example/"]).exits_with(2).says("unexpected argument '--no-such-flag' found");
    let ran = Ran(program("http://h.example/").output().unwrap()).exits_with(2);
    ran.says("expected a command, but found a URL; write: dugong get http://h.example/");
}

#[test]
fn an_origin_that_does_not_answer_holds_up_no_files_of_others() {
    let scratch = tempfile::tempdir().unwrap();
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fast = origin();
    let mut list: Vec<_> = urls(slow.local_addr().unwrap(), (0..400).map(|id| format!("/slow/s{id}")));
    list.extend(documents(fast.address(), 20));
    // The slow origin answers as soon as the last file of the other one is there.
    let last = scratch.path().join("20");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = slow.accept().unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(15);
        while !last.exists() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let is_there = last.exists();
        for _ in 0..400 {
            read_exactly(&mut stream, 1);
            stream.write_all(ok("slow").as_bytes()).unwrap();
        }
        is_there
    });
    let args = ["--json", "--depth=1", "-i", "-", "--dir", scratch.path().to_str().unwrap()];
    let ran = get_with_input(args, &list.join("\n")).exits_with(0);
    assert!(server.join().unwrap(), "the files of the fast origin came after those of the slow one");
    assert_eq!(each(&json(ran.stdout()), "url"), list);
}
