//! Servers stop reading, never read, or answer before they have read. The client must neither hang nor grow.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use dugong_http::{CloseReason, Config, Connection, Error, Fields, Misuse, Request};
use dugong_origin::Origin;
use support::{GUARD, config, connected, connected_with};

/// Requests of the large pipeline; their answers add up to 1.3 GB.
const MANY: usize = 20_000;

/// For waits that should time out.
const SHORT: Duration = Duration::from_millis(50);

const BUFFER: usize = 64 * 1024;

/// A request of about 4 KiB for `target`.
fn large_head(target: &str) -> Request {
    Request::get(target).header("X-Filler", "f".repeat(4000))
}

/// The content of an upload.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 % 251) as u8).collect()
}

fn to(origin: &Origin, config: &Config) -> Connection {
    config.connect(format!("http://{}", origin.address())).expect("an origin that listens")
}

fn lockstep() -> Origin {
    Origin::start(dugong_origin::Config { lockstep: true, ..Default::default() }).expect("a free port")
}

#[test]
fn a_pipeline_of_large_requests_and_answers_ends_on_one_thread() {
    let origin = lockstep();
    let mut connection = to(&origin, &config());
    let request = large_head("/bytes/65536");
    let mut buffer = vec![0; 32 * 1024];
    let (mut answers, mut bytes) = (0, 0);
    let info = allocation_counter::measure(|| {
        let mut pipeline = connection.pipeline((0..MANY).map(|_| &request));
        while let Some(mut response) = pipeline.next().unwrap() {
            assert_eq!(response.number(), answers);
            loop {
                match response.read_content(&mut buffer).unwrap() {
                    0 => break,
                    count => bytes += count,
                }
            }
            answers += 1;
        }
    });
    assert_eq!((answers, bytes), (MANY as u64, MANY * 65536));
    // The receive buffer, plus the send buffer with one request beyond its limit: it grows by doubling, and both copies exist then.
    let bound = BUFFER + 3 * (BUFFER + 5 * 1024);
    assert!(info.bytes_max <= bound as u64, "{} bytes were held, more than {bound}", info.bytes_max);
}

/// Sends a request again and again until that fails. Returns how many requests the connection has taken in all, and the error.
fn send_until_refused(connection: &mut Connection, request: &Request, mut accepted: u64) -> (u64, Error) {
    loop {
        match connection.send_request(request) {
            Ok(number) => assert_eq!(number, accepted),
            Err(error) => return (accepted, error),
        }
        accepted += 1;
        assert!(accepted < 100_000, "the system takes everything");
    }
}

#[test]
fn requests_to_a_server_that_reads_nothing_time_out_and_none_is_cut() {
    let (mut connection, server) = connected_with(&config().timeout(SHORT));
    let request = large_head("/");
    let (accepted, error) = send_until_refused(&mut connection, &request, 0);
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert_eq!(connection.outstanding().unanswered.len() as u64, accepted);
    let head = "GET / HTTP/1.1\r\nHost: origin\r\nX-Filler: ".len() + 4000 + 4;
    let mut stream = server.into_stream();
    let reader = thread::spawn(move || {
        let mut received = vec![0; head * accepted as usize];
        stream.read_exact(&mut received).unwrap();
        for _ in 0..accepted {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        (received, rest)
    });
    connection.set_timeout(Some(GUARD));
    for number in 0..accepted {
        let response = connection.read_response().unwrap();
        assert_eq!((response.number(), response.status().as_u16()), (number, 204));
    }
    assert!(matches!(connection.read_response(), Err(Error::Local(Misuse::NothingOutstanding))));
    assert_eq!(connection.close().unanswered, []);
    let (received, rest) = reader.join().unwrap();
    assert!(received.chunks(head).all(|request| request.starts_with(b"GET / ") && request.ends_with(b"f\r\n\r\n")));
    assert_eq!(rest.escape_ascii().to_string(), "");
}

#[test]
fn requests_with_too_many_unread_answers_are_refused_whole_and_all_answers_can_be_read() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = to(&origin, &config());
    let request = large_head("/bytes/65536");
    let mut accepted = 0;
    let mut read = 0;
    for _ in 0..3 {
        let error;
        (accepted, error) = send_until_refused(&mut connection, &request, accepted);
        assert!(matches!(error, Error::Local(Misuse::ReadFirst)), "{error:?}");
        while read < accepted {
            let response = connection.read_response().unwrap();
            assert_eq!(response.number(), read);
            assert_eq!(response.read_all().unwrap().len(), 65536);
            read += 1;
        }
    }
    assert!(matches!(connection.read_response(), Err(Error::Local(Misuse::NothingOutstanding))));
    assert_eq!(origin.counts().requests, accepted, "a refused request was not sent");
}

#[test]
fn the_send_and_receive_buffers_are_bounded() {
    use dugong_http::driver::{Engine, Progress, Socket};

    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let config = config();
    let mut engine = Engine::new("origin", &config).unwrap();
    let socket = Socket::new(TcpStream::connect(origin.address()).unwrap()).unwrap();
    let request = large_head("/bytes/65536");
    let mut accepted = 0;
    let refused = loop {
        let mut duplex = engine.duplex();
        match duplex.send_request(&request, &mut &socket) {
            Ok(Progress::Done(_)) => accepted += 1,
            Ok(Progress::Needs(interest)) => assert!(socket.wait(interest, Some(GUARD)).unwrap()),
            Err(error) => break error,
        }
        assert!(accepted < 100_000, "the system takes everything");
        let pending = engine.sending().half().to_send().len();
        assert!(pending <= BUFFER + 4 * 1024 + 512, "{pending} bytes wait to be sent");
        assert!(engine.receiving().half().buffer_capacity() <= BUFFER);
    };
    assert!(matches!(refused, Error::Local(Misuse::ReadFirst)), "{refused:?}");
    let capacity = engine.sending().half().buffer_capacity();
    assert!(capacity <= 2 * BUFFER + 8 * 1024, "{capacity} bytes are held to send at most {BUFFER}");
}

/// Uploads to a server that has refused already: the writer is told, and the response can be read.
fn refused_upload(request: &Request, upload: impl FnOnce(&mut Connection) -> Result<(), Error>) {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = to(&origin, &config());
    connection.send_request(request).unwrap();
    let error = upload(&mut connection).unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::ContentRefused)), "{error:?}");
    let response = connection.read_response().unwrap();
    assert_eq!((response.number(), response.status().as_u16()), (0, 413));
    response.discard().unwrap();
    assert_eq!(connection.close_reason(), Some(CloseReason::ServerSaidClose));
    let error = connection.send_request(Request::get("/small")).unwrap_err();
    assert!(error.is_closed(), "{error:?}");
    assert_eq!(error.requests().unwrap().answered, 1);
}

#[test]
fn an_early_answer_ends_an_upload_with_a_length() {
    let content = content(16 << 20);
    let request = Request::put("/x?early=1").content_length(content.len() as u64);
    refused_upload(&request, |connection| connection.content().send_all(&content));
}

#[test]
fn an_early_answer_ends_a_chunked_upload() {
    let content = content(16 << 20);
    refused_upload(&Request::put("/x?early=1").chunked(), |connection| connection.content().send_all(&content));
}

#[test]
fn an_early_answer_ends_an_upload_that_waits_for_100() {
    let content = content(1000);
    let request = Request::put("/x?early=1").content_length(1000).expect_continue();
    refused_upload(&request, |connection| connection.content().send_all(&content));
}

#[test]
fn an_early_answer_to_content_given_with_the_request_can_be_read() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let content = content(16 << 20);
    for request in [Request::put("/x?early=1").body(content.clone()), Request::put("/x?early=1").body("abc").expect_continue()] {
        let mut connection = to(&origin, &config().timeout(Duration::from_secs(2)));
        assert_eq!(connection.send_request(&request).unwrap(), 0);
        let response = connection.read_response().unwrap();
        assert_eq!(response.status(), 413);
        response.read_all().unwrap();
        assert_eq!(connection.close_reason(), Some(CloseReason::ServerSaidClose));
    }
}

#[test]
fn an_early_answer_ends_the_connection_even_without_connection_close() {
    // The server keeps the connection open, but reads nothing.
    let (mut connection, mut server) = connected();
    connection.send_request(Request::put("/x").chunked()).unwrap();
    server.deliver("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let content = content(32 << 20);
    let error = connection.content().send_all(&content).unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::ContentRefused)), "{error:?}");
    assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"no");
    assert_eq!(connection.close_reason(), Some(CloseReason::ContentNotSent));
    let error = connection.content().send(b"more").unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::ContentRefused)), "{error:?}");
    assert!(connection.send_request(Request::get("/")).unwrap_err().is_closed());
}

#[test]
fn content_goes_on_after_an_early_answer_as_long_as_the_server_takes_it() {
    let (mut connection, mut server) = connected();
    connection.send_request(Request::put("/x").content_length(4)).unwrap();
    connection.content().send_all(b"ab").unwrap();
    server.deliver("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    connection.content().send_all(b"cd").unwrap();
    assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"ok");
    assert_eq!(connection.close_reason(), None);
    connection.send_request(Request::get("/")).unwrap();
    server.expect("PUT /x HTTP/1.1\r\nHost: origin\r\nContent-Length: 4\r\n\r\nabcdGET / HTTP/1.1\r\nHost: origin\r\n\r\n");
}

/// Sends content back while receiving it, holding at most one buffer of it.
fn echo(mut stream: TcpStream, head: usize, length: usize) {
    stream.read_exact(&mut vec![0; head]).unwrap();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").unwrap();
    let mut buffer = vec![0; 16 * 1024];
    let mut left = length;
    while left > 0 {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0 && count <= left, "{count} bytes, {left} left");
        stream.write_all(&buffer[..count]).unwrap();
        left -= count;
    }
    assert_eq!(stream.read(&mut buffer).unwrap(), 0);
}

#[test]
fn one_thread_uploads_and_downloads_at_once_by_turns() {
    const LENGTH: usize = 24 << 20;
    let (mut connection, server) = connected();
    let head = format!("PUT /echo HTTP/1.1\r\nHost: origin\r\nContent-Length: {LENGTH}\r\n\r\n").len();
    let server = thread::spawn(move || echo(server.into_stream(), head, LENGTH));
    connection.send_request(Request::put("/echo").content_length(LENGTH as u64)).unwrap();
    let content = content(LENGTH);
    let (mut sent, mut received, mut begun, mut refusals) = (0, Vec::new(), false, 0);
    let mut buffer = vec![0; 64 * 1024];
    while received.len() < LENGTH {
        while sent < LENGTH {
            match connection.content().send(&content[sent..]) {
                Ok(count) => sent += count,
                Err(Error::Local(Misuse::ContentRefused)) => {
                    refusals += 1;
                    break;
                }
                Err(error) => panic!("{error:?} after {sent}"),
            }
        }
        if !begun {
            assert_eq!(connection.read_response().unwrap().status(), 200);
            begun = true;
        }
        let count = connection.current_response().unwrap().read_content(&mut buffer).unwrap();
        assert!(count > 0);
        received.extend_from_slice(&buffer[..count]);
    }
    assert!(refusals > 0, "nothing ever had to wait");
    assert!(received == content, "other bytes came back");
    if let Some(mut rest) = connection.current_response() {
        assert_eq!(rest.read_content(&mut buffer).unwrap(), 0);
    }
    assert_eq!((connection.close_reason(), connection.content_left()), (None, None));
    connection.close();
    server.join().unwrap();
}

#[test]
fn two_threads_upload_and_download_at_once() {
    const LENGTH: usize = 24 << 20;
    let (connection, server) = connected();
    let head = format!("PUT /echo HTTP/1.1\r\nHost: origin\r\nContent-Length: {LENGTH}\r\n\r\n").len();
    let server = thread::spawn(move || echo(server.into_stream(), head, LENGTH));
    let (mut requests, mut responses) = connection.split();
    let content = content(LENGTH);
    let sent = content.clone();
    let sender = thread::spawn(move || requests.send_request(Request::put("/echo").body(sent)).map(|_| requests));
    let received = responses.read_response().unwrap().unwrap().read_all().unwrap();
    assert!(received == content, "other bytes came back");
    drop((sender.join().unwrap().unwrap(), responses));
    server.join().unwrap();
}

#[test]
fn content_to_a_server_that_reads_nothing_times_out_and_resumes_where_it_stopped() {
    const LENGTH: usize = 16 << 20;
    let (mut connection, server) = connected_with(&config().timeout(SHORT));
    let content = content(LENGTH);
    connection.send_request(Request::put("/x").body(content.clone())).unwrap();
    let error = connection.flush().unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    let left = connection.content_left().expect("some of it") as usize;
    assert!(left > 0 && left < LENGTH);
    let mut stream = server.into_stream();
    let reader = thread::spawn(move || {
        let mut received = vec![0; format!("PUT /x HTTP/1.1\r\nHost: origin\r\nContent-Length: {LENGTH}\r\n\r\n").len() + LENGTH];
        stream.read_exact(&mut received).unwrap();
        stream.write_all(support::HELLO.as_bytes()).unwrap();
        received
    });
    connection.set_timeout(Some(GUARD));
    connection.flush().unwrap();
    assert_eq!(connection.content_left(), None);
    assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"hello");
    assert!(reader.join().unwrap().ends_with(&content));
}

#[test]
fn chunks_stay_whole_whichever_call_times_out() {
    let (mut connection, server) = connected_with(&config().timeout(Duration::from_millis(5)));
    let all = content(32 << 20);
    let mut stream = server.into_stream();
    connection.send_request(Request::put("/x").chunked()).unwrap();
    let (mut sent, mut timeouts) = (0, 0);
    let mut reader = None;
    while sent < all.len() {
        let end = all.len().min(sent + 100_000);
        match connection.content().send(&all[sent..end]) {
            Ok(count) => sent += count,
            Err(Error::TimedOut { .. }) => timeouts += 1,
            Err(error) => panic!("{error:?}"),
        }
        if timeouts == 3 && reader.is_none() {
            let mut stream = stream.try_clone().unwrap();
            reader = Some(thread::spawn(move || {
                let mut received = Vec::new();
                let mut buffer = vec![0; 64 * 1024];
                while !received.ends_with(b"\r\n0\r\nX-Last: 1\r\n\r\n") {
                    let count = stream.read(&mut buffer).unwrap();
                    assert!(count > 0, "the end came too early");
                    received.extend_from_slice(&buffer[..count]);
                }
                received
            }));
        }
    }
    assert!(timeouts >= 3);
    connection.set_timeout(Some(GUARD));
    let mut trailers = Fields::new();
    trailers.append("X-Last", "1").unwrap();
    connection.content().finish_with_trailers(&trailers).unwrap();
    connection.content().flush().unwrap();
    // The client sends the rest while it waits for the response.
    let answering = thread::spawn(move || {
        let received = reader.expect("it timed out").join().unwrap();
        stream.write_all(support::HELLO.as_bytes()).unwrap();
        received
    });
    assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"hello");
    let received = answering.join().unwrap();
    let mut rest = received.strip_prefix(b"PUT /x HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut decoded = Vec::new();
    loop {
        let line = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            break;
        }
        decoded.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
    }
    assert_eq!(rest, b"X-Last: 1\r\n\r\n");
    assert!(decoded == all, "other content was sent");
}

#[test]
fn content_behind_unread_answers_fails_with_read_first() {
    let origin = lockstep();
    let mut connection = to(&origin, &config());
    for _ in 0..200 {
        connection.send_request(Request::get("/bytes/65536")).unwrap();
    }
    let content = content(16 << 20);
    connection.send_request(Request::put("/x?digest=0").content_length(content.len() as u64)).unwrap();
    let (mut sent, mut read) = (0, 0);
    while sent < content.len() {
        match connection.content().send(&content[sent..]) {
            Ok(count) => sent += count,
            Err(Error::Local(Misuse::ReadFirst)) => {
                assert_eq!(connection.read_response().unwrap().read_all().unwrap().len(), 65536);
                read += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(read > 0, "nothing ever had to wait");
    for _ in read..200 {
        connection.read_response().unwrap().discard().unwrap();
    }
    let answer = connection.read_response().unwrap().read_all().unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), format!("{{\"length\":{},\"sha256\":null}}", content.len()));
}
