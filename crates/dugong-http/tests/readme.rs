//! The documentation shows the examples verbatim.

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
