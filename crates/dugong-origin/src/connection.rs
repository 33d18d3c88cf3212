//! The loop of one connection: take requests, fill the outbox, send, wait.
//!
//! Each answer in the queue has the time when it is due, so delays do not add up. Reading stops when the outbox is full, and
//! continues when it is empty. So memory stays bounded, and a client that never reads blocks.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::event::PollFlags;
use rustix::net::sockopt;

use crate::acceptor::{Stop, Woken};
use crate::answer::Answer;
use crate::buffer::Buffer;
use crate::config::{Config, WhenPipelined};
use crate::options::Options;
use crate::origin::Shared;
use crate::outgoing::{Due, Outgoing, Reply};
use crate::request::{self, Refusal};
use crate::route::{self, Plan};
use crate::upload::Upload;

/// A client and the state of its connection.
pub(crate) struct Connection<'a> {
    number: usize,
    stream: TcpStream,
    stop: &'a Stop,
    shared: &'a Shared,
    inbox: Buffer,
    outgoing: Outgoing,
    receiving: Receiving,
    /// The time when the bytes in the inbox came.
    arrived: Instant,
    /// The inbox may contain a request for which the queue had no room.
    has_more: bool,
    /// Final responses queued or sent.
    answered: usize,
    /// The number of bytes in the inbox that were searched for the end of a head.
    scanned: usize,
    repeat: Option<Repeat>,
}

/// A request for `/small` that has passed all checks. The same bytes need not be checked again.
struct Repeat {
    head: Vec<u8>,
    delay: Duration,
}

/// The meaning of the next bytes from the client.
enum Receiving {
    Head,
    Content(Box<Upload>),
    /// None: the last answer is queued.
    Finished(Ending),
}

/// The end of the connection after the last answer.
#[derive(Clone, Copy)]
enum Ending {
    /// End our side, and discard data from the client for a while.
    Drain,
    /// Leave the socket alone until the client closes it.
    Ignore,
    /// The same, without a time limit.
    Hold,
    /// Close with a reset.
    Reset,
    /// Close, because the client has ended its side.
    Close,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(number: usize, stream: TcpStream, stop: &'a Stop, shared: &'a Shared) -> Self {
        let is_closing = shared.config.close_after == Some(0);
        Self {
            number,
            stream,
            stop,
            shared,
            inbox: Buffer::with_capacity(INBOX),
            outgoing: Outgoing::new(&shared.config),
            receiving: if is_closing { Receiving::Finished(last_ending(&shared.config)) } else { Receiving::Head },
            arrived: Instant::now(),
            has_more: false,
            answered: 0,
            scanned: 0,
            repeat: None,
        }
    }

    /// Serves until the connection or the server ends. An error means that the client has gone away.
    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            self.take_requests();
            self.outgoing.fill(&self.shared.small);
            self.outgoing.send(&mut self.stream)?;
            if let (Receiving::Finished(ending), true) = (&self.receiving, self.outgoing.is_done()) {
                let ending = *ending;
                return self.end(ending);
            }
            let mut events = PollFlags::empty();
            if self.may_read() {
                events |= PollFlags::IN;
            }
            if self.outgoing.is_blocked() {
                events |= PollFlags::OUT;
            }
            match self.stop.wait(self.stream.as_fd(), events, self.wake_up())? {
                Woken::Stopped => return Ok(()),
                Woken::TimedOut => {}
                // Reading or writing finds errors and hang-ups.
                Woken::Ready(_) if events.contains(PollFlags::IN) => self.read()?,
                Woken::Ready(_) => {}
            }
        }
    }

    fn may_take(&self) -> bool {
        self.outgoing.has_room() && !matches!(self.receiving, Receiving::Finished(_))
    }

    /// Tells if to read. Received requests come first: otherwise the inbox would grow, and the end of the stream would hide them.
    fn may_read(&self) -> bool {
        self.may_take() && !self.has_more && (!self.shared.config.lockstep || self.outgoing.is_done())
    }

    /// The time to continue even if the socket is not ready: when an answer is due, or at once if requests are left.
    fn wake_up(&self) -> Option<Instant> {
        if self.has_more && self.may_take() && !self.outgoing.is_blocked() {
            return Some(Instant::now());
        }
        self.outgoing.wake_up()
    }

    fn read(&mut self) -> io::Result<()> {
        match self.stream.read(self.inbox.spare(INBOX / 4)) {
            // An incomplete request will never get an answer.
            Ok(0) => self.receiving = Receiving::Finished(Ending::Close),
            Ok(count) => {
                self.inbox.commit(count);
                self.arrived = Instant::now();
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes requests from the inbox while the queue has room for answers.
    fn take_requests(&mut self) {
        let mut requests = 0;
        self.has_more = true;
        if self.refuses_pipelining() {
            self.refuse_pipelining(&mut requests);
        }
        while self.may_take() {
            let outcome = match self.receiving {
                Receiving::Head => match self.take_repeats(&mut requests) {
                    true => Ok(true),
                    false => self.take_head(&mut requests),
                },
                Receiving::Content(_) => self.take_content(),
                Receiving::Finished(_) => break,
            };
            match outcome {
                Ok(true) => {}
                Ok(false) => {
                    self.has_more = false;
                    break;
                }
                Err(refusal) => {
                    let mut answer = Answer::text(refusal.status, refusal.reason);
                    answer.say_close();
                    self.answer(answer, None);
                }
            }
        }
        if requests != 0 {
            self.shared.counters.requests.fetch_add(requests, Ordering::SeqCst);
        }
    }

    /// Tells if a request came before the previous one was answered, and the configuration does not allow that.
    fn refuses_pipelining(&self) -> bool {
        let (config, is_done) = (&self.shared.config, self.outgoing.is_done());
        config.when_pipelined != WhenPipelined::Answer
            && matches!(self.receiving, Receiving::Head)
            && memmem::find_iter(self.inbox.unread(), b"\r\n\r\n").nth(usize::from(is_done)).is_some()
    }

    fn refuse_pipelining(&mut self, requests: &mut u64) {
        let habit = self.shared.config.when_pipelined;
        self.receiving = Receiving::Finished(match habit {
            WhenPipelined::Answer => return,
            WhenPipelined::Close => {
                self.outgoing.clear();
                Ending::Drain
            }
            WhenPipelined::Silence => {
                self.outgoing.clear();
                Ending::Hold
            }
            // A malformed request gets its usual answer.
            WhenPipelined::Stall if self.outgoing.is_done() && self.take_head(requests).is_err() => return,
            WhenPipelined::Stall => Ending::Hold,
        });
    }

    /// Answers `/small` if the next bytes are those of the last request for it. Returns false if they differ.
    fn take_repeats(&mut self, requests: &mut u64) -> bool {
        let config = &self.shared.config;
        let Some(Repeat { head, delay }) = &self.repeat else {
            return false;
        };
        // The last answer must announce the close, which the prepared one does not.
        let most = config.close_after.map_or(usize::MAX, |last| last - 1 - self.answered);
        let is_direct = delay.is_zero() && self.outgoing.is_direct();
        let (mut taken, bytes) = (0, self.inbox.unread());
        while taken < most && self.outgoing.has_room() && bytes[taken * head.len()..].starts_with(head) {
            if is_direct {
                self.outgoing.push_direct(self.shared.small.whole());
            } else {
                let at = self.arrived + *delay;
                self.outgoing.push(Due { at, reply: Reply::Small { head_only: false } });
            }
            taken += 1;
        }
        self.inbox.consume(taken * head.len());
        self.answered += taken;
        *requests += taken as u64;
        if taken != 0 {
            self.scanned = 0;
        }
        taken != 0
    }

    /// Parses one head with all checks. Returns false if it is incomplete.
    fn take_head(&mut self, requests: &mut u64) -> Result<bool, Refusal> {
        let Some(length) = request::head_length(self.inbox.unread(), &mut self.scanned)? else {
            return Ok(false);
        };
        let bytes = &self.inbox.unread()[..length];
        let head = request::parse(bytes)?;
        *requests += 1;
        let parsed = Options::parse(head.query);
        let options = parsed.clone().unwrap_or_default();
        let mut plan = route::plan(&head, &options, &self.shared.state);
        if let Err(refusal) = parsed {
            // The request is well-formed, so its content can be read and the connection stays usable.
            match &mut plan {
                Plan::Answer(answer) | Plan::Refuse(answer) | Plan::Ignore(answer) => answer.replace(refusal),
                Plan::Receive(reception) => {
                    reception.report = route::Report::Nothing;
                    reception.answer.replace(refusal);
                }
                Plan::Small { head_only } => {
                    let mut answer = Answer::text(refusal.status, refusal.reason);
                    answer.head_only = *head_only;
                    plan = Plan::Answer(Box::new(answer));
                }
            }
        }
        let delay = options.delay.unwrap_or_else(|| self.shared.config.delay_of(self.number, self.answered));
        let is_last = self.shared.config.close_after == Some(self.answered + 1);
        if let (Plan::Small { head_only: false }, false, None) = (&plan, is_last, self.shared.config.slow) {
            // Clients with varying heads get here each time, so reuse the memory.
            let repeat = self.repeat.get_or_insert_with(|| Repeat { head: Vec::new(), delay });
            repeat.head.clear();
            repeat.head.extend_from_slice(bytes);
            repeat.delay = delay;
        }
        let at = self.arrived + delay;
        self.inbox.consume(length);
        self.scanned = 0;
        match plan {
            Plan::Small { head_only } if is_last => {
                let mut answer = Answer::small();
                answer.head_only = head_only;
                self.answer(answer, Some(at));
            }
            Plan::Small { head_only } => {
                self.answered += 1;
                self.outgoing.push(Due { at, reply: Reply::Small { head_only } });
            }
            Plan::Answer(answer) => self.answer(*answer, Some(at)),
            Plan::Receive(reception) => {
                if reception.says_continue {
                    self.outgoing.push(Due { at: self.arrived, reply: Reply::Continue });
                }
                self.receiving = Receiving::Content(Box::new(Upload::new(*reception, delay)));
            }
            Plan::Refuse(answer) => self.answer(*answer, Some(at)),
            Plan::Ignore(answer) => {
                self.answer(*answer, Some(at));
                self.receiving = Receiving::Finished(Ending::Ignore);
            }
        }
        Ok(true)
    }

    /// Takes content from the inbox. Returns false if the content needs more bytes.
    fn take_content(&mut self) -> Result<bool, Refusal> {
        let Receiving::Content(upload) = &mut self.receiving else {
            return Ok(true);
        };
        let before = upload.received();
        let taken = upload.take(self.inbox.unread());
        self.shared.counters.content_bytes.fetch_add(upload.received() - before, Ordering::SeqCst);
        self.inbox.consume(taken?);
        if let Some(refusal) = upload.refusal() {
            return Err(refusal);
        }
        if !upload.is_complete() {
            return Ok(false);
        }
        if let Some(id) = upload.counted() {
            self.shared.state.arrived(id, |arrivals| arrivals.whole += 1);
        }
        if let Receiving::Content(upload) = std::mem::replace(&mut self.receiving, Receiving::Head) {
            let at = self.arrived + upload.delay();
            self.answer(upload.finish(), Some(at));
        }
        Ok(true)
    }

    /// Queues a final response, due at `at` or after the default delay.
    fn answer(&mut self, mut answer: Answer, at: Option<Instant>) {
        let config = &self.shared.config;
        self.answered += 1;
        if config.close_after == Some(self.answered) {
            answer.closes = true;
            if !config.close_silently {
                answer.say_close();
            }
        }
        self.receiving = if config.close_after == Some(self.answered) {
            Receiving::Finished(last_ending(config))
        } else if answer.closes {
            Receiving::Finished(Ending::Drain)
        } else {
            Receiving::Head
        };
        let at = at.unwrap_or(self.arrived + config.delay);
        self.outgoing.push(Due { at, reply: Reply::Composed(Box::new(answer)) });
    }

    fn end(mut self, ending: Ending) -> io::Result<()> {
        let until = Some(Instant::now() + self.shared.config.linger);
        match ending {
            Ending::Close => {}
            // Closing with a linger time of zero sends RST.
            Ending::Reset => sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?,
            Ending::Hold => {
                self.stop.wait(self.stream.as_fd(), HUNG_UP, None)?;
            }
            Ending::Ignore => {
                self.stop.wait(self.stream.as_fd(), HUNG_UP, until)?;
            }
            Ending::Drain => {
                self.stream.shutdown(Shutdown::Write)?;
                while let Woken::Ready(_) = self.stop.wait(self.stream.as_fd(), PollFlags::IN, until)? {
                    match self.stream.read(self.inbox.spare(INBOX / 4)) {
                        Ok(0) => break,
                        Ok(count) => {
                            self.shared.counters.discarded_bytes.fetch_add(count as u64, Ordering::SeqCst);
                        }
                        Err(error) if is_passing(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}

/// The end of the connection after the last answer that `close_after` allows.
fn last_ending(config: &Config) -> Ending {
    if config.close_with_reset { Ending::Reset } else { Ending::Drain }
}

/// Tells if the error only means that the socket is not ready.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The bytes to read at a time.
const INBOX: usize = 256 * 1024;

/// The client has closed its side. Other systems than Linux show this only when both sides are closed.
#[cfg(target_os = "linux")]
pub(crate) const HUNG_UP: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
pub(crate) const HUNG_UP: PollFlags = PollFlags::HUP;
