//! A stream that remembers if its socket is ready.

use std::io::IoSlice;

use dugong_http::driver::{Interest, Progress, Stream, StreamError};
use dugong_http::transport::Transport;
use mio::event::Event;

/// A transport in a poller that reports each change once. It asks the system only when there may be something to do: a request
/// costs one write and one read.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) transport: Transport,
    is_readable: bool,
    is_writable: bool,
    /// A read that does not fill its buffer has emptied the socket. TLS hands out less than it has received.
    is_plain: bool,
    /// The end has been reported, and will not be again.
    has_ended: bool,
    /// The bytes read since [`Edge::take_received`].
    received: u64,
    /// Bytes were read since [`Edge::take_news`].
    has_news: bool,
}

impl Edge {
    pub(crate) fn new(transport: Transport) -> Self {
        let is_plain = transport.tls().is_none();
        Edge { transport, is_readable: true, is_writable: true, is_plain, has_ended: false, received: 0, has_news: false }
    }

    /// Notes an event of the poller.
    pub(crate) fn note(&mut self, event: &Event) {
        self.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.is_writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.has_ended |= event.is_read_closed() || event.is_error();
    }

    /// Whether a read may give something without a further event.
    pub(crate) fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// Whether the server has ended its direction.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(crate) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    #[inline]
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    fn blocked<T>(&mut self, interest: Interest) -> Progress<T> {
        self.is_readable &= !interest.reads();
        self.is_writable &= !interest.writes();
        Progress::Needs(interest)
    }
}

impl Stream for Edge {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        if !self.is_readable {
            return Ok(Progress::Needs(Interest::READ));
        }
        match (&self.transport).read(buffer)? {
            Progress::Done(count) => {
                self.received += count as u64;
                self.has_news = true;
                if count < buffer.len() && self.is_plain && !self.has_ended {
                    self.is_readable = false;
                }
                Ok(Progress::Done(count))
            }
            Progress::Needs(interest) => Ok(self.blocked(interest)),
        }
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        if !self.is_writable {
            return Ok(Progress::Needs(Interest::WRITE));
        }
        match (&self.transport).write(pieces)? {
            Progress::Needs(interest) => Ok(self.blocked(interest)),
            done => Ok(done),
        }
    }

    #[inline]
    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        if self.is_plain {
            return Ok(Progress::Done(()));
        }
        match (&self.transport).flush()? {
            Progress::Needs(interest) => Ok(self.blocked(interest)),
            done => Ok(done),
        }
    }
}
