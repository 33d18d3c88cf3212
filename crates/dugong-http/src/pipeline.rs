//! Many requests through one connection: an iterator of requests and the window through which they go.

use std::borrow::Borrow;
use std::fmt;

use dugong_net::{Progress, Stream};
use dugong_proto::Misuse;

use crate::error::Error;
use crate::request::Request;
use crate::step::{Duplex, Offer, Window, WindowWants};

/// The requests of a pipeline and the window of those in flight: the common part of all pipelines.
pub(crate) struct Feed<I: Iterator> {
    requests: I,
    /// Taken from the iterator, and not yet by the connection.
    current: Option<I::Item>,
    pub(crate) taken: u64,
    pub(crate) window: Window<()>,
}

impl<I> Feed<I>
where
    I: Iterator,
    I::Item: Borrow<Request>,
{
    pub(crate) fn new(duplex: &mut Duplex<'_>, requests: I) -> Self {
        Feed { requests, current: None, taken: 0, window: Window::new(duplex) }
    }

    /// Returns the request that was taken from the iterator and not sent, and the rest of the iterator.
    pub(crate) fn into_rest(self) -> (Option<I::Item>, I) {
        (self.current, self.requests)
    }

    /// Reads the head of the next response, and keeps requests going out; false once all requests are answered.
    pub(crate) fn step(&mut self, duplex: &mut Duplex<'_>, stream: &mut impl Stream) -> Result<Progress<bool>, Error> {
        loop {
            match self.window.poll(duplex, stream)? {
                WindowWants::Request => self.offer(duplex, stream)?,
                WindowWants::Response(_) => return Ok(Progress::Done(true)),
                WindowWants::Ready(interest) => return Ok(Progress::Needs(interest)),
                WindowWants::Nothing => return Ok(Progress::Done(false)),
            }
        }
    }

    #[inline]
    fn offer(&mut self, duplex: &mut Duplex<'_>, stream: &mut impl Stream) -> Result<(), Error> {
        let request = match self.current.take() {
            Some(request) => request,
            None => {
                // An iterator may not be able to end twice, so it is not asked again.
                let Some(request) = self.requests.next() else {
                    self.window.no_more();
                    return Ok(());
                };
                self.taken += 1;
                request
            }
        };
        match self.window.offer(request.borrow(), (), duplex, stream) {
            Ok(Offer::Taken(_)) => Ok(()),
            Ok(Offer::Later(())) => {
                self.current = Some(request);
                Ok(())
            }
            // An invalid request is left out. The next step goes on behind it.
            Err(error @ Error::Local(_)) if !matches!(error, Error::Local(Misuse::ContentOwed)) => Err(error),
            Err(error) => {
                self.current = Some(request);
                Err(error)
            }
        }
    }
}

impl<I: Iterator> fmt::Debug for Feed<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("taken", &self.taken).field("window", &self.window).finish_non_exhaustive()
    }
}
