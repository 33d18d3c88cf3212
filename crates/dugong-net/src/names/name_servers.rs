//! Asks the configured name servers whether a name exists. The C library does not tell that.
//!
//! The configuration is `resolv.conf(5)`, read as the C library reads it, so the same servers are asked for the same names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::{Duration, Instant};
use std::{env, fs};

use hickory_proto::rr::{Name, RecordType};
use resolv_conf::{Config, ScopedIp};

use super::host_name::literal;
use super::question::{Answer, Question, ServerFailure, Servers};
use crate::poll_set::PollSet;

/// The answer of the name servers about a name.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The name has addresses.
    Addresses,
    /// The name exists without addresses.
    NoAddresses,
    /// The name does not exist.
    NotFound,
    /// No name server gave an answer.
    Unavailable(Vec<(SocketAddr, ServerFailure)>),
}

/// A question about a name, on its way to the name servers.
#[derive(Debug)]
pub(super) struct Asking {
    servers: Servers,
    /// The names that the host can mean, the next one at the end.
    names: Vec<Name>,
    /// The name that the servers are asked for now, and the question about it.
    current: Option<(Name, RecordType, Question)>,
    /// No question is asked after that.
    until: Instant,
    /// `Some` if the name as written comes first, with the answer about it once it arrived.
    as_written: Option<Option<Answer>>,
    /// A name with a search domain exists, but has no addresses.
    exists: bool,
}

impl Asking {
    /// Asks the name servers that are configured now about `host`. If none are, it asks the one of this host, as the C library
    /// does.
    pub(super) fn new(host: &str, now: Instant) -> Self {
        Asking::with(&Configuration::of_system(), host, now)
    }

    /// Like [`new`](Asking::new), but returns `None` if no name servers are configured.
    pub(super) fn configured(host: &str, now: Instant) -> Option<Self> {
        let configuration = Configuration::of_system();
        configuration.names_servers.then(|| Asking::with(&configuration, host, now))
    }

    fn with(configuration: &Configuration, host: &str, now: Instant) -> Self {
        let (mut names, as_written) = configuration.names(host);
        names.reverse();
        let servers = configuration.servers.clone();
        // Time for both kinds of addresses of one name, and for other names unless the servers are slow.
        let until = now + 2 * servers.limit;
        Asking { servers, names, current: None, until, as_written: as_written.then_some(None), exists: false }
    }

    /// Goes on.
    pub(super) fn step(&mut self, now: Instant) -> Poll<Verdict> {
        loop {
            let Some((name, kind, question)) = &mut self.current else {
                match self.names.pop() {
                    None => return Poll::Ready(self.verdict()),
                    Some(name) if now < self.until => self.ask(name, RecordType::A, now),
                    Some(_) => return Poll::Ready(self.without(self.out_of_time())),
                }
                continue;
            };
            let answer = match question.step(now) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer,
            };
            let (name, kind) = (name.clone(), *kind);
            self.current = None;
            match answer {
                Ok(Answer::Addresses) => return Poll::Ready(Verdict::Addresses),
                Ok(Answer::NoAddresses) if kind == RecordType::A => self.ask(name, RecordType::AAAA, now),
                // The first answer said that the name exists. Some servers say of every type they do not know that the name
                // does not.
                Ok(Answer::NotFound) if kind == RecordType::AAAA => self.note(Answer::NoAddresses),
                Ok(answer) => self.note(answer),
                Err(failures) => return Poll::Ready(self.without(failures)),
            }
        }
    }

    /// Adds the descriptors and the time to wait for.
    pub(super) fn waits<'a>(&'a self, waits: &mut PollSet<'a>) {
        if let Some((.., question)) = &self.current {
            question.waits(waits);
        }
    }

    fn ask(&mut self, name: Name, kind: RecordType, now: Instant) {
        let question = Question::new(&name, kind, &self.servers, now);
        self.current = Some((name, kind, question));
    }

    fn note(&mut self, answer: Answer) {
        match &mut self.as_written {
            Some(known @ None) => *known = Some(answer),
            _ => self.exists |= answer == Answer::NoAddresses,
        }
    }

    /// The verdict without an answer about one of the names. As in the C library, that casts no doubt on an answer about the
    /// name as written, nor on the existence of a name.
    fn without(&self, failures: Vec<(SocketAddr, ServerFailure)>) -> Verdict {
        let is_known = self.exists || self.as_written.flatten().is_some();
        if is_known { self.verdict() } else { Verdict::Unavailable(failures) }
    }

    fn out_of_time(&self) -> Vec<(SocketAddr, ServerFailure)> {
        self.servers.addresses.iter().map(|&server| (server, ServerFailure::TimedOut)).collect()
    }

    /// The verdict when no name had addresses.
    fn verdict(&self) -> Verdict {
        let exists = self.as_written.flatten().map_or(self.exists, |answer| answer == Answer::NoAddresses);
        if exists { Verdict::NoAddresses } else { Verdict::NotFound }
    }
}

/// The settings of `resolv.conf(5)`: the servers, and the names to try.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Configuration {
    /// Whether the file names servers.
    names_servers: bool,
    servers: Servers,
    search: Vec<String>,
    ndots: usize,
}

impl Configuration {
    /// Reads the current settings. Defaults are those of the C library.
    fn of_system() -> Self {
        let file = fs::read("/etc/resolv.conf").unwrap_or_default();
        let variable = |name| env::var(name).ok();
        Configuration::parse(file, variable("LOCALDOMAIN").as_deref(), variable("RES_OPTIONS").as_deref())
    }

    fn parse(mut file: Vec<u8>, search: Option<&str>, options: Option<&str>) -> Self {
        // Later lines override earlier ones. Lines that make no sense are skipped, as in the C library.
        for (keyword, value) in [("search", search), ("options", options)] {
            if let Some(value) = value.and_then(|value| value.lines().next()) {
                file.extend_from_slice(format!("\n{keyword} {value}").as_bytes());
            }
        }
        let (config, _) = Config::parse_with_errors(&file);
        let mut addresses: Vec<_> = config.nameservers.iter().take(SERVERS_MAX).map(address).collect();
        let names_servers = !addresses.is_empty();
        if !names_servers {
            addresses.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        let mut search: Vec<String> = config.get_last_search_or_domain().cloned().collect();
        if search.is_empty() {
            search.extend(config.get_system_domain());
        }
        let limit = Duration::from_secs(config.timeout.into()).clamp(LIMIT_MIN, LIMIT_MAX);
        let servers = Servers { addresses, limit, only_tcp: config.use_vc };
        Configuration { names_servers, servers, search, ndots: (config.ndots as usize).min(NDOTS_MAX) }
    }

    /// Returns the names that `host` can mean, in the order in which to try them, and whether the first is the name as written:
    /// it is if it has enough dots.
    fn names(&self, host: &str) -> (Vec<Name>, bool) {
        let labels = |name: &str| Name::from_labels(name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes));
        let dots = host.bytes().filter(|&byte| byte == b'.').count();
        let is_absolute = host.ends_with('.');
        let comes_first = is_absolute || dots >= self.ndots;
        // Skip domains that make the name too long.
        let mut names: Vec<Name> = Vec::new();
        if !is_absolute {
            names.extend(self.search.iter().filter_map(|domain| labels(&format!("{host}.{domain}")).ok()));
        }
        if let Ok(name) = labels(host) {
            names.retain(|other| *other != name);
            names.insert(if comes_first { 0 } else { names.len() }, name);
        }
        (names, comes_first)
    }
}

/// The address of a name server. A zone that this system lacks is left out; the server cannot be reached then.
fn address(ip: &ScopedIp) -> SocketAddr {
    match literal(&ip.to_string(), PORT) {
        Some(Ok(address)) => address,
        _ => SocketAddr::new(IpAddr::from(ip), PORT),
    }
}

/// The port of DNS.
const PORT: u16 = 53;

/// As in the C library (`MAXNS`).
const SERVERS_MAX: usize = 3;

/// As in the C library (`RES_MAXNDOTS`).
const NDOTS_MAX: usize = 15;

/// The shortest configurable time.
const LIMIT_MIN: Duration = Duration::from_secs(1);

/// The C library waits 5 seconds by default, and tries twice. A caller who gets here has waited for it already, and a server
/// that needed time to find the answer has found it by now.
const LIMIT_MAX: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file: &str) -> Configuration {
        Configuration::parse(file.into(), None, None)
    }

    fn names(configuration: &Configuration, host: &str) -> Vec<String> {
        configuration.names(host).0.iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn missing_settings_are_those_of_the_c_library() {
        for file in ["", "\n# nothing\nnameserver\noptions\nnonsense \u{e4}\nnameserver of.my.own"] {
            let configuration = parse(file);
            let servers =
                Servers { addresses: vec!["127.0.0.1:53".parse().unwrap()], limit: Duration::from_secs(3), only_tcp: false };
            assert_eq!((configuration.servers, configuration.ndots), (servers, 1), "{file:?}");
        }
        let unreadable = Configuration::parse(b"nameserver 192.0.2.1\nsearch \xff\n".into(), None, None);
        assert_eq!(unreadable.servers.addresses, ["192.0.2.1:53".parse().unwrap()]);
    }

    #[test]
    fn servers_and_their_time_are_bounded() {
        let configuration = parse(
            "nameserver 192.0.2.1\nnameserver fe80::1%7\nnameserver 2001:db8::1\nnameserver 192.0.2.4\n\
             options timeout:1 use-vc ndots:99",
        );
        let addresses = ["192.0.2.1:53", "[fe80::1%7]:53", "[2001:db8::1]:53"].map(|address| address.parse().unwrap()).into();
        let servers = Servers { addresses, limit: Duration::from_secs(1), only_tcp: true };
        assert_eq!((configuration.servers, configuration.ndots), (servers, 15));
        for (option, seconds) in [("timeout:0", 1), ("timeout:2", 2), ("timeout:30", 3), ("timeout:99999999999", 3)] {
            assert_eq!(parse(&format!("options {option}")).servers.limit, Duration::from_secs(seconds), "{option}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let file = "search a.example\noptions timeout:3 ndots:2";
        let configuration = Configuration::parse(file.into(), Some("b.example c.example"), Some("timeout:1"));
        assert_eq!(configuration.search, ["b.example", "c.example"]);
        assert_eq!((configuration.servers.limit, configuration.ndots), (Duration::from_secs(1), 2));
        let configuration = Configuration::parse(file.into(), Some("b.example\nnameserver 192.0.2.66"), Some(""));
        assert_eq!(configuration.search, ["b.example"]);
        assert_eq!(configuration.servers.addresses, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn names_are_completed_as_in_the_c_library() {
        let configuration = parse("search a.example b.example.");
        assert!(!configuration.names("x").1);
        assert_eq!(names(&configuration, "x"), ["x.a.example.", "x.b.example.", "x."]);
        assert!(configuration.names("x.y").1);
        assert_eq!(names(&configuration, "x.y"), ["x.y.", "x.y.a.example.", "x.y.b.example."]);
        assert_eq!((names(&configuration, "x."), configuration.names("x.").1), (vec!["x.".to_owned()], true));
        let many_dots = parse("search a.example\noptions ndots:3");
        assert_eq!(names(&many_dots, "x.y.z"), ["x.y.z.a.example.", "x.y.z."]);
        // The last line counts.
        assert_eq!(names(&parse("search a.example\ndomain b.example"), "x"), ["x.b.example.", "x."]);
        assert_eq!(names(&parse("search ."), "x"), ["x."]);
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(57)].join(".");
        assert_eq!(names(&configuration, &long), [format!("{long}.")]);
    }
}
