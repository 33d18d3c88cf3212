//! The sessions of many origins, behind [`Sessions`](crate::Sessions).

use std::sync::Arc;
use std::time::Duration;

use dugong_http::Origin;

use crate::directory::Directory;
use crate::failed::{Cause, Failed};
use crate::session::{Builder, Session};

/// Sessions by their origins, and how to make them.
#[derive(Debug)]
pub(crate) struct Origins {
    pub(crate) plan: SessionsPlan,
    pub(crate) directory: Directory<Session>,
}

impl Origins {
    /// Returns the session of an origin, and makes it if needed.
    pub(crate) fn session(&self, origin: &Origin) -> Result<Session, Failed> {
        let is_busy = |session: &Session| session.sharers() > 1;
        self.directory.find(origin, || self.plan.session(origin), is_busy)
    }
}

/// How sessions are made.
#[derive(Clone, Debug)]
pub(crate) struct SessionsPlan {
    pub(crate) builder: Builder,
    pub(crate) redirects: u32,
    pub(crate) max_sessions: usize,
}

impl SessionsPlan {
    /// The default of how long a request may take.
    pub(crate) fn total_timeout(&self) -> Option<Duration> {
        self.builder.default_total_timeout()
    }

    /// Makes the session of an origin.
    pub(crate) fn session(&self, origin: &Origin) -> Result<Session, Failed> {
        self.builder.clone().build_for(origin.clone()).map_err(|error| Failed::unsent(Cause::Invalid(Arc::new(error))))
    }
}
