//! Certificates and keys of the caller.

use std::error::Error;

use dugong_http::transport::tls::{Tls, TlsSetupError};

use super::client::Client;
use super::pki::Authority;
use super::servers::openssl;

#[test]
fn certificate_and_key_may_be_in_one_file_among_other_things() {
    let authority = Authority::new("root");
    let client = authority.issue(&["client"]);
    let server = openssl(
        &authority.issue(&["www.example"]),
        &["-Verify", "1", "-verify_return_error", "-CAfile", "ca"],
        &[("ca", &authority.pem)],
    );
    let file = format!("subject=whoever\n{}\nBag Attributes\n{}", client.key, client.chain);
    let tls = Tls::new().roots_pem(authority.pem.as_bytes()).unwrap();
    assert!(!tls.has_client_certificate());
    let tls = tls.client_certificate_pem(file.as_bytes(), file.as_bytes()).unwrap();
    assert!(tls.has_client_certificate());
    assert!(Client::connect(server.address, &tls, "www.example").unwrap().get("/").unwrap().starts_with("HTTP/1.0 200"));
}

#[test]
fn roots_given_twice_are_both_trusted() {
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let tls = Tls::new().roots_pem(one.pem.as_bytes()).unwrap().roots_pem(two.pem.as_bytes()).unwrap();
    for authority in [one, two] {
        let server = openssl(&authority.issue(&["www.example"]), &[], &[]);
        Client::connect(server.address, &tls, "www.example").unwrap();
    }
}

#[test]
fn the_roots_of_the_system_can_be_given_as_a_file() {
    let file = std::fs::read("/etc/ssl/certs/ca-certificates.crt").expect("package ca-certificates");
    Tls::new().roots_pem(&file).unwrap();
}

#[test]
fn unusable_certificates_and_keys_are_named() {
    let authority = Authority::new("root");
    let (mine, other) = (authority.issue(&["client"]), authority.issue(&["other"]));
    let roots = |pem: &str| Tls::new().roots_pem(pem.as_bytes()).unwrap_err();
    let client = |chain: &str, key: &str| Tls::new().client_certificate_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbage_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AA\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for (error, text) in [
        (roots(""), "the PEM contains no certificate"),
        (roots(&mine.key), "the PEM contains no certificate"),
        (roots(&format!("{}{garbage}", authority.pem)), "certificate 2 of the PEM cannot be used"),
        (roots("-----BEGIN CERTIFICATE-----\nAAAA\n"), "the PEM is damaged"),
        (roots("-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n"), "the PEM is damaged"),
        (client("", &mine.key), "the PEM contains no certificate"),
        (client(garbage, &mine.key), "certificate 1 of the PEM cannot be used"),
        (client(&mine.chain, ""), "the PEM contains no private key"),
        (client(&mine.chain, &mine.chain), "the PEM contains no private key"),
        (client(&mine.chain, garbage_key), "the private key cannot be used"),
        (client(&mine.chain, encrypted), "the private key is encrypted; decrypt it first, for example with `openssl pkey`"),
        (client(&mine.chain, old_encrypted), "the private key is encrypted; decrypt it first, for example with `openssl pkey`"),
        (client(&mine.chain, &other.key), "the private key does not belong to the certificate"),
    ] {
        assert_eq!(error.to_string(), text);
        let has_cause = matches!(error, TlsSetupError::BadCertificate { .. } | TlsSetupError::BadKey(_));
        assert_eq!(error.source().is_some(), has_cause, "{error:?}");
    }
}

#[test]
fn no_key_is_printed() {
    let authority = Authority::new("root");
    let client = authority.issue(&["client"]);
    let tls = Tls::new().roots_pem(authority.pem.as_bytes()).unwrap();
    let tls = tls.client_certificate_pem(client.chain.as_bytes(), client.key.as_bytes()).unwrap();
    assert_eq!(format!("{tls:?}"), "Tls { roots: Some(1), client_certificate: true, .. }");
    let session = dugong_http::driver::Session::new(&tls, "www.example").unwrap();
    assert_eq!(
        format!("{session:?}"),
        "Session { host: \"www.example\", state: Handshake, version: None, cipher_suite: None, failed: None, .. }"
    );
}
