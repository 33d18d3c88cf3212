//! Fetches a hundred documents through one connection, with many requests in flight.

use dugong_http::{Connection, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: fetch http://HOST:PORT")?;
    let mut connection = Connection::connect(&url)?;
    let mut pipeline = connection.pipeline((1..=100).map(|i| Request::get(format!("/doc/{i}"))));
    while let Some(response) = pipeline.next()? {
        let (number, status) = (response.number() + 1, response.status());
        let content = response.read_all()?; // whole, or an error
        println!("/doc/{number}: {status}, {} bytes", content.len());
    }
    Ok(())
}
