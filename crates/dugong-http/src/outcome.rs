//! How a request ended.

use std::sync::Arc;

use dugong_proto::{Sent, Unanswered};

use crate::error::{Error, Requests};

/// How a request ended: with its response, or with the error that ended the connection first.
///
/// ```
/// use std::sync::Arc;
/// use dugong_http::{Error, Outcome, Request, Sent};
/// use dugong_http::driver::Engine;
/// use dugong_net::scripted::{Cue, Scripted};
///
/// let mut engine = Engine::new("example.org", &dugong_http::Config::new())?;
/// let mut stream = Scripted::default();
/// let mut duplex = engine.duplex();
/// duplex.send_request(&Request::get("/"), &mut stream)?;
/// duplex.send_request(&Request::post("/order"), &mut stream)?;
/// stream.reads.push_back(Cue::Give(b"220 mail.example.org ESMTP\r\n".into())); // not an HTTP server
/// let error = duplex.read_head(&mut stream).unwrap_err();
/// for (number, outcome) in error.into_outcomes() {
///     let error = outcome.error.as_deref().expect("neither got a response");
///     println!("request {number}: {error}");
///     assert_eq!(outcome.sent, Sent::Whole);
///     assert_eq!(outcome.safe_to_retry, number == 0); // the POST may have had its effect
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How much of the request was given to the transport; `Partly` also if it is unknown, because the connection ended during a write.
    /// Whether it reached the server is another question.
    pub sent: Sent,
    /// Whether a response began to arrive, be it an interim one.
    pub answer_begun: bool,
    /// Whether sending the request again can do no harm: no byte of it left, or its method is idempotent (RFC 9110 §9.2.2).
    pub safe_to_retry: bool,
    /// Why the response is not complete. Requests that end together share the error. `None` if the request was answered.
    pub error: Option<Arc<Error>>,
}

impl Outcome {
    /// The outcome of request `number` on a connection that ended with `error`; `requests` are the connection's requests at that time.
    #[must_use]
    pub fn of(number: u64, requests: &Requests, error: Arc<Error>) -> Self {
        match requests.unanswered.iter().find(|unanswered| unanswered.number == number) {
            Some(unanswered) => Outcome::unanswered(unanswered, error),
            None if number < requests.answered => Outcome::answered(),
            None => Outcome::unsent(error),
        }
    }

    /// The outcome of a request that got its whole response.
    #[must_use]
    pub fn answered() -> Self {
        Outcome { sent: Sent::Whole, answer_begun: true, safe_to_retry: false, error: None }
    }

    /// The outcome of a request of which no byte was sent.
    #[must_use]
    pub fn unsent(error: Arc<Error>) -> Self {
        Outcome { sent: Sent::Nothing, answer_begun: false, safe_to_retry: true, error: Some(error) }
    }

    pub(crate) fn unanswered(unanswered: &Unanswered, error: Arc<Error>) -> Self {
        Outcome {
            sent: unanswered.sent,
            answer_begun: unanswered.answer_begun,
            safe_to_retry: unanswered.is_safe_to_retry(),
            error: Some(error),
        }
    }
}

impl Error {
    /// The number and the outcome of each request that this error left without a complete response, oldest first. Empty if the
    /// connection goes on.
    #[must_use]
    pub fn into_outcomes(self) -> Vec<(u64, Outcome)> {
        let error = Arc::new(self);
        let unanswered = error.requests().map_or(&[][..], |requests| &requests.unanswered);
        unanswered.iter().map(|unanswered| (unanswered.number, Outcome::unanswered(unanswered, error.clone()))).collect()
    }
}
