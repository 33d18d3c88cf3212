//! The answer of a proxy that does not open a tunnel.

use std::fmt;

use dugong_proto::ResponseHead;

/// The answer of a proxy to CONNECT with a status other than 2xx.
#[derive(Clone, Debug)]
pub struct Refusal {
    head: ResponseHead,
    had_credentials: bool,
}

impl Refusal {
    pub(super) fn new(head: ResponseHead, had_credentials: bool) -> Self {
        Refusal { head, had_credentials }
    }

    /// The answer: its status and its fields. Its content is not read.
    #[must_use]
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Whether the proxy wants credentials (RFC 9110 §15.5.8): they are missing, or [those you gave](Refusal::had_credentials)
    /// are wrong. The status is 407, or 401, which tinyproxy sends for wrong ones.
    #[must_use]
    pub fn wants_credentials(&self) -> bool {
        self.head.status() == 407 || self.head.status() == 401
    }

    /// Whether you sent credentials.
    #[must_use]
    pub fn had_credentials(&self) -> bool {
        self.had_credentials
    }

    /// The authentication schemes that the proxy offers, in its order (`Proxy-Authenticate`, RFC 9110 §11.7.1; with 401,
    /// `WWW-Authenticate`).
    #[must_use]
    pub fn schemes(&self) -> Vec<&str> {
        let mut schemes: Vec<&str> = Vec::new();
        let name = if self.head.status() == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        for value in self.head.fields().get_all_bytes(name) {
            for scheme in elements(value).filter_map(scheme_of) {
                if !schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
                    schemes.push(scheme);
                }
            }
        }
        schemes
    }
}

/// Splits a list. A comma in a quoted string separates no elements (RFC 9110 §5.6).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    value.split(move |&byte| {
        let is_end = byte == b',' && !is_quoted;
        is_quoted ^= byte == b'"' && !is_escaped;
        is_escaped = is_quoted && byte == b'\\' && !is_escaped;
        is_end
    })
}

/// Returns the scheme if a challenge begins here. Parameters of a challenge stand between the same commas (RFC 9110 §11.3).
fn scheme_of(element: &[u8]) -> Option<&str> {
    let element = element.trim_ascii();
    let is_token = |&byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let (token, rest) = element.split_at(element.iter().take_while(|byte| is_token(byte)).count());
    let begins = rest.is_empty() || rest[0] == b' ' && !rest.trim_ascii().starts_with(b"=");
    if begins { std::str::from_utf8(token).ok().filter(|token| !token.is_empty()) } else { None }
}

/// Prints one line, even if the proxy sent several.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut schemes = self.schemes();
        schemes.truncate(MOST_SCHEMES);
        let names = schemes.join(", ");
        let takes_basic = schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("Basic"));
        f.write_str(match (self.wants_credentials(), self.had_credentials) {
            (false, _) => "the proxy refused the tunnel",
            (true, false) => "the proxy wants credentials",
            (true, true) if takes_basic => "the proxy refused the credentials",
            (true, true) => "the proxy takes other credentials than Basic",
        })?;
        if self.wants_credentials() && !names.is_empty() {
            write!(f, " (it takes {names})")?;
        }
        write!(f, ": {}", self.head.status())?;
        let reason = self.head.reason_text();
        // The reason may be of any length, and contain commands for a terminal.
        let is_cut = reason.chars().count() > LONGEST_REASON;
        let shown: String = reason.chars().take(LONGEST_REASON).map(|c| if c.is_control() { '?' } else { c }).collect();
        match (&*shown, is_cut) {
            ("", _) => Ok(()),
            (shown, false) => write!(f, " {shown}"),
            (shown, true) => write!(f, " {shown}..."),
        }
    }
}

const MOST_SCHEMES: usize = 5;
const LONGEST_REASON: usize = 100;

#[cfg(test)]
mod tests {
    use dugong_proto::{Connection, Event, Method, RequestHead};

    use super::*;

    fn refusal(status_line: &[u8], challenges: &[&str], had_credentials: bool) -> Refusal {
        let mut connection = Connection::new("h:1").unwrap();
        connection.send_request(&RequestHead::new(Method::CONNECT, "h:1").unwrap()).unwrap();
        connection.sent(connection.to_send().len());
        connection.receive(&[b"HTTP/1.1 ", status_line, b"\r\n"].concat());
        for challenge in challenges {
            connection.receive(format!("Proxy-Authenticate: {challenge}\r\n").as_bytes());
        }
        connection.receive(b"Content-Length: 0\r\n\r\n");
        let Ok(Some(Event::Response(head))) = connection.next_event() else { panic!() };
        Refusal::new(head.clone(), had_credentials)
    }

    #[test]
    fn schemes_are_told_from_their_parameters() {
        for (challenges, schemes) in [
            (&[][..], &[][..]),
            (&["Basic"], &["Basic"]),
            (&["Basic realm=\"a, NTLM, b\", charset=\"UTF-8\""], &["Basic"]),
            (&["Basic realm=\"a\\\", NTLM, b\\\\\", Digest realm = x , nonce=y"], &["Basic", "Digest"]),
            (&["Negotiate YWJj==, NTLM,basic realm=x"], &["Negotiate", "NTLM", "basic"]),
            (&["Basic realm=a", "basic realm=b", "Digest nonce=\"\""], &["Basic", "Digest"]),
            (&["", ",, ,", "=x", "realm=x, @", "\"Basic\""], &[]),
        ] {
            assert_eq!(refusal(b"407 x", challenges, false).schemes(), schemes, "{challenges:?}");
        }
    }

    #[test]
    fn it_says_whether_credentials_are_missing_wrong_or_of_another_kind() {
        for (status_line, challenges, had_credentials, expected) in [
            (
                &b"407 Who are you"[..],
                &["Basic realm=x"][..],
                false,
                "the proxy wants credentials (it takes Basic): 407 Who are you",
            ),
            (b"407 ", &[], false, "the proxy wants credentials: 407"),
            (b"407 No", &["Basic realm=x"], true, "the proxy refused the credentials (it takes Basic): 407 No"),
            (b"407 No", &[], true, "the proxy refused the credentials: 407 No"),
            (
                b"407 No",
                &["NTLM", "Digest"],
                true,
                "the proxy takes other credentials than Basic (it takes NTLM, Digest): 407 No",
            ),
            (b"401 No", &["Digest"], true, "the proxy refused the credentials: 401 No"),
            (b"302 Found", &["Basic"], false, "the proxy refused the tunnel: 302 Found"),
            (b"503 ", &[], true, "the proxy refused the tunnel: 503"),
        ] {
            assert_eq!(refusal(status_line, challenges, had_credentials).to_string(), expected);
        }
    }

    #[test]
    fn it_prints_one_line_without_terminal_commands() {
        // 0x85 ends a line and 0x9b begins a command on terminals.
        assert_eq!(refusal(b"403 a\x85b\x9b2Jc\td", &[], false).to_string(), "the proxy refused the tunnel: 403 a?b?2Jc?d");
        let long = [b"403 ", &[b'x'; 5000][..]].concat();
        let challenges: Vec<String> = (0..100).map(|i| format!("Scheme{i}")).collect();
        let challenges: Vec<&str> = challenges.iter().map(String::as_str).collect();
        assert!(refusal(&long, &challenges, false).to_string().len() < 300);
    }
}
