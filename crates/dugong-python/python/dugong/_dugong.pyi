from collections.abc import Awaitable, Generator, Iterable, Iterator, Mapping
from email.message import Message
from socket import socket
from ssl import SSLContext
from types import GenericAlias, TracebackType
from typing import Any, BinaryIO, Generic, Literal, Never, Protocol, Self, TypeVar, final, overload

from _typeshed import WriteableBuffer
from typing_extensions import disjoint_base

from ._body import BodyFollowing
from ._polling import PollNeeded

__all__ = [
    'AsyncPipeline',
    'HTTPConnection',
    'HTTPResponse',
    'Operation',
    'Pipeline',
    'ask_name_servers',
    'normal_host',
]

_T_co = TypeVar('_T_co', covariant=True)

_Headers = Mapping[str, object] | Iterable[tuple[str, object]] | None
_Request = (
    str
    | tuple[str, str]
    | tuple[str, str, _Headers]
    | tuple[str, str, _Headers, bytes | bytearray | memoryview | None]
    | Mapping[str, Any]
)

class _WrapsSockets(Protocol):
    def wrap_socket(self, sock: socket, *, server_hostname: str) -> Any: ...

def normal_host(host: str) -> str: ...
def ask_name_servers(host: str) -> str | None: ...

@disjoint_base
class HTTPResponse:
    """The head of a response. You can assign to all attributes.

    `method` and `path` are those of the request, just as you passed them to `send_request`. `status` is an int, `reason` a str
    that may be empty. `length` is the size in bytes of the body as transmitted: 0 if the response has none, None if the size is
    not known in advance.

    `headers` is the header section, as an `email.message.Message`. Names are case-insensitive: `headers['x']` is None if no line
    has that name, and `headers.get_all('x')` gives all lines of a name that is repeated. Values are as sent, decoded as latin-1.
    `trailers` is the trailer section of a chunked body in the same form. It is empty until you have read the body to its end.
    """

    method: str
    path: str
    status: int
    reason: str
    headers: Message
    length: int | None
    trailers: Message
    def __init__(
        self,
        method: str,
        path: str,
        status: int,
        reason: str,
        headers: Message,
        length: int | None = None,
    ) -> None: ...
    def __getstate__(self) -> dict[str, Any]: ...

@final
class Operation(Generator[PollNeeded, None, _T_co], Awaitable[_T_co], Generic[_T_co]):
    """What a `co_` method does, as an iterator: it yields `PollNeeded` where the regular method would wait.

    It can be driven by `next`, `send(None)`, `for` and `yield from`; its value is that of `StopIteration`. Nothing happens
    before the first `next`. It may be resumed early, and then tries and yields again. If it is closed or dropped, the
    connection goes on where it was: what was sent or read is not lost for the next call.

    It can be awaited under asyncio and under trio. For a task of asyncio, what it yields is also something like a future.
    """

    def __await__(self) -> Generator[Any, Any, _T_co]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> PollNeeded: ...
    def send(self, value: None, /) -> PollNeeded:
        """Resume it, like `next`; *value* has to be None."""

    @overload
    def throw(
        self, typ: type[BaseException], val: BaseException | object = None, tb: TracebackType | None = None, /
    ) -> PollNeeded:
        """End it, and raise the given exception."""

    @overload
    def throw(self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /) -> PollNeeded: ...
    def close(self) -> None:
        """End it. What it has done so far stays done."""

@final
class Pipeline(Generic[_T_co]):
    """Sends requests as an iterable gives them, and yields their responses in the same order: what `pipeline` returns.

    It never waits to send without being ready to read, so it cannot deadlock, whatever the server does. A response is
    yielded as soon as its head has come; its body is read from the connection as usual, and what was not read when the next
    response is asked for is discarded. If an exception was raised, the next call goes on, if the connection can: after a
    `ConnectionTimedOut`, and after a request that was not valid: it is left out, and is in `rest`.
    """

    @property
    def taken(self) -> int:
        """How many requests were taken from the iterable."""

    @property
    def unanswered(self) -> list[Any]:
        """The requests that were sent and have no complete response yet, oldest first, as they were given.

        After a `ConnectionClosed`, these are the ones that the server may or may not have carried out.
        """

    @property
    def rest(self) -> Iterator[Any]:
        """An iterator over the requests that were not sent, as they were given: those that were not valid, then the others."""

    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T_co: ...

@final
class AsyncPipeline(Generic[_T_co]):
    """What `co_pipeline` returns: like a `Pipeline`, for `async for`.

    Each response can also be had by driving the iterator that `__anext__` returns, as those of the `co_` methods. If one is
    cancelled, the next one goes on where it was.
    """

    @property
    def taken(self) -> int:
        """How many requests were taken from the iterable."""

    @property
    def unanswered(self) -> list[Any]:
        """The requests that were sent and have no complete response yet, oldest first, as they were given.

        After a `ConnectionClosed`, these are the ones that the server may or may not have carried out.
        """

    @property
    def rest(self) -> Iterator[Any]:
        """An iterator over the requests that were not sent, as they were given: those that were not valid, then the others."""

    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Operation[_T_co]: ...

@disjoint_base
class HTTPConnection:
    """A connection to an HTTP/1.1 server.

    Nothing is connected yet: the first request does that, or `connect`. A *port* of None is 80, or 443 if there is an
    *ssl_context*: an `ssl.SSLContext`, or any object with `wrap_socket`. *proxy* is None or a pair of host and port; with
    an *ssl_context* the connection goes through a tunnel, otherwise the proxy is sent the absolute URL.

    Requests are sent without waiting for responses, and responses are read in the order of the requests:

        with HTTPConnection('www.python.org') as conn:
            for path in paths:
                conn.send_request('GET', path)
            for path in paths:
                resp = conn.read_response()
                body = conn.readall()

    A body has to be read to its end before the next response: until `read` returns nothing, or by `readall` or `discard`.
    A body that is cut short is an exception, never a short body, wherever HTTP can tell: only the end of one that ends with
    the connection, without TLS, proves nothing. One thread may send while another reads, and any may call `disconnect`.

    The methods that wait have twins, `co_` and the same name. What they return is awaited under asyncio and trio; it is also an
    iterator that yields `PollNeeded` instead of waiting.

    `hostname`, `port`, `ssl_context` and `proxy` can be assigned to; the next connection is made with them. `timeout` is
    how many seconds a single wait for the peer may last before `ConnectionTimedOut` is raised (None, 0 or less: for ever);
    it can be given here, too.
    `trace_fh`, if not None, is a binary file that all bytes are written to as they are transferred.
    `tolerate_missing_length` is whether a response with neither a length nor `Connection: close` is read up to the end of
    the connection; otherwise reading its body raises `UnsupportedResponse`.
    """

    hostname: str
    ssl_context: SSLContext | _WrapsSockets | None
    timeout: float | None
    trace_fh: BinaryIO | None
    tolerate_missing_length: bool
    @property
    def port(self) -> int:
        """The port of the server. Assigning takes effect with the next connection."""

    @port.setter
    def port(self, value: int | str | None, /) -> None: ...
    @property
    def proxy(self) -> tuple[str, int] | None:
        """None, or host and port of a proxy."""

    @proxy.setter
    def proxy(self, value: tuple[str, int | str] | None, /) -> None: ...
    def __init__(
        self,
        hostname: str,
        port: int | str | None = None,
        ssl_context: SSLContext | _WrapsSockets | None = None,
        proxy: tuple[str, int | str] | None = None,
        *,
        timeout: float | None = None,
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
    def __aenter__(self) -> Operation[Self]: ...
    def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None, /
    ) -> Operation[None]: ...

    # The connection
    def connect(self) -> None:
        """Connect now, closing a connection that there is. Twin: `co_connect`.

        Not needed: `send_request`, `get_ssl_peercert` and `get_ssl_cipher` connect if there is no connection. All state of an
        earlier connection is forgotten.

        Raises `HostnameNotResolvable` or `DNSUnavailable` if the name has no address, `ConnectionTimedOut`, the built-in
        `ConnectionError` if the proxy refuses the tunnel, and what `socket` and `ssl` raise. There is no connection then.
        """

    def co_connect(self) -> Operation[None]:
        """Connect now: `connect` to be awaited, or run as an iterator.

        The name is looked up in a thread, so that nothing blocks.
        """

    def disconnect(self) -> None:
        """Close the connection and the trace file.

        Never waits and never fails, and may be called at any time by any thread: whoever waits for the connection gets
        `ConnectionClosed`. So does the reader of a body that is cut, also if there is another connection by then. The next
        request connects again.
        """

    def reset(self) -> None:
        """Close the connection, and drop what was received: the same as `disconnect`.

        It does not connect again, since it is meant for error handlers; the next request does.
        """

    def close(self) -> None:
        """The same as `disconnect`; `closed` stays False, and the object can be used again.

        Closing a wrapper such as `io.TextIOWrapper` closes the connection, too; a wrapper that is merely collected does not.
        """

    # None without TLS, of which the caller knows.
    @overload
    def get_ssl_peercert(self, binary_form: Literal[False] = False) -> dict[str, Any] | Any:
        """Return the certificate of the server, as the socket's `getpeercert` does; None without TLS. Connects if there is no
        connection.
        """

    @overload
    def get_ssl_peercert(self, binary_form: Literal[True]) -> bytes | Any: ...
    @overload
    def get_ssl_peercert(self, binary_form: bool) -> dict[str, Any] | bytes | Any: ...
    def get_ssl_cipher(self) -> tuple[str, str, int] | Any:
        """Return name, protocol and secret bits of the cipher, as the socket's `cipher` does; None without TLS. Connects if there
        is no connection.
        """

    # Requests
    def send_request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
        body: bytes | bytearray | memoryview | BodyFollowing | None = None,
        expect100: bool = False,
    ) -> None:
        """Send a request: its line, its headers, and its body if it was given as bytes. Twin: `co_send_request`.

        *path* goes into the request line as it is, not quoted: it begins with `/`, or is `*` or an absolute URL. *headers* is a
        mapping or an iterable of pairs; it is left alone, and its values are sent as `str` shows them, except that bytes, None,
        lists and the like are refused. *body* is None, bytes-like, or a `BodyFollowing`: then it is sent with `write`. With *expect100*, which needs a
        `BodyFollowing`, the body may be written when `read_response` has returned a response with status 100.

        No response is read, so that any number of requests can be sent ahead; but the peer stops taking requests when nobody
        reads its responses, see "Avoiding deadlocks" in the documentation.

        `Host`, `Content-Length` (0 if there is no body), `Accept-Encoding: identity` and `Expect` are always set here,
        `Connection: keep-alive` and `Content-MD5` (of a body that is given) unless *headers* has them.

        Raises `TypeError`, `ValueError`, `UnicodeEncodeError` and `StateError` before anything is sent; what `connect` raises,
        if there is no connection; `ConnectionClosed` if it cannot be sent: then no response to it is pending, but earlier
        responses may be there; `ConnectionTimedOut`, after which only `disconnect` is possible.
        """

    def co_send_request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
        body: bytes | bytearray | memoryview | BodyFollowing | None = None,
        expect100: bool = False,
    ) -> Operation[None]:
        """Send a request: `send_request` to be awaited, or run as an iterator."""

    def write(self, buf: bytes | bytearray | memoryview) -> None:
        """Send part of the body that a `BodyFollowing` announced. Twin: `co_write`.

        Returns when all of *buf* was handed to the system; with the last byte the request is complete. An empty *buf* does
        nothing.

        Raises `ExcessBodyData` if this is more than is left, `StateError` if nothing is to be written (yet): nothing has
        changed then. Raises `ConnectionClosed` if the peer has gone, or has answered and takes no more: then the request counts
        as complete, and `read_response` returns the answer if there is one. `ConnectionTimedOut`: only `disconnect` is
        possible.
        """

    def co_write(self, buf: bytes | bytearray | memoryview) -> Operation[None]:
        """Send part of a body: `write` to be awaited, or run as an iterator."""

    def finish(self, trailers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None) -> None:
        """End a body that is sent in chunks, with a trailer section if *trailers* is given. Twin: `co_finish`.

        *trailers* is a mapping or an iterable of pairs (RFC 9112 §7.1.2); fields that frame or direct the message are refused
        with `ValueError`. Raises `StateError` if some of a body with a length is missing, or if none is to be written; and
        what `write` raises.
        """

    def co_finish(self, trailers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None) -> Operation[None]:
        """End a body that is sent in chunks: `finish` to be awaited, or run as an iterator."""

    # Responses
    def response_pending(self) -> bool:
        """Tell if a request was sent completely, or waits for status 100, whose response has not been read to its end."""

    def read_response(self) -> HTTPResponse:
        """Read status line and headers of the next response, and return them as an `HTTPResponse`. Twin: `co_read_response`.

        Interim responses are skipped, but for the first response to a request with *expect100*.

        Raises `StateError` if no response is pending, or if the body of the previous one has not been read to its end;
        `ConnectionClosed` if there will be no response; `InvalidResponse` or `UnsupportedResponse` for what is no response,
        after which `read_raw` shows what follows; `ConnectionTimedOut`: can be called again.
        """

    def co_read_response(self) -> Operation[HTTPResponse]:
        """Read status line and headers of the next response: `read_response` to be awaited, or run as an iterator."""

    # A bytearray, or bytes if there is nothing; what takes a stream, such as `shutil.copyfileobj`, wants bytes.
    def read(self, len_: int | None = None) -> bytes | Any:
        """Return from 1 to *len_* bytes of the body as a `bytearray` that belongs to the caller, or `b''` at its end.
        Twin: `co_read`.

        Without *len_*, or if it is negative, it is the same as `readall`. `b''` is also returned when there is no body to
        read, again and again. Waits only if no data is there at all.

        Raises `StateError` if a response is due and `read_response` was not called: if its request was sent after the end of the
        last body had been reported, or before there was a body. So does a second thread that reads.

        Raises `ConnectionClosed` if the connection ends before the body does; `InvalidResponse` and `UnsupportedResponse` if
        its end cannot be known: on each call then, and `read_raw` shows what follows; `ConnectionTimedOut`: can be called
        again.
        """

    def co_read(self, len_: int | None = None) -> Operation[bytes | Any]:
        """Read some of the body: `read` to be awaited, or run as an iterator."""

    def readall(self) -> bytes:
        """Return what is left of the body as `bytes`. Twin: `co_readall`.

        If it fails half-way, what it has read is lost. Raises what `read` raises.
        """

    def co_readall(self) -> Operation[bytes]:
        """Read what is left of the body: `readall` to be awaited, or run as an iterator."""

    def readinto(self, buf: WriteableBuffer) -> int:
        """Read at least one byte of the body into *buf*, a writable bytes-like object, and return how many. Twin:
        `co_readinto`.

        The number is 0 at the end of the body, if there is none, or if *buf* is empty. Raises what `read` raises.
        """

    def co_readinto(self, buf: WriteableBuffer) -> Operation[int]:
        """Read some of the body into *buf*: `readinto` to be awaited, or run as an iterator."""

    def discard(self) -> None:
        """Read the body to its end and forget it. Twin: `co_discard`. Raises what `read` raises, but nothing if there is no body yet."""

    def co_discard(self) -> Operation[None]:
        """Read the body to its end and forget it: `discard` to be awaited, or run as an iterator."""

    def read_raw(self, size: int) -> bytes:
        """Return *size* bytes of what the peer sends, whatever they mean; fewer only if the connection ends.

        It begins with what was received and not made use of, and is meant for what follows an `InvalidResponse` or
        `UnsupportedResponse`. It waits regardless of `timeout`. Afterwards only `disconnect` makes sense. Raises
        `ConnectionClosed` if there is no connection.
        """

    # Many at once
    @overload
    def pipeline(
        self,
        requests: Iterable[_Request],
        *,
        max_requests: int = 64,
        max_bytes: int = 1048576,
        collect: Literal[False] = False,
    ) -> Pipeline[HTTPResponse]:
        """Send many requests, with many in flight, and yield their responses in the same order: a `Pipeline`. Twin:
        `co_pipeline`.

        *requests* is any iterable, and not looked at before there is room. A request is a path, for GET; a tuple `(method,
        path)`, `(method, path, headers)` or `(method, path, headers, body)`; or a mapping with these names as keys. They mean
        the same as for `send_request`, but a body has to be given as bytes.

            for resp in conn.pipeline(paths):
                body = conn.readall()

        At most *max_requests* requests and *max_bytes* bytes of them, bodies included, are in flight; a single request may be
        larger. With *collect*, bodies are read to their ends, and `(resp, body)` is yielded. Responses to requests that were
        sent before come first.

        Nothing is sent before the first response is asked for; that connects, if there is no connection. Each step raises what
        `send_request`, `discard`, `read_response` and `readall` raise. After `ConnectionClosed`, the attributes `unanswered`
        and `rest` have the requests that were sent in vain and those that were not sent; nothing is sent again. A request that is
        not valid raises, and is in `rest`, too; the next step goes on without it.
        """

    @overload
    def pipeline(
        self, requests: Iterable[_Request], *, max_requests: int = 64, max_bytes: int = 1048576, collect: Literal[True]
    ) -> Pipeline[tuple[HTTPResponse, bytes]]: ...
    @overload
    def pipeline(
        self, requests: Iterable[_Request], *, max_requests: int = 64, max_bytes: int = 1048576, collect: bool
    ) -> Pipeline[Any]: ...
    @overload
    def co_pipeline(
        self,
        requests: Iterable[_Request],
        *,
        max_requests: int = 64,
        max_bytes: int = 1048576,
        collect: Literal[False] = False,
    ) -> AsyncPipeline[HTTPResponse]:
        """Send many requests, and yield their responses: the `pipeline` for `async for`.

        async for resp in conn.co_pipeline(paths):
            body = await conn.co_readall()
        """

    @overload
    def co_pipeline(
        self, requests: Iterable[_Request], *, max_requests: int = 64, max_bytes: int = 1048576, collect: Literal[True]
    ) -> AsyncPipeline[tuple[HTTPResponse, bytes]]: ...
    @overload
    def co_pipeline(
        self, requests: Iterable[_Request], *, max_requests: int = 64, max_bytes: int = 1048576, collect: bool
    ) -> AsyncPipeline[Any]: ...

    # As a stream
    @property
    def name(self) -> str:
        """There is none: for type checkers, who want to see one in what `io.TextIOWrapper` wraps."""

    @property
    def closed(self) -> bool:
        """False, always."""

    def readable(self) -> bool:
        """True."""

    def writable(self) -> bool:
        """True."""

    def seekable(self) -> bool:
        """False."""

    def isatty(self) -> bool:
        """False."""

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def writelines(self, lines: Iterable[bytes | bytearray | memoryview], /) -> None:
        """Call `write` with each of *lines*."""

    def fileno(self) -> Never:
        """Raise `io.UnsupportedOperation`."""

    def readline(self, size: int | None = None, /) -> Never:
        """Raise `io.UnsupportedOperation`; use an `io.BufferedReader`."""

    def readlines(self, hint: int | None = None, /) -> Never:
        """Raise `io.UnsupportedOperation`; use an `io.BufferedReader`."""

    def seek(self, offset: int, whence: int = 0, /) -> Never:
        """Raise `io.UnsupportedOperation`."""

    def tell(self) -> Never:
        """Raise `io.UnsupportedOperation`."""

    def truncate(self, size: int | None = None, /) -> Never:
        """Raise `io.UnsupportedOperation`."""

    # For the package, and for what CPython and known applications do
    @property
    def _out_remaining(self) -> bool | int: ...
    def _fileno(self) -> int: ...
    def _data_waiting(self) -> bool: ...
    def _write_some(self, buf: bytes | bytearray | memoryview) -> int: ...
    def _dealloc_warn(self, source: object, /) -> None: ...
