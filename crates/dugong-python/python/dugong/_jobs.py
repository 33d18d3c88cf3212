"""The bookkeeping of runs: requests on their way, and outcomes to yield."""

from __future__ import annotations

from collections import deque

from ._dugong import Outcome, Ticket
from ._failures import RequestFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol, type_check_only

    from ._dugong import SessionCore

    @type_check_only
    class Router(Protocol):
        """Chooses the session of a request."""

        def start(self, job: Job) -> None:
            """Set the core and the request of a job. Raises the caller's mistakes."""
            raise NotImplementedError

        def leads_on(self, job: Job, outcome: Outcome) -> bool:
            """Whether the outcome is a redirect that the job follows; its core and request are new then."""
            raise NotImplementedError

        def account(self, job: Job, outcome: Outcome) -> Outcome:
            """Return the outcome with what became of the redirects before."""
            raise NotImplementedError

        def take_ahead(self) -> int:
            """Return how many requests to take ahead of the outcomes."""
            raise NotImplementedError


class Job:
    """A request of a run, from when it was taken to its outcome."""

    __slots__ = ('attempts', 'core', 'given', 'hops', 'index', 'number', 'request', 'ticket')

    core: SessionCore
    request: Any
    ticket: Ticket
    number: int

    def __init__(self, index: int, given: object) -> None:
        self.index: int = index
        self.given: object = given
        self.request = given
        self.hops: int = 0
        # Those before the last redirect.
        self.attempts: int = 0


class OneOrigin:
    """All requests go to one session, which follows redirects itself."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    def start(self, job: Job) -> None:
        """Take the request as it is."""
        job.core = self._core

    def leads_on(self, job: Job, outcome: Outcome) -> bool:
        """Return False: what the session gives is the outcome."""
        return False

    def account(self, job: Job, outcome: Outcome) -> Outcome:
        """Return the outcome as it is."""
        return outcome

    def take_ahead(self) -> int:
        """Return how many requests to take ahead of the outcomes."""
        return self._core.take_ahead()


#: Seconds. An iterable that takes longer does not hold up the requests that it has given.
SLOW_ITERABLE = 0.001


class Jobs:
    """The requests of a run that were taken, and their outcomes, each of which is yielded once."""

    #: Whether the requests may be an asynchronous iterable.
    takes_async = False

    def __init__(self, router: Router, requests: object, ordered: bool, stream: bool) -> None:
        is_iterable = hasattr(requests, '__iter__') or hasattr(requests, '__getitem__')
        is_taken = is_iterable or (self.takes_async and hasattr(requests, '__aiter__'))
        if isinstance(requests, (str, bytes)) or not is_taken:
            kind = type(requests).__name__
            hint = '; an asynchronous one needs co_run' if hasattr(requests, '__aiter__') else ''
            raise TypeError(f'requests has to be an iterable of requests, such as a list, not {kind}{hint}')
        self._router = router
        self._is_ordered = ordered
        self._is_streamed = stream
        self._ahead = router.take_ahead()
        self._taken = 0
        #: Requests without an outcome, by their index.
        self._jobs: dict[int, Job] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._order: deque[int] = deque()
        #: The exception of the iterable.
        self._raised: BaseException | None = None
        self._abandoned: list[Outcome] = []

    @property
    def taken(self) -> int:
        """How many requests it has taken from the iterable."""
        return self._taken

    @property
    def abandoned(self) -> list[Outcome]:
        """After it was closed, the outcomes that were not yielded."""
        return list(self._abandoned)

    def _has_room(self) -> bool:
        return len(self._jobs) + len(self._outcomes) < self._ahead

    def _is_half_empty(self) -> bool:
        return len(self._jobs) + len(self._outcomes) <= self._ahead // 2

    def _take(self, given: object) -> Job | None:
        """Count a request, and choose its session; None if its outcome is known already."""
        job = Job(self._taken, given)
        self._taken += 1
        if self._is_ordered:
            self._order.append(job.index)
        try:
            self._router.start(job)
        except Exception as exc:
            error = exc if isinstance(exc, ValueError) else ValueError(str(exc)).with_traceback(exc.__traceback__)
            self._end(job, Outcome(job.index, given, error=error, safe_to_retry=True))
            return None
        return job

    def _refuse(self, given: object) -> None:
        """End a request that was taken after the run was closed."""
        if (job := self._take(given)) is not None:
            text = 'the run was closed (sent: no, answered: no, attempts: 0)'
            self._end(job, Outcome(job.index, given, error=RequestFailed(text, request=given), safe_to_retry=True))

    def _submitted(self, job: Job, result: Any) -> bool:
        """Take in what the session has said; False if that is the outcome already."""
        if isinstance(result, Ticket):
            job.ticket = result
            self._jobs[job.index] = job
            return True
        self._end(job, result)
        return False

    def _end(self, job: Job, outcome: Outcome) -> None:
        self._jobs.pop(job.index, None)
        self._outcomes[job.index] = self._router.account(job, outcome)
        if not self._is_ordered:
            self._order.append(job.index)

    def _has_outcome(self) -> bool:
        return bool(self._order) and self._order[0] in self._outcomes

    def _next_outcome(self) -> Outcome | None:
        """Take the outcome that can be yielded."""
        if not self._has_outcome():
            return None
        return self._outcomes.pop(self._order.popleft())

    def _abandon(self) -> None:
        """Keep the outcomes that will not be yielded."""
        self._abandoned += [self._outcomes[index] for index in sorted(self._outcomes)]
        self._outcomes.clear()
        self._order.clear()

    def _raise_at_end(self) -> None:
        error, self._raised = self._raised, None
        if error is not None:
            raise error

    def _cores(self) -> Iterable[SessionCore]:
        """Return the sessions with requests that have no outcome."""
        return {id(job.core): job.core for job in self._jobs.values()}.values()
