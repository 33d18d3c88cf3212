//! Every move that the two halves of a connection can make, in two tables.
//!
//! The halves keep what they count (bytes left, the head that was read) beside these states; *whether* something may happen
//! next is decided here and nowhere else. Each table names every pair, so that a new state or input does not compile until
//! somebody has thought about all its pairs. `None` is "cannot happen". The picture in the crate's documentation is printed
//! from these tables by a test.

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
    /// Where the send half is.
    Sending {
        /// Between requests: the next one may be sent.
        Ready,
        /// Content was announced, and some of it is still to come.
        Owing,
        /// The content of the last request was given up: nothing more can be sent.
        Stopped,
    }
}

kinds! {
    /// What happens to the send half.
    SendInput {
        /// A request that is complete with its head.
        Request,
        /// The head of a request whose content follows.
        RequestOwingContent,
        /// The last byte of content, or the last chunk.
        LastContent,
        /// The final response came instead.
        GivenUp,
    }
}

impl Sending {
    pub(crate) fn after(self, input: SendInput) -> Option<Sending> {
        use SendInput as I;
        use Sending as S;
        match (self, input) {
            (S::Ready, I::Request) => Some(S::Ready),
            (S::Ready, I::RequestOwingContent) => Some(S::Owing),
            (S::Ready, I::LastContent | I::GivenUp) => None,
            (S::Owing, I::LastContent) => Some(S::Ready),
            (S::Owing, I::GivenUp) => Some(S::Stopped),
            (S::Owing, I::Request | I::RequestOwingContent) => None,
            (S::Stopped, I::Request | I::RequestOwingContent | I::LastContent | I::GivenUp) => None,
        }
    }
}

kinds! {
    /// Where the receive half is.
    Receiving {
        /// Between responses: the next byte begins a head.
        Between,
        /// In a status line or header section.
        Head,
        /// A head is complete and waits to be taken.
        HeadReady,
        /// In the content of a response.
        Content,
        /// A head was taken whose framing cannot be trusted: its content cannot be read.
        Faulty,
        /// What arrives is not HTTP any more.
        Tunnel,
        /// Bytes arrived that no request asked for: nothing after them is an answer, whatever is asked later.
        Unasked,
        /// The peer closed between responses.
        Ended,
        /// An error inside content: the response is not complete, and reading its content reports the error.
        ContentFailed,
        /// An error between responses or in a head: nothing more can be read.
        Failed,
    }
}

kinds! {
    /// What happens to the receive half.
    ReceiveInput {
        /// The first byte of a head.
        FirstByte,
        /// A byte while no request is outstanding.
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
        /// A response that turns the connection into a tunnel was taken.
        FinalTunnel,
        /// The end of the content.
        ContentEnd,
        /// The peer closed where it may.
        Eof,
        /// Bytes that break a rule, or an end where more is due.
        Fault,
    }
}

impl Receiving {
    pub(crate) fn after(self, input: ReceiveInput) -> Option<Receiving> {
        use ReceiveInput as I;
        use Receiving as R;
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
            "{}\n{}",
            table("The send half:", Sending::ALL, SendInput::ALL, Sending::after),
            table("The receive half:", Receiving::ALL, ReceiveInput::ALL, Receiving::after),
        );
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/states.md");
        if std::env::var_os("DUGONG_UPDATE").is_some() {
            std::fs::write(path, &picture).expect("the picture can be written");
        }
        assert_eq!(picture, include_str!("states.md"), "run the tests once with DUGONG_UPDATE=1, then again");
    }
}
