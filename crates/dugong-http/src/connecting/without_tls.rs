//! Stands in for TLS in builds without the feature `rustls`: a session that cannot be made.

use std::io::IoSlice;

use dugong_net::{Progress, Stream, StreamError};

#[derive(Debug)]
pub(crate) enum Session {}

impl Session {
    pub(crate) fn read(&mut self, _: &mut impl Stream, _: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        match *self {}
    }

    pub(crate) fn peek(&mut self, _: &mut impl Stream, _: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        match *self {}
    }

    pub(crate) fn write(&mut self, _: &mut impl Stream, _: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        match *self {}
    }

    pub(crate) fn flush(&mut self, _: &mut impl Stream) -> Result<Progress<()>, StreamError> {
        match *self {}
    }

    pub(crate) fn close_notify(&mut self, _: &mut impl Stream) {
        match *self {}
    }
}
