//! Names with real name servers. Each test runs in a network of its own with its own `resolv.conf`. The name server is dnsmasq,
//! as Debian ships it, or missing.

mod network;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use dugong_http::driver::{Existence, Inquiry, PollSet, Resolving, wait_any};
use dugong_http::transport::{NotAName, ResolveError, ServerFailure};
use network::{LIMIT, in_a_network_of_its_own, must};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

#[test]
fn addresses_of_every_kind_are_found() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1");
        let _server = network.start("127.0.0.1", RECORDS);
        for off_thread in [false, true] {
            let find = |name| {
                let addresses = resolve(name, off_thread).unwrap();
                assert!(addresses.iter().all(|address| address.port() == 8080));
                addresses.into_iter().map(|address| address.ip().to_string()).collect::<BTreeSet<_>>()
            };
            assert_eq!(find("four.example"), set(&["192.0.2.4"]));
            assert_eq!(find("FOUR.Example."), set(&["192.0.2.4"]));
            assert_eq!(find("six.example"), set(&["2001:db8::6"]));
            assert_eq!(find("both.example"), set(&["192.0.2.2", "2001:db8::2"]));
            assert_eq!(find("alias.example"), set(&["192.0.2.2", "2001:db8::2"]));
        }
    });
}

#[test]
fn addresses_come_in_the_order_of_the_system_and_each_once() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1");
        network.file("hosts", "192.0.2.1 twice.example\n127.0.0.9 twice.example\n192.0.2.1 twice.example\n::1 twice.example\n");
        let found = resolve("twice.example", true).unwrap();
        let mut expected: Vec<SocketAddr> = Vec::new();
        for address in ("twice.example", 8080).to_socket_addrs().unwrap() {
            if !expected.contains(&address) {
                expected.push(address);
            }
        }
        assert_eq!((found.len(), &found), (3, &expected));
    });
}

#[test]
fn a_name_that_does_not_exist_is_not_found() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1");
        let _server = network.start("127.0.0.1", RECORDS);
        for off_thread in [false, true] {
            let error = resolve("nobody.example", off_thread).unwrap_err();
            assert!(matches!(&error, ResolveError::NotFound { name } if name == "nobody.example"), "{error:?}");
            assert_eq!(error.to_string(), r#"the name "nobody.example" does not exist"#);
        }
    });
}

#[test]
fn a_name_without_addresses_exists() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1");
        let _server = network.start("127.0.0.1", RECORDS);
        let error = resolve("text.example", true).unwrap_err();
        assert!(matches!(&error, ResolveError::NoAddresses { name } if name == "text.example"), "{error:?}");
        assert_eq!(error.to_string(), r#"the name "text.example" has no addresses"#);
    });
}

#[test]
fn a_server_that_refuses_or_fails_says_nothing_about_the_name() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1 attempts:1");
        // The first has no server to ask. The second asks another, and finds that its answers lack the signatures they should
        // have.
        let _refusing = network.start("127.0.0.1", &[]);
        let _failing = network.start("127.0.0.2", FAILING);
        let _other = network.start("127.0.0.9", RECORDS);
        let error = resolve("nobody.example", true).unwrap_err();
        let text = "no name server gave an answer about the name \"nobody.example\": \
            127.0.0.1 answered REFUSED; 127.0.0.2 answered SERVFAIL";
        assert_eq!(error.to_string(), text);
        let ResolveError::Unavailable { servers, .. } = error else { panic!("{error:?}") };
        assert!(matches!(servers[..], [(_, ServerFailure::Answered(5)), (_, ServerFailure::Answered(2))]), "{servers:?}");
    });
}

#[test]
fn while_servers_are_silent_no_step_waits() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let _silent = UdpSocket::bind("127.0.0.1:53").unwrap();
        let mut resolving = Resolving::new("four.example", 8080, true);
        assert!(resolving.step(Instant::now()).unwrap().is_pending());
        // If the step had waited for the system's resolver, it would wait for name servers now, with a time limit.
        let mut waits = PollSet::default();
        resolving.waits(&mut waits);
        assert_eq!((waits.descriptors().len(), waits.deadline()), (1, None));

        let error = finish(&mut resolving).unwrap_err();
        let text = r#"no name server gave an answer about the name "four.example": 127.0.0.1 was silent"#;
        assert_eq!(error.to_string(), text);
        let ResolveError::Unavailable { servers, .. } = error else { panic!("{error:?}") };
        assert!(matches!(servers[..], [(_, ServerFailure::TimedOut)]), "{servers:?}");
    });
}

#[test]
fn where_no_server_listens_the_name_service_is_unavailable() {
    in_a_network_of_its_own(|network| {
        // Without a server, the C library asks this host. A file without settings has the same effect.
        for configuration in
            ["nameserver 127.0.0.1\nnameserver ::1\noptions timeout:1 attempts:1", "options timeout:1 attempts:1"]
        {
            network.configure(configuration);
            for off_thread in [false, true] {
                let error = resolve("four.example", off_thread).unwrap_err();
                let ResolveError::Unavailable { name, servers, .. } = error else { panic!("{error:?}") };
                assert_eq!((name.as_str(), servers[0].0), ("four.example", "127.0.0.1:53".parse().unwrap()));
                assert_eq!(servers.len(), configuration.matches("nameserver").count().max(1));
                for (_, failure) in servers {
                    let ServerFailure::Io(error) = failure else { panic!("{failure:?}") };
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                }
            }
        }
    });
}

#[test]
fn one_server_that_knows_is_enough() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\noptions timeout:1 attempts:1");
        let _silent = UdpSocket::bind("127.0.0.1:53").unwrap();
        let _server = network.start("127.0.0.3", RECORDS);
        for off_thread in [false, true] {
            let error = resolve("nobody.example", off_thread).unwrap_err();
            assert!(matches!(error, ResolveError::NotFound { .. }), "{error:?}");
        }
        let error = resolve("text.example", true).unwrap_err();
        assert!(matches!(error, ResolveError::NoAddresses { .. }), "{error:?}");
        assert_eq!(resolve("four.example", true).unwrap(), ["192.0.2.4:8080".parse().unwrap()]);

        let _failing = network.start("127.0.0.2", FAILING);
        let _other = network.start("127.0.0.9", RECORDS);
        let error = resolve("nobody.example", true).unwrap_err();
        assert!(matches!(error, ResolveError::NotFound { .. }), "{error:?}");
    });
}

#[test]
fn the_name_servers_settle_a_question_that_the_system_does_not_ask() {
    in_a_network_of_its_own(|network| {
        network.file("nsswitch.conf", "hosts: files\n");
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let error = resolve("text.example", true).unwrap_err();
        assert!(matches!(error, ResolveError::Unavailable { .. }), "{error:?}");
        let _server = network.start("127.0.0.1", RECORDS);
        let error = resolve("text.example", true).unwrap_err();
        assert!(matches!(error, ResolveError::NoAddresses { .. }), "{error:?}");
        // The servers know addresses, but programs do not get them on this system.
        for name in ["four.example", "six.example", "alias.example"] {
            let error = resolve(name, true).unwrap_err();
            assert!(matches!(error, ResolveError::NotFound { .. }), "{error:?}");
        }
    });
}

#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp() {
    in_a_network_of_its_own(|network| {
        network.file("nsswitch.conf", "hosts: files\n");
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let many: Vec<String> = (1..=100).map(|i| format!("--host-record=many.example,192.0.2.{i}")).collect();
        let _server = network.start("127.0.0.1", &many.iter().map(String::as_str).collect::<Vec<_>>());
        let before = tcp_connections();
        let error = resolve("many.example", true).unwrap_err();
        // The servers have addresses, but the answer of the system stands.
        assert!(matches!(error, ResolveError::NotFound { .. }), "{error:?}");
        assert_eq!(tcp_connections(), before + 1);
    });
}

#[test]
fn a_server_that_came_back_meanwhile_is_asked_by_the_system_again() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let silent = UdpSocket::bind("127.0.0.1:53").unwrap();
        let mut resolving = Resolving::new("four.example", 8080, true);
        // Wait until the name servers are asked: then the wait has a time limit.
        let again = loop {
            assert!(resolving.step(Instant::now()).unwrap().is_pending());
            let mut waits = PollSet::default();
            resolving.waits(&mut waits);
            match waits.deadline() {
                Some(time) => break time,
                None => wait(&resolving, Instant::now() + LIMIT),
            }
        };
        drop(silent);
        let _server = network.start("127.0.0.1", RECORDS);
        // The question is repeated when its time comes, which the test decides.
        assert!(resolving.step(again).unwrap().is_pending());
        wait(&resolving, Instant::now() + LIMIT);
        assert!(resolving.step(again).unwrap().is_pending());
        assert_eq!(finish(&mut resolving).unwrap(), ["192.0.2.4:8080".parse().unwrap()]);
    });
}

#[test]
fn short_names_are_completed_by_the_search_list() {
    in_a_network_of_its_own(|network| {
        let _server = network.start("127.0.0.1", RECORDS);
        for list in ["search elsewhere.example team.example", "domain team.example"] {
            network.configure(&format!("nameserver 127.0.0.1\n{list}\noptions timeout:1 attempts:1"));
            assert_eq!(resolve("web", true).unwrap(), ["192.0.2.80:8080".parse().unwrap()]);
            // The name exists there without addresses.
            let error = resolve("text", true).unwrap_err();
            assert!(matches!(error, ResolveError::NoAddresses { .. }), "{error:?}");
            let error = resolve("nobody", true).unwrap_err();
            assert!(matches!(&error, ResolveError::NotFound { name } if name == "nobody"), "{error:?}");
            // With enough dots the name as written comes first, and counts.
            let error = resolve("text.example", true).unwrap_err();
            assert!(matches!(error, ResolveError::NoAddresses { .. }), "{error:?}");
            // The final dot makes the name complete.
            let error = resolve("web.", true).unwrap_err();
            assert!(matches!(error, ResolveError::NotFound { .. }), "{error:?}");
        }
        // A domain without a server leaves it open whether the name is in it.
        network.configure("nameserver 127.0.0.1\nsearch elsewhere\noptions timeout:1 attempts:1");
        let error = resolve("nobody", true).unwrap_err();
        assert!(matches!(error, ResolveError::Unavailable { .. }), "{error:?}");
        let error = resolve("nobody.example", true).unwrap_err();
        assert!(matches!(error, ResolveError::NotFound { .. }), "{error:?}");
    });
}

#[test]
fn names_that_are_not_for_name_servers_are_not_told_to_them() {
    in_a_network_of_its_own(|network| {
        // Every question comes from this test.
        network.file("nsswitch.conf", "hosts: files\n");
        network.file("hosts", "192.0.2.7 printer.local\n");
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let server = network.start("127.0.0.1", RECORDS);
        for name in ["localhost", "a.localhost", "LocalHost."] {
            let addresses = resolve(name, true).unwrap();
            assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 8080), "{addresses:?}");
        }
        assert_eq!(resolve("printer.local", true).unwrap(), ["192.0.2.7:8080".parse().unwrap()]);
        for name in ["scanner.local", "a.invalid", "a.onion", "a.alt", "256.1.1.1"] {
            let error = resolve(name, true).unwrap_err();
            assert!(matches!(error, ResolveError::NotFound { .. }), "{error:?}");
        }
        assert!(matches!(resolve("four.example", true), Err(ResolveError::NotFound { .. })));
        let questions = fs::read_to_string(&server.log).unwrap();
        let questions: Vec<&str> = questions.lines().filter(|line| line.contains("query[")).collect();
        assert!(questions.len() == 1 && questions[0].contains("four.example"), "{questions:?}");
    });
}

#[test]
fn an_abandoned_lookup_leaves_no_descriptor_and_no_thread_behind() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let _silent = UdpSocket::bind("127.0.0.1:53").unwrap();
        let threads = tasks();
        let mut many: Vec<_> = (0..20).map(|_| Resolving::new("four.example", 80, true)).collect();
        let mut held = Vec::new();
        for resolving in &mut many {
            assert!(resolving.step(Instant::now()).unwrap().is_pending());
            let mut waits = PollSet::default();
            resolving.waits(&mut waits);
            held.push(waits.descriptors()[0].0.try_clone_to_owned().unwrap());
        }
        drop(many);
        // Only our copies are left: the ends that the threads would have closed are closed.
        for descriptor in held {
            assert_eq!(descriptors_of(&descriptor), 1);
            let mut end = UnixStream::from(descriptor);
            end.set_nonblocking(true).unwrap();
            assert_eq!(end.read(&mut [0]).unwrap(), 0);
        }
        // The threads end when the C library gives up.
        let deadline = Instant::now() + LIMIT;
        while tasks() > threads {
            assert!(Instant::now() < deadline, "there still are {} threads", tasks());
            thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn repeated_questions_to_a_silent_name_service_share_one_thread() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1");
        let _silent = UdpSocket::bind("127.0.0.1:53").unwrap();
        let before = tasks();
        let mut kept: Vec<_> = (0..100)
            .map(|_| {
                let mut resolving = Resolving::new("four.example", 8080, true);
                assert!(resolving.step(Instant::now()).unwrap().is_pending());
                resolving
            })
            .collect();
        assert_eq!(tasks(), before + 1);
        kept.truncate(1);
        let mut other = Resolving::new("six.example", 8080, true);
        assert!(other.step(Instant::now()).unwrap().is_pending());
        assert_eq!(tasks(), before + 2);
    });
}

#[test]
fn all_waiters_for_the_same_name_get_the_answer() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1");
        let _server = network.start("127.0.0.1", RECORDS);
        let mut all: Vec<_> = (0..50).map(|_| Resolving::new("four.example", 8080, true)).collect();
        all.iter_mut().for_each(|resolving| assert!(resolving.step(Instant::now()).is_ok()));
        for resolving in &mut all {
            assert_eq!(finish(resolving).unwrap(), ["192.0.2.4:8080".parse().unwrap()]);
        }
    });
}

#[test]
fn without_descriptors_the_error_says_that_the_system_could_not_be_asked() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let _server = network.start("127.0.0.1", RECORDS);
        let pid = std::process::id().to_string();
        must(Command::new("prlimit").args(["--pid", &pid, "--nofile=64:64"]), "util-linux");
        let held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let error = resolve("four.example", true).unwrap_err();
        assert_eq!(error.to_string(), r#"cannot ask the system for the name "four.example""#);
        let ResolveError::NotAsked { source, .. } = error else { panic!("{error:?}") };
        assert!(source.to_string().starts_with("Too many open files"), "{source}");
        // Without a thread of its own, the error is the same.
        let error = resolve("nobody.example", false).unwrap_err();
        assert!(matches!(error, ResolveError::System { .. } | ResolveError::Unavailable { .. }), "{error:?}");
        drop(held);
        assert_eq!(resolve("four.example", true).unwrap(), ["192.0.2.4:8080".parse().unwrap()]);
    });
}

#[test]
fn hosts_that_cannot_be_names_are_refused_with_the_reason() {
    for (host, text) in [
        ("", r#""" is not a host name: it is empty"#),
        ("a..example", r#""a..example" is not a host name: a part of it between dots is empty"#),
        ("a\0.example", r#""a\0.example" is not a host name: it contains '\0'"#),
        ("a b", r#""a b" is not a host name: it contains ' '"#),
    ] {
        let error = resolve(host, true).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let error = resolve(&"a.".repeat(200), true).unwrap_err();
    assert!(matches!(error, ResolveError::NotAName { why: NotAName::TooLong, .. }), "{error:?}");
    let error = resolve("fe80::1%nowhere", true).unwrap_err();
    assert_eq!(error.to_string(), r#"the address "fe80::1%nowhere" has a zone that this system does not have"#);
}

#[test]
fn addresses_need_no_resolver_and_no_thread() {
    for host in ["127.0.0.1", "::1", "2001:db8::1"] {
        let Poll::Ready(found) = Resolving::new(host, 80, true).step(Instant::now()).unwrap() else { panic!("{host}") };
        assert_eq!(found, [SocketAddr::new(host.parse::<IpAddr>().unwrap(), 80)]);
    }
    let Poll::Ready(found) = Resolving::new("fe80::1%lo", 80, true).step(Instant::now()).unwrap() else { panic!() };
    assert!(matches!(found[..], [SocketAddr::V6(address)] if address.scope_id() != 0), "{found:?}");
}

#[test]
fn an_inquiry_says_what_the_configured_servers_know_and_needs_some() {
    in_a_network_of_its_own(|network| {
        assert!(Inquiry::new("four.example", Instant::now()).is_none());
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let inquire = |name| {
            let mut inquiry = Inquiry::new(name, Instant::now()).unwrap();
            let deadline = Instant::now() + LIMIT;
            loop {
                if let Poll::Ready(existence) = inquiry.step(Instant::now()) {
                    break existence;
                }
                let mut waits = PollSet::default();
                inquiry.waits(&mut waits);
                waits.until(deadline);
                wait_any(&waits).unwrap();
                assert!(Instant::now() < deadline, "it waits for ever");
            }
        };
        assert!(matches!(inquire("four.example"), Existence::Unavailable(servers) if servers.len() == 1));
        let _server = network.start("127.0.0.1", RECORDS);
        assert!(matches!(inquire("four.example"), Existence::Addresses));
        assert!(matches!(inquire("text.example"), Existence::NoAddresses));
        assert!(matches!(inquire("nobody.example"), Existence::NotFound));
        assert!(matches!(inquire("refused"), Existence::Unavailable(_)));
        assert!(matches!(inquire("localhost"), Existence::Loopback));
        assert!(matches!(inquire("printer.local"), Existence::NotInDns));
    });
}

/// The records of the name server: everything in `example`, two names that do not exist, and no server to ask for others.
const RECORDS: &[&str] = &[
    "--local=/example/",
    "--local=/nobody/",
    "--local=/web/",
    "--host-record=four.example,192.0.2.4",
    "--host-record=six.example,2001:db8::6",
    "--host-record=both.example,192.0.2.2,2001:db8::2",
    "--cname=alias.example,both.example",
    "--txt-record=text.example,there is more than addresses",
    "--host-record=web.team.example,192.0.2.80",
    "--txt-record=text.team.example,there is more than addresses",
];

/// Accepts only answers signed up to the root, and asks a server whose answers are not.
const FAILING: &[&str] = &[
    "--server=127.0.0.9",
    "--dnssec",
    "--trust-anchor=.,20326,8,2,E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
];

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn resolve(host: &str, off_thread: bool) -> Result<Vec<SocketAddr>, ResolveError> {
    finish(&mut Resolving::new(host, 8080, off_thread))
}

/// Steps and waits until the lookup is done.
fn finish(resolving: &mut Resolving) -> Result<Vec<SocketAddr>, ResolveError> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match resolving.step(Instant::now())? {
            Poll::Ready(addresses) => return Ok(addresses),
            Poll::Pending => wait(resolving, deadline),
        }
    }
}

/// Waits for the poll set of the lookup, and nothing else.
fn wait(resolving: &Resolving, deadline: Instant) {
    let mut waits = PollSet::default();
    resolving.waits(&mut waits);
    let until = waits.deadline().map_or(deadline, |until| until.min(deadline));
    let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now())).unwrap();
    let flags = |reads, writes| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, reads);
        flags.set(PollFlags::OUT, writes);
        flags
    };
    let mut descriptors: Vec<_> = waits
        .descriptors()
        .iter()
        .map(|(descriptor, interest)| PollFd::new(descriptor, flags(interest.reads(), interest.writes())))
        .collect();
    poll(&mut descriptors, Some(&timeout)).unwrap();
    assert!(Instant::now() < deadline, "it waits for ever");
}

/// Returns the number of TCP connections to name servers in this network. The system remembers a side that closed for a minute,
/// and name servers wait for another question.
fn tcp_connections() -> usize {
    let connections = fs::read_to_string("/proc/self/net/tcp").unwrap();
    connections.lines().filter(|line| line.split_whitespace().nth(2).is_some_and(|peer| peer.ends_with(":0035"))).count()
}

/// Returns the number of descriptors of this process for the same socket.
fn descriptors_of(socket: &OwnedFd) -> usize {
    let target = |path: PathBuf| fs::read_link(path).ok();
    let own = target(format!("/proc/self/fd/{}", socket.as_raw_fd()).into()).unwrap();
    let all = fs::read_dir("/proc/self/fd").unwrap().map(|entry| target(entry.unwrap().path()));
    all.filter(|other| other.as_ref() == Some(&own)).count()
}

fn tasks() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}
