//! Runs the examples, each against a server of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Once;
use std::thread;

use dugong_origin::{Config, Origin, WhenPipelined};
use tempfile::TempDir;

#[path = "tls/pki.rs"]
#[allow(dead_code, reason = "this program needs one certificate")]
mod pki;

#[test]
fn fetch_threads_tasks_tower_and_recover_fetch_a_hundred_documents() {
    let origin = Origin::start(Config::default()).expect("a free port");
    for example in ["fetch", "threads", "tasks", "tower", "recover"] {
        fetches_a_hundred_documents(example, &origin);
    }
}

#[test]
fn recover_fetches_them_from_servers_that_close_or_do_not_pipeline() {
    for config in [
        Config { when_pipelined: WhenPipelined::Close, ..Config::default() },
        Config { when_pipelined: WhenPipelined::Stall, ..Config::default() },
        Config { when_pipelined: WhenPipelined::Silence, ..Config::default() },
        Config { close_after: Some(30), close_silently: true, close_with_reset: true, ..Config::default() },
        Config { close_after: Some(30), ..Config::default() },
    ] {
        fetches_a_hundred_documents("recover", &Origin::start(config).expect("a free port"));
    }
}

fn fetches_a_hundred_documents(example: &str, origin: &Origin) {
    let printed = printed(example, &[&format!("http://{}", origin.address())]);
    assert_eq!(printed.lines().count(), 100, "{example}");
    for id in 1..=100 {
        let line = format!("/doc/{id}: 200");
        let length = format!(" {} bytes", dugong_origin::document(&id.to_string()).len());
        let found = printed.lines().any(|printed| printed.starts_with(&line) && printed.ends_with(&length));
        assert!(found, "{example} does not print {line:?} with{length}:\n{printed}");
    }
}

#[test]
fn json_is_sent_and_read() {
    let origin = Origin::start(Config::default()).expect("a free port");
    let answer = printed("json", &[&format!("http://{}/notes", origin.address())]);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("the example prints JSON");
    assert_eq!(answer["length"], r#"{"done":false,"title":"milk"}"#.len());
}

#[test]
fn an_upload_is_sent_or_its_refusal_is_read() {
    let origin = Origin::start(Config::default()).expect("a free port");
    let directory = TempDir::new().expect("a place for files");
    let file = directory.path().join("file");
    std::fs::write(&file, vec![b'x'; 8 << 20]).expect("room for a file");
    let upload = |target: &str| printed("upload", &[&format!("http://{}{target}", origin.address()), file.to_str().unwrap()]);
    let accepted = upload("/upload");
    assert!(accepted.starts_with("sent 8388608 bytes\n200 OK\n"), "{accepted}");
    // The server answers without reading, and goes on not reading.
    let refused = upload("/upload?early=1");
    assert!(refused.starts_with("refused\n413 "), "{refused}");
}

#[test]
fn a_download_resumes_where_it_stopped_or_starts_over_if_the_file_has_changed() {
    const CUT: usize = 60_000;
    let version = |seed: u8| -> Vec<u8> { (0..100_000_u32).map(|i| (i % 251) as u8 ^ seed).collect() };
    for second_version in [1, 2] {
        let (first, second) = (version(1), version(second_version));
        let expected = second.clone();
        let address = serve(move |number, head, stream| {
            let (content, tag) =
                if number == 0 { (&first, "\"1\"") } else { (&second, if second_version == 1 { "\"1\"" } else { "\"2\"" }) };
            let (status, begin) = match field(head, "range") {
                Some(range) if field(head, "if-range") == Some(tag) => {
                    let begin = range.trim_start_matches("bytes=").trim_end_matches('-').parse().expect("a range to the end");
                    (
                        format!("206 Partial Content\r\nContent-Range: bytes {begin}-{}/{}", content.len() - 1, content.len()),
                        begin,
                    )
                }
                _ => ("200 OK".to_owned(), 0),
            };
            let length = content.len() - begin;
            let head = format!("HTTP/1.1 {status}\r\nETag: {tag}\r\nContent-Length: {length}\r\n\r\n");
            let end = if number == 0 { CUT } else { content.len() };
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content[begin..end]));
        });
        let directory = TempDir::new().expect("a place for files");
        let file = directory.path().join("file");
        let printed = printed("ranges", &[&format!("http://{address}/file"), file.to_str().unwrap()]);
        assert!(printed.contains(&format!("{CUT} bytes so far")) && printed.ends_with("100000 bytes\n"), "{printed}");
        assert!(std::fs::read(file).unwrap() == expected, "version {second_version} arrived altered");
    }
}

#[test]
fn a_document_comes_through_a_proxy() {
    let proxy = serve(|_, head, stream| {
        let is_right = head.starts_with("GET http://server.example/doc HTTP/1.1\r\n")
            && field(head, "host") == Some("server.example")
            && field(head, "proxy-authorization") == Some("Basic dXNlcjpwYXNzd29yZA==");
        let status = if is_right { "200 OK" } else { "400 Bad Request" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello");
    });
    let printed = printed("proxy", &["http://server.example/doc", &format!("http://user:password@{proxy}")]);
    assert_eq!(printed, "200\nhello\n");
    let no_proxy = run("proxy", &["http://server.example/doc", "http://user:password@"]);
    let error = String::from_utf8_lossy(&no_proxy.stderr);
    assert!(!no_proxy.status.success() && !error.contains("password"), "{error}");
}

#[test]
fn a_server_with_a_certificate_of_a_private_authority_is_trusted_with_it_and_not_with_another() {
    use std::sync::Arc;

    let authority = pki::Authority::new("Example authority");
    let identity = authority.issue(&["127.0.0.1"]);
    let config = rustls::ServerConfig::builder_with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .with_no_client_auth()
        .with_single_cert(identity.chain_der(), identity.key_der())
        .expect("a certificate and its key");
    let config = Arc::new(config);
    let address = accept(move |_, stream| {
        let session = rustls::ServerConnection::new(config.clone()).expect("a good configuration");
        let mut stream = rustls::StreamOwned::new(session, stream);
        if read_head(&mut stream).is_some_and(|head| head.starts_with("GET /doc HTTP/1.1\r\n")) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let directory = TempDir::new().expect("a place for files");
    let (url, path) = (format!("https://{address}/doc"), directory.path().join("authority.pem"));
    std::fs::write(&path, &authority.pem).expect("room for a file");
    assert_eq!(printed("private_ca", &[&url, path.to_str().unwrap()]), "200\nhello\n");
    std::fs::write(&path, pki::Authority::new("Another authority").pem).expect("room for a file");
    assert!(!run("private_ca", &[&url, path.to_str().unwrap()]).status.success());
}

/// Runs an example, which must succeed, and returns its output.
fn printed(example: &str, arguments: &[&str]) -> String {
    let output = run(example, arguments);
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn run(example: &str, arguments: &[&str]) -> Output {
    static BUILT: Once = Once::new();
    BUILT.call_once(build);
    // cargo puts this test program into the folder deps, beside the folder of the examples.
    let program = std::env::current_exe().expect("a path").parent().expect("deps").with_file_name("examples").join(example);
    Command::new(program).args(arguments).output().expect("the example runs")
}

fn build() {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut cargo = Command::new(env!("CARGO"));
    // cargo sets these for this test. The build script of ring depends on some, so that it would run again, and all above it.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    // The features of `make unit`, and the whole workspace as there, so that cargo builds nothing twice.
    cargo.args(["build", "--quiet", "--profile", profile, "--workspace", "--features"]);
    cargo.arg("dugong-http/socks,dugong-http/tracing,dugong-http/tokio,dugong-http/tower");
    for example in ["fetch", "threads", "tasks", "tower", "recover", "json", "upload", "ranges", "proxy", "private_ca"] {
        cargo.args(["--example", example]);
    }
    assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs").success(), "the examples do not build");
}

/// Serves each connection in turn, with its number, until the test ends.
fn accept(mut answer: impl FnMut(usize, TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || listener.incoming().enumerate().for_each(|(number, stream)| answer(number, stream.expect("a client"))));
    address
}

/// Answers one request on each connection, and closes it.
fn serve(mut answer: impl FnMut(usize, &str, &mut TcpStream) + Send + 'static) -> SocketAddr {
    accept(move |number, mut stream| {
        let head = read_head(&mut stream.try_clone().expect("a free descriptor")).expect("a request");
        answer(number, &head, &mut stream);
    })
}

/// Reads a request head; `None` if the client closes before its end.
fn read_head(stream: &mut impl Read) -> Option<String> {
    let (mut stream, mut head) = (BufReader::new(stream), String::new());
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// The value of a field of a request head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
