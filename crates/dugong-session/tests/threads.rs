//! The only test of this process, because it counts its threads.

#[path = "support/peers.rs"]
#[allow(dead_code, reason = "this test needs one of them")]
mod peers;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::sync::Barrier;
use std::thread;

use dugong_session::{Request, Session};
use peers::{FILES, file, nginx};
use support::watched;

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn a_session_has_no_threads_and_those_of_the_caller_share_its_connections() {
    watched("the threads", || {
        let server = nginx("keepalive_requests 100000;");
        let before = threads();
        let session = Session::new(&format!("http://{}", server.address())).unwrap();
        for outcome in session.run((0..500).map(|number| Request::get(format!("/{}", number % FILES)))) {
            assert_eq!(outcome.result.unwrap().text(), file(outcome.index % FILES));
            assert_eq!(threads(), before);
        }
        let (begin, end) = (Barrier::new(17), Barrier::new(17));
        thread::scope(|scope| {
            for share in 0..16 {
                let (session, begin, end) = (&session, &begin, &end);
                scope.spawn(move || {
                    begin.wait();
                    for number in (share..800).step_by(16).map(|number| number % FILES) {
                        assert_eq!(session.get(format!("/{number}")).unwrap().text(), file(number));
                    }
                    end.wait();
                });
            }
            begin.wait();
            while session.stats().in_flight > 0 {
                assert!(threads() <= before + 16);
            }
            end.wait();
        });
        assert!(session.stats().opened <= 4, "{:?}", session.stats());
        let pipelined = fs::read_to_string(server.path("access")).unwrap();
        let (run, threads) = pipelined.split_at(2 * 500);
        assert!(run.matches('p').count() > 250 && threads.contains('p'), "{pipelined}");
    });
}
