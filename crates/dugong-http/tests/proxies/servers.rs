//! Real proxies, as Debian ships them, each with its own configuration, and an origin that keeps the requests.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dugong_http::transport::Proxy;
use rustix::net::{AddressFamily, SocketType};
use tempfile::TempDir;

use crate::GUARD;

/// The credentials for proxies that require them.
pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "pass-word";

/// The password, hashed by crypt(3).
const PASSWORD_HASH: &str = "$5$abcdefgh$ksv5eksWCFJXUhiTfT8rd5SEaU9CmIoNFIkBDiBZ848";

/// A running proxy and its directory, which ends with it.
pub(crate) struct Server {
    child: Child,
    dir: TempDir,
    pub(crate) name: &'static str,
    scheme: &'static str,
    address: SocketAddr,
    /// Files outside of its directory that it leaves behind when it is killed.
    leaves: Vec<String>,
}

impl Server {
    /// tinyproxy that makes tunnels to `port` only.
    pub(crate) fn tinyproxy(port: u16, with_password: bool) -> Server {
        let address = free_address();
        let access = if with_password { format!("BasicAuth {USER} {PASSWORD}") } else { String::new() };
        let configuration = format!(
            "Listen {}\nPort {}\nTimeout 20\nMaxClients 20\nLogFile \"log\"\nConnectPort {port}\n{access}\n",
            address.ip(),
            address.port(),
        );
        let dir = directory(&[("conf", &configuration)]);
        let mut command = Command::new(program("tinyproxy", "tinyproxy-bin"));
        command.args(["-d", "-c", "conf"]);
        Server::started("tinyproxy", "http", address, dir, command)
    }

    /// squid that makes tunnels to `port` only, stores nothing, and knows the name `origin.test`.
    pub(crate) fn squid(port: u16, with_password: bool) -> Server {
        let address = free_address();
        let access = if with_password {
            "auth_param basic program /usr/lib/squid/basic_ncsa_auth passwords
            auth_param basic children 1
            auth_param basic realm test
            acl known proxy_auth REQUIRED
            http_access deny !known"
        } else {
            ""
        };
        let configuration = format!(
            "http_port {address}
            acl far port {port}
            acl tunnels method CONNECT
            {access}
            http_access deny tunnels !far
            http_access allow all
            cache deny all
            cache_log /dev/null
            access_log none
            pid_filename none
            coredump_dir none
            visible_hostname proxy.test
            dns_nameservers 127.0.0.1
            hosts_file hosts
            pinger_enable off
            memory_cache_shared off
            max_filedescriptors 1024
            shutdown_lifetime 0 seconds
            "
        );
        let dir = directory(&[
            ("conf", &configuration),
            ("hosts", "127.0.0.1 localhost origin.test\n"),
            ("passwords", &format!("{USER}:{PASSWORD_HASH}\n")),
        ]);
        // The name keeps its shared memory apart from that of other squids.
        let name = format!("dugong{}x{}", std::process::id(), address.port());
        let mut command = Command::new(program("squid", "squid"));
        command.args(["-N", "-n", &name, "-f", "conf"]);
        let mut server = Server::started("squid", "http", address, dir, command);
        server.leaves = ["metadata", "queues", "readers"].map(|part| format!("/dev/shm/{name}-cf__{part}.shm")).into();
        server
    }

    /// danted, a SOCKS5 proxy that knows the name `origin.test`, and refuses to connect to `blocked`.
    #[cfg(feature = "socks")]
    pub(crate) fn danted(blocked: u16, with_password: bool) -> Server {
        let address = low_address();
        let method = if with_password { "username" } else { "none" };
        let configuration = format!(
            "logoutput: stderr
            internal: {} port = {}
            external: 127.0.0.1
            clientmethod: none
            socksmethod: {method}
            client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
            socks block {{ from: 0.0.0.0/0 to: 127.0.0.0/8 port = {blocked} }}
            socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect }}
            ",
            address.ip(),
            address.port(),
        );
        // It takes users, hosts and the resolver from the system, so it gets a system of its own. That ends with its first
        // process, and all others end with it.
        let files = ["passwd", "shadow", "hosts", "nsswitch.conf"];
        let dir = directory(&[
            ("conf", &configuration),
            ("passwd", &format!("root:x:0:0:root:/:/bin/sh\n{USER}:x:0:0::/:/bin/sh\n")),
            ("shadow", &format!("root:*:1::::::\n{USER}:{PASSWORD_HASH}:19000:0:99999:7:::\n")),
            ("hosts", "127.0.0.1 localhost origin.test\n"),
            ("nsswitch.conf", "passwd: files\nshadow: files\ngroup: files\nhosts: files\n"),
        ]);
        let mounts = files.map(|file| format!("mount --bind {file} /etc/{file} && ")).concat();
        let danted = program("danted", "dante-server");
        let script = format!(
            "root=$(test $(id -u) = 0 || echo --map-root-user)
            exec {} $root --mount --propagation private --pid --fork --kill-child sh -c '{mounts} exec {} -f conf'",
            program("unshare", "util-linux").display(),
            danted.display(),
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        Server::started("danted", "socks5h", address, dir, command)
    }

    /// Starts the proxy in its directory, and waits until it listens.
    fn started(name: &'static str, scheme: &'static str, address: SocketAddr, dir: TempDir, mut command: Command) -> Server {
        let output = fs::File::create(dir.path().join("output")).unwrap();
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let mut server = Server { child, dir, name, scheme, address, leaves: Vec::new() };
        if !is_ready(&mut server.child, address) {
            let said = ["log", "output"].map(|file| fs::read_to_string(server.dir.path().join(file)).unwrap_or_default());
            panic!("{name} does not start:\n{}", said.concat());
        }
        server
    }

    /// The proxy, without credentials.
    pub(crate) fn proxy(&self) -> Proxy {
        Proxy::new(&format!("{}://{}", self.scheme, self.address)).unwrap()
    }

    #[cfg(feature = "socks")]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended on its own; another check reports that.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for file in &self.leaves {
            let _ = fs::remove_file(file);
        }
    }
}

/// An address on a host that is this server's alone; see `free_addresses` in nginx.rs.
fn free_address() -> SocketAddr {
    // The addresses below belong to servers with TLS.
    static STARTED: AtomicU8 = AtomicU8::new(100);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, STARTED.fetch_add(1, Ordering::Relaxed), high, low);
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

/// An address of the interface, which danted requires. The port is below those that the system assigns, so no other program
/// gets it between the choice and the use.
#[cfg(feature = "socks")]
fn low_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    loop {
        let port = 20_000 + (std::process::id() % 40) as u16 * 250 + u16::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// An address without a server, and the socket that keeps it free.
pub(crate) fn nobody() -> (OwnedFd, SocketAddr) {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    (socket, address)
}

/// A directory that a server without privileges can read, too.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

/// Returns the path of a program, or fails the test and says where to get it.
fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut programs = places.map(|place| place.join(name)).filter(|program| program.is_file());
    programs.next().unwrap_or_else(|| panic!("{name} is not installed; on Debian: apt-get install {package}"))
}

/// Waits until a server accepts connections at `address`; returns false if it ends before.
fn is_ready(child: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + GUARD;
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        if TcpStream::connect(address).is_ok() {
            return child.try_wait().unwrap().is_none();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// An origin that answers each request with its number, and keeps the heads.
pub(crate) struct Witness {
    pub(crate) address: SocketAddr,
    pub(crate) heads: Receiver<String>,
}

impl Witness {
    pub(crate) fn start() -> Witness {
        Witness::on(Ipv4Addr::LOCALHOST.into())
    }

    pub(crate) fn on(host: IpAddr) -> Witness {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heads) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, sender) = (stream.unwrap(), sender.clone());
                stream.set_read_timeout(Some(GUARD)).unwrap();
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(&stream);
                    loop {
                        let mut head = String::new();
                        while !head.ends_with("\r\n\r\n") {
                            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                                return;
                            }
                        }
                        let _ = sender.send(head);
                        let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nseen");
                    }
                });
            }
        });
        Witness { address, heads }
    }

    /// Returns the head of the next request.
    pub(crate) fn head(&self) -> String {
        self.heads.recv_timeout(GUARD).expect("a request that comes")
    }

    /// Whether no further request came. Call it when no more can come.
    pub(crate) fn has_no_more(&self) -> bool {
        self.heads.try_recv().is_err()
    }
}
