//! Requests, built in one expression.

use bytes::Bytes;
use dugong_proto::{Announced, Fields, Method, Misuse, RequestHead};

/// A request: method, target, fields in order, and its content or what content is announced.
///
/// What is wrong with any part is kept, and reported when the request is sent, before a byte of it is: so that a request can be
/// written in one expression.
///
/// ```
/// use dugong_http::Request;
/// let get = Request::get("/notes").header("Accept", "application/json");
/// let put = Request::put("/notes/1").header("Content-Type", "text/plain").body("remember the milk");
/// let upload = Request::put("/large").content_length(5_000_000).expect_continue(); // content follows by `write`
/// # let _ = (get, put, upload);
/// assert!(Request::get("/a b").as_head().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    head: Result<RequestHead, Misuse>,
    body: Option<Bytes>,
}

macro_rules! methods {
    ($($function:ident $name:ident),*) => {
        $(
            #[doc = concat!("A ", stringify!($name), " request.")]
            #[must_use]
            pub fn $function(target: impl Into<Box<str>>) -> Self {
                Request::new(Method::$name, target)
            }
        )*
    };
}

impl Request {
    /// A request of any method. The target is sent as it is; see [`RequestHead::new`].
    #[must_use]
    pub fn new(method: Method, target: impl Into<Box<str>>) -> Self {
        Request { head: RequestHead::new(method, target), body: None }
    }

    methods! { get GET, head HEAD, post POST, put PUT, patch PATCH, delete DELETE, options OPTIONS }

    /// Adds a field line. Others of that name stay.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.change(|head| head.fields.append(name, value));
        self
    }

    /// The content, which is sent together with the head.
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

    /// Announces content of `length` bytes, which follows by [`write`](crate::ContentWriter).
    #[must_use]
    pub fn content_length(self, length: u64) -> Self {
        self.announce(Announced::Length(length))
    }

    /// Announces content of unknown length in chunks, which follows by [`write`](crate::ContentWriter).
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

    /// Waits for 100 (Continue) before the content is sent (RFC 9110 §10.1.1).
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

    /// The head, if nothing is wrong with it.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn as_head(&self) -> Result<&RequestHead, Misuse> {
        self.head.as_ref().map_err(|misuse| *misuse)
    }

    /// The field lines, if nothing is wrong with the head.
    #[must_use]
    pub fn fields(&self) -> Option<&Fields> {
        self.head.as_ref().ok().map(|head| &head.fields)
    }

    /// The content that is sent with the head, if it was given.
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
