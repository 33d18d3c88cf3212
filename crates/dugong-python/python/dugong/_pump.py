"""Takes requests from an asynchronous iterable, in a task: the iterable may wait for outcomes of the same run."""

from __future__ import annotations

import sys
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import ModuleType
    from typing import Any

    from ._watch import Group


class Pump:
    """Takes from an asynchronous iterator what there is room for, and wakes the group that waits for it."""

    def __init__(self, iterator: AsyncIterator[Any], group: Group) -> None:
        self._iterator = iterator
        self._group = group
        self._room = 0
        #: What was taken.
        self.items: deque[Any] = deque()
        #: Whether it takes no more.
        self.is_over = False
        #: The exception of the iterator.
        self.raised: BaseException | None = None
        loop: Any = _loop()
        self._new_event: Callable[[], Any] = loop.new_event
        # The pump sleeps on the first event, the run without requests on the second one.
        self._more = self._new_event()
        self._news = self._new_event()
        self._end = self._new_event()
        self._cancel, self._is_own_task = loop.spawn(self._take)

    def ask(self, room: int) -> None:
        """Let it take so many more."""
        self._room = room
        self._more.set()

    async def wait(self) -> None:
        """Wait until there are items, or until it is over."""
        if not self.items and not self.is_over:
            self._news = self._new_event()
            await self._news.wait()

    def stop(self) -> None:
        """Take no more, even if it is waiting for some."""
        if not self.is_over:
            self._cancel()

    async def ended(self) -> None:
        """Wait until no code of the iterator runs."""
        if not self._is_own_task():
            await self._end.wait()

    async def _take(self) -> None:
        try:
            while True:
                while self._room <= 0:
                    self._more = self._new_event()
                    await self._more.wait()
                given = await anext(self._iterator)
                self._room -= 1
                self.items.append(given)
                self._tell()
        except StopAsyncIteration:
            pass
        except Exception as exc:
            self.raised = exc
        except BaseException as exc:
            self.raised = exc
            raise
        finally:
            self.is_over = True
            self._end.set()
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._group.wake()


def _loop() -> ModuleType:
    """Return the module for the event loop that runs."""
    if 'trio' in sys.modules:
        from . import _session_trio  # noqa: PLC0415

        if _session_trio.is_running():
            return _session_trio
    from . import _session_asyncio  # noqa: PLC0415

    return _session_asyncio
