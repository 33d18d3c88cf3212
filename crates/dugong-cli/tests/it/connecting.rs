//! The options about connections, and the time limits.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::servers::GUARD;
use crate::support::*;
use dugong_origin::Script;

#[test]
fn a_unix_socket_is_used_whatever_the_host() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        let mut received = Vec::new();
        for content in ["a", "b"] {
            received.extend(read_exactly(&mut stream, 1));
            stream.write_all(ok(content).as_bytes()).unwrap();
        }
        received
    });
    let mut command = command();
    command.args(["http://no.such.example/1", "http://no.such.example/2", "-v", "--unix-socket"]).arg(&path);
    // A proxy for the socket makes no sense.
    let ran = Ran(command.env("http_proxy", "127.0.0.9:9").output().unwrap()).exits_with(0);
    assert_eq!(ran.stdout(), b"ab");
    assert!(ran.stderr().starts_with(&format!("* Trying {}\n* Connected\n", path.display())), "{}", ran.stderr());
    let received = String::from_utf8(server.join().unwrap()).unwrap();
    assert!(received.starts_with("GET /1 HTTP/1.1\r\nHost: no.such.example\r\n"), "{received}");

    let missing = scratch.path().join("missing");
    let ran = get(["http://a.example/", "--unix-socket", missing.to_str().unwrap()]).exits_with(3);
    ran.says(&format!("cannot connect to {}: ", missing.display())).says("No such file");
}

#[test]
fn the_address_to_connect_from_can_be_chosen() {
    let origin = origin();
    let url = &*documents(origin.address(), 1)[0];
    let ran = get([url, "-v", "--interface", "127.0.0.77"]).exits_with(0);
    ran.says(&format!("* Connected to {} from 127.0.0.77:", origin.address()));
    assert_eq!(get([url, "-4", "--interface", "127.0.0.77", "--keepalive-time", "60"]).succeeds().stdout(), all_documents(1));
}

#[cfg(target_os = "linux")]
#[test]
fn the_interface_to_connect_through_can_be_chosen() {
    let origin = origin();
    assert_eq!(get([&*documents(origin.address(), 1)[0], "--interface", "lo"]).succeeds().stdout(), all_documents(1));
}

#[test]
fn a_host_beyond_ascii_is_looked_up_as_idna_2008_has_it() {
    let origin = origin();
    let port = origin.address().port();
    for (host, resolved) in [
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("fa\u{df}.de", "xn--fa-hia.de"),
        ("fa%C3%9F.de", "FA\u{df}.de"),
        ("xn--fa-hia.de", "fa\u{df}.de"),
    ] {
        let (url, resolve) = (format!("http://{host}:{port}/doc/1"), format!("{resolved}:{port}:{}", origin.address().ip()));
        assert_eq!(get([&*url, "--resolve", &resolve]).succeeds().stdout(), all_documents(1), "{host}");
        let mut command = command();
        command.args([&*url, "--resolve", &resolve]).env("http_proxy", "127.0.0.9:9").env("no_proxy", resolved);
        assert_eq!(Ran(command.output().unwrap()).succeeds().stdout(), all_documents(1), "{host}");
    }
}

#[test]
fn addresses_of_the_other_family_are_not_used() {
    let origin = origin();
    let port = origin.address().port();
    let url = format!("http://a.example:{port}/doc/1");
    let resolve = format!("a.example:{port}:::1,127.0.0.1");
    let ran = get([&*url, "--resolve", &resolve, "-4"]).succeeds();
    assert_eq!(ran.stdout(), all_documents(1));
    let ran = get([&*url, "--resolve", &resolve, "-6"]).exits_with(3);
    assert!(ran.stderr().contains("[::1]:") && !ran.stderr().contains("127.0.0.1:"), "{}", ran.stderr());
    let resolve = format!("a.example:{port}:127.0.0.1");
    let ran = get([&*url, "--resolve", &resolve, "-6"]).exits_with(3);
    ran.says(&format!("127.0.0.1:{port}: not an IPv6 address"));
    assert_eq!(origin.counts().connections, 1);
}

#[test]
fn mistakes_in_options_are_found_before_anything_is_sent() {
    let origin = origin();
    let url = &*documents(origin.address(), 1)[0];
    for (args, said) in [
        (&["--resolve", "a:80"][..], "--resolve \"a:80\": expected the form HOST:PORT:ADDRESS[,ADDRESS]"),
        (&["--resolve", "-a:80"], "--resolve \"-a:80\": a leading \"-\", as in curl, is not supported"),
        (&["--resolve", "*:80:127.0.0.1"], "--resolve \"*:80:127.0.0.1\": a leading \"*\""),
        (&["--interface", "no-such-interface"], "--interface \"no-such-interface\": "),
        (&["--interface", "192.0.2.1"], "--interface \"192.0.2.1\": "),
        (&["-6"], "--ipv6: 127.0.0.1 belongs to the other family"),
        (&["-4", "-6"], "--ipv6"),
        (&["--unix-socket", &"x".repeat(200)], "--unix-socket \"xxx"),
        (&["--unix-socket", "s", "-4"], "'--unix-socket <PATH>' cannot be used with '--ipv4'"),
        (&["--unix-socket", "s", "--interface", "lo"], "'--unix-socket <PATH>' cannot be used with '--interface <NAME>'"),
        (&["--max-time", "soon"], "--max-time \"soon\": expected seconds, such as 10 or 0.5"),
        (&["--connect-timeout", "1s"], "--connect-timeout \"1s\": expected seconds"),
        (&["--keepalive-time", "0"], "--keepalive-time"),
        (&["--trace", "/no/such/directory/file"], "--trace: cannot write /no/such/directory/file: No such file"),
    ] {
        get([url].into_iter().chain(args.iter().copied())).exits_with(2).says(said);
    }
    assert_eq!(origin.counts().connections, 0);
}

#[test]
fn connecting_ends_with_its_limit() {
    // The server never accepts the connection, so the TLS handshake gets no answer.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let ran = get([&*url, "--connect-timeout", "0.5"]).exits_with(3);
    let port = listener.local_addr().unwrap().port();
    assert_eq!(
        ran.stderr().lines().next().unwrap(),
        format!("dugong: timed out in the TLS handshake with 127.0.0.1 port {port}: no connection after 500ms")
    );
}

#[test]
fn everything_ends_with_the_limit_of_the_run() {
    let server = scripted([first_alone(ok("1"), 1, "").wait_close()]);
    let ran = get(urls(server.address(), ["/1", "/2"]).iter().map(|url| &**url).chain(["-m", "1"])).exits_with(3);
    assert_eq!(ran.stdout(), b"1");
    ran.says("/2: the time is over (--max-time)\n").says("1 of 2 answered; 1 safe to send again, 0 unknown");

    // The same while data arrives all the time.
    let origin = origin();
    let url = format!("http://{}/bytes/1000000000000", origin.address());
    let output = command().args([&*url, "--max-time=0.3"]).stdout(Stdio::null()).output().unwrap();
    Ran(output).exits_with(3).says("the time is over (--max-time)").says("0 of 1 answered");
}

#[test]
fn reconnecting_does_not_restart_the_limit() {
    let slow = || Script::new().expect_requests(1).pause(Duration::from_millis(100)).send(closing()).wait_close();
    fn closing() -> &'static str {
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
    }
    let count = 20;
    let server = scripted((0..count).map(|_| slow()));
    let list = urls(server.address(), (0..count).map(|id| format!("/{id}")));
    let ran = get(list.iter().map(|url| &**url).chain(["-m", "0.7"])).exits_with(3).says("(--max-time)");
    assert!(ran.stdout().len() < count, "each connection had a limit of its own");
}

#[test]
fn a_limit_of_0_means_no_limit() {
    let origin = origin();
    let url = &*documents(origin.address(), 1)[0];
    assert_eq!(get([url, "--max-time", "0", "--connect-timeout", "0"]).succeeds().stdout(), all_documents(1));
}
