//! Every case of the corpus, uncut.

mod support;

use support::{Cut, play, title};

#[test]
fn every_case_of_the_corpus_passes() {
    let cases = dugong_corpus::cases();
    let failures = cases.iter().filter_map(|case| Some(format!("{}{}", title(case), play(case, Cut::Whole).err()?)));
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{} of {} cases:\n\n{}", failures.len(), cases.len(), failures.join("\n"));
}
