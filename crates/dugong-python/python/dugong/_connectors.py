"""Serves the connectors: keeps sessions for the settings of a host library, and tells kinds of failures apart."""

from __future__ import annotations

import os
import ssl
import threading
from collections import OrderedDict

from ._content import Source, WrongLengthError
from ._dugong import split_url
from ._exceptions import ConnectionClosed, InvalidResponse, UnsupportedResponse
from ._failures import RequestFailed
from ._request import Request
from ._sessions import Sessions
from ._tls import Tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal, TypedDict

    from ._dugong import Reply

    Kind = Literal[
        'connect',
        'connect timeout',
        'pool timeout',
        'protocol',
        'proxy',
        'read',
        'read timeout',
        'tls',
        'write',
        'write timeout',
    ]

    class Limits(TypedDict, total=False):
        """The settings of sessions that no host library gives."""

        connections: int
        depth: int
        window: int
        idle_timeout: float | None
        retries: int
        max_sessions: int


_NAMES = {'connections', 'depth', 'window', 'idle_timeout', 'retries', 'max_sessions', 'tls', 'ssl_context', 'proxy'}

#: Differing settings that have connections at once, as long as that many are idle.
_MOST = 16


class RefusedError(ValueError):
    """The session does not send a request, because of its fields or its length."""


class UnusableUrlError(ValueError):
    """A URL names no server that a session could ask."""


class Pools:
    """Keeps one `Sessions` for each combination of the settings that a host library gives with a request."""

    def __init__(self, settings: dict[str, Any]) -> None:
        # The host repeats requests and follows redirects, if it likes. The session repeats only what was not sent, or
        # what a neighbour on the connection took down.
        fixed: dict[str, Any] = {'expect_above': None, 'redirects': 0, 'timeout': None}
        self._settings: dict[str, Any] = {'retries': 0, **settings, **fixed}
        self._given = settings
        for name in settings:
            if name not in _NAMES:
                raise TypeError(f'{name!r} is no setting of a connector')
        Sessions(**self._settings)  # checks them
        self._pools: OrderedDict[object, Sessions] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Pools, (self._given,)

    def find(self, key: object) -> Sessions | None:
        """Return the sessions with these settings, if there are any."""
        with self._lock:
            found = self._pools.get(key)
            if found is not None:
                self._pools.move_to_end(key)
            return found

    def make(self, key: object, more: dict[str, Any]) -> Sessions:
        """Make sessions with more settings; another thread may have made them meanwhile."""
        made = Sessions(**{**self._settings, **more})
        with self._lock:
            found = self._pools.setdefault(key, made)
            idle = [one for one, old in self._pools.items() if old is not found and _is_idle(old)]
            dropped = [self._pools.pop(one) for one in idle[: max(len(self._pools) - _MOST, 0)]]
        for old in dropped:
            old.close()
        return found

    def send(self, sessions: Sessions, request: Request) -> Reply:
        """Make a request, and wait for the head of its reply. A request that is not valid raises `RefusedError`."""
        try:
            return sessions.request(request)
        except ValueError as exc:
            if not _is_refused(exc, request):
                raise
            raise RefusedError(str(exc)) from exc

    async def co_send(self, sessions: Sessions, request: Request) -> Reply:
        """Make a request, and await the head of its reply. The twin of `send`."""
        try:
            return await sessions.co_request(request)
        except ValueError as exc:
            if not _is_refused(exc, request):
                raise
            raise RefusedError(str(exc)) from exc

    def close(self) -> None:
        """Close all connections. A later request opens new ones."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for sessions in pools:
            sessions.close()

    def release(self) -> None:
        """Close connections as soon as no request and no reply needs them. A later request opens new ones."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for sessions in pools:
            # The others end with their last request or reply, which holds them.
            if _is_idle(sessions):
                sessions.close()


def _is_refused(error: ValueError, request: Request) -> bool:
    """Whether the session refused a request. Otherwise the content of the caller raised the exception."""
    content = request.content
    was_opened = isinstance(content, Source) and content.was_opened
    return isinstance(error, WrongLengthError) or not was_opened


def _is_idle(sessions: Sessions) -> bool:
    return not any(figures['jobs'] for figures in sessions.stats().values())


def request_for(
    method: str,
    url: str,
    lines: Iterable[tuple[str, str]],
    content: Any,
    timeout: float | None,
    dropped: str | None = None,
) -> Request:
    """Make a request of the parts that a host library gives, without the field that is *dropped*.

    The session frames content of unknown length itself, and has its own setting for `Expect`. A bad URL raises
    `UnusableUrlError`, a bad method or field another `ValueError`.
    """
    try:
        split_url(url)
    except ValueError as exc:
        raise UnusableUrlError(str(exc)) from None
    kept: list[tuple[str, str]] = []
    expect: bool | None = None
    for line in lines:
        name = line[0].lower()
        if name == 'expect' and line[1].strip().lower() == '100-continue':
            expect = True
        elif name not in ('transfer-encoding', dropped):
            kept.append(line)
    return Request(method, url, headers=kept, content=content, stream=True, timeout=timeout, expect=expect)


def tls_settings(trusted: str, chain: str | None, key: str | None, password: Any = None) -> dict[str, Any]:
    """Return the settings for certificates in files. *trusted* is a file or folder, or empty: then nothing is checked.

    What `dugong.Tls` cannot do is left to the module ssl. A file without a certificate or key raises `ssl.SSLError`, as
    there.
    """
    if os.path.isfile(trusted) and password is None:
        tls = Tls(ca=trusted, cert=chain, key=key)
        try:
            Sessions(tls=tls)
        except ValueError as exc:
            raise ssl.SSLError(str(exc)) from exc
        return {'tls': tls}
    context = ssl.create_default_context(
        cafile=trusted if os.path.isfile(trusted) else None, capath=trusted if os.path.isdir(trusted) else None
    )
    if not trusted:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if chain:
        context.load_cert_chain(chain, key, password)
    return {'ssl_context': context}


def kind_of(error: RequestFailed, *, is_proxied: bool = False) -> Kind:
    """Tell how a request failed. The kinds about connecting mean that no byte of the request was sent."""
    cause = error.__cause__
    is_unsent, is_partly_sent = error.sent == 'no', error.sent == 'partly'
    if isinstance(error, TimeoutError):
        if is_unsent:
            return 'pool timeout' if cause is None else 'connect timeout'
        return 'write timeout' if is_partly_sent else 'read timeout'
    if isinstance(cause, (InvalidResponse, UnsupportedResponse)):
        return 'protocol'
    if is_unsent:
        if isinstance(cause, ssl.SSLError):
            return 'tls'
        return 'proxy' if is_proxied and type(cause) is OSError else 'connect'
    if isinstance(cause, ssl.SSLError):
        return 'tls'
    # The system's error is its cause, if the connection was reset; a server that closes in order leaves none.
    if isinstance(cause, ConnectionClosed) and cause.__cause__ is None:
        return 'protocol'
    return 'write' if is_partly_sent else 'read'
