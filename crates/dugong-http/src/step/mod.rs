//! The engine: each operation of a connection is a step that is done, or says which I/O it needs.
//!
//! State lives in the [`Engine`], never in the caller's stack. If you give up a step (a timeout, a cancelled task, an abandoned
//! generator), the next step goes on where it stopped. You only decide how to wait: call the step; if it says
//! [`Progress::Needs`], wait until the stream is ready for that, and call it again.
//!
//! A whole engine takes no locks. [`Engine::into_halves`] splits it into a side that sends and a side that receives, for two
//! threads or tasks. Then [`Shared`], the queue of outstanding requests, is behind a lock that no step holds while it reads,
//! writes or waits. The steps are the same in both forms: they are methods of [`Duplex`].
//!
//! The engine holds at most: the receive buffer; the send buffer, which one request head or the rest of one chunk (64 KiB) may
//! exceed; one response head and one trailer section, each within its [limits](dugong_proto::Limits); about a hundred bytes for
//! each outstanding request; and the content of the last request, which it does not copy.
//!
//! ```
//! use dugong_http::driver::{Engine, Progress};
//! use dugong_net::scripted::{Cue, Scripted};
//! use dugong_http::{Config, Request};
//!
//! let mut engine = Engine::new("example.org", &Config::new().user_agent(None))?;
//! let mut stream = Scripted::default();
//! let mut duplex = engine.duplex();
//!
//! assert!(matches!(duplex.send_request(&Request::get("/"), &mut stream)?, Progress::Done(0)));
//! assert!(matches!(duplex.read_head(&mut stream)?, Progress::Needs(interest) if interest.reads()));
//! stream.reads.push_back(Cue::Give(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".into()));
//! assert!(matches!(duplex.read_head(&mut stream)?, Progress::Done(())));
//! let mut buffer = [0; 10];
//! assert!(matches!(duplex.read_content(&mut buffer, &mut stream)?, Progress::Done(2)));
//! assert!(matches!(duplex.read_content(&mut buffer, &mut stream)?, Progress::Done(0)));
//! # Ok::<(), dugong_http::Error>(())
//! ```

mod changed;
mod duplex;
mod receive;
mod send;
mod shared;
mod sides;
mod window;

#[cfg(feature = "async")]
pub(crate) use changed::Side;
pub use dugong_net::{Interest, Need, Progress, Step, WaitingFor};
pub use dugong_proto::HeadKind;
pub use duplex::{Duplex, Engine};
pub use receive::BYPASS_MIN;
pub use send::Continue;
pub use shared::{Queue, Shared, SharedRef};
pub use sides::{Receiving, Sending};
pub use window::{Anything, Offer, Policy, Wants, Window, WindowWants};
