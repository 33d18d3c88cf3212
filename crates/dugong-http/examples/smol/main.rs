//! The client on another runtime: an adapter for async-io, the reactor of smol, and a program that uses it.
//!
//!     cargo run --example smol --features async -- http://127.0.0.1:8080/

mod adapter;

use std::error::Error;

use adapter::Smol;
use dugong_http::Request;
use dugong_http::asynchronous::Connection;
use dugong_http::transport::Origin;

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: smol URL")?;
    async_io::block_on(async {
        let (_, target) = Origin::of_url(&url)?;
        let mut connection: Connection<Smol> = Connection::connect(&url).await?;
        connection.send_request(Request::get(target)).await?;
        let response = connection.read_response().await?;
        eprintln!("{} {}", response.status(), response.reason());
        println!("{}", String::from_utf8_lossy(&response.read_all().await?));
        Ok(())
    })
}
