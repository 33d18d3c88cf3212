//! Methods and contents of requests from the command line.

use std::io::{self, Read};
use std::path::PathBuf;

use dugong_http::Method;

use crate::usage::UsageError;

/// Parses a method. A tunnel is none for a request.
pub(crate) fn method(option: &'static str, text: &str) -> Result<Method, UsageError> {
    match Method::new(text) {
        Ok(method) if method != Method::CONNECT => Ok(method),
        _ => Err(UsageError::Value { option, text: text.to_owned(), expected: "a method such as GET or PUT" }),
    }
}

/// The content that an option gives: text, or a file after an at-sign.
pub(crate) fn content(option: &'static str, text: &str) -> Result<Vec<u8>, UsageError> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.as_bytes().to_vec()) };
    let wrong = |error| UsageError::Content { option, file: PathBuf::from(file), error };
    if file == "-" {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content).map_err(wrong)?;
        return Ok(content);
    }
    std::fs::read(file).map_err(wrong)
}

/// The same for JSON, which is checked.
pub(crate) fn json(option: &'static str, text: &str) -> Result<Vec<u8>, UsageError> {
    let content = content(option, text)?;
    match serde_json::from_slice::<serde::de::IgnoredAny>(&content) {
        Ok(_) => Ok(content),
        Err(error) => Err(UsageError::NotJson { option, error }),
    }
}
