//! One client, one workload.

use std::io;
use std::net::SocketAddr;

use crate::load::{Client, Load};
use crate::measure::{Report, Start};
use crate::{dugong, httparse, peers, raw, tasks};

/// A client that is connected.
pub(crate) trait Run {
    /// Does the work; the result is how many bytes of content it moved.
    fn run(&mut self, load: Load) -> io::Result<u64>;
}

/// Runs `load` after a warm-up, on the same connection.
pub(crate) fn run(client: Client, load: Load, address: SocketAddr) -> io::Result<Report> {
    match client {
        Client::Raw => measured(client, &mut raw::Raw::connect(address, raw::Unparsed::default())?, load),
        Client::Httparse => measured(client, &mut raw::Raw::connect(address, httparse::Parsed::default())?, load),
        Client::Dugong => measured(client, &mut dugong::Dugong::connect(address, dugong::By::View)?, load),
        Client::DugongRead => measured(client, &mut dugong::Dugong::connect(address, dugong::By::Copy)?, load),
        Client::DugongTokio => measured(client, &mut tasks::Tasks::connect(address)?, load),
        Client::Hyper => measured(client, &mut peers::Hyper::connect(address)?, load),
        Client::Reqwest => measured(client, &mut peers::Reqwest::new(address)?, load),
    }
}

fn measured(client: Client, run: &mut impl Run, load: Load) -> io::Result<Report> {
    run.run(load.warm_up())?;
    let start = Start::now()?;
    let bytes = run.run(load)?;
    start.report(client, load, bytes)
}
