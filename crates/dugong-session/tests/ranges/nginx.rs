//! Ranges of a real server: Debian's nginx, with its own configuration and port.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dugong_session::Session;
use dugong_session::ranges::RangeError;
use tempfile::TempDir;

/// A running nginx that serves the files in its directory; dropping it removes both.
struct Nginx {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl Nginx {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::create_dir(directory.path().join("temp")).unwrap();
        fs::write(directory.path().join("nginx.conf"), configuration(address)).unwrap();
        let mut child = ["nginx", "/usr/sbin/nginx"]
            .iter()
            .find_map(|program| {
                let mut command = Command::new(program);
                // nginx takes relative paths relative to the prefix (-p), not to the working directory.
                command.arg("-p").arg(directory.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
                match command.stdin(Stdio::null()).spawn() {
                    Ok(child) => Some(child),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(error) => panic!("{program} cannot be started: {error}"),
                }
            })
            .expect("nginx is not installed; on Debian: apt-get install nginx-light (or nginx)");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            let runs = child.try_wait().unwrap().is_none() && Instant::now() < deadline;
            let errors = || fs::read_to_string(directory.path().join("error.log")).unwrap_or_default();
            assert!(runs, "nginx does not start:\n{}", errors());
            thread::sleep(Duration::from_millis(5));
        }
        Nginx { child, directory, address }
    }

    fn session(&self) -> Session {
        Session::new(&format!("http://{}", self.address)).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("file")
    }

    fn here(&self) -> PathBuf {
        self.directory.path().join("downloaded")
    }

    /// Lines of the access log: status and range.
    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.directory.path().join("access.log")).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(address: SocketAddr) -> String {
    format!(
        "daemon off;
        master_process off;
        pid nginx.pid;
        error_log error.log;
        events {{ worker_connections 64; }}
        http {{
            log_format ranges '$status $http_range';
            access_log access.log ranges;
            client_body_temp_path temp/client;
            proxy_temp_path temp/proxy;
            fastcgi_temp_path temp/fastcgi;
            uwsgi_temp_path temp/uwsgi;
            scgi_temp_path temp/scgi;
            default_type application/octet-stream;
            sendfile on;
            server {{
                listen {address};
                keepalive_requests 7;
                root .;
                location /whole/ {{ alias ./; max_ranges 0; }}
                location /weak/ {{ alias ./; etag off; }}
            }}
        }}"
    )
}

/// Bytes that repeat at a distance that no part has.
fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    });
    let block: Vec<u8> = words.take(25_003).flat_map(u32::to_le_bytes).collect();
    let mut content = block.repeat(length / block.len() + 1);
    content.truncate(length);
    content
}

#[test]
fn nginx_serves_a_download_in_parts_and_a_later_one_from_where_it_ended() {
    let nginx = Nginx::start();
    let content = content(32 << 20, 1);
    fs::write(nginx.file(), &content).unwrap();
    let session = nginx.session();
    let whole = session.download("/file", nginx.here()).part_size(1 << 20).run().unwrap();
    assert_eq!(whole, 32 << 20);
    assert!(fs::read(nginx.here()).unwrap() == content);
    let log = nginx.log();
    // Some are repeated, because nginx closes each connection after seven.
    assert!((32..64).contains(&log.len()), "{log:?}");
    assert!(log.iter().all(|line| line.starts_with("206 bytes=")), "{log:?}");

    // The file changes in the middle of the second download; the third begins anew.
    let newer = self::content(32 << 20, 2);
    let error = session.download("/file", nginx.here()).part_size(1 << 20).progress(|done, _| {
        if done > 8 << 20 && fs::metadata(nginx.file()).unwrap().len() == 32 << 20 {
            fs::write(nginx.file(), &newer[..31 << 20]).unwrap();
        }
    });
    let error = error.run().unwrap_err();
    assert!(matches!(error, RangeError::Changed { .. } | RangeError::Failed { .. }), "{error:?}");
    assert!(fs::read(nginx.here()).unwrap() == content, "the finished file stays");
    session.download("/file", nginx.here()).run().unwrap();
    assert!(fs::read(nginx.here()).unwrap() == newer[..31 << 20]);
}

#[test]
fn nginx_without_ranges_or_etags_serves_everything_at_once() {
    let nginx = Nginx::start();
    let content = content(4 << 20, 3);
    fs::write(nginx.file(), &content).unwrap();
    let session = nginx.session();
    for (target, requests) in [("/whole/file", 1), ("/weak/file", 2)] {
        // The answer that is not read to its end is logged when its connection ends: those of `cat_ranges` may come late.
        let downloads = || nginx.log().iter().filter(|line| !line.ends_with("bytes=0-9") && !line.contains("1000000")).count();
        let before = downloads();
        session.download(target, nginx.here()).part_size(1 << 20).run().unwrap();
        assert!(fs::read(nginx.here()).unwrap() == content);
        assert!(downloads() - before <= requests, "{:?}", nginx.log());
        let parts = session.cat_ranges(target, &[(1_000_000, 1_000_010), (0, 10)]).unwrap();
        assert_eq!(parts, [&content[1_000_000..1_000_010], &content[..10]]);
    }
    fs::write(nginx.file(), "").unwrap();
    assert_eq!(session.download("/file", nginx.here()).run().unwrap(), 0);
    assert_eq!(session.open("/file").unwrap().size(), 0);
}

#[test]
fn nginx_serves_a_remote_file_and_scattered_ranges() {
    let nginx = Nginx::start();
    let content = content(16 << 20, 4);
    fs::write(nginx.file(), &content).unwrap();
    let session = nginx.session();
    let ranges: Vec<_> = (0..160).map(|i| (i * 100_000, i * 100_000 + 4096)).collect();
    let parts = session.cat_ranges("/file", &ranges).unwrap();
    assert!(parts.iter().zip(&ranges).all(|(part, &(start, end))| part == &content[start as usize..end as usize]));

    let mut file = session.open("/file").unwrap();
    let mut buffer = vec![0; 1 << 20];
    for position in [16 << 20, 0, 5_000_000, 5 << 20, 9_999_999] {
        file.seek(SeekFrom::Start(position)).unwrap();
        let expected = &content[position as usize..content.len().min(position as usize + (1 << 20))];
        let got = &mut buffer[..expected.len()];
        file.read_exact(got).unwrap();
        assert!(got == expected, "at {position}");
    }
    let error = session.cat_ranges("/file", &[((16 << 20) - 1, (16 << 20) + 1)]).unwrap_err().to_string();
    assert_eq!(error, "range (16777215, 16777217) ends beyond the end of /file, which has 16777216 bytes");
}
