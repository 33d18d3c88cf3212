//! `dugong-bench` measures Dugong beside minimal clients and other libraries. `README.md` says how to read the tables.

mod baseline;
mod child;
mod client;
mod counts;
mod dugong;
mod httparse;
mod idle;
mod load;
mod measure;
#[cfg(feature = "peers")]
mod peers;
mod python;
mod raw;
mod row;
mod session;
mod soak;
mod split;
mod table;
mod tasks;
mod wanted;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::load::{Client, Load, Work};

/// Benchmarks of the Dugong HTTP client
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one client on one workload, and prints one line of JSON
    Load(LoadFlags),
    /// Runs every client on every workload against an origin of its own, and prints a table in Markdown
    Table(table::Flags),
    /// Counts instructions, system calls and bytes of memory, and prints a table in Markdown
    Counts(counts::Flags),
    /// Lets a session work for a long time, and fails if its memory grows
    Soak(soak::Flags),
    /// Makes connections, and ends without closing them; valgrind counts their memory
    Idle(IdleFlags),
}

#[derive(Args)]
struct LoadFlags {
    /// The client
    #[arg(long)]
    client: Client,
    /// The workload
    #[arg(long)]
    work: Work,
    /// The address of `dugong-origin`
    #[arg(long, value_name = "HOST:PORT")]
    address: SocketAddr,
    /// Requests of the workloads a, b, f and g
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// MiB of content of the workloads c, d and e
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    megabytes: Option<u64>,
}

#[derive(Args)]
struct IdleFlags {
    /// The number of connections
    #[arg(long, value_name = "N")]
    connections: usize,
    /// The address of `dugong-origin`
    #[arg(long, value_name = "HOST:PORT")]
    address: SocketAddr,
}

fn main() -> ExitCode {
    let done = match Flags::parse().command {
        Command::Load(flags) => load(&flags),
        Command::Table(flags) => table::print(&flags),
        Command::Counts(flags) => counts::run(&flags),
        Command::Soak(flags) => soak::run(&flags),
        Command::Idle(flags) => idle::hold(flags.connections, flags.address),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dugong-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load(flags: &LoadFlags) -> io::Result<()> {
    let work = flags.work;
    if work == Work::G && !flags.client.does(work) {
        let (client, work) = (flags.client.name(), work.name());
        return Err(io::Error::other(format!("{client} cannot do {work}")));
    }
    let amount = if work.is_of_content() { flags.megabytes } else { flags.requests };
    let load = Load { work, amount: amount.unwrap_or(work.default_amount()) };
    let report = client::run(flags.client, load, flags.address)?;
    println!("{}", report.to_json());
    Ok(())
}
