//! Runs one client on one workload.

use std::io;
use std::net::SocketAddr;

use crate::load::{Client, Load};
use crate::measure::{Report, Start};
#[cfg(feature = "peers")]
use crate::peers;
use crate::{dugong, httparse, raw, session, split, tasks};

/// A connected client.
pub(crate) trait Run {
    /// Does the work, and returns the bytes of content that it moved.
    fn run(&mut self, load: Load) -> io::Result<u64>;
}

/// Runs `load` after a warm-up on the same connection.
pub(crate) fn run(client: Client, load: Load, address: SocketAddr) -> io::Result<Report> {
    match client {
        Client::Raw => measured(client, &mut raw::Raw::connect(address, raw::Unparsed::default())?, load),
        Client::Httparse => measured(client, &mut raw::Raw::connect(address, httparse::Parsed::default())?, load),
        Client::Dugong => measured(client, &mut dugong::Dugong::connect(address, dugong::By::View)?, load),
        Client::DugongRead => measured(client, &mut dugong::Dugong::connect(address, dugong::By::Copy)?, load),
        Client::Session => measured(client, &mut session::OfSession::new(address), load),
        Client::DugongTokio => measured(client, &mut tasks::Tasks::connect(address)?, load),
        #[cfg(feature = "peers")]
        Client::Hyper => measured(client, &mut peers::Hyper::connect(address)?, load),
        #[cfg(feature = "peers")]
        Client::Reqwest => measured(client, &mut peers::Reqwest::new(address)?, load),
        #[cfg(not(feature = "peers"))]
        Client::Hyper | Client::Reqwest => Err(io::Error::other("this program was built without its feature peers")),
        Client::DugongUnbounded => measured(client, &mut dugong::Unbounded::connect(address)?, load),
        Client::DugongSplit => measured(client, &mut split::Split::connect(address)?, load),
    }
}

fn measured(client: Client, run: &mut impl Run, load: Load) -> io::Result<Report> {
    run.run(load.warm_up())?;
    let start = Start::now()?;
    let bytes = run.run(load)?;
    start.report(client, load, bytes)
}
