//! The connector, and its settings.

use std::fmt;
use std::sync::Arc;

use dugong_session::SessionsBuilder;

/// Makes HTTP clients for stores: give it to `with_http_connector`. Each store gets connections of its own.
#[derive(Clone, Debug, Default)]
pub struct Connector {
    pub(crate) settings: Builder,
}

impl Connector {
    /// Begins with settings of your own.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// The settings of a [`Connector`].
#[derive(Clone, Default)]
pub struct Builder {
    pub(crate) connections: Option<usize>,
    pub(crate) depth: Option<u32>,
    /// Certificates as PEM.
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) configure: Option<Configure>,
}

pub(crate) type Configure = Arc<dyn Fn(SessionsBuilder) -> SessionsBuilder + Send + Sync>;

impl Builder {
    /// Sets how many connections to an origin may be open at once. Default: 4.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = Some(most);
        self
    }

    /// Sets how many requests may be in flight on a connection. Default: 32.
    #[must_use]
    pub fn depth(mut self, most: u32) -> Self {
        self.depth = Some(most);
        self
    }

    /// Trusts the certificates in `pem` instead of those of the platform. Further calls add to them.
    #[must_use]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Changes any other setting of the sessions. It is called after all options of the store were applied, for each store.
    #[must_use]
    pub fn configure(mut self, configure: impl Fn(SessionsBuilder) -> SessionsBuilder + Send + Sync + 'static) -> Self {
        self.configure = Some(Arc::new(configure));
        self
    }

    /// Makes the connector.
    #[must_use]
    pub fn build(self) -> Connector {
        Connector { settings: self }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("connections", &self.connections)
            .field("depth", &self.depth)
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}
