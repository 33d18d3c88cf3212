//! The resolver of the system: `getaddrinfo` of the C library.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};

/// The answer of the resolver if it has no addresses.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) kind: LookupErrorKind,
    pub(super) code: i32,
    /// The code in words.
    pub(super) text: String,
}

impl Refusal {
    /// Whether the answer may mean both that the name does not exist and that no server could be asked. C libraries differ in
    /// their answers about a name server that fails, refuses or is silent, and their modules for other sources differ about
    /// both.
    pub(super) fn is_ambiguous(&self) -> bool {
        use LookupErrorKind::{Again, Fail, NoData, NoName};
        matches!(self.kind, Again | Fail | NoData | NoName)
    }
}

impl From<LookupError> for Refusal {
    fn from(error: LookupError) -> Self {
        let (kind, code) = (error.kind(), error.error_num());
        let text = io::Error::from(error).to_string();
        let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned();
        Refusal { kind, code, text }
    }
}

/// Asks for the addresses of `host`. Blocks until the answer is there.
pub(super) fn ask(host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
    addresses(host, port, 0)
}

/// Parses `host` as an address; asks no server.
pub(super) fn numeric(host: &str, port: u16) -> Result<SocketAddr, Refusal> {
    Ok(addresses(host, port, AI_NUMERICHOST)?[0])
}

/// Returns at least one address.
fn addresses(host: &str, port: u16, flags: i32) -> Result<Vec<SocketAddr>, Refusal> {
    let hints = AddrInfoHints { flags, socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let mut addresses = Vec::new();
    // Skip families other than IPv4 and IPv6.
    for info in getaddrinfo(Some(host), None, Some(hints))?.flatten() {
        let mut address = info.sockaddr;
        address.set_port(port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Refusal { kind: LookupErrorKind::NoData, code: 0, text: "no addresses".into() });
    }
    Ok(addresses)
}

/// A question that a thread asks. If you drop it, only the thread remains, until the C library answers: nothing can interrupt
/// it. A second question for the same host waits for the same thread, so repeating a question to a dead name service does not
/// cost a thread each time.
#[derive(Debug)]
pub(super) struct Asked {
    /// Readable once the answer is there.
    end: UnixStream,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    answer: Option<Result<Vec<SocketAddr>, Refusal>>,
    /// Closed once the answer is there, or once the waiter has gone.
    other_end: Option<UnixStream>,
}

/// Host and port.
type Question = (String, u16);

/// The questions that threads are busy with, and the waiters for each.
type UnderWay = BTreeMap<Question, Vec<Arc<Mutex<Shared>>>>;

/// The resolver of the system: `getaddrinfo` of the C library, and where its answer is ambiguous, the configured name servers.
///
/// Clones share the lookups under way: a host that is looked up again while a thread still waits for it costs no second thread.
#[derive(Clone, Debug, Default)]
pub struct SystemResolver {
    under_way: Arc<Mutex<UnderWay>>,
}

impl SystemResolver {
    /// Makes a resolver that shares its threads with its clones only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the resolver of the program, which connections use by default.
    #[must_use]
    pub fn shared() -> Self {
        // The C library's resolver is one for the whole process, so a dead name service costs one thread for all connections.
        static SHARED: OnceLock<SystemResolver> = OnceLock::new();
        SHARED.get_or_init(Self::new).clone()
    }
}

/// A thread's question. However the thread ends, its waiters are told.
struct Lookup {
    resolver: SystemResolver,
    question: Question,
    answer: Option<Result<Vec<SocketAddr>, Refusal>>,
}

impl Asked {
    /// Asks for the addresses of `host`.
    ///
    /// # Errors
    /// The system has no thread or no descriptor left.
    pub(super) fn new(resolver: &SystemResolver, host: String, port: u16) -> io::Result<Self> {
        let (end, other_end) = UnixStream::pair()?;
        let shared = Arc::new(Mutex::new(Shared { answer: None, other_end: Some(other_end) }));
        let question = (host, port);
        let is_first = {
            let mut under_way = lock(&resolver.under_way);
            let is_first = !under_way.contains_key(&question);
            let waiting = under_way.entry(question.clone()).or_default();
            // Drop the waiters that have gone.
            waiting.retain(|other| Arc::strong_count(other) > 1);
            waiting.push(shared.clone());
            is_first
        };
        if is_first {
            let lookup = Lookup { resolver: resolver.clone(), question, answer: None };
            thread::Builder::new().name("resolver".into()).spawn(|| lookup.run())?;
        }
        Ok(Asked { end, shared })
    }

    /// Takes the answer, if it is there.
    pub(super) fn answer(&self) -> Option<Result<Vec<SocketAddr>, Refusal>> {
        let mut shared = lock(&self.shared);
        if shared.answer.is_none() && shared.other_end.is_none() {
            let text = "the thread ended without an answer".into();
            return Some(Err(Refusal { kind: LookupErrorKind::Unknown, code: 0, text }));
        }
        shared.answer.take()
    }

    /// The descriptor that becomes readable with the answer.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        lock(&self.shared).other_end = None;
    }
}

impl Lookup {
    fn run(mut self) {
        let (host, port) = &self.question;
        self.answer = Some(ask(host, *port));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        let waiting = lock(&self.resolver.under_way).remove(&self.question).unwrap_or_default();
        for shared in waiting {
            let mut shared = lock(&shared);
            shared.answer.clone_from(&self.answer);
            shared.other_end = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics in the middle of a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host is an address (RFC 3493 §6.1); the same number on Linux, macOS and the BSDs.
const AI_NUMERICHOST: i32 = 4;
