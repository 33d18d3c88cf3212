//! From the name of a host to its addresses, and exactly why there are none.
//!
//! The system's resolver is asked first, since it alone knows all that its user configured: the file of hosts, multicast, a
//! directory. Where its answer leaves open whether the name does not exist or nobody could be asked, the name servers that are
//! [configured](super::name_servers) are asked for the same name. Nobody else ever is.

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

/// The addresses of a host, being asked for.
///
/// The call of the C library, `getaddrinfo`, can be neither interrupted nor given a time. In a thread of its own it can be left
/// alone: a dropped `Resolving` leaves no descriptor behind, but at most that thread, until the C library has its answer (10 to
/// 30 seconds, if the name servers are silent, with the usual configuration).
///
/// ```
/// use std::task::Poll;
/// use std::time::Instant;
///
/// use dugong_net::Resolving;
///
/// let mut resolving = Resolving::new("::1", 80, true);
/// let Poll::Ready(addresses) = resolving.step(Instant::now())? else { panic!("an address needs nobody's help") };
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

/// `again` says that the name servers know addresses, so that there is no use in asking them a second time.
#[derive(Debug)]
enum State {
    Begin,
    /// The system's resolver is being asked in another thread.
    System {
        asked: Asked,
        again: bool,
    },
    /// It has answered.
    Heard {
        answer: Result<Vec<SocketAddr>, Refusal>,
        again: bool,
    },
    /// What it said is ambiguous. It was asked at that time, which is long past if the step waited for it: the name servers get
    /// theirs from the next one.
    Ambiguous {
        said: Refusal,
        since: Instant,
    },
    /// The name servers are being asked.
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
    /// Nobody could tell: no name server could be reached, or those that could be failed. It is worth trying again later.
    Unavailable {
        /// The name.
        name: String,
        /// The name servers that were asked directly, and what each of them came to. There are none if the name is of a kind that
        /// is not asked for, or if they know addresses but the system's resolver does not.
        servers: Vec<(SocketAddr, ServerFailure)>,
        /// What the system's resolver said.
        system: String,
    },
    /// The host is neither an address nor a name; nobody was asked.
    NotAName {
        /// The host.
        host: String,
        /// What is wrong with it.
        why: NotAName,
    },
    /// The zone of an IPv6 address (RFC 4007 §11), behind `%`, is no interface of this system.
    NoSuchZone {
        /// The address with its zone.
        host: String,
    },
    /// The system's resolver failed for a reason of its own.
    System {
        /// The name.
        name: String,
        /// Its error code: `EAI_SYSTEM`, `EAI_MEMORY` or whatever else the system has.
        code: i32,
        /// What the system says about it.
        text: String,
    },
    /// The system's resolver could not be asked: there was no thread or no descriptor left for it.
    NotAsked {
        /// The name.
        name: String,
        /// What the system says about it.
        source: io::Error,
    },
}

impl Resolving {
    /// Will ask for the addresses of `host`: a name, beyond ASCII too (then its A-labels are asked for), or an address, perhaps with
    /// a zone (`fe80::1%eth0`).
    ///
    /// The system's resolver blocks, for tens of seconds at worst. With `off_thread` it is asked in a thread of its own, so that a
    /// step never blocks; without, a step lasts as long as it does. An address needs neither a thread nor a resolver.
    #[must_use]
    pub fn new(host: &str, port: u16, off_thread: bool) -> Self {
        Resolving::with(SystemResolver::shared(), host, port, off_thread)
    }

    /// The same, by a resolver of the system that shares its threads with others.
    pub(super) fn with(system: SystemResolver, host: &str, port: u16, off_thread: bool) -> Self {
        Resolving { system, host: normal_if_valid(host).into(), port, off_thread, state: State::Begin }
    }

    /// Goes on: the addresses, in the order in which the system prefers them, each once. A step after that gives them again, and
    /// a step after an error asks anew.
    ///
    /// # Errors
    /// Why there are none.
    pub fn step(&mut self, now: Instant) -> Result<Poll<Vec<SocketAddr>>, ResolveError> {
        loop {
            // Who returns an error leaves the beginning.
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
                    // They may have been out of its reach for a moment; and what it knows counts, not what they do.
                    Poll::Ready(Verdict::Addresses) => self.ask_system(true)?,
                },
                State::Done(addresses) => return Ok(self.done(addresses)),
            }
        }
    }

    /// What it waits for, when the last step was [`Poll::Pending`].
    pub fn waits<'a>(&'a self, waits: &mut PollSet<'a>) {
        match &self.state {
            State::System { asked, .. } => waits.on(asked.descriptor(), Interest::READ),
            State::Ambiguous { since, .. } => waits.until(*since),
            State::NameServers { asking, .. } => asking.waits(waits),
            State::Begin | State::Heard { .. } | State::Done(_) => {}
        }
    }

    /// The address that the host is; none if it can be a name.
    fn literal(&self) -> Result<Option<SocketAddr>, ResolveError> {
        let host = || self.host.clone();
        match literal(&self.host, self.port) {
            Some(Ok(address)) => Ok(Some(address)),
            Some(Err(_)) => Err(ResolveError::NoSuchZone { host: host() }),
            None => normal(&self.host).map(|_| None).map_err(|why| ResolveError::NotAName { host: host(), why }),
        }
    }

    /// Asks the system's resolver, here or in another thread.
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

    /// What the system's resolver said, as it stands.
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

/// The configured name servers, being asked whether a name exists: for those who have asked a resolver of their own, and had an
/// answer that leaves it open. A [`Resolving`] does this by itself.
#[derive(Debug)]
pub struct Inquiry {
    host: String,
    asking: Option<Box<Asking>>,
}

/// What came of an [`Inquiry`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Existence {
    /// The name has addresses.
    Addresses,
    /// The name exists, but has no addresses.
    NoAddresses,
    /// The name does not exist.
    NotFound,
    /// No name server could tell: what each came to.
    Unavailable(Vec<(SocketAddr, ServerFailure)>),
    /// The name is this host (RFC 6761 §6.3). No name server was asked.
    Loopback,
    /// The name is of a kind that name servers are not asked for, such as `printer.local`.
    NotInDns,
}

impl Inquiry {
    /// Will ask the name servers that are configured now; `None` if there are none.
    #[must_use]
    pub fn new(host: &str, now: Instant) -> Option<Self> {
        let asking = Asking::configured(host, now)?;
        Some(Inquiry { host: host.into(), asking: Some(Box::new(asking)) })
    }

    /// Goes on, until one of them has answered, or all have failed.
    ///
    /// # Panics
    /// If it had come to its end before.
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

    /// What it waits for.
    pub fn waits<'a>(&'a self, waits: &mut PollSet<'a>) {
        if let Some(asking) = &self.asking {
            asking.waits(waits);
        }
    }
}

/// This host, in the order in which systems prefer its addresses (RFC 6724 §2.1).
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
                write!(f, "nobody could be asked for the name {name:?}: {system}")
            }
            ResolveError::Unavailable { name, servers, .. } => {
                write!(f, "no name server could tell about the name {name:?}")?;
                for (number, (server, failure)) in servers.iter().enumerate() {
                    let before = if number == 0 { ": " } else { "; " };
                    write!(f, "{before}{} {failure}", server.ip())?;
                }
                Ok(())
            }
            ResolveError::NotAName { host, why } => write!(f, "{host:?} is not the name of a host: {why}"),
            ResolveError::NoSuchZone { host } => write!(f, "the address {host:?} is in a zone that this system does not have"),
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
