//! Conversions from and to the types of the crate `http`.
//!
//! `http` forgets the case of field names, and mixes fields of different names. So this crate keeps its own types, and you
//! convert where another library wants those of `http`.

use bytes::Bytes;
use dugong_proto::{Announced, Fields, Method, Misuse, RequestHead, ResponseHead, Version};

use crate::request::Request;

/// Converts a request with its content. The target becomes path and query of the URI, or all of it for `CONNECT`; scheme and
/// authority are dropped, since the connection has its own.
///
/// ```
/// let request = http::Request::get("http://example.org/a?b");
/// let request = request.header("Accept", "text/plain").body(())?;
/// let request = dugong_http::Request::try_from(request)?;
/// assert_eq!(request.as_head().unwrap().target(), "/a?b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Misuse`] if the request is not valid: `http` allows some bytes that HTTP does not.
impl<B: IntoContent> TryFrom<http::Request<B>> for Request {
    type Error = Misuse;

    fn try_from(request: http::Request<B>) -> Result<Self, Misuse> {
        let (parts, content) = request.into_parts();
        let mut head = request_head(&parts)?;
        match content.into_content() {
            // An empty body often means none there, and GET with `Content-Length: 0` confuses servers (RFC 9110 §8.6).
            Some(content) if !content.is_empty() || head.method().expects_content() => {
                head.content = Announced::Length(content.len() as u64);
                Ok(Request::from(head).body(content))
            }
            _ => Ok(Request::from(head)),
        }
    }
}

/// Bodies of an `http::Request` that [`Request`] can be made from.
pub trait IntoContent {
    /// The content; `None` for a request without content.
    fn into_content(self) -> Option<Bytes>;
}

impl IntoContent for () {
    fn into_content(self) -> Option<Bytes> {
        None
    }
}

macro_rules! contents {
    ($($type:ty),*) => {
        $(impl IntoContent for $type {
            fn into_content(self) -> Option<Bytes> {
                Some(self.into())
            }
        })*
    };
}

contents!(Bytes, Vec<u8>, String, &'static [u8], &'static str);

pub(crate) fn request_head(parts: &http::request::Parts) -> Result<RequestHead, Misuse> {
    let method = Method::from(&parts.method);
    let target = match parts.uri.path_and_query() {
        Some(target) if target.as_str().starts_with('?') => format!("/{target}"),
        Some(target) => target.as_str().to_owned(),
        None => parts.uri.to_string(),
    };
    let mut head = RequestHead::new(method, target)?;
    head.fields = to_fields(&parts.headers)?;
    head.expect_continue =
        parts.headers.get(http::header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    Ok(head)
}

/// Converts the fields of a map, in its order.
///
/// # Errors
/// [`Misuse::FieldValue`] for a value that begins or ends with a blank.
pub fn to_fields(map: &http::HeaderMap) -> Result<Fields, Misuse> {
    let mut fields = Fields::new();
    for (name, value) in map {
        fields.append(name, value)?;
    }
    Ok(fields)
}

/// Converts fields to a map.
///
/// # Panics
/// If a name is longer than 64 KiB, or if there are more than 24,576 lines, because `http` holds no more. The default
/// [`Limits`](crate::Limits) allow neither.
#[must_use]
pub fn to_header_map(fields: &Fields) -> http::HeaderMap {
    let lines = fields.iter().map(|line| {
        let name = http::HeaderName::from_bytes(line.name().as_bytes()).expect("every token is a name for http");
        let value = http::HeaderValue::from_bytes(line.value()).expect("every value of ours is one for http");
        (name, value)
    });
    lines.collect()
}

/// Converts the head of a response to an `http::Response` with `content`.
#[must_use]
pub fn to_response<B>(head: &ResponseHead, content: B) -> http::Response<B> {
    let mut response = http::Response::new(content);
    *response.status_mut() = head.status().into();
    *response.version_mut() = match head.version() {
        Version::Http10 => http::Version::HTTP_10,
        Version::Http11 => http::Version::HTTP_11,
    };
    *response.headers_mut() = to_header_map(head.fields());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_request_is_converted_with_its_content() {
        let theirs = http::Request::put("http://h/x?y").header("X-A", "1").header("X-A", "2").body("abc").unwrap();
        let ours = Request::try_from(theirs).unwrap();
        let head = ours.as_head().unwrap();
        assert_eq!((head.method().as_str(), head.target(), head.content), ("PUT", "/x?y", Announced::Length(3)));
        assert_eq!(head.fields.get_all("x-a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(ours.content().map(|content| &content[..]), Some(&b"abc"[..]));
        let connect = http::Request::builder().method("CONNECT").uri("h:443").body(()).unwrap();
        assert_eq!(Request::try_from(connect).unwrap().as_head().unwrap().target(), "h:443");
    }

    #[test]
    fn a_field_value_that_http_allows_and_the_grammar_forbids_is_refused() {
        let theirs = http::Request::get("/").header("X-A", " 1").body(()).unwrap();
        assert!(matches!(Request::try_from(theirs), Err(Misuse::FieldValue(_))));
    }

    #[test]
    fn duplicate_fields_survive_the_conversion_to_http_and_back() {
        let mut fields = Fields::new();
        for (name, value) in [("set-cookie", "a"), ("set-cookie", "b"), ("x", "\u{e4}")] {
            fields.append(name, value).unwrap();
        }
        let map = to_header_map(&fields);
        assert_eq!(map.get_all("Set-Cookie").iter().count(), 2);
        assert_eq!(to_fields(&map).unwrap(), fields);
    }
}
