//! `--checksum`: the digest that content must have.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::usage::UsageError;

/// A SHA-256 digest in hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Checksum(String);

impl Checksum {
    /// Parses the argument of `--checksum`.
    pub(crate) fn of(text: &str) -> Result<Self, UsageError> {
        let digits = text.strip_prefix("sha256=").filter(|digits| digits.len() == 64);
        match digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Some(digits) => Ok(Checksum(digits.to_ascii_lowercase())),
            None => {
                let expected = "sha256= and 64 hexadecimal digits";
                Err(UsageError::Value { option: "--checksum", text: text.to_owned(), expected })
            }
        }
    }

    /// The hexadecimal digits.
    pub(crate) fn digits(&self) -> &str {
        &self.0
    }

    /// Begins to compute a digest.
    pub(crate) fn begin(&self) -> Sum {
        Sum { wanted: self.clone(), state: Sha256::new() }
    }
}

/// A digest that is being computed.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    wanted: Checksum,
    state: Sha256,
}

impl Sum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// Compares the digest with the one that is wanted.
    ///
    /// # Errors
    /// A sentence with both.
    pub(crate) fn check(self) -> Result<(), String> {
        let mut found = String::new();
        for byte in self.state.finalize() {
            write!(found, "{byte:02x}").expect("writing to a string cannot fail");
        }
        if found == self.wanted.0 {
            return Ok(());
        }
        Err(format!("the content has the digest sha256={found}, but --checksum says {}", self.wanted.0))
    }
}
