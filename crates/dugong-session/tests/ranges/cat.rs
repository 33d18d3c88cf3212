//! Many ranges of one target.

use bytes::Bytes;
use dugong_http::Status;
use dugong_session::ranges::{Ask, BadRange, CatRanges, RangeError, Span, WrongRange};

use crate::server::{Answer, Server};

const MAX: u64 = 64 << 20;

/// Fetches with one answer after another.
fn fetch(server: &mut Server, ranges: &[(u64, u64)], gap: u64) -> Result<Vec<Bytes>, RangeError> {
    fetch_by(ranges, gap, |ask| server.answer(ask))
}

/// The same, by a server that says other things.
fn fetch_by(ranges: &[(u64, u64)], gap: u64, mut serve: impl FnMut(&Ask) -> Answer) -> Result<Vec<Bytes>, RangeError> {
    let mut cat = CatRanges::new("/x?key=secret", ranges, gap, MAX)?;
    while let Some(ask) = cat.next_request() {
        let answer = serve(&ask);
        cat.take(ask.index, answer.status, &answer.fields, answer.content)?;
    }
    assert!(cat.is_done());
    Ok(cat.finish())
}

fn message(result: Result<Vec<Bytes>, RangeError>) -> String {
    result.expect_err("the ranges were delivered").to_string()
}

#[test]
fn ranges_come_in_the_order_in_which_they_were_asked_for() {
    let mut server = Server::new(1000);
    let ranges = [(900, 1000), (0, 10), (500, 510), (5, 15), (900, 901)];
    for (gap, requests) in [(0, 5), (1, 3), (100, 3), (391, 2), (u64::MAX, 1)] {
        server.asked = 0;
        let found = fetch(&mut server, &ranges, gap).unwrap();
        for (found, (start, end)) in found.iter().zip(ranges) {
            assert_eq!(found, &server.content[start as usize..end as usize]);
        }
        assert_eq!(found.len(), ranges.len());
        assert_eq!(server.asked, requests, "requests with a gap of {gap}");
    }
}

#[test]
fn ranges_are_merged_if_they_are_less_than_the_gap_apart() {
    let mut server = Server::new(200);
    for (gap, requests) in [(0, 2), (90, 2), (91, 1)] {
        server.asked = 0;
        fetch(&mut server, &[(0, 10), (100, 110)], gap).unwrap();
        assert_eq!(server.asked, requests, "requests with a gap of {gap}");
    }
}

#[test]
fn merged_ranges_stay_below_four_mebibytes() {
    let ranges: Vec<_> = (0..100).map(|i| (i << 20, (i << 20) + 1)).collect();
    let mut cat = CatRanges::new("/x", &ranges, 2 << 20, MAX).unwrap();
    let asks: Vec<_> = std::iter::from_fn(|| cat.next_request()).collect();
    assert_eq!(asks.len(), 25);
    assert!(asks.iter().all(|ask| ask.span.unwrap().len() <= 4 << 20));
}

#[test]
fn an_empty_range_needs_no_request() {
    let mut server = Server::new(10);
    let found = fetch(&mut server, &[(5, 5), (999, 999)], 64).unwrap();
    assert_eq!(found, [Bytes::new(), Bytes::new()]);
    assert!(fetch(&mut server, &[], 64).unwrap().is_empty());
    assert_eq!(server.asked, 0);
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused() {
    let error = CatRanges::new("/x", &[(0, 1), (10, 5)], 64, MAX).unwrap_err();
    assert_eq!(error.to_string(), "bad range (10, 5): it ends before it begins");
}

#[test]
fn a_range_that_no_reply_can_hold_is_refused() {
    let error = CatRanges::new("/x", &[(0, MAX + 1)], 64, MAX).unwrap_err();
    assert!(matches!(error, RangeError::BadRange { why: BadRange::TooLong { limit: MAX }, .. }));
    assert!(error.to_string().contains("max_content (67108864 bytes)"), "{error}");
}

#[test]
fn a_range_beyond_the_end_is_an_error() {
    let server = Server::new(100);
    for (ranges, named) in [
        (&[(90, 101)][..], "(90, 101)"),
        (&[(100, 101)], "(100, 101)"),
        (&[(0, 10), (20, 30), (40, 200), (50, 300)], "(40, 200)"),
    ] {
        for ranges_known in [true, false] {
            let message = message(fetch(&mut Server { ranges: ranges_known, ..server.clone() }, ranges, 64));
            assert_eq!(message, format!("range {named} ends beyond the end of /x?..., which has 100 bytes"));
        }
    }
}

#[test]
fn a_416_without_a_length_is_a_range_beyond_the_end() {
    let mut server = Server::new(100);
    let result = fetch_by(&[(100, 200)], 0, |ask| server.answer(ask).with("Content-Range", ""));
    assert_eq!(message(result), "range (100, 200) ends beyond the end of /x?...");
}

#[test]
fn a_wrong_content_range_is_an_error() {
    let mut server = Server::new(100);
    for (value, told) in [
        ("", "a 206 without Content-Range"),
        ("bytes 10-18/100", "\"Content-Range: bytes 10-18/100\""),
        ("bytes 11-20/100", "\"Content-Range: bytes 11-20/100\""),
        ("bytes */100", "\"Content-Range: bytes */100\""),
        ("bytes 10-19", "a bad Content-Range \"bytes 10-19\": it has no \"/\""),
        // Only an end that is the target's excuses a shorter range.
        ("bytes 10-14/*", "\"Content-Range: bytes 10-14/*\""),
    ] {
        let result = fetch_by(&[(10, 20)], 0, |ask| server.answer(ask).with("Content-Range", value));
        assert_eq!(message(result), format!("the server was asked for bytes 10-19 of /x?... and sent {told}"));
    }
    let short = |ask: &Ask| {
        let answer = server.answer(ask);
        Answer { content: answer.content.slice(1..), ..answer }
    };
    assert!(message(fetch_by(&[(10, 20)], 0, short)).ends_with("sent 9 bytes of content"));
}

#[test]
fn an_unknown_complete_length_is_no_error() {
    let mut server = Server::new(100);
    let result = fetch_by(&[(10, 20)], 0, |ask| server.answer(ask).with("Content-Range", "bytes 10-19/*"));
    assert_eq!(result.unwrap()[0], server.content[10..20]);
}

#[test]
fn a_target_that_changes_is_an_error() {
    for (before, after, told) in [
        ((Some("\"v1\""), None, 100), (Some("\"v2\""), None, 100), "its ETag was \"v1\", and is \"v2\" now"),
        ((Some("\"v1\""), None, 100), (None, None, 100), "its ETag was \"v1\", and is missing now"),
        ((Some("W/\"v1\""), None, 100), (Some("\"v2\""), None, 100), "its ETag was missing, and is \"v2\" now"),
        ((None, Some("Mon"), 100), (None, Some("Tue"), 100), "its Last-Modified was Mon, and is Tue now"),
        ((Some("\"v1\""), None, 100), (Some("\"v1\""), None, 101), "its complete length was 100, and is 101 now"),
    ] {
        let version = |(etag, modified, length)| Server { etag, modified, ..Server::new(length) };
        let mut versions = [version(before), version(after)].into_iter();
        let result = fetch_by(&[(0, 1), (50, 51)], 0, |ask| versions.next().unwrap().answer(ask));
        assert_eq!(message(result), format!("/x?... has changed: {told}; begin again"));
    }
}

#[test]
fn the_first_answer_of_a_server_without_ranges_serves_all() {
    let mut server = Server { ranges: false, ..Server::new(100) };
    let mut cat = CatRanges::new("/x", &[(10, 20), (0, 5), (99, 100)], 0, MAX).unwrap();
    let (first, second) = (cat.next_request().unwrap(), cat.next_request().unwrap());
    for ask in [&second, &first] {
        let answer = server.answer(ask);
        cat.take(ask.index, answer.status, &answer.fields, answer.content).unwrap();
        assert!(cat.is_done());
        assert_eq!(cat.next_request(), None, "the third request is not needed");
    }
    let whole = &server.content;
    assert_eq!(cat.finish(), [&whole[10..20], &whole[0..5], &whole[99..100]]);
}

#[test]
fn other_statuses_are_errors() {
    let mut server = Server::new(100);
    for (status, told) in
        [(Status::NOT_FOUND, "404 to GET /x?... (Not Found)"), (Status::NO_CONTENT, "204 to GET /x?... (No Content)")]
    {
        let result = fetch_by(&[(10, 20)], 0, |ask| server.answer(ask).status(status));
        assert_eq!(message(result), format!("the server answered {told}"));
    }
    let lie = fetch_by(&[(10, 20)], 0, |ask| {
        server.answer(ask).status(Status::RANGE_NOT_SATISFIABLE).with("Content-Range", "bytes */100")
    });
    let Err(RangeError::WrongRange { asked, got, .. }) = lie else { panic!("{lie:?}") };
    assert_eq!(asked, Some(Span::new(10, 20)));
    assert!(matches!(got, WrongRange::Other(_)));
}

#[test]
fn results_are_slices_of_the_answers() {
    let mut server = Server::new(1000);
    let found = fetch(&mut server, &[(0, 10), (20, 30)], 64).unwrap();
    assert_eq!(found[1].as_ptr() as usize - found[0].as_ptr() as usize, 20);
}
