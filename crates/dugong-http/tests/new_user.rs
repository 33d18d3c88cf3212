//! The first things that a new user writes: they compile, and they do what they seem to say.

use std::io::{self, Cursor, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use dugong_http::{Config, Connection, Error, Method, Misuse, Proxy, Request, Status, UploadError};
use dugong_origin::Origin;
use url::Url;

fn origin() -> (Origin, String) {
    let origin = Origin::start(dugong_origin::Config::default()).expect("a free port");
    let url = format!("http://{}", origin.address());
    (origin, url)
}

fn connect() -> (Origin, Connection) {
    let (origin, url) = origin();
    (origin, Connection::connect(url).expect("an origin that listens"))
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
fn a_url_of_another_server_is_refused_unless_a_proxy_forwards_it() {
    let (_origin, url) = origin();
    let mut connection = Connection::connect(&url).unwrap();
    let error = connection.send_request(Request::get("http://other.example/x")).unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::OtherOrigin(_))), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&url) && text.contains("http://other.example/x"), "{text}");
    connection.send_request(Request::get(format!("{url}/doc/1"))).unwrap();
    assert_eq!(connection.read_response().unwrap().status(), 200);

    let proxy = Proxy::new(&server("HTTP/1.1 204 No Content\r\n\r\n")).unwrap();
    let mut connection = Config::new().proxy(proxy).connect("http://server.example").unwrap();
    connection.send_request(Request::get("http://other.example/x")).unwrap();
    assert_eq!(connection.read_response().unwrap().status(), 204);
}

#[test]
fn a_connection_takes_a_url_of_any_kind_and_settings() {
    let (_origin, url) = origin();
    let config = Config::new().timeout(Duration::from_secs(20));
    let parsed: Url = url.parse().unwrap();
    let to = dugong_http::Origin::of_url(&url).unwrap().0;
    for connected in [
        Connection::connect(&url),
        Connection::connect(&parsed),
        config.connect(parsed),
        Connection::connect_with(&config, &url),
        Connection::connect_to(&config, &to),
    ] {
        let mut connection = connected.unwrap();
        connection.send_request(Request::get("/doc/1")).unwrap();
        assert_eq!(connection.read_response().unwrap().status(), Status::OK);
    }
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
    let mut connection = Connection::connect(server(cut)).unwrap();
    connection.send_request(Request::get("/")).unwrap();
    let mut response = connection.read_response().unwrap();
    let error = io::copy(&mut response, &mut io::sink()).unwrap_err();
    let found = Error::find_in(&error).expect("an error of this crate");
    assert!(found.is_closed() && found.requests().is_some(), "{found:?}");

    let mut connection = Connection::connect(server(cut)).unwrap();
    connection.send_request(Request::get("/")).unwrap();
    let error = serde_json::from_reader::<_, Vec<u8>>(connection.read_response().unwrap()).unwrap_err();
    // serde_json hides its io::Error from `source`, but converts to it.
    let error = io::Error::from(error);
    assert!(Error::find_in(&error).is_some_and(Error::is_closed), "{error:?}");

    assert!(Error::find_in(&io::Error::other("not ours")).is_none());
}

#[test]
fn a_pipeline_is_an_iterator_of_complete_responses() {
    let (_origin, mut connection) = connect();
    let requests = (1..=100).map(|i| Request::get(format!("/doc/{i}")));
    let responses: Result<Vec<_>, Error> = connection.pipeline(requests).collected(1 << 20).collect();
    let responses = responses.unwrap();
    assert_eq!(responses.len(), 100);
    for (i, response) in (1..).zip(&responses) {
        assert!(response.status().is_success() && response.header("Content-Length").is_some());
        assert_eq!((response.number, &response.content), (i - 1, &dugong_origin::document(&i.to_string())));
    }
}

#[test]
fn the_iterator_names_the_limit_and_continues_behind_a_longer_response() {
    let (_origin, mut connection) = connect();
    let requests = ["/bytes/10", "/chunked/11?trailers=1", "/bytes/11", "/chunked/10?trailers=1", "/bytes/0"];
    let mut responses = connection.pipeline(requests.map(Request::get)).collected(10);
    assert_eq!(responses.next().unwrap().unwrap().content.len(), 10);
    for number in [1, 2] {
        let error = responses.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::ContentTooLong { number: n, limit: 10 } if n == number), "{error:?}");
        assert_eq!(error.to_string(), format!("the response to request {number} has more than 10 bytes of content"));
    }
    let chunked = responses.next().unwrap().unwrap();
    assert!(chunked.content.len() == 10 && !chunked.trailers.is_empty(), "{chunked:?}");
    assert_eq!(responses.next().unwrap().unwrap().content, b"");
    assert!(responses.next().is_none() && responses.next().is_none());
}

#[test]
fn the_iterator_reports_an_invalid_request_and_continues_with_the_others() {
    let (_origin, mut connection) = connect();
    let responses: Vec<_> = connection.pipeline(["/doc/1", "bad", "/doc/2"].map(Request::get)).collected(1 << 20).collect();
    let (answered, refused): (Vec<_>, Vec<_>) = responses.into_iter().partition(Result::is_ok);
    assert_eq!(answered.len(), 2);
    assert!(matches!(refused[..], [Err(Error::Local(Misuse::Target(_)))]), "{refused:?}");
}

#[test]
fn the_iterator_ends_with_the_connection_and_leaves_the_unsent_requests() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let mut connection = Connection::connect(server(answer)).unwrap();
    let requests: Vec<_> = (0..1000).map(|i| Request::get(format!("/{i}"))).collect();
    let mut responses = connection.pipeline(&requests).max_requests(1).collected(10);
    assert_eq!(responses.next().unwrap().unwrap().content, b"ok");
    assert!(responses.next().unwrap().unwrap_err().is_closed());
    assert!(responses.next().is_none());
    let (current, rest) = responses.into_pipeline().into_rest();
    assert_eq!(current.into_iter().count() + rest.count(), 999);
}

#[test]
fn read_all_has_a_limit_that_can_be_set_and_the_rest_can_be_read_after_it() {
    let (_origin, url) = origin();
    let mut connection = Config::new().max_content(1000).connect(url).unwrap();
    for target in ["/bytes/1001", "/chunked/1001"] {
        connection.send_request(Request::get(target)).unwrap();
        let error = connection.read_response().unwrap().read_all().unwrap_err();
        assert!(matches!(error, Error::ContentTooLong { limit: 1000, .. }), "{error:?}");
        assert_eq!(connection.current_response().unwrap().read_all_up_to(1001).unwrap().len(), 1001);
        connection.send_request(Request::get(target)).unwrap();
        let mut content = vec![0; 500];
        connection.read_response().unwrap().read_to(&mut content).unwrap();
        assert_eq!(content.len(), 1501);
    }
    connection.send_request(Request::get("/chunked/1000")).unwrap();
    assert_eq!(connection.read_response().unwrap().read_all().unwrap().len(), 1000);
}

/// Fails after some bytes.
fn broken(bytes: &[u8]) -> impl Read {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("no more"))
        }
    }
    bytes.chain(Broken)
}

#[test]
fn content_comes_from_a_reader_with_a_length_or_in_chunks() {
    let (_origin, mut connection) = connect();
    for length in [0, 1, 65_536, 1_000_000] {
        let content = vec![b'x'; length];
        for request in [Request::put("/x").content_length(length as u64), Request::put("/x").chunked()] {
            connection.send_request(request).unwrap();
            assert_eq!(connection.content().send_from(Cursor::new(&content)).unwrap(), length as u64);
            let report: serde_json::Value =
                serde_json::from_slice(&connection.read_response().unwrap().read_all().unwrap()).unwrap();
            assert_eq!(report["length"], length);
        }
    }
}

#[test]
fn a_reader_that_fails_or_has_another_length_leaves_the_request_incomplete() {
    for (reader, length, misuse) in [
        (&b"123"[..], Some(4), Some(Misuse::ContentShort)),
        (&b"12345"[..], Some(4), Some(Misuse::ExcessContent)),
        (&b"1234"[..], Some(4), None),
        (&b"123"[..], None, None),
    ] {
        let (_origin, mut connection) = connect();
        let request = match length {
            Some(length) => Request::put("/x").content_length(length),
            None => Request::put("/x").chunked(),
        };
        connection.send_request(request).unwrap();
        let result = match misuse {
            Some(_) => connection.content().send_from(reader),
            None => connection.content().send_from(broken(reader)),
        };
        match (result.unwrap_err(), misuse) {
            (UploadError::Sending(Error::Local(found)), Some(misuse)) => assert_eq!(found, misuse),
            (UploadError::Source(error), None) => assert_eq!(error.to_string(), "no more"),
            (error, _) => panic!("{error:?}"),
        }
        let next = connection.send_request(Request::get("/doc/1"));
        assert!(matches!(next, Err(Error::Local(Misuse::ContentOwed))), "{next:?}");
    }
}

#[test]
fn an_upload_from_a_reader_that_is_refused_half_way_leaves_the_answer_to_be_read() {
    for target in ["/x?early=1", "/x?expect=no"] {
        let (_origin, mut connection) = connect();
        connection.send_request(Request::put(target).chunked().expect_continue()).unwrap();
        let error = connection.content().send_from(io::repeat(b'x').take(1 << 30)).unwrap_err();
        assert!(error.is_refused(), "{error:?}");
        assert!(connection.read_response().unwrap().status().is_client_error());
    }
    let (_origin, mut connection) = connect();
    connection.send_request(Request::put("/x?early=1").content_length(1 << 40)).unwrap();
    assert!(connection.content().send_from(io::repeat(b'x').take(1 << 30)).unwrap_err().is_refused());
    assert_eq!(connection.read_response().unwrap().status(), Status::CONTENT_TOO_LARGE);
}

#[test]
fn debug_of_a_connection_and_a_response_is_one_short_line_without_content_and_secrets() {
    let (_origin, mut connection) = connect();
    let request = Request::put("/upload").header("Authorization", "hush").body(vec![b'x'; 8 << 20]);
    connection.send_request(request).unwrap();
    let (before, writer) = (format!("{connection:?}"), format!("{:?}", connection.content()));
    let response = connection.read_response().unwrap();
    let read = format!("{response:?}");
    response.discard().unwrap();
    for shown in [before, writer, read] {
        assert!(shown.len() < 600 && !shown.contains("xxxx") && !shown.contains("hush") && !shown.contains('\n'), "{shown}");
    }
    assert!(format!("{connection:?}").contains("unanswered: 0"), "{connection:?}");
}

#[test]
fn connections_responses_and_pipelines_can_move_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<Connection>();
    check::<dugong_http::Response<'static>>();
    check::<dugong_http::ContentWriter<'static>>();
    check::<dugong_http::Pipeline<'static, std::vec::IntoIter<Request>>>();
    check::<Error>();
}
