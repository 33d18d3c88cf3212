//! Counts that repeat: instructions, system calls and bytes. They compare two versions of the code; the table compares clients.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;

use crate::baseline::Baseline;
use crate::child::{Bench, Cores, Origin};
use crate::load::{Client, Load, Work};
use crate::python::{self, Interpreters};
use crate::row::Row;

/// Which counts to make, and what to do with them.
#[derive(Args)]
pub(crate) struct Flags {
    /// Make the counts of the baseline only, and write them to FILE
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    write: Option<PathBuf>,
    /// Make the counts of the baseline only, and fail if one exceeds that in FILE by more than 5 %
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Take the least instruction count of N runs; --check begins with one
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    #[command(flatten)]
    interpreters: python::Paths,
}

/// A count: a line of the table.
pub(crate) struct Count {
    pub(crate) name: &'static str,
    kind: Kind,
    /// The largest count that is wanted, or the smallest if more is better; printed only.
    wanted: Option<f64>,
    in_baseline: bool,
}

/// The kind of a count, and the amounts of work that it compares. Two amounts yield the count for one request or MB: the difference in cost
/// divided by the difference in work. So starting and connecting do not count.
#[derive(Clone, Copy)]
enum Kind {
    /// Instructions in user space.
    Instructions(Row, Work, [u64; 2]),
    /// The instructions that the first row takes beyond those of the second.
    Waits([Row; 2], [u64; 2]),
    SystemCalls(Row, Work, [u64; 2]),
    /// Requests for each system call that writes.
    RequestsPerWrite(Row, [u64; 2]),
    /// Writes that the kernel refused with `EAGAIN`, in all: the most of several runs, because it depends on who is faster.
    RefusedWrites(Row, u64),
    /// Bytes of heap that an idle connection holds.
    IdleBytes([u64; 2]),
}

const fn count(name: &'static str, wanted: f64, kind: Kind) -> Count {
    Count { name, kind, wanted: Some(wanted), in_baseline: false }
}

impl Count {
    const fn in_baseline(self) -> Self {
        Count { in_baseline: true, ..self }
    }

    const fn without_limit(self) -> Self {
        Count { wanted: None, ..self }
    }
}

const A: [u64; 2] = [500, 2500];
const B: [u64; 2] = [2000, 10_000];
const D: [u64; 2] = [8, 24];
const PYTHON: [u64; 2] = [500, 2500];

const COUNTS: [Count; 24] = {
    use Kind::{IdleBytes, Instructions, RefusedWrites, RequestsPerWrite, SystemCalls, Waits};
    use Row::{Python, Rust};
    use Work::{A as OneByOne, B as InFlight, D as Chunks};
    [
        count("Rust a: instructions/request", 4000.0, Instructions(Rust(Client::Dugong), OneByOne, A)).in_baseline(),
        count("Rust b: instructions/request", 3300.0, Instructions(Rust(Client::Dugong), InFlight, B)).in_baseline(),
        count("tokio a: instructions/request", 5300.0, Instructions(Rust(Client::DugongTokio), OneByOne, A)).in_baseline(),
        count("tokio b: instructions/request", 0.0, Instructions(Rust(Client::DugongTokio), InFlight, B))
            .without_limit()
            .in_baseline(),
        count("session a: instructions/request", 0.0, Instructions(Rust(Client::Session), OneByOne, A))
            .without_limit()
            .in_baseline(),
        // 1,500 more than the pipelined connection.
        count("session b: instructions/request", 4800.0, Instructions(Rust(Client::Session), InFlight, B)).in_baseline(),
        count("hyper a: instructions/request", 0.0, Instructions(Rust(Client::Hyper), OneByOne, A)).without_limit(),
        count("httparse a: instructions/request", 0.0, Instructions(Rust(Client::Httparse), OneByOne, A)).without_limit(),
        count("Python a: instructions/request", 17_000.0, Instructions(Python(python::DUGONG), OneByOne, PYTHON)).in_baseline(),
        count("Python b, pipeline: instructions/request", 12_000.0, Instructions(Python(python::PIPELINE), InFlight, PYTHON))
            .in_baseline(),
        count(
            "Python b, co_pipeline under asyncio: instructions/request",
            15_000.0,
            Instructions(Python(python::ASYNCIO_PIPELINE), InFlight, PYTHON),
        ),
        count(
            "Python b, co_pipeline under trio: instructions/request",
            0.0,
            Instructions(Python(python::TRIO_PIPELINE), InFlight, PYTHON),
        )
        .without_limit(),
        count(
            "Python, one wait under asyncio: instructions",
            40_000.0,
            Waits([Python(python::ASYNCIO_WAITS), Python(python::POLL_WAITS)], [100, 500]),
        ),
        // 6,000 more than the pipelined connection.
        count("Python session b: instructions/request", 18_000.0, Instructions(Python(python::SESSION), InFlight, PYTHON)),
        count("pycurl a: instructions/request", 0.0, Instructions(Python(python::PYCURL), OneByOne, PYTHON)).without_limit(),
        count("Rust d, fill_buf: instructions/MB", 30_000.0, Instructions(Rust(Client::Dugong), Chunks, D)).in_baseline(),
        count("Rust d, read: instructions/MB", 90_000.0, Instructions(Rust(Client::DugongRead), Chunks, D)).in_baseline(),
        count("tokio d: instructions/MB", 0.0, Instructions(Rust(Client::DugongTokio), Chunks, D)).without_limit(),
        count("httparse d: instructions/MB", 0.0, Instructions(Rust(Client::Httparse), Chunks, D)).without_limit(),
        count("Python d: instructions/MB", 0.0, Instructions(Python(python::DUGONG), Chunks, D)).without_limit().in_baseline(),
        count(
            "Rust, pipeline without bounds: writes refused by EAGAIN, 100,000 requests",
            500.0,
            RefusedWrites(Rust(Client::DugongUnbounded), 100_000),
        ),
        count("Rust, split halves, b: requests/write", 8.0, RequestsPerWrite(Rust(Client::DugongSplit), B)),
        count("Rust a: system calls/request", 3.0, SystemCalls(Rust(Client::Dugong), OneByOne, A)),
        count("Rust, idle blocking connection: bytes", 2048.0, IdleBytes([20, 120])),
    ]
};

/// Makes the counts, and prints, writes or checks them.
pub(crate) fn run(flags: &Flags) -> io::Result<()> {
    if cfg!(debug_assertions) {
        return Err(io::Error::other("counts of a build without optimization mean nothing; build with --release"));
    }
    let interpreters = Interpreters::find(&flags.interpreters)?;
    let here = Baseline::versions_here(&interpreters)?;
    let cores = Cores::available()?;
    let (origin, delayed) = (Origin::start(&cores)?, Origin::start_delayed(&cores)?);
    cores.use_second()?;
    let bench = Bench::new(interpreters, origin.address())?.one_by_one_at(delayed.address());
    if let Some(path) = &flags.check {
        return check(&bench, &Baseline::read(path)?, &here, flags.runs);
    }
    if let Some(path) = &flags.write {
        let mut baseline = here;
        for count in COUNTS.iter().filter(|count| count.in_baseline) {
            baseline.insert(count.name, count.make(&bench, flags.runs)?);
        }
        return baseline.write(path);
    }
    println!("| count | wanted | measured |\n|---|---:|---:|");
    for count in &COUNTS {
        let wanted = count.wanted.map(shown).unwrap_or_default();
        match count.make(&bench, flags.runs) {
            Ok(measured) => println!("| {} | {wanted} | {} |", count.name, shown(measured)),
            Err(error) => {
                eprintln!("{}: {error}", count.name);
                println!("| {} | {wanted} | not measured |", count.name);
            }
        }
    }
    println!("\n{here}");
    Ok(())
}

/// Compares with `baseline`, which fails only if the same compiler, interpreter and valgrind made it.
fn check(bench: &Bench, baseline: &Baseline, here: &Baseline, runs: u32) -> io::Result<()> {
    let is_comparable = baseline.has_versions_of(here);
    if !is_comparable {
        println!("The baseline is of {baseline} Here are {here} So the counts below decide nothing.\n");
    }
    println!("| count | baseline | measured |\n|---|---:|---:|");
    let mut grown = Vec::new();
    for count in COUNTS.iter().filter(|count| count.in_baseline) {
        let old = baseline.get(count.name)?;
        let mut new = count.make(bench, 1)?;
        let limit = old * count.may_grow();
        if is_comparable && new > limit {
            new = count.make(bench, runs)?;
        }
        println!("| {} | {} | {} |", count.name, shown(old), shown(new));
        if new > limit {
            grown.push(format!("{} from {} to {}", count.name, shown(old), shown(new)));
        }
    }
    if is_comparable && !grown.is_empty() {
        let grown = grown.join("; ");
        return Err(io::Error::other(format!(
            "more instructions than bench/baseline.json allows: {grown}. If that is wanted, run make baseline"
        )));
    }
    Ok(())
}

fn shown(count: f64) -> String {
    if count < 100.0 { format!("{count:.1}") } else { format!("{count:.0}") }
}

impl Count {
    /// How many times its baseline it may be. Downloads in chunks vary by a tenth from run to run, because the number of bytes that a
    /// read gives depends on the other side.
    fn may_grow(&self) -> f64 {
        if matches!(self.kind, Kind::Instructions(_, Work::D, _)) { 1.15 } else { 1.05 }
    }

    fn make(&self, bench: &Bench, runs: u32) -> io::Result<f64> {
        if !io::stderr().is_terminal() {
            return self.kind.count(bench, runs);
        }
        eprint!("\r{:100}\r", self.name);
        let made = self.kind.count(bench, runs);
        eprint!("\r{:100}\r", "");
        made
    }
}

impl Kind {
    fn count(self, bench: &Bench, runs: u32) -> io::Result<f64> {
        match self {
            Kind::Instructions(row, work, amounts) => {
                // On a busy machine a client finds fewer bytes at a time, which costs instructions: the least count is the best.
                let least = |amount| {
                    let count = |_| bench.count_instructions(row, Load { work, amount });
                    (0..runs).map(count).try_fold(f64::INFINITY, |least, count| Ok::<_, io::Error>(least.min(count?)))
                };
                let each = per_unit(amounts, least)?;
                // The amount of content is in MiB.
                Ok(if work.is_of_content() { each * 1e6 / f64::from(1 << 20) } else { each })
            }
            Kind::Waits([row, other], amounts) => {
                let count = |row| Kind::Instructions(row, Work::A, amounts).count(bench, runs);
                Ok(count(row)? - count(other)?)
            }
            Kind::SystemCalls(row, work, amounts) => {
                per_unit(amounts, |amount| Ok(bench.count_calls(row, Load { work, amount }, "all")?.calls))
            }
            Kind::RequestsPerWrite(row, amounts) => {
                let writes = |amount| Ok(bench.count_calls(row, Load { work: Work::B, amount }, WRITES)?.calls);
                Ok(1.0 / per_unit(amounts, writes)?)
            }
            Kind::RefusedWrites(row, amount) => {
                let load = Load { work: Work::B, amount };
                (0..7).try_fold(0.0, |most: f64, _| Ok(most.max(bench.count_calls(row, load, WRITES)?.errors)))
            }
            Kind::IdleBytes(amounts) => per_unit(amounts, |amount| bench.count_idle_bytes(amount)),
        }
    }
}

/// The system calls that write, for strace.
const WRITES: &str = "write,writev,sendto,sendmsg,sendmmsg";

fn per_unit([few, many]: [u64; 2], count: impl Fn(u64) -> io::Result<f64>) -> io::Result<f64> {
    Ok((count(many)? - count(few)?) / (many - few) as f64)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_baseline_has_the_counts_that_are_checked() {
        let baseline = Baseline::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json")).unwrap();
        let checked: Vec<_> = COUNTS.iter().filter(|count| count.in_baseline).collect();
        for count in &checked {
            assert!(baseline.get(count.name).unwrap() > 0.0, "{}", count.name);
        }
        assert_eq!(baseline.len(), checked.len());
    }

    #[test]
    fn a_count_is_the_cost_of_more_work_divided_by_the_work() {
        assert_eq!(per_unit([100, 300], |amount| Ok(1000.0 + 7.0 * amount as f64)).unwrap(), 7.0);
    }
}
