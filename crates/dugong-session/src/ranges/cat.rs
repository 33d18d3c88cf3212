//! Many ranges of one target in one burst.

use bytes::Bytes;
use dugong_http::{Fields, Status};

use super::ask::Ask;
use super::error::{BadRange, RangeError, Target, WrongRange};
use super::field::{ContentRange, Span};
use super::pin::Pin;

/// Fetches ranges of one target: a machine without I/O.
///
/// Send every request that [`next_request`](CatRanges::next_request) returns, many at a time, and pass each answer to
/// [`take`](CatRanges::take) in any order. Once it [is done](CatRanges::is_done), give up the requests that are still in flight, and
/// [finish](CatRanges::finish).
///
/// Ranges that are less than `merge_gap` apart, or overlap, travel in one request of up to 4 MiB. An empty range needs no request, even
/// beyond the end. A server without ranges answers 200 with the whole content; the first such answer serves all ranges.
///
/// ```
/// use bytes::Bytes;
/// use dugong_http::{Fields, Status};
/// use dugong_session::ranges::CatRanges;
///
/// let mut cat = CatRanges::new("/alphabet", &[(23, 26), (0, 3), (1, 1)], 0, 1 << 20)?;
/// while let Some(ask) = cat.next_request() {
///     // The server's part:
///     let span = ask.span.unwrap();
///     let content = &b"abcdefghijklmnopqrstuvwxyz"[span.start as usize..span.end as usize];
///     let mut fields = Fields::new();
///     fields.append("Content-Range", format!("bytes {span}/26"))?;
///     cat.take(ask.index, Status::PARTIAL_CONTENT, &fields, Bytes::from_static(content))?;
/// }
/// assert!(cat.is_done());
/// assert_eq!(cat.finish(), ["xyz", "abc", ""]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CatRanges {
    target: Target,
    asked: Vec<Span>,
    /// The piece that holds each range. Empty ranges are in none.
    piece_of: Vec<usize>,
    pieces: Vec<Piece>,
    /// The next piece to ask for.
    next: usize,
    /// Pieces without content.
    missing: usize,
    /// The content of a server without ranges.
    whole: Option<Bytes>,
    pin: Pin,
}

#[derive(Debug)]
struct Piece {
    span: Span,
    content: Option<Bytes>,
}

/// Ranges are merged up to this size: then one lost answer costs no more, and the answers share the connections.
const MAX_MERGED: u64 = 4 << 20;

const NO_PIECE: usize = usize::MAX;

impl CatRanges {
    /// Ranges closer than this are merged, unless you say otherwise: 64 KiB take less time than a request.
    pub const MERGE_GAP: u64 = 64 << 10;

    /// Plans requests for `ranges` of `target`: pairs of the first byte and the end behind the last byte. A `merge_gap` of 0 merges none.
    /// No range may be longer than `max_content`.
    ///
    /// # Errors
    /// [`RangeError::BadRange`] if a range ends before it begins, or is too long.
    pub fn new(target: impl AsRef<str>, ranges: &[(u64, u64)], merge_gap: u64, max_content: u64) -> Result<Self, RangeError> {
        let mut asked = Vec::with_capacity(ranges.len());
        for &(start, end) in ranges {
            let refused = |why| Err(RangeError::BadRange { start, end, why });
            if end < start {
                return refused(BadRange::Backwards);
            }
            if end - start > max_content {
                return refused(BadRange::TooLong { limit: max_content });
            }
            asked.push(Span::new(start, end));
        }
        let mut order: Vec<usize> = (0..asked.len()).filter(|&at| !asked[at].is_empty()).collect();
        order.sort_unstable_by_key(|&at| asked[at]);
        let mut piece_of = vec![NO_PIECE; asked.len()];
        let mut pieces: Vec<Piece> = Vec::new();
        let most = MAX_MERGED.min(max_content);
        for at in order {
            let span = asked[at];
            match pieces.last_mut() {
                Some(Piece { span: last, .. })
                    if span.end <= last.end && merge_gap > 0
                        || span.start < last.end.saturating_add(merge_gap) && merge_gap > 0 && span.end - last.start <= most =>
                {
                    last.end = last.end.max(span.end);
                }
                _ => pieces.push(Piece { span, content: None }),
            }
            piece_of[at] = pieces.len() - 1;
        }
        let target = Target::from(target.as_ref());
        let missing = pieces.len();
        Ok(CatRanges { target, asked, piece_of, pieces, next: 0, missing, whole: None, pin: Pin::default() })
    }

    /// The request target.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// The next request to send. `None` if no more are needed.
    pub fn next_request(&mut self) -> Option<Ask> {
        if self.whole.is_some() {
            return None;
        }
        let (index, piece) = (self.next, self.pieces.get(self.next)?);
        self.next += 1;
        Some(Ask { index, span: Some(piece.span), if_range: None })
    }

    /// Takes the answer to a request: its index, and the collected reply. The machine ignores answers once it is done.
    ///
    /// # Errors
    /// The answer shows a change, has other bytes than asked for, or a status other than 200 and 206. Then give up all other requests.
    ///
    /// # Panics
    /// If no request had this `index`.
    pub fn take(&mut self, index: usize, status: Status, fields: &Fields, content: Bytes) -> Result<(), RangeError> {
        assert!(index < self.next, "no request has the index {index}");
        if self.is_done() {
            return Ok(());
        }
        match status {
            Status::PARTIAL_CONTENT => self.take_part(index, fields, content),
            Status::OK => self.take_whole(fields, content),
            Status::RANGE_NOT_SATISFIABLE => {
                let total = match ContentRange::of(fields) {
                    Ok(Some(ContentRange::Unsatisfied { total })) => Some(total),
                    _ => None,
                };
                self.within(index, total)?;
                // The server says no, and its numbers say yes.
                let span = self.pieces[index].span;
                match total {
                    None => Err(self.beyond_end(self.first_in(index), None)),
                    Some(total) => Err(self.wrong(span, WrongRange::Other(ContentRange::Unsatisfied { total }))),
                }
            }
            _ => Err(RangeError::Status { target: self.target.clone(), status }),
        }
    }

    fn take_part(&mut self, index: usize, fields: &Fields, content: Bytes) -> Result<(), RangeError> {
        let asked = self.pieces[index].span;
        let (span, total) = match ContentRange::of(fields) {
            Ok(Some(ContentRange::Part { span, total })) => (span, total),
            Ok(Some(range)) => return Err(self.wrong(asked, WrongRange::Other(range))),
            Ok(None) => return Err(self.wrong(asked, WrongRange::Missing)),
            Err(bad) => return Err(self.wrong(asked, WrongRange::Bad(bad))),
        };
        self.pin.check(&self.target, fields, total)?;
        if span != asked {
            // A range that goes beyond the end is cut there.
            if span.start == asked.start && Some(span.end) == total {
                self.within(index, total)?;
            }
            return Err(self.wrong(asked, WrongRange::Other(ContentRange::Part { span, total })));
        }
        if content.len() as u64 != span.len() {
            return Err(self.wrong(asked, WrongRange::Length(content.len() as u64)));
        }
        let piece = &mut self.pieces[index];
        if piece.content.replace(content).is_none() {
            self.missing -= 1;
        }
        Ok(())
    }

    fn take_whole(&mut self, fields: &Fields, content: Bytes) -> Result<(), RangeError> {
        let total = content.len() as u64;
        self.pin.check(&self.target, fields, Some(total))?;
        if let Some(at) = self.asked.iter().position(|span| !span.is_empty() && span.end > total) {
            return Err(self.beyond_end(self.asked[at], Some(total)));
        }
        self.whole = Some(content);
        Ok(())
    }

    /// Checks that a target of `total` bytes has the ranges of a piece.
    fn within(&self, index: usize, total: Option<u64>) -> Result<(), RangeError> {
        let Some(total) = total else { return Ok(()) };
        let beyond = |at: &usize| self.piece_of[*at] == index && self.asked[*at].end > total;
        match (0..self.asked.len()).find(beyond) {
            Some(at) => Err(self.beyond_end(self.asked[at], Some(total))),
            None => Ok(()),
        }
    }

    /// The first range that a piece was made for.
    fn first_in(&self, index: usize) -> Span {
        let at = self.piece_of.iter().position(|&piece| piece == index).expect("each piece was made for a range");
        self.asked[at]
    }

    fn beyond_end(&self, asked: Span, total: Option<u64>) -> RangeError {
        RangeError::BeyondEnd { target: self.target.clone(), asked, total }
    }

    fn wrong(&self, asked: Span, got: WrongRange) -> RangeError {
        RangeError::WrongRange { target: self.target.clone(), asked: Some(asked), got }
    }

    /// Whether all bytes are there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.missing == 0 || self.whole.is_some()
    }

    /// The bytes of the ranges, in the order in which you asked for them. They are slices of the answers, without a copy: one small
    /// range keeps the whole answer in memory that it came with.
    ///
    /// # Panics
    /// If it is not done.
    #[must_use]
    pub fn finish(self) -> Vec<Bytes> {
        assert!(self.is_done(), "{} requests have no answer", self.missing);
        let slice = |(span, piece): (&Span, &usize)| {
            if span.is_empty() {
                return Bytes::new();
            }
            let (content, start) = match &self.whole {
                Some(whole) => (whole, 0),
                None => {
                    let piece = &self.pieces[*piece];
                    (piece.content.as_ref().expect("no piece is missing"), piece.span.start)
                }
            };
            // It fits memory, because the content is there.
            content.slice((span.start - start) as usize..(span.end - start) as usize)
        };
        self.asked.iter().zip(&self.piece_of).map(slice).collect()
    }
}
