//! The async client on tokio.
//!
//! It runs all tests of the blocking client. In this program, the name `dugong_http` means the program itself, which defines the
//! blocking client's types over a connection that runs on tokio.

#![allow(clippy::duplicate_mod, reason = "each of the files has the support that it needs")]

extern crate dugong_http as real;
extern crate self as dugong_http;

#[path = "../faces/blocked.rs"]
mod blocked;

#[path = "../allocations.rs"]
mod allocations;
#[path = "../blocking.rs"]
mod blocking;
#[path = "../faces/cancelled.rs"]
mod cancelled;
#[path = "../chaos.rs"]
mod chaos;
#[path = "../deadlock.rs"]
mod deadlock;
mod own;
#[path = "../pipeline.rs"]
mod pipeline;
#[path = "../split.rs"]
mod split;
#[cfg(feature = "rustls")]
#[path = "../faces/tls.rs"]
mod tls;
#[path = "../transcripts.rs"]
mod transcripts;
#[path = "../truncation.rs"]
mod truncation;
#[path = "../verdicts.rs"]
mod verdicts;
#[path = "../worst_moments.rs"]
mod worst_moments;

use std::future::Future;
use std::sync::LazyLock;

use ::tokio::runtime::{Builder, Runtime};

pub(crate) use blocked::{Config, Connection, Pipeline, RequestHalf, Response, ResponseHalf};
pub(crate) use real::tokio::Tokio as R;
pub(crate) use real::*;

/// One runtime for all tests, since their threads pass connections on.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime"));

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}
