//! A remote file of a blocking caller.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::blocks::Blocks;
use super::error::{RangeError, Target};
use crate::driver::parker::Parker;
use crate::failed::{Cause, Failed};
use crate::session::Session;
use crate::ticket::Ticket;

/// Remote content that you read like a file: see [`Session::open`]. [`Blocks`] fetches and keeps its bytes.
///
/// Every read is of the version that was opened. If the server has another one, reads fail; content in memory stays readable. Errors are
/// `io::Error`s, in which [`RangeError::find_in`] finds the reason.
pub struct RemoteFile {
    session: Session,
    blocks: Blocks,
    flights: Vec<(usize, Ticket)>,
    size: u64,
    position: u64,
}

impl RemoteFile {
    pub(super) fn open(session: Session, blocks: Blocks) -> Result<Self, RangeError> {
        let mut file = RemoteFile { session, blocks, flights: Vec::new(), size: 0, position: 0 };
        file.send()?;
        file.size = loop {
            match file.blocks.size() {
                Some(size) => break size,
                None => file.take_answers(true)?,
            }
        };
        Ok(file)
    }

    /// The number of bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads at a position of your choice. The file's own position stays. Returns 0 at the end of the file, or if `buffer` is empty; a long
    /// read may return less than the buffer holds.
    ///
    /// # Errors
    /// A request failed, or the content changed. Later reads try again.
    pub fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> Result<usize, RangeError> {
        if buffer.is_empty() || position >= self.size {
            return Ok(0);
        }
        loop {
            self.blocks.want(position, buffer.len());
            self.send()?;
            self.take_answers(false)?;
            while !self.blocks.is_ready(position) && !self.flights.is_empty() {
                self.take_answers(true)?;
            }
            let count = self.blocks.read(position, buffer);
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Sends the requests that are due.
    fn send(&mut self) -> Result<(), RangeError> {
        while let Some(ask) = self.blocks.next_request() {
            match self.session.submit_blocking(ask.request(self.blocks.target())) {
                Ok(ticket) => self.flights.push((ask.index, ticket)),
                Err(failed) => {
                    let _ = self.blocks.lost(ask.index);
                    return Err(self.failed(failed));
                }
            }
        }
        Ok(())
    }

    /// Takes the answers that are there, or waits until one is.
    fn take_answers(&mut self, waits: bool) -> Result<(), RangeError> {
        if waits {
            self.wait()?;
        }
        let mut at = 0;
        while let Some((index, ticket)) = self.flights.get_mut(at) {
            let news = ticket.news();
            ticket.serve(&news);
            if !ticket.is_answered() {
                at += 1;
                continue;
            }
            let index = *index;
            let (_, ticket) = self.flights.swap_remove(at);
            match ticket.take_reply() {
                Ok(Ok(reply)) => self.blocks.take(index, reply.status(), reply.fields(), reply.content())?,
                Ok(Err(failed)) => {
                    // Bytes that were only read ahead are asked for again when needed.
                    if self.blocks.lost(index) {
                        return Err(self.failed(failed));
                    }
                }
                // A redirect, which it follows now.
                Err(ticket) => self.flights.push((index, ticket)),
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<(), RangeError> {
        let waker = Parker::waker();
        for (index, ticket) in &self.flights {
            ticket.set_waker(&waker);
            if self.blocks.is_wanted(*index) {
                ticket.set_awaited(true);
            }
        }
        let has_news = || self.flights.iter().any(|(_, ticket)| ticket.is_answered() || ticket.asks());
        match self.session.wait_for(None, has_news) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(Failed::unsure(Cause::System(Arc::new(error))))),
        }
    }

    fn failed(&self, failed: Failed) -> RangeError {
        RangeError::failed(&Target::from(self.blocks.target()), failed)
    }
}

impl Read for RemoteFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(self.position, buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// A position behind the end is allowed: reads return 0 there.
impl Seek for RemoteFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek_target(to, self.position, self.size)?;
        Ok(self.position)
    }
}

/// The position that a seek leads to.
pub(crate) fn seek_target(to: SeekFrom, position: u64, size: u64) -> io::Result<u64> {
    let found = match to {
        SeekFrom::Start(position) => Some(position),
        SeekFrom::End(offset) => size.checked_add_signed(offset),
        SeekFrom::Current(offset) => position.checked_add_signed(offset),
    };
    found.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("cannot seek to {to:?}: that is before the beginning of the file"))
    })
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = Target::from(self.blocks.target());
        let mut shown = f.debug_struct("RemoteFile");
        shown.field("target", &target).field("size", &self.size).field("position", &self.position).finish_non_exhaustive()
    }
}
