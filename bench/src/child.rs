//! The processes that the table needs: the origin, and clients, each on a core of its own.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::load::Load;
use crate::python::{self, Interpreters};
use crate::row::Row;

/// `dugong-origin`, running. It ends when this is dropped, and when this process ends.
pub(crate) struct Origin {
    child: Child,
    address: SocketAddr,
}

impl Origin {
    /// Starts the one that was built next to this program, on the first core.
    pub(crate) fn start(cores: &Cores) -> io::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("dugong-origin");
        cores.use_first()?;
        let mut child =
            Command::new(&program).arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(
                |error| {
                    let program = program.display();
                    let advice = "build it with `cargo build --release -p dugong-origin -p dugong-bench`";
                    io::Error::new(error.kind(), format!("cannot start {program}: {error}; {advice}"))
                },
            )?;
        let mut line = String::new();
        let out = child.stdout.take().expect("it was piped");
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Origin { child, address }),
            None => {
                child.kill()?;
                child.wait()?;
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("dugong-origin said {line:?} instead of its address")))
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The programs that are run as clients: this one, and interpreters of Python.
pub(crate) struct Bench {
    program: PathBuf,
    interpreters: Interpreters,
}

/// What a client measured, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

impl Bench {
    pub(crate) fn new(interpreters: Interpreters) -> io::Result<Self> {
        Ok(Bench { program: std::env::current_exe()?, interpreters })
    }

    /// Runs a client.
    pub(crate) fn run(&self, row: Row, load: Load, address: SocketAddr) -> io::Result<Measured> {
        let output = self.command(&[], row, load, address).output()?;
        let text = succeeded(&output, row, load)?;
        let number = |name| number(&text, name).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text.clone()));
        Ok(Measured { wall: number("wall")?, cpu: number("cpu_user")? + number("cpu_system")? })
    }

    /// Runs a client under callgrind; the result is how many instructions it took in all, `None` if there is no valgrind.
    pub(crate) fn count_instructions(&self, row: Row, load: Load, address: SocketAddr) -> io::Result<Option<f64>> {
        let valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let output = match self.command(&valgrind, row, load, address).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        succeeded(&output, row, load)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
        count.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("valgrind counted nothing: {said}")))
    }

    /// `wrapper` is a program, with arguments, that runs the client.
    fn command(&self, wrapper: &[&str], row: Row, load: Load, address: SocketAddr) -> Command {
        let client = match row {
            Row::Rust(_) => vec![self.program.clone(), "load".into()],
            Row::Python(script) => self.interpreters.command(script.module, "load.py").to_vec(),
        };
        let words: Vec<PathBuf> = wrapper.iter().map(PathBuf::from).chain(client).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments(row, load, address));
        if let Row::Python(script) = row {
            python::prepare(&mut command, script.module);
        }
        command
    }
}

fn arguments(row: Row, load: Load, address: SocketAddr) -> [String; 8] {
    let amount = if load.work.is_of_content() { "--megabytes" } else { "--requests" };
    let (address, number) = (address.to_string(), load.amount.to_string());
    ["--client", row.client(), "--work", load.work.name(), "--address", &address, amount, &number].map(str::to_owned)
}

/// What a client printed, unless it failed.
fn succeeded(output: &Output, row: Row, load: Load) -> io::Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let (client, work, said) = (row.name(), load.work.name(), String::from_utf8_lossy(&output.stderr));
    Err(io::Error::other(format!("the client {client} failed in workload {work}: {said}")))
}

/// The number called `name` in one line of JSON of ours.
pub(crate) fn number(json: &str, name: &str) -> Option<f64> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    rest.split([',', '}']).next()?.parse().ok()
}

/// The text called `name` in one line of JSON of ours.
pub(crate) fn text(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Two cores, if this process may use two. What is started inherits the core of its starter, with all of its threads.
pub(crate) struct Cores {
    pair: Option<[usize; 2]>,
}

impl Cores {
    pub(crate) fn available() -> io::Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut cores = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
        Ok(Cores { pair: cores.next().zip(cores.next()).map(Into::into) })
    }

    fn use_first(&self) -> io::Result<()> {
        self.pair.map_or(Ok(()), |[first, _]| use_core(first))
    }

    pub(crate) fn use_second(&self) -> io::Result<()> {
        self.pair.map_or(Ok(()), |[_, second]| use_core(second))
    }

    pub(crate) fn describe(&self) -> String {
        match self.pair {
            Some([first, second]) => format!("The origin ran on core {first}, the clients on core {second}."),
            None => "There was one core for the origin and the clients together.".to_owned(),
        }
    }
}

fn use_core(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name() {
        let json = r#"{"client":"raw","work":"a","wall":1.500000,"cpu_user":0.250000,"cpu_system":0.125000}"#;
        assert_eq!(number(json, "wall"), Some(1.5));
        assert_eq!(number(json, "cpu_system"), Some(0.125));
        assert_eq!(number(json, "cpu"), None);
        assert_eq!(text(json, "client").as_deref(), Some("raw"));
    }
}
