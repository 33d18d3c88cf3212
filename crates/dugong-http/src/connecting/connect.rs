//! Makes a connection: name, TCP, tunnel, TLS.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::task::Poll;
use std::time::Instant;

#[cfg(feature = "rustls")]
use dugong_net::tls::Session;
use dugong_net::{
    AttemptEvent, BaseStream, ConnectError, Connecting, Destination, Expiry, Interest, InvalidUrl, Lookup, Need, Origin,
    PendingStream, PollSet, Progress, Proxy, ProxyKind, ResolveError, Resolving, Step, Stream, StreamError, TimeLimit,
    WaitingFor, host_name,
};

#[cfg(feature = "socks")]
use super::socks::Socks;
#[cfg(feature = "async")]
use super::transport::WireLayers;
use super::transport::{Traced, Transport};
use super::tunnel::Tunnel;
#[cfg(not(feature = "rustls"))]
use super::without_tls::Session;
use crate::config::{Config, ProxyChoice};
use crate::error::Error;
use crate::events::{Event, Observer};
use crate::step::{Engine, Receiving, Sending, Shared};
use crate::trace::{TraceWriter, WireTrace};

/// Makes a connection, step by step.
///
/// No byte of a request is sent before the connection is complete: the TLS handshake done (RFC 9112 §9.7), and the tunnel
/// through a proxy open. It enforces its own time limits: a step after one has passed fails.
///
/// ```
/// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
/// # let port = server.address().port();
/// use std::time::Instant;
/// use dugong_http::Config;
/// use dugong_http::driver::{Connect, Progress, wait_any};
/// use dugong_http::transport::Origin;
///
/// let to = Origin::http("127.0.0.1", port);
/// let mut connect = Connect::new(&Config::new(), &to, Instant::now())?;
/// let established = loop {
///     match connect.step(Instant::now())? {
///         Progress::Done(established) => break established,
///         Progress::Needs(_) => wait_any(&connect.poll_set())?, // or in your own event loop
///     };
/// };
/// assert_eq!(established.transport.peer_address().unwrap().port(), port);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connect {
    config: Config,
    origin: Origin,
    /// The proxy to go through.
    proxy: Option<Proxy>,
    /// The sending side. It is taken when the connection is complete.
    sending: Option<Sending>,
    observer: Option<Observer>,
    trace: Option<WireTrace>,
    stage: Stage,
    /// The readiness that the stream of the current stage needs.
    needs: Interest,
    /// The end of the current phase, if it is limited.
    phase: Option<Expiry>,
    /// The limits of connecting as a whole, and of the whole connection.
    overall_limits: [Option<Expiry>; 2],
    off_thread: bool,
    /// Whether streams other than sockets are refused.
    only_sockets: bool,
}

/// A connection that is ready for HTTP.
#[derive(Debug)]
#[non_exhaustive]
pub struct Established<T = Transport> {
    /// The stream.
    pub transport: T,
    /// The engine for it.
    pub engine: Engine,
    /// The deadline of the whole connection, if it has one.
    pub deadline: Option<Instant>,
}

/// The result of the last stage.
struct Pieces {
    base: Option<BaseStream>,
    session: Option<Session>,
}

enum Stage {
    Begin,
    Name(Box<dyn Lookup>),
    Tcp(Connecting),
    /// The connector of the configuration makes the stream.
    Connector(Box<dyn PendingStream>),
    Tunnel(Box<Tunnel>, BaseStream),
    /// The addresses of the origin, for a SOCKS proxy that resolves no names.
    #[cfg(feature = "socks")]
    SocksName(Box<dyn Lookup>, BaseStream),
    #[cfg(feature = "socks")]
    Socks(Box<Socks>, BaseStream),
    /// `None` if the stream is an argument of each step.
    #[cfg(feature = "rustls")]
    Handshake(Box<Session>, Option<BaseStream>),
    /// The stream is ready for HTTP.
    Ready(Option<BaseStream>),
    Over,
}

impl Connect {
    /// Prepares a connection to `origin`. Time limits count from `now`.
    ///
    /// # Errors
    /// `Resolve` if the host is neither a name nor an address, `Local` if the user agent is invalid, `Proxy` if the environment
    /// names an invalid proxy, `Url` for an `https` origin in a build without TLS.
    pub fn new(config: &Config, origin: &Origin, now: Instant) -> Result<Self, Error> {
        let proxy = match &config.proxy {
            _ if config.unix_socket.is_some() => None,
            ProxyChoice::None => None,
            ProxyChoice::This(proxy) => Some(proxy.clone()),
            ProxyChoice::Environment => Proxy::from_environment(origin.is_secure(), origin.host(), origin.port())?,
        };
        Connect::begin(config, origin, proxy, now)
    }

    /// Prepares a connection to `origin` over a stream that leads there.
    ///
    /// # Errors
    /// As for [`new`](Connect::new).
    pub(crate) fn over(config: &Config, origin: &Origin, base: BaseStream, now: Instant) -> Result<Self, Error> {
        let mut connect = Connect::begin(config, origin, None, now)?;
        connect.stage = connect.secure(Some(base), now)?;
        Ok(connect)
    }

    /// Prepares a connection to `origin` over a stream that is an argument of each [step](Connect::step_over).
    ///
    /// # Errors
    /// As for [`new`](Connect::new).
    #[cfg(feature = "async")]
    pub(crate) fn over_stream(config: &Config, origin: &Origin, now: Instant) -> Result<Self, Error> {
        let mut connect = Connect::begin(config, origin, None, now)?;
        connect.stage = connect.secure(None, now)?;
        Ok(connect)
    }

    fn begin(config: &Config, origin: &Origin, proxy: Option<Proxy>, now: Instant) -> Result<Self, Error> {
        if origin.is_secure() && cfg!(not(feature = "rustls")) {
            return Err(InvalidUrl::new(&origin.to_string(), "this build has no TLS: its feature rustls is off").into());
        }
        let host = origin.host();
        host_name::normal(host).map_err(|why| ResolveError::NotAName { host: host.into(), why })?;
        let mut sending = Sending::new(&origin.host_field(), config)?;
        match &proxy {
            Some(proxy) if proxy.kind() == ProxyKind::Http && !origin.is_secure() => sending.through_proxy(proxy),
            _ => sending.only_for_its_origin(origin.is_secure()),
        }
        let timeouts = &config.timeouts;
        let overall_limits = [
            Expiry::after(now, timeouts.establish, TimeLimit::Connecting),
            Expiry::after(now, timeouts.whole, |_| TimeLimit::Deadline),
        ];
        Ok(Connect {
            config: config.clone(),
            origin: origin.clone(),
            proxy,
            sending: Some(sending),
            observer: config.observer_for(origin),
            trace: config.trace.as_ref().map(TraceWriter::connection),
            stage: Stage::Begin,
            needs: Interest::READ,
            phase: None,
            overall_limits,
            off_thread: timeouts.limit_names(),
            only_sockets: false,
        })
    }

    /// Never blocks in a step: the system's resolver runs in a thread of its own, even without a time limit.
    #[must_use]
    pub fn never_blocking(mut self) -> Self {
        self.off_thread = true;
        self
    }

    /// Fails if a connector makes a stream that is not a socket.
    #[cfg(feature = "async")]
    pub(crate) fn only_sockets(mut self) -> Self {
        self.only_sockets = true;
        self
    }

    /// Goes on. `Needs` says until when to wait, and for what. The descriptors are in [`poll_set`](Connect::poll_set).
    ///
    /// # Errors
    /// Connecting failed, and leaves nothing behind. The error names the fault of the name, each address, the proxy or TLS;
    /// `TimedOut` names the phase.
    ///
    /// # Panics
    /// If it has returned a connection or an error before.
    pub fn step(&mut self, now: Instant) -> Result<Step<Established>, Error> {
        let ready = self.checked(&mut Nothing, now)?;
        Ok(ready.map(|Pieces { base, session }| {
            let base = base.expect("only step_over gets its stream as an argument");
            let transport = Transport::new(base, session, self.trace.take());
            self.established(transport)
        }))
    }

    /// Goes on over a stream of the caller's. `transport` of the [`Established`] has the layers between that stream and HTTP.
    #[cfg(feature = "async")]
    pub(crate) fn step_over(
        &mut self,
        stream: &mut impl Stream,
        now: Instant,
    ) -> Result<Step<Established<Option<Box<WireLayers>>>>, Error> {
        let ready = self.checked(stream, now)?;
        Ok(ready.map(|Pieces { session, .. }| {
            let layers = WireLayers::of(session, self.trace.take());
            self.established(layers)
        }))
    }

    /// Takes a step and checks the time limits.
    fn checked(&mut self, stream: &mut impl Stream, now: Instant) -> Result<Step<Pieces>, Error> {
        let ended = match self.advance(stream, now) {
            Ok(Poll::Ready(pieces)) => Ok(Progress::Done(pieces)),
            Ok(Poll::Pending) => {
                let expiry = Expiry::earliest([self.phase, self.overall_limits[0], self.overall_limits[1]]);
                match expiry.filter(|expiry| expiry.at <= now) {
                    None => return Ok(Progress::Needs(self.need())),
                    Some(expiry) => Err(self.timed_out(expiry.limit)),
                }
            }
            Err(error) => Err(error),
        };
        self.stage = Stage::Over;
        if let Err(error) = &ended {
            self.tell(&Event::Failed { error });
        }
        ended
    }

    /// Returns the need of the current stage.
    fn need(&self) -> Need {
        let (interest, phase) = match &self.stage {
            Stage::Tunnel(..) => (self.needs, WaitingFor::Tunnel),
            #[cfg(feature = "socks")]
            Stage::Socks(..) => (self.needs, WaitingFor::Tunnel),
            #[cfg(feature = "rustls")]
            Stage::Handshake(..) => (self.needs, WaitingFor::Handshake),
            #[cfg(feature = "socks")]
            Stage::SocksName(..) => (Interest::READ, WaitingFor::Name),
            Stage::Name(_) => (Interest::READ, WaitingFor::Name),
            Stage::Tcp(_) | Stage::Connector(_) => (Interest::WRITE, WaitingFor::Connection),
            Stage::Begin | Stage::Ready(_) | Stage::Over => unreachable!("these do not wait"),
        };
        Need::new(interest, phase).until(self.poll_set().deadline())
    }

    #[cfg_attr(not(feature = "rustls"), expect(unused_variables, reason = "only TLS speaks before HTTP does"))]
    fn advance(&mut self, stream: &mut impl Stream, now: Instant) -> Result<Poll<Pieces>, Error> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Begin => self.first_stage(now)?,
                Stage::Name(mut resolving) => match resolving.step(now)? {
                    Poll::Pending => return self.pending(Stage::Name(resolving)),
                    Poll::Ready(addresses) => {
                        let (host, _) = self.next_host();
                        if !host_name::is_address(host) {
                            self.tell(&Event::Resolved { host, addresses: &addresses });
                        }
                        self.tcp(Connecting::new(addresses), now)
                    }
                },
                Stage::Tcp(mut connecting) => match connecting.step(now) {
                    Ok(Poll::Pending) => return self.pending(Stage::Tcp(connecting)),
                    Ok(Poll::Ready(socket)) => self.after_tcp(BaseStream::Socket(socket), now)?,
                    Err(source) => return Err(Error::Connect { to: self.target().into(), source }),
                },
                Stage::Connector(mut pending) => match pending.step(now) {
                    Ok(Poll::Pending) => return self.pending(Stage::Connector(pending)),
                    Ok(Poll::Ready(base)) => self.after_connector(base, pending.is_secure(), now)?,
                    Err(error) => return Err(self.connect_error(error)),
                },
                Stage::Tunnel(mut tunnel, base) => match tunnel.step(&mut Traced { base: &base, trace: self.trace.as_ref() }) {
                    Ok(Progress::Needs(interest)) => {
                        self.needs = interest;
                        return self.pending(Stage::Tunnel(tunnel, base));
                    }
                    Ok(Progress::Done(())) => {
                        self.tell(&Event::Tunneled);
                        self.secure(Some(base), now)?
                    }
                    Err(source) => {
                        let (proxy, to) = (self.proxy_name().into(), self.origin_name().into());
                        return Err(Error::Tunnel { proxy, to, source: Box::new(source) });
                    }
                },
                #[cfg(feature = "socks")]
                Stage::SocksName(mut resolving, base) => match resolving.step(now)? {
                    Poll::Pending => return self.pending(Stage::SocksName(resolving, base)),
                    Poll::Ready(addresses) => {
                        self.tell(&Event::Resolved { host: self.origin.host(), addresses: &addresses });
                        self.enter(WaitingFor::Handshake, now);
                        let first = addresses.first().expect("a name without addresses is an error");
                        self.ask_socks(&first.ip().to_string(), base)?
                    }
                },
                #[cfg(feature = "socks")]
                Stage::Socks(mut socks, base) => match socks.step(&mut &base) {
                    Ok(Progress::Needs(interest)) => {
                        self.needs = interest;
                        return self.pending(Stage::Socks(socks, base));
                    }
                    Ok(Progress::Done(())) => {
                        self.tell(&Event::Tunneled);
                        self.secure(Some(base), now)?
                    }
                    Err(source) => {
                        let (proxy, to) = (self.proxy_name().into(), self.origin_name().into());
                        return Err(Error::Socks { proxy, to, source });
                    }
                },
                #[cfg(feature = "rustls")]
                Stage::Handshake(mut session, base) => match shake_hands(&mut session, &base, stream) {
                    Ok(Progress::Needs(interest)) => {
                        self.needs = interest;
                        return self.pending(Stage::Handshake(session, base));
                    }
                    Ok(Progress::Done(())) => {
                        let (version, cipher_suite) = (session.version(), session.cipher_suite());
                        self.tell(&Event::Secured {
                            version: version.unwrap_or_default(),
                            cipher_suite: cipher_suite.unwrap_or_default(),
                        });
                        return Ok(Poll::Ready(Pieces { base, session: Some(*session) }));
                    }
                    Err(source) => return Err(Error::Tls { source: Box::new(source), requests: None }),
                },
                Stage::Ready(base) => return Ok(Poll::Ready(Pieces { base, session: None })),
                Stage::Over => panic!("connecting has ended before"),
            };
        }
    }

    fn pending(&mut self, stage: Stage) -> Result<Poll<Pieces>, Error> {
        self.stage = stage;
        Ok(Poll::Pending)
    }

    /// The host to connect to: the proxy's or the origin's.
    fn next_host(&self) -> (&str, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (self.origin.host(), self.origin.port()),
        }
    }

    fn first_stage(&mut self, now: Instant) -> Result<Stage, Error> {
        if let Some(path) = &self.config.unix_socket {
            let path = path.clone();
            return Ok(self.tcp(Connecting::unix(path), now));
        }
        let (host, port) = self.next_host();
        if let Some(connector) = &self.config.connector {
            let pending = connector.1.connect(&Destination::new(host, port, &self.origin));
            let pending = pending.map_err(|error| self.connect_error(error))?;
            self.enter(WaitingFor::Connection, now);
            return Ok(Stage::Connector(pending));
        }
        if let Some(addresses) = self.config.addresses.get(&(host.to_ascii_lowercase(), port)) {
            let addresses = addresses.clone();
            return Ok(self.tcp(Connecting::new(addresses), now));
        }
        let lookup = self.look_up(host, port);
        self.enter(WaitingFor::Name, now);
        Ok(Stage::Name(lookup))
    }

    /// Begins to look up a host. Addresses go to the system's resolver, which knows their zones.
    fn look_up(&self, host: &str, port: u16) -> Box<dyn Lookup> {
        if host_name::is_address(host) {
            return Box::new(Resolving::new(host, port, self.off_thread));
        }
        self.tell(&Event::Resolving { host });
        self.config.resolver.1.resolve(host, port, !self.off_thread)
    }

    fn tcp(&mut self, connecting: Connecting, now: Instant) -> Stage {
        self.enter(WaitingFor::Connection, now);
        let mut connecting = connecting.options(self.config.socket.clone());
        if let Some(observer) = self.observer.clone() {
            connecting = connecting.observe(move |event| match event {
                AttemptEvent::Begins { address } => observer.tell(&Event::Connecting { address }),
                AttemptEvent::Failed { address, error } => observer.tell(&Event::ConnectFailed { address, error }),
                _ => {}
            });
        }
        Stage::Tcp(connecting)
    }

    /// Goes on after the connector made the stream: a tunnel, TLS, or neither.
    fn after_connector(&mut self, base: BaseStream, is_secure: bool, now: Instant) -> Result<Stage, Error> {
        if self.only_sockets && base.socket().is_none() {
            return Err(self.connect_error(io::Error::new(io::ErrorKind::Unsupported, "tasks wait for sockets only")));
        }
        if is_secure {
            self.tell(&Event::Connected { peer: base.peer_address(), local: base.local_address() });
            return Ok(Stage::Ready(Some(base)));
        }
        self.after_tcp(base, now)
    }

    /// Makes the error of a connector that failed.
    fn connect_error(&self, error: io::Error) -> Error {
        Error::Connect { to: self.target().into(), source: ConnectError::from(error) }
    }

    /// Goes on after the stream is connected: a tunnel, TLS, or neither.
    fn after_tcp(&mut self, base: BaseStream, now: Instant) -> Result<Stage, Error> {
        self.tell(&Event::Connected { peer: base.peer_address(), local: base.local_address() });
        self.enter(WaitingFor::Handshake, now);
        let Some(proxy) = &self.proxy else { return self.secure(Some(base), now) };
        let (host, port) = (self.origin.host(), self.origin.port());
        match proxy.kind() {
            ProxyKind::Http if !self.origin.is_secure() => self.secure(Some(base), now),
            ProxyKind::Http => {
                self.tell(&Event::Tunneling { proxy: &self.proxy_name(), to: &self.origin_name() });
                Ok(Stage::Tunnel(Box::new(Tunnel::through(proxy, host, port)?), base))
            }
            ProxyKind::Socks5 { remote_names } => self.socks(remote_names, base, now),
            _ => unreachable!("the crates are of one version"),
        }
    }

    /// Goes on at a SOCKS proxy, which gets a name or an address.
    #[cfg(feature = "socks")]
    fn socks(&mut self, remote_names: bool, base: BaseStream, now: Instant) -> Result<Stage, Error> {
        let (host, port) = (self.origin.host(), self.origin.port());
        if remote_names || host_name::is_address(host) {
            return self.ask_socks(host, base);
        }
        if let Some(addresses) = self.config.addresses.get(&(host.to_ascii_lowercase(), port)) {
            let Some(first) = addresses.first() else {
                return Err(ResolveError::NoAddresses { name: host.to_owned() }.into());
            };
            return self.ask_socks(&first.ip().to_string(), base);
        }
        let lookup = self.look_up(host, port);
        self.enter(WaitingFor::Name, now);
        Ok(Stage::SocksName(lookup, base))
    }

    #[cfg(feature = "socks")]
    fn ask_socks(&self, host: &str, base: BaseStream) -> Result<Stage, Error> {
        let proxy = self.proxy.as_ref().expect("the socket leads to it");
        self.tell(&Event::Tunneling { proxy: &self.proxy_name(), to: &self.origin_name() });
        Ok(Stage::Socks(Box::new(Socks::new(proxy, host, self.origin.port())?), base))
    }

    #[cfg(not(feature = "socks"))]
    fn socks(&mut self, _: bool, _: BaseStream, _: Instant) -> Result<Stage, Error> {
        unreachable!("these proxies need the feature socks")
    }

    /// Goes on when the stream leads to the origin.
    #[cfg_attr(not(feature = "rustls"), expect(unused_variables, reason = "only a handshake takes time"))]
    fn secure(&mut self, base: Option<BaseStream>, now: Instant) -> Result<Stage, Error> {
        #[cfg(feature = "rustls")]
        if self.origin.is_secure() {
            let host = self.origin.host();
            self.tell(&Event::Handshaking { host });
            let session = Session::new(&self.config.tls, host);
            let session = session.map_err(|source| Error::Tls { source: Box::new(source), requests: None })?;
            if self.phase.is_none() {
                self.enter(WaitingFor::Handshake, now);
            }
            return Ok(Stage::Handshake(Box::new(session), base));
        }
        Ok(Stage::Ready(base))
    }

    fn established<T>(&mut self, transport: T) -> Established<T> {
        Established {
            transport,
            engine: Engine {
                sending: self.sending.take().expect("a connection is established once"),
                receiving: Receiving::new(&self.config),
                shared: Shared::observed(self.observer.take()),
            },
            deadline: self.overall_limits[1].map(|expiry| expiry.at),
        }
    }

    fn enter(&mut self, phase: WaitingFor, now: Instant) {
        self.phase = Expiry::after(now, self.config.timeouts.of(phase), TimeLimit::Phase);
    }

    /// The descriptors to wait for after `Needs`, and the time to call [`step`](Connect::step) again even if none is ready.
    #[must_use]
    pub fn poll_set(&self) -> PollSet<'_> {
        let mut set = PollSet::default();
        let waits = &mut set;
        match &self.stage {
            Stage::Name(lookup) => lookup.waits(waits),
            Stage::Tcp(connecting) => connecting.waits(waits),
            Stage::Connector(pending) => pending.waits(waits),
            #[cfg(feature = "socks")]
            Stage::SocksName(lookup, _) => lookup.waits(waits),
            Stage::Tunnel(_, base) => waits.on(base.as_fd(), self.needs),
            #[cfg(feature = "socks")]
            Stage::Socks(_, base) => waits.on(base.as_fd(), self.needs),
            #[cfg(feature = "rustls")]
            Stage::Handshake(_, Some(base)) => waits.on(base.as_fd(), self.needs),
            // The stream itself wakes the task.
            #[cfg(feature = "rustls")]
            Stage::Handshake(_, None) => {}
            // It can go on immediately.
            Stage::Begin | Stage::Ready(_) | Stage::Over => waits.until(Instant::now()),
        }
        for expiry in [self.phase, self.overall_limits[0], self.overall_limits[1]] {
            waits.until(expiry.map(|expiry| expiry.at));
        }
        set
    }

    fn timed_out(&self, limit: TimeLimit) -> Error {
        let (waiting_for, to) = match &self.stage {
            Stage::Name(_) => (WaitingFor::Name, self.next_host().0.to_owned()),
            #[cfg(feature = "socks")]
            Stage::SocksName(..) => (WaitingFor::Name, self.origin.host().to_owned()),
            Stage::Tcp(connecting) => (WaitingFor::Connection, format!("{} ({})", self.target(), Attempts(connecting))),
            Stage::Connector(_) => (WaitingFor::Connection, self.target()),
            Stage::Tunnel(..) => (WaitingFor::Tunnel, format!("{} ({})", self.origin_name(), self.proxy_name())),
            #[cfg(feature = "socks")]
            Stage::Socks(..) => (WaitingFor::Tunnel, format!("{} ({})", self.origin_name(), self.proxy_name())),
            #[cfg(feature = "rustls")]
            Stage::Handshake(..) => (WaitingFor::Handshake, self.origin_name()),
            Stage::Begin | Stage::Ready(_) | Stage::Over => unreachable!("these do not wait"),
        };
        Error::TimedOut { waiting_for, limit, to: Some(to.into()) }
    }

    /// The host that the socket is for, for people.
    fn target(&self) -> String {
        match &self.config.unix_socket {
            Some(path) => path.display().to_string(),
            None => {
                let (host, port) = self.next_host();
                let what = if self.proxy.is_some() { "the proxy " } else { "" };
                format!("{what}{host} port {port}")
            }
        }
    }

    fn origin_name(&self) -> String {
        format!("{} port {}", self.origin.host(), self.origin.port())
    }

    fn proxy_name(&self) -> String {
        self.proxy.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.tell(event);
        }
    }
}

#[cfg(feature = "rustls")]
fn shake_hands(
    session: &mut Session,
    base: &Option<BaseStream>,
    stream: &mut impl Stream,
) -> Result<Progress<()>, dugong_net::tls::TlsError> {
    match base {
        Some(base) => session.handshake(&mut &*base),
        None => session.handshake(stream),
    }
}

/// The stream argument of a step that needs none.
struct Nothing;

impl Stream for Nothing {
    fn read(&mut self, _: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn write(&mut self, _: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

/// The attempts so far, for people.
struct Attempts<'a>(&'a Connecting);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (address, error) in self.0.failed() {
            write!(f, "{separator}{address}: {error}")?;
            separator = "; ";
        }
        for address in self.0.under_way() {
            write!(f, "{separator}{address}: no answer")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Begin => "Begin",
            Stage::Name(_) => "Name",
            Stage::Tcp(_) => "Tcp",
            Stage::Connector(_) => "Connector",
            Stage::Tunnel(..) => "Tunnel",
            #[cfg(feature = "socks")]
            Stage::SocksName(..) => "SocksName",
            #[cfg(feature = "socks")]
            Stage::Socks(..) => "Socks",
            #[cfg(feature = "rustls")]
            Stage::Handshake(..) => "Handshake",
            Stage::Ready(_) => "Ready",
            Stage::Over => "Over",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_host_is_refused_when_connecting() {
        for (host, why) in [("a b", "it contains ' '"), ("", "it is empty"), ("http://h", "it is a URL; give the host alone")] {
            let error = crate::Config::new().connect_to(&Origin::http(host, 80)).unwrap_err();
            assert_eq!(error.to_string(), format!("{host:?} is not a host name: {why}"));
            assert!(!error.is_temporary());
        }
    }

    #[test]
    fn a_url_without_a_scheme_is_quoted_with_what_to_write() {
        for url in ["example.org", "example.org/a b", "localhost:8080/x", "b\u{fc}cher.example", "mailto:x"] {
            let error = crate::Connection::connect(url).unwrap_err();
            let text = format!(
                "{url:?} is not a usable URL: it does not begin with http:// or https://; \
                 write \"http://{url}\" or \"https://{url}\""
            );
            assert_eq!((error.to_string(), format!("{error:#}")), (text.clone(), text));
        }
    }

    #[test]
    fn the_zone_of_an_address_is_not_sent() {
        let (socket, _server) = std::os::unix::net::UnixStream::pair().unwrap();
        Config::new().over(socket, &Origin::http("fe80::1%eth0", 80)).unwrap();
    }
}
