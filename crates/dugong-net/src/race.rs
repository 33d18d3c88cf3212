//! Connecting to one of several addresses (RFC 8305).

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::need::Interest;
use crate::poll_set::PollSet;
use crate::socket::{Address, Socket, SocketOptions};

/// How long an attempt is alone before the next one begins beside it (RFC 8305 §5, Connection Attempt Delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How often to retry a Unix socket whose queue is full: the system has no event for that.
const QUEUE_DELAY: Duration = Duration::from_millis(10);

/// Connects to one of several addresses: it tries the next one when the last has failed or is slow, until one answers, and then
/// closes the others.
#[derive(Debug)]
pub struct Connecting {
    /// The addresses that are still to be tried.
    addresses: VecDeque<Address>,
    /// The attempts under way, oldest first.
    attempts: Vec<(Address, Arc<Socket>)>,
    failed: Vec<(Address, io::Error)>,
    options: SocketOptions,
    observer: Option<Observe>,
    /// How long to wait before the next attempt begins beside the others; `None` waits until they have failed.
    delay: Option<Duration>,
    /// When the next attempt begins.
    next: Option<Instant>,
    /// An attempt has failed, so the next one begins at once, also beside older ones.
    is_due: bool,
    /// The next attempt repeats the last one: the queue of a Unix socket was full.
    is_queued: bool,
}

/// An event of one attempt to connect; others may be under way.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum AttemptEvent<'a> {
    /// The attempt begins.
    Begins {
        /// Where it leads.
        address: &'a Address,
    },
    /// The attempt has failed.
    Failed {
        /// Where it led.
        address: &'a Address,
        /// Why it failed.
        error: &'a io::Error,
    },
}

/// The observer of the attempts.
struct Observe(Box<dyn Fn(AttemptEvent<'_>) + Send + Sync>);

impl fmt::Debug for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observe")
    }
}

/// No address answered.
#[derive(Debug)]
pub struct ConnectError {
    failed: Vec<(Address, io::Error)>,
    /// The error of a connector.
    other: Option<io::Error>,
}

impl Connecting {
    /// Tries all `addresses`, alternating between families (RFC 8305 §4). Each has a small lead over the next, so one that does
    /// not answer costs little.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let (first, others): (Vec<_>, Vec<_>) = split_by_family(addresses);
        let (mut first, mut others) = (first.into_iter(), others.into_iter());
        let mut addresses = VecDeque::new();
        loop {
            let pair = [first.next(), others.next()];
            if pair == [None, None] {
                return Connecting { delay: Some(ATTEMPT_DELAY), ..Connecting::one_by_one(addresses) };
            }
            addresses.extend(pair.into_iter().flatten());
        }
    }

    /// Tries the `addresses` one after the other, in their order. There is a single [attempt](Connecting::current) at a time,
    /// and you decide how long it may take.
    #[must_use]
    pub fn one_by_one(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let addresses = addresses.into_iter().map(Address::Ip).collect();
        Connecting {
            addresses,
            attempts: Vec::new(),
            failed: Vec::new(),
            options: SocketOptions::default(),
            observer: None,
            delay: None,
            next: None,
            is_due: false,
            is_queued: false,
        }
    }

    /// Connects to a Unix socket.
    #[must_use]
    pub fn unix(path: Arc<std::path::Path>) -> Self {
        Connecting { addresses: [Address::Unix(path)].into(), ..Connecting::one_by_one([]) }
    }

    /// Sets the options of the sockets.
    #[must_use]
    pub fn options(mut self, options: SocketOptions) -> Self {
        // Keep addresses of the other family only if there are no others, so that the error names them.
        if self.addresses.iter().any(|address| options.allow(address)) {
            self.addresses.retain(|address| options.allow(address));
        }
        Connecting { options, ..self }
    }

    /// Has `observe` called when an attempt begins, and when one fails.
    #[must_use]
    pub fn observe(mut self, observe: impl Fn(AttemptEvent<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Observe(Box::new(observe)));
        self
    }

    /// Goes on. After `Pending`, wait for [`waits`](Connecting::waits) and call it again.
    ///
    /// # Errors
    /// All addresses have failed.
    pub fn step(&mut self, now: Instant) -> Result<Poll<Arc<Socket>>, ConnectError> {
        loop {
            let mut index = 0;
            while let Some((_, socket)) = self.attempts.get(index) {
                match socket.is_connected() {
                    Ok(true) => return Ok(Poll::Ready(self.won(index))),
                    Ok(false) => index += 1,
                    Err(error) => self.lost(index, error),
                }
            }
            let is_time = std::mem::take(&mut self.is_due) || self.next.is_some_and(|next| next <= now);
            if !is_time && (self.next.is_some() || !self.attempts.is_empty()) {
                return Ok(Poll::Pending);
            }
            self.next = None;
            let Some(address) = self.addresses.pop_front() else {
                if self.attempts.is_empty() {
                    return Err(ConnectError { failed: std::mem::take(&mut self.failed), other: None });
                }
                return Ok(Poll::Pending);
            };
            if !std::mem::take(&mut self.is_queued) {
                self.tell(AttemptEvent::Begins { address: &address });
            }
            match Socket::begin(&address, &self.options) {
                Ok(socket) => {
                    self.attempts.push((address, Arc::new(socket)));
                    if !self.addresses.is_empty() {
                        self.next = self.delay.and_then(|delay| now.checked_add(delay));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && matches!(address, Address::Unix(_)) => {
                    self.addresses.push_front(address);
                    self.is_queued = true;
                    self.next = now.checked_add(QUEUE_DELAY);
                }
                Err(error) => self.note_failure(address, error),
            }
        }
    }

    fn note_failure(&mut self, address: Address, error: io::Error) {
        self.tell(AttemptEvent::Failed { address: &address, error: &error });
        self.failed.push((address, error));
        // The failed attempt needs no lead over the next one.
        (self.is_due, self.next) = (true, None);
    }

    fn tell(&self, event: AttemptEvent<'_>) {
        if let Some(Observe(observe)) = &self.observer {
            observe(event);
        }
    }

    /// Returns the first attempt that succeeded, and closes the others.
    fn won(&mut self, index: usize) -> Arc<Socket> {
        let (_, socket) = self.attempts.swap_remove(index);
        self.attempts.clear();
        self.addresses.clear();
        self.next = None;
        socket
    }

    fn lost(&mut self, index: usize, error: io::Error) {
        let (address, _) = self.attempts.remove(index);
        self.note_failure(address, error);
    }

    /// Adds the descriptors and the time to wait for after `Pending`.
    pub fn waits<'a>(&'a self, waits: &mut PollSet<'a>) {
        for (_, socket) in &self.attempts {
            waits.on(socket.as_fd(), Interest::WRITE);
        }
        waits.until(self.next);
    }

    /// The socket of the last attempt, to wait for it, or to shut it down if you no longer want it.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Socket>> {
        self.attempts.last().map(|(_, socket)| socket)
    }

    /// The addresses of the attempts that are under way.
    pub fn under_way(&self) -> impl Iterator<Item = &Address> {
        let queued = self.addresses.front().filter(|_| self.is_queued);
        self.attempts.iter().map(|(address, _)| address).chain(queued)
    }

    /// The attempts that have failed so far, and their errors.
    #[must_use]
    pub fn failed(&self) -> &[(Address, io::Error)] {
        &self.failed
    }

    /// Gives up the last attempt with `error`. The next step goes on with the next address.
    pub fn give_up(&mut self, error: io::Error) {
        if let Some(last) = self.attempts.len().checked_sub(1) {
            self.lost(last, error);
        }
    }
}

/// Parts the addresses of the family that comes first from those of the other.
fn split_by_family(addresses: impl IntoIterator<Item = SocketAddr>) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let mut addresses = addresses.into_iter().peekable();
    let first_is_v4 = addresses.peek().is_some_and(SocketAddr::is_ipv4);
    addresses.partition(|address| address.is_ipv4() == first_is_v4)
}

impl ConnectError {
    /// Each address that was tried, and its error, in the order in which they failed. Empty if there were no addresses.
    #[must_use]
    pub fn attempts(&self) -> &[(Address, io::Error)] {
        &self.failed
    }

    /// The errors of the system: one for each attempt, or the one of a [`Connector`](crate::Connector).
    pub fn errors(&self) -> impl DoubleEndedIterator<Item = &io::Error> {
        self.failed.iter().map(|(_, error)| error).chain(&self.other)
    }

    /// The error of the attempt that failed last.
    #[must_use]
    pub fn into_last(mut self) -> io::Error {
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
        self.other.or_else(|| self.failed.pop().map(|(_, error)| error)).unwrap_or_else(none)
    }
}

/// An error of a [`Connector`](crate::Connector), which tries no addresses, or does not say which.
impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        ConnectError { failed: Vec::new(), other: Some(error) }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.other {
            return error.fmt(f);
        }
        if self.failed.is_empty() {
            return f.write_str("no address to connect to");
        }
        for (index, (address, error)) in self.failed.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns_and_the_resolvers_first_choice_begins() {
        let found = ["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:1", "1.1.1.1:2"].map(address);
        let connecting = Connecting::new(found);
        let order: Vec<_> = connecting.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[::1]:1", "1.1.1.1:1", "[::1]:2", "1.1.1.1:2", "[::1]:3"]);
    }

    #[test]
    fn an_address_that_refuses_is_followed_by_the_next_at_once_and_all_are_named_in_the_error() {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let dead = [free(), free()];
        let mut connecting = Connecting::new(dead);
        let error = loop {
            match connecting.step(Instant::now()) {
                Ok(Poll::Pending) => {
                    let mut waits = PollSet::default();
                    connecting.waits(&mut waits);
                    assert!(crate::poll_set::wait_any(&waits).unwrap());
                }
                Ok(Poll::Ready(_)) => panic!("nobody listens there"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.attempts().len(), 2);
        let text = error.to_string();
        assert!(dead.iter().all(|address| text.contains(&format!("{address}: Connection refused"))), "{text}");
    }

    #[test]
    fn an_address_that_refuses_beside_one_that_is_silent_is_followed_by_the_next_at_once() {
        // A socket whose queue is full does not answer.
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let _queued: Vec<_> = (0..8).map(|_| Socket::begin(&Address::Ip(silent), &SocketOptions::default()).unwrap()).collect();
        let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let start = Instant::now();
        let mut connecting = Connecting::new([silent, dead, server.local_addr().unwrap()]);
        assert!(connecting.step(start).unwrap().is_pending());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < deadline, "the third address is not tried");
            if let Poll::Ready(socket) = connecting.step(start + ATTEMPT_DELAY).unwrap() {
                assert_eq!(socket.peer_address().unwrap(), Some(server.local_addr().unwrap()));
                break;
            }
        }
        assert_eq!(connecting.failed().len(), 1);
    }

    #[test]
    fn a_unix_socket_whose_queue_is_full_is_one_attempt_that_is_under_way_until_there_is_room() {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, accept, bind, listen, socket};
        use std::sync::atomic::{AtomicUsize, Ordering};

        let dir = tempfile::tempdir().unwrap();
        let path: Arc<std::path::Path> = dir.path().join("socket").into();
        let server = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&server, &SocketAddrUnix::new(&*path).unwrap()).unwrap();
        listen(&server, 1).unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let (mut now, mut connected) = (Instant::now(), 0);
        let mut connecting = loop {
            let mut connecting = Connecting::unix(path.clone()).observe({
                let told = told.clone();
                move |_| {
                    told.fetch_add(1, Ordering::Relaxed);
                }
            });
            if connecting.step(now).unwrap().is_pending() {
                break connecting;
            }
            connected += 1;
            assert!(connected < 10_000, "it never is full");
        };
        for _ in 0..5 {
            let mut waits = PollSet::default();
            connecting.waits(&mut waits);
            assert_eq!((waits.descriptors().len(), waits.deadline()), (0, Some(now + QUEUE_DELAY)));
            assert_eq!(connecting.under_way().collect::<Vec<_>>(), [&Address::Unix(path.clone())]);
            now += QUEUE_DELAY;
            assert!(connecting.step(now).unwrap().is_pending());
        }
        assert_eq!(told.load(Ordering::Relaxed), connected + 1);
        for _ in 0..connected {
            accept(&server).unwrap();
        }
        assert!(connecting.step(now + QUEUE_DELAY).unwrap().is_ready());
    }
}
