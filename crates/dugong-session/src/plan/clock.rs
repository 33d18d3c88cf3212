//! Time inside the plan: nanoseconds, which a machine adds and compares in one instruction.

use std::time::Duration;

/// A moment, or a time between two moments.
pub(crate) type Nanos = u64;

/// Also for everything that is later than 584 years.
pub(crate) const NEVER: Nanos = Nanos::MAX;

pub(crate) const fn nanos(time: Duration) -> Nanos {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos() as Nanos)
}
