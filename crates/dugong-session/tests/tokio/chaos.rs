//! A server that harms each connection, and a thousand tasks of which many leave at any moment.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dugong_origin::Chaos;
use dugong_session::tokio::Session;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::ledger::{Kind, Ledger};
use super::storms::Random;
use super::support::watched;

const TASKS: usize = 1000;
/// Requests of each task.
const EACH: usize = 5;

fn session(server: &Chaos) -> Session {
    let builder = Session::builder(&format!("http://{}", server.address()));
    let builder = builder.timeout(Duration::from_millis(150)).backoff(Duration::from_millis(1), Duration::from_millis(10));
    builder.retries(1000).retry_budget(None).build().unwrap().into()
}

async fn use_share(seed: u64, task: usize, session: Session, ledger: Arc<Mutex<Ledger>>) {
    let mut random = Random(seed << 32 | task as u64);
    for number in task * EACH..(task + 1) * EACH {
        let request = Kind::of(seed, number).request(seed, number);
        let call = session.request(&request);
        // Half of the requests may be given up, some of them before they are sent.
        let patience = if random.below(2) == 0 { Duration::from_secs(100) } else { Duration::from_micros(random.below(20_000)) };
        let result = tokio::time::timeout(patience, call).await;
        let mut ledger = ledger.lock().unwrap();
        match result {
            Ok(Ok(reply)) => ledger.note_reply(&request, reply.status().as_u16(), reply.content(), reply.attempts()),
            Ok(Err(failed)) => ledger.note_failed(&request, failed),
            Err(_) => ledger.give_up(&request),
        }
    }
}

fn chaos(seed: u64) {
    let what = format!("seed {seed}");
    watched(&what, || {
        let server = Chaos::start_harsh(seed).unwrap();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let runtime = if seed.is_multiple_of(2) {
            Builder::new_current_thread().enable_all().build()
        } else {
            Builder::new_multi_thread().worker_threads(4).enable_all().build()
        };
        runtime.unwrap().block_on(async {
            let session = session(&server);
            let mut tasks = JoinSet::new();
            for task in 0..TASKS {
                tasks.spawn(use_share(seed, task, session.clone(), ledger.clone()));
            }
            tasks.join_all().await;
            session.close();
        });
        let ledger = Arc::into_inner(ledger).unwrap().into_inner().unwrap();
        assert_eq!(ledger.len(), TASKS * EACH, "{what}");
        assert_eq!(ledger.failed_repeatable(), 0, "{what}: {:?}", ledger.first_failure());
        // The server waits for the end of each connection, so a session that leaves one open hangs here.
        let faults = ledger.faults(&server.finish());
        assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
    });
}

#[test]
fn a_thousand_tasks_have_one_outcome_for_each_request_that_they_wait_for() {
    (0..6).for_each(chaos);
}
