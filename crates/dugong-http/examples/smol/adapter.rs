//! The adapter for async-io.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_io::{Async, Timer};
use dugong_http::asynchronous::{Attempt, Direction, Runtime};

/// Waits with the reactor of async-io; works on any executor.
#[derive(Debug)]
pub(crate) enum Smol {}

impl Runtime for Smol {
    type Registered<T: AsFd + Send + Sync + 'static> = Async<T>;
    type Timer = At;

    fn register<T: AsFd + Send + Sync + 'static>(descriptor: T) -> io::Result<Async<T>> {
        Async::new_nonblocking(descriptor)
    }

    fn registered<T: AsFd + Send + Sync + 'static>(registered: &Async<T>) -> &T {
        registered.get_ref()
    }

    fn poll_ready<T: AsFd + Send + Sync + 'static>(
        registered: &Async<T>,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match direction {
            Direction::Read => registered.poll_readable(cx),
            Direction::Write => registered.poll_writable(cx),
        }
    }

    fn poll_io<T: AsFd + Send + Sync + 'static>(
        registered: &Async<T>,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&T) -> io::Result<Attempt>,
    ) -> Poll<io::Result<usize>> {
        loop {
            // async-io asks the system anew each time, so trying first loses no wake-up.
            match attempt(registered.get_ref())? {
                Attempt::Some(count) | Attempt::All(count) => return Poll::Ready(Ok(count)),
                _ => ready!(Self::poll_ready(registered, direction, cx))?,
            }
        }
    }

    fn timer(at: Instant) -> At {
        At(Timer::at(at))
    }

    fn set(timer: Pin<&mut At>, at: Instant) {
        timer.get_mut().0.set_at(at);
    }
}

/// A timer that drops its result.
#[derive(Debug)]
pub(crate) struct At(Timer);

impl Future for At {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.get_mut().0).poll(cx).map(drop)
    }
}
