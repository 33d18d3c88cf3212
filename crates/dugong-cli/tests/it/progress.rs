//! Progress on a terminal, and in JSON.

use std::fs::File;
use std::io::Read;

use crate::support::*;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Runs `dugong get` with standard error on a terminal, and returns what that shows.
fn on_terminal(args: &[&str], environment: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let ours = File::options().read(true).write(true).open(name).unwrap();
    let reader = std::thread::spawn(move || {
        // Reading the terminal fails at the end of the output.
        let mut seen = Vec::new();
        let _ = File::from(terminal).read_to_end(&mut seen);
        String::from_utf8_lossy(&seen).into_owned()
    });
    let mut command = command();
    command.args(args).env("TERM", "xterm").env_remove("NO_COLOR").envs(environment.iter().copied()).stderr(ours);
    let output = command.output().unwrap();
    assert!(output.status.success());
    drop(command);
    reader.join().unwrap()
}

#[test]
fn a_large_file_has_a_line_with_its_bytes() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let url = format!("http://{}/bytes/30000000", origin.address());
    let file = scratch.path().join("file");
    let args = [&*url, "--force", "-o", file.to_str().unwrap()];
    let seen = on_terminal(&args, &[]);
    assert!(seen.contains("/28.61 MiB") && seen.contains("30000000"), "{seen:?}");
    assert!(seen.contains("\x1b[3"), "it has colours: {seen:?}");
    let seen = on_terminal(&args, &[("NO_COLOR", "1")]);
    assert!(seen.contains("/28.61 MiB") && !seen.contains("\x1b[3"), "{seen:?}");
    for quiet in [&["-q"][..], &["--progress=none"], &["--no-progress"]] {
        assert_eq!(on_terminal(&[&args[..], quiet].concat(), &[]), "", "{quiet:?}");
    }
}

#[test]
fn many_urls_have_a_line_for_the_whole() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let list = urls(origin.address(), (0..20).map(|id| format!("/doc/{id}?delay=20")));
    let args: Vec<_> = list.iter().map(|url| &**url).chain(["--depth=1", "--dir", scratch.path().to_str().unwrap()]).collect();
    let seen = on_terminal(&args, &[]);
    assert!(seen.contains("/20 ") && seen.contains("/s"), "{seen:?}");
}

#[test]
fn programs_get_lines_of_json() {
    let (origin, scratch) = (origin(), tempfile::tempdir().unwrap());
    let list = documents(origin.address(), 3);
    let args = list.iter().map(|url| &**url).chain(["--progress=json", "--dir", scratch.path().to_str().unwrap()]);
    let ran = get(args).exits_with(0);
    let last = json(ran.stderr().lines().last().unwrap().as_bytes());
    let size: usize = (1..=3).map(|id| dugong_origin::document(&id.to_string()).len()).sum();
    assert_eq!((&last["answered"], &last["requested"], &last["bytes"]), (&3.into(), &3.into(), &size.into()));
    assert!(last["seconds"].is_number() && last["file"].is_null(), "{last}");
    let url = &*list[0];
    for (args, said) in [
        (&["--json"][..], "--progress=json cannot be combined with --json: both write to standard error"),
        (&["-v"], "--progress=json cannot be combined with --verbose: both write to standard error"),
        (&["--trace", "%"], "--progress=json cannot be combined with --trace %: both write to standard error"),
        (&["-q"], "cannot be used with '--no-progress'"),
    ] {
        get([url, "--progress=json"].iter().chain(args)).exits_with(2).says(said);
    }
}
