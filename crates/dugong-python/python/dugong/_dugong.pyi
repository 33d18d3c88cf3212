from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator, Iterable, Iterator, Mapping
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
    'BlockPlan',
    'CatPlan',
    'DownloadPlan',
    'HTTPConnection',
    'HTTPResponse',
    'Mailbox',
    'Operation',
    'Outcome',
    'Pipeline',
    'Reply',
    'Run',
    'SessionCore',
    'Ticket',
    'ask_name_servers',
    'check_head',
    'follow_redirect',
    'normal_host',
    'split_url',
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
def split_url(url: str) -> tuple[str, str]: ...
def follow_redirect(
    method: str,
    url: str,
    lines: Iterable[tuple[str, str]],
    is_repeatable: bool,
    status: int,
    reply: Iterable[tuple[str, str]],
) -> tuple[str, str, str, list[tuple[str, str]], bool] | None: ...
def check_head(method: str, target: str, lines: Iterable[tuple[str, object]]) -> tuple[tuple[str, str], ...]: ...

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
    """The result of a `co_` method: an iterator that yields `PollNeeded` where the regular method would wait.

    Drive it by `next`, `send(None)`, `for` or `yield from`. `StopIteration` has its value. It does nothing before the first
    `next`. You may resume it early: then it tries again, and yields again if necessary. If you close or drop it, the next call
    goes on where it was, and nothing that was sent or read is lost.

    You can also await it under asyncio and trio. The objects that it yields to a task of asyncio are also like futures.
    """

    def __await__(self) -> Generator[Any, Any, _T_co]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> PollNeeded: ...
    def send(self, value: None, /) -> PollNeeded:
        """Resume it, like `next`. *value* has to be None."""

    @overload
    def throw(
        self, typ: type[BaseException], val: BaseException | object = None, tb: TracebackType | None = None, /
    ) -> PollNeeded:
        """End it, and raise the given exception."""

    @overload
    def throw(self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /) -> PollNeeded: ...
    def close(self) -> None:
        """End it. It does not undo what it has done so far."""

@final
class Pipeline(Generic[_T_co]):
    """Sends the requests of an iterable, and yields their responses in the same order. `pipeline` returns it.

    It never waits to send without being ready to read, so no server can make it deadlock. It yields a response as soon as its
    head has come. Read the body from the connection as usual; the next step discards the rest. After an exception, the next step
    goes on if the connection can: after a `ConnectionTimedOut`, and after an invalid request, which it leaves out and keeps in
    `rest`.
    """

    @property
    def taken(self) -> int:
        """How many requests it has taken from the iterable."""

    @property
    def unanswered(self) -> list[Any]:
        """The requests that were sent and have no complete response yet, oldest first, as you gave them.

        After a `ConnectionClosed`, the server may or may not have carried them out.
        """

    @property
    def rest(self) -> Iterator[Any]:
        """An iterator over the requests that were not sent, as you gave them: first the invalid ones, then the others."""

    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T_co: ...

@final
class AsyncPipeline(Generic[_T_co]):
    """A `Pipeline` for `async for`. `co_pipeline` returns it.

    You can also drive the iterators that `__anext__` returns, like those of the `co_` methods. If one is cancelled, the next one
    goes on where it was.
    """

    @property
    def taken(self) -> int:
        """How many requests it has taken from the iterable."""

    @property
    def unanswered(self) -> list[Any]:
        """The requests that were sent and have no complete response yet, oldest first, as you gave them.

        After a `ConnectionClosed`, the server may or may not have carried them out.
        """

    @property
    def rest(self) -> Iterator[Any]:
        """An iterator over the requests that were not sent, as you gave them: first the invalid ones, then the others."""

    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Operation[_T_co]: ...

@disjoint_base
class HTTPConnection:
    """A connection to an HTTP/1.1 server.

    The constructor does not connect: the first request does, or `connect`. *ssl_context* is None, an `ssl.SSLContext`, or any
    object with `wrap_socket`. A *port* of None is 443 with an *ssl_context*, and 80 without. *proxy* is None or a pair of host
    and port. With an *ssl_context* the connection goes through a tunnel; without one the proxy gets the absolute URL.

    You send requests without waiting for responses, and read the responses in the order of the requests:

        with HTTPConnection('www.python.org') as conn:
            for path in paths:
                conn.send_request('GET', path)
            for path in paths:
                resp = conn.read_response()
                body = conn.readall()

    Read each body to its end before the next response: until `read` returns nothing, or by `readall` or `discard`. A body that
    is cut short raises an exception wherever HTTP can tell. It cannot tell for a body that ends with a connection without TLS.
    One thread may send while another reads, and any thread may call `disconnect`.

    The methods that wait have twins whose names begin with `co_`. You can await their results under asyncio and trio. The
    results are also iterators, which yield `PollNeeded` instead of waiting.

    You can assign to `hostname`, `port`, `ssl_context` and `proxy`; the next connection uses the new values. *timeout* limits a
    single wait for the server, in seconds; after that, `ConnectionTimedOut` is raised. None, 0 or less means no limit.
    `trace_fh` is None, or a binary file that gets a copy of all bytes that are transferred. If you set
    `tolerate_missing_length`, a response with neither a length nor `Connection: close` has a body up to the end of the
    connection. Otherwise reading such a body raises `UnsupportedResponse`.
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
        """None, or the host and port of a proxy."""

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
        """Connect now, after closing the present connection. Twin: `co_connect`.

        You need not call it: `send_request`, `get_ssl_peercert` and `get_ssl_cipher` connect if necessary. It drops all state of
        the earlier connection.

        Raises `HostnameNotResolvable` or `DNSUnavailable` if the name has no address, `ConnectionTimedOut`, the built-in
        `ConnectionError` if the proxy refuses the tunnel, and the exceptions of `socket` and `ssl`. After an exception, the
        object is not connected.
        """

    def co_connect(self) -> Operation[None]:
        """Connect now: `connect` to be awaited, or run as an iterator.

        It does not block: a thread looks the name up.
        """

    def disconnect(self) -> None:
        """Close the connection and the trace file.

        It never waits and never fails. Any thread may call it at any time: operations that wait for the connection raise
        `ConnectionClosed`. So does the next read of a body that this cut short, even on another connection. The next request
        connects again.
        """

    def reset(self) -> None:
        """Close the connection and drop all received bytes: the same as `disconnect`.

        It is meant for error handlers, so it does not connect again. The next request does.
        """

    def close(self) -> None:
        """The same as `disconnect`. `closed` stays False, and you can use the object again.

        Closing a wrapper such as `io.TextIOWrapper` closes the connection, too. A wrapper that is only collected does not.
        """

    # None without TLS, of which the caller knows.
    @overload
    def get_ssl_peercert(self, binary_form: Literal[False] = False) -> dict[str, Any] | Any:
        """Return the certificate of the server, as the socket's `getpeercert` does, or None without TLS. Connects if necessary."""

    @overload
    def get_ssl_peercert(self, binary_form: Literal[True]) -> bytes | Any: ...
    @overload
    def get_ssl_peercert(self, binary_form: bool) -> dict[str, Any] | bytes | Any: ...
    def get_ssl_cipher(self) -> tuple[str, str, int] | Any:
        """Return name, protocol and secret bits of the cipher, as the socket's `cipher` does, or None without TLS. Connects if
        necessary.
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
        """Send a request: its line, its headers, and its body if you pass that as bytes. Twin: `co_send_request`.

        *path* goes into the request line as it is, not quoted: it begins with `/`, or is `*` or an absolute URL. *headers* is a
        mapping or an iterable of pairs, which the call does not change. It sends values as `str` shows them, but refuses bytes,
        None, lists and the like. *body* is None, bytes-like, or a `BodyFollowing`: then you send it with `write`. *expect100*
        needs a `BodyFollowing`: write the body after `read_response` has returned a response with status 100.

        It does not read responses, so you can send many requests ahead. But a server stops reading requests when its responses
        are not read: see "Avoiding deadlocks" in the documentation.

        It always sets `Host`, `Content-Length` (0 without a body), `Accept-Encoding: identity` and `Expect`. It sets
        `Connection: keep-alive`, and `Content-MD5` of a body given as bytes, unless *headers* has them.

        Raises `TypeError`, `ValueError`, `UnicodeEncodeError` and `StateError` before it sends anything, and the exceptions of
        `connect` if it has to connect. Raises `ConnectionClosed` if it cannot send the request: then no response to it is
        pending, but you can read earlier responses. After `ConnectionTimedOut`, you can only call `disconnect`.
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

        Returns when the system has taken all of *buf*. With the last byte the request is complete. An empty *buf* does nothing.

        Raises `ExcessBodyData` for more bytes than were announced, and `StateError` if no body is to be written, or not yet. Both
        change nothing. Raises `ConnectionClosed` if the server has gone, or has answered and takes no more. Then the request
        counts as complete, and `read_response` returns the answer if the server has sent one. After `ConnectionTimedOut`, you
        can only call `disconnect`.
        """

    def co_write(self, buf: bytes | bytearray | memoryview) -> Operation[None]:
        """Send part of a body: `write` to be awaited, or run as an iterator."""

    def finish(self, trailers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None) -> None:
        """End a body that is sent in chunks, with a trailer section if *trailers* is given. Twin: `co_finish`.

        *trailers* is a mapping or an iterable of pairs (RFC 9112 §7.1.2). Fields that frame or direct the message raise
        `ValueError`. Raises `StateError` if a body with a length is not complete, or if no body is to be written, and the
        exceptions of `write`.
        """

    def co_finish(self, trailers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None) -> Operation[None]:
        """End a body that is sent in chunks: `finish` to be awaited, or run as an iterator."""

    # Responses
    def response_pending(self) -> bool:
        """Tell if you have to read a response or the rest of one: to a request that was sent completely, or waits for status 100."""

    def read_response(self) -> HTTPResponse:
        """Read status line and headers of the next response, and return them as an `HTTPResponse`. Twin: `co_read_response`.

        It skips interim responses, except for the first response to a request with *expect100*.

        Raises `StateError` if no response is pending, or if you have not read the body of the previous one to its end. Raises
        `ConnectionClosed` if no response will come. Raises `InvalidResponse` or `UnsupportedResponse` if the server sends
        something else than a response; `read_raw` returns those bytes. After `ConnectionTimedOut`, you can call it again.
        """

    def co_read_response(self) -> Operation[HTTPResponse]:
        """Read status line and headers of the next response: `read_response` to be awaited, or run as an iterator."""

    # A bytearray, or empty bytes. Functions that take a stream, such as `shutil.copyfileobj`, want bytes.
    def read(self, len_: int | None = None) -> bytes | Any:
        """Return from 1 to *len_* bytes of the body as a `bytearray` that is yours to change, or `b''` at the end of the body.
        Twin: `co_read`.

        Without *len_*, or if it is negative, this is the same as `readall`. Without a body it returns `b''`, again and again.
        It waits only if it has no data at all.

        Raises `StateError` if a response is due and you have not called `read_response` for it: if you sent its request after
        the end of the last body was reported, or before the first body. Also raises it while another thread, call or iterator
        reads from the connection.

        Raises `ConnectionClosed` if the connection ends before the body does. Raises `InvalidResponse` or `UnsupportedResponse`,
        on each call, if it cannot find the end of the body; `read_raw` returns the bytes. After `ConnectionTimedOut`, you can
        call it again.
        """

    def co_read(self, len_: int | None = None) -> Operation[bytes | Any]:
        """Read some of the body: `read` to be awaited, or run as an iterator."""

    def readall(self) -> bytes:
        """Return the rest of the body as `bytes`. Twin: `co_readall`.

        If it fails, the data that it has read so far is lost. Raises the exceptions of `read`.
        """

    def co_readall(self) -> Operation[bytes]:
        """Read the rest of the body: `readall` to be awaited, or run as an iterator."""

    def readinto(self, buf: WriteableBuffer) -> int:
        """Read at least one byte of the body into *buf*, a writable bytes-like object, and return how many. Twin:
        `co_readinto`.

        The number is 0 at the end of the body, without a body, or if *buf* is empty. Raises the exceptions of `read`.
        """

    def co_readinto(self, buf: WriteableBuffer) -> Operation[int]:
        """Read some of the body into *buf*: `readinto` to be awaited, or run as an iterator."""

    def discard(self) -> None:
        """Read the body to its end and drop it. Twin: `co_discard`. Raises the exceptions of `read`, but none without a body."""

    def co_discard(self) -> Operation[None]:
        """Read the body to its end and drop it: `discard` to be awaited, or run as an iterator."""

    def read_raw(self, size: int) -> bytes:
        """Return *size* bytes from the server without interpreting them; fewer only if the connection ends.

        It begins with the bytes that were received but not used. Call it after an `InvalidResponse` or `UnsupportedResponse`, to
        see the bytes behind the error. It waits regardless of `timeout`. Afterwards you can only call `disconnect`. Raises
        `ConnectionClosed` without a connection.
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

        *requests* is any iterable; each request is taken from it when it can be sent. A request is a path, for GET; a tuple
        `(method, path)`, `(method, path, headers)` or `(method, path, headers, body)`; or a mapping with these names as keys.
        They mean the same as for `send_request`, but a body has to be bytes.

            for resp in conn.pipeline(paths):
                body = conn.readall()

        At most *max_requests* requests and *max_bytes* bytes of them, bodies included, are in flight; a single request may be
        larger. With *collect*, the pipeline reads each body to its end and yields `(resp, body)`. Responses to requests that
        you sent before come first.

        The first step connects if necessary, and sends the first requests. Each step raises the exceptions of `send_request`,
        `discard`, `read_response` and `readall`. After `ConnectionClosed`, the attribute `unanswered` of the pipeline has the
        requests that were sent without getting a response, and `rest` those that were not sent. It never sends a request again.
        An invalid request raises, too, and goes into `rest`; the next step goes on without it.
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

        Python warns if you never iterate over it.
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
        """Raise AttributeError. It is here for type checkers, which want the objects that `io.TextIOWrapper` wraps to have a name."""

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
        """Do nothing: `write` keeps no data back."""

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

@final
class Reply:
    """The response to a request of a session.

    `headers` is an `email.message.Message`: names are case-insensitive, `headers['x']` is None without such a line, and
    `headers.get_all('x')` gives all lines of a name that is repeated.

    A reply is a context manager, for `with` and `async with`, that closes it at the end. A streamed reply should be used like
    that: if you leave it before its end, the session skips the rest or gives the connection up. Read it by `iter_bytes`,
    `iter_lines` or `read`, or all of it by `content`; in a task, by their twins with `co_`.
    """

    def __new__(
        cls,
        status: int,
        reason: str = '',
        headers: _Headers = None,
        content: bytes | None = None,
        *,
        request: Any = None,
        attempts: int = 1,
        trailers: _Headers = None,
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @property
    def status(self) -> int:
        """The status code, such as 200."""

    @property
    def reason(self) -> str:
        """The reason phrase, which may be empty."""

    @property
    def headers(self) -> Message:
        """The header section."""

    @property
    def trailers(self) -> Message:
        """The trailer section; empty before the end of the content."""

    @property
    def content(self) -> bytes:
        """The whole content. Of a streamed reply, this reads all of it, and waits."""

    @property
    def request(self) -> Any:
        """The request, as you gave it."""

    @property
    def attempts(self) -> int:
        """The number of connections on which a byte of the request left."""

    @property
    def is_streamed(self) -> bool:
        """Whether the content is read in pieces."""

    @property
    def _core(self) -> SessionCore | None: ...
    def _poll(self, mailbox: Mailbox, number: int, most: int | None = None, /) -> bytes | None: ...
    def _add_attempts(self, attempts: int, /) -> None: ...
    def read(self, size: int | None = None, /) -> bytes:
        """Reads at most *size* bytes of the content, and waits for the first of them; without *size*, all that is left. Empty at
        the end. Twin: `co_read`.
        """

    def co_read(self, size: int | None = None, /) -> Coroutine[Any, Any, bytes]:
        """The same, to be awaited under asyncio or trio. The twin of `read`."""

    def close(self) -> None:
        """Gives up the rest of the content. Twin: `co_close`."""

    def co_close(self) -> Coroutine[Any, Any, None]:
        """The same, to be awaited under asyncio or trio. The twin of `close`."""

    def co_iter_bytes(self, size: int | None = None) -> AsyncIterator[bytes]:
        """The same, for `async for`. The twin of `iter_bytes`."""

    def co_iter_lines(self, encoding: str | None = None, errors: str = 'replace') -> AsyncIterator[str]:
        """The same, for `async for`. The twin of `iter_lines`."""

    def __aenter__(self) -> Coroutine[Any, Any, Self]: ...
    def __aexit__(self, *_exception: object) -> Coroutine[Any, Any, None]: ...
    def text(self, encoding: str | None = None, errors: str = 'replace') -> str:
        """The content as text. Without *encoding*, the charset of `Content-Type` counts if Python knows it, or else UTF-8;
        *errors* means the same as for `bytes.decode`.
        """

    def json(self, **keywords: Any) -> Any:
        """The content, decoded as JSON. Keywords are those of `json.loads`."""

    def raise_for_status(self) -> Self:
        """Returns this reply, or raises `StatusError` if the status is 400 or more."""

    def iter_bytes(self, size: int | None = None) -> Iterator[bytes]:
        """Iterates over the content in pieces: of *size* bytes, except for the last one, or as they come. Twin: `co_iter_bytes`."""

    def iter_lines(self, encoding: str | None = None, errors: str = 'replace') -> Iterator[str]:
        """Iterates over the lines of the content, as text without their ends. The encoding is that of `text`. Twin:
        `co_iter_lines`.
        """

@final
class Outcome:
    """What became of one request: it has a `reply` or an `error`, and the other of the two is None.

    `index` is the number of the request in its run, and `request` is the object that you gave. `sent` is `'no'`, `'partly'` or
    `'yes'`: the most in any attempt. `answered` is `'no'`, `'head'` or `'partly'` for the last attempt, and `'yes'` with a reply.
    `safe_to_retry` tells if sending the request again can do no harm. `attempts` counts the connections on which a byte of it may
    have left; it is 0 exactly if `sent` is `'no'`.
    """

    def __new__(
        cls,
        index: int,
        request: Any,
        *,
        reply: Reply | None = None,
        error: Exception | None = None,
        sent: Literal['no', 'partly', 'yes'] = 'no',
        answered: Literal['no', 'head', 'partly', 'yes'] = 'no',
        safe_to_retry: bool = False,
        attempts: int = 0,
    ) -> Self: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @property
    def index(self) -> int:
        """The number of the request in its run, from 0."""

    @property
    def request(self) -> Any:
        """The request, as you gave it."""

    @property
    def reply(self) -> Reply | None:
        """The reply, or None."""

    @property
    def error(self) -> Exception | None:
        """The error, or None."""

    @property
    def sent(self) -> Literal['no', 'partly', 'yes']:
        """How much of the request was sent, the most in any attempt: `'no'`, `'partly'` or `'yes'`."""

    @property
    def answered(self) -> Literal['no', 'head', 'partly', 'yes']:
        """How much of a response came in the last attempt: `'no'`, `'head'`, `'partly'` or `'yes'`."""

    @property
    def safe_to_retry(self) -> bool:
        """Whether sending the request again can do no harm."""

    @property
    def attempts(self) -> int:
        """The number of connections on which a byte of the request may have left."""

@final
class Run:
    """The outcomes of the requests of an iterable. `Session.run` returns it.

    Each request that it takes from the iterable ends with exactly one outcome. It takes more as outcomes are taken from it, and
    nothing is sent or received between two steps unless another thread uses the session.

    If the iterable raises, the outcomes of the requests before come first, and then the exception. `close`, or leaving a `with`
    block, gives up the requests without an outcome; `abandoned` then has the outcomes that were not yielded.
    """

    def __iter__(self) -> Self: ...
    def __next__(self) -> Outcome: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    @property
    def taken(self) -> int:
        """How many requests it has taken from the iterable."""

    @property
    def abandoned(self) -> list[Outcome]:
        """After `close`, the outcomes that were not yielded."""

    def close(self) -> None:
        """Gives up the requests that have no outcome, and takes no more."""

@final
class Mailbox:
    """The numbers of the tasks of one event loop that have news of a session.

    While the loop's own thread drives, it looks afterwards. While another thread drives, a descriptor becomes readable. So no thread
    needs Python's lock to wake a task.
    """

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """The descriptor that becomes readable."""

    def take(self) -> list[int]:
        """Takes the numbers."""

@final
class Ticket:
    """A request that a task has submitted. Dropping it gives the request up."""

    def poll(self, index: int | None = None, /) -> Any:
        """Goes on: None if the task has to wait, an asynchronous iterator if the session wants its next piece, or else the end: the
        reply or the exception, or with *index* the outcome.
        """

    def give(self, piece: bytes, /) -> None:
        """Gives the session a piece of content."""

    def finish(self) -> None:
        """Ends the content."""

    def fail(self, error: BaseException, /) -> None:
        """Ends the request with an exception of the program."""

    def give_up(self) -> None:
        """Ends the request, of which the outcome is still told."""

    def tell(self, mailbox: Mailbox, number: int, /) -> None:
        """From now on, the task with this number in the mailbox hears of it."""

    def set_awaited(self, awaited: bool, /) -> None:
        """Tells the session whether the task waits for this one."""

    def close(self) -> None:
        """Gives the request up."""

@final
class SessionCore:
    """A session. The package's `Session` has one."""

    def __new__(cls, origin: str, settings: dict[str, Any], /) -> Self: ...
    @property
    def origin(self) -> str:
        """The origin, such as `https://example.org`."""

    def request(self, given: object, origin: object = None, /) -> Reply:
        """Makes a request, and waits for its reply. With *origin*, the reply shows that request."""

    def submit(
        self,
        given: object,
        mailbox: Mailbox,
        number: int,
        index: int | None = None,
        streamed: bool = False,
        origin: object = None,
        /,
    ) -> Any:
        """Begins a request of a task, which has *number* in *mailbox*. With *index*, a request that is not valid gives an outcome.
        With *origin*, reply and outcome show that request.
        """

    def run(self, requests: Iterable[object], ordered: bool, streamed: bool, /) -> Run:
        """The outcomes of many requests."""

    def take_ahead(self) -> int:
        """How many requests a run takes ahead of the outcomes."""

    def turn(self, mailbox: Mailbox, /) -> bool:
        """Drives the session without waiting. False if another thread drives it."""

    def fileno(self) -> int:
        """The descriptor that is readable when a turn is due."""

    def due(self) -> float | None:
        """In how many seconds a turn is due without an event."""

    def stats(self) -> dict[str, Any]:
        """The figures of the session."""

    def close(self) -> None:
        """Ends all requests, and closes all connections."""

_Asked = tuple[int, list[tuple[str, str]]] | None

@final
class CatPlan:
    """Many small ranges of one target."""

    def __new__(cls, target: str, ranges: list[tuple[int, int]], merge_gap: int, max_content: int, /) -> Self: ...
    def next_request(self) -> _Asked:
        """The next request to send; None if no more are needed now."""

    def take(self, index: int, reply: Reply, /) -> None:
        """Takes in an answer."""

    def is_done(self) -> bool:
        """Whether all bytes are there."""

    def finish(self) -> list[bytes]:
        """The bytes of each range, once all are there."""

@final
class BlockPlan:
    """The blocks of a remote file."""

    def __new__(cls, target: str, block_size: int, blocks: int, read_ahead: int, /) -> Self: ...
    def next_request(self) -> _Asked:
        """The next request to send; None if no more are needed now."""

    def take(self, index: int, reply: Reply, /) -> None:
        """Takes in an answer."""

    def lost(self, index: int, /) -> bool:
        """Whether the bytes of a lost request are still wanted."""

    def size(self) -> int | None:
        """The number of bytes of the content; None before the first answer."""

    def want(self, position: int, length: int, /) -> None:
        """Plans the blocks of a read."""

    def is_ready(self, position: int, /) -> bool:
        """Whether the byte at a position is in memory."""

    def read(self, position: int, length: int, /) -> bytes:
        """The bytes at a position that are in memory, at most so many."""

@final
class DownloadPlan:
    """A download to a file."""

    def __new__(
        cls, url: str, target: str, path: str, part_size: int, parts: int, sha256: str | None = None, /
    ) -> Self: ...
    def next_request(self) -> _Asked:
        """The next request to send; None if no more are needed now."""

    def head(self, index: int, reply: Reply, /) -> bool:
        """Whether the content of the reply is wanted."""

    def content(self, index: int, piece: bytes, /) -> None:
        """Writes a piece of an answer."""

    def end(self, index: int, /) -> None:
        """Ends an answer, of which all has come."""

    def lost(self, index: int, /) -> bool:
        """Whether the rest of a lost answer is asked for again."""

    def progress(self) -> tuple[int, int | None]:
        """How many bytes are there, and how many there will be."""

    def is_done(self) -> bool:
        """Whether all bytes are there."""

    def finish(self) -> int:
        """Gives the file its name, and returns its length."""

    def close(self) -> None:
        """Closes the files; a later run continues."""
