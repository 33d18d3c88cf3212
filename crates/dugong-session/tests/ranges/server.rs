//! A server that is a function: it answers the requests of the machines.

use bytes::Bytes;
use dugong_http::{Fields, Status};
use dugong_session::ranges::Ask;

/// A file on the server, and how the server answers.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) content: Bytes,
    pub(crate) etag: Option<&'static str>,
    pub(crate) modified: Option<&'static str>,
    /// Without: the server ignores `Range`.
    pub(crate) ranges: bool,
    /// Longest range in one answer.
    pub(crate) longest: u64,
    /// How many requests it has got.
    pub(crate) asked: usize,
}

pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) fields: Fields,
    pub(crate) content: Bytes,
}

impl Server {
    /// Serves `length` bytes, of which no two runs of four are the same in the first 256 KiB.
    pub(crate) fn new(length: usize) -> Self {
        let content = (0..length).map(|at| (((at / 4) >> (8 * (at % 4))) & 0xFF) as u8 ^ (at % 4 * 64) as u8).collect();
        Server { content, etag: Some("\"v1\""), modified: None, ranges: true, longest: u64::MAX, asked: 0 }
    }

    pub(crate) fn answer(&mut self, ask: &Ask) -> Answer {
        self.asked += 1;
        let (request, total) = (ask.fields(), self.content.len() as u64);
        let mut fields = Fields::new();
        let mut line = |name: &str, value: &str| fields.append(name, value).unwrap();
        if let Some(etag) = self.etag {
            line("ETag", etag);
        }
        if let Some(modified) = self.modified {
            line("Last-Modified", modified);
        }
        let same = request.get("If-Range").is_none_or(|etag| Some(etag) == self.etag && !etag.starts_with('W'));
        let (status, content) = match request.get("Range") {
            Some(range) if same && self.ranges => {
                let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
                if first >= total {
                    line("Content-Range", &format!("bytes */{total}"));
                    (Status::RANGE_NOT_SATISFIABLE, Bytes::new())
                } else {
                    let end = (last + 1).min(total).min(first.saturating_add(self.longest));
                    line("Content-Range", &format!("bytes {first}-{}/{total}", end - 1));
                    (Status::PARTIAL_CONTENT, self.content.slice(first as usize..end as usize))
                }
            }
            _ => (Status::OK, self.content.clone()),
        };
        line("Content-Length", &content.len().to_string());
        Answer { status, fields, content }
    }
}

impl Answer {
    /// The answer with another value of a field; without the field if it is empty.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let mut fields = Fields::new();
        for line in self.fields.iter().filter(|line| !line.name().eq_ignore_ascii_case(name)) {
            fields.append(line.name(), line.value()).unwrap();
        }
        if !value.is_empty() {
            fields.append(name, value).unwrap();
        }
        self.fields = fields;
        self
    }

    pub(crate) fn status(self, status: Status) -> Self {
        Answer { status, ..self }
    }
}
