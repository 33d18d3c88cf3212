"""Looking up names, and whatever else would block, by threads."""

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
    """A call in a thread: of `resolve`, or of what makes a socket. *fd* is closed when there is a result, and whenever
    there will be none.

    At most `MOST_THREADS` are looking up names at a time; further names wait for their turn.
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
            # Nobody waits for it, not even the interpreter when it exits.
            # Looked up now, since libraries of green threads replace it.
            _thread.start_new_thread(Lookup._work, ())
        except BaseException:
            with Lookup._lock:
                Lookup._threads -= 1
                if self in Lookup._queue:
                    Lookup._queue.remove(self)
                    os.close(fd)
            raise

    def result(self) -> Any:
        """Return what the call returned or raise what it raised; None as long as there is neither."""
        if self._error:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback refers to us
        found, self._found = self._found, None
        return found

    def abandon(self) -> None:
        """Nobody wants the result any more: a socket is closed."""
        with Lookup._lock:
            self._abandoned = True
            found, self._found = self._found, None
        _close(found)

    @staticmethod
    def _work() -> None:
        """Look up names until there are none."""
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
                # A process that was forked meanwhile has a copy of it, which closing does not reach.
                with suppress(OSError):
                    os.write(lookup._fd, b'.')
                os.close(lookup._fd)
                found = None
                del lookup

    @staticmethod
    def _forget() -> None:
        """In a process that was just forked there are no threads but one."""
        Lookup._lock = allocate_lock()
        Lookup._threads = 0
        Lookup._queue.clear()


def _close(found: Any) -> None:
    if hasattr(found, 'close'):
        found.close()


os.register_at_fork(after_in_child=Lookup._forget)  # pyright: ignore[reportPrivateUsage]
