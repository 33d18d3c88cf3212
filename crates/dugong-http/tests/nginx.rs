//! Tests against a real server: Debian's nginx, with its own configuration and ports.

use std::fs;
use std::io::{self, BufRead};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dugong_http::{CloseReason, Closed, Config, Connection, Continue, Error, Misuse, Request, Response};
use tempfile::TempDir;

/// A running nginx and its directory; dropping it removes both.
struct Nginx {
    child: Child,
    dir: TempDir,
    main: SocketAddr,
    brief: SocketAddr,
}

impl Nginx {
    /// Starts it, and waits until it listens.
    fn start() -> Nginx {
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["files", "uploads", "temp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let [main, brief] = free_addresses();
        fs::write(dir.path().join("nginx.conf"), configuration(main, brief)).unwrap();
        let mut child = spawn(dir.path());
        if !is_ready(&mut child, main) || !is_ready(&mut child, brief) {
            let _ = child.kill();
            child.wait().unwrap();
            panic!("nginx does not start:\n{}", fs::read_to_string(dir.path().join("error.log")).unwrap_or_default());
        }
        Nginx { child, dir, main, brief }
    }

    fn connect(&self) -> Connection {
        connect(self.main)
    }

    /// A path below the directory.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) {
        fs::write(self.path("files").join(name), content).unwrap();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // nginx runs as one process, without workers. If it has ended already, another check reports that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects with a timeout, since a test that hangs hides its failure.
fn connect(address: SocketAddr) -> Connection {
    Config::new().timeout(Duration::from_secs(20)).connect(format!("http://{address}")).unwrap()
}

/// Two addresses on a loopback host that only this server uses. On a shared host, another test could take the port before nginx
/// does; nginx would wait for it, and we would talk to that test.
fn free_addresses() -> [SocketAddr; 2] {
    static STARTED: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, STARTED.fetch_add(1, Ordering::Relaxed), high, low);
    // Holding the first port while choosing the second makes them differ.
    [(); 2].map(|()| TcpListener::bind((host, 0)).unwrap()).map(|listener| listener.local_addr().unwrap())
}

/// All paths are relative to the directory, so that nothing in its name needs quotes.
fn configuration(main: SocketAddr, brief: SocketAddr) -> String {
    format!(
        "daemon off;
        master_process off;
        pid nginx.pid;
        error_log error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log access.log;
            client_body_temp_path temp/client;
            proxy_temp_path temp/proxy;
            fastcgi_temp_path temp/fastcgi;
            uwsgi_temp_path temp/uwsgi;
            scgi_temp_path temp/scgi;
            default_type application/octet-stream;
            keepalive_requests 1000000;
            sendfile on;
            server {{
                listen {main};
                root files;
                location /chunked/ {{ alias files/; ssi on; ssi_types *; }}
                location /uploads/ {{
                    root .;
                    dav_methods PUT DELETE;
                    create_full_put_path on;
                    client_max_body_size 64m;
                    location /uploads/small/ {{ client_max_body_size 1m; }}
                }}
            }}
            server {{
                listen {brief};
                root files;
                keepalive_requests 3;
            }}
        }}"
    )
}

fn spawn(dir: &Path) -> Child {
    for program in ["nginx", "/usr/sbin/nginx"] {
        let mut command = Command::new(program);
        // nginx takes relative paths relative to the prefix (-p), not to the working directory.
        command.arg("-p").arg(dir).args(["-c", "nginx.conf", "-e", "error.log"]);
        match command.stdin(Stdio::null()).spawn() {
            Ok(child) => return child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => panic!("{program} cannot be started: {error}"),
        }
    }
    panic!("nginx is not installed; on Debian: apt-get install nginx-light (or nginx)");
}

/// Waits until nginx accepts connections at `address`; false if it ends before.
fn is_ready(child: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        if TcpStream::connect(address).is_ok() {
            return child.try_wait().unwrap().is_none();
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Files with deterministic content: each is a slice of one large block, at its own offset.
struct Files {
    block: Vec<u8>,
    sizes: Vec<usize>,
}

const FILES: usize = 5000;
const ALL_BYTES: usize = 512 << 20;
const LARGEST: usize = 8 << 20;

impl Files {
    fn make() -> Files {
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let mut block = random.bytes(2 * LARGEST);
        // nginx's SSI looks for `<!--#`, and loses a `<` at the end of a file.
        block.iter_mut().filter(|byte| **byte == b'<').for_each(|byte| *byte = b'>');
        // Many files are small, few are large: the size falls with the rank, and the ranks are shuffled.
        let mut sizes: Vec<usize> = (0..FILES)
            .map(|rank| match rank {
                0..24 => LARGEST,
                4800.. => 0,
                _ => LARGEST * 3 / (rank + 1) + (random.next() % 200) as usize,
            })
            .collect();
        for i in (1..FILES).rev() {
            sizes.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
        // The small files share the missing bytes equally.
        let missing = ALL_BYTES.checked_sub(sizes.iter().sum()).expect("the ranks are less than all bytes");
        let small: Vec<usize> = (0..FILES).filter(|&i| (1..100_000).contains(&sizes[i])).collect();
        for (rank, &i) in small.iter().enumerate() {
            sizes[i] += missing / small.len() + usize::from(rank < missing % small.len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), ALL_BYTES);
        Files { block, sizes }
    }

    fn content(&self, number: usize) -> &[u8] {
        let start = number * 1009 % (self.block.len() - LARGEST);
        &self.block[start..start + self.sizes[number]]
    }
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
        bytes
    }
}

/// Content of that length, different for each length.
fn content(length: usize) -> Vec<u8> {
    Random(length as u64 + 1).bytes(length)
}

#[test]
fn five_thousand_files_arrive_unaltered_at_every_depth_with_lengths_and_in_chunks() {
    let nginx = Nginx::start();
    let files = Files::make();
    for number in 0..FILES {
        nginx.file(&number.to_string(), files.content(number));
    }
    for depth in [1, 16, usize::MAX] {
        for (prefix, is_chunked) in [("", false), ("/chunked", true)] {
            let mut connection = nginx.connect();
            let requests = (0..FILES).map(|number| Request::get(format!("{prefix}/{number}")));
            let mut pipeline = connection.pipeline(requests).max_requests(depth).max_bytes(usize::MAX);
            let mut number = 0;
            while let Some(mut response) = pipeline.next().unwrap() {
                assert_eq!((response.status().as_u16(), response.number()), (200, number as u64));
                let mut expected = files.content(number);
                // nginx sends empty files without chunks.
                if is_chunked && !expected.is_empty() {
                    assert!(response.fields().list_contains("Transfer-Encoding", "chunked"));
                    assert_eq!(response.content_length(), None);
                } else {
                    assert_eq!(response.content_length(), Some(expected.len() as u64));
                }
                loop {
                    let part = response.fill_buf().unwrap();
                    if part.is_empty() {
                        break;
                    }
                    assert!(expected.starts_with(part), "file {number} differs, with {} bytes to go", expected.len());
                    expected = &expected[part.len()..];
                    let count = part.len();
                    response.consume(count);
                }
                assert!(expected.is_empty(), "file {number} is too short by {} bytes", expected.len());
                number += 1;
            }
            assert_eq!(number, FILES);
            assert_eq!(connection.close_reason(), None);
        }
    }
}

/// A way to announce and send content.
#[derive(Clone, Copy, Debug)]
struct Manner {
    is_chunked: bool,
    expects: bool,
}

const MANNERS: [Manner; 4] = [
    Manner { is_chunked: false, expects: false },
    Manner { is_chunked: false, expects: true },
    Manner { is_chunked: true, expects: false },
    Manner { is_chunked: true, expects: true },
];

impl Manner {
    fn put(self, target: &str, length: usize) -> Request {
        let request = Request::put(target);
        let request = if self.is_chunked { request.chunked() } else { request.content_length(length as u64) };
        if self.expects && length > 0 { request.expect_continue() } else { request }
    }
}

/// Sends content in pieces, and ends it.
fn send(connection: &mut Connection, content: &[u8]) -> Result<(), Error> {
    for piece in content.chunks(50_000) {
        connection.content().send_all(piece)?;
    }
    connection.content().finish()
}

#[test]
fn uploads_arrive_unaltered_with_and_without_length_and_expectation() {
    let nginx = Nginx::start();
    let mut connection = nginx.connect();
    for manner in MANNERS {
        for length in [0, 1, 50_000, 3_000_001] {
            let target = format!("/uploads/of/{length}");
            let content = content(length);
            connection.send_request(manner.put(&target, length)).unwrap();
            if manner.expects && length > 0 {
                // nginx sends 100 (Continue) at once; `expect_timeout` (1 s) would have the same effect.
                let waited = Instant::now();
                assert_eq!(connection.wait_for_continue().unwrap(), Continue::Send);
                assert!(waited.elapsed() < Duration::from_millis(900), "{manner:?} with {length}: no 100 (Continue) came");
            }
            send(&mut connection, &content).unwrap();
            let response = connection.read_response().unwrap();
            assert_eq!(response.status(), 201, "{manner:?} with {length}");
            response.discard().unwrap();
            assert!(fs::read(nginx.path(&target[1..])).unwrap() == content, "{manner:?} with {length}");

            connection.send_request(Request::delete(&*target)).unwrap();
            assert_eq!(connection.read_response().unwrap().status(), 204);
            assert!(!nginx.path(&target[1..]).exists());
        }
    }
    assert_eq!(connection.close_reason(), None);
}

#[test]
fn pipelined_uploads_arrive_each_in_its_file() {
    let nginx = Nginx::start();
    let mut connection = nginx.connect();
    let length = |i: usize| i * 997 % 70_000;
    let requests = (0..200).map(|i| {
        let request = Request::put(format!("/uploads/many/{i}")).body(content(length(i)));
        if i % 10 == 7 { request.expect_continue() } else { request }
    });
    let mut pipeline = connection.pipeline(requests);
    let mut answered = 0;
    while let Some(response) = pipeline.next().unwrap() {
        assert_eq!(response.status(), 201);
        answered += 1;
    }
    assert_eq!(answered, 200);
    for i in 0..200 {
        assert!(fs::read(nginx.path(&format!("uploads/many/{i}"))).unwrap() == content(length(i)), "file {i}");
    }
}

#[test]
fn an_upload_that_is_too_large_is_refused_and_the_refusal_is_read() {
    let nginx = Nginx::start();
    // Far more than the system buffers on both sides hold, so a server that does not read stops it.
    let content = content(24 << 20);
    for manner in MANNERS {
        let mut connection = nginx.connect();
        connection.send_request(manner.put("/uploads/small/file", content.len())).unwrap();
        // The refusal may come before, within, or (if the server reads and discards the content) after it.
        match send(&mut connection, &content) {
            Ok(()) => assert!(!manner.expects || manner.is_chunked, "{manner:?}: the refusal came before the content"),
            Err(Error::Local(Misuse::ContentRefused)) => {}
            Err(error) => panic!("{manner:?}: {error}"),
        }
        let response = connection.read_response().unwrap();
        assert_eq!(response.status(), 413, "{manner:?}");
        assert!(response.fields().list_contains("Connection", "close"), "{manner:?}");
        let page = response.read_all().unwrap();
        assert!(page.ends_with(b"</html>\r\n"), "{manner:?}: {}", page.escape_ascii());
        assert_eq!(connection.outstanding().answered, 1);
        assert_eq!(connection.close_reason(), Some(CloseReason::ServerSaidClose), "{manner:?}");
        match connection.send_request(Request::get("/")) {
            Err(Error::Closed { cause: Closed::InOrder(CloseReason::ServerSaidClose), requests }) => {
                assert_eq!((requests.answered, requests.unanswered.len()), (1, 0));
            }
            other => panic!("{manner:?}: a request on a connection that closes gave {other:?}"),
        }
        assert!(!nginx.path("uploads/small/file").exists());

        let mut next = nginx.connect();
        next.send_request(Request::put("/uploads/small/file").body(&b"small"[..])).unwrap();
        assert_eq!(next.read_response().unwrap().status(), 201);
        fs::remove_file(nginx.path("uploads/small/file")).unwrap();
    }
}

#[test]
fn after_a_refusal_in_a_pipeline_the_later_requests_are_unanswered() {
    let nginx = Nginx::start();
    nginx.file("a", b"content of a");
    let mut connection = nginx.connect();
    let requests =
        [Request::get("/a"), Request::put("/uploads/small/file").body(content(8 << 20)), Request::get("/a"), Request::get("/a")];
    let mut pipeline = connection.pipeline(requests);
    assert_eq!(pipeline.next().unwrap().unwrap().read_all().unwrap(), b"content of a");
    assert_eq!(pipeline.next().unwrap().unwrap().status(), 413);
    let error = pipeline.next().unwrap_err();
    assert!(error.is_closed(), "{error}");
    let requests = error.requests().unwrap();
    assert_eq!(requests.answered, 2);
    let sent = requests.unanswered.len();
    assert!(requests.unanswered.iter().all(|request| request.is_safe_to_retry()));
    let (current, rest) = pipeline.into_rest();
    assert_eq!(sent + usize::from(current.is_some()) + rest.count(), 2);
}

#[test]
fn heads_ranges_and_unchanged_and_missing_files_are_pipelined() {
    let nginx = Nginx::start();
    let content = content(100_000);
    nginx.file("file", &content);
    let mut connection = nginx.connect();
    connection.send_request(Request::head("/file")).unwrap();
    let response = connection.read_response().unwrap();
    let etag = response.fields()["ETag"].to_owned();

    let requests = [
        Request::head("/file"),
        Request::get("/file").header("If-None-Match", &etag),
        Request::get("/file").header("Range", "bytes=5000-5999"),
        Request::get("/file").header("Range", "bytes=-1"),
        Request::get("/file").header("Range", "bytes=0-9, 99990-"),
        Request::get("/file").header("Range", "bytes=100000-"),
        Request::head("/missing"),
        Request::get("/missing"),
        Request::get("/file").header("If-None-Match", "\"other\""),
        Request::get("/file").header("If-Range", &etag).header("Range", "bytes=1-1"),
        Request::get("/file").header("If-Match", "\"other\""),
    ];
    let mut answers = Vec::new();
    let mut pipeline = connection.pipeline(requests);
    while let Some(response) = pipeline.next().unwrap() {
        answers.push(Answer::of(response));
    }
    assert_eq!(connection.close_reason(), None);

    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 304, 206, 206, 206, 416, 404, 404, 200, 206, 412]);
    let [head, unchanged, thousand, last, parts, beyond, missing_head, missing, changed, same, _] = &answers[..] else {
        panic!("there are eleven");
    };
    assert_eq!((&*head.announced, &*head.content), ("100000", &[][..]));
    assert!(unchanged.content.is_empty());
    assert_eq!((&*thousand.range, &*thousand.content), ("bytes 5000-5999/100000", &content[5000..6000]));
    assert_eq!((&*last.range, &*last.content), ("bytes 99999-99999/100000", &content[99_999..]));
    for part in [&content[..10], &content[99_990..]] {
        assert!(parts.content.windows(10).any(|found| found == part));
    }
    assert_eq!(beyond.range, "bytes */100000");
    assert!(missing_head.content.is_empty());
    assert_eq!(missing_head.announced, missing.content.len().to_string());
    assert!(changed.content == content);
    assert_eq!((&*same.range, &*same.content), ("bytes 1-1/100000", &content[1..2]));
}

/// A complete response.
struct Answer {
    status: u16,
    range: String,
    announced: String,
    content: Vec<u8>,
}

impl Answer {
    fn of(response: Response<'_>) -> Answer {
        let field = |name| response.fields().get(name).unwrap_or_default().to_owned();
        let (range, announced) = (field("Content-Range"), field("Content-Length"));
        Answer { status: response.status().as_u16(), range, announced, content: response.read_all().unwrap() }
    }
}

#[test]
fn after_a_server_closes_the_error_says_which_requests_were_answered() {
    let nginx = Nginx::start();
    for i in 0..10 {
        nginx.file(&i.to_string(), format!("file {i}").as_bytes());
    }
    let mut answered = Vec::new();
    let mut connections = 0;
    while answered.len() < 10 {
        let first = answered.len();
        let mut connection = connect(nginx.brief);
        connections += 1;
        let mut pipeline = connection.pipeline((first..10).map(|i| Request::get(format!("/{i}"))));
        let error = loop {
            match pipeline.next() {
                Ok(Some(response)) => answered.push(response.read_all().unwrap()),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = error {
            let Error::Closed { cause: Closed::InOrder(CloseReason::ServerSaidClose), requests } = error else {
                panic!("{error:?}");
            };
            assert_eq!((requests.answered, answered.len() - first), (3, 3));
            let unanswered: Vec<u64> = requests.unanswered.iter().map(|request| request.number).collect();
            assert_eq!(unanswered, (3..3 + unanswered.len() as u64).collect::<Vec<_>>());
            assert!(requests.unanswered.iter().all(|request| !request.answer_begun && request.is_safe_to_retry()));
            let (current, rest) = pipeline.into_rest();
            assert_eq!(3 + unanswered.len() + usize::from(current.is_some()) + rest.count(), 10 - first);
        }
    }
    assert_eq!(connections, 4);
    for (i, content) in answered.iter().enumerate() {
        assert_eq!(content, format!("file {i}").as_bytes());
    }
}

#[test]
fn a_request_that_is_not_valid_never_reaches_the_server() {
    let nginx = Nginx::start();
    nginx.file("a", b"content of a");
    let mut connection = nginx.connect();
    let refused = |result: Result<u64, Error>| matches!(result, Err(Error::Local(_)));
    assert!(refused(connection.send_request(Request::get("/a b"))));
    assert!(refused(connection.send_request(Request::get("/a\r\nHost: elsewhere"))));
    assert!(refused(connection.send_request(Request::get("/a").header("X-Split", "a\r\nb: c"))));
    assert!(refused(connection.send_request(Request::get("/a").header("bad name", "value"))));
    assert!(refused(connection.send_request(Request::get("/a").header("Host", "two words"))));
    assert!(connection.outstanding().unanswered.is_empty());
    connection.send_request(Request::get("/a")).unwrap();
    assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"content of a");
    assert_eq!(connection.outstanding().answered, 1);
}
