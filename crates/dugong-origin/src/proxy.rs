//! A proxy between a client and a server that delays, cuts, resets, stalls and garbles.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::acceptor::{Acceptor, Stop};
use crate::faults::Faults;
use crate::relay::Relay;

/// Passes bytes on between clients and a server, and does the harm to each connection that a test has chosen. Dropping it resets all
/// connections and ends its threads.
///
/// ```
/// # use dugong_origin::{Config, Origin};
/// use dugong_origin::{Fault, Faults, Proxy};
///
/// let origin = Origin::start(Config::default())?;
/// // The first connection ends after 100 bytes of answers, the others are good.
/// let proxy = Proxy::start_with(origin.address(), |number| match number {
///     0 => Faults::default().to_client(100, Fault::Fin),
///     _ => Faults::default(),
/// })?;
/// # drop(proxy);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

/// The state that all connections share.
#[derive(Debug)]
struct Shared {
    server: Mutex<SocketAddr>,
    connections: AtomicUsize,
    most_together: AtomicUsize,
    bytes_to_clients: AtomicU64,
    /// The clients' sides of the open connections, by number.
    open: Mutex<Vec<(usize, TcpStream)>>,
}

impl Proxy {
    /// Starts a proxy that does no harm until you call [`cut`](Self::cut).
    ///
    /// # Errors
    /// The system has no port, thread or descriptor left.
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        Self::start_with(server, |_| Faults::default())
    }

    /// Starts a proxy that does this harm to each connection, by its number, from 0.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_with(server: SocketAddr, faults: impl Fn(usize) -> Faults + Send + Sync + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            connections: AtomicUsize::new(0),
            most_together: AtomicUsize::new(0),
            bytes_to_clients: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let acceptor = Acceptor::start(listen, None, move |number, client, stop| {
            serving.connections.fetch_add(1, Ordering::SeqCst);
            // An error means that one of the connections has ended, which ends the other.
            let _ = serve(&serving, number, client, faults(number), stop);
        })?;
        Ok(Self { acceptor, shared })
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// The number of connections that clients have made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The number of connections that are open now.
    pub fn open(&self) -> usize {
        lock(&self.shared.open).len()
    }

    /// The most requests without content that a client has sent on one connection without a byte of an answer between them. More than
    /// one means that they were pipelined.
    pub fn most_together(&self) -> usize {
        self.shared.most_together.load(Ordering::SeqCst)
    }

    /// The bytes that have come from servers for clients, on all connections.
    pub fn bytes_to_clients(&self) -> u64 {
        self.shared.bytes_to_clients.load(Ordering::SeqCst)
    }

    /// Connects later connections to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        *lock(&self.shared.server) = server;
    }

    /// Resets all connections that are open now.
    pub fn cut(&self) {
        for (_, client) in lock(&self.shared.open).iter() {
            // The connection may have ended. Its thread finds the reset.
            let _ = reset(client);
        }
    }
}

fn serve(shared: &Shared, number: usize, client: TcpStream, faults: Faults, stop: &Stop) -> io::Result<()> {
    let address = *lock(&shared.server);
    let outcome = match TcpStream::connect(address) {
        Ok(server) => {
            server.set_nonblocking(true)?;
            server.set_nodelay(true)?;
            lock(&shared.open).push((number, client.try_clone()?));
            let mut relay = Relay::new(client.try_clone()?, server, faults, &shared.most_together, &shared.bytes_to_clients);
            let outcome = relay.run(stop);
            if outcome.is_err() {
                let _ = reset(relay.server());
            }
            outcome
        }
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        let _ = reset(&client);
    }
    lock(&shared.open).retain(|(other, _)| *other != number);
    outcome
}

/// Resets a connection, although other descriptors of it are open.
fn reset(stream: &TcpStream) -> io::Result<()> {
    set_socket_linger(stream, Some(Duration::ZERO))?;
    Ok(rustix::net::connect_unspec(stream)?)
}

// No change can be left half-made by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
