//! Makes certificates for the tests.

use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate with its key, followed by intermediate certificates, if any.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Identity {
    pub(crate) fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect()
    }

    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// An issuer of certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// An issuer whose own certificate was issued by this one.
    pub(crate) fn below(&self, name: &str) -> Authority {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these hosts, names or addresses.
    pub(crate) fn issue(&self, hosts: &[&str]) -> Identity {
        self.issue_with(hosts, |_| {})
    }

    pub(crate) fn issue_with(&self, hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let (mut params, key) = (leaf(hosts), KeyPair::generate().unwrap());
        change(&mut params);
        Identity { chain: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// The roots for client certificates of a rustls server.
    pub(crate) fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        store
    }
}

/// A self-signed certificate.
pub(crate) fn self_signed(hosts: &[&str], is_ca: bool) -> Identity {
    self_signed_with(hosts, is_ca, |_| {})
}

pub(crate) fn self_signed_with(hosts: &[&str], is_ca: bool, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let (mut params, key) = (leaf(hosts), KeyPair::generate().unwrap());
    change(&mut params);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages.clear();
    }
    Identity { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A self-signed certificate with an RSA key for `www.example`, of X.509 version 1 or 3.
pub(crate) fn made_by_openssl(bits: u32, is_version_1: bool) -> Identity {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let new = format!("req -new -newkey rsa:{bits} -nodes -keyout key -subj /CN=www.example");
    if is_version_1 {
        run(&format!("{new} -out request"));
        // Version 1 has no extensions.
        run("x509 -req -in request -signkey key -days 9 -out certificate");
    } else {
        run(&format!("{new} -x509 -days 9 -out certificate -addext subjectAltName=DNS:www.example"));
    }
    let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
    Identity { chain: read("certificate"), key: read("key") }
}

pub(crate) fn expired(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
}

pub(crate) fn not_yet_valid(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(4000, 1, 1), date_time_ymd(4001, 1, 1));
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf(hosts: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}
