//! The blocking client: step, then wait.

mod collected;
mod connection;
mod content;
mod pipeline;
mod response;
mod split;
mod upload;

pub use collected::Collecting;
pub use connection::Connection;
pub use content::ContentWriter;
pub use pipeline::Pipeline;
pub use response::Response;
pub use split::{RequestHalf, ResponseHalf};

use std::cell::Cell;
use std::io::IoSlice;
use std::net::Shutdown;
use std::time::Instant;

use dugong_net::{Expiry, Stream, StreamError, wait_ready};

use crate::error::Error;
use crate::halves::Ends;
use crate::patience::{Patience, more_exactly};
use crate::step::{Duplex, Interest, Progress, Receiving};
use crate::transport::{Transport, WaitingFor};

/// A connection, or the half of one that the caller has, for the time of a call.
#[derive(Debug)]
pub(crate) struct Access<'a> {
    pub(crate) duplex: Duplex<'a>,
    channel: Channel<'a>,
    patience: &'a Patience,
    /// Set for the half that reads: the half that sends has to be told what became of a step.
    ends: Option<&'a Ends<Transport>>,
}

/// The stream of a connection, for one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel<'a> {
    transport: &'a Transport,
    /// The system had no room for more bytes, and has not said since that it has.
    is_full: Option<&'a Cell<bool>>,
    /// Reading waits in the system, instead of coming back to be called again.
    waits: bool,
}

impl<'a> Channel<'a> {
    fn new(transport: &'a Transport) -> Self {
        Channel { transport, is_full: None, waits: false }
    }
}

impl Channel<'_> {
    /// Waits until the stream is ready; false if the deadline passed.
    #[inline]
    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> Result<bool, Error> {
        let ready = wait_ready(self.transport, interest, deadline).map_err(Error::Socket)?;
        if let Some(is_full) = self.is_full {
            // Until the system has room again, there is no point in trying to write.
            is_full.set(interest.writes() && ready.is_some_and(|ready| !ready.writes()));
        }
        Ok(ready.is_some())
    }
}

impl Stream for Channel<'_> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        if self.waits
            && let Some(socket) = self.transport.bare_socket()
        {
            return Ok(socket.read_waiting(buffer)?);
        }
        self.transport.read(buffer)
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        let Some(is_full) = self.is_full else { return self.transport.write(pieces) };
        if is_full.get() {
            return Ok(Progress::Needs(Interest::WRITE));
        }
        self.transport.write(pieces)
    }

    #[inline]
    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        self.transport.flush()
    }
}

impl Access<'_> {
    /// Runs a step to its end, waiting as long as `patience` says each time that it has to.
    #[inline]
    pub(crate) fn drive<T>(
        &mut self,
        waiting_for: WaitingFor,
        mut step: impl FnMut(&mut Duplex<'_>, &mut Channel<'_>) -> Result<Progress<T>, Error>,
    ) -> Result<T, Error> {
        self.patience.check(waiting_for)?;
        loop {
            let result = step(&mut self.duplex, &mut self.channel);
            self.close_if_final(&result);
            match result? {
                Progress::Done(value) => return Ok(value),
                Progress::Needs(interest) => {
                    let waiting_for = more_exactly(waiting_for, || self.duplex.has_begun_to_read());
                    wait(&self.channel, interest, self.patience, waiting_for, self.duplex.until())?;
                }
            }
        }
    }

    /// The same for a step that reads.
    #[inline]
    pub(crate) fn read<T>(
        &mut self,
        step: impl FnMut(&mut Duplex<'_>, &mut Channel<'_>) -> Result<Progress<T>, Error>,
    ) -> Result<T, Error> {
        self.channel.waits = self.ends.is_none() && self.patience.is_endless() && !self.duplex.has_to_send();
        let result = self.drive(WaitingFor::Response, step);
        self.channel.waits = false;
        self.duplex.tell_complete();
        self.duplex.release_buffers_between();
        if let Some(ends) = self.ends {
            ends.something_was_read(&result);
        }
        result
    }

    /// After the error that ends the connection there is nothing to read any more, so the server need not keep it either.
    #[inline]
    fn close_if_final<T>(&self, result: &Result<T, Error>) {
        if result.is_err() && self.ends.is_none() && self.duplex.shared.is_final(result) {
            self.channel.transport.shutdown(Shutdown::Both);
        }
    }

    fn receiving(&self) -> &Receiving {
        self.duplex.receiving.as_ref().expect("responses are read with the receiving side")
    }
}

/// Waits for the stream, as long as `patience` says, or until a step has to be made again anyway.
#[inline]
pub(crate) fn wait(
    channel: &Channel<'_>,
    interest: Interest,
    patience: &Patience,
    waiting_for: WaitingFor,
    until: Option<Instant>,
) -> Result<(), Error> {
    if until.is_none() && !patience.is_limited(waiting_for) {
        // The usual case needs no clock.
        return channel.wait(interest, None).map(drop);
    }
    // Ready or not.
    patience.check(waiting_for)?;
    let expiry = patience.expiry(waiting_for, Instant::now());
    let end = expiry.map(|expiry| expiry.at).into_iter().chain(until).min();
    let ready = channel.wait(interest, end)?;
    match expiry {
        Some(Expiry { at, limit }) if !ready && end == Some(at) => Err(Error::TimedOut { waiting_for, limit, to: None }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::transport::TimeLimit;
    use crate::{Config, Origin, Request};

    /// A stream that always is ready for writing, and takes one byte at a time.
    struct Slow {
        socket: UnixStream,
        takes: bool,
    }

    impl Write for Slow {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.takes = !self.takes;
            if self.takes { Ok(1) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.socket.read(buffer)
        }
    }

    impl AsFd for Slow {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.socket.as_fd()
        }
    }

    #[test]
    fn a_deadline_ends_what_is_always_ready() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let stream = Slow { socket, takes: false };
        let mut connection = Config::new().over_stream(stream, &Origin::http("origin", 80)).unwrap();
        // Without an end that would take long.
        connection.send_request(Request::put("/").body(vec![0; 5_000_000])).unwrap();
        connection.set_deadline(Instant::now().checked_add(Duration::from_millis(20)));
        let error = connection.flush().unwrap_err();
        assert!(matches!(error, Error::TimedOut { limit: TimeLimit::Deadline, .. }), "{error:?}");
    }

    #[test]
    fn a_deadline_that_has_passed_ends_a_pipeline_whose_responses_have_come() {
        let (socket, mut other) = UnixStream::pair().unwrap();
        let mut connection = Config::new().over(socket, &Origin::http("origin", 80)).unwrap();
        connection.send_request(Request::get("/")).unwrap();
        other.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        connection.set_deadline(Some(Instant::now()));
        let error = connection.pipeline([Request::get("/")]).next().map(drop).unwrap_err();
        assert!(matches!(error, Error::TimedOut { limit: TimeLimit::Deadline, .. }), "{error:?}");
        connection.set_deadline(None);
        assert_eq!(connection.read_response().unwrap().status(), 204);
        assert!(connection.outstanding().unanswered.is_empty());
    }

    #[test]
    fn a_deadline_ends_a_wait_for_the_answer_to_an_expectation_in_a_half_too() {
        let (socket, mut other) = UnixStream::pair().unwrap();
        let config = Config::new().expect_timeout(Duration::from_secs(3600));
        let mut connection = config.over(socket, &Origin::http("origin", 80)).unwrap();
        connection.set_deadline(Instant::now().checked_add(Duration::from_millis(20)));
        let (mut requests, responses) = connection.split();
        let (sender, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            requests.send_request(Request::put("/").body("content").expect_continue()).unwrap();
            let _ = sender.send(requests.flush());
        });
        let result = result.recv_timeout(Duration::from_secs(20)).expect("an end");
        assert!(matches!(result, Err(Error::TimedOut { limit: TimeLimit::Deadline, .. })), "{result:?}");
        drop(responses);
        let mut sent = String::new();
        other.read_to_string(&mut sent).unwrap();
        assert!(sent.ends_with("\r\n\r\n"), "{sent}");
    }
}
