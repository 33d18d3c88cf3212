//! Signals: whatever is unfinished is removed before the program ends.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::Exit;
use crate::report;

/// The file that is being written, under its temporary name. Files are made, renamed and removed under its lock, and the
/// handler keeps the lock until the program has ended: so nothing can appear behind its back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unfinished(Arc<Mutex<Option<PathBuf>>>);

impl Unfinished {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<PathBuf>> {
        // Each change is one assignment, so what a panic elsewhere left is good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a signal removes the file, and ends the program. A second signal ends it at once, should removing hang.
    ///
    /// # Errors
    /// The system refuses to register a handler or to start a thread.
    pub(crate) fn remove_on_signal(&self) -> io::Result<()> {
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let unfinished = self.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if signals.forever().next().is_some() {
                let file = unfinished.lock();
                if let Some(path) = &*file {
                    // There is nobody to tell if it cannot be removed.
                    let _ = std::fs::remove_file(path);
                }
                report::say(&"interrupted");
                std::process::exit(Exit::Interrupted as i32);
            }
        })?;
        Ok(())
    }
}
