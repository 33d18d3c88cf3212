//! The workloads and the clients in Rust.

use clap::ValueEnum;

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// Sends prepared bytes and counts the bytes that come back, without parsing them
    Raw,
    /// Like raw, but parses each head and chunk size with httparse
    Httparse,
    /// Dugong's blocking client
    Dugong,
    /// Like dugong, but copies content in chunks into a buffer of 64 KiB; differs in d only
    DugongRead,
    /// Dugong's async client on tokio
    DugongTokio,
    /// Dugong's session
    Session,
    /// hyper, with one connection or as many as the workload says
    Hyper,
    /// reqwest
    Reqwest,
    /// Like dugong, but its pipeline has no bounds; in b only
    DugongUnbounded,
    /// Dugong's split connection, with one thread for each half; in b only
    DugongSplit,
}

/// A kind of workload. The letters are the table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// GET of 120 bytes, one after the other.
    A,
    /// GET of 120 bytes, 64 in flight.
    B,
    /// One download with a length, in reads of 64 KiB.
    C,
    /// One download in chunks of 8 KiB.
    D,
    /// One upload with a length, in writes of 64 KiB.
    E,
    /// GET of 120 bytes that take 10 ms each, all in flight; clients that do not pipeline have 16 connections.
    F,
    /// Ranges of 4 KiB, 1 MiB apart, from a server 5 ms away, over four connections.
    G,
}

/// A workload of a size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) work: Work,
    /// In requests or MiB of content.
    pub(crate) amount: u64,
}

/// The bytes of content in one read or write.
pub(crate) const PIECE: usize = 64 * 1024;

/// The bytes of a range in g.
pub(crate) const RANGE: u64 = 4096;

/// The bytes of a chunk in d.
pub(crate) const CHUNK: u64 = 8192;

impl Client {
    /// The clients of the table. The others serve the counts alone.
    pub(crate) const ALL: [Client; 8] = [
        Client::Raw,
        Client::Httparse,
        Client::Dugong,
        Client::DugongRead,
        Client::DugongTokio,
        Client::Session,
        Client::Hyper,
        Client::Reqwest,
    ];

    /// The name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Raw => "raw",
            Client::Httparse => "httparse",
            Client::Dugong => "dugong",
            Client::DugongRead => "dugong-read",
            Client::DugongTokio => "dugong-tokio",
            Client::Session => "session",
            Client::Hyper => "hyper",
            Client::Reqwest => "reqwest",
            Client::DugongUnbounded => "dugong-unbounded",
            Client::DugongSplit => "dugong-split",
        }
    }

    /// Tells if this client does the work in a way of its own.
    pub(crate) fn does(self, work: Work) -> bool {
        match self {
            Client::Raw | Client::Httparse | Client::Dugong | Client::DugongTokio => work != Work::G,
            Client::DugongRead => work == Work::D,
            Client::Session => matches!(work, Work::A | Work::B | Work::F | Work::G),
            Client::DugongUnbounded | Client::DugongSplit => work == Work::B,
            // They do not pipeline.
            Client::Hyper | Client::Reqwest => matches!(work, Work::A | Work::C | Work::F | Work::G),
        }
    }

    /// Tells if it sends requests before earlier ones are answered.
    pub(crate) fn pipelines(self) -> bool {
        !matches!(self, Client::Hyper | Client::Reqwest)
    }
}

impl Work {
    pub(crate) const ALL: [Work; 7] = [Work::A, Work::B, Work::C, Work::D, Work::E, Work::F, Work::G];

    /// The letter on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::A => "a",
            Work::B => "b",
            Work::C => "c",
            Work::D => "d",
            Work::E => "e",
            Work::F => "f",
            Work::G => "g",
        }
    }

    /// Tells if its amount is in MiB of content. Otherwise it is in requests.
    pub(crate) fn is_of_content(self) -> bool {
        matches!(self, Work::C | Work::D | Work::E)
    }

    /// An amount that is large enough to measure and small enough to repeat.
    pub(crate) fn default_amount(self) -> u64 {
        match self {
            Work::A => 20_000,
            Work::B => 500_000,
            Work::C => 1024,
            Work::D | Work::E => 256,
            Work::F => 1000,
            Work::G => 10_000,
        }
    }
}

impl Load {
    /// The number of requests.
    pub(crate) fn requests(self) -> u64 {
        if self.work.is_of_content() { 1 } else { self.amount }
    }

    /// The number of requests that may be in flight.
    pub(crate) fn depth(self) -> usize {
        match self.work {
            Work::B => 64,
            Work::F => self.amount as usize,
            // As many as a session sends, unless told otherwise.
            Work::G => 32,
            Work::A | Work::C | Work::D | Work::E => 1,
        }
    }

    /// The number of connections of a client that does not pipeline.
    pub(crate) fn connections(self) -> usize {
        match self.work {
            Work::F => 16,
            Work::G => 4,
            Work::A | Work::B | Work::C | Work::D | Work::E => 1,
        }
    }

    /// The range that a request asks for, if any.
    pub(crate) fn range(self, number: u64) -> Option<String> {
        let start = number << 20;
        (self.work == Work::G).then(|| format!("bytes={start}-{}", start + RANGE - 1))
    }

    /// The bytes of content in c, d and e.
    pub(crate) fn content(self) -> u64 {
        self.amount << 20
    }

    /// The target of its requests.
    pub(crate) fn target(self) -> String {
        match self.work {
            Work::A | Work::B => "/small".to_owned(),
            Work::C => format!("/bytes/{}", self.content()),
            Work::D => format!("/chunked/{}?chunk={CHUNK}", self.content()),
            Work::E => "/upload?digest=0".to_owned(),
            Work::F => "/small?delay=10".to_owned(),
            Work::G => format!("/bytes/{}?delay=5", Work::G.default_amount() << 20),
        }
    }

    /// A little of the same work, to be done before measuring.
    pub(crate) fn warm_up(self) -> Load {
        let amount = match self.work {
            Work::A => 100,
            Work::B => 1000,
            Work::C | Work::D | Work::E => 1,
            // One on each connection.
            Work::F | Work::G => self.connections() as u64,
        };
        Load { work: self.work, amount }
    }
}
