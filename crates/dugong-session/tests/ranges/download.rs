//! Downloads: the requests, and the file on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use dugong_http::{Fields, Status};
use dugong_session::Digest;
use dugong_session::ranges::{Ask, Download, DownloadOptions, RangeError, Span, Take, WrongRange};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::server::{Answer, Server};

const URL: &str = "http://example.org/big";

pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("big")
    }

    fn part(&self) -> PathBuf {
        self.directory.path().join(".big.part")
    }

    fn record(&self) -> PathBuf {
        self.directory.path().join(".big.part.meta")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn open(&self) -> Result<Download, RangeError> {
        self.open_with(|_| {})
    }

    /// Parts of 100 bytes, three in flight.
    fn open_with(&self, change: impl FnOnce(&mut DownloadOptions)) -> Result<Download, RangeError> {
        let mut options = DownloadOptions::default();
        (options.part_size, options.parts) = (100, 3);
        change(&mut options);
        Download::open(URL, "/big", self.path(), options)
    }

    /// Downloads all from `server`.
    fn fetch(&self, server: &mut Server) -> Result<u64, RangeError> {
        run(self.open()?, |ask| server.answer(ask))
    }
}

/// Answers each request in its turn.
fn run(mut download: Download, mut serve: impl FnMut(&Ask) -> Answer) -> Result<u64, RangeError> {
    while !download.is_done() {
        let ask = download.next_request().expect("a request is due");
        let answer = serve(&ask);
        give(&mut download, &ask, answer)?;
    }
    download.finish()
}

fn give(download: &mut Download, ask: &Ask, answer: Answer) -> Result<(), RangeError> {
    if download.head(ask.index, answer.status, &answer.fields)? == Take::Content {
        for piece in answer.content.chunks(64) {
            download.content(ask.index, piece)?;
        }
        download.end(ask.index)?;
    }
    Ok(())
}

/// Passes the head and `bytes` of the content, and loses the rest.
fn give_some(download: &mut Download, ask: &Ask, answer: &Answer, bytes: usize) -> bool {
    let taken = download.head(ask.index, answer.status, &answer.fields).unwrap();
    assert_eq!(taken, Take::Content);
    download.content(ask.index, &answer.content[..bytes]).unwrap();
    download.lost(ask.index)
}

fn spans(asks: &[Ask]) -> Vec<(u64, u64)> {
    asks.iter().map(|ask| ask.span.map_or((0, 0), |span| (span.start, span.end))).collect()
}

#[test]
fn a_target_comes_in_parts() {
    let (place, mut server) = (Place::new(), Server::new(950));
    let mut download = place.open().unwrap();
    assert_eq!(download.progress(), (0, None));
    let first = download.next_request().unwrap();
    assert_eq!((first.span, &first.if_range), (Some(Span::new(0, 100)), &None));
    assert_eq!(download.next_request(), None, "the others wait for the first head");
    let answer = server.answer(&first);
    let _ = download.head(first.index, answer.status, &answer.fields).unwrap();
    let others: Vec<_> = std::iter::from_fn(|| download.next_request()).collect();
    assert_eq!(spans(&others), [(100, 200), (200, 300)], "three are in flight");
    assert!(others.iter().all(|ask| ask.if_range.as_deref() == Some("\"v1\"")));
    for ask in others.iter().rev() {
        give(&mut download, ask, server.answer(ask)).unwrap();
    }
    download.content(first.index, &answer.content).unwrap();
    download.end(first.index).unwrap();
    assert_eq!(download.progress(), (300, Some(950)));
    assert_eq!(place.names(), [".big.part", ".big.part.meta"]);
    assert_eq!(run(download, |ask| server.answer(ask)).unwrap(), 950);
    assert_eq!(server.asked, 10);
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
    assert_eq!(place.names(), ["big"]);
}

#[test]
fn a_later_run_asks_for_the_missing_bytes_only() {
    let (place, mut server) = (Place::new(), Server::new(450));
    let mut download = place.open().unwrap();
    let first = download.next_request().unwrap();
    let answer = server.answer(&first);
    give(&mut download, &first, answer).unwrap();
    let (second, third) = (download.next_request().unwrap(), download.next_request().unwrap());
    let answer = server.answer(&third);
    assert!(give_some(&mut download, &third, &answer, 60));
    drop((download, second));
    assert_eq!(place.names(), [".big.part", ".big.part.meta"]);
    let record = fs::read_to_string(place.record()).unwrap();
    assert_eq!(record, format!("dugong download 1\nurl {URL}\netag \"v1\"\ntotal 450\nhave 0-99\nhave 200-259\n"));

    let download = place.open().unwrap();
    assert_eq!(download.progress(), (160, Some(450)));
    let mut asks = Vec::new();
    run(download, |ask| {
        asks.push(ask.clone());
        server.answer(ask)
    })
    .unwrap();
    assert_eq!(spans(&asks), [(100, 200), (260, 360), (360, 450)]);
    assert!(asks.iter().all(|ask| ask.if_range.as_deref() == Some("\"v1\"")));
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
}

#[test]
fn a_complete_file_gets_its_name_only_after_the_server_has_confirmed_it() {
    let (place, mut server) = (Place::new(), Server::new(150));
    let mut download = place.open().unwrap();
    while let Some(ask) = download.next_request() {
        let answer = server.answer(&ask);
        give(&mut download, &ask, answer).unwrap();
    }
    assert!(download.is_done());
    drop(download);
    let download = place.open().unwrap();
    assert!(!download.is_done());
    server.asked = 0;
    run(download, |ask| {
        assert_eq!((ask.span, ask.if_range.as_deref()), (Some(Span::new(149, 150)), Some("\"v1\"")));
        server.answer(ask)
    })
    .unwrap();
    assert_eq!((server.asked, fs::read(place.path()).unwrap()), (1, server.content.to_vec()));
}

#[test]
fn a_version_that_is_new_in_a_later_run_begins_anew() {
    for ranges in [true, false] {
        for ignores_if_range in [true, false] {
            let (place, mut server) = (Place::new(), Server::new(450));
            let mut download = place.open().unwrap();
            let first = download.next_request().unwrap();
            let answer = server.answer(&first);
            give(&mut download, &first, answer).unwrap();
            drop(download);
            let new = Bytes::from(vec![b'n'; 333]);
            server = Server { etag: Some("\"v2\""), content: new.clone(), ranges, ..server };
            let download = place.open().unwrap();
            let serve =
                |ask: &Ask| server.answer(&Ask { if_range: ask.if_range.clone().filter(|_| !ignores_if_range), ..ask.clone() });
            assert_eq!(run(download, serve).unwrap(), 333);
            assert_eq!(fs::read(place.path()).unwrap(), new);
            assert_eq!(place.names(), ["big"]);
        }
    }
}

#[test]
fn a_run_of_another_url_begins_anew() {
    let (place, mut server) = (Place::new(), Server::new(450));
    let mut download = place.open().unwrap();
    let first = download.next_request().unwrap();
    give(&mut download, &first, server.answer(&first)).unwrap();
    drop(download);
    let download = Download::open("http://example.org/other", "/other", place.path(), DownloadOptions::default()).unwrap();
    assert_eq!(download.progress(), (0, None));
}

#[test]
fn a_record_about_more_than_the_file_has_does_not_count() {
    let (place, mut server) = (Place::new(), Server::new(450));
    let mut download = place.open().unwrap();
    let first = download.next_request().unwrap();
    give(&mut download, &first, server.answer(&first)).unwrap();
    drop(download);
    fs::OpenOptions::new().write(true).open(place.part()).unwrap().set_len(99).unwrap();
    assert_eq!(place.open().unwrap().progress(), (0, None));
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn a_content_that_changes_between_parts_is_an_error_and_the_next_run_begins_anew() {
    let (place, mut server) = (Place::new(), Server::new(450));
    let download = place.open().unwrap();
    let error = run(download, |ask| {
        let answer = server.answer(ask);
        if server.asked == 2 {
            server.etag = Some("\"v2\"");
        }
        answer
    });
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "/big has changed: its ETag was \"v1\", and is \"v2\" now; begin again");
    assert_eq!(place.names(), [".big.part", ".big.part.meta"]);
    assert_eq!(place.fetch(&mut server).unwrap(), 450);
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
}

#[test]
fn a_length_that_changes_between_parts_is_an_error() {
    let (place, mut server) = (Place::new(), Server::new(450));
    let error = run(place.open().unwrap(), |ask| {
        let answer = server.answer(ask);
        if server.asked == 2 { answer.with("Content-Range", "bytes 100-199/451") } else { answer }
    });
    assert!(error.unwrap_err().to_string().contains("complete length was 450, and is 451 now"));
}

#[test]
fn a_server_without_ranges_sends_everything_in_one_response() {
    let (place, mut server) = (Place::new(), Server { ranges: false, ..Server::new(950) });
    assert_eq!(place.fetch(&mut server).unwrap(), 950);
    assert_eq!((server.asked, fs::read(place.path()).unwrap()), (1, server.content.to_vec()));
    // The same without a length: chunked coding.
    let download = place.open().unwrap();
    assert_eq!(run(download, |ask| server.answer(ask).with("Content-Length", "")).unwrap(), 950);
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
}

#[test]
fn parts_without_a_strong_etag_are_not_put_together() {
    for etag in [None, Some("W/\"v1\""), Some("v1")] {
        let (place, mut server) = (Place::new(), Server { etag, ..Server::new(250) });
        let mut asked = Vec::new();
        run(place.open().unwrap(), |ask| {
            asked.push(ask.clone());
            server.answer(ask)
        })
        .unwrap();
        assert_eq!(asked.iter().map(|ask| ask.span).collect::<Vec<_>>(), [Some(Span::new(0, 100)), None]);
        assert_eq!(fs::read(place.path()).unwrap(), server.content);
    }
}

#[test]
fn one_part_that_is_everything_needs_no_etag() {
    let (place, mut server) = (Place::new(), Server { etag: None, ..Server::new(100) });
    assert_eq!(place.fetch(&mut server).unwrap(), 100);
    assert_eq!(server.asked, 1);
}

#[test]
fn an_empty_content_makes_an_empty_file() {
    let (place, mut server) = (Place::new(), Server::new(0));
    assert_eq!(place.fetch(&mut server).unwrap(), 0);
    assert_eq!((place.names(), fs::read(place.path()).unwrap()), (vec!["big".to_owned()], Vec::new()));
}

#[test]
fn a_lost_part_continues_where_it_broke_off() {
    let (place, mut server) = (Place::new(), Server::new(250));
    let mut download = place.open().unwrap();
    let first = download.next_request().unwrap();
    let answer = server.answer(&first);
    assert!(give_some(&mut download, &first, &answer, 30));
    let again = download.next_request().unwrap();
    assert_eq!((again.span, again.if_range.as_deref()), (Some(Span::new(30, 130)), Some("\"v1\"")));
    assert!(download.lost(again.index), "before its head");
    run(download, |ask| server.answer(ask)).unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
}

#[test]
fn a_lost_response_with_everything_continues_if_the_version_is_known() {
    for (etag, expected) in [(Some("\"v1\""), Some(Span::new(30, 130))), (None, None)] {
        let (place, mut server) = (Place::new(), Server { etag, ranges: false, ..Server::new(250) });
        let mut download = place.open().unwrap();
        let first = download.next_request().unwrap();
        let answer = server.answer(&first);
        assert!(give_some(&mut download, &first, &answer, 30));
        let again = download.next_request().unwrap();
        assert_eq!(again.span, expected);
        give(&mut download, &again, server.answer(&again)).unwrap();
        download.finish().unwrap();
        assert_eq!(fs::read(place.path()).unwrap(), server.content);
    }
}

#[test]
fn a_new_version_behind_a_lost_response_is_an_error() {
    let (place, mut server) = (Place::new(), Server { ranges: false, ..Server::new(250) });
    let mut download = place.open().unwrap();
    let first = download.next_request().unwrap();
    let answer = server.answer(&first);
    assert!(give_some(&mut download, &first, &answer, 30));
    server.etag = Some("\"v2\"");
    let error = run(download, |ask| server.answer(ask)).unwrap_err();
    assert!(matches!(error, RangeError::Changed { what: "ETag", .. }), "{error}");
}

#[test]
fn five_losses_without_progress_are_too_many() {
    let (place, mut server) = (Place::new(), Server::new(100_000));
    let mut download = place.open_with(|options| options.part_size = 50_000).unwrap();
    let mut lose = |download: &mut Download, bytes| {
        let ask = download.next_request().unwrap();
        give_some(download, &ask, &server.answer(&ask), bytes)
    };
    for _ in 0..3 {
        for bytes in [10, 1000, 0, 5000] {
            assert!(lose(&mut download, bytes));
        }
    }
    for left in [true, true, true, false] {
        assert_eq!(lose(&mut download, 1), left);
    }
}

#[test]
fn parts_that_are_lost_together_count_once() {
    let (place, mut server) = (Place::new(), Server::new(10_000));
    let mut download = place.open_with(|options| options.parts = 10).unwrap();
    let first = download.next_request().unwrap();
    give(&mut download, &first, server.answer(&first)).unwrap();
    for round in 0..5 {
        let asks: Vec<_> = std::iter::from_fn(|| download.next_request()).collect();
        assert_eq!(asks.len(), 10);
        for ask in asks {
            assert_eq!(download.lost(ask.index), round < 4);
        }
    }
}

#[test]
fn a_server_may_send_less_than_asked_for() {
    let (place, mut server) = (Place::new(), Server { longest: 70, ..Server::new(450) });
    assert_eq!(place.fetch(&mut server).unwrap(), 450);
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
}

#[test]
fn a_wrong_content_range_is_an_error() {
    for (value, told) in [
        ("", "a 206 without Content-Range"),
        ("bytes 1-99/450", "\"Content-Range: bytes 1-99/450\""),
        ("bytes 0-100/450", "\"Content-Range: bytes 0-100/450\""),
        ("bytes 0-50/450", "100 bytes of content"),
        ("bytes */450", "\"Content-Range: bytes */450\""),
        ("pages 0-99/450", "a bad Content-Range \"pages 0-99/450\": its unit is not \"bytes\""),
    ] {
        let (place, mut server) = (Place::new(), Server::new(450));
        let error = run(place.open().unwrap(), |ask| server.answer(ask).with("Content-Range", value)).unwrap_err();
        assert_eq!(error.to_string(), format!("the server was asked for bytes 0-99 of /big and sent {told}"));
        assert!(place.names().is_empty(), "a run without content leaves no files");
    }
}

#[test]
fn content_of_another_length_than_announced_is_an_error() {
    for bytes in [99, 101] {
        let (place, mut server) = (Place::new(), Server::new(450));
        let error = run(place.open().unwrap(), |ask| {
            let answer = server.answer(ask).with("Content-Length", "");
            Answer { content: server.content.slice(..bytes), ..answer }
        });
        let error = error.unwrap_err();
        assert!(matches!(error, RangeError::WrongRange { got: WrongRange::Length(got), .. } if got == bytes as u64), "{error}");
    }
}

#[test]
fn a_206_to_a_request_for_everything_is_an_error() {
    let (place, mut server) = (Place::new(), Server { etag: None, ..Server::new(450) });
    let error = run(place.open().unwrap(), |_| server.answer(&Ask { index: 0, span: Some(Span::new(0, 100)), if_range: None }));
    let told = "the server was asked for all of /big and sent \"Content-Range: bytes 0-99/450\"";
    assert_eq!(error.unwrap_err().to_string(), told);
}

#[test]
fn other_statuses_are_errors() {
    let (place, mut server) = (Place::new(), Server::new(450));
    let error = run(place.open().unwrap(), |ask| server.answer(ask).status(Status::NOT_FOUND)).unwrap_err();
    assert_eq!(error.to_string(), "the server answered 404 to GET /big (Not Found)");
    assert!(place.names().is_empty());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
}

#[test]
fn the_whole_content_among_parts_is_taken_once() {
    let (place, mut server) = (Place::new(), Server::new(450));
    let mut download = place.open().unwrap();
    let first = download.next_request().unwrap();
    give(&mut download, &first, server.answer(&first)).unwrap();
    let others: Vec<_> = std::iter::from_fn(|| download.next_request()).collect();
    let whole = Server { ranges: false, ..server.clone() }.answer(&others[0]);
    assert_eq!(download.head(others[0].index, whole.status, &whole.fields).unwrap(), Take::Content);
    assert_eq!(download.head(others[1].index, whole.status, &whole.fields).unwrap(), Take::Nothing);
    assert_eq!(download.next_request(), None, "the rest comes by itself");
    give(&mut download, &others[2], server.answer(&others[2])).unwrap();
    download.content(others[0].index, &whole.content[..350]).unwrap();
    assert!(download.lost(others[0].index));
    // Bytes 200 to 300 came twice.
    let rest = download.next_request().unwrap();
    assert_eq!(rest.span, Some(Span::new(400, 450)));
    let error = download.head(rest.index, whole.status, &whole.fields).unwrap_err();
    assert_eq!(error.to_string(), "the server was asked for bytes 400-449 of /big and sent all of it again");
    drop(download);
    assert_eq!(place.fetch(&mut server).unwrap(), 450);
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
}

#[test]
fn two_runs_on_one_path_are_an_error_before_any_request() {
    let (place, mut server) = (Place::new(), Server::new(450));
    let download = place.open().unwrap();
    let error = place.open().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("another download writes {}: wait for it, or choose another path", place.path().display())
    );
    assert!(matches!(&error, RangeError::Busy { path } if *path == place.path()));
    run(download, |ask| server.answer(ask)).unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), server.content, "the second run did no harm");
    drop(place.open().unwrap());
}

#[test]
fn a_path_that_cannot_be_written_is_an_error_before_any_request() {
    let place = Place::new();
    let directory = place.directory.path();
    fs::write(directory.join("file"), "").unwrap();
    let open = |path: &Path| Download::open(URL, "/big", path, DownloadOptions::default()).unwrap_err();
    for (path, why) in [
        (directory.to_owned(), "it is a directory"),
        (directory.join("new/"), "it does not name a file"),
        (PathBuf::from("/"), "it does not name a file"),
        (PathBuf::from(""), "it does not name a file"),
        (PathBuf::from("/dev/null"), "it is not a regular file"),
    ] {
        assert_eq!(open(&path).to_string(), format!("cannot write {}: {why}", path.display()));
    }
    for path in [directory.join("no/such"), directory.join("file/x"), directory.join("x".repeat(256))] {
        let error = open(&path);
        assert!(matches!(error, RangeError::Io { doing: "create", .. }), "{error:?}");
        assert!(error.to_string().starts_with(&format!("cannot create {}/", path.parent().unwrap().display())), "{error}");
    }
    assert_eq!(place.names(), ["file"]);
}

#[test]
fn the_old_file_stays_until_the_new_one_is_complete() {
    let (place, mut server) = (Place::new(), Server::new(250));
    fs::write(place.path(), "old").unwrap();
    let link = place.directory.path().join("link");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let mut options = DownloadOptions::default();
    options.part_size = 100;
    let mut download = Download::open(URL, "/big", &link, options).unwrap();
    let first = download.next_request().unwrap();
    give(&mut download, &first, server.answer(&first)).unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), b"old");
    run(download, |ask| server.answer(ask)).unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
    assert_eq!(place.names(), ["big", "link"]);
    assert!(link.is_symlink(), "the link's file is replaced, not the link");
}

#[test]
fn digests_are_checked_before_the_file_gets_its_name() {
    let other = "ba27b9e08cc1e81a26b9b9ee8f96dfe8f6d1e10f4cb5e9e8a3d9a4a1f0c5d2b7";
    let content = Bytes::from_static(b"abc");
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let announced = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    let wrong = "sha-256=:AAAAv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    for (known, announced, good) in [(known, announced, true), (other, announced, false), (known, wrong, false)] {
        let (place, mut server) = (Place::new(), Server { content: content.clone(), ..Server::new(0) });
        let digest = Digest::sha256_hex(known).unwrap();
        let download = place.open_with(|options| (options.part_size, options.digests) = (2, vec![digest])).unwrap();
        let result = run(download, |ask| server.answer(ask).with("Repr-Digest", announced));
        match result {
            Ok(3) if good => assert_eq!(place.names(), ["big"]),
            Err(error @ RangeError::Digest { .. }) if !good => {
                assert_eq!(error.to_string(), "the content of /big is damaged");
                let cause = std::error::Error::source(&error).unwrap().to_string();
                assert!(cause.contains("sha-256 digest"), "{cause}");
                assert!(place.names().is_empty(), "a damaged file is of no use for a later run");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The child of the next test.
#[test]
#[ignore = "the next test runs it"]
fn child_that_dies() {
    let Some(path) = std::env::var_os("DUGONG_TEST_PATH") else { return };
    let mut server = Server::new(1000);
    let mut options = DownloadOptions::default();
    (options.part_size, options.checkpoint) = (100, 250);
    let mut download = Download::open(URL, "/big", path, options).unwrap();
    for _ in 0..7 {
        let ask = download.next_request().unwrap();
        give(&mut download, &ask, server.answer(&ask)).unwrap();
    }
    std::process::abort();
}

#[test]
fn a_killed_run_is_continued_by_another_process() {
    let place = Place::new();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "download::child_that_dies", "--ignored", "--nocapture"])
        .env("DUGONG_TEST_PATH", place.path())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    let download = place.open().unwrap();
    let (have, total) = download.progress();
    assert!((500..=700).contains(&have), "{have} bytes were recorded");
    assert_eq!(total, Some(1000));
    let mut server = Server::new(1000);
    run(download, |ask| server.answer(ask)).unwrap();
    assert!(server.asked <= 5, "{} requests", server.asked);
    assert_eq!(fs::read(place.path()).unwrap(), server.content);
}

/// A file system in memory of 64 KiB.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` without the right to mount.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(directory.path()).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then(|| SmallDisk(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_a_clear_error_and_the_content_on_it_stays() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: mounting a tmpfs needs root");
        return;
    };
    let path = disk.0.path().join("big");
    let mut server = Server::new(80_000);
    let mut options = DownloadOptions::default();
    options.part_size = 10_000;
    let open = || Download::open(URL, "/big", &path, options.clone()).unwrap();
    let error = run(open(), |ask| server.answer(ask)).unwrap_err();
    let told =
        format!("cannot write {}/.big.part; make room and download again: the content on disk stays", disk.0.path().display());
    assert_eq!(error.to_string(), told);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "No space left on device (os error 28)");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);

    let room = Command::new("mount").args(["-o", "remount,size=1m"]).arg(disk.0.path()).status().unwrap();
    assert!(room.success());
    let download = open();
    assert!(download.progress().0 > 50_000, "{:?}", download.progress());
    server.asked = 0;
    run(download, |ask| server.answer(ask)).unwrap();
    assert!(server.asked < 4, "{} requests", server.asked);
    assert_eq!(fs::read(&path).unwrap(), server.content);
}

#[test]
#[should_panic(expected = "no request 7 is in flight")]
fn an_answer_to_no_request_is_a_bug_of_the_caller() {
    let _ = Place::new().open().unwrap().head(7, Status::OK, &Fields::new());
}

/// A run in which anything may happen: answers that overtake each other, losses, whole contents, kills.
struct Adventure {
    place: Place,
    server: Server,
    download: Option<Download>,
    in_flight: Vec<(Ask, Option<(Bytes, usize)>)>,
}

impl Adventure {
    fn reopen(&mut self) {
        self.in_flight.clear();
        self.download = None;
        self.download = Some(self.place.open().unwrap());
    }

    /// Does one thing. The run begins anew where the machine wants that.
    fn step(&mut self, choice: usize, which: usize) {
        let Some(download) = self.download.as_mut().filter(|download| !download.is_done()) else { return self.reopen() };
        let which = which % self.in_flight.len().max(1);
        match (choice % 10, self.in_flight.get_mut(which)) {
            (0..3, _) | (_, None) => self.in_flight.extend(download.next_request().map(|ask| (ask, None))),
            (3..8, Some((ask, content @ None))) => {
                let ranges = self.server.ranges && !choice.is_multiple_of(7);
                let longest = if choice.is_multiple_of(11) { 30 } else { u64::MAX };
                let answer = Server { ranges, longest, ..self.server.clone() }.answer(ask);
                match download.head(ask.index, answer.status, &answer.fields) {
                    Ok(Take::Content) => *content = Some((answer.content, 0)),
                    Ok(Take::Nothing) => drop(self.in_flight.remove(which)),
                    Err(RangeError::WrongRange { got: WrongRange::WholeAgain, .. }) => self.reopen(),
                    Err(error) => panic!("{error}"),
                }
            }
            (3..8, Some((ask, Some((content, at))))) => {
                let end = content.len().min(*at + choice % 97);
                download.content(ask.index, &content[*at..end]).unwrap();
                *at = end;
                if end == content.len() {
                    download.end(ask.index).unwrap();
                    self.in_flight.remove(which);
                }
            }
            (8, Some((ask, _))) => {
                let goes_on = download.lost(ask.index);
                self.in_flight.remove(which);
                if !goes_on {
                    self.reopen();
                }
            }
            _ if choice.is_multiple_of(3) => self.reopen(),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_events_ends_with_the_content(
        length in 0_usize..1500,
        etag in prop_oneof![Just(None), Just(Some("\"v1\""))],
        ranges in any::<bool>(),
        steps in proptest::collection::vec((any::<usize>(), any::<usize>()), 0..150),
    ) {
        let server = Server { etag, ranges, ..Server::new(length) };
        let mut adventure = Adventure { place: Place::new(), server, download: None, in_flight: Vec::new() };
        adventure.reopen();
        for (choice, which) in steps {
            adventure.step(choice, which);
        }
        adventure.reopen();
        let Adventure { place, mut server, download, .. } = adventure;
        let have = download.as_ref().unwrap().progress().0;
        prop_assert!(have <= length as u64);
        prop_assert_eq!(run(download.unwrap(), |ask| server.answer(ask)).unwrap(), length as u64);
        prop_assert!(fs::read(place.path()).unwrap() == server.content);
        prop_assert_eq!(place.names(), ["big"]);
    }
}
