//! A download of a task.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Session;
use super::call::Call;
use super::reply::Reply;
use crate::ranges::{Download, PIECES, PendingDownload, RangeError, Take, Target};

impl PendingDownload<'_, Session> {
    /// Downloads, and returns the length of the file. If you drop the future, the content on disk stays for a later run.
    ///
    /// # Errors
    /// [`RangeError`]. The bytes on disk stay if a later run can continue it.
    pub async fn run(self) -> Result<u64, RangeError> {
        let origin = self.session.origin().clone();
        let (session, target, download, mut reporter) = self.open(&origin)?;
        let mut fetching = Fetching { session, target, download, flights: Vec::new() };
        loop {
            fetching.send();
            poll_fn(|cx| fetching.poll_news(cx)).await?;
            reporter.report(fetching.download.progress());
            if fetching.download.is_done() {
                break;
            }
            // Writing took time that other tasks may need.
            ::tokio::task::yield_now().await;
        }
        // The requests that are still in flight bring nothing new.
        fetching.flights.clear();
        fetching.download.finish()
    }
}

/// A download with its requests.
struct Fetching {
    session: Session,
    target: String,
    download: Download,
    flights: Vec<Flight>,
}

struct Flight {
    index: usize,
    state: State,
}

enum State {
    Waiting(Call),
    Reading(Reply),
    /// Its answer is taken, or lost.
    Over,
}

impl Fetching {
    /// Makes the requests that are due.
    fn send(&mut self) {
        while let Some(ask) = self.download.next_request() {
            let call = self.session.request(ask.request(&self.target).streamed().large());
            self.flights.push(Flight { index: ask.index, state: State::Waiting(call) });
        }
    }

    /// Takes all heads and content that are there, at least one.
    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RangeError>> {
        let mut has_moved = false;
        for at in 0..self.flights.len() {
            let Flight { index, state } = &mut self.flights[at];
            let (index, before) = (*index, mem::replace(state, State::Over));
            let (after, moved) = match before {
                State::Waiting(call) => self.poll_head(cx, index, call)?,
                State::Reading(reply) => self.poll_content(cx, index, reply)?,
                State::Over => (State::Over, false),
            };
            self.flights[at].state = after;
            has_moved |= moved;
        }
        self.flights.retain(|flight| !matches!(flight.state, State::Over));
        if has_moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, index: usize, mut call: Call) -> Result<(State, bool), RangeError> {
        match Pin::new(&mut call).poll(cx) {
            Poll::Pending => Ok((State::Waiting(call), false)),
            // The session has repeated it as often as it may.
            Poll::Ready(Err(failed)) => Err(RangeError::failed(&Target::from(&*self.target), failed)),
            Poll::Ready(Ok(reply)) => {
                let taken = self.download.head(index, reply.status(), reply.fields())?;
                Ok((if taken == Take::Content { State::Reading(reply) } else { State::Over }, true))
            }
        }
    }

    fn poll_content(&mut self, cx: &mut Context<'_>, index: usize, mut reply: Reply) -> Result<(State, bool), RangeError> {
        for count in 0..PIECES {
            match reply.poll_piece(cx) {
                Poll::Pending => return Ok((State::Reading(reply), count > 0)),
                Poll::Ready(Ok(Some(piece))) => self.download.content(index, &piece)?,
                Poll::Ready(Ok(None)) => {
                    self.download.end(index)?;
                    return Ok((State::Over, true));
                }
                Poll::Ready(Err(error)) => {
                    self.download.broke_off(index, error)?;
                    return Ok((State::Over, true));
                }
            }
        }
        Ok((State::Reading(reply), true))
    }
}
