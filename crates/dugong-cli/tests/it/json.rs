//! The summary in JSON.

use std::collections::BTreeSet;

use crate::support::*;
use dugong_origin::{Config, Script};
use serde_json::{Value, json};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn with_files_the_summary_is_on_standard_output() {
    let origin = origin_with(Config { close_after: Some(2), ..Config::default() });
    let scratch = tempfile::tempdir().unwrap();
    let list = urls(origin.address(), ["/doc/1", "/nothing", "/doc/2"]);
    let ran = get(list.iter().map(String::as_str).chain(["--json", "-o", scratch.path().to_str().unwrap()])).exits_with(1);
    let summary = json(ran.stdout());
    assert_eq!(keys(&summary), BTreeSet::from(["urls", "totals"]));
    for url in summary["urls"].as_array().unwrap() {
        let wanted = ["url", "status", "reason", "bytes", "file", "error", "outcome", "safe_to_retry"];
        let session = ["sent", "answered", "attempts"];
        assert_eq!(keys(url), BTreeSet::from_iter(wanted.into_iter().chain(session)));
    }
    let size = |id| dugong_origin::document(id).len();
    let file = |name| json!(scratch.path().join(name).to_str().unwrap());
    assert_eq!(each(&summary, "url"), list);
    assert_eq!(each(&summary, "status"), [200, 404, 200]);
    assert_eq!(each(&summary, "reason"), ["OK", "Not Found", "OK"]);
    assert_eq!(each(&summary, "outcome"), ["ok", "error-status", "ok"]);
    assert_eq!(each(&summary, "file"), [file("1"), Value::Null, file("2")]);
    assert_eq!(each(&summary, "error"), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(each(&summary, "safe_to_retry"), [false, false, false]);
    let bytes = each(&summary, "bytes");
    assert_eq!((&bytes[0], &bytes[2]), (&json!(size("1")), &json!(size("2"))));

    let totals = &summary["totals"];
    let wanted = ["requested", "answered", "errors", "bytes", "seconds", "requests_per_second", "connections"];
    assert_eq!(keys(totals), BTreeSet::from(wanted));
    assert_eq!((&totals["requested"], &totals["answered"], &totals["errors"]), (&json!(3), &json!(3), &json!(1)));
    assert_eq!(totals["connections"], json!(2));
    assert_eq!(totals["bytes"].as_u64(), bytes.iter().map(Value::as_u64).sum());
    assert!(totals["seconds"].as_f64().unwrap() > 0.0 && totals["requests_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn without_files_only_the_summary_goes_to_standard_error() {
    let origin = origin();
    let ran = get(urls(origin.address(), ["/doc/1", "/nothing"]).into_iter().chain(["--json".to_owned()])).exits_with(1);
    assert_eq!(ran.stdout(), all_documents(1));
    let summary = json(ran.stderr().as_bytes());
    assert_eq!(each(&summary, "outcome"), ["ok", "error-status"]);
    assert_eq!(each(&summary, "file"), [Value::Null, Value::Null]);
}

#[test]
fn each_url_has_exactly_one_outcome_when_the_connection_is_lost() {
    let answers =
        "HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx".to_owned() + "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\nhello";
    let server = scripted([first_alone(ok("one"), 2, answers).pause(std::time::Duration::from_millis(500)).fin().wait_close()]);
    let list = urls(server.address(), (0..8).map(|i| format!("/{i}")));
    let ran = get(list.into_iter().chain(["--json", "--depth=4"].map(str::to_owned))).exits_with(3);
    assert_eq!(ran.stdout(), b"onehello");
    let summary = json(ran.stderr().as_bytes());
    let outcomes = each(&summary, "outcome");
    // How the bytes arrived decides how many more requests were sent after the first answers.
    assert_eq!(outcomes[..3], ["ok", "error-status", "incomplete"]);
    assert!(outcomes[3..].iter().all(|outcome| outcome == "unanswered" || outcome == "not-sent"), "{outcomes:?}");
    assert_eq!(each(&summary, "safe_to_retry"), [false, false, true, true, true, true, true, true]);
    assert_eq!(each(&summary, "bytes")[..3], [3, 1, 5]);
    assert_eq!(each(&summary, "error")[2], "the connection ended after 5 of 300 bytes of content");
    assert_eq!(each(&summary, "error")[0], Value::Null);
    assert_eq!(each(&summary, "sent")[..3], ["yes", "yes", "yes"]);
    assert_eq!(each(&summary, "answered")[..3], ["yes", "yes", "partly"]);
    assert_eq!(each(&summary, "attempts")[..3], [1, 1, 1]);
    assert_eq!((&summary["totals"]["requested"], &summary["totals"]["answered"]), (&json!(8), &json!(2)));
}

#[test]
fn urls_that_fail_early_leaves_out_are_safe_to_retry() {
    let server = scripted([Script::new().expect_requests(1).send("HTTP/1.1 500 \r\nContent-Length: 9\r\n\r\n").wait_close()]);
    let list = urls(server.address(), ["/0", "/1", "/2", "/3"]);
    let ran = get(list.into_iter().chain(["--json", "--depth=2", "-f"].map(str::to_owned))).exits_with(1);
    let summary = json(ran.stderr().as_bytes());
    let outcomes = each(&summary, "outcome");
    assert_eq!(outcomes[0], "error-status");
    assert!(outcomes[1..].iter().all(|outcome| outcome == "unanswered" || outcome == "not-sent"), "{outcomes:?}");
    assert_eq!(each(&summary, "safe_to_retry"), [false, true, true, true]);
    assert_eq!(each(&summary, "reason")[0], "");
}

#[test]
fn a_refused_connection_has_a_summary() {
    let address = std::net::TcpListener::bind("127.0.0.9:0").unwrap().local_addr().unwrap(); // no other test listens there
    let ran = get(urls(address, ["/1", "/2"]).into_iter().chain(["--json".to_owned()])).exits_with(3);
    let summary = json(ran.stderr().as_bytes());
    assert_eq!(each(&summary, "outcome"), ["not-sent", "not-sent"]);
    assert_eq!(summary["totals"]["connections"], json!(0));
    assert!(each(&summary, "error")[0].as_str().unwrap().starts_with("cannot connect to 127.0.0.9 port"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_summary_that_cannot_be_written_is_a_failure() {
    let origin = origin();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = command();
    command.args(documents(origin.address(), 1)).arg("--json");
    let ran = Ran(command.stderr(full()).output().unwrap()).exits_with(4);
    assert_eq!(ran.stdout(), all_documents(1));
}
