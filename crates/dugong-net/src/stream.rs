//! The trait of everything that carries bytes, and how it fails.

use std::fmt;
use std::io::{self, IoSlice};

use crate::need::Progress;
#[cfg(feature = "rustls")]
use crate::tls::TlsError;

/// A two-way stream of bytes that never waits.
///
/// It is an argument of every step, so you can make one for a single call: with the `Context` of a task, or with the token of an
/// interpreter.
pub trait Stream {
    /// Reads into `buffer`, which is not empty. `Done(0)` is the end of the stream, announced by the peer; a stream that was
    /// cut off is an error. `Needs` is the readiness to wait for before you try again, which need not be reading.
    ///
    /// # Errors
    /// An error of the system or of TLS; the stream is not used again for reading.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError>;

    /// Writes some of the bytes of `pieces`, in their order: at least one, if there are any.
    ///
    /// # Errors
    /// An error of the system or of TLS; the stream is not used again for writing.
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError>;

    /// Passes on the bytes that the stream has taken and holds back; most streams hold none back.
    ///
    /// # Errors
    /// As for [`write`](Stream::write).
    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        Ok(Progress::Done(()))
    }
}

/// Why a stream failed: the system reported an error, or TLS did.
///
/// ```
/// use std::io;
/// use dugong_net::StreamError;
///
/// let error = StreamError::from(io::ErrorKind::ConnectionReset);
/// assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
/// assert!(matches!(error, StreamError::Io(_)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamError {
    /// The system, or a stream of the caller's, reported an error.
    Io(io::Error),
    /// TLS failed.
    #[cfg(feature = "rustls")]
    Tls(Box<TlsError>),
}

impl StreamError {
    /// The kind of the error. For TLS it is `InvalidData`, unless TLS failed because the stream below ended or failed.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            StreamError::Io(error) => error.kind(),
            #[cfg(feature = "rustls")]
            StreamError::Tls(error) => error.kind(),
        }
    }
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        StreamError::Io(error)
    }
}

impl From<io::ErrorKind> for StreamError {
    fn from(kind: io::ErrorKind) -> Self {
        StreamError::Io(kind.into())
    }
}

#[cfg(feature = "rustls")]
impl From<TlsError> for StreamError {
    fn from(error: TlsError) -> Self {
        StreamError::Tls(Box::new(error))
    }
}

/// For `Read` and `Write`. An error of TLS is inside, and [`std::io::Error::downcast`] gives it back.
impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Io(error) => error,
            #[cfg(feature = "rustls")]
            StreamError::Tls(error) => (*error).into(),
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Io(error) => error.fmt(f),
            #[cfg(feature = "rustls")]
            StreamError::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StreamError::Io(error) => error.source(),
            #[cfg(feature = "rustls")]
            StreamError::Tls(error) => error.source(),
        }
    }
}
