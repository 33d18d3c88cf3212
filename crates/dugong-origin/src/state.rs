//! The state of an origin that requests change or ask for: the version of its documents, its files, and counts of what arrived.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::files::Files;

/// The counts of requests with one ID, which a client put or posted to `/count/ID`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Complete heads.
    pub heads: u64,
    /// Requests whose content came completely.
    pub whole: u64,
}

/// Shared by all connections.
#[derive(Debug, Default)]
pub(crate) struct State {
    version: AtomicU64,
    arrivals: Mutex<HashMap<Box<str>, Arrivals>>,
    /// Requests for each target with `busy=K`.
    busy: Mutex<HashMap<Box<str>, u64>>,
    pub(crate) files: Files,
}

impl State {
    pub(crate) fn with(files: Files) -> Self {
        State { files, ..State::default() }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    pub(crate) fn set_version(&self, version: u64) {
        self.version.store(version, Ordering::SeqCst);
    }

    pub(crate) fn arrivals(&self) -> HashMap<Box<str>, Arrivals> {
        lock(&self.arrivals).clone()
    }

    pub(crate) fn arrived(&self, id: &str, change: impl FnOnce(&mut Arrivals)) {
        change(lock(&self.arrivals).entry(id.into()).or_default());
    }

    /// One ID's counts as JSON. IDs have no byte that JSON escapes, because targets have none.
    pub(crate) fn count(&self, id: &str) -> String {
        let counts = lock(&self.arrivals).get(id).copied().unwrap_or_default();
        format!("{{\"heads\":{},\"whole\":{}}}", counts.heads, counts.whole)
    }

    /// All counts as a JSON object by ID.
    pub(crate) fn count_all(&self) -> String {
        let mut json = String::from("{");
        for (id, Arrivals { heads, whole }) in lock(&self.arrivals).iter() {
            let comma = if json.len() > 1 { "," } else { "" };
            write!(json, "{comma}\"{id}\":{{\"heads\":{heads},\"whole\":{whole}}}").expect("a String takes all text");
        }
        json + "}"
    }

    /// Counts a request for `target`, and returns its number, from 1.
    pub(crate) fn number_of(&self, target: &str) -> u64 {
        let mut busy = lock(&self.busy);
        let count = busy.entry(target.into()).or_default();
        *count += 1;
        *count
    }
}

// No change can be left half-made by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
