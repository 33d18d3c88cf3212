//! The steps that send.

use std::io::IoSlice;
use std::time::Instant;

use dugong_net::{Stream, StreamError};
use dugong_proto::{Content, Error as CoreError, Fields, HeadKind, Misuse};

use super::duplex::{Duplex, RECEIVES, SENDS, refused};
use super::shared::{Queue, Shared, SharedRef};
use super::sides::Receiving;
use super::sides::Upload;
use super::{Interest, Need, Progress, Step, WaitingFor};
use crate::error::Error;
use crate::events::Event;
use crate::request::Request;

/// The answer to an expectation (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continue {
    /// The content may be sent: the server said so or was silent for long enough, or the request had no expectation.
    Send,
    /// A final response came instead. It can be read, and the content must not be sent.
    Refused,
}

/// The result of taking in arrived bytes.
enum TakenIn {
    /// They are all in the buffer; wait for this.
    Wait(Interest),
    /// The buffer is full, or no more bytes will come: the caller has to read.
    Full,
}

impl Duplex<'_> {
    /// Sends a request: takes it whole and begins to send it, or refuses it whole. Returns its number. Later steps send the
    /// bytes that do not go out at once, its content included.
    ///
    /// # Errors
    /// `Local(ReadFirst)` if there is no room until responses are read; `Local` if the request is not valid or not allowed now.
    /// All other errors end the connection.
    pub fn send_request(&mut self, request: &Request, stream: &mut impl Stream) -> Result<Progress<u64>, Error> {
        let progress = self.take_request(request, stream)?;
        if let Progress::Done(_) = progress
            && let Err(error) = self.write_pending(stream)
            && !self.is_answered_after_all(stream)
        {
            return Err(error);
        }
        Ok(progress)
    }

    /// Takes a request like [`send_request`](Duplex::send_request), but leaves it in the send buffer if there is room, so that
    /// many go out with one write.
    ///
    /// # Errors
    /// The same as for [`send_request`](Duplex::send_request).
    pub fn take_request(&mut self, request: &Request, stream: &mut impl Stream) -> Result<Progress<u64>, Error> {
        let head = request.as_head()?;
        self.look_for_unasked(stream)?;
        // Content that was given up has not to be waited for.
        let is_on_its_way =
            self.sender().upload.is_some() && (self.sender().half.owes_content() || self.shared.queue().close_reason().is_none());
        if is_on_its_way && let Progress::Needs(interest) = self.finish_upload(stream)? {
            return Ok(Progress::Needs(interest));
        }
        let size = head.target().len() + head.fields.size() + 256;
        loop {
            let sender = self.sender();
            let (pending, limit) = (sender.half.to_send().len(), sender.limit);
            // A connection that takes no further request can say so before the buffer is empty.
            if pending == 0 || pending + size <= limit || self.shared.queue().close_reason().is_some() {
                break;
            }
            if let Progress::Needs(interest) = self.flush(stream)?
                && self.sender().half.to_send().len() == pending
            {
                return Ok(Progress::Needs(interest));
            }
        }
        let sender = self.sending.as_mut().expect(SENDS);
        if sender.half.buffer_capacity() == 0 {
            sender.take_buffer();
        }
        let pending = sender.half.to_send().len();
        let taken = sender.half.request(head, &sender.defaults, &mut self.shared.queue());
        let number = match taken {
            Ok(number) => number,
            Err(error) => {
                return Err(match self.receiving.as_mut().and_then(|receiver| receiver.take_tls_error()) {
                    None => self.shared.end(error),
                    said => Error::of_core(error, &self.shared.queue(), said),
                });
            }
        };
        if let Some(observer) = &self.shared.observer {
            observer.tell(&Event::Request { number, head: &sender.half.to_send()[pending..] });
        }
        if let Some(content) = request.content().filter(|content| !content.is_empty()) {
            let until = if head.expect_continue { Instant::now().checked_add(sender.expect_timeout) } else { None };
            sender.upload = Some(Upload { content: content.clone(), sent: 0, until });
        }
        Ok(Progress::Done(number))
    }

    /// Queues a request that can no longer be sent, because the connection carries no further one: reading its response reports
    /// why, in its turn. If `content_follows`, its content goes to [`SendHalf::discard`](dugong_proto::SendHalf::discard).
    ///
    /// # Errors
    /// `Local` if the request is not valid.
    pub fn accept_unsendable(&mut self, request: &Request, content_follows: bool) -> Result<u64, Error> {
        let head = request.as_head()?;
        let sender = self.sending.as_mut().expect(SENDS);
        Ok(sender.half.accept_unsendable(head, content_follows, &mut self.shared.queue())?)
    }

    /// Whether nothing more may be sent: the connection has failed, or a response announced its end (RFC 9112 §9.6).
    #[must_use]
    pub fn is_sending_over(&mut self) -> bool {
        self.shared.queue().sending_is_over().is_some()
    }

    /// Judges, before the first request after a pause, the bytes that have arrived: no request asked for them.
    fn look_for_unasked(&mut self, stream: &mut impl Stream) -> Result<(), Error> {
        let Some(receiver) = self.receiving.as_mut() else { return Ok(()) };
        let shared = &mut self.shared;
        if receiver.half.awaits_framing() && !receiver.half.is_at_eof() {
            // The caller has read all content of the last response, but not its end, which may have arrived with bytes behind
            // it.
            let _ = receiver.fill(shared, stream);
        }
        let mut queue = shared.queue();
        receiver.half.settle(&mut queue);
        let is_idle = queue.is_empty();
        drop(queue);
        receiver.report_complete(shared);
        if !is_idle {
            return Ok(());
        }
        loop {
            let has_read = !receiver.half.is_at_eof() && receiver.look(shared, stream);
            // The usual case: nothing to judge.
            if !receiver.half.has_begun() && !receiver.half.is_at_eof() {
                return Ok(());
            }
            let mut queue = shared.queue();
            let polled = receiver.half.poll_head(&mut queue);
            polled.map_err(|error| Error::of_core(error, &queue, receiver.take_tls_error()))?;
            // An empty line was skipped, or half of one is there. More may follow it, over TLS in a record of its own.
            if !has_read || queue.close_reason().is_some() {
                return Ok(());
            }
        }
    }

    /// Sends the content of the last request to its end, before anything can follow it.
    pub(crate) fn finish_upload(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, Error> {
        self.shared.check_failure()?;
        while self.sender().upload.is_some() {
            if let Progress::Needs(interest) = self.flush(stream)? {
                return Ok(Progress::Needs(interest));
            }
            if self.sender().upload.is_none() {
                break;
            }
            // The rest waits for the answer to the expectation.
            if self.receiving.is_none() {
                return refused(Misuse::AwaitContinue);
            }
            match self.await_continue(stream)? {
                Progress::Needs(interest) => return Ok(Progress::Needs(interest)),
                Progress::Done(Continue::Send) => {}
                Progress::Done(Continue::Refused) => return refused(Misuse::ReadFirst),
            }
        }
        Ok(Progress::Done(()))
    }

    /// Sends pending bytes as far as possible without waiting: the send buffer, and the content of the last request, unless
    /// that waits for the answer to its expectation.
    ///
    /// If sending [is over](dugong_proto::Outstanding::sending_is_over), drops these bytes. The error then says why, unless the
    /// response to the last request does.
    pub(crate) fn write_pending(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, Error> {
        let shared = &mut self.shared;
        let sender = self.sending.as_mut().expect(SENDS);
        if sender.upload.is_none() && sender.half.to_send().is_empty() {
            if sender.gave_up {
                return shared.gives_up().unwrap_or(Ok(())).map(Progress::Done);
            }
            return flush(shared, stream);
        }
        let receiver = self.receiving.as_deref();
        while let Some(upload) = &mut sender.upload {
            let content = &upload.content[upload.sent..];
            if let Some(given_up) = shared.gives_up() {
                sender.give_up();
                return given_up.map(Progress::Done);
            }
            let offer = sender.half.offer(content.len(), &mut queue_before_write(shared, receiver));
            let offer = match offer {
                Ok(offer) => offer,
                Err(CoreError::Local(Misuse::AwaitContinue)) if upload.until.is_some_and(|until| until <= Instant::now()) => {
                    sender.half.proceed_without_continue(&mut shared.queue());
                    continue;
                }
                Err(CoreError::Local(Misuse::AwaitContinue)) => break,
                // A final response came instead, and says what became of the request. Or the other half has just ended the connection.
                Err(_) => {
                    if let Some(Err(error)) = shared.gives_up() {
                        sender.give_up();
                        return Err(error);
                    }
                    sender.upload = None;
                    break;
                }
            };
            upload.until = None;
            let pieces = [sender.half.to_send(), offer.prefix(), &content[..offer.take], offer.suffix()];
            match write_some(shared, stream, pieces) {
                Ok(Progress::Done(count)) => {
                    upload.sent += sender.half.sent_offer(&offer, content, count, &mut shared.queue());
                    if upload.sent == upload.content.len() {
                        sender.upload = None;
                    }
                }
                Ok(Progress::Needs(interest)) => {
                    sender.half.sent_offer(&offer, content, 0, &mut shared.queue());
                    return Ok(Progress::Needs(interest));
                }
                Err(error) => {
                    sender.half.sent(0, &mut shared.queue());
                    return Err(shared.sending_failed(error));
                }
            }
        }
        while !sender.half.to_send().is_empty() {
            if let Some(given_up) = shared.gives_up() {
                sender.give_up();
                return given_up.map(Progress::Done);
            }
            sender.half.sending(&mut queue_before_write(shared, receiver));
            match write(shared, stream, &[IoSlice::new(sender.half.to_send())]) {
                Ok(Progress::Done(count)) => sender.half.sent(count, &mut shared.queue()),
                Ok(Progress::Needs(interest)) => {
                    sender.half.sent(0, &mut shared.queue());
                    return Ok(Progress::Needs(interest));
                }
                Err(error) => {
                    sender.half.sent(0, &mut shared.queue());
                    return Err(shared.sending_failed(error));
                }
            }
        }
        flush(shared, stream)
    }

    /// Sends all pending bytes, and takes in arriving ones while that has to wait.
    ///
    /// # Errors
    /// `Local(ReadFirst)` if the receive buffer is full or the server has ended its direction: read to learn why. All other
    /// errors end the connection.
    pub fn flush(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, Error> {
        let mut is_retry = false;
        loop {
            let Progress::Needs(interest) = self.write_pending(stream)? else { return Ok(Progress::Done(())) };
            match self.take_in(interest, stream)? {
                TakenIn::Full => return refused(Misuse::ReadFirst),
                TakenIn::Wait(_) if may_have_been_read(interest, &mut is_retry) => {}
                TakenIn::Wait(interest) => return Ok(Progress::Needs(interest)),
            }
        }
    }

    /// Takes in arrived bytes while writing waits for `interest`, if the caller has that side.
    ///
    /// If the server has ended its direction it cannot answer any more, so there is no point in waiting.
    fn take_in(&mut self, interest: Interest, stream: &mut impl Stream) -> Result<TakenIn, Error> {
        let shared = &mut self.shared;
        let Some(receiver) = self.receiving.as_mut() else { return Ok(TakenIn::Wait(interest)) };
        while !receiver.half.is_at_eof() {
            if receiver.room().is_empty() {
                return Ok(TakenIn::Full);
            }
            if let Progress::Needs(also) = receiver.fill(shared, stream) {
                return Ok(TakenIn::Wait(interest | also));
            }
        }
        if !receiver.half.is_in_content() {
            self.next_head()?;
        }
        Ok(TakenIn::Full)
    }

    /// Sends some of `content`, which the last request announced. Returns how much was taken: at least one byte unless
    /// `content` is empty. The bytes go to the stream without a copy, together with other pending ones.
    ///
    /// # Errors
    /// `Local(ContentRefused)` if a final response to the request has come, and this would have to wait or failed: it can be read.
    /// `Local(ReadFirst)` if responses to earlier requests fill the receive buffer. `Local(AwaitContinue)` if an expectation is
    /// unanswered: see [`await_continue`](Duplex::await_continue). Other `Local`s if the request did not announce this content.
    /// All other errors end the connection.
    pub fn write_content(&mut self, content: &[u8], stream: &mut impl Stream) -> Result<Progress<usize>, Error> {
        let mut is_retry = false;
        loop {
            let sender = self.sending.as_mut().expect(SENDS);
            let shared = &mut self.shared;
            if sender.upload.is_some() {
                return refused(Misuse::NoContentDue);
            }
            let offer = sender.half.offer(content.len(), &mut queue_before_write(shared, self.receiving.as_deref()));
            let offer = offer.map_err(|error| shared.end(error))?;
            if offer.take == 0 {
                return Ok(Progress::Done(0));
            }
            let pieces = [sender.half.to_send(), offer.prefix(), &content[..offer.take], offer.suffix()];
            match write_some(shared, stream, pieces) {
                Ok(Progress::Done(count)) => {
                    let taken = sender.half.sent_offer(&offer, content, count, &mut shared.queue());
                    if taken > 0 {
                        return Ok(Progress::Done(taken));
                    }
                }
                Ok(Progress::Needs(interest)) => {
                    sender.half.sent_offer(&offer, content, 0, &mut shared.queue());
                    let taken_in = self.take_in(interest, stream)?;
                    if self.is_answered() {
                        return refused(Misuse::ContentRefused);
                    }
                    match taken_in {
                        TakenIn::Full => return refused(Misuse::ReadFirst),
                        TakenIn::Wait(_) if may_have_been_read(interest, &mut is_retry) => {}
                        TakenIn::Wait(interest) => return Ok(Progress::Needs(interest)),
                    }
                }
                Err(error) => {
                    sender.half.sent(0, &mut shared.queue());
                    let error = shared.sending_failed(error);
                    return if self.is_answered_after_all(stream) { refused(Misuse::ContentRefused) } else { Err(error) };
                }
            }
        }
    }

    /// Whether the final response to the last request has arrived, although sending failed. A server that answers and closes with
    /// content unread resets the connection, and the response stays in the buffers of this end.
    #[cold]
    fn is_answered_after_all(&mut self, stream: &mut impl Stream) -> bool {
        if let Some(receiver) = self.receiving.as_mut() {
            while !receiver.half.is_at_eof() && !receiver.room().is_empty() {
                if let Progress::Needs(_) = receiver.fill(&mut self.shared, stream) {
                    break;
                }
            }
        }
        self.is_answered()
    }

    /// Whether a final response to the last request has arrived. It may be behind others that are unread.
    pub fn is_answered(&mut self) -> bool {
        let shared = &mut self.shared;
        let Some(receiver) = self.receiving.as_mut() else { return false };
        let last = |shared: &mut SharedRef<'_>| shared.queue().len() == 1;
        while !receiver.half.is_in_content() {
            // An error stays for the next read.
            let polled = receiver.half.poll_head(&mut shared.queue());
            match polled {
                Ok(Some(HeadKind::Interim)) => {}
                Ok(Some(HeadKind::Final)) if last(shared) => return true,
                Ok(Some(HeadKind::Final)) => break,
                Ok(None) | Err(_) => return false,
            }
            receiver.take_interim(shared);
        }
        if receiver.half.is_in_content() && last(shared) {
            return true;
        }
        // Reads the unread responses in a copy, to find the last one.
        let (mut half, mut queue) = (receiver.half.clone(), shared.queue().clone());
        loop {
            if half.is_in_content() {
                match half.take_content(&mut queue) {
                    Ok(Content::Bytes(_) | Content::End) => {}
                    Ok(Content::NeedsInput) | Err(_) => return false,
                }
            } else {
                match half.poll_head(&mut queue) {
                    Ok(Some(HeadKind::Final)) if queue.len() == 1 => return true,
                    Ok(Some(_)) => half.take_head(&mut queue),
                    Ok(None) | Err(_) => return false,
                }
            }
        }
    }

    /// Ends content: sends the last chunk and `trailers` if it is chunked, otherwise checks that all of it was sent. Later
    /// steps send the bytes that do not go out at once.
    ///
    /// # Errors
    /// `Local(ContentShort)` if some of the announced content is missing, other `Local`s as for
    /// [`write_content`](Duplex::write_content). All other errors end the connection.
    pub fn finish_content(&mut self, trailers: &Fields, stream: &mut impl Stream) -> Result<(), Error> {
        let sender = self.sending.as_mut().expect(SENDS);
        if sender.upload.is_some() {
            return refused(Misuse::NoContentDue);
        }
        let finished = sender.half.finish(trailers, &mut self.shared.queue());
        finished.map_err(|error| self.shared.end(error))?;
        match self.write_pending(stream) {
            Err(_) if self.is_answered_after_all(stream) => refused(Misuse::ContentRefused),
            result => result.map(drop),
        }
    }

    /// Reads the server's answer to the expectation of the last request. Interim responses go to the callback, and the last of
    /// them is now [`head`](dugong_proto::ReceiveHalf::head).
    ///
    /// # Errors
    /// `Local(ReadFirst)` if responses to earlier requests are unread. All other errors end the connection.
    pub fn await_continue(&mut self, stream: &mut impl Stream) -> Result<Progress<Continue>, Error> {
        let mut needs = None;
        loop {
            let sender = self.sending.as_mut().expect(SENDS);
            let offer = sender.half.offer(0, &mut self.shared.queue());
            match offer {
                Err(CoreError::Local(Misuse::AwaitContinue)) => {}
                // The server was silent for long enough, so the content was sent meanwhile.
                Err(CoreError::Local(Misuse::NoContentDue)) if needs.is_some() => return Ok(Progress::Done(Continue::Send)),
                Err(CoreError::Local(Misuse::ContentRefused)) => return Ok(Progress::Done(Continue::Refused)),
                Err(error) => return Err(self.shared.end(error)),
                Ok(_) => return Ok(Progress::Done(Continue::Send)),
            }
            if let Some(interest) = needs {
                return Ok(Progress::Needs(interest));
            }
            if !self.shared.queue().is_waiting_for_continue() || self.receiver().half.is_in_content() {
                return refused(Misuse::ReadFirst);
            }
            match self.next_head()? {
                Some(HeadKind::Interim) => self.receiving.as_mut().expect(RECEIVES).take_interim(&mut self.shared),
                Some(HeadKind::Final) => return Ok(Progress::Done(Continue::Refused)),
                None => {
                    if let Progress::Needs(interest) = self.fill(stream) {
                        needs = Some(interest);
                    }
                }
            }
        }
    }

    /// Waits like [`await_continue`](Duplex::await_continue), but only until `until`: a server that is silent for so long gets
    /// the content without having asked for it (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// The same as for [`await_continue`](Duplex::await_continue).
    pub fn await_continue_until(&mut self, until: Option<Instant>, stream: &mut impl Stream) -> Result<Step<Continue>, Error> {
        match self.await_continue(stream)? {
            Progress::Done(answer) => Ok(Progress::Done(answer)),
            Progress::Needs(_) if until.is_some_and(|until| until <= Instant::now()) => {
                let sender = self.sending.as_mut().expect(SENDS);
                sender.half.proceed_without_continue(&mut self.shared.queue());
                Ok(Progress::Done(Continue::Send))
            }
            Progress::Needs(interest) => Ok(Progress::Needs(Need::new(interest, WaitingFor::Response).until(until))),
        }
    }
}

/// Whether to retry a write that wanted bytes from the peer (as TLS may): the read in between may have taken them.
fn may_have_been_read(interest: Interest, is_retry: &mut bool) -> bool {
    !interest.writes() && !std::mem::replace(is_retry, true)
}

/// Returns the queue, and notes in it how many bytes were received before the write that follows.
#[inline]
fn queue_before_write<'a>(shared: &'a mut SharedRef<'_>, receiver: Option<&Receiving>) -> Queue<'a> {
    let mut queue = shared.queue();
    if let Some(receiver) = receiver {
        receiver.half.note_received(&mut queue);
    }
    queue
}

/// Flushes the stream.
fn flush(shared: &Shared, stream: &mut impl Stream) -> Result<Progress<()>, Error> {
    stream.flush().map_err(|error| shared.sending_failed(error))
}

/// Writes four pieces at once, without the empty ones: some streams look at the first piece only.
fn write_some(shared: &Shared, stream: &mut impl Stream, pieces: [&[u8]; 4]) -> Result<Progress<usize>, StreamError> {
    let mut slices = [IoSlice::new(&[]); 4];
    let mut count = 0;
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        slices[count] = IoSlice::new(piece);
        count += 1;
    }
    write(shared, stream, &slices[..count])
}

/// Writes, unless an earlier write has failed.
#[inline]
fn write(shared: &Shared, stream: &mut impl Stream, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
    if let Some(&kind) = shared.write_failed.get() {
        return Err(kind.into());
    }
    // A reader has to see the failure before it sees that no write is under way.
    stream.write(pieces).inspect_err(|error| {
        shared.write_failed.get_or_init(|| error.kind());
    })
}
