//! Certificates of servers: which are accepted, and how the others are reported.

use dugong_http::transport::tls::{Tls, TlsFailure};
use rcgen::SanType;
use rustls::version::TLS13;

use super::client::{Client, refusal, trusting};
use super::pki::{Authority, expired, made_by_openssl, not_yet_valid, self_signed, self_signed_with};
use super::servers::{self, openssl};

#[test]
fn a_good_certificate_is_accepted_with_both_versions() {
    let authority = Authority::new("root");
    let identity = authority.issue(&["www.example"]);
    for (argument, version, suites) in [
        ("-tls1_3", "TLSv1.3", ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"]),
        ("-tls1_2", "TLSv1.2", ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]),
    ] {
        let server = openssl(&identity, &[argument, "-alpn", "h2,http/1.1"], &[]);
        let mut client = Client::connect(server.address, &trusting(&authority.pem), "www.example").unwrap();
        assert_eq!(client.session.version(), Some(version));
        let suite = client.session.cipher_suite().unwrap();
        assert!(suites.contains(&suite), "{suite}");
        assert_eq!(client.session.alpn(), Some(&b"http/1.1"[..]));
        assert!(!client.session.is_resumed());
        let certificates: Vec<_> = client.session.peer_certificates().collect();
        assert_eq!(certificates, [identity.chain_der()[0].as_ref()]);
        let answer = client.get("/").unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 ok\r\n") && answer.contains(version), "{answer}");
    }
}

#[test]
fn a_later_session_resumes_the_first_one() {
    let authority = Authority::new("root");
    for argument in ["-tls1_3", "-tls1_2"] {
        let server = openssl(&authority.issue(&["www.example"]), &[argument], &[]);
        let tls = trusting(&authority.pem);
        for resumed in [false, true] {
            let mut client = Client::connect(server.address, &tls.clone(), "www.example").unwrap();
            assert_eq!(client.session.is_resumed(), resumed, "{argument}");
            assert_eq!(client.session.peer_certificates().count(), 1);
            assert!(client.get("/").unwrap().starts_with("HTTP/1.0 200"));
        }
    }
}

#[test]
fn a_certificate_for_other_hosts_is_refused_and_they_are_named() {
    let authority = Authority::new("root");
    let server = openssl(&authority.issue(&["a.example", "*.b.example", "192.0.2.1"]), &[], &[]);
    let tls = trusting(&authority.pem);
    let error = refusal(server.address, &tls, "www.example");
    assert!(error.is_certificate());
    let TlsFailure::WrongHost { names } = &error.what else { panic!("{error:?}") };
    assert_eq!(names, &["a.example", "*.b.example", "192.0.2.1"]);
    assert_eq!(error.to_string(), "the certificate of www.example is not for it, but for a.example, *.b.example, 192.0.2.1");
    let error = refusal(server.address, &tls, "127.0.0.1");
    assert!(error.to_string().starts_with("the certificate of 127.0.0.1 is not for it, but for a.example"), "{error}");
    Client::connect(server.address, &tls, "any.b.example").unwrap();
    Client::connect(server.address, &tls, "A.Example.").unwrap();
}

#[test]
fn an_address_in_the_place_of_a_name_gets_an_error_of_its_own() {
    let authority = Authority::new("root");
    let identity = authority.issue_with(&[], |params| {
        params.subject_alt_names = vec![SanType::DnsName("127.0.0.1".try_into().unwrap())];
    });
    let server = openssl(&identity, &[], &[]);
    let error = refusal(server.address, &trusting(&authority.pem), "127.0.0.1");
    assert!(matches!(&error.what, TlsFailure::WrongHost { names } if names == &["127.0.0.1"]), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the certificate of 127.0.0.1 has the address as a name; \
         it needs subjectAltName=IP:127.0.0.1"
    );
}

#[test]
fn a_certificate_of_x509_version_1_is_named_whether_it_was_given_or_not() {
    let identity = made_by_openssl(2048, true);
    let server = openssl(&identity, &[], &[]);
    for tls in [trusting(&identity.chain), trusting(&Authority::new("other").pem)] {
        let error = refusal(server.address, &tls, "www.example");
        assert!(matches!(error.what, TlsFailure::OldCertificate) && error.is_certificate(), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with("the certificate of www.example is of X.509 version 1, "), "{text}");
        assert!(!text.contains("as a root"), "{text}");
    }
}

#[test]
fn an_rsa_key_that_is_too_short_is_named_with_its_size() {
    let identity = made_by_openssl(1024, false);
    let server = openssl(&identity, &["-tls1_2", "-cipher", "DEFAULT@SECLEVEL=0"], &[]);
    let error = refusal(server.address, &trusting(&identity.chain), "www.example");
    assert!(matches!(error.what, TlsFailure::ShortKey { bits: 1024 }) && error.is_certificate(), "{error:?}");
    assert!(error.to_string().ends_with("has an RSA key of 1024 bits; less than 2048 bits are not secure and not accepted"));
}

#[test]
fn a_common_name_does_not_count_as_a_host() {
    let authority = Authority::new("root");
    let server = openssl(&authority.issue(&[]), &[], &[]);
    let error = refusal(server.address, &trusting(&authority.pem), "leaf");
    assert!(matches!(&error.what, TlsFailure::WrongHost { names } if names.is_empty()), "{error:?}");
    assert_eq!(error.to_string(), "the certificate of leaf names no host in subjectAltName");
}

#[test]
fn certificates_before_and_after_their_time_are_told_apart() {
    let authority = Authority::new("root");
    let server = openssl(&authority.issue_with(&["www.example"], expired), &[], &[]);
    let error = refusal(server.address, &trusting(&authority.pem), "www.example");
    assert!(matches!(error.what, TlsFailure::Expired { since: Some(_) }) && error.is_certificate(), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("the certificate of www.example has expired, "), "{text}");
    assert!(text.ends_with(" days ago by the clock of this machine"), "{text}");

    let server = openssl(&authority.issue_with(&["www.example"], not_yet_valid), &[], &[]);
    let error = refusal(server.address, &trusting(&authority.pem), "www.example");
    assert!(matches!(error.what, TlsFailure::NotYetValid { until: Some(_) }) && error.is_certificate(), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("the certificate of www.example is not yet valid, but will be in "), "{text}");
}

#[test]
fn a_self_signed_certificate_is_told_from_an_unknown_issuer() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    for is_ca in [false, true] {
        let server = openssl(&self_signed(&["www.example"], is_ca), &[], &[]);
        let error = refusal(server.address, &trusting(&known.pem), "www.example");
        assert!(matches!(error.what, TlsFailure::SelfSigned) && error.is_certificate(), "{error:?}");
        assert_eq!(
            error.to_string(),
            "the certificate of www.example is self-signed; if it should be trusted, give it as a root"
        );
    }
    let server = openssl(&unknown.issue(&["www.example"]), &[], &[]);
    // The platform does not know the issuer, either.
    for tls in [trusting(&known.pem), Tls::new()] {
        let error = refusal(server.address, &tls, "www.example");
        assert!(matches!(error.what, TlsFailure::UnknownIssuer) && error.is_certificate(), "{error:?}");
        assert!(error.to_string().starts_with("the certificate of www.example was issued by an authority that is not trusted"));
    }
}

#[test]
fn a_self_signed_certificate_that_was_given_is_trusted_for_its_own_host_and_time() {
    for is_ca in [false, true] {
        let identity = self_signed(&["www.example", "127.0.0.1"], is_ca);
        let server = openssl(&identity, &[], &[]);
        let tls = trusting(&identity.chain);
        for host in ["www.example", "127.0.0.1"] {
            let mut client = Client::connect(server.address, &tls, host).unwrap();
            assert!(client.get("/").unwrap().starts_with("HTTP/1.0 200"));
        }
        let error = refusal(server.address, &tls, "other.example");
        let TlsFailure::WrongHost { names } = &error.what else { panic!("{error:?}") };
        assert_eq!(names, &["www.example", "127.0.0.1"]);
        // Another certificate with the same names, and another key.
        let server = openssl(&self_signed(&["www.example"], is_ca), &[], &[]);
        let error = refusal(server.address, &tls, "www.example");
        assert!(error.is_certificate(), "{error:?}");
    }
}

#[test]
fn a_certificate_that_was_given_has_to_be_in_its_time() {
    for is_ca in [false, true] {
        let identity = self_signed_with(&["www.example"], is_ca, expired);
        let server = openssl(&identity, &[], &[]);
        let error = refusal(server.address, &trusting(&identity.chain), "www.example");
        assert!(matches!(error.what, TlsFailure::Expired { .. }), "{error:?}");
    }
}

#[test]
fn certificates_between_are_needed_from_the_server() {
    let root = Authority::new("root");
    let between = root.below("between");
    let identity = between.issue(&["www.example"]);
    let tls = trusting(&root.pem);
    let server = openssl(&identity, &[], &[]);
    let error = refusal(server.address, &tls, "www.example");
    assert!(matches!(error.what, TlsFailure::UnknownIssuer), "{error:?}");
    assert!(error.to_string().contains("the server does not send the certificates between them"), "{error}");
    let server = openssl(&identity, &["-cert_chain", "between.pem"], &[("between.pem", &between.pem)]);
    let client = Client::connect(server.address, &tls, "www.example").unwrap();
    assert_eq!(client.session.peer_certificates().count(), 2);
}

#[test]
fn a_certificate_for_something_else_is_refused_with_the_reason_as_source() {
    let authority = Authority::new("root");
    let identity = authority
        .issue_with(&["www.example"], |params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]);
    let server = openssl(&identity, &[], &[]);
    let error = refusal(server.address, &trusting(&authority.pem), "www.example");
    assert!(matches!(error.what, TlsFailure::Certificate(_)) && error.is_certificate(), "{error:?}");
    assert_eq!(error.to_string(), "the certificate of www.example is not acceptable");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("extended key usage"), "{source}");
}

#[test]
fn names_are_told_to_the_server_and_addresses_are_not() {
    let authority = Authority::new("root");
    let identity = authority.issue(&["www.example", "127.0.0.1", "::1"]);
    let tls = trusting(&authority.pem);
    for (host, told) in [
        ("www.example", Some("www.example")),
        ("www.example.", Some("www.example")),
        ("127.0.0.1", None),
        ("::1", None),
        ("::1%lo", None),
    ] {
        let (address, server) = servers::rustls(servers::config(&identity, &[&TLS13]), |mut stream| {
            stream.conn.complete_io(&mut stream.sock).unwrap();
            stream.conn.server_name().map(ToOwned::to_owned)
        });
        Client::connect(address, &tls, host).unwrap();
        assert_eq!(server.join().unwrap().as_deref(), told, "{host}");
    }
}

#[test]
fn an_invalid_host_is_refused_before_anything_is_sent() {
    for host in ["", "a b", "[::1]", "www.example:443", "b\u{fc}cher.example", "300.300.300.300.", "\n"] {
        let error = dugong_http::driver::Session::new(&Tls::new(), host).unwrap_err();
        assert!(matches!(error.what, TlsFailure::HostName), "{host}: {error:?}");
        assert_eq!(error.host, host);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{host:?} is neither a host name nor an address")), "{text}");
        assert!(!text.contains('\n'));
    }
}
