//! The Python face of `dugong-session`: requests, replies and outcomes of a session.

mod check;
mod outcome;
mod reply;

pub(crate) use check::check_head;
pub(crate) use outcome::Outcome;
pub(crate) use reply::Reply;
