//! `dugong`: HTTP/1.1 on the command line.
//!
//! `flags` parses the arguments into `LowArgs`. `plan` checks them, with `connecting` for the options about connections, and makes
//! `HiArgs`. `get` carries these out: `pipelining` decides if requests may be pipelined, `output` writes content, `verbose` prints
//! events, and `report` prints the summary. `outcome` has the results that they share.

mod auth;
mod bench;
mod connecting;
mod curl;
mod fields;
mod flags;
mod get;
mod head;
mod install;
mod interrupt;
mod names;
mod outcome;
mod output;
mod pipelining;
mod plan;
mod progress;
mod readable;
mod report;
mod stderr;
mod urls;
mod usage;
mod verbose;

use std::process::ExitCode;

use clap::Parser;

use crate::bench::BenchPlan;
use crate::flags::{Command, LowArgs};
use crate::outcome::Exit;
use crate::plan::HiArgs;
use crate::stderr::say;

fn main() -> ExitCode {
    let low = LowArgs::try_parse().unwrap_or_else(|error| match curl::advice(&error) {
        Some(advice) => {
            say(&advice);
            std::process::exit(Exit::Usage as i32)
        }
        // Prints help, the version or an error, and ends the program; after an error with status 2.
        None => error.exit(),
    });
    let exit = match low.command {
        Command::Get(low) => HiArgs::of_get(*low).map(|plan| get::run(&plan)),
        Command::Head(low) => HiArgs::of_head(*low).map(|plan| get::run(&plan)),
        Command::Completions { shell } => Ok(install::completions(shell)),
        Command::Man { directory } => Ok(install::man(&directory)),
        Command::Bench(low) => BenchPlan::of(*low).map(|plan| bench::run(&plan)),
    };
    let exit = exit.unwrap_or_else(|error| {
        say(&error);
        Exit::Usage
    });
    ExitCode::from(exit as u8)
}
