//! A request whose reply is awaited.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::host::{Flight, Host};
use super::reply::Reply;
use crate::failed::Failed;
use crate::request::Request;

/// The future of a reply. It sends its request when it is first polled; dropping it gives the request up.
#[must_use = "a request is sent when its future is awaited"]
pub struct Call {
    request: Request,
    state: State,
}

enum State {
    New(Host),
    Submitted(Flight),
    Over,
}

impl Call {
    pub(super) fn new(host: Host, request: Request) -> Self {
        Call { request, state: State::New(host) }
    }
}

/// # Panics
/// If it is polled after its end, or outside of a runtime.
impl Future for Call {
    type Output = Result<Reply, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut flight = match std::mem::replace(&mut self.state, State::Over) {
            State::New(host) => {
                let flight = host.begin(&self.request, cx.waker())?;
                flight.set_awaited();
                flight
            }
            State::Submitted(flight) => {
                flight.set_waker(cx.waker());
                flight
            }
            State::Over => panic!("a call was polled after its end"),
        };
        if flight.advance(cx.waker()) {
            return Poll::Ready(flight.into_result());
        }
        self.state = State::Submitted(flight);
        Poll::Pending
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("request", &self.request).finish_non_exhaustive()
    }
}
