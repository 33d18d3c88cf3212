//! The buffer of the receive half: bytes that were received and not yet consumed.

use std::fmt;
use std::ops::Range;

/// A buffer of fixed capacity, allocated when it is first used; bytes go in at the back and out at the front.
#[derive(Clone)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    capacity: usize,
}

/// How much there is; not what, which may be secret, and is long.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.end - self.start, self.capacity)
    }
}

impl Buffer {
    pub(crate) fn new(capacity: usize) -> Self {
        Buffer { bytes: Vec::new(), start: 0, end: 0, capacity }
    }

    /// What was received and not consumed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// All free room, in one piece behind the bytes. What is left over is moved to the front when it is small, or in the way.
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
        assert!(count <= self.bytes.len() - self.end, "more was received than there was room for");
        self.end += count;
    }

    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "more was consumed than was received");
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Consumes `count` bytes, and says where they stay until there is need for room.
    pub(crate) fn take(&mut self, count: usize) -> Range<usize> {
        let start = self.start;
        self.consume(count);
        start..start + count
    }

    /// Bytes that were consumed.
    pub(crate) fn taken(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Parts with its memory, if nothing is in it.
    pub(crate) fn release(&mut self) -> Option<Vec<u8>> {
        (self.start == self.end && !self.bytes.is_empty()).then(|| {
            (self.start, self.end) = (0, 0);
            std::mem::take(&mut self.bytes)
        })
    }

    /// Uses this memory, if it has none, and if it is of the size.
    pub(crate) fn lend(&mut self, bytes: Vec<u8>) {
        if self.bytes.is_empty() && bytes.len() == self.capacity {
            self.bytes = bytes;
        }
    }

    pub(crate) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }
}
