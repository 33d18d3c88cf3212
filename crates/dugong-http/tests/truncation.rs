//! Responses cut off at every byte and read in every way: always an error, never a short body.

mod support;

use std::io::{BufRead, Read};

use dugong_http::{CloseReason, Closed, Connection, Error, Incomplete, Method, Request, Sent, Within};
use support::{Server, connected, inner};

/// A way in which the server cuts the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Fin,
    Reset,
}

/// A way of reading a response to its end.
#[derive(Clone, Copy, Debug)]
enum Way {
    ReadAll,
    SmallReads,
    LargeReads,
    Lines,
    Discard,
    ReadToEnd,
    ReadToVec,
    Pipeline,
}

const WAYS: [Way; 8] =
    [Way::ReadAll, Way::SmallReads, Way::LargeReads, Way::Lines, Way::Discard, Way::ReadToEnd, Way::ReadToVec, Way::Pipeline];

impl Way {
    /// Reads the next response in this way. An error comes with the content before it, if this way of reading returns that.
    fn read(self, connection: &mut Connection) -> Result<Vec<u8>, (Vec<u8>, Error)> {
        let nothing = |error| (Vec::new(), error);
        if let Way::Pipeline = self {
            let mut pipeline = connection.pipeline(Vec::<Request>::new());
            let response = pipeline.next().map_err(nothing)?.expect("requests are outstanding");
            return response.read_all().map_err(nothing);
        }
        let mut response = connection.read_response().map_err(nothing)?;
        let mut content = Vec::new();
        let result = match self {
            Way::ReadAll => return response.read_all().map_err(nothing),
            Way::Discard => return response.discard().map(|()| content).map_err(nothing),
            Way::SmallReads => in_pieces(&mut response, 3, &mut content),
            Way::LargeReads => in_pieces(&mut response, 100_000, &mut content),
            Way::Lines => loop {
                match response.fill_buf() {
                    Ok([]) => break Ok(()),
                    Ok(bytes) => {
                        let count = bytes.len().min(2);
                        content.extend_from_slice(&bytes[..count]);
                        response.consume(count);
                    }
                    Err(error) => break Err(inner(error)),
                }
            },
            Way::ReadToEnd => response.read_to_end(&mut content).map(drop).map_err(inner),
            Way::ReadToVec => response.read_to(&mut content),
            Way::Pipeline => unreachable!("done above"),
        };
        match result {
            Ok(()) => Ok(content),
            Err(error) => Err((content, error)),
        }
    }

    /// Whether the caller gets the content before an error.
    fn gives_all(self) -> bool {
        !matches!(self, Way::ReadAll | Way::Discard | Way::Pipeline)
    }
}

fn in_pieces(reader: &mut impl Read, size: usize, content: &mut Vec<u8>) -> Result<(), Error> {
    let mut buffer = vec![0; size];
    loop {
        match reader.read(&mut buffer).map_err(inner)? {
            0 => return Ok(()),
            count => content.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A response in parts. A cut before a byte of a part is reported as within that part.
type Parts<'a> = &'a [(Within, &'a str)];

const HEAD: Within = Within::Head;
const LINE: Within = Within::ChunkLine;
const DATA: Within = Within::Content;

const WITH_LENGTH: Parts<'_> = &[(HEAD, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 11\r\n\r\n"), (DATA, "hello\nworld")];

const CHUNKED: Parts<'_> = &[
    (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (LINE, "5;a=b\r\n"),
    (DATA, "hello"),
    (LINE, "\r\n6\r\n"),
    (DATA, "\nworld"),
    (LINE, "\r\n0\r\n"),
    (Within::Trailers, "X-Sum: 1\r\nX: 2\r\n\r\n"),
];

const BEHIND_INTERIM: Parts<'_> = &[
    (HEAD, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"),
    (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
    (DATA, "ok"),
];

fn text(parts: Parts<'_>) -> String {
    parts.iter().map(|(_, text)| *text).collect()
}

/// The error that a cut before byte `at` must give, and the content before it.
fn expected(parts: Parts<'_>, at: usize, length: Option<u64>) -> (Incomplete, String) {
    let mut left = at;
    let mut content = String::new();
    for &(within, text) in parts {
        if left < text.len() {
            if within == DATA {
                content += &text[..left];
            }
            let (within, received) = match (within, left) {
                (Within::Head, 0) => (Within::Nothing, 0),
                (Within::Head, left) => (Within::Head, left as u64),
                (within, _) => (within, content.len() as u64),
            };
            return (Incomplete::new(within, received, length.filter(|_| within == DATA)), content);
        }
        left -= text.len();
        if within == DATA {
            content += text;
        }
    }
    panic!("{at} is not within the response");
}

/// A connection with a GET and a POST outstanding.
fn asked() -> (Connection, Server) {
    let (mut connection, server) = connected();
    connection.send_request(Request::get("/a")).unwrap();
    connection.send_request(Request::post("/b").body("x")).unwrap();
    (connection, server)
}

/// Cuts the connection. Returns the server if it has only closed its own direction.
fn cut(mut server: Server, how: Cut) -> Option<Server> {
    match how {
        Cut::Fin => server.fin(),
        Cut::Reset => {
            server.reset();
            return None;
        }
    }
    Some(server)
}

fn check(error: &Error, wanted: Incomplete, how: Cut, context: &str) {
    let Error::Closed { cause: Closed::Incomplete(incomplete, said), .. } = error else { panic!("{context}: {error:?}") };
    assert_eq!(*incomplete, wanted, "{context}");
    match how {
        Cut::Fin => assert!(said.is_none(), "{context}: {said:?}"),
        Cut::Reset => {
            assert_eq!(said.as_ref().map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionReset), "{context}");
        }
    }
}

fn every_cut_is_an_error(parts: Parts<'_>, length: Option<u64>) {
    let whole = text(parts);
    for at in 0..whole.len() {
        for how in [Cut::Fin, Cut::Reset] {
            for way in WAYS {
                let context = format!("{how:?} before byte {at}, {way:?}");
                let (mut connection, mut server) = asked();
                server.deliver(&whole[..at]);
                let (wanted, before) = expected(parts, at, length);
                let _open = cut(server, how);
                let (content, error) = way.read(&mut connection).expect_err(&context);
                check(&error, wanted, how, &context);
                let content = String::from_utf8(content).unwrap();
                if way.gives_all() {
                    assert_eq!(content, before, "{context}");
                }
                let requests = error.requests().unwrap();
                assert_eq!((requests.answered, requests.unanswered.len()), (0, 2), "{context}");
                let [get, post] = requests.unanswered[..] else { unreachable!("there are two") };
                assert_eq!((get.number, get.sent, get.answer_begun), (0, Sent::Whole, at > 0), "{context}");
                assert_eq!((post.number, post.sent, post.answer_begun), (1, Sent::Whole, false), "{context}");
                assert!(get.is_safe_to_retry() && !post.is_safe_to_retry(), "{context}");
                assert_eq!(connection.close_reason(), Some(CloseReason::Broken), "{context}");
                // The error stays the same.
                let again = match connection.current_response() {
                    Some(response) => response.read_all().unwrap_err(),
                    None => connection.read_response().map(drop).unwrap_err(),
                };
                assert!(
                    matches!(&again, Error::Closed { cause: Closed::Incomplete(same, _), .. } if *same == wanted),
                    "{context}"
                );
                assert!(connection.send_request(Request::get("/c")).unwrap_err().is_closed(), "{context}");
            }
        }
    }
}

#[test]
fn content_with_a_length_is_whole_or_an_error() {
    every_cut_is_an_error(WITH_LENGTH, Some(11));
}

#[test]
fn chunked_content_is_whole_or_an_error() {
    every_cut_is_an_error(CHUNKED, None);
}

#[test]
fn a_head_behind_an_interim_response_is_whole_or_an_error() {
    every_cut_is_an_error(BEHIND_INTERIM, Some(2));
}

#[test]
fn an_uncut_response_is_read_whole_in_every_way() {
    for parts in [WITH_LENGTH, CHUNKED] {
        for how in [Cut::Fin, Cut::Reset] {
            for way in WAYS {
                let (mut connection, mut server) = asked();
                server.deliver(text(parts));
                let _open = cut(server, how);
                let content = way.read(&mut connection).map_err(|(_, error)| error).unwrap();
                assert_eq!(String::from_utf8(content).unwrap(), if let Way::Discard = way { "" } else { "hello\nworld" });
                let error = connection.read_response().map(drop).unwrap_err();
                check(&error, Incomplete::new(Within::Nothing, 0, None), how, "the second response");
                assert_eq!(error.requests().unwrap().answered, 1);
                assert_eq!(error.requests().unwrap().unanswered.len(), 1);
            }
        }
    }
}

#[test]
fn close_delimited_content_is_an_error_if_the_connection_breaks() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    for length in [0, 1, 5, 11] {
        for way in WAYS {
            let (mut connection, mut server) = asked();
            server.deliver(head);
            server.deliver(&"hello\nworld"[..length]);
            server.reset();
            let (content, error) = way.read(&mut connection).unwrap_err();
            let wanted = Incomplete::new(Within::Content, length as u64, None);
            check(&error, wanted, Cut::Reset, &format!("{way:?}"));
            if way.gives_all() {
                assert_eq!(content, "hello\nworld".as_bytes()[..length]);
            }
        }
    }
}

#[test]
fn close_delimited_content_is_whole_if_the_server_closes_the_connection() {
    for way in WAYS {
        let (mut connection, mut server) = asked();
        server.deliver("HTTP/1.1 200 OK\r\n\r\nhello\nworld");
        server.fin();
        let content = way.read(&mut connection).map_err(|(_, error)| error).unwrap();
        assert_eq!(String::from_utf8(content).unwrap(), if let Way::Discard = way { "" } else { "hello\nworld" });
        let error = connection.read_response().map(drop).unwrap_err();
        assert!(matches!(error, Error::Closed { cause: Closed::InOrder(CloseReason::CloseDelimited), .. }), "{error:?}");
        assert_eq!(error.requests().unwrap().answered, 1);
    }
}

#[test]
fn large_content_that_bypasses_the_buffer_is_whole_or_an_error() {
    const LENGTH: usize = 100_000;
    let chunk = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\n");
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    for head in [&chunk, &length, "HTTP/1.1 200 OK\r\n\r\n"] {
        for how in [Cut::Fin, Cut::Reset] {
            for at in [0, 1, 16 * 1024, 70_000, LENGTH - 1] {
                for way in WAYS {
                    let context = format!("{head:?}, {how:?} after {at}, {way:?}");
                    let (mut connection, mut server) = asked();
                    server.deliver(head);
                    for piece in "x".repeat(at).as_bytes().chunks(30_000) {
                        server.deliver(piece);
                    }
                    let _open = cut(server, how);
                    let result = way.read(&mut connection);
                    if how == Cut::Fin && head.len() < 30 {
                        result.map_err(|(_, error)| error).expect(&context);
                        continue;
                    }
                    let expected = (head == length).then_some(LENGTH as u64);
                    let (content, error) = result.expect_err(&context);
                    check(&error, Incomplete::new(Within::Content, at as u64, expected), how, &context);
                    assert!(!way.gives_all() || content.len() == at, "{context}");
                }
            }
        }
    }
}

#[test]
fn a_response_without_content_is_not_cut_by_the_end_behind_it() {
    for (request, response) in [
        (Request::head("/"), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        (Request::get("/"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        (Request::new(Method::DELETE, "/"), "HTTP/1.1 204 No Content\r\n\r\n"),
    ] {
        for how in [Cut::Fin, Cut::Reset] {
            let (mut connection, mut server) = connected();
            connection.send_request(request.clone()).unwrap();
            server.deliver(response);
            let _open = cut(server, how);
            assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"");
            assert_eq!(connection.outstanding().answered, 1);
        }
    }
}

#[test]
fn a_short_body_is_an_error_of_kind_unexpected_eof_for_copies() {
    let (mut connection, mut server) = asked();
    server.deliver("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello");
    server.fin();
    let mut response = connection.read_response().unwrap();
    let error = std::io::copy(&mut response, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(error.to_string(), "the connection ended after 5 of 6 bytes of content");
}
