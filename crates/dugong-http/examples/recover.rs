//! Fetches a hundred documents, and recovers from servers that close connections or do not take several requests at once.
//!
//!     cargo run --example recover -- http://HOST:PORT
//!
//! After a loss, RFC 9112 §9.3.2 wants the first unanswered request to go alone, and others to follow only once it has been
//! answered. If a server answers no pipelined request at all, this program sends it one at a time from then on.

use std::time::Duration;

use dugong_http::{Config, Connection, Error, Request, Unanswered};

/// Connections without progress, one after another, before this program gives up.
const TRIES: u32 = 5;

/// Some servers fall silent when several requests come together; without a limit this program would wait forever.
const SILENCE: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: recover http://HOST:PORT")?;
    let requests: Vec<_> = (1..=100).map(|i| Request::get(format!("/doc/{i}"))).collect();
    let config = Config::new().timeout(SILENCE);
    let mut together = 64;
    let (mut done, mut lost, mut fruitless) = (0, false, 0);
    while done < requests.len() {
        let mut connection = config.connect(&url)?;
        let begin = done;
        let mut fetched = Ok(());
        if lost {
            fetched = fetch(&mut connection, &requests[done..=done], 1, &mut done);
        }
        let pipelined = done;
        if fetched.is_ok() {
            fetched = fetch(&mut connection, &requests[done..], together, &mut done);
            if fetched.is_err() && done < pipelined + 2 {
                // No request that followed another was answered.
                together = 1;
            }
        }
        let Err(error) = fetched else { break };
        let is_safe = connection.close().unanswered.iter().all(Unanswered::is_safe_to_retry);
        fruitless = if done == begin { fruitless + 1 } else { 0 };
        if !error.is_temporary() || !is_safe || fruitless == TRIES {
            return Err(error.into());
        }
        lost = true;
        std::thread::sleep(Duration::from_millis(50) * 2u32.pow(fruitless));
    }
    Ok(())
}

/// Sends `requests` with at most `together` in flight, and counts the answers in `done`.
fn fetch(connection: &mut Connection, requests: &[Request], together: usize, done: &mut usize) -> Result<(), Error> {
    let mut pipeline = connection.pipeline(requests).max_requests(together);
    while let Some(response) = pipeline.next()? {
        let status = response.status();
        let content = response.read_all()?; // whole, or an error
        *done += 1;
        println!("/doc/{done}: {status}, {} bytes", content.len());
    }
    Ok(())
}
