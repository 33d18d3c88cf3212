//! The version of a target that the first answer had. Later answers must have the same.

use dugong_http::Fields;

use super::error::{RangeError, Target};
use super::field::strong_etag;

/// Compares answers with the first one.
///
/// A weak or missing `ETag` proves nothing (RFC 9110 §8.8.1); then a different `Last-Modified` at least shows a change. So does a different
/// complete length.
#[derive(Debug, Default)]
pub(super) struct Pin {
    first: Option<Version>,
}

#[derive(Debug)]
struct Version {
    etag: Option<String>,
    modified: Option<String>,
    total: Option<u64>,
}

impl Pin {
    /// Takes the first answer's version, or compares. `total` is the length of the whole representation.
    ///
    /// # Errors
    /// The target changed.
    pub(super) fn check(&mut self, target: &Target, fields: &Fields, total: Option<u64>) -> Result<(), RangeError> {
        let (etag, modified) = (strong_etag(fields), fields.get("Last-Modified"));
        let Some(first) = &mut self.first else {
            self.first = Some(Version { etag: etag.map(str::to_owned), modified: modified.map(str::to_owned), total });
            return Ok(());
        };
        let changed =
            |what, was: Option<String>, now: Option<String>| Err(RangeError::Changed { target: target.clone(), what, was, now });
        if first.etag.as_deref() != etag {
            return changed("ETag", first.etag.clone(), etag.map(str::to_owned));
        }
        if etag.is_none() && first.modified.as_deref() != modified {
            return changed("Last-Modified", first.modified.clone(), modified.map(str::to_owned));
        }
        match (first.total, total) {
            (Some(was), Some(now)) if was != now => changed("complete length", Some(was.to_string()), Some(now.to_string())),
            (None, Some(_)) => {
                first.total = total;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
