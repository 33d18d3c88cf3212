//! Ranges through a session, over real sockets.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use dugong_origin::{Config, Fault, Faults, Origin, Proxy};
use dugong_session::ranges::{DownloadOptions, FileOptions, RangeError};
use dugong_session::{Cause, Digest, Session, Sessions};

/// Waits before repeats.
const SHORT: Duration = Duration::from_millis(1);

fn origin() -> Origin {
    Origin::start(Config::default()).unwrap()
}

fn session(origin: &Origin) -> Session {
    Session::new(&format!("http://{}", origin.address())).unwrap()
}

/// Reading the whole content through one reply.
fn content(session: &Session, target: &str) -> Vec<u8> {
    session.get(target).unwrap().content().to_vec()
}

#[test]
fn ranges_are_fetched_together() {
    let origin = origin();
    let session = session(&origin);
    let whole = content(&session, "/bytes/1000000");
    let ranges: Vec<_> = (0..500).map(|i| ((i * 7919) % 1_000_000, (i * 7919) % 1_000_000 + i % 50)).collect();
    let ranges: Vec<_> = ranges.into_iter().map(|(start, end)| (start, end.min(1_000_000))).collect();
    for gap in [0, 3000] {
        let before = origin.counts().requests;
        let parts = session.cat_ranges_merged("/bytes/1000000", &ranges, gap).unwrap();
        for (part, &(start, end)) in parts.iter().zip(&ranges) {
            assert_eq!(part, &whole[start as usize..end as usize]);
        }
        let requests = origin.counts().requests - before;
        assert!(if gap == 0 { requests == 490 } else { requests < 400 }, "{requests} requests with a gap of {gap}");
    }
    assert!(session.stats().opened <= 4);
}

#[test]
fn ranges_of_a_server_without_ranges_are_cut_out_of_the_whole_content() {
    let origin = origin();
    let session = session(&origin);
    let whole = content(&session, "/bytes/100000");
    let parts = session.cat_ranges_merged("/bytes/100000?ranges=no", &[(5, 10), (99_999, 100_000)], 0).unwrap();
    assert_eq!(parts, [&whole[5..10], &whole[99_999..]]);
    let small = Session::builder(&session.origin().to_string()).max_content(50_000_u64).build().unwrap();
    let error = small.cat_ranges("/bytes/100000?ranges=no", &[(5, 10)]).unwrap_err();
    assert!(
        matches!(&error, RangeError::Failed { failed, .. } if matches!(failed.cause, Cause::TooLarge { limit: 50_000 })),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "a request for /bytes/100000?... failed");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("50000 bytes") && cause.contains("max_content"), "{cause}");
}

#[test]
fn ranges_with_a_fault_are_errors() {
    let origin = origin();
    let session = session(&origin);
    for (target, ranges, told) in [
        ("/bytes/1000", (990, 1001), "range (990, 1001) ends beyond the end of /bytes/1000, which has 1000 bytes"),
        ("/bytes/1000", (2000, 2001), "range (2000, 2001) ends beyond the end of /bytes/1000, which has 1000 bytes"),
        ("/bytes/1000?ranges=shifted", (10, 20), "and sent \"Content-Range: bytes 11-20/1000\""),
        ("/bytes/1000?ranges=half", (10, 20), "and sent \"Content-Range: bytes 10-14/1000\""),
        ("/bytes/1000?ranges=unnamed", (10, 20), "and sent a 206 without Content-Range"),
        ("/no/such", (10, 20), "the server answered 404 to GET /no/such (Not Found)"),
    ] {
        let error = session.cat_ranges(target, &[ranges]).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let error = session.cat_ranges("no slash", &[(0, 1)]).unwrap_err();
    assert!(matches!(&error, RangeError::Failed { failed, .. } if matches!(failed.cause, Cause::Invalid(_))), "{error:?}");
    assert_eq!(session.cat_ranges("/bytes/1000?ranges=unknown-total", &[(0, 5)]).unwrap()[0].len(), 5);
}

/// A directory, and the names in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("file")
    }

    fn names(&self) -> usize {
        fs::read_dir(self.0.path()).unwrap().count()
    }
}

#[test]
fn a_download_comes_in_parts_over_several_connections() {
    let (origin, place) = (origin(), Place::new());
    let session = session(&origin);
    let mut told = Vec::new();
    let progress = |done, total| told.push((done, total));
    let length = session.download("/bytes/5000000", place.path()).part_size(300_000).progress(progress).run().unwrap();
    assert_eq!(length, 5_000_000);
    assert!(fs::read(place.path()).unwrap() == content(&session, "/bytes/5000000"));
    assert_eq!((place.names(), origin.counts().requests), (1, 18));
    assert!(told.is_sorted() && told.last() == Some(&(5_000_000, Some(5_000_000))), "{told:?}");
    let stats = session.stats();
    assert!(stats.opened > 1 && stats.held == 0, "{stats:?}");
}

#[test]
fn a_download_from_any_server_is_complete() {
    let origin = origin();
    let session = session(&origin);
    for query in ["ranges=no", "etag=none", "etag=weak", "ranges=half", "ranges=unknown-total", "ranges=no&etag=none"] {
        let (place, target) = (Place::new(), format!("/bytes/1000000?{query}"));
        session.download(&target, place.path()).part_size(100_000).run().unwrap();
        assert!(fs::read(place.path()).unwrap() == content(&session, "/bytes/1000000"), "{query}");
    }
    for query in ["ranges=shifted", "ranges=unnamed"] {
        let (place, target) = (Place::new(), format!("/bytes/1000000?{query}"));
        let error = session.download(&target, place.path()).part_size(100_000).run().unwrap_err();
        assert!(matches!(error, RangeError::WrongRange { .. }), "{error:?}");
        assert_eq!(place.names(), 0, "{query}");
    }
    let place = Place::new();
    session.download("/bytes/0", place.path()).run().unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), b"");
}

#[test]
fn a_download_whose_connections_break_continues() {
    let (origin, place) = (origin(), Place::new());
    // Every connection ends somewhere in an answer.
    let faults = |number: usize| {
        Faults::default()
            .to_client(150_000 + 7_919 * (number as u64 % 13), if number.is_multiple_of(2) { Fault::Fin } else { Fault::Reset })
    };
    let proxy = Proxy::start_with(origin.address(), faults).unwrap();
    let session =
        Session::builder(&format!("http://{}", proxy.address())).retry_budget(None).backoff(SHORT, SHORT).build().unwrap();
    let length = session.download("/bytes/5000000", place.path()).part_size(300_000).run().unwrap();
    assert_eq!(length, 5_000_000);
    assert!(fs::read(place.path()).unwrap() == content(&self::session(&origin), "/bytes/5000000"));
    assert!(proxy.connections() > 20, "{} connections", proxy.connections());
}

#[test]
fn a_version_that_changes_while_it_is_downloaded_is_an_error_and_the_next_run_gets_the_new_one() {
    let (origin, place) = (origin(), Place::new());
    let session = session(&origin);
    let fetch = |progress: &mut (dyn FnMut(u64, Option<u64>) + Send)| {
        session.download("/bytes/1000000", place.path()).part_size(50_000).parts(2).progress(progress).run()
    };
    let error = fetch(&mut |done, _| {
        if done > 100_000 {
            origin.set_version(1)
        }
    })
    .unwrap_err();
    assert!(matches!(error, RangeError::Changed { what: "ETag", .. }), "{error:?}");
    assert!(!place.path().exists());
    fetch(&mut |_, _| ()).unwrap();
    assert!(fs::read(place.path()).unwrap() == content(&session, "/bytes/1000000"));
}

#[test]
fn a_later_download_continues() {
    let (origin, place) = (origin(), Place::new());
    let proxy = Proxy::start(origin.address()).unwrap();
    let session = Session::builder(&format!("http://{}", proxy.address())).retries(0_u32).build().unwrap();
    let fetch = |progress: &mut (dyn FnMut(u64, Option<u64>) + Send)| {
        let mut options = DownloadOptions::default();
        (options.part_size, options.parts, options.retries) = (50_000, 2, 0);
        session.download("/bytes/1000000", place.path()).options(options).progress(progress).run()
    };
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut seen = 0;
    let error = fetch(&mut |done, _| {
        seen = done;
        if done > 400_000 {
            // From here on, the server is away.
            proxy.lead_to(nowhere);
            proxy.cut();
        }
    });
    assert!(matches!(error.unwrap_err(), RangeError::Failed { .. }));
    assert_eq!(place.names(), 2);
    proxy.lead_to(origin.address());
    let before = origin.counts().requests;
    let mut first = None;
    fetch(&mut |done, _| _ = first.get_or_insert(done)).unwrap();
    assert!(first.unwrap() >= seen.min(400_000), "{first:?} after {seen}");
    assert!(origin.counts().requests - before <= 14, "{} requests", origin.counts().requests - before);
    assert!(fs::read(place.path()).unwrap() == content(&session, "/bytes/1000000"));
}

#[test]
fn a_path_in_use_is_an_error_before_any_request() {
    let (origin, place) = (origin(), Place::new());
    let session = session(&origin);
    let mut inner = None;
    session
        .download("/bytes/100000", place.path())
        .progress(|_, _| {
            let before = origin.counts().requests;
            inner.get_or_insert_with(|| session.download("/bytes/100000", place.path()).run().unwrap_err());
            assert_eq!(origin.counts().requests, before);
        })
        .run()
        .unwrap();
    assert!(matches!(inner, Some(RangeError::Busy { .. })), "{inner:?}");
    let before = origin.counts().requests;
    assert!(matches!(session.download("/bytes/100000", "/dev/null").run(), Err(RangeError::BadPath { .. })));
    assert_eq!(origin.counts().requests, before);
}

#[test]
fn a_wrong_digest_is_an_error_and_leaves_no_file() {
    let (origin, place) = (origin(), Place::new());
    let session = session(&origin);
    let error = session.download("/bytes/100000", place.path()).check(Digest::sha256([0; 32])).run().unwrap_err();
    assert!(matches!(error, RangeError::Digest { .. }), "{error:?}");
    assert_eq!(place.names(), 0);
}

#[test]
fn a_remote_file_is_read_and_sought() {
    let origin = origin();
    let session = session(&origin);
    let whole = content(&session, "/bytes/3000000");
    let mut file = session.open("/bytes/3000000").unwrap();
    assert_eq!(file.size(), 3_000_000);
    let mut all = Vec::new();
    file.read_to_end(&mut all).unwrap();
    assert!(all == whole);
    assert!(origin.counts().requests < 20, "{} requests", origin.counts().requests);

    let mut buffer = [0; 1000];
    for (to, position) in
        [(SeekFrom::Start(1_234_567), 1_234_567), (SeekFrom::End(-1000), 2_999_000), (SeekFrom::Current(-5000), 2_995_000)]
    {
        assert_eq!(file.seek(to).unwrap(), position);
        file.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, whole[position as usize..position as usize + 1000]);
    }
    assert_eq!(file.read_at(2_999_999, &mut buffer).unwrap(), 1);
    assert_eq!(file.read_at(3_000_000, &mut buffer).unwrap(), 0);
    assert_eq!(file.stream_position().unwrap(), 2_996_000, "read_at leaves the position");
    assert_eq!(file.seek(SeekFrom::Start(9_000_000)).unwrap(), 9_000_000);
    assert_eq!(file.read(&mut buffer).unwrap(), 0);
    let error = file.seek(SeekFrom::End(-3_000_001)).unwrap_err();
    assert_eq!(error.to_string(), "cannot seek to End(-3000001): that is before the beginning of the file");
}

#[test]
fn a_remote_file_can_be_larger_than_any_disk() {
    let origin = origin();
    let session = session(&origin);
    let mut file = session.open("/bytes/9000000000000000000").unwrap();
    let mut buffer = [0; 100];
    file.seek(SeekFrom::End(-100)).unwrap();
    file.read_exact(&mut buffer).unwrap();
    assert_eq!(file.read(&mut buffer).unwrap(), 0);
}

#[test]
fn a_remote_file_that_changes_fails() {
    let origin = origin();
    let session = session(&origin);
    for ranges in ["", "?ranges=no"] {
        let mut options = FileOptions::default();
        options.read_ahead = 0;
        let mut file = session.open_with(format!("/bytes/3000000{ranges}"), options).unwrap();
        origin.set_version(u64::try_from(ranges.len()).unwrap() + 1);
        let mut buffer = [0; 100];
        let result = file.read_at(2_000_000, &mut buffer);
        if ranges.is_empty() {
            let error = io::Error::from(result.unwrap_err());
            assert!(matches!(RangeError::find_in(&error), Some(RangeError::Changed { what: "ETag", .. })), "{error:?}");
        } else {
            assert_eq!(result.unwrap(), 100, "the whole content is in memory");
        }
        assert_eq!(file.read_at(0, &mut buffer).unwrap(), 100, "content in memory stays readable");
    }
}

#[test]
fn a_remote_file_that_cannot_be_opened_is_an_error() {
    let origin = origin();
    let session = session(&origin);
    let error = session.open("/no/such").unwrap_err();
    assert_eq!(error.to_string(), "the server answered 404 to GET /no/such (Not Found)");
    let error = session.open("/bytes/1000?ranges=unknown-total").unwrap_err();
    assert!(error.to_string().ends_with("sent no complete length"), "{error}");
    assert_eq!(session.open("/bytes/0").unwrap().size(), 0);
}

#[test]
fn a_lost_connection_below_a_remote_file_is_repaired() {
    let origin = origin();
    let proxy = Proxy::start_with(origin.address(), |_| Faults::default().to_client(400_000, Fault::Reset)).unwrap();
    let session =
        Session::builder(&format!("http://{}", proxy.address())).retry_budget(None).backoff(SHORT, SHORT).build().unwrap();
    let mut options = FileOptions::default();
    options.request_size = 128 << 10;
    let mut file = session.open_with("/bytes/3000000", options).unwrap();
    let mut all = Vec::new();
    file.read_to_end(&mut all).unwrap();
    assert!(all == content(&self::session(&origin), "/bytes/3000000"));
    assert!(proxy.connections() > 5);
}

#[test]
fn random_faults_on_the_way_change_no_byte() {
    let origin = origin();
    let whole = content(&session(&origin), "/bytes/500000");
    for seed in 0..4 {
        let proxy = Proxy::start_with(origin.address(), move |number| Faults::random(seed, number)).unwrap();
        let builder = Session::builder(&format!("http://{}", proxy.address())).retry_budget(None).retries(40_u32);
        let session = builder.backoff(SHORT, SHORT).timeout(Duration::from_millis(200)).build().unwrap();
        let place = Place::new();
        let mut options = DownloadOptions::default();
        (options.part_size, options.retries) = (70_000, 40);
        session.download("/bytes/500000", place.path()).options(options).run().unwrap();
        assert!(fs::read(place.path()).unwrap() == whole, "the download of seed {seed}");
        let ranges: Vec<_> = (0..150).map(|i| (i * 3_329, i * 3_329 + 100)).collect();
        let parts = session.cat_ranges_merged("/bytes/500000", &ranges, 0).unwrap();
        let is_right = |(part, &(start, end)): (&_, &(u64, u64))| part == &whole[start as usize..end as usize];
        assert!(parts.iter().zip(&ranges).all(is_right), "the ranges of seed {seed}");
        let mut options = FileOptions::default();
        (options.block_size, options.request_size) = (8 << 10, 32 << 10);
        let mut all = Vec::new();
        session.open_with("/bytes/500000", options).unwrap().read_to_end(&mut all).unwrap();
        assert!(all == whole, "the file of seed {seed}");
    }
}

#[test]
fn ranges_of_whole_urls_are_found_behind_redirects() {
    let origins = [(); 2].map(|()| Origin::start(Config::default()).unwrap());
    let [here, elsewhere] = [0, 1].map(|at: usize| format!("http://{}", origins[at].address()));
    let target = format!("{elsewhere}/bytes/3000000");
    let redirected = format!("{here}/redirect/3?to={}", target.replace(':', "%3A").replace('/', "%2F"));
    let directory = tempfile::tempdir().unwrap();
    for (url, redirects) in [(&target, 0), (&redirected, 3)] {
        let sessions = Sessions::builder().redirects(redirects).build().unwrap();
        let whole = sessions.get(url).unwrap().into_content();
        assert_eq!(whole.len(), 3_000_000);
        assert_eq!(
            sessions.cat_ranges(url, &[(2_000_000, 2_000_004), (0, 4)]).unwrap(),
            [&whole[2_000_000..2_000_004], &whole[..4]]
        );
        let path = directory.path().join(redirects.to_string());
        assert_eq!(sessions.download(url, &path).part_size(1 << 20).run().unwrap(), 3_000_000);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        let mut file = sessions.open(url).unwrap();
        file.seek(SeekFrom::End(-4)).unwrap();
        let mut last = Vec::new();
        file.read_to_end(&mut last).unwrap();
        assert_eq!(last, whole[whole.len() - 4..]);
    }
    let none = Sessions::new().unwrap().cat_ranges(&redirected, &[(0, 4)]).unwrap_err();
    assert!(matches!(none, RangeError::Status { .. }), "{none:?}");
    let failed = Sessions::new().unwrap().open("/bytes/1").unwrap_err();
    assert!(matches!(&failed, RangeError::Failed { failed, .. } if matches!(failed.cause, Cause::Invalid(_))), "{failed:?}");
}
