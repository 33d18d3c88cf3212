"""`RunMany`: the outcomes of requests to many origins, for blocking callers."""

from __future__ import annotations

import time

from ._dugong import Mailbox, Outcome
from ._jobs import SLOW_ITERABLE, Jobs
from ._turns import news

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from ._jobs import Job, Router


class RunMany(Jobs):
    """The outcomes of requests to many origins. `Sessions.run` returns it; see `Run`."""

    def __init__(self, router: Router, requests: Any, ordered: bool, stream: bool) -> None:
        super().__init__(router, requests, ordered, stream)
        self._requests = iter(requests)
        self._is_over = False
        self._mailbox = Mailbox()
        self._by_number: dict[int, Job] = {}
        self._last = 0
        self._awaited: Job | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Outcome:
        while True:
            # The iterable may be slow, or want the outcomes that are there.
            self._look_at_all(self._mailbox.take())
            if (outcome := self._next_outcome()) is not None:
                return outcome
            self._fill()
            if (outcome := self._next_outcome()) is not None:
                return outcome
            if not self._jobs:
                self._raise_at_end()
                raise StopIteration
            self._wait()

    def _fill(self) -> None:
        """Take and submit requests until enough are under way."""
        if not self._is_half_empty():
            return
        moved = time.monotonic()
        while self._has_room() and not self._is_over:
            try:
                given = next(self._requests)
            except StopIteration:
                self._is_over = True
                return
            except Exception as exc:
                self._is_over = True
                self._raised = exc
                return
            if (job := self._take(given)) is not None:
                self._submit(job)
            if time.monotonic() - moved >= SLOW_ITERABLE:
                for core in self._cores():
                    core.turn(self._mailbox)
                self._look_at_all(self._mailbox.take())
                if self._has_outcome():
                    return
                moved = time.monotonic()

    def _submit(self, job: Job) -> None:
        self._last += 1
        job.number = self._last
        self._by_number[job.number] = job
        stream = self._is_streamed
        result = job.core.submit(job.request, self._mailbox, job.number, job.index, stream, job.given)
        if not self._submitted(job, result):
            del self._by_number[job.number]

    def _wait(self) -> None:
        """Drive the sessions until there is news of any request, and do what they need for it."""
        oldest = next(iter(self._jobs.values()))
        if oldest is not self._awaited:
            self._awaited = oldest
            oldest.ticket.set_awaited(True)
        self._look_at_all(news(self._cores(), self._mailbox))

    def _look_at_all(self, numbers: list[int]) -> None:
        for number in numbers:
            if (job := self._by_number.get(number)) is not None:
                self._look_at(job)

    def _look_at(self, job: Job) -> None:
        while (state := job.ticket.poll(job.index)) is not None:
            if isinstance(state, Outcome):
                del self._by_number[job.number]
                if self._router.leads_on(job, state):
                    self._submit(job)
                else:
                    self._end(job, state)
                return
            job.ticket.fail(ValueError('asynchronous content needs a co_ method'))

    def close(self) -> None:
        """Give up the requests that have no outcome, and take no more."""
        self._is_over = True
        for job in self._jobs.values():
            job.hops = 0
            job.ticket.give_up()
        while self._jobs:
            self._wait()
        self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()
