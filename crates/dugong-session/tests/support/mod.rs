//! Parts that several tests share.

use std::process;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// A test that takes this long hangs.
pub(crate) const GUARD: Duration = Duration::from_secs(100);

/// Runs `test` in this thread. If it hangs, the process ends with a message that names `what`, because nothing else would.
pub(crate) fn watched<T>(what: &str, test: impl FnOnce() -> T) -> T {
    let (done, is_done) = mpsc::channel::<()>();
    let name = what.to_owned();
    thread::spawn(move || {
        if is_done.recv_timeout(GUARD) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            process::abort();
        }
    });
    let result = test();
    drop(done);
    result
}

/// An error and its causes.
#[allow(dead_code, reason = "not all tests use it")]
pub(crate) fn whole_message(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"))
}
