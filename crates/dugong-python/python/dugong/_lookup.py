"""Threads for calls that would block, such as looking up a name."""

from __future__ import annotations

import _thread
import os
from _thread import allocate_lock
from collections import deque
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar


class Lookup:
    """A call in a thread, to `resolve` or to a function that makes a socket. *fd* is closed when it is over.

    At most `MOST_THREADS` calls run at a time; further ones wait for their turn.
    """

    MOST_THREADS = 32

    _threads = 0
    _queue: ClassVar[deque[Lookup]] = deque()
    _lock = allocate_lock()

    def __init__(self, call: Callable[[], Any], fd: int) -> None:
        self._call = call
        self._fd = fd
        self._found: Any = None
        self._error: BaseException | None = None
        self._abandoned = False
        with Lookup._lock:
            Lookup._queue.append(self)
            if Lookup._threads >= Lookup.MOST_THREADS:
                return
            Lookup._threads += 1
        try:
            # The interpreter does not wait for such a thread when it exits.
            # The function is looked up now, because libraries of green threads replace it.
            _thread.start_new_thread(Lookup._work, ())
        except BaseException:
            with Lookup._lock:
                Lookup._threads -= 1
                if self in Lookup._queue:
                    Lookup._queue.remove(self)
                    os.close(fd)
            raise

    def result(self) -> Any:
        """Return the result of the call, or raise its exception; None as long as it runs."""
        if self._error:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback refers to us
        found, self._found = self._found, None
        return found

    def abandon(self) -> None:
        """Discard the result. If it is a socket, it is closed."""
        with Lookup._lock:
            self._abandoned = True
            found, self._found = self._found, None
        _close(found)

    @staticmethod
    def _work() -> None:
        """Make the calls in the queue until it is empty."""
        while True:
            with Lookup._lock:
                if not Lookup._queue:
                    Lookup._threads -= 1
                    return
                lookup = Lookup._queue.popleft()
            try:
                found = lookup._call()
                with Lookup._lock:
                    if not lookup._abandoned:
                        lookup._found, found = found, None
                _close(found)
            except BaseException as exc:
                lookup._error = exc
            finally:
                # A process that was forked meanwhile has a copy of the descriptor, so that closing ours is not enough.
                with suppress(OSError):
                    os.write(lookup._fd, b'.')
                os.close(lookup._fd)
                found = None
                del lookup

    @staticmethod
    def _forget() -> None:
        """Forget the threads in a process that was just forked, which has only the one that forked it."""
        Lookup._lock = allocate_lock()
        Lookup._threads = 0
        Lookup._queue.clear()


def _close(found: Any) -> None:
    if hasattr(found, 'close'):
        found.close()


os.register_at_fork(after_in_child=Lookup._forget)  # pyright: ignore[reportPrivateUsage]
