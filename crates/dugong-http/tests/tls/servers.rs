//! Servers: programs, and a thread with rustls.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use super::client::GUARD;
use super::pki::Identity;

/// A running program and its directory, which ends with it.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    dir: TempDir,
    pub(crate) address: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        // One process without workers leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `openssl s_server`, which answers requests with a page about the session, with more arguments, in a directory with `files`.
pub(crate) fn openssl(identity: &Identity, arguments: &[&str], files: &[(&str, &str)]) -> Program {
    let dir = directory(identity, files);
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", "cert.pem", "-key", "key.pem"]);
    command.args(arguments).current_dir(dir.path());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log(&dir)).spawn().expect("openssl is installed");
    // It prints its address once it listens.
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            let _ = child.kill();
            let _ = child.wait();
            panic!("openssl does not start:\n{}", fs::read_to_string(dir.path().join("log")).unwrap());
        }
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            break address.trim().parse().unwrap();
        }
    };
    // Drain the rest of its output, so that it is not blocked by a full pipe.
    thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    Program { child, dir, address }
}

/// nginx with a configuration of its server; `$LISTEN` in it is its address, and the directory has `files`.
pub(crate) fn nginx(server: &str, identity: &Identity, files: &[(&str, &str)]) -> Program {
    let (dir, address) = (directory(identity, files), free_address());
    let server = server.replace("$LISTEN", &address.to_string());
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
            server {{ {server} location / {{ return 200 $ssl_protocol:$ssl_client_verify:$ssl_server_name; }} }}
        }}"
    );
    fs::write(dir.path().join("nginx.conf"), configuration).unwrap();
    let program = if PathBuf::from("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let mut command = Command::new(program);
    command.arg("-p").arg(dir.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
    start(command, dir, address)
}

/// stunnel in front of a server without TLS, with more lines for its service.
pub(crate) fn stunnel(service: &str, behind: SocketAddr, identity: &Identity, files: &[(&str, &str)]) -> Program {
    stunnel_at(free_address(), service, behind, identity, files)
}

/// Starts it at a given address, so that the certificate can be for that.
pub(crate) fn stunnel_at(
    address: SocketAddr,
    service: &str,
    behind: SocketAddr,
    identity: &Identity,
    files: &[(&str, &str)],
) -> Program {
    let dir = directory(identity, files);
    let configuration = format!(
        "foreground = yes\npid =\n[service]\naccept = {address}\nconnect = {behind}\ncert = cert.pem\nkey = key.pem\n{service}\n"
    );
    fs::write(dir.path().join("stunnel.conf"), configuration).unwrap();
    let mut command = Command::new("stunnel4");
    command.arg("stunnel.conf").current_dir(dir.path());
    start(command, dir, address)
}

fn start(mut command: Command, dir: TempDir, address: SocketAddr) -> Program {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(&dir)).spawn();
    let child = child.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let mut program = Program { child, dir, address };
    let until = Instant::now() + GUARD;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > until || program.child.try_wait().unwrap().is_some() {
            panic!("{command:?} does not start:\n{}", fs::read_to_string(program.dir.path().join("log")).unwrap());
        }
        thread::sleep(Duration::from_millis(5));
    }
    program
}

fn directory(identity: &Identity, files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, content) in [("cert.pem", &*identity.chain), ("key.pem", &identity.key)].iter().chain(files) {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn log(dir: &TempDir) -> fs::File {
    fs::File::create(dir.path().join("log")).unwrap()
}

/// An address on a host for this server only: on a shared host, the socket of another test could take the port between its
/// choice and its use.
pub(crate) fn free_address() -> SocketAddr {
    static STARTED: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, STARTED.fetch_add(1, Ordering::Relaxed), high, low);
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

/// The settings of a server with rustls.
pub(crate) fn config(identity: &Identity, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    let builder = ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth();
    builder.with_single_cert(identity.chain_der(), identity.key_der()).unwrap()
}

/// Makes the settings of a server that requires a client certificate.
pub(crate) fn demanding(
    identity: &Identity,
    clients: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder(Arc::new(clients)).build().unwrap();
    let builder = ServerConfig::builder_with_protocol_versions(versions).with_client_cert_verifier(verifier);
    builder.with_single_cert(identity.chain_der(), identity.key_der()).unwrap()
}

pub(crate) type Served = StreamOwned<ServerConnection, TcpStream>;

/// A server for one connection, which `serve` handles.
pub(crate) fn rustls<T: Send + 'static>(
    config: ServerConfig,
    serve: impl FnOnce(Served) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    tcp(move |stream| serve(served(config, stream)))
}

/// The server's end of TLS over a connection.
pub(crate) fn served(config: ServerConfig, stream: TcpStream) -> Served {
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
}

/// A server without TLS, for one connection.
pub(crate) fn tcp<T: Send + 'static>(serve: impl FnOnce(TcpStream) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
    tcp_at(Ipv4Addr::LOCALHOST.into(), serve)
}

/// Runs it on another host.
pub(crate) fn tcp_at<T: Send + 'static>(
    host: IpAddr,
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        stream.set_write_timeout(Some(GUARD)).unwrap();
        serve(stream)
    });
    (address, thread)
}

/// Reads up to the end or an error.
pub(crate) fn drain(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}
