//! Answers the questions of rustls while it processes received bytes: is this certificate good, and do we have one?
//!
//! All sessions of one configuration share the two objects that answer (otherwise they could not resume each other's sessions),
//! so these do not know which session asks. But rustls asks within the call that gives it bytes, so an answer can leave notes
//! for the session with the thread.

use std::cell::Cell;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Notes about a session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// A certificate was refused, and it claims to be its own issuer.
    pub(super) self_signed: bool,
    /// A certificate was refused, although you have given it as trusted.
    pub(super) was_given: bool,
    /// A signature was bad, and an RSA key that may have made it is too short: it has this many bits.
    pub(super) short_key: Option<usize>,
    /// The server asked for a certificate, and you have set none.
    pub(super) had_none_to_show: bool,
}

thread_local! {
    static SEEN: Cell<Seen> =
        const { Cell::new(Seen { self_signed: false, was_given: false, short_key: None, had_none_to_show: false }) };
}

/// Calls into rustls, and adds the notes of the call to `seen`.
pub(super) fn watch<T>(seen: &mut Seen, call: impl FnOnce() -> T) -> T {
    SEEN.set(*seen);
    let result = call();
    *seen = SEEN.take();
    result
}

/// Leaves the judgement to rustls or the platform.
#[derive(Debug)]
pub(super) struct Verifier {
    judge: Arc<dyn ServerCertVerifier>,
    /// Trusted as certificates of servers, too.
    given: Vec<CertificateDer<'static>>,
}

impl Verifier {
    pub(super) fn new(judge: Arc<dyn ServerCertVerifier>, given: &[CertificateDer<'static>]) -> Self {
        Verifier { judge, given: given.to_vec() }
    }

    /// Whether the only fault of `certificate` is that it claims to be an issuer's, while you have given it as trusted.
    /// `openssl req -x509` makes such certificates, and other clients accept them.
    fn was_given(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>, error: &Error) -> Result<bool, Error> {
        let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return Ok(false) };
        // webpki checks this after the time, and before everything else.
        let is_only_ca = other.0.to_string() == "CaUsedAsEndEntity";
        if !is_only_ca || !self.given.contains(certificate) {
            return Ok(false);
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(true)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let error = match self.judge.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Ok(good) => return Ok(good),
            Err(error) => error,
        };
        if self.was_given(certificate, name, &error)? {
            return Ok(ServerCertVerified::assertion());
        }
        let (self_signed, was_given) = (is_self_signed(certificate), self.given.contains(certificate));
        let short_key = short_key(intermediates.iter().chain(&self.given).chain([certificate]));
        SEEN.set(Seen { self_signed, was_given, short_key, ..SEEN.get() });
        Err(error)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signature).inspect_err(|_| note_key(certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signature).inspect_err(|_| note_key(certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// The client certificate, if you have set one.
#[derive(Debug)]
pub(super) struct Identity(pub(super) Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Identity {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if self.0.is_none() {
            SEEN.set(Seen { had_none_to_show: true, ..SEEN.get() });
        }
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Whether issuer and subject of a certificate are the same (RFC 5280 §4.1); false if it cannot be read.
fn is_self_signed(certificate: &[u8]) -> bool {
    names_of(certificate).is_some_and(|(issuer, subject)| issuer == subject)
}

/// Notes the key of a certificate whose signature was bad.
fn note_key(certificate: &CertificateDer<'_>) {
    SEEN.set(Seen { short_key: short_key([certificate]), ..SEEN.get() });
}

/// Returns the size of the shortest RSA key of `certificates`, in bits, if it is too short for ring, which only says that the
/// signature is bad.
fn short_key<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Option<usize> {
    certificates.into_iter().filter_map(|certificate| rsa_bits(certificate)).min().filter(|&bits| bits < RSA_BITS_MIN)
}

/// The size of the RSA key in a certificate (RFC 3279 §2.3.1).
fn rsa_bits(certificate: &[u8]) -> Option<usize> {
    let (_, key, _) = element(subject_and_rest(certificate)?.1)?;
    let (_, algorithm, key) = element(key)?;
    if element(algorithm)?.1 != RSA_ENCRYPTION {
        return None;
    }
    let (_, bits, _) = element(key)?;
    // Its first byte says that all bits of the last are used.
    let (_, numbers, _) = element(bits.get(1..)?)?;
    let (_, modulus, _) = element(numbers)?;
    let start = modulus.iter().position(|&byte| byte != 0)?;
    Some(8 * (modulus.len() - start) - modulus[start].leading_zeros() as usize)
}

/// The shortest RSA key that is accepted, as for NIST and the browsers.
const RSA_BITS_MIN: usize = 2048;

/// The object identifier 1.2.840.113549.1.1.1.
const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

/// Returns issuer and subject, for the text of an error; nothing is trusted because of it.
fn names_of(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    Some((issuer_and_rest(certificate)?.0, subject_and_rest(certificate)?.0))
}

/// Splits off the issuer.
fn issuer_and_rest(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // The version may be left out.
    if let (0xa0, _, rest) = element(fields)? {
        fields = rest;
    }
    let (_, _serial_number, fields) = element(fields)?;
    let (_, _signature, fields) = element(fields)?;
    let (_, issuer, fields) = element(fields)?;
    Some((issuer, fields))
}

/// Splits off the subject. The key comes first in the rest.
fn subject_and_rest(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, _validity, fields) = element(issuer_and_rest(certificate)?.1)?;
    let (_, subject, fields) = element(fields)?;
    Some((subject, fields))
}

/// Splits off the first element of DER: its tag, its content, and the rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(issuer: &[u8], subject: &[u8], with_version: bool) -> Vec<u8> {
        let version: &[u8] = if with_version { &[0xa0, 3, 2, 1, 2] } else { &[] };
        let fields =
            [version, &[2, 1, 7], &[0x30, 2, 6, 0], &sequence(issuer), &sequence(&[0; 30]), &sequence(subject), &[0x30, 0]];
        sequence(&sequence(&fields.concat()))
    }

    fn sequence(content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let length = match content.len() {
            0..0x80 => vec![low],
            0x80..0x100 => vec![0x81, low],
            _ => vec![0x82, high, low],
        };
        [&[0x30], &length[..], content].concat()
    }

    #[test]
    fn issuer_and_subject_are_found_and_compared() {
        for with_version in [true, false] {
            for length in [0, 1, 127, 128, 200, 256, 300] {
                let name = vec![b'x'; length];
                assert_eq!(names_of(&certificate(&name, b"y", with_version)), Some((&name[..], &b"y"[..])));
                assert!(is_self_signed(&certificate(&name, &name, with_version)));
                assert!(!is_self_signed(&certificate(&name, b"y", with_version)));
            }
        }
    }

    #[test]
    fn no_part_of_a_certificate_and_no_garbage_is_self_signed() {
        let whole = certificate(b"x", b"x", true);
        for end in 0..whole.len() {
            assert!(!is_self_signed(&whole[..end]));
        }
        for first in 0..=255 {
            assert!(!is_self_signed(&[first; 100]));
            assert!(!is_self_signed(&[0x30, first, 0x30, 0xff]));
            assert!(!is_self_signed(&[0x30, 0x83, first, 0xff, 0xff, 0x30]));
        }
    }
}
