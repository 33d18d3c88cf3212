//! The steps that receive.

use std::io;

use dugong_proto::{CloseReason, Content, HeadKind, Incomplete, Misuse, Within};

use super::duplex::{Duplex, RECEIVES, refused};
use super::shared::SharedRef;
use super::sides::Receiving;
use super::{Interest, Progress};
use crate::buffers::Kind;
use crate::error::{Closed, Error};
use dugong_net::Stream;

/// Reads of at least this size bypass the receive buffer. Smaller reads are worth the copy: the same read fetches the bytes
/// behind them.
pub const BYPASS_MIN: u64 = 16 * 1024;

impl Receiving {
    /// Reads once from the stream into the buffer, which has room. Notes errors and the end, which are reported in their place.
    pub(super) fn fill(&mut self, shared: &mut SharedRef<'_>, stream: &mut impl Stream) -> Progress<()> {
        match stream.read(self.room()) {
            Ok(Progress::Done(0)) => self.ended(shared),
            Ok(Progress::Done(count)) => self.half.received(count),
            Ok(Progress::Needs(interest)) => return Progress::Needs(interest),
            Err(error) => {
                self.read_error = Some(error);
                self.half.receive_broken();
            }
        }
        Progress::Done(())
    }

    /// The free part of the buffer.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.half.buffer_capacity() == 0 {
            self.take_buffer();
        }
        self.half.space()
    }

    #[cold]
    #[inline(never)]
    fn take_buffer(&mut self) {
        self.holder.set(true);
        if let Some(buffer) = self.holder.pool.take(Kind::Receive) {
            self.half.lend_buffer(buffer);
        }
    }

    /// Reads once from a stream that probably has nothing, and takes a buffer only if it has. True if bytes, the end or an
    /// error came.
    pub(super) fn look(&mut self, shared: &mut SharedRef<'_>, stream: &mut impl Stream) -> bool {
        if self.half.buffer_capacity() == 0 {
            let mut few = [0; 64];
            match stream.read(&mut few) {
                Ok(Progress::Needs(_)) => return false,
                Ok(Progress::Done(0)) => self.ended(shared),
                Ok(Progress::Done(count)) => {
                    let room = self.room();
                    // They fit: a buffer has at least 1 KiB.
                    room[..count].copy_from_slice(&few[..count]);
                    self.half.received(count);
                }
                Err(error) => {
                    self.read_error = Some(error);
                    self.half.receive_broken();
                }
            }
            return true;
        }
        !self.half.space().is_empty() && matches!(self.fill(shared, stream), Progress::Done(()))
    }

    /// Notes the end of the stream. After a failed write, or while another thread writes, it proves nothing: the system reports
    /// a reset only once, and the writer may get that report.
    fn ended(&mut self, shared: &mut SharedRef<'_>) {
        let in_write = shared.queue().is_being_sent();
        if in_write || shared.write_failed.get().is_some() {
            let kind = shared.write_failed.get().copied().unwrap_or(io::ErrorKind::UnexpectedEof);
            self.read_error.get_or_insert_with(|| kind.into());
            self.half.receive_broken();
        } else {
            self.half.receive_eof();
        }
    }
}

impl Duplex<'_> {
    /// Reads the head of the next final response, which [`head`](dugong_proto::ReceiveHalf::head) then returns. Interim
    /// responses go to the callback.
    ///
    /// # Errors
    /// `Local(NothingOutstanding)`, or `Local(ContentUnread)` if the last response has unread content. All other errors end the
    /// connection.
    pub fn read_head(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, Error> {
        loop {
            match self.read_head_or_continue(stream)? {
                Progress::Done(HeadKind::Final) => return Ok(Progress::Done(())),
                Progress::Done(HeadKind::Interim) => {}
                Progress::Needs(interest) => return Ok(Progress::Needs(interest)),
            }
        }
    }

    /// Reads a head like [`read_head`](Duplex::read_head), but also stops at a 100 (Continue) that the oldest request waits for
    /// (RFC 9110 §10.1.1): then the result is `Interim`, and the content may be sent.
    ///
    /// # Errors
    /// The same as for [`read_head`](Duplex::read_head).
    pub fn read_head_or_continue(&mut self, stream: &mut impl Stream) -> Result<Progress<HeadKind>, Error> {
        loop {
            if self.receiver().half.is_in_content() {
                match self.content()? {
                    Some(true) => return refused(Misuse::ContentUnread),
                    Some(false) => continue,
                    None => {}
                }
            } else {
                match self.next_head()? {
                    Some(HeadKind::Interim) => {
                        let awaited =
                            self.receiver().half.head().status() == 100 && self.shared.queue().may_be_told_to_continue();
                        self.receiving.as_mut().expect(RECEIVES).take_interim(&mut self.shared);
                        if awaited {
                            return Ok(Progress::Done(HeadKind::Interim));
                        }
                        continue;
                    }
                    Some(HeadKind::Final) => {
                        self.receiving.as_mut().expect(RECEIVES).take_final(&mut self.shared);
                        return Ok(Progress::Done(HeadKind::Final));
                    }
                    None if self.shared.queue().is_empty() => return refused(Misuse::NothingOutstanding),
                    None => {}
                }
            }
            if let Progress::Needs(interest) = self.fill(stream) {
                return Ok(Progress::Needs(interest));
            }
        }
    }

    /// Reads content of the current response into `buffer`, and returns the number of bytes: 0 at its end, or if `buffer` is
    /// empty. Waits only if no content has arrived.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn read_content(&mut self, buffer: &mut [u8], stream: &mut impl Stream) -> Result<Progress<usize>, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            let receiver = self.receiving.as_mut().expect(RECEIVES);
            let shared = &mut self.shared;
            if filled == 0
                && let Some(limit) = receiver.half.bypass()
                && limit.min(buffer.len() as u64) >= BYPASS_MIN
            {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(buffer.len());
                match stream.read(&mut buffer[..limit]) {
                    Ok(Progress::Done(0)) => receiver.ended(shared),
                    Ok(Progress::Done(count)) => {
                        receiver.half.bypassed(count, &mut shared.queue());
                        return Ok(Progress::Done(count));
                    }
                    Ok(Progress::Needs(interest)) => {
                        return Ok(Progress::Needs(interest | self.send_meanwhile(stream, interest)));
                    }
                    Err(error) => {
                        receiver.read_error = Some(error);
                        receiver.half.receive_broken();
                    }
                }
            }
            let bytes = receiver.half.buffered_content();
            if !bytes.is_empty() {
                let count = bytes.len().min(buffer.len() - filled);
                buffer[filled..filled + count].copy_from_slice(&bytes[..count]);
                if !receiver.half.consume_part(count) {
                    receiver.half.settle(&mut shared.queue());
                }
                filled += count;
                continue;
            }
            let mut queue = shared.queue();
            match receiver.half.content(&mut queue) {
                Ok(Content::Bytes(_)) => {}
                // Bytes come first. An end or an error comes again.
                _ if filled > 0 => break,
                Ok(Content::End) => return Ok(Progress::Done(0)),
                Ok(Content::NeedsInput) => {
                    drop(queue);
                    if let Progress::Needs(interest) = self.fill(stream) {
                        return Ok(Progress::Needs(interest));
                    }
                }
                Err(error) => return Err(Error::of_core(error, &queue, receiver.read_error.take())),
            }
        }
        Ok(Progress::Done(filled))
    }

    /// Makes content of the current response available in the receive buffer. If true,
    /// [`content`](dugong_proto::ReceiveHalf::content) returns it; false at the end.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn fill_content(&mut self, stream: &mut impl Stream) -> Result<Progress<bool>, Error> {
        loop {
            if !self.buffered_content().is_empty() {
                return Ok(Progress::Done(true));
            }
            // In the middle of content there is nothing else to find out.
            if self.receiver().half.bypass().is_none()
                && let Some(available) = self.content()?
            {
                return Ok(Progress::Done(available));
            }
            if let Progress::Needs(interest) = self.fill(stream) {
                return Ok(Progress::Needs(interest));
            }
        }
    }

    /// The content of the current response in the receive buffer, up to the next framing. It is empty at the end, and before
    /// [`fill_content`](Duplex::fill_content) has returned true.
    #[must_use]
    #[inline]
    pub fn buffered_content(&self) -> &[u8] {
        self.receiving.as_ref().expect(RECEIVES).half.buffered_content()
    }

    /// Drops `count` bytes of that content.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        let receiver = self.receiving.as_mut().expect(RECEIVES);
        if !receiver.half.consume_part(count) {
            self.settle();
        }
    }

    /// Completes the current response, if all of it has come.
    #[inline(never)]
    fn settle(&mut self) {
        let receiver = self.receiving.as_mut().expect(RECEIVES);
        receiver.half.settle(&mut self.shared.queue());
        receiver.report_complete(&self.shared);
        self.release_buffers_between();
    }

    /// Reports a response that has just become complete to the observer.
    #[inline]
    pub(crate) fn report_complete(&mut self) {
        if let Some(receiver) = &mut self.receiving {
            receiver.report_complete(&self.shared);
        }
    }

    /// Reads the content of the current response to its end, and drops it.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn discard(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, Error> {
        loop {
            match self.discard_some(stream)? {
                Progress::Needs(interest) => return Ok(Progress::Needs(interest)),
                Progress::Done(false) => return Ok(Progress::Done(())),
                Progress::Done(true) => {}
            }
        }
    }

    /// Reads some content of the current response, and drops it; false at the end.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn discard_some(&mut self, stream: &mut impl Stream) -> Result<Progress<bool>, Error> {
        let filled = self.fill_content(stream)?;
        if let Progress::Done(true) = filled {
            let receiver = self.receiving.as_mut().expect(RECEIVES);
            let taken = receiver.half.take_content(&mut self.shared.queue());
            debug_assert!(matches!(taken, Ok(Content::Bytes(_))), "fill_content said that there was some");
        }
        Ok(filled)
    }

    /// Takes in arrived bytes, and says whether a read would return at once: with a head, content, an end or an error. Does not
    /// take a head that is ready.
    pub fn has_arrived(&mut self, stream: &mut impl Stream) -> bool {
        let receiver = self.receiving.as_mut().expect(RECEIVES);
        let shared = &mut self.shared;
        loop {
            if receiver.half.is_at_eof() {
                return true;
            }
            let ready = if receiver.half.is_in_content() {
                !receiver.half.unconsumed().is_empty()
            } else {
                // An error stays for the next read.
                !matches!(receiver.half.poll_head(&mut shared.queue()), Ok(None))
            };
            if ready {
                return true;
            }
            if let Progress::Needs(_) = receiver.fill(shared, stream) {
                return false;
            }
        }
    }

    /// Reads from a connection without unanswered requests, and returns the reason why it can carry no further request:
    /// its end, bytes that answer no request, or the error that TLS reported. `None` while you can send a request.
    pub fn why_unusable(&mut self, stream: &mut impl Stream) -> Option<Error> {
        if !self.has_arrived(stream) {
            return None;
        }
        let receiver = self.receiving.as_mut().expect(RECEIVES);
        let mut queue = self.shared.queue();
        let said = receiver.read_error.take();
        let reason = match receiver.half.poll_head(&mut queue) {
            Err(error) => return Some(Error::of_core(error, &queue, said)),
            Ok(_) => queue.close_reason().unwrap_or(CloseReason::Broken),
        };
        Some(Error::of_core(dugong_proto::Error::Closed(reason), &queue, said))
    }

    /// Reads raw bytes, beginning with those that were received and not consumed. Returns their number, 0 at the end of the
    /// stream. Afterwards nothing else can be read.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn read_raw(&mut self, buffer: &mut [u8], stream: &mut impl Stream) -> Result<Progress<usize>, Error> {
        let receiver = self.receiving.as_mut().expect(RECEIVES);
        let shared = &mut self.shared;
        match receiver.half.take_raw(buffer) {
            0 if receiver.half.is_at_eof() || buffer.is_empty() => Ok(Progress::Done(0)),
            0 => stream.read(buffer).map_err(|error| {
                let cause = Closed::Incomplete(Incomplete::new(Within::Nothing, 0, None), Some(error.into()));
                Error::Closed { cause, requests: shared.requests() }
            }),
            count => Ok(Progress::Done(count)),
        }
    }

    /// Whether the buffer has content; `None` if that is not known yet.
    fn content(&mut self) -> Result<Option<bool>, Error> {
        let receiver = self.receiving.as_mut().expect(RECEIVES);
        let shared = &mut self.shared;
        let mut queue = shared.queue();
        match receiver.half.content(&mut queue) {
            Ok(Content::Bytes(_)) => Ok(Some(true)),
            Ok(Content::End) => Ok(Some(false)),
            Ok(Content::NeedsInput) => Ok(None),
            Err(error) => Err(Error::of_core(error, &queue, receiver.read_error.take())),
        }
    }

    /// Returns the kind of the head that is ready, if one is.
    // Called for each response: inlining it saves a dozen instructions.
    #[inline(always)]
    pub(crate) fn next_head(&mut self) -> Result<Option<HeadKind>, Error> {
        let receiver = self.receiving.as_mut().expect(RECEIVES);
        let shared = &mut self.shared;
        let mut queue = shared.queue();
        receiver.half.poll_head(&mut queue).map_err(|error| Error::of_core(error, &queue, receiver.read_error.take()))
    }

    /// Reads once from the stream into the buffer. If that has to wait, sends pending bytes meanwhile.
    pub(super) fn fill(&mut self, stream: &mut impl Stream) -> Progress<()> {
        match self.receiving.as_mut().expect(RECEIVES).fill(&mut self.shared, stream) {
            Progress::Done(()) => Progress::Done(()),
            Progress::Needs(interest) => Progress::Needs(interest | self.send_meanwhile(stream, interest)),
        }
    }

    /// Sends pending bytes while reading waits for `interest`, if the caller has that side, and returns the interest of both.
    /// If sending fails, arrived responses can still be read.
    fn send_meanwhile(&mut self, stream: &mut impl Stream, interest: Interest) -> Interest {
        if self.sending.is_none() || self.shared.is_cut() {
            return interest;
        }
        match self.write_pending(stream) {
            Ok(Progress::Needs(also)) => also,
            Ok(Progress::Done(())) | Err(_) => interest,
        }
    }
}
