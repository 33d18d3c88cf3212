"""Drives sessions from trio: two system tasks for each session and run, however many tasks wait."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

import trio

from ._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ._dugong import SessionCore


def is_running() -> bool:
    """Whether this code runs in a task of trio."""
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


class TrioWatch(Watch):
    """A watch in a run of trio.

    One system task waits for the session's descriptor and drives, another one for the mailbox, in which threads leave
    news. Both end when no task uses the session any more.
    """

    def __init__(self, core: SessionCore, key: tuple[object, int]) -> None:
        super().__init__(core)
        self._key = key
        self._is_driven = True
        self._error: BaseException | None = None
        self._is_over = False
        # Cancelled to wake the two tasks.
        self._sleep = trio.CancelScope()
        self._mail = trio.CancelScope()
        trio.lowlevel.spawn_system_task(self._drive)
        trio.lowlevel.spawn_system_task(self._read_mail)

    def turn_soon(self) -> None:
        """Drive the session when the tasks that can run now have run."""
        if not self._is_due:
            self._is_due = True
            self._sleep.cancel()

    def _new_waiter(self) -> trio.Event:
        event = trio.Event()
        if self._error is not None:
            event.set()
        return event

    async def pause(self) -> None:
        """Let the other tasks run."""
        await trio.lowlevel.checkpoint()

    async def _wait_for(self, waiter: trio.Event) -> None:
        await waiter.wait()
        if self._error is not None:
            raise self._error

    def wake(self, waiter: Any) -> None:
        """Wake the task that waits."""
        waiter.set()

    def _end_soon(self) -> None:
        self._sleep.cancel()
        self._mail.cancel()

    async def _drive(self) -> None:
        descriptor = self._core.fileno()
        try:
            while self._users or self._is_due:
                self._sleep = trio.CancelScope()
                if self._is_due:
                    self._turn()
                    if not self._users:
                        continue
                due = self._core.due() if self._is_driven else None
                if due is not None:
                    self._sleep.deadline = trio.current_time() + due
                with self._sleep:
                    await trio.lowlevel.wait_readable(descriptor)
                self._is_due = self._is_due or bool(self._users)
        except Exception as exc:
            self._fail(exc)
        finally:
            self._is_over = True
            self._mail.cancel()
            _watches.pop(self._key, None)

    async def _read_mail(self) -> None:
        try:
            while not self._is_over:
                self._mail = trio.CancelScope()
                with self._mail:
                    await trio.lowlevel.wait_readable(self.mailbox.fileno())
                self._deliver()
        except Exception as exc:
            self._fail(exc)

    def _turn(self) -> None:
        self._is_due = False
        self._is_driven = self._core.turn(self.mailbox)
        self._deliver()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        waiters = [*self._waiting.values(), *(group.waiter for group, _ in self._members.values())]
        for waiter in waiters:
            if waiter is not None:
                waiter.set()


def spawn(function: Callable[[], Coroutine[Any, Any, None]]) -> tuple[Callable[[], object], Callable[[], bool]]:
    """Run a function in a task. The result cancels it, and tells if the present task is this one."""
    scope = trio.CancelScope()

    async def run() -> None:
        with scope:
            await function()

    task = trio.lowlevel.spawn_system_task(run, context=contextvars.copy_context())
    return scope.cancel, lambda: trio.lowlevel.current_task() is task


def new_event() -> Any:
    """Return an event that tasks can wait for."""
    return trio.Event()


# By the root task of a run and the identity of a session, which lives as long as its watch.
_watches: dict[tuple[object, int], TrioWatch] = {}


def watch_of(core: SessionCore) -> Watch:
    """Return the watch of a session in this run of trio."""
    key = trio.lowlevel.current_root_task(), id(core)
    watch = _watches.get(key)
    if watch is None:
        watch = _watches[key] = TrioWatch(core, key)
    return watch
