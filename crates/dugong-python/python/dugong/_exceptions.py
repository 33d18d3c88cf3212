"""The exceptions of this package, and which exceptions are worth a second try."""

from __future__ import annotations

import errno
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class Error(Exception):
    """The base of all exceptions that this package defines.

    What comes from the system, from `socket` and from `ssl` is not among them, nor are `TypeError` and `ValueError`.
    """

    # By attributes, so that subclasses may have constructors of their own.
    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args), self.__dict__ or None


def _restore(cls: type[Error], args: tuple[Any, ...]) -> Error:
    """Make an exception without calling its constructor; pickle then sets the attributes."""
    return cls.__new__(cls, *args)


class _Described(Error):
    """An exception with an optional message; the class attribute `msg` is the default text."""

    msg: str = ''

    def __init__(self, msg: str | None = None) -> None:
        if msg is not None:
            self.msg = msg

    def __str__(self) -> str:
        return str(self.msg)


class ConnectionClosed(_Described):
    """The peer closed the connection, or `disconnect` was called, before all that is due was transferred.

    `unanswered` lists the requests that got no complete answer, oldest first, each as `(method, path,
    safe_to_retry)`. Responses that have already arrived can still be read; for anything else, send a request again:
    after `disconnect` that opens a new connection.
    """

    msg = 'connection closed unexpectedly'
    unanswered: tuple[tuple[str, str, bool], ...] = ()

    def __init__(self, msg: str | None = None, *, unanswered: Iterable[tuple[str, str, bool]] = ()) -> None:
        super().__init__(msg)
        self.unanswered = tuple(unanswered)


class ConnectionTimedOut(_Described):
    """Nothing could be transferred for `HTTPConnection.timeout` seconds.

    If that happened while reading, the same call may be repeated. If it happened while sending, only `disconnect` is
    possible.
    """

    msg = 'connection timed out'


class InvalidResponse(_Described):
    """The peer sent something that HTTP/1.1 forbids.

    What it sent can be had with `read_raw`; nothing else can be read from this connection any more.
    """

    msg = 'server sent an invalid response'


class UnsupportedResponse(_Described):
    """The peer sent a response of a kind that is not supported, such as one of another version of HTTP.

    What it sent can be had with `read_raw`; nothing else can be read from this connection any more.
    """

    msg = 'server sent an unsupported response'


class StateError(_Described):
    """The method cannot be called in this state. Nothing was sent and nothing has changed."""

    msg = 'method cannot be called in this state of the connection'


class ExcessBodyData(_Described):
    """More body data was written than announced. Nothing of it was sent; the rest can still be written properly."""

    msg = 'cannot send more data than announced'


class _AboutName(Error):
    """An exception about a host name, which is its attribute `name`."""

    name: str
    _text = ''

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self._text.format(self.name)


class HostnameNotResolvable(_AboutName):
    """The name service works, but does not know the host *name*. There is no connection."""

    _text = 'host {} does not exist'


class DNSUnavailable(_AboutName):
    """The address of the host *name* is not known, because the name service cannot be reached.

    There is no connection. Trying again later may help.
    """

    _text = 'cannot look up host {}, name service is not available'


class HostnameNotResolvableOrDNSUnavailable(_AboutName):
    """There is no answer for the host *name*, and the reason has yet to be found out.

    Used inside `create_socket`, and never raised by it.
    """

    _text = 'host {} does not exist, or name service is not available'


class DefaultTimedOut(ConnectionTimedOut, TimeoutError):
    """The limit that `socket.setdefaulttimeout` has set passed while connecting.

    3.8.2 raised what `socket` raises; this is also what a connection's own `timeout` raises.
    """


class ProxyRefusal(ConnectionError):
    """The proxy opens no tunnel, because of the request for it (a status 4xx): it would refuse that again."""


def is_temp_network_error(exc: BaseException) -> bool:
    """Tell if *exc* is likely to be due to a temporary problem of the network, so that a repetition may succeed.

    True for lost connections, timeouts and unreachable networks; false for everything else, such as host names that
    do not exist, certificates that cannot be verified, and tunnels that a proxy refuses with a status 4xx.

        try:
            conn.send_request('GET', '/')
            resp = conn.read_response()
        except Exception as exc:
            if not is_temp_network_error(exc):
                raise
            conn.reset()
            ...  # try again
    """
    if isinstance(exc, ProxyRefusal):
        return False
    if isinstance(exc, _TEMPORARY + _loaded('ssl', 'SSLZeroReturnError', 'SSLEOFError', 'SSLSyscallError')):
        return True
    # These have an errno, too, but with numbers of their own.
    if isinstance(exc, _loaded('ssl', 'SSLError') + _loaded('socket', 'gaierror', 'herror')):
        return False
    return isinstance(exc, OSError) and exc.errno in _TEMPORARY_ERRNOS


def _loaded(module: str, *names: str) -> tuple[type[BaseException], ...]:
    """Return the named exception classes; none if nobody has imported *module*, since then there are no instances."""
    # A module that another thread is just importing may lack some.
    return tuple(getattr(sys.modules[module], name) for name in names if hasattr(sys.modules.get(module), name))


_TEMPORARY: tuple[type[BaseException], ...] = (
    ConnectionClosed,
    ConnectionTimedOut,
    DNSUnavailable,
    TimeoutError,
    ConnectionError,
    InterruptedError,
)

# Not every platform has all of them.
_TEMPORARY_ERRNOS = tuple(
    getattr(errno, name)
    for name in (
        'EHOSTDOWN',
        'EHOSTUNREACH',
        'ENETDOWN',
        'ENETRESET',
        'ENETUNREACH',
        'ENOLINK',
        'ENONET',
        'ENOTCONN',
        'ENXIO',
        'EPIPE',
        'EREMCHG',
        'ESHUTDOWN',
        'ETIMEDOUT',
        'EAGAIN',
    )
    if hasattr(errno, name)
)
