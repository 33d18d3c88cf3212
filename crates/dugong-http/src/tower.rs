//! A connection as a [`Service`]: a handle that you can clone, and a driver, a future that you have to poll or spawn.
//!
//! Requests go out in the order of the calls, without waiting for responses: you decide which request may follow which.
//! Responses wait for their readers one piece at a time. An unread response holds up those behind it; a dropped one is skipped.
//!
//! ```
//! # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let url = format!("http://{}", origin.address());
//! use dugong_http::asynchronous::Connection;
//! use dugong_http::tower::service;
//! use tower_service::Service;
//! # #[cfg(feature = "tokio")] {
//! # use dugong_http::tokio::Tokio;
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let connection: Connection<Tokio> = Connection::connect(&url).await?;
//! let (mut service, driver) = service(connection);
//! tokio::spawn(driver);
//! let request = http::Request::get("/doc/1").body(String::new())?;
//! std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
//! let response = service.call(request).await?;
//! assert_eq!(response.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?; }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use dugong_proto::{Announced, CloseReason, Fields, Method, Sent};
use http_body::{Body, Frame};
use tower_service::Service;

use crate::asynchronous::{Connection, RequestHalf, Response, ResponseHalf, Runtime};
use crate::convert::{request_head, to_fields, to_header_map, to_response};
use crate::error::{Closed, Error, Requests};
use crate::outcome::Outcome;
use crate::request::Request;
use crate::step::Window;
use crate::transport::{TimeLimit, WaitingFor};

/// Makes a service of a connection, and the driver that does its work. The driver ends with the connection, or when all handles
/// are dropped and all requests are answered.
pub fn service<R: Runtime, B>(connection: Connection<R>) -> (Handle<B>, Driver)
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError> + Send,
{
    let state = State {
        queue: VecDeque::new(),
        in_flight: Window::after(connection.outstanding().unanswered.len()),
        handles: 1,
        is_over: false,
        end: None,
        driver: None,
        waiting: Vec::new(),
    };
    let shared = Arc::new(Shared(Mutex::new(state)));
    let (requests, responses) = connection.split();
    let (sender, receiver) = (shared.clone(), shared.clone());
    let driver = Driver(Box::pin(async move {
        // Runs however the driver ends, even if it is dropped.
        let _end = EndOnDrop(receiver.clone());
        let mut sending = pin!(send(requests, &sender));
        let mut receiving = pin!(receive(responses, &receiver));
        let (mut is_sent, mut is_received) = (false, false);
        poll_fn(|cx| {
            receiver.state().driver = Some(cx.waker().clone());
            is_received = is_received || receiving.as_mut().poll(cx).is_ready();
            is_sent = is_sent || sending.as_mut().poll(cx).is_ready();
            // The end of one may end the other.
            is_received = is_received || receiving.as_mut().poll(cx).is_ready();
            if is_sent && is_received { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }));
    (Handle { shared }, driver)
}

/// How many requests may be in flight or queued. More have to wait until the service is ready.
const MOST: usize = 64;

/// Any error.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a call got no response, or only part of one.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServiceError {
    /// The request was refused, and no byte of it was sent.
    Http(Error),
    /// The connection ended before the response was complete. The outcome says why, and whether the request may be sent again.
    Ended(Outcome),
    /// Reading the body of the request failed. The connection ends, since the request cannot be completed.
    Content(BoxError),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceError::Http(error) => error.fmt(f),
            ServiceError::Ended(Outcome { error: Some(error), .. }) => error.fmt(f),
            ServiceError::Ended(_) => f.write_str("the connection ended"),
            ServiceError::Content(_) => f.write_str("reading the request body failed"),
        }
    }
}

impl StdError for ServiceError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ServiceError::Http(error) => error.source(),
            ServiceError::Ended(outcome) => outcome.error.as_ref()?.source(),
            ServiceError::Content(error) => Some(&**error),
        }
    }
}

/// Ends the service, so that no call waits any longer.
struct EndOnDrop<B>(Arc<Shared<B>>);

impl<B> Drop for EndOnDrop<B> {
    fn drop(&mut self) {
        self.0.end(driver_dropped(), None, 0);
    }
}

/// The delivery of a response, which fails if it is dropped before its end.
struct Delivering<'a>(&'a Exchange);

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        if !self.0.delivery().has_ended {
            self.0.end(driver_dropped());
        }
    }
}

/// The error of calls whose driver is gone.
fn driver_dropped() -> Arc<Error> {
    Arc::new(Error::Closed { cause: Closed::InOrder(CloseReason::Broken), requests: Requests::default() })
}

/// A handle of a connection.
pub struct Handle<B> {
    shared: Arc<Shared<B>>,
}

/// The future that does the work of a connection.
#[must_use = "nothing happens unless it is polled"]
pub struct Driver(Pin<Box<dyn Future<Output = ()> + Send>>);

/// The state that all handles and the driver share.
struct Shared<B>(Mutex<State<B>>);

struct State<B> {
    /// The requests to be sent.
    queue: VecDeque<(http::Request<B>, Arc<Exchange>)>,
    /// The requests whose responses are due.
    in_flight: Window<Arc<Exchange>>,
    handles: usize,
    /// No more requests are sent.
    is_over: bool,
    /// The error that ended the connection, for later calls.
    end: Option<Arc<Error>>,
    driver: Option<Waker>,
    /// Handles that wait for room.
    waiting: Vec<Waker>,
}

impl<B> Shared<B> {
    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next request to send; `None` if none will come.
    fn poll_next(&self) -> Poll<Option<(http::Request<B>, Arc<Exchange>)>> {
        let mut state = self.state();
        match state.queue.pop_front() {
            Some((request, exchange)) => {
                // Requests count, bytes do not: the size of a body may be unknown.
                state.in_flight.taken(exchange.clone(), 0);
                Poll::Ready(Some((request, exchange)))
            }
            None if state.is_over || state.handles == 0 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Takes the exchange of the oldest request, whose response has come.
    fn answered(&self) -> Option<Arc<Exchange>> {
        let mut state = self.state();
        state.waiting.drain(..).for_each(Waker::wake);
        state.in_flight.answered()
    }

    /// Removes a request that will have no response because of `error`.
    fn withdraw(&self, exchange: &Arc<Exchange>, error: ServiceError) {
        let mut state = self.state();
        state.in_flight.retain(|other| !Arc::ptr_eq(other, exchange));
        state.waiting.drain(..).for_each(Waker::wake);
        drop(state);
        exchange.fail(error);
    }

    /// Ends the service because of `error`: fails every unanswered call, and later ones. `requests` is the connection's
    /// knowledge of them, if it is still there; the first `skip` unanswered ones have failed already.
    fn end(&self, error: Arc<Error>, requests: Option<&Requests>, skip: u64) {
        let mut state = self.state();
        state.is_over = true;
        state.waiting.drain(..).for_each(Waker::wake);
        let error = state.end.get_or_insert(error).clone();
        let in_flight: Vec<_> = state.in_flight.drain().collect();
        let queue = std::mem::take(&mut state.queue);
        // Dropped requests run the caller's code, and may own a handle: not under the lock.
        drop(state);
        for (exchange, index) in in_flight.into_iter().zip(skip..) {
            match requests {
                Some(requests) => {
                    let outcome = Outcome::of(requests.answered + index, requests, error.clone());
                    exchange.fail(ServiceError::Ended(outcome));
                }
                None => exchange.end(error.clone()),
            }
        }
        for (_, exchange) in queue {
            exchange.fail(ServiceError::Ended(Outcome::unsent(error.clone())));
        }
    }
}

impl<B> Clone for Handle<B> {
    fn clone(&self) -> Self {
        self.shared.state().handles += 1;
        Handle { shared: self.shared.clone() }
    }
}

impl<B> Drop for Handle<B> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.handles -= 1;
        if state.handles == 0 {
            state.driver.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl<B> fmt::Debug for Handle<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state();
        f.debug_struct("Handle").field("queue", &state.queue.len()).field("in_flight", &state.in_flight.len()).finish()
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl<B> Service<http::Request<B>> for Handle<B> {
    type Response = http::Response<Incoming>;
    type Error = ServiceError;
    type Future = Answer;

    /// Ready unless too many requests are in flight. After the end of the connection it is ready, and the call fails.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServiceError>> {
        let mut state = self.shared.state();
        if state.is_over || state.queue.len() + state.in_flight.len() < MOST {
            return Poll::Ready(Ok(()));
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        let exchange = Arc::new(Exchange::new(is_idempotent(request.method())));
        let mut state = self.shared.state();
        if state.is_over {
            let error = state.end.clone().unwrap_or_else(driver_dropped);
            exchange.fail(ServiceError::Ended(Outcome::unsent(error)));
        } else {
            state.queue.push_back((request, exchange.clone()));
            state.driver.take().into_iter().for_each(Waker::wake);
        }
        Answer(Incoming { exchange, is_over: false })
    }
}

/// A response on its way from the driver to the caller.
#[derive(Default)]
struct Exchange {
    is_idempotent: bool,
    /// How much of the request was sent, as far as its sender knows.
    sent: AtomicU8,
    delivery: Mutex<Delivery>,
}

const TAKEN: u8 = 1;
const SENT: u8 = 2;

#[derive(Default)]
struct Delivery {
    head: Option<http::Response<()>>,
    /// At most one piece at a time.
    piece: Option<Result<Frame<Bytes>, ServiceError>>,
    has_begun: bool,
    has_ended: bool,
    reader: Option<Waker>,
    driver: Option<Waker>,
    /// The caller has dropped it.
    is_unwanted: bool,
}

impl Exchange {
    fn new(is_idempotent: bool) -> Self {
        Exchange { is_idempotent, ..Exchange::default() }
    }

    /// Fails because of `error`, when the connection is gone and cannot say what became of the request.
    fn end(&self, error: Arc<Error>) {
        let sent = match self.sent.load(Ordering::Acquire) {
            0 => Sent::Nothing,
            SENT => Sent::Whole,
            _ => Sent::Partly,
        };
        let safe_to_retry = sent == Sent::Nothing || self.is_idempotent;
        let answer_begun = self.delivery().has_begun;
        self.fail(ServiceError::Ended(Outcome { sent, answer_begun, safe_to_retry, error: Some(error) }));
    }

    fn delivery(&self) -> MutexGuard<'_, Delivery> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, give: impl FnOnce(&mut Delivery)) {
        let mut delivery = self.delivery();
        give(&mut delivery);
        delivery.reader.take().into_iter().for_each(Waker::wake);
    }

    fn fail(&self, error: ServiceError) {
        self.give(|delivery| {
            delivery.piece = Some(Err(error));
            delivery.has_ended = true;
        });
    }

    /// Waits until the last piece was taken; false if the caller wants no more.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut delivery = self.delivery();
        if delivery.is_unwanted {
            return Poll::Ready(false);
        }
        if delivery.piece.is_none() {
            return Poll::Ready(true);
        }
        delivery.driver = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A response that is to come.
#[derive(Debug)]
pub struct Answer(Incoming);

impl Future for Answer {
    type Output = Result<http::Response<Incoming>, ServiceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let exchange = self.0.exchange.clone();
        let mut delivery = exchange.delivery();
        if let Some(head) = delivery.head.take() {
            // The placeholder that stays here is not dropped as an unwanted response.
            let content = std::mem::replace(&mut self.0, Incoming { exchange: Arc::default(), is_over: true });
            return Poll::Ready(Ok(head.map(|()| content)));
        }
        if let Some(Err(_)) = &delivery.piece
            && let Some(Err(error)) = delivery.piece.take()
        {
            return Poll::Ready(Err(error));
        }
        delivery.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The content of a response.
pub struct Incoming {
    exchange: Arc<Exchange>,
    is_over: bool,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = ServiceError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let exchange = self.exchange.clone();
        let mut delivery = exchange.delivery();
        let piece = delivery.piece.take();
        if piece.is_none() && !delivery.has_ended {
            delivery.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        delivery.driver.take().into_iter().for_each(Waker::wake);
        self.is_over = matches!(piece, None | Some(Err(_)));
        Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        let delivery = self.exchange.delivery();
        self.is_over || delivery.has_ended && delivery.piece.is_none()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut delivery = self.exchange.delivery();
        delivery.is_unwanted = true;
        delivery.driver.take().into_iter().for_each(Waker::wake);
    }
}

fn is_idempotent(method: &http::Method) -> bool {
    Method::try_from(method.as_str()).is_ok_and(|method| method.is_idempotent())
}

/// Sends the requests of all calls.
async fn send<R: Runtime, B>(mut requests: RequestHalf<R>, shared: &Shared<B>)
where
    B: Body,
    B::Error: Into<BoxError>,
{
    while let Some((request, exchange)) = poll_fn(|_| shared.poll_next()).await {
        match send_one(&mut requests, request, &exchange.sent).await {
            Ok(()) => exchange.sent.store(SENT, Ordering::Release),
            // No byte of it was sent.
            Err(error @ ServiceError::Http(Error::Local(_))) if exchange.sent.load(Ordering::Acquire) == 0 => {
                shared.withdraw(&exchange, error);
            }
            // The other half reads what became of it: an answer may have come before all of it was sent.
            Err(ServiceError::Http(_) | ServiceError::Ended(_)) => break,
            Err(error @ ServiceError::Content(_)) => {
                shared.withdraw(&exchange, error);
                break;
            }
        }
    }
    shared.state().is_over = true;
}

/// Sends a request and its content, and notes in `sent` when the connection has taken the request itself.
async fn send_one<R: Runtime, B>(
    requests: &mut RequestHalf<R>,
    request: http::Request<B>,
    sent: &AtomicU8,
) -> Result<(), ServiceError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let local = |misuse| ServiceError::Http(Error::Local(misuse));
    let (parts, body) = request.into_parts();
    let mut head = request_head(&parts).map_err(local)?;
    let has_content = !body.is_end_stream();
    head.content = match body.size_hint().exact() {
        _ if !has_content && head.method().expects_content() => Announced::Length(0),
        _ if !has_content => Announced::Nothing,
        Some(length) => Announced::Length(length),
        None => Announced::Chunked,
    };
    let is_chunked = head.content == Announced::Chunked;
    requests.send_request(Request::from(head)).await.map_err(ServiceError::Http)?;
    sent.store(TAKEN, Ordering::Release);
    if !has_content {
        return Ok(());
    }
    let mut body = pin!(body);
    let mut trailers = Fields::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map_err(|error| ServiceError::Content(error.into()))?.into_data() {
            Ok(mut data) => {
                while data.has_remaining() {
                    let piece = data.chunk();
                    requests.send_content(piece).await.map_err(ServiceError::Http)?;
                    let count = piece.len();
                    data.advance(count);
                }
            }
            Err(frame) => {
                if let Ok(map) = frame.into_trailers()
                    && is_chunked
                {
                    trailers = to_fields(&map).map_err(local)?;
                }
            }
        }
    }
    requests.finish_content(&trailers).await.map_err(ServiceError::Http)
}

/// Reads all responses, and delivers them to their callers.
async fn receive<R: Runtime, B>(mut responses: ResponseHalf<R>, shared: &Shared<B>) {
    loop {
        let (error, skip) = match responses.read_response().await {
            Ok(Some(response)) => {
                let delivered = match shared.answered() {
                    Some(exchange) => deliver(response, &exchange).await,
                    None => response.discard().await.map_err(Arc::new),
                };
                match delivered {
                    Ok(()) => continue,
                    Err(error) => (error, 1),
                }
            }
            Ok(None) => {
                let requests = responses.outstanding();
                let cause = Closed::InOrder(responses.close_reason().unwrap_or(CloseReason::Broken));
                (Arc::new(Error::Closed { cause, requests }), 0)
            }
            // No request was made for that long.
            Err(Error::TimedOut { waiting_for: WaitingFor::Request, limit: TimeLimit::Phase(_), .. }) => continue,
            Err(error) => (Arc::new(error), 0),
        };
        return shared.end(error, Some(&responses.outstanding()), skip);
    }
}

/// Delivers a response piece by piece.
///
/// # Errors
/// The connection has ended inside the response, and the call has failed.
async fn deliver<R: Runtime>(mut response: Response<'_, R>, exchange: &Exchange) -> Result<(), Arc<Error>> {
    // If this future is dropped in the middle, no other code knows the exchange.
    let _unless_complete = Delivering(exchange);
    let head = to_response(response.head(), ());
    exchange.give(|delivery| {
        delivery.head = Some(head);
        delivery.has_begun = true;
    });
    loop {
        if !poll_fn(|cx| exchange.poll_room(cx)).await {
            return response.discard().await.map_err(Arc::new);
        }
        match response.fill().await {
            Ok(Some(bytes)) => {
                let piece = Bytes::copy_from_slice(bytes);
                response.consume(piece.len());
                exchange.give(|delivery| delivery.piece = Some(Ok(Frame::data(piece))));
            }
            Ok(None) => {
                let trailers = response.trailers();
                let frame = (!trailers.is_empty()).then(|| Frame::trailers(to_header_map(trailers)));
                exchange.give(|delivery| {
                    delivery.piece = frame.map(Ok);
                    delivery.has_ended = true;
                });
                return Ok(());
            }
            Err(error) => {
                let (number, error) = (response.number(), Arc::new(error));
                match error.requests() {
                    Some(requests) => exchange.fail(ServiceError::Ended(Outcome::of(number, requests, error.clone()))),
                    None => exchange.end(error.clone()),
                }
                return Err(error);
            }
        }
    }
}
