//! Connects to one of several addresses, in turn or in parallel.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use dugong_http::driver::{Connecting, Interest, PollSet, Socket};
use dugong_http::transport::Address;

/// Attempts to connect to the addresses of a host (statement 7.5).
pub(crate) struct Race {
    connecting: Connecting,
    order: Order,
    /// The descriptor that becomes ready when one of several attempts does.
    any: Option<Arc<OwnedFd>>,
    /// The last attempt that was begun, and its time.
    last: Option<(Arc<Socket>, Instant)>,
    /// When the next attempt begins, or the share of this one ends.
    until: Option<Instant>,
}

enum Order {
    /// Each attempt has a small lead over the next (RFC 8305).
    Beside,
    /// Each attempt has this much time.
    InTurn(Option<Duration>),
}

/// One attempt, or several, to wait for.
pub(crate) struct Attempts {
    on: On,
    pub(crate) until: Option<Instant>,
}

enum On {
    One(Arc<Socket>),
    Any(Arc<OwnedFd>),
}

/// Why connecting has failed.
pub(crate) struct Lost {
    pub(crate) error: io::Error,
    /// The address that failed last.
    pub(crate) address: Option<Address>,
}

impl Race {
    /// Tries the addresses in parallel.
    pub(crate) fn beside(addresses: Vec<SocketAddr>) -> Self {
        Race::new(Connecting::new(addresses), Order::Beside)
    }

    /// Tries them in turn, each with its share of `limit`.
    pub(crate) fn in_turn(addresses: Vec<SocketAddr>, limit: Option<Duration>) -> Self {
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        // A single attempt needs no share: its wait has the same limit.
        let share = limit.filter(|_| count > 1).map(|limit| limit / count);
        Race::new(Connecting::one_by_one(addresses), Order::InTurn(share))
    }

    fn new(connecting: Connecting, order: Order) -> Self {
        Race { connecting, order, any: None, last: None, until: None }
    }

    /// Goes on without waiting.
    pub(crate) fn step(&mut self, now: Instant) -> Result<Poll<Arc<Socket>>, Lost> {
        loop {
            match self.connecting.step(now) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(socket)) => return Ok(Poll::Ready(socket)),
                Err(error) => {
                    let address = error.attempts().last().map(|(address, _)| address.clone());
                    return Err(Lost { error: error.into_last(), address });
                }
            }
            let current = self.connecting.current().expect("without an attempt there would be an error");
            let begun = match &self.last {
                Some((last, begun)) if Arc::ptr_eq(last, current) => *begun,
                _ => {
                    self.last = Some((current.clone(), now));
                    now
                }
            };
            match self.order {
                Order::Beside => {
                    let mut waits = PollSet::default();
                    self.connecting.waits(&mut waits);
                    self.until = waits.deadline();
                    return Ok(Poll::Pending);
                }
                Order::InTurn(share) => {
                    self.until = share.and_then(|share| begun.checked_add(share));
                    if self.until.is_none_or(|until| now < until) {
                        return Ok(Poll::Pending);
                    }
                    self.give_up();
                }
            }
        }
    }

    /// The attempt that was begun last.
    pub(crate) fn current(&self) -> Option<&Arc<Socket>> {
        self.connecting.current()
    }

    /// Gives up the present attempts. The next step goes on with the next address.
    pub(crate) fn give_up(&mut self) {
        while self.connecting.current().is_some() {
            self.connecting.give_up(io::ErrorKind::TimedOut.into());
        }
    }

    /// The attempts to wait for, and the interest.
    pub(crate) fn waits_for(&mut self) -> Option<(Attempts, Interest)> {
        let mut waits = PollSet::default();
        self.connecting.waits(&mut waits);
        let on = match waits.descriptors() {
            [] => return None,
            [_] => None,
            several => gathered(&mut self.any, several),
        };
        let current = self.connecting.current()?.clone();
        Some(match on {
            Some(any) => (Attempts { on: On::Any(any), until: self.until }, Interest::READ),
            // This system cannot wait for several together, so a timer looks at the others.
            None if waits.descriptors().len() > 1 => {
                let soon = Instant::now() + LOOK_AGAIN;
                let until = self.until.map_or(soon, |until| until.min(soon));
                (Attempts { on: On::One(current), until: Some(until) }, Interest::WRITE)
            }
            None => (Attempts { on: On::One(current), until: self.until }, Interest::WRITE),
        })
    }
}

impl AsFd for Attempts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.on {
            On::One(socket) => socket.as_fd(),
            On::Any(any) => any.as_fd(),
        }
    }
}

/// One descriptor that becomes readable when one of several sockets becomes writable, for any way to wait. A closed socket leaves
/// it by itself.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn gathered(any: &mut Option<Arc<OwnedFd>>, sockets: &[(BorrowedFd<'_>, Interest)]) -> Option<Arc<OwnedFd>> {
    use rustix::event::epoll;
    use rustix::io::Errno;

    if any.is_none() {
        *any = Some(Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).ok()?));
    }
    let epoll = any.as_ref()?;
    for (socket, _) in sockets {
        match epoll::add(epoll, socket, epoll::EventData::new_u64(0), epoll::EventFlags::OUT) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(_) => return None,
        }
    }
    Some(epoll.clone())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn gathered(_: &mut Option<Arc<OwnedFd>>, _: &[(BorrowedFd<'_>, Interest)]) -> Option<Arc<OwnedFd>> {
    None
}

/// How long an attempt may go unnoticed where a system cannot wait for several by one descriptor.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
