//! The suite of `object_store` itself, against moto's S3, and against Apache's WebDAV for the HTTP store.
//!
//! `DUGONG_MOTO_SERVER` names the program `moto_server`; by default it is that of the Python tests.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dugong_object_store::Connector;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpConnector, HttpRequestBody};
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, integration};

struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    fn start() -> Self {
        let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/moto_server");
        let program = std::env::var_os("DUGONG_MOTO_SERVER").map_or(default, PathBuf::from);
        let port = free_port();
        let mut command = Command::new(&program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}; `make setup-python` installs it", program.display()));
        wait_for(port);
        Moto { child, url: format!("http://127.0.0.1:{port}") }
    }

    async fn store(&self, bucket: &str) -> AmazonS3 {
        let options = ClientOptions::new().with_allow_http(true);
        let client = Connector::default().connect(&options).unwrap();
        let put = http::Request::put(format!("{}/{bucket}", self.url)).body(HttpRequestBody::empty()).unwrap();
        assert_eq!(client.execute(put).await.unwrap().status(), 200);
        AmazonS3Builder::new()
            .with_endpoint(&self.url)
            .with_allow_http(true)
            .with_bucket_name(bucket)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .with_http_connector(Connector::default())
            .build()
            .unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_suite_of_object_store_passes_against_s3() {
    let moto = Moto::start();
    let store = moto.store("suite").await;
    integration::put_get_delete_list(&store).await;
    integration::list_with_offset_exclusivity(&store).await;
    integration::get_opts(&store).await;
    integration::list_uses_directories_correctly(&store).await;
    integration::list_with_delimiter(&store).await;
    integration::rename_and_copy(&store).await;
    integration::stream_get(&store).await;
    integration::multipart(&store, &store).await;
    integration::multipart_out_of_order(&store).await;
    integration::put_get_attributes(&store).await;
}

/// Apache with a directory that can be written to. Dropping it removes both.
struct Apache {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
}

impl Apache {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let port = free_port();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let modules = ["mpm_event", "authz_core", "dav", "dav_fs", "dir"];
        let loads: String =
            modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")).concat();
        let configuration = format!(
            "{loads}ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {path}/pid\nErrorLog {path}/error.log\n\
             DavLockDB {path}/locks\nDocumentRoot {path}/files\n<Directory {path}/files>\nDav On\nDavDepthInfinity On\n\
             Require all granted\n</Directory>\n"
        );
        std::fs::write(folder.path().join("conf"), configuration).unwrap();
        let conf = folder.path().join("conf");
        let child = Command::new("apache2").arg("-f").arg(conf).arg("-DFOREGROUND").stderr(Stdio::null()).spawn().unwrap();
        wait_for(port);
        Apache { child, folder, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Its workers end with it only if it ends in order.
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
        let _ = Command::new("kill").arg(pid.trim()).status();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn what_apache_can_do_of_the_suite_passes_against_webdav() {
    let apache = Apache::start();
    let options = ClientOptions::new().with_allow_http(true);
    let builder = HttpBuilder::new().with_url(&apache.url).with_client_options(options);
    let store = builder.with_http_connector(Connector::default()).build().unwrap();
    // `put_get_delete_list` ends with HEAD of an empty file. Apache answers that without a Content-Length, which the store needs.
    // `list_with_delimiter` wants an order, and Apache lists a directory in that of its disk.
    integration::list_uses_directories_correctly(&store).await;
    integration::rename_and_copy(&store).await;
    integration::copy_if_not_exists(&store).await;
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
