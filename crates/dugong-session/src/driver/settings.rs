//! The settings of a session.

use std::time::Duration;

use dugong_http::{Config, Origin};

use crate::auth::Additions;
use crate::plan;

/// The settings of a session.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) origin: Origin,
    pub(crate) plan: plan::Config,
    pub(crate) connection: Config,
    pub(crate) expect_timeout: Duration,
    pub(crate) expect_above: Option<u64>,
    pub(crate) additions: Additions,
    /// How many redirects a request follows.
    pub(crate) redirects: u32,
}

impl Settings {
    /// How many requests to submit ahead of the outcomes that the caller takes.
    pub(crate) fn take_ahead(&self) -> usize {
        (self.plan.connections * self.plan.depth as usize * 2).clamp(2, 4096)
    }
}
