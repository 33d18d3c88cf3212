//! Many requests through one connection, with many in flight, on one thread.

use std::borrow::Borrow;
use std::collections::VecDeque;

use dugong_proto::{HeadKind, Misuse};

use crate::blocking::{Connection, Response, wait};
use crate::error::Error;
use crate::request::Request;
use crate::step::{Interest, Progress};
use crate::transport::{Stream, Transport, WaitingFor};

/// Sends requests in the order in which an iterator gives them, and reads their responses in the same order, with as many in
/// flight as its two bounds allow.
///
/// It cannot deadlock, whatever the server does: it never waits to send without being ready to read. A response is handed out
/// as soon as its head has come, and its content is read by the caller, so that memory is bounded by the connection's
/// buffers (see [`step`](crate::step)), one request, and the iterator, however many requests there are and however large
/// the responses. What the last response left unread is read and forgotten when the next one is asked for.
///
/// It is mechanism, not policy: it sends what it is given, also behind requests that are not idempotent; and when the
/// connection ends it says what became of each request, and sends nothing again.
///
/// ```
/// # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
/// # let url = format!("http://{}", origin.address());
/// use dugong_http::{Connection, Request};
///
/// let mut connection = Connection::connect(&url)?;
/// let mut pipeline = connection.pipeline((0..1000).map(|i| Request::get(format!("/doc/{i}")))).max_requests(32);
/// let mut bytes = 0;
/// while let Some(response) = pipeline.next()? {
///     bytes += response.read_all()?.len();
/// }
/// assert!(bytes > 100_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline<'a, I: Iterator> {
    connection: &'a mut Connection,
    requests: I,
    /// The iterator said that there are no more: it need not be able to say so twice.
    exhausted: bool,
    /// Taken from the iterator, and not yet by the connection.
    current: Option<I::Item>,
    taken: u64,
    /// Requests that were outstanding before, and still are.
    earlier: usize,
    /// Bytes of each request in flight, oldest first.
    in_flight: VecDeque<usize>,
    bytes_in_flight: usize,
    max_requests: usize,
    max_bytes: usize,
}

/// About what a request takes beside target, fields and content.
const FIXED_SIZE: usize = 64;

/// What came of sending as far as possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// It can go on.
    More,
    /// Nothing more until something is read.
    UntilRead,
    /// Nothing more until the stream is ready.
    UntilReady(Interest),
}

impl<'a, I> Pipeline<'a, I>
where
    I: Iterator,
    I::Item: Borrow<Request>,
{
    pub(crate) fn new(connection: &'a mut Connection, requests: I) -> Self {
        // One whose content is being read has had its head, and is not waited for.
        let earlier = connection.shared.queue().len() - usize::from(connection.receiving.half().is_in_content());
        Pipeline {
            connection,
            requests,
            exhausted: false,
            current: None,
            taken: 0,
            earlier,
            in_flight: VecDeque::new(),
            bytes_in_flight: 0,
            max_requests: 64,
            max_bytes: 1 << 20,
        }
    }

    /// How many requests may be in flight. Default: 64, which hides a round trip of 64 times the time that the server takes for
    /// one; few servers read further ahead. At least 1.
    #[must_use]
    pub fn max_requests(mut self, count: usize) -> Self {
        self.max_requests = count.max(1);
        self
    }

    /// How many bytes of requests, content included, may be in flight; a single request may be larger. Default: 1 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many requests were taken from the iterator.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The request that was taken from the iterator and not begun to be sent, if there is one, and the rest of the iterator.
    #[must_use]
    pub fn into_rest(self) -> (Option<I::Item>, I) {
        (self.current, self.requests)
    }

    /// The next response; `None` when all are answered. Responses to requests that were outstanding before come first.
    ///
    /// # Errors
    /// `Local` if a request is not valid: nothing of it was sent, it is left out, and the next call goes on. Content has to be
    /// given with the request; if it is only announced, that is `Local(ContentShort)`. `TimedOut`: the next call goes on.
    /// Otherwise the connection is done for: the error says what became of the requests that were sent, and
    /// [`into_rest`](Pipeline::into_rest) has the others.
    #[expect(clippy::should_implement_trait, reason = "the response borrows the pipeline, which no Iterator can express")]
    pub fn next(&mut self) -> Result<Option<Response<'_>>, Error> {
        if let Some(rest) = self.connection.current_response() {
            rest.discard()?;
        }
        self.connection.patience.check(WaitingFor::Response)?;
        let transport = self.connection.transport.clone();
        let mut stream: &Transport = &transport;
        loop {
            match self.step(&mut stream)? {
                Progress::Done(false) => return Ok(None),
                Progress::Done(true) => return Ok(Some(self.connection.reader().current_response())),
                Progress::Needs(interest) => {
                    let (duplex, _, patience) = self.connection.duplex();
                    let waiting_for = if duplex.has_begun_to_read() { WaitingFor::Content } else { WaitingFor::Response };
                    wait(&transport, interest, patience, waiting_for, duplex.until())?;
                }
            }
        }
    }

    /// Reads the head of the next response, and keeps requests going out; false if there is nothing more to do.
    fn step(&mut self, stream: &mut impl Stream) -> Result<Progress<bool>, Error> {
        // Filling up when half of the window is used means few, large writes, and a server that always has something to do.
        if self.in_flight.len() <= self.max_requests / 2 && self.bytes_in_flight <= self.max_bytes / 2 {
            self.send_more(stream)?;
        }
        let (mut duplex, ..) = self.connection.duplex();
        let sent = match duplex.next_head()? {
            Some(HeadKind::Final) => Sent::UntilRead,
            Some(HeadKind::Interim) | None => self.send_more(stream)?,
        };
        if self.connection.shared.queue().is_empty() && self.current.is_none() {
            return Ok(Progress::Done(false));
        }
        let (mut duplex, ..) = self.connection.duplex();
        match (duplex.read_head(stream)?, sent) {
            (Progress::Done(()), _) => {
                self.answered();
                Ok(Progress::Done(true))
            }
            (Progress::Needs(interest), Sent::UntilReady(also)) => Ok(Progress::Needs(interest | also)),
            (Progress::Needs(interest), Sent::More | Sent::UntilRead) => Ok(Progress::Needs(interest)),
        }
    }

    /// The head of a final response was read.
    fn answered(&mut self) {
        if self.earlier > 0 {
            self.earlier -= 1;
            return;
        }
        self.bytes_in_flight -= self.in_flight.pop_front().unwrap_or(0);
    }

    /// Sends requests as far as the window allows, and as is possible without waiting.
    fn send_more(&mut self, stream: &mut impl Stream) -> Result<Sent, Error> {
        let mut sent = Sent::More;
        while sent == Sent::More {
            if self.current.is_none() {
                if self.exhausted || self.in_flight.len() >= self.max_requests {
                    break;
                }
                let Some(request) = self.requests.next() else {
                    self.exhausted = true;
                    break;
                };
                self.taken += 1;
                self.current = Some(request);
            }
            sent = self.send_current(stream)?;
        }
        let (mut duplex, ..) = self.connection.duplex();
        // If it fails, what has arrived can still be read; then reading reports the end.
        let _ = duplex.write_pending(stream);
        Ok(sent)
    }

    /// Has the connection take the current request, if there is room for it.
    fn send_current(&mut self, stream: &mut impl Stream) -> Result<Sent, Error> {
        let Some(request) = &self.current else { return Ok(Sent::More) };
        let request: &Request = request.borrow();
        let size = match size_in_flight(request) {
            Ok(size) => size,
            Err(misuse) => {
                self.current = None;
                return Err(Error::Local(misuse));
            }
        };
        if !self.in_flight.is_empty() && self.bytes_in_flight + size > self.max_bytes {
            return Ok(Sent::UntilRead);
        }
        let (mut duplex, ..) = self.connection.duplex();
        match duplex.take_request(request, stream) {
            Ok(Progress::Done(_)) => {
                self.current = None;
                self.in_flight.push_back(size);
                self.bytes_in_flight += size;
                Ok(Sent::More)
            }
            Ok(Progress::Needs(interest)) => Ok(Sent::UntilReady(interest)),
            Err(Error::Local(Misuse::ReadFirst | Misuse::ContentRefused)) => Ok(Sent::UntilRead),
            Err(error @ Error::Local(Misuse::ContentOwed)) => Err(error),
            Err(error @ Error::Local(_)) => {
                self.current = None;
                Err(error)
            }
            // Nothing of it was sent; reading will tell why, after what can still be read.
            Err(_) if !self.connection.shared.queue().is_empty() => Ok(Sent::UntilRead),
            Err(error) => Err(error),
        }
    }
}

/// How many bytes a request has in flight.
///
/// # Errors
/// If it cannot be sent in a pipeline.
fn size_in_flight(request: &Request) -> Result<usize, Misuse> {
    let head = request.as_head()?;
    match request.content() {
        None if head.content.is_some() => Err(Misuse::ContentShort),
        content => Ok(FIXED_SIZE + head.target().len() + head.fields.size() + content.map_or(0, |content| content.len())),
    }
}
