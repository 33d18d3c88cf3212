//! The peer that requests are written for, and the bytes of their heads (RFC 9112 §3).

use crate::error::Misuse;
use crate::excerpt::Argument;
use crate::fields::{Fields, Line, Mark, push_field};
use crate::grammar::push_decimal;
use crate::request::{Announced, Checked, RequestHead, is_host, is_uri_authority};

/// The peer of a connection: a server, or a proxy for plain HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The rest of the request line and the line with `Host`, which are the same for most requests.
    end_of_line: Box<[u8]>,
    /// The peer is a proxy, so the target has to name the origin.
    is_proxy: bool,
    /// The scheme of the server, which is the peer, so the target must not name another origin.
    scheme: Option<&'static str>,
}

impl Peer {
    /// A peer to which `host` is sent as the value of `Host`.
    ///
    /// # Errors
    /// [`Misuse::Host`] if `host` is not a valid value of it.
    pub(crate) fn new(host: &str) -> Result<Self, Misuse> {
        if !is_host(host.as_bytes()) {
            return Err(Misuse::Host(Argument::new(host.as_bytes(), None)));
        }
        let end_of_line = [END_OF_LINE, host.as_bytes(), b"\r\n"].concat().into();
        Ok(Peer { end_of_line, is_proxy: false, scheme: None })
    }

    /// The value of `Host`.
    fn host(&self) -> &[u8] {
        &self.end_of_line[END_OF_LINE.len()..self.end_of_line.len() - 2]
    }

    /// The same as text.
    pub(crate) fn host_text(&self) -> &str {
        std::str::from_utf8(self.host()).expect("checked to be ASCII when it was set")
    }

    pub(crate) fn is_proxy(&self) -> bool {
        self.is_proxy
    }

    pub(crate) fn becomes_proxy(&mut self) {
        self.is_proxy = true;
    }

    pub(crate) fn becomes_origin(&mut self, scheme: &'static str) {
        self.scheme = Some(scheme);
    }

    /// Whether the peer may get this request.
    ///
    /// # Errors
    /// `Misuse` if its target names another origin, or if it lacks the host that the target of a request to a proxy needs.
    pub(crate) fn check(&self, request: &RequestHead, checked: &Checked<'_>) -> Result<(), Misuse> {
        self.check_origin(request)?;
        // Unlike the field, a URI needs a host (RFC 9110 §4.2.1, §7.2).
        let host = checked.host.unwrap_or(self.host());
        if self.path_for_proxy(request).is_some() && !is_uri_authority(host) {
            return Err(Misuse::Host(Argument::new(host, None)));
        }
        Ok(())
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
        let is_own_host = request.authority().is_some_and(|authority| normal(authority) == normal(self.host_text()));
        if is_own_host && named.eq_ignore_ascii_case(scheme) {
            return Ok(());
        }
        let own = format!("{scheme}://{}", self.host_text());
        Err(Misuse::other_origin(&own, target))
    }

    /// The path of a target that has to become a URI, because the peer is a proxy.
    fn path_for_proxy<'a>(&self, request: &'a RequestHead) -> Option<&'a str> {
        if self.is_proxy { path_of(request.target()) } else { None }
    }

    /// At most how many bytes [`render`](Peer::render) appends.
    pub(crate) fn most_of_head(&self, request: &RequestHead, checked: &Checked<'_>, more: &Fields) -> usize {
        let target = request.target().len();
        let host = checked.host.map_or(target, <[u8]>::len).max(self.end_of_line.len());
        request.method().as_str().len() + target + request.fields.size() + more.size() + 2 * host + 160
    }

    /// Appends the head of a request.
    pub(crate) fn render(&self, out: &mut Vec<u8>, request: &RequestHead, checked: &Checked<'_>, more: &Fields) {
        let path = self.path_for_proxy(request);
        let (method, target) = (request.method().as_str().as_bytes(), request.target().as_bytes());
        let own_host = match checked.host {
            None if target.starts_with(b"/") => None,
            None => request.authority().map(str::as_bytes),
            own => own,
        };
        let host = own_host.unwrap_or(self.host());
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

/// The end of the request line, and the name of the field that we always send first (RFC 9110 §7.2).
const END_OF_LINE: &[u8] = b" HTTP/1.1\r\nHost: ";

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
