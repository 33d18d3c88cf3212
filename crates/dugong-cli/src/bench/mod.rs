//! `dugong bench`: measures a server.
//!
//! `plan` checks the arguments, with `loopback` for the addresses. `load` is the loop: one thread that waits for all connections.
//! `schedule` says when each request is due, `feed` which one it is, `connection` sends and receives, over the `edge` that remembers if its socket is ready,
//! `tally` counts, and `report` prints.

mod connection;
mod edge;
mod feed;
mod load;
mod loopback;
mod plan;
mod report;
mod schedule;
mod tally;
mod timer;

pub(crate) use load::run;
pub(crate) use plan::BenchPlan;
