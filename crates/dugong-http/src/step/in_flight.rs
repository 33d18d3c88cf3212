//! How much of a pipeline is in flight.

use std::collections::VecDeque;

use dugong_proto::Misuse;

use crate::request::Request;

/// The requests of a pipeline that are in flight, by their sizes, and whether its bounds allow more.
///
/// It knows neither the requests nor the connection: whoever sends says what was sent, and whoever reads what was answered.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// Requests that were outstanding before, and still are.
    earlier: usize,
    /// Bytes of each request, oldest first.
    sizes: VecDeque<usize>,
    bytes: usize,
}

/// About what a request takes beside target, fields and content.
const FIXED_SIZE: usize = 64;

impl InFlight {
    /// Nothing yet, but `earlier` requests that were outstanding before, whose responses come first.
    #[must_use]
    pub fn new(earlier: usize) -> Self {
        InFlight { earlier, ..InFlight::default() }
    }

    /// How many bytes a request has in flight.
    ///
    /// # Errors
    /// If it cannot be sent in a pipeline: it is not valid, or its content is not given with it.
    pub fn size_of(request: &Request) -> Result<usize, Misuse> {
        let head = request.as_head()?;
        match request.content() {
            None if head.content.is_some() => Err(Misuse::ContentShort),
            content => Ok(FIXED_SIZE + head.target().len() + head.fields.size() + content.map_or(0, |content| content.len())),
        }
    }

    /// Whether no more than half of either bound is used. Filling up then means few, large writes, and a server that always has
    /// something to do.
    #[must_use]
    pub fn is_low(&self, max_requests: usize, max_bytes: usize) -> bool {
        self.sizes.len() <= max_requests / 2 && self.bytes <= max_bytes / 2
    }

    /// Whether there are as many requests as may be.
    #[must_use]
    pub fn is_full(&self, max_requests: usize) -> bool {
        self.sizes.len() >= max_requests
    }

    /// Whether a request of this size may follow; if there is none, one of any size may.
    #[must_use]
    pub fn has_room(&self, size: usize, max_bytes: usize) -> bool {
        self.sizes.is_empty() || self.bytes + size <= max_bytes
    }

    /// A request of this size was taken by the connection.
    pub fn sent(&mut self, size: usize) {
        self.sizes.push_back(size);
        self.bytes += size;
    }

    /// The head of a final response was read; whether it is to a request of the pipeline.
    pub fn answered(&mut self) -> bool {
        if self.earlier > 0 {
            self.earlier -= 1;
            return false;
        }
        self.bytes -= self.sizes.pop_front().unwrap_or(0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_larger_than_the_bound_goes_alone() {
        let mut in_flight = InFlight::new(0);
        assert!(in_flight.has_room(1000, 100));
        in_flight.sent(1000);
        assert!(!in_flight.has_room(0, 100) && !in_flight.is_low(10, 100));
        assert!(in_flight.answered());
        assert!(in_flight.has_room(0, 100) && in_flight.is_low(10, 100));
    }

    #[test]
    fn what_was_outstanding_before_does_not_count() {
        let mut in_flight = InFlight::new(2);
        in_flight.sent(10);
        assert_eq!([in_flight.is_full(1), in_flight.answered(), in_flight.answered()], [true, false, false]);
        assert!(in_flight.is_full(1) && in_flight.answered() && !in_flight.is_full(1));
    }
}
