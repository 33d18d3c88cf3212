//! Compares two connectors.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The name of a function of the suite, and the function.
pub(crate) type Case<S> = (&'static str, fn(Arc<S>) -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// The store of a case. `true` means over Dugong's connector. It has nothing in it.
pub(crate) type Make<'a, S> = &'a dyn Fn(bool) -> S;

/// Runs each case over both connectors. At least `least` must pass over both.
pub(crate) async fn judge<S: Send + Sync + 'static>(cases: Vec<Case<S>>, make: Make<'_, S>, least: usize) {
    let (mut passed, mut lost, mut told) = (0, Vec::new(), String::new());
    for (name, run) in cases {
        let own = outcome(run(Arc::new(make(false)))).await;
        let ours = outcome(run(Arc::new(make(true)))).await;
        told += &format!("{name}: {} over reqwest, {} over dugong\n", word(&own), word(&ours));
        match (own, ours) {
            (Ok(()), Ok(())) => passed += 1,
            (Ok(()), Err(why)) => lost.push(format!("{name}: {why}")),
            (Err(_), _) => {}
        }
    }
    println!("{told}");
    assert!(lost.is_empty(), "these pass over reqwest alone:\n{}", lost.join("\n"));
    assert!(passed >= least, "{passed} functions pass over both, not {least}:\n{told}");
}

async fn outcome(run: impl Future<Output = ()> + Send + 'static) -> Result<(), String> {
    match tokio::time::timeout(Duration::from_secs(120), tokio::spawn(run)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let panic = error.into_panic();
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned())
        }
        Err(_) => Err("it hangs".to_owned()),
    }
}

fn word(outcome: &Result<(), String>) -> &'static str {
    if outcome.is_ok() { "passes" } else { "fails" }
}
