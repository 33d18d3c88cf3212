//! How long to wait before a repeat: exponential, with full jitter.
//!
//! Clients that lost their connections at the same moment must not come back at the same moment. So the wait is a random part of a
//! bound that doubles, not the bound itself.

use std::time::Duration;

use super::clock::{Nanos, nanos};

/// Doubling waits and the random numbers for their jitter.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    /// State of SplitMix64. It need not be secret: it only spreads the clients of one server.
    random: u64,
}

impl Backoff {
    pub(crate) fn new((first, most): (Duration, Duration), seed: u64) -> Self {
        Backoff { first, most, random: seed }
    }

    /// The wait before repeat number `repeat`, counted from 0: random, below `first * 2^repeat` and below the maximum.
    pub(crate) fn wait(&mut self, repeat: u32) -> Nanos {
        let bound = self.first.saturating_mul(1 << repeat.min(20)).min(self.most);
        // 53 bits are what an f64 holds exactly.
        let part = (self.next_random() >> 11) as f64 / (1_u64 << 53) as f64;
        nanos(bound.mul_f64(part))
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_maximum_and_are_spread() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut backoff = Backoff::new((first, most), 7);
        for (repeat, bound) in [(0, first), (1, first * 2), (3, first * 8), (9, most), (u32::MAX, most)] {
            let waits: Vec<_> = (0..200).map(|_| Duration::from_nanos(backoff.wait(repeat))).collect();
            assert!(waits.iter().all(|wait| *wait < bound));
            assert!(waits.iter().any(|wait| *wait < bound / 4) && waits.iter().any(|wait| *wait > bound * 3 / 4));
        }
    }
}
