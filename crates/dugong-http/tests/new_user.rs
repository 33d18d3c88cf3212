//! The first things that a new user writes: they compile, and they do what they seem to say.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use dugong_http::{Connection, Error, Method, Request, Status};
use dugong_origin::{Config, Origin};
use url::Url;

fn connect() -> (Origin, Connection) {
    let origin = Origin::start(Config::default()).expect("a free port");
    let connection = Connection::connect(&format!("http://{}", origin.address())).expect("an origin that listens");
    (origin, connection)
}

/// Answers one connection with `response`, and closes it.
fn server(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).expect("a request");
        stream.write_all(response.as_bytes()).expect("a client that reads");
    });
    url
}

#[test]
fn a_target_is_any_string_or_a_url() {
    let (origin, mut connection) = connect();
    let string = String::from("/doc/1");
    let url: Url = format!("http://{}/doc/1", origin.address()).parse().unwrap();
    let (boxed, cow) = (Box::<str>::from("/doc/1"), std::borrow::Cow::from("/doc/1"));
    let requests = [
        Request::get("/doc/1"),
        Request::get(&string),
        Request::get(&url),
        Request::get(&url[url::Position::BeforePath..]),
        Request::get(format!("/doc/{}", 1)),
        Request::get(boxed),
        Request::get(cow),
        Request::new(Method::GET, &string),
        Request::get(url),
        Request::get(string),
    ];
    let mut pipeline = connection.pipeline(&requests);
    let mut answers = 0;
    while let Some(response) = pipeline.next().unwrap() {
        assert_eq!(response.status(), 200);
        assert_eq!(response.read_all().unwrap(), dugong_origin::document("1"));
        answers += 1;
    }
    assert_eq!(answers, requests.len());
}

#[test]
fn methods_and_statuses_are_parsed_compared_and_converted() {
    let parsed: Method = "PUT".parse().unwrap();
    assert_eq!((parsed, Method::try_from("PUT").unwrap()), (Method::PUT, Method::from(http::Method::PUT)));
    assert!("GET /".parse::<Method>().is_err());

    let (_origin, mut connection) = connect();
    connection.send_request(Request::get("/nothing")).unwrap();
    let response = connection.read_response().unwrap();
    let status = response.status();
    assert!(status == 404 && status == Status::NOT_FOUND && status.is_client_error() && !status.is_success());
    assert_eq!(http::StatusCode::from(status), http::StatusCode::NOT_FOUND);
    assert_eq!(Status::from(http::StatusCode::NOT_FOUND), status);
}

#[test]
fn a_field_is_text_by_name_and_fields_are_iterated() {
    let (_origin, mut connection) = connect();
    connection.send_request(Request::get("/bytes/5")).unwrap();
    let response = connection.read_response().unwrap();
    assert_eq!(response.header("content-length"), Some("5"));
    assert_eq!(response.header("X-Missing"), None);
    assert_eq!(response.fields().get("Content-Length"), Some("5"));
    assert_eq!(&response.fields()["Content-Length"], "5");
    let mut names = Vec::new();
    for line in response.fields() {
        names.push(line.name().to_owned());
    }
    assert!(names.iter().any(|name| name == "Content-Length"), "{names:?}");
}

#[test]
fn a_request_of_the_crate_http_is_sent() {
    let (origin, mut connection) = connect();
    let url = format!("http://{}/upload", origin.address());
    let request = http::Request::put(url).header("Content-Type", "text/plain").body("remember the milk").unwrap();
    connection.send_request(Request::try_from(request).unwrap()).unwrap();
    let response = connection.read_response().unwrap();
    assert_eq!(response.status(), 200);
    let report: serde_json::Value = serde_json::from_reader(response).unwrap();
    assert_eq!(report["length"], 17);
}

#[test]
fn the_error_of_a_cut_response_is_found_in_an_io_error() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1, 2";
    let mut connection = Connection::connect(&server(cut)).unwrap();
    connection.send_request(Request::get("/")).unwrap();
    let mut response = connection.read_response().unwrap();
    let error = std::io::copy(&mut response, &mut std::io::sink()).unwrap_err();
    let found = Error::find_in(&error).expect("an error of this crate");
    assert!(found.is_closed() && found.requests().is_some(), "{found:?}");

    let mut connection = Connection::connect(&server(cut)).unwrap();
    connection.send_request(Request::get("/")).unwrap();
    let error = serde_json::from_reader::<_, Vec<u8>>(connection.read_response().unwrap()).unwrap_err();
    // serde_json hides its io::Error from `source`, but converts to it.
    let error = std::io::Error::from(error);
    assert!(Error::find_in(&error).is_some_and(Error::is_closed), "{error:?}");

    assert!(Error::find_in(&std::io::Error::other("not ours")).is_none());
}
