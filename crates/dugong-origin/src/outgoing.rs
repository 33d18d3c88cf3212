//! The output of a connection: answers that are not due yet, and bytes that the client has not taken yet.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Instant;

use crate::answer::{Answer, Body};
use crate::buffer::Buffer;
use crate::config::Config;
use crate::small::Small;

/// The sending half of a connection. It sends answers in order, each when it is due.
pub(crate) struct Outgoing {
    high_water: usize,
    read_ahead: usize,
    queue: VecDeque<Due>,
    /// The content being sent, unless the newest bytes in the outbox end an answer.
    sending: Option<Body>,
    outbox: Buffer,
    /// The outbox was full, and is not empty yet.
    is_full: bool,
}

/// An answer and the time when it is due.
pub(crate) struct Due {
    pub(crate) at: Instant,
    pub(crate) reply: Reply,
}

pub(crate) enum Reply {
    Small { head_only: bool },
    Continue,
    Composed(Box<Answer>),
}

impl Outgoing {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            high_water: config.high_water,
            read_ahead: config.read_ahead,
            queue: VecDeque::new(),
            sending: None,
            outbox: Buffer::with_capacity(2 * config.high_water),
            is_full: false,
        }
    }

    /// Tells if another request may be taken.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_full && self.queue.len() < self.read_ahead && self.outbox.len() < self.high_water
    }

    /// Tells if no answer is queued or unsent.
    pub(crate) fn is_done(&self) -> bool {
        self.outbox.is_empty() && self.sending.is_none() && self.queue.is_empty()
    }

    /// Tells if unsent bytes wait for the client.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Tells if an answer can go into the outbox at once, without the queue.
    pub(crate) fn is_direct(&self) -> bool {
        self.queue.is_empty() && self.sending.is_none()
    }

    /// Queues an answer.
    pub(crate) fn push(&mut self, due: Due) {
        self.queue.push_back(due);
    }

    /// Appends a whole answer to the outbox without queuing it. Requires `is_direct`.
    pub(crate) fn push_direct(&mut self, answer: &[u8]) {
        debug_assert!(self.is_direct());
        self.outbox.push(answer);
    }

    /// Discards all unsent output.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.sending = None;
        self.outbox.consume(self.outbox.len());
    }

    /// The time when there is more to send: at once during an answer, or when the next one is due. `None` while the client must read.
    pub(crate) fn wake_up(&self) -> Option<Instant> {
        if self.is_blocked() {
            return None;
        }
        match self.sending {
            Some(_) => Some(Instant::now()),
            None => self.queue.front().map(|due| due.at),
        }
    }

    /// Moves due answers into the outbox, up to the high-water mark.
    pub(crate) fn fill(&mut self, small: &Small) {
        // Ask the clock once, and only if an answer is queued.
        let mut now = None;
        while self.outbox.len() < self.high_water {
            if let Some(body) = &mut self.sending {
                if body.fill(&mut self.outbox, self.high_water) {
                    self.sending = None;
                }
                continue;
            }
            match self.queue.front() {
                Some(due) if due.at <= *now.get_or_insert_with(Instant::now) => {}
                Some(_) | None => break,
            }
            match self.queue.pop_front().map(|due| due.reply) {
                Some(Reply::Small { head_only: false }) => self.outbox.push(small.whole()),
                Some(Reply::Small { head_only: true }) => self.outbox.push(small.head()),
                Some(Reply::Continue) => self.outbox.push(b"HTTP/1.1 100 Continue\r\n\r\n"),
                Some(Reply::Composed(answer)) => self.sending = answer.start(&mut self.outbox),
                None => break,
            }
        }
        self.is_full |= self.outbox.len() >= self.high_water;
    }

    /// Sends from the outbox once.
    pub(crate) fn send(&mut self, stream: &mut impl Write) -> io::Result<()> {
        if !self.outbox.is_empty() {
            match stream.write(self.outbox.unread()) {
                Ok(count) => self.outbox.consume(count),
                Err(error) if crate::connection::is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.is_full &= !(self.outbox.is_empty() && self.sending.is_none());
        Ok(())
    }
}
