//! Reads a pipe in a thread, so that a silent one holds nothing else up.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

/// A pipe that a thread opens and reads.
pub(crate) struct Pipe {
    pieces: Receiver<io::Result<Vec<u8>>>,
    next: Option<Piece>,
}

/// A piece, an error, or `None` at the end.
type Piece = io::Result<Option<Vec<u8>>>;

/// How much of a pipe is read at once.
const PIECE: usize = 64 * 1024;
/// How many pieces are read ahead.
const AHEAD: usize = 4;

impl Pipe {
    /// Begins to read; - is standard input. The thread calls `ring` after each piece and at the end.
    pub(crate) fn open(path: &Path, ring: impl Fn() + Send + 'static) -> Self {
        let (sender, pieces) = sync_channel(AHEAD);
        let path = path.to_owned();
        let started = thread::Builder::new().name("pipe".to_owned()).spawn(move || {
            // If the program has given the pipe up, a send fails.
            let result = read(&path, |piece| {
                let is_wanted = sender.send(Ok(piece)).is_ok();
                ring();
                is_wanted
            });
            if let Err(error) = result {
                let _ = sender.send(Err(error));
            }
            drop(sender);
            ring();
        });
        Pipe { pieces, next: started.err().map(Err) }
    }

    /// Tells if [`take`](Pipe::take) has something to give.
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.next.is_none() {
            self.next = match self.pieces.try_recv() {
                Ok(piece) => Some(piece.map(Some)),
                Err(TryRecvError::Disconnected) => Some(Ok(None)),
                Err(TryRecvError::Empty) => None,
            };
        }
        self.next.is_some()
    }

    /// Takes an error, if it is next.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.is_ready();
        self.next.take_if(|next| next.is_err())?.err()
    }

    /// Takes the next piece, the end or an error; `None` if the pipe has given nothing.
    pub(crate) fn take(&mut self) -> Option<Piece> {
        self.is_ready();
        self.next.take()
    }
}

/// Reads a pipe to its end, or until `give` returns false.
fn read(path: &Path, mut give: impl FnMut(Vec<u8>) -> bool) -> io::Result<()> {
    // The opening waits for a writer.
    let mut reader: Box<dyn Read> = if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    loop {
        let mut piece = vec![0; PIECE];
        match reader.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(0) => return Ok(()),
            Ok(count) => {
                piece.truncate(count);
                if !give(piece) {
                    return Ok(());
                }
            }
        }
    }
}
