//! A server that does one harm to each connection: no file gets wrong content, the summary accounts for each URL, and the exit code
//! says if all files are complete.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::*;
use dugong_origin::Chaos;

#[test]
fn files_are_right_or_missing_and_each_url_is_accounted_for() {
    let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let end = Instant::now() + Duration::from_secs(variable("DUGONG_CHAOS_SECONDS").unwrap_or(3));
    let first = variable("DUGONG_CHAOS_SEED").unwrap_or(0);
    for seed in first.. {
        let server = Chaos::start(seed, None).unwrap();
        let targets: Vec<_> = (0..60).map(|number| format!("/get/{number}")).collect();
        let scratch = tempfile::tempdir().unwrap();
        let depth = format!("--depth={}", 1 + seed % 12);
        let output = ["-o", scratch.path().to_str().unwrap(), "--json", &depth].map(str::to_owned);
        let ran = get(urls(server.address(), &targets).into_iter().chain(output));
        let summary = json(ran.stdout());
        let seen = format!("DUGONG_CHAOS_SEED={seed}, {depth}: {summary}\n{}", ran.stderr());
        let outcomes = each(&summary, "outcome");
        assert_eq!(outcomes.len(), targets.len(), "{seen}");
        for (target, outcome) in targets.iter().zip(&outcomes) {
            let file = fs::read(scratch.path().join(target.trim_start_matches("/get/"))).ok();
            // Each file is right, and each answered URL has a file.
            assert!(file.as_ref().is_none_or(|content| *content == Chaos::content(target)), "{target}: {seen}");
            assert_eq!(file.is_some(), outcome == "ok", "{target}: {seen}");
        }
        let all = outcomes.iter().all(|outcome| outcome == "ok");
        assert_eq!(ran.code() == Some(0), all, "{seen}");
        drop(server);
        if seed >= first + 20 && Instant::now() > end {
            break;
        }
    }
}
