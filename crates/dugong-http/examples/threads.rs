//! Fetches a hundred documents through one connection: one thread sends, another one reads.
//!
//! Run it against the origin that the tests use, as for the example `fetch`.

use dugong_http::{Connection, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: threads http://HOST:PORT")?;
    let (mut requests, mut responses) = Connection::connect(&url)?.split();
    let sender = std::thread::spawn(move || {
        (1..=100).try_for_each(|i| requests.send_request(Request::get(format!("/doc/{i}"))).map(drop))
    });
    // It ends when the sender has dropped its half.
    while let Some(response) = responses.read_response()? {
        let (number, status) = (response.number() + 1, response.status());
        println!("/doc/{number}: {status}, {} bytes", response.read_all()?.len());
    }
    Ok(sender.join().expect("the sender does not panic")?)
}
