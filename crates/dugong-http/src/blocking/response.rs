//! Reading responses.

use std::io::{self, BufRead, Read};

use super::access::Access;
use crate::error::Error;
use crate::response::response_head;
use crate::step::Receiving;

impl<'a> Access<'a> {
    /// The response whose head was read last.
    #[inline]
    pub(super) fn into_response(self) -> Response<'a> {
        // A response without content is complete as soon as its head is taken.
        let half = self.receiving().half();
        let number = half.completed() - u64::from(!half.is_in_content());
        Response { access: self, number }
    }
}

/// A response: its head, and its content to be read.
///
/// Read its content with [`Read`] or [`BufRead`] or with [`read_all`](Response::read_all), or drop it with
/// [`discard`](Response::discard). Each of them fails if the content is not complete; the [`Error`] is inside the
/// `std::io::Error` then. [`BufRead::fill_buf`] shows content in the receive buffer, without a copy; large reads go straight
/// from the socket into your buffer.
///
/// Read the content to its end before you read the next response. You can drop the `Response` before that and ask for it again:
/// see [`Connection::current_response`](crate::Connection::current_response).
pub struct Response<'a> {
    access: Access<'a>,
    number: u64,
}

impl Response<'_> {
    response_head!();

    fn receiving(&self) -> &Receiving {
        self.access.receiving()
    }

    /// Reads the rest of the content, if that is at most [`Config::max_content`](crate::Config::max_content) bytes.
    ///
    /// # Errors
    /// `ContentTooLong` and `TimedOut` lose the bytes read so far, but the rest can be read by
    /// [`current_response`](crate::Connection::current_response). Any other error ends the connection.
    pub fn read_all(self) -> Result<Vec<u8>, Error> {
        let limit = self.receiving().max_content;
        self.read_all_up_to(limit)
    }

    /// Reads the rest of the content, if that is at most `limit` bytes.
    ///
    /// # Errors
    /// As for [`read_all`](Response::read_all).
    pub fn read_all_up_to(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        self.read_limited(&mut content, limit)?;
        Ok(content)
    }

    /// Appends the rest of the content to `content`, however long it is. Reuse `content` to save allocations.
    ///
    /// # Errors
    /// `TimedOut`: the bytes read so far are in `content`, and you can call this again. Any other error ends the connection.
    pub fn read_to(&mut self, content: &mut Vec<u8>) -> Result<(), Error> {
        self.read_limited(content, usize::MAX)
    }

    /// Appends the rest of the content to `content`, which may then have at most `limit` bytes.
    pub(super) fn read_limited(&mut self, content: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        let number = self.number;
        if self.is_too_long(content.len(), limit) {
            return Err(Error::ContentTooLong { number, limit });
        }
        self.reserve_for_rest(content);
        while let Some(bytes) = self.next_content()? {
            if bytes.len() > limit - content.len() {
                return Err(Error::ContentTooLong { number, limit });
            }
            content.extend_from_slice(bytes);
            let count = bytes.len();
            self.used(count);
        }
        Ok(())
    }

    /// Reads content into `buffer`. Returns the number of bytes: at least one, and 0 only at the end or if `buffer` is empty.
    ///
    /// # Errors
    /// `TimedOut`: you can call again. All other errors end the connection.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.is_at_end() || buffer.is_empty() {
            return Ok(0);
        }
        self.access.read(|duplex, stream| duplex.read_content(buffer, stream))
    }

    /// Reads the content to its end and drops it.
    ///
    /// # Errors
    /// `TimedOut`: you can call again on the [current response](crate::Connection::current_response). All other errors end the
    /// connection.
    pub fn discard(mut self) -> Result<(), Error> {
        // Piece by piece: a deadline has to end even a response that never pauses.
        while !self.is_at_end() && self.access.read(|duplex, stream| duplex.discard_some(stream))? {}
        Ok(())
    }

    /// Returns the next content in the receive buffer; `None` at the end.
    #[inline]
    fn next_content(&mut self) -> Result<Option<&[u8]>, Error> {
        // Content that has arrived needs no step, unless a limit of time has to be checked.
        let is_there =
            !self.is_at_end() && !self.access.duplex.buffered_content().is_empty() && self.access.limits.is_unlimited();
        if is_there || self.wait_for_content()? { Ok(Some(self.access.duplex.buffered_content())) } else { Ok(None) }
    }

    /// Returns false at the end.
    #[inline(never)]
    fn wait_for_content(&mut self) -> Result<bool, Error> {
        Ok(!self.is_at_end() && self.access.read(|duplex, stream| duplex.fill_content(stream))?)
    }

    /// Drops `count` bytes of that content.
    #[inline]
    fn used(&mut self, count: usize) {
        self.access.duplex.consume(count);
        if let Some(split) = self.access.split {
            split.something_was_read::<()>(&Ok(()));
        }
    }
}

impl Read for Response<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_content(buffer)?)
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        self.read_to(buffer)?;
        Ok(buffer.len() - before)
    }
}

impl BufRead for Response<'_> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.next_content()?.unwrap_or_default())
    }

    #[inline]
    fn consume(&mut self, count: usize) {
        if count > 0 {
            self.used(count);
        }
    }
}
