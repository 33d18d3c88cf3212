//! A connection between a client and a server that act in any order.

use proptest::prelude::*;

use dugong_proto::{Connection, Error, Event, Fields, Misuse, Outstanding, ResponseHead, Sent, Unanswered};

use crate::exchanges::{Body, Exchange, Seen, Upload, expected_pairs, pairs, to_fields};
use crate::parsed::Parsed;

/// An act of the client, or an event that it meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    SendRequest,
    SendContent(usize),
    Finish,
    StopWaiting,
    Transmit(usize),
    Receive(usize),
    NextEvent,
    Drain,
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    let amount = || prop_oneof![0usize..4, 1usize..60, Just(10_000)];
    prop_oneof![
        3 => Just(Act::SendRequest),
        3 => amount().prop_map(Act::SendContent),
        2 => Just(Act::Finish),
        1 => Just(Act::StopWaiting),
        3 => amount().prop_map(Act::Transmit),
        4 => amount().prop_map(Act::Receive),
        3 => Just(Act::NextEvent),
        2 => Just(Act::Drain),
    ]
}

/// A connection, a server that answers as planned, and all that a careful client would know.
pub(crate) struct World<'a> {
    exchanges: &'a [Exchange],
    connection: Connection,
    /// All bytes that the transport took.
    wire: Vec<u8>,
    /// Where each request begins and ends in the connection's bytes.
    extents: Vec<(usize, Option<usize>)>,
    /// How much content of the last request was passed.
    given: usize,
    /// The client stopped waiting for 100 (Continue), or need not wait.
    may_send: bool,
    /// The number of the request whose answer is arriving, and how many bytes of it have arrived.
    arriving: usize,
    arrived: usize,
    drained: bool,
    content: Vec<u8>,
    seen: Vec<Seen>,
    responses: usize,
    complete: usize,
}

impl<'a> World<'a> {
    pub(crate) fn new(exchanges: &'a [Exchange]) -> Self {
        World {
            exchanges,
            connection: Connection::new("example.org").expect("a valid host"),
            wire: Vec::new(),
            extents: Vec::new(),
            given: 0,
            may_send: true,
            arriving: 0,
            arrived: 0,
            drained: true,
            content: Vec::new(),
            seen: Vec::new(),
            responses: 0,
            complete: 0,
        }
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::SendRequest => self.send_request(),
            Act::SendContent(amount) => self.send_content(amount),
            Act::Finish => self.finish(),
            Act::StopWaiting => {
                self.connection.proceed_without_continue();
                self.may_send |= self.owes();
            }
            Act::Transmit(amount) => {
                let count = amount.min(self.connection.to_send().len());
                self.wire.extend_from_slice(&self.connection.to_send()[..count]);
                self.connection.sent(count);
            }
            Act::Receive(amount) => self.receive(amount),
            Act::NextEvent => self.next_event(),
            Act::Drain => {
                self.drained = false;
                while !self.drained {
                    self.next_event();
                }
            }
        }
        self.check_outstanding();
    }

    pub(crate) fn go_on_to_the_end(&mut self) {
        for _ in 0..self.exchanges.len() {
            for act in [Act::SendRequest, Act::Drain, Act::Receive(100_000), Act::Drain, Act::StopWaiting] {
                self.act(act);
            }
            for act in [Act::SendContent(100_000), Act::Finish, Act::Transmit(100_000)] {
                self.act(act);
            }
            for act in [Act::Receive(100_000), Act::Drain, Act::Receive(100_000), Act::Drain] {
                self.act(act);
            }
        }
        let total = self.exchanges.len();
        while self.complete < total {
            let before = (self.arriving, self.arrived, self.seen.len());
            self.act(Act::Receive(100_000));
            self.act(Act::Drain);
            assert_ne!(before, (self.arriving, self.arrived, self.seen.len()), "nothing goes on");
        }
        let expected: Vec<Seen> = self.exchanges.iter().flat_map(Exchange::expected).collect();
        assert_eq!(self.seen, expected);
        assert_eq!(self.connection.outstanding().answered(), total as u64);
        assert!(self.connection.wants().is_nothing());
        let mut rest = self.wire.as_slice();
        for exchange in self.exchanges {
            let request = Parsed::take(&mut rest);
            assert_eq!((request.method.as_str(), &request.target), (exchange.method, &exchange.target));
            assert!(request.fields.contains(&("X-Target".to_owned(), exchange.target.clone().into_bytes())));
            assert_eq!(request.content, exchange.content());
            let trailers =
                if let Upload::Chunked(_, trailers) = &exchange.upload { expected_pairs(trailers) } else { Vec::new() };
            assert_eq!(request.trailers, trailers);
        }
        assert_eq!(rest, b"");
    }

    /// How many bytes were made so far.
    fn made(&self) -> usize {
        self.wire.len() + self.connection.to_send().len()
    }

    /// Whether content of the last request is still to come.
    fn owes(&self) -> bool {
        self.extents.last().is_some_and(|(_, end)| end.is_none())
    }

    /// Checks a call that must be refused, and that it changed nothing.
    fn refused<T>(&self, before: &[u8], result: Result<T, Error>, expected: &[Misuse]) {
        match result {
            Err(Error::Local(misuse)) => assert!(expected.contains(&misuse), "{misuse:?}"),
            Err(error) => panic!("the caller's mistake gave {error:?}"),
            Ok(_) => panic!("the caller's mistake was not noticed"),
        }
        assert_eq!(self.connection.to_send(), before);
    }

    fn send_request(&mut self) {
        let Some(exchange) = self.exchanges.get(self.extents.len()) else { return };
        let before = self.connection.to_send().to_vec();
        let start = self.made();
        let result = self.connection.send_request(&exchange.head());
        if self.owes() {
            return self.refused(&before, result, &[Misuse::ContentOwed, Misuse::AwaitContinue]);
        }
        assert_eq!(result, Ok(self.extents.len() as u64));
        self.given = 0;
        self.may_send = !exchange.expect;
        let end = (!exchange.has_upload()).then(|| self.made());
        self.extents.push((start, end));
    }

    fn send_content(&mut self, amount: usize) {
        let before = self.connection.to_send().to_vec();
        if !self.owes() {
            let result = self.connection.send_content(b"x");
            return self.refused(&before, result, &[Misuse::NoContentDue]);
        }
        let exchange = &self.exchanges[self.extents.len() - 1];
        let left = &exchange.content()[self.given..];
        let piece = &left[..amount.min(left.len())];
        let result = self.connection.send_content(piece);
        if !self.may_send {
            return self.refused(&before, result, &[Misuse::AwaitContinue]);
        }
        assert_eq!(result, Ok(piece.len()));
        self.given += piece.len();
        if matches!(exchange.upload, Upload::Length(_)) {
            let before = self.connection.to_send().to_vec();
            if self.given == exchange.content().len() {
                self.complete_request();
            } else {
                let too_much = vec![0; exchange.content().len() - self.given + 1];
                let result = self.connection.send_content(&too_much);
                self.refused(&before, result, &[Misuse::ExcessContent]);
            }
        }
    }

    fn finish(&mut self) {
        let before = self.connection.to_send().to_vec();
        if !self.owes() {
            return;
        }
        let exchange = &self.exchanges[self.extents.len() - 1];
        let trailers = if let Upload::Chunked(_, trailers) = &exchange.upload { to_fields(trailers) } else { Fields::new() };
        if self.may_send && matches!(exchange.upload, Upload::Chunked(..)) && self.given < exchange.content().len() {
            return; // there is more to come
        }
        let result = self.connection.finish_content(&trailers);
        if !self.may_send {
            self.refused(&before, result, &[Misuse::AwaitContinue]);
        } else if matches!(exchange.upload, Upload::Length(_)) {
            self.refused(&before, result, &[Misuse::ContentShort]);
        } else {
            assert_eq!(result, Ok(()));
            self.complete_request();
        }
    }

    fn complete_request(&mut self) {
        let made = self.made();
        self.extents.last_mut().expect("content is only sent for a request").1 = Some(made);
    }

    /// The server sends some bytes. It answers no request of which it has no byte, does not finish before it has all of a
    /// request (the connection would end then), and does not begin to answer while it might still send 100 (Continue).
    fn receive(&mut self, amount: usize) {
        let Some(exchange) = self.exchanges.get(self.arriving).filter(|_| self.arriving < self.extents.len()) else { return };
        if self.wire.len() <= self.extents[self.arriving].0 {
            return;
        }
        let bytes = exchange.response_bytes();
        let owing = self.extents[self.arriving].1.is_none();
        let allowed = match owing {
            true if exchange.expect => exchange.interim_bytes().len(),
            true => bytes.len() - 1,
            false => bytes.len(),
        };
        let to = (self.arrived + amount).min(allowed).max(self.arrived);
        assert_eq!(self.connection.receive(&bytes[self.arrived..to]), to - self.arrived);
        self.drained &= to == self.arrived;
        self.arrived = to;
        if to == bytes.len() && !owing {
            if matches!(exchange.body, Body::UntilClose(_)) {
                self.connection.receive_eof();
                self.drained = false;
            }
            self.arriving += 1;
            self.arrived = 0;
        }
    }

    fn next_event(&mut self) {
        let exchange = self.exchanges.get(self.complete);
        let number = |head: &ResponseHead| head.status().as_u16();
        match self.connection.next_event() {
            Err(error) => panic!("{error}, after {:?}", self.seen),
            Ok(None) => self.drained = true,
            Ok(Some(Event::Interim(head))) => {
                // Its own 100 (Continue) meets the expectation of a request, and only the last request waits.
                self.may_send |= head.status() == 100 && self.complete + 1 == self.extents.len();
                self.seen.push(Seen::Interim(number(head), pairs(head.fields())));
            }
            Ok(Some(Event::Response(head))) => {
                let seen = Seen::Response(number(head), head.reason().to_vec(), pairs(head.fields()));
                self.seen.push(seen);
                self.responses += 1;
                let exchange = exchange.expect("no more responses than requests");
                let empty = match &exchange.body {
                    Body::None(_) => true,
                    Body::Length(content) => content.is_empty(),
                    Body::Chunked(..) | Body::UntilClose(_) => false,
                };
                self.complete += usize::from(empty);
            }
            Ok(Some(Event::Content(bytes))) => {
                assert!(!bytes.is_empty());
                self.content.extend_from_slice(bytes);
            }
            Ok(Some(Event::End(trailers))) => {
                let trailers = pairs(trailers);
                self.seen.push(Seen::Complete(std::mem::take(&mut self.content), trailers));
                self.complete += usize::from(self.complete < self.responses);
            }
            Ok(Some(event)) => panic!("unexpected {event:?}"),
        }
    }

    fn check_outstanding(&self) {
        let outstanding: &Outstanding = self.connection.outstanding();
        // A response is complete with its last byte, which may be one event before its end is reported.
        let complete = outstanding.answered() as usize;
        if complete != self.complete {
            assert_eq!(complete, self.complete + 1);
            assert!(self.responses > self.complete, "no response was begun");
            let all = match &self.exchanges[self.complete].body {
                Body::Length(all) => all.clone(),
                Body::Chunked(chunks, _) => chunks.iter().flat_map(|(_, data)| data).copied().collect(),
                Body::None(_) | Body::UntilClose(_) => panic!("it has no last byte"),
            };
            assert_eq!(self.content, all);
        }
        assert_eq!(outstanding.len(), self.extents.len() - complete);
        assert_eq!(self.connection.wants().read, !outstanding.is_empty());
        assert_eq!(self.connection.wants().write, !self.connection.to_send().is_empty());
        for (number, unanswered) in (complete..).zip(outstanding.unanswered()) {
            let Unanswered { number: got, sent, answer_begun, idempotent, .. } = unanswered;
            assert_eq!(got, number as u64);
            let (start, end) = self.extents[number];
            let expected = match end {
                _ if self.wire.len() <= start => Sent::Nothing,
                Some(end) if self.wire.len() >= end => Sent::Whole,
                _ => Sent::Partly,
            };
            assert_eq!(sent, expected, "request {number}");
            assert_eq!(idempotent, self.exchanges[number].method != "POST");
            assert_eq!(unanswered.is_safe_to_retry(), idempotent || sent == Sent::Nothing);
            let skipped = if self.exchanges[number].empty_line_before { 2 } else { 0 };
            if self.drained {
                let begun = self.arriving > number || (self.arriving == number && self.arrived > skipped);
                assert_eq!(answer_begun, begun, "request {number}");
            }
        }
        let waits = self.exchanges.get(complete).is_some_and(|exchange| exchange.expect)
            && complete + 1 == self.extents.len()
            && !self.may_send;
        assert_eq!(outstanding.is_waiting_for_continue(), waits);
    }
}
