//! Settings of a connection, with the reason for each default.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dugong_net::{Connector, Origin, Proxy, Resolve, SocketOptions, SystemResolver, Timeouts, host_name};
use dugong_proto::Limits;

use crate::buffers::BufferPool;
use crate::events::{Event, Observer};
use crate::trace::TraceWriter;

/// Settings of a connection.
///
/// ```no_run
/// use std::time::Duration;
/// use dugong_http::Config;
/// let config = Config::new()
///     .timeout(Duration::from_secs(10))
///     .deadline(Duration::from_secs(60))
///     .proxy_from_environment();
/// let connection = config.connect("https://example.org")?;
/// # Ok::<(), dugong_http::Error>(())
/// ```
///
/// # Time
///
/// There are no time limits by default, because only you know how long the server may think. Each phase can have its own. The
/// first limit that passes is [named in the error](crate::Error::TimedOut):
///
/// | limit | of |
/// | --- | --- |
/// | [`resolve_timeout`](Config::resolve_timeout) | looking up the name |
/// | [`connect_timeout`](Config::connect_timeout) | TCP, all addresses together |
/// | [`handshake_timeout`](Config::handshake_timeout) | the tunnel through a proxy and TLS, together |
/// | [`establish_timeout`](Config::establish_timeout) | all of these |
/// | [`send_timeout`](Config::send_timeout) | one wait for the server to take more |
/// | [`response_timeout`](Config::response_timeout) | the wait for the first byte of a response |
/// | [`content_timeout`](Config::content_timeout) | one wait for more of a response that has begun |
/// | [`deadline`](Config::deadline) | everything, from the beginning of connecting to the last byte |
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) timeouts: Timeouts,
    pub(crate) expect_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) user_agent: Option<String>,
    pub(crate) default_fields: Vec<(String, String)>,
    pub(crate) receive_buffer: usize,
    pub(crate) send_buffer: usize,
    pub(crate) require_length: bool,
    pub(crate) max_content: usize,
    pub(crate) proxy: ProxyChoice,
    pub(crate) addresses: HashMap<(String, u16), Vec<SocketAddr>>,
    pub(crate) unix_socket: Option<Arc<Path>>,
    pub(crate) resolver: Shown<dyn Resolve>,
    pub(crate) connector: Option<Shown<dyn Connector>>,
    pub(crate) socket: SocketOptions,
    #[cfg(feature = "rustls")]
    pub(crate) tls: dugong_net::tls::Tls,
    pub(crate) buffers: BufferPool,
    pub(crate) observer: Option<Observers>,
    pub(crate) trace: Option<TraceWriter>,
}

/// A value of the caller's, shown by its name.
pub(crate) struct Shown<T: ?Sized>(&'static str, pub(crate) Arc<T>);

impl<T: ?Sized> Clone for Shown<T> {
    fn clone(&self) -> Self {
        Shown(self.0, self.1.clone())
    }
}

impl<T: ?Sized> fmt::Debug for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Who observes connections.
#[derive(Clone, Debug)]
pub(crate) enum Observers {
    Same(Observer),
    /// Each connection has an observer of its own.
    Each(Shown<dyn Fn() -> Observer + Send + Sync>),
}

/// The proxy to go through.
#[derive(Clone, Debug)]
pub(crate) enum ProxyChoice {
    None,
    This(Proxy),
    Environment,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            timeouts: Timeouts::default(),
            expect_timeout: Duration::from_secs(1),
            limits: Limits::default(),
            user_agent: Some(concat!("dugong/", env!("CARGO_PKG_VERSION")).into()),
            default_fields: Vec::new(),
            receive_buffer: 64 * 1024,
            send_buffer: 64 * 1024,
            require_length: false,
            max_content: 256 << 20,
            proxy: ProxyChoice::None,
            addresses: HashMap::new(),
            unix_socket: None,
            resolver: Shown("resolver", Arc::new(SystemResolver::shared())),
            connector: None,
            socket: SocketOptions::default(),
            #[cfg(feature = "rustls")]
            tls: dugong_net::tls::Tls::new(),
            buffers: BufferPool::of_thread(),
            observer: None,
            trace: None,
        }
    }
}

macro_rules! timeouts {
    ($($(#[doc = $doc:literal])* $function:ident sets $($field:ident).+;)*) => {
        $(
            $(#[doc = $doc])*
            #[must_use]
            pub fn $function(mut self, limit: impl Into<Option<Duration>>) -> Self {
                self.timeouts.$($field).+ = limit.into();
                self
            }
        )*
    };
}

/// Time limits.
impl Config {
    /// Sets the same limit for each phase, but not for the overall limits [`establish_timeout`](Config::establish_timeout) and
    /// [`deadline`](Config::deadline). Default: none.
    #[must_use]
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeouts.set_all(limit.into());
        self
    }

    timeouts! {
        /// Limits the name lookup. With any limit on it, the system's resolver runs in a thread of its own, because it cannot
        /// be interrupted. Default: none; the resolver has its own, usually some 10 seconds.
        resolve_timeout sets resolve;
        /// Limits TCP, for all addresses of the host together. Default: none; systems give up after one or two minutes.
        connect_timeout sets connect;
        /// Limits the tunnel through a proxy and the TLS handshake, together. Default: none.
        handshake_timeout sets handshake;
        /// Limits connecting as a whole: name, TCP, tunnel and TLS. Default: none.
        establish_timeout sets establish;
        /// Limits each wait for the server to take more of the bytes that you send. Default: none.
        send_timeout sets transfer.send;
        /// Limits the wait for the first byte of a response. Default: none.
        response_timeout sets transfer.response;
        /// Limits each pause of the server within a response. Default: none.
        content_timeout sets transfer.content;
        /// Limits everything, from the beginning of connecting; see also
        /// [`Connection::set_deadline`](crate::Connection::set_deadline). Default: none.
        deadline sets whole;
    }

    /// Sets how long to wait for the answer to `Expect: 100-continue`. After that the content is sent without it; only a
    /// [`deadline`](Config::deadline) ends the wait earlier. Default: one second, because a client must not wait forever (RFC
    /// 9110 §10.1.1), and servers that know the field answer at once.
    #[must_use]
    pub fn expect_timeout(mut self, timeout: Duration) -> Self {
        self.expect_timeout = timeout;
        self
    }
}

/// Messages.
impl Config {
    /// Makes a configuration with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the size limits of received messages.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the `User-Agent` field of requests that have none; `None` leaves it out. Default: `dugong/` and the version,
    /// because a client ought to identify itself (RFC 9110 §10.1.5).
    #[must_use]
    pub fn user_agent<'a>(mut self, name: impl Into<Option<&'a str>>) -> Self {
        self.user_agent = name.into().map(Into::into);
        self
    }

    /// Adds a field to each request that has no field of this name. Connecting fails if the name or the value is not valid, or if the
    /// field frames or directs a single message, as Content-Length and Host do.
    #[must_use]
    pub fn default_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.default_fields.push((name.into(), value.into()));
        self
    }

    /// Whether a [default field](Config::default_field) has this name.
    #[must_use]
    pub fn has_default_field(&self, name: &str) -> bool {
        self.default_fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// Sets the size of the receive buffer, at least 1 KiB. Default: 64 KiB, as much as one read of a socket usually gives.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes.max(1024);
        self
    }

    /// Sets how many bytes of requests may wait to be sent; a single request may be larger. Default: 64 KiB.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// Shares idle buffers with the connections of another configuration. Default: the pool of the thread that makes the
    /// configuration, so that many idle connections need little memory however they are made.
    #[must_use]
    pub fn buffer_pool(mut self, pool: BufferPool) -> Self {
        self.buffers = pool;
        self
    }

    /// Sets how many bytes of content `read_all` returns at most; `None` removes the limit. Default: 256 MiB, so that a server cannot
    /// exhaust your memory. It applies to `read_all` alone: `read_all_up_to` and `collected` take a limit of their own, and reading
    /// piece by piece needs none.
    #[must_use]
    pub fn max_content(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.max_content = bytes.into().unwrap_or(usize::MAX);
        self
    }

    /// Refuses content that ends with the connection unless the response says `Connection: close`. Default: off, as in RFC 9112
    /// §6.3.
    #[must_use]
    pub fn require_length(mut self, required: bool) -> Self {
        self.require_length = required;
        self
    }
}

/// The way to the server.
impl Config {
    /// Goes through a proxy, for any origin. Default: none. A library that followed the environment by default would hand your
    /// requests to any program that can set it.
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = proxy.into().map_or(ProxyChoice::None, ProxyChoice::This);
        self
    }

    /// Goes through the proxy that the environment names for the origin: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`;
    /// see [`Proxy::from_environment`].
    #[must_use]
    pub fn proxy_from_environment(mut self) -> Self {
        self.proxy = ProxyChoice::Environment;
        self
    }

    /// Connects to these addresses instead of looking up `host`. Certificates and the `Host` field still use the name. `port`
    /// is the port of the origin, or of the proxy.
    #[must_use]
    pub fn addresses(mut self, host: &str, port: u16, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let host = host_name::normal_if_valid(host).to_ascii_lowercase();
        self.addresses.insert((host, port), addresses.into_iter().collect());
        self
    }

    /// Looks up host names with `resolver` instead of the system's, which is the default. [Given addresses](Config::addresses) are
    /// not looked up. A closure runs within a step, where no time limit can interrupt it and other tasks wait: it must know the
    /// answer at once. Implement [`Resolve`] for a resolver that takes time.
    ///
    /// ```
    /// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let address = server.address();
    /// use dugong_http::{Config, Origin, Request};
    ///
    /// let config = Config::new().resolver(move |host: &str, _port: u16| {
    ///     assert_eq!(host, "www.test"); // a name that only this resolver knows
    ///     Ok(vec![address])
    /// });
    /// let mut connection = config.connect("http://www.test/")?;
    /// connection.send_request(Request::get("/doc/1"))?;
    /// assert_eq!(connection.read_response()?.status(), 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Shown("resolver", Arc::new(resolver));
        self
    }

    /// Makes the stream below a connection with `connector`, in place of name lookup and TCP; the options for sockets, addresses
    /// and Unix sockets are not used then. A proxy's tunnel and TLS follow, unless the stream
    /// [has both](crate::transport::PendingStream::is_secure). Connections of tasks need a connector that makes sockets.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use dugong_http::{Config, Request};
    /// use dugong_http::transport::{BaseStream, Destination, Socket};
    ///
    /// let config = Config::new().connector(|to: &Destination<'_>| {
    ///     assert_eq!((to.host, to.port), ("in.memory", 80));
    ///     let (ours, mut theirs) = UnixStream::pair()?;
    ///     std::thread::spawn(move || {
    ///         theirs.read(&mut [0; 1000]).unwrap();
    ///         theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    ///     });
    ///     Ok(BaseStream::from(Socket::new(ours)?))
    /// });
    /// let mut connection = config.connect("http://in.memory/")?;
    /// connection.send_request(Request::get("/"))?;
    /// assert_eq!(connection.read_response()?.status(), 204);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn connector(mut self, connector: impl Connector + 'static) -> Self {
        self.connector = Some(Shown("connector", Arc::new(connector)));
        self
    }

    /// Connects to this Unix socket, for any origin, without a proxy or name lookup.
    #[must_use]
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.unix_socket = Some(path.as_ref().into());
        self
    }

    /// Has the system probe the connection when no bytes arrived for `time`, and again each `time`, to find out that the peer
    /// has vanished. Default: off; it helps connections that wait for very long.
    #[must_use]
    pub fn tcp_keep_alive(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.socket.keep_alive = time.into();
        self
    }

    /// Sets the address to connect from. Addresses of the other family are not tried then. Default: the system's choice.
    #[must_use]
    pub fn source_address(mut self, address: impl Into<Option<IpAddr>>) -> Self {
        self.socket.source = address.into();
        self
    }

    /// Sets the network interface to connect through, by its name, such as `eth0` (Linux). Default: the system's choice.
    #[must_use]
    pub fn interface<'a>(mut self, name: impl Into<Option<&'a str>>) -> Self {
        self.socket.interface = name.into().map(Into::into);
        self
    }

    /// Sets the sizes of the system's buffers for the socket, in bytes, receiving and sending. Default: the system's, which
    /// adapt to the connection; a fixed size switches that off.
    #[must_use]
    pub fn socket_buffers(mut self, receive: impl Into<Option<usize>>, send: impl Into<Option<usize>>) -> Self {
        (self.socket.receive_buffer, self.socket.send_buffer) = (receive.into(), send.into());
        self
    }

    /// Sets the TLS settings for `https` origins. Default: the certificates that the platform trusts, and no client
    /// certificate.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, tls: dugong_net::tls::Tls) -> Self {
        self.tls = tls;
        self
    }
}

/// Observation.
impl Config {
    /// Calls `observe` with every event, in the thread in which it happens.
    #[must_use]
    pub fn observe(mut self, observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Observers::Same(Observer::new(observe)));
        self
    }

    /// Calls `make` for each connection, and the result with every event of that connection: to tell connections apart.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use dugong_http::{Config, Event};
    ///
    /// let count = AtomicU32::new(0);
    /// let config = Config::new().observe_each(move || {
    ///     let number = count.fetch_add(1, Ordering::Relaxed);
    ///     move |event: &Event<'_>| println!("connection {number}: {event:?}")
    /// });
    /// # let _ = config;
    /// ```
    #[must_use]
    pub fn observe_each<F>(mut self, make: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Fn(&Event<'_>) + Send + Sync + 'static,
    {
        self.observer = Some(Observers::Each(Shown("make", Arc::new(move || Observer::new(make())))));
        self
    }

    /// Writes a readable trace of all HTTP bytes on a connection, without TLS, and of the requests for a tunnel. Each line of
    /// the wire becomes a line, with `> ` before sent bytes and `< ` before received ones; line ends show as `\r\n`, and bytes
    /// that are not text as `\x00` to `\xff`. The bytes of TLS and of SOCKS are left out. From the second connection on, the number of
    /// its connection, such as `[2] `, begins each line.
    ///
    /// The values of `Authorization`, `Proxy-Authorization`, `Cookie` and `Set-Cookie` become `***`, also in content that looks
    /// like these fields. Other content and targets stay, and may contain secrets. Errors of the writer are ignored.
    #[must_use]
    pub fn trace(mut self, writer: impl Write + Send + 'static) -> Self {
        self.trace = Some(TraceWriter::new(writer));
        self
    }
}

impl Config {
    /// Returns the observer of a connection to `origin`.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only spans name the origin"))]
    pub(crate) fn observer_for(&self, origin: &Origin) -> Option<Observer> {
        let observer = self.observer.as_ref().map(|observers| match observers {
            Observers::Same(observer) => observer.clone(),
            Observers::Each(make) => make.1(),
        });
        #[cfg(feature = "tracing")]
        return Some(crate::tracing::observer(origin, observer));
        #[cfg(not(feature = "tracing"))]
        observer
    }
}
