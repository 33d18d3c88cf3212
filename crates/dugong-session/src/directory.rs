//! Sessions by their origins.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dugong_http::Origin;

/// A bounded number of sessions, one for each origin.
#[derive(Debug)]
pub(crate) struct Directory<S> {
    most: usize,
    shelf: Mutex<Shelf<S>>,
}

#[derive(Debug)]
struct Shelf<S> {
    sessions: HashMap<Origin, Entry<S>>,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Entry<S> {
    session: S,
    used: u64,
}

impl<S: Clone> Directory<S> {
    /// Makes an empty directory that keeps at most `most` sessions, unless more have jobs.
    pub(crate) fn new(most: usize) -> Self {
        Directory { most: most.max(1), shelf: Mutex::new(Shelf { sessions: HashMap::new(), clock: 0 }) }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<S>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the session for an origin, or makes it. Beyond the limit, the least recently used go, except
    /// for those that are busy.
    pub(crate) fn find<E>(
        &self,
        origin: &Origin,
        make: impl FnOnce() -> Result<S, E>,
        is_busy: impl Fn(&S) -> bool,
    ) -> Result<S, E> {
        let mut shelf = self.shelf();
        shelf.clock += 1;
        let used = shelf.clock;
        let session = match shelf.sessions.get_mut(origin) {
            Some(entry) => {
                entry.used = used;
                entry.session.clone()
            }
            None => {
                let session = make()?;
                shelf.sessions.insert(origin.clone(), Entry { session: session.clone(), used });
                session
            }
        };
        while shelf.sessions.len() > self.most {
            let idle = shelf.sessions.iter().filter(|(_, entry)| entry.used != used && !is_busy(&entry.session));
            let Some(oldest) = idle.min_by_key(|(_, entry)| entry.used).map(|(origin, _)| origin.clone()) else { break };
            shelf.sessions.remove(&oldest);
        }
        Ok(session)
    }

    /// All sessions, with their origins.
    pub(crate) fn all(&self) -> Vec<(Origin, S)> {
        self.shelf().sessions.iter().map(|(origin, entry)| (origin.clone(), entry.session.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn find(directory: &Directory<u16>, port: u16, busy: &[u16]) -> u16 {
        let made = directory.find(&Origin::http("h", port), || Ok::<_, Infallible>(port), |port| busy.contains(port));
        made.unwrap_or_else(|never| match never {})
    }

    fn ports(directory: &Directory<u16>) -> Vec<u16> {
        let mut ports: Vec<u16> = directory.all().into_iter().map(|(_, port)| port).collect();
        ports.sort_unstable();
        ports
    }

    #[test]
    fn the_session_that_was_not_used_for_longest_goes() {
        let directory = Directory::new(2);
        for port in [1, 2, 1, 3] {
            assert_eq!(find(&directory, port, &[]), port);
        }
        assert_eq!(ports(&directory), [1, 3]);
    }

    #[test]
    fn busy_sessions_stay_until_they_are_idle() {
        let directory = Directory::new(2);
        for port in [1, 2, 3] {
            find(&directory, port, &[1, 2]);
        }
        assert_eq!(ports(&directory), [1, 2, 3]);
        find(&directory, 1, &[3]);
        assert_eq!(ports(&directory), [1, 3]);
    }

    #[test]
    fn a_session_that_cannot_be_made_leaves_the_others() {
        let directory = Directory::new(1);
        find(&directory, 1, &[]);
        assert_eq!(directory.find(&Origin::http("h", 2), || Err("full"), |_| false), Err("full"));
        assert_eq!(ports(&directory), [1]);
    }
}
