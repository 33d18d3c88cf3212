//! Every case of the corpus tells the same story, however its bytes are cut.

mod support;

use dugong_corpus::{After, Case, Step};
use support::{Cut, is_check, play, story, title};

#[test]
fn byte_by_byte_nothing_changes() {
    check(|case| same_as_whole(case, &play(case, Cut::Whole), Cut::Bytes));
}

#[test]
fn with_any_cut_in_two_nothing_changes() {
    check(|case| {
        let whole = play(case, Cut::Whole);
        let blocks = case.steps.iter().filter_map(|step| match step {
            Step::Receive { bytes, .. } => Some(bytes),
            _ => None,
        });
        for (block, bytes) in blocks.enumerate() {
            for at in places(bytes) {
                same_as_whole(case, &whole, Cut::Before { block, at })?;
            }
        }
        Ok(())
    });
}

/// A quicker server: bytes of a receive block come with the block before it, if the client does nothing in between.
#[test]
fn with_bytes_of_the_next_block_to_spare_nothing_changes() {
    check(|case| {
        let mut case = case.clone();
        case.steps.retain(|step| !is_check(step));
        let expected = story(&case);
        for second in 1..case.steps.len() {
            let [Step::Receive { bytes: before, then: After::Open }, Step::Receive { bytes, then }] =
                &case.steps[second - 1..=second]
            else {
                continue;
            };
            for spare in places(bytes).into_iter().chain([bytes.len()]) {
                let mut case = case.clone();
                case.steps[second - 1] = Step::Receive { bytes: [before, &bytes[..spare]].concat(), then: After::Open };
                case.steps[second] = Step::Receive { bytes: bytes[spare..].to_vec(), then: *then };
                let got = story(&case);
                if got != expected {
                    return Err(format!("\n    {spare} bytes early\n    expected {expected:#?}\n    got {got:#?}\n"));
                }
            }
        }
        Ok(())
    });
}

/// Runs all cases, and reports all failures.
fn check(run: impl Fn(&Case) -> Result<(), String>) {
    let cases = dugong_corpus::cases();
    let failures = cases.iter().filter_map(|case| Some(format!("{}{}", title(case), run(case).err()?)));
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{} of {} cases:\n\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Plays a case with a cut, and compares it with `whole`. `transcripts.rs` checks whether that was right.
fn same_as_whole(case: &Case, whole: &Result<(), String>, cut: Cut) -> Result<(), String> {
    let got = play(case, cut);
    if got == *whole { Ok(()) } else { Err(format!("\n    {cut:?}: {got:?}\n    whole: {whole:?}\n")) }
}

/// The places at which `bytes` are cut: all of them, but in long blocks only some 200 and those around line ends.
fn places(bytes: &[u8]) -> Vec<usize> {
    if bytes.len() <= 2_000 {
        return (1..bytes.len()).collect();
    }
    let mut places: Vec<usize> = (1..bytes.len()).step_by(bytes.len() / 200).collect();
    let line_ends: Vec<usize> = (1..bytes.len()).filter(|&at| bytes[at - 1..].starts_with(b"\r\n")).collect();
    // A thousand equal lines show no more than a hundred of them.
    let every = line_ends.len().div_ceil(100).max(1);
    let chosen = line_ends.iter().enumerate().filter(|(index, _)| index % every == 0 || index + 5 > line_ends.len());
    places.extend(chosen.flat_map(|(_, &at)| [at - 1, at, at + 1]).filter(|&at| at > 0 && at < bytes.len()));
    places.sort_unstable();
    places.dedup();
    places
}
