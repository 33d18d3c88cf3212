//! The wire transcripts of one request, checked by the exit code.

use dugong_corpus::{After, Case, Step, cases};
use dugong_origin::Script;

use crate::support::{get, scripted, urls};

/// The exit code for a case in the first table of `docs/faces.md`; `None` if the case does not say how it ends.
fn expected(case: &Case) -> Option<i32> {
    let lines = case.steps.iter().flat_map(|step| match step {
        Step::Events { lines, .. } => &lines[..],
        _ => &[],
    });
    let mut status = 0;
    for line in lines {
        match line.split_once(' ') {
            Some(("response", code)) => status = code.parse().expect("a status is a number"),
            Some(("error", _)) => return Some(3),
            // Bytes after a complete response change nothing.
            None if line == "end" => return Some(i32::from(status >= 400)),
            _ => {}
        }
    }
    None
}

/// Tells if the client only sends one GET, before it receives anything.
fn is_one_get(case: &Case) -> bool {
    let calls = |step: &&Step| matches!(step, Step::Request(_) | Step::Write(_) | Step::Finish(_));
    case.steps.iter().filter(calls).count() == 1
        && case.steps.iter().any(|step| matches!(step, Step::Receive { .. }))
        && matches!(&case.steps[0], Step::Request(request) if request.method == "GET" && request.fields.is_empty())
}

#[test]
fn the_exit_code_says_what_the_transcripts_say() {
    let mut ran = 0;
    for case in cases() {
        let (Some(code), true) = (expected(&case), is_one_get(&case)) else { continue };
        let mut script = Script::new().expect_requests(1);
        let mut last = After::Open;
        for step in &case.steps {
            let Step::Receive { bytes, then } = step else { continue };
            script = script.send(bytes.as_slice());
            last = *then;
        }
        script = match last {
            After::Open => script.wait_close(),
            After::Eof => script.fin().wait_close(),
            // A reset can overtake data, so the client may lose a complete response.
            After::Reset if code != 3 => continue,
            After::Reset => script.reset(),
        };
        let server = scripted([script]);
        let mut args = urls(server.address(), ["/"]);
        args.extend(["--retries=0".to_owned()]);
        let got = get(args);
        assert_eq!(got.code(), Some(code), "{}: {}: {}", case.area, case.name, got.stderr());
        ran += 1;
    }
    assert!(ran > 200, "{ran} cases");
}
