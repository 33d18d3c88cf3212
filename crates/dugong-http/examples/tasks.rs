//! Fetches a hundred documents through one connection, in a task of tokio.
//!
//! Run it against the origin that the tests use, as for the example `fetch`, and with `--features tokio`.

use dugong_http::Request;
use dugong_http::tokio::Connection;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: tasks http://HOST:PORT")?;
    let mut connection = Connection::connect(&url).await?;
    let mut pipeline = connection.pipeline((1..=100).map(|i| Request::get(format!("/doc/{i}"))));
    while let Some(response) = pipeline.next().await? {
        let (number, status) = (response.number() + 1, response.status());
        println!("/doc/{number}: {status}, {} bytes", response.read_all().await?.len());
    }
    Ok(())
}
