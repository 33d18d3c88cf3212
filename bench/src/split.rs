//! Dugong's split connection: one thread sends, the other reads.

use std::io;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};

use dugong_http::{Connection, Error, Request, RequestHalf, ResponseHalf};

use crate::client::Run;
use crate::load::Load;

/// Both halves of a connection.
#[derive(Debug)]
pub(crate) struct Split {
    requests: RequestHalf,
    responses: ResponseHalf,
}

impl Split {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let (requests, responses) = Connection::connect(format!("http://{address}"))?.split();
        Ok(Split { requests, responses })
    }
}

impl Run for Split {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        let Split { requests, responses } = self;
        let answered = Answered::default();
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| send(requests, load, &answered));
            let bytes = read(responses, load, &answered);
            // A sender that waits for an answer must not wait forever.
            answered.add(load.requests());
            sender.join().expect("the sender does not panic")?;
            Ok(bytes?)
        })
    }
}

/// Fills the window, and fills it again whenever half of it is used. The requests of a filling go out together.
fn send(requests: &mut RequestHalf, load: Load, answered: &Answered) -> Result<(), Error> {
    let (request, depth) = (Request::get(load.target()), load.depth() as u64);
    let mut sent = 0;
    while sent < load.requests() {
        let end = (answered.wait_for(sent.saturating_sub(depth / 2)) + depth).min(load.requests());
        for _ in sent..end {
            requests.queue_request(&request)?;
        }
        requests.flush()?;
        sent = end;
    }
    Ok(())
}

fn read(responses: &mut ResponseHalf, load: Load, answered: &Answered) -> Result<u64, Error> {
    let (mut bytes, mut content) = (0, Vec::new());
    for _ in 0..load.requests() {
        let Some(mut response) = responses.read_response()? else { break };
        content.clear();
        response.read_to(&mut content)?;
        bytes += content.len() as u64;
        answered.add(1);
    }
    Ok(bytes)
}

/// The number of requests that the server has answered.
#[derive(Debug, Default)]
struct Answered {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Answered {
    fn add(&self, number: u64) {
        *self.count.lock().expect("no thread panics with the lock") += number;
        self.changed.notify_one();
    }

    /// Waits until at least `number` are answered, and returns how many are.
    fn wait_for(&self, number: u64) -> u64 {
        let count = self.count.lock().expect("no thread panics with the lock");
        *self.changed.wait_while(count, |count| *count < number).expect("no thread panics with the lock")
    }
}
