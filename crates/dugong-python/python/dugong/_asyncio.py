"""The drivers for asyncio: of tasks that await an iterator, and of futures that run one.

Both take a step, ask the loop to be called when the descriptor is ready, and let go of the descriptor before the next
step. So the loop never knows a descriptor that nobody waits for, and a step may close it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from ._polling import POLLIN, POLLOUT, PollNeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context
    from typing import Self

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
    into the iterator of a second one. A wait for both counts as one for writing; it is for writing alone while there is
    one for reading.

    `cancel` closes *crt*. The state of a connection is then as if its iterator had been closed.
    """

    def __init__(self, crt: Generator[PollNeeded, None, T], loop: asyncio.AbstractEventLoop | None = None) -> None:
        if not hasattr(crt, '__next__'):
            raise TypeError(f'crt has to be an iterator that yields PollNeeded, not {type(crt).__name__}')
        super().__init__(loop=loop)
        self._crt: Generator[PollNeeded, None, T] | None = crt
        self._stepping = False
        self._watch: _Watch | None = None
        self.get_loop().call_soon(self._step)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the future, stop waiting, and close *crt*. Returns False if the future is done already."""
        if not super().cancel(msg):
            return False
        self._abandon()
        return True

    def set_result(self, result: T, /) -> None:
        """End the future with a result from elsewhere; as for *crt*, this is like `cancel`."""
        super().set_result(result)
        self._abandon()

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        """End the future with an exception from elsewhere; as for *crt*, this is like `cancel`."""
        super().set_exception(exception)
        self._abandon()

    def _step(self, ready: PollNeeded | None = None, error: Exception | None = None) -> None:
        """Resume *crt* until it yields or ends: at the start, when *ready* is fulfilled, or with *error*."""
        crt = self._crt
        if crt is None or ready is not self._need:  # the callback comes too late
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

        if self.done():  # *crt* itself has cancelled us, and could not be closed while it was running
            self._close()
            return
        try:
            self._wait(need)
        except Exception as exc:
            # Its traceback shows this frame and nothing of interest.
            self.get_loop().call_soon(self._step, None, exc.with_traceback(None))

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

    def _wait(self, need: PollNeeded) -> None:
        """Arrange for a call of `_step` when *need* is fulfilled; or raise what is to be thrown into *crt*.

        Also when the connection's timeout has passed: an iterator that is resumed then raises `ConnectionTimedOut`.
        """
        if not isinstance(need, PollNeeded):  # pyright: ignore[reportUnnecessaryIsInstance]  # foreign iterators
            raise TypeError(f'expected a PollNeeded, but found {need!r}')
        self._watch = _Watch(self.get_loop(), need, self._step)

    def _stop_waiting(self) -> None:
        watch, self._watch = self._watch, None
        if watch:
            watch.stop()

    @property
    def _need(self) -> PollNeeded | None:
        """What we wait for."""
        return self._watch.need if self._watch else None

    def _abandon(self) -> None:
        """We are done, but *crt* is not."""
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
        """Tell the loop of an exception that has nowhere else to go."""
        message = f'exception in {type(self).__name__} after it was done'
        self.get_loop().call_exception_handler({'message': message, 'exception': exc, 'future': self})


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
    """What an iterator yields in a task of asyncio: for the task, it is a future.

    The loop resumes the task as soon as the descriptor is ready, with no turn of the loop in between.
    """

    # As the task sets it to False, it knows that this can be waited for.
    _asyncio_future_blocking = True

    _resume: Callable[[], object] | None = None
    _watch: _Watch | None = None
    _error: BaseException | None = None

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task."""
        return asyncio.get_running_loop()

    def add_done_callback(self, callback: Callable[[Self], object], *, context: Context | None = None) -> None:
        """Have the task resumed when it is time; the task calls this once."""
        loop = self.get_loop()

        def resume() -> object:
            return context.run(callback, self) if context else callback(self)

        self._resume = resume
        try:
            self._watch = _Watch(loop, self, self._ready)
        except Exception as exc:
            # Its traceback shows this frame and nothing of interest.
            self._error = exc.with_traceback(None)
            loop.call_soon(self._taken())

    def _ready(self, _: PollNeeded) -> None:
        watch, self._watch = self._watch, None
        if watch:  # else the callback comes too late
            watch.stop()
            self._taken()()

    def _taken(self) -> Callable[[], object]:
        """Return what resumes the task, which refers to us."""
        resume, self._resume = self._resume, None
        assert resume
        return resume

    def cancel(self, msg: Any | None = None) -> bool:
        """Stop waiting, and have the task resumed with `CancelledError`; False if it is about to be resumed anyway."""
        watch, self._watch = self._watch, None
        if not watch:
            return False
        watch.stop()
        self._error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        watch.loop.call_soon(self._taken())
        return True

    def result(self) -> None:
        """Raise what is to be thrown into the task, if anything is."""
        error, self._error = self._error, None
        try:
            if error:
                raise error
        finally:
            del error  # its traceback refers to this frame


class _Watch:
    """Somebody waits for *need*: the loop calls *wake* with it when it is fulfilled, or when its time has passed.

    *wake* has to call `stop`, and it may be called once more after that. Whoever waits on the same descriptor for the
    same gets a `RuntimeError`, see `AioFuture`.
    """

    __slots__ = ('__weakref__', '_timer', '_wake', '_watched', 'loop', 'need')

    def __init__(self, loop: asyncio.AbstractEventLoop, need: PollNeeded, wake: Callable[[PollNeeded], None]) -> None:
        fd, mask = need
        role = mask & POLLOUT or mask & POLLIN
        if not role:
            raise ValueError(f'cannot wait for anything but POLLIN and POLLOUT: {need!r}')
        waiting = _waiting_on(loop)
        if (fd, role) in waiting:
            doing = 'writing' if role == POLLOUT else 'reading'
            raise RuntimeError(f'another task or future waits for {doing} on file descriptor {fd}')

        self.loop = loop
        self.need = need
        self._wake: Callable[[PollNeeded], None] | None = wake
        self._timer: asyncio.TimerHandle | None = None
        self._watched = 0  # for which of POLLIN and POLLOUT the loop has a callback of ours
        waiting[fd, role] = self
        try:
            if role == POLLIN and (writer := waiting.get((fd, POLLOUT))):
                writer._unwatch(POLLIN)
            self._watch(role)
            if mask & POLLIN and (fd, POLLIN) not in waiting:
                self._watch(POLLIN)
            limit = need._timeout  # pyright: ignore[reportPrivateUsage]  # of this package
            if limit:
                self._timer = loop.call_later(limit, wake, need)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Make the loop forget us. If we were the reader, a writer that waits for both gets its interest back."""
        if self._wake is None:
            return
        self._wake = None
        if self._timer:
            self._timer.cancel()
        self._unwatch(POLLIN)
        self._unwatch(POLLOUT)
        waiting = _waiting_on(self.loop)
        fd, mask = self.need
        if mask & POLLOUT:
            waiting.pop((fd, POLLOUT), None)
            return
        waiting.pop((fd, POLLIN), None)
        writer = waiting.get((fd, POLLOUT))
        if writer and writer.need.mask & POLLIN:
            try:
                writer._watch(POLLIN)
            except OSError:
                self._wake_others()

    def _watch(self, bit: int) -> None:
        assert self._wake
        (self.loop.add_writer if bit == POLLOUT else self.loop.add_reader)(self.need.fd, self._wake, self.need)
        self._watched |= bit

    def _unwatch(self, bit: int) -> None:
        if not self._watched & bit:
            return
        self._watched &= ~bit
        if self.loop.is_closed():
            return
        try:
            (self.loop.remove_writer if bit == POLLOUT else self.loop.remove_reader)(self.need.fd)
        except OSError:
            self._wake_others()

    def _wake_others(self) -> None:
        """The descriptor was closed behind our back, and the loop has forgotten whoever waits: let them find out."""
        for bit in POLLIN, POLLOUT:
            other = _waiting_on(self.loop).get((self.need.fd, bit))
            if other and other._wake:
                self.loop.call_soon(other._wake, other.need)


_Waiting = WeakValueDictionary[tuple[int, int], _Watch]

# For each loop, by descriptor and POLLIN or POLLOUT: who waits. They are kept alive by the callbacks that the loop
# has; when a loop is closed and dropped, they go, too.
_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = WeakKeyDictionary()


def _waiting_on(loop: asyncio.AbstractEventLoop) -> _Waiting:
    try:
        return _waiting[loop]
    except KeyError:
        return _waiting.setdefault(loop, WeakValueDictionary())
