//! Signals.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;
use dugong_origin::Script;
use rustix::process::{Pid, Signal, kill_process};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Waits until the unfinished file has some content.
fn wait_for_part(directory: &Path) {
    let until = Instant::now() + Duration::from_secs(20);
    let begun = || {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(".slow.part-"))
            .any(|entry| entry.metadata().is_ok_and(|found| found.len() > 0))
    };
    while !begun() {
        assert!(Instant::now() < until, "no part of a file: {:?}", names(directory));
        thread::yield_now();
    }
}

/// Makes a `dugong get` that inherits a signal disposition. The tests themselves may run with SIGHUP ignored.
fn command_with(disposition: &str) -> Command {
    let mut command = Command::new("env");
    command.arg(disposition).arg(env!("CARGO_BIN_EXE_dugong")).args(["get", "--timeout=20", "--connections=1", "--noproxy=*"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts an endless download into `directory`.
fn endless(directory: &Path) -> (Child, dugong_origin::Scripted) {
    let slow = "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\nslowly";
    let server = scripted([first_alone(ok("complete"), 1, slow).wait_close()]);
    let mut command = command_with("--default-signal=HUP");
    let child = command.args(urls(server.address(), ["/fast", "/slow"])).arg("-o").arg(directory).spawn().unwrap();
    (child, server)
}

#[test]
fn an_interrupt_leaves_no_incomplete_file() {
    for which in [Signal::INT, Signal::TERM, Signal::HUP] {
        let scratch = tempfile::tempdir().unwrap();
        let (child, _server) = endless(scratch.path());
        wait_for_part(scratch.path());
        signal(&child, which);
        let ran = Ran(child.wait_with_output().unwrap()).exits_with(130);
        assert_eq!(ran.stderr(), "dugong: interrupted\n");
        assert_eq!(names(scratch.path()), ["fast"]);
    }
}

#[test]
fn several_signals_at_once_leave_no_incomplete_file() {
    const INT: Signal = Signal::INT;
    const TERM: Signal = Signal::TERM;
    const HUP: Signal = Signal::HUP;
    for all in [&[INT, INT][..], &[TERM, TERM], &[HUP, HUP], &[HUP, TERM], &[INT, TERM, INT], &[TERM, HUP, INT, INT, TERM, HUP]] {
        // If a signal ended the program at once, about half of the runs would leave an incomplete file.
        for _ in 0..8 {
            let scratch = tempfile::tempdir().unwrap();
            let (child, _server) = endless(scratch.path());
            wait_for_part(scratch.path());
            all.iter().for_each(|&which| signal(&child, which));
            let ran = Ran(child.wait_with_output().unwrap()).exits_with(130);
            assert!(["dugong: interrupted\n", ""].contains(&ran.stderr()), "{}", ran.stderr());
            assert_eq!(names(scratch.path()), ["fast"], "after {all:?}");
        }
    }
}

#[test]
fn signals_between_files_leave_complete_files_only() {
    let origin = origin();
    for (run, all) in [[Signal::INT, Signal::TERM], [Signal::HUP, Signal::TERM], [Signal::TERM, Signal::TERM]]
        .iter()
        .cycle()
        .take(12)
        .enumerate()
    {
        let scratch = tempfile::tempdir().unwrap();
        // Each answer is delayed, so that the signal comes before the end.
        let args = urls(origin.address(), (1..=10_000).map(|id| format!("/doc/{id}?delay={}", id / 50)));
        let child = command_with("--default-signal=HUP").args(args).arg("-o").arg(scratch.path()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while std::fs::read_dir(scratch.path()).unwrap().count() < run * 10 + 1 {
            assert!(Instant::now() < until, "no files");
            thread::yield_now();
        }
        all.iter().for_each(|&which| signal(&child, which));
        Ran(child.wait_with_output().unwrap()).exits_with(130);
        for name in names(scratch.path()) {
            let content = std::fs::read(scratch.path().join(&name)).unwrap();
            assert!(content == dugong_origin::document(&name), "{name}: {} bytes", content.len());
        }
    }
}

#[test]
fn an_ignored_hangup_does_not_end_the_program() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let child = command_with("--ignore-signal=HUP").args(urls(listener.local_addr().unwrap(), ["/"])).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    read_exactly(&mut stream, 1);
    signal(&child, Signal::HUP);
    stream.write_all(ok("whole").as_bytes()).unwrap();
    drop(stream);
    assert_eq!(Ran(child.wait_with_output().unwrap()).succeeds().stdout(), b"whole");
}

#[test]
fn an_interrupt_ends_a_download_to_standard_output() {
    let server =
        scripted([Script::new().expect_requests(1).send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow").wait_close()]);
    let mut child = command().args(urls(server.address(), ["/"])).spawn().unwrap();
    let mut some = [0; 4];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut some).unwrap();
    signal(&child, Signal::INT);
    Ran(child.wait_with_output().unwrap()).exits_with(130).says("interrupted");
}

#[test]
fn an_interrupted_run_ends_its_summary_while_content_comes_fast() {
    let origin = origin();
    for options in [&[][..], &["--continue"], &["--parts=2"]] {
        let scratch = tempfile::tempdir().unwrap();
        let args = urls(origin.address(), ["/bytes/100000000000", "/doc/1"]);
        let mut command = command_with("--default-signal=HUP");
        let child = command.arg("--json").args(options).args(args).arg("-o").arg(scratch.path()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let has_content = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.metadata().is_ok_and(|found| found.len() > 1 << 20))
        };
        while !std::fs::read_dir(scratch.path()).unwrap().any(has_content) {
            assert!(Instant::now() < until, "no content");
            thread::yield_now();
        }
        signal(&child, Signal::INT);
        let ran = Ran(child.wait_with_output().unwrap()).exits_with(130);
        let summary = json(ran.stdout());
        assert_eq!(each(&summary, "outcome")[0], "incomplete", "{options:?}");
        assert_eq!(each(&summary, "error"), ["interrupted", "interrupted"], "{options:?}");
        assert_eq!(each(&summary, "safe_to_retry"), [true, true], "{options:?}");
    }
}

#[test]
fn an_interrupt_of_uploads_ends_their_summary() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let child = program("put")
        .args(["--json", "--connections=1"])
        .args([&file, &file])
        .args(urls(listener.local_addr().unwrap(), ["/"]))
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    read_exactly(&mut stream, 1);
    signal(&child, Signal::TERM);
    let ran = Ran(child.wait_with_output().unwrap()).exits_with(130).says("interrupted");
    assert_eq!(each(&json(ran.stdout()), "outcome"), ["unanswered", "not-sent"]);
}
