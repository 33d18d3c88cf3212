//! The output of `-v` and `--trace`.

use std::fs;

use crate::support::*;

const FIRST: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
    HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nSet-Cookie: id=sesame\r\nX: \u{9b}2J\r\n\r\nab";
const SECOND: &str = "HTTP/1.1 404 \r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";

fn server() -> dugong_origin::Scripted {
    scripted([first_alone(FIRST, 1, SECOND).wait_close()])
}

const SECRETS: [&str; 5] = ["-v", "-H", "Authorization: Bearer sesame", "-H", "cookie: id=sesame"];

#[test]
fn verbose_prints_events_and_heads_without_secrets() {
    let server = server();
    let address = server.address();
    let list = urls(address, ["/1", "/2"]);
    let ran = get(list.iter().map(|url| &**url).chain(SECRETS)).exits_with(1);
    assert_eq!(ran.stdout(), b"ab");
    let request = |target| {
        let agent = concat!("User-Agent: dugong/", env!("CARGO_PKG_VERSION"));
        format!(
            "> GET {target} HTTP/1.1\n> Host: {address}\n> Authorization: ***\n> cookie: ***\n> {agent}\n> Accept-Encoding: identity\n> \n"
        )
    };
    let local = ran.stderr().lines().find_map(|line| line.split_once(" from ")).expect("it was connected").1;
    let wanted = [
        &*format!("* Trying {address}\n* Connected to {address} from {local}\n"),
        &request("/1"),
        "< HTTP/1.1 103 Early Hints\n< Link: </a>\n< \n",
        "< HTTP/1.1 200 Fine\n< Content-Length: 2\n< Set-Cookie: ***\n< X: \\xc2\\x9b2J\n< \n{ [2 bytes of content]\n",
        &request("/2"),
        "< HTTP/1.1 404 \n< Content-Length: 3\n< Connection: close\n< \n",
        "{ [3 bytes of content]\n* Connection closed: the server said that it closes the connection\n",
        &format!("dugong: {}: 404\n", list[1]),
    ];
    assert_eq!(ran.stderr(), wanted.concat());
}

#[test]
fn a_trace_has_all_bytes_but_secrets() {
    let scratch = tempfile::tempdir().unwrap();
    let (directory, file) = (scratch.path().join("d"), scratch.path().join("trace"));
    let (directory, file) = (directory.to_str().unwrap(), file.to_str().unwrap());
    fs::write(file, "before").unwrap();
    // To a file, to standard error, and to standard output if no content goes there.
    for (target, args) in [(file, &[][..]), ("%", &["-q"]), ("-", &["-o", directory])] {
        let server = server();
        let list = urls(server.address(), ["/1", "/2"]);
        let args = list
            .iter()
            .map(|url| &**url)
            .chain(SECRETS[1..].iter().copied())
            .chain(["--trace", target])
            .chain(args.iter().copied());
        let ran = get(args).exits_with(1);
        let trace = match target {
            "%" => ran.stderr().to_owned(),
            "-" => String::from_utf8(ran.stdout().to_vec()).unwrap(),
            file => fs::read_to_string(file).unwrap(),
        };
        for line in [
            "> GET /1 HTTP/1.1\\r\\n",
            "> GET /2 HTTP/1.1\\r\\n",
            "> Authorization: ***\\r\\n",
            "> cookie: ***\\r\\n",
            "< HTTP/1.1 200 Fine\\r\\n",
            "< Set-Cookie: ***\\r\\n",
            "< X: \\xc2\\x9b2J\\r\\n",
            "< ab",
            "< HTTP/1.1 404 \\r\\n",
            "< abc",
        ] {
            assert!(trace.lines().any(|found| found == line), "no {line} in:\n{trace}");
        }
        assert!(!trace.contains("sesame") && !trace.contains("before"), "{trace}");
        assert_eq!(trace.contains("dugong: "), target == "%");
    }
}

#[test]
fn verbose_prints_failed_attempts_and_tls() {
    use crate::servers::{Authority, Server};
    let (origin, authority, scratch) = (origin(), Authority::new(), tempfile::tempdir().unwrap());
    let server = Server::stunnel(origin.address(), &authority, "sslVersion = TLSv1.2");
    let port = server.address.port();
    let resolve = format!("www.example:{port}:127.0.0.9,{}", server.address.ip());
    let url = format!("https://www.example:{port}/doc/1");
    let ran = get([&*url, "-v", "--cacert", &authority.file(scratch.path()), "--resolve", &resolve]).exits_with(0);
    let attempts = format!(
        "* Trying 127.0.0.9:{port}\n* 127.0.0.9:{port}: Connection refused (os error 111)\n* Trying {}\n",
        server.address
    );
    assert!(ran.stderr().starts_with(&attempts), "{}", ran.stderr());
    ran.says("* TLS handshake with www.example\n* TLSv1.2, cipher TLS_").says("* Connection closed\n");
}

#[test]
fn streams_that_programs_read_get_no_other_output() {
    let origin = origin();
    let url = &*documents(origin.address(), 1)[0];
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("d");
    let directory = directory.to_str().unwrap();
    for (args, said) in [
        (&["-v", "--json"][..], "--verbose cannot be combined with --json: both write to standard error"),
        (&["--trace", "%", "--json"], "--trace % cannot be combined with --json: both write to standard error"),
        (&["--trace", "-"], "--trace - cannot be combined with content: both write to standard output"),
        (&["--trace", "-", "--json", "-o", directory], "--trace - cannot be combined with --json: both write to standard output"),
    ] {
        get([url].into_iter().chain(args.iter().copied())).exits_with(2).says(said);
    }
    assert_eq!(origin.counts().connections, 0);
    let ran = get([url, "-v", "--json", "-o", directory]).exits_with(0).says("> GET /doc/1 HTTP/1.1\n");
    assert_eq!(each(&json(ran.stdout()), "outcome"), ["ok"]);
}

#[test]
fn a_wrong_command_line_replaces_no_trace() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("trace");
    fs::write(&file, "an older one").unwrap();
    get(["http://a.example/", "--cacert", "/no/such/file", "--trace", file.to_str().unwrap()]).exits_with(2);
    assert_eq!(fs::read_to_string(file).unwrap(), "an older one");
}

#[test]
fn with_several_connections_each_line_says_which() {
    let (one, other, scratch) = (origin(), origin(), tempfile::tempdir().unwrap());
    let trace = scratch.path().join("trace");
    let list = [(one.address(), 1), (other.address(), 2)].map(|(address, id)| format!("http://{address}/doc/{id}"));
    let ran = get([&*list[0], &list[1], "-v", "--trace", trace.to_str().unwrap()]).exits_with(0);
    let trace = fs::read_to_string(trace).unwrap();
    for (number, address) in [("1", one.address()), ("2", other.address())] {
        // Its first lines may come before there is a second connection.
        let content = dugong_origin::document(number);
        let last = format!("[{number}] {{ [{} bytes of content]\n", content.len());
        assert!(ran.stderr().contains(&last), "{}", ran.stderr());
        assert!(trace.contains(&format!("[{number}] < ")), "{trace}");
        assert!(number == "1" || ran.stderr().contains(&format!("[{number}] * Connected to {address}")), "{}", ran.stderr());
    }
    // One connection needs no number.
    let ran = get([&*list[0], "-v"]).exits_with(0);
    assert!(!ran.stderr().contains("[1]"), "{}", ran.stderr());
}
