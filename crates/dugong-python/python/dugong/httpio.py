"""The interface of `httpio`, the ancestor of this package: a connection that is its own response.

It is a thin layer over `dugong.HTTPConnection`, with the same protocol, errors and limits:

    with HTTPConnection('www.python.org', ssl_context=ssl.create_default_context()) as conn:
        conn.send_request('GET', '/')
        method, url, status, reason, headers = conn.read_response()
        body = conn.readall()
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from . import (  # isort: skip
    BUFFER_SIZE, POLLIN, POLLOUT, BodyFollowing, ConnectionClosed, ConnectionTimedOut, DNSUnavailable, ExcessBodyData,
    HostnameNotResolvable, InvalidResponse, PollNeeded, StateError, UnsupportedResponse, is_temp_network_error,
)  # fmt: skip
from . import HTTPConnection as _Connection

BUFSIZE = BUFFER_SIZE

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator, Iterable, Mapping
    from email.message import Message
    from typing import Protocol, Self

    from typing_extensions import Buffer

    class _File(Protocol):
        def readinto(self, buf: memoryview, /) -> int | None: ...

    _Headers = Mapping[str, Any] | Iterable[tuple[str, Any]] | None
    _Body = Buffer | int | None
    _Sending = Generator[None, None, None]

__all__ = [
    'ConnectionClosed', 'ConnectionTimedOut', 'DNSUnavailable', 'ExcessBodyData', 'HTTPConnection',
    'HostnameNotResolvable', 'InvalidResponse', 'StateError', 'UnsupportedResponse', 'is_temp_network_error',
]  # fmt: skip


class HTTPConnection:
    """A connection to one server, and the response that is being read from it.

    The arguments are those of `dugong.HTTPConnection`: a *port* of None is 80, or 443 with an *ssl_context*; *proxy* is
    None or a pair of host and port. The constructor does not connect. The end of a `with` block calls `close`.
    """

    def __init__(self, hostname: str, port: int | None = None, ssl_context: ssl.SSLContext | None = None,
                 proxy: tuple[str, int] | None = None) -> None:  # fmt: skip
        self._conn = _Connection(hostname, port, ssl_context, proxy)
        self._due = 0  # bytes of announced content that are not sent
        self._current: tuple[str, str] | None = None  # the response whose end has not been reported,
        self._interim = False  # and whether its status is 100, so that it may be left unread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def timeout(self) -> float | None:
        """The seconds that a call waits for the server without progress; None or 0 mean no limit."""
        return self._conn.timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._conn.timeout = seconds

    def connect(self) -> None:
        """Open the connection now, and forget an earlier one. `send_request` connects if necessary."""
        self._due, self._current = 0, None
        self._conn.connect()

    def close(self) -> None:
        """Close the connection. The next request opens a new one."""
        self._conn.disconnect()

    def fileno(self) -> int:
        """Return the descriptor of the connection, for `select`. `StateError` without a connection.

        Responses may arrive together. All but the first can then be read although the descriptor is not ready.
        """
        return self._conn._fileno()

    # fmt: off
    @overload
    def send_request(self, method: str, url: str, headers: _Headers = None, body: _Body = None,
                     *, expect100: bool = False) -> None: ...
    @overload
    def send_request(self, method: str, url: str, headers: _Headers = None, body: _Body = None,
                     *, via_cofun: Literal[True], expect100: bool = False) -> _Sending: ...
    @overload
    def send_request(self, method: str, url: str, headers: _Headers = None, body: _Body = None,
                     via_cofun: bool = False, expect100: bool = False) -> _Sending | None: ...
    def send_request(self, method: str, url: str, headers: _Headers = None, body: _Body = None,
                     via_cofun: bool = False, expect100: bool = False) -> _Sending | None:
        """Send a request. Its response can be read later, and more requests can be sent before that.

        *url* is the request target: path and query. *body* is None, a bytes-like object, or the number of bytes that
        follow by `write` or `co_sendfile`. If they follow, *expect100* asks the server for its consent: `read_response`
        then gives a response with status 100, which permits the content, or another one, which forbids it.

        With *via_cofun* nothing is sent yet. The iterator that you get sends the request and raises the errors. It
        yields None whenever response data waits to be read before all is sent, and ends when all is sent:

            for _ in conn.send_request('PUT', '/b', body=data, via_cofun=True):
                read_some(conn)

        Errors are those of `dugong.HTTPConnection.send_request` and `write`. After a `ConnectionClosed` while content
        was being sent, `read_response` gives the answer if one arrived.
        """
        if via_cofun:
            return self._co_send_request(method, url, headers, body, expect100)
        content, announced = self._prepare(body, expect100)
        self._conn.send_request(method, url, headers, announced, expect100)
        self._due = announced.length if announced else 0
        if content:
            self.write(content)
        return None
    # fmt: on

    def _co_send_request(self, method: str, url: str, headers: _Headers, body: _Body, expect100: bool) -> _Sending:
        content, announced = self._prepare(body, expect100)
        if self._is_waiting():
            yield
        for need in self._conn.co_send_request(method, url, headers, announced, expect100):
            if self._is_waiting():
                yield
            else:
                self._wait(need)
        self._due = announced.length if announced else 0
        if content:
            yield from self._co_write(content)

    def _prepare(self, body: _Body, expect100: bool) -> tuple[memoryview | None, Any]:
        """Return the content that we send, without the `Content-MD5` of the layer below, and its announcement."""
        if not self._is_connected():
            self._due, self._current = 0, None
        if isinstance(body, int):
            return None, BodyFollowing(body)
        if body is None or expect100:  # the layer below refuses `expect100` here
            return None, body
        content = memoryview(body).cast('B')
        return content, BodyFollowing(content.nbytes)

    def write(self, buf: Buffer, partial: bool = False) -> int:
        """Send announced content, and return the number of bytes taken: all of *buf*.

        With *partial*, this takes as much as fits now, perhaps nothing, and does not wait. Errors are those of
        `dugong.HTTPConnection.write`.
        """
        view = memoryview(buf)
        if not partial:
            self._conn.write(view)
        count = self._conn._write_some(view) if partial else view.nbytes
        self._due -= count
        return count

    def co_sendfile(self, fh: _File) -> _Sending:
        """Return an iterator that sends announced content from *fh*, a binary file or another object with `readinto`.

        It yields None whenever response data waits to be read before all is sent. Content beyond the announced size is
        left in *fh*. If *fh* ends before, the iterator ends, too, and the rest is still due.
        """
        self._conn._write_some(b'')  # raises StateError before *fh* is read
        buffer = memoryview(bytearray(BUFSIZE))
        while self._due and (count := fh.readinto(buffer[: self._due])):
            yield from self._co_write(buffer[:count])

    def _co_write(self, content: memoryview) -> _Sending:
        taken = None
        while content and self._conn.response_pending():
            if self._conn._data_waiting():
                yield
            elif taken == 0:
                self._wait(PollNeeded(self.fileno(), POLLOUT))
            taken = self.write(content, partial=True)
            content = content[taken:]
        if content:  # no response is due that the caller could read
            self.write(content)

    def _is_waiting(self) -> bool:
        return self._conn.response_pending() and self._conn._data_waiting()

    def _wait(self, need: PollNeeded) -> None:
        if not PollNeeded(need.fd, need.mask | (POLLIN if self._conn.response_pending() else 0)).poll(self.timeout):
            raise ConnectionTimedOut

    def read_response(self) -> tuple[str, str, int, str, Message]:
        """Read the head of the next response, and return `(method, url, status, reason, headers)`.

        *method* and *url* are those of the request, *headers* is an `email.message.Message`. `StateError` if the body
        of the previous response has not been read to its end. An empty body has to be read once as well, except that of
        a response with status 100. Other errors are those of `dugong.HTTPConnection.read_response`.
        """
        if self._current and not self._interim:
            raise StateError('body of the previous response has not been read to its end')
        resp = self._conn.read_response()
        self._current, self._interim = (resp.method, resp.path), resp.status == 100
        return resp.method, resp.path, resp.status, resp.reason, resp.headers

    def get_current_response(self) -> tuple[str, str] | None:
        """Return `(method, url)` of the response whose body is being read, or None."""
        return None if self._interim else self._current

    def response_pending(self) -> bool:
        """Return whether the response to a complete request has not been read to its end."""
        return self._conn.response_pending() or (self.get_current_response() is not None and self._is_connected())

    def read(self, n: int | None = None) -> bytes | bytearray:
        """Read from 1 to *n* bytes of the body, or nothing at its end; without *n* this is `readall`.

        `StateError` if no body is being read, so also after the end has been reported. Other errors are those of
        `dugong.HTTPConnection.read`.
        """
        if n is None or n < 0:
            return self.readall()
        data = self._body().read(n)
        if n and not data:
            self._current = None
        return data

    def readall(self) -> bytes:
        """Read the rest of the body. Errors are those of `read`."""
        data = self._body().readall()
        self._current = None
        return data

    def discard(self) -> None:
        """Read the rest of the body and discard it. Errors are those of `read`."""
        self._body().discard()
        self._current = None

    def _body(self) -> _Connection:
        if self._current is None:
            raise StateError('no body is being read')
        return self._conn

    def _is_connected(self) -> bool:
        try:
            return self.fileno() >= 0
        except StateError:
            return False
