//! The server that answers by URL.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::acceptor::{Acceptor, Stop};
use crate::config::{Config, Counters, Counts};
use crate::connection::Connection;
use crate::files::Files;
use crate::small::Small;
use crate::state::{Arrivals, State};

/// A running origin server. Dropping it closes its sockets and ends its threads.
#[derive(Debug)]
pub struct Origin {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

/// The state that all connections of an origin share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) small: Small,
    pub(crate) state: State,
}

impl Origin {
    /// Starts to listen and serve, in threads.
    ///
    /// # Errors
    ///
    /// The system refused the address, has no thread or descriptor left, or did not read [`Config::files`]. No server runs then.
    pub fn start(mut config: Config) -> io::Result<Self> {
        // Without room, no answer could be sent; with little room, each byte would need a system call.
        config.high_water = config.high_water.max(4096);
        config.read_ahead = config.read_ahead.max(1);
        let (listen, kernel_buffers) = (config.listen, config.kernel_buffers);
        let files = config.files.as_deref().map_or_else(|| Ok(Files::default()), Files::read)?;
        let state = State::with(files);
        let shared = Arc::new(Shared { config, counters: Counters::default(), small: Small::new(), state });
        let serving = Arc::clone(&shared);
        let acceptor =
            Acceptor::start(listen, kernel_buffers, move |number, stream, stop| serve(number, stream, stop, &serving))?;
        Ok(Self { acceptor, shared })
    }

    /// The address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// The counts so far; also after [`stop`](Self::stop).
    pub fn counts(&self) -> Counts {
        self.shared.counters.snapshot()
    }

    /// Changes the content and the entity tag of all documents but `/small`, as `PUT /version/N` does. It begins with 0.
    ///
    /// Version `N` of `/bytes/…?seed=S` has the content of seed `S + N`, and that of `/doc/ID` the content of `ID@N`.
    pub fn set_version(&self, version: u64) {
        self.shared.state.set_version(version);
    }

    /// The requests with content for `/count/ID`, by ID.
    pub fn arrivals(&self) -> HashMap<Box<str>, Arrivals> {
        self.shared.state.arrivals()
    }

    /// Closes all sockets, even in the middle of an answer, and waits for the threads to end. Dropping does the same.
    pub fn stop(&mut self) {
        self.acceptor.stop();
    }
}

fn serve(number: usize, stream: TcpStream, stop: &Stop, shared: &Shared) {
    shared.counters.connections.fetch_add(1, Ordering::SeqCst);
    shared.counters.open.fetch_add(1, Ordering::SeqCst);
    // The error means that the client has gone away, which ends the connection in any case.
    let _ = Connection::new(number, stream, stop, shared).run();
    shared.counters.open.fetch_sub(1, Ordering::SeqCst);
}
