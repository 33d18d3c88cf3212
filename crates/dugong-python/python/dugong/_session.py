"""`Session`: many requests to one origin, each with exactly one outcome."""

from __future__ import annotations

from ._closes import Closes
from ._dugong import SessionCore
from ._methods import Methods
from ._range_methods import Ranges
from ._settings import checked
from ._turns import has_green_threads, perform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable
    from ssl import SSLContext
    from typing import Any

    from ._async_run import AsyncRun
    from ._dugong import Reply, Run
    from ._request import Request
    from ._tls import Tls
    from ._types import Headers


class Session(Closes, Ranges, Methods):
    """Many requests to one origin, over few connections that all threads and tasks share.

        with dugong.Session('https://example.org') as session:
            for outcome in session.run(['/a', '/b', '/c']):
                print(outcome.request, outcome.reply.status if outcome.reply else outcome.error)

    Requests are pipelined. One that got no answer is sent again if that can do no harm; how often, and how fast, is
    bounded. Every request ends with a reply or with a `RequestFailed`, which says what the server may have got.

    - *origin* is scheme, host and perhaps a port. A path is refused.
    - At most *connections* are open, with at most *depth* requests in flight on each; a server that answers fewer
      teaches the session. At most *window* bytes of content wait for their readers. A reply that is not streamed has at
      most *max_content* bytes.
    - A request is sent again at most *retries* times; the session affords *retry_budget* repeats at once, and ten
      answers earn one more (None: no limit). The waits between are random, up to a bound that doubles: *backoff* is the
      first and the last bound, in seconds. 429 and 503 with `Retry-After` are repeated, too, and *repeat_statuses*.
    - *timeout* is the time without a byte, *connect_timeout* for opening a connection, *total_timeout* for a whole
      request with its repeats, *idle_timeout* for a connection without requests; in seconds, None is no limit.
    - Content of more than *expect_above* bytes (None: never) waits *expect_timeout* seconds for the server's consent.
    - *headers* go with each request that has no field of that name. *auth* is `(user, password)`, or a function that
      gets a copy of the `Request` before each attempt, and returns the value of `Authorization`, or sets fields of
      `request.headers`. *sign* does that, too, and sees all other fields. Both run in the caller's thread or task.
    - *proxy* is a URL or `(host, port)`. TLS trusts what the platform trusts, unless you pass *tls*, or an
      `ssl.SSLContext` as *ssl_context*, which is slower.
    - It follows at most *redirects* redirects, within the origin.

    Nothing is sent or received except while a thread or task waits for something of the session.
    """

    def __init__(
        self,
        origin: str,
        *,
        connections: int = 4,
        depth: int = 32,
        window: int = 4 << 20,
        max_content: int = 64 << 20,
        retries: int = 4,
        timeout: float | None = 30.0,
        connect_timeout: float | None = 10.0,
        total_timeout: float | None = None,
        idle_timeout: float | None = 60.0,
        expect_timeout: float | None = 1.0,
        expect_above: int | None = 1 << 20,
        retry_budget: int | None = 10,
        backoff: tuple[float, float] = (0.1, 10.0),
        repeat_statuses: Iterable[int] = (),
        headers: Headers | None = None,
        auth: tuple[str, str] | Callable[[Request], Any] | None = None,
        sign: Callable[[Request], Any] | None = None,
        proxy: str | tuple[str, int] | None = None,
        tls: Tls | None = None,
        ssl_context: SSLContext | None = None,
        redirects: int = 0,
    ) -> None:
        given = {**locals()}
        if not isinstance(origin, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f'origin has to be a str, not {type(origin).__name__}')
        settings = checked(given)
        self._core = SessionCore(origin, settings)
        self._max_content: int = settings['max_content']

    @property
    def origin(self) -> str:
        """The origin, such as `'https://example.org'`."""
        return self._core.origin

    def _send(self, request: Request) -> Reply:
        if has_green_threads():
            return perform(self._core, request)
        return self._core.request(request)

    async def _co_send(self, request: Request) -> Reply:
        from ._waiting import perform  # noqa: PLC0415  # imports asyncio

        reply: Reply = await perform(self._core, request)
        return reply

    def run(self, requests: Iterable[Any], *, ordered: bool = True, stream: bool = False) -> Run:
        """Send any number of requests, and yield the `Outcome` of each, in order or as they come. Twin: `co_run`.

        An item is a target, for GET; a tuple `(method, target)`, `(method, target, headers)` or `(method, target,
        headers, content)`; a mapping with the arguments of `Request`; or a `Request`. They are taken as they are sent,
        and never more than a few hundred ahead of the outcomes that you have taken. A bad one gets an outcome with a
        `ValueError`. If *requests* raises, the exception comes after the outcomes of all that was taken.

        With *stream*, an outcome is yielded as soon as the head of its reply has come.
        """
        if has_green_threads():
            from ._jobs import OneOrigin  # noqa: PLC0415
            from ._run_many import RunMany  # noqa: PLC0415

            run: Any = RunMany(OneOrigin(self._core), requests, ordered, stream)
            return run  # type: ignore[no-any-return]
        return self._core.run(requests, bool(ordered), bool(stream))

    def co_run(
        self, requests: Iterable[Any] | AsyncIterable[Any], *, ordered: bool = True, stream: bool = False
    ) -> AsyncRun:
        """Send any number of requests: the `run` for `async for`. *requests* may be an asynchronous iterable."""
        from ._async_run import AsyncRun  # noqa: PLC0415
        from ._jobs import OneOrigin  # noqa: PLC0415

        return AsyncRun(OneOrigin(self._core), requests, ordered, stream)

    def _place(self, target: str) -> tuple[SessionCore, str]:
        return self._core, target

    async def _co_place(self, target: str) -> tuple[SessionCore, str]:
        return self._core, target

    def stats(self) -> dict[str, Any]:
        """Return the figures of the session.

        `connections` that are open now, and those ever `opened`; the `depth` that the server has taught, and
        `not_pipelining` if it could not take more than one request; the number of requests that were `repeated`;
        `jobs` without outcome, of which some are `queued` and some `in_flight`; the repeats left in the `budget`; and
        the bytes of content `held` in the window.
        """
        return self._core.stats()

    def close(self) -> None:
        """End all requests, and close all connections. Later requests fail. Twin: `co_close`."""
        self._core.close()

    def __repr__(self) -> str:
        return f'<dugong.Session {self.origin}>'
