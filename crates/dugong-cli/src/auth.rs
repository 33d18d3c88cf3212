//! Credentials for servers. No message of this file contains one.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dugong_http::{Fields, Origin};

use crate::flags::AuthArgs;
use crate::usage::UsageError;

/// The credentials that the options give.
pub(crate) enum Credentials {
    None,
    /// The value of `Authorization` for every origin.
    Same(String),
    /// By host, from a `.netrc`.
    Netrc(Vec<Machine>),
}

/// An entry of a `.netrc`.
#[derive(PartialEq, Eq)]
pub(crate) struct Machine {
    /// `None` for the entry of all other hosts.
    host: Option<String>,
    login: String,
    password: String,
}

impl Credentials {
    pub(crate) fn of(low: &AuthArgs, headers: &[String]) -> Result<Self, UsageError> {
        let (option, credentials) = if let Some(user) = &low.user {
            ("--user", Credentials::Same(basic(user)?))
        } else if let Some(token) = &low.oauth2_bearer {
            ("--oauth2-bearer", Credentials::Same(bearer(token)?))
        } else if low.netrc {
            ("--netrc", Credentials::Netrc(netrc()?))
        } else {
            return Ok(Credentials::None);
        };
        let names = headers.iter().filter_map(|header| header.split_once(':'));
        for (name, _) in names {
            if name.eq_ignore_ascii_case("authorization") {
                let (option, with) = (option.to_owned(), format!("the header {name:?}"));
                return Err(UsageError::Together { option, with, why: "both are the credentials of the request" });
            }
        }
        Ok(credentials)
    }

    /// Adds the field for requests to `origin`.
    pub(crate) fn add_to(&self, fields: &mut Fields, origin: &Origin) {
        let value = match self {
            Credentials::None => return,
            Credentials::Same(value) => value.clone(),
            Credentials::Netrc(machines) => {
                let matching = |machine: &&Machine| match &machine.host {
                    Some(host) => host.eq_ignore_ascii_case(origin.host()),
                    None => true,
                };
                let Some(machine) = machines.iter().find(matching) else { return };
                basic_value(&format!("{}:{}", machine.login, machine.password))
            }
        };
        fields.append("Authorization", value).expect("Basic, Bearer and their characters are a field value");
    }
}

fn basic(user: &str) -> Result<String, UsageError> {
    if !user.contains(':') {
        let why = "expected the form USER:PASSWORD; this program asks for no password".to_owned();
        return Err(UsageError::Credentials { option: "--user", why });
    }
    Ok(basic_value(user))
}

fn basic_value(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

/// A token has a few characters only (RFC 6750 §2.1).
fn bearer(token: &str) -> Result<String, UsageError> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if token.is_empty() || !token.chars().all(is_fit) {
        let why = "expected a token: letters, digits and - . _ ~ + / =".to_owned();
        return Err(UsageError::Credentials { option: "--oauth2-bearer", why });
    }
    Ok(format!("Bearer {token}"))
}

fn netrc() -> Result<Vec<Machine>, UsageError> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let path = home.join(".netrc");
    let wrong = |why: String| UsageError::Credentials { option: "--netrc", why: format!("{}: {why}", path.display()) };
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    parse(&text).map_err(|line| wrong(format!("line {line}: expected machine, default, login, password, account or macdef")))
}

/// Parses a `.netrc`. The error is the number of the line that is wrong.
fn parse(text: &str) -> Result<Vec<Machine>, usize> {
    let mut machines: Vec<Machine> = Vec::new();
    let mut words = Words::of(text).into_iter();
    while let Some((line, word)) = words.next() {
        let mut value = || words.next().map(|(_, word)| word).ok_or(line);
        match (&*word, machines.last_mut()) {
            ("machine", _) => {
                machines.push(Machine { host: Some(value()?), login: String::new(), password: String::new() });
            }
            ("default", _) => machines.push(Machine { host: None, login: String::new(), password: String::new() }),
            ("login", Some(machine)) => machine.login = value()?,
            ("password", Some(machine)) => machine.password = value()?,
            ("account", Some(_)) => drop(value()?),
            _ => return Err(line),
        }
    }
    Ok(machines)
}

/// The words of a `.netrc`, each with the number of its line: without comments and macros.
struct Words;

impl Words {
    fn of(text: &str) -> Vec<(usize, String)> {
        let mut words = Vec::new();
        let mut in_macro = false;
        for (index, line) in text.lines().enumerate() {
            // A macro ends with an empty line.
            in_macro &= !line.trim().is_empty();
            let mut rest = line.trim_start();
            while !rest.is_empty() && !rest.starts_with('#') && !in_macro {
                let (word, after) = first_word(rest);
                in_macro = word == "macdef";
                if !in_macro {
                    words.push((index + 1, word));
                }
                rest = after.trim_start();
            }
        }
        words
    }
}

/// Splits off a word, which may be quoted, with `\` before a character that stands for itself.
fn first_word(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut word, mut is_escaped) = (String::new(), false);
    for (index, c) in quoted.char_indices() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => return (word, &quoted[index + 1..]),
            _ => {
                word.push(c);
                is_escaped = false;
            }
        }
    }
    (word, "")
}

/// Shows no secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Option<String>, String, String)> {
        let machines = parse(text).unwrap();
        machines.into_iter().map(|machine| (machine.host, machine.login, machine.password)).collect()
    }

    #[test]
    fn a_netrc_is_read_as_other_programs_read_it() {
        let text = "# comment\nmachine a.test login me password s3cret # mine\nmachine b.test\n  login \"a b\"\n  account x\n  \
                    password \"q\\\"\\\\\"\nmacdef init\n  machine no\n\nmachine c.test login x\ndefault login any password p";
        let entry =
            |host: Option<&str>, login: &str, password: &str| (host.map(str::to_owned), login.to_owned(), password.to_owned());
        let wanted = [
            entry(Some("a.test"), "me", "s3cret"),
            entry(Some("b.test"), "a b", "q\"\\"),
            entry(Some("c.test"), "x", ""),
            entry(None, "any", "p"),
        ];
        assert_eq!(found(text), wanted);
        for (text, line) in [("\nhost a", 2), ("login x", 1), ("machine a\nlogin", 2)] {
            assert_eq!(parse(text).err(), Some(line), "{text:?}");
        }
    }

    #[test]
    fn the_first_entry_for_the_host_counts() {
        let machines = parse("machine a.test login 1 password 1\nmachine A.test login 2\ndefault login 3 password 3").unwrap();
        let credentials = Credentials::Netrc(machines);
        for (host, pair) in [("A.TEST", "1:1"), ("b.test", "3:3")] {
            let mut fields = Fields::new();
            credentials.add_to(&mut fields, &Origin::http(host, 80));
            assert_eq!(fields.get("authorization"), Some(&*format!("Basic {}", STANDARD.encode(pair))));
        }
    }
}
