//! Signals.

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;
use dugong_origin::Script;
use rustix::process::{Pid, Signal, kill_process};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Waits until some content of the unfinished file has been written.
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

#[test]
fn an_interrupt_leaves_no_part_of_a_file() {
    for which in [Signal::INT, Signal::TERM] {
        let answers = ok("complete") + "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\nslowly";
        let server = scripted([Script::new().expect_requests(2).send(answers).wait_close()]);
        let scratch = tempfile::tempdir().unwrap();
        let child = command().args(urls(server.address(), ["/fast", "/slow"])).arg("-o").arg(scratch.path()).spawn().unwrap();
        wait_for_part(scratch.path());
        signal(&child, which);
        let ran = Ran(child.wait_with_output().unwrap()).exits_with(130);
        assert_eq!(ran.stderr(), "dugong: interrupted\n");
        assert_eq!(names(scratch.path()), ["fast"]);
    }
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
