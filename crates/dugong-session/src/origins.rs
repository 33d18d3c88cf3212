//! The sessions of many origins, behind [`Sessions`](crate::Sessions).

use std::sync::Arc;
use std::time::Duration;

use dugong_http::Origin;

use crate::directory::Directory;
use crate::failed::{Cause, Failed};
use crate::request::Request;
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
        made(self.builder.clone(), origin)
    }

    /// Makes a session of an origin to which a redirect led from another one: it sends no credentials.
    pub(crate) fn foreign_session(&self, origin: &Origin) -> Result<Session, Failed> {
        made(self.builder.clone().without_credentials(), origin)
    }
}

fn made(builder: Builder, origin: &Origin) -> Result<Session, Failed> {
    builder.build_for(origin.clone()).map_err(|error| Failed::unsent(Cause::Invalid(Arc::new(error))))
}

/// A request that is answered with a byte of content, or with a redirect.
pub(crate) fn probe(url: &str) -> Result<(Origin, Request), Failed> {
    let request = Request::get(url).header("Range", "bytes=0-0").streamed();
    let (origin, _) = request.split_url().map_err(|error| Failed::unsent(Cause::Invalid(Arc::new(error))))?;
    Ok((origin, request))
}
