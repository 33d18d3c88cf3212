//! After a few exchanges, a request and its response allocate nothing.

mod support;

use std::io::BufRead;

use allocation_counter::measure;
use dugong_http::{Connection, Fields, Request};
use dugong_origin::Origin;
use support::config;

/// Exchanges before counting, until every buffer has its final size.
const WARM: usize = 300;

const COUNTED: usize = 1000;

fn connect() -> (Origin, Connection) {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let connection = config().connect(format!("http://{}", origin.address())).unwrap();
    (origin, connection)
}

/// Makes an exchange many times, and checks that this thread allocates nothing.
fn none_in(connection: &mut Connection, mut exchange: impl FnMut(&mut Connection)) {
    (0..WARM).for_each(|_| exchange(connection));
    let info = measure(|| (0..COUNTED).for_each(|_| exchange(connection)));
    assert_eq!(info.count_total, 0, "{info:?} for {COUNTED} exchanges");
}

#[test]
fn sequential_requests_read_into_a_buffer_allocate_nothing() {
    let (_origin, mut connection) = connect();
    let mut buffer = vec![0; 100_000];
    for target in ["/small", "/bytes/3000", "/chunked/3000", "/bytes/50000", "/chunked/50000?trailers=1", "/small?hint=1"] {
        let request = Request::get(target).header("Accept", "text/plain").header("X-Other", "1");
        none_in(&mut connection, |connection| {
            connection.send_request(&request).unwrap();
            let mut response = connection.read_response().unwrap();
            while response.read_content(&mut buffer).unwrap() > 0 {}
        });
    }
}

#[test]
fn sequential_requests_read_in_place_allocate_nothing() {
    let (_origin, mut connection) = connect();
    for target in ["/small", "/bytes/50000", "/chunked/50000?chunk=100&ext=1"] {
        let request = Request::get(target);
        none_in(&mut connection, |connection| {
            connection.send_request(&request).unwrap();
            let mut response = connection.read_response().unwrap();
            loop {
                let count = response.fill_buf().unwrap().len();
                if count == 0 {
                    break;
                }
                response.consume(count);
            }
        });
    }
}

#[test]
fn sequential_requests_read_into_a_reused_vec_allocate_nothing() {
    let (_origin, mut connection) = connect();
    let mut content = Vec::new();
    let request = Request::get("/chunked/50000");
    none_in(&mut connection, |connection| {
        content.clear();
        connection.send_request(&request).unwrap();
        connection.read_response().unwrap().read_to(&mut content).unwrap();
        assert_eq!(content.len(), 50000);
    });
}

#[test]
fn sequential_uploads_allocate_nothing() {
    let (_origin, mut connection) = connect();
    let given = Request::put("/x?digest=0").body(vec![b'x'; 3000]);
    let expected = Request::put("/x?digest=0").body("hello").expect_continue();
    for request in [&given, &expected] {
        none_in(&mut connection, |connection| {
            connection.send_request(request).unwrap();
            connection.read_response().unwrap().discard().unwrap();
        });
    }
    let (chunked, trailers) = (Request::put("/x?digest=0").chunked(), Fields::new());
    none_in(&mut connection, |connection| {
        connection.send_request(&chunked).unwrap();
        connection.content().send_all(b"hello").unwrap();
        connection.content().finish_with_trailers(&trailers).unwrap();
        connection.read_response().unwrap().discard().unwrap();
    });
}

#[test]
fn a_pipeline_allocates_nothing() {
    let (_origin, mut connection) = connect();
    for target in ["/small", "/chunked/3000", "/bytes/50000"] {
        let request = Request::get(target);
        let mut pipeline = connection.pipeline((0..WARM + COUNTED).map(|_| &request));
        let mut content = Vec::new();
        let mut next = || {
            content.clear();
            pipeline.next().unwrap().unwrap().read_to(&mut content).unwrap();
        };
        (0..WARM).for_each(|_| next());
        let info = measure(|| (0..COUNTED).for_each(|_| next()));
        assert_eq!(info.count_total, 0, "{info:?} for {COUNTED} of {target}");
    }
}
