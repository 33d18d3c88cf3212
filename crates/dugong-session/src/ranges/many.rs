//! Ranges of whole URLs.

use std::path::Path;

use bytes::Bytes;

use super::cat::CatRanges;
use super::error::{RangeError, Target};
use super::fetching::PendingDownload;
use super::remote_file::RemoteFile;
use super::{Blocks, FileOptions};
use crate::session::Session;
use crate::sessions::Sessions;

/// Parts of large contents: see [`ranges`](crate::ranges). The target is a whole URL. If redirects are allowed, a request for one byte shows
/// where they lead; the parts come from there, and another origin gets no credentials.
impl Sessions {
    /// Fetches ranges of `url`, many in one burst: see [`Session::cat_ranges`].
    ///
    /// ```
    /// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let origin = format!("http://{}", server.address());
    /// let sessions = dugong_session::Sessions::builder().redirects(5).build()?;
    /// let parts = sessions.cat_ranges(format!("{origin}/bytes/1000000"), &[(999_000, 1_000_000), (0, 4)])?;
    /// assert_eq!((parts[0].len(), parts[1].len()), (1000, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Session::cat_ranges`].
    pub fn cat_ranges(&self, url: impl AsRef<str>, ranges: &[(u64, u64)]) -> Result<Vec<Bytes>, RangeError> {
        self.cat_ranges_merged(url, ranges, CatRanges::MERGE_GAP)
    }

    /// The same, with a distance of your own below which ranges come in one response. 0: each has its own.
    ///
    /// # Errors
    /// As for [`Session::cat_ranges`].
    pub fn cat_ranges_merged(
        &self,
        url: impl AsRef<str>,
        ranges: &[(u64, u64)],
        merge_gap: u64,
    ) -> Result<Vec<Bytes>, RangeError> {
        let (session, target) = self.place(url.as_ref())?;
        session.cat_ranges_merged(target, ranges, merge_gap)
    }

    /// Downloads `url` to the file `path`, in parts, or continues an earlier download: see [`Session::download`].
    pub fn download<'a>(&self, url: impl AsRef<str>, path: impl AsRef<Path>) -> PendingDownload<'a, Sessions> {
        PendingDownload::new(self.clone(), url.as_ref(), path.as_ref())
    }

    /// Opens `url` as a file that you can read and seek: see [`Session::open`].
    ///
    /// # Errors
    /// As for [`Session::open`].
    pub fn open(&self, url: impl AsRef<str>) -> Result<RemoteFile, RangeError> {
        self.open_with(url, FileOptions::default())
    }

    /// The same, with sizes of your own.
    ///
    /// # Errors
    /// As for [`Session::open`].
    pub fn open_with(&self, url: impl AsRef<str>, options: FileOptions) -> Result<RemoteFile, RangeError> {
        let (session, target) = self.place(url.as_ref())?;
        RemoteFile::open(session, Blocks::new(target, options))
    }

    fn place(&self, url: &str) -> Result<(Session, String), RangeError> {
        self.locate(url).map_err(|failed| RangeError::failed(&Target::from(url), failed))
    }
}

impl PendingDownload<'_, Sessions> {
    /// Downloads, and returns the length of the file.
    ///
    /// # Errors
    /// [`RangeError`]. The part file stays if a later run can continue it.
    pub fn run(self) -> Result<u64, RangeError> {
        let (session, target) = self.session.place(&self.target)?;
        self.at(session, target).run()
    }
}
