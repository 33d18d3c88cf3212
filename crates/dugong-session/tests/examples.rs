//! Runs the examples, each against a server of its own. The README shows one of them.

use std::process::{Command, Output};
use std::sync::Once;

use dugong_origin::{Config, Origin, WhenPipelined};
use tempfile::TempDir;

#[test]
fn the_readme_and_the_chapter_on_sessions_show_the_first_example_as_it_is() {
    let example = include_str!("../examples/fetch_many.rs");
    for page in [include_str!("../../../README.md"), include_str!("../../../docs/sessions.md")] {
        let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has Rust in it");
        assert!(example.ends_with(shown), "a page shows another example than fetch_many.rs:\n{shown}");
    }
}

#[test]
fn fetch_many_fetches_a_hundred_documents_from_servers_of_all_kinds() {
    for config in [
        Config::default(),
        Config { when_pipelined: WhenPipelined::Close, ..Config::default() },
        Config { close_after: Some(30), close_silently: true, close_with_reset: true, ..Config::default() },
        Config { close_after: Some(30), ..Config::default() },
    ] {
        let origin = Origin::start(config).expect("a free port");
        let printed = printed("fetch_many", &[&format!("http://{}", origin.address())]);
        let expected: String =
            (1..=100).map(|id| format!("/doc/{id}: 200, {} bytes\n", dugong_origin::document(&id.to_string()).len())).collect();
        assert!(printed == expected, "{printed}");
    }
}

#[test]
fn failures_sorts_a_hundred_orders() {
    let config = Config { close_after: Some(7), close_silently: true, close_with_reset: true, ..Config::default() };
    let origin = Origin::start(config).expect("a free port");
    let printed = printed("failures", &[&format!("http://{}", origin.address())]);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 101, "{printed}");
    for (line, number) in lines.iter().zip(1..=100) {
        let kind = line.strip_prefix(&format!("order {number}: "));
        assert!(kind.is_some_and(|kind| ["done", "not sent", "unknown"].iter().any(|known| kind.starts_with(known))), "{line}");
    }
}

#[test]
fn put_files_stores_files_or_tells_who_refused_them() {
    let origin = Origin::start(Config::default()).expect("a free port");
    let directory = TempDir::new().expect("a place for files");
    let files: Vec<_> = [0, 5, 100_000, 8 << 20]
        .map(|size| {
            let path = directory.path().join(size.to_string());
            std::fs::write(&path, vec![b'x'; size]).expect("room for a file");
            path.to_str().expect("a path in UTF-8").to_owned()
        })
        .into();
    for (target, answer) in [("upload", "stored"), ("upload?expect=no&early=1", "refused, 413")] {
        let url = format!("http://{}/{target}", origin.address());
        let arguments: Vec<_> = [url.as_str()].into_iter().chain(files.iter().map(String::as_str)).collect();
        let expected: String = files.iter().map(|file| format!("{file}: {answer}\n")).collect();
        assert_eq!(printed("put_files", &arguments), expected);
    }
}

#[test]
fn parts_reads_parts_and_downloads_the_whole() {
    let origin = Origin::start(Config::default()).expect("a free port");
    let directory = TempDir::new().expect("a place for files");
    let (file, url) = (directory.path().join("file"), format!("http://{}", origin.address()));
    let printed = printed("parts", &[&url, "/bytes/3000000", file.to_str().expect("a path in UTF-8")]);
    let content = std::fs::read(&file).expect("the file");
    assert_eq!(content.len(), 3_000_000);
    let shown = |begin: usize| content[begin..begin + 4].escape_ascii().to_string();
    assert!(printed.starts_with("3000000 bytes, of which the last are "), "{printed}");
    for begin in (0..1_000_000).step_by(100_000) {
        assert!(printed.contains(&format!("\nat byte {begin}: {}\n", shown(begin))), "{printed}");
    }
    assert!(printed.ends_with("file: 3000000 bytes\n"), "{printed}");
}

/// Runs an example, which must succeed, and returns its output.
fn printed(example: &str, arguments: &[&str]) -> String {
    let output = run(example, arguments);
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn run(example: &str, arguments: &[&str]) -> Output {
    static BUILT: Once = Once::new();
    BUILT.call_once(build);
    // cargo puts this test program into the folder deps, beside the folder of the examples.
    let program = std::env::current_exe().expect("a path").parent().expect("deps").with_file_name("examples").join(example);
    Command::new(program).args(arguments).output().expect("the example runs")
}

fn build() {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut cargo = Command::new(env!("CARGO"));
    // cargo sets these for this test. The build script of ring depends on some, so that it would run again, and all above it.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    // The features of `make unit`, and the whole workspace as there, so that cargo builds nothing twice.
    cargo.args(["build", "--quiet", "--profile", profile, "--workspace", "--features"]);
    cargo.arg("dugong-http/socks,dugong-http/tracing,dugong-http/tokio,dugong-http/tower");
    for example in ["fetch_many", "failures", "parts", "put_files"] {
        cargo.args(["--example", example]);
    }
    assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs").success(), "the examples do not build");
}
