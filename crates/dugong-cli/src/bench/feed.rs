//! The requests of a run: which is next, for which origin.

use std::collections::VecDeque;

use dugong_http::Request;

use super::schedule::Schedule;

/// The requests that wait, by origin.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) schedule: Schedule,
    pub(crate) lanes: Vec<Lane>,
    /// The lane of each URL, in the order given.
    turns: Vec<usize>,
    turn: usize,
}

/// The requests to one origin.
#[derive(Debug)]
pub(crate) struct Lane {
    requests: Vec<Request>,
    next: usize,
    /// When each request was due that waits for a connection.
    pub(crate) waiting: VecDeque<u64>,
    /// Connections that have room, if requests are due at times of their own.
    pub(crate) with_room: VecDeque<usize>,
}

impl Feed {
    pub(crate) fn new(schedule: Schedule, lanes: Vec<Vec<Request>>, turns: Vec<usize>) -> Self {
        let lane = |requests| Lane { requests, next: 0, waiting: VecDeque::new(), with_room: VecDeque::new() };
        Feed { schedule, lanes: lanes.into_iter().map(lane).collect(), turns, turn: 0 }
    }

    /// Lets all requests that are due wait for a connection.
    pub(crate) fn distribute(&mut self, now: u64) {
        while let Some(due) = self.schedule.take(now) {
            self.lanes[self.turns[self.turn]].waiting.push_back(due);
            self.turn = (self.turn + 1) % self.turns.len();
        }
    }

    /// Takes a request for a connection of this lane. The result is the moment at which it was due.
    #[inline]
    pub(crate) fn take(&mut self, lane: usize, now: u64) -> Option<u64> {
        match self.lanes[lane].waiting.pop_front() {
            None if !self.schedule.is_timed() => self.schedule.take(now),
            waiting => waiting,
        }
    }

    /// Puts a request back that was not sent, or that the server will not answer.
    pub(crate) fn put_back(&mut self, lane: usize, due: u64) {
        self.lanes[lane].waiting.push_front(due);
    }

    /// Whether every request was given to a connection.
    pub(crate) fn is_empty(&self) -> bool {
        self.schedule.is_exhausted() && self.lanes.iter().all(|lane| lane.waiting.is_empty())
    }
}

impl Lane {
    /// The request that is next.
    #[inline]
    pub(crate) fn request(&self) -> &Request {
        &self.requests[self.next]
    }

    /// Notes that the next request was sent.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        if self.next == self.requests.len() {
            self.next = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(feed: &mut Feed, lane: usize, count: usize) -> Vec<String> {
        let mut next = || {
            let lane = &mut feed.lanes[lane];
            let target = lane.request().as_head().unwrap().target().to_owned();
            lane.advance();
            target
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn timed_requests_go_to_the_urls_in_turn() {
        let lanes = vec![vec![Request::get("/a"), Request::get("/c")], vec![Request::get("/b")]];
        let mut feed = Feed::new(Schedule::new(0, None, None, Some(1.0)), lanes, vec![0, 1, 0]);
        feed.distribute(5);
        assert_eq!(feed.lanes[0].waiting, [0, 2, 3, 5]);
        assert_eq!(feed.lanes[1].waiting, [1, 4]);
        assert_eq!(targets(&mut feed, 0, 3), ["/a", "/c", "/a"]);
        assert_eq!(targets(&mut feed, 1, 2), ["/b", "/b"]);
        assert_eq!(feed.take(0, 9), Some(0));
        feed.put_back(0, 0);
        assert_eq!(feed.take(0, 9), Some(0));
    }

    #[test]
    fn untimed_requests_are_due_when_they_are_taken_unless_one_waits() {
        let mut feed = Feed::new(Schedule::new(0, None, Some(2), None), vec![vec![Request::get("/")]], vec![0]);
        assert_eq!(feed.take(0, 7), Some(7));
        feed.put_back(0, 7);
        assert_eq!([feed.take(0, 8), feed.take(0, 9), feed.take(0, 10)], [Some(7), Some(9), None]);
        assert!(feed.is_empty());
    }
}
