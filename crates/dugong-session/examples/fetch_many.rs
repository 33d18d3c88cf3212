//! Fetches a hundred documents from a server: the example of the README.

use dugong_session::{Request, Session};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = std::env::args().nth(1).ok_or("usage: fetch_many http://HOST:PORT")?;
    let session = Session::new(&origin)?;
    let requests = (1..=100).map(|i| Request::get(format!("/doc/{i}")));
    for outcome in session.run(requests) {
        let target = outcome.request.target().unwrap_or("?");
        match &outcome.result {
            Ok(reply) => println!("{target}: {}, {} bytes", reply.status(), reply.content().len()),
            Err(failed) => println!("{target}: {failed}; safe to send again: {}", failed.safe_to_retry),
        }
    }
    Ok(())
}
