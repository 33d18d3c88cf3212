//! `--continue` and `--parts`: a content whose beginning stays on disk, and whose rest comes by ranges.

use std::io;
use std::path::Path;
use std::task::Waker;

use bytes::Bytes;
use dugong_http::{Fields, Request, RequestHead};
use dugong_session::ranges::{Ask, Download, DownloadOptions, RangeError, Take};
use dugong_session::{Digest, Failed, News as Ticketed, Reply, Ticket};

use crate::plan::HiArgs;

/// A download in parts, and its requests in flight.
pub(crate) struct Parts {
    download: Download,
    flights: Vec<Flight>,
    /// Woken at all news.
    waker: Waker,
}

struct Flight {
    index: usize,
    state: State,
}

enum State {
    Waiting(Ticket),
    Reading(Reply),
}

/// The news of one request.
pub(crate) enum News {
    Reply(usize, Reply),
    Failed(Failed),
    Piece(usize, Bytes),
    Broken(usize, io::Error),
}

/// The size of a part, if several come at once.
const PART: u64 = 8 << 20;
/// More than any content has.
const ALL: u64 = 1 << 62;

impl Parts {
    /// Opens the files beside `path`. An earlier run may have left some of the content of `url` there.
    pub(crate) fn open(plan: &HiArgs, url: &str, target: &str, path: &Path, waker: &Waker) -> Result<Self, RangeError> {
        let mut options = DownloadOptions::default();
        options.part_size = if plan.parts > 1 { PART } else { ALL };
        options.parts = plan.parts;
        options.retries = plan.retries;
        if let Some(checksum) = &plan.checksum {
            options.digests.push(Digest::sha256_hex(checksum.digits()).expect("it was checked"));
        }
        let download = Download::open(url, target, path, options)?;
        Ok(Parts { download, flights: Vec::new(), waker: waker.clone() })
    }

    /// Takes a reply to a request without a range as the first one.
    pub(crate) fn begin_with(&mut self, reply: Reply) -> Result<(), RangeError> {
        if let Some(ask) = self.download.next_request() {
            self.take_head(ask.index, reply)?;
        }
        Ok(())
    }

    /// The next request to send.
    pub(crate) fn next_request(&mut self) -> Option<Ask> {
        self.download.next_request()
    }

    pub(crate) fn sent(&mut self, ask: &Ask, ticket: Ticket) {
        ticket.set_waker(&self.waker);
        ticket.set_awaited(true);
        self.flights.push(Flight { index: ask.index, state: State::Waiting(ticket) });
    }

    /// Looks for something that came, without waiting.
    pub(crate) fn news(&mut self) -> io::Result<Option<News>> {
        for at in 0..self.flights.len() {
            let Flight { index, state } = &mut self.flights[at];
            let index = *index;
            match state {
                State::Waiting(ticket) => {
                    if !matches!(ticket.news(), Ticketed::Head | Ticketed::Over) {
                        continue;
                    }
                    let State::Waiting(ticket) = self.flights.remove(at).state else { unreachable!("it waits") };
                    match ticket.take_reply() {
                        Ok(Ok(reply)) => return Ok(Some(News::Reply(index, reply))),
                        Ok(Err(failed)) => return Ok(Some(News::Failed(failed))),
                        Err(ticket) => self.flights.insert(at, Flight { index, state: State::Waiting(ticket) }),
                    }
                }
                State::Reading(reply) => {
                    let ticket = reply.ticket_mut().expect("the request asked for a streamed reply");
                    match ticket.next_piece() {
                        Ok(None) => {}
                        Ok(Some(piece)) => return Ok(Some(News::Piece(index, piece))),
                        Err(error) => {
                            self.flights.remove(at);
                            return Ok(Some(News::Broken(index, error)));
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes the head of an answer.
    pub(crate) fn take_head(&mut self, index: usize, mut reply: Reply) -> Result<(), RangeError> {
        if self.download.head(index, reply.status(), reply.fields())? == Take::Content {
            if let Some(ticket) = reply.ticket_mut() {
                ticket.set_waker(&self.waker);
                ticket.set_awaited(true);
            }
            self.flights.push(Flight { index, state: State::Reading(reply) });
        }
        Ok(())
    }

    /// Takes a piece of content, or the end of an answer if it is empty.
    pub(crate) fn take_piece(&mut self, index: usize, piece: &[u8]) -> Result<(), RangeError> {
        if !piece.is_empty() {
            return self.download.content(index, piece);
        }
        self.flights.retain(|flight| flight.index != index);
        self.download.end(index)
    }

    /// Takes a loss; false if there were too many.
    pub(crate) fn lost(&mut self, index: usize) -> bool {
        self.download.lost(index)
    }

    /// How many requests are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.download.is_done()
    }

    /// Gives the file its name, and returns its length.
    pub(crate) fn finish(self) -> Result<u64, RangeError> {
        self.download.finish()
    }
}

/// The request for a part.
pub(crate) fn request(ask: &Ask, target: &str, fields: &Fields) -> Request {
    let mut head = RequestHead::new(dugong_http::Method::GET, target).expect("`urls::parse` has checked the target");
    head.fields = fields.clone();
    for line in ask.fields().iter() {
        head.fields.append(line.name(), line.value()).expect("a line of valid fields is valid");
    }
    Request::from(head)
}

/// Tells if an earlier run left something of the content of a file.
pub(crate) fn is_begun(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    path.with_file_name(format!(".{}.part.meta", name.to_string_lossy())).exists()
}
