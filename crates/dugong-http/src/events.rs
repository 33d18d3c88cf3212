//! What happens on a connection, for whoever wants to see it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use dugong_proto::{CloseReason, ResponseHead};

use crate::config::Config;
use crate::error::Requests;
use crate::transport::{Address, Origin};

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

impl Config {
    /// Whoever is told of what happens on a connection to `origin`.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only spans name the origin"))]
    pub(crate) fn observer_for(&self, origin: &Origin) -> Option<Observer> {
        #[cfg(feature = "tracing")]
        return Some(crate::tracing::observer(origin, self.observer.clone()));
        #[cfg(not(feature = "tracing"))]
        self.observer.clone()
    }
}
