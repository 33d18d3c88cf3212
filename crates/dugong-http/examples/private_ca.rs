//! Speaks TLS with a server whose certificate was issued by your own authority.
//!
//!     cargo run --example private_ca -- https://HOST:PORT/PATH AUTHORITY.pem

use dugong_http::{Config, Origin, Request, Tls};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(authority)) = (arguments.next(), arguments.next()) else {
        return Err("usage: private_ca https://HOST:PORT/PATH AUTHORITY.pem".into());
    };
    // From now on this authority is trusted, and the platform's authorities are not.
    let tls = Tls::new().roots_pem(&std::fs::read(authority)?)?;

    let (origin, target) = Origin::of_url(&url)?;
    let mut connection = Config::new().tls(tls).connect_to(&origin)?;
    connection.send_request(Request::get(target))?;
    let response = connection.read_response()?;
    println!("{}", response.status());
    println!("{}", String::from_utf8_lossy(&response.read_all()?));
    Ok(())
}
