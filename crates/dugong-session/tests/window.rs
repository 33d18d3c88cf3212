//! A consumer that does not read stops the server, not the session.

#[path = "support/mod.rs"]
mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use dugong_origin::{Config, Origin, Proxy, document};
use dugong_session::{Request, Session};
use support::watched;

const LENGTH: usize = 30_000_000;

/// Drives the session until no byte moves for a while.
fn settle(session: &Session, proxy: &Proxy) -> u64 {
    let (mut seen, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        session.turn();
        let bytes = proxy.bytes_to_clients();
        if bytes != seen {
            (seen, since) = (bytes, Instant::now());
        }
        std::thread::yield_now();
    }
    seen
}

#[test]
fn a_consumer_that_stops_reading_stops_the_senders_and_can_go_on() {
    watched("the slow consumer", || {
        let origin = Origin::start(Config::default()).unwrap();
        let proxy = Proxy::start(origin.address()).unwrap();
        let session = Session::new(&format!("http://{}", proxy.address())).unwrap();
        let mut run = session.run((0..12).map(|seed| Request::get(format!("/bytes/{LENGTH}?seed={seed}")))).streamed();
        let mut reply = run.next().unwrap().result.unwrap();
        let mut content = vec![0; LENGTH];
        reply.read_exact(&mut content[..1000]).unwrap();
        let moved = settle(&session, &proxy);
        // The window, and what the system's and the proxy's buffers hold of four connections.
        assert!(moved < 80_000_000, "{moved} bytes have come, of which 1000 were read");
        // Others get their answers meanwhile, and the reader its content.
        assert_eq!(*session.get("/doc/1").unwrap().content(), document("1"));
        reply.read_exact(&mut content[1000..]).unwrap();
        let mut wanted = vec![0; LENGTH];
        dugong_origin::fill(0, 0, &mut wanted);
        assert!(content == wanted);
        assert_eq!(reply.read(&mut [0]).unwrap(), 0);
        drop(reply);
        let mut next = run.next().unwrap().result.unwrap();
        next.read_exact(&mut content[..1000]).unwrap();
        dugong_origin::fill(1, 0, &mut wanted[..1000]);
        assert_eq!(content[..1000], wanted[..1000]);
    });
}

#[test]
fn collected_replies_wait_for_their_caller_within_the_window() {
    watched("the lazy caller", || {
        let origin = Origin::start(Config::default()).unwrap();
        let proxy = Proxy::start(origin.address()).unwrap();
        let builder = Session::builder(&format!("http://{}", proxy.address())).window(1 << 20);
        let session = builder.build().unwrap();
        let mut run = session.run((0..80).map(|seed| Request::get(format!("/bytes/1000000?seed={seed}"))));
        assert_eq!(run.next().unwrap().result.unwrap().content().len(), 1_000_000);
        let moved = settle(&session, &proxy);
        assert!(moved < 60_000_000, "{moved} bytes have come, of which 1,000,000 were taken");
        let mut wanted = vec![0; 1_000_000];
        for outcome in run {
            dugong_origin::fill(outcome.index as u64, 0, &mut wanted);
            assert!(*outcome.result.unwrap().content() == wanted, "{}", outcome.index);
        }
    });
}
