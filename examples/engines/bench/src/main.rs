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

use rows::{Measure, Row};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(|argument| &**argument).collect();
    match arguments[..] {
        ["client", work, client, connections, url] => store::run(work, client, connections.parse()?, url),
        [python] => compare(python, 3, ""),
        [python, rounds] => compare(python, rounds.parse()?, ""),
        [python, rounds, work] => compare(python, rounds.parse()?, work),
        [] => Err("usage: bench-engines PYTHON [ROUNDS] [WORK]".into()),
        _ => Err(format!("this makes no sense: {arguments:?}").into()),
    }
}

/// Measures all rows, and prints a table.
fn compare(python: &str, rounds: usize, work: &str) -> Result<(), Failure> {
    let files = files::make()?;

    println!("| work | server | Dugong | against | what | wanted | measured | |");
    println!("| --- | --- | --- | --- | --- | ---: | ---: | --- |");
    for row in rows::all().into_iter().filter(|row| row.work.contains(work)) {
        let mut ratios = Vec::new();
        let (mut ours, mut theirs) = (0, 0);
        for _ in 0..rounds.max(1) {
            let (a, b) =
                (child::run(&row.ours, python, &row, files.path())?, child::run(&row.theirs, python, &row, files.path())?);
            ratios.push(match row.measure {
                Measure::Rate => b.seconds / a.seconds,
                Measure::Cpu => a.cpu / b.cpu,
            });
            (ours, theirs) = (a.connections, b.connections);
        }
        ratios.sort_by(f64::total_cmp);
        print(&row, ratios[ratios.len() / 2], ours, theirs);
    }
    Ok(())
}

fn print(row: &Row, ratio: f64, ours: u64, theirs: u64) {
    let (what, sign, is_met) = match row.measure {
        Measure::Rate => ("times the rate", "≥", ratio >= row.wanted),
        Measure::Cpu => ("of the CPU time", "≤", ratio <= row.wanted),
    };
    let delay = if row.delay.is_zero() { "at once".to_owned() } else { format!("after {} ms", row.delay.as_millis()) };
    println!(
        "| {} | {delay} | {ours} connections | {}, {theirs} connections | {what} | {sign} {} | {ratio:.2} | {} |",
        row.work,
        row.against,
        row.wanted,
        if is_met { "" } else { "missed" },
    );
}
