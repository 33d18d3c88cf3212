//! Content of a request that the server refuses, or that you cannot send to its end.

use dugong_proto::*;

struct Upload {
    send: SendHalf,
    receive: ReceiveHalf,
    queue: Outstanding,
}

impl Upload {
    /// A request whose head was sent, and whose content is owed.
    fn new(content: Announced, expect_continue: bool) -> Self {
        let mut send = SendHalf::new("origin").unwrap();
        let mut queue = Outstanding::new();
        send.request(&put(content, expect_continue), &Fields::new(), &mut queue).unwrap();
        send.sent(send.to_send().len(), &mut queue);
        Upload { send, receive: ReceiveHalf::new(Limits::default(), 65536), queue }
    }

    /// Receives a response and reads it to its end.
    fn answer(&mut self, response: &str) {
        self.receive.receive(response.as_bytes());
        assert!(self.receive.poll_head(&mut self.queue).unwrap().is_some());
        self.receive.take_head(&mut self.queue);
        while let Content::Bytes(_) = self.receive.take_content(&mut self.queue).unwrap() {}
    }

    fn offer(&mut self, amount: usize) -> Result<(), Error> {
        self.send.offer(amount, &mut self.queue).map(|_| ())
    }
}

fn put(content: Announced, expect_continue: bool) -> RequestHead {
    let mut head = RequestHead::new(Method::PUT, "/").unwrap();
    (head.content, head.expect_continue) = (content, expect_continue);
    head
}

const REFUSAL: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";

#[test]
fn a_refusal_in_place_of_100_is_remembered_after_its_response() {
    let mut upload = Upload::new(Announced::Length(5), true);
    assert!(!upload.queue.is_content_refused() && upload.queue.is_waiting_for_continue());
    upload.answer(REFUSAL);
    assert!(upload.queue.is_empty() && upload.queue.is_content_refused());
    assert_eq!(upload.offer(5), Err(Misuse::ContentRefused.into()));
    assert_eq!(upload.queue.close_reason(), Some(CloseReason::ContentNotSent));
}

#[test]
fn a_final_response_refuses_no_content_once_some_was_sent() {
    for expects in [false, true] {
        let mut upload = Upload::new(Announced::Length(5), expects);
        upload.send.proceed_without_continue(&mut upload.queue);
        assert_eq!(upload.send.content(b"abc", &mut upload.queue), Ok(3));
        upload.answer(REFUSAL);
        assert!(!upload.queue.is_content_refused());
    }
}

#[test]
fn content_may_follow_a_refusal_that_came_after_the_wait() {
    let mut upload = Upload::new(Announced::Length(5), true);
    upload.queue.proceed_without_continue();
    assert!(!upload.queue.is_waiting_for_continue() && upload.queue.is_response_due());
    upload.receive.receive(REFUSAL.as_bytes());
    upload.receive.poll_head(&mut upload.queue).unwrap();
    upload.receive.take_head(&mut upload.queue);
    assert!(upload.queue.is_content_refused());
    assert_eq!(upload.offer(5), Ok(()));
    assert!(!upload.queue.is_content_refused());
}

#[test]
fn nothing_follows_an_interrupted_write() {
    for content in [Announced::Length(5), Announced::Chunked] {
        let mut upload = Upload::new(content, false);
        assert_eq!(upload.send.content(b"abc", &mut upload.queue), Ok(3));
        upload.queue.interrupt_content();
        assert!(upload.queue.is_content_interrupted() && !upload.queue.is_response_due());
        assert_eq!(upload.offer(2), Err(Misuse::ContentInterrupted.into()));
        let finished = upload.send.finish(&Fields::new(), &mut upload.queue);
        assert!(matches!(finished, Err(Error::Local(Misuse::ContentInterrupted))), "{finished:?}");
        let next = upload.send.request(&put(content, false), &Fields::new(), &mut upload.queue);
        assert_eq!(next, Err(Misuse::ContentOwed.into()));
        upload.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(upload.queue.is_content_interrupted());
        assert_eq!(upload.queue.close_reason(), Some(CloseReason::ContentNotSent));
    }
}

#[test]
fn interrupting_changes_nothing_when_no_content_is_owed() {
    let mut upload = Upload::new(Announced::Length(0), false);
    upload.queue.interrupt_content();
    Outstanding::new().interrupt_content();
    assert!(!upload.queue.is_content_interrupted() && upload.queue.is_response_due());
}

#[test]
fn discarded_content_is_counted() {
    let mut upload = Upload::new(Announced::Length(5), false);
    assert_eq!(upload.send.discard(1), Err(Misuse::NoContentDue));
    assert_eq!(upload.send.content(b"a", &mut upload.queue), Ok(1));
    upload.send.discard_content(&mut upload.queue).unwrap();
    assert!(upload.send.to_send().is_empty() && upload.send.is_discarding() && !upload.send.owes_content());
    assert_eq!((upload.send.content_left(), upload.send.discard(5)), (Some(4), Err(Misuse::ExcessContent)));
    assert_eq!(upload.send.finish(&Fields::new(), &mut upload.queue), Err(Misuse::ContentShort.into()));
    assert_eq!((upload.send.discard(4), upload.send.is_discarding()), (Ok(()), false));
    assert_eq!(upload.send.discard_content(&mut upload.queue), Err(Misuse::NoContentDue));
    assert_eq!(upload.queue.close_reason(), Some(CloseReason::ContentNotSent));
}

#[test]
fn content_of_a_request_that_cannot_be_sent_is_discarded() {
    let mut upload = Upload::new(Announced::Length(0), false);
    upload.queue.close(CloseReason::ServerSaidClose);
    let Upload { send, queue, .. } = &mut upload;
    assert_eq!(send.accept_unsendable(&put(Announced::Chunked, false), true, queue), Ok(1));
    assert_eq!((send.is_discarding(), send.content_left(), send.discard(1 << 40)), (true, None, Ok(())));
    assert_eq!(send.finish(&Fields::new(), queue), Ok(()));
    assert_eq!(send.accept_unsendable(&put(Announced::Length(5), false), false, queue), Ok(2));
    assert!(!send.is_discarding() && send.to_send().is_empty());
    assert_eq!(queue.unanswered().map(|request| request.sent).collect::<Vec<_>>(), [Sent::Whole, Sent::Nothing, Sent::Nothing]);
}

#[test]
fn one_request_can_be_asked_for_by_its_number() {
    let mut upload = Upload::new(Announced::Length(0), false);
    upload.answer("HTTP/1.1 204 No Content\r\n\r\n");
    upload.send.request(&put(Announced::Length(5), false), &Fields::new(), &mut upload.queue).unwrap();
    assert_eq!(upload.queue.unanswered_request(0), None);
    let described = upload.queue.unanswered_request(1).unwrap();
    assert_eq!((described.number, described.sent, described.is_safe_to_retry()), (1, Sent::Nothing, true));
    assert_eq!(upload.queue.unanswered_request(2), None);
}
