//! The rows of the table: clients in Rust, in this program, and clients in Python, in `bench/python`.

use crate::load::{Client, Work};
use crate::python::Script;

/// A client in either language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Rust(Client),
    Python(Script),
}

impl Row {
    /// The name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Row::Rust(client) => client.name(),
            Row::Python(script) => script.name,
        }
    }

    /// The name on the command line of the client.
    pub(crate) fn client(self) -> &'static str {
        match self {
            Row::Rust(client) => client.name(),
            Row::Python(script) => script.client,
        }
    }

    /// Tells if it does the work in a way of its own.
    pub(crate) fn does(self, work: Work) -> bool {
        match self {
            Row::Rust(client) => client.does(work),
            Row::Python(script) => script.works.contains(work.name()),
        }
    }

    /// Tells if it sends requests before earlier ones are answered.
    pub(crate) fn pipelines(self) -> bool {
        match self {
            Row::Rust(client) => client.pipelines(),
            Row::Python(script) => script.module.pipelines(),
        }
    }

    /// An amount that is large enough to measure and small enough to repeat.
    pub(crate) fn default_amount(self, work: Work) -> u64 {
        match (self, work) {
            (Row::Python(script), Work::A) => script.requests(),
            (Row::Python(script), Work::B) => 2 * script.requests(),
            (_, Work::G) if !self.pipelines() => 2000,
            _ => work.default_amount(),
        }
    }

    /// Two amounts of work. The difference between their instruction counts repeats well.
    pub(crate) fn amounts_to_count(self, work: Work) -> [u64; 2] {
        match (self, work) {
            (Row::Rust(_), Work::A) => [500, 1500],
            (Row::Rust(_), Work::B) => [2000, 6000],
            (Row::Python(script), Work::A | Work::B) => [script.requests() / 10, script.requests() / 10 * 3],
            (_, Work::C | Work::D | Work::E | Work::F | Work::G) => [8, 24],
        }
    }
}
