//! Other async clients, on a tokio runtime with one thread. Where many requests are in flight, each connection has a task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::client::Run;
use crate::load::Load;
use crate::tasks::runtime;

/// The handles of hyper's connections, which tasks drive.
pub(crate) struct Hyper {
    runtime: Runtime,
    idle: Vec<SendRequest<Empty<Bytes>>>,
    address: SocketAddr,
}

impl Hyper {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let runtime = runtime()?;
        let idle = vec![runtime.block_on(handshake(address))?];
        Ok(Hyper { runtime, idle, address })
    }
}

async fn handshake(address: SocketAddr) -> io::Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(requests)
}

impl Run for Hyper {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        let Hyper { runtime, idle, address } = self;
        runtime.block_on(async {
            while idle.len() < load.connections() {
                idle.push(handshake(*address).await?);
            }
            let numbers = Numbers::default();
            let workers: Vec<_> = idle
                .drain(..)
                .map(|requests| tokio::spawn(use_hyper(requests, load, numbers.clone(), address.to_string())))
                .collect();
            let mut bytes = 0;
            for worker in workers {
                let (requests, count) = worker.await.map_err(io::Error::other)??;
                idle.push(requests);
                bytes += count;
            }
            Ok(bytes)
        })
    }
}

/// Hands the numbers of a load's requests to its workers.
#[derive(Clone, Default)]
struct Numbers(Arc<AtomicU64>);

impl Numbers {
    fn next(&self, load: Load) -> Option<u64> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        (number < load.requests()).then_some(number)
    }
}

/// One worker: sends requests on a connection, one after the other. Returns the connection and the bytes of content.
async fn use_hyper(
    mut requests: SendRequest<Empty<Bytes>>,
    load: Load,
    numbers: Numbers,
    host: String,
) -> io::Result<(SendRequest<Empty<Bytes>>, u64)> {
    let target = load.target();
    let mut bytes = 0;
    while let Some(number) = numbers.next(load) {
        let mut request = hyper::Request::get(target.as_str()).header("Host", host.as_str());
        if let Some(range) = load.range(number) {
            request = request.header("Range", range);
        }
        let request = request.body(Empty::new()).expect("a valid request");
        let mut response = requests.send_request(request).await.map_err(io::Error::other)?;
        while let Some(frame) = response.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        requests.ready().await.map_err(io::Error::other)?;
    }
    Ok((requests, bytes))
}

/// reqwest, with its pool.
pub(crate) struct Reqwest {
    runtime: Runtime,
    client: reqwest::Client,
    url: String,
}

impl Reqwest {
    pub(crate) fn new(address: SocketAddr) -> io::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
        Ok(Reqwest { runtime: runtime()?, client, url: format!("http://{address}") })
    }
}

impl Run for Reqwest {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        let Reqwest { runtime, client, url } = self;
        let url = format!("{url}{}", load.target());
        runtime.block_on(async {
            let numbers = Numbers::default();
            let worker = || tokio::spawn(use_reqwest(client.clone(), url.clone(), load, numbers.clone()));
            let workers: Vec<_> = (0..load.connections()).map(|_| worker()).collect();
            let mut bytes = 0;
            for worker in workers {
                bytes += worker.await.map_err(io::Error::other)??;
            }
            Ok(bytes)
        })
    }
}

async fn use_reqwest(client: reqwest::Client, url: String, load: Load, numbers: Numbers) -> io::Result<u64> {
    let mut bytes = 0;
    while let Some(number) = numbers.next(load) {
        let mut request = client.get(&url);
        if let Some(range) = load.range(number) {
            request = request.header("Range", range);
        }
        let mut response = request.send().await.map_err(io::Error::other)?;
        while let Some(piece) = response.chunk().await.map_err(io::Error::other)? {
            bytes += piece.len() as u64;
        }
    }
    Ok(bytes)
}
