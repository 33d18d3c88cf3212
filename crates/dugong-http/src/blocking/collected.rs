//! The responses of a pipeline as an iterator.

use std::borrow::Borrow;

use super::Pipeline;
use crate::collected::Collected;
use crate::error::Error;
use crate::request::Request;

impl<'a, I> Pipeline<'a, I>
where
    I: Iterator,
    I::Item: Borrow<Request>,
{
    /// Turns the pipeline into an iterator of complete responses. The content of each may have at most `limit` bytes.
    ///
    /// ```
    /// # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let url = format!("http://{}", origin.address());
    /// use dugong_http::{Connection, Request};
    ///
    /// let mut connection = Connection::connect(&url)?;
    /// let requests = (1..=100).map(|i| Request::get(format!("/doc/{i}")));
    /// for response in connection.pipeline(requests).collected(1 << 20) {
    ///     let response = response?;
    ///     println!("{} {}", response.status(), response.content.len());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn collected(self, limit: usize) -> Collecting<'a, I> {
        Collecting { pipeline: self, limit, current: None, is_over: false }
    }
}

/// An iterator of the complete responses of a pipeline: see [`Pipeline::collected`].
///
/// It continues after [`Error::Local`] (with the next request), [`Error::ContentTooLong`] (with the next response) and
/// [`Error::TimedOut`] (with the same response). Every other error is its last item.
#[derive(Debug)]
pub struct Collecting<'a, I: Iterator> {
    pipeline: Pipeline<'a, I>,
    limit: usize,
    /// The response that a timeout interrupted.
    current: Option<Collected>,
    is_over: bool,
}

impl<'a, I> Collecting<'a, I>
where
    I: Iterator,
    I::Item: Borrow<Request>,
{
    /// Returns the pipeline, to use it in another way or to get the unsent requests.
    #[must_use]
    pub fn into_pipeline(self) -> Pipeline<'a, I> {
        self.pipeline
    }

    fn collect_next(&mut self) -> Result<Option<Collected>, Error> {
        let mut collected = match self.current.take() {
            Some(collected) => collected,
            None => match self.pipeline.next()? {
                Some(response) => Collected::new(response.number(), response.head().clone()),
                None => return Ok(None),
            },
        };
        // A response without content has no current response: it is complete.
        if let Some(mut response) = self.pipeline.connection.current_response() {
            if let Err(error) = response.read_limited(&mut collected.content, self.limit) {
                if error.is_timeout() {
                    self.current = Some(collected);
                }
                return Err(error);
            }
            collected.trailers = response.trailers().clone();
        }
        Ok(Some(collected))
    }
}

impl<I> Iterator for Collecting<'_, I>
where
    I: Iterator,
    I::Item: Borrow<Request>,
{
    type Item = Result<Collected, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let collected = self.collect_next();
        self.is_over = match &collected {
            Ok(collected) => collected.is_none(),
            Err(Error::Local(_) | Error::TimedOut { .. } | Error::ContentTooLong { .. }) => false,
            Err(_) => true,
        };
        collected.transpose()
    }
}
