//! The async client on another runtime, through the adapter of the example `smol`.
//!
//! It runs all tests of the blocking client. In this program, the name `dugong_http` means the program itself, which defines the
//! blocking client's types over a connection that runs on async-io.

#![allow(clippy::duplicate_mod, reason = "each of the files has the support that it needs")]

extern crate dugong_http as real;
extern crate self as dugong_http;

#[path = "../faces/blocked.rs"]
mod blocked;

#[path = "../blocking.rs"]
mod blocking;
#[path = "../faces/cancelled.rs"]
mod cancelled;
#[path = "../chaos.rs"]
mod chaos;
#[path = "../deadlock.rs"]
mod deadlock;
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

#[path = "../../examples/smol/adapter.rs"]
mod adapter;

pub(crate) use adapter::Smol as R;
pub(crate) use async_io::block_on;
pub(crate) use blocked::{Config, Connection, Pipeline, RequestHalf, Response, ResponseHalf};
pub(crate) use real::*;
