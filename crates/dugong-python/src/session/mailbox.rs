//! How tasks of an event loop hear of their requests.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;
use pyo3::prelude::*;

/// The numbers of the tasks of one event loop that have news of a session.
///
/// While the loop's own thread drives, it looks afterwards. While another thread drives, a descriptor becomes readable. So no thread
/// needs Python's lock to wake a task.
#[pyclass(frozen, module = "dugong._dugong")]
pub(crate) struct Mailbox(Arc<Inner>);

struct Inner {
    numbers: Mutex<Vec<u64>>,
    /// The loop's thread drives, and will look.
    is_looking: AtomicBool,
    is_signalled: AtomicBool,
    writer: UnixStream,
    reader: UnixStream,
}

/// Wakes one task.
struct Letter {
    number: u64,
    mailbox: Arc<Inner>,
}

impl Wake for Letter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mailbox = &*self.mailbox;
        mailbox.numbers.lock().push(self.number);
        if !mailbox.is_looking.load(Ordering::SeqCst) && !mailbox.is_signalled.swap(true, Ordering::SeqCst) {
            // It fails if the descriptor is readable already.
            let _ = (&mailbox.writer).write(&[0]);
        }
    }
}

impl Mailbox {
    /// A waker for the task with this number.
    pub(crate) fn waker(&self, number: u64) -> Waker {
        Arc::new(Letter { number, mailbox: self.0.clone() }).into()
    }

    /// Looks at the numbers after `drive`.
    pub(crate) fn look_after<T>(&self, drive: impl FnOnce() -> T) -> T {
        self.0.is_looking.store(true, Ordering::SeqCst);
        let result = drive();
        self.0.is_looking.store(false, Ordering::SeqCst);
        result
    }
}

#[pymethods]
impl Mailbox {
    #[new]
    pub(crate) fn new() -> io::Result<Self> {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        reader.set_nonblocking(true)?;
        let (numbers, is_looking, is_signalled) = (Mutex::default(), AtomicBool::new(false), AtomicBool::new(false));
        Ok(Mailbox(Arc::new(Inner { numbers, is_looking, is_signalled, writer, reader })))
    }

    /// The descriptor that becomes readable.
    fn fileno(&self) -> RawFd {
        self.0.reader.as_raw_fd()
    }

    /// Takes the numbers.
    fn take(&self) -> Vec<u64> {
        if self.0.is_signalled.load(Ordering::SeqCst) {
            while (&self.0.reader).read(&mut [0; 16]).is_ok_and(|count| count > 0) {}
            self.0.is_signalled.store(false, Ordering::SeqCst);
        }
        std::mem::take(&mut *self.0.numbers.lock())
    }
}
