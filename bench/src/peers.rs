//! Other async clients, on a tokio runtime with one thread.

use std::io;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::client::Run;
use crate::load::Load;
use crate::tasks::runtime;

/// The handle of one hyper connection, which a task drives.
pub(crate) struct Hyper {
    runtime: Runtime,
    requests: SendRequest<Empty<Bytes>>,
    host: String,
}

impl Hyper {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let runtime = runtime()?;
        let requests = runtime.block_on(async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok::<_, io::Error>(requests)
        })?;
        Ok(Hyper { runtime, requests, host: address.to_string() })
    }
}

impl Run for Hyper {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        let Hyper { runtime, requests, host } = self;
        runtime.block_on(async {
            let mut bytes = 0;
            for _ in 0..load.requests() {
                let request = hyper::Request::get(load.target()).header("Host", host.as_str());
                let request = request.body(Empty::new()).expect("a valid request");
                let mut response = requests.send_request(request).await.map_err(io::Error::other)?;
                while let Some(frame) = response.frame().await {
                    let frame = frame.map_err(io::Error::other)?;
                    bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                }
                requests.ready().await.map_err(io::Error::other)?;
            }
            Ok(bytes)
        })
    }
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
            let mut bytes = 0;
            for _ in 0..load.requests() {
                let mut response = client.get(&url).send().await.map_err(io::Error::other)?;
                while let Some(piece) = response.chunk().await.map_err(io::Error::other)? {
                    bytes += piece.len() as u64;
                }
            }
            Ok(bytes)
        })
    }
}
