//! Holds idle connections, so that valgrind can count their bytes.

use std::io;
use std::net::SocketAddr;

use dugong_http::{Connection, Request};

/// Makes `count` blocking connections, each of which has had one response, and ends the process without closing them.
pub(crate) fn hold(count: usize, address: SocketAddr) -> io::Result<()> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Connection::connect(format!("http://{address}"))?;
        connection.send_request(Request::get("/small"))?;
        connection.read_response()?.discard()?;
        connections.push(connection);
    }
    // Destructors do not run, so the memory is still in use.
    std::process::exit(0)
}
