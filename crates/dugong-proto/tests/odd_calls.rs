//! Calls in odd states and with odd arguments: none of them breaks the connection, or lets bad bytes through.

use dugong_proto::*;

fn parts() -> (SendHalf, ReceiveHalf, Outstanding) {
    (SendHalf::new("origin").unwrap(), ReceiveHalf::new(Limits::default(), 65536), Outstanding::new())
}

fn ask(method: Method, text: &str) -> (SendHalf, ReceiveHalf, Outstanding) {
    let (mut s, mut r, mut q) = parts();
    s.request(&RequestHead::new(method, "/").unwrap(), &Fields::new(), &mut q).unwrap();
    s.sent(s.to_send().len(), &mut q);
    r.receive(text.as_bytes());
    (s, r, q)
}

#[test]
fn consuming_nothing_changes_nothing() {
    let (_, mut r, mut q) = ask(Method::GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(r.poll_head(&mut q), Ok(Some(HeadKind::Final)));
    r.take_head(&mut q);
    r.consume(0, &mut q);
    r.receive(b"2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(r.content(&mut q), Ok(Content::Bytes(b"hi")));
}

#[test]
fn a_malformed_header_section_can_be_printed() {
    let mut c = Connection::new("origin").unwrap();
    c.send_request(&RequestHead::new(Method::GET, "/").unwrap()).unwrap();
    c.receive(b"HTTP/1.1 200 OK\r\nA: b\r\nbad line\r\n\r\n");
    assert!(c.next_event().is_err());
    let _ = format!("{c:?}");
}

#[test]
fn trailers_are_empty_until_they_are_complete() {
    let (_, mut r, mut q) = ask(Method::GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\nB:");
    r.poll_head(&mut q).unwrap();
    r.take_head(&mut q);
    assert_eq!(r.content(&mut q), Ok(Content::NeedsInput));
    assert_eq!(r.trailers().get("A"), None, "{:?}", r.trailers());
}

#[test]
fn malformed_trailers_can_be_looked_at() {
    let (_, mut r, mut q) =
        ask(Method::GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nbad line\r\n\r\n");
    r.poll_head(&mut q).unwrap();
    r.take_head(&mut q);
    assert!(r.content(&mut q).is_err());
    assert_eq!(r.trailers().get("A"), None);
}

#[test]
fn the_length_stays_after_an_error() {
    let (_, mut r, mut q) = ask(Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    r.poll_head(&mut q).unwrap();
    r.take_head(&mut q);
    r.receive_eof();
    assert!(r.content(&mut q).is_err());
    assert_ne!(r.content_length(), Some(0));
}

#[test]
fn a_coding_in_http_1_0_ends_the_connection_even_without_content() {
    let (_, mut r, mut q) = ask(Method::HEAD, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n");
    r.poll_head(&mut q).unwrap();
    r.take_head(&mut q);
    assert_eq!(q.close_reason(), Some(CloseReason::FaultyFraming));
}

fn sent(method: Method, target: &str) -> String {
    let (mut s, _, mut q) = parts();
    s.request(&RequestHead::new(method, target).unwrap(), &Fields::new(), &mut q).unwrap();
    String::from_utf8(s.to_send().into()).unwrap()
}

#[test]
fn host_is_that_of_the_target() {
    let a = sent(Method::GET, "http://other:81/x");
    let b = sent(Method::CONNECT, "far:443");
    assert!(a.contains("Host: other:81\r\n") && b.contains("Host: far:443\r\n"), "{a}{b}");
}

#[test]
fn absolute_targets_have_a_host_and_no_user() {
    for bad in ["http://u:p@h/", "http:///x", "http://?q"] {
        assert!(RequestHead::new(Method::GET, bad).is_err(), "{bad}");
    }
}

#[test]
fn trailers_do_not_frame_the_message() {
    let (mut s, _, mut q) = parts();
    let mut head = RequestHead::new(Method::PUT, "/").unwrap();
    head.content = Announced::Chunked;
    s.request(&head, &Fields::new(), &mut q).unwrap();
    let mut trailers = Fields::new();
    trailers.append("Content-Length", "5").unwrap();
    trailers.append("Transfer-Encoding", "chunked").unwrap();
    trailers.append("Host", "x").unwrap();
    assert!(s.finish(&trailers, &mut q).is_err(), "{}", s.to_send().escape_ascii());
}

#[test]
fn fields_that_come_too_late_in_a_trailer_are_refused() {
    let names =
        "Connection Content-Encoding Content-Length Content-Range Content-Type Expect Host TE Trailer Transfer-Encoding Upgrade";
    for name in names.split(' ') {
        for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            let (mut s, _, mut q) = parts();
            let mut head = RequestHead::new(Method::PUT, "/").unwrap();
            head.content = Announced::Chunked;
            s.request(&head, &Fields::new(), &mut q).unwrap();
            let before = s.to_send().len();
            let mut trailers = Fields::new();
            trailers.append(&name, "x").unwrap();
            assert!(matches!(s.finish(&trailers, &mut q), Err(Error::Local(Misuse::Trailer(_)))), "{name}");
            assert_eq!(s.to_send().len(), before, "{name}");
        }
    }
}

#[test]
fn an_end_after_a_break_is_no_end() {
    // This happens over TLS: the connection is cut, and then the socket ends.
    for (first, second) in [(true, false), (false, true)] {
        let (_, mut r, mut q) = ask(Method::GET, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
        for broken in [first, second] {
            if broken { r.receive_broken() } else { r.receive_eof() }
        }
        r.poll_head(&mut q).unwrap();
        r.take_head(&mut q);
        assert!(r.is_broken() && r.is_at_eof());
        r.consume(5, &mut q);
        assert!(matches!(r.content(&mut q), Err(Error::Incomplete(_))));
    }
}

#[test]
fn values_have_no_blank_at_their_ends() {
    for bad in [" a", "a ", "\ta", "a\t", " ", "\t"] {
        let mut fields = Fields::new();
        assert!(matches!(fields.append("X", bad), Err(Misuse::FieldValue(_))), "{bad:?}");
        assert!(fields.is_empty(), "{bad:?}");
    }
    Fields::new().append("X", "a \t b").unwrap();
}

#[test]
fn more_than_was_offered_cannot_be_sent() {
    let (mut s, _, mut q) = parts();
    let mut head = RequestHead::new(Method::PUT, "/").unwrap();
    head.content = Announced::Chunked;
    s.request(&head, &Fields::new(), &mut q).unwrap();
    let n = s.to_send().len();
    s.sent(n, &mut q);
    let offer = s.offer(3, &mut q).unwrap();
    let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| s.sent_offer(&offer, b"abc", 1000, &mut q)));
    assert!(r.is_err(), "more was sent than was offered");
}

#[test]
fn fields_of_a_single_message_are_not_added_to_all() {
    for name in ["Content-Length", "transfer-encoding", "Host", "Expect", "TE", "Upgrade"] {
        let mut more = Fields::new();
        more.append("X", "y").unwrap();
        more.append(name, "1").unwrap();
        let (mut s, _, mut q) = parts();
        let refused = s.request(&RequestHead::new(Method::GET, "/").unwrap(), &more, &mut q);
        let Err(Error::Local(misuse @ Misuse::ForAll(_))) = refused else { panic!("{name}: {refused:?}") };
        assert!(misuse.to_string().starts_with(&format!("the field {name:?} is about a single message")), "{misuse}");
        assert!(s.to_send().is_empty() && q.is_empty(), "{name}");
    }
}

#[test]
fn no_call_on_an_unused_connection_breaks_it() {
    let mut c = Connection::new("o").unwrap();
    assert!(c.next_event().unwrap().is_none());
    assert!(c.finish_content(&Fields::new()).is_err());
    assert!(c.send_content(b"").is_err());
    c.proceed_without_continue();
    c.receive_eof();
    assert!(c.next_event().unwrap().is_none());
    c.receive_broken();
    assert_eq!(c.receive(b"zzz"), 3);
    let _ = c.next_event();
    assert!(c.send_request(&RequestHead::new(Method::GET, "/").unwrap()).is_err());
}
