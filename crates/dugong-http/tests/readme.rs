//! What the README shows is what the example does.

use std::process::Command;

use dugong_origin::{Config, Origin};

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = include_str!("../../../README.md");
    let example = include_str!("../examples/fetch.rs");
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the README has Rust in it");
    assert!(example.ends_with(shown), "the README and examples/fetch.rs differ");
}

#[test]
fn the_examples_fetch_a_hundred_documents() {
    let origin = Origin::start(Config::default()).expect("an origin on loopback");
    for (example, feature) in [("fetch", ""), ("threads", ""), ("tasks", "tokio")] {
        let run = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--features", feature, "--example", example, "--"])
            .arg(format!("http://{}", origin.address()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        let printed = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{example}: {}", String::from_utf8_lossy(&run.stderr));
        assert_eq!(printed.lines().count(), 100, "{example}");
        let last = format!("/doc/100: 200, {} bytes", dugong_origin::document("100").len());
        assert_eq!(printed.lines().last(), Some(last.as_str()), "{example}");
    }
}
