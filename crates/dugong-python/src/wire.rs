//! Streams: a socket that Rust reads and writes, or the object that the caller's TLS context returned.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dugong_http::driver::{Interest, Progress, Socket, Stream, StreamError};
use parking_lot::ReentrantMutex;
use pyo3::exceptions::{PyBlockingIOError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::{PyBytes, PyType};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::RecvFlags;

use crate::errors::{self, StateError};

/// Most bytes that go through a Python object at once: a few TLS records.
const PIECE: usize = 64 * 1024;

/// Carries the bytes of one connection.
pub(crate) enum Transport {
    Plain(Arc<Socket>),
    Object(Object),
}

impl Transport {
    /// The number of the descriptor, as Python knows it.
    pub(crate) fn number(&self) -> RawFd {
        match self {
            Transport::Plain(socket) => socket.as_fd().as_raw_fd(),
            Transport::Object(object) => object.number,
        }
    }

    /// The socket-like object, if it is one.
    pub(crate) fn object(&self) -> Option<&Object> {
        match self {
            Transport::Plain(_) => None,
            Transport::Object(object) => Some(object),
        }
    }

    /// Ends both directions, so that waiting operations wake up. Does not wait.
    pub(crate) fn shut_down(&self, py: Python<'_>) {
        match self {
            Transport::Plain(socket) => socket.shutdown(Shutdown::Both),
            Transport::Object(object) => object.shut_down(py),
        }
    }
}

impl Transport {
    /// Whether both directions have ended, though we have shut down neither: the connection was reset.
    pub(crate) fn was_reset(&self) -> bool {
        was_reset(self)
    }

    /// Drops the bytes that have arrived, after `shut_down`. Then the system refuses the rest.
    pub(crate) fn discard_received(&self) {
        let mut buffer = vec![0; PIECE];
        // The server may send as fast as this reads.
        for _ in 0..1024 {
            match rustix::net::recv(self, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, count)) if count > 0 => {}
                _ => break,
            }
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Plain(socket) => socket.as_fd(),
            Transport::Object(object) => object.ours.as_fd(),
        }
    }
}

/// The object that `wrap_socket` returned, used like a non-blocking socket. Dropping it closes the object.
pub(crate) struct Object {
    object: Py<PyAny>,
    number: RawFd,
    /// The same socket, for waiting and shutting down without the object.
    ours: Arc<OwnedFd>,
    /// Whether it speaks TLS. Otherwise it is a plain socket that the program's own functions have made.
    is_secure: bool,
    /// Whether another object owns it now, and will close it.
    is_released: bool,
    /// Locked during each call, because Python's TLS objects must not send and receive at once.
    held: ReentrantMutex<RefCell<Held>>,
    closed: AtomicBool,
}

/// Bytes that the object has seen but not taken. OpenSSL requires the same bytes in the next call.
#[derive(Default)]
struct Held {
    bytes: Option<Py<PyBytes>>,
}

/// The result of a call into the object, or the interest to wait for before the call is repeated.
type Called<'py> = io::Result<Progress<Bound<'py, PyAny>>>;

impl Object {
    #[allow(unsafe_code, reason = "Python has descriptors as mere numbers")]
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let number: RawFd = object.call_method0(intern!(object.py(), "fileno"))?.extract()?;
        // SAFETY: the object has just returned its descriptor, so it is open, and no thread can close it while we hold the GIL.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        let ours = Arc::new(borrowed.try_clone_to_owned()?);
        let (object, held, closed) = (object.clone().unbind(), ReentrantMutex::default(), AtomicBool::new(false));
        Ok(Object { object, number, ours, is_secure: true, is_released: false, held, closed })
    }

    /// A connected socket without TLS.
    pub(crate) fn plain(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut object = Object::new(object)?;
        object.is_secure = false;
        Ok(object)
    }

    /// Releases the object, which stays open.
    pub(crate) fn release<'py>(mut self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.is_released = true;
        self.object.bind(py).clone()
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The same socket.
    pub(crate) fn descriptor(&self) -> &Arc<OwnedFd> {
        &self.ours
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.object.bind(py)
    }

    /// The number of its descriptor.
    pub(crate) fn number(&self) -> RawFd {
        self.number
    }

    /// Calls a method of it, while no other thread does.
    pub(crate) fn ask<T>(&self, py: Python<'_>, ask: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> PyResult<T> {
        let lock = self.held.lock_py_attached(py);
        let _calls = self.enter(&lock)?;
        ask(self.get(py))
    }

    pub(crate) fn read(&self, py: Python<'_>, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        let lock = self.held.lock_py_attached(py);
        let _calls = self.enter(&lock)?;
        let size = buffer.len().min(PIECE);
        let received = match self.call(py, Interest::READ, |object| object.call_method1(intern!(py, "recv"), (size,))) {
            Ok(Progress::Done(received)) => received,
            Ok(Progress::Needs(interest)) => return Ok(Progress::Needs(interest)),
            // Python's TLS reports a reset as the end of the stream, after which sending might still be possible.
            Err(error) if errors::is_peer_gone(py, &error, false) && was_reset(&*self.ours) => {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Err(error) => return Err(error),
        };
        let bytes: &[u8] = received.extract().map_err(PyErr::from)?;
        if bytes.len() > size {
            return Err(PyOSError::new_err("the socket object gave more than was asked for").into());
        }
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(Progress::Done(bytes.len()))
    }

    pub(crate) fn write(&self, py: Python<'_>, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
        let lock = self.held.lock_py_attached(py);
        let mut held = self.enter(&lock)?;
        if let Progress::Needs(interest) = self.send_held(py, &mut held)? {
            return Ok(Progress::Needs(interest));
        }
        let bytes = joined(py, pieces, PIECE)?;
        let size = bytes.as_bytes().len();
        match self.send(py, &bytes)? {
            Progress::Done(count) => Ok(Progress::Done(count)),
            Progress::Needs(_) => {
                held.bytes = Some(bytes.unbind());
                Ok(Progress::Done(size))
            }
        }
    }

    pub(crate) fn flush(&self, py: Python<'_>) -> io::Result<Progress<()>> {
        let lock = self.held.lock_py_attached(py);
        let mut held = self.enter(&lock)?;
        if held.bytes.is_none() { Ok(Progress::Done(())) } else { self.send_held(py, &mut held) }
    }

    fn send_held(&self, py: Python<'_>, held: &mut Held) -> io::Result<Progress<()>> {
        while let Some(bytes) = &held.bytes {
            let bytes = bytes.bind(py);
            match self.send(py, bytes)? {
                Progress::Needs(interest) => return Ok(Progress::Needs(interest)),
                Progress::Done(count) => {
                    let rest = &bytes.as_bytes()[count..];
                    held.bytes = (!rest.is_empty()).then(|| PyBytes::new(py, rest).unbind());
                }
            }
        }
        Ok(Progress::Done(()))
    }

    fn send(&self, py: Python<'_>, bytes: &Bound<'_, PyBytes>) -> io::Result<Progress<usize>> {
        match self.call(py, Interest::WRITE, |object| object.call_method1(intern!(py, "send"), (bytes,)))? {
            Progress::Needs(interest) => Ok(Progress::Needs(interest)),
            Progress::Done(count) => match count.extract::<usize>().map_err(io::Error::from)? {
                0 => Ok(Progress::Needs(Interest::WRITE)),
                count => Ok(Progress::Done(count.min(bytes.as_bytes().len()))),
            },
        }
    }

    /// Calls into the object once. The handshake and other calls have to be repeated until they are done.
    pub(crate) fn call<'py>(
        &self,
        py: Python<'py>,
        usual: Interest,
        call: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> Called<'py> {
        match call(self.get(py)) {
            Ok(result) => Ok(Progress::Done(result)),
            Err(error) if error.is_instance(py, wants_read(py)?) => Ok(Progress::Needs(Interest::READ)),
            Err(error) if error.is_instance(py, wants_write(py)?) => Ok(Progress::Needs(Interest::WRITE)),
            Err(error) if error.is_instance_of::<PyBlockingIOError>(py) => Ok(Progress::Needs(usual)),
            Err(error) => Err(error.into()),
        }
    }

    fn enter<'a>(&self, lock: &'a RefCell<Held>) -> io::Result<std::cell::RefMut<'a, Held>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        lock.try_borrow_mut().map_err(|_| io::Error::other(StateError::new_err("the TLS object is being called already")))
    }

    fn shut_down(&self, py: Python<'_>) {
        self.closed.store(true, Ordering::Release);
        // While another thread calls it, or bytes are on their way, close_notify cannot be sent at once.
        if self.is_secure
            && let Some(lock) = self.held.try_lock()
            && lock.try_borrow_mut().is_ok_and(|held| held.bytes.is_none())
            && let Ok(unwrap) = self.get(py).getattr(intern!(py, "unwrap"))
        {
            // It sends close_notify, and then usually raises because the server's has not come.
            let _ = unwrap.call0();
        }
        // The only error is that the connection is gone already.
        let _ = rustix::net::shutdown(&*self.ours, rustix::net::Shutdown::Both);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.is_released {
            return;
        }
        // After the end of the interpreter, the object is gone, too.
        let _ = Python::try_attach(|py| {
            if let Err(error) = self.get(py).call_method0(intern!(py, "close")) {
                drop(error);
            }
        });
    }
}

/// Whether both directions have ended. If we have shut down neither, that was a reset.
fn was_reset(socket: &impl AsFd) -> bool {
    let mut socket = [PollFd::new(socket, PollFlags::empty())];
    let polled = rustix::io::retry_on_intr(|| poll(&mut socket, Some(&Timespec::default())));
    polled.is_ok() && socket[0].revents().contains(PollFlags::HUP)
}

/// The first bytes of `pieces`, at most `most`.
fn joined<'py>(py: Python<'py>, pieces: &[IoSlice<'_>], most: usize) -> PyResult<Bound<'py, PyBytes>> {
    let size = pieces.iter().map(|piece| piece.len()).sum::<usize>().min(most);
    PyBytes::new_with(py, size, |mut room| {
        for piece in pieces {
            let count = piece.len().min(room.len());
            room[..count].copy_from_slice(&piece[..count]);
            room = &mut room[count..];
        }
        Ok(())
    })
}

fn wants_read(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "ssl", "SSLWantReadError")
}

fn wants_write(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "ssl", "SSLWantWriteError")
}

/// A transport for the time of one step.
pub(crate) struct Wire<'a, 'py> {
    pub(crate) py: Python<'py>,
    pub(crate) transport: &'a Transport,
    /// The file that gets a copy of all bytes.
    pub(crate) trace: Option<&'a Py<PyAny>>,
    /// Whether any bytes have passed.
    pub(crate) moved: &'a Cell<bool>,
}

impl Wire<'_, '_> {
    fn record(&mut self, pieces: &[IoSlice<'_>], count: usize) -> io::Result<()> {
        self.moved.set(self.moved.get() || count > 0);
        if let Some(file) = self.trace
            && count > 0
        {
            file.bind(self.py).call_method1(intern!(self.py, "write"), (joined(self.py, pieces, count)?,))?;
        }
        Ok(())
    }
}

impl Stream for Wire<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        let progress = match self.transport {
            Transport::Plain(socket) => socket.try_read(buffer),
            Transport::Object(object) => object.read(self.py, buffer),
        }?;
        if let Progress::Done(count) = progress {
            self.record(&[IoSlice::new(&buffer[..count])], count)?;
        }
        Ok(progress)
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        let progress = match self.transport {
            Transport::Plain(socket) => socket.try_write(pieces),
            Transport::Object(object) => object.write(self.py, pieces),
        }?;
        if let Progress::Done(count) = progress {
            self.record(pieces, count)?;
        }
        Ok(progress)
    }

    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        match self.transport {
            Transport::Plain(_) => Ok(Progress::Done(())),
            Transport::Object(object) => Ok(object.flush(self.py)?),
        }
    }
}
