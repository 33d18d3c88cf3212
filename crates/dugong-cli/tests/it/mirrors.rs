//! Mirrors of many files at servers of other projects. `DUGONG_MIRROR_URLS` is their number: `make mirrors` takes 100,000.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::servers::{GUARD, Server, program};
use crate::support::{Ran, each, json};
use dugong_origin::Place;

/// The number of files.
fn count() -> usize {
    std::env::var("DUGONG_MIRROR_URLS").ok().and_then(|value| value.parse().ok()).unwrap_or(300)
}

fn content(number: usize) -> String {
    format!("file {number}\n").repeat(number % 30 + 1)
}

/// A directory with the files `0` and so on, which every server can read.
fn files(count: usize) -> Place {
    let place = Place::new().unwrap();
    (0..count).for_each(|number| place.write(&format!("files/{number}"), content(number)).unwrap());
    place
}

fn place() -> (Place, SocketAddr) {
    let place = Place::new().unwrap();
    let address = place.address();
    (place, address)
}

fn nginx(files: &Path) -> Server {
    let (place, address) = place();
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path temp;")).concat();
    let configuration = format!(
        "daemon off; master_process off; pid pid; error_log log;\nevents {{ worker_connections 100; }}\n\
         http {{ {temp} access_log off; server {{ listen {address}; root {}; }} }}\n",
        files.display()
    );
    place.write("conf", configuration).unwrap();
    let mut command = Command::new(program("nginx", "nginx-light"));
    command.arg("-p").arg(place.path("")).args(["-e", "log", "-c", "conf"]);
    Server::started(command, place)
}

fn apache(files: &Path) -> Server {
    let (place, address) = place();
    let module = |name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let (modules, dir) = (["mpm_event", "authz_core"].map(module).concat(), place.path(""));
    let configuration = format!(
        "{modules}ServerRoot {dir}\nServerName localhost\nListen {address}\nPidFile pid\nErrorLog log\nUser nobody\nGroup nogroup\n\
         DefaultRuntimeDir {dir}\nDocumentRoot {files}\nStartServers 1\n",
        dir = dir.display(),
        files = files.display(),
    );
    place.write("conf", configuration).unwrap();
    let mut command = Command::new(program("apache2", "apache2-bin"));
    command.arg("-f").arg(place.path("conf")).arg("-DFOREGROUND");
    Server::started(command, place)
}

fn caddy(files: &Path) -> Server {
    let (place, address) = place();
    let (port, host, root) = (address.port(), address.ip(), files.display());
    let configuration =
        format!("{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\n bind {host}\n root * {root}\n file_server\n}}\n");
    place.write("Caddyfile", configuration).unwrap();
    let mut command = Command::new(program("caddy", "caddy"));
    command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]).env("HOME", place.path("home"));
    Server::started(command, place)
}

fn haproxy(behind: SocketAddr) -> Server {
    let (place, address) = place();
    let times = " timeout connect 20s\n timeout client 20s\n timeout server 20s\n";
    let configuration = format!("defaults\n mode http\n{times}listen l\n bind {address}\n server s {behind}\n");
    place.write("conf", configuration).unwrap();
    let mut command = Command::new(program("haproxy", "haproxy"));
    command.args(["-db", "-f", "conf"]);
    Server::started(command, place)
}

fn node(files: &Path) -> Server {
    let (place, address) = place();
    let script = format!(
        "const http = require('http'), fs = require('fs');\n\
         http.createServer((request, response) => fs.readFile('{}' + request.url, (error, content) => {{\n\
           if (error) response.writeHead(404);\n\
           response.end(content);\n\
         }})).listen({}, '{}');\n",
        files.display(),
        address.port(),
        address.ip()
    );
    place.write("server.js", script).unwrap();
    let mut command = Command::new(program("node", "nodejs"));
    command.arg("server.js");
    Server::started(command, place)
}

/// Writes the URLs of the files into a list, and returns its path.
fn list(directory: &Path, address: SocketAddr, count: usize) -> PathBuf {
    let path = directory.join("list");
    let lines: String = (0..count).map(|number| format!("http://{address}/{number}\n")).collect();
    fs::write(&path, lines).unwrap();
    path
}

/// Runs `dugong get` with as many connections as it has by default.
fn mirror(list: &Path, into: &Path, options: &[&str]) -> Ran {
    let mut command = program_of_get();
    command.arg("-i").arg(list).arg("--dir").arg(into).arg("--json").args(options);
    Ran(command.output().unwrap())
}

fn program_of_get() -> Command {
    let mut command = crate::support::program("get");
    command.args(["--timeout=60", "--retry-delay=0.01"]);
    command
}

#[test]
fn each_file_of_each_server_is_right() {
    let count = count();
    let place = files(count);
    let root = place.path("files");
    let nginx = nginx(&root);
    let behind = nginx.address;
    for (name, server) in [
        ("apache", apache(&root)),
        ("caddy", caddy(&root)),
        ("haproxy", haproxy(behind)),
        ("node", node(&root)),
        ("nginx", nginx),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let into = scratch.path().join("files");
        let ran = mirror(&list(scratch.path(), server.address, count), &into, &[]).exits_with(0);
        assert_eq!(json(ran.stdout())["totals"]["answered"], count, "{name}");
        assert_eq!(fs::read_dir(&into).unwrap().count(), count, "{name}");
        for number in 0..count {
            assert_eq!(fs::read_to_string(into.join(number.to_string())).unwrap(), content(number), "{name}");
        }
    }
}

#[test]
fn a_mirror_moves_the_content_that_has_changed_and_no_other() {
    let (count, changed) = (count(), 20);
    let (place, scratch) = (files(count), tempfile::tempdir().unwrap());
    let root = place.path("files");
    let server = nginx(&root);
    let (list, into) = (list(scratch.path(), server.address, count), scratch.path().join("files"));
    mirror(&list, &into, &["--if-changed"]).exits_with(0);
    // The length is a part of the ETag, so the time does not matter.
    let new = |number: usize| format!("changed {number}");
    let numbers = || (0..changed).map(|index| index * (count / changed));
    numbers().for_each(|number| fs::write(root.join(number.to_string()), new(number)).unwrap());
    let summary = json(mirror(&list, &into, &["--if-changed"]).exits_with(0).stdout());
    let outcomes = each(&summary, "outcome");
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "ok").count(), changed);
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "unchanged").count(), count - changed);
    assert_eq!(summary["totals"]["bytes"], numbers().map(|number| new(number).len()).sum::<usize>());
    for number in numbers() {
        assert_eq!(fs::read_to_string(into.join(number.to_string())).unwrap(), new(number));
    }
}

#[test]
fn a_second_run_completes_what_a_killed_server_left() {
    let count = count();
    let (place, scratch) = (files(count), tempfile::tempdir().unwrap());
    let root = place.path("files");
    let (first, second) = (nginx(&root), nginx(&root));
    let into = scratch.path().join("files");
    let options = ["--continue", "--skip-existing", "--retries=1"];
    // The pipe stays open until the server is killed, so the run goes on.
    let mut command = program_of_get();
    command.args(["-i", "-", "--json", "--dir"]).arg(&into).args(options).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let address = first.address;
    let lines =
        |numbers: std::ops::Range<usize>| numbers.map(|number| format!("http://{address}/{number}\n")).collect::<String>();
    input.write_all(lines(0..count / 3).as_bytes()).unwrap();
    let end = Instant::now() + GUARD;
    while fs::read_dir(&into).map_or(0, Iterator::count) < count / 3 {
        assert!(Instant::now() < end, "the files do not come");
        thread::sleep(Duration::from_millis(5));
    }
    let rest = list(scratch.path(), second.address, count);
    // Dropping it kills it.
    drop(first);
    input.write_all(lines(count / 3..count).as_bytes()).unwrap();
    drop(input);
    let ran = Ran(child.wait_with_output().unwrap()).exits_with(3);
    let summary = json(ran.stdout());
    assert_eq!((&summary["totals"]["requested"], &summary["totals"]["answered"]), (&count.into(), &(count / 3).into()));
    mirror(&rest, &into, &options).exits_with(0);
    assert_eq!(fs::read_dir(&into).unwrap().count(), count);
    for number in 0..count {
        assert_eq!(fs::read_to_string(into.join(number.to_string())).unwrap(), content(number));
    }
}
