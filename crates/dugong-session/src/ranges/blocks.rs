//! A remote file in blocks: which to fetch, and which to keep.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use dugong_http::{Fields, Status};

use super::ask::Ask;
use super::error::{RangeError, Target, WrongRange};
use super::field::{ContentRange, Span};
use super::pin::Pin;

/// How to read a remote file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileOptions {
    /// Bytes of a block, the least that is fetched. 64 KiB take less time than a round trip.
    pub block_size: u64,
    /// Blocks that stay in memory, read ahead or read before. At least 8; 512, that is 32 MiB.
    pub blocks: usize,
    /// How many bytes to read ahead, at most; 0: none. 4 MiB. A sequential read doubles the distance, from two blocks on.
    pub read_ahead: u64,
    /// Bytes of one request, at most. 1 MiB: a longer read is shared by the connections.
    pub request_size: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        FileOptions { block_size: 64 << 10, blocks: 512, read_ahead: 4 << 20, request_size: 1 << 20 }
    }
}

/// The blocks of a remote file: a machine without I/O.
///
/// Its first request learns the size. Before each read, call [`want`](Blocks::want), and send the requests that
/// [`next_request`](Blocks::next_request) returns; pass the collected replies to [`take`](Blocks::take), until
/// [`read`](Blocks::read) returns something. Answers of blocks that were read ahead may come later.
///
/// The strong `ETag`, or else `Last-Modified`, and the complete length of the first answer are pinned. From a server without ranges, the
/// whole content is taken once, and kept.
#[derive(Debug)]
pub struct Blocks {
    target: Target,
    options: FileOptions,
    size: Option<u64>,
    pin: Pin,
    cache: Cache,
    /// The content of a server without ranges.
    whole: Option<Bytes>,
    /// Runs of blocks to ask for, those that the caller wants first.
    due: VecDeque<Run>,
    flights: Vec<(usize, Run)>,
    next_index: usize,
    /// The blocks that the caller reads now.
    wanted: Run,
    /// Where the last read ended.
    read_end: u64,
    /// How many bytes to read ahead.
    ahead: u64,
}

/// Numbers of blocks.
type Run = Range<u64>;

impl Blocks {
    /// Plans to read `target`.
    #[must_use]
    pub fn new(target: impl AsRef<str>, options: FileOptions) -> Self {
        let block_size = options.block_size.max(1);
        let blocks = options.blocks.max(8);
        // The blocks of a read and those ahead of it must fit together.
        let read_ahead = options.read_ahead.min((blocks as u64 / 4).saturating_mul(block_size));
        let options = FileOptions { block_size, blocks, read_ahead, request_size: options.request_size };
        let first: Run = 0..1;
        Blocks {
            target: Target::from(target.as_ref()),
            options,
            size: None,
            pin: Pin::default(),
            cache: Cache::default(),
            whole: None,
            due: VecDeque::from_iter([first.clone()]),
            flights: Vec::new(),
            next_index: 0,
            wanted: first,
            read_end: 0,
            ahead: 0,
        }
    }

    /// The request target.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// The number of bytes of the file. `None` before the first answer.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The number of bytes of content in memory.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.whole.as_ref().map_or(self.cache.bytes, Bytes::len)
    }

    /// Plans the requests for a read of `length` bytes at `position`, and for reads that may follow. Of a read that is longer than half of
    /// the memory, it plans the beginning.
    pub fn want(&mut self, position: u64, length: usize) {
        let Some(size) = self.size.filter(|_| self.whole.is_none()) else { return };
        // Bytes read ahead of another place, and not asked for yet, are of no use now.
        self.due.clear();
        let most = (self.options.blocks as u64 / 2).saturating_mul(self.options.block_size);
        let end = position.saturating_add((length as u64).min(most)).min(size);
        self.wanted = self.run(position, end);
        for number in self.wanted.clone() {
            self.cache.touch(number);
        }
        self.plan(self.wanted.clone());
        if position != self.read_end {
            self.ahead = 0;
        } else if self.options.read_ahead > 0 && self.blocks_in_flight() <= self.options.blocks as u64 / 4 {
            // The next requests go out when half of the distance is used up. So they are long, and the reader does not wait.
            let near = self.run(end, end.saturating_add(self.ahead / 2).min(size));
            if self.ahead == 0 || near.clone().any(|number| !self.has(number)) {
                self.ahead = (2 * self.ahead).clamp(2 * self.options.block_size, u64::MAX).min(self.options.read_ahead);
                self.plan(self.run(end, end.saturating_add(self.ahead).min(size)));
            }
        }
    }

    /// The blocks that hold the bytes `start..end`.
    fn run(&self, start: u64, end: u64) -> Run {
        let block = self.options.block_size;
        if start < end { start / block..end.div_ceil(block) } else { 0..0 }
    }

    /// Adds requests for the blocks of `run` that are neither there nor under way.
    fn plan(&mut self, run: Run) {
        let longest = (self.options.request_size / self.options.block_size).max(1);
        let mut due: Option<Run> = None;
        for number in run {
            if self.has(number) {
                self.due.extend(due.take());
                continue;
            }
            match &mut due {
                Some(due) if due.end - due.start < longest => due.end = number + 1,
                _ => self.due.extend(due.replace(number..number + 1)),
            }
        }
        self.due.extend(due);
    }

    /// Whether a block is there or under way.
    fn has(&self, number: u64) -> bool {
        self.cache.blocks.contains_key(&number)
            || self.flights.iter().any(|(_, run)| run.contains(&number))
            || self.due.iter().any(|run| run.contains(&number))
    }

    fn blocks_in_flight(&self) -> u64 {
        self.flights.iter().map(|(_, run)| run.end - run.start).sum()
    }

    /// The next request to send. `None` if no more are needed now.
    pub fn next_request(&mut self) -> Option<Ask> {
        let run = self.due.pop_front()?;
        let index = self.next_index;
        self.next_index += 1;
        let span = self.span(&run);
        self.flights.push((index, run));
        Some(Ask { index, span: Some(span), if_range: None })
    }

    fn span(&self, run: &Run) -> Span {
        let block = self.options.block_size;
        Span::new(run.start * block, run.end.saturating_mul(block).min(self.size.unwrap_or(u64::MAX)))
    }

    /// Whether the read in progress needs the answer to this request.
    #[must_use]
    pub fn is_wanted(&self, index: usize) -> bool {
        self.flights.iter().any(|(other, run)| *other == index && self.wants(run))
    }

    fn wants(&self, run: &Run) -> bool {
        run.start < self.wanted.end && self.wanted.start < run.end
    }

    /// Takes the answer to a request: its index, and the collected reply.
    ///
    /// # Errors
    /// The answer shows a change, has other bytes than asked for, or a status other than 200 and 206. An answer that no read in progress
    /// needs is dropped instead; its bytes are asked for again.
    ///
    /// # Panics
    /// If no request with this `index` is in flight.
    pub fn take(&mut self, index: usize, status: Status, fields: &Fields, content: &Bytes) -> Result<(), RangeError> {
        let run = self.landed(index);
        let result = self.take_run(&run, status, fields, content);
        if self.wants(&run) { result } else { Ok(()) }
    }

    fn take_run(&mut self, run: &Run, status: Status, fields: &Fields, content: &Bytes) -> Result<(), RangeError> {
        if self.whole.is_some() {
            return Ok(());
        }
        match status {
            Status::PARTIAL_CONTENT => self.take_part(run, fields, content),
            Status::OK => {
                let total = content.len() as u64;
                self.pin.check(&self.target, fields, Some(total))?;
                (self.size, self.whole) = (Some(total), Some(content.clone()));
                self.due.clear();
                self.cache = Cache::default();
                Ok(())
            }
            Status::RANGE_NOT_SATISFIABLE
                if self.size.is_none() && ContentRange::of(fields) == Ok(Some(ContentRange::Unsatisfied { total: 0 })) =>
            {
                self.pin.check(&self.target, fields, Some(0))?;
                self.size = Some(0);
                Ok(())
            }
            _ => Err(RangeError::Status { target: self.target.clone(), status }),
        }
    }

    fn take_part(&mut self, run: &Run, fields: &Fields, content: &Bytes) -> Result<(), RangeError> {
        let asked = self.span(run);
        let wrong = |got| RangeError::WrongRange { target: self.target.clone(), asked: Some(asked), got };
        let range = ContentRange::of(fields).map_err(|bad| wrong(WrongRange::Bad(bad)))?;
        let range = range.ok_or_else(|| wrong(WrongRange::Missing))?;
        let ContentRange::Part { span, total } = range else { return Err(wrong(WrongRange::Other(range))) };
        let size = self.size.or(total).ok_or_else(|| wrong(WrongRange::NoTotal))?;
        if span != Span::new(asked.start, asked.end.min(size)) {
            // Another version may be shorter.
            self.pin.check(&self.target, fields, total)?;
            return Err(RangeError::WrongRange {
                target: self.target.clone(),
                asked: Some(asked),
                got: WrongRange::Other(range),
            });
        }
        if content.len() as u64 != span.len() {
            return Err(wrong(WrongRange::Length(content.len() as u64)));
        }
        self.pin.check(&self.target, fields, total)?;
        self.size = Some(size);
        // Copies, because a slice would keep its whole answer in memory.
        let block = usize::try_from(self.options.block_size).unwrap_or(usize::MAX);
        for (number, block) in run.clone().zip(content.chunks(block)) {
            self.cache.insert(number, Bytes::copy_from_slice(block), self.options.blocks);
        }
        Ok(())
    }

    /// Reports that a request failed. `true`: the read in progress needs its answer, so it fails.
    #[must_use]
    pub fn lost(&mut self, index: usize) -> bool {
        let run = self.landed(index);
        self.wants(&run)
    }

    fn landed(&mut self, index: usize) -> Run {
        let found = self.flights.iter().position(|(other, _)| *other == index);
        self.flights.swap_remove(found.unwrap_or_else(|| panic!("no request {index} is in flight"))).1
    }

    /// Whether a read at `position` returns at once.
    #[must_use]
    pub fn is_ready(&self, position: u64) -> bool {
        let Some(size) = self.size else { return false };
        position >= size || self.whole.is_some() || self.cache.blocks.contains_key(&(position / self.options.block_size))
    }

    /// Copies bytes at `position` that are in memory. 0 at the end of the file, or if none are.
    pub fn read(&mut self, position: u64, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while count < buffer.len() {
            let at = position + count as u64;
            let (content, start) = match &self.whole {
                Some(whole) => (whole, 0),
                None => match self.cache.blocks.get(&(at / self.options.block_size)) {
                    Some((_, block)) => (block, at - at % self.options.block_size),
                    None => break,
                },
            };
            let from = usize::try_from(at - start).unwrap_or(usize::MAX).min(content.len());
            let some = (content.len() - from).min(buffer.len() - count);
            if some == 0 {
                break;
            }
            buffer[count..count + some].copy_from_slice(&content[from..from + some]);
            count += some;
        }
        if count > 0 {
            self.read_end = position + count as u64;
            self.wanted = 0..0;
        }
        count
    }
}

/// Blocks in memory. The one that was not used for the longest time goes first.
#[derive(Debug, Default)]
struct Cache {
    /// When a block was used last, and its content.
    blocks: HashMap<u64, (u64, Bytes)>,
    /// Blocks by their last use.
    order: BTreeMap<u64, u64>,
    uses: u64,
    bytes: usize,
}

impl Cache {
    fn touch(&mut self, number: u64) {
        if let Some((used, _)) = self.blocks.get_mut(&number) {
            self.uses += 1;
            self.order.remove(used);
            self.order.insert(self.uses, number);
            *used = self.uses;
        }
    }

    fn insert(&mut self, number: u64, content: Bytes, most: usize) {
        self.remove(number);
        while self.blocks.len() >= most
            && let Some((_, &oldest)) = self.order.first_key_value()
        {
            self.remove(oldest);
        }
        self.uses += 1;
        self.order.insert(self.uses, number);
        self.bytes += content.len();
        self.blocks.insert(number, (self.uses, content));
    }

    fn remove(&mut self, number: u64) {
        if let Some((used, content)) = self.blocks.remove(&number) {
            self.order.remove(&used);
            self.bytes -= content.len();
        }
    }
}
