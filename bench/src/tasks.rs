//! Dugong's async client, on a tokio runtime with one thread.

use std::io;
use std::net::SocketAddr;

use dugong_http::tokio::{Connection, Response};
use dugong_http::{Misuse, Request};
use tokio::runtime::{Builder, Runtime};

use crate::client::Run;
use crate::load::{Load, PIECE, Work};

/// A connection and its runtime.
pub(crate) struct Tasks {
    runtime: Runtime,
    connection: Connection,
    buffer: Vec<u8>,
}

/// Makes a runtime that uses the calling thread alone.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl Tasks {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let runtime = runtime()?;
        let connection = runtime.block_on(Connection::connect(format!("http://{address}")))?;
        Ok(Tasks { runtime, connection, buffer: vec![0; PIECE] })
    }
}

impl Run for Tasks {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        let Tasks { runtime, connection, buffer } = self;
        runtime.block_on(async {
            match load.work {
                Work::A | Work::C => one_by_one(connection, &Request::get(load.target()), load.requests(), buffer).await,
                Work::B | Work::F | Work::G => pipelined(connection, &Request::get(load.target()), load, buffer).await,
                Work::D => {
                    connection.send_request(Request::get(load.target())).await?;
                    view(connection.read_response().await?).await
                }
                Work::E => upload(connection, load, buffer).await,
            }
        })
    }
}

async fn one_by_one(connection: &mut Connection, request: &Request, count: u64, buffer: &mut [u8]) -> io::Result<u64> {
    let mut bytes = 0;
    for _ in 0..count {
        connection.send_request(request).await?;
        bytes += copy(connection.read_response().await?, buffer).await?;
    }
    Ok(bytes)
}

async fn pipelined(connection: &mut Connection, request: &Request, load: Load, buffer: &mut [u8]) -> io::Result<u64> {
    let requests = (0..load.requests()).map(|_| request);
    let mut pipeline = connection.pipeline(requests).max_requests(load.depth());
    let mut bytes = 0;
    while let Some(response) = pipeline.next().await? {
        bytes += copy(response, buffer).await?;
    }
    Ok(bytes)
}

async fn upload(connection: &mut Connection, load: Load, piece: &[u8]) -> io::Result<u64> {
    connection.send_request(Request::put(load.target()).content_length(load.content())).await?;
    let mut left = load.content();
    let mut content = connection.content();
    while left > 0 {
        let count = left.min(piece.len() as u64) as usize;
        match content.send_all(&piece[..count]).await {
            Ok(()) => left -= count as u64,
            Err(dugong_http::Error::Local(Misuse::ContentRefused)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    connection.read_response().await?.discard().await?;
    Ok(load.content() - left)
}

/// Copies content into a buffer.
async fn copy(mut response: Response<'_>, buffer: &mut [u8]) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        match response.read_content(buffer).await? {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}

/// Looks at content in the connection's buffer.
async fn view(mut response: Response<'_>) -> io::Result<u64> {
    let mut bytes = 0;
    while let Some(piece) = response.fill().await? {
        let count = piece.len();
        bytes += count as u64;
        response.consume(count);
    }
    Ok(bytes)
}
