//! The fields of `-H`.

use std::io::IoSlice;

use dugong_http::driver::{Engine, Interest, Progress, Stream, StreamError};
use dugong_http::{Config, Error, Fields, Method, Origin, Request, RequestHead};

use crate::usage::UsageError;

/// Parses the arguments of `-H`.
pub(crate) fn fields(headers: &[String]) -> Result<Fields, UsageError> {
    let mut fields = Fields::new();
    for header in headers {
        let Some((name, value)) = header.split_once(':') else {
            return Err(UsageError::HeaderForm { header: header.clone() });
        };
        if name.eq_ignore_ascii_case("upgrade") {
            return Err(UsageError::Upgrade { header: name.to_owned() });
        }
        if let Err(misuse) = fields.append(name, value.trim_matches([' ', '\t'])) {
            return Err(UsageError::Header { header: name.to_owned(), misuse });
        }
    }
    Ok(fields)
}

/// Sends a request to a fake stream, to learn if its fields can be sent. Some cannot be in a request without content, and some
/// contradict each other.
pub(crate) fn probe(
    method: &Method,
    content: Option<&[u8]>,
    origin: &Origin,
    fields: &Fields,
    headers: &[String],
) -> Result<(), UsageError> {
    let engine = || Engine::new(&origin.host_field(), &Config::new());
    engine().map_err(|error| UsageError::Host { origin: origin.clone(), error: Box::new(error) })?;
    let refused = |fields: &Fields| {
        let mut head = RequestHead::new(method.clone(), "/").expect("/ is a target");
        head.fields = fields.clone();
        let request = Request::from(head);
        let request = content.map_or(request.clone(), |content| request.body(content.to_vec()));
        match engine().ok()?.duplex().send_request(&request, &mut Discard) {
            Err(Error::Local(misuse)) => Some(misuse),
            _ => None,
        }
    };
    let Some(misuse) = refused(fields) else { return Ok(()) };
    // Blame the field without which the others can be sent.
    let guilty = (0..headers.len()).find(|&skip| {
        let mut others = Fields::new();
        let kept = fields.iter().enumerate().filter(|&(index, _)| index != skip);
        kept.for_each(|(_, line)| others.append(line.name(), line.value()).expect("`fields` has accepted it"));
        refused(&others).is_none()
    });
    Err(match guilty.and_then(|index| fields.iter().nth(index)) {
        Some(line) => UsageError::Header { header: line.name().to_owned(), misuse },
        None => UsageError::Headers { misuse },
    })
}

/// A stream that takes everything and never gives anything: a request that is sent over it is only checked.
struct Discard;

impl Stream for Discard {
    fn read(&mut self, _: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        Ok(Progress::Needs(Interest::READ))
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        Ok(Progress::Done(pieces.iter().map(|piece| piece.len()).sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_cannot_be_sent_is_named() {
        for (headers, name) in [
            (&["Accept: */*", "Content-Length: 5"][..], "Content-Length"),
            (&["Expect: 100-continue", "Accept: */*"], "Expect"),
            (&["Transfer-Encoding: chunked"], "Transfer-Encoding"),
            (&["TE: trailers"], "TE"),
            (&["Host: a", "host: b"], "Host"),
        ] {
            let headers: Vec<_> = headers.iter().map(ToString::to_string).collect();
            let error =
                probe(&Method::GET, None, &Origin::http("a.example", 80), &fields(&headers).unwrap(), &headers).unwrap_err();
            assert!(error.to_string().starts_with(&format!("header {name:?}: ")), "{error}");
        }
        let headers = ["TE: trailers".to_owned(), "Connection: TE".to_owned()];
        probe(&Method::GET, None, &Origin::http("a.example", 80), &fields(&headers).unwrap(), &headers).unwrap();
    }
}
