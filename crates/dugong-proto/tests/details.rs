//! What the core says about itself, and fields that only look like ones with a meaning.

use dugong_proto::*;

fn asked() -> (SendHalf, ReceiveHalf, Outstanding) {
    let (mut send, mut queue) = (SendHalf::new("origin").unwrap(), Outstanding::new());
    send.request(&RequestHead::new(Method::GET, "/").unwrap(), &Fields::new(), &mut queue).unwrap();
    send.sent(send.to_send().len(), &mut queue);
    (send, ReceiveHalf::new(Limits::default(), 1024), queue)
}

fn answered(response: &str) -> (SendHalf, ReceiveHalf, Outstanding) {
    let (send, mut receive, mut queue) = asked();
    assert_eq!(receive.receive(response.as_bytes()), response.len());
    assert_eq!(receive.poll_head(&mut queue), Ok(Some(HeadKind::Final)));
    receive.take_head(&mut queue);
    (send, receive, queue)
}

#[test]
fn a_name_as_long_as_another_has_its_own_meaning() {
    // Names are first told apart by their length.
    for field in
        ["Keep-Alive: close", "User-Agent: close", "Accept-Charset: 7", "If-Modified-Since: chunked", "If-Modified-Since: gzip"]
    {
        let (_, receive, queue) = answered(&format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 5\r\n\r\n"));
        assert_eq!((receive.content_length(), queue.close_reason()), (Some(5), None), "{field}");
    }
    let mut head = RequestHead::new(Method::GET, "/").unwrap();
    for (name, value) in [
        ("ET", "chunked"),
        ("Date", "a b"),
        ("From", "a b"),
        ("Accept", "x"),
        ("Cookie", "100-continue"),
        ("Referer", "x"),
        ("User-Agent", "close"),
        ("Accept-Charset", "7"),
        ("If-Modified-Since", "chunked"),
    ] {
        head.fields.append(name, value).unwrap();
    }
    let mut connection = Connection::new("origin").unwrap();
    connection.send_request(&head).unwrap();
    assert_eq!(connection.outstanding().close_reason(), None);
    connection.send_request(&head).unwrap();
    let text = String::from_utf8(connection.to_send().to_vec()).unwrap();
    assert!(text.starts_with("GET / HTTP/1.1\r\nHost: origin\r\nET: chunked\r\nDate: a b\r\n"), "{text}");
}

#[test]
fn fields_can_be_counted_and_read_as_text() {
    let mut fields = Fields::new();
    assert_eq!((fields.len(), fields.size(), fields.is_empty()), (0, 0, true));
    fields.append("A", "b").unwrap();
    fields.append("C", b"d\xe9").unwrap();
    fields.append("a", "x, Y").unwrap();
    assert_eq!((fields.len(), fields.size(), fields.is_empty()), (3, 22, false));
    let texts: Vec<_> = fields.iter().map(|line| line.value_text().into_owned()).collect();
    assert_eq!(texts, ["b", "d\u{e9}", "x, Y"]);
    assert!(fields.contains("c") && !fields.contains("d"));
    assert!(fields.list_contains("A", "y") && fields.list_contains("A", "B") && !fields.list_contains("A", "z"));
    assert_eq!(format!("{fields:?}"), r"[A: b, C: d\xe9, a: x, Y]");
    fields.clear();
    assert_eq!((fields.len(), fields.size()), (0, 0));
}

#[test]
fn what_a_driver_has_to_do_follows_from_what_was_sent_and_answered() {
    let mut connection = Connection::new("origin").unwrap();
    assert!(connection.wants().is_nothing());
    connection.send_request(&RequestHead::new(Method::GET, "/").unwrap()).unwrap();
    assert_eq!(connection.wants(), Wants { read: true, write: true });
    assert!(!connection.wants().is_nothing());
    connection.sent(connection.to_send().len());
    assert_eq!(connection.wants(), Wants { read: true, write: false });
    assert!(!connection.wants().is_nothing());
    connection.receive(b"HTTP/1.1 204 No\r\n\r\n");
    while connection.next_event().unwrap().is_some() {}
    assert!(connection.wants().is_nothing());
}

#[test]
fn a_connection_may_stop_waiting_for_100() {
    let mut connection = Connection::new("origin").unwrap();
    let mut head = RequestHead::new(Method::PUT, "/").unwrap();
    (head.content, head.expect_continue) = (Announced::Length(2), true);
    connection.send_request(&head).unwrap();
    assert_eq!(connection.send_content(b"hi"), Err(Error::Local(Misuse::AwaitContinue)));
    connection.proceed_without_continue();
    assert_eq!(connection.send_content(b"hi"), Ok(2));
}

#[test]
fn buffers_are_given_away_only_when_nothing_is_in_them() {
    let (mut send, mut receive, mut queue) = asked();
    assert_eq!((receive.buffer_capacity(), receive.release_buffer()), (0, None));
    receive.receive(b"HTTP/1.1 204 No\r\n");
    assert_eq!(receive.buffer_capacity(), 1024);
    assert_eq!(receive.release_buffer(), None, "something is in it");
    assert_eq!(receive.poll_head(&mut queue), Ok(None));
    let buffer = receive.release_buffer().expect("all was read");
    assert_eq!((buffer.len(), receive.buffer_capacity()), (1024, 0));
    receive.lend_buffer(vec![0; 10]);
    assert_eq!(receive.buffer_capacity(), 0, "it is of another size");
    receive.lend_buffer(buffer);
    assert_eq!(receive.buffer_capacity(), 1024);
    receive.receive(b"\r\n");
    assert_eq!(receive.poll_head(&mut queue), Ok(Some(HeadKind::Final)));
    receive.take_head(&mut queue);

    send.request(&RequestHead::new(Method::GET, "/").unwrap(), &Fields::new(), &mut queue).unwrap();
    assert_eq!(send.release_buffer(), None, "something is in it");
    send.sent(send.to_send().len(), &mut queue);
    let buffer = send.release_buffer().expect("all was sent");
    assert_eq!((send.buffer_capacity(), send.release_buffer()), (0, None));
    send.lend_buffer(buffer);
    assert!(send.buffer_capacity() > 0);
}
