//! What a session adds to requests: credentials and signatures.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dugong_http::{Fields, Method, Misuse, Origin, RequestHead};

/// An error of a callback.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A callback that adds fields to a request before each attempt.
pub(crate) type Callback = Arc<dyn Fn(&mut SignRequest<'_>) -> Result<(), BoxError> + Send + Sync>;

/// Credentials for all requests of a session. A request with an `Authorization` of its own keeps that one.
///
/// ```
/// use dugong_session::Auth;
///
/// let basic = Auth::basic("alice", "secret")?;
/// assert!(!format!("{basic:?}").contains("secret"));
/// let token = Auth::bearer("mF_9.B5f-4.1JqM")?;
/// let key = Auth::from_fn(|request| Ok(request.header("X-Api-Key", "secret")?));
/// # let _ = (token, key);
/// # Ok::<(), dugong_session::InvalidAuth>(())
/// ```
#[derive(Clone)]
pub struct Auth(Kind);

#[derive(Clone)]
enum Kind {
    /// The value of `Authorization`.
    Field(Arc<str>),
    Callback(Callback),
}

impl Auth {
    /// A user's name and password (Basic, RFC 7617), in UTF-8.
    ///
    /// # Errors
    /// One of them contains a control character, or the name a colon: the server would take the rest of it for the password.
    pub fn basic(user: &str, password: &str) -> Result<Self, InvalidAuth> {
        let invalid = |text: &str, what, is_wrong: fn(char) -> bool| text.find(is_wrong).map(|at| Err(InvalidAuth { what, at }));
        invalid(user, "the user name contains a colon", |c| c == ':')
            .or_else(|| invalid(user, "the user name contains a control character", char::is_control))
            .or_else(|| invalid(password, "the password contains a control character", char::is_control))
            .unwrap_or(Ok(()))?;
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        Ok(Auth(Kind::Field(format!("Basic {encoded}").into())))
    }

    /// A bearer token (RFC 6750).
    ///
    /// # Errors
    /// The token is empty, or contains a blank or a character beyond visible ASCII.
    pub fn bearer(token: &str) -> Result<Self, InvalidAuth> {
        if token.is_empty() {
            return Err(InvalidAuth { what: "the token is empty", at: 0 });
        }
        if let Some(at) = token.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(InvalidAuth { what: "the token contains a character that is not visible ASCII", at });
        }
        Ok(Auth(Kind::Field(format!("Bearer {token}").into())))
    }

    /// Credentials that you make for each attempt, for example a token that expires. The callback runs in the thread or task that
    /// submitted the request. If it fails, the request fails with its error, and no byte of this attempt is sent.
    pub fn from_fn(add: impl Fn(&mut SignRequest<'_>) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        Auth(Kind::Callback(Arc::new(add)))
    }
}

/// Shows the kind, never the secret.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Field(value) => value.split(' ').next().unwrap_or_default(),
            Kind::Callback(_) => "callback",
        };
        write!(f, "Auth({kind})")
    }
}

/// Credentials that no server could understand. The message names the position of the fault, and shows nothing of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAuth {
    what: &'static str,
    at: usize,
}

impl fmt::Display for InvalidAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.what, self.at)
    }
}

impl std::error::Error for InvalidAuth {}

/// A request that is about to be sent, as a callback sees it. The callback reads it, and adds fields for this attempt.
pub struct SignRequest<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) head: &'a RequestHead,
    pub(crate) content: Option<&'a [u8]>,
    pub(crate) attempt: u32,
    pub(crate) added: Fields,
}

impl SignRequest<'_> {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// The origin that gets the request. [`Origin::host_field`] is the value of `Host`, unless the request has its own.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        self.origin
    }

    /// The request target: the path with its query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The fields of the request, without those that callbacks added to this attempt.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.head.fields
    }

    /// The content, if it is in memory. `None` for a request without content, and for content that is read while it is sent: such
    /// content has no digest yet.
    #[must_use]
    pub fn content(&self) -> Option<&[u8]> {
        self.content
    }

    /// The number of this attempt; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The value of the first field called `name`, of the request or of this attempt.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.head.fields.get(name).or_else(|| self.added.get(name))
    }

    /// Adds a field to this attempt. The next one begins without it.
    ///
    /// # Errors
    /// The name is not a token, or the value contains a control character or begins or ends with a blank.
    pub fn header(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), Misuse> {
        self.added.append(name, value)
    }
}

/// Shows the request without credentials and content.
impl fmt::Debug for SignRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignRequest")
            .field("origin", self.origin)
            .field("head", self.head)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Credentials and signature of a session.
#[derive(Clone, Default)]
pub(crate) struct Additions {
    /// Fields with credentials, for each request that has none of that name.
    pub(crate) defaults: Fields,
    pub(crate) auth: Option<Auth>,
    pub(crate) sign: Option<Callback>,
}

impl Additions {
    /// Whether it adds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.defaults.is_empty() && self.auth.is_none() && self.sign.is_none()
    }

    /// The credentials for a request with these fields, as far as they are the same for each attempt.
    pub(crate) fn credentials(&self, own: &Fields) -> Fields {
        let mut added = Fields::new();
        if let Some(Auth(Kind::Field(value))) = &self.auth
            && !own.contains("Authorization")
        {
            added.append("Authorization", &**value).expect("credentials are checked when they are made");
        }
        let has_auth = !added.is_empty();
        for line in &self.defaults {
            let is_given = own.contains(line.name()) || has_auth && line.name().eq_ignore_ascii_case("Authorization");
            if !is_given {
                added.append(line.name(), line.value()).expect("a line of valid fields is valid");
            }
        }
        added
    }

    /// Whether [`sign`](Additions::sign) has to run before each attempt.
    pub(crate) fn has_callbacks(&self) -> bool {
        self.sign.is_some() || matches!(self.auth, Some(Auth(Kind::Callback(_))))
    }

    /// Runs the callbacks, credentials first, and returns the fields for this attempt.
    ///
    /// # Errors
    /// The error of a callback.
    pub(crate) fn sign(
        &self,
        origin: &Origin,
        head: &RequestHead,
        content: Option<&[u8]>,
        attempt: u32,
    ) -> Result<Fields, BoxError> {
        let mut request = SignRequest { origin, head, content, attempt, added: Fields::new() };
        if let Some(Auth(Kind::Callback(add))) = &self.auth
            && !head.fields.contains("Authorization")
        {
            add(&mut request)?;
        }
        if let Some(sign) = &self.sign {
            sign(&mut request)?;
        }
        Ok(request.added)
    }
}

impl fmt::Debug for Additions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Additions")
            .field("defaults", &self.defaults)
            .field("auth", &self.auth)
            .field("signs", &self.sign.is_some())
            .finish()
    }
}

/// Whether a field by this name shows who the client is (RFC 9110 §11.6.2, §11.7.2; RFC 6265 §5.4).
pub(crate) fn is_credential(name: &str) -> bool {
    ["Authorization", "Proxy-Authorization", "Cookie"].iter().any(|other| name.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(additions: &Additions, own: &[(&str, &str)]) -> String {
        let mut fields = Fields::new();
        own.iter().for_each(|(name, value)| fields.append(name, value).unwrap());
        let added = additions.credentials(&fields);
        let lines: Vec<String> = added.iter().map(|line| format!("{}: {}", line.name(), line.value_text())).collect();
        lines.join("\n")
    }

    #[test]
    fn basic_and_bearer_credentials_are_encoded_as_in_their_rfcs() {
        // RFC 7617 §2 and §2.1, RFC 6750 §2.1.
        for (auth, value) in [
            (Auth::basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            (Auth::basic("test", "123\u{a3}"), "Basic dGVzdDoxMjPCow=="),
            (Auth::basic("", "a:b"), "Basic OmE6Yg=="),
            (Auth::bearer("mF_9.B5f-4.1JqM"), "Bearer mF_9.B5f-4.1JqM"),
        ] {
            let additions = Additions { auth: Some(auth.unwrap()), ..Additions::default() };
            assert_eq!(added(&additions, &[]), format!("Authorization: {value}"));
            assert_eq!(added(&additions, &[("authorization", "mine")]), "");
            assert!(!additions.has_callbacks());
        }
    }

    #[test]
    fn unusable_credentials_are_named_without_the_secret() {
        for (auth, message) in [
            (Auth::basic("a:b", "x"), "the user name contains a colon (at byte 1)"),
            (Auth::basic("a\n", "x"), "the user name contains a control character (at byte 1)"),
            (Auth::basic("a", "hush\0"), "the password contains a control character (at byte 4)"),
            (Auth::bearer(""), "the token is empty (at byte 0)"),
            (Auth::bearer("hush hush"), "the token contains a character that is not visible ASCII (at byte 4)"),
        ] {
            let error = auth.unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut additions = Additions::default();
        additions.defaults.append("Cookie", "hush").unwrap();
        for auth in [Auth::basic("alice", "hush"), Auth::bearer("hush"), Ok(Auth::from_fn(|_| Ok(())))] {
            additions.auth = Some(auth.unwrap());
            let shown = format!("{additions:?}");
            let encoded = STANDARD.encode("alice:hush");
            assert!(!shown.contains("hush") && !shown.contains(&encoded) && shown.contains("Auth("), "{shown}");
        }
    }

    #[test]
    fn default_credentials_yield_to_those_of_the_request() {
        let mut additions = Additions::default();
        for (name, value) in [("Cookie", "a"), ("Cookie", "b"), ("authorization", "c")] {
            additions.defaults.append(name, value).unwrap();
        }
        assert_eq!(added(&additions, &[]), "Cookie: a\nCookie: b\nauthorization: c");
        assert_eq!(added(&additions, &[("cookie", "own")]), "authorization: c");
        additions.auth = Some(Auth::bearer("d").unwrap());
        assert_eq!(added(&additions, &[("cookie", "own")]), "Authorization: Bearer d");
    }

    #[test]
    fn callbacks_add_fields_to_each_attempt_and_see_those_before_them() {
        let additions = Additions {
            auth: Some(Auth::from_fn(|request| Ok(request.header("X-Date", format!("day {}", request.attempt()))?))),
            sign: Some(Arc::new(|request| {
                let text = format!(
                    "{} {}{} {:?} {:?}",
                    request.method(),
                    request.origin().host_field(),
                    request.target(),
                    request.get("x-date"),
                    request.content()
                );
                Ok(request.header("X-Signature", text)?)
            })),
            ..Additions::default()
        };
        assert!(additions.has_callbacks());
        let head = RequestHead::new(Method::PUT, "/x?y").unwrap();
        for attempt in [1, 2] {
            let fields = additions.sign(&Origin::http("h", 81), &head, Some(b"a"), attempt).unwrap();
            assert_eq!(&fields["X-Date"], format!("day {attempt}"));
            assert_eq!(&fields["X-Signature"], format!("PUT h:81/x?y Some(\"day {attempt}\") Some([97])"));
            assert_eq!(fields.len(), 2);
        }
    }

    #[test]
    fn the_error_of_a_callback_is_passed_on() {
        let additions = Additions { sign: Some(Arc::new(|_| Err("no key".into()))), ..Additions::default() };
        let head = RequestHead::new(Method::GET, "/").unwrap();
        let error = additions.sign(&Origin::http("h", 80), &head, None, 1).unwrap_err();
        assert_eq!(error.to_string(), "no key");
    }
}
