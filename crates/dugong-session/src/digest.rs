//! Checks content against digests while it streams: one that the caller knows, `Content-Digest` and `Repr-Digest` (RFC 9530), and
//! `Content-MD5` (RFC 1864).
//!
//! Of the algorithms of RFC 9530, sha-256 and sha-512 are checked, and others ignored, because they are for accidents only. A field
//! that is malformed counts as missing (RFC 9651 §4.2).

use std::convert::Infallible;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dugong_http::{Fields, Status};
use md5::Md5;
use sfv::visitor::{DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, Never};
use sfv::{BareItemFromInput, KeyRef, Parser};
use sha2::{Digest as _, Sha256, Sha512};

/// The digest that the content of a reply must have: one that you know, or the one that the server announces.
///
/// It is checked for successful replies (2xx) with content. With a range, it is the digest of the part that comes.
///
/// ```
/// use dugong_session::Digest;
///
/// let known = Digest::sha256_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")?;
/// let announced = Digest::announced();
/// # let _ = (known, announced);
/// # Ok::<(), dugong_session::InvalidDigest>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(Wanted);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Known(Algorithm, Box<[u8]>),
    Announced,
}

impl Digest {
    /// A SHA-256 digest that you know.
    #[must_use]
    pub fn sha256(digest: [u8; 32]) -> Self {
        Digest(Wanted::Known(Algorithm::Sha256, digest.into()))
    }

    /// A SHA-256 digest in hexadecimal digits, as `sha256sum` prints it.
    ///
    /// # Errors
    /// The text does not consist of 64 hexadecimal digits.
    pub fn sha256_hex(digits: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest { digits: digits.chars().take(QUOTED).collect() };
        let mut digest = [0; 32];
        if digits.len() != 64 {
            return Err(invalid());
        }
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or_else(invalid);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Ok(Digest::sha256(digest))
    }

    /// The digest that the server announces: `Content-Digest`, or else `Content-MD5`. A reply without them is not checked; nor is a
    /// part of a representation (206) with `Content-MD5` alone, because servers disagree about its meaning (RFC 7231 B).
    #[must_use]
    pub fn announced() -> Self {
        Digest(Wanted::Announced)
    }
}

/// How much of a wrong digest an error quotes.
const QUOTED: usize = 80;

/// A text that is no SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDigest {
    digits: String,
}

impl fmt::Display for InvalidDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a SHA-256 digest consists of 64 hexadecimal digits, but this is {:?}", self.digits)
    }
}

impl std::error::Error for InvalidDigest {}

/// Content that arrived whole, but has another digest than it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestMismatch {
    algorithm: &'static str,
    field: Option<&'static str>,
    expected: Box<[u8]>,
    computed: Box<[u8]>,
}

impl DigestMismatch {
    /// The algorithm: `sha-256`, `sha-512` or `md5`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The field that announced the digest; `None` for one that the caller gave.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        self.field
    }

    /// The digest that the content must have.
    #[must_use]
    pub fn expected(&self) -> &[u8] {
        &self.expected
    }

    /// The digest that the content has.
    #[must_use]
    pub fn computed(&self) -> &[u8] {
        &self.computed
    }
}

/// Quotes both digests: in hexadecimal digits, or in base64 as in the field.
impl fmt::Display for DigestMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.algorithm;
        match self.field {
            Some(field) => {
                let (computed, expected) = (STANDARD.encode(&self.computed), STANDARD.encode(&self.expected));
                write!(f, "the content has the {algorithm} digest {computed}, but {field} announced {expected}")
            }
            None => {
                let (computed, expected) = (hex(&self.computed), hex(&self.expected));
                write!(f, "the content has the {algorithm} digest {computed}, but {expected} was expected")
            }
        }
    }
}

impl std::error::Error for DigestMismatch {}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks content piece by piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct Check {
    sums: Vec<Sum>,
}

#[derive(Clone, Debug)]
struct Sum {
    hasher: Hasher,
    field: Option<&'static str>,
    expected: Box<[u8]>,
}

impl Check {
    /// The check of a reply's content for all digests that its request wants. Without content, pass no `wanted`.
    pub(crate) fn of_content(wanted: &[Digest], status: Status, fields: &Fields) -> Self {
        let mut check = Check::default();
        for digest in wanted.iter().filter(|_| status.is_success()) {
            match &digest.0 {
                Wanted::Known(algorithm, expected) => check.add(*algorithm, None, expected.clone()),
                Wanted::Announced => {
                    let before = check.sums.len();
                    check.add_announced(fields, "Content-Digest");
                    if check.sums.len() == before && status != Status::PARTIAL_CONTENT {
                        check.add_content_md5(fields);
                    }
                }
            }
        }
        check
    }

    #[allow(dead_code, reason = "downloads in ranges are its only users")]
    /// The check of a whole representation that arrives in parts: `Repr-Digest` of one of its responses.
    pub(crate) fn of_representation(fields: &Fields) -> Self {
        let mut check = Check::default();
        check.add_announced(fields, "Repr-Digest");
        check
    }

    /// Whether it has no digest to check.
    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Takes the next piece of content.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        for sum in &mut self.sums {
            sum.hasher.update(piece);
        }
    }

    /// Compares all digests, at the end of the content.
    ///
    /// # Errors
    /// The first digest that differs.
    pub(crate) fn finish(self) -> Result<(), DigestMismatch> {
        for sum in self.sums {
            let algorithm = sum.hasher.algorithm().name();
            let computed = sum.hasher.finish();
            if computed != sum.expected {
                return Err(DigestMismatch { algorithm, field: sum.field, expected: sum.expected, computed });
            }
        }
        Ok(())
    }

    fn add(&mut self, algorithm: Algorithm, field: Option<&'static str>, expected: Box<[u8]>) {
        self.sums.push(Sum { hasher: Hasher::new(algorithm), field, expected });
    }

    fn add_announced(&mut self, fields: &Fields, field: &'static str) {
        // The lines of a list are one value (RFC 9110 §5.2).
        let lines: Vec<&[u8]> = fields.get_all_bytes(field).collect();
        let value = lines.join(&b", "[..]);
        let Ok(announced) = Parser::new(&value).parse_dictionary_with_visitor(Announced::default()) else { return };
        for (algorithm, expected) in [(Algorithm::Sha256, announced.sha256), (Algorithm::Sha512, announced.sha512)] {
            if let Some(expected) = expected {
                self.add(algorithm, Some(field), expected.into());
            }
        }
    }

    fn add_content_md5(&mut self, fields: &Fields) {
        let mut values = fields.get_all_bytes("Content-MD5");
        if let (Some(value), None) = (values.next(), values.next())
            && let Ok(expected) = STANDARD.decode(value)
            && expected.len() == 16
        {
            self.add(Algorithm::Md5, Some("Content-MD5"), expected.into());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
    Md5,
}

impl Algorithm {
    /// The name in the registry of RFC 9530.
    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha-256",
            Algorithm::Sha512 => "sha-512",
            Algorithm::Md5 => "md5",
        }
    }
}

#[derive(Clone, Debug)]
enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
    Md5(Md5),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
            Algorithm::Md5 => Hasher::Md5(Md5::new()),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Hasher::Sha256(_) => Algorithm::Sha256,
            Hasher::Sha512(_) => Algorithm::Sha512,
            Hasher::Md5(_) => Algorithm::Md5,
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Hasher::Sha256(hasher) => hasher.update(piece),
            Hasher::Sha512(hasher) => hasher.update(piece),
            Hasher::Md5(hasher) => hasher.update(piece),
        }
    }

    fn finish(self) -> Box<[u8]> {
        match self {
            Hasher::Sha256(hasher) => hasher.finalize().as_slice().into(),
            Hasher::Sha512(hasher) => hasher.finalize().as_slice().into(),
            Hasher::Md5(hasher) => hasher.finalize().as_slice().into(),
        }
    }
}

/// The digests of a field of RFC 9530: a dictionary of byte sequences by algorithm, of which the last one counts.
#[derive(Default)]
struct Announced {
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl<'de> DictionaryVisitor<'de> for Announced {
    type Out = Self;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        Ok(match key.as_str() {
            "sha-256" => Some(Value(&mut self.sha256)),
            "sha-512" => Some(Value(&mut self.sha512)),
            _ => None,
        })
    }

    fn finish(self) -> Result<Self, Infallible> {
        Ok(self)
    }
}

struct Value<'a>(&'a mut Option<Vec<u8>>);

impl<'de> EntryVisitor<'de> for Value<'_> {
    type Error = NoByteSequence;

    fn item(self) -> Result<impl ItemVisitor<'de>, NoByteSequence> {
        Ok(|item: BareItemFromInput<'de>| match item {
            BareItemFromInput::ByteSequence(bytes) => {
                *self.0 = Some(bytes);
                Ok(Ignored)
            }
            _ => Err(NoByteSequence),
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, NoByteSequence> {
        Err::<Never, _>(NoByteSequence)
    }
}

#[derive(Debug)]
struct NoByteSequence;

impl fmt::Display for NoByteSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest must be a byte sequence")
    }
}

impl std::error::Error for NoByteSequence {}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9530 appendix B.1: `{"hello": "world"}` and a line feed.
    const CONTENT: &[u8] = b"{\"hello\": \"world\"}\n";
    const SHA_256: &str = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=";
    const SHA_512: &str = "YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==";

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name, value).unwrap();
        }
        fields
    }

    fn announced(lines: &[(&str, &str)]) -> Check {
        Check::of_content(&[Digest::announced()], Status::OK, &fields(lines))
    }

    /// The result for content that arrives in pieces of `size` bytes.
    fn checked(mut check: Check, content: &[u8], size: usize) -> Result<(), DigestMismatch> {
        content.chunks(size).for_each(|piece| check.update(piece));
        check.finish()
    }

    #[test]
    fn content_digests_are_checked_in_pieces_of_any_size() {
        let both = format!("sha-256=:{SHA_256}:, sha-512=:{SHA_512}:");
        for size in 1..=CONTENT.len() {
            let check = announced(&[("Content-Digest", &both)]);
            assert_eq!(check.sums.len(), 2);
            assert_eq!(checked(check.clone(), CONTENT, size), Ok(()));
            let error = checked(check, &CONTENT[1..], size).unwrap_err();
            assert_eq!((error.algorithm(), error.field()), ("sha-256", Some("Content-Digest")));
            assert_eq!(STANDARD.encode(error.expected()), SHA_256);
        }
    }

    #[test]
    fn a_mismatch_quotes_both_digests() {
        let error = checked(announced(&[("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")]), b"a", 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the content has the md5 digest DMF1ucDxtqgxw5niaXcmYQ==, but Content-MD5 announced 1B2M2Y8AsgTpgAmY7PhCfg=="
        );
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let known = Digest::sha256_hex(empty).unwrap();
        let check = Check::of_content(&[known], Status::OK, &Fields::new());
        assert_eq!(checked(check.clone(), b"", 1), Ok(()));
        assert_eq!(
            checked(check, b"abc", 2).unwrap_err().to_string(),
            format!(
                "the content has the sha-256 digest ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, but {empty} \
                 was expected"
            )
        );
    }

    #[test]
    fn unknown_algorithms_are_ignored_and_the_last_of_two_digests_counts() {
        let wrong = SHA_256.replace('R', "S");
        for value in [
            format!("sha-256=:{SHA_256}:"),
            format!("md5=:AAAA:, sha-256=:{SHA_256}:;a=1;b=\"x, y\", crc32c=:AAAA:"),
            format!("a, b=?0, c=(1 2), d=\"sha-256=:AAAA:\", sha-256=:{SHA_256}:"),
            format!("sha-256=:{wrong}:, sha-256=:{SHA_256}:"),
        ] {
            let check = announced(&[("Content-Digest", &value)]);
            assert_eq!(check.sums.len(), 1, "{value}");
            assert_eq!(checked(check, CONTENT, 5), Ok(()), "{value}");
        }
        let sha_512 = format!("sha-512=:{SHA_512}:");
        let two_lines = announced(&[("Content-Digest", "sha-256=:AAAA:"), ("content-digest", &sha_512)]);
        assert_eq!(checked(two_lines, CONTENT, 5).unwrap_err().algorithm(), "sha-256");
        assert!(announced(&[("Content-Digest", "unixsum=:AAAA:")]).is_empty());
    }

    #[test]
    fn a_malformed_field_counts_as_missing() {
        for value in [
            format!("sha-256={SHA_256}"),
            format!("sha-256=:{SHA_256}"),
            format!("sha-256=\"{SHA_256}\""),
            format!("sha-256=:{SHA_256}:,"),
            format!("sha-256=:{SHA_256}: x"),
            format!("SHA-256=:{SHA_256}:"),
            format!("sha-256=(:{SHA_256}:)"),
            "sha-256=:*:".to_owned(),
            "sha-256".to_owned(),
            String::new(),
        ] {
            assert!(announced(&[("Content-Digest", &value)]).is_empty(), "{value}");
        }
        for value in ["", "AAAA", "not base64", "1B2M2Y8AsgTpgAmY7PhCfg"] {
            assert!(announced(&[("Content-MD5", value)]).is_empty(), "{value}");
        }
        let md5 = ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        assert!(announced(&[md5, md5]).is_empty());
    }

    #[test]
    fn a_digest_of_the_wrong_length_does_not_match() {
        assert!(checked(announced(&[("Content-Digest", "sha-256=:AAAA:")]), CONTENT, 5).is_err());
    }

    #[test]
    fn content_md5_is_checked_for_whole_representations_without_a_better_digest() {
        let md5 = ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        assert_eq!(checked(announced(&[md5]), b"", 1), Ok(()));
        let known = [Digest::sha256([0; 32]), Digest::announced()];
        assert_eq!(Check::of_content(&known, Status::OK, &fields(&[md5])).sums.len(), 2);
        let part = Check::of_content(&[Digest::announced()], Status::PARTIAL_CONTENT, &fields(&[md5]));
        assert!(part.is_empty());
        let value = format!("sha-256=:{SHA_256}:");
        assert_eq!(checked(announced(&[md5, ("Content-Digest", &value)]), CONTENT, 5), Ok(()));
    }

    #[test]
    fn only_successful_replies_are_checked() {
        let value = format!("sha-256=:{SHA_256}:");
        let wanted = [Digest::sha256([0; 32]), Digest::announced()];
        for (status, sums) in [(Status::OK, 2), (Status::PARTIAL_CONTENT, 2), (Status::NOT_FOUND, 0), (Status::FOUND, 0)] {
            let check = Check::of_content(&wanted, status, &fields(&[("Content-Digest", &value)]));
            assert_eq!(check.sums.len(), sums, "{status}");
        }
    }

    #[test]
    fn the_digest_of_a_representation_is_another_field() {
        let value = format!("sha-256=:{SHA_256}:");
        let check = Check::of_representation(&fields(&[("Repr-Digest", &value), ("Content-Digest", "sha-256=:AAAA:")]));
        assert_eq!(checked(check, CONTENT, 5), Ok(()));
    }

    #[test]
    fn hexadecimal_digests_are_read_strictly() {
        for text in ["", "abc", &"+1".repeat(32), &"g".repeat(64), &"a".repeat(65), &"\u{e9}".repeat(32)] {
            let error = Digest::sha256_hex(text).unwrap_err().to_string();
            assert!(error.starts_with("a SHA-256 digest consists of 64 hexadecimal digits, but this is \""), "{error}");
        }
        assert_eq!(Digest::sha256_hex(&"Ab".repeat(32)), Ok(Digest::sha256([0xab; 32])));
    }
}
