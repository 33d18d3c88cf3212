"""The driver for asyncio.

A future takes one step of its iterator, asks the loop to be called when the descriptor is ready, and lets go of the
descriptor before it takes the next step. So the loop never knows a descriptor that nobody waits for, and a step may
close it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from ._polling import POLLIN, POLLOUT, PollNeeded

if TYPE_CHECKING:
    from collections.abc import Generator

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

    On each descriptor one future at a time may wait for reading, and one for writing; `RuntimeError` is thrown into
    the iterator of a second one. A wait for both counts as one for writing; it is for writing alone while there is
    one for reading.

    `cancel` closes *crt*. The state of a connection is then as if its iterator had been closed.
    """

    def __init__(self, crt: Generator[PollNeeded, None, T], loop: asyncio.AbstractEventLoop | None = None) -> None:
        if not hasattr(crt, '__next__'):
            raise TypeError(f'crt has to be an iterator that yields PollNeeded, not {type(crt).__name__}')
        super().__init__(loop=loop)
        self._crt: Generator[PollNeeded, None, T] | None = crt
        self._stepping = False
        self._need: PollNeeded | None = None  # what we wait for
        self._timer: asyncio.TimerHandle | None = None
        self._watched = 0  # for which of POLLIN and POLLOUT the loop has a callback of ours
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
        fd, mask = need
        role = mask & POLLOUT or mask & POLLIN
        if not role:
            raise ValueError(f'cannot wait for anything but POLLIN and POLLOUT: {need!r}')
        waiting = _waiting_on(self.get_loop())
        if (fd, role) in waiting:
            doing = 'writing' if role == POLLOUT else 'reading'
            raise RuntimeError(f'another future waits for {doing} on file descriptor {fd}')

        waiting[fd, role] = self
        self._need = need
        try:
            if role == POLLIN and (writer := waiting.get((fd, POLLOUT))):
                writer._unwatch(fd, POLLIN)
            self._watch(need, role)
            if mask & POLLIN and (fd, POLLIN) not in waiting:
                self._watch(need, POLLIN)
            limit = need._timeout  # pyright: ignore[reportPrivateUsage]  # of this package
            if limit:
                self._timer = self.get_loop().call_later(limit, self._step, need)
        except BaseException:
            self._stop_waiting()
            raise

    def _stop_waiting(self) -> None:
        """Make the loop forget us. If we were the reader, a writer that waits for both gets its interest back."""
        if self._need is None:
            return
        fd, mask = self._need
        self._need = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._unwatch(fd, POLLIN)
        self._unwatch(fd, POLLOUT)
        waiting = _waiting_on(self.get_loop())
        if mask & POLLOUT:
            waiting.pop((fd, POLLOUT), None)
            return
        waiting.pop((fd, POLLIN), None)
        writer = waiting.get((fd, POLLOUT))
        if writer and writer._need and writer._need.mask & POLLIN:
            try:
                writer._watch(writer._need, POLLIN)
            except OSError:
                self._wake_others(fd)

    def _watch(self, need: PollNeeded, bit: int) -> None:
        loop = self.get_loop()
        (loop.add_writer if bit == POLLOUT else loop.add_reader)(need.fd, self._step, need)
        self._watched |= bit

    def _unwatch(self, fd: int, bit: int) -> None:
        if not self._watched & bit:
            return
        self._watched &= ~bit
        loop = self.get_loop()
        if loop.is_closed():
            return
        try:
            (loop.remove_writer if bit == POLLOUT else loop.remove_reader)(fd)
        except OSError:
            self._wake_others(fd)

    def _wake_others(self, fd: int) -> None:
        """The descriptor was closed behind our back, and the loop has forgotten whoever waits: let them find out."""
        loop = self.get_loop()
        for bit in POLLIN, POLLOUT:
            other = _waiting_on(loop).get((fd, bit))
            if other and other._need:
                loop.call_soon(other._step, other._need)

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


_Waiting = WeakValueDictionary[tuple[int, int], AioFuture[Any]]

# For each loop, by descriptor and POLLIN or POLLOUT: who waits. The futures are kept alive by the callbacks that the
# loop has; when a loop is closed and dropped, they go, too.
_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = WeakKeyDictionary()


def _waiting_on(loop: asyncio.AbstractEventLoop) -> _Waiting:
    try:
        return _waiting[loop]
    except KeyError:
        return _waiting.setdefault(loop, WeakValueDictionary())
