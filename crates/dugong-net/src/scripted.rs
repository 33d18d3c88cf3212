//! A stream for tests that follows a script: one piece per read, and "not now" where the script says so.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use crate::need::{Interest, Progress};
use crate::stream::{Stream, StreamError};

/// The outcome of one read or write.
#[derive(Clone, Debug)]
pub enum Cue {
    /// A read gives these bytes. Bytes that do not fit stay for the next read.
    Give(Vec<u8>),
    /// A write takes this many bytes at most.
    Take(usize),
    /// The operation needs this first.
    Wait(Interest),
    /// The end of the stream (reads only).
    Eof,
    /// The operation fails.
    Fail(io::ErrorKind),
}

/// A stream that follows two lists of cues, one for reads and one for writes. At the end of the lists, reads wait and writes
/// take everything.
#[derive(Debug, Default)]
pub struct Scripted {
    /// The outcomes of reads.
    pub reads: VecDeque<Cue>,
    /// The outcomes of writes.
    pub writes: VecDeque<Cue>,
    /// All bytes written so far.
    pub written: Vec<u8>,
    /// The number of reads and writes so far.
    pub calls: usize,
}

impl Scripted {
    /// Makes a stream that gives `cues` to its reads, and takes all writes.
    #[must_use]
    pub fn reading(cues: impl IntoIterator<Item = Cue>) -> Self {
        Scripted { reads: cues.into_iter().collect(), ..Self::default() }
    }
}

impl Stream for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        assert!(!buffer.is_empty(), "a read needs room");
        self.calls += 1;
        match self.reads.pop_front() {
            Some(Cue::Give(mut bytes)) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                if count < bytes.len() {
                    self.reads.push_front(Cue::Give(bytes.split_off(count)));
                }
                Ok(Progress::Done(count))
            }
            Some(Cue::Wait(interest)) => Ok(Progress::Needs(interest)),
            Some(Cue::Eof) => {
                self.reads.push_front(Cue::Eof);
                Ok(Progress::Done(0))
            }
            Some(Cue::Fail(kind)) => Err(kind.into()),
            Some(Cue::Take(_)) => panic!("Take is a cue for writes"),
            None => Ok(Progress::Needs(Interest::READ)),
        }
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        self.calls += 1;
        let mut room = match self.writes.pop_front() {
            None => usize::MAX,
            Some(Cue::Take(room)) => room,
            Some(Cue::Wait(interest)) => return Ok(Progress::Needs(interest)),
            Some(Cue::Fail(kind)) => return Err(kind.into()),
            Some(Cue::Give(_) | Cue::Eof) => panic!("Give and Eof are cues for reads"),
        };
        let before = self.written.len();
        for piece in pieces {
            let count = piece.len().min(room);
            self.written.extend_from_slice(&piece[..count]);
            room -= count;
        }
        Ok(Progress::Done(self.written.len() - before))
    }
}
