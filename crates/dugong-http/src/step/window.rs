//! Many requests in flight: when to send the next one, and when to read.
//!
//! A [`Window`] knows sizes and tags, and never a request. It asks you for a request when it has room for one, it hands out the
//! tag of each response, and it says what to wait for. It fills up in batches: once it is full, it asks again when half of it is
//! answered, or when reading would have to wait. So few, large writes carry many requests, and the server always has work.

use std::collections::VecDeque;
use std::fmt;

use dugong_net::{Interest, Progress, Stream};
use dugong_proto::Misuse;

use super::duplex::Duplex;
use crate::error::Error;
use crate::request::Request;

/// The requests of a pipeline that are in flight, by size and tag, oldest first.
///
/// Call [`poll`](Window::poll), and do what it says:
///
/// ```
/// use dugong_http::driver::{Engine, Offer, Window, WindowWants};
/// use dugong_net::scripted::{Cue, Scripted};
/// use dugong_http::{Config, Request};
///
/// let mut engine = Engine::new("example.org", &Config::new())?;
/// let mut stream = Scripted::default();
/// let mut window = Window::new(&mut engine.duplex());
/// let mut paths = ["/a", "/b"].into_iter();
/// let mut seen = Vec::new();
/// loop {
///     match window.poll(&mut engine.duplex(), &mut stream)? {
///         WindowWants::Request => match paths.next() {
///             None => {
///                 window.no_more();
///                 // The server answers.
///                 let answers = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n";
///                 stream.reads.push_back(Cue::Give(answers.into()));
///             }
///             Some(path) => {
///                 let offer = window.offer(&Request::get(path), path, &mut engine.duplex(), &mut stream)?;
///                 // Offer a request again if it came too early.
///                 assert!(matches!(offer, Offer::Taken(_)));
///             }
///         },
///         WindowWants::Response(tag) => {
///             seen.push((tag, engine.receiving().half().head().status().as_u16()));
///         }
///         // Wait, and poll again; here, everything has arrived.
///         WindowWants::Ready(_) => unreachable!(),
///         WindowWants::Nothing => break,
///     }
/// }
/// assert_eq!(seen, [(Some("/a"), 204), (Some("/b"), 404)]);
/// # Ok::<(), dugong_http::Error>(())
/// ```
pub struct Window<T, P = Anything> {
    policy: P,
    max_requests: usize,
    max_bytes: usize,
    /// Requests that were outstanding before the first one of this window; their responses come first.
    earlier: usize,
    /// Tag and bytes of each request, oldest first.
    in_flight: VecDeque<(T, usize)>,
    bytes: usize,
    /// There will be no more requests.
    exhausted: bool,
    /// Asks for requests until it is full.
    is_filling: bool,
    /// It has filled up since the stream was last read.
    has_filled: bool,
    /// Requests were taken that may still be in the send buffer.
    has_unsent: bool,
    /// Sending had to stop: it goes on when at most this many requests are in flight.
    resume_at: usize,
    /// The readiness that the connection needs before it can take the next request.
    blocked_on: Option<Interest>,
}

/// The next thing that a [`Window`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowWants<T> {
    /// A request: [offer](Window::offer) it one, or end it with [`no_more`](Window::no_more).
    Request,
    /// The head of a response was read. This is the tag of its request; `None` if that was sent before the window began.
    ///
    /// Read its content to the end before you poll again.
    Response(Option<T>),
    /// The stream to be ready for this.
    Ready(Interest),
    /// Nothing: every request is answered, and no more will come.
    Nothing,
}

/// What became of a request that was offered to a [`Window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer<T> {
    /// The connection has taken the request; this is its number.
    Taken(u64),
    /// The request has to wait: offer it again when the window asks the next time. The tag comes back.
    Later(T),
}

/// Says which request may follow those that are in flight.
///
/// Without a policy, a window sends every request that you give it. A policy makes it wait until all requests in flight are answered.
pub trait Policy {
    /// Whether `request` may be sent behind `in_flight` requests, at least one, that have no answer yet.
    fn may_follow(&mut self, request: &Request, in_flight: usize) -> bool;

    /// The connection has taken `request`.
    fn taken(&mut self, request: &Request) {
        let _ = request;
    }
}

/// The [`Policy`] that lets every request follow every other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anything;

impl Policy for Anything {
    fn may_follow(&mut self, _: &Request, _: usize) -> bool {
        true
    }
}

/// The approximate size of a request beside target, fields and content.
const FIXED_SIZE: usize = 64;

impl<T> Window<T> {
    /// A window on a connection, for at most 64 requests and 1 MiB. Requests that are outstanding already do not count.
    #[must_use]
    pub fn new(duplex: &mut Duplex<'_>) -> Self {
        Window::after(duplex.requests_without_head())
    }

    /// The same behind `earlier` requests whose responses are still to be read.
    #[must_use]
    pub fn after(earlier: usize) -> Self {
        Window::with_policy(earlier, Anything)
    }
}

impl<T, P: Policy> Window<T, P> {
    /// The same with a policy.
    #[must_use]
    pub fn with_policy(earlier: usize, policy: P) -> Self {
        Window {
            policy,
            max_requests: 64,
            max_bytes: 1 << 20,
            earlier,
            in_flight: VecDeque::new(),
            bytes: 0,
            exhausted: false,
            is_filling: true,
            has_filled: false,
            has_unsent: false,
            resume_at: usize::MAX,
            blocked_on: None,
        }
    }

    /// Sets how many requests may be in flight, at least 1.
    pub fn set_max_requests(&mut self, count: usize) {
        self.max_requests = count.max(1);
    }

    /// Sets how many bytes of requests may be in flight. A single request may be larger.
    pub fn set_max_bytes(&mut self, bytes: usize) {
        self.max_bytes = bytes;
    }

    /// How many requests of the window are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether no request of the window is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// The tags of the requests in flight, oldest first.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &T> {
        self.in_flight.iter().map(|(tag, _)| tag)
    }

    /// How many bytes a request counts for.
    ///
    /// # Errors
    /// If a window cannot send it: it is not valid, or its content is only announced.
    pub fn size_of(request: &Request) -> Result<usize, Misuse> {
        let head = request.as_head()?;
        match request.content() {
            None if head.content.is_some() => Err(Misuse::ContentShort),
            content => Ok(FIXED_SIZE + head.target().len() + head.fields.size() + content.map_or(0, |content| content.len())),
        }
    }

    /// Notes that there will be no more requests.
    pub fn no_more(&mut self) {
        self.exhausted = true;
        self.is_filling = false;
    }

    /// Whether [`no_more`](Window::no_more) was called.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Reads the head of the next response, keeps requests going out, and says what it needs.
    ///
    /// # Errors
    /// The connection is done for.
    #[inline]
    pub fn poll(&mut self, duplex: &mut Duplex<'_>, stream: &mut impl Stream) -> Result<WindowWants<T>, Error> {
        loop {
            match self.wants() {
                Wants::Request => return Ok(WindowWants::Request),
                Wants::Nothing => return Ok(WindowWants::Nothing),
                Wants::Ready(interest) => return Ok(WindowWants::Ready(interest)),
                Wants::Response => {}
            }
            if self.take_unsent() {
                // If this fails, responses that have arrived can still be read; then reading reports the end.
                let _ = duplex.write_pending(stream);
            }
            match duplex.read_head(stream)? {
                Progress::Done(()) => return Ok(WindowWants::Response(self.answered())),
                Progress::Needs(interest) => {
                    if let Some(interest) = self.waits(interest) {
                        return Ok(WindowWants::Ready(interest));
                    }
                }
            }
        }
    }

    /// Offers a request, after [`poll`](Window::poll) has asked for one.
    ///
    /// # Errors
    /// `Local` if the request is not valid, or not allowed now: nothing of it was sent. Otherwise the connection is done for.
    pub fn offer(
        &mut self,
        request: &Request,
        tag: T,
        duplex: &mut Duplex<'_>,
        stream: &mut impl Stream,
    ) -> Result<Offer<T>, Error> {
        let size = Self::size_of(request).map_err(Error::Local)?;
        if !self.has_room_for(request, size) {
            return Ok(Offer::Later(tag));
        }
        match duplex.take_request(request, stream) {
            Ok(Progress::Done(number)) => {
                self.policy.taken(request);
                self.taken(tag, size);
                Ok(Offer::Taken(number))
            }
            Ok(Progress::Needs(interest)) => {
                self.stop(Some(interest));
                Ok(Offer::Later(tag))
            }
            Err(Error::Local(Misuse::ReadFirst | Misuse::ContentRefused)) if self.has_responses_due() => {
                self.stop(None);
                Ok(Offer::Later(tag))
            }
            // The connection has ended unasked, or in bytes that no request asked for: the head reports that.
            Err(error @ Error::Local(Misuse::ReadFirst)) => Err(duplex.next_head().err().unwrap_or(error)),
            // Nothing of it was sent. Reading reports why, after the responses that can still be read.
            Err(error) if error.requests().is_some() && !duplex.shared.queue().is_empty() => {
                self.stop(None);
                Ok(Offer::Later(tag))
            }
            Err(error) => Err(error),
        }
    }

    /// The next thing to do, for a driver that reads and writes itself instead of calling [`poll`](Window::poll).
    #[inline]
    pub fn wants(&mut self) -> Wants {
        if self.is_filling && self.in_flight.len() < self.max_requests {
            return Wants::Request;
        }
        if self.has_responses_due() {
            return Wants::Response;
        }
        if self.exhausted {
            return Wants::Nothing;
        }
        // Nothing is in flight, so nothing but the stream itself can be in the way of the next request.
        self.is_filling = true;
        self.blocked_on.take().map_or(Wants::Request, Wants::Ready)
    }

    /// Whether a request of `size` bytes may be sent now. If not, the window asks again later.
    pub fn has_room_for(&mut self, request: &Request, size: usize) -> bool {
        let is_behind_others = !self.in_flight.is_empty();
        if is_behind_others && (self.bytes + size > self.max_bytes || !self.policy.may_follow(request, self.in_flight.len())) {
            self.stop(None);
            return false;
        }
        true
    }

    /// Notes that the connection has taken a request of `size` bytes.
    #[inline]
    pub fn taken(&mut self, tag: T, size: usize) {
        self.in_flight.push_back((tag, size));
        self.bytes += size;
        self.has_unsent = true;
        self.is_filling &= self.in_flight.len() < self.max_requests;
    }

    /// Notes that the connection takes no request now, and the readiness that it needs, if that is known.
    pub fn stop(&mut self, blocked_on: Option<Interest>) {
        self.is_filling = false;
        self.resume_at = self.in_flight.len() / 2;
        self.blocked_on = blocked_on;
    }

    /// Whether requests were taken since the last call that may wait in the send buffer: time to flush it.
    #[inline]
    pub fn take_unsent(&mut self) -> bool {
        std::mem::take(&mut self.has_unsent)
    }

    /// Notes that the head of a final response was read. The result is the tag of its request; `None` if that was sent before
    /// the window began.
    #[inline]
    pub fn answered(&mut self) -> Option<T> {
        self.has_filled = false;
        if self.earlier > 0 {
            self.earlier -= 1;
            return None;
        }
        let (tag, size) = self.in_flight.pop_front()?;
        self.bytes -= size;
        if self.is_low() {
            self.is_filling = !self.exhausted;
            self.resume_at = usize::MAX;
        }
        Some(tag)
    }

    /// Notes that reading has to wait for `interest`. The result is what to wait for; `None` if more requests can go out first.
    pub fn waits(&mut self, interest: Interest) -> Option<Interest> {
        // If bytes still wait to be sent, more requests would only wait behind them.
        let may_fill = !self.exhausted && !interest.writes() && self.in_flight.len() < self.max_requests;
        if may_fill && !std::mem::replace(&mut self.has_filled, true) {
            self.is_filling = true;
            self.resume_at = usize::MAX;
            return None;
        }
        self.has_filled = false;
        Some(self.blocked_on.take().map_or(interest, |also| interest | also))
    }

    /// Forgets the requests in flight whose tags `keep` refuses: they were not sent.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.in_flight.retain(|(tag, _)| keep(tag));
        self.bytes = self.in_flight.iter().map(|(_, size)| size).sum();
    }

    /// Empties the window, and gives back the tags that it had, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<'_, T, P> {
        self.bytes = 0;
        self.in_flight.drain(..).map(|(tag, _)| tag)
    }

    fn has_responses_due(&self) -> bool {
        self.earlier > 0 || !self.in_flight.is_empty()
    }

    /// Whether at most half of each bound is used.
    #[inline]
    fn is_low(&self) -> bool {
        self.in_flight.len() <= (self.max_requests / 2).min(self.resume_at) && self.bytes <= self.max_bytes / 2
    }
}

/// The next thing that a [`Window`] wants of a driver that reads and writes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A request: call [`taken`](Window::taken), [`stop`](Window::stop) or [`no_more`](Window::no_more).
    Request,
    /// The head of the next response: call [`answered`](Window::answered) or [`waits`](Window::waits).
    Response,
    /// The stream to be ready for this.
    Ready(Interest),
    /// Nothing: every request is answered, and no more will come.
    Nothing,
}

impl<T, P> fmt::Debug for Window<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("in_flight", &self.in_flight.len())
            .field("bytes", &self.bytes)
            .field("max_requests", &self.max_requests)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use dugong_net::scripted::{Cue, Scripted};

    use super::*;
    use crate::config::Config;
    use crate::step::duplex::Engine;

    fn window(max_requests: usize, max_bytes: usize) -> Window<u32> {
        let mut window = Window::after(0);
        window.set_max_requests(max_requests);
        window.set_max_bytes(max_bytes);
        window
    }

    #[test]
    fn a_request_that_is_larger_than_the_bound_goes_alone() {
        let mut window = window(10, 100);
        let request = Request::get("/");
        assert!(window.has_room_for(&request, 1000));
        window.taken(1, 1000);
        assert!(!window.has_room_for(&request, 0));
        assert_eq!(window.wants(), Wants::Response);
        assert_eq!(window.answered(), Some(1));
        assert_eq!(window.wants(), Wants::Request);
    }

    #[test]
    fn earlier_requests_do_not_count() {
        let mut window = Window::after(2);
        window.set_max_requests(1);
        window.taken('a', 10);
        assert_eq!([window.answered(), window.answered()], [None, None]);
        assert_eq!(window.wants(), Wants::Response);
        assert_eq!(window.answered(), Some('a'));
        assert_eq!(window.wants(), Wants::Request);
    }

    #[test]
    fn a_full_window_asks_again_at_half() {
        let mut window = window(4, 1000);
        for tag in 0..4 {
            assert_eq!(window.wants(), Wants::Request);
            window.taken(tag, 1);
        }
        assert_eq!(window.wants(), Wants::Response);
        assert_eq!(window.answered(), Some(0));
        assert_eq!(window.wants(), Wants::Response);
        assert_eq!(window.answered(), Some(1));
        assert_eq!(window.wants(), Wants::Request);
    }

    #[test]
    fn a_window_without_bounds_that_had_to_stop_goes_on_at_half() {
        let mut window = window(usize::MAX, usize::MAX);
        (0..100).for_each(|tag| window.taken(tag, 1));
        window.stop(Some(Interest::WRITE));
        for _ in 0..49 {
            window.answered();
            assert_eq!(window.wants(), Wants::Response);
        }
        window.answered();
        assert_eq!(window.wants(), Wants::Request);
    }

    #[test]
    fn a_window_fills_up_once_before_each_wait() {
        let mut window = window(4, 1000);
        window.taken(0, 1);
        window.stop(None);
        assert_eq!(window.wants(), Wants::Response);
        // Not while bytes wait to be sent.
        assert_eq!(window.waits(Interest::READ | Interest::WRITE), Some(Interest::READ | Interest::WRITE));
        assert_eq!(window.waits(Interest::READ), None);
        assert_eq!(window.wants(), Wants::Request);
        window.stop(None);
        assert_eq!(window.waits(Interest::READ), Some(Interest::READ));
        assert_eq!(window.waits(Interest::READ), None);
    }

    /// Sends nothing behind a request that is not idempotent.
    #[derive(Default)]
    struct Careful {
        last_is_idempotent: bool,
    }

    impl Policy for Careful {
        fn may_follow(&mut self, _: &Request, _: usize) -> bool {
            self.last_is_idempotent
        }

        fn taken(&mut self, request: &Request) {
            self.last_is_idempotent = request.as_head().unwrap().method().is_idempotent();
        }
    }

    #[test]
    fn a_policy_says_which_request_may_follow() {
        let mut engine = Engine::new("origin", &Config::new()).unwrap();
        let mut stream = Scripted::default();
        let mut window = Window::with_policy(0, Careful::default());
        let mut duplex = engine.duplex();
        for (tag, request) in [Request::get("/"), Request::post("/")].iter().enumerate() {
            assert_eq!(window.poll(&mut duplex, &mut stream).unwrap(), WindowWants::Request);
            assert!(matches!(window.offer(request, tag, &mut duplex, &mut stream).unwrap(), Offer::Taken(_)));
        }
        let next = Request::get("/");
        assert_eq!(window.poll(&mut duplex, &mut stream).unwrap(), WindowWants::Request);
        assert_eq!(window.offer(&next, 2, &mut duplex, &mut stream).unwrap(), Offer::Later(2));
        stream.reads.push_back(Cue::Give(b"HTTP/1.1 204 No Content\r\n\r\n".repeat(2)));
        assert_eq!(window.poll(&mut duplex, &mut stream).unwrap(), WindowWants::Response(Some(0)));
        assert_eq!(window.poll(&mut duplex, &mut stream).unwrap(), WindowWants::Request);
        assert_eq!(window.offer(&next, 2, &mut duplex, &mut stream).unwrap(), Offer::Later(2));
        assert_eq!(window.poll(&mut duplex, &mut stream).unwrap(), WindowWants::Response(Some(1)));
        assert_eq!(window.poll(&mut duplex, &mut stream).unwrap(), WindowWants::Request);
        assert!(matches!(window.offer(&next, 2, &mut duplex, &mut stream).unwrap(), Offer::Taken(2)));
    }
}
