//! Servers of other projects: stunnel for TLS, the proxies tinyproxy and proxy.py, and origins that do not pipeline (PHP's own, Bun,
//! cpp-httplib).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// A wait that takes this long fails the test.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// The credentials of the proxy.
pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "sesame-open";

/// A running server and its temporary directory.
pub(crate) struct Server {
    child: Child,
    has_children: bool,
    dir: TempDir,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts stunnel in front of a server without TLS, with a certificate for `www.example` and its own address. `service` adds lines
    /// to its configuration. `ca.pem` in its directory is the authority.
    pub(crate) fn stunnel(behind: SocketAddr, authority: &Authority, service: &str) -> Server {
        let (dir, address) = (TempDir::new().unwrap(), free_address());
        let identity = authority.issue(&["www.example", &address.ip().to_string()]);
        let configuration =
            format!("foreground = yes\npid =\n[service]\naccept = {address}\nconnect = {behind}\ncert = both.pem\n{service}\n");
        for (name, content) in [("stunnel.conf", &configuration), ("both.pem", &identity.both()), ("ca.pem", &authority.pem)] {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let mut command = Command::new(program("stunnel4", "stunnel4"));
        command.arg("stunnel.conf");
        Server::started(command, dir, address)
    }

    /// Starts tinyproxy, which makes tunnels to the port of `origin` only.
    pub(crate) fn tinyproxy(origin: SocketAddr, with_password: bool) -> Server {
        let (dir, address) = (TempDir::new().unwrap(), free_address());
        let access = if with_password { format!("BasicAuth {USER} {PASSWORD}") } else { String::new() };
        let configuration = format!(
            "Listen {}\nPort {}\nTimeout 20\nMaxClients 20\nLogFile \"log\"\nConnectPort {}\n{access}\n",
            address.ip(),
            address.port(),
            origin.port(),
        );
        fs::write(dir.path().join("conf"), configuration).unwrap();
        let mut command = Command::new(program("tinyproxy", "tinyproxy-bin"));
        command.args(["-d", "-c", "conf"]);
        Server::started(command, dir, address)
    }

    /// Starts PHP's own server, which answers with the path.
    pub(crate) fn php() -> Server {
        let (dir, address) = (TempDir::new().unwrap(), free_address());
        let mut command = Command::new(program("php", "php-cli"));
        command.args(["-q", "-S", &address.to_string(), &peer("router.php")]);
        Server::started(command, dir, address)
    }

    /// Starts Bun's server, which answers with the path.
    pub(crate) fn bun() -> Server {
        let (dir, address) = (TempDir::new().unwrap(), free_address());
        let mut command = Command::new(fetched("bun"));
        command.args([&peer("bun.js"), &address.ip().to_string(), &address.port().to_string()]);
        Server::started(command, dir, address)
    }

    /// Starts a server with cpp-httplib, which answers with the path.
    pub(crate) fn httplib() -> Server {
        let (dir, address) = (TempDir::new().unwrap(), free_address());
        let compiled = dir.path().join("server");
        let mut compiler = Command::new(program("g++", "g++"));
        let output =
            compiler.arg("-o").arg(&compiled).args([&peer("httplib.cpp"), "-lcpp-httplib", "-pthread"]).output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("httplib.cpp does not compile; on Debian: apt-get install libcpp-httplib-dev\n{said}");
        }
        let mut command = Command::new(compiled);
        command.args([address.ip().to_string(), address.port().to_string()]);
        Server::started(command, dir, address)
    }

    /// Starts proxy.py, a proxy in Python.
    pub(crate) fn proxy_py() -> Server {
        let (dir, address) = (TempDir::new().unwrap(), free_address());
        let mut command = Command::new(fetched("venv/bin/proxy"));
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        command.args(["--hostname", &host, "--port", &port, "--num-workers", "1", "--num-acceptors", "1"]);
        // It creates directories in its home, and its processes form a group.
        command.env("HOME", dir.path()).process_group(0);
        let mut server = Server::started(command, dir, address);
        server.has_children = true;
        server
    }

    fn started(mut command: Command, dir: TempDir, address: SocketAddr) -> Server {
        let output = fs::File::create(dir.path().join("output")).unwrap();
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let mut server = Server { child, has_children: false, dir, address };
        let until = Instant::now() + GUARD;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > until || server.child.try_wait().unwrap().is_some() {
                let said = ["log", "output"].map(|file| fs::read_to_string(server.path(file)).unwrap_or_default());
                panic!("{command:?} does not start:\n{}", said.concat());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Reads a file of its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.has_children {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        // It may have ended already, which other checks find.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address of a host that only this server uses. On a shared host, a socket of another test could take the port before
/// this server does.
fn free_address() -> SocketAddr {
    static STARTED: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, STARTED.fetch_add(1, Ordering::Relaxed), high, low);
    TcpListener::bind((IpAddr::V4(host), 0)).unwrap().local_addr().unwrap()
}

/// Finds a program, or fails the test and says where to get it.
fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut programs = places.map(|place| place.join(name)).filter(|program| program.is_file());
    programs.next().unwrap_or_else(|| panic!("{name} is not installed; on Debian: apt-get install {package}"))
}

/// Finds a program that `make peers` fetches, or fails the test and says so.
fn fetched(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers").join(name);
    assert!(path.exists(), "{name} is not in target/peers; `make peers` fetches it");
    path
}

/// The path of a file with the program of a server.
fn peer(name: &str) -> String {
    format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// An issuer of certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let (mut params, key) = (CertificateParams::new([]).unwrap(), KeyPair::generate().unwrap());
        params.distinguished_name.push(DnType::CommonName, "test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Makes a certificate for these hosts, or for a client.
    pub(crate) fn issue(&self, hosts: &[&str]) -> Identity {
        let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// Writes its own certificate into `directory`, and returns the path.
    pub(crate) fn file(&self, directory: &Path) -> String {
        file(directory, "ca.pem", &self.pem)
    }
}

impl Identity {
    /// Certificate and key as one text.
    pub(crate) fn both(&self) -> String {
        format!("{}\n{}", self.key, self.certificate)
    }
}

/// Writes a file with this content, and returns its path.
pub(crate) fn file(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
