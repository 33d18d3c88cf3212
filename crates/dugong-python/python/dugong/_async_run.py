"""`AsyncRun`: the outcomes of many requests, for tasks."""

from __future__ import annotations

import contextlib
from collections import deque

from ._dugong import Outcome, Ticket
from ._waiting import feed, watch_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from ._dugong import SessionCore
    from ._watch import Watch


class AsyncRun:
    """The outcomes of the requests of an iterable, for `async for`. `Session.co_run` returns it.

    Each request that it takes ends with exactly one outcome. Between two steps the other tasks go on, and so do its
    requests if another task waits for the session. If you leave the loop early, `await` its `co_close`, or use it in
    `async with`; `abandoned` then has the outcomes that were not yielded.
    """

    def __init__(
        self, core: SessionCore, requests: Iterable[Any] | AsyncIterable[Any], ordered: bool, stream: bool
    ) -> None:
        if isinstance(requests, (str, bytes)):
            raise TypeError(
                f'requests has to be an iterable of requests, such as a list, not {type(requests).__name__}'
            )
        self._core = core
        self._later: AsyncIterator[Any] | None = None
        self._requests: Iterator[Any] | None = None
        given: Any = requests
        if hasattr(given, '__aiter__'):
            self._later = given.__aiter__()
        else:
            self._requests = iter(given)
        self._is_ordered = ordered
        self._is_streamed = stream
        self._ahead = core.take_ahead()
        self._taken = 0
        # Tickets of requests without an outcome, by their index; and outcomes to yield.
        self._tickets: dict[int, Ticket] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._order: deque[int] = deque()
        self._numbers: dict[int, int] = {}
        self._raised: BaseException | None = None
        self._watch: Watch | None = None
        self._group = 0
        self._awaited = -1
        self._is_running = False
        self._abandoned: list[Outcome] = []

    @property
    def taken(self) -> int:
        """How many requests it has taken from the iterable."""
        return self._taken

    @property
    def abandoned(self) -> list[Outcome]:
        """After `co_close`, the outcomes that were not yielded."""
        return list(self._abandoned)

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
            await self._fill()
            if (outcome := self._take()) is not None:
                return outcome
            if not self._tickets:
                self._leave()
                if self._raised is not None:
                    error, self._raised = self._raised, None
                    raise error
                raise StopAsyncIteration
            await self._wait()

    def _take(self) -> Outcome | None:
        """Take an outcome that can be yielded."""
        if not self._order:
            return None
        if self._is_ordered:
            if self._order[0] not in self._outcomes:
                return None
            return self._outcomes.pop(self._order.popleft())
        return self._outcomes.pop(self._order.popleft())

    async def _fill(self) -> None:
        """Take and submit requests until enough are under way."""
        if len(self._tickets) + len(self._outcomes) > self._ahead // 2:
            return
        while len(self._tickets) + len(self._outcomes) < self._ahead and (self._requests or self._later):
            try:
                given = next(self._requests) if self._requests else await anext(self._later)  # type: ignore[arg-type]
            except (StopIteration, StopAsyncIteration):
                self._requests = self._later = None
                return
            except Exception as exc:
                self._requests = self._later = None
                self._raised = exc
                return
            self._submit(given)
            if self._later and self._outcomes:
                return

    def _submit(self, given: object) -> None:
        watch = self._enter()
        index = self._taken
        self._taken += 1
        number = watch.number(self._group)
        submitted = self._core.submit(given, watch.mailbox, number, index, self._is_streamed)
        if self._is_ordered:
            self._order.append(index)
        if isinstance(submitted, Ticket):
            self._tickets[index] = submitted
            self._numbers[number] = index
            watch.turn_soon()
        else:
            self._end(index, submitted)

    def _end(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        if not self._is_ordered:
            self._order.append(index)

    async def _wait(self) -> None:
        """Wait for news of any request, and do what the session needs for them."""
        watch = self._enter()
        oldest = next(iter(self._tickets))
        if oldest != self._awaited:
            self._awaited = oldest
            self._tickets[oldest].set_awaited(True)
            watch.turn_soon()
        for number in await watch.wait_any(self._group):
            index = self._numbers.get(number)
            if index is None:
                continue
            ticket = self._tickets[index]
            while (state := ticket.poll(index)) is not None:
                if isinstance(state, Outcome):
                    del self._tickets[index], self._numbers[number]
                    watch.forget(number)
                    self._end(index, state)
                    break
                await feed(ticket, state)
            else:
                # The session may have something to do for the ticket now.
                watch.turn_soon()

    def _enter(self) -> Watch:
        if self._watch is None:
            self._watch = watch_of(self._core)
            self._watch.__enter__()
            self._group = self._watch.number()
        return self._watch

    def _leave(self) -> None:
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
            self._watch = None

    async def co_close(self) -> None:
        """Give up the requests that have no outcome, and take no more."""
        self._requests = self._later = None
        for ticket in self._tickets.values():
            ticket.give_up()
        if self._tickets:
            self._enter().turn_soon()
        while self._tickets:
            await self._wait()
        self._leave()
        self._abandoned += [self._outcomes[index] for index in sorted(self._outcomes)]
        self._outcomes.clear()
        self._order.clear()

    async def aclose(self) -> None:
        """The same as `co_close`, for `contextlib.aclosing`."""
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
            for ticket in self._tickets.values():
                ticket.close()
            if self._watch is not None:
                self._watch.turn_soon()
            self._leave()
