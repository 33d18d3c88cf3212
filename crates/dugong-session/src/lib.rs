//! Many requests to one origin over few connections, each with exactly one outcome.
//!
//! **Only the plan stands yet.** A session has three rooms: the *plan* decides, the *driver* executes the decisions with the
//! connections of `dugong-http`, and the *faces* are the types that programs use (`Session`, `Sessions`, `Reply`). The driver and the
//! faces come next; until then you cannot send a request with this crate, and it is not published.
//!
//! [`plan::Plan`] is pure. You tell it the time and events; it tells you to open a connection, to send job 17 on connection 2, or
//! that job 17 is over. So every rule of the policy is a test of a few lines without a socket.
//!
//! # Not there yet
//!
//! - `Expect: 100-continue` (and the memory of origins that never answer it), and redirects.

mod auth;
mod digest;
mod directory;
pub mod driver;
mod facts;
mod failed;
mod journey;
mod origins;
mod outcome;
pub mod plan;
pub mod ranges;
mod redirect;
mod reply;
mod request;
mod run;
mod run_many;
mod session;
mod sessions;
mod taking;
mod ticket;
#[cfg(feature = "tokio")]
pub mod tokio;
mod trail;

pub use auth::{Auth, BoxError, InvalidAuth, SignRequest};
pub use digest::{Digest, DigestMismatch, InvalidDigest};
pub use dugong_http::{Config, Error, Fields, Method, Origin, ResponseHead, Status};
pub use failed::{Cause, Failed};
pub use outcome::Outcome;
pub use plan::{Answered, Loss, NoRepeat, Sent, Stats};
pub use reply::Reply;
pub use request::{Request, Source};
pub use run::Run;
pub use run_many::RunMany;
pub use session::{Builder, Session};
pub use sessions::{Sessions, SessionsBuilder};
pub use ticket::{News, Ticket};
