//! The Python face of `dugong-session`.
//!
//! A regular method submits a request and waits with Python's lock released; meanwhile its thread may drive the session for all. A
//! task submits it with a number in the [mailbox](mailbox) of its event loop, and the loop drives: see `_session_asyncio.py`.
//!
//! Content of requests, and functions that sign them, run only in the thread or task of their caller: see [owner](owner).

mod check;
mod connector;
mod core;
mod failure;
mod mailbox;
mod number;
mod outcome;
mod owner;
mod prepare;
mod process;
mod ranges;
mod redirect;
mod reply;
mod run;
mod settings;
mod stream;
mod ticket;

pub(crate) use check::check_head;
pub(crate) use core::SessionCore;
pub(crate) use mailbox::Mailbox;
pub(crate) use outcome::Outcome;
pub(crate) use ranges::{BlockPlan, CatPlan, DownloadPlan};
pub(crate) use redirect::{follow_redirect, split_url};
pub(crate) use reply::Reply;
pub(crate) use run::Run;
pub(crate) use ticket::Ticket;
