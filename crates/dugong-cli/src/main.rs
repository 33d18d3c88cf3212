//! `dugong`: HTTP/1.1 on the command line.
//!
//! `flags` parses the arguments into `LowArgs`. `plan` checks them, with `connecting` for the options about connections, and makes
//! `HiArgs`. `fetch` carries these out: `list` reads URLs, `asking` sends requests, `lanes` has a
//! session for each origin, `downloading` fetches content in parts, `sink` and `output` write content,
//! `verbose` prints events, and `report` prints the summary. `outcome` has the results that they share.

mod asking;
mod auth;
mod bench;
mod checksum;
mod connecting;
mod curl;
mod data;
mod downloading;
mod fetch;
mod fields;
mod flags;
mod head;
mod index;
mod install;
mod interrupt;
mod lanes;
mod list;
mod names;
mod needs;
mod outcome;
mod output;
mod partial;
mod parts;
mod pipe;
mod plan;
mod progress;
mod readable;
mod ready;
mod receiving;
mod report;
mod sending;
mod sink;
mod stderr;
mod upload;
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
    let arguments = || std::env::args_os().map(|text| text.to_string_lossy().into_owned());
    let low =
        LowArgs::try_parse().unwrap_or_else(|error| match curl::advice(&error).or_else(|| needs::advice(&error, arguments())) {
            Some(advice) => {
                say(&advice);
                std::process::exit(Exit::Usage as i32)
            }
            // Prints help, the version or an error, and ends the program; after an error with status 2.
            None => error.exit(),
        });
    let exit = match low.command {
        Command::Get(low) => HiArgs::of_get(*low).and_then(|plan| fetch::run(&plan)),
        Command::Head(low) => HiArgs::of_head(*low).and_then(|plan| fetch::run(&plan)),
        Command::Request(low) => HiArgs::of_request(*low).and_then(|plan| fetch::run(&plan)),
        Command::Put(low) => upload::run(*low),
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
