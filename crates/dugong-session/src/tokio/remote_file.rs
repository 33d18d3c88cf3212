//! A remote file for tasks.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

use super::host::{Flight, Host};
use crate::failed::Failed;
use crate::ranges::{Blocks, RangeError, Target, seek_target};

/// Remote content that you read like a file: see [`Session::open`](super::Session::open) and [`crate::ranges::RemoteFile`].
pub struct RemoteFile {
    host: Host,
    blocks: Blocks,
    flights: Vec<(usize, Flight)>,
    size: u64,
    position: u64,
}

impl RemoteFile {
    pub(super) async fn open(host: Host, blocks: Blocks) -> Result<Self, RangeError> {
        let mut file = RemoteFile { host, blocks, flights: Vec::new(), size: 0, position: 0 };
        file.size = poll_fn(|cx| {
            file.send(cx)?;
            file.take_answers(cx)?;
            match file.blocks.size() {
                Some(size) => Poll::Ready(Ok(size)),
                None => Poll::Pending,
            }
        })
        .await?;
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
    pub async fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> Result<usize, RangeError> {
        poll_fn(|cx| self.poll_read_at(cx, position, buffer)).await
    }

    fn poll_read_at(&mut self, cx: &mut Context<'_>, position: u64, buffer: &mut [u8]) -> Poll<Result<usize, RangeError>> {
        if buffer.is_empty() || position >= self.size {
            return Poll::Ready(Ok(0));
        }
        // Twice, because answers may have taken the place of blocks that were there.
        for _ in 0..2 {
            self.blocks.want(position, buffer.len());
            self.send(cx)?;
            self.take_answers(cx)?;
            let count = self.blocks.read(position, buffer);
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
        }
        Poll::Pending
    }

    /// Sends the requests that are due.
    fn send(&mut self, cx: &Context<'_>) -> Result<(), RangeError> {
        while let Some(ask) = self.blocks.next_request() {
            match self.host.begin(&ask.request(self.blocks.target()), None, cx.waker()) {
                Ok(flight) => self.flights.push((ask.index, flight)),
                Err(failed) => {
                    let _ = self.blocks.lost(ask.index);
                    return Err(self.failed(failed));
                }
            }
        }
        Ok(())
    }

    /// Takes the answers that are there.
    fn take_answers(&mut self, cx: &mut Context<'_>) -> Result<(), RangeError> {
        let mut at = 0;
        while let Some((index, flight)) = self.flights.get_mut(at) {
            let index = *index;
            flight.set_waker(cx.waker());
            if self.blocks.is_wanted(index) {
                flight.set_awaited();
            }
            if !flight.advance(cx) {
                at += 1;
                continue;
            }
            let (_, flight) = self.flights.swap_remove(at);
            match flight.into_result() {
                Ok(reply) => self.blocks.take(index, reply.status(), reply.fields(), reply.content())?,
                // Blocks that were only read ahead are asked for again when they are needed.
                Err(failed) if self.blocks.lost(index) => return Err(self.failed(failed)),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn failed(&self, failed: Failed) -> RangeError {
        RangeError::failed(&Target::from(self.blocks.target()), failed)
    }
}

impl AsyncRead for RemoteFile {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let file = self.get_mut();
        let count = ready!(file.poll_read_at(cx, file.position, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        file.position += count as u64;
        Poll::Ready(Ok(()))
    }
}

/// A position behind the end is allowed: reads return 0 there.
impl AsyncSeek for RemoteFile {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let file = self.get_mut();
        file.position = seek_target(to, file.position, file.size)?;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = Target::from(self.blocks.target());
        let mut shown = f.debug_struct("RemoteFile");
        shown.field("target", &target).field("size", &self.size).field("position", &self.position).finish_non_exhaustive()
    }
}
