//! https: trusted certificates, client certificates, and their errors.

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::servers::{Authority, GUARD, Server, file};
use crate::support::*;
use dugong_origin::{Config, Origin, WhenPipelined};

/// An origin behind TLS.
struct Secure {
    origin: Origin,
    server: Server,
    scratch: tempfile::TempDir,
    /// The arguments that make the program trust it.
    cacert: String,
    authority: Authority,
}

impl Secure {
    fn start(service: &str) -> Secure {
        Secure::start_with(service, Config::default())
    }

    fn start_with(service: &str, config: Config) -> Secure {
        let (origin, authority, scratch) = (origin_with(config), Authority::new(), tempfile::tempdir().unwrap());
        let server = Server::stunnel(origin.address(), &authority, service);
        let cacert = authority.file(scratch.path());
        Secure { origin, server, scratch, cacert, authority }
    }

    /// The URLs of the documents 1 to `count`.
    fn documents(&self, count: usize) -> Vec<String> {
        documents(self.server.address, count).iter().map(|url| url.replace("http:", "https:")).collect()
    }

    fn file(&self, name: &str, content: &str) -> String {
        file(self.scratch.path(), name, content)
    }
}

#[test]
fn many_documents_come_through_one_connection() {
    let secure = Secure::start("");
    let ran = get(secure.documents(100).iter().chain([&"--cacert".to_owned(), &secure.cacert])).succeeds();
    assert!(ran.stdout() == all_documents(100));
    assert_eq!(secure.origin.counts().connections, 1);
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused_in_one_line() {
    let secure = Secure::start("");
    let ran = get(secure.documents(2)).exits_with(3).says("was issued by an authority that is not trusted");
    let wanted = format!("dugong: the certificate of {} was issued by", secure.server.address.ip());
    assert!(ran.stderr().starts_with(&wanted), "{}", ran.stderr());
    assert_eq!(ran.stderr().lines().count(), 2);
    let ran = ran.says("give its certificate as a root (--cacert FILE)");
    ran.says("0 of 2 answered; 2 safe to send again, 0 unknown");
    // Nor is a certificate of another host, even from a trusted issuer.
    let url = format!("https://other.example:{}/doc/1", secure.server.address.port());
    let elsewhere = format!("other.example:{}:{}", secure.server.address.port(), secure.server.address.ip());
    get([&*url, "--cacert", &secure.cacert, "--resolve", &elsewhere]).exits_with(3).says("is not for it, but for www.example");
    assert_eq!(secure.origin.counts().connections, 0);
}

#[test]
fn a_name_that_is_resolved_on_the_command_line_is_the_name_in_the_certificate() {
    let secure = Secure::start("");
    let (host, port) = (secure.server.address.ip(), secure.server.address.port());
    let urls = [1, 2].map(|id| format!("https://WWW.example:{port}/doc/{id}"));
    // The first address does not answer, and the last of two options for the same host and port counts.
    let resolve = [format!("www.example:{port}:127.0.0.9"), format!("www.example:{port}:[::1],{host}")];
    let args = [&*urls[0], &urls[1], "--cacert", &secure.cacert, "--resolve", &resolve[0], "--resolve", &resolve[1]];
    assert_eq!(get(args).succeeds().stdout(), all_documents(2));
}

#[test]
fn a_client_certificate_is_presented_to_servers_that_ask_for_one() {
    let secure = Secure::start("verifyChain = yes\nCAfile = ca.pem");
    let client = secure.authority.issue(&["client"]);
    let both = secure.file("both.pem", &client.both());
    let (cert, key) = (secure.file("cert.pem", &client.certificate), secure.file("key:pem", &client.key));
    let url = &secure.documents(1)[0];
    let with = |args: &[&str]| get([url, "--cacert", &secure.cacert].into_iter().chain(args.iter().copied()));
    for args in [&["--cert", &*both][..], &["-E", &cert, "--key", &key]] {
        assert_eq!(with(args).succeeds().stdout(), all_documents(1));
    }
    with(&[]).exits_with(3).says("requires a client certificate, and none was given");
}

#[test]
fn unusable_files_are_named_with_their_option_before_anything_is_sent() {
    let secure = Secure::start("");
    let (client, other) = (secure.authority.issue(&["client"]), secure.authority.issue(&["other"]));
    let (cert, key) = (secure.file("cert.pem", &client.certificate), secure.file("key.pem", &client.key));
    let (other, empty) = (secure.file("other.pem", &other.key), secure.file("empty", ""));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = secure.file("encrypted", encrypted);
    let with_password = format!("{cert}:pass-word");
    let url = &secure.documents(1)[0];
    for (args, said) in [
        (&["--cacert", "/no/such/file"][..], "--cacert: cannot read /no/such/file: No such file"),
        (&["--cacert", &empty], "--cacert: the PEM contains no certificate"),
        (&["--cacert", &key], "--cacert: the PEM contains no certificate"),
        (&["--cert", "/no/such/file"], "--cert: cannot read /no/such/file: No such file"),
        (&["--cert", &with_password], "a password behind the file name"),
        (&["--cert", &cert], "--cert: the PEM contains no private key"),
        (&["--cert", &key], "--cert: the PEM contains no certificate"),
        (&["--cert", &cert, "--key", "/no/such/file"], "--key: cannot read /no/such/file: No such file"),
        (&["--cert", &cert, "--key", &empty], "--key: the PEM contains no private key"),
        (&["--cert", &cert, "--key", &encrypted], "--key: the private key is encrypted"),
        (&["--cert", &cert, "--key", &other], "--cert and --key: the private key does not belong to the certificate"),
        (&["--key", &key], "--cert"),
    ] {
        let ran = get([&**url].into_iter().chain(args.iter().copied())).exits_with(2).says(said);
        assert!(!ran.stderr().contains("pass-word"), "{}", ran.stderr());
    }
    assert_eq!(secure.origin.counts().connections, 0);
}

#[test]
fn a_session_that_ends_between_responses_without_close_notify_is_followed_by_another() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1"]);
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        // The first request goes alone on the second connection.
        for (asked, content) in [(1, "1"), (1, "2")] {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(GUARD)).unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            read_exactly(&mut stream, asked);
            stream.write_all(ok(content).as_bytes()).unwrap();
            stream.flush().unwrap();
            stream.sock.shutdown(Shutdown::Write).unwrap();
        }
    });
    let scratch = tempfile::tempdir().unwrap();
    let cacert = authority.file(scratch.path());
    let urls = ["1", "2"].map(|path| format!("https://{address}/{path}"));
    assert_eq!(get([&*urls[0], &urls[1], "--cacert", &cacert]).succeeds().stdout(), b"12");
    server.join().unwrap();
}

#[test]
fn losses_between_responses_are_followed_by_other_connections() {
    for config in [
        Config { when_pipelined: WhenPipelined::Close, ..Config::default() },
        Config { when_pipelined: WhenPipelined::Stall, ..Config::default() },
        Config { close_after: Some(10), close_silently: true, ..Config::default() },
        // No reset: stunnel passes it on, and drops data that it has not passed on yet. `pipelining` tests resets without TLS.
    ] {
        let secure = Secure::start_with("", config.clone());
        let args = secure.documents(40).into_iter().chain(["--cacert", &*secure.cacert, "--timeout=2"].map(str::to_owned));
        let ran = Ran(program("get").args(args).output().unwrap()).exits_with(0);
        assert!(ran.stdout() == all_documents(40), "{config:?}");
    }
}
