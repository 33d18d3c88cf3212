//! Settings of TLS: the trusted certificates and your own.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, KeyLogFile, OtherError, RootCertStore};

use super::error::Cause;
use super::verify::{Identity, Verifier};

/// Settings of TLS: the trusted certificates and your own. Make one for many connections, which then resume each other's
/// sessions. It is cheap to clone.
///
/// ALPN offers `http/1.1` only. SNI tells the server the host name, unless the host is an address.
///
/// If the environment variable `SSLKEYLOGFILE` is set when the first session is made, the keys of all sessions are appended to
/// that file, so that you can read the traffic with a tool such as Wireshark.
#[derive(Clone, Default)]
pub struct Tls(Arc<Settings>);

#[derive(Clone, Default)]
struct Settings {
    /// `None` means the certificates of the platform.
    roots: Option<Vec<CertificateDer<'static>>>,
    identity: Option<Arc<CertifiedKey>>,
    /// Made from the others when the first session needs it, because reading the platform's certificates takes milliseconds.
    config: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
}

impl Tls {
    /// Trusts the certificates that the platform trusts, and has no client certificate.
    ///
    /// All values made by this function share one configuration: the platform is asked once per program, when the first session
    /// is made.
    #[must_use]
    pub fn new() -> Self {
        static PLATFORM: OnceLock<Tls> = OnceLock::new();
        PLATFORM.get_or_init(Self::default).clone()
    }

    /// Trusts the certificates in `pem` instead of those of the platform. Further calls add to them. A certificate may be that
    /// of an issuer, or of a server itself.
    ///
    /// # Errors
    /// The PEM has no certificate, or one that cannot be used.
    pub fn roots_pem(self, pem: &[u8]) -> Result<Self, TlsSetupError> {
        let mut settings = Arc::unwrap_or_clone(self.0);
        let roots = settings.roots.get_or_insert_default();
        let added = certificates(pem)?;
        for (index, certificate) in added.iter().enumerate() {
            let checked = RootCertStore::empty().add(certificate.clone());
            checked.map_err(|error| TlsSetupError::BadCertificate { number: index + 1, cause: Cause(error) })?;
        }
        roots.extend(added);
        settings.config = OnceLock::new();
        Ok(Tls(Arc::new(settings)))
    }

    /// Shows this certificate to servers that ask for one. `chain` begins with your certificate, and `key` is its private key
    /// (PKCS #8, PKCS #1 or SEC 1, not encrypted). Both may be the same file.
    ///
    /// # Errors
    /// Either is missing or unusable, or they do not belong together.
    pub fn client_certificate_pem(self, chain: &[u8], key: &[u8]) -> Result<Self, TlsSetupError> {
        let mut settings = Arc::unwrap_or_clone(self.0);
        let key = private_key(key)?;
        let chain = certificates(chain)?;
        let identity = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsSetupError::KeyMismatch,
            rustls::Error::InvalidCertificate(_) => TlsSetupError::BadCertificate { number: 1, cause: Cause(error) },
            error => TlsSetupError::BadKey(Cause(error)),
        })?;
        settings.identity = Some(Arc::new(identity));
        settings.config = OnceLock::new();
        Ok(Tls(Arc::new(settings)))
    }

    /// Whether you have set a client certificate.
    #[must_use]
    pub fn has_client_certificate(&self) -> bool {
        self.0.identity.is_some()
    }

    /// Returns the configuration for rustls.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        self.0.config.get_or_init(|| self.0.make_config().map(Arc::new)).clone()
    }
}

impl Settings {
    fn make_config(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(self.verifier(&provider)?);
        let identity = Arc::new(Identity(self.identity.clone()));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(identity);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if std::env::var_os("SSLKEYLOGFILE").is_some() {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(config)
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, rustls::Error> {
        let Some(roots) = &self.roots else {
            return Ok(Verifier::new(Arc::new(rustls_platform_verifier::Verifier::new(provider.clone())?), &[]));
        };
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone())?;
        }
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build();
        let inner = built.map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))?;
        Ok(Verifier::new(inner, roots))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Show no key material.
        f.debug_struct("Tls")
            .field("roots", &self.0.roots.as_ref().map(Vec::len))
            .field("client_certificate", &self.has_client_certificate())
            .finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err(TlsSetupError::NoCertificate),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(TlsSetupError::BadPem),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsSetupError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        // PKCS #8 has a type for encrypted keys, older formats have a line inside (RFC 1421 §4.6.1.1).
        PemError::NoItemsFound | PemError::Base64Decode(_) if contains(pem, b"ENCRYPTED") => TlsSetupError::KeyEncrypted,
        PemError::NoItemsFound => TlsSetupError::NoKey,
        _ => TlsSetupError::BadPem,
    })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Why certificates or a key cannot be used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// The PEM is damaged (RFC 7468).
    BadPem,
    /// The PEM contains no certificate.
    NoCertificate,
    /// A certificate cannot be used.
    BadCertificate {
        /// Its position, counted from 1.
        number: usize,
        /// The reason.
        cause: Cause,
    },
    /// The PEM contains no private key.
    NoKey,
    /// The private key is encrypted.
    KeyEncrypted,
    /// The private key cannot be used.
    BadKey(Cause),
    /// The private key does not belong to the certificate.
    KeyMismatch,
}

impl fmt::Display for TlsSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsSetupError::BadPem => "the PEM is damaged",
            TlsSetupError::NoCertificate => "the PEM contains no certificate",
            TlsSetupError::BadCertificate { number, .. } => return write!(f, "certificate {number} of the PEM cannot be used"),
            TlsSetupError::NoKey => "the PEM contains no private key",
            TlsSetupError::KeyEncrypted => "the private key is encrypted; decrypt it first, for example with `openssl pkey`",
            TlsSetupError::BadKey(_) => "the private key cannot be used",
            TlsSetupError::KeyMismatch => "the private key does not belong to the certificate",
        })
    }
}

impl std::error::Error for TlsSetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsSetupError::BadCertificate { cause, .. } | TlsSetupError::BadKey(cause) => Some(cause),
            _ => None,
        }
    }
}
