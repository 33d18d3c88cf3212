//! TLS by the caller's `ssl.SSLContext`, for sessions.
//!
//! The thread that drives a session calls Python while it holds the driver's lock. No thread waits for that lock with Python's lock
//! held: requests and commands go through an inbox, and threads that drive or wait have released Python's lock.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::Poll;
use std::time::Instant;

use dugong_net::{
    BaseStream, CallerStream, Connecting, Connector, Destination, Interest, PendingStream, PollSet, Progress, Resolving, Socket,
};
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;

use super::failure;
use crate::tls;
use crate::wire::Object;

/// Connects, and lets the context shake hands.
pub(crate) struct ContextConnector {
    context: Py<PyAny>,
}

impl ContextConnector {
    pub(crate) fn new(context: Py<PyAny>) -> Self {
        ContextConnector { context }
    }
}

impl Connector for ContextConnector {
    fn connect(&self, to: &Destination<'_>) -> io::Result<Box<dyn PendingStream>> {
        Ok(Box::new(Pending {
            context: Python::attach(|py| self.context.clone_ref(py)),
            server_name: to.origin.server_name().to_owned(),
            stage: Stage::Name(Resolving::new(to.host, to.port, true)),
        }))
    }
}

struct Pending {
    context: Py<PyAny>,
    server_name: String,
    stage: Stage,
}

enum Stage {
    Name(Resolving),
    Tcp(Connecting),
    Handshake(Box<Object>, Interest),
    Over,
}

impl PendingStream for Pending {
    fn step(&mut self, now: Instant) -> io::Result<Poll<BaseStream>> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Name(mut resolving) => match resolving.step(now) {
                    Ok(Poll::Ready(addresses)) => Stage::Tcp(Connecting::new(addresses)),
                    Ok(Poll::Pending) => {
                        self.stage = Stage::Name(resolving);
                        return Ok(Poll::Pending);
                    }
                    Err(error) => return Err(Python::attach(|py| failure::cause(py, &error.into())).into()),
                },
                Stage::Tcp(mut connecting) => match connecting.step(now) {
                    Ok(Poll::Ready(socket)) => {
                        let object = Python::attach(|py| self.wrap(py, &socket)).map_err(of_tls)?;
                        Stage::Handshake(Box::new(object), Interest::WRITE)
                    }
                    Ok(Poll::Pending) => {
                        self.stage = Stage::Tcp(connecting);
                        return Ok(Poll::Pending);
                    }
                    Err(error) => return Err(error.into_last()),
                },
                Stage::Handshake(object, _) => {
                    match called(|py| {
                        object.call(py, Interest::READ, |tls| tls.call_method0(intern!(py, "do_handshake"))).map(
                            |step| match step {
                                Progress::Done(_) => Progress::Done(0),
                                Progress::Needs(interest) => Progress::Needs(interest),
                            },
                        )
                    }) {
                        Ok(Progress::Done(_)) => {
                            return Ok(Poll::Ready(CallerStream::new(TlsStream(*object))?.into()));
                        }
                        Ok(Progress::Needs(interest)) => {
                            self.stage = Stage::Handshake(object, interest);
                            return Ok(Poll::Pending);
                        }
                        Err(error) => return Err(as_tls(error)),
                    }
                }
                Stage::Over => return Err(io::Error::other("connecting has ended before")),
            };
        }
    }

    fn waits<'a>(&'a self, set: &mut PollSet<'a>) {
        match &self.stage {
            Stage::Name(resolving) => resolving.waits(set),
            Stage::Tcp(connecting) => connecting.waits(set),
            Stage::Handshake(object, interest) => set.on(object.descriptor().as_fd(), *interest),
            Stage::Over => {}
        }
    }

    fn is_secure(&self) -> bool {
        true
    }
}

impl Pending {
    /// Gives the socket to the context.
    fn wrap(&self, py: Python<'_>, socket: &Socket) -> PyResult<Object> {
        let plain = tls::python_socket(py, socket)?;
        let wrapped = tls::wrap(self.context.bind(py), &plain, &self.server_name);
        wrapped.and_then(|wrapped| Object::new(&wrapped)).inspect_err(|_| {
            let _ = plain.call_method0("close");
        })
    }
}

/// The TLS object as a stream.
struct TlsStream(Object);

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.descriptor().as_fd()
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        done(called(|py| self.0.read(py, buffer))?)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Ok(0);
        }
        done(called(|py| self.0.write(py, pieces))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        match called(|py| self.0.flush(py))? {
            Progress::Done(()) => Ok(()),
            Progress::Needs(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

fn done(progress: Progress<usize>) -> io::Result<usize> {
    match progress {
        Progress::Done(count) => Ok(count),
        Progress::Needs(_) => Err(io::ErrorKind::WouldBlock.into()),
    }
}

thread_local! {
    /// The exception of a signal handler that ran in a call into a TLS object. It belongs to the thread, not to the connection.
    static INTERRUPTED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Raises the exception of a signal handler that has run while this thread drove a session.
pub(crate) fn check_interrupted() -> PyResult<()> {
    INTERRUPTED.take().map_or(Ok(()), Err)
}

/// Calls into a TLS object. Its own exceptions are those of the system; others come from signal handlers, and the call is made again.
fn called<T>(mut call: impl FnMut(Python<'_>) -> io::Result<T>) -> io::Result<T> {
    Python::attach(|py| {
        let error = match call(py) {
            Err(error) => error,
            done => return done,
        };
        let foreign = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<PyErr>())
            .filter(|error| !error.is_instance_of::<PyOSError>(py));
        let Some(foreign) = foreign.map(|foreign| foreign.clone_ref(py)) else { return Err(error) };
        if INTERRUPTED.with_borrow(Option::is_some) {
            return Err(error);
        }
        INTERRUPTED.set(Some(foreign));
        call(py)
    })
}

/// An exception of the handshake: trying again will not mend it.
fn of_tls(error: PyErr) -> io::Error {
    as_tls(error.into())
}

fn as_tls(error: io::Error) -> io::Error {
    let is_tls = Python::attach(|py| {
        let class = py.import(intern!(py, "ssl"))?.getattr(intern!(py, "SSLError"))?;
        match error.get_ref().and_then(|inner| inner.downcast_ref::<PyErr>()) {
            Some(inner) => PyResult::Ok(inner.is_instance(py, &class) && !crate::errors::means_peer_gone(py, inner, false)),
            None => Ok(false),
        }
    });
    match is_tls {
        Ok(true) => io::Error::new(io::ErrorKind::InvalidData, error.into_inner().expect("it has the exception")),
        _ => error,
    }
}
