//! Uploads a file. The server may refuse it before the first byte, or half-way, for example with 413 (Content Too Large).
//!
//!     cargo run --example upload -- http://HOST:PORT/PATH FILE

use std::fs::File;

use dugong_http::{Config, Origin, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: upload http://HOST:PORT/PATH FILE".into());
    };
    let file = File::open(file)?;
    let (origin, target) = Origin::of_url(&url)?;
    let mut connection = Config::new().connect_to(&origin)?;

    // The client sends the head, and waits up to a second for the server's consent.
    let request = Request::put(target).content_length(file.metadata()?.len()).expect_continue();
    connection.send_request(request)?;
    match connection.content().send_from(file) {
        Ok(sent) => println!("sent {sent} bytes"),
        // The server has answered instead of reading on. That is no failure: the answer says why.
        Err(error) if error.is_refused() => println!("refused"),
        Err(error) => return Err(error.into()),
    }
    let response = connection.read_response()?;
    println!("{} {}", response.status(), response.reason());
    println!("{}", String::from_utf8_lossy(&response.read_all()?));
    Ok(())
}
