//! Dugong's session.

use std::io;
use std::net::SocketAddr;

use dugong_session::{Request, Session};

use crate::client::Run;
use crate::load::{Load, Work};

/// A session for each way to use it: the limits of connections and depth are those of the workload.
pub(crate) struct OfSession {
    origin: String,
    session: Option<Session>,
}

impl OfSession {
    pub(crate) fn new(address: SocketAddr) -> Self {
        OfSession { origin: format!("http://{address}"), session: None }
    }

    fn session(&mut self, load: Load) -> io::Result<&Session> {
        if self.session.is_none() {
            // The warm-up has less in flight than the work, so the depth is that of the largest.
            let depth = load.depth().max(Work::F.default_amount() as usize) as u32;
            let builder = Session::builder(&self.origin);
            let builder = match load.work {
                Work::G => builder.connections(load.connections()),
                Work::F => builder.connections(1).depth(depth),
                _ => builder.connections(1).depth(64),
            };
            self.session = Some(builder.build()?);
        }
        Ok(self.session.as_ref().expect("it was made"))
    }
}

impl Run for OfSession {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        let session = self.session(load)?;
        let target = load.target();
        let request = Request::get(&target);
        let mut bytes = 0;
        if load.work == Work::A {
            for _ in 0..load.requests() {
                bytes += session.request(&request)?.content().len() as u64;
            }
            return Ok(bytes);
        }
        let requests = (0..load.requests()).map(|number| match load.range(number) {
            Some(range) => Request::get(&target).header("Range", range),
            None => request.clone(),
        });
        for outcome in session.run(requests) {
            bytes += outcome.result?.content().len() as u64;
        }
        Ok(bytes)
    }
}
