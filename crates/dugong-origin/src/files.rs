//! Files of a directory, as documents.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::digest;

/// The files, by name. They are read once, so that a benchmark does not measure the disk. The empty name is a page with links to all.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<String, Arc<File>>);

pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) etag: String,
}

impl Files {
    /// Reads the files of a directory, but not those of directories in it.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type()?.is_file()) {
                files.insert(name, Arc::new(File::new(std::fs::read(entry.path())?, "application/octet-stream")));
            }
        }
        let page: String = files.keys().map(|name| format!("<a href=\"{name}\">{name}</a>\n")).collect();
        files.insert(String::new(), Arc::new(File::new(page.into_bytes(), "text/html")));
        Ok(Self(files))
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<File>> {
        self.0.get(name).cloned()
    }
}

impl File {
    fn new(bytes: Vec<u8>, media_type: &'static str) -> Self {
        let etag = format!("\"{}\"", digest::hex(&digest::sha256(&bytes)));
        File { bytes, media_type, etag }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("length", &self.bytes.len()).field("etag", &self.etag).finish_non_exhaustive()
    }
}
