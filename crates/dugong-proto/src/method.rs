//! Request methods (RFC 9110 §9).

use std::fmt;
use std::str::FromStr;

use crate::error::Misuse;
use crate::excerpt::Argument;
use crate::grammar::token_run;

/// A request method: any token. Methods are case-sensitive.
///
/// ```
/// use dugong_proto::Method;
/// let method: Method = "PUT".parse()?;
/// assert!(method == Method::PUT && method.is_idempotent());
/// assert!(!Method::try_from("BREW")?.is_idempotent());
/// assert!(Method::new("GET /").is_err());
/// # Ok::<(), dugong_proto::Misuse>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Method(Inner);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Inner {
    Known(Known),
    Other(Box<str>),
}

macro_rules! known {
    ($($name:ident)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(clippy::upper_case_acronyms, reason = "methods are spelled like this")]
        enum Known { $($name),* }

        impl Known {
            fn as_str(self) -> &'static str {
                match self { $(Known::$name => stringify!($name)),* }
            }
        }

        impl Method {
            $(#[doc = concat!("The method ", stringify!($name), ".")] pub const $name: Method = Method(Inner::Known(Known::$name));)*

            fn known(name: &str) -> Option<Method> {
                match name { $(stringify!($name) => Some(Method::$name),)* _ => None }
            }
        }
    };
}

known!(GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH);

impl Method {
    /// Creates the method called `name`.
    ///
    /// # Errors
    /// [`Misuse::Method`] if `name` is not a token (RFC 9110 §5.6.2).
    pub fn new(name: &str) -> Result<Method, Misuse> {
        if let Some(known) = Method::known(name) {
            return Ok(known);
        }
        let token = token_run(name.as_bytes());
        if name.is_empty() || token < name.len() {
            return Err(Misuse::Method(Argument::new(name.as_bytes(), Some(token))));
        }
        Ok(Method(Inner::Other(name.into())))
    }

    /// The name as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Inner::Known(known) => known.as_str(),
            Inner::Other(name) => name,
        }
    }

    /// Whether several identical requests have the effect of one (RFC 9110 §9.2.2), so that you can safely send an unanswered
    /// one again. Unknown methods count as not idempotent.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        use Known::{DELETE, GET, HEAD, OPTIONS, PUT, TRACE};
        matches!(self.0, Inner::Known(GET | HEAD | PUT | DELETE | OPTIONS | TRACE))
    }

    pub(crate) fn is_head(&self) -> bool {
        *self == Method::HEAD
    }

    pub(crate) fn is_connect(&self) -> bool {
        *self == Method::CONNECT
    }

    /// Whether a request without content says `Content-Length: 0`, because its method expects content (RFC 9110 §8.6).
    #[must_use]
    pub fn expects_content(&self) -> bool {
        matches!(self.0, Inner::Known(Known::POST | Known::PUT | Known::PATCH))
    }
}

impl FromStr for Method {
    type Err = Misuse;

    /// The same as [`Method::new`].
    fn from_str(name: &str) -> Result<Method, Misuse> {
        Method::new(name)
    }
}

impl TryFrom<&str> for Method {
    type Error = Misuse;

    /// The same as [`Method::new`].
    fn try_from(name: &str) -> Result<Method, Misuse> {
        Method::new(name)
    }
}

impl AsRef<str> for Method {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Method {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Method {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
