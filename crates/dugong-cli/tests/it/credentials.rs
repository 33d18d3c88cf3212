//! `--user`, `--netrc` and `--oauth2-bearer`.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::*;
use dugong_origin::{Script, Scripted};

fn server() -> Scripted {
    scripted([Script::new().expect_requests(1).send(ok("x")).wait_close()])
}

/// The values of `Authorization` that a server received.
fn authorization(server: &Scripted) -> Vec<String> {
    let received = String::from_utf8(server.received(0)).unwrap();
    received.lines().filter_map(|line| line.strip_prefix("Authorization: ")).map(str::to_owned).collect()
}

#[test]
fn credentials_are_sent_and_shown_nowhere() {
    let scratch = tempfile::tempdir().unwrap();
    let trace = scratch.path().join("trace");
    let basic = format!("Basic {}", STANDARD.encode("me:se same"));
    for (args, value, secret) in [
        (&["-u", "me:se same"][..], &*basic, "se same"),
        (&["--user", "me:se same"], &*basic, "se same"),
        (&["--oauth2-bearer", "sesame=="], "Bearer sesame==", "sesame"),
    ] {
        let server = server();
        let url = urls(server.address(), ["/"]).remove(0);
        let ran = get([&*url, "-v", "--trace", trace.to_str().unwrap()].iter().chain(args)).exits_with(0);
        assert_eq!(authorization(&server), [value]);
        let shown = fs::read_to_string(&trace).unwrap() + ran.stderr();
        assert!(shown.contains("Authorization: ***") && !shown.contains(secret), "{shown}");
        assert!(!shown.contains(&STANDARD.encode("me:se same")), "{shown}");
    }
}

#[test]
fn a_netrc_has_the_credentials_of_each_host() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".netrc"), "machine a.test login me password p\nmachine b.test login you password q").unwrap();
    for (host, sent) in [("a.test", Some("me:p")), ("b.test", Some("you:q")), ("c.test", None)] {
        let server = server();
        let port = server.address().port();
        let resolve = format!("{host}:{port}:127.0.0.1");
        let mut command = command();
        command.args(["--netrc", "--resolve", &resolve, &format!("http://{host}:{port}/")]).env("HOME", home.path());
        Ran(command.output().unwrap()).succeeds();
        let wanted: Vec<_> = sent.iter().map(|pair| format!("Basic {}", STANDARD.encode(pair))).collect();
        assert_eq!(authorization(&server), wanted, "{host}");
    }
    let mut command = program("bench");
    let server = server();
    let port = server.address().port();
    let url = format!("http://a.test:{port}/");
    command.args(["-n", "1", "-c", "1", "--netrc", "--resolve", &format!("a.test:{port}:127.0.0.1"), &url]);
    Ran(command.env("HOME", home.path()).output().unwrap()).succeeds();
    assert_eq!(authorization(&server), [format!("Basic {}", STANDARD.encode("me:p"))]);
}

#[test]
fn mistakes_name_the_option_and_no_secret() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".netrc"), "machine a.test\nlogn sesame").unwrap();
    for (args, said) in [
        (&["-u", "sesame"][..], "--user: expected the form USER:PASSWORD"),
        (&["--oauth2-bearer", "ses\name"], "--oauth2-bearer: expected a token"),
        (&["--netrc"], ".netrc: line 2: expected machine, default, login"),
        (&["-u", "a:sesame", "-H", "authorization: x"], "--user cannot be combined with the header \"authorization\": both"),
        (&["-u", "a:sesame", "--oauth2-bearer", "b"], "cannot be used with '--oauth2-bearer <TOKEN>'"),
        (&["-u", "a:sesame", "--netrc"], "cannot be used with '--netrc'"),
        (&["--netrc", "--oauth2-bearer", "b"], "cannot be used with '--oauth2-bearer <TOKEN>'"),
    ] {
        let mut command = command();
        command.arg("http://a.test/").args(args).env("HOME", home.path());
        let ran = Ran(command.output().unwrap()).exits_with(2).says(said);
        assert!(!ran.stderr().contains("sesame"), "{}", ran.stderr());
    }
    let mut command = command();
    command.args(["http://a.test/", "--netrc"]).env("HOME", "/no/such/home");
    Ran(command.output().unwrap()).exits_with(2).says("--netrc: /no/such/home/.netrc: No such file");
}
