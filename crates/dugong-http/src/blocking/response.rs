//! Reading responses.

use std::io::{self, BufRead, Read};

use super::access::Access;
use crate::error::Error;
use crate::response::response_head;
use crate::step::Receiving;

impl<'a> Access<'a> {
    /// The response whose head was taken last.
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
/// Content is read with [`Read`] or [`BufRead`], with [`read_all`](Response::read_all), or thrown away with
/// [`discard`](Response::discard). Every way ends in an error if the content is not complete; the [`Error`] is inside the
/// `std::io::Error` then. [`BufRead::fill_buf`] shows content where it was received, without a copy; large reads into a
/// caller's buffer go straight from the socket to it.
///
/// Content has to be read to its end before the next response can be read. Dropping the `Response` before that changes
/// nothing: see [`Connection::current_response`](crate::Connection::current_response).
#[derive(Debug)]
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

    /// Reads content into `buffer`; the result is how many bytes, at least one, and 0 only at the end or if the buffer is empty.
    ///
    /// # Errors
    /// `TimedOut`: can be called again. Otherwise the connection is done for.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.is_at_end() || buffer.is_empty() {
            return Ok(0);
        }
        self.access.read(|duplex, stream| duplex.read_content(buffer, stream))
    }

    /// Reads the content to its end and forgets it.
    ///
    /// # Errors
    /// `TimedOut`: can be called again on the [current response](crate::Connection::current_response). Otherwise the connection
    /// is done for.
    pub fn discard(mut self) -> Result<(), Error> {
        // Piece by piece, so that a deadline ends it also if there always is more.
        while !self.is_at_end() && self.access.read(|duplex, stream| duplex.discard_some(stream))? {}
        Ok(())
    }

    /// The next content, where it was received; `None` at the end.
    fn next_content(&mut self) -> Result<Option<&[u8]>, Error> {
        if self.is_at_end() {
            return Ok(None);
        }
        if !self.access.read(|duplex, stream| duplex.fill_content(stream))? {
            return Ok(None);
        }
        self.access.duplex.available()
    }

    /// `count` bytes of that were used.
    fn used(&mut self, count: usize) {
        self.access.duplex.consume(count);
        self.access.duplex.release_buffers_between();
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
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.next_content()?.unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        if count > 0 {
            self.used(count);
        }
    }
}
