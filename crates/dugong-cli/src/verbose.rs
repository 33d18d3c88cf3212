//! Prints events for `-v`, in curl's format.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dugong_http::{Event, ResponseHead, without_secrets};

use crate::head::{head_bytes, lines};
use crate::readable::Readable;

/// The connections whose events are printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<AtomicUsize>);

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    number: usize,
    all: Connections,
}

impl Connections {
    pub(crate) fn next(&self) -> Numbered {
        Numbered { number: self.0.fetch_add(1, Ordering::Relaxed) + 1, all: self.clone() }
    }
}

impl Numbered {
    /// Prints an event on standard error, with the number of the connection once there is a second one. If standard error is closed,
    /// the event is lost.
    pub(crate) fn print(&self, event: &Event<'_>) {
        let text = text(event);
        let text = match self.all.0.load(Ordering::Relaxed) {
            1 => text,
            _ => text.split_inclusive('\n').map(|line| format!("[{}] {line}", self.number)).collect(),
        };
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Lines begin with `* ` for events, `> ` and `< ` for heads sent and received, and `{ ` for content.
fn text(event: &Event<'_>) -> String {
    match event {
        Event::Resolving { host } => note(&format_args!("Looking up {host}")),
        Event::Resolved { host, addresses } => {
            let addresses: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            note(&format_args!("{host} has {}", addresses.join(", ")))
        }
        Event::Connecting { address } => note(&format_args!("Trying {address}")),
        Event::ConnectFailed { address, error } => note(&format_args!("{address}: {error}")),
        Event::Connected { peer: Some(peer), local: Some(local) } => note(&format_args!("Connected to {peer} from {local}")),
        Event::Connected { .. } => note(&"Connected"),
        Event::Tunneling { proxy, to } => note(&format_args!("Asking {proxy} for a tunnel to {to}")),
        Event::Tunneled => note(&"The tunnel is open"),
        Event::Handshaking { host } => note(&format_args!("TLS handshake with {host}")),
        Event::Secured { version, cipher_suite } => {
            note(&format_args!("{version}, cipher {cipher_suite}; the certificate is good"))
        }
        Event::Request { head, .. } => message("> ", head),
        Event::Interim { head } | Event::Response { head, .. } => response(head),
        Event::Complete { content, .. } => format!("{{ [{content} bytes of content]\n"),
        Event::Closed { reason, requests } => {
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            let unanswered = match requests.unanswered.len() {
                0 => String::new(),
                count => format!("; requests without a complete answer: {count}"),
            };
            note(&format_args!("Connection closed{reason}{unanswered}"))
        }
        // Later versions of the library may have more events.
        _ => String::new(),
    }
}

fn note(text: &dyn std::fmt::Display) -> String {
    format!("* {}\n", Readable(text.to_string().as_bytes()))
}

fn response(head: &ResponseHead) -> String {
    message("< ", &head_bytes(head))
}

fn message(prefix: &str, head: &[u8]) -> String {
    let mut text = String::with_capacity(head.len() * 2);
    for line in lines(&without_secrets(head)) {
        writeln!(text, "{prefix}{}", Readable(line)).expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use dugong_http::Requests;

    use super::*;

    #[test]
    fn secrets_and_control_characters_are_not_shown() {
        let head =
            b"GET /\x9b HTTP/1.1\r\nHost: h\r\nauthorization: Basic c2VjcmV0\r\nX: \xc2\x9b31m\r\nCookie: c=secret\r\n\r\n";
        let lines = ["GET /\\x9b HTTP/1.1", "Host: h", "authorization: ***", "X: \\xc2\\x9b31m", "Cookie: ***", ""];
        assert_eq!(text(&Event::Request { number: 0, head }), lines.map(|line| format!("> {line}\n")).concat());
        let error = io::Error::other("two\nlines");
        let address = dugong_http::transport::Address::Unix(std::path::Path::new("/a\x1b[2J").into());
        assert_eq!(text(&Event::Resolving { host: "a.example" }), "* Looking up a.example\n");
        assert_eq!(text(&Event::ConnectFailed { address: &address, error: &error }), "* /a\\x1b[2J: two\\x0alines\n");
    }

    #[test]
    fn the_close_is_printed_with_its_reason() {
        let requests = Requests::default();
        assert_eq!(text(&Event::Closed { reason: None, requests: &requests }), "* Connection closed\n");
        let reason = Some(dugong_http::CloseReason::ServerSaidClose);
        assert_eq!(
            text(&Event::Closed { reason, requests: &requests }),
            "* Connection closed: the server said that it closes the connection\n"
        );
    }
}
