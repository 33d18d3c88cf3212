//! Ranges, downloads and remote files for tasks.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::host::Host;
use super::remote_file::RemoteFile;
use super::{Session, Sessions};
use crate::ranges::{Blocks, CatRanges, FileOptions, PendingDownload, RangeError, Target};

/// Parts of large content: see [`ranges`](crate::ranges).
impl Session {
    /// Fetches ranges of `target`, many in one burst: see [`crate::Session::cat_ranges`].
    ///
    /// ```
    /// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let url = format!("http://{}", server.address());
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let session = dugong_session::tokio::Session::new(&url)?;
    /// let parts = session.cat_ranges("/bytes/1000000", &[(999_000, 1_000_000), (0, 4)]).await?;
    /// assert_eq!((parts[0].len(), parts[1].len()), (1000, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`crate::Session::cat_ranges`].
    pub async fn cat_ranges(&self, target: impl AsRef<str>, ranges: &[(u64, u64)]) -> Result<Vec<Bytes>, RangeError> {
        self.cat_ranges_merged(target, ranges, CatRanges::MERGE_GAP).await
    }

    /// The same, with a distance of your own below which ranges come in one response. 0: each has its own.
    ///
    /// # Errors
    /// As for [`crate::Session::cat_ranges`].
    pub async fn cat_ranges_merged(
        &self,
        target: impl AsRef<str>,
        ranges: &[(u64, u64)],
        merge_gap: u64,
    ) -> Result<Vec<Bytes>, RangeError> {
        let target = Target::from(target.as_ref());
        let most = self.pilot.session().core().settings.plan.max_content;
        let cat = Arc::new(Mutex::new(CatRanges::new(target.as_str(), ranges, merge_gap, most)?));
        let lock = || cat.lock().unwrap_or_else(PoisonError::into_inner);
        // The machine counts its requests as the run does.
        let (asking, asked) = (cat.clone(), target.clone());
        let next = move || Some(asking.lock().unwrap_or_else(PoisonError::into_inner).next_request()?.request(asked.as_str()));
        let mut run = self.run(std::iter::from_fn(next));
        while let Some(outcome) = run.next().await {
            let reply = outcome.result.map_err(|failed| RangeError::failed(&target, failed))?;
            let mut cat = lock();
            cat.take(outcome.index, reply.status(), reply.fields(), reply.content().clone())?;
            if cat.is_done() {
                break;
            }
        }
        drop(run);
        let cat = Arc::into_inner(cat).expect("the run that shared it is dropped");
        Ok(cat.into_inner().unwrap_or_else(PoisonError::into_inner).finish())
    }

    /// Downloads `target` to the file `path`, in parts, or continues an earlier download: see [`crate::Session::download`]. It writes to
    /// the file in your task, and begins with `run`.
    ///
    /// ```
    /// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let url = format!("http://{}", server.address());
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("image.iso");
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let session = dugong_session::tokio::Session::new(&url)?;
    /// let length = session.download("/bytes/20000000", &path).run().await?;
    /// assert_eq!(length, 20_000_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn download<'a>(&self, target: impl AsRef<str>, path: impl AsRef<Path>) -> PendingDownload<'a, Session> {
        PendingDownload::new(self.clone(), target.as_ref(), path.as_ref())
    }

    /// Opens `target` as a file that you can read and seek: see [`crate::Session::open`].
    ///
    /// ```
    /// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let url = format!("http://{}", server.address());
    /// use std::io::SeekFrom;
    /// use tokio::io::{AsyncReadExt, AsyncSeekExt};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let session = dugong_session::tokio::Session::new(&url)?;
    /// let mut file = session.open("/bytes/1000000").await?;
    /// let mut last = [0; 100];
    /// file.seek(SeekFrom::End(-100)).await?;
    /// file.read_exact(&mut last).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`crate::Session::open`].
    pub async fn open(&self, target: impl AsRef<str>) -> Result<RemoteFile, RangeError> {
        self.open_with(target, FileOptions::default()).await
    }

    /// The same, with sizes of your own.
    ///
    /// # Errors
    /// As for [`crate::Session::open`].
    pub async fn open_with(&self, target: impl AsRef<str>, options: FileOptions) -> Result<RemoteFile, RangeError> {
        RemoteFile::open(Host::One(self.pilot.clone()), Blocks::new(target, options)).await
    }
}

/// Parts of large content of whole URLs: see [`ranges`](crate::ranges).
impl Sessions {
    /// Fetches ranges of `url`, many in one burst: see [`crate::Sessions::cat_ranges`].
    ///
    /// # Errors
    /// As for [`crate::Session::cat_ranges`].
    pub async fn cat_ranges(&self, url: impl AsRef<str>, ranges: &[(u64, u64)]) -> Result<Vec<Bytes>, RangeError> {
        self.cat_ranges_merged(url, ranges, CatRanges::MERGE_GAP).await
    }

    /// The same, with a distance of your own below which ranges come in one response. 0: each has its own.
    ///
    /// # Errors
    /// As for [`crate::Session::cat_ranges`].
    pub async fn cat_ranges_merged(
        &self,
        url: impl AsRef<str>,
        ranges: &[(u64, u64)],
        merge_gap: u64,
    ) -> Result<Vec<Bytes>, RangeError> {
        let (session, target) = self.place(url.as_ref()).await?;
        session.cat_ranges_merged(target, ranges, merge_gap).await
    }

    /// Downloads `url` to the file `path`, in parts, or continues an earlier download: see [`crate::Session::download`].
    pub fn download<'a>(&self, url: impl AsRef<str>, path: impl AsRef<Path>) -> PendingDownload<'a, Sessions> {
        PendingDownload::new(self.clone(), url.as_ref(), path.as_ref())
    }

    /// Opens `url` as a file that you can read and seek: see [`crate::Session::open`].
    ///
    /// # Errors
    /// As for [`crate::Session::open`].
    pub async fn open(&self, url: impl AsRef<str>) -> Result<RemoteFile, RangeError> {
        self.open_with(url, FileOptions::default()).await
    }

    /// The same, with sizes of your own.
    ///
    /// # Errors
    /// As for [`crate::Session::open`].
    pub async fn open_with(&self, url: impl AsRef<str>, options: FileOptions) -> Result<RemoteFile, RangeError> {
        let (session, target) = self.place(url.as_ref()).await?;
        session.open_with(target, options).await
    }

    async fn place(&self, url: &str) -> Result<(Session, String), RangeError> {
        self.locate(url).await.map_err(|failed| RangeError::failed(&Target::from(url), failed))
    }
}

impl PendingDownload<'_, Sessions> {
    /// Downloads, and returns the length of the file. If you drop the future, the content on disk stays for a later run.
    ///
    /// # Errors
    /// [`RangeError`]. The part file stays if a later run can continue it.
    pub async fn run(self) -> Result<u64, RangeError> {
        let (session, target) = self.session.place(&self.target).await?;
        self.at(session, target).run().await
    }
}
