"""Looking up names without blocking, by threads."""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread
from collections import deque
from contextlib import suppress

from ._dns import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from ._dns import Address, AddressInfo


class Lookup:
    """`resolve` in a thread. *fd* is closed when there is a result, and whenever there will be none.

    At most `MOST_THREADS` are looking up names at a time; further names wait for their turn.
    """

    MOST_THREADS = 32

    _threads = 0
    _queue: ClassVar[deque[Lookup]] = deque()
    _lock = allocate_lock()

    def __init__(self, address: Address, fd: int) -> None:
        self._address = address
        self._fd = fd
        self._found: list[AddressInfo] | None = None
        self._error: BaseException | None = None
        with Lookup._lock:
            Lookup._queue.append(self)
            if Lookup._threads >= Lookup.MOST_THREADS:
                return
            Lookup._threads += 1
        try:
            # Nobody waits for it, not even the interpreter when it exits.
            start_new_thread(Lookup._work, ())
        except BaseException:
            with Lookup._lock:
                Lookup._threads -= 1
                if self in Lookup._queue:
                    Lookup._queue.remove(self)
                    os.close(fd)
            raise

    def result(self) -> list[AddressInfo] | None:
        """Return what `resolve` returned or raise what it raised; None as long as there is neither."""
        if self._error:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback refers to us
        return self._found

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
                lookup._found = resolve(lookup._address)
            except BaseException as exc:
                lookup._error = exc
            finally:
                # A process that was forked meanwhile has a copy of it, which closing does not reach.
                with suppress(OSError):
                    os.write(lookup._fd, b'.')
                os.close(lookup._fd)
                del lookup

    @staticmethod
    def _forget() -> None:
        """In a process that was just forked there are no threads but one."""
        Lookup._lock = allocate_lock()
        Lookup._threads = 0
        Lookup._queue.clear()


os.register_at_fork(after_in_child=Lookup._forget)  # pyright: ignore[reportPrivateUsage]
