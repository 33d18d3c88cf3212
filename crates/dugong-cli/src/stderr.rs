//! Messages on standard error.

use std::fmt;
use std::io::{self, Write};

use crate::readable::Readable;

/// Prints one line with the name of the program. If standard error is closed, it is lost.
pub(crate) fn say(text: &dyn fmt::Display) {
    // Text from servers and file names is escaped. One write, so that a signal cannot cut the line.
    let line = format!("dugong: {}\n", Readable(text.to_string().as_bytes()));
    let _ = io::stderr().write_all(line.as_bytes());
}
