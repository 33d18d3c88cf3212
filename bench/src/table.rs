//! Runs every client on every workload several times, each time in a process of its own, and prints a table.

use std::io;

use clap::Args;

use crate::child::{Bench, Cores, Origin};
use crate::load::{Client, Load, Work};
use crate::python::{self, Installed, Interpreters, Module, Script};
use crate::row::Row;
use crate::wanted;

/// The extent of the measurement.
#[derive(Args)]
pub(crate) struct Flags {
    /// Less of everything, in under a minute
    #[arg(long)]
    quick: bool,
    /// Also count instructions, with valgrind
    #[arg(long)]
    instructions: bool,
    #[command(flatten)]
    interpreters: python::Paths,
}

/// All measurements.
pub(crate) struct Table {
    installed: Vec<Installed>,
    all: Vec<Series>,
}

/// The measurements of one client and one workload, one for each round.
pub(crate) struct Series {
    row: Row,
    work: Work,
    /// CPU time or rate, divided by that of `raw` in the same round.
    ratios: Vec<f64>,
    /// The values, in the unit that `unit` names.
    pub(crate) values: Vec<f64>,
    pub(crate) instructions: Option<f64>,
}

/// Measures, and prints the table.
pub(crate) fn print(flags: &Flags) -> io::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("This is a build without optimization, so the table means nothing; build with --release.");
    }
    let interpreters = Interpreters::find(&flags.interpreters)?;
    let cores = Cores::available()?;
    let origin = Origin::start(&cores)?;
    cores.use_second()?;
    let mut table = Table::new(interpreters.installed());
    let bench = Bench::new(interpreters, origin.address())?;
    let rounds = if flags.quick { 3 } else { 15 };
    for round in 1..=rounds {
        eprint!("\rround {round} of {rounds}");
        table.measure(round, &bench, flags.quick)?;
    }
    eprintln!();
    if flags.instructions {
        table.count_instructions(&bench)?;
    }
    table.lines(flags.instructions).iter().for_each(|line| println!("{line}"));
    println!("\nMedians of {rounds} rounds, for Python of {}. {}", rounds / PYTHON_EVERY, cores.describe());
    if !table.installed.is_empty() {
        println!("Versions: {}.", python::describe(&table.installed));
        wanted::print(&table);
    }
    Ok(())
}

/// Clients in Python run in one of so many rounds: they take longer and vary less.
const PYTHON_EVERY: usize = 3;

impl Table {
    /// Orders the series as they run: all clients of a workload together, because they are compared with each other.
    fn new(installed: Vec<Installed>) -> Self {
        let mut all = Vec::new();
        for work in Work::ALL {
            for row in rows(&installed).filter(|row| row.does(work)) {
                all.push(Series { row, work, ratios: Vec::new(), values: Vec::new(), instructions: None });
            }
        }
        Table { installed, all }
    }

    pub(crate) fn find(&self, row: Row, work: Work) -> Option<&Series> {
        self.all.iter().find(|series| series.row == row && series.work == work)
    }

    /// The milliseconds that it takes to import a module.
    pub(crate) fn import(&self, module: Module) -> Option<f64> {
        self.installed.iter().find(|installed| installed.module == module).map(|installed| installed.import)
    }

    fn measure(&mut self, round: usize, bench: &Bench, is_quick: bool) -> io::Result<()> {
        let mut raw = 0.0;
        for series in &mut self.all {
            if matches!(series.row, Row::Python(_)) && !round.is_multiple_of(PYTHON_EVERY) {
                continue;
            }
            let amount = series.row.default_amount(series.work);
            let amount = if is_quick && series.work != Work::F { amount / 4 } else { amount };
            let load = Load { work: series.work, amount };
            let measured = bench.run(series.row, load)?;
            let cost = match series.work {
                Work::A | Work::C | Work::D | Work::E => measured.cpu / amount as f64,
                Work::B | Work::G => measured.wall / amount as f64,
                Work::F => measured.wall,
            };
            if series.row == Row::Rust(Client::Raw) {
                raw = cost;
            }
            let is_rate = matches!(series.work, Work::B | Work::G);
            series.values.push(if is_rate { 1.0 / cost } else { cost });
            series.ratios.push(if is_rate { raw / cost } else { cost / raw });
        }
        Ok(())
    }

    /// Counts instructions per request or MiB: the difference for more work, so that starting and connecting do not count.
    fn count_instructions(&mut self, bench: &Bench) -> io::Result<()> {
        for series in self.all.iter_mut().filter(|series| counts_instructions(series.work)) {
            eprint!("\rinstructions of {} in {}{:20}", series.row.name(), series.work.name(), "");
            let amounts = series.row.amounts_to_count(series.work);
            let mut counts = [0.0; 2];
            for (count, amount) in counts.iter_mut().zip(amounts) {
                match bench.count_instructions(series.row, Load { work: series.work, amount }) {
                    Ok(counted) => *count = counted,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        eprintln!("\rno instructions are counted: {error}");
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
            series.instructions = Some((counts[1] - counts[0]) / (amounts[1] - amounts[0]) as f64);
        }
        eprintln!();
        Ok(())
    }

    fn lines(&self, with_instructions: bool) -> Vec<String> {
        let rows = rows(&self.installed).map(|row| self.line(row, with_instructions));
        header(with_instructions).into_iter().chain(rows).collect()
    }

    fn line(&self, row: Row, with_instructions: bool) -> String {
        let mut cells = vec![row.name().to_owned()];
        for work in Work::ALL {
            let series = self.find(row, work);
            cells.push(series.map(cell).unwrap_or_default());
            if with_instructions && counts_instructions(work) {
                let count = series.and_then(|series| series.instructions);
                cells.push(count.map(|count| format!("{count:.0}")).unwrap_or_default());
            }
        }
        let import = match row {
            Row::Python(script) if script.is_main() => self.import(script.module),
            _ => None,
        };
        cells.push(import.map(|import| format!("{import:.1}")).unwrap_or_default());
        format!("| {} |", cells.join(" | "))
    }
}

/// The rows from top to bottom.
fn rows(installed: &[Installed]) -> impl Iterator<Item = Row> {
    let is_installed = |script: &Script| installed.iter().any(|installed| installed.module == script.module);
    let has_peers = cfg!(feature = "peers");
    let clients = Client::ALL.into_iter().filter(move |client| has_peers || !matches!(client, Client::Hyper | Client::Reqwest));
    clients.map(Row::Rust).chain(Script::ALL.into_iter().filter(is_installed).map(Row::Python))
}

impl Series {
    /// The median of the ratios to `raw`.
    pub(crate) fn ratio(&self) -> Option<f64> {
        median(&self.ratios)
    }
}

fn counts_instructions(work: Work) -> bool {
    matches!(work, Work::A | Work::B | Work::D)
}

fn header(with_instructions: bool) -> [String; 2] {
    let mut names = vec!["client"];
    for work in Work::ALL {
        names.push(match work {
            Work::A => "a: sequential GET, CPU x raw",
            Work::B => "b: 64 in flight, rate x raw",
            Work::C => "c: download, CPU x raw",
            Work::D => "d: 8 KiB chunks, CPU x raw",
            Work::E => "e: upload, CPU x raw",
            Work::F => "f: 1000 requests, 10 ms each, s",
            Work::G => "g: ranges 5 ms away, 4 connections, 1/s",
        });
        if with_instructions && counts_instructions(work) {
            names.push(if work.is_of_content() { "Ir/MiB" } else { "Ir/request" });
        }
    }
    names.push("import, ms");
    [format!("| {} |", names.join(" | ")), format!("|---|{}", "---:|".repeat(names.len() - 1))]
}

fn cell(series: &Series) -> String {
    let Some((value, ratio)) = median(&series.values).zip(series.ratio()) else { return String::new() };
    match (series.work, series.row) {
        (Work::F, _) => format!("{value:.4}"),
        (Work::G, _) => format!("{value:.0}"),
        (_, Row::Rust(Client::Raw)) => format!("1 ({})", unit(series.work, value)),
        _ if ratio < 0.1 => format!("{ratio:.4}"),
        _ => format!("{ratio:.2}"),
    }
}

/// The value of `raw` that the ratios refer to.
fn unit(work: Work, value: f64) -> String {
    match work {
        Work::A => format!("{:.1} us", value * 1e6),
        Work::B => format!("{:.2} M/s", value / 1e6),
        Work::C | Work::D | Work::E => format!("{:.0} us/MiB", value * 1e6),
        Work::F => format!("{value:.4} s"),
        Work::G => format!("{value:.0} /s"),
    }
}

/// The median; `None` of no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    Some((below + above) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn rows_have_as_many_cells_as_the_header() {
        let mut table = Table::new(Installed::for_tests());
        for series in &mut table.all {
            series.ratios.push(1.0);
            series.values.push(1.0);
        }
        for with_instructions in [false, true] {
            let lines = table.lines(with_instructions);
            assert_eq!(lines.len(), 2 + Client::ALL.len() + Script::ALL.len());
            for line in lines {
                assert_eq!(line.matches('|').count(), if with_instructions { 13 } else { 10 }, "{line}");
            }
        }
    }
}
