//! The goals for the session and the Python package, beside the measurements.

use crate::load::{Client, Work};
use crate::python::{self, DUGONG, DUGONG_AHEAD, DUGONG_READINTO, Module, OLD_DUGONG, PYCURL};
use crate::row::Row;
use crate::table::{Series, Table};

/// Prints tables in Markdown.
pub(crate) fn print(table: &Table) {
    let find = |row, work| table.find(row, work);
    let session = |work| find(Row::Rust(Client::Session), work);
    let costs = |row| find(row, Work::G);
    println!("\n| wanted of the session | at most | measured | |\n|---|---:|---:|---|");
    line("b: Ir/request", 4800.0, session(Work::B).and_then(|series| series.instructions));
    line("f: time x raw", 1.2, session(Work::F).and_then(Series::ratio));
    let of_python = find(Row::Python(python::SESSION), Work::F);
    line("f in Python: time x raw", 1.5, of_python.and_then(Series::ratio));
    for peer in [python::AIOHTTP, python::HTTPX] {
        line(&format!("g: time x {}", peer.name), 0.05, ratio(costs(Row::Python(peer)), session(Work::G)));
    }
    println!("\n| wanted of the Python package | at most | measured | |\n|---|---:|---:|---|");
    let of = |script, work| table.find(Row::Python(script), work);
    let instructions = |script, work| of(script, work)?.instructions;
    let times_raw = |script, work| of(script, work)?.ratio();
    line("a: Ir/request", 40_000.0, instructions(DUGONG, Work::A));
    line("a: CPU x pycurl", 1.0, ratio(of(DUGONG, Work::A), of(PYCURL, Work::A)));
    line("b with coroutines: Ir/request", 40_000.0, instructions(DUGONG, Work::B));
    line("b with `send_request` ahead: Ir/request", 30_000.0, instructions(DUGONG_AHEAD, Work::B));
    line("c by `read(64 KiB)`: CPU x raw", 1.3, times_raw(DUGONG, Work::C));
    line("c by `readinto`: CPU x raw", 1.3, times_raw(DUGONG_READINTO, Work::C));
    // Both read the same bytes from the kernel, which alone may take more time than the goal.
    let raw =
        of(OLD_DUGONG, Work::D).and_then(Series::ratio).map_or(String::new(), |ratio| format!(" (raw: {:.2})", 1.0 / ratio));
    line(&format!("d: CPU x dugong 3.8.2{raw}"), 0.15, ratio(of(DUGONG, Work::D), of(OLD_DUGONG, Work::D)));
    line("import, ms", 15.0, table.import(Module::Dugong));
}

fn line(what: &str, limit: f64, measured: Option<f64>) {
    let digits = if limit < 10.0 { 2 } else { 0 };
    let (number, verdict) = match measured {
        Some(number) => (format!("{number:.digits$}"), if number <= limit { "met" } else { "missed" }),
        None => (String::new(), "not measured"),
    };
    println!("| {what} | {limit} | {number} | {verdict} |");
}

/// The median of the ratios of two clients' costs in the same rounds.
fn ratio(one: Option<&Series>, other: Option<&Series>) -> Option<f64> {
    let ratios: Vec<f64> = one?.values.iter().zip(&other?.values).map(|(one, other)| one / other).collect();
    crate::table::median(&ratios)
}
