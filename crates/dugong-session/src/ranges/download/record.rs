//! The record beside an unfinished download: which version of which URL it is, and which bytes are there.
//!
//! ```text
//! dugong download 1
//! url https://example.org/big.iso
//! etag "5f3c"
//! total 734003200
//! have 0-67108863
//! have 67108864-134217727
//! ```

use dugong_http::driver::decimal;

use crate::ranges::field::{Span, is_strong_etag};
use crate::ranges::spans::Spans;

/// What an unfinished download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) url: String,
    /// A strong entity tag.
    pub(super) etag: String,
    pub(super) total: u64,
    /// The bytes that are on disk.
    pub(super) have: Spans,
}

const FIRST_LINE: &str = "dugong download 1";

impl Record {
    /// The lines before the first `have`.
    pub(super) fn head(url: &str, etag: &str, total: u64) -> String {
        format!("{FIRST_LINE}\nurl {url}\netag {etag}\ntotal {total}\n")
    }

    /// The lines that say that these bytes are on disk, too.
    pub(super) fn lines(have: &Spans) -> String {
        have.iter().map(|span| format!("have {span}\n")).collect()
    }

    /// Reads a record. `None` if it is empty or no such record. The last line may be torn; it does not count then.
    pub(super) fn parse(text: &[u8]) -> Option<Record> {
        let text = std::str::from_utf8(text).ok()?;
        let complete = &text[..text.rfind('\n')? + 1];
        let mut lines = complete.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let url = lines.next()?.strip_prefix("url ")?.to_owned();
        let etag = lines.next()?.strip_prefix("etag ")?.to_owned();
        let total = decimal(lines.next()?.strip_prefix("total ")?.as_bytes())?;
        if !is_strong_etag(etag.as_bytes()) {
            return None;
        }
        let mut have = Spans::default();
        for line in lines {
            let (first, last) = line.strip_prefix("have ")?.split_once('-')?;
            let (first, last) = (decimal(first.as_bytes())?, decimal(last.as_bytes())?);
            if last < first || last >= total {
                return None;
            }
            have.insert(Span::new(first, last + 1));
        }
        Some(Record { url, etag, total, have })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(have: &[(u64, u64)]) -> Record {
        let mut spans = Spans::default();
        have.iter().for_each(|&(start, end)| spans.insert(Span::new(start, end)));
        Record { url: "http://a/b?c=d e".to_owned(), etag: "\"x\"".to_owned(), total: 100, have: spans }
    }

    fn written(record: &Record) -> String {
        Record::head(&record.url, &record.etag, record.total) + &Record::lines(&record.have)
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for have in [&[][..], &[(0, 1)], &[(0, 50), (60, 100)]] {
            let record = record(have);
            assert_eq!(Record::parse(written(&record).as_bytes()), Some(record));
        }
    }

    #[test]
    fn a_torn_last_line_does_not_count() {
        let text = written(&record(&[(0, 50), (60, 100)]));
        for cut in 0..text.len() {
            match Record::parse(&text.as_bytes()[..cut]) {
                None => assert!(cut < text.find("have").unwrap()),
                Some(found) => assert!(found == record(&[]) || found == record(&[(0, 50)]), "{found:?}"),
            }
        }
    }

    #[test]
    fn anything_else_is_no_record() {
        let good = written(&record(&[(0, 50)]));
        for (old, new) in [
            ("download 1", "download 2"),
            ("url ", "uri "),
            ("\"x\"", "W/\"x\""),
            ("total 100", "total 49"),
            ("total 100", "total 1e2"),
            ("have 0-49", "have 0-100"),
            ("have 0-49", "have 9-8"),
            ("have 0-49", "have +0-49"),
            ("have 0-49", "\0\0\0\0"),
        ] {
            let bad = good.replace(old, new);
            assert_ne!(bad, good);
            assert_eq!(Record::parse(bad.as_bytes()), None, "{new}");
        }
        assert_eq!(Record::parse(b"\xFF\n"), None);
    }
}
