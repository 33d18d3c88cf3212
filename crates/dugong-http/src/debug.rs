//! `Debug` of connections and responses, for people: the state in one line, without content and credentials.

use std::fmt;

#[cfg(feature = "async")]
use crate::asynchronous::{self, Runtime};
use crate::blocking::{Connection, Response};
use crate::error::Requests;

macro_rules! debug_connection {
    () => {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Requests { answered, unanswered } = self.outstanding();
            f.debug_struct("Connection")
                .field("transport", self.transport())
                .field("answered", &answered)
                .field("unanswered", &unanswered.len())
                .field("close_reason", &self.close_reason())
                .finish()
        }
    };
}

macro_rules! debug_response {
    () => {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Response")
                .field("number", &self.number())
                .field("status", &self.status())
                .field("fields", self.fields())
                .field("content_length", &self.content_length())
                .field("content_received", &self.content_received())
                .finish()
        }
    };
}

impl fmt::Debug for Connection {
    debug_connection!();
}

impl fmt::Debug for Response<'_> {
    debug_response!();
}

#[cfg(feature = "async")]
impl<R: Runtime> fmt::Debug for asynchronous::Connection<R> {
    debug_connection!();
}

#[cfg(feature = "async")]
impl<R: Runtime> fmt::Debug for asynchronous::Response<'_, R> {
    debug_response!();
}
