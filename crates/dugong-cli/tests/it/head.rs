//! `dugong head`.

use std::fs::File;
use std::io::Read;

use crate::support::*;
use dugong_origin::{Config, Script};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

fn head<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    Ran(program("head")
        .args(["--timeout=20", "--connections=1", "--retry-delay=0.01"])
        .args(args)
        .output()
        .expect("the program runs"))
}

#[test]
fn heads_come_in_the_order_of_the_urls_including_error_responses() {
    let heads = [
        "HTTP/1.1 200 Fine\r\nContent-Length: 1000\r\nX-One: 1\r\nX-One: \u{e4}\r\n\r\n",
        "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 301 \r\nLocation: /3\r\n\r\n",
    ];
    let server = scripted([first_alone(heads[0], 2, heads[1..].concat()).wait_close()]);
    let list = urls(server.address(), ["/1", "/2?q", "/3"]);
    let ran = head(list.iter().map(|url| &**url).chain(["-H", "user-agent: me"])).exits_with(1);
    assert_eq!(String::from_utf8_lossy(ran.stdout()), heads.concat());
    assert_eq!(ran.stderr(), format!("dugong: {}: 404 No\n", list[1]));
    let sent = |target: &str| {
        format!("HEAD {target} HTTP/1.1\r\nHost: {}\r\nuser-agent: me\r\nAccept-Encoding: identity\r\n\r\n", server.address())
    };
    assert_eq!(String::from_utf8_lossy(&server.received(0)), ["/1", "/2?q", "/3"].map(sent).concat());
}

#[test]
fn heads_are_those_of_a_get() {
    let origin = origin_with(Config { close_after: Some(30), ..Config::default() });
    let list = documents(origin.address(), 100);
    let ran = head(&list).succeeds();
    assert_eq!(origin.counts().connections, 4);
    let with_content = get(list.iter().map(|url| &**url).chain(["--include"])).succeeds();
    let mut rest = with_content.stdout();
    let mut heads = Vec::new();
    for id in 1..=100 {
        let content = dugong_origin::document(&id.to_string());
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        heads.extend_from_slice(&rest[..end]);
        rest = &rest[end + content.len()..];
    }
    // The dates may differ by a second.
    let without_date = |heads: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(heads).lines().filter(|line| !line.starts_with("Date: ")).map(str::to_owned).collect()
    };
    assert_eq!(without_date(ran.stdout()), without_date(&heads));
}

#[test]
fn lists_summaries_and_exit_codes_are_those_of_get() {
    let origin = origin();
    let scratch = tempfile::tempdir().unwrap();
    let list = scratch.path().join("list");
    std::fs::write(&list, urls(origin.address(), ["/doc/1", "/nothing"]).join("\n")).unwrap();
    let ran = head(["--json", "-i", list.to_str().unwrap()]).exits_with(1);
    let summary = json(ran.stderr().as_bytes());
    assert_eq!(each(&summary, "status"), [200, 404]);
    assert_eq!(each(&summary, "outcome"), ["ok", "error-status"]);
    assert_eq!(each(&summary, "bytes"), [0, 0]);
    head(["-f", "-i", list.to_str().unwrap()]).exits_with(1);
    head(["-o", "d", "http://a.example/"]).exits_with(2).says("'-o'");
    head(&[] as &[&str]).exits_with(2).says("no URL was given");
    head(["-H", "Content-Length: 1", "http://a.example/"]).exits_with(2).says("header \"Content-Length\": ");
    head(["http://127.0.0.9:9/"]).exits_with(3).says("Connection refused");
    let help = String::from_utf8(head(["--help"]).succeeds().stdout().to_vec()).unwrap();
    for code in ["  0 ", "  1 ", "  2 ", "  3 ", "  4 ", "  130 "] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn a_connection_that_is_lost_in_a_head_is_reported() {
    let server = scripted([first_alone("HTTP/1.1 200 OK\r\n\r\n", 1, "HTTP/1.1 2").fin().wait_close()]);
    let ran = head(urls(server.address(), ["/1", "/2"])).exits_with(3);
    assert_eq!(ran.stdout(), b"HTTP/1.1 200 OK\r\n\r\n");
    ran.says("1 of 2 answered; 1 safe to send again, 0 unknown");
}

#[test]
fn a_terminal_does_not_obey_control_characters_of_a_server() {
    let answer = "HTTP/1.1 200 \u{9b}2J\r\nX: \u{9d}0;title\r\nY: \u{e4}\r\n\r\n";
    let server = scripted([Script::new().expect_requests(1).send(answer).wait_close()]);
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let ours = File::options().read(true).write(true).open(name).unwrap();
    let output = program("head").args(urls(server.address(), ["/"])).stdout(ours).output().unwrap();
    Ran(output).succeeds();
    // Reading the terminal fails at the end of the output.
    let mut shown = Vec::new();
    let _ = File::from(terminal).read_to_end(&mut shown);
    let shown = String::from_utf8(shown).unwrap().replace("\r\r\n", "\r\n");
    assert_eq!(shown, "HTTP/1.1 200 \\xc2\\x9b2J\r\nX: \\xc2\\x9d0;title\r\nY: \u{e4}\r\n\r\n");
}
