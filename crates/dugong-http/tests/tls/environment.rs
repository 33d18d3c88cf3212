//! What the environment says. It is set for the processes of these tests alone: each is this program, with one of its ignored tests.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use dugong_http::transport::tls::Tls;
use tempfile::TempDir;

use super::client::Client;
use super::pki::Authority;
use super::servers::openssl;

/// Runs the client with its environment, in which the certificates of the platform are those of `authority`.
fn run_client(address: SocketAddr, authority: &Authority, variables: &[(&str, &Path)]) {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let roots = dir.path().join("roots.pem");
    fs::write(&roots, &authority.pem).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "environment::client_of_the_platform"]);
    command.env("SSL_CERT_FILE", &roots).env_remove("SSL_CERT_DIR").env("DUGONG_TEST_SERVER", address.to_string());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Trusts whom the platform trusts, which on this platform is what `SSL_CERT_FILE` says.
#[test]
#[ignore = "for the others alone"]
fn client_of_the_platform() {
    let address = std::env::var("DUGONG_TEST_SERVER").unwrap().parse().unwrap();
    assert!(Client::connect(address, &Tls::new(), "www.example").unwrap().get("/").unwrap().starts_with("HTTP/1.0 200"));
}

#[test]
fn the_platform_is_asked_whom_to_trust() {
    let authority = Authority::new("root");
    let server = openssl(&authority.issue(&["www.example"]), &[], &[]);
    run_client(server.address, &authority, &[]);
}

#[test]
fn keys_are_logged_where_the_environment_says() {
    let authority = Authority::new("root");
    let server = openssl(&authority.issue(&["www.example"]), &["-tls1_3"], &[]);
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("keys");
    fs::write(&file, "# what is in the file stays\n").unwrap();
    run_client(server.address, &authority, &[("SSLKEYLOGFILE", &file)]);
    let log = fs::read_to_string(&file).unwrap();
    assert!(log.starts_with("# what is in the file stays\n"));
    for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_TRAFFIC_SECRET_0 ", "CLIENT_TRAFFIC_SECRET_0 "] {
        assert!(log.lines().any(|line| line.starts_with(label)), "{log}");
    }
}
