//! Writing the content of a request.

use std::io::{self, Write};

use dugong_proto::{Fields, Misuse};

use super::access::Channel;
use super::connection::Connection;
use crate::error::Error;
use crate::step::Continue;
use crate::transport::WaitingFor;

/// Writes the content that the last request announced, and checks that it is just as much.
///
/// If the request expects 100 (Continue), the first write waits for it, at most as long as configured.
///
/// ```
/// # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
/// # let url = format!("http://{}", origin.address());
/// use std::io::Write;
/// use dugong_http::{Connection, Request};
///
/// let mut connection = Connection::connect(&url)?;
/// connection.send_request(Request::put("/upload").chunked().expect_continue())?;
/// let mut content = connection.content();
/// content.write_all(b"some of it, ")?;
/// content.write_all(b"and the rest")?;
/// content.finish()?;
/// assert_eq!(connection.read_response()?.status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ContentWriter<'a> {
    pub(super) connection: &'a mut Connection,
}

impl Connection {
    /// The writer for the content that the last request announced. Dropping it changes nothing: it can be had again.
    pub fn content(&mut self) -> ContentWriter<'_> {
        // While content is sent, the response may be taken in.
        self.skip_first_read = false;
        ContentWriter::new(self)
    }
}

impl<'a> ContentWriter<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Self {
        ContentWriter { connection }
    }

    /// Sends some of `content`; the result is how much, at least one byte unless there is none.
    ///
    /// # Errors
    /// `Local(ContentRefused)` if a final response has come and this would have to wait, or must not be sent any more: the
    /// response can be read. (A server that answers while it reads, like one that echoes, needs content that is given with the
    /// request, or a [split](Connection::split) connection.) `Local(ReadFirst)` if responses to earlier requests have to be read before. `Local(ExcessContent)`
    /// if this is more than was announced, `Local(NoContentDue)` if nothing was. `TimedOut`: can be called again. Of all these
    /// nothing was sent. Otherwise the connection is done for.
    pub fn send(&mut self, content: &[u8]) -> Result<usize, Error> {
        loop {
            match self.connection.drive(WaitingFor::Sending, |duplex, stream| duplex.write_content(content, stream)) {
                Err(Error::Local(Misuse::AwaitContinue)) => match self.connection.wait_for_continue()? {
                    Continue::Send => {}
                    Continue::Refused => return Err(Error::Local(Misuse::ContentRefused)),
                },
                other => return other,
            }
        }
    }

    /// Sends all of `content`.
    ///
    /// # Errors
    /// As for [`send`](ContentWriter::send); some of it may have been sent then.
    pub fn send_all(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while !content.is_empty() {
            let count = self.send(content)?;
            content = &content[count..];
        }
        Ok(())
    }

    /// SplitShared the content: checks that it was all sent, or sends the last chunk.
    ///
    /// # Errors
    /// `Local(ContentShort)` if some of it is missing: it can still be sent. Otherwise as for [`send`](ContentWriter::send).
    pub fn finish(self) -> Result<(), Error> {
        self.finish_with_trailers(&Fields::new())
    }

    /// SplitShared chunked content with a trailer section (RFC 9112 §7.1.2).
    ///
    /// # Errors
    /// As for [`finish`](ContentWriter::finish); `Local(NoContentDue)` or `Local(ContentShort)` if the content is not chunked.
    pub fn finish_with_trailers(self, trailers: &Fields) -> Result<(), Error> {
        let mut stream = Channel::new(&self.connection.transport);
        let mut duplex = self.connection.engine.duplex();
        match duplex.finish_content(trailers, &mut stream) {
            Err(Error::Local(Misuse::AwaitContinue)) => {}
            other => return other,
        }
        match self.connection.wait_for_continue()? {
            Continue::Send => self.finish_with_trailers(trailers),
            Continue::Refused => Err(Error::Local(Misuse::ContentRefused)),
        }
    }
}

impl Write for ContentWriter<'_> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        Ok(self.send(content)?)
    }

    /// Sends what is buffered, as far as that is possible without waiting; the rest is sent by later calls.
    fn flush(&mut self) -> io::Result<()> {
        let mut stream = Channel::new(&self.connection.transport);
        let mut duplex = self.connection.engine.duplex();
        duplex.write_pending(&mut stream)?;
        Ok(())
    }
}
