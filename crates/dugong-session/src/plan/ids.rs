//! The names of jobs and connections.

use super::arena::Key;

/// Names a job. The driver's own table can use [`index`](JobId::index).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(crate) Key);

impl JobId {
    /// A small number that no other job has until this one is released.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.index()
    }
}

/// Names a connection. The driver's own table can use [`index`](ConnectionId::index).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) Key);

impl ConnectionId {
    /// A small number that no other connection has until this one is closed.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.index()
    }
}
