//! Events of a connection, for an observer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use dugong_net::Address;
use dugong_proto::{CloseReason, ResponseHead};

use crate::error::{Error, Requests};

/// An event of a connection. Events arrive in the order in which they happen.
///
/// Requests and responses are shown as they are, with credentials. If you write them down, remove those with
/// [`without_secrets`](crate::without_secrets).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A name lookup begins.
    Resolving {
        /// The name.
        host: &'a str,
    },
    /// A name lookup has found addresses.
    Resolved {
        /// The name.
        host: &'a str,
        /// Its addresses, in the order of the resolver.
        addresses: &'a [SocketAddr],
    },
    /// An attempt to connect begins; others may be under way.
    Connecting {
        /// The address.
        address: &'a Address,
    },
    /// An attempt to connect has failed; others may be under way.
    ConnectFailed {
        /// The address.
        address: &'a Address,
        /// The reason.
        error: &'a io::Error,
    },
    /// A socket is connected.
    Connected {
        /// The address of the peer, if it has one.
        peer: Option<SocketAddr>,
        /// The address of this end, if it has one.
        local: Option<SocketAddr>,
    },
    /// The client asks a proxy for a tunnel.
    Tunneling {
        /// The proxy: scheme, host and port.
        proxy: &'a str,
        /// The destination: host and port.
        to: &'a str,
    },
    /// The tunnel is open.
    Tunneled,
    /// A TLS handshake begins.
    Handshaking {
        /// The name or address for which the certificate must be valid.
        host: &'a str,
    },
    /// The TLS handshake is finished, and the certificate is good.
    Secured {
        /// The version of the protocol, such as `TLSv1.3`.
        version: &'a str,
        /// The cipher suite.
        cipher_suite: &'a str,
    },
    /// Connecting failed, and leaves nothing behind.
    Failed {
        /// The reason.
        error: &'a Error,
    },
    /// A request was accepted for sending.
    Request {
        /// Its number.
        number: u64,
        /// The head, as it is sent.
        head: &'a [u8],
    },
    /// The head of an interim response was read.
    Interim {
        /// The head.
        head: &'a ResponseHead,
    },
    /// The head of a final response was read.
    Response {
        /// The number of the request.
        number: u64,
        /// The head.
        head: &'a ResponseHead,
    },
    /// A response was read to its end.
    Complete {
        /// The number of the request.
        number: u64,
        /// Bytes of content.
        content: u64,
    },
    /// The connection is over.
    Closed {
        /// Why the connection carries no further request; `None` if you had no more.
        reason: Option<CloseReason>,
        /// The fate of the requests.
        requests: &'a Requests,
    },
}

/// The observer of a connection.
#[derive(Clone)]
pub(crate) struct Observer(Arc<dyn Fn(&Event<'_>) + Send + Sync>);

impl Observer {
    pub(crate) fn new(observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Observer(Arc::new(observe))
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        (self.0)(event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;

    use dugong_net::Origin;

    use super::*;
    use crate::{Config, Request};

    /// Returns the events of a connection with `requests` requests. `act` plays the client and the server.
    fn told(requests: usize, act: impl FnOnce(&mut crate::Connection, &mut UnixStream)) -> Vec<String> {
        let (socket, mut server) = UnixStream::pair().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let config = Config::new().observe({
            let told = told.clone();
            move |event| {
                told.lock().unwrap().push(match event {
                    Event::Request { number, .. } => format!("request {number}"),
                    Event::Response { number, .. } => format!("response {number}"),
                    Event::Complete { number, content } => format!("complete {number}: {content}"),
                    other => format!("{other:?}").split(' ').next().unwrap_or_default().to_owned(),
                });
            }
        });
        let mut connection = config.over(socket, &Origin::http("origin", 80)).unwrap();
        for _ in 0..requests {
            connection.send_request(Request::get("/")).unwrap();
        }
        // The end of the content arrives after the content.
        server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello").unwrap();
        connection.read_response().unwrap().read_exact(&mut [0; 5]).unwrap();
        server.write_all(b"\r\n0\r\n\r\n").unwrap();
        act(&mut connection, &mut server);
        drop(connection);
        let mut told = told.lock().unwrap();
        std::mem::take(&mut *told)
    }

    #[test]
    fn a_response_whose_end_was_not_read_is_complete_before_the_next_begins() {
        let told = told(2, |connection, server| {
            server.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").unwrap();
            assert_eq!(connection.read_response().unwrap().status(), 204);
        });
        let expected =
            ["request 0", "request 1", "response 0", "complete 0: 5", "Interim", "response 1", "complete 1: 0", "Closed"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_response_whose_end_was_not_read_is_complete_before_the_next_request() {
        let told = told(1, |connection, _| {
            connection.send_request(Request::get("/")).unwrap();
        });
        assert_eq!(told, ["request 0", "response 0", "complete 0: 5", "request 1", "Closed"]);
    }
}
