//! Chooses the answer to a request by its path.

use crate::answer::{Answer, Chunking, Content, Framing};
use crate::options::{ExpectPolicy, Options, Persistence};
use crate::request::{Expectation, Head, RequestFraming, digits};

/// The reaction to a request.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Send the prepared answer of `/small`, or its head alone.
    Small { head_only: bool },
    /// Answer at once. The request has no content.
    Answer(Box<Answer>),
    /// Read the content first.
    Receive(Box<Reception>),
    /// Answer, read nothing of the content, close.
    Refuse(Box<Answer>),
    /// Answer, and leave the socket alone until the client closes it.
    Ignore(Box<Answer>),
}

/// The plan for the content of a request.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) framing: RequestFraming,
    /// Send 100 (Continue) first.
    pub(crate) says_continue: bool,
    /// The report about the content in the answer.
    pub(crate) report: Report,
    pub(crate) answer: Answer,
}

/// The report about the content in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// No report: the path chooses the answer.
    Nothing,
    Length,
    Digest,
}

pub(crate) fn plan(head: &Head<'_>, options: &Options) -> Plan {
    let is_sink = matches!(head.method, b"PUT" | b"POST" | b"PATCH" | b"DELETE");
    let is_plain = options.are_plain() && !head.asks_close && !head.is_http10 && head.framing == RequestFraming::None;
    if is_plain && head.path == "/small" && matches!(head.method, b"GET" | b"HEAD") {
        return Plan::Small { head_only: head.method == b"HEAD" };
    }
    let refuse = |status: u16, reason: &str| {
        let mut answer = Answer::text(options.status.unwrap_or(status), reason);
        answer.say_close();
        Box::new(answer)
    };
    if options.early && head.framing != RequestFraming::None {
        return Plan::Ignore(refuse(413, "no room for this content"));
    }
    let says_continue = match (head.expectation, options.expect) {
        (Expectation::Unknown, _) => {
            return Plan::Refuse(refuse(417, "only 100-continue can be expected"));
        }
        (Expectation::Continue, ExpectPolicy::Forbid) => {
            return Plan::Refuse(refuse(403, "this content is not wanted"));
        }
        (Expectation::Continue, ExpectPolicy::Fail) => {
            return Plan::Refuse(refuse(417, "nothing can be expected here"));
        }
        (Expectation::Continue, ExpectPolicy::Continue) => head.framing != RequestFraming::None,
        (Expectation::Continue, ExpectPolicy::Silent) | (Expectation::None, _) => false,
    };
    let mut answer = match head.method {
        b"GET" | b"HEAD" => from_path(head.path, options),
        _ if is_sink => Answer::new(Content::json(String::new())),
        _ => Answer::text(501, "this method is not known here"),
    };
    adapt(&mut answer, head, options);
    let report = match options.digest {
        _ if !is_sink => Report::Nothing,
        Some(false) => Report::Length,
        Some(true) | None => Report::Digest,
    };
    if is_sink || head.framing != RequestFraming::None {
        Plan::Receive(Box::new(Reception { framing: head.framing, says_continue, report, answer }))
    } else {
        Plan::Answer(Box::new(answer))
    }
}

fn from_path(path: &str, options: &Options) -> Answer {
    let generated = |text: &str| digits(text.as_bytes()).map(|length| Content::Generated { length, seed: options.seed });
    let mut parts = path.splitn(3, '/').skip(1);
    let content = match (parts.next().unwrap_or(""), parts.next()) {
        ("small", None) => return Answer::small(),
        ("bytes", Some(length)) => generated(length).map(|content| (content, Framing::Length)),
        ("chunked", Some(length)) => generated(length).map(|content| {
            let chunking =
                Chunking { size: options.chunk.unwrap_or(8192), extension: options.extension, trailers: options.trailers };
            (content, Framing::Chunked(chunking))
        }),
        ("close", Some(length)) => generated(length).map(|content| (content, Framing::UntilClose)),
        ("doc", Some(id)) if !id.is_empty() && id.len() <= 200 => Some((Content::Document(id.into()), Framing::Length)),
        _ => None,
    };
    let Some((content, framing)) = content else {
        return Answer::text(404, "nothing is here; the README lists what there is");
    };
    let mut answer = Answer::new(content);
    answer.digest = options.digest.unwrap_or(false) || matches!(answer.content, Content::Document(_));
    if framing == Framing::UntilClose {
        answer.say_close();
    }
    answer.framing = framing;
    answer
}

/// Adapts the answer to the query and the version of the request.
fn adapt(answer: &mut Answer, head: &Head<'_>, options: &Options) {
    answer.head_only = head.method == b"HEAD";
    answer.hint = options.hint && !head.is_http10;
    answer.status = options.status.unwrap_or(answer.status);
    if options.is_http10 {
        answer.is_http10 = true;
        answer.closes = true;
    }
    if options.no_length || (head.is_http10 && matches!(answer.framing, Framing::Chunked(_))) {
        answer.framing = Framing::UntilClose;
        answer.closes = true;
    }
    match options.connection {
        Some(Persistence::Close) => answer.say_close(),
        // The connection can stay open only if the framing shows the end of the content.
        Some(Persistence::KeepAlive) if answer.framing != Framing::UntilClose => {
            answer.connection = Some("keep-alive");
            answer.closes = false;
        }
        Some(Persistence::KeepAlive) | None => {}
    }
    if head.asks_close || head.is_http10 {
        answer.say_close();
    }
}
