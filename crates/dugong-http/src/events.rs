//! What happens on a connection, for whoever wants to see it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use dugong_net::Address;
use dugong_proto::{CloseReason, ResponseHead};

use crate::error::{Error, Requests};

/// Something that happened on a connection, told in the order in which it happened.
///
/// It shows requests and responses as they are, with credentials: whoever writes it down has to leave them out, as
/// [`without_secrets`](crate::without_secrets) does.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The addresses of a name are asked for.
    Resolving {
        /// The name.
        host: &'a str,
    },
    /// The addresses of a name are known.
    Resolved {
        /// The name.
        host: &'a str,
        /// Its addresses, in the order of the resolver.
        addresses: &'a [SocketAddr],
    },
    /// An attempt to connect begins; others may be under way.
    Connecting {
        /// To where.
        address: &'a Address,
    },
    /// An attempt to connect has failed; others may be under way.
    ConnectFailed {
        /// To where.
        address: &'a Address,
        /// Why.
        error: &'a io::Error,
    },
    /// A socket is connected.
    Connected {
        /// The address of the peer, if it has one.
        peer: Option<SocketAddr>,
        /// The address of this end, if it has one.
        local: Option<SocketAddr>,
    },
    /// A proxy is asked for a tunnel.
    Tunneling {
        /// The proxy: scheme, host and port.
        proxy: &'a str,
        /// To where: host and port.
        to: &'a str,
    },
    /// The tunnel is open.
    Tunneled,
    /// A TLS handshake begins.
    Handshaking {
        /// The name or address that the certificate has to be for.
        host: &'a str,
    },
    /// The TLS handshake is finished, and the certificate is good.
    Secured {
        /// The version of the protocol, such as `TLSv1.3`.
        version: &'a str,
        /// The cipher suite.
        cipher_suite: &'a str,
    },
    /// There is no connection: nothing is left of the attempt.
    Failed {
        /// Why.
        error: &'a Error,
    },
    /// A request was taken to be sent.
    Request {
        /// Its number.
        number: u64,
        /// The head, as it goes out.
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
        /// Why it carries no further request; `None` if its user had no more.
        reason: Option<CloseReason>,
        /// What became of the requests.
        requests: &'a Requests,
    },
}

/// Whoever is told.
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

    /// What is told of a connection with `requests` requests, on which `act` does what a client and its server do.
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
        // The end of the content comes later than the content.
        server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello").unwrap();
        connection.read_response().unwrap().read_exact(&mut [0; 5]).unwrap();
        server.write_all(b"\r\n0\r\n\r\n").unwrap();
        act(&mut connection, &mut server);
        drop(connection);
        let mut told = told.lock().unwrap();
        std::mem::take(&mut *told)
    }

    #[test]
    fn a_response_whose_end_was_not_looked_for_is_complete_before_the_next_begins() {
        let told = told(2, |connection, server| {
            server.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").unwrap();
            assert_eq!(connection.read_response().unwrap().status(), 204);
        });
        let expected =
            ["request 0", "request 1", "response 0", "complete 0: 5", "Interim", "response 1", "complete 1: 0", "Closed"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_response_whose_end_was_not_looked_for_is_complete_before_the_next_request() {
        let told = told(1, |connection, _| {
            connection.send_request(Request::get("/")).unwrap();
        });
        assert_eq!(told, ["request 0", "response 0", "complete 0: 5", "request 1", "Closed"]);
    }
}
