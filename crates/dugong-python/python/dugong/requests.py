"""An adapter for requests: its sessions then send over the few, pipelined connections of `dugong.Session`.

    import dugong.requests
    import requests

    with requests.Session() as session:
        session.mount('https://', dugong.requests.Adapter())
        session.mount('http://', dugong.requests.Adapter())
        session.get('https://example.org/')

Install it by `pip install dugong[requests]`.
"""

from __future__ import annotations

import io
import os
import ssl
from typing import TYPE_CHECKING, Any, cast

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, prepend_scheme_if_needed, select_proxy
from urllib3.util import parse_url

from ._connectors import Pools, RefusedError, UnusableUrlError, kind_of, request_for, tls_settings
from ._failures import RequestFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._dugong import Reply
    from ._sessions import Sessions

__all__ = ['Adapter']


class Adapter(BaseAdapter):
    """Sends the requests of a `requests.Session`, from any number of threads.

    requests keeps its redirects, cookies, authentication, decoding and exceptions. At most *connections* are open to
    each origin, with at most *depth* requests in flight on each, and at most *max_sessions* origins have connections
    while that many are idle. *window* is the number of bytes that wait for readers, *idle_timeout* how many seconds
    an unused connection stays open. A lost request is sent again at most *retries* times, if that can do no harm.

    `timeout`, `verify`, `cert` and `proxies` are those of requests, except for proxies by TLS or SOCKS, which raise
    `requests.exceptions.InvalidProxyURL`.
    """

    def __init__(
        self,
        *,
        connections: int = 4,
        depth: int = 32,
        window: int = 4 << 20,
        idle_timeout: float | None = 60.0,
        retries: int = 0,
        max_sessions: int = 64,
    ) -> None:
        super().__init__()
        settings = {name: value for name, value in locals().items() if name not in ('self', '__class__')}
        self._pools = Pools(settings)

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a `PreparedRequest`, and return its `Response`, whose content is read later."""
        url = _target(_text(request.url or ''))
        proxy = select_proxy(url, dict(proxies or {}))
        connect, read = _limits(timeout)
        try:
            sessions = self._sessions(url, connect, verify, cert, proxy)
            reply = self._pools.send(sessions, _request(request, url, read, proxy))
        except RequestFailed as exc:
            raise _mapped(exc, request, is_proxied=bool(proxy)) from exc
        except RefusedError as exc:
            raise requests.exceptions.InvalidHeader(str(exc), request=request) from exc
        return _response(reply, request, self)

    def close(self) -> None:
        """Close all connections; those of responses that are still streamed, when these end."""
        # `requests.get(url, stream=True)` closes its session before it returns.
        self._pools.release()

    def _sessions(self, url: str, connect: float | None, verify: Any, cert: Any, proxy: str | None) -> Sessions:
        is_secure = url[:6].lower() == 'https:'
        key = connect, proxy, _key(verify) if is_secure else None, _key(cert) if is_secure else None
        found = self._pools.find(key)
        if found is not None:
            return found
        try:
            tls = _tls(verify, cert) if is_secure else {}
        except ssl.SSLError as exc:
            raise requests.exceptions.SSLError(exc) from exc
        settings: dict[str, Any] = {'connect_timeout': connect, **tls}
        if proxy:
            try:
                parts = parse_url(prepend_scheme_if_needed(proxy, 'http'))
            except urllib3.exceptions.LocationParseError as exc:
                raise requests.exceptions.InvalidProxyURL(f'the proxy URL {_shown(proxy)} has no usable host') from exc
            if not parts.host:
                raise requests.exceptions.InvalidProxyURL(f'the proxy URL {_shown(proxy)} has no host')
            if parts.scheme != 'http':
                raise requests.exceptions.InvalidProxyURL(
                    f'dugong.requests.Adapter takes http proxies only, not {_shown(proxy)}'
                )
            if 'ssl_context' in settings:
                raise requests.exceptions.InvalidProxyURL(
                    'dugong.requests.Adapter cannot use an https URL through a proxy with verify=False or a folder'
                )
            settings['proxy'] = proxy
        return self._pools.make(key, settings)


def _shown(proxy: str) -> str:
    """Return the URL of a proxy without its credentials."""
    return repr(proxy.rpartition('@')[2])


def _key(given: Any) -> Any:
    return tuple(cast('Any', given)) if isinstance(given, list) else given


def _text(given: str | bytes) -> str:
    return given.decode('latin-1') if isinstance(given, bytes) else given


def _target(url: str) -> str:
    """Return a URL without its fragment and its credentials: requests has made a field of those."""
    scheme, separator, rest = url.partition('#')[0].partition('://')
    authority, slash, path = rest.partition('/')
    return scheme + separator + authority.rpartition('@')[2] + slash + path


def _limits(timeout: Any) -> tuple[float | None, float | None]:
    """Return the limits of time for connecting and for reading."""
    if isinstance(timeout, urllib3.Timeout):
        read, total = cast('Any', timeout)._read, timeout.total
        limits = [value for value in (read, total) if isinstance(value, (int, float))]
        connect = timeout.connect_timeout
        return connect if isinstance(connect, (int, float)) else None, min(limits, default=None)
    if isinstance(timeout, tuple):
        try:
            connect, read = cast('tuple[Any, Any]', timeout)
        except ValueError:
            raise ValueError(f'timeout has to be seconds or a pair (connect, read), not {timeout!r}') from None
    else:
        connect = read = timeout
    # It refuses a wrong one in the words that programs know.
    urllib3.Timeout(connect=connect, read=read)
    return connect, read


def _tls(verify: Any, cert: Any) -> dict[str, Any]:
    """Return the settings of sessions for the certificates that requests is to trust and to show."""
    trusted = DEFAULT_CA_BUNDLE_PATH if verify is True or verify is None else verify
    # More than a pair is no error to requests.
    chain, key = (cert, None) if isinstance(cert, str) else (cert or (None, None))[:2]
    for path, name in (
        (trusted, 'a suitable TLS CA certificate bundle'),
        (chain, 'the TLS certificate file'),
        (key, 'the TLS key file'),
    ):
        if path and not os.path.exists(path):
            raise OSError(f'Could not find {name}, invalid path: {path}')
    return tls_settings(trusted or '', chain, key)


def _request(request: requests.PreparedRequest, url: str, timeout: float | None, proxy: str | None) -> Any:
    content = _bytes(request.body) if isinstance(request.body, str) else _pieces(request.body)
    lines = [(_text(name), _text(value)) for name, value in request.headers.items()]
    # A session takes the credentials from the URL of the proxy.
    dropped = 'proxy-authorization' if proxy and '@' in proxy else None
    try:
        return request_for(request.method or '', url, lines, content or None, timeout, dropped)
    except UnusableUrlError as exc:
        raise requests.exceptions.InvalidURL(str(exc), request=request) from exc
    except ValueError as exc:
        # A bad method is a plain ValueError to requests, too.
        if isinstance(exc, UnicodeError) or 'field' in str(exc):
            raise requests.exceptions.InvalidHeader(str(exc), request=request) from exc
        raise


class _Pieces:
    """Content that can be iterated anew, with its pieces as bytes."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def __iter__(self) -> Iterator[Any]:
        return map(_bytes, self._given)


def _bytes(piece: Any) -> Any:
    """Encode text, as urllib3 does."""
    return piece.encode() if isinstance(piece, str) else piece


def _pieces(given: Any) -> Any:
    """Return content whose pieces are bytes, also if they are text."""
    if isinstance(given, io.TextIOBase):
        return map(_bytes, iter(lambda: given.read(_PIECE), ''))
    if hasattr(given, 'read') or not hasattr(given, '__iter__'):
        return given
    try:
        memoryview(given)
    except TypeError:
        return map(_bytes, given) if hasattr(given, '__next__') else _Pieces(given)
    return given


def _mapped(error: RequestFailed, request: requests.PreparedRequest, *, is_proxied: bool) -> Exception:
    """Return the exception of requests for a request without an answer."""
    match kind_of(error, is_proxied=is_proxied):
        case 'connect timeout' | 'pool timeout':
            kind: type[requests.RequestException] = requests.ConnectTimeout
        case 'read timeout':
            # Programs look for these words, and for an exception of urllib3.
            url = _target(_text(request.url or ''))
            why = urllib3.exceptions.ReadTimeoutError(cast('Any', url), url, f'Read timed out. ({error})')
            return requests.ReadTimeout(why, request=request)
        case 'tls':
            kind = requests.exceptions.SSLError
        case 'proxy':
            kind = requests.exceptions.ProxyError
        case 'connect' if is_proxied:
            kind = requests.exceptions.ProxyError
        case _:
            kind = requests.ConnectionError
    return kind(str(error), request=request)


class _Content(io.RawIOBase):
    """The content of a reply, as urllib3 reads it of `http.client`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        # None when it is closed: a response that is read must not keep connections open.
        self._reply: Reply | None = reply
        self.msg = reply.headers
        if reply.status == _SWITCHING:
            # The server speaks another protocol from now on.
            reply.close()
            self._reply = None

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if self._reply is None:
            return b''
        try:
            piece = self._reply.read(None if size is None or size < 0 else size)
        except RequestFailed as exc:
            if isinstance(exc, (TimeoutError, ConnectionError)):
                raise
            if isinstance(exc.__cause__, ssl.SSLError):
                raise exc.__cause__ from exc
            raise OSError(str(exc)) from exc
        if not piece and size != 0:
            self.close()
        return piece

    read1 = read

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def isclosed(self) -> bool:
        return self.closed

    def close(self) -> None:
        if self._reply is not None:
            self._reply.close()
            self._reply = None
        super().close()


def _response(reply: Reply, request: requests.PreparedRequest, adapter: Adapter) -> requests.Response:
    content = _Content(reply)
    url = _target(_text(request.url or ''))
    try:
        raw = urllib3.HTTPResponse(
            body=content,
            headers=urllib3.HTTPHeaderDict(reply.headers.items()),
            status=reply.status,
            version=11,
            reason=reply.reason,
            preload_content=False,
            decode_content=False,
            # Only named, in messages.
            pool=cast('Any', url),
            original_response=cast('Any', content),
            request_method=request.method,
            request_url=request.url,
        )
    except urllib3.exceptions.InvalidHeader as exc:
        content.close()
        raise requests.exceptions.InvalidHeader(exc, request=request) from exc
    response = _builder.build_response(request, raw)
    response.connection = cast('Any', adapter)
    return response


_SWITCHING = 101

# Characters of a text file that are read at once.
_PIECE = 65536

# Only makes responses.
_builder = HTTPAdapter()
