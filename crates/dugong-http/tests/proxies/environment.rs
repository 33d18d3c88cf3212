//! Proxies that the environment names. The tests set it for processes of their own: each is this program, running one of its
//! ignored tests.

use std::process::Command;

use dugong_http::{Config, Request};

use crate::servers::{PASSWORD, Server, USER, Witness};
use crate::{GUARD, exchange};

/// All variables that count.
const VARIABLES: [&str; 9] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "REQUEST_METHOD",
];

/// Runs a client with this environment, and returns its output.
fn client_says(url: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "environment::client_that_follows_it"]);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let output = command.env("DUGONG_TEST_URL", url).envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let line = said.split_once("client: ").and_then(|(_, rest)| rest.lines().next());
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// Prints whether the answer came through a proxy, or the error.
#[test]
#[ignore = "not a test by itself: others run it in a process of its own, with another environment"]
fn client_that_follows_it() {
    let url = std::env::var("DUGONG_TEST_URL").unwrap();
    match Config::new().timeout(GUARD).proxy_from_environment().connect(&url) {
        Ok(mut connection) => {
            let answer = exchange(&mut connection, &Request::get("/"));
            println!("client: {} {}", answer.status, if answer.fields.contains("Via") { "by proxy" } else { "direct" });
        }
        Err(error) => println!("client: {error:#}"),
    }
}

#[test]
fn requests_go_through_the_proxy_that_the_environment_names() {
    let witness = Witness::start();
    let url = format!("http://{}", witness.address);
    for server in [Server::tinyproxy(1, true), Server::squid(1, true)] {
        let proxy = server.proxy().to_string();
        let with_credentials = proxy.replace("://", &format!("://{USER}:{PASSWORD}@"));
        for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            assert_eq!(client_says(&url, &[(variable, &with_credentials)]), "200 by proxy", "{variable}");
            assert!(!witness.head().to_lowercase().contains("authorization"));
        }
        // The error is the answer of the proxy.
        assert!(client_says(&url, &[("http_proxy", &proxy)]).starts_with("407 "));
    }
    assert!(witness.has_no_more());
}

#[test]
fn requests_go_directly_to_origins_in_no_proxy() {
    let witness = Witness::start();
    let (address, port) = (witness.address, witness.address.port());
    let url = format!("http://{address}");
    let server = Server::tinyproxy(1, false);
    let proxy = server.proxy().to_string();
    for (exceptions, expected) in [
        ("127.0.0.1", "200 direct"),
        (&*format!("example.org, {address}"), "200 direct"),
        ("127.0.0.0/8", "200 direct"),
        ("*", "200 direct"),
        (&*format!("127.0.0.1:{}", port ^ 1), "200 by proxy"),
        ("localhost,10.0.0.0/8", "200 by proxy"),
    ] {
        for variable in ["no_proxy", "NO_PROXY"] {
            assert_eq!(client_says(&url, &[("http_proxy", &proxy), (variable, exceptions)]), expected, "{exceptions}");
        }
    }
    // A proxy for other origins does not count.
    assert_eq!(client_says(&url, &[("https_proxy", &proxy)]), "200 direct");
    assert_eq!(client_says(&url, &[("HTTP_PROXY", &proxy), ("REQUEST_METHOD", "GET")]), "200 direct");
}

#[cfg(feature = "rustls")]
#[test]
fn tunnels_go_through_the_proxy_that_the_environment_names() {
    let (_bound, address) = crate::servers::nobody();
    let url = format!("https://{address}");
    for server in [Server::tinyproxy(1, false), Server::squid(1, false)] {
        let proxy = server.proxy().to_string();
        for variable in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            let said = client_says(&url, &[(variable, &proxy)]);
            let expected =
                format!("no tunnel to 127.0.0.1 port {} through {proxy}: the proxy refused the tunnel: 403 ", address.port());
            assert!(said.starts_with(&expected), "{said}");
        }
        let said = client_says(&url, &[("https_proxy", &proxy), ("no_proxy", "127.0.0.1")]);
        assert!(said.starts_with(&format!("cannot connect to 127.0.0.1 port {}: ", address.port())), "{said}");
    }
}

#[test]
fn a_variable_that_is_no_proxy_is_named_without_its_value() {
    for (variable, value) in [("http_proxy", "http://tester:pass-word@h:port"), ("ALL_PROXY", "ftp://tester:pass-word@h")] {
        let said = client_says("http://127.0.0.1:1", &[(variable, value)]);
        assert!(said.starts_with(&format!("cannot connect: {variable} is not a usable proxy: its ")), "{said}");
        crate::hides_credentials(&said);
    }
}
