//! The environment. The tests set it for processes of their own: each is this program, running one of its ignored tests.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use dugong_http::driver::Session;
use dugong_http::transport::tls::{Tls, TlsFailure};
use tempfile::TempDir;

use super::client::{Client, trusting};
use super::pki::Authority;
use super::servers::openssl;

/// Runs the client with an environment in which the platform trusts `authority`.
fn run_client(address: SocketAddr, authority: &Authority, variables: &[(&str, &Path)]) {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let roots = dir.path().join("roots.pem");
    fs::write(&roots, &authority.pem).unwrap();
    let address = address.to_string();
    let ours = [("SSL_CERT_FILE", &*roots), ("DUGONG_TEST_SERVER", Path::new(&address))];
    run("client_of_the_platform", &[&ours[..], variables].concat());
}

fn run(test: &str, variables: &[(&str, &Path)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("environment::{test}")]);
    command.env_remove("SSL_CERT_DIR").env_remove("SSLKEYLOGFILE").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Trusts the certificates of the platform; here `SSL_CERT_FILE` sets them.
#[test]
#[ignore = "not a test by itself: others run it in a process of its own, with another environment"]
fn client_of_the_platform() {
    let Ok(address) = std::env::var("DUGONG_TEST_SERVER") else { return };
    let address = address.parse().unwrap();
    assert!(Client::connect(address, &Tls::new(), "www.example").unwrap().get("/").unwrap().starts_with("HTTP/1.0 200"));
}

/// Runs where the platform trusts no certificate.
#[test]
#[ignore = "not a test by itself: others run it in a process of its own, with another environment"]
fn client_of_a_platform_without_certificates() {
    if std::env::var_os("SSL_CERT_FILE").is_none_or(|file| file != "/dev/null") {
        return;
    }
    let error = Session::new(&Tls::new(), "www.example").unwrap_err();
    assert!(matches!(error.what, TlsFailure::NoRoots(_)) && !error.is_certificate(), "{error:?}");
    let text = error.to_string();
    assert_eq!(text, "cannot check the certificate of www.example: the certificates that this machine trusts could not be read");
    // A client with its own roots needs none of the platform.
    Session::new(&trusting(&Authority::new("root").pem), "www.example").unwrap();
}

#[test]
fn a_platform_without_certificates_is_an_error_of_its_own() {
    run("client_of_a_platform_without_certificates", &[("SSL_CERT_FILE", Path::new("/dev/null"))]);
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
