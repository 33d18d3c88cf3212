//! The harm that a [`Proxy`](crate::Proxy) does to a connection.

use std::time::Duration;

use fastrand::Rng;

/// The faults of one connection. The default has none.
///
/// ```
/// use dugong_origin::{Fault, Faults};
///
/// // The client gets 500 bytes, and then a reset.
/// let faults = Faults::default().to_client(500, Fault::Reset);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub(crate) delay: Duration,
    pub(crate) to_server: Vec<(u64, Fault)>,
    pub(crate) to_client: Vec<(u64, Fault)>,
}

/// A fault in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// End this direction, and discard what comes later. The other direction stays open.
    Fin,
    /// Reset both connections.
    Reset,
    /// Pass on nothing more in this direction, and read nothing.
    Stall,
    /// Hold all that comes later for this time.
    Pause(Duration),
    /// Invert all bits of so many bytes. A receiver cannot notice this in content without a digest.
    Garble(u64),
}

impl Faults {
    /// Passes on all bytes this long after they came, in both directions.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Adds a fault after so many bytes from client to server. Faults must be added in the order of their places.
    #[must_use]
    pub fn to_server(mut self, after: u64, fault: Fault) -> Self {
        self.to_server.push((after, fault));
        self
    }

    /// Adds a fault after so many bytes from server to client. Faults must be added in the order of their places.
    #[must_use]
    pub fn to_client(mut self, after: u64, fault: Fault) -> Self {
        self.to_client.push((after, fault));
        self
    }

    /// Chooses the faults of connection `number` by a seed: a short delay, sometimes a pause, and mostly one end. The client gets each
    /// byte as the server sent it, or not at all.
    #[must_use]
    pub fn random(seed: u64, number: usize) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let mut faults = Self::default();
        if rng.u8(..4) == 0 {
            faults.delay = Duration::from_micros(rng.u64(..3000));
        }
        // Small numbers are as frequent as large ones.
        let place = |rng: &mut Rng| {
            let most = 1 << rng.u8(1..16);
            rng.u64(..most)
        };
        if rng.u8(..4) == 0 {
            faults = faults.to_client(place(&mut rng), Fault::Pause(Duration::from_millis(rng.u64(..20))));
        }
        let after = faults.to_client.first().map_or(0, |(place, _)| *place);
        let end = [Fault::Fin, Fault::Reset, Fault::Stall][usize::from(rng.u8(..10) / 4)];
        match rng.u8(..8) {
            0 => faults,
            1..3 => faults.to_server(place(&mut rng), end),
            _ => faults.to_client(after + place(&mut rng), end),
        }
    }
}
