//! Writing the content of a request.

use std::io::{self, Write};

use dugong_proto::{Fields, Misuse};

use super::access::Channel;
use super::connection::Connection;
use crate::error::Error;
use crate::step::Continue;
use crate::transport::WaitingFor;

/// Writes the content that the last request announced, and checks its length.
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
    /// Returns the writer for the content that the last request announced. You can drop it and ask for it again.
    pub fn content(&mut self) -> ContentWriter<'_> {
        // The response may be taken in while content is sent.
        self.skip_first_read = false;
        ContentWriter::new(self)
    }
}

impl<'a> ContentWriter<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Self {
        ContentWriter { connection }
    }

    /// Sends some of `content`. Returns how much: at least one byte unless `content` is empty.
    ///
    /// # Errors
    /// `Local(ContentRefused)` if a final response has come and sending would have to wait, or is forbidden: read the response.
    /// (A server that answers while it reads, such as an echo server, needs a [split](Connection::split) connection, or content
    /// given with the request.) `Local(ReadFirst)` if you have to read responses to earlier requests before.
    /// `Local(ExcessContent)` if this is more than was announced, `Local(NoContentDue)` if nothing was. `TimedOut`: you can
    /// call again. None of these sends a byte. All other errors end the connection.
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
    /// The same as for [`send`](ContentWriter::send), but some bytes may have been sent.
    pub fn send_all(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while !content.is_empty() {
            let count = self.send(content)?;
            content = &content[count..];
        }
        Ok(())
    }

    /// Ends the content: checks that all of it was sent, or sends the last chunk.
    ///
    /// # Errors
    /// `Local(ContentShort)` if some of it is missing: you can still send it. The others as for [`send`](ContentWriter::send).
    pub fn finish(self) -> Result<(), Error> {
        self.finish_with_trailers(&Fields::new())
    }

    /// Ends chunked content with a trailer section (RFC 9112 §7.1.2).
    ///
    /// # Errors
    /// The same as for [`finish`](ContentWriter::finish); `Local(NoContentDue)` or `Local(ContentShort)` if the content is not
    /// chunked.
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

    /// Sends buffered bytes as far as possible without waiting. Later calls send the rest.
    fn flush(&mut self) -> io::Result<()> {
        let mut stream = Channel::new(&self.connection.transport);
        let mut duplex = self.connection.engine.duplex();
        duplex.write_pending(&mut stream)?;
        Ok(())
    }
}
