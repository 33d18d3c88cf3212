//! Servers of other projects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use dugong_origin::{Peer, Place};

/// The number of files of a server that serves files: `/0` and so on.
pub(crate) const FILES: usize = 500;

/// The content of a file.
pub(crate) fn file(number: usize) -> String {
    format!("file {number}\n").repeat(number % 300 + 1)
}

fn program(name: &str, package: &str) -> Command {
    Command::new(Peer::program(name, package).unwrap_or_else(|error| panic!("{error}")))
}

fn started(command: Command, place: Place) -> Peer {
    place.start(command).unwrap_or_else(|error| panic!("{error}"))
}

/// A place with the files.
fn place_with_files() -> Place {
    let place = Place::new().unwrap();
    (0..FILES).for_each(|number| place.write(&format!("files/{number}"), file(number)).unwrap());
    place
}

/// Starts nginx with files. `settings` are lines of its configuration. It logs `$pipe` of each request: `p` if it was pipelined.
pub(crate) fn nginx(settings: &str) -> Peer {
    let place = place_with_files();
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path temp;")).concat();
    let configuration = format!(
        "daemon off; master_process off; pid pid; error_log log;\nevents {{ worker_connections 100; }}\n\
         http {{ {temp} log_format pipe $pipe; access_log access pipe;\n\
         server {{ listen {}; root files; {settings} }} }}\n",
        place.address()
    );
    place.write("conf", configuration).unwrap();
    let mut command = program("nginx", "nginx-light");
    command.arg("-p").arg(place.path("")).args(["-e", "log", "-c", "conf"]);
    started(command, place)
}

/// Starts Apache with files. `settings` are lines of its configuration.
pub(crate) fn apache(settings: &str) -> Peer {
    let place = place_with_files();
    let module = |name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let modules = ["mpm_event", "authz_core"].map(module).concat();
    let dir = place.path("");
    let configuration = format!(
        "{modules}ServerRoot {dir}\nServerName localhost\nListen {}\nPidFile pid\nErrorLog log\nUser nobody\nGroup nogroup\n\
         DefaultRuntimeDir {dir}\nDocumentRoot {dir}files\nStartServers 1\n{settings}\n",
        place.address(),
        dir = dir.display()
    );
    place.write("conf", configuration).unwrap();
    let mut command = program("apache2", "apache2-bin");
    command.arg("-f").arg(place.path("conf")).arg("-DFOREGROUND");
    started(command, place)
}

/// Starts HAProxy in front of a server.
pub(crate) fn haproxy(behind: SocketAddr) -> Peer {
    let place = Place::new().unwrap();
    let configuration = format!(
        "defaults\n mode http\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n\
         listen l\n bind {}\n server s {behind}\n",
        place.address()
    );
    place.write("conf", configuration).unwrap();
    let mut command = program("haproxy", "haproxy");
    command.args(["-db", "-f", "conf"]);
    started(command, place)
}

/// Starts Caddy in front of a server.
pub(crate) fn caddy(behind: SocketAddr) -> Peer {
    let (place, home) = (Place::new().unwrap(), "home");
    let address = place.address();
    let configuration = format!(
        "{{\n admin off\n auto_https off\n}}\nhttp://:{} {{\n bind {}\n reverse_proxy {behind}\n}}\n",
        address.port(),
        address.ip()
    );
    place.write("Caddyfile", configuration).unwrap();
    let mut command = program("caddy", "caddy");
    command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]).env("HOME", place.path(home));
    started(command, place)
}

fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/peers", name].iter().collect()
}

/// Starts a server of Node.js, which answers with the path.
pub(crate) fn node() -> Peer {
    let place = Place::new().unwrap();
    let (host, port) = (place.address().ip().to_string(), place.address().port().to_string());
    let mut command = program("node", "nodejs");
    command.arg(script("server.js")).args([host, port]);
    started(command, place)
}

/// Starts gunicorn, which answers with the path. `worker` is its kind of worker.
pub(crate) fn gunicorn(worker: &str) -> Peer {
    let place = Place::new().unwrap();
    let mut command = Command::new(Peer::fetched("venv/bin/gunicorn").unwrap_or_else(|error| panic!("{error}")));
    command.args(["--bind", &place.address().to_string(), "--worker-class", worker, "--threads", "4", "--no-control-socket"]);
    command.arg("--pythonpath").arg(script("")).arg("app:wsgi").env("PYTHONDONTWRITEBYTECODE", "1");
    started(command, place)
}

/// Starts uvicorn, which answers with the path.
pub(crate) fn uvicorn() -> Peer {
    let place = Place::new().unwrap();
    let (host, port) = (place.address().ip().to_string(), place.address().port().to_string());
    let mut command = Command::new(Peer::fetched("venv/bin/uvicorn").unwrap_or_else(|error| panic!("{error}")));
    command.args(["--host", &host, "--port", &port, "--log-level", "warning"]);
    command.arg("--app-dir").arg(script("")).arg("app:asgi").env("PYTHONDONTWRITEBYTECODE", "1");
    started(command, place)
}
