//! Servers that stores can write to.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/moto_server");
        let program = std::env::var_os("DUGONG_MOTO_SERVER").map_or(default, PathBuf::from);
        let port = free_port();
        let mut command = Command::new(&program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}; `make setup-python` installs it", program.display()));
        wait_for(port);
        Moto { child, address: format!("127.0.0.1:{port}") }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a bucket, without either connector.
    pub(crate) fn make_bucket(&self, name: &str) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "PUT /{name} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", self.address)
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server for WebDAV, with a directory that can be written to. Dropping it removes both.
pub(crate) struct Dav {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Dav {
    pub(crate) fn apache() -> Self {
        let modules = ["mpm_event", "authz_core", "dav", "dav_fs", "dir"];
        let loads: String =
            modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")).concat();
        let configuration = |path: &str, port| {
            format!(
                "{loads}ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {path}/pid\nErrorLog {path}/error.log\n\
                 DavLockDB {path}/locks\nDocumentRoot {path}/files\n<Directory {path}/files>\nDav On\nDavDepthInfinity On\n\
                 Require all granted\n</Directory>\n"
            )
        };
        Self::start("apache2", &["-DFOREGROUND", "-f"], configuration)
    }

    pub(crate) fn nginx() -> Self {
        let configuration = |path: &str, port| {
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = temporary.map(|name| format!("{name}_temp_path {path}/{name};\n")).concat();
            // A master would leave its worker behind.
            format!(
                "load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;\ndaemon off;\nmaster_process off;\n\
                 pid {path}/pid;\nerror_log {path}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
                 client_max_body_size 0;\nserver {{\nlisten 127.0.0.1:{port};\nroot {path}/files;\nlocation / {{\n\
                 dav_methods PUT DELETE MKCOL COPY MOVE;\ndav_ext_methods PROPFIND OPTIONS;\ncreate_full_put_path on;\n\
                 }}\n}}\n}}\n"
            )
        };
        Self::start("nginx", &["-c"], configuration)
    }

    fn start(program: &str, options: &[&str], configuration: impl Fn(&str, u16) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, port) = (folder.path().display().to_string(), free_port());
        fs::create_dir(folder.path().join("files")).unwrap();
        let file = folder.path().join("conf");
        fs::write(&file, configuration(&path, port)).unwrap();
        let child = Command::new(program).args(options).arg(file).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program}: {error}; `make setup` installs it"));
        wait_for(port);
        Dav { child, folder, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Removes all files.
    pub(crate) fn empty(&self) {
        for entry in fs::read_dir(self.folder.path().join("files")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
    }
}

impl Drop for Dav {
    fn drop(&mut self) {
        // Apache's workers end with it only if it ends in order.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    let end = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "the server does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
}
