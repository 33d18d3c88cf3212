//! The content of an upload on its way.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use bytes::Bytes;
use dugong_session::{Failed, News, Reply, Source, Ticket};

use crate::pipe::Pipe;

/// An upload on its way.
pub(crate) struct Sending {
    ticket: Ticket,
    content: Content,
}

/// Where its content comes from.
pub(crate) enum Content {
    /// A file, opened for each attempt.
    File { path: PathBuf, open: Option<File> },
    Pipe {
        pipe: Pipe,
        /// Some of it was given to the session.
        is_read: bool,
        /// The session waits for it to begin. No connection is held meanwhile.
        begins: bool,
        /// The session has room for a piece.
        is_wanted: bool,
    },
}

/// How much of a file is read at once.
const PIECE: usize = 64 * 1024;

impl Content {
    pub(crate) fn file(path: PathBuf) -> Self {
        Content::File { path, open: None }
    }

    pub(crate) fn pipe(pipe: Pipe) -> Self {
        Content::Pipe { pipe, is_read: false, begins: false, is_wanted: false }
    }
}

impl Sending {
    pub(crate) fn new(ticket: Ticket, content: Content) -> Self {
        Sending { ticket, content }
    }

    /// Tells if it is a pipe that has given nothing so far.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.content, Content::Pipe { is_read: false, .. })
    }

    /// Gives the session what it asks for, as far as that is there, and returns the result if it has come.
    pub(crate) fn advance(mut self: Box<Self>) -> Result<Result<Reply, Failed>, Box<Self>> {
        loop {
            match self.ticket.news() {
                News::Over => {
                    let Sending { ticket, content } = *self;
                    return ticket.take_reply().map_err(|ticket| Box::new(Sending { ticket, content }));
                }
                News::Begins { .. } => self.content.begin(&mut self.ticket),
                News::WantsContent => self.content.give(&mut self.ticket),
                _ => break,
            }
        }
        self.content.give_later(&mut self.ticket);
        Err(self)
    }
}

impl Content {
    fn begin(&mut self, ticket: &mut Ticket) {
        match self {
            Content::File { path, open } => match File::open(path) {
                Ok(file) => {
                    *open = Some(file);
                    ticket.begin(None);
                }
                Err(error) => ticket.fail(error),
            },
            Content::Pipe { is_read: true, .. } => ticket.fail(io::Error::other("the content can be read only once")),
            Content::Pipe { begins, .. } => *begins = true,
        }
    }

    fn give(&mut self, ticket: &mut Ticket) {
        match self {
            Content::File { open, .. } => {
                let mut piece = vec![0; PIECE];
                let read = match open.as_mut().map(|file| file.read(&mut piece)) {
                    Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => return self.give(ticket),
                    read => read.unwrap_or(Ok(0)),
                };
                give(
                    ticket,
                    read.map(|count| {
                        piece.truncate(count);
                        (count > 0).then_some(piece)
                    }),
                );
            }
            Content::Pipe { is_wanted, .. } => *is_wanted = true,
        }
    }

    /// The same for a pipe, which may have something now.
    fn give_later(&mut self, ticket: &mut Ticket) {
        let Content::Pipe { pipe, is_read, begins, is_wanted } = self else { return };
        if *begins && pipe.is_ready() {
            *begins = false;
            match pipe.take_error() {
                Some(error) => ticket.fail(error),
                None => ticket.begin(None),
            }
        }
        if *is_wanted && let Some(piece) = pipe.take() {
            (*is_read, *is_wanted) = (true, false);
            give(ticket, piece);
        }
    }
}

fn give(ticket: &mut Ticket, piece: io::Result<Option<Vec<u8>>>) {
    match piece {
        Ok(Some(piece)) => ticket.give(Bytes::from(piece)),
        Ok(None) => ticket.finish(),
        Err(error) => ticket.fail(error),
    }
}

/// Tells the session the length of content that [`Sending`] gives.
pub(crate) struct Announced {
    /// `None` if it is sent in chunks, and once.
    pub(crate) length: Option<u64>,
}

impl Source for Announced {
    fn length(&self) -> Option<u64> {
        self.length
    }

    fn is_read_once(&self) -> bool {
        self.length.is_none()
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
