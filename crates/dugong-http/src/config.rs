//! Settings of a connection, with the reason for each default.

use std::time::Duration;

use dugong_proto::Limits;

/// Settings of a connection.
///
/// ```no_run
/// use std::time::Duration;
/// use dugong_http::Config;
/// let connection = Config::new().timeout(Duration::from_secs(10)).connect("http://127.0.0.1:8080")?;
/// # Ok::<(), dugong_http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) timeout: Option<Duration>,
    pub(crate) expect_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) user_agent: Option<String>,
    pub(crate) receive_buffer: usize,
    pub(crate) send_buffer: usize,
    pub(crate) require_length: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            timeout: None,
            expect_timeout: Duration::from_secs(1),
            limits: Limits::default(),
            user_agent: Some(concat!("dugong/", env!("CARGO_PKG_VERSION")).into()),
            receive_buffer: 64 * 1024,
            send_buffer: 64 * 1024,
            require_length: false,
        }
    }
}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a single wait may last: for a connection, for the server to take bytes, for the next byte of a response.
    /// Default: for ever, since only the caller knows how long the server may think.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// How long to wait for the answer to `Expect: 100-continue` before the content is sent without it. Default: one second,
    /// since a client must not wait for ever (RFC 9110 §10.1.1), and servers that know the field answer at once.
    #[must_use]
    pub fn expect_timeout(mut self, timeout: Duration) -> Self {
        self.expect_timeout = timeout;
        self
    }

    /// Limits on what is read.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The `User-Agent` field of requests that have none; `None` leaves it out. Default: `dugong/` and the version, since a
    /// client ought to say what it is (RFC 9110 §10.1.5).
    #[must_use]
    pub fn user_agent<'a>(mut self, name: impl Into<Option<&'a str>>) -> Self {
        self.user_agent = name.into().map(Into::into);
        self
    }

    /// Bytes that may have been received and not yet read. Default: 64 KiB, which is as much as a read of a socket usually
    /// gives. At least 1 KiB.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes.max(1024);
        self
    }

    /// Bytes of requests that may wait to be sent; a single request may be larger. Default: 64 KiB.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// Refuse content that ends with the connection unless the response says `Connection: close`. Default: off, as RFC 9112
    /// §6.3 has it.
    #[must_use]
    pub fn require_length(mut self, required: bool) -> Self {
        self.require_length = required;
        self
    }
}
