"""What the watches of asyncio and trio share: numbers, and the news of them."""

from __future__ import annotations

from ._dugong import Mailbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from ._dugong import SessionCore


class Watch:
    """Drives one session from one event loop, as long as tasks use it: a context manager.

    A task gets a number for a request, submits it with the mailbox, and waits for news of the number. A task with many
    requests gets a group, which is a number, too, and waits for news of any in the group.
    """

    def __init__(self, core: SessionCore) -> None:
        self.mailbox = Mailbox()
        self._core = core
        self._users = 0
        self._last = 0
        self._waiting: dict[int, Any] = {}
        self._groups: dict[int, int] = {}
        self._news: dict[int, list[int]] = {}
        self._is_due = False

    def number(self, group: int = 0) -> int:
        """Return a number, in a group if there is one."""
        self._last += 1
        if group:
            self._groups[self._last] = group
        return self._last

    def forget(self, number: int) -> None:
        """Forget a number of a group."""
        self._groups.pop(number, None)

    async def wait(self, number: int, /) -> None:
        """Wait until there is news of this number."""
        raise NotImplementedError

    async def wait_any(self, group: int) -> list[int]:
        """Wait until there is news of numbers in the group, and take them."""
        news = self._news.pop(group, None)
        if news is None:
            await self.wait(group)
            news = self._news.pop(group, [])
        return news

    def turn_soon(self) -> None:
        """Drive the session when the tasks that can run now have run."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._users += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._users -= 1
        if not self._users:
            self._end_soon()

    def _end_soon(self) -> None:
        raise NotImplementedError

    def _wake(self, waiter: Any) -> None:
        raise NotImplementedError

    def _deliver(self) -> None:
        """Wake the tasks that have news."""
        for number in self.mailbox.take():
            group = self._groups.get(number)
            if group is not None:
                self._news.setdefault(group, []).append(number)
                number = group
            waiter = self._waiting.pop(number, None)
            if waiter is not None:
                self._wake(waiter)
