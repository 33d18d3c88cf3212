//! Ranges for blocking callers.

use std::cell::RefCell;
use std::iter;
use std::path::Path;

use bytes::Bytes;

use super::ask::Ask;
use super::cat::CatRanges;
use super::error::{RangeError, Target};
use super::fetching::PendingDownload;
use super::remote_file::RemoteFile;
use super::{Blocks, FileOptions};
use crate::request::Request;
use crate::session::Session;

/// Parts of large contents: see [`ranges`](crate::ranges).
impl Session {
    /// Fetches ranges of `target`, many in one burst: pairs of the first byte and the end behind the last byte, in any order. Ranges that
    /// are less than 64 KiB apart come in one response. Returns their bytes in the order in which you asked.
    ///
    /// ```
    /// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let session = dugong_session::Session::new(&format!("http://{}", server.address()))?;
    /// let parts = session.cat_ranges("/bytes/1000000", &[(999_000, 1_000_000), (0, 4)])?;
    /// assert_eq!((parts[0].len(), parts[1].len()), (1000, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The parts are slices of the responses: a small one keeps the whole response in memory that it came with. A server without ranges
    /// sends everything; the session takes that once, up to its `max_content`.
    ///
    /// # Errors
    /// A range ends before it begins, or beyond the end of the content; the content changed between two responses; the server sent
    /// other bytes than it was asked for, or an error status; a request failed. Then none is returned.
    pub fn cat_ranges(&self, target: impl AsRef<str>, ranges: &[(u64, u64)]) -> Result<Vec<Bytes>, RangeError> {
        self.cat_ranges_merged(target, ranges, CatRanges::MERGE_GAP)
    }

    /// The same, with a distance of your own below which ranges come in one response. 0: each has its own.
    ///
    /// # Errors
    /// As for [`cat_ranges`](Session::cat_ranges).
    pub fn cat_ranges_merged(
        &self,
        target: impl AsRef<str>,
        ranges: &[(u64, u64)],
        merge_gap: u64,
    ) -> Result<Vec<Bytes>, RangeError> {
        let target = target.as_ref();
        let cat = RefCell::new(CatRanges::new(target, ranges, merge_gap, self.core().settings.plan.max_content)?);
        // The machine counts its requests as the run does.
        let requests = iter::from_fn(|| cat.borrow_mut().next_request()).map(|ask| ask.request(target));
        for outcome in self.run(requests) {
            let reply = outcome.result.map_err(|failed| RangeError::failed(&Target::from(target), failed))?;
            let mut cat = cat.borrow_mut();
            cat.take(outcome.index, reply.status(), reply.fields(), reply.content().clone())?;
            if cat.is_done() {
                break;
            }
        }
        Ok(cat.into_inner().finish())
    }

    /// Downloads `target` to the file `path`, in parts, or continues an earlier download. It begins with
    /// [`run`](PendingDownload::run).
    ///
    /// ```
    /// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let session = dugong_session::Session::new(&format!("http://{}", server.address()))?;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("image.iso");
    /// let length = session.download("/bytes/20000000", &path).progress(|done, total| println!("{done} of {total:?}")).run()?;
    /// assert_eq!(length, path.metadata()?.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn download<'a>(&self, target: impl AsRef<str>, path: impl AsRef<Path>) -> PendingDownload<'a> {
        PendingDownload::new(self.clone(), target.as_ref(), path.as_ref())
    }

    /// Opens `target` as a file that you can read and seek.
    ///
    /// ```
    /// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let session = dugong_session::Session::new(&format!("http://{}", server.address()))?;
    /// use std::io::{Read, Seek, SeekFrom};
    ///
    /// let mut file = session.open("/bytes/1000000")?;
    /// let mut last = [0; 100];
    /// file.seek(SeekFrom::End(-100))?;
    /// file.read_exact(&mut last)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first request failed, or its answer cannot be used.
    pub fn open(&self, target: impl AsRef<str>) -> Result<RemoteFile, RangeError> {
        self.open_with(target, FileOptions::default())
    }

    /// The same, with sizes of your own.
    ///
    /// # Errors
    /// As for [`open`](Session::open).
    pub fn open_with(&self, target: impl AsRef<str>, options: FileOptions) -> Result<RemoteFile, RangeError> {
        RemoteFile::open(self.clone(), Blocks::new(target, options))
    }
}

impl Ask {
    /// The request, for a session.
    #[must_use]
    pub fn request(&self, target: impl AsRef<str>) -> Request {
        let fields = self.fields();
        fields.iter().fold(Request::get(target), |request, line| request.header(line.name(), line.value()))
    }
}
