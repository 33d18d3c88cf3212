//! Removes the unfinished files when a signal ends the program, however many signals come.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::outcome::Exit;
use crate::stderr::say;

/// The temporary names of the files that are being written. Files are created, renamed and removed under this lock, and none after
/// an interrupt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unfinished(Arc<Mutex<Writing>>);

/// The state of writing files.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) paths: HashSet<PathBuf>,
    /// The program ends: no file may appear any more.
    pub(crate) is_interrupted: bool,
    /// The rest of the program prints its summary, and ends the program after that.
    has_last_words: bool,
}

/// How long the rest of the program may take to begin its last words after a signal.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Unfinished {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Writing> {
        // Each change is one assignment, so a panic cannot leave a half-made one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells if a signal came.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.lock().is_interrupted
    }

    /// Takes over the end of the program after a signal, however long it takes.
    pub(crate) fn begin_last_words(&self) {
        self.lock().has_last_words = true;
    }

    /// Makes signals remove the files and end the program. Further signals wait until the files are gone, because some senders send
    /// two at once (`timeout` of coreutils, a terminal that closes). After that, a further signal ends the program at once, in case
    /// writing to standard error blocks. With `summary`, the rest of the program gets time to print one: it is told by `tell`, calls
    /// [`Unfinished::begin_last_words`], and ends the program.
    ///
    /// # Errors
    /// The system refused to register a handler or to start a thread.
    pub(crate) fn remove_on_signal(&self, summary: bool, tell: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut handled = vec![SIGINT, SIGTERM];
        // `nohup` has it ignored; a handler would undo that.
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
                let mut writing = unfinished.lock();
                writing.is_interrupted = true;
                for path in writing.paths.drain() {
                    // The program ends either way.
                    let _ = std::fs::remove_file(path);
                }
                drop(writing);
                removed.store(true, Ordering::SeqCst);
                if summary {
                    tell();
                    thread::sleep(LAST_WORDS);
                    while unfinished.lock().has_last_words {
                        thread::park();
                    }
                } else {
                    say(&"interrupted");
                }
                std::process::exit(Exit::Interrupted as i32);
            }
        })?;
        Ok(())
    }
}

/// Tells if this program inherited that a signal is ignored. No safe call asks the system for that, so this reads a file of
/// Linux; elsewhere the answer is no.
pub(crate) fn is_ignored(signal: i32) -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

/// Looks a signal up in `SigIgn`, a hexadecimal mask whose lowest bit is signal 1 (proc_pid_status(5)).
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
