//! The buffer of the receive half: bytes that were received and not yet consumed.

use std::fmt;
use std::ops::Range;

/// A buffer of fixed capacity, allocated when it is first used. Bytes go in at the back and out at the front.
#[derive(Clone)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    capacity: usize,
}

/// Shows amounts only: the bytes may be secret, and are many.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.end - self.start, self.capacity)
    }
}

impl Buffer {
    pub(crate) fn new(capacity: usize) -> Self {
        Buffer { bytes: Vec::new(), start: 0, end: 0, capacity }
    }

    /// The bytes that were received and not yet consumed.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// All free room, in one piece behind the bytes. If few bytes are left, or they are in the way, they move to the front.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes.resize(self.capacity, 0);
        }
        let held = self.end - self.start;
        if self.start > 0 && (held <= 256 || self.end == self.capacity) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = held;
        }
        &mut self.bytes[self.end..]
    }

    pub(crate) fn filled(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.end, "more bytes were received than fit");
        self.end += count;
    }

    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "more bytes were consumed than were received");
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// The range of the next `count` bytes. Once consumed, they stay there until [`space`](Buffer::space) is called.
    pub(crate) fn next(&self, count: usize) -> Range<usize> {
        self.start..self.start + count
    }

    /// Bytes that were consumed.
    pub(crate) fn taken(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Takes the memory away, if the buffer is empty.
    pub(crate) fn release(&mut self) -> Option<Vec<u8>> {
        (self.start == self.end && !self.bytes.is_empty()).then(|| {
            (self.start, self.end) = (0, 0);
            std::mem::take(&mut self.bytes)
        })
    }

    /// Uses this memory, if the buffer has none and the size fits.
    pub(crate) fn lend(&mut self, bytes: Vec<u8>) {
        if self.bytes.is_empty() && bytes.len() == self.capacity {
            self.bytes = bytes;
        }
    }

    pub(crate) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }
}
