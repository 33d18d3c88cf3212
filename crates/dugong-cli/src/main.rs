//! `dugong`: HTTP/1.1 on the command line.
//!
//! The way of a command: `flags` reads text into `LowArgs`, `plan` checks it and makes `HiArgs` of it before anything is sent,
//! `get` carries it out over connections that `manners` knows how to use, `output` writes the content, and `report` tells people and
//! machines the result.
//! `way` is the part of `plan` that is about reaching the server, and `verbose` tells what happens meanwhile.

mod curl;
mod flags;
mod get;
mod interrupt;
mod manners;
mod names;
mod output;
mod plan;
mod progress;
mod readable;
mod report;
mod verbose;
mod way;

use std::process::ExitCode;

use clap::Parser;

use crate::flags::LowArgs;
use crate::plan::HiArgs;

fn main() -> ExitCode {
    let low = LowArgs::try_parse().unwrap_or_else(|error| match curl::advice(&error) {
        Some(advice) => {
            report::say(&advice);
            std::process::exit(Exit::Usage as i32)
        }
        // Help, version and other errors of form end the program, the last with status 2.
        None => error.exit(),
    });
    let exit = match HiArgs::of(low.command) {
        Ok(plan) => get::run(&plan),
        Err(error) => {
            report::say(&error);
            Exit::Usage
        }
    };
    ExitCode::from(exit as u8)
}

/// The exit codes, which scripts rely on; `--help` and the README list them too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every URL got a response, and none is an error.
    Success = 0,
    /// Some responses were errors.
    ErrorStatus = 1,
    /// Nothing was requested.
    Usage = 2,
    /// The connection was lost, or could not be made.
    Connection = 3,
    /// A file could not be written.
    Output = 4,
    /// A signal ended the program.
    Interrupted = 130,
}
