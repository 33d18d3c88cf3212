//! The error of uploads from a reader, stream or body.

use std::fmt;

use dugong_proto::Misuse;

use crate::error::Error;

/// An upload from a reader, a stream or a body failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum UploadError<E> {
    /// Sending failed, or the server refused the content.
    Sending(Error),
    /// The source of the content failed.
    Source(E),
}

impl<E> UploadError<E> {
    /// Whether the server has answered instead of reading on, so that the rest of the content must not be sent. The response says
    /// why: read it as usual.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, UploadError::Sending(Error::Local(Misuse::ContentRefused)))
    }
}

impl<E> From<Error> for UploadError<E> {
    fn from(error: Error) -> Self {
        UploadError::Sending(error)
    }
}

impl<E> fmt::Display for UploadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UploadError::Sending(_) => "sending the request body failed",
            UploadError::Source(_) => "reading the request body failed",
        })
    }
}

impl<E: std::error::Error + 'static> std::error::Error for UploadError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            UploadError::Sending(error) => error,
            UploadError::Source(error) => error,
        })
    }
}
