//! Resolvers: the system, or your own.

use std::net::SocketAddr;
use std::task::Poll;
use std::time::Instant;

use super::resolve::{ResolveError, Resolving};
use super::system_resolver::SystemResolver;
use crate::poll_set::PollSet;

/// Finds the addresses of hosts.
///
/// A closure that has the answer at once is a resolver, too:
///
/// ```
/// use std::net::SocketAddr;
/// use std::task::Poll;
/// use std::time::Instant;
/// use dugong_net::{Resolve, ResolveError};
///
/// let fixed = |host: &str, port: u16| match host {
///     "a.test" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
///     _ => Err(ResolveError::NotFound { name: host.into() }),
/// };
/// let Poll::Ready(addresses) = fixed.resolve("a.test", 80, false).step(Instant::now())? else { panic!() };
/// assert_eq!(addresses, ["127.0.0.1:80".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Resolve: Send + Sync {
    /// Begins to look up `host`: a name in ASCII. Addresses never get here. With `may_block`, a step may last as long as the
    /// lookup does; without, it must not.
    fn resolve(&self, host: &str, port: u16, may_block: bool) -> Box<dyn Lookup>;
}

/// A lookup under way.
pub trait Lookup: Send {
    /// Goes on: the addresses, the preferred ones first, or `Pending`.
    ///
    /// # Errors
    /// The host has no addresses, or they are unknown.
    fn step(&mut self, now: Instant) -> Result<Poll<Vec<SocketAddr>>, ResolveError>;

    /// Adds the descriptors and the time to wait for after `Pending`.
    fn waits<'a>(&'a self, set: &mut PollSet<'a>);
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16, may_block: bool) -> Box<dyn Lookup> {
        Box::new(Resolving::with(self.clone(), host, port, !may_block))
    }
}

impl<F: Fn(&str, u16) -> Result<Vec<SocketAddr>, ResolveError> + Send + Sync> Resolve for F {
    fn resolve(&self, host: &str, port: u16, _: bool) -> Box<dyn Lookup> {
        let answer = self(host, port).and_then(|addresses| match addresses.is_empty() {
            true => Err(ResolveError::NoAddresses { name: host.into() }),
            false => Ok(addresses),
        });
        Box::new(Known(Some(answer)))
    }
}

impl Lookup for Resolving {
    fn step(&mut self, now: Instant) -> Result<Poll<Vec<SocketAddr>>, ResolveError> {
        Resolving::step(self, now)
    }

    fn waits<'a>(&'a self, set: &mut PollSet<'a>) {
        Resolving::waits(self, set);
    }
}

/// The answer of a closure.
struct Known(Option<Result<Vec<SocketAddr>, ResolveError>>);

impl Lookup for Known {
    fn step(&mut self, _: Instant) -> Result<Poll<Vec<SocketAddr>>, ResolveError> {
        self.0.take().expect("the lookup has ended before").map(Poll::Ready)
    }

    fn waits<'a>(&'a self, _: &mut PollSet<'a>) {}
}
