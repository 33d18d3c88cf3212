//! Runs each client on each workload, so that a change cannot break the benchmark unnoticed.

use std::fs;
use std::path::Path;
use std::process::Command;

use dugong_origin::{Config, Origin};

const CLIENTS: [&str; 5] = ["raw", "httparse", "dugong", "dugong-read", "dugong-tokio"];

/// They do not do b, d and e.
const WITHOUT_PIPELINING: [&str; 2] = ["hyper", "reqwest"];

/// They do not do c, d and e.
const SESSIONS: [&str; 1] = ["session"];

/// They do b only.
const PIPELINING_ONLY: [&str; 2] = ["dugong-unbounded", "dugong-split"];

#[test]
fn every_client_does_every_workload() {
    let origin = Origin::start(Config::default()).unwrap();
    let mut expected = origin.counts();
    for (work, amount, operations, bytes) in [
        ("a", "--requests=50", 50, 50 * 120),
        ("b", "--requests=1000", 1000, 1000 * 120),
        ("c", "--megabytes=3", 1, 3 << 20),
        ("d", "--megabytes=3", 1, 3 << 20),
        ("e", "--megabytes=3", 1, 3 << 20),
        ("f", "--requests=100", 100, 100 * 120),
        ("g", "--requests=40", 40, 40 * 4096),
    ] {
        let others: &[&str] = match work {
            "a" | "c" | "f" | "g" if cfg!(feature = "peers") => &WITHOUT_PIPELINING,
            "b" => &PIPELINING_ONLY,
            _ => &[],
        };
        let clients: &[&str] = if work == "g" { &[] } else { &CLIENTS };
        let sessions: &[&str] = if matches!(work, "a" | "b" | "f" | "g") { &SESSIONS } else { &[] };
        for client in clients.iter().chain(others).chain(sessions) {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dugong-bench"));
            command.args(["load", "--client", client, "--work", work, "--address", &origin.address().to_string(), amount]);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{client} in {work}: {said}");
            let line = String::from_utf8(output.stdout).unwrap();
            let begins = format!(r#"{{"client":"{client}","work":"{work}","operations":{operations},"bytes":{bytes},"wall":"#);
            assert!(line.starts_with(&begins) && line.ends_with("}\n"), "{line} does not begin with {begins}");
            let counts = origin.counts();
            assert!(counts.requests >= expected.requests + operations, "{client} asked for less in {work}");
            let connections = match work {
                "f" if WITHOUT_PIPELINING.contains(client) => 16,
                "g" => 4,
                _ => 1,
            };
            assert_eq!(counts.connections, expected.connections + connections, "{client} in {work}");
            expected = counts;
        }
    }
}

#[test]
fn the_python_program_measures_as_this_one_does() {
    let origin = Origin::start(Config::default()).unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/python/load.py");
    for (client, work, amount, operations, bytes) in [
        ("http.client", "a", "--requests=50", 50, 50 * 120),
        ("http.client", "c", "--megabytes=3", 1, 3 << 20),
        ("http.client-readinto", "c", "--megabytes=3", 1, 3 << 20),
        ("http.client", "d", "--megabytes=3", 1, 3 << 20),
        ("http.client-readinto", "d", "--megabytes=3", 1, 3 << 20),
        ("http.client", "e", "--megabytes=3", 1, 3 << 20),
    ] {
        let mut command = Command::new("python3");
        command.args(["-B", program, "--client", client, "--work", work, "--address", &origin.address().to_string(), amount]);
        let output = command.output().expect("python3 starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{client} in {work}: {said}");
        let line = String::from_utf8(output.stdout).unwrap();
        let begins = format!(r#"{{"client":"{client}","work":"{work}","operations":{operations},"bytes":{bytes},"wall":"#);
        assert!(line.starts_with(&begins) && line.ends_with("}\n"), "{line} does not begin with {begins}");
    }
}

#[test]
fn a_table_needs_the_origin_next_to_it_or_says_how_to_build_it() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("alone-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let alone = dir.join("dugong-bench");
    fs::hard_link(env!("CARGO_BIN_EXE_dugong-bench"), &alone).unwrap();
    let output = Command::new(&alone).args(["table", "--quick"]).output();
    fs::remove_dir_all(&dir).unwrap();
    let output = output.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cargo build --release -p dugong-origin"));
}

#[test]
fn idle_connections_are_made_and_not_closed() {
    let origin = Origin::start(Config::default()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dugong-bench"));
    let status = command.args(["idle", "--connections=3", "--address", &origin.address().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!((origin.counts().connections, origin.counts().requests), (3, 3));
}

#[cfg(debug_assertions)]
#[test]
fn counts_of_a_build_without_optimization_are_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_dugong-bench")).arg("counts").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("build with --release"));
}
