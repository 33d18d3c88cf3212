//! Cancelling at random moments.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dugong_origin::document;
use dugong_session::Request;
use dugong_session::tokio::Session;
use futures_lite::future::poll_once;
use tokio::task::JoinSet;

use super::origin;

/// A generator of numbers that look random (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// 1,000 tasks make requests and drop some of them at any moment. Each outcome that is awaited comes exactly once, with the content of
/// its request.
async fn storm(seed: u64) {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let (done, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for task in 0..1000u64 {
        let (session, done, dropped) = (session.clone(), done.clone(), dropped.clone());
        tasks.spawn(async move {
            let mut random = Random(seed << 32 | task);
            for i in 0..3 {
                let id = format!("{task}-{i}");
                let mut request = Request::get(format!("/doc/{id}?delay={}", random.below(8)));
                let is_streamed = random.below(4) == 0;
                if is_streamed {
                    request = request.streamed();
                }
                let mut call = Box::pin(session.request(request));
                let polls = random.below(6);
                let mut reply = None;
                for _ in 0..polls {
                    reply = poll_once(&mut call).await;
                    if reply.is_some() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                if reply.is_none() && random.below(2) == 0 {
                    drop(call);
                    dropped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let mut reply = match reply {
                    Some(reply) => reply.unwrap(),
                    None => call.await.unwrap(),
                };
                if is_streamed {
                    let mut content = Vec::new();
                    while let Some(piece) = reply.next_piece().await.unwrap() {
                        content.extend_from_slice(&piece);
                        if random.below(8) == 0 {
                            break;
                        }
                    }
                    assert!(document(&id).starts_with(&content), "{id}");
                } else {
                    assert_eq!(reply.content(), &document(&id), "{id}");
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    let (done, dropped) = (done.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed));
    assert_eq!(done + dropped, 3000);
    assert!(dropped > 100 && done > 100, "{done} {dropped}");
    // The session still works, and has forgotten all jobs.
    assert_eq!(session.get("/doc/end").await.unwrap().content(), &document("end"));
    while session.stats().jobs > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn each_outcome_comes_once_while_a_thousand_tasks_cancel_at_random() {
    for seed in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(storm(seed));
    }
}

#[test]
fn each_outcome_comes_once_while_tasks_on_four_threads_cancel_at_random() {
    for seed in 3..6 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        runtime.block_on(storm(seed));
    }
}
