//! The README and the documentation show the examples verbatim.

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
