"""Transports for httpx: its clients then send over the few, pipelined connections of `dugong.Session`.

    import dugong.httpx
    import httpx

    with httpx.Client(transport=dugong.httpx.Transport()) as client:
        client.get('https://example.org/')

Install them by `pip install dugong[httpx]`.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import certifi
import httpx

from ._connectors import Pools, RefusedError, UnusableUrlError, kind_of, request_for, tls_settings
from ._failures import RequestFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Unpack

    from ._connectors import Limits
    from ._dugong import Reply
    from ._request import Request
    from ._sessions import Sessions

__all__ = ['AsyncTransport', 'Transport']


class _Base:
    """What both transports do: make the request of a session."""

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | str | bool = True,
        cert: str | tuple[str, str] | tuple[str, str, str] | None = None,
        trust_env: bool = True,
        proxy: str | httpx.URL | httpx.Proxy | None = None,
        **limits: Unpack[Limits],
    ) -> None:
        settings: dict[str, Any] = {**limits, **_tls(verify, cert, trust_env)}
        self._is_proxied = proxy is not None
        if proxy is not None:
            settings['proxy'] = _proxy(proxy)
        self._pools = Pools(settings)

    def _prepare(self, request: httpx.Request, content: Any) -> tuple[Sessions, Request]:
        url, extensions = request.url, request.extensions
        if url.scheme not in ('http', 'https') or not url.host:
            if url.scheme in ('', 'http', 'https'):
                raise httpx.UnsupportedProtocol("Request URL is missing an 'http://' or 'https://' protocol.")
            raise httpx.UnsupportedProtocol(f"Request URL has an unsupported protocol '{url.scheme}://'.")
        for name in 'sni_hostname', 'target':
            if name in extensions:
                raise ValueError(f'the transports of dugong.httpx do not support the extension {name!r}')
        times: dict[str, float | None] = cast('Any', extensions.get('timeout') or {})
        limit, write = times.get('read'), times.get('write')
        # The session has one limit for both directions. Short content leaves at once, so only reading can take long.
        if limit is not None and not (isinstance(content, bytes) and len(content) <= _SHORT):
            limit = None if write is None else max(limit, write)
        text = f'{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}'
        lines = [(name.decode('latin-1'), value.decode('latin-1')) for name, value in request.headers.raw]
        try:
            made = request_for(request.method, text, lines, content or None, _positive(limit))
        except UnusableUrlError as exc:
            raise httpx.ConnectError(str(exc)) from exc
        except ValueError as exc:
            raise httpx.LocalProtocolError(str(exc)) from exc
        connect = _positive(times.get('connect'))
        sessions = self._pools.find(connect) or self._pools.make(connect, {'connect_timeout': connect})
        return sessions, made

    def _mapped(self, error: RequestFailed) -> httpx.TransportError:
        """Return the exception of httpx for a request without a complete answer."""
        return _KINDS[kind_of(error, is_proxied=self._is_proxied)](str(error))


class Transport(_Base, httpx.BaseTransport):
    """Sends the requests of an `httpx.Client`, from any number of threads.

    httpx keeps its redirects, cookies, authentication, decoding and exceptions. *verify*, *cert*, *trust_env* and
    *proxy* mean the same as for `httpx.HTTPTransport`; proxies by TLS or SOCKS are a `ValueError`.

    Other keywords are settings of a session: at most *connections* (4) are open to each origin, with at most *depth*
    (32) requests in flight on each, and at most *max_sessions* (64) origins have connections while that many are idle.
    *window* is the number of bytes that wait for readers, *idle_timeout* how many seconds an unused connection stays
    open. A lost request is sent again at most *retries* (0) times, if that can do no harm.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response, whose content is read later."""
        stream = cast('httpx.SyncByteStream', request.stream)
        content = b''.join(stream) if isinstance(stream, httpx.ByteStream) else iter(stream)
        sessions, made = self._prepare(request, content)
        try:
            reply = self._pools.send(sessions, made)
        except RequestFailed as exc:
            raise self._mapped(exc) from exc
        except RefusedError as exc:
            raise httpx.LocalProtocolError(str(exc)) from exc
        if reply.status == _SWITCHING:
            reply.close()
            return _response(reply, httpx.ByteStream(b''))
        return _response(reply, _Content(self, reply))

    def close(self) -> None:
        """Close all connections."""
        self._pools.close()


class AsyncTransport(_Base, httpx.AsyncBaseTransport):
    """Sends the requests of an `httpx.AsyncClient`, under asyncio or trio. Its keywords are those of `Transport`."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response, whose content is read later."""
        stream = cast('httpx.AsyncByteStream', request.stream)
        content = b''.join(stream) if isinstance(stream, httpx.ByteStream) else aiter(stream)
        sessions, made = self._prepare(request, content)
        try:
            reply = await self._pools.co_send(sessions, made)
        except RequestFailed as exc:
            raise self._mapped(exc) from exc
        except RefusedError as exc:
            raise httpx.LocalProtocolError(str(exc)) from exc
        if reply.status == _SWITCHING:
            await reply.co_close()
            return _response(reply, httpx.ByteStream(b''))
        return _response(reply, _AsyncContent(self, reply))

    async def aclose(self) -> None:
        """Close all connections."""
        self._pools.close()


class _Content(httpx.SyncByteStream):
    """The content of a reply, for a client."""

    def __init__(self, transport: Transport, reply: Reply) -> None:
        self._transport = transport
        self._reply = reply

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._reply.iter_bytes()
        except RequestFailed as exc:
            raise self._transport._mapped(exc) from exc  # pyright: ignore[reportPrivateUsage]

    def close(self) -> None:
        self._reply.close()


class _AsyncContent(httpx.AsyncByteStream):
    """The content of a reply, for an asynchronous client."""

    def __init__(self, transport: AsyncTransport, reply: Reply) -> None:
        self._transport = transport
        self._reply = reply

    # No generator: a client may leave it early, and trio warns of one that is not closed.
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._reply.co_read(_PIECE)
        except RequestFailed as exc:
            raise self._transport._mapped(exc) from exc  # pyright: ignore[reportPrivateUsage]
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        await self._reply.co_close()


def _response(reply: Reply, stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
    return httpx.Response(
        reply.status,
        headers=[(name.encode('latin-1'), value.encode('latin-1')) for name, value in reply.headers.items()],
        stream=stream,
        extensions={'http_version': b'HTTP/1.1', 'reason_phrase': reply.reason.encode('latin-1')},
    )


# The server speaks another protocol from then on, for which httpx gets no stream.
_SWITCHING = 101

# Bytes that any buffer for sending takes.
_SHORT = 65536

# A piece has at most as many bytes as have arrived.
_PIECE = 1 << 30

_KINDS: dict[str, type[httpx.TransportError]] = {
    'connect': httpx.ConnectError,
    'connect timeout': httpx.ConnectTimeout,
    'pool timeout': httpx.PoolTimeout,
    'protocol': httpx.RemoteProtocolError,
    'proxy': httpx.ProxyError,
    'read': httpx.ReadError,
    'read timeout': httpx.ReadTimeout,
    'tls': httpx.ConnectError,
    'write': httpx.WriteError,
    'write timeout': httpx.WriteTimeout,
}


def _positive(limit: float | None) -> float | None:
    """Return a limit of time for a session, which takes no zero."""
    return limit if limit is None else max(limit, 0.000_001)


def _tls(verify: Any, cert: Any, trust_env: bool) -> dict[str, Any]:
    """Return the settings of sessions for the certificates that httpx is to trust and to show."""
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise ValueError('verify is an ssl.SSLContext, so cert cannot be given; call its load_cert_chain')
        return {'ssl_context': verify}
    chain, key, password = (cert, None, None) if isinstance(cert, str) else (*(cert or ()), None, None, None)[:3]
    trusted = '' if verify is False else verify
    if verify is True:
        given = [os.environ.get(name) for name in ('SSL_CERT_FILE', 'SSL_CERT_DIR')] if trust_env else []
        trusted = next(filter(None, given), None) or certifi.where()
    if trusted and not os.path.exists(trusted):
        raise FileNotFoundError(f'verify has to be a file or a folder with certificates, and {trusted!r} is not there')
    return tls_settings(trusted, chain, key, password)


def _proxy(given: str | httpx.URL | httpx.Proxy) -> str:
    """Return the URL of a proxy with its credentials."""
    proxy = given if isinstance(given, httpx.Proxy) else httpx.Proxy(given)
    if proxy.url.scheme != 'http':
        raise ValueError(f'the transports of dugong.httpx take http proxies only, not {str(proxy.url)!r}')
    if proxy.headers:
        raise ValueError('the transports of dugong.httpx cannot send header fields to a proxy')
    credentials = '' if proxy.auth is None else ':'.join(quote(word, safe='') for word in proxy.auth) + '@'
    return f'http://{credentials}{proxy.url.netloc.decode()}'
