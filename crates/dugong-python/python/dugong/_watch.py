"""What the watches of asyncio and trio share: numbers, and the news of them."""

from __future__ import annotations

from ._dugong import Mailbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from ._dugong import SessionCore


class Group:
    """Waits for the news of many numbers, of any watches of one event loop."""

    def __init__(self) -> None:
        #: Objects that belong to the numbers with news.
        self.news: list[Any] = []
        self.waiter: Any = None
        self.watch: Watch | None = None

    def wake(self) -> None:
        """Wake the task that waits for the group, if one does."""
        if self.waiter is not None and self.watch is not None:
            self.watch.wake(self.waiter)


class Watch:
    """Drives one session from one event loop, as long as tasks use it: a context manager.

    A task gets a number for a request, submits it with the mailbox, and waits for news of the number. A task with many
    requests puts their numbers into a group, and waits for news of any.
    """

    def __init__(self, core: SessionCore) -> None:
        self.mailbox = Mailbox()
        self._core = core
        self._users = 0
        self._last = 0
        self._waiting: dict[int, Any] = {}
        self._members: dict[int, tuple[Group, Any]] = {}
        self._is_due = False

    def number(self) -> int:
        """Return a number."""
        self._last += 1
        return self._last

    def join(self, number: int, group: Group, member: object) -> None:
        """Put a number into a group, which hears of its news by *member*."""
        self._members[number] = group, member

    def forget(self, number: int) -> None:
        """Take a number out of its group."""
        self._members.pop(number, None)

    async def wait(self, number: int) -> None:
        """Wait until there is news of this number."""
        waiter = self._waiting[number] = self._new_waiter()
        try:
            await self._wait_for(waiter)
        finally:
            self._waiting.pop(number, None)

    async def wait_any(self, group: Group) -> list[Any]:
        """Wait until there is news in the group, and return the members that have some."""
        if not group.news:
            group.watch, group.waiter = self, self._new_waiter()
            try:
                await self._wait_for(group.waiter)
            finally:
                group.waiter = None
        news, group.news = group.news, []
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

    def _new_waiter(self) -> Any:
        raise NotImplementedError

    async def _wait_for(self, waiter: Any) -> None:
        raise NotImplementedError

    async def pause(self) -> None:
        """Let the other tasks run, and the session be driven."""
        raise NotImplementedError

    def wake(self, waiter: Any) -> None:
        """Wake the task that waits."""
        raise NotImplementedError

    def _deliver(self) -> None:
        """Wake the tasks that have news."""
        for number in self.mailbox.take():
            waiter = self._waiting.get(number)
            if number in self._members:
                group, member = self._members[number]
                group.news.append(member)
                waiter = group.waiter
            if waiter is not None:
                self.wake(waiter)
