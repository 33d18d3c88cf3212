//! The table: every client on every workload, several times in turn, each in a process of its own.

use std::io;
use std::net::SocketAddr;

use clap::Args;

use crate::child::{Bench, Cores, Origin};
use crate::load::{Client, Load, Work};

/// How much is measured.
#[derive(Args)]
pub(crate) struct Flags {
    /// Less of everything, in under half a minute
    #[arg(long)]
    quick: bool,
    /// Also count instructions, with valgrind
    #[arg(long)]
    instructions: bool,
}

/// What was measured of one client and one workload, round by round.
struct Series {
    client: Client,
    work: Work,
    /// CPU time or rate, as a ratio to that of `raw` in the same round.
    ratios: Vec<f64>,
    /// In the unit that `unit` names.
    values: Vec<f64>,
    instructions: Option<f64>,
}

/// Measures, and prints the table.
pub(crate) fn print(flags: &Flags) -> io::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("This is a build without optimization; what it measures means nothing.");
    }
    let bench = Bench::find()?;
    let cores = Cores::available()?;
    let origin = Origin::start(&cores)?;
    cores.use_second()?;
    let rounds = if flags.quick { 3 } else { 15 };
    let mut all = rows();
    for round in 1..=rounds {
        eprint!("\rround {round} of {rounds}");
        measure(&mut all, &bench, origin.address(), flags.quick)?;
    }
    eprintln!();
    if flags.instructions {
        count_instructions(&mut all, &bench, origin.address())?;
    }
    println!("{}", header(flags.instructions));
    for client in Client::ALL {
        println!("{}", row(client, &all, flags.instructions));
    }
    println!("\nMedians of {rounds} rounds. {}", cores.describe());
    Ok(())
}

/// In the order in which they run: for each workload all clients, since they are compared with each other.
fn rows() -> Vec<Series> {
    let pairs = Work::ALL.into_iter().flat_map(|work| Client::ALL.into_iter().map(move |client| (client, work)));
    let new = |(client, work)| Series { client, work, ratios: Vec::new(), values: Vec::new(), instructions: None };
    pairs.filter(|(client, work)| client.does(*work)).map(new).collect()
}

fn measure(all: &mut [Series], bench: &Bench, address: SocketAddr, is_quick: bool) -> io::Result<()> {
    let mut raw = 0.0;
    for series in all {
        let amount = series.work.default_amount();
        let amount = if is_quick && series.work != Work::F { amount / 4 } else { amount };
        let load = Load { work: series.work, amount };
        let measured = bench.run(series.client, load, address)?;
        let (value, cost) = match series.work {
            Work::A => (measured.cpu / amount as f64, measured.cpu),
            Work::B => (amount as f64 / measured.wall, 1.0 / measured.wall),
            Work::C | Work::D | Work::E => (measured.cpu / amount as f64, measured.cpu),
            Work::F => (measured.wall, measured.wall),
        };
        if series.client == Client::Raw {
            raw = cost;
        }
        series.values.push(value);
        series.ratios.push(cost / raw);
    }
    Ok(())
}

/// Instructions per request, or per MiB: what more work costs more, so that starting and connecting do not count.
fn count_instructions(all: &mut [Series], bench: &Bench, address: SocketAddr) -> io::Result<()> {
    for series in all.iter_mut().filter(|series| counts_instructions(series.work)) {
        eprint!("\rinstructions of {} in {}    ", series.client.name(), series.work.name());
        let amounts = match series.work {
            Work::A => [500, 1500],
            Work::B => [2000, 6000],
            Work::C | Work::D | Work::E | Work::F => [8, 24],
        };
        let mut counts = [0.0; 2];
        for (count, amount) in counts.iter_mut().zip(amounts) {
            match bench.count_instructions(series.client, Load { work: series.work, amount }, address)? {
                Some(counted) => *count = counted,
                None => {
                    eprintln!("\rvalgrind is not installed, so no instructions are counted");
                    return Ok(());
                }
            }
        }
        series.instructions = Some((counts[1] - counts[0]) / (amounts[1] - amounts[0]) as f64);
    }
    eprintln!();
    Ok(())
}

fn counts_instructions(work: Work) -> bool {
    matches!(work, Work::A | Work::B | Work::D)
}

fn header(with_instructions: bool) -> String {
    let mut names = vec!["client"];
    for work in Work::ALL {
        names.push(match work {
            Work::A => "a: sequential GET, CPU x raw",
            Work::B => "b: 64 in flight, rate x raw",
            Work::C => "c: download, CPU x raw",
            Work::D => "d: 8 KiB chunks, CPU x raw",
            Work::E => "e: upload, CPU x raw",
            Work::F => "f: 1000 requests, 10 ms each, s",
        });
        if with_instructions && counts_instructions(work) {
            names.push(if work.is_of_content() { "Ir/MiB" } else { "Ir/request" });
        }
    }
    let rule = format!("|---|{}", "---:|".repeat(names.len() - 1));
    format!("| {} |\n{rule}", names.join(" | "))
}

fn row(client: Client, all: &[Series], with_instructions: bool) -> String {
    let mut cells = vec![client.name().to_owned()];
    for work in Work::ALL {
        let series = all.iter().find(|series| series.client == client && series.work == work);
        cells.push(series.map(cell).unwrap_or_default());
        if with_instructions && counts_instructions(work) {
            let count = series.and_then(|series| series.instructions);
            cells.push(count.map(|count| format!("{count:.0}")).unwrap_or_default());
        }
    }
    format!("| {} |", cells.join(" | "))
}

fn cell(series: &Series) -> String {
    let (value, ratio) = (median(&series.values), median(&series.ratios));
    match (series.work, series.client) {
        (Work::F, _) => format!("{value:.4}"),
        (_, Client::Raw) => format!("1 ({})", unit(series.work, value)),
        _ => format!("{ratio:.2}"),
    }
}

/// What the ratios of a workload are ratios to.
fn unit(work: Work, value: f64) -> String {
    match work {
        Work::A => format!("{:.1} us", value * 1e6),
        Work::B => format!("{:.2} M/s", value / 1e6),
        Work::C | Work::D | Work::E => format!("{:.0} us/MiB", value * 1e6),
        Work::F => format!("{value:.4} s"),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    (below + above) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn rows_have_as_many_cells_as_the_header() {
        for with_instructions in [false, true] {
            let mut all = rows();
            for series in &mut all {
                series.ratios.push(1.0);
                series.values.push(1.0);
            }
            let columns = |line: &str| line.matches('|').count();
            let header = header(with_instructions);
            for line in header.lines().map(str::to_owned).chain(Client::ALL.map(|client| row(client, &all, with_instructions))) {
                assert_eq!(columns(&line), if with_instructions { 11 } else { 8 }, "{line}");
            }
        }
    }
}
