//! Details: state that the core reports, buffers, and field names that resemble those with a meaning.

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
    // The reader first tells names apart by their length, so we try others of each length.
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
fn a_driver_reads_while_responses_are_due_and_writes_while_bytes_wait() {
    let mut connection = Connection::new("origin").unwrap();
    assert!(connection.wants().is_nothing());
    connection.send_request(&RequestHead::new(Method::GET, "/").unwrap()).unwrap();
    assert!(connection.wants().read && connection.wants().write);
    assert!(!connection.wants().is_nothing());
    connection.sent(connection.to_send().len());
    assert!(connection.wants().read && !connection.wants().write);
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
fn only_empty_buffers_are_released() {
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

#[test]
fn requests_are_safe_to_retry_if_they_never_left_or_are_idempotent() {
    for (method, idempotent) in [(Method::GET, true), (Method::PUT, true), (Method::POST, false), (Method::PATCH, false)] {
        for (count, sent) in [(0, Sent::Nothing), (3, Sent::Partly), (usize::MAX, Sent::Whole)] {
            let (mut send, mut queue) = (SendHalf::new("origin").unwrap(), Outstanding::new());
            send.request(&RequestHead::new(method.clone(), "/").unwrap(), &Fields::new(), &mut queue).unwrap();
            send.sent(count.min(send.to_send().len()), &mut queue);
            let request = queue.unanswered().next().unwrap();
            assert_eq!((request.sent, request.idempotent, request.answer_begun), (sent, idempotent, false));
            assert_eq!(request.is_safe_to_retry(), idempotent || sent == Sent::Nothing, "{method} {sent:?}");
        }
    }
}

#[test]
fn a_response_begins_with_its_first_byte_and_the_end_is_told_apart() {
    let (_, mut receive, mut queue) = asked();
    assert!(!receive.has_begun() && !receive.is_at_eof() && !receive.is_broken());
    receive.receive(b"H");
    assert!(receive.has_begun());
    assert_eq!(receive.poll_head(&mut queue), Ok(None));
    assert!(receive.has_begun() && receive.unconsumed().is_empty());
    assert!(queue.unanswered().next().unwrap().answer_begun);
    receive.receive(b"TTP/1.1 204 No\r\n\r\n");
    receive.poll_head(&mut queue).unwrap();
    receive.take_head(&mut queue);
    assert!(!receive.has_begun());
    receive.receive_eof();
    assert!(receive.is_at_eof() && !receive.is_broken());
}

#[test]
fn a_length_is_missing_if_neither_it_nor_the_close_is_announced() {
    for (head, missing, length) in [
        ("HTTP/1.1 200 OK\r\n\r\n", true, None),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", true, None),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", false, None),
        ("HTTP/1.0 200 OK\r\n\r\n", false, None),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", true, None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, Some(3)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, None),
        ("HTTP/1.1 204 OK\r\n\r\n", false, Some(0)),
    ] {
        let (_, receive, _) = answered(head);
        assert_eq!((receive.is_length_missing(), receive.content_length()), (missing, length), "{head}");
        assert_eq!(receive.is_in_content(), length != Some(0), "{head}");
    }
}

#[test]
fn content_that_bypasses_the_buffer_is_counted() {
    let (_, mut receive, mut queue) = answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(receive.bypass(), None, "a size is due");
    assert!(receive.awaits_framing());
    receive.receive(b"a\r\n12");
    assert_eq!(receive.bypass(), None, "something is in the buffer");
    assert_eq!(receive.take_content(&mut queue), Ok(Content::Bytes(b"12")));
    assert_eq!((receive.bypass(), receive.awaits_framing()), (Some(8), false));
    receive.bypassed(5, &mut queue);
    assert_eq!((receive.bypass(), receive.content_received(), receive.completed()), (Some(3), 7, 0));
    receive.bypassed(3, &mut queue);
    assert_eq!((receive.bypass(), receive.content_received()), (None, 10));
    receive.receive(b"X");
    let error = receive.content(&mut queue).unwrap_err();
    assert!(matches!(error, Error::Remote { what: Malformed::ChunkEnd, at: 60, .. }), "{error:?}");
}

#[test]
fn a_part_that_is_consumed_says_whether_content_follows() {
    let (_, mut receive, mut queue) = answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    receive.receive(b"3\r\nabc\r\n2;x\r\nde\r\n1");
    assert_eq!(receive.buffered_content(), b"", "a size is due");
    assert_eq!(receive.content(&mut queue), Ok(Content::Bytes(b"abc")));
    assert!(receive.consume_part(2));
    assert_eq!(receive.buffered_content(), b"c");
    assert!(!receive.consume_part(1), "an extension is nothing usual");
    receive.settle(&mut queue);
    assert_eq!(receive.buffered_content(), b"de");
    assert!(!receive.consume_part(2), "a size is not complete");
    receive.settle(&mut queue);
    assert_eq!(receive.buffered_content(), b"");
    receive.receive(b"\r\nf\r\n3\r\nghi\r\n0\r\n\r\n");
    assert_eq!(receive.content(&mut queue), Ok(Content::Bytes(b"f")));
    assert!(receive.consume_part(1), "a size is there");
    assert_eq!((receive.buffered_content(), receive.content_received()), (&b"ghi"[..], 6));
    assert!(!receive.consume_part(3), "it was the last chunk");
    assert_eq!(receive.completed(), 0);
    receive.settle(&mut queue);
    assert_eq!((receive.completed(), receive.content(&mut queue)), (1, Ok(Content::End)));
}

#[test]
#[should_panic(expected = "more content was consumed than was returned")]
fn no_part_is_larger_than_the_chunk() {
    let (_, mut receive, mut queue) = answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    receive.receive(b"3\r\nabc\r\n2\r\nde\r\n");
    assert_eq!(receive.content(&mut queue), Ok(Content::Bytes(b"abc")));
    let _ = receive.consume_part(4);
}

#[test]
fn a_verbatim_request_asks_for_no_other_protocol_and_is_pipelined_to_any_server() {
    let mut upgrade = RequestHead::verbatim(Method::GET, "/").unwrap();
    upgrade.fields.append("Upgrade", "websocket").unwrap();
    let mut connection = Connection::new("origin").unwrap();
    for _ in 0..2 {
        connection.send_request(&upgrade).unwrap();
    }
    connection.sent(connection.to_send().len());
    connection.receive(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    while connection.next_event().unwrap().is_some() {}
    connection.send_request(&upgrade).unwrap();
    let mut checked = RequestHead::new(Method::GET, "/").unwrap();
    assert_eq!(connection.send_request(&checked), Err(Error::Local(Misuse::ReadFirst)), "an HTTP/1.0 server");
    checked.fields.append("Upgrade", "websocket").unwrap();
    assert!(matches!(connection.send_request(&checked), Err(Error::Local(Misuse::Connection(_)))));
}

#[test]
fn not_a_byte_more_than_was_offered_can_be_sent() {
    let offered = |content: Announced, pending: bool| {
        let (mut send, mut queue) = (SendHalf::new("origin").unwrap(), Outstanding::new());
        assert_eq!(send.host(), "origin");
        let mut head = RequestHead::new(Method::PUT, "/").unwrap();
        head.content = content;
        send.request(&head, &Fields::new(), &mut queue).unwrap();
        if !pending {
            send.sent(send.to_send().len(), &mut queue);
        }
        let offer = send.offer(5, &mut queue).unwrap();
        let most = send.to_send().len() + offer.prefix().len() + offer.take + offer.suffix().len();
        (send, queue, offer, most)
    };
    for content in [Announced::Length(5), Announced::Chunked] {
        for pending in [false, true] {
            let (mut send, mut queue, offer, most) = offered(content, pending);
            assert_eq!(send.sent_offer(&offer, b"hello", most, &mut queue), 5);
            let (mut send, mut queue, offer, most) = offered(content, pending);
            let more = std::panic::AssertUnwindSafe(|| send.sent_offer(&offer, b"hello", most + 1, &mut queue));
            assert!(std::panic::catch_unwind(more).is_err(), "{content:?}, {pending}");
        }
    }
}

#[test]
fn the_end_of_a_request_is_known_however_its_content_was_sent() {
    for content in [Announced::Length(10), Announced::Chunked] {
        for taken in [1, 3, 5, 8] {
            let (mut send, mut queue) = (SendHalf::new("origin").unwrap(), Outstanding::new());
            let mut head = RequestHead::new(Method::PUT, "/").unwrap();
            head.content = content;
            send.request(&head, &Fields::new(), &mut queue).unwrap();
            send.sent(send.to_send().len(), &mut queue);
            // We send a part of it from where it is, and the rest through the buffer.
            let offer = send.offer(5, &mut queue).unwrap();
            let taken = if content == Announced::Chunked { taken } else { taken.min(5) };
            let mut left = 10 - send.sent_offer(&offer, b"hello", taken, &mut queue);
            while left > 0 {
                left -= send.content(&b"0123456789"[..left], &mut queue).unwrap();
            }
            send.finish(&Fields::new(), &mut queue).unwrap();
            let rest = send.to_send().len();
            send.request(&RequestHead::new(Method::GET, "/").unwrap(), &Fields::new(), &mut queue).unwrap();
            let state = |queue: &Outstanding| queue.unanswered().map(|request| request.sent).collect::<Vec<_>>();
            send.sent(rest - 1, &mut queue);
            assert_eq!(state(&queue), [Sent::Partly, Sent::Nothing], "{content:?} {taken}");
            send.sent(1, &mut queue);
            assert_eq!(state(&queue), [Sent::Whole, Sent::Nothing], "{content:?} {taken}");
            send.sent(1, &mut queue);
            assert_eq!(state(&queue), [Sent::Whole, Sent::Partly], "{content:?} {taken}");
        }
    }
}

#[test]
fn the_last_request_can_be_taken_back_until_its_answer_begins() {
    let request = RequestHead::new(Method::GET, "/").unwrap();
    for begun in [false, true] {
        let (mut send, mut receive, mut queue) = asked();
        assert_eq!(send.request(&request, &Fields::new(), &mut queue), Ok(1));
        send.take_back(0, &mut queue);
        assert_eq!(queue.len(), 2, "it is not the last one");
        send.take_back(1, &mut queue);
        assert_eq!((queue.len(), queue.answered()), (1, 0));
        if begun {
            receive.receive(b"H");
            assert_eq!(receive.poll_head(&mut queue), Ok(None));
        }
        send.take_back(0, &mut queue);
        assert_eq!((queue.len(), queue.answered(), queue.is_empty()), (usize::from(begun), 0, !begun));
    }
}

/// Ends a connection that owes a part of its content, with a request behind the part that was sent.
fn ended(owing: bool, end: impl Fn(&mut Connection)) -> (Connection, Error) {
    let mut connection = Connection::new("origin").unwrap();
    connection.send_request(&RequestHead::new(Method::GET, "/").unwrap()).unwrap();
    connection.sent(connection.to_send().len());
    let mut head = RequestHead::new(Method::PUT, "/").unwrap();
    head.content = Announced::Length(if owing { 5 } else { 0 });
    connection.send_request(&head).unwrap();
    assert!(!connection.to_send().is_empty());
    end(&mut connection);
    loop {
        match connection.next_event() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it has not ended"),
            Err(error) => return (connection, error),
        }
    }
}

#[test]
fn after_an_error_nothing_is_sent_and_every_call_says_which() {
    let ends: [(&str, bool); 5] = [
        ("SSH-2.0-x\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false),
        ("", true),
    ];
    for (bytes, eof) in ends {
        for owing in [false, true] {
            let (mut connection, error) = ended(owing, |connection| {
                connection.receive(bytes.as_bytes());
                if eof {
                    connection.receive_eof();
                }
            });
            assert!(connection.to_send().is_empty(), "{error}");
            assert!(!connection.wants().write, "{error}");
            let again = connection.next_event().map(drop).unwrap_err();
            let request = connection.send_request(&RequestHead::new(Method::GET, "/").unwrap()).unwrap_err();
            assert_eq!((again, request), (error, error));
            if owing {
                assert_eq!(connection.send_content(b"hello").unwrap_err(), error);
            }
            let last = connection.outstanding().unanswered().last().unwrap();
            assert_eq!((last.number, last.sent), (1, Sent::Nothing), "{error}");
        }
    }
}

#[test]
fn a_fault_of_the_framing_is_known_with_the_head() {
    let (_, mut receive, mut queue) = answered("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
    let fault = receive.framing_fault().expect("the length is no number");
    assert!(matches!(fault, Error::Remote { what: Malformed::ContentLength, at: 33, .. }), "{fault:?}");
    assert_eq!(receive.content(&mut queue), Err(fault));
    let (_, receive, _) = answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(receive.framing_fault(), None);
    // Any other error is not a fault of the framing.
    let (_, mut receive, mut queue) = asked();
    receive.receive(b"SSH");
    assert!(receive.poll_head(&mut queue).is_err());
    assert_eq!(receive.framing_fault(), None);
}
