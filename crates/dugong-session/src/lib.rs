//! Sends any number of HTTP/1.1 requests over few connections. Each request ends with exactly one outcome.
//!
//! ```
//! # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let url = format!("http://{}", server.address());
//! use dugong_session::{Request, Session};
//!
//! let session = Session::new(&url)?; // "http://…" or "https://…", without a path
//! let reply = session.get("/doc/1")?;
//! println!("{} {}", reply.status(), reply.text());
//!
//! // Many requests, in flight together; their outcomes come in order:
//! for outcome in session.run((1..=1000).map(|i| Request::get(format!("/doc/{i}")))) {
//!     match &outcome.result {
//!         Ok(reply) => println!("{} bytes", reply.content().len()),
//!         Err(failed) => println!("{failed}; safe to send again: {}", failed.safe_to_retry),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a session does for you
//!
//! - **It pipelines.** A connection carries up to 32 requests at once, so a round trip costs all of them together what it costs one. A
//!   server that cannot pipeline, or closes after some responses, teaches the session what it can. One that sends answers without
//!   a request gets one request per connection from then on.
//! - **It repeats what can do no harm**, after random waits and within a budget, so that a server in trouble gets no flood.
//! - **It loses nothing.** A request has a reply, or an error that says how much was sent and answered.
//! - **It is bounded**: connections, requests in flight, bytes in memory, attempts, and time.
//! - **All share it.** Clones, threads and tasks use the same connections. It has no threads of its own.
//!
//! # Where to begin
//!
//! | you want | use |
//! | --- | --- |
//! | one reply | [`Session::get`] and its siblings, [`Session::request`] |
//! | many replies | [`Session::run`], perhaps [`unordered`](Run::unordered) |
//! | to read a reply in pieces | [`Request::streamed`]; the [`Reply`] is a [`Read`](std::io::Read) |
//! | to upload a file | [`Request::source`], [`Request::reader`] |
//! | a large file on disk, in parts that a later run continues | [`Session::download`] |
//! | many small ranges, or a remote file that you can seek | [`Session::cat_ranges`], [`Session::open`] |
//! | URLs of many hosts, redirects to anywhere | [`Sessions`], which has ranges and downloads, too |
//! | tasks of tokio | the module `tokio` (feature `tokio`) |
//! | middleware of tower | the module `tower` (feature `tower`) |
//! | an event loop of your own | [`driver`] |
//!
//! The directory `examples` has programs that [fetch many documents][many], [sort failures][failures], [upload files][put] and [read parts of a file][parts].
//!
//! [many]: https://docs.rs/crate/dugong-session/latest/source/examples/fetch_many.rs
//! [failures]: https://docs.rs/crate/dugong-session/latest/source/examples/failures.rs
//! [parts]: https://docs.rs/crate/dugong-session/latest/source/examples/parts.rs
//! [put]: https://docs.rs/crate/dugong-session/latest/source/examples/put_files.rs
//!
//! # What is repeated, and why
//!
//! | when | the session | because |
//! | --- | --- | --- |
//! | the connection is new, and the server has not kept one open before | sends one request alone | RFC 9112 §9.3.2: a server may not persist |
//! | the server has not yet answered two requests that came together | sends two together, and nothing more on this connection until both are answered | some servers drop the second. Sent later, a third would get an answer that looks like that of the second |
//! | a request is not idempotent (POST, PATCH) | sends nothing behind it until it is answered | RFC 9112 §9.3.2 |
//! | a connection ends with requests in flight | repeats the idempotent ones. The oldest goes first and alone, after a random wait; it costs one of its `retries` and one of the `retry_budget`. Those behind it cost nothing | RFC 9110 §9.2.2, RFC 9112 §9.3.2: the server may have died of the oldest |
//! | a connection that had answered before ends, for the first time | repeats without a wait | RFC 9112 §9.3.1: a server may close an idle connection just when a request is on its way |
//! | no byte of a request has left | sends it elsewhere, whatever its method | the server cannot know it |
//! | a non-idempotent request was sent, even in part | ends it with an error | RFC 9110 §9.2.2: the server may have acted. An `Idempotency-Key`, or [`Request::retry`], allows the repeat |
//! | the server announces the close (`Connection: close`) | sends those behind elsewhere, free of charge | RFC 9112 §9.6: it will not answer them |
//! | 429 or 503 with `Retry-After`, to a request that may arrive twice | waits so long, then repeats | RFC 9110 §10.2.3, RFC 6585 §4. More than 60 s, or beyond the `total_timeout`, is yours to decide: you get the reply |
//! | another status of [`repeat_statuses`](Builder::repeat_statuses), to such a request | repeats after a random wait | you said so |
//! | 417 to an expectation | repeats once without it | RFC 9110 §10.1.1 |
//! | you were given the head of a streamed reply | ends it with an error at the byte that it reached | you may have acted on it. A [range](ranges) can fetch the rest |
//! | content can be read only once ([`Request::reader`]) | ends it with an error once reading may have begun | there is nothing left to send |
//! | no connection can be opened, or the server ends it before a request left | tries again after a random wait. Each failure costs all that wait one of their `retries`, unless another connection is open | networks recover. A bad certificate or a missing host does not: the requests end at once |
//!
//! GET, HEAD, PUT, DELETE, OPTIONS and TRACE are idempotent: sent twice, they have the effect of once (RFC 9110 §9.2.2). When its attempts
//! are used up, a refused request (429, 503) ends with the last reply, a lost one with the error of its last connection.
//!
//! # What an outcome says
//!
//! | word | values | meaning |
//! | --- | --- | --- |
//! | [`sent`](Failed::sent) | no, partly, yes | how much of the request left, the most in any attempt. "No" is certain: the server cannot have it |
//! | [`answered`](Failed::answered) | no, head, partly, yes | how much of a response came, in the last attempt. Half a head is "no"; "yes" comes with a reply |
//! | [`safe_to_retry`](Failed::safe_to_retry) | | sending it again can do no harm: `sent` is "no", the method is idempotent, or you allowed it |
//! | [`attempts`](Failed::attempts) | | how often a byte of it may have left: once for each connection, and for each repeat after a status; 0 exactly if `sent` is "no" |
//!
//! A reply of any status is a reply, also 404 and 500.
//!
//! # Tuning
//!
//! | setting | default | reason |
//! | --- | --- | --- |
//! | [`connections`](Builder::connections) | 4 | one slow answer then holds up a quarter; more of them help a server with many processors |
//! | [`depth`](Builder::depth) | 32 | hides a round trip of 30 ms if the server needs 1 ms for a request. 1 turns pipelining off |
//! | [`window`](Builder::window) | 4 MiB | content that has arrived and that you have not taken: 1 Gbit/s for 30 ms |
//! | [`max_content`](Builder::max_content) | 64 MiB | of one collected reply: an error is better than swap space |
//! | [`retries`](Builder::retries) | 4 | with the backoff, a server that restarts has up to 1.5 s |
//! | [`retry_budget`](Builder::retry_budget) | 10 | repeats that the session can afford at once; ten answers earn one more. A dead server gets ten, not five times all requests |
//! | [`backoff`](Builder::backoff) | 0.1 s to 10 s | each wait is random, so that clients that failed together do not return together |
//! | [`timeout`](Builder::timeout) | 30 s | without a byte, for this request or those before it on its connection. It ends an attempt: an idempotent request is then repeated |
//! | [`total_timeout`](Builder::total_timeout) | none | from the call to the outcome, with all waits and attempts. Without it, a silent server can take five times the `timeout` |
//! | [`connect_timeout`](Builder::connect_timeout) | 10 s | name, TCP, tunnel and TLS together |
//! | [`idle_timeout`](Builder::idle_timeout) | 60 s | nginx closes after 75 s, many load balancers after 60 s. Set it below your server's, so that no POST meets a closing connection |
//! | [`expect_above`](Builder::expect_above) | 1 MiB | a refusal of larger content saves more than the round trip costs |
//! | [`expect_timeout`](Builder::expect_timeout) | 1 s | servers that do not know the expectation stay silent |
//!
//! [`Session::stats`] shows what came of it:
//!
//! | figure | if it is | then |
//! | --- | --- | --- |
//! | `not_pipelining`, `depth` | true, 1 | the server failed with pipelined requests. More `connections` help; the session tries again after many answers |
//! | `opened` | much larger than `connections` | the server closes early (`keepalive_requests`, `MaxKeepAliveRequests`), or the network loses connections |
//! | `repeated` | growing | connections are lost, or the server refuses |
//! | `budget` | 0 | the session repeats nothing until answers come |
//! | `held` | near the `window` | you take content more slowly than the server sends it |
//! | `queued` | large | all connections are full: the server is the limit |
//!
//! # Failures
//!
//! | [`Cause`] | what happened | what to do |
//! | --- | --- | --- |
//! | [`Invalid`](Cause::Invalid) | the request breaks a rule of HTTP | mend it; nothing was sent |
//! | [`Unreachable`](Cause::Unreachable) | no connection could be opened; the source says why | try later, if [`Error::is_temporary`] |
//! | [`Lost`](Cause::Lost), [`Unsafe`](NoRepeat::Unsafe) | the server may have acted | ask the server; next time, send an `Idempotency-Key` if it knows that |
//! | `Lost`, [`ReadOnce`](NoRepeat::ReadOnce) | the content cannot be sent again | open it again, or use a [`Source`] |
//! | `Lost`, [`Given`](NoRepeat::Given) | you have a part of the reply | ask for the rest by a [range](ranges), or begin again |
//! | `Lost`, [`Retries`](NoRepeat::Retries) or [`Budget`](NoRepeat::Budget) | the server keeps losing connections | wait, then send it again if `safe_to_retry` |
//! | [`TimedOut`](Cause::TimedOut) | the `total_timeout` is over | send it again if `safe_to_retry` |
//! | [`TooLarge`](Cause::TooLarge) | the reply is longer than `max_content` | [stream](Request::streamed) it, or raise the limit |
//! | [`Source`](Cause::Source), [`Callback`](Cause::Callback) | your own code failed, or gave less or more than it announced | mend it; the source of the error is yours |
//! | [`Digest`](Cause::Digest) | the content arrived damaged, or is another version | get it again |
//! | [`Cancelled`](Cause::Cancelled) | you closed the session | make a new one |
//! | [`System`](Cause::System) | the system refused the session a way to wait | look at the limits of the process |
//!
//! # Threads, tasks and processes
//!
//! - **Nothing moves while no thread waits.** Of the threads that wait for replies, one drives the connections for all. If none waits, nothing
//!   is sent or received, and no idle connection is closed. So take outcomes as they come, and read streamed replies: as many unread
//!   ones as connections leave none for the others, until the session has read one of them to its end.
//! - **Tasks of tokio** have a task that drives for them, from the first request until the session is dropped.
//! - **Your code runs in your thread.** Sources of content and callbacks run in the thread or task that made the request, for each attempt,
//!   and hold up no other request.
//! - **After a fork**, a child makes a session of its own. It must not use the parent's: both would read from the same sockets.
//!
//! # Uploads
//!
//! Content in memory, and a [`Source`] that opens again, can be repeated. Content above 256 KiB has a connection to itself, so that its loss
//! takes nothing along. Above 1 MiB the session waits for 100 (Continue), or 1 s. A final answer instead ends the exchange, and you get it;
//! so does a refusal while content is on its way. A server that ignores its first expectation gets no more of them.
//!
//! ```
//! # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let session = dugong_session::Session::new(&format!("http://{}", server.address()))?;
//! # use dugong_session::Request;
//! let file = std::io::Cursor::new(vec![0; 4 << 20]); // or a File
//! let reply = session.request(Request::put("/upload").reader(file, 4 << 20))?;
//! assert!(reply.status().is_success());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Ranges
//!
//! Small requests in great number are what pipelining is best at. [`Session::cat_ranges`] fetches thousands of ranges in one burst,
//! [`Session::open`] reads a remote file like a local one, with read-ahead and a bounded cache, and [`Session::download`] fetches a large file
//! in parts and continues it in a later run. All three stay with one version of the content. The module [`ranges`] says how.
//!
//! # Hooks
//!
//! ```
//! use dugong_session::{Auth, Digest, Request, Session};
//! # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let url = format!("http://{}", server.address());
//! # let now = || "Mon, 02 Mar 2026 00:00:00 GMT";
//!
//! let session = Session::builder(&url)
//!     .auth(Auth::basic("alice", "secret")?)
//!     .sign(move |request| Ok(request.header("X-Date", now())?)) // before each attempt
//!     .redirects(5) // within the origin
//!     .build()?;
//! let reply = session.request(Request::get("/bytes/1000?digest=1").check(Digest::announced()))?;
//! # assert_eq!(reply.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Sessions`] follow redirects to any origin, but send credentials to none but the first. [`Builder::config`] has everything else: TLS, proxies,
//! addresses, observers.
//!
//! # Not included
//!
//! - **Cookies**: the crate [`cookie_store`](https://docs.rs/cookie_store) keeps them; [`Request::header`] sends them.
//! - **Caches**: [`http-cache-semantics`](https://docs.rs/http-cache-semantics) decides what may be used again.
//! - **Content codings**: content is delivered as it came. `Accept-Encoding` is `identity`, unless you set it; then decode with
//!   [`flate2`](https://docs.rs/flate2) or [`async-compression`](https://docs.rs/async-compression).
//! - **A switch that turns certificate checks off.** Trust the authority of your test server instead.
//!
//! # Compared with a pool of connections
//!
//! A pool has one request on each connection. To have 100 requests in flight it opens 100, each with its handshakes and its memory at both
//! ends, and many servers limit them. A session has them in flight on four. The price is order: an answer waits for those before it on its
//! connection. So the session sends nothing behind an answer that takes more than four times as long as usual (and a second at least), takes
//! back what has not left, and keeps replies that you call [`large`](Request::large) apart from small ones. If each of your requests takes
//! the server long, raise `connections` and lower `depth`; with a depth of 1, a session is a pool that knows what it repeats.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `rustls` (default) | TLS |
//! | `socks` | SOCKS5 proxies |
//! | `tokio` | sessions for tasks of tokio |
//! | `tower` | sessions as services of tower |
//!
//! # Stability
//!
//! Releases follow semver, except for the modules [`plan`] and [`driver`].

mod auth;
mod digest;
mod directory;
pub mod driver;
mod effort;
mod facts;
mod failed;
mod journey;
mod origins;
mod outcome;
pub mod plan;
mod queue;
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
#[cfg(feature = "tower")]
pub mod tower;
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
