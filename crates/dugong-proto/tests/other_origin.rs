//! Targets that are URLs, on a connection to the server itself.

use dugong_proto::{Error, Fields, Method, Misuse, Outstanding, RequestHead, SendHalf};

fn send(host: &str, secure: bool, head: &RequestHead) -> Result<String, Error> {
    let (mut half, mut queue) = (SendHalf::new(host).unwrap(), Outstanding::default());
    half.only_for_its_origin(secure);
    half.request(head, &Fields::new(), &mut queue)?;
    Ok(String::from_utf8(half.to_send().to_vec()).unwrap())
}

fn get(target: &str) -> RequestHead {
    RequestHead::new(Method::GET, target).unwrap()
}

#[test]
fn a_url_of_the_connections_origin_is_sent() {
    for (host, secure, target) in [
        ("a.example", false, "http://a.example/x"),
        ("a.example", false, "HTTP://A.Example:80/x"),
        ("a.example", true, "https://a.example:443/x"),
        ("a.example:8080", false, "http://a.example:8080/x"),
        ("[::1]:81", false, "http://[::1]:81/x"),
        ("a.example", false, "http://a.example:?x"),
        ("a.example", false, "/redirect?to=http://b.example/"),
        ("a.example", false, "/http://b.example/"),
    ] {
        let sent = send(host, secure, &get(target)).unwrap();
        assert!(sent.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{sent}");
    }
    for (method, target) in [(Method::OPTIONS, "*"), (Method::CONNECT, "b.example:443")] {
        send("a.example", false, &RequestHead::new(method, target).unwrap()).unwrap();
    }
}

#[test]
fn a_url_of_another_origin_is_refused_and_both_are_named() {
    for (host, secure, target) in [
        ("a.example", false, "http://b.example/x"),
        ("a.example", false, "https://a.example/x"),
        ("a.example", true, "http://a.example:443/x"),
        ("a.example", false, "http://a.example:8080/x"),
        ("a.example:8080", false, "http://a.example/x"),
        ("a.example", false, "http://a.example.evil/x"),
        ("a.example", false, "ftp://a.example/x"),
    ] {
        let error = send(host, secure, &get(target)).unwrap_err();
        assert!(matches!(error, Error::Local(Misuse::OtherOrigin(_))), "{error:?}");
        let (scheme, text) = (if secure { "https" } else { "http" }, error.to_string());
        assert_eq!(
            text,
            format!(
                "the request target is a URL of another server than that of this connection, \"{scheme}://{host}\": \"{target}\""
            )
        );
    }
}

#[test]
fn a_verbatim_request_and_one_through_a_proxy_may_name_any_origin() {
    let verbatim = RequestHead::verbatim(Method::GET, "http://b.example/x").unwrap();
    assert!(send("a.example", false, &verbatim).is_ok());
    let (mut half, mut queue) = (SendHalf::new("a.example").unwrap(), Outstanding::default());
    half.through_proxy();
    assert!(half.request(&get("http://b.example/x"), &Fields::new(), &mut queue).is_ok());
}
