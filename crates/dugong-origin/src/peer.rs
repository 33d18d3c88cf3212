//! Servers of other projects, each in a process and a directory of its own.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// A running server of another project. Dropping it ends its processes and removes its directory.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

/// A directory and an address for a server that is to be started.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
    address: SocketAddr,
}

impl Place {
    /// Makes an empty directory that other users can read, and finds a free port.
    ///
    /// The address is on a loopback host that only this server uses. On a shared host, a socket of another test could take the port
    /// before this server does.
    ///
    /// # Errors
    /// The system has no directory or port left.
    pub fn new() -> io::Result<Self> {
        static STARTED: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, STARTED.fetch_add(1, Ordering::Relaxed), high, low);
        let address = TcpListener::bind((IpAddr::V4(host), 0))?.local_addr()?;
        let dir = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir()?;
        Ok(Place { dir, address })
    }

    /// The address that the server must listen on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The path of a file of the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the directory, and the directories above it.
    ///
    /// # Errors
    /// As for [`fs::write`].
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.path(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, content)
    }

    /// Starts the server in the directory, and waits until it listens.
    ///
    /// # Errors
    /// The program cannot be started, ends, or does not listen within 20 seconds. The message has its output, and its file `log`.
    pub fn start(self, mut command: Command) -> io::Result<Peer> {
        let output = fs::File::create(self.path("output"))?;
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // The processes that it starts end with it.
        command.process_group(0);
        let child =
            command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{command:?} cannot be started: {error}")))?;
        let mut peer = Peer { child, dir: self.dir, address: self.address };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(peer.address).is_err() {
            if Instant::now() > until || peer.child.try_wait()?.is_some() {
                let said = ["log", "output"].map(|file| fs::read_to_string(peer.path(file)).unwrap_or_default());
                return Err(io::Error::other(format!("{command:?} does not start:\n{}", said.concat())));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(peer)
    }
}

impl Peer {
    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The path of a file of its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Finds a program in `PATH` and where only administrators look.
    ///
    /// # Errors
    /// It is not installed. The message names the package of Debian.
    pub fn program(name: &str, package: &str) -> io::Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        let mut programs = places.map(|place| place.join(name)).filter(|program| program.is_file());
        let missing = || io::Error::other(format!("{name} is not installed; on Debian: apt-get install {package}"));
        programs.next().ok_or_else(missing)
    }

    /// Finds a program that `make peers` fetches.
    ///
    /// # Errors
    /// It is not there.
    pub fn fetched(name: &str) -> io::Result<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers").join(name);
        let missing = || io::Error::other(format!("{name} is not in target/peers; `make peers` fetches it"));
        path.exists().then_some(path).ok_or_else(missing)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already, which other checks find.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A server that takes this long to listen does not start.
const PATIENCE: Duration = Duration::from_secs(20);
