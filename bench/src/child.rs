//! Runs the processes that are measured: the origin and the clients, each on a core of its own.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::load::{Load, Work};
use crate::python::{self, Interpreters};
use crate::row::Row;

/// A running `dugong-origin`. It ends when this is dropped, or when this process ends.
pub(crate) struct Origin {
    child: Child,
    address: SocketAddr,
}

impl Origin {
    /// Starts the origin that was built next to this program, on the first core.
    pub(crate) fn start(cores: &Cores) -> io::Result<Self> {
        Origin::start_with(cores, &[])
    }

    /// Like `start`, but the origin sends each answer a millisecond after its request arrived. So a client that has one request in
    /// flight always waits, however slow valgrind makes it.
    pub(crate) fn start_delayed(cores: &Cores) -> io::Result<Self> {
        Origin::start_with(cores, &["--delay", "1ms"])
    }

    fn start_with(cores: &Cores, options: &[&str]) -> io::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("dugong-origin");
        cores.use_first()?;
        let mut command = Command::new(&program);
        command.args(options).arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let program = program.display();
            let advice = "build it with `cargo build --release -p dugong-origin -p dugong-bench`";
            io::Error::new(error.kind(), format!("cannot start {program}: {error}; {advice}"))
        })?;
        let mut line = String::new();
        let out = child.stdout.take().expect("it was piped");
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Origin { child, address }),
            None => {
                child.kill()?;
                child.wait()?;
                Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("expected the address of dugong-origin, but found {line:?}"),
                ))
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs clients against one origin, or one for each kind of work: this program, or a Python interpreter.
pub(crate) struct Bench {
    program: PathBuf,
    interpreters: Interpreters,
    address: SocketAddr,
    one_by_one: SocketAddr,
}

/// The times that a client measured, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

impl Bench {
    pub(crate) fn new(interpreters: Interpreters, address: SocketAddr) -> io::Result<Self> {
        Ok(Bench { program: std::env::current_exe()?, interpreters, address, one_by_one: address })
    }

    /// Sends the requests that go out one after the other to `address`.
    pub(crate) fn one_by_one_at(self, address: SocketAddr) -> Self {
        Bench { one_by_one: address, ..self }
    }

    /// Runs a client.
    pub(crate) fn run(&self, row: Row, load: Load) -> io::Result<Measured> {
        let output = self.command(&[], row, load).output()?;
        let text = String::from_utf8_lossy(&succeeded(output, row, load)?.stdout).into_owned();
        let number = |name| number(&text, name).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text.clone()));
        Ok(Measured { wall: number("wall")?, cpu: number("cpu_user")? + number("cpu_system")? })
    }

    /// Runs a client under callgrind, and returns the number of instructions that it took in all.
    pub(crate) fn count_instructions(&self, row: Row, load: Load) -> io::Result<f64> {
        let valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let output = succeeded(started(self.command(&valgrind, row, load))?, row, load)?;
        found(&output.stderr, |line| line.split_once("Collected :")?.1.trim().parse().ok())
    }

    /// Runs a client under strace, and returns how often it made the `named` system calls.
    pub(crate) fn count_calls(&self, row: Row, load: Load, named: &str) -> io::Result<Calls> {
        let named = format!("trace={named}");
        let strace = ["strace", "--follow-forks", "--seccomp-bpf", "--summary-only", "-U", "name,calls,errors", "-e", &named];
        let output = succeeded(started(self.command(&strace, row, load))?, row, load)?;
        found(&output.stderr, |line| {
            let mut words = line.strip_prefix("total ")?.split_whitespace().map(|word| word.parse().ok());
            Some(Calls { calls: words.next()??, errors: words.next().flatten().unwrap_or(0.0) })
        })
    }

    /// Returns the bytes of heap in use while this program holds `count` idle connections.
    pub(crate) fn count_idle_bytes(&self, count: u64) -> io::Result<f64> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=memcheck", "--leak-check=no"]).arg(&self.program);
        command.args(["idle", "--connections", &count.to_string(), "--address", &self.address.to_string()]);
        let output = started(command)?;
        found(&output.stderr, |line| line.split_once("in use at exit: ")?.1.split_once(' ')?.0.replace(',', "").parse().ok())
    }

    /// `wrapper` is the program, with arguments, that runs the client.
    fn command(&self, wrapper: &[&str], row: Row, load: Load) -> Command {
        let client = match row {
            Row::Rust(_) => vec![self.program.clone(), "load".into()],
            Row::Python(script) => self.interpreters.command(script.module, "load.py").to_vec(),
        };
        let words: Vec<PathBuf> = wrapper.iter().map(PathBuf::from).chain(client).collect();
        let mut command = Command::new(&words[0]);
        let address = if load.work == Work::A { self.one_by_one } else { self.address };
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

/// The system calls of a process with all of its threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    pub(crate) calls: f64,
    pub(crate) errors: f64,
}

/// Runs `command`, which may be missing.
fn started(mut command: Command) -> io::Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|error| io::Error::new(error.kind(), format!("cannot run {program}: {error}")))
}

/// Returns `output` unless the client failed.
fn succeeded(output: Output, row: Row, load: Load) -> io::Result<Output> {
    if output.status.success() {
        return Ok(output);
    }
    let (client, work, printed) = (row.name(), load.work.name(), String::from_utf8_lossy(&output.stderr));
    Err(io::Error::other(format!("the client {client} failed in workload {work}: {printed}")))
}

/// Finds the first line that has a value.
fn found<T>(printed: &[u8], value: impl Fn(&str) -> Option<T>) -> io::Result<T> {
    let printed = String::from_utf8_lossy(printed);
    let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("expected a count, but found: {printed}"));
    printed.lines().find_map(value).ok_or_else(missing)
}

/// Finds the number `name` in one line of our JSON.
pub(crate) fn number(json: &str, name: &str) -> Option<f64> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    rest.split([',', '}']).next()?.parse().ok()
}

/// Finds the text `name` in one line of our JSON.
pub(crate) fn text(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Two cores, if this process may use two. A process inherits the core of the process that starts it, with all of its threads.
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
