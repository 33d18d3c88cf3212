//! The README and the documentation show the examples verbatim, and the examples work.

use std::process::Command;

use dugong_origin::{Config, Origin, WhenPipelined};

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = include_str!("../../../README.md");
    let example = include_str!("../examples/fetch.rs");
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the README has Rust in it");
    assert!(example.ends_with(shown), "the README and examples/fetch.rs differ");
}

#[test]
fn the_chapter_on_waiting_shows_the_examples_as_they_are() {
    let chapter = include_str!("../../../docs/waiting.md");
    let shown: Vec<_> = chapter.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let examples =
        [include_str!("../examples/fetch.rs"), include_str!("../examples/threads.rs"), include_str!("../examples/tasks.rs")];
    assert_eq!(shown.len(), examples.len());
    for (shown, example) in shown.into_iter().zip(examples) {
        assert!(example.ends_with(shown), "docs/waiting.md has another example:\n{shown}");
    }
}

#[test]
fn the_examples_fetch_a_hundred_documents() {
    let origin = Origin::start(Config::default()).expect("an origin on loopback");
    for (example, is_built) in [("fetch", true), ("threads", true), ("tasks", cfg!(feature = "tokio")), ("recover", true)] {
        if is_built {
            fetches_a_hundred_documents(example, &origin);
        }
    }
}

#[test]
fn the_example_that_recovers_fetches_them_from_servers_that_close_or_do_not_pipeline() {
    for config in [
        Config { when_pipelined: WhenPipelined::Close, ..Config::default() },
        Config { when_pipelined: WhenPipelined::Stall, ..Config::default() },
        Config { when_pipelined: WhenPipelined::Silence, ..Config::default() },
        Config { close_after: Some(30), close_silently: true, close_with_reset: true, ..Config::default() },
        Config { close_after: Some(30), ..Config::default() },
    ] {
        fetches_a_hundred_documents("recover", &Origin::start(config).expect("an origin on loopback"));
    }
}

fn fetches_a_hundred_documents(example: &str, origin: &Origin) {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    // The features of `make unit`, and the whole workspace as there, so that cargo builds nothing twice.
    let mut cargo = Command::new(env!("CARGO"));
    // cargo sets these for this test. The build script of ring depends on some, so that it would run again, and all above it.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    let built = cargo
        .args(["build", "--quiet", "--profile", profile, "--workspace", "--example", example, "--features"])
        .arg("dugong-http/socks,dugong-http/tracing,dugong-http/tokio,dugong-http/tower")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "{example} does not build");
    // cargo puts this test program into the folder deps, beside the folder of the examples.
    let program = std::env::current_exe().expect("a path").parent().expect("deps").with_file_name("examples").join(example);
    let run = Command::new(program).arg(format!("http://{}", origin.address())).output().expect("the example runs");
    let printed = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{example}: {}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(printed.lines().count(), 100, "{example}");
    let last = format!("/doc/100: 200, {} bytes", dugong_origin::document("100").len());
    assert_eq!(printed.lines().last(), Some(last.as_str()), "{example}");
}
