//! What a client was told about its requests, and how that compares with the bytes that the server received.

use std::collections::HashMap;
use std::io::{self, Cursor, Read};

use dugong_origin::Chaos;
use dugong_session::{Answered, Failed, Outcome, Reply, Request, Sent, Source};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Head,
    Put,
    /// A PUT that the caller does not allow to be repeated.
    PutOnce,
    Delete,
    Post,
    /// A POST with an `Idempotency-Key`.
    PostWithKey,
    /// A PUT whose content comes from a source, with a length.
    PutSource,
    /// The same in chunks.
    PutChunked,
    /// A PUT whose content can be read only once.
    PutReader,
}

impl Kind {
    /// The kind of a request: half of them are GET.
    pub(crate) fn of(seed: u64, number: usize) -> Kind {
        use Kind::{Delete, Get, Head, Post, PostWithKey, Put, PutChunked, PutOnce, PutReader, PutSource};
        let some = [Head, Put, Put, PutOnce, Delete, Post, Post, PostWithKey, PutSource, PutChunked, PutReader];
        let kinds = [&[Get; 10][..], &some].concat();
        let mixed = (seed.wrapping_mul(31) + number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        kinds[mixed as usize % kinds.len()]
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Head => "head",
            Kind::Put => "put",
            Kind::PutOnce => "once",
            Kind::Delete => "delete",
            Kind::Post => "post",
            Kind::PostWithKey => "keyed",
            Kind::PutSource => "source",
            Kind::PutChunked => "chunked",
            Kind::PutReader => "reader",
        }
    }

    fn of_target(target: &str) -> Kind {
        let name = target.split('/').nth(1).unwrap_or_default();
        use Kind::{Delete, Get, Head, Post, PostWithKey, Put, PutChunked, PutOnce, PutReader, PutSource};
        let all = [Get, Head, Put, PutOnce, Delete, Post, PostWithKey, PutSource, PutChunked, PutReader];
        all.into_iter().find(|kind| kind.name() == name).expect("a target of these tests")
    }

    /// Whether the session may send it again after a byte has left.
    fn may_be_repeated(self) -> bool {
        !matches!(self, Kind::PutOnce | Kind::Post | Kind::PutReader)
    }

    /// Whether it does no harm if it arrives twice.
    fn is_safe(self) -> bool {
        !matches!(self, Kind::PutOnce | Kind::Post)
    }

    /// The request with this number. Content ends with a mark, so that the server's bytes show if all of it came.
    pub(crate) fn request(self, seed: u64, number: usize) -> Request {
        let target = format!("/{}/{seed}/{number}", self.name());
        let size = match number % 97 {
            // More than a socket takes at once, and enough to travel alone.
            0 => 400_000,
            other => other * 20,
        };
        let content = || format!("{}[end of {target}]\n", "x".repeat(size));
        match self {
            Kind::Get => Request::get(&target),
            Kind::Head => Request::head(&target),
            Kind::Delete => Request::delete(&target),
            Kind::Put => Request::put(&target).body(content()),
            Kind::PutOnce => Request::put(&target).body(content()).retry(false),
            Kind::Post => Request::post(&target).body(content()),
            Kind::PostWithKey => Request::post(&target).header("Idempotency-Key", &target).body(content()),
            Kind::PutSource => Request::put(&target).source(Reopened { content: content(), is_sized: true }),
            Kind::PutChunked => Request::put(&target).source(Reopened { content: content(), is_sized: false }),
            Kind::PutReader => Request::put(&target).reader(Cursor::new(content()), content().len() as u64),
        }
    }
}

/// A source that can be read again.
struct Reopened {
    content: String,
    is_sized: bool,
}

impl Source for Reopened {
    fn length(&self) -> Option<u64> {
        self.is_sized.then_some(self.content.len() as u64)
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.content.clone())))
    }
}

/// What a client was told about each request.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    told: HashMap<String, Told>,
    faults: Vec<String>,
    first_failure: Option<String>,
}

#[derive(Debug)]
enum Told {
    Reply {
        attempts: u32,
    },
    Failed(Failed),
    /// Its caller left before the outcome.
    GivenUp,
}

impl Ledger {
    pub(crate) fn len(&self) -> usize {
        self.told.len()
    }

    pub(crate) fn failed(&self) -> usize {
        self.told.values().filter(|told| matches!(told, Told::Failed(_))).count()
    }

    /// The failures of requests that the session may repeat.
    pub(crate) fn failed_repeatable(&self) -> usize {
        let is_one =
            |(target, told): &(&String, &Told)| matches!(told, Told::Failed(_)) && Kind::of_target(target).may_be_repeated();
        self.told.iter().filter(is_one).count()
    }

    pub(crate) fn first_failure(&self) -> Option<&str> {
        self.first_failure.as_deref()
    }

    /// Notes the outcomes of a run. Each has an index of its own, which names its request.
    pub(crate) fn take_all(&mut self, run: impl Iterator<Item = Outcome>) {
        for Outcome { index, request, result, .. } in run {
            let target = request.target().unwrap_or_default().to_owned();
            if !target.ends_with(&format!("/{index}")) {
                self.faults.push(format!("outcome {index} is of {target}"));
            }
            self.note(&request, result);
        }
    }

    pub(crate) fn note(&mut self, request: &Request, result: Result<Reply, Failed>) {
        match result {
            Ok(reply) => self.note_reply(request, reply.status().as_u16(), reply.content(), reply.attempts()),
            Err(failed) => self.note_failed(request, failed),
        }
    }

    pub(crate) fn note_reply(&mut self, request: &Request, status: u16, content: &[u8], attempts: u32) {
        let target = request.target().expect("a valid request").to_owned();
        let wanted = if Kind::of_target(&target) == Kind::Head { Vec::new() } else { Chaos::content(&target) };
        if status != 200 || content != wanted {
            self.faults.push(format!("{target} has another reply: {status}, {}", content.escape_ascii()));
        }
        self.insert(target, Told::Reply { attempts });
    }

    pub(crate) fn note_failed(&mut self, request: &Request, failed: Failed) {
        self.insert(request.target().expect("a valid request").to_owned(), Told::Failed(failed));
    }

    pub(crate) fn note_streamed(
        &mut self,
        request: &Request,
        reply: &Reply,
        content: &[u8],
        read: io::Result<()>,
        is_part: bool,
    ) {
        let target = request.target().expect("a valid request").to_owned();
        let wanted = Chaos::content(&target);
        // The server may begin another answer, which breaks off. Its content is no complete reply.
        let breaks_off = read.is_err() && b"hello".starts_with(content);
        let is_right = wanted.starts_with(content) && (read.is_err() || is_part || content.len() == wanted.len());
        if !is_right && !breaks_off {
            self.faults.push(format!("{target} has other content: {}", content.escape_ascii()));
        }
        let told = match read {
            Ok(()) => Told::Reply { attempts: reply.attempts() },
            Err(error) => match error.into_inner().map(|inner| inner.downcast::<Failed>()) {
                Some(Ok(failed)) => {
                    if failed.answered < Answered::Head {
                        self.faults.push(format!("{target}: its head was given, and {failed:?}"));
                    }
                    Told::Failed(*failed)
                }
                other => {
                    self.faults.push(format!("{target}: reading failed with {other:?}"));
                    Told::GivenUp
                }
            },
        };
        self.insert(target, told);
    }

    pub(crate) fn give_up(&mut self, request: &Request) {
        let target = request.target().expect("a valid request").to_owned();
        self.insert(target, Told::GivenUp);
    }

    fn insert(&mut self, target: String, told: Told) {
        if let (Told::Failed(failed), None) = (&told, &self.first_failure) {
            self.first_failure = Some(format!("{target}: {failed:?}"));
        }
        if let Some(before) = self.told.insert(target.clone(), told) {
            self.faults.push(format!("{target} has two outcomes, the first {before:?}"));
        }
    }

    /// Compares with the bytes that each connection of the server received.
    pub(crate) fn faults(mut self, received: &[Vec<u8>]) -> Vec<String> {
        let mut arrived: HashMap<String, Arrived> = HashMap::new();
        for line in received.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')) {
            let line = String::from_utf8_lossy(line);
            if let Some(target) = line.strip_suffix(" HTTP/1.1\r").and_then(|line| line.split(' ').nth(1)) {
                arrived.entry(target.to_owned()).or_default().heads += 1;
            } else if let Some((_, mark)) = line.split_once("[end of ") {
                arrived.entry(mark.trim_end_matches(']').to_owned()).or_default().ends += 1;
            }
        }
        for (target, told) in &self.told {
            let arrived = arrived.remove(target).unwrap_or_default();
            self.faults.extend(told.fault(Kind::of_target(target), arrived).map(|fault| format!("{target}: {fault}: {told:?}")));
        }
        self.faults.extend(arrived.keys().map(|target| format!("{target} arrived, and has no outcome")));
        self.faults
    }
}

/// How often the server got a request.
#[derive(Clone, Copy, Debug, Default)]
struct Arrived {
    heads: u32,
    /// All of the content.
    ends: u32,
}

impl Told {
    fn fault(&self, kind: Kind, arrived: Arrived) -> Option<String> {
        if !kind.may_be_repeated() && arrived.heads > 1 {
            return Some(format!("arrived {} times", arrived.heads));
        }
        match self {
            Told::GivenUp => None,
            Told::Reply { .. } if arrived.heads == 0 => Some("has a reply, and did not arrive".to_owned()),
            Told::Reply { attempts } if *attempts < arrived.heads => Some(format!("arrived {} times", arrived.heads)),
            Told::Reply { .. } => None,
            Told::Failed(failed) => {
                let is_certain = failed.sent == Sent::No;
                if is_certain != (failed.attempts == 0) {
                    return Some("its attempts are not those of its sent".to_owned());
                }
                if failed.attempts < arrived.heads {
                    return Some(format!("arrived {} times", arrived.heads));
                }
                if failed.sent != Sent::Yes && arrived.ends > 0 {
                    return Some("was not sent completely, and arrived".to_owned());
                }
                let may_repeat = kind.is_safe() || is_certain;
                (failed.safe_to_retry != may_repeat).then(|| format!("safe_to_retry should be {may_repeat}"))
            }
        }
    }
}
