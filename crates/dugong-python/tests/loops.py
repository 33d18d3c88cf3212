"""Event loops for the tests of awaited methods: the same test runs under each.

Tests that want them have a parameter `loop` with the mark `each_loop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Generator
from select import POLLIN
from typing import Any, Generic, TypeVar

import pytest
import trio

from dugong._asyncio import _Descriptor

T = TypeVar('T')

#: Seconds that a whole program may take.
LIMIT = 20


class Loop:
    """The part of an event loop that the tests use."""

    name = ''

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run *main*, and check that it leaves no waits behind."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def together(self, *functions: Callable[[], Awaitable[object]]) -> None:
        """Run the functions as tasks, to their ends."""
        raise NotImplementedError

    async def stopped(self, work: Callable[[Callable[[], None]], Awaitable[T]]) -> T | None:
        """Run *work* with a function that cancels it; return its value, or None if it was cancelled."""
        raise NotImplementedError

    async def is_too_slow(self, seconds: float, work: Awaitable[object]) -> bool:
        """Whether *work* took longer than that. It is cancelled then."""
        raise NotImplementedError

    async def turns(self, count: int = 10) -> None:
        for _ in range(count):
            await self.sleep(0)

    def waiting(self) -> int:
        """The number of waits for a descriptor; -1 if the loop does not tell."""
        return -1

    def __repr__(self) -> str:
        return self.name


class Asyncio(Loop):
    name = 'asyncio'

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        reports: list[dict[str, Any]] = []

        async def outer() -> T:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            async with asyncio.timeout(LIMIT):
                result = await main()
            gc.collect()
            await self.turns()
            assert self.waiting() <= 0
            return result

        with asyncio.Runner(debug=True, loop_factory=self.factory()) as runner:
            result = runner.run(outer())
        assert reports == []
        return result

    def factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        return None

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def together(self, *functions: Callable[[], Awaitable[object]]) -> None:
        async def call(function: Callable[[], Awaitable[object]]) -> None:
            await function()

        async with asyncio.TaskGroup() as tasks:
            for function in functions:
                tasks.create_task(call(function))

    async def stopped(self, work: Callable[[Callable[[], None]], Awaitable[T]]) -> T | None:
        async def call() -> T:
            return await work(lambda: None if task is None else void(task.cancel()))

        task: asyncio.Task[T] | None = None
        task = asyncio.create_task(call())
        try:
            return await task
        except asyncio.CancelledError:
            return None

    async def is_too_slow(self, seconds: float, work: Awaitable[object]) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await work
        except TimeoutError:
            return True
        return False

    def waiting(self) -> int:
        loop: Any = asyncio.get_running_loop()
        own = loop._ssock.fileno()
        keys = [key for key in loop._selector.get_map().values() if key.fd != own]
        return sum(handle is not None and not is_kept(handle) for key in keys for handle in key.data)


def is_kept(handle: Any) -> bool:
    """Whether the loop watches a connection for reading without a waiter, from one wait to the next."""
    descriptor = handle._callback
    if not isinstance(descriptor, _Descriptor):
        return False
    writer = descriptor._writer
    return not (descriptor._reader or (writer and writer.mask & POLLIN))


def void(_: object) -> None:
    pass


class Uvloop(Asyncio):
    name = 'uvloop'

    def factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        factory: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip('uvloop').new_event_loop
        return factory

    def waiting(self) -> int:
        return -1


class Trio(Loop):
    name = 'trio'

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        async def outer() -> T:
            with trio.fail_after(LIMIT):
                result = await main()
            gc.collect()
            assert self.waiting() <= 0
            return result

        return trio.run(outer)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def together(self, *functions: Callable[[], Awaitable[object]]) -> None:
        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(function)

    async def stopped(self, work: Callable[[Callable[[], None]], Awaitable[T]]) -> T | None:
        with trio.CancelScope() as scope:
            return await work(scope.cancel)
        return None

    async def is_too_slow(self, seconds: float, work: Awaitable[object]) -> bool:
        with trio.move_on_after(seconds) as scope:
            await work
        return scope.cancelled_caught

    def waiting(self) -> int:
        statistics: Any = trio.lowlevel.current_statistics().io_statistics
        # One belongs to the loop itself.
        return int(statistics.tasks_waiting_read + statistics.tasks_waiting_write) - 1


LOOPS: list[Loop] = [Asyncio(), Uvloop(), Trio()]

each_loop = pytest.mark.parametrize('loop', LOOPS, ids=repr)


class Counted(Generic[T]):
    """Awaits *work*, counts how often it has to wait, and calls *reached* at the wait of that number."""

    def __init__(self, work: Awaitable[T], number: int = 0, reached: Callable[[], None] = lambda: None) -> None:
        self.work = work
        self.number = number
        self.reached = reached
        self.waits = 0
        #: The values that it has yielded.
        self.needs: list[Any] = []

    def __await__(self) -> Generator[Any, Any, T]:
        steps: Any = self.work.__await__()
        value = None
        while True:
            try:
                need = next(steps) if value is None else steps.send(value)
            except StopIteration as end:
                result: T = end.value
                return result
            self.waits += 1
            self.needs.append(need)
            if self.waits == self.number:
                self.reached()
            try:
                value = yield need
            except BaseException as exc:
                steps.throw(exc)
                raise AssertionError('it went on after it was cancelled') from exc


def drive(work: Awaitable[T], seconds: float = LIMIT) -> T:
    """Run something that awaits only connections, without an event loop."""
    steps = work.__await__()
    with contextlib.closing(steps):
        while True:
            try:
                need = next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            assert need is None or need.poll(seconds)
