//! The spans and events of a connection, as a subscriber sees them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use dugong_http::{Config, Request};
use tracing_subscriber::fmt::format::FmtSpan;

/// A writer whose output the test can inspect.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<u8>>>);

impl Write for Shelf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_connection_is_a_span_with_its_phases_and_events_in_it_and_shows_no_secrets() {
    let shelf = Shelf::default();
    let writer = shelf.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let origin = dugong_origin::Origin::start(dugong_origin::Config::default()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let config = Config::new().addresses("www.example", 80, [origin.address()]);
        let mut connection = config.connect("http://www.example").unwrap();
        let request = Request::get("/doc/1?token=secret").header("Authorization", "Bearer secret");
        connection.send_request(request).unwrap();
        connection.read_response().unwrap().discard().unwrap();
        connection.close();
    });
    let text = String::from_utf8(shelf.0.lock().unwrap().clone()).unwrap();
    let address = origin.address();
    let mut lines = text.lines();
    for expected in [
        &format!("connection{{origin=http://www.example}}:connect: dugong: connecting address={address}"),
        &format!("connection{{origin=http://www.example}}:connect: dugong: connected peer=Some({address})"),
        "connection{origin=http://www.example}:connect: dugong: close",
        "connection{origin=http://www.example}: dugong: request sent number=0",
        "connection{origin=http://www.example}: dugong: head received number=0 status=200",
        "connection{origin=http://www.example}: dugong: content done number=0",
        "connection{origin=http://www.example}: dugong: closed reason=None answered=1 unanswered=0",
        "connection{origin=http://www.example}: dugong: close",
    ] {
        assert!(lines.any(|line| line.contains(expected)), "{expected:?} is not there, or not in its place:\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}
