//! A private network for one test: a child process runs the test in its own network namespace, with its own files in `/etc`.

#![allow(dead_code, reason = "each test program uses its part of this")]

use std::any::type_name_of_val;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than any wait of a test that passes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A network for this process only, with a configuration that only this process sees.
pub(crate) struct Network {
    dir: PathBuf,
}

/// Runs `test` in a child process with a private network.
pub(crate) fn in_a_network_of_its_own(test: impl FnOnce(&Network)) {
    const DIR: &str = "NETWORK_TEST_DIR";
    if let Some(dir) = std::env::var_os(DIR) {
        test(&Network::new(dir.into()));
        return;
    }
    let name = type_name_of_val(&test).split("::").nth(1).unwrap();
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = File::create(dir.path().join("output")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(DIR, dir.path());
    // `ip` and `dnsmasq` are in directories that an ordinary user's PATH may lack.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    for variable in ["LOCALDOMAIN", "RES_OPTIONS"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let mut child = Process(run(&mut command, "util-linux"));
    let deadline = Instant::now() + 5 * LIMIT;
    let status = loop {
        match child.0.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() >= deadline => break None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let output = fs::read_to_string(dir.path().join("output")).unwrap();
    let passed = status.is_some_and(|status| status.success()) && output.contains("1 passed");
    assert!(passed, "in a network of its own, as root or where users may have namespaces, it ended with {status:?}:\n{output}");
}

impl Network {
    /// Sets up the namespaces that `unshare` created.
    fn new(dir: PathBuf) -> Self {
        let network = Network { dir };
        must(Command::new("ip").args(["link", "set", "lo", "up"]), "iproute2");
        for (name, content) in [("resolv.conf", ""), ("hosts", "127.0.0.1 localhost\n"), ("nsswitch.conf", "hosts: files dns\n")]
        {
            network.file(name, content);
            must(Command::new("mount").arg("--bind").arg(network.dir.join(name)).arg(Path::new("/etc").join(name)), "mount");
        }
        // A name cache of the system would be reached by a Unix socket, which network namespaces do not isolate.
        if Path::new("/run/nscd").is_dir() {
            must(Command::new("mount").args(["-t", "tmpfs", "none", "/run/nscd"]), "mount");
        }
        network
    }

    /// Writes a file of `/etc`.
    pub(crate) fn file(&self, name: &str, content: &str) {
        fs::write(self.dir.join(name), content).unwrap();
    }

    /// Writes `resolv.conf`. Without a search list it adds an empty one, since the default is the domain of the machine.
    pub(crate) fn configure(&self, resolv_conf: &str) {
        self.file("resolv.conf", &format!("search .\n{resolv_conf}\n"));
    }

    /// Starts a name server, and waits until it listens.
    pub(crate) fn start(&self, address: &str, records: &[&str]) -> Server {
        let log = self.dir.join(format!("dnsmasq-{address}.log"));
        // The name server ends with this process, even if that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="]);
        command.args(["--no-resolv", "--no-hosts", "--user=root", "--group=", "--bind-interfaces", "--log-queries"]);
        command.arg(format!("--listen-address={address}")).arg(format!("--log-facility={}", log.display())).args(records);
        let mut child = Process(run(command.stdin(Stdio::null()), "util-linux"));
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect((address, 53)).is_err() {
            let ended = child.0.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "dnsmasq does not start (on Debian: apt-get install dnsmasq-base): {ended:?}\n{}",
                fs::read_to_string(&log).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(5));
        }
        Server { _child: child, log }
    }
}

/// A running name server, and its log of queries.
pub(crate) struct Server {
    _child: Process,
    pub(crate) log: PathBuf,
}

/// A child that does not outlive its handle.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // The child may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command, package: &str) -> Child {
    let program = command.get_program().to_owned();
    command.spawn().unwrap_or_else(|error| panic!("{program:?} cannot be started: {error}; on Debian: apt-get install {package}"))
}

pub(crate) fn must(command: &mut Command, package: &str) {
    let status = run(command, package).wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn is_root() -> bool {
    // The owner of /proc/self is the user of this process.
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}
