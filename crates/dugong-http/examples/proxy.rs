//! Fetches a document through a proxy.
//!
//!     cargo run --example proxy -- http://HOST:PORT/PATH http://USER:PASSWORD@PROXY:PORT
//!
//! The proxy's URL can also begin with https:// or, with the feature `socks`, with socks5h://. Without it, the program uses the
//! proxy that the environment names (`http_proxy`, `https_proxy`, `no_proxy`), if any.

use dugong_http::{Config, Error, Origin, Proxy, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: proxy http://HOST:PORT/PATH [http://PROXY:PORT]")?;
    let config = match arguments.next() {
        Some(proxy) => Config::new().proxy(Proxy::new(&proxy)?),
        None => Config::new().proxy_from_environment(),
    };

    let (origin, target) = Origin::of_url(&url)?;
    let mut connection = match config.connect_to(&origin) {
        // For https origins the proxy has to open a tunnel. If it refuses, no request was sent to the server.
        Err(error @ Error::Tunnel { .. }) => return Err(format!("{error:#}").into()),
        connected => connected?,
    };
    connection.send_request(Request::get(target))?;
    let response = connection.read_response()?;
    println!("{}", response.status());
    println!("{}", String::from_utf8_lossy(&response.read_all()?));
    Ok(())
}
