//! The words between the driver and the plan.

use std::time::Duration;

use super::ids::{ConnectionId, JobId};
use super::outcome::{Loss, Outcome, Sent};

/// Something happened to a connection. Report events in the order in which they happened; above all, report bytes that left before
/// the loss of their connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection is open.
    Opened,
    /// It could not be opened. The plan tries again later.
    NotOpened,
    /// It could not be opened, and trying again would not mend that: the host does not exist, or its certificate is bad. Or the
    /// server has refused the certificate of the client, which an open connection learns only afterwards.
    CannotOpen,
    /// The driver has taken this job back before a byte of it left: it is not on this connection any more.
    Recalled(JobId),
    /// Bytes of this job may have left: report it when you have tried to write the first one.
    SentSome(JobId),
    /// All of this job has left, content included.
    SentAll(JobId),
    /// `Expect: 100-continue` was answered, by 100 (Continue) or a final response.
    ExpectAnswered,
    /// It was not: content was sent after a wait, and the final response came without a 100 (Continue).
    ExpectIgnored,
    /// The same as [`SentAll`](Event::SentAll) for this job and for all that were sent before it on this connection.
    SentThrough(JobId),
    /// Bytes moved, in either direction, and no other event says so.
    Moved,
    /// The head of the oldest request's final response has arrived.
    Head(Head),
    /// So many bytes of content of that response have arrived.
    Content(u64),
    /// That response is complete.
    Complete,
    /// The same as [`Content`](Event::Content) and [`Complete`](Event::Complete).
    Last(u64),
    /// The connection ended. With requests in flight this is a loss; an idle one just closed.
    Lost(Loss),
    /// A piece of the oldest request's response head came before the end of the connection.
    Begun,
    /// Bytes came that no request asked for, before the end of the connection.
    Unasked,
    /// An idle connection has become readable: the server closed it, or sent bytes that no request asked for. With TLS, look first: a
    /// session ticket is no reason.
    Readable,
}

/// The facts of a response's head on which the policy depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The connection goes on after this response (RFC 9112 §9.3).
    pub persists: bool,
    /// `Keep-Alive: max=`: how many more requests the server takes on this connection.
    pub keep_alive_max: Option<u32>,
    /// `Retry-After`, as a delay from now (RFC 9110 §10.2.3).
    pub retry_after: Option<Duration>,
    /// The length of the content, if the head tells it.
    pub length: Option<u64>,
}

impl Head {
    /// A head without special facts.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Head { status, persists: true, keep_alive_max: None, retry_after: None, length: None }
    }
}

/// An order to the driver, to be carried out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection, and call it this.
    Open(ConnectionId),
    /// Send this job on this connection.
    Send {
        /// The job.
        job: JobId,
        /// An open connection.
        on: ConnectionId,
    },
    /// Ask the owner of this job for what it needs before an attempt, then call [`Plan::ready`](super::Plan::ready). Meanwhile the job holds
    /// no connection and no other job up; its owner may take as long as its `total_timeout` lets it.
    Ask(JobId),
    /// Deliver the response whose head has arrived: give it to the caller, or collect it.
    Deliver {
        /// The job that gets the response.
        job: JobId,
        /// Its connection.
        on: ConnectionId,
    },
    /// The job does not own its response any more: read and drop it, now or when it comes. If no byte of the job has left, take it back
    /// as for [`Action::Recall`]. [`Action::Over`] may follow, and counts that answer.
    Skip {
        /// The job whose response is dropped.
        job: JobId,
        /// Its connection.
        on: ConnectionId,
    },
    /// Take this job back if no byte of it has left, and report [`Event::Recalled`]: it goes elsewhere. If you cannot keep it from
    /// leaving any more, report [`Event::SentSome`].
    Recall {
        /// The job.
        job: JobId,
        /// Its connection.
        on: ConnectionId,
    },
    /// Do not read this connection: too much content waits for its callers.
    Pause(ConnectionId),
    /// Read it again.
    Resume(ConnectionId),
    /// Close this connection. The plan has forgotten it; its index may be used again.
    Close(ConnectionId),
    /// This job is over.
    Over {
        /// The job. Release it when its caller has taken the outcome and all content.
        job: JobId,
        /// How it ended.
        outcome: Outcome,
    },
}

/// A job that ended with a response that had arrived whole: see [`Plan::answer`](super::Plan::answer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The job. The plan has forgotten it.
    pub job: JobId,
    /// How much of it had left, the most in any attempt.
    pub sent: Sent,
    /// Connections on which a byte of it may have left.
    pub attempts: u32,
    /// Bytes that count against the window until you report them to [`Plan::note_freed`](super::Plan::note_freed).
    pub held: u64,
}

/// Figures of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Connections that are open or being opened.
    pub connections: usize,
    /// Connections that were ever open.
    pub opened: u64,
    /// Requests that a connection may have in flight, as learned.
    pub depth: u32,
    /// The server failed when requests were pipelined to it.
    pub not_pipelining: bool,
    /// Repeats that cost a token, and repeats of answered requests.
    pub repeated: u64,
    /// Jobs that are not over.
    pub jobs: usize,
    /// Jobs that wait for a connection.
    pub queued: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// Repeats that the session can afford now. `None`: no limit.
    pub budget: Option<u32>,
    /// Bytes of content that count against the window.
    pub held: u64,
}
