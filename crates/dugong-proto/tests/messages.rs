//! Messages quote received lines and your arguments: escaped, at most 40 bytes, from the beginning of the line however it
//! arrived.

use dugong_proto::{
    Announced, Connection, Content, Fields, Limits, Method, Misuse, Outstanding, ReceiveHalf, RequestHead, SendHalf,
};

/// The error of a response that comes in pieces of `size` bytes. If it has no other fault, the connection ends.
fn message(response: &[u8], size: usize) -> String {
    let (mut send, mut queue) = (SendHalf::new("origin").unwrap(), Outstanding::new());
    let mut receive = ReceiveHalf::new(Limits::default(), 256 * 1024);
    send.request(&RequestHead::new(Method::GET, "/").unwrap(), &Fields::new(), &mut queue).unwrap();
    send.sent(send.to_send().len(), &mut queue);
    for piece in response.chunks(size) {
        assert_eq!(receive.receive(piece), piece.len());
        loop {
            let more = if receive.is_in_content() {
                receive.take_content(&mut queue).map(|content| content != Content::NeedsInput)
            } else {
                let kind = receive.poll_head(&mut queue);
                if let Ok(Some(_)) = kind {
                    receive.take_head(&mut queue);
                }
                kind.map(|kind| kind.is_some())
            };
            match more {
                Err(error) => return error.to_string(),
                Ok(false) => break,
                Ok(true) => {}
            }
        }
    }
    panic!("nothing is wrong with {:?}", response.escape_ascii().to_string());
}

#[track_caller]
fn quotes(response: impl AsRef<[u8]>, quote: &str) {
    let response = response.as_ref();
    for size in [response.len(), 7, 3, 1] {
        let message = message(response, size);
        assert!(message.ends_with(&format!(": {quote}")), "in pieces of {size}: {message}");
    }
}

/// The same for faults that show before the line is complete: the message quotes the part that has arrived.
#[track_caller]
fn quotes_whole(response: impl AsRef<[u8]>, quote: &str) {
    let whole = message(response.as_ref(), response.as_ref().len());
    assert!(whole.ends_with(&format!(": {quote}")), "{whole}");
    let quoted = |message: String| message[message.find(": \"").expect("a quote") + 3..].trim_end_matches(['"', '.']).to_owned();
    let (byte_by_byte, whole) = (quoted(message(response.as_ref(), 1)), quoted(whole));
    assert!(!byte_by_byte.is_empty() && whole.starts_with(&byte_by_byte), "{byte_by_byte:?} {whole:?}");
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn status_lines_and_banners_are_quoted() {
    quotes_whole("SSH-2.0-OpenSSH_9.2p1\r\n", r#""SSH-2.0-OpenSSH_9.2p1""#);
    quotes_whole("220 mail.example ESMTP\r\n", r#""220 mail.example ESMTP""#);
    quotes_whole("ICY 200 OK\r\nicy-name: x\r\n", r#""ICY 200 OK""#);
    quotes_whole("HTTP/2.0 200 OK\r\n\r\n", r#""HTTP/2.0 200 OK""#);
    quotes_whole("HTTP/1.1 2x0 OK\r\n\r\n", r#""HTTP/1.1 2x0 OK""#);
    quotes("HTTP/1.1\r\n\r\n", r#""HTTP/1.1""#);
    quotes("HTTP/1.1 200 N\x1b\r\n", r#""HTTP/1.1 200 N\x1b""#);
    quotes("HTTP/1.1 200 N\n", r#""HTTP/1.1 200 N\n""#);
    quotes("HTTP/1.1 101 Switch\r\n\r\n", r#""HTTP/1.1 101 Switch""#);
    quotes_whole(b"\x16\x03\x01\x00\"\\", r#""\x16\x03\x01\x00\"\\""#);
    quotes("HTTP/1.0 204 ".to_owned() + &"x".repeat(70_000), &format!("\"HTTP/1.0 204 {}\"...", "x".repeat(27)));
}

#[test]
fn field_lines_are_quoted_from_their_beginning() {
    quotes(format!("{OK}A: b\r\nX: y\0\r\n"), r#""X: y\x00""#);
    quotes_whole(format!("{OK}A: b\r\nX : y\r\n"), r#""X : y""#);
    quotes(format!("{OK}A: b\r\nno-colon\r\n\r\n"), r#""no-colon""#);
    quotes_whole(format!("{OK} A: b\r\n\r\n"), r#"" A: b""#);
    quotes_whole(format!("{OK}A: b\nX: y\r\n"), r#""A: b\nX: y""#);
    quotes(format!("{OK}A: b\r\n c\r\n\td\x7f"), r#""A: b\r\n c\r\n\td\x7f""#);
    quotes_whole(
        format!("{OK}Long-Name-Of-A-Field: {}\0", "v".repeat(300)),
        &format!("\"Long-Name-Of-A-Field: {}\"...", "v".repeat(18)),
    );
    quotes_whole(format!("{CHUNKED}0\r\nT: u\r\nX: \x01\r\n"), r#""X: \x01""#);
    let many = "A: b\r\n".repeat(1_000);
    quotes_whole(format!("{OK}{many}Last: one\r\n"), r#""Last: one""#);
}

#[test]
fn fields_that_frame_are_quoted() {
    quotes(format!("{OK}A: b\r\nContent-Length: +5\r\nC: d\r\n\r\n"), r#""Content-Length: +5""#);
    quotes(format!("{OK}Content-Length: 5, 6\r\n\r\n"), r#""Content-Length: 5, 6""#);
    quotes(format!("{OK}Transfer-Encoding: gzip\r\n\r\n"), r#""Transfer-Encoding: gzip""#);
    quotes(format!("{OK}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), r#""Content-Length: 5""#);
}

#[test]
fn chunk_lines_are_quoted_from_their_beginning() {
    quotes_whole(format!("{CHUNKED}hello\r\n"), r#""hello""#);
    quotes_whole(format!("{CHUNKED}5 0\r\nhello\r\n"), r#""5 0""#);
    quotes_whole(format!("{CHUNKED}5\r\nhello\r\n0x5\r\nhello\r\n"), r#""0x5""#);
    quotes_whole(format!("{CHUNKED}5;a=\0\r\nhello\r\n"), r#""5;a=\x00""#);
    quotes(format!("{CHUNKED}5{}\r\nhello\r\n", " ".repeat(17)), &format!("\"5{}\"", " ".repeat(17)));
    quotes_whole(format!("{CHUNKED}5\r\nhello, world\r\n"), r#"", world""#);
    quotes_whole(format!("{CHUNKED}5\r\nhello\rX"), r#""\rX""#);
    quotes_whole(format!("{CHUNKED}{}", "0".repeat(50)), &format!("\"{}\"...", "0".repeat(40)));
    quotes_whole(format!("{CHUNKED}1;{}", "x".repeat(20_000)), &format!("\"1;{}\"...", "x".repeat(38)));
}

#[test]
fn unasked_bytes_are_quoted() {
    quotes_whole(format!("{OK}Content-Length: 1\r\n\r\naHTTP/1.1 200 Evil\r\n\r\n"), r#""HTTP/1.1 200 Evil""#);
    quotes_whole(format!("{OK}Content-Length: 1\r\n\r\na and more"), r#"" and more""#);
}

#[test]
fn secrets_of_the_server_are_not_quoted() {
    quotes(format!("{OK}Set-Cookie: sid=1234\0"), r#""Set-Cookie" (the rest is not shown)"#);
    quotes(format!("{OK}X-Auth-Token: 1234\0"), r#""X-Auth-Token" (the rest is not shown)"#);
}

#[test]
fn a_missing_length_is_not_quoted() {
    let mut receive = ReceiveHalf::new(Limits::default(), 1024);
    receive.require_length(true);
    let (mut send, mut queue) = (SendHalf::new("origin").unwrap(), Outstanding::new());
    send.request(&RequestHead::new(Method::GET, "/").unwrap(), &Fields::new(), &mut queue).unwrap();
    send.sent(send.to_send().len(), &mut queue);
    receive.receive(b"HTTP/1.1 200 OK\r\n\r\n");
    receive.poll_head(&mut queue).unwrap();
    receive.take_head(&mut queue);
    let message = receive.content(&mut queue).unwrap_err().to_string();
    assert!(message.ends_with("does not say that the connection closes, at byte 17"), "{message}");
}

#[test]
fn arguments_are_quoted_with_the_place_of_the_fault() {
    let target = |method: Method, target: &str| RequestHead::new(method, target).unwrap_err().to_string();
    let append = |name: &str, value: &str| Fields::new().append(name, value).unwrap_err().to_string();
    for (message, expected) in [
        (Method::new("GET /").unwrap_err().to_string(), r#"the method is not a token, at byte 3: "GET /""#),
        (Method::new("").unwrap_err().to_string(), r#"the method is not a token: """#),
        (target(Method::GET, ""), "the request target is empty"),
        (target(Method::GET, "/a b"), r#"the request target has a character that must be percent-encoded, at byte 2: "/a b""#),
        (
            target(Method::GET, "/\u{e4}"),
            r#"the request target has a character that must be percent-encoded, at byte 1: "/\xc3\xa4""#,
        ),
        (target(Method::GET, "obj/1"), r#"the request target must begin with / or be a URL: "obj/1""#),
        (target(Method::CONNECT, "h"), r#"the request target of CONNECT must be host:port: "h""#),
        (
            target(Method::GET, "http://u:hush@h/"),
            r#"the request target must begin with / or be a URL: "http://" (the rest is not shown)"#,
        ),
        (append("X Y", "z"), r#"a field name is not a token, at byte 1: "X Y""#),
        (append("", "z"), r#"a field name is not a token: """#),
        (append("X", "a\nb"), r#"the value of the field "X" contains a control character, at byte 1: "a\nb""#),
        (append("X", " a"), r#"the value of the field "X" begins or ends with a blank, at byte 0: " a""#),
        (append("X", "a\t"), r#"the value of the field "X" begins or ends with a blank, at byte 1: "a\t""#),
        (
            append("Authorization", "hush\n"),
            r#"the value of the field "Authorization" contains a control character, at byte 4: (not shown)"#,
        ),
        (Connection::new("a b").unwrap_err().to_string(), r#"the host is not valid: "a b""#),
    ] {
        assert_eq!(message, expected);
    }
}

#[test]
fn fields_that_contradict_the_request_are_quoted() {
    let refused = |fields: &[(&str, &str)], content: Announced, method: Method| {
        let mut connection = Connection::new("origin").unwrap();
        let mut head = RequestHead::new(method, "/").unwrap();
        head.content = content;
        fields.iter().for_each(|(name, value)| head.fields.append(name, value).unwrap());
        connection.send_request(&head).unwrap_err().to_string()
    };
    let none = Announced::Nothing;
    for (fields, content, expected) in [
        (&[("Host", "a"), ("Host", "b")][..], none, r#"found more than one "Host" field: "b""#),
        (&[("Host", "a b")], none, r#"the host is not valid: "a b""#),
        (&[("Content-Length", "5")], none, r#"the Content-Length given contradicts the content: "5""#),
        (&[("Content-Length", "5")], Announced::Chunked, r#"the Content-Length given contradicts the content: "5""#),
        (&[("Content-Length", "5")], Announced::Length(6), r#"the Content-Length given contradicts the content: "5""#),
        (&[("Transfer-Encoding", "gzip")], Announced::Chunked, r#"the Transfer-Encoding given contradicts the content: "gzip""#),
        (&[("Expect", "x")], none, r#"an Expect field needs the expectation to be set, and must agree with it: "x""#),
        (&[("TE", "x, chunked")], none, r#"TE must not name chunked: "x, chunked""#),
        (&[("TE", "x")], none, r#"the field "TE" has to be named in Connection: "x""#),
        (&[("Upgrade", "y")], none, r#"the field "Upgrade" has to be named in Connection: "y""#),
    ] {
        assert_eq!(refused(fields, content, Method::PUT), expected);
    }
    assert_eq!(refused(&[], Announced::Length(1), Method::TRACE), r#"this method may not have content: "TRACE""#);
    assert_eq!(refused(&[], Announced::Length(1), Method::OPTIONS), "content with OPTIONS needs a Content-Type");

    let mut connection = Connection::new("origin").unwrap();
    let mut head = RequestHead::new(Method::PUT, "/").unwrap();
    head.content = Announced::Chunked;
    connection.send_request(&head).unwrap();
    let mut trailers = Fields::new();
    trailers.append("X", "y").unwrap();
    trailers.append("Host", "y").unwrap();
    let refused = connection.finish_content(&trailers).unwrap_err().to_string();
    assert_eq!(refused, r#"a field that frames or directs the message cannot be a trailer: "Host""#);
}

#[test]
fn an_argument_can_be_looked_at() {
    let Err(Misuse::FieldValue(argument)) = Fields::new().append("X-Tag", "a".repeat(100) + "\0") else {
        panic!("the value is not valid")
    };
    assert_eq!((argument.name().as_bytes(), argument.at()), (&b"X-Tag"[..], Some(100)));
    assert_eq!((argument.value().as_bytes(), argument.value().is_cut()), (&[b'a'; 40][..], true));
}

#[test]
fn an_error_is_returned_without_much_copying() {
    assert!(size_of::<dugong_proto::Error>() <= 96, "{}", size_of::<dugong_proto::Error>());
}
