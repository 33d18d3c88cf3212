"""`PollNeeded`, which an iterator yields to wait, and the driver that blocks."""

from __future__ import annotations

import select
import sys
from _thread import get_ident
from select import POLLIN, POLLOUT
from time import monotonic
from types import BuiltinFunctionType

from ._exceptions import ConnectionTimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self, TypeVar

    T = TypeVar('T')
    _Pair = tuple[int, int]
else:
    _Pair = tuple

__all__ = ['POLLIN', 'POLLOUT', 'PollNeeded', 'eval_coroutine']


class PollNeeded(_Pair):
    """A descriptor to wait for, and the events that end the wait: yielded by `co_` methods where their twins wait.

    It is a tuple of these two. *mask* is `POLLIN`, `POLLOUT`, or both if either is enough.

        for need in conn.co_write(data):
            need.poll()
    """

    __match_args__ = ('fd', 'mask')

    # After so many seconds the iterator has to be resumed in any case: for the `timeout` of its connection, or because
    # of `_may_change`.
    _timeout: float | None = None

    # Whether the wait may end without an event: a sender waits, and another task or thread may read the final response.
    _may_change = False

    def __new__(cls, fd: int, mask: int) -> Self:
        return super().__new__(cls, (fd, mask))

    def __getnewargs__(self) -> tuple[int, int]:
        return self[0], self[1]

    def __repr__(self) -> str:
        return f'{type(self).__name__}(fd={self.fd}, mask={self.mask})'

    @property
    def fd(self) -> int:
        """The file descriptor."""
        return self[0]

    @property
    def mask(self) -> int:
        """The events: `POLLIN`, `POLLOUT`, or both if either is enough."""
        return self[1]

    def poll(self, timeout: float | None = None) -> bool:
        """Wait until the descriptor is ready and return True, or return False after *timeout* seconds.

        A *timeout* of None, 0 or less means no limit. An error or hang-up counts as ready; the next transfer
        reports it. Signals do not end the wait, unless their handler raises.

        Without a limit, a wait for sending returns True now and then although nothing is ready: the resumed iterator
        looks if a response was read that makes sending pointless, and otherwise yields again.
        """
        deadline = monotonic() + timeout if timeout and 0 < timeout <= _LONGEST else None
        is_limited = deadline is not None
        if not is_limited and self._may_change and self._timeout:
            deadline = monotonic() + self._timeout
        look_again = None if is_replaced(select.select) else LOOK_FOR_SIGNALS
        while True:
            left = None if deadline is None else max(deadline - monotonic(), 0.0)
            most = left if look_again is None or (left is not None and left < look_again) else look_again
            if wait(self.fd, self.mask, most):
                return True
            if most == left:
                return not is_limited
            if look_again is not None and not is_signal_thread():
                look_again = None


def eval_coroutine(crt: Generator[PollNeeded, None, T], timeout: float | None = None) -> T:
    """Run an iterator that yields `PollNeeded` to its end, blocking in between, and return its value.

    If one wait takes longer than *timeout* seconds (None, 0 or less: no limit), `ConnectionTimedOut` is raised.
    *crt* is not closed then, and may be run again.

        body = eval_coroutine(conn.co_readall(), timeout=30)
    """
    whole = timeout if timeout and 0 < timeout <= _LONGEST else None
    left = whole
    while True:
        try:
            need = next(crt)
        except StopIteration as end:
            value: T = end.value
            return value
        limit = need._timeout  # pyright: ignore[reportPrivateUsage]  # of this package
        if limit and (left is None or limit < left):
            # The iterator has to be resumed then, and looks itself if the timeout of its connection has passed.
            if need.poll(limit):
                left = whole
            elif left is not None:
                left -= limit
        elif need.poll(left):
            left = whole
        else:
            raise ConnectionTimedOut


def wait(fd: int, mask: int, seconds: float | None) -> bool:
    """Wait at most *seconds* until *fd* is ready, and return whether it is. None means no limit.

    If the program has replaced `select.poll` or `select.select`, as green-thread libraries do, the replacement waits.
    """
    return wait_any([fd], mask, seconds)


def wait_any(descriptors: list[int], mask: int, seconds: float | None) -> bool:
    """Wait like `wait` until any of the descriptors is ready."""
    poll = getattr(select, 'poll', None)  # some take it away
    if poll is not None and (is_replaced(poll) or not is_replaced(select.select)):
        poller = poll()
        for fd in descriptors:
            poller.register(fd, mask)
        return bool(poller.poll(None if seconds is None else seconds * 1000))
    reading, writing = descriptors if mask & POLLIN else [], descriptors if mask & POLLOUT else []
    return any(select.select(reading, writing, [], seconds))


def is_replaced(function: object) -> bool:
    """Whether a program has replaced this function of the system."""
    return not isinstance(function, BuiltinFunctionType)


def is_signal_thread() -> bool:
    """Whether this may be the thread that runs the handlers of signals."""
    main_thread = getattr(sys.modules.get('threading'), 'main_thread', None)
    # Without the module `threading`, we cannot know.
    return main_thread is None or main_thread().ident == get_ident()


# A signal does not interrupt the wait if it comes just before the system is called, or if the system hands it to
# another thread. So we look for signals each time this many seconds have passed.
LOOK_FOR_SIGNALS = 0.1

# The system counts milliseconds in a C int. A limit of more than 23 days is none.
_LONGEST = 2_000_000
