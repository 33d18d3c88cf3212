"""`Sessions`: requests to many origins."""

from __future__ import annotations

import threading
from collections import OrderedDict
from weakref import WeakValueDictionary

from ._closes import Closes
from ._content import Source
from ._dugong import Outcome, SessionCore, follow_redirect, split_url
from ._failures import RequestFailed
from ._methods import Methods
from ._range_methods import Ranges
from ._request import Request, request_of, whole_number
from ._settings import DEFAULTS, checked
from ._turns import has_green_threads, perform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from typing import Any, Unpack

    from ._async_run import AsyncRun
    from ._dugong import Reply
    from ._jobs import Job
    from ._run_many import RunMany
    from ._types import Settings


class Sessions(Closes, Ranges, Methods):
    """Requests to many origins: one `Session` for each, made when it is needed.

        with dugong.Sessions(redirects=5) as sessions:
            reply = sessions.get('https://example.org/a')

    The targets of its requests are whole URLs. It follows at most *redirects* redirects, to any origin; credentials do
    not go along to another one, and no redirect leads from https to http. `download`, `cat_ranges` and `open` first ask
    for one byte, to see where redirects lead. At most *max_sessions* origins have connections at once, as long as that
    many are idle. The other keywords are those of `Session`, and count for each origin.
    """

    def __init__(self, *, max_sessions: int = 64, **settings: Unpack[Settings]) -> None:
        for name in settings:
            if name not in DEFAULTS:
                raise TypeError(f'{name!r} is no setting of a session')
        given = {**DEFAULTS, **settings}
        self._redirects = whole_number(given['redirects'], 'redirects')
        self._max_sessions = whole_number(max_sessions, 'max_sessions', 1)
        self._settings = checked({**given, 'redirects': 0})
        # Building one session now reports wrong settings before the first request. Any origin will do.
        SessionCore('http://localhost', self._settings).close()
        self._max_content = self._settings['max_content']
        credentials = ('auth', 'basic', 'sign')
        self._foreign = {name: value for name, value in self._settings.items() if name not in credentials}
        self._foreign['headers'] = [line for line in self._settings['headers'] if line[0].lower() not in _SECRET]
        # By the origin, and whether a redirect from another one led there. A session that has to make room lives on
        # while a request has it, and is found here until then.
        self._cores: WeakValueDictionary[tuple[str, bool], SessionCore] = WeakValueDictionary()
        self._recent: OrderedDict[tuple[str, bool], SessionCore] = OrderedDict()
        self._lock = threading.Lock()
        self._is_closed = False

    def _core(self, origin: str, is_foreign: bool) -> SessionCore:
        """Return the session of an origin."""
        key = origin, is_foreign
        dropped: list[SessionCore] = []
        with self._lock:
            core = self._cores.get(key)
            if core is None:
                core = SessionCore(origin, self._foreign if is_foreign else self._settings)
                if self._is_closed:
                    core.close()
                    return core
                self._cores[key] = core
            self._recent[key] = core
            self._recent.move_to_end(key)
            while len(self._recent) > self._max_sessions:
                # Without the lock, the last reference to it may go.
                dropped.append(self._recent.popitem(last=False)[1])
        return core

    def _route(self, request: Request, is_foreign: bool = False) -> tuple[SessionCore, Request]:
        """Return the session of a request, and the request as that one takes it."""
        origin, target = split_url(request.target)
        lines = request._current_lines()  # pyright: ignore[reportPrivateUsage]
        routed = request._with_head(request.method, target, lines)  # pyright: ignore[reportPrivateUsage]
        return self._core(origin, is_foreign), routed

    def _follow(self, request: Request, reply: Reply) -> tuple[Request, bool] | None:
        """Return the request that follows a redirect, and whether it goes to another origin."""
        if reply.status not in _REDIRECTS:
            return None
        lines = request._current_lines()  # pyright: ignore[reportPrivateUsage]
        content = request.content
        is_repeatable = not isinstance(content, Source) or not content.is_read_once
        found = follow_redirect(
            request.method, request.target, lines, is_repeatable, reply.status, reply.headers.items()
        )
        if found is None:
            return None
        method, origin, target, kept, keeps_content = found
        following = request._with_head(method, origin + target, kept)  # pyright: ignore[reportPrivateUsage]
        if not keeps_content:
            following.content = None
        return following, split_url(request.target)[0] != origin

    def _send(self, request: Request) -> Reply:
        given, is_foreign, hops, attempts = request, False, self._redirects, 0
        while True:
            core, routed = self._route(request, is_foreign)
            try:
                green = has_green_threads()
                reply = perform(core, routed, given) if green else core.request(routed, given)
            except RequestFailed as exc:
                _account(exc, given, attempts)
                raise
            found = self._follow(request, reply) if hops else None
            if found is None:
                reply._add_attempts(attempts)  # pyright: ignore[reportPrivateUsage]
                return reply
            reply.close()
            attempts += reply.attempts
            request, is_foreign, hops = found[0], is_foreign or found[1], hops - 1

    async def _co_send(self, request: Request) -> Reply:
        from . import _waiting  # noqa: PLC0415  # imports asyncio

        given, is_foreign, hops, attempts = request, False, self._redirects, 0
        while True:
            core, routed = self._route(request, is_foreign)
            try:
                reply: Reply = await _waiting.perform(core, routed, given)
            except RequestFailed as exc:
                _account(exc, given, attempts)
                raise
            found = self._follow(request, reply) if hops else None
            if found is None:
                reply._add_attempts(attempts)  # pyright: ignore[reportPrivateUsage]
                return reply
            await reply.co_close()
            attempts += reply.attempts
            request, is_foreign, hops = found[0], is_foreign or found[1], hops - 1

    def _place(self, target: str) -> tuple[SessionCore, str]:
        """Return the session that has the target, and what it is called there. Redirects are followed for that."""
        request, is_foreign, hops = _probe(target), False, self._redirects
        while True:
            core, routed = self._route(request, is_foreign)
            if not hops:
                return core, routed.target
            with perform(core, routed, request) as reply:
                found = self._follow(request, reply)
            if found is None:
                return core, routed.target
            request, is_foreign, hops = found[0], is_foreign or found[1], hops - 1

    async def _co_place(self, target: str) -> tuple[SessionCore, str]:
        from . import _waiting  # noqa: PLC0415  # imports asyncio

        request, is_foreign, hops = _probe(target), False, self._redirects
        while True:
            core, routed = self._route(request, is_foreign)
            if not hops:
                return core, routed.target
            async with await _waiting.perform(core, routed, request) as reply:
                found = self._follow(request, reply)
            if found is None:
                return core, routed.target
            request, is_foreign, hops = found[0], is_foreign or found[1], hops - 1

    def _url(self, target: str) -> str:
        # A redirect may lead to another place each time.
        return target

    def run(self, requests: Iterable[Any], *, ordered: bool = True, stream: bool = False) -> RunMany:
        """Send any number of requests, and yield the `Outcome` of each: see `Session.run`. Twin: `co_run`.

        All origins work at once.
        """
        from ._run_many import RunMany  # noqa: PLC0415

        return RunMany(_ManyOrigins(self), requests, ordered, stream)

    def co_run(
        self, requests: Iterable[Any] | AsyncIterable[Any], *, ordered: bool = True, stream: bool = False
    ) -> AsyncRun:
        """Send any number of requests: the `run` for `async for`. *requests* may be an asynchronous iterable."""
        from ._async_run import AsyncRun  # noqa: PLC0415

        return AsyncRun(_ManyOrigins(self), requests, ordered, stream)

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return the figures of each session, by its origin: see `Session.stats`."""
        with self._lock:
            cores = list(self._cores.items())
        found: dict[str, dict[str, Any]] = {}
        for (origin, is_foreign), core in cores:
            if not is_foreign or origin not in found:
                found[origin] = core.stats()
        return found

    def close(self) -> None:
        """End all requests, and close all connections. Later requests fail. Twin: `co_close`."""
        with self._lock:
            self._is_closed = True
            cores = list(self._cores.values())
            self._recent.clear()
        for core in cores:
            core.close()

    def __repr__(self) -> str:
        return f'<dugong.Sessions of {len(self._cores)} origins>'


def _probe(url: str) -> Request:
    """Return a request that is answered with a byte of content, or with a redirect."""
    return Request('GET', url, headers={'Range': 'bytes=0-0'}, stream=True)


class _ManyOrigins:
    """Routes the requests of a run to the session of their origin, and through redirects."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        # The request of a job with its URL, and whether it has left its first origin.
        self._steps: dict[int, tuple[Request, bool]] = {}

    def start(self, job: Job) -> None:
        """Find the session of a job."""
        request = request_of(job.given)
        job.hops = self._sessions._redirects  # pyright: ignore[reportPrivateUsage]
        job.core, job.request = self._sessions._route(request)  # pyright: ignore[reportPrivateUsage]
        if job.hops:
            self._steps[job.index] = request, False

    def leads_on(self, job: Job, outcome: Outcome) -> bool:
        """Follow a redirect."""
        step = self._steps.pop(job.index, None)
        reply = outcome.reply
        if step is None or reply is None or not job.hops:
            return False
        found = self._sessions._follow(step[0], reply)  # pyright: ignore[reportPrivateUsage]
        if found is None:
            return False
        reply.close()
        request, is_foreign = found[0], step[1] or found[1]
        self._steps[job.index] = request, is_foreign
        job.hops -= 1
        job.attempts += reply.attempts
        job.core, job.request = self._sessions._route(request, is_foreign)  # pyright: ignore[reportPrivateUsage]
        return True

    def account(self, job: Job, outcome: Outcome) -> Outcome:
        """Return the outcome with what became of the redirects before."""
        if not job.attempts:
            return outcome
        reply, error = outcome.reply, outcome.error
        attempts = outcome.attempts + job.attempts
        if reply is not None:
            reply._add_attempts(job.attempts)  # pyright: ignore[reportPrivateUsage]
        is_safe = error is not None and _is_safe(request_of(job.given), outcome.safe_to_retry)
        if isinstance(error, RequestFailed):
            _account(error, request_of(job.given), job.attempts)
        return Outcome(
            outcome.index,
            outcome.request,
            reply=reply,
            error=error,
            sent='yes',
            answered=outcome.answered,
            safe_to_retry=is_safe,
            attempts=attempts,
        )

    def take_ahead(self) -> int:
        """Return how many requests to take ahead of the outcomes."""
        return 512


def _is_safe(given: Request, is_safe: bool) -> bool:
    """Whether a request that was redirected before it failed can be sent again."""
    may_repeat = given.method in _IDEMPOTENT if given.retry is None else given.retry
    return is_safe and (may_repeat or 'Idempotency-Key' in given.headers)


def _account(error: RequestFailed, given: Request, attempts: int) -> None:
    """Count what became of the request before the last redirect."""
    if attempts:
        error.sent = 'yes'
        error.attempts += attempts
        error.safe_to_retry = _is_safe(given, error.safe_to_retry)


_IDEMPOTENT = {'GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'}
_REDIRECTS = {301, 302, 303, 307, 308}
_SECRET = {'authorization', 'proxy-authorization', 'cookie'}
