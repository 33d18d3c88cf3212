//! The list of URLs: arguments, files, and pipes that are read while their URLs are requested.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use dugong_http::Origin;

use crate::urls;
use crate::usage::{Source, UsageError};

/// One URL.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) url: String,
    pub(crate) origin: Origin,
    pub(crate) target: String,
}

/// What a list has next.
#[derive(Debug)]
pub(crate) enum Next {
    Entry(Entry),
    Bad(UsageError),
    /// A pipe has nothing at the moment.
    Later,
    End,
}

/// The same before it is parsed.
#[derive(Debug)]
pub(crate) enum Text {
    Url(String, Source),
    Bad(UsageError),
    Later,
    End,
}

/// The URLs in the order given. It holds one line of a file at a time.
pub(crate) struct List {
    urls: VecDeque<String>,
    files: VecDeque<PathBuf>,
    open: Option<(PathBuf, Lines, usize)>,
    /// Takes only regular files, which have a beginning.
    only_files: bool,
}

/// The lines of an open file.
enum Lines {
    File(BufReader<File>),
    /// Read by a thread, since a pipe may have nothing for long.
    Pipe(Receiver<io::Result<Vec<u8>>>),
}

/// How many lines of a pipe are read ahead.
const AHEAD: usize = 1024;

impl List {
    pub(crate) fn new(urls: &[String], files: &[PathBuf]) -> Self {
        let (urls, files) = (urls.iter().cloned().collect(), files.iter().cloned().collect());
        List { urls, files, open: None, only_files: false }
    }

    /// The part of the list that can be read twice.
    pub(crate) fn of_files(urls: &[String], files: &[PathBuf]) -> Self {
        List { only_files: true, ..List::new(urls, files) }
    }

    /// Takes the next URL. Waits for so long if a pipe has nothing at the moment.
    pub(crate) fn next(&mut self, wait: Duration) -> Next {
        match self.next_text(wait) {
            Text::Url(url, source) => match urls::parse(&url, &source) {
                Ok((origin, target)) => Next::Entry(Entry { url: url.trim().to_owned(), origin, target }),
                Err(error) => Next::Bad(error),
            },
            Text::Bad(error) => Next::Bad(error),
            Text::Later => Next::Later,
            Text::End => Next::End,
        }
    }

    /// Takes the next text that should be a URL.
    pub(crate) fn next_text(&mut self, wait: Duration) -> Text {
        loop {
            if let Some(url) = self.urls.pop_front() {
                return Text::Url(url, Source::Argument);
            }
            let Some((path, lines, number)) = &mut self.open else {
                match self.files.pop_front() {
                    None => return Text::End,
                    Some(path) => match open(&path, self.only_files) {
                        Ok(lines) => self.open = lines.map(|lines| (path, lines, 0)),
                        Err(error) => return Text::Bad(UsageError::Input { file: path, error }),
                    },
                }
                continue;
            };
            let line = match lines.next(wait) {
                None => return Text::Later,
                Some(Ok(line)) => line,
                Some(Err(error)) => {
                    let file = path.clone();
                    self.open = None;
                    return Text::Bad(UsageError::Input { file, error });
                }
            };
            let Some(line) = line else {
                self.open = None;
                continue;
            };
            *number += 1;
            // Some editors begin a text with a byte order mark, which does not belong to the first line.
            let text = line.strip_prefix("\u{feff}".as_bytes()).filter(|_| *number == 1).unwrap_or(&line).trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let source = Source::Line { file: path.clone(), number: *number };
            return match std::str::from_utf8(text) {
                Ok(url) => Text::Url(url.to_owned(), source),
                Err(_) => Text::Bad(UsageError::NotText { source }),
            };
        }
    }

    /// Whether a pipe may have more.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.open, Some((_, Lines::Pipe(_), _)))
    }
}

impl Lines {
    /// The next line; `None` if there is none yet, and `Some(Ok(None))` at the end.
    fn next(&mut self, wait: Duration) -> Option<io::Result<Option<Vec<u8>>>> {
        match self {
            Lines::File(file) => Some(line_of(file)),
            Lines::Pipe(lines) => match lines.recv_timeout(wait) {
                Ok(line) => Some(line.map(Some)),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Ok(None)),
            },
        }
    }
}

fn line_of(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    Ok((reader.read_until(b'\n', &mut line)? > 0).then_some(line))
}

/// Opens a file; `None` for a pipe if those are left out.
fn open(path: &Path, only_files: bool) -> io::Result<Option<Lines>> {
    if path == Path::new("-") {
        return Ok((!only_files).then(|| pipe(io::stdin())));
    }
    let is_file = std::fs::metadata(path)?.is_file();
    if only_files && !is_file && !path.is_dir() {
        return Ok(None);
    }
    let file = File::open(path)?;
    Ok(Some(if is_file { Lines::File(BufReader::new(file)) } else { pipe(file) }))
}

fn pipe(reader: impl Read + Send + 'static) -> Lines {
    let (sender, lines) = sync_channel(AHEAD);
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        while let Some(line) = line_of(&mut reader).transpose() {
            let is_over = line.is_err();
            if sender.send(line).is_err() || is_over {
                return;
            }
        }
    });
    Lines::Pipe(lines)
}
