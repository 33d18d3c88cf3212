//! Compares Dugong's connectors with the clients that their hosts bring along: `bench-engines PYTHON [ROUNDS] [WORK]`.
//!
//! `PYTHON` has the packages of `requirements.txt`. Only rows whose work contains `WORK` are measured. Each run of a row is a process
//! of its own, with a server of its own in this one; `bench-engines client …` is such a process.

mod child;
mod files;
mod rows;
mod scan;
mod store;

use std::error::Error;

use child::Run;
use rows::{Measure, Row};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(|argument| &**argument).collect();
    match arguments[..] {
        ["client", work, client, connections, url] => store::run(work, client, connections.parse()?, url),
        [python] => compare(python, 5, ""),
        [python, rounds] => compare(python, rounds.parse()?, ""),
        [python, rounds, work] => compare(python, rounds.parse()?, work),
        [] => Err("usage: bench-engines PYTHON [ROUNDS] [WORK]".into()),
        _ => Err(format!("this makes no sense: {arguments:?}").into()),
    }
}

/// Measures all rows, and prints a table.
fn compare(python: &str, rounds: usize, work: &str) -> Result<(), Failure> {
    let files = files::make()?;

    println!("| work | server answers | connections of Dugong | against, with connections | Dugong has | wanted | measured | |");
    println!("| --- | --- | --- | --- | --- | ---: | ---: | --- |");
    for row in rows::all().into_iter().filter(|row| row.work.contains(work)) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds.max(1) {
            ours.push(child::run(&row.ours, python, &row, files.path())?);
            theirs.push(child::run(&row.theirs, python, &row, files.path())?);
        }
        print(&row, &ours, &theirs);
    }
    Ok(())
}

/// Prints a row. Other programs on this machine make a run slower, never faster, so the best run of each client counts.
fn print(row: &Row, ours: &[Run], theirs: &[Run]) {
    let best = |runs: &[Run], cost: fn(&Run) -> f64| runs.iter().map(cost).fold(f64::INFINITY, f64::min);
    let most = |runs: &[Run]| runs.iter().map(|run| run.connections).max().unwrap_or_default();
    let (what, sign, ratio, is_met) = match row.measure {
        Measure::Rate => {
            let ratio = best(theirs, |run| run.seconds) / best(ours, |run| run.seconds);
            // Two clients of the same speed differ by some percent in each run.
            ("times the rate", "≥", ratio, ratio >= if row.wanted == 1.0 { 0.95 } else { row.wanted })
        }
        Measure::Cpu => {
            let ratio = best(ours, |run| run.cpu) / best(theirs, |run| run.cpu);
            ("of the CPU time", "≤", ratio, ratio <= row.wanted)
        }
    };
    let delay = if row.delay.is_zero() { "at once".to_owned() } else { format!("after {} ms", row.delay.as_millis()) };
    let (work, against, wanted) = (row.work, row.against, row.wanted);
    let verdict = if is_met { "" } else { "missed" };
    println!(
        "| {work} | {delay} | {} | {against}, {} | {what} | {sign} {wanted} | {ratio:.2} | {verdict} |",
        most(ours),
        most(theirs)
    );
}
