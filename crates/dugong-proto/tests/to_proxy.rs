//! Requests to a proxy for plain HTTP (RFC 9112 §3.2.2, §3.2.4).

use dugong_proto::{
    CloseReason, Content, Error, Fields, Limits, Method, Misuse, Outstanding, ReceiveHalf, RequestHead, SendHalf,
};

/// The bytes that are sent for a request, with a `Host` of its own or without.
fn sent(method: &str, target: &str, host: Option<&str>) -> Result<String, Error> {
    sent_to("example.org:81", &RequestHead::new(Method::new(method)?, target)?, host)
}

fn sent_to(connection: &str, head: &RequestHead, host: Option<&str>) -> Result<String, Error> {
    let mut head = head.clone();
    if let Some(host) = host {
        head.fields.append("host", host)?;
    }
    let (mut half, mut queue) = (SendHalf::new(connection)?, Outstanding::new());
    half.through_proxy();
    half.request(&head, &Fields::new(), &mut queue)?;
    Ok(String::from_utf8(half.to_send().to_vec()).expect("all of it is ASCII"))
}

#[test]
fn a_path_is_sent_as_a_uri_with_the_host_of_the_request() {
    for (method, target, host, expected) in [
        ("GET", "/", None, "GET http://example.org:81/ HTTP/1.1\r\nHost: example.org:81\r\n\r\n"),
        ("GET", "/a?b=//c", None, "GET http://example.org:81/a?b=//c HTTP/1.1\r\nHost: example.org:81\r\n\r\n"),
        ("GET", "//a", None, "GET http://example.org:81//a HTTP/1.1\r\nHost: example.org:81\r\n\r\n"),
        ("GET", "/", Some("[::1]:82"), "GET http://[::1]:82/ HTTP/1.1\r\nHost: [::1]:82\r\n\r\n"),
        ("OPTIONS", "*", None, "OPTIONS http://example.org:81 HTTP/1.1\r\nHost: example.org:81\r\n\r\n"),
        ("OPTIONS", "*", Some("a"), "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("OPTIONS", "/", None, "OPTIONS http://example.org:81/ HTTP/1.1\r\nHost: example.org:81\r\n\r\n"),
    ] {
        assert_eq!(sent(method, target, host).unwrap(), expected, "{method} {target} {host:?}");
    }
}

#[test]
fn a_target_that_names_its_authority_is_sent_as_it_is() {
    for (method, target, expected) in [
        ("GET", "http://other/", "GET http://other/ HTTP/1.1\r\nHost: other\r\n\r\n"),
        ("OPTIONS", "http://other", "OPTIONS http://other HTTP/1.1\r\nHost: other\r\n\r\n"),
        ("GET", "urn://other?q", "GET urn://other?q HTTP/1.1\r\nHost: other\r\n\r\n"),
        ("CONNECT", "other:443", "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n"),
    ] {
        assert_eq!(sent(method, target, None).unwrap(), expected, "{method} {target}");
    }
}

#[test]
fn without_a_host_there_is_no_uri_and_nothing_is_sent() {
    for host in ["", ":80"] {
        for (method, target) in [("GET", "/"), ("OPTIONS", "*")] {
            let refused = sent(method, target, Some(host));
            assert!(matches!(refused, Err(Error::Local(Misuse::Host(_)))), "{method} {target} {host:?}: {refused:?}");
        }
        assert!(sent("GET", "http://other/", Some(host)).is_ok());
    }
    let head = RequestHead::new(Method::GET, "/").unwrap();
    assert!(matches!(sent_to("", &head, None), Err(Error::Local(Misuse::Host(_)))));
    assert!(sent_to("", &head, Some("a")).is_ok());
}

#[test]
fn a_verbatim_request_is_sent_to_a_proxy_like_others() {
    for (target, expected) in [("/a", "http://o/a"), ("*", "http://o"), ("http://o/b", "http://o/b"), ("mailto:x", "mailto:x")] {
        let head = RequestHead::verbatim(Method::GET, target).unwrap();
        assert_eq!(sent_to("o", &head, None).unwrap().split(' ').nth(1), Some(expected));
    }
}

#[test]
fn unsent_bytes_are_not_shown_in_logs() {
    let mut head = RequestHead::new(Method::GET, "/").unwrap();
    head.fields.append("Proxy-Authorization", "Basic c2VjcmV0").unwrap();
    let (mut half, mut queue) = (SendHalf::new("o").unwrap(), Outstanding::new());
    half.request(&head, &Fields::new(), &mut queue).unwrap();
    let shown = format!("{half:?} {head:?}");
    let bytes = format!("{:?}", b"c2VjcmV0");
    assert!(!shown.contains("c2VjcmV0") && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}

/// A connection to a proxy.
struct Proxied {
    send: SendHalf,
    receive: ReceiveHalf,
    queue: Outstanding,
}

impl Proxied {
    fn new() -> Proxied {
        let mut send = SendHalf::new("o").unwrap();
        send.through_proxy();
        Proxied { send, receive: ReceiveHalf::new(Limits::default(), 4096), queue: Outstanding::new() }
    }

    fn request(&mut self, with_credentials: bool) -> Result<u64, Error> {
        let (head, mut more) = (RequestHead::new(Method::GET, "/").unwrap(), Fields::new());
        if with_credentials {
            more.append("Proxy-Authorization", "Basic eDp5").unwrap();
        }
        let number = self.send.request(&head, &more, &mut self.queue)?;
        self.send.sent(self.send.to_send().len(), &mut self.queue);
        Ok(number)
    }

    fn response(&mut self, fields: &str) {
        self.receive.receive(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n{fields}\r\n!").as_bytes());
        while self.receive.poll_head(&mut self.queue).unwrap() == Some(dugong_proto::HeadKind::Interim) {
            self.receive.take_head(&mut self.queue);
        }
        self.receive.take_head(&mut self.queue);
        assert_eq!(self.receive.take_content(&mut self.queue), Ok(Content::Bytes(b"!")));
        if self.receive.is_in_content() {
            assert_eq!(self.receive.take_content(&mut self.queue), Ok(Content::End));
        }
    }
}

const READ_FIRST: Result<u64, Error> = Err(Error::Local(Misuse::ReadFirst));
const NOT_PERSISTENT: Result<u64, Error> = Err(Error::Closed(CloseReason::ProxyNotPersistent));

#[test]
fn credentials_follow_another_request_only_when_the_proxy_keeps_the_connection() {
    for (fields, after) in [
        ("", NOT_PERSISTENT),
        ("Connection: x\r\nKeep-Alive: timeout=5\r\n", NOT_PERSISTENT),
        ("Connection: keep-alive\r\n", Ok(1)),
        ("connection: x, Keep-Alive\r\n", Ok(1)),
    ] {
        for first_has_some in [true, false] {
            let mut proxied = Proxied::new();
            assert_eq!(proxied.request(first_has_some), Ok(0));
            assert_eq!(proxied.request(true), READ_FIRST, "{fields}");
            assert_eq!(proxied.queue.len(), 1);
            proxied.response(fields);
            assert_eq!(proxied.request(true), after, "{fields}");
            assert_eq!(proxied.queue.close_reason().is_some(), after.is_err());
            if after.is_ok() {
                assert_eq!(proxied.request(true), Ok(2));
                // The proxy has to say it only once.
                proxied.response("");
                assert_eq!(proxied.request(true), Ok(3));
            }
        }
    }
}

#[test]
fn an_interim_response_does_not_say_that_the_proxy_keeps_the_connection() {
    let mut proxied = Proxied::new();
    proxied.request(true).unwrap();
    proxied.receive.receive(b"HTTP/1.1 103 Early Hints\r\nConnection: keep-alive\r\n\r\n");
    proxied.response("");
    assert_eq!(proxied.request(true), NOT_PERSISTENT);
}

#[test]
fn requests_without_credentials_are_pipelined_to_a_proxy_as_to_a_server() {
    let mut proxied = Proxied::new();
    assert_eq!((proxied.request(true), proxied.request(false), proxied.request(false)), (Ok(0), Ok(1), Ok(2)));
    proxied.response("");
    assert_eq!(proxied.request(false), Ok(3));
    assert_eq!(proxied.request(true), READ_FIRST);
}
