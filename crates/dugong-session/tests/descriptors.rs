//! The only test of this process: it takes all descriptors away from it.

#[path = "support/mod.rs"]
mod support;

use std::fs::File;
use std::time::Duration;

use dugong_origin::{Config, Origin, document};
use dugong_session::{Cause, Sent, Session};
use support::watched;

/// Takes all descriptors that are left.
fn all_descriptors() -> Vec<File> {
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken
}

#[test]
fn without_descriptors_requests_fail_unsent_and_the_session_goes_on_afterwards() {
    watched("the test without descriptors", || {
        let origin = Origin::start(Config::default()).unwrap();
        let url = format!("http://{}", origin.address());
        let builder = Session::builder(&url).backoff(Duration::from_millis(1), Duration::from_millis(2));
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let few = rustix::process::Rlimit { current: Some(100), ..limit };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
        let session = builder.build().unwrap();

        let taken = all_descriptors();
        assert!(Session::new(&url).is_err());
        for _ in 0..3 {
            let failed = session.post("/x", "content").unwrap_err();
            assert!(matches!(&failed.cause, Cause::Unreachable(Some(_))), "{failed:?}");
            assert_eq!((failed.sent, failed.attempts, failed.safe_to_retry), (Sent::No, 0, true));
            assert!(support::whole_message(&failed).contains("Too many open files"), "{failed:?}");
        }
        drop(taken);
        assert_eq!(*session.get("/doc/1").unwrap().content(), document("1"));

        // A connection that is open needs no descriptor for further requests.
        let taken = all_descriptors();
        for outcome in session.run((0..100).map(|id| dugong_session::Request::get(format!("/doc/{id}")))) {
            assert_eq!(*outcome.result.unwrap().content(), document(&outcome.index.to_string()));
        }
        drop(taken);
        assert_eq!(origin.counts().requests, 101);
    });
}
