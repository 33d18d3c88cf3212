"""Drives sessions from asyncio: one reader for each session and loop, however many tasks wait."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ._dugong import SessionCore


class AsyncioWatch(Watch):
    """A watch in a loop of asyncio.

    The loop watches the session's descriptor, which is readable when the session has to be driven, and that of the
    mailbox, which is readable when another thread has driven it. Neither is watched without tasks that use the session.
    """

    def __init__(self, core: SessionCore, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(core)
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._descriptors = core.fileno(), self.mailbox.fileno()
        # The callbacks must not keep the variables of the present task alive.
        self._context = Context()
        for descriptor, callback in zip(self._descriptors, (self._turn, self._deliver), strict=True):
            self._context.run(loop.add_reader, descriptor, callback)

    def is_of_closed_loop(self) -> bool:
        """Whether its loop was closed before it could stop."""
        return self._loop.is_closed()

    def turn_soon(self) -> None:
        """Drive the session when the tasks that can run now have run."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._turn, context=self._context)

    def _new_waiter(self) -> asyncio.Future[None]:
        return self._loop.create_future()

    async def pause(self) -> None:
        """Let the loop go round."""
        await asyncio.sleep(0)

    async def _wait_for(self, waiter: asyncio.Future[None]) -> None:
        await waiter

    def wake(self, waiter: Any) -> None:
        """Wake the task that waits."""
        if not waiter.done():
            waiter.set_result(None)

    def _turn(self) -> None:
        self._is_due = False
        is_driven = self._core.turn(self.mailbox)
        self._deliver()
        if is_driven:
            self._set_timer()

    def _set_timer(self) -> None:
        due = self._core.due()
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= self._loop.time() + due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(due, self._time_is_up, context=self._context)

    def _time_is_up(self) -> None:
        self._timer = None
        self._turn()

    def _end_soon(self) -> None:
        # The task may make another request at once.
        self._loop.call_soon(self._end_if_idle, context=self._context)

    def _end_if_idle(self) -> None:
        # Called once for each time that the last task has left. The next watch has the same descriptors.
        if self._users or self._is_over:
            return
        if self._is_due:
            self._end_soon()
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_over = True
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
        _watches.pop((id(self._loop), id(self._core)), None)


def spawn(function: Callable[[], Coroutine[Any, Any, None]]) -> tuple[Callable[[], object], Callable[[], bool]]:
    """Run a function in a task. The result cancels it, and tells if the present task is this one."""
    task = asyncio.get_running_loop().create_task(function())
    task.add_done_callback(_retrieve)
    return task.cancel, lambda: asyncio.current_task() is task


def _retrieve(task: asyncio.Task[None]) -> None:
    # The pump reports its exceptions by itself.
    if not task.cancelled():
        task.exception()


def new_event() -> Any:
    """Return an event that tasks can wait for."""
    return asyncio.Event()


# By the identities of loop and session, which live as long as their watch.
_watches: dict[tuple[int, int], AsyncioWatch] = {}


def watch_of(core: SessionCore) -> Watch:
    """Return the watch of a session in the running loop."""
    loop = asyncio.get_running_loop()
    key = id(loop), id(core)
    watch = _watches.get(key)
    if watch is None:
        for other, old in list(_watches.items()):
            if old.is_of_closed_loop():
                _watches.pop(other, None)
        watch = _watches[key] = AsyncioWatch(core, loop)
    return watch
