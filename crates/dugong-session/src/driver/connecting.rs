//! Opening connections.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use dugong_http::driver::{Connect, Interest, Progress};
use dugong_http::{Error, Malformed};
use mio::unix::SourceFd;

use super::Driver;
use super::link::{Link, Open, State};
use crate::plan::{ConnectionId, Event};

impl Driver {
    pub(super) fn open(&mut self, on: ConnectionId) {
        match Connect::new(&self.config, &self.origin, Instant::now()) {
            Ok(connect) => {
                let index = on.index();
                if self.links.len() <= index {
                    self.links.resize_with(index + 1, || None);
                }
                self.links[index] = Some(Link::new(on, connect.never_blocking()));
                self.make_ready(index);
            }
            Err(error) => self.not_opened(on, error),
        }
    }

    /// Takes a step towards an open connection.
    pub(super) fn connect(&mut self, index: usize) {
        let Some(link) = self.links[index].as_mut() else { return };
        let State::Connecting(connect) = &mut link.state else { return };
        let id = link.id;
        match connect.step(Instant::now()) {
            Ok(Progress::Needs(_)) => {
                let set = connect.poll_set();
                link.until = set.deadline();
                let wanted: Vec<_> = set.descriptors().iter().map(|(fd, interest)| (fd.as_raw_fd(), *interest)).collect();
                if let Err(error) = self.register(index, &wanted) {
                    self.drop_link(id);
                    self.not_opened(id, Error::Socket(error));
                }
            }
            Ok(Progress::Done(established)) => {
                link.until = established.deadline;
                let fd = established.transport.as_fd().as_raw_fd();
                link.state = State::Open(Box::new(Open::new(established.engine, established.transport)));
                if let Err(error) = self.register(index, &[(fd, Interest::READ | Interest::WRITE)]) {
                    self.drop_link(id);
                    return self.not_opened(id, Error::Socket(error));
                }
                self.unreachable = None;
                self.plan.handle(self.now, id, Event::Opened);
                self.act();
            }
            Err(error) => {
                self.drop_link(id);
                self.not_opened(id, error);
            }
        }
    }

    fn not_opened(&mut self, on: ConnectionId, error: Error) {
        let event = if may_heal(&error) { Event::NotOpened } else { Event::CannotOpen };
        self.unreachable = Some(Arc::new(error));
        self.plan.handle(self.now, on, event);
        self.act();
    }

    /// A connection ended while no request was on it, though some may wait for their turn. If it has never carried one, its error is
    /// why jobs get no connection: a server that wants a client certificate says so after the client has finished the handshake
    /// (RFC 8446 §4.4.2.4).
    pub(super) fn ended_idle(&mut self, index: usize, error: Error) {
        let Some(link) = self.links[index].as_ref().filter(|link| link.is_idle() && may_heal(&error)) else {
            return self.lose(index, error);
        };
        let id = link.id;
        self.note_unasked(id, &error);
        self.unreachable = Some(Arc::new(error));
        self.plan.handle(self.now, id, Event::Readable);
        self.act();
    }

    /// Tells the plan if a connection ended because of bytes that no request asked for.
    pub(super) fn note_unasked(&mut self, on: ConnectionId, error: &Error) {
        // A piece of a response that could have become a 408 is none of these.
        let is_unasked = matches!(error, Error::Remote { what: Malformed::UnaskedBytes, .. });
        if is_unasked {
            self.plan.handle(self.now, on, Event::Unasked);
        }
    }

    fn drop_link(&mut self, on: ConnectionId) {
        drop(self.take_link(on));
    }

    /// Registers the descriptors of a link, and no others. The system has forgotten those that were closed.
    fn register(&mut self, index: usize, wanted: &[(RawFd, Interest)]) -> std::io::Result<()> {
        let Some(link) = self.links[index].as_mut() else { return Ok(()) };
        let registry = self.poll.registry();
        for fd in link.registered.drain(..) {
            if wanted.iter().all(|(other, _)| *other != fd) {
                // It may be closed, and its number may belong to a file that this poller does not know.
                let _ = registry.deregister(&mut SourceFd(&fd));
            }
        }
        for &(fd, interest) in wanted {
            let interest = match (interest.reads(), interest.writes()) {
                (true, true) => mio::Interest::READABLE | mio::Interest::WRITABLE,
                (false, true) => mio::Interest::WRITABLE,
                _ => mio::Interest::READABLE,
            };
            let token = mio::Token(index);
            match registry.register(&mut SourceFd(&fd), token, interest) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    registry.reregister(&mut SourceFd(&fd), token, interest)?;
                }
                other => other?,
            }
            link.registered.push(fd);
        }
        Ok(())
    }
}

/// Whether another attempt to connect may succeed. A certificate that is not trusted, or a name that does not exist, stays so.
pub(super) fn may_heal(error: &Error) -> bool {
    match error {
        // A connector that does TLS says so of a bad certificate.
        Error::Connect { source, .. } => source.errors().all(|error| error.kind() != std::io::ErrorKind::InvalidData),
        Error::Socket(_) | Error::Closed { .. } => true,
        other => other.is_temporary(),
    }
}
