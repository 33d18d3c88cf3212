//! A request whose reply is awaited.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::content::Content;
use super::host::{Flight, Host};
use super::reply::Reply;
use crate::failed::{Cause, Failed};
use crate::request::Request;

/// The future of a reply. It sends its request when it is first polled; dropping it gives the request up.
#[must_use = "a request is sent when its future is awaited"]
pub struct Call {
    request: Request,
    state: State,
}

enum State {
    New(Host, Option<Content>),
    Submitted(Flight),
    Over,
}

impl Call {
    pub(super) fn new(host: Host, request: Request, content: Option<Content>) -> Self {
        Call { request, state: State::New(host, content) }
    }

    fn begin(&mut self, host: &Host, content: Option<Content>, cx: &mut Context<'_>) -> Result<Flight, Failed> {
        let mut upload = None;
        if let Some(content) = content {
            let attached = content.attach(self.request.clone(), cx);
            (self.request, upload) =
                attached.map_err(|error| Failed::unsent(Cause::Source(Arc::new(io::Error::other(error)))))?;
        }
        host.begin(&self.request, upload, cx.waker())
    }
}

/// # Panics
/// If it is polled after its end, or outside of a runtime.
impl Future for Call {
    type Output = Result<Reply, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut flight = match std::mem::replace(&mut self.state, State::Over) {
            State::New(host, content) => {
                let flight = self.begin(&host, content, cx)?;
                flight.set_awaited();
                flight
            }
            State::Submitted(flight) => {
                flight.set_waker(cx.waker());
                flight
            }
            State::Over => panic!("a call was polled after its end"),
        };
        if flight.advance(cx) {
            return Poll::Ready(flight.into_result());
        }
        flight.go_on();
        self.state = State::Submitted(flight);
        Poll::Pending
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("request", &self.request).finish_non_exhaustive()
    }
}
