//! Uses a connection as a service of tower: a hundred calls at once, through tower's middleware.
//!
//!     cargo run --example tower --features tokio,tower -- http://HOST:PORT

use dugong_http::tokio::Connection;
use dugong_http::tower::{BoxError, service};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let url = std::env::args().nth(1).ok_or("usage: tower http://HOST:PORT")?;
    let (connection, driver) = service(Connection::connect(&url).await?);
    // The driver does all the work: without it, no call gets an answer.
    tokio::spawn(driver);
    let service = ServiceBuilder::new().concurrency_limit(32).service(connection);

    let mut calls = JoinSet::new();
    for i in 1..=100 {
        let service = service.clone();
        calls.spawn(async move {
            let request = http::Request::get(format!("/doc/{i}")).body(String::new())?;
            let response = service.oneshot(request).await?;
            let status = response.status();
            // Read each response to its end, or drop it: until then, it holds up those behind it.
            let content = response.into_body().collect().await?.to_bytes();
            Ok::<_, BoxError>(format!("/doc/{i}: {status}, {} bytes", content.len()))
        });
    }
    while let Some(line) = calls.join_next().await {
        println!("{}", line??);
    }
    Ok(())
}
