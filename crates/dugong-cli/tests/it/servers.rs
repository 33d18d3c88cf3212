//! Servers of other projects: stunnel for TLS, the proxies tinyproxy and proxy.py, and origins that do not pipeline (PHP's own, Bun,
//! cpp-httplib).

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dugong_origin::{Peer, Place};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A wait that takes this long fails the test.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// The credentials of the proxy.
pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "sesame-open";

/// A running server.
pub(crate) struct Server {
    /// The server runs until this is dropped.
    _peer: Peer,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts stunnel in front of a server without TLS, with a certificate for `www.example` and its own address. `service` adds lines
    /// to its configuration. `ca.pem` in its directory is the authority.
    pub(crate) fn stunnel(behind: SocketAddr, authority: &Authority, service: &str) -> Server {
        let (place, address) = place();
        let identity = authority.issue(&["www.example", &address.ip().to_string()]);
        let configuration =
            format!("foreground = yes\npid =\n[service]\naccept = {address}\nconnect = {behind}\ncert = both.pem\n{service}\n");
        for (name, content) in [("stunnel.conf", &configuration), ("both.pem", &identity.both()), ("ca.pem", &authority.pem)] {
            place.write(name, content).unwrap();
        }
        let mut command = Command::new(program("stunnel4", "stunnel4"));
        command.arg("stunnel.conf");
        Server::started(command, place)
    }

    /// Starts tinyproxy, which makes tunnels to the port of `origin` only.
    pub(crate) fn tinyproxy(origin: SocketAddr, with_password: bool) -> Server {
        let (place, address) = place();
        let access = if with_password { format!("BasicAuth {USER} {PASSWORD}") } else { String::new() };
        let configuration = format!(
            "Listen {}\nPort {}\nTimeout 20\nMaxClients 20\nLogFile \"log\"\nConnectPort {}\n{access}\n",
            address.ip(),
            address.port(),
            origin.port(),
        );
        place.write("conf", configuration).unwrap();
        let mut command = Command::new(program("tinyproxy", "tinyproxy-bin"));
        command.args(["-d", "-c", "conf"]);
        Server::started(command, place)
    }

    /// Starts PHP's own server, which answers with the path.
    pub(crate) fn php() -> Server {
        let (place, address) = place();
        let mut command = Command::new(program("php", "php-cli"));
        command.args(["-q", "-S", &address.to_string(), &peer("router.php")]);
        Server::started(command, place)
    }

    /// Starts Bun's server, which answers with the path.
    pub(crate) fn bun() -> Server {
        let (place, address) = place();
        let mut command = Command::new(fetched("bun"));
        command.args([&peer("bun.js"), &address.ip().to_string(), &address.port().to_string()]);
        Server::started(command, place)
    }

    /// Starts a server with cpp-httplib, which answers with the path.
    pub(crate) fn httplib() -> Server {
        let (place, address) = place();
        let compiled = place.path("server");
        let mut compiler = Command::new(program("g++", "g++"));
        let output =
            compiler.arg("-o").arg(&compiled).args([&peer("httplib.cpp"), "-lcpp-httplib", "-pthread"]).output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("httplib.cpp does not compile; on Debian: apt-get install libcpp-httplib-dev\n{said}");
        }
        let mut command = Command::new(compiled);
        command.args([address.ip().to_string(), address.port().to_string()]);
        Server::started(command, place)
    }

    /// Starts proxy.py, a proxy in Python.
    pub(crate) fn proxy_py() -> Server {
        let (place, address) = place();
        let mut command = Command::new(fetched("venv/bin/proxy"));
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        command.args(["--hostname", &host, "--port", &port, "--num-workers", "1", "--num-acceptors", "1"]);
        // It creates directories in its home.
        command.env("HOME", place.path(""));
        Server::started(command, place)
    }

    pub(crate) fn started(command: Command, place: Place) -> Server {
        let peer = place.start(command).unwrap_or_else(|error| panic!("{error}"));
        Server { address: peer.address(), _peer: peer }
    }
}

fn place() -> (Place, SocketAddr) {
    let place = Place::new().unwrap();
    let address = place.address();
    (place, address)
}

/// Finds a program, or fails the test and says where to get it.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    Peer::program(name, package).unwrap_or_else(|error| panic!("{error}"))
}

/// Finds a program that `make peers` fetches, or fails the test and says so.
fn fetched(name: &str) -> PathBuf {
    Peer::fetched(name).unwrap_or_else(|error| panic!("{error}"))
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
