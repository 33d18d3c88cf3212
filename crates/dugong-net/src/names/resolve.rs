//! Finds the addresses of a host, or the exact reason why it has none.
//!
//! The system's resolver comes first, because it alone knows all that its user configured: the file of hosts, multicast, a
//! directory. If its answer may mean both that the name does not exist and that no server could be asked, the [configured name
//! servers](super::name_servers) are asked for the same name. No other servers are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::Instant;
use std::{fmt, io};

use super::host_name::{Kind, NotAName, literal, normal, normal_if_valid};
use super::name_servers::{Asking, Verdict};
use super::question::ServerFailure;
use super::system_resolver::{Asked, Refusal, SystemResolver, ask};
use crate::need::Interest;
use crate::poll_set::PollSet;

/// A lookup of the addresses of a host.
///
/// `getaddrinfo` of the C library can be neither interrupted nor limited in time, but a thread can be left alone with it. If
/// you drop a `Resolving`, it leaves no descriptor behind, and at most that thread, until the C library has its answer (10 to
/// 30 seconds with silent name servers and the usual configuration).
///
/// ```
/// use std::task::Poll;
/// use std::time::Instant;
///
/// use dugong_net::Resolving;
///
/// let mut resolving = Resolving::new("::1", 80, true);
/// let Poll::Ready(addresses) = resolving.step(Instant::now())? else { panic!("an address needs no resolver") };
/// assert_eq!(addresses, ["[::1]:80".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Resolving {
    system: SystemResolver,
    host: String,
    port: u16,
    off_thread: bool,
    state: State,
}

/// `again` is set if the name servers know addresses, so asking them once more is pointless.
#[derive(Debug)]
enum State {
    Begin,
    /// A thread asks the system's resolver.
    System {
        asked: Asked,
        again: bool,
    },
    /// The system's resolver has answered.
    Heard {
        answer: Result<Vec<SocketAddr>, Refusal>,
        again: bool,
    },
    /// The answer is ambiguous. The step that asked may have blocked since that time, so the time of the name servers begins
    /// with the next step.
    Ambiguous {
        said: Refusal,
        since: Instant,
    },
    /// The name servers have been asked.
    NameServers {
        asking: Box<Asking>,
        said: Refusal,
    },
    Done(Vec<SocketAddr>),
}

/// Why a host has no addresses.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist.
    NotFound {
        /// The name.
        name: String,
    },
    /// The name exists, but has no addresses.
    NoAddresses {
        /// The name.
        name: String,
    },
    /// No name server gave an answer: they were unreachable, or failed. Try again later.
    Unavailable {
        /// The name.
        name: String,
        /// The name servers that were asked directly, and how each failed. Empty if they are not asked for names of this kind,
        /// or if they know addresses but the system's resolver does not.
        servers: Vec<(SocketAddr, ServerFailure)>,
        /// The answer of the system's resolver.
        system: String,
    },
    /// The host is neither an address nor a name. No resolver was asked.
    NotAName {
        /// The host.
        host: String,
        /// The reason.
        why: NotAName,
    },
    /// The zone of an IPv6 address (RFC 4007 §11), behind `%`, is not an interface of this system.
    NoSuchZone {
        /// The address with its zone.
        host: String,
    },
    /// The system's resolver failed for a reason of its own.
    System {
        /// The name.
        name: String,
        /// Its error code, such as `EAI_SYSTEM` or `EAI_MEMORY`.
        code: i32,
        /// The message of the system.
        text: String,
    },
    /// No thread or descriptor was left to ask the system's resolver.
    NotAsked {
        /// The name.
        name: String,
        /// The message of the system.
        source: io::Error,
    },
}

impl Resolving {
    /// Prepares a lookup of `host`: a name, which is asked for by its A-labels if it is beyond ASCII, or an address, perhaps
    /// with a zone (`fe80::1%eth0`).
    ///
    /// The system's resolver can block for tens of seconds. With `off_thread`, it runs in a thread of its own, and a step never
    /// blocks. An address needs neither a thread nor a resolver.
    #[must_use]
    pub fn new(host: &str, port: u16, off_thread: bool) -> Self {
        Resolving::with(SystemResolver::shared(), host, port, off_thread)
    }

    /// Prepares a lookup with this resolver.
    pub(super) fn with(system: SystemResolver, host: &str, port: u16, off_thread: bool) -> Self {
        Resolving { system, host: normal_if_valid(host).into(), port, off_thread, state: State::Begin }
    }

    /// Goes on. Returns the addresses in the order in which the system prefers them, each once. A later step returns them
    /// again, and a step after an error asks anew.
    ///
    /// # Errors
    /// The reason why the host has no addresses.
    pub fn step(&mut self, now: Instant) -> Result<Poll<Vec<SocketAddr>>, ResolveError> {
        loop {
            // On error the state stays `Begin`, so the next step starts over.
            match std::mem::replace(&mut self.state, State::Begin) {
                State::Begin => match self.literal()? {
                    Some(address) => return Ok(self.done(vec![address])),
                    None => self.ask_system(false)?,
                },
                State::System { asked, again } => match asked.answer() {
                    Some(answer) => self.state = State::Heard { answer, again },
                    None => {
                        self.state = State::System { asked, again };
                        return Ok(Poll::Pending);
                    }
                },
                State::Heard { answer: Ok(addresses), .. } => return Ok(self.done(addresses)),
                State::Heard { answer: Err(said), again } => match Kind::of(&self.host) {
                    _ if again || !said.is_ambiguous() => return Err(self.refused(said)),
                    Kind::Loopback => return Ok(self.done(loopback(self.port))),
                    Kind::NonExistent => return Err(self.not_found()),
                    Kind::NotInDns => return Err(self.refused(said)),
                    Kind::Other => {
                        self.state = State::Ambiguous { said, since: now };
                        if !self.off_thread {
                            return Ok(Poll::Pending);
                        }
                    }
                },
                State::Ambiguous { said, .. } => {
                    self.state = State::NameServers { asking: Box::new(Asking::new(&self.host, now)), said };
                }
                State::NameServers { mut asking, said } => match asking.step(now) {
                    Poll::Pending => {
                        self.state = State::NameServers { asking, said };
                        return Ok(Poll::Pending);
                    }
                    Poll::Ready(Verdict::NotFound) => return Err(self.not_found()),
                    Poll::Ready(Verdict::NoAddresses) => return Err(self.no_addresses()),
                    Poll::Ready(Verdict::Unavailable(servers)) => return Err(self.unavailable(servers, said)),
                    // They may have been out of its reach for a moment. Its addresses count, not theirs.
                    Poll::Ready(Verdict::Addresses) => self.ask_system(true)?,
                },
                State::Done(addresses) => return Ok(self.done(addresses)),
            }
        }
    }

    /// Adds the descriptors and the time to wait for after [`Poll::Pending`].
    pub fn waits<'a>(&'a self, waits: &mut PollSet<'a>) {
        match &self.state {
            State::System { asked, .. } => waits.on(asked.descriptor(), Interest::READ),
            State::Ambiguous { since, .. } => waits.until(*since),
            State::NameServers { asking, .. } => asking.waits(waits),
            State::Begin | State::Heard { .. } | State::Done(_) => {}
        }
    }

    /// Parses the host as an address. `None` if it can be a name.
    fn literal(&self) -> Result<Option<SocketAddr>, ResolveError> {
        let host = || self.host.clone();
        match literal(&self.host, self.port) {
            Some(Ok(address)) => Ok(Some(address)),
            Some(Err(_)) => Err(ResolveError::NoSuchZone { host: host() }),
            None => normal(&self.host).map(|_| None).map_err(|why| ResolveError::NotAName { host: host(), why }),
        }
    }

    /// Asks the system's resolver, here or in a thread.
    fn ask_system(&mut self, again: bool) -> Result<(), ResolveError> {
        self.state = if self.off_thread {
            let asked = Asked::new(&self.system, self.host.clone(), self.port);
            let asked = asked.map_err(|source| ResolveError::NotAsked { name: self.host.clone(), source })?;
            State::System { asked, again }
        } else {
            State::Heard { answer: ask(&self.host, self.port), again }
        };
        Ok(())
    }

    fn done(&mut self, addresses: Vec<SocketAddr>) -> Poll<Vec<SocketAddr>> {
        self.state = State::Done(addresses.clone());
        Poll::Ready(addresses)
    }

    fn not_found(&self) -> ResolveError {
        ResolveError::NotFound { name: self.host.clone() }
    }

    fn no_addresses(&self) -> ResolveError {
        ResolveError::NoAddresses { name: self.host.clone() }
    }

    fn unavailable(&self, servers: Vec<(SocketAddr, ServerFailure)>, said: Refusal) -> ResolveError {
        ResolveError::Unavailable { name: self.host.clone(), servers, system: said.text }
    }

    /// Takes the answer of the system's resolver as it stands.
    fn refused(&self, said: Refusal) -> ResolveError {
        use dns_lookup::LookupErrorKind::{Again, Fail, NoData, NoName};
        match said.kind {
            NoName => self.not_found(),
            NoData => self.no_addresses(),
            Again | Fail => self.unavailable(Vec::new(), said),
            _ => ResolveError::System { name: self.host.clone(), code: said.code, text: said.text },
        }
    }
}

/// A question to the configured name servers: does a name exist? Use it if you asked another resolver, and its answer was
/// ambiguous. A [`Resolving`] does this by itself.
#[derive(Debug)]
pub struct Inquiry {
    host: String,
    asking: Option<Box<Asking>>,
}

/// The outcome of an [`Inquiry`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Existence {
    /// The name has addresses.
    Addresses,
    /// The name exists, but has no addresses.
    NoAddresses,
    /// The name does not exist.
    NotFound,
    /// No name server gave an answer; how each failed.
    Unavailable(Vec<(SocketAddr, ServerFailure)>),
    /// The name is this host (RFC 6761 §6.3). No name server was asked.
    Loopback,
    /// Name servers are not asked for names of this kind, such as `printer.local`.
    NotInDns,
}

impl Inquiry {
    /// Prepares a question to the name servers that are configured now. Returns `None` if none are.
    #[must_use]
    pub fn new(host: &str, now: Instant) -> Option<Self> {
        let asking = Asking::configured(host, now)?;
        Some(Inquiry { host: host.into(), asking: Some(Box::new(asking)) })
    }

    /// Goes on until one of them has answered, or all have failed.
    ///
    /// # Panics
    /// If it has returned its answer before.
    pub fn step(&mut self, now: Instant) -> Poll<Existence> {
        match Kind::of(&self.host) {
            Kind::Loopback => return Poll::Ready(Existence::Loopback),
            Kind::NonExistent => return Poll::Ready(Existence::NotFound),
            Kind::NotInDns => return Poll::Ready(Existence::NotInDns),
            Kind::Other => {}
        }
        let asking = self.asking.as_mut().expect("the inquiry had come to its end");
        asking.step(now).map(|verdict| {
            self.asking = None;
            match verdict {
                Verdict::Addresses => Existence::Addresses,
                Verdict::NoAddresses => Existence::NoAddresses,
                Verdict::NotFound => Existence::NotFound,
                Verdict::Unavailable(servers) => Existence::Unavailable(servers),
            }
        })
    }

    /// Adds the descriptors and the time to wait for.
    pub fn waits<'a>(&'a self, waits: &mut PollSet<'a>) {
        if let Some(asking) = &self.asking {
            asking.waits(waits);
        }
    }
}

/// The addresses of this host, in the order in which systems prefer them (RFC 6724 §2.1).
fn loopback(port: u16) -> Vec<SocketAddr> {
    let hosts = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
    hosts.map(|host| SocketAddr::new(host, port)).into()
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::NotFound { name } => write!(f, "the name {name:?} does not exist"),
            ResolveError::NoAddresses { name } => write!(f, "the name {name:?} has no addresses"),
            ResolveError::Unavailable { name, servers, system } if servers.is_empty() => {
                write!(f, "no resolver could be asked for the name {name:?}: {system}")
            }
            ResolveError::Unavailable { name, servers, .. } => {
                write!(f, "no name server gave an answer about the name {name:?}")?;
                for (number, (server, failure)) in servers.iter().enumerate() {
                    let before = if number == 0 { ": " } else { "; " };
                    write!(f, "{before}{} {failure}", server.ip())?;
                }
                Ok(())
            }
            ResolveError::NotAName { host, why } => write!(f, "{host:?} is not a host name: {why}"),
            ResolveError::NoSuchZone { host } => write!(f, "the address {host:?} has a zone that this system does not have"),
            ResolveError::System { name, code, text } => write!(f, "cannot resolve the name {name:?}: {text} (code {code})"),
            ResolveError::NotAsked { name, .. } => write!(f, "cannot ask the system for the name {name:?}"),
        }
    }
}

impl std::error::Error for ResolveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ResolveError::NotAsked { source, .. } => Some(source),
            _ => None,
        }
    }
}
