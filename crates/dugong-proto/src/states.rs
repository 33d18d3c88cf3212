//! Every move that a connection can make, in four tables.
//!
//! # Theory
//!
//! A connection has two halves, which may live in two threads, and a queue between them. Each half has a state of its own: the
//! send half knows what you may send ([`SendState`]), the receive half knows which bytes come next ([`ReceiveState`]). When one
//! half has to learn from the other, it finds the answer in the queue, behind its lock: for each outstanding request, the state
//! of its content ([`ContentState`]); and for the connection, whether it carries further requests and responses
//! ([`CloseState`]).
//!
//! States alone decide *whether* something may happen next. Counts and bytes stay with the halves and the queue. Each table
//! names every pair, so a new state or input does not compile until all its pairs have an answer; `None` means "cannot happen".
//! A test prints the tables into the crate's documentation.
//!
//! # Joint rules
//!
//! The tables meet in these rules, and only in these:
//!
//! - Only the last request can owe content. While it does, the send half is `Owing`, and the content's state is one of `Waiting`,
//!   `Silent`, `Due`, `Ending`, `Interrupted` and `Answered`.
//! - 100 (Continue), a final response and your patience move the content's state. The send half asks for that state when you
//!   offer content. If it finds `Refused`, or no exchange, it moves to `Stopped`.
//! - A complete response removes its exchange from the queue. If its content is neither `Complete` nor `Ending`, the rest of it
//!   will never be sent and no request can follow it: the connection gets `LastResponse`, with the reason `ContentNotSent`.
//! - A response that says `close`, or a request that said it, makes the connection `Closing` at once, and `Over` with that
//!   response.
//! - A fault on the receive half makes the connection `Failed`. No byte leaves a connection that is `Over` or `Failed` while a
//!   request is outstanding, because you were told which requests were not sent.

/// Declares an enum without data, and the list of its variants.
macro_rules! kinds {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$vmeta])* $variant),* }

        impl $name {
            #[cfg(test)]
            const ALL: &'static [$name] = &[$($name::$variant),*];
        }
    };
}

kinds! {
    /// Which calls the send half allows.
    SendState {
        /// Between requests: you may send the next one.
        Ready,
        /// You have announced content, and owe some of it.
        Owing,
        /// You have given up the content of the last request, so you can send nothing more.
        Stopped,
        /// The same, but you still hand over the rest of the content. It is counted and dropped.
        Discarding,
    }
}

kinds! {
    /// Calls that move the send half.
    SendInput {
        /// A request without content.
        Request,
        /// The head of a request with content.
        RequestOwingContent,
        /// The last byte of content, or the last chunk.
        LastContent,
        /// You will not send the rest of the content.
        GivenUp,
        /// The same, but you will hand it over nevertheless.
        Discarded,
    }
}

impl SendState {
    pub(crate) fn after(self, input: SendInput) -> Option<SendState> {
        use SendInput as I;
        use SendState as S;
        match (self, input) {
            (S::Ready, I::Request) => Some(S::Ready),
            (S::Ready, I::RequestOwingContent) => Some(S::Owing),
            (S::Ready, I::Discarded) => Some(S::Discarding),
            (S::Ready, I::LastContent | I::GivenUp) => None,

            (S::Owing, I::LastContent) => Some(S::Ready),
            (S::Owing, I::GivenUp) => Some(S::Stopped),
            (S::Owing, I::Discarded) => Some(S::Discarding),
            (S::Owing, I::Request | I::RequestOwingContent) => None,

            (S::Stopped, I::Discarded) => Some(S::Discarding),
            (S::Stopped, I::Request | I::RequestOwingContent | I::LastContent | I::GivenUp) => None,

            (S::Discarding, I::LastContent) => Some(S::Stopped),
            (S::Discarding, I::Discarded) => Some(S::Discarding),
            (S::Discarding, I::Request | I::RequestOwingContent | I::GivenUp) => None,
        }
    }
}

kinds! {
    /// The position of the receive half in the stream of responses.
    ReceiveState {
        /// Between responses: the next byte begins a head.
        Between,
        /// In a status line or header section.
        Head,
        /// A head is complete, and not yet taken.
        HeadReady,
        /// In the content of a response.
        Content,
        /// A head was taken whose framing cannot be trusted, so its content cannot be read.
        Faulty,
        /// The connection carries another protocol.
        Tunnel,
        /// Bytes arrived that answer no request. Nothing after them is an answer, whatever you ask later.
        Unasked,
        /// The peer closed between responses.
        Ended,
        /// An error inside content. The response is not complete, and reading its content reports the error.
        ContentFailed,
        /// An error between responses or in a head. Nothing more can be read.
        Failed,
    }
}

kinds! {
    /// Bytes and calls that move the receive half.
    ReceiveInput {
        /// The first byte of a head.
        FirstByte,
        /// A byte that answers no request.
        UnaskedByte,
        /// The empty line after the fields.
        HeadEnd,
        /// An interim response was taken.
        Interim,
        /// A final response without content was taken.
        FinalEmpty,
        /// A final response with content was taken.
        FinalContent,
        /// A final response with faulty framing was taken.
        FinalFaulty,
        /// A final response was taken that makes the connection a tunnel.
        FinalTunnel,
        /// The end of the content.
        ContentEnd,
        /// The peer closed where it is allowed to.
        Eof,
        /// Bytes that break a rule, or an end where more is due.
        Fault,
    }
}

impl ReceiveState {
    pub(crate) fn after(self, input: ReceiveInput) -> Option<ReceiveState> {
        use ReceiveInput as I;
        use ReceiveState as R;
        match (self, input) {
            (R::Between, I::FirstByte) => Some(R::Head),
            (R::Between, I::UnaskedByte) => Some(R::Unasked),
            (R::Between, I::Eof) => Some(R::Ended),
            (R::Between, I::Fault) => Some(R::Failed),
            (R::Between, I::HeadEnd | I::Interim | I::FinalEmpty | I::FinalContent) => None,
            (R::Between, I::FinalFaulty | I::FinalTunnel | I::ContentEnd) => None,

            (R::Head, I::HeadEnd) => Some(R::HeadReady),
            (R::Head, I::Fault) => Some(R::Failed),
            (R::Head, I::FirstByte | I::UnaskedByte | I::Interim | I::FinalEmpty | I::FinalContent) => None,
            (R::Head, I::FinalFaulty | I::FinalTunnel | I::ContentEnd | I::Eof) => None,

            (R::HeadReady, I::Interim | I::FinalEmpty) => Some(R::Between),
            (R::HeadReady, I::FinalContent) => Some(R::Content),
            (R::HeadReady, I::FinalFaulty) => Some(R::Faulty),
            (R::HeadReady, I::FinalTunnel) => Some(R::Tunnel),
            (R::HeadReady, I::Fault) => Some(R::Failed),
            (R::HeadReady, I::FirstByte | I::UnaskedByte | I::HeadEnd | I::ContentEnd | I::Eof) => None,

            (R::Content, I::ContentEnd) => Some(R::Between),
            (R::Content, I::Fault) => Some(R::ContentFailed),
            (R::Content, I::FirstByte | I::UnaskedByte | I::HeadEnd | I::Interim | I::FinalEmpty) => None,
            (R::Content, I::FinalContent | I::FinalFaulty | I::FinalTunnel | I::Eof) => None,

            (R::Faulty, I::Fault) => Some(R::ContentFailed),
            (R::Faulty, I::FirstByte | I::UnaskedByte | I::HeadEnd | I::Interim | I::FinalEmpty | I::FinalContent) => None,
            (R::Faulty, I::FinalFaulty | I::FinalTunnel | I::ContentEnd | I::Eof) => None,

            (R::Tunnel, I::Eof) => Some(R::Ended),
            (R::Tunnel, I::Fault) => Some(R::ContentFailed),
            (R::Tunnel, I::FirstByte | I::UnaskedByte | I::HeadEnd | I::Interim | I::FinalEmpty | I::FinalContent) => None,
            (R::Tunnel, I::FinalFaulty | I::FinalTunnel | I::ContentEnd) => None,

            (R::Unasked, I::Eof) => Some(R::Ended),
            (R::Unasked, I::Fault) => Some(R::Failed),
            (R::Unasked, I::FirstByte | I::UnaskedByte | I::HeadEnd | I::Interim | I::FinalEmpty | I::FinalContent) => None,
            (R::Unasked, I::FinalFaulty | I::FinalTunnel | I::ContentEnd) => None,

            (R::Ended, I::FirstByte | I::UnaskedByte | I::HeadEnd | I::Interim | I::FinalEmpty | I::FinalContent) => None,
            (R::Ended, I::FinalFaulty | I::FinalTunnel | I::ContentEnd | I::Eof | I::Fault) => None,

            (R::ContentFailed, I::FirstByte | I::UnaskedByte | I::HeadEnd | I::Interim | I::FinalEmpty) => None,
            (R::ContentFailed, I::FinalContent | I::FinalFaulty | I::FinalTunnel | I::ContentEnd | I::Eof | I::Fault) => None,

            (R::Failed, I::FirstByte | I::UnaskedByte | I::HeadEnd | I::Interim | I::FinalEmpty | I::FinalContent) => None,
            (R::Failed, I::FinalFaulty | I::FinalTunnel | I::ContentEnd | I::Eof | I::Fault) => None,
        }
    }
}

kinds! {
    /// The state of an outstanding request's content (RFC 9110 §10.1.1).
    ContentState {
        /// All of it was sent or is in the send buffer, or the request has none.
        Complete,
        /// The server has not yet answered the expectation.
        Waiting,
        /// You have stopped waiting for that answer, but have not sent content since.
        Silent,
        /// You may send content.
        Due,
        /// The last of it is being given to the transport. The response may come before that write returns.
        Ending,
        /// A write of it was interrupted at an unknown place, so nothing may follow it.
        Interrupted,
        /// A final response came instead of 100 (Continue), so you must not send the content.
        Refused,
        /// You had stopped waiting when a final response came, and had sent no content. You may still send it.
        Answered,
        /// You have given up the rest.
        GivenUp,
    }
}

kinds! {
    /// Events that change the state of an outstanding request's content.
    ContentInput {
        /// 100 (Continue).
        Continue,
        /// The head of the final response.
        FinalHead,
        /// You have waited for 100 (Continue) for long enough.
        TimedOut,
        /// Some content is given to the transport, or was, and more is owed.
        Part,
        /// The last of it is being given to the transport.
        Last,
        /// All of it was sent or is in the send buffer.
        Completed,
        /// You do not know how much of it a write has sent.
        Interrupted,
        /// You will not send the rest.
        GivenUp,
    }
}

impl ContentState {
    pub(crate) fn after(self, input: ContentInput) -> Option<ContentState> {
        use ContentInput as I;
        use ContentState as C;
        match (self, input) {
            // If you did not wait for 100 (Continue), it may come after the content.
            (C::Complete, I::Continue | I::FinalHead | I::GivenUp) => Some(C::Complete),
            (C::Complete, I::TimedOut | I::Part | I::Last | I::Completed | I::Interrupted) => None,

            (C::Waiting, I::Continue) => Some(C::Due),
            (C::Waiting, I::FinalHead) => Some(C::Refused),
            (C::Waiting, I::TimedOut) => Some(C::Silent),
            (C::Waiting, I::GivenUp) => Some(C::GivenUp),
            (C::Waiting, I::Part | I::Last | I::Completed | I::Interrupted) => None,

            (C::Silent, I::Continue | I::Part) => Some(C::Due),
            (C::Silent, I::FinalHead) => Some(C::Answered),
            (C::Silent, I::TimedOut) => Some(C::Silent),
            (C::Silent, I::Last) => Some(C::Ending),
            (C::Silent, I::Completed) => Some(C::Complete),
            (C::Silent, I::Interrupted) => Some(C::Interrupted),
            (C::Silent, I::GivenUp) => Some(C::GivenUp),

            (C::Due, I::Continue | I::FinalHead | I::TimedOut | I::Part) => Some(C::Due),
            (C::Due, I::Last) => Some(C::Ending),
            (C::Due, I::Completed) => Some(C::Complete),
            (C::Due, I::Interrupted) => Some(C::Interrupted),
            (C::Due, I::GivenUp) => Some(C::GivenUp),

            (C::Ending, I::Continue | I::FinalHead | I::TimedOut | I::Last) => Some(C::Ending),
            (C::Ending, I::Part) => Some(C::Due),
            (C::Ending, I::Completed) => Some(C::Complete),
            (C::Ending, I::Interrupted) => Some(C::Interrupted),
            (C::Ending, I::GivenUp) => Some(C::GivenUp),

            (C::Interrupted, I::Continue | I::FinalHead | I::TimedOut | I::Interrupted) => Some(C::Interrupted),
            (C::Interrupted, I::Part | I::Last | I::Completed | I::GivenUp) => Some(C::Interrupted),

            (C::Refused, I::TimedOut | I::Interrupted | I::GivenUp) => Some(C::Refused),
            (C::Refused, I::Continue | I::FinalHead | I::Part | I::Last | I::Completed) => None,

            (C::Answered, I::Part) => Some(C::Due),
            (C::Answered, I::Last) => Some(C::Ending),
            (C::Answered, I::Completed) => Some(C::Complete),
            (C::Answered, I::Interrupted) => Some(C::Interrupted),
            (C::Answered, I::TimedOut | I::GivenUp) => Some(C::Answered),
            (C::Answered, I::Continue | I::FinalHead) => None,

            (C::GivenUp, I::Continue | I::FinalHead | I::TimedOut | I::Interrupted | I::GivenUp) => Some(C::GivenUp),
            (C::GivenUp, I::Part | I::Last | I::Completed) => None,
        }
    }
}

kinds! {
    /// Whether the connection carries further requests and responses.
    CloseState {
        /// Both.
        Open,
        /// No further requests, only the responses that are due.
        Closing,
        /// Sending was stopped with an error. The responses that are due may still come.
        Stopped,
        /// Neither: the last response is complete.
        Over,
        /// Neither: the received bytes are not valid, or no more arrive.
        Failed,
    }
}

kinds! {
    /// Events that end the connection.
    CloseInput {
        /// The server or the client says that no further request can follow.
        Announced,
        /// Sending failed, or must not go on.
        SendingStopped,
        /// The last response is complete.
        LastResponse,
        /// Receiving failed.
        Fault,
    }
}

impl CloseState {
    /// No pair is impossible here, because a connection can end in several ways at once, in any order.
    pub(crate) fn after(self, input: CloseInput) -> CloseState {
        use CloseInput as I;
        use CloseState as C;
        match (self, input) {
            (C::Open, I::Announced) => C::Closing,
            (C::Closing | C::Stopped | C::Over | C::Failed, I::Announced) => self,

            (C::Open | C::Closing, I::SendingStopped) => C::Stopped,
            (C::Over, I::SendingStopped) => C::Failed,
            (C::Stopped | C::Failed, I::SendingStopped) => self,

            (C::Open | C::Closing, I::LastResponse) => C::Over,
            (C::Stopped, I::LastResponse) => C::Failed,
            (C::Over | C::Failed, I::LastResponse) => self,

            (C::Open | C::Closing | C::Stopped | C::Over | C::Failed, I::Fault) => C::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::{Debug, Write};

    fn table<S: Copy + Debug, I: Copy + Debug>(
        title: &str,
        states: &[S],
        inputs: &[I],
        after: impl Fn(S, I) -> Option<S>,
    ) -> String {
        let mut out = format!("{title}\n\n| state | on | becomes |\n| --- | --- | --- |\n");
        for &state in states {
            for &input in inputs {
                if let Some(next) = after(state, input) {
                    writeln!(out, "| {state:?} | {input:?} | {next:?} |").expect("a String takes everything");
                }
            }
        }
        out
    }

    #[test]
    fn the_documentation_shows_the_tables_as_they_are() {
        let picture = format!(
            "{}\n{}\n{}\n{}",
            table("The send half:", SendState::ALL, SendInput::ALL, SendState::after),
            table("The receive half:", ReceiveState::ALL, ReceiveInput::ALL, ReceiveState::after),
            table("The content of an outstanding request:", ContentState::ALL, ContentInput::ALL, ContentState::after),
            table("The connection:", CloseState::ALL, CloseInput::ALL, |state, input| Some(state.after(input))),
        );
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/states.md");
        if std::env::var_os("DUGONG_UPDATE").is_some() {
            std::fs::write(path, &picture).expect("the picture can be written");
        }
        assert_eq!(picture, include_str!("states.md"), "run the tests once with DUGONG_UPDATE=1, then again");
    }
    fn check_reachable<S: Copy + Debug + PartialEq, I: Copy>(
        from: &[S],
        states: &[S],
        inputs: &[I],
        after: impl Fn(S, I) -> Option<S>,
    ) {
        let mut reached = from.to_vec();
        let mut at = 0;
        while let Some(&state) = reached.get(at) {
            let next = inputs.iter().filter_map(|&input| after(state, input));
            next.for_each(|state| {
                if !reached.contains(&state) {
                    reached.push(state)
                }
            });
            at += 1;
        }
        let lost: Vec<_> = states.iter().filter(|state| !reached.contains(state)).collect();
        assert!(lost.is_empty(), "no input leads to {lost:?}");
    }

    #[test]
    fn every_state_can_be_reached() {
        check_reachable(&[SendState::Ready], SendState::ALL, SendInput::ALL, SendState::after);
        check_reachable(&[ReceiveState::Between], ReceiveState::ALL, ReceiveInput::ALL, ReceiveState::after);
        let begin = [ContentState::Complete, ContentState::Waiting, ContentState::Due];
        check_reachable(&begin, ContentState::ALL, ContentInput::ALL, ContentState::after);
        check_reachable(&[CloseState::Open], CloseState::ALL, CloseInput::ALL, |state, input| Some(state.after(input)));
    }

    #[test]
    fn content_that_is_complete_or_refused_stays_so() {
        for state in [ContentState::Complete, ContentState::Refused, ContentState::Interrupted, ContentState::GivenUp] {
            assert!(ContentInput::ALL.iter().all(|&input| state.after(input).is_none_or(|next| next == state)), "{state:?}");
        }
    }

    #[test]
    fn a_connection_that_ended_never_opens_again() {
        for (state, input) in CloseState::ALL.iter().flat_map(|&state| CloseInput::ALL.iter().map(move |&input| (state, input))) {
            let (over, next) = ([CloseState::Over, CloseState::Failed], state.after(input));
            assert!(next != CloseState::Open && (!over.contains(&state) || over.contains(&next)), "{state:?} on {input:?}");
        }
    }
}
