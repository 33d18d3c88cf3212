//! Signals: the unfinished file is removed before the program ends, however many signals come.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
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

    /// From now on a signal removes the file, and ends the program. Signals that follow wait until the file is gone: some send
    /// two at once (`timeout` of coreutils, a terminal that closes), and none of them may leave it behind. Only after that does
    /// one end the program at once, should standard error take nothing more.
    ///
    /// # Errors
    /// The system refuses to register a handler or to start a thread.
    pub(crate) fn remove_on_signal(&self) -> io::Result<()> {
        let mut handled = vec![SIGINT, SIGTERM];
        // `nohup` asks for that; a handler would undo it.
        if !is_ignored(SIGHUP) {
            handled.push(SIGHUP);
        }
        let removed = Arc::new(AtomicBool::new(false));
        for &signal in &handled {
            flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, Arc::clone(&removed))?;
        }
        let mut signals = Signals::new(&handled)?;
        let unfinished = self.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if signals.forever().next().is_some() {
                let file = unfinished.lock();
                if let Some(path) = &*file {
                    // No one is left to tell if it cannot be removed.
                    let _ = std::fs::remove_file(path);
                }
                removed.store(true, Ordering::SeqCst);
                report::say(&"interrupted");
                std::process::exit(Exit::Interrupted as i32);
            }
        })?;
        Ok(())
    }
}

/// Whether the caller of this program has it ignore a signal. The standard library has no safe call that asks the system;
/// where it does not list signals in a file either, the answer is no.
fn is_ignored(signal: i32) -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

/// Reads `SigIgn`, a hexadecimal mask whose lowest bit is signal 1 (proc_pid_status(5)).
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u128::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tdugong\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
        assert!(ignores(status, SIGHUP));
        assert!(!ignores(status, SIGINT));
        assert!(!ignores("Name:\tdugong\n", SIGHUP));
    }
}
