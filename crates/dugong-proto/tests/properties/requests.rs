//! Requests of all kinds, most of which must be refused.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use dugong_proto::{Announced, Connection, Error, Event, Fields, Method, Misuse, Outstanding, RequestHead, SendHalf};

use crate::exchanges::{Field, Pairs, expected_pairs, lines};
use crate::parsed::Parsed;

#[derive(Clone, Debug)]
pub(crate) struct WildRequest {
    method: String,
    target: String,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    content: Announced,
    expect: bool,
}

pub(crate) fn wild_request() -> impl Strategy<Value = WildRequest> {
    let methods =
        select(vec!["GET", "HEAD", "PUT", "POST", "OPTIONS", "CONNECT", "TRACE", "BREW", "get"]).prop_map(str::to_owned);
    let method = prop_oneof![8 => methods, 1 => "[A-Z \r\n\0:é]{0,5}", 1 => any::<String>()];
    let targets =
        select(vec!["/", "/a?b=c", "*", "http://h/", "h:443", "[::1]:1", "/a b", "/\r\nX: y", "/#", ""]).prop_map(str::to_owned);
    let target = prop_oneof![4 => targets, 3 => "/[!-~]{0,8}", 1 => "/[ -~\r\n\t\0é]{0,8}", 1 => any::<String>()];
    let names = select(vec![
        "Host",
        "host",
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "Expect",
        "TE",
        "Upgrade",
        "Connection",
        "X",
        "Content-Type",
    ]);
    let name = prop_oneof![
        6 => names.prop_map(|name| name.as_bytes().to_vec()),
        2 => "[A-Za-z-]{1,5}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..4),
        1 => "X[ :\r\n\t]{0,3}".prop_map(String::into_bytes),
    ];
    let values = select(vec![
        "",
        "a",
        "a.example:80",
        "0",
        "5",
        "05",
        "chunked",
        "gzip, chunked",
        "100-continue",
        "100-Continue",
        "trailers",
        "TE",
        "close",
        "TE, upgrade",
        "keep-alive, TE",
        "websocket",
        "a\r\nX: y",
        "a\nX: y",
        "a\0",
        " a",
        "a ",
    ]);
    let value = prop_oneof![
        8 => values.prop_map(|value| value.as_bytes().to_vec()),
        2 => "[!-~]{1,6}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..6),
    ];
    let content = prop_oneof![
        3 => Just(Announced::Nothing),
        2 => select(vec![0u64, 5, u64::MAX]).prop_map(Announced::Length),
        1 => Just(Announced::Chunked),
    ];
    (method, target, vec((name, value), 0..4), content, prop::bool::weighted(0.3))
        .prop_map(|(method, target, fields, content, expect)| WildRequest { method, target, fields, content, expect })
}

fn head_of(request: &WildRequest) -> Result<RequestHead, Misuse> {
    let mut head = RequestHead::new(Method::new(&request.method)?, request.target.as_str())?;
    for (name, value) in &request.fields {
        let before = head.fields.clone();
        if let Err(misuse) = head.fields.append(name, value) {
            assert_eq!(head.fields, before, "a refused field changed the others");
            return Err(misuse);
        }
    }
    head.content = request.content;
    head.expect_continue = request.expect;
    Ok(head)
}

pub(crate) fn sent_as_given_or_refused(request: &WildRequest) {
    let mut connection = Connection::new("example.org").expect("a valid host");
    let sent = head_of(request).map_err(Error::Local).and_then(|head| connection.send_request(&head));
    if let Err(error) = sent {
        assert!(matches!(error, Error::Local(_)), "{error:?}");
        assert_eq!(connection.to_send(), b"");
        assert!(connection.outstanding().is_empty());
        // A refused request leaves no trace.
        let get = RequestHead::new(Method::GET, "/").expect("a valid target");
        assert_eq!(connection.send_request(&get), Ok(0));
        return assert_eq!(connection.to_send(), b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
    }
    let mut rest = connection.to_send();
    let parsed = Parsed::take_head(&mut rest);
    assert!(rest.is_empty(), "behind the head: {}", rest.escape_ascii());
    assert_eq!((&parsed.method, &parsed.target), (&request.method, &request.target));

    let given = request.fields.iter().map(|(name, value)| (String::from_utf8(name.clone()).expect("a token"), value.clone()));
    let (hosts, others): (Pairs, Pairs) = given.partition(|(name, _)| name.eq_ignore_ascii_case("host"));
    let authority = match request.target.split_once("://") {
        _ if request.method == "CONNECT" => request.target.as_str(),
        Some((scheme, rest)) if !scheme.starts_with('/') => rest.split(['/', '?']).next().expect("a split has a first part"),
        _ => "example.org",
    };
    let host = hosts.first().map_or(authority.into(), |(_, value)| value.clone());
    assert_eq!(parsed.fields[0], ("Host".to_owned(), host), "Host comes first: the caller's, the target's or the connection's");
    assert_eq!(parsed.value("Host").as_ref(), Some(&parsed.fields[0].1));
    assert_eq!(parsed.fields[1..=others.len()], others, "the caller's fields come next, in order");
    let generated: Vec<&str> = parsed.fields[1 + others.len()..].iter().map(|(name, _)| name.as_str()).collect();
    assert!(generated.iter().all(|name| ["Expect", "Content-Length", "Transfer-Encoding"].contains(name)), "{generated:?}");

    // The request has at most one framing, which is the announced one.
    let (length, coding) = (parsed.value("Content-Length"), parsed.value("Transfer-Encoding"));
    let number = |length: Vec<u8>| {
        assert!(length.iter().all(u8::is_ascii_digit), "{}", length.escape_ascii());
        String::from_utf8(length).expect("digits are ASCII").parse::<u64>().expect("a number that fits")
    };
    let expects_content = ["POST", "PUT", "PATCH"].contains(&request.method.as_str());
    match (request.content, length.map(number), coding) {
        (Announced::Nothing, None, None) => assert!(!expects_content),
        (Announced::Nothing, Some(0), None) => {}
        (Announced::Length(announced), Some(length), None) => assert_eq!(announced, length),
        (Announced::Chunked, None, Some(coding)) => assert!(coding.eq_ignore_ascii_case(b"chunked")),
        other => panic!("{other:?}"),
    }
    let waits = request.expect && !matches!(request.content, Announced::Nothing | Announced::Length(0));
    assert_eq!(connection.outstanding().is_waiting_for_continue(), waits);
    let continues = parsed
        .fields
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("expect") && value.eq_ignore_ascii_case(b"100-continue"));
    assert_eq!(continues, waits, "the expectation is sent when it is waited for, and only then");
}

/// Checks that a proxy gets the same request as the origin, except that the target names the origin, too, and that it reads as
/// intended.
pub(crate) fn names_the_origin_to_a_proxy(request: &WildRequest) {
    let Ok(head) = head_of(request) else { return };
    let send = |head: &RequestHead, to_proxy: bool| {
        let (mut half, mut queue) = (SendHalf::new("example.org").expect("a valid host"), Outstanding::new());
        if to_proxy {
            half.through_proxy();
        }
        let sent = half.request(head, &Fields::new(), &mut queue);
        assert_eq!(sent.is_ok(), !half.to_send().is_empty());
        assert_eq!(sent.is_ok(), !queue.is_empty());
        sent.map(|_| half.to_send().to_vec())
    };
    let is_path = request.target == "*" || request.target.starts_with('/');
    let (direct, proxied) = match (send(&head, false), send(&head, true)) {
        (Err(direct), Err(proxied)) => return assert_eq!(direct, proxied),
        (Ok(direct), Err(proxied)) => {
            assert!(matches!(proxied, Error::Local(Misuse::Host(_))), "{proxied:?}");
            let host = Parsed::take_head(&mut &direct[..]).value("Host").expect("there is always a Host");
            return assert!(is_path && (host.is_empty() || host[0] == b':'), "{} makes a URI", host.escape_ascii());
        }
        (direct, proxied) => (direct.expect("not both failed"), proxied.expect("one follows from the other")),
    };
    if !is_path {
        return assert_eq!(direct, proxied, "a target that has an authority stays");
    }
    let (parsed, meant) = (Parsed::take_head(&mut &proxied[..]), Parsed::take_head(&mut &direct[..]));
    assert_eq!((&parsed.method, &parsed.fields), (&meant.method, &meant.fields));
    let host = String::from_utf8(parsed.value("Host").expect("there is always a Host")).expect("a host is ASCII");
    let path = if request.target == "*" { "" } else { &request.target };
    assert_eq!(parsed.target, format!("http://{host}{path}"));

    // We send the same request by its URI, whose authority becomes the Host.
    let mut by_uri = RequestHead::new(head.method().clone(), parsed.target).expect("a URI may be asked for");
    by_uri.fields = Fields::new();
    for line in head.fields.iter().filter(|line| !line.name().eq_ignore_ascii_case("host")) {
        by_uri.fields.append(line.name(), line.value()).expect("it was valid before");
    }
    (by_uri.content, by_uri.expect_continue) = (head.content, head.expect_continue);
    assert_eq!(send(&by_uri, false).expect("it was valid before"), proxied);
}

/// Checks a client that takes fields and trailers from one connection and sends them on another, perhaps with one more.
pub(crate) fn forwarded(fields: &[Field], length: u64) {
    let section = lines(fields);
    let mut from = Connection::new("example.org").expect("a valid host");
    from.send_request(&RequestHead::new(Method::GET, "/").expect("a valid target")).expect("a valid request");
    from.sent(from.to_send().len());
    from.receive(
        &[b"HTTP/1.1 200 OK\r\n".as_slice(), &section, b"Transfer-Encoding: chunked\r\n\r\n0\r\n", &section, b"\r\n"].concat(),
    );
    let (mut header, mut trailers) = (Fields::new(), Fields::new());
    while let Some(event) = from.next_event().expect("a valid response") {
        match event {
            Event::Response(head) => header = head.fields().clone(),
            Event::End(fields) => trailers = fields.clone(),
            event => panic!("{event:?}"),
        }
    }
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).chain(["Transfer-Encoding"]).collect();
    assert!(header.iter().map(|line| line.name()).eq(names), "the head is as it was");

    // In a request, we send all of them except the coding, so the trailers replace both.
    let mut head = RequestHead::new(Method::PUT, "/").expect("a valid target");
    head.fields = trailers.clone();
    head.fields.append("X-More", "1").expect("a valid field");
    head.content = Announced::Length(length);
    let mut to = Connection::new("example.org").expect("a valid host");
    to.send_request(&head).expect("a valid request");
    let mut rest = to.to_send();
    let parsed = Parsed::take_head(&mut rest);
    assert!(rest.is_empty(), "behind the head: {}", rest.escape_ascii());
    let mut expected = vec![("Host".to_owned(), b"example.org".to_vec())];
    expected.extend(expected_pairs(fields));
    expected.push(("X-More".to_owned(), b"1".to_vec()));
    expected.push(("Content-Length".to_owned(), length.to_string().into_bytes()));
    assert_eq!(parsed.fields, expected);

    // We send them as trailers, too.
    let mut to = Connection::new("example.org").expect("a valid host");
    let mut head = RequestHead::new(Method::PUT, "/").expect("a valid target");
    head.content = Announced::Chunked;
    to.send_request(&head).expect("a valid request");
    to.finish_content(&trailers).expect("there need not be any content");
    let mut rest = to.to_send();
    assert_eq!(Parsed::take(&mut rest).trailers, expected_pairs(fields));
    assert!(rest.is_empty(), "behind the trailer section: {}", rest.escape_ascii());
}
