//! Proxies from options and from the environment.

use crate::servers::{Authority, PASSWORD, Server, USER};
use crate::support::*;
use dugong_origin::Config;

/// Checks that the program connected to the proxy.
#[track_caller]
fn went_through(ran: &Ran, proxy: &Server) {
    assert!(ran.stderr().contains(&format!("* Connected to {} from", proxy.address)), "{}", ran.stderr());
}

#[track_caller]
fn is_silent_about_the_password(ran: &Ran) {
    for secret in [PASSWORD, "sesame%2Dopen", "dGVzdGVyOnNlc2FtZS1vcGVu"] {
        assert!(!ran.stderr().contains(secret), "{}", ran.stderr());
    }
}

#[test]
fn requests_go_through_the_proxy_of_the_option_or_the_environment() {
    let origin = origin_with(Config { close_after: Some(7), ..Config::default() });
    let proxy = Server::tinyproxy(origin.address(), false);
    let urls = documents(origin.address(), 20);
    let by_option = command().args(&urls).args(["-v", "-x", &format!("http://{}", proxy.address)]).output();
    let by_variable = command().args(&urls).arg("-v").env("http_proxy", proxy.address.to_string()).output();
    for output in [by_option, by_variable] {
        let ran = Ran(output.unwrap()).exits_with(0);
        assert!(ran.stdout() == all_documents(20));
        went_through(&ran, &proxy);
        ran.says(&format!("> GET http://{}/doc/20 HTTP/1.1\n", origin.address()));
    }
    // The proxy of the variable does not exist.
    for args in [&["--noproxy", "*"][..], &["--noproxy", "127.0.0.0/8"], &["-x", ""]] {
        let output = command().args(&urls).args(args).env("http_proxy", "127.0.0.9:9").output().unwrap();
        assert!(Ran(output).succeeds().stdout() == all_documents(20));
    }
}

#[test]
fn https_goes_through_a_tunnel() {
    let (origin, authority, scratch) = (origin(), Authority::new(), tempfile::tempdir().unwrap());
    let server = Server::stunnel(origin.address(), &authority, "");
    let urls: Vec<_> = documents(server.address, 20).iter().map(|url| url.replace("http:", "https:")).collect();
    let cacert = authority.file(scratch.path());
    for with_password in [false, true] {
        let proxy = Server::tinyproxy(server.address, with_password);
        let url = format!("http://{}", proxy.address);
        let mut command = command();
        command.args(&urls).args(["-v", "--cacert", &cacert, "-x", &url]);
        if with_password {
            command.args(["-U", &format!("{USER}:{}", PASSWORD.replace('-', "%2D"))]);
        }
        let ran = Ran(command.output().unwrap()).exits_with(0);
        assert!(ran.stdout() == all_documents(20));
        went_through(&ran, &proxy);
        is_silent_about_the_password(&ran);
        let address = server.address;
        let asked = format!("* Asking {url} for a tunnel to {} port {}\n* The tunnel is open\n", address.ip(), address.port());
        ran.says(&asked).says("> GET /doc/20 HTTP/1.1\n");
    }
}

#[test]
fn only_the_proxy_gets_its_credentials() {
    let origin = origin();
    let proxy = Server::tinyproxy(origin.address(), true);
    let urls = documents(origin.address(), 5);
    let (user, url) = (format!("{USER}:{PASSWORD}"), format!("http://{}", proxy.address));
    let with_user = format!("http://{user}@{}", proxy.address);
    for args in [&["-x", &*url, "-U", &user][..], &["-x", &with_user], &["-x", &with_user, "-U", "other:wrong"]] {
        let scratch = tempfile::tempdir().unwrap();
        let trace = scratch.path().join("trace");
        let ran = Ran(command().args(&urls).args(args).arg("-v").arg("--trace").arg(&trace).output().unwrap()).exits_with(0);
        assert_eq!(ran.stdout(), all_documents(5));
        went_through(&ran, &proxy);
        is_silent_about_the_password(&ran);
        let trace = std::fs::read_to_string(trace).unwrap();
        for text in [ran.stderr(), &trace] {
            assert_eq!(text.matches("> Proxy-Authorization: ***").count(), 5, "{text}");
        }
        assert!(!trace.contains("dGVzdGVyOnNlc2FtZS1vcGVu"), "{trace}");
    }
}

#[test]
fn a_refused_tunnel_is_reported_with_the_status_and_without_the_password() {
    let (origin, authority) = (origin(), Authority::new());
    let server = Server::stunnel(origin.address(), &authority, "");
    let url = documents(server.address, 1)[0].replace("http:", "https:");
    let proxy = Server::tinyproxy(server.address, true);
    let proxy_url = format!("http://{}", proxy.address);
    let ran = get([&*url, "-x", &proxy_url]).exits_with(3).says("no tunnel to").says("the proxy wants credentials").says("407");
    assert_eq!(ran.stderr().lines().count(), 2, "{}", ran.stderr());
    let ran = get([&*url, "-x", &proxy_url, "-U", "tester:sesame", "--json"]).exits_with(3);
    let summary = json(ran.stderr().as_bytes());
    let error = each(&summary, "error").remove(0);
    assert!(error.as_str().unwrap().contains("the proxy refused the credentials"), "{error}");
    assert!(!ran.stderr().contains("sesame"), "{}", ran.stderr());
    assert_eq!(origin.counts().connections, 0);
}

#[test]
fn a_wrong_proxy_is_found_before_anything_is_sent() {
    let origin = origin();
    let url = &*documents(origin.address(), 1)[0];
    for args in [&["-x", "ftp://user:sesame@h"][..], &["-x", "http://user:sesame@h:x"], &["-x", "https://user:sesame@h"]] {
        let ran = get([url].into_iter().chain(args.iter().copied())).exits_with(2).says("--proxy: this is not a usable proxy");
        assert!(!ran.stderr().contains("sesame"), "{}", ran.stderr());
    }
    get([url, "-x", "h", "-U", "-sesame"]).exits_with(2).says("--proxy-user: expected the form USER:PASSWORD\n");
    get([url, "-x", "h", "--unix-socket", "s"]).exits_with(2).says("--unix-socket");
    let output = command().arg(url).env("ALL_PROXY", "socks4://user:sesame@h").output().unwrap();
    Ran(output).exits_with(2).says("the environment: ALL_PROXY is not a usable proxy: its scheme is not http");
    assert_eq!(origin.counts().connections, 0);
}
