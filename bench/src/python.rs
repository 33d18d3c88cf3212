//! The clients in Python: `bench/python/load.py`, run by an interpreter that has the modules.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::child::{number, text};

/// A measured module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    /// The package of this repository.
    Dugong,
    /// The module that it replaces. It has the same name, so it needs an interpreter of its own.
    OldDugong,
    HttpClient,
    Urllib3,
    Pycurl,
    Aiohttp,
    Httpx,
}

/// A client in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Its name on the command line of `load.py`.
    pub(crate) client: &'static str,
    pub(crate) module: Module,
    /// The letters of the workloads that it does in a way of its own.
    pub(crate) works: &'static str,
}

pub(crate) const DUGONG: Script = script("Python dugong", "dugong", Module::Dugong, "abcdef");
pub(crate) const DUGONG_READINTO: Script = script("Python dugong, readinto", "dugong-readinto", Module::Dugong, "cd");
pub(crate) const DUGONG_AHEAD: Script = script("Python dugong, ahead", "dugong-ahead", Module::Dugong, "bf");
pub(crate) const OLD_DUGONG: Script = script("dugong 3.8.2", "dugong", Module::OldDugong, "abcdef");
pub(crate) const PYCURL: Script = script("pycurl", "pycurl", Module::Pycurl, "acde");

pub(crate) const SESSION: Script = script("Python session", "dugong-session", Module::Dugong, "abfg");
pub(crate) const AIOHTTP: Script = script("aiohttp", "aiohttp", Module::Aiohttp, "acdfg");
pub(crate) const HTTPX: Script = script("httpx, asyncio", "httpx", Module::Httpx, "acdfg");

// These are not in the table; they serve the counts.
pub(crate) const PIPELINE: Script = script("Python dugong, pipeline", "dugong-pipeline", Module::Dugong, "b");
pub(crate) const ASYNCIO_PIPELINE: Script =
    script("Python dugong, co_pipeline, asyncio", "dugong-asyncio-pipeline", Module::Dugong, "b");
pub(crate) const TRIO_PIPELINE: Script = script("Python dugong, co_pipeline, trio", "dugong-trio-pipeline", Module::Dugong, "b");
pub(crate) const ASYNCIO_WAITS: Script = script("Python dugong, waits of asyncio", "dugong-asyncio-waits", Module::Dugong, "a");
pub(crate) const POLL_WAITS: Script = script("Python dugong, waits by poll", "dugong-poll-waits", Module::Dugong, "a");

impl Script {
    pub(crate) const ALL: [Script; 15] = [
        DUGONG,
        DUGONG_READINTO,
        DUGONG_AHEAD,
        script("Python dugong, asyncio", "dugong-asyncio", Module::Dugong, "bf"),
        script("Python dugong, headers", "dugong-headers", Module::Dugong, "a"),
        SESSION,
        OLD_DUGONG,
        script("dugong 3.8.2, readinto", "dugong-readinto", Module::OldDugong, "cd"),
        script("dugong 3.8.2, ahead", "dugong-ahead", Module::OldDugong, "bf"),
        script("http.client", "http.client", Module::HttpClient, "acde"),
        script("http.client, readinto", "http.client-readinto", Module::HttpClient, "cd"),
        script("urllib3", "urllib3", Module::Urllib3, "acdefg"),
        PYCURL,
        AIOHTTP,
        HTTPX,
    ];

    /// Tells if it is the first client of its module, which represents it where the way to use the module makes no difference.
    pub(crate) fn is_main(self) -> bool {
        Script::ALL.iter().find(|script| script.module == self.module) == Some(&self)
    }

    /// The number of requests in a.
    pub(crate) fn requests(self) -> u64 {
        match self.module {
            Module::Dugong | Module::Pycurl => 5000,
            Module::HttpClient | Module::Urllib3 | Module::Aiohttp => 2000,
            Module::OldDugong | Module::Httpx => 1000,
        }
    }
}

const fn script(name: &'static str, client: &'static str, module: Module, works: &'static str) -> Script {
    Script { name, client, module, works }
}

impl Module {
    const ALL: [Module; 7] =
        [Module::Dugong, Module::OldDugong, Module::HttpClient, Module::Urllib3, Module::Pycurl, Module::Aiohttp, Module::Httpx];

    /// The name to import.
    fn name(self) -> &'static str {
        match self {
            Module::Dugong | Module::OldDugong => "dugong",
            Module::HttpClient => "http.client",
            Module::Urllib3 => "urllib3",
            Module::Pycurl => "pycurl",
            Module::Aiohttp => "aiohttp",
            Module::Httpx => "httpx",
        }
    }

    /// Tells if it sends requests before earlier ones are answered.
    pub(crate) fn pipelines(self) -> bool {
        matches!(self, Module::Dugong | Module::OldDugong)
    }

    /// Tells if `version` belongs to this module, and not to the other of the same name.
    fn is_meant(self, version: &str) -> bool {
        match self {
            Module::Dugong => version != OLD_VERSION,
            Module::OldDugong => version == OLD_VERSION,
            Module::HttpClient | Module::Urllib3 | Module::Pycurl | Module::Aiohttp | Module::Httpx => true,
        }
    }
}

const OLD_VERSION: &str = "3.8.2";

/// Chooses the interpreters for the clients in Python.
#[derive(Args)]
pub(crate) struct Paths {
    /// The interpreter with the Python package and its peers; by default that of `venv-bench` in the target directory
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// The interpreter with the old module; by default that of `venv-bench-old` in the target directory
    #[arg(long, value_name = "PATH")]
    python_old: Option<PathBuf>,
}

/// The interpreters.
pub(crate) struct Interpreters {
    python: PathBuf,
    python_old: PathBuf,
}

/// An importable module.
pub(crate) struct Installed {
    pub(crate) module: Module,
    version: String,
    /// The version of the interpreter.
    python: String,
    /// The milliseconds that a fresh process takes to import it.
    pub(crate) import: f64,
}

#[cfg(test)]
impl Installed {
    /// Pretends that every module is installed.
    pub(crate) fn for_tests() -> Vec<Self> {
        Module::ALL.map(|module| Installed { module, version: String::new(), python: String::new(), import: 1.0 }).into()
    }
}

impl Interpreters {
    pub(crate) fn find(flags: &Paths) -> io::Result<Self> {
        // This program is in target/release.
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).unwrap_or(Path::new("."));
        let or_in = |flag: &Option<PathBuf>, name: &str| flag.clone().unwrap_or_else(|| target.join(name).join("bin/python"));
        Ok(Interpreters { python: or_in(&flags.python, "venv-bench"), python_old: or_in(&flags.python_old, "venv-bench-old") })
    }

    /// The version of the interpreter of the package, with its compiler: both decide how many instructions it takes.
    pub(crate) fn version(&self) -> io::Result<String> {
        let output = Command::new(&self.python).args(["-c", "import sys; print(' '.join(sys.version.split()))"]).output();
        let output = output.map_err(|error| self.failed(error.kind(), error))?;
        if !output.status.success() {
            return Err(self.failed(io::ErrorKind::Other, String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    fn failed(&self, kind: io::ErrorKind, why: impl Display) -> io::Error {
        io::Error::new(kind, format!("cannot run {}: {why}", self.python.display()))
    }

    /// The command that runs a script of `bench/python` with the interpreter for `module`.
    pub(crate) fn command(&self, module: Module, script: &str) -> [PathBuf; 2] {
        let python = if module == Module::OldDugong { &self.python_old } else { &self.python };
        [python.clone(), Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script)]
    }

    /// Measures the import of each module, and reports those that are missing.
    pub(crate) fn installed(&self) -> Vec<Installed> {
        let mut all = Vec::new();
        for module in Module::ALL {
            match self.measure_import(module) {
                Ok(installed) => all.push(installed),
                Err(error) => {
                    let name =
                        Script::ALL.iter().find(|script| script.module == module).map_or(module.name(), |script| script.name);
                    eprintln!("{name} is left out: {error}");
                }
            }
        }
        if all.len() < Module::ALL.len() {
            eprintln!("`make bench` installs what is missing; bench/README.md says how to do it by hand.");
        }
        all
    }

    fn measure_import(&self, module: Module) -> io::Result<Installed> {
        // The first import compiles the module.
        let (_, version, python) = self.import(module)?;
        if !module.is_meant(&version) {
            return Err(io::Error::other(format!("the module dugong has version {version} here")));
        }
        let mut times = (0..IMPORTS).map(|_| Ok(self.import(module)?.0)).collect::<io::Result<Vec<f64>>>()?;
        times.sort_by(f64::total_cmp);
        Ok(Installed { module, version, python, import: times[IMPORTS / 2] })
    }

    /// Imports a module. Returns the milliseconds, and the versions of module and interpreter.
    fn import(&self, module: Module) -> io::Result<(f64, String, String)> {
        let [python, script] = self.command(module, "import_time.py");
        let mut command = Command::new(&python);
        prepare(&mut command, module);
        let output = command.arg(script).arg(module.name()).output();
        let output = output.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", python.display())))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(said.trim_end().lines().last().unwrap_or("the import failed").to_owned()));
        }
        let line = String::from_utf8_lossy(&output.stdout);
        match (number(&line, "ms"), text(&line, "version"), text(&line, "python")) {
            (Some(took), Some(version), Some(python)) => Ok((took, version, python)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("import_time.py printed {line}"))),
        }
    }
}

/// Makes runs repeatable, and hides the new module from the old module's interpreter.
pub(crate) fn prepare(command: &mut Command, module: Module) {
    command.env("PYTHONHASHSEED", "0");
    if module == Module::OldDugong {
        command.env_remove("PYTHONPATH");
    }
}

/// Lists the versions, for the line below the table.
pub(crate) fn describe(all: &[Installed]) -> String {
    let mut names: Vec<String> = all.iter().map(|installed| format!("Python {}", installed.python)).collect();
    names.dedup();
    for installed in all {
        // The version of pycurl includes those of all libraries that libcurl uses.
        let words: Vec<&str> = installed.version.split_whitespace().take(2).collect();
        if !words.is_empty() {
            names.push(format!("{} {}", installed.module.name(), words.join(" ")));
        }
    }
    names.join(", ")
}

const IMPORTS: usize = 15;
