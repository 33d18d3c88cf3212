//! Measures the time of a run.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::load::{Client, Load};

/// The times that one client needed for one load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    client: Client,
    load: Load,
    /// Bytes of content.
    bytes: u64,
    wall: Duration,
    user: Duration,
    system: Duration,
}

/// The clocks at one moment.
pub(crate) struct Start {
    wall: Instant,
    user: Duration,
    system: Duration,
}

impl Start {
    pub(crate) fn now() -> io::Result<Self> {
        let (user, system) = cpu()?;
        Ok(Start { user, system, wall: Instant::now() })
    }

    /// Reports the times since the start, for `bytes` of content.
    pub(crate) fn report(self, client: Client, load: Load, bytes: u64) -> io::Result<Report> {
        let wall = self.wall.elapsed();
        let (user, system) = cpu()?;
        let (user, system) = (user.saturating_sub(self.user), system.saturating_sub(self.system));
        Ok(Report { client, load, bytes, wall, user, system })
    }
}

impl Report {
    /// Prints one line, with times in seconds.
    pub(crate) fn to_json(self) -> String {
        format!(
            r#"{{"client":"{}","work":"{}","operations":{},"bytes":{},"wall":{:.6},"cpu_user":{:.6},"cpu_system":{:.6}}}"#,
            self.client.name(),
            self.load.work.name(),
            self.load.requests(),
            self.bytes,
            self.wall.as_secs_f64(),
            self.user.as_secs_f64(),
            self.system.as_secs_f64()
        )
    }
}

/// The user and system time of this process. On Linux their sum is exact, and the division is sampled.
fn cpu() -> io::Result<(Duration, Duration)> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok((duration(usage.user_time()), duration(usage.system_time())))
}

fn duration(time: TimeVal) -> Duration {
    Duration::from_secs(time.tv_sec() as u64) + Duration::from_micros(time.tv_usec() as u64)
}
