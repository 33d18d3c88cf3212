//! Chooses the answer to a request by its path.

use crate::answer::{Answer, Content, Framing};
use crate::documents;
use crate::options::{ExpectPolicy, Options, Persistence};
use crate::request::{Expectation, Head, RequestFraming, digits};
use crate::state::State;

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
    /// Answer with this status when this number of bytes came, but not all.
    pub(crate) refuse: Option<(u64, u16)>,
    /// The ID under which the content is counted.
    pub(crate) counted: Option<Box<str>>,
}

/// The report about the content in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// No report: the path chooses the answer.
    Nothing,
    Length,
    Digest,
}

pub(crate) fn plan(head: &Head<'_>, options: &Options, state: &State) -> Plan {
    let is_sink = matches!(head.method, b"PUT" | b"POST" | b"PATCH" | b"DELETE");
    let counted = head.path.strip_prefix("/count/").filter(|_| is_sink);
    if let Some(id) = counted {
        state.arrived(id, |arrivals| arrivals.heads += 1);
    }
    let is_simple = !head.asks_close && !head.is_http10 && head.framing == RequestFraming::None && head.conditions.are_none();
    if is_simple && options.are_plain() && head.path == "/small" && matches!(head.method, b"GET" | b"HEAD") {
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
    let (answer, report) = answer(head, options, state, is_sink);
    if is_sink || head.framing != RequestFraming::None {
        let refuse = options.refuse.map(|count| (count, options.status.unwrap_or(413)));
        let counted = counted.map(Box::from);
        Plan::Receive(Box::new(Reception { framing: head.framing, says_continue, report, answer, refuse, counted }))
    } else {
        Plan::Answer(Box::new(answer))
    }
}

/// Returns the answer, and the report on the request's content in it.
fn answer(head: &Head<'_>, options: &Options, state: &State, is_sink: bool) -> (Answer, Report) {
    let is_busy = options.busy.is_some_and(|times| state.number_of(&format!("{}?{}", head.path, head.query)) <= times);
    let (mut answer, report) = if is_busy {
        (Answer::text(options.busy_status.unwrap_or(503), "come back later"), Report::Nothing)
    } else {
        let (mut answer, report) = match (head.method, special(head, options, state, is_sink)) {
            (_, Some(answer)) => (answer, Report::Nothing),
            (b"GET" | b"HEAD", None) => (documents::find(head, options, state), Report::Nothing),
            (_, None) if is_sink => (
                Answer::new(Content::json(String::new())),
                if options.digest == Some(false) { Report::Length } else { Report::Digest },
            ),
            (_, None) => (Answer::text(501, "this method is not known here"), Report::Nothing),
        };
        answer.status = options.status.unwrap_or(answer.status);
        (answer, report)
    };
    if let (Some(value), 300..) = (&options.retry_after, answer.status) {
        answer.fields.push(("Retry-After", value.clone()));
    }
    adapt(&mut answer, head, options);
    (answer, report)
}

/// Returns the answer of a path that is no document: a redirect, a count, or the request itself.
fn special(head: &Head<'_>, options: &Options, state: &State, is_sink: bool) -> Option<Answer> {
    let mut parts = head.path.splitn(3, '/').skip(1);
    let is_get = matches!(head.method, b"GET" | b"HEAD");
    match (parts.next()?, parts.next()) {
        ("redirect", Some(left)) if is_get || is_sink => {
            let location = match digits(left.as_bytes())? {
                0 => return None,
                1 => options.to.clone().unwrap_or_else(|| "/small".to_owned()),
                left => format!("/redirect/{}?{}", left - 1, head.query),
            };
            let mut answer = Answer::text(302, "elsewhere");
            answer.fields.push(("Location", location));
            Some(answer)
        }
        ("version", Some(version)) if is_sink => {
            state.set_version(digits(version.as_bytes())?);
            Some(Answer::text(200, "changed"))
        }
        ("count", None) if is_get => Some(Answer::new(Content::json(state.count_all()))),
        ("count", Some(id)) if is_get => Some(Answer::new(Content::json(state.count(id)))),
        ("echo", None) if is_get || is_sink => Some(Answer::new(Content::text(head.bytes.to_vec()))),
        _ => None,
    }
}

/// Adapts the answer to the query and the version of the request.
fn adapt(answer: &mut Answer, head: &Head<'_>, options: &Options) {
    answer.head_only = head.method == b"HEAD";
    answer.hint = options.hint && !head.is_http10;
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
