//! A session that works for a long time: its memory must not grow.

use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use dugong_session::{Failed, Request, Session};

use crate::child::{Cores, Origin};

/// The extent of the work.
#[derive(Args)]
pub(crate) struct Flags {
    /// End after so many requests...
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    requests: u64,
    /// ...but not before so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    seconds: u64,
}

/// The memory of this process, in KiB.
#[derive(Clone, Copy)]
struct Memory {
    now: u64,
    peak: u64,
}

/// By how much the peak may grow after the first part of the work: the window, and what the allocator does not give back.
const MAY_GROW: u64 = 24 * 1024;

/// Works, and prints the memory every minute. Fails if it grows.
pub(crate) fn run(flags: &Flags) -> io::Result<()> {
    let cores = Cores::available()?;
    let origin = Origin::start(&cores)?;
    cores.use_second()?;
    let session = Session::new(&format!("http://{}", origin.address()))?;
    let (begun, mut printed) = (Instant::now(), Instant::now());
    let (mut requests, mut warm) = (0, None);
    while requests < flags.requests || begun.elapsed() < Duration::from_secs(flags.seconds) {
        requests += round(&session)?;
        let is_warm = requests * 10 >= flags.requests && begun.elapsed() * 10 >= Duration::from_secs(flags.seconds);
        if is_warm && warm.is_none() {
            warm = Some(memory()?);
        }
        if printed.elapsed() >= Duration::from_secs(60) {
            printed = Instant::now();
            say(&session, begun, requests, memory()?);
        }
    }
    let last = memory()?;
    say(&session, begun, requests, last);
    let warm = warm.unwrap_or(last);
    println!("peak RSS {} KiB, {} KiB after the first tenth of the work", last.peak, warm.peak);
    if last.peak > warm.peak + MAY_GROW {
        return Err(io::Error::other(format!("the memory grew by {} KiB, more than {MAY_GROW}", last.peak - warm.peak)));
    }
    Ok(())
}

fn say(session: &Session, begun: Instant, requests: u64, Memory { now, peak }: Memory) {
    println!("{:4} s: {requests} requests, RSS {now} KiB, at most {peak}; {:?}", begun.elapsed().as_secs(), session.stats());
}

/// A little of each way to use a session. Returns the number of requests.
fn round(session: &Session) -> io::Result<u64> {
    let mut count = 0;
    for outcome in session.run((0..5000).map(|_| Request::get("/small"))) {
        count += checked(outcome.result.map(|reply| reply.content().len()), 120)?;
    }
    let sizes = || (0..400_usize).map(|number| number * 997);
    for outcome in session.run(sizes().map(|size| Request::get(format!("/bytes/{size}")))).unordered() {
        count += checked(outcome.result.map(|reply| reply.content().len()), outcome.index * 997)?;
    }
    for outcome in session.run(sizes().map(|size| Request::get(format!("/chunked/{size}")))).streamed() {
        let mut reply = outcome.result?;
        // Some readers go away.
        if outcome.index.is_multiple_of(7) {
            count += 1;
            continue;
        }
        let (mut buffer, mut length) = ([0; 4096], 0);
        loop {
            match reply.read(&mut buffer)? {
                0 => break,
                read => length += read,
            }
        }
        count += checked(Ok(length), outcome.index * 997)?;
    }
    let uploads = (0..200).map(|number| Request::put("/x?digest=0").body(vec![0; number * 301]));
    for outcome in session.run(uploads) {
        outcome.result?;
        count += 1;
    }
    // A caller that leaves: its requests are given up.
    count += session.run((0..500).map(|_| Request::get("/bytes/50000"))).take(20).count() as u64;
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..16).map(|_| scope.spawn(|| (0..100).try_for_each(|_| session.get("/small").map(drop)))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    Ok(count + 1600)
}

fn checked(length: Result<usize, Failed>, wanted: usize) -> io::Result<u64> {
    let length = length?;
    if length != wanted {
        return Err(io::Error::other(format!("{length} bytes came instead of {wanted}")));
    }
    Ok(1)
}

fn memory() -> io::Result<Memory> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let value = |name| {
        let line = status.lines().find_map(|line: &str| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.ok_or_else(|| io::Error::other(format!("/proc/self/status has no {name}")))
    };
    Ok(Memory { now: value("VmRSS:")?, peak: value("VmHWM:")? })
}
