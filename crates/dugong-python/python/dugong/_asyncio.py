"""The asyncio drivers: one for tasks that await an iterator, one for futures that run an iterator.

Both make a step, wait until the loop reports the descriptor as ready, and make the next step. The loop watches an
established connection for reading from one wait of a task to the next, because adding and removing a reader costs
three times as much as the rest of a wait. Such a connection keeps its descriptor open until the loop has let go of it.
All other descriptors are watched only during a wait, so a step may close them.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, ref

from ._polling import POLLIN, POLLOUT, PollNeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol, Self, type_check_only

    @type_check_only
    class Waiter(Protocol):
        """A task or future that waits for a descriptor."""

        @property
        def mask(self) -> int:
            """`POLLIN`, `POLLOUT`, or both."""
            raise NotImplementedError

        def wake(self) -> None:
            """End the wait. Does nothing if the wait has ended already."""


T = TypeVar('T')


class AioFuture(asyncio.Future[T]):
    """An `asyncio.Future` that runs an iterator of a `co_` method, or a generator that delegates to some.

        async def get(conn, path):
            await AioFuture(conn.co_send_request('GET', path))
            resp = await AioFuture(conn.co_read_response())
            return resp, await AioFuture(conn.co_readall())

    *crt* starts with the next iteration of *loop*, by default the current event loop. Its value is the result of the
    future, and an `Exception` that it raises is the exception of the future. If it yields something other than a
    `PollNeeded`, `TypeError` is thrown into it.

    On each descriptor one future or task at a time may wait for reading, and one for writing; `RuntimeError` is thrown
    into the iterator of a second one. A wait for both counts as one for writing; it is for writing alone while another
    future or task waits for reading.

    `cancel` closes *crt*. The state of a connection is then as if its iterator had been closed.
    """

    def __init__(self, crt: Generator[PollNeeded, None, T], loop: asyncio.AbstractEventLoop | None = None) -> None:
        if not hasattr(crt, '__next__'):
            raise TypeError(f'crt has to be an iterator that yields PollNeeded, not {type(crt).__name__}')
        super().__init__(loop=loop)
        self._crt: Generator[PollNeeded, None, T] | None = crt
        self._stepping = False
        self._wait: _Wait | None = None
        self.get_loop().call_soon(self._step)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the future, stop waiting, and close *crt*. Returns False if the future is done already."""
        if not super().cancel(msg):
            return False
        self._abandon()
        return True

    def set_result(self, result: T, /) -> None:
        """End the future with a result from elsewhere. This closes *crt*, as `cancel` does."""
        super().set_result(result)
        self._abandon()

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        """End the future with an exception from elsewhere. This closes *crt*, as `cancel` does."""
        super().set_exception(exception)
        self._abandon()

    def _step(self, error: Exception | None = None) -> None:
        """Resume *crt*, or throw *error* into it, and wait for the descriptor that it yields."""
        crt = self._crt
        if crt is None:  # closed by `cancel` before this callback ran
            return
        self._stop_waiting()
        self._stepping = True
        try:
            need = next(crt) if error is None else _throw(crt, error)
        except BaseException as exc:
            self._stepping = False
            self._crt = None
            self._end(exc)
            del self  # the traceback of our exception refers to this frame
            return
        finally:
            del crt, error
        self._stepping = False

        if self.done():  # *crt* has cancelled us, and could not be closed while it was running
            self._close()
            return
        try:
            if not isinstance(need, PollNeeded):  # pyright: ignore[reportUnnecessaryIsInstance]  # foreign iterators
                raise TypeError(f'expected a PollNeeded, but found {need!r}')
            self._wait = _Wait(self.get_loop(), need, self._step)
        except Exception as exc:
            # Its traceback shows this frame only.
            self.get_loop().call_soon(self._step, exc.with_traceback(None))

    def _end(self, exc: BaseException) -> None:
        """Pass on how *crt* ended."""
        if self.done():
            if not isinstance(exc, StopIteration):
                self._report(exc)
        elif isinstance(exc, StopIteration):
            super().set_result(exc.value)
        elif isinstance(exc, asyncio.CancelledError):
            super().cancel()
        else:
            super().set_exception(exc)
        if isinstance(exc, (KeyboardInterrupt, SystemExit)):
            raise exc

    def _stop_waiting(self) -> None:
        wait, self._wait = self._wait, None
        if wait:
            wait.stop()

    def _abandon(self) -> None:
        """Stop waiting and close *crt*: the future is done."""
        self._stop_waiting()
        if not self._stepping:
            self._close()

    def _close(self) -> None:
        crt, self._crt = self._crt, None
        close = getattr(crt, 'close', None)  # a mere iterator has none
        if close:
            try:
                close()
            except Exception as exc:
                self._report(exc)

    def _report(self, exc: BaseException) -> None:
        """Report an exception to the loop, because the future is done and cannot carry it."""
        message = f'exception in {type(self).__name__} after it was done'
        self.get_loop().call_exception_handler({'message': message, 'exception': exc, 'future': self})


class _Wait:
    """One wait of an `AioFuture`, which is resumed by *step* in the present context."""

    __slots__ = ('_context', '_descriptor', '_step', '_timer', 'mask')

    def __init__(self, loop: asyncio.AbstractEventLoop, need: PollNeeded, step: Callable[[], None]) -> None:
        self.mask = need.mask
        self._context = copy_context()
        self._step: Callable[[], None] | None = step
        self._descriptor, self._timer = _watch(loop, need, self)

    def wake(self) -> None:
        # No variable refers to the future, because the traceback of its exception refers to this frame.
        if self._step:
            self._context.run(self._step)

    def stop(self) -> None:
        self._step = None
        if self._timer:
            self._timer.cancel()
        self._descriptor.leave(self)


def _throw(crt: Generator[PollNeeded, None, T], error: Exception) -> PollNeeded:
    throw = getattr(crt, 'throw', None)  # a mere iterator has none
    try:
        if throw is None:
            raise error
        need: PollNeeded = throw(error)
        return need
    finally:
        del error  # its traceback refers to this frame


class Awaited(PollNeeded):
    """The `PollNeeded` that an iterator yields in a task of asyncio, which takes it for a future.

    The loop resumes the task as soon as the descriptor is ready, with no turn of the loop in between.
    """

    # A task of asyncio waits for any object with this attribute, and sets it to False.
    _asyncio_future_blocking = True

    # Set by the extension for an established connection: an object that keeps the descriptor open.
    _hold: object = None

    _callback: Callable[[Any], object] | None = None
    _context: Context | None = None
    _descriptor: _Descriptor | None = None
    _timer: asyncio.TimerHandle | None = None
    _error: BaseException | None = None

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task."""
        return asyncio.get_running_loop()

    def add_done_callback(self, callback: Callable[[Self], object], *, context: Context | None = None) -> None:
        """Call *callback* when the wait is over; the task calls this once."""
        loop = asyncio.get_running_loop()
        self._callback = callback
        self._context = context
        try:
            self._descriptor, self._timer = _watch(loop, self, self, self._hold)
            self._hold = None  # from here on it is the descriptor's
        except Exception as exc:
            # Its traceback shows this frame only.
            self._error = exc.with_traceback(None)
            loop.call_soon(self._resume)

    def wake(self) -> None:
        """Resume the task, unless it has been resumed already."""
        if self._descriptor:
            self._stop(self._descriptor)
            self._resume()

    def _stop(self, descriptor: _Descriptor) -> None:
        self._descriptor = None
        if self._timer:
            self._timer.cancel()
        descriptor.leave(self)

    def _resume(self) -> None:
        callback, self._callback = self._callback, None  # it refers to the task, which refers to us
        assert callback
        if self._context is None:
            callback(self)
        else:  # an empty one is false, but the task's all the same
            self._context.run(callback, self)

    def cancel(self, msg: Any | None = None) -> bool:
        """Stop waiting, and have the task resumed with `CancelledError`; False if it is about to be resumed anyway."""
        descriptor = self._descriptor
        if not descriptor:
            return False
        self._stop(descriptor)
        self._error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        descriptor.loop.call_soon(self._resume)
        return True

    def result(self) -> None:
        """Raise the error to be thrown into the task, if any."""
        error, self._error = self._error, None
        try:
            if error:
                raise error
        finally:
            del error  # its traceback refers to this frame


class _Descriptor:
    """A descriptor in one loop: the waiters, and the events that the loop watches it for.

    `_hold` is set for an established connection. The loop then goes on watching for reading after a wait, until the
    first event without a waiter: watching on would call us in each turn of the loop. The loop owns us by its
    callbacks. So a loop that is closed or dropped lets go of the connection.
    """

    __slots__ = ('__weakref__', '_hold', '_reader', '_watched', '_writer', 'fd', 'loop')

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        self.loop = loop
        self.fd = fd
        self._hold: object = None
        self._reader: Waiter | None = None
        self._writer: Waiter | None = None
        self._watched = 0

    def enter(self, waiter: Waiter, mask: int, hold: object) -> None:
        """Wake *waiter* at the next event of *mask*. It has to call `leave` then."""
        if self._writer if mask & POLLOUT else self._reader:
            doing = 'writing' if mask & POLLOUT else 'reading'
            raise RuntimeError(f'another task or future waits for {doing} on file descriptor {self.fd}')
        if mask & POLLOUT:
            self._writer = waiter
        else:
            self._reader = waiter
        try:
            if hold:
                self._hold = hold
            else:
                # An event may be on its way for an earlier wait, but a future is resumed for its own events only.
                self._hold = None
                if self._watched & mask & POLLIN and not (mask & POLLOUT and self._reader):
                    self._remove(POLLIN)
            if missing := mask & ~self._watched:
                self._add(missing)
        except BaseException:
            self.leave(waiter)
            raise

    def leave(self, waiter: Waiter) -> None:
        """End the wait of *waiter*."""
        if waiter is self._writer:
            self._writer = None
            self._remove(POLLOUT)
            if self._reader:
                return
        elif waiter is self._reader:
            self._reader = None
        else:
            return
        if not self._hold:
            self._remove(POLLIN)
            if self._writer and self._writer.mask & POLLIN:
                try:
                    self._add(POLLIN)
                except OSError:
                    self._wake_all()
        if not self._watched:
            self._forget_if_idle()

    def release(self) -> None:
        """Stop watching the connection, unless a task waits for it."""
        if not (self._reader or self._writer):
            self._remove(POLLIN)
            self._forget_if_idle()

    def __call__(self) -> None:
        """Wake a waiter: the descriptor is readable. An instance takes less memory than a bound method would."""
        waiter = self._reader
        if not waiter and self._writer and self._writer.mask & POLLIN:
            waiter = self._writer
        if waiter:
            waiter.wake()
        else:
            self._remove(POLLIN)
            self._forget_if_idle()

    def _writable(self) -> None:
        if self._writer:
            self._writer.wake()

    def _add(self, mask: int) -> None:
        # The callbacks stay for long, and must not keep the variables of the present task alive.
        context = Context()
        try:
            self._begin(context, mask)
        except RuntimeError:
            # An error of the socket, such as a reset, closes the handle that uvloop has for the descriptor. It then
            # refuses every call for this number until both callbacks are removed.
            self.loop.remove_reader(self.fd)
            self.loop.remove_writer(self.fd)
            self._begin(context, mask | self._watched)

    def _begin(self, context: Context, mask: int) -> None:
        if mask & POLLIN:
            context.run(self.loop.add_reader, self.fd, self)
            self._watched |= POLLIN
        if mask & POLLOUT:
            context.run(self.loop.add_writer, self.fd, self._writable)
            self._watched |= POLLOUT

    def _remove(self, bit: int) -> None:
        if not self._watched & bit:
            return
        self._watched &= ~bit
        if self.loop.is_closed():
            return
        try:
            (self.loop.remove_writer if bit == POLLOUT else self.loop.remove_reader)(self.fd)
        except OSError:
            self._wake_all()

    def _wake_all(self) -> None:
        """Wake all waiters: the descriptor was closed during a wait, and the loop has forgotten it."""
        self._watched = 0
        for waiter in self._reader, self._writer:
            if waiter:
                self.loop.call_soon(waiter.wake)

    def _forget_if_idle(self) -> None:
        if self._watched or self._reader or self._writer:
            return
        self._hold = None
        table = _descriptors_of(self.loop)
        found = table.get(self.fd)
        if found and found() is self:
            del table[self.fd]


# The descriptors of each loop by their numbers. The loop keeps them alive.
_Table = dict[int, ref[_Descriptor]]
_tables: WeakKeyDictionary[asyncio.AbstractEventLoop, _Table] = WeakKeyDictionary()

# The loop that was used last and its table. Most programs have a single loop.
_latest: tuple[Callable[[], asyncio.AbstractEventLoop | None], _Table] = (lambda: None, {})


def _descriptors_of(loop: asyncio.AbstractEventLoop) -> _Table:
    global _latest
    known, table = _latest
    if known() is not loop:
        table = _tables.setdefault(loop, {})
        _latest = ref(loop), table
    return table


def _watch(
    loop: asyncio.AbstractEventLoop, need: PollNeeded, waiter: Waiter, hold: object = None
) -> tuple[_Descriptor, asyncio.TimerHandle | None]:
    """Wake *waiter* when *need* is fulfilled or its time has passed. Returns the descriptor to `leave` and the timer.

    An iterator that is resumed after the timeout of its connection raises `ConnectionTimedOut`.
    """
    fd, mask = need
    if not mask & (POLLIN | POLLOUT):
        raise ValueError(f'cannot wait for anything but POLLIN and POLLOUT: {need!r}')
    table = _descriptors_of(loop)
    found = table.get(fd)
    descriptor = found() if found else None
    if descriptor is None:
        descriptor = _Descriptor(loop, fd)
        table[fd] = ref(descriptor)
    descriptor.enter(waiter, mask, hold)
    limit = need._timeout  # pyright: ignore[reportPrivateUsage]  # of this package
    if not limit:
        return descriptor, None
    try:
        return descriptor, loop.call_later(limit, waiter.wake)
    except BaseException:
        descriptor.leave(waiter)
        raise


def release(fd: int) -> None:
    """Stop watching the descriptor of a connection that is idle or about to be closed.

    A loop that runs in another thread is left alone: it stops at the next event, such as the end of the connection.
    """
    running = asyncio._get_running_loop()
    for known in _tables.keyrefs():
        loop = known()
        if loop is None or (loop is not running and loop.is_running()):
            continue
        found = _tables.get(loop, {}).get(fd)
        descriptor = found() if found else None
        if descriptor:
            descriptor.release()
