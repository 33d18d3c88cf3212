//! Properties of the plan in all networks.

#[path = "networks/world.rs"]
mod world;

use std::time::Duration;

use dugong_session::plan::Config;
use proptest::prelude::*;
use world::{Temper, World};

fn config(cases: u32) -> ProptestConfig {
    // We turn a failure into a test of the policy, not into a seed that no one can read.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn settings() -> impl Strategy<Value = Config> {
    let sizes = (1..5_usize, 1..9_u32, select(&[1, 500, 4 << 20]), 0..5_u32);
    let budgets = (prop_oneof![Just(None), (0..12_u32).prop_map(Some)], prop_oneof![Just(None), (1..90_u64).prop_map(Some)]);
    (sizes, budgets).prop_map(|((connections, depth, window, retries), (retry_budget, total_timeout))| Config {
        connections,
        depth,
        window,
        max_content: 4000,
        is_proven: connections % 2 == 0,
        retries,
        retry_budget,
        total_timeout: total_timeout.map(Duration::from_secs),
        ..Config::default()
    })
}

fn select(numbers: &'static [u64]) -> impl Strategy<Value = u64> {
    proptest::sample::select(numbers)
}

/// How often things go wrong, in 256 events. Some servers do nothing else.
fn tempers() -> impl Strategy<Value = Temper> {
    let rate = || prop_oneof![4 => Just(0_u8), 4 => 0..20_u8, 1 => 0..=255_u8];
    (rate(), rate(), rate(), rate(), rate(), rate(), rate()).prop_map(
        |(refuses_connections, loses, stalls, announces_close, refuses, is_slow, callers_leave)| Temper {
            refuses_connections,
            loses,
            stalls,
            announces_close,
            refuses,
            is_slow,
            callers_leave,
        },
    )
}

proptest! {
    #![proptest_config(config(1500))]

    /// The world checks at each step: one outcome for each job; "not sent" only of jobs that the server did not see; a job that must not
    /// arrive twice does not; `connections` and `depth` are kept; no request follows one that is not idempotent, or an announced close.
    /// At the end: every job is over, the budget bounded the repeats, and no connection is left.
    #[test]
    fn every_job_ends_with_exactly_one_outcome(
        config in settings(),
        temper in tempers(),
        jobs in 1..60_usize,
        seed in any::<u64>(),
    ) {
        World::new(config, temper, seed).play(jobs);
    }
}

#[test]
fn a_server_that_loses_every_connection_gets_few_requests() {
    let temper = Temper { loses: 255, ..Temper::default() };
    let mut world = World::new(Config::default(), temper, 1);
    world.play(200);
    assert!(world.plan.stats().repeated <= 10);
}
