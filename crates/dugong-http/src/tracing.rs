//! Reports the events of a connection as spans and events of the crate `tracing`.
//!
//! Each connection is a span `connection`, with spans `resolve`, `connect`, `tunnel` and `handshake` in it. Requests and
//! responses are events with the number of the request. Targets and fields are left out, because they may contain secrets.

use std::sync::{Mutex, PoisonError};

use dugong_net::Origin;
use tracing::{Span, debug, debug_span, trace};

use crate::events::{Event, Observer};

/// Reports each event, and then passes it on to `next`.
pub(crate) fn observer(origin: &Origin, next: Option<Observer>) -> Observer {
    let connection = debug_span!(target: "dugong", "connection", %origin);
    // The current phase of connecting. Its span ends with the next one.
    let phase = Mutex::new(None::<Span>);
    Observer::new(move |event| {
        report(&connection, &mut phase.lock().unwrap_or_else(PoisonError::into_inner), event);
        if let Some(next) = &next {
            next.tell(event);
        }
    })
}

fn report(connection: &Span, phase: &mut Option<Span>, event: &Event<'_>) {
    match event {
        Event::Resolving { host } => *phase = Some(debug_span!(target: "dugong", parent: connection, "resolve", host)),
        Event::Resolved { addresses, .. } => {
            debug!(target: "dugong", parent: phase.as_ref().unwrap_or(connection), ?addresses, "resolved");
            *phase = None;
        }
        Event::Connecting { address } => {
            let span = phase.get_or_insert_with(|| debug_span!(target: "dugong", parent: connection, "connect"));
            debug!(target: "dugong", parent: &*span, %address, "connecting");
        }
        Event::ConnectFailed { address, error } => {
            debug!(target: "dugong", parent: phase.as_ref().unwrap_or(connection), %address, %error, "failed");
        }
        Event::Connected { peer, local } => {
            debug!(target: "dugong", parent: phase.as_ref().unwrap_or(connection), ?peer, ?local, "connected");
            *phase = None;
        }
        Event::Tunneling { proxy, to } => {
            *phase = Some(debug_span!(target: "dugong", parent: connection, "tunnel", proxy, to));
        }
        Event::Tunneled => *phase = None,
        Event::Handshaking { host } => {
            *phase = Some(debug_span!(target: "dugong", parent: connection, "handshake", host));
        }
        Event::Secured { version, cipher_suite } => {
            debug!(target: "dugong", parent: phase.as_ref().unwrap_or(connection), version, cipher_suite, "secured");
            *phase = None;
        }
        Event::Failed { error } => {
            debug!(target: "dugong", parent: phase.as_ref().unwrap_or(connection), "no connection: {error:#}");
            *phase = None;
        }
        Event::Request { number, head } => {
            debug!(target: "dugong", parent: connection, number, bytes = head.len(), "request sent");
        }
        Event::Interim { head } => {
            debug!(target: "dugong", parent: connection, status = head.status().as_u16(), "interim head received");
        }
        Event::Response { number, head } => {
            debug!(target: "dugong", parent: connection, number, status = head.status().as_u16(), "head received");
        }
        Event::Complete { number, content } => {
            trace!(target: "dugong", parent: connection, number, content, "content done");
        }
        Event::Closed { reason, requests } => {
            let (answered, unanswered) = (requests.answered, requests.unanswered.len());
            debug!(target: "dugong", parent: connection, ?reason, answered, unanswered, "closed");
            *phase = None;
        }
    }
}
