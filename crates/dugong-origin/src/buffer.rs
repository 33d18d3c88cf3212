//! A byte queue in one piece of memory, for received bytes and for bytes to send.

/// Appends bytes at the end and removes them at the front. It never returns memory, and never zeroes it twice.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], start: 0, end: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes in the buffer, oldest first.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Removes the `count` oldest bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        assert!(self.start <= self.end, "nobody consumes more than unread() showed");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Returns all free space after the newest byte, at least `least` bytes. Call `commit` after filling some of it.
    pub(crate) fn spare(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < least {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.bytes.len() - self.end < least {
                self.bytes.resize((self.end + least).next_power_of_two(), 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Appends the first `count` bytes of the space that `spare` returned.
    pub(crate) fn commit(&mut self, count: usize) {
        self.end += count;
        assert!(self.end <= self.bytes.len(), "nobody commits more than spare() offered");
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.spare(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.commit(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffer = Buffer::with_capacity(8);
        let (mut seen, mut next) = (Vec::new(), 0u8);
        for round in 0..50 {
            for _ in 0..round % 7 {
                buffer.push(&[next, next.wrapping_add(1), next.wrapping_add(2)]);
                next = next.wrapping_add(3);
            }
            let count = buffer.len().min(11);
            seen.extend_from_slice(&buffer.unread()[..count]);
            buffer.consume(count);
        }
        seen.extend_from_slice(buffer.unread());
        let expected: Vec<u8> = (0..seen.len()).map(|at| at as u8).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_emptied_buffer_starts_over_without_growing() {
        let mut buffer = Buffer::with_capacity(16);
        for _ in 0..100 {
            buffer.push(b"0123456789");
            buffer.consume(10);
        }
        assert_eq!(buffer.bytes.len(), 16);
    }
}
