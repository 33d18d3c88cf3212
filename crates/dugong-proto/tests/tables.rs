//! Tables of framing and persistence. They name every combination. We derive the expected results from the text of the RFCs,
//! rule by rule, without looking at the crate.

use dugong_proto::{Announced, CloseReason, Connection, Error, Event, Malformed, Method, Misuse, RequestHead};

const CONNECT_TARGET: &str = "example.org:443";

fn request(method: &Method, client_close: bool) -> RequestHead {
    let target = if *method == Method::CONNECT { CONNECT_TARGET } else { "/" };
    let mut request = RequestHead::new(method.clone(), target).expect("a valid target");
    if client_close {
        request.fields.append("Connection", "close").expect("a valid field");
    }
    request
}

fn connection_with(request: &RequestHead) -> Connection {
    let mut connection = Connection::new("example.org").expect("a valid host");
    connection.send_request(request).expect("a request that may be sent");
    connection.sent(connection.to_send().len());
    connection
}

/// How a response was framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framed {
    /// Without content, or with a length of 0.
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
    Tunnel,
    Faulty(Malformed, u64),
}

#[derive(Clone, Copy, Debug)]
struct Row {
    method: &'static str,
    version: &'static str,
    status: u16,
    coding: Option<&'static str>,
    length: Option<&'static str>,
    /// Content-Length comes before Transfer-Encoding.
    length_first: bool,
}

const METHODS: [&str; 3] = ["GET", "HEAD", "CONNECT"];
const STATUSES: [u16; 5] = [200, 204, 205, 304, 404];
const VERSIONS: [&str; 2] = ["1.0", "1.1"];
const CODINGS: [Option<&str>; 5] = [None, Some("chunked"), Some("identity"), Some("gzip"), Some("gzip, chunked")];
const LENGTHS: [Option<&str>; 5] = [None, Some("0"), Some("5"), Some("x"), Some("5, 6")];

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for method in METHODS {
        for version in VERSIONS {
            for status in STATUSES {
                for coding in CODINGS {
                    for length in LENGTHS {
                        for length_first in [true, false] {
                            rows.push(Row { method, version, status, coding, length, length_first });
                        }
                    }
                }
            }
        }
    }
    rows
}

impl Row {
    fn head(&self) -> String {
        let coding = self.coding.map(|coding| format!("Transfer-Encoding: {coding}\r\n")).unwrap_or_default();
        let length = self.length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
        let fields = if self.length_first { length + &coding } else { coding + &length };
        format!("HTTP/{} {} Fine\r\nX: y\r\n{fields}\r\n", self.version, self.status)
    }

    /// The offset at which the value of a field begins.
    fn at(&self, name: &str) -> u64 {
        let before = format!("\r\n{name}: ");
        (self.head().find(&before).expect("the field is there") + before.len()) as u64
    }

    /// The offset of the second value of `5, 6`.
    fn at_second_length(&self) -> u64 {
        self.at("Content-Length") + 3
    }

    /// The rules, in the order of RFC 9112 §6.3.
    fn expected(&self) -> Framed {
        let successful = (200..300).contains(&self.status);
        let codings: Vec<&str> = self.coding.iter().flat_map(|codings| codings.split(", ")).collect();

        // "any 2xx (Successful) response to a CONNECT request implies that the connection will become a tunnel immediately
        // after the empty line" (rule 2), 204 included: rule 1 only says that the message ends there.
        if self.method == "CONNECT" && successful {
            return Framed::Tunnel;
        }
        // "Any response to a HEAD request and any response with a 1xx, 204, or 304 status code is always terminated by the
        // first empty line" (rule 1).
        if self.method == "HEAD" || matches!(self.status, 204 | 304) {
            return Framed::Empty;
        }
        // In HTTP/1.1, a lone identity counts as no coding (an exception of this project).
        let coded = !codings.is_empty() && (self.version == "1.0" || codings != ["identity"]);
        // "such a message might indicate an attempt to perform request smuggling or response splitting and ought to be handled
        // as an error" (rule 3).
        if coded && self.length.is_some() {
            let later = if self.length_first { "Transfer-Encoding" } else { "Content-Length" };
            return Framed::Faulty(Malformed::CodingAndLength, self.at(later));
        }
        // "a client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat the message as if
        // the framing is faulty" (§6.1).
        if coded && self.version == "1.0" {
            return Framed::Faulty(Malformed::CodingInHttp10, self.at("Transfer-Encoding"));
        }
        // "If a Transfer-Encoding header field is present and the chunked transfer coding is the final encoding" (rule 4); any
        // other coding is one that was not asked for (§7.4: we never send TE).
        if coded && codings == ["chunked"] {
            return Framed::Chunked;
        }
        if coded {
            return Framed::Faulty(Malformed::TransferCoding, self.at("Transfer-Encoding"));
        }
        // "an invalid Content-Length header field [...] the client MUST close the connection and discard the response" (rule
        // 5), "a valid Content-Length" (rule 6), "declared number of octets" up to the close (rule 8).
        match self.length {
            Some("0") => Framed::Empty,
            Some("5") => Framed::Length(5),
            Some("5, 6") => Framed::Faulty(Malformed::ContentLengthsDiffer, self.at_second_length()),
            Some(_) => Framed::Faulty(Malformed::ContentLength, self.at("Content-Length")),
            None => Framed::UntilClose,
        }
    }

    /// How the core frames it. The same bytes follow every head, and the way in which they come out shows how they were read.
    fn seen(&self) -> Framed {
        const PROBE: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";
        let method = Method::new(self.method).expect("a valid method");
        let mut connection = connection_with(&request(&method, false));
        assert_eq!(connection.receive(self.head().as_bytes()), self.head().len());
        match connection.next_event() {
            Ok(Some(Event::Response(head))) => assert_eq!(head.status(), self.status),
            other => panic!("a head comes first, however its content is framed, but there was {other:?}"),
        }
        match connection.next_event() {
            Ok(None) => {}
            Ok(Some(Event::End(trailers))) => {
                assert!(trailers.is_empty());
                return Framed::Empty;
            }
            Err(Error::Remote { what, at, .. }) => return Framed::Faulty(what, at),
            other => panic!("nothing came behind the head, but there was {other:?}"),
        }
        connection.receive(PROBE);
        let (mut content, mut ended) = (Vec::new(), false);
        while !ended {
            match connection.next_event() {
                Ok(Some(Event::Content(bytes))) => content.extend_from_slice(bytes),
                Ok(Some(Event::Raw(bytes))) => {
                    assert_eq!(bytes, PROBE);
                    return Framed::Tunnel;
                }
                Ok(Some(Event::End(_))) => ended = true,
                Ok(None) => break,
                other => panic!("there was {other:?}"),
            }
        }
        match (ended, content.as_slice()) {
            (true, b"hello") => Framed::Chunked,
            (true, content) if PROBE.starts_with(content) => Framed::Length(content.len()),
            (false, content) if content == PROBE => {
                connection.receive_eof();
                assert!(matches!(connection.next_event(), Ok(Some(Event::End(_)))), "the end of the connection is the end");
                Framed::UntilClose
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn content_is_framed_by_the_rules_of_rfc_9112_in_their_order() {
    let rows = rows();
    assert_eq!(rows.len(), 3 * 2 * 5 * 5 * 5 * 2);
    let wrong = rows.iter().filter(|row| row.seen() != row.expected());
    let wrong: Vec<String> = wrong.map(|row| format!("{row:?}: {:?}, not {:?}", row.seen(), row.expected())).collect();
    let shown = &wrong[..wrong.len().min(30)];
    assert!(wrong.is_empty(), "{} of {} rows, the first of them:\n{}", wrong.len(), rows.len(), shown.join("\n"));
}

#[derive(Clone, Copy, Debug)]
struct Persistence {
    version: &'static str,
    connection: Option<&'static str>,
    framing: &'static str,
    client_close: bool,
}

const CONNECTIONS: [Option<&str>; 5] = [None, Some("close"), Some("keep-alive"), Some("foo, Close"), Some("keep-alive, close")];
const FRAMINGS: [&str; 4] = ["length", "chunked", "until close", "empty"];

impl Persistence {
    fn response(&self) -> String {
        let connection = self.connection.map(|value| format!("Connection: {value}\r\n")).unwrap_or_default();
        let (status, field, content) = match self.framing {
            "length" => (200, "Content-Length: 2\r\n", "hi"),
            "chunked" => (200, "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"),
            "until close" => (200, "", "hi"),
            _ => (204, "", ""),
        };
        format!("HTTP/{} {status} Fine\r\n{connection}{field}\r\n{content}", self.version)
    }

    /// Applies RFC 9112 §9.3, after the reasons that follow from the framing.
    fn expected(&self) -> Option<CloseReason> {
        let said = |option: &str| {
            self.connection.is_some_and(|value| value.split(", ").any(|element| element.eq_ignore_ascii_case(option)))
        };
        if self.framing == "chunked" && self.version == "1.0" {
            Some(CloseReason::FaultyFraming) // §6.1
        } else if self.framing == "until close" {
            Some(CloseReason::CloseDelimited) // §6.3, rule 8
        } else if said("close") {
            Some(CloseReason::ServerSaidClose) // "If the close connection option is present"; the first rule, so it wins
        } else if self.version == "1.0" && !said("keep-alive") {
            Some(CloseReason::Http10)
        } else if self.client_close {
            Some(CloseReason::ClientSaidClose) // §9.6
        } else {
            None
        }
    }
}

#[test]
fn a_connection_persists_by_the_rules_of_rfc_9112() {
    for version in VERSIONS {
        for connection in CONNECTIONS {
            for framing in FRAMINGS {
                for client_close in [false, true] {
                    let row = Persistence { version, connection, framing, client_close };
                    let expected = row.expected();
                    assert_eq!(close_reason_alone(&row), expected, "{row:?}");
                    if !client_close {
                        the_response_behind_it_comes_or_not(&row, expected);
                    }
                }
            }
        }
    }
}

/// Why the connection closes behind the response to a single request.
fn close_reason_alone(row: &Persistence) -> Option<CloseReason> {
    let mut connection = connection_with(&request(&Method::GET, row.client_close));
    connection.receive(row.response().as_bytes());
    let failed = loop {
        match connection.next_event() {
            Ok(None) if row.framing == "until close" => connection.receive_eof(),
            Ok(None) => panic!("{row:?}: the response does not end"),
            Ok(Some(Event::End(_))) => break None,
            Ok(Some(_)) => {}
            Err(error) => break Some(error),
        }
    };
    let reason = connection.outstanding().close_reason();
    assert_eq!(failed.is_some(), reason == Some(CloseReason::FaultyFraming), "{row:?}");
    assert_eq!(connection.outstanding().is_empty(), failed.is_none(), "{row:?}");
    let again = connection.send_request(&request(&Method::GET, false));
    match (failed, reason) {
        (Some(reported), _) => assert_eq!(again, Err(reported), "{row:?}"),
        (None, Some(reason)) => assert_eq!(again, Err(Error::Closed(reason)), "{row:?}"),
        (None, None) => assert_eq!(again, Ok(1), "{row:?}"),
    }
    assert_eq!(connection.to_send().is_empty(), reason.is_some(), "{row:?}: a refused request was sent");
    reason
}

/// Repeats it with a second request outstanding, whose response is there at once.
fn the_response_behind_it_comes_or_not(row: &Persistence, expected: Option<CloseReason>) {
    let mut connection = connection_with(&request(&Method::GET, false));
    connection.send_request(&request(&Method::GET, false)).expect("neither side has said close");
    connection.sent(connection.to_send().len());
    connection.receive(row.response().as_bytes());
    if expected != Some(CloseReason::CloseDelimited) {
        connection.receive(b"HTTP/1.1 204 Fine\r\n\r\n");
    }
    connection.receive_eof();
    let mut heads = 0;
    let last = loop {
        match connection.next_event() {
            Ok(None) => break None,
            Ok(Some(Event::Response(_))) => heads += 1,
            Ok(Some(_)) => {}
            Err(error) => break Some(error),
        }
    };
    match expected {
        None => assert_eq!((heads, last), (2, None), "{row:?}"),
        Some(CloseReason::FaultyFraming) => assert!(heads == 1 && matches!(last, Some(Error::Remote { .. })), "{row:?}"),
        Some(reason) => {
            assert_eq!((heads, last), (1, Some(Error::Closed(reason))), "{row:?}");
            assert_eq!(connection.outstanding().unanswered().next().map(|unanswered| unanswered.number), Some(1), "{row:?}");
        }
    }
}

#[test]
fn a_later_request_that_says_close_does_not_cut_off_the_earlier_ones() {
    let mut connection = connection_with(&request(&Method::GET, false));
    connection.send_request(&request(&Method::GET, true)).expect("the last request");
    connection.sent(connection.to_send().len());
    connection.receive(b"HTTP/1.1 204 Fine\r\n\r\nHTTP/1.1 204 Fine\r\n\r\nHTTP/1.1 204 Fine\r\n\r\n");
    let mut heads = 0;
    while let Some(event) = connection.next_event().expect("what follows the last response is not looked at") {
        heads += usize::from(matches!(event, Event::Response(_)));
    }
    assert_eq!(heads, 2);
    assert_eq!(connection.outstanding().close_reason(), Some(CloseReason::ClientSaidClose));
}

#[test]
fn bytes_from_before_the_first_request_are_never_its_answer() {
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    for early in 1..=response.len() {
        let mut connection = Connection::new("example.org").expect("a valid host");
        connection.receive(&response[..early]);
        let drained = connection.next_event().map(|event| event.is_some());
        assert!(
            matches!(drained, Ok(false) | Err(Error::Remote { what: Malformed::UnaskedBytes, at: 0, .. })),
            "{early}: {drained:?}"
        );
        let sent = connection.send_request(&request(&Method::GET, false));
        connection.receive(&response[early..]);
        let answer = connection.next_event().map(|event| event.is_some());
        assert!(matches!(answer, Err(Error::Remote { .. } | Error::Closed(_))) || sent.is_err(), "{early}: {sent:?}, {answer:?}");
        assert_eq!(connection.outstanding().answered(), 0, "{early}");
    }
}

#[test]
fn connect_needs_a_host_and_a_port() {
    for bad in ["example.org", "example.org:", ":443", "[::1]", "[::1]:", "[::1]443", "a@b:443", "a:b", "", "/"] {
        let error = RequestHead::new(Method::CONNECT, bad).err();
        assert!(matches!(error, Some(Misuse::Target(_))), "{bad:?}: {error:?}");
    }
    for good in ["example.org:443", "[::1]:443", "127.0.0.1:1"] {
        assert!(RequestHead::new(Method::CONNECT, good).is_ok(), "{good:?}");
    }
}

#[test]
fn content_is_refused_from_the_final_head_on_that_answers_the_expectation() {
    let mut put = RequestHead::new(Method::PUT, "/").expect("a valid target");
    put.content = Announced::Length(5);
    put.expect_continue = true;
    let head = b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n";
    for content in [b"".as_slice(), b"n", b"no"] {
        let mut connection = connection_with(&put);
        assert_eq!(connection.send_content(b"hello"), Err(Error::Local(Misuse::AwaitContinue)));
        connection.receive(&[head, content].concat());
        while connection.next_event().expect("a valid response").is_some() {}
        assert!(!connection.outstanding().is_waiting_for_continue());
        connection.proceed_without_continue();
        assert_eq!(connection.send_content(b"hello"), Err(Error::Local(Misuse::ContentRefused)));
        assert_eq!(connection.to_send(), b"");
        let ended = content.len() == 2;
        assert_eq!(connection.outstanding().close_reason(), ended.then_some(CloseReason::ContentNotSent));
        let next = connection.send_request(&request(&Method::GET, false));
        let expected = if ended { Error::Closed(CloseReason::ContentNotSent) } else { Error::Local(Misuse::ContentRefused) };
        assert_eq!(next, Err(expected));
    }
}
