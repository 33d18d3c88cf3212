//! The documents of an origin: their content, their entity tags, and the part that a request asks for.

use crate::answer::{Answer, Chunking, Content, Framing};
use crate::condition::Selected;
use crate::options::{EtagForm, Options, RangeHabit};
use crate::request::{Head, digits};
use crate::small;
use crate::state::State;

/// Answers GET or HEAD of a document, or 404.
pub(crate) fn find(head: &Head<'_>, options: &Options, state: &State) -> Answer {
    let version = state.version();
    let seed = options.seed.wrapping_add(version);
    let generated = |text: &str| digits(text.as_bytes()).map(|length| Content::Generated { length, seed });
    let mut parts = head.path.splitn(3, '/').skip(1);
    let found = match (parts.next().unwrap_or(""), parts.next()) {
        ("small", None) => Some((Answer::small().content, Framing::Length)),
        ("bytes", Some(length)) => generated(length).map(|content| (content, Framing::Length)),
        ("chunked", Some(length)) => generated(length).map(|content| {
            let chunking =
                Chunking { size: options.chunk.unwrap_or(8192), extension: options.extension, trailers: options.trailers };
            (content, Framing::Chunked(chunking))
        }),
        ("close", Some(length)) => generated(length).map(|content| (content, Framing::UntilClose)),
        ("doc", Some(id)) if !id.is_empty() && id.len() <= 200 => {
            let id = if version == 0 { id.into() } else { format!("{id}@{version}").into() };
            Some((Content::Document(id), Framing::Length))
        }
        ("files", Some(name)) => state.files.find(name).map(|file| (Content::File(file), Framing::Length)),
        _ => None,
    };
    let Some((content, framing)) = found else {
        return Answer::text(404, "nothing is here; the README lists what there is");
    };
    let mut answer = Answer::new(content);
    answer.digest = options.digest.unwrap_or(false) || matches!(answer.content, Content::Document(_));
    if framing == Framing::UntilClose {
        answer.say_close();
    }
    answer.framing = framing;
    // An answer with a status of the query's choice is no document.
    if options.status.is_none() {
        select(&mut answer, head, options);
    }
    answer
}

/// Evaluates the conditions and the range of the request.
fn select(answer: &mut Answer, head: &Head<'_>, options: &Options) {
    let tag = answer.content.etag();
    let etag = match options.etag {
        EtagForm::Strong => Some(tag),
        EtagForm::Weak => Some(format!("W/{tag}")),
        EtagForm::None => None,
    };
    let length = answer.content.length();
    let mut conditions = head.conditions;
    // Only GET has ranges (RFC 9110 §14.2).
    if options.ranges == RangeHabit::Ignored || head.method != b"GET" {
        conditions.range = None;
    }
    let selected = conditions.select(etag.as_deref(), length);
    if let Some(etag) = etag {
        answer.fields.push(("ETag", etag));
    }
    if options.ranges != RangeHabit::Ignored {
        answer.fields.push(("Accept-Ranges", "bytes".to_owned()));
    }
    match selected {
        Selected::Whole => {}
        Selected::NotModified => answer.status = 304,
        Selected::PreconditionFailed => answer.say_only(412, "the document is another"),
        Selected::Unsatisfiable => {
            answer.say_only(416, "the document is shorter");
            answer.fields.push(("Content-Range", format!("bytes */{length}")));
        }
        Selected::Part { start, end } => {
            let end = if options.ranges == RangeHabit::Half { start + (end - start).div_ceil(2) } else { end };
            let last = end - 1;
            let named = match options.ranges {
                RangeHabit::Shifted => Some(format!("bytes {}-{}/{length}", start + 1, last + 1)),
                RangeHabit::WrongTotal => Some(format!("bytes {start}-{last}/{}", length + 1)),
                RangeHabit::UnknownTotal => Some(format!("bytes {start}-{last}/*")),
                RangeHabit::Unnamed => None,
                RangeHabit::Right | RangeHabit::Half | RangeHabit::Ignored => Some(format!("bytes {start}-{last}/{length}")),
            };
            answer.status = 206;
            answer.part = Some(start..end);
            answer.fields.extend(named.map(|named| ("Content-Range", named)));
        }
    }
}

impl Content {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => bytes.len() as u64,
            Self::Document(id) => crate::content::document(id).len() as u64,
            Self::File(file) => file.bytes.len() as u64,
            Self::Generated { length, .. } => *length,
        }
    }

    /// A strong entity tag: another for each content.
    fn etag(&self) -> String {
        match self {
            Self::Bytes { .. } => small::etag(),
            Self::File(file) => file.etag.clone(),
            Self::Document(id) => format!("\"{id}\""),
            Self::Generated { length, seed } => format!("\"{seed}-{length}\""),
        }
    }
}
