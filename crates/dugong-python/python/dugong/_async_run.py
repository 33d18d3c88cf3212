"""`AsyncRun`: the outcomes of many requests, for tasks."""

from __future__ import annotations

import contextlib
import time

from ._dugong import Outcome
from ._jobs import SLOW_ITERABLE, Jobs
from ._pump import Pump
from ._waiting import feed, watch_of
from ._watch import Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType
    from typing import Any, Self

    from ._dugong import SessionCore
    from ._jobs import Job, Router
    from ._watch import Watch


class AsyncRun(Jobs):
    """The outcomes of the requests of an iterable, for `async for`. `Session.co_run` returns it.

    Each request that it takes ends with exactly one outcome. Between two steps the other tasks go on, and so do its
    requests if another task waits for the session. If you leave the loop early, `await` its `co_close`, or use it in
    `async with`; `abandoned` then has the outcomes that were not yielded.
    """

    takes_async = True

    def __init__(self, router: Router, requests: Any, ordered: bool, stream: bool) -> None:
        super().__init__(router, requests, ordered, stream)
        self._requests: Iterator[Any] | None = None
        # An asynchronous iterator, which the pump gets in the loop that runs then.
        self._later: AsyncIterator[Any] | None = None
        self._pump: Pump | None = None
        if hasattr(requests, '__aiter__'):
            self._later = requests.__aiter__()
        else:
            self._requests = iter(requests)
        self._is_slow = False
        self._group = Group()
        self._watches: dict[int, Watch] = {}
        self._awaited: Job | None = None
        self._is_running = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if self._is_running:
            raise RuntimeError('another task waits for the next outcome of this run')
        self._is_running = True
        try:
            return await self._next()
        finally:
            self._is_running = False

    async def _next(self) -> Outcome:
        while True:
            if self._later or self._pump:
                self._fill_from_pump()
            else:
                await self._fill()
            if (outcome := self._next_outcome()) is not None:
                return outcome
            if self._pump and not self._jobs:
                await self._pump.wait()
                continue
            if not self._jobs:
                self._leave()
                self._raise_at_end()
                raise StopAsyncIteration
            await self._wait()

    async def _fill(self) -> None:
        """Take and submit requests until enough are under way."""
        if not self._is_half_empty():
            return
        moved = now = time.monotonic()
        while self._has_room() and self._requests:
            # Another request could take long, and the iterable may want this outcome.
            if self._is_slow and self._has_outcome():
                return
            begun = now
            try:
                given = next(self._requests)
            except StopIteration:
                self._requests = None
                return
            except Exception as exc:
                self._requests = None
                self._raised = exc
                return
            if (job := self._take(given)) is not None:
                self._submit(job)
            now = time.monotonic()
            self._is_slow = now - begun >= SLOW_ITERABLE
            if now - moved >= SLOW_ITERABLE:
                await self._move()
                if self._has_outcome():
                    return
                moved = now = time.monotonic()

    async def _move(self) -> None:
        """Let the sessions be driven, and look at the news."""
        for job in self._jobs.values():
            await self._enter(job.core).pause()
            break
        told, self._group.news = self._group.news, []
        await self._look_at_all(told)

    def _fill_from_pump(self) -> None:
        """Submit the requests that the pump has taken, and let it take more."""
        if self._pump is None:
            assert self._later is not None
            self._pump, self._later = Pump(self._later, self._group), None
        pump = self._pump
        while pump.items and self._has_room():
            if (job := self._take(pump.items.popleft())) is not None:
                self._submit(job)
        if pump.is_over and not pump.items:
            self._raised, self._pump = pump.raised, None
        elif self._is_half_empty():
            pump.ask(self._ahead - len(self._jobs) - len(self._outcomes) - len(pump.items))

    @property
    def taken(self) -> int:
        """How many requests it has taken from the iterable."""
        return super().taken + (len(self._pump.items) if self._pump else 0)

    def _submit(self, job: Job) -> None:
        watch = self._enter(job.core)
        job.number = watch.number()
        watch.join(job.number, self._group, job)
        stream = self._is_streamed
        result = job.core.submit(job.request, watch.mailbox, job.number, job.index, stream, job.given)
        if self._submitted(job, result):
            watch.turn_soon()
        else:
            watch.forget(job.number)

    async def _wait(self) -> None:
        """Wait for news of any request, and do what the sessions need for them."""
        oldest = next(iter(self._jobs.values()))
        watch = self._enter(oldest.core)
        if oldest is not self._awaited:
            self._awaited = oldest
            oldest.ticket.set_awaited(True)
            watch.turn_soon()
        await self._look_at_all(await watch.wait_any(self._group))

    async def _look_at_all(self, told: list[Job]) -> None:
        for job in told:
            if self._jobs.get(job.index) is job:
                await self._look_at(job)

    async def _look_at(self, job: Job) -> None:
        watch = self._enter(job.core)
        while (state := job.ticket.poll(job.index)) is not None:
            if isinstance(state, Outcome):
                watch.forget(job.number)
                if self._router.leads_on(job, state):
                    self._submit(job)
                else:
                    self._end(job, state)
                return
            await feed(job.ticket, state)
        # The session may have something to do for the ticket now.
        watch.turn_soon()

    def _enter(self, core: SessionCore) -> Watch:
        watch = self._watches.get(id(core))
        if watch is None:
            if len(self._watches) >= _MOST_WATCHES:
                self._leave_unused()
            watch = self._watches[id(core)] = watch_of(core)
            watch.__enter__()
        return watch

    def _leave_unused(self) -> None:
        """Let the sessions go that have no requests of this run."""
        used = {id(job.core) for job in self._jobs.values()}
        for key in self._watches.keys() - used:
            self._watches.pop(key).__exit__(None, None, None)

    def _leave(self) -> None:
        watches, self._watches = self._watches, {}
        for watch in watches.values():
            watch.__exit__(None, None, None)

    async def co_close(self) -> None:
        """Give up the requests that have no outcome, and take no more."""
        self._requests = self._later = None
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.stop()
            await pump.ended()
            for given in pump.items:
                self._refuse(given)
        for job in self._jobs.values():
            job.hops = 0
            job.ticket.give_up()
            self._enter(job.core).turn_soon()
        while self._jobs:
            await self._wait()
        self._leave()
        self._abandon()

    async def aclose(self) -> None:
        """Do the same as `co_close`, for `contextlib.aclosing`."""
        await self.co_close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        await self.co_close()

    def __del__(self) -> None:
        # Its loop may have ended.
        with contextlib.suppress(Exception):
            if self._pump is not None:
                self._pump.stop()
            for job in self._jobs.values():
                job.ticket.close()
            for watch in self._watches.values():
                watch.turn_soon()
            self._leave()


#: Beyond this number, it looks for sessions without requests.
_MOST_WATCHES = 64
