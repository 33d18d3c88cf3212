//! Requests, built in one expression.

use std::fmt;

use bytes::Bytes;
use dugong_proto::{Announced, Fields, Method, Misuse, RequestHead};

/// A request: method, target, field lines in order, and content.
///
/// The builder methods never fail. The request remembers the first mistake instead, and sending it reports that mistake before a
/// single byte goes out; so you can write a request in one expression.
///
/// ```
/// use dugong_http::Request;
///
/// let get = Request::get("/notes").header("Accept", "application/json");
/// let put = Request::put("/notes/1")
///     .header("Content-Type", "text/plain")
///     .body("remember the milk");
/// let upload = Request::put("/large").content_length(5_000_000).expect_continue();
/// # let _ = (get, put, upload);
/// assert!(Request::get("/a b").as_head().is_err()); // write %20
/// ```
///
/// The target can be any string type, or a `url::Url`. A path goes to the server of the connection; use it wherever you can. A
/// whole URL is sent as it is, and only if its origin is the connection's: a connection to another server refuses it, and a
/// proxy forwards it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    head: Result<RequestHead, Misuse>,
    body: Option<Bytes>,
}

macro_rules! methods {
    ($($function:ident $name:ident),*) => {
        $(
            #[doc = concat!("Makes a ", stringify!($name), " request. See [`new`](Request::new) for `target`.")]
            #[must_use]
            pub fn $function(target: impl AsRef<str>) -> Self {
                Request::new(Method::$name, target)
            }
        )*
    };
}

impl Request {
    /// Makes a request with any method.
    ///
    /// `target` goes into the request line unchanged: percent-encode it yourself. [`RequestHead::new`] lists its forms.
    #[must_use]
    pub fn new(method: Method, target: impl AsRef<str>) -> Self {
        Request { head: RequestHead::new(method, target.as_ref()), body: None }
    }

    methods! { get GET, head HEAD, post POST, put PUT, patch PATCH, delete DELETE, options OPTIONS }

    /// Adds a field line. Other lines of that name stay.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.change(|head| head.fields.append(name, value));
        self
    }

    /// Sets the content, which is sent together with the head, and its `Content-Length`.
    #[must_use]
    pub fn body(mut self, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        self.change(|head| {
            head.content = Announced::Length(content.len() as u64);
            Ok(())
        });
        self.body = Some(content);
        self
    }

    /// Announces content of `length` bytes, which you write after sending the request: see
    /// [`Connection::content`](crate::Connection::content).
    #[must_use]
    pub fn content_length(self, length: u64) -> Self {
        self.announce(Announced::Length(length))
    }

    /// Announces content of unknown length, sent in chunks, which you write after sending the request: see
    /// [`Connection::content`](crate::Connection::content).
    #[must_use]
    pub fn chunked(self) -> Self {
        self.announce(Announced::Chunked)
    }

    fn announce(mut self, content: Announced) -> Self {
        self.change(|head| {
            head.content = content;
            Ok(())
        });
        self.body = None;
        self
    }

    /// Asks the server whether it wants the content before sending it (`Expect: 100-continue`, RFC 9110 §10.1.1).
    #[must_use]
    pub fn expect_continue(mut self) -> Self {
        self.change(|head| {
            head.expect_continue = true;
            Ok(())
        });
        self
    }

    fn change(&mut self, change: impl FnOnce(&mut RequestHead) -> Result<(), Misuse>) {
        if let Ok(head) = &mut self.head
            && let Err(misuse) = change(head)
        {
            self.head = Err(misuse);
        }
    }

    /// The head: method, target and fields.
    ///
    /// # Errors
    /// The first mistake that a builder method was given.
    pub fn as_head(&self) -> Result<&RequestHead, Misuse> {
        self.head.as_ref().map_err(|misuse| *misuse)
    }

    /// The field lines; `None` if the request has a mistake.
    #[must_use]
    pub fn fields(&self) -> Option<&Fields> {
        self.head.as_ref().ok().map(|head| &head.fields)
    }

    /// The content given to [`body`](Request::body).
    #[must_use]
    pub fn content(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }
}

impl From<RequestHead> for Request {
    fn from(head: RequestHead) -> Self {
        Request { head: Ok(head), body: None }
    }
}

/// Shows the head without credentials, and only the length of the content.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = match &self.head {
            Ok(head) => head,
            Err(misuse) => return write!(f, "Request(invalid: {misuse})"),
        };
        let mut debug = f.debug_struct("Request");
        debug.field("method", head.method()).field("target", &head.target()).field("fields", &head.fields);
        match head.content {
            Announced::Nothing => {}
            Announced::Length(length) => drop(debug.field("content", &format_args!("{length} bytes"))),
            _ => drop(debug.field("content", &format_args!("chunks"))),
        }
        if head.expect_continue {
            debug.field("expect_continue", &true);
        }
        debug.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_head_and_the_length_of_the_content_but_no_secrets() {
        let request = Request::put("/x").header("X-Tag", "a").header("Authorization", "hush").body("hush");
        assert_eq!(
            format!("{request:?}"),
            r#"Request { method: PUT, target: "/x", fields: [X-Tag: a, Authorization: (not shown)], content: 4 bytes }"#
        );
        assert_eq!(
            format!("{:?}", Request::get("x")),
            r#"Request(invalid: the request target must begin with / or be a URL: "x")"#
        );
    }
}
