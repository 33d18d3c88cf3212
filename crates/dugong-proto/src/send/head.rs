//! Heads of requests: whether one may be sent now, and its bytes.

use super::{END_OF_LINE, SendHalf};
use crate::error::{CloseReason, Error, Misuse};
use crate::excerpt::Argument;
use crate::fields::{Fields, Line, Mark, push_field};
use crate::grammar::push_decimal;
use crate::outstanding::Outstanding;
use crate::request::{Announced, Checked, RequestHead, is_uri_authority};
use crate::states::SendState;

impl SendHalf {
    /// Checks whether the state of the connection allows this request.
    #[inline]
    pub(super) fn admit(
        &mut self,
        request: &RequestHead,
        checked: &Checked<'_>,
        more: &Fields,
        queue: &mut Outstanding,
    ) -> Result<(), Error> {
        let is_path = request.target().starts_with('/');
        let is_usual = is_path && self.state == SendState::Ready && !self.to_proxy && queue.close_reason().is_none();
        if !is_usual || request.content == Announced::Chunked {
            self.admit_unusual(request, checked, more, queue)?;
        }
        if queue.may_pipeline(request.is_verbatim()) { Ok(()) } else { Err(Misuse::ReadFirst.into()) }
    }

    fn check_origin(&self, request: &RequestHead) -> Result<(), Misuse> {
        let (Some(scheme), false) = (self.scheme, request.is_verbatim()) else { return Ok(()) };
        let target = request.target();
        // `*` and the target of CONNECT are no URLs, and a path may contain one.
        let Some((named, _)) = target.split_once("://").filter(|_| !target.starts_with('/')) else { return Ok(()) };
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let normal = |authority: &str| {
            let authority = authority.to_ascii_lowercase();
            [default_port, ":"].iter().find_map(|end| authority.strip_suffix(end)).unwrap_or(&authority).to_owned()
        };
        let is_own_host = request.authority().is_some_and(|authority| normal(authority) == normal(self.host()));
        if is_own_host && named.eq_ignore_ascii_case(scheme) {
            return Ok(());
        }
        let own = format!("{scheme}://{}", self.host());
        Err(Misuse::OtherOrigin(Argument::of_target(own.as_bytes(), target.as_bytes(), None)))
    }

    fn admit_unusual(
        &mut self,
        request: &RequestHead,
        checked: &Checked<'_>,
        more: &Fields,
        queue: &mut Outstanding,
    ) -> Result<(), Error> {
        self.check_origin(request)?;
        // Unlike the field, a URI needs a host (RFC 9110 §4.2.1, §7.2).
        let host = checked.host.unwrap_or(&self.host);
        if self.path_for_proxy(request).is_some() && !is_uri_authority(host) {
            return Err(Misuse::Host(Argument::new(host, None)).into());
        }
        if let Some(error) = queue.verdict() {
            return Err(error);
        }
        if self.state == SendState::Owing && self.content_error(queue) != Some(Misuse::ContentRefused.into()) {
            return Err(Misuse::ContentOwed.into());
        }
        if let Some(reason) = queue.close_reason() {
            if reason == CloseReason::UnaskedBytes {
                // They were too few to judge. Now that you want to send, they are the end of the connection.
                queue.stop_sending(reason);
            }
            return Err(Error::Closed(reason));
        }
        if self.state == SendState::Stopped {
            return Err(Misuse::ContentRefused.into());
        }
        if self.to_proxy && !queue.is_unused() && !queue.said_keep_alive() {
            let mut marks = request.fields.marks;
            marks |= more.marks;
            if marks.contains(Mark::PROXY_AUTHORIZATION) {
                if !queue.is_empty() {
                    return Err(Misuse::ReadFirst.into());
                }
                queue.close(CloseReason::ProxyNotPersistent);
                return Err(Error::Closed(CloseReason::ProxyNotPersistent));
            }
        }
        if request.content == Announced::Chunked && queue.server_is_http10() {
            return Err(Misuse::ChunkedToHttp10.into());
        }
        Ok(())
    }

    /// The path of a target that has to become a URI, because the peer is a proxy.
    fn path_for_proxy<'a>(&self, request: &'a RequestHead) -> Option<&'a str> {
        if self.to_proxy { path_of(request.target()) } else { None }
    }

    /// Appends the head to the buffer.
    pub(super) fn render(&mut self, request: &RequestHead, checked: &Checked<'_>, more: &Fields) {
        let path = self.path_for_proxy(request);
        let (method, target) = (request.method().as_str().as_bytes(), request.target().as_bytes());
        let own_host = match checked.host {
            None if target.starts_with(b"/") => None,
            None => request.authority().map(str::as_bytes),
            own => own,
        };
        let host_size = own_host.map_or(self.end_of_line.len(), <[u8]>::len);
        let size = method.len() + target.len() + request.fields.size() + more.size() + 2 * host_size;
        self.make_room(size + 160);
        let host = own_host.unwrap_or(&self.host);
        let out = &mut self.buffer;
        out.extend_from_slice(method);
        match (path, own_host) {
            // These parts are the same for all requests, so they are stored in one piece.
            (None, None) => extend(out, [b" ", target, &self.end_of_line]),
            (None, Some(host)) => extend(out, [b" ", target, END_OF_LINE, host, b"\r\n"]),
            (Some(path), _) => extend(out, [b" http://", host, path.as_bytes(), END_OF_LINE, host, b"\r\n"]),
        }
        match checked.host {
            None => request.fields.push_to(out),
            Some(_) => request.fields.push_others_to(out, Mark::HOST),
        }
        if !more.is_empty() {
            push_missing(out, more, &request.fields);
        }
        if request.expects() && !checked.has_expect {
            out.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        if !checked.has_framing {
            match request.content {
                Announced::Nothing if !request.method().expects_content() => {}
                Announced::Nothing => push_content_length(out, 0),
                Announced::Length(length) => push_content_length(out, length),
                Announced::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The path and query of a target without authority. Both are empty for `*`, which is about the server itself.
fn path_of(target: &str) -> Option<&str> {
    match target {
        "*" => Some(""),
        path if path.starts_with('/') => Some(path),
        _ => None,
    }
}

/// Appends some parts. A fixed number of them needs no loop.
#[inline]
fn extend<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    parts.into_iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends those fields of `more` whose names are not among `fields`.
fn push_missing(out: &mut Vec<u8>, more: &Fields, fields: &Fields) {
    let given = |line: &Line| fields.lines.iter().any(|theirs| fields.name(theirs).eq_ignore_ascii_case(more.name(line)));
    if !more.lines.iter().any(given) {
        return more.push_to(out);
    }
    for line in more.lines.iter().filter(|line| !given(line)) {
        push_field(out, more.name(line), more.value(line));
    }
}

fn push_content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}
