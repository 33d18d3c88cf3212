"""The exceptions of this package, and which exceptions are worth a second try."""

from __future__ import annotations

import errno
import sys
from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal, NamedTuple

    class _Outcome(NamedTuple):
        method: str
        path: str
        sent: Literal['nothing', 'partly', 'whole']
        answer_begun: bool
        safe_to_retry: bool
else:
    # The module typing takes long to import.
    _Outcome = namedtuple('_Outcome', ['method', 'path', 'sent', 'answer_begun', 'safe_to_retry'])


class Error(Exception):
    """The base of all exceptions that this package defines.

    Exceptions of the system, of `socket` and of `ssl` are not among them, nor are `TypeError` and `ValueError`.
    """

    # Subclasses may have constructors with other arguments.
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


class RequestOutcome(_Outcome):
    """How a request without a complete answer has ended: an item of `ConnectionClosed.outcomes`.

    `sent` is `'nothing'`, `'partly'` or `'whole'`: how much of the request was given to the system. `answer_begun`
    tells if the response began to arrive. `safe_to_retry` tells if sending the request again can do no harm, because
    no byte of it was sent, or because its method is idempotent.
    """

    __slots__ = ()


class ConnectionClosed(_Described):
    """The server closed the connection, or `disconnect` was called, before the transfer was complete.

    `unanswered` lists the requests that got no complete answer, oldest first, each as `(method, path,
    safe_to_retry)`; `outcomes` tells more about the same requests. You can still read responses that have arrived.
    To send a request again, call `disconnect` first: then the request opens a new connection.
    """

    msg = 'connection closed unexpectedly'
    unanswered: tuple[tuple[str, str, bool], ...] = ()
    outcomes: tuple[RequestOutcome, ...] = ()

    def __init__(
        self,
        msg: str | None = None,
        *,
        unanswered: Iterable[tuple[str, str, bool]] = (),
        outcomes: Iterable[tuple[str, str, Literal['nothing', 'partly', 'whole'], bool, bool]] = (),
    ) -> None:
        super().__init__(msg)
        self.outcomes = tuple(RequestOutcome(*outcome) for outcome in outcomes)
        self.unanswered = tuple(unanswered) or tuple(
            (outcome.method, outcome.path, outcome.safe_to_retry) for outcome in self.outcomes
        )

    def __reduce__(self) -> tuple[Any, ...]:
        restore, arguments, *_ = super().__reduce__()
        state = self.__dict__ if self.__cause__ is None else {**self.__dict__, '__cause__': self.__cause__}
        return restore, arguments, state or None


class ConnectionTimedOut(_Described):
    """No data could be transferred for `HTTPConnection.timeout` seconds.

    If that happened while reading, you can repeat the call. If it happened while sending, you can only call
    `disconnect`.
    """

    msg = 'connection timed out'


class InvalidResponse(_Described):
    """The server sent something that HTTP/1.1 forbids.

    `read_raw` returns the bytes. You cannot read anything else from this connection.
    """

    msg = 'server sent an invalid response'


class UnsupportedResponse(_Described):
    """The server sent a response of a kind that is not supported, such as one of another version of HTTP.

    `read_raw` returns the bytes. You cannot read anything else from this connection.
    """

    msg = 'server sent an unsupported response'


class StateError(_Described):
    """The method cannot be called in this state. The call has sent and changed nothing."""

    msg = 'method cannot be called in this state of the connection'


class ExcessBodyData(_Described):
    """You wrote more body data than you announced. None of it was sent; you can still write the right amount."""

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
    """The name service works, but does not know the host *name*. The object is not connected."""

    _text = 'host {} does not exist'


class DNSUnavailable(_AboutName):
    """The address of the host *name* is not known, because the name service cannot be reached.

    The object is not connected. Trying again later may help.
    """

    _text = 'cannot look up host {}, name service is not available'


class HostnameNotResolvableOrDNSUnavailable(_AboutName):
    """The name service has no answer for the host *name*, and the reason is not known yet.

    `create_socket` uses this internally, and never raises it.
    """

    _text = 'host {} does not exist, or name service is not available'


class DefaultTimedOut(ConnectionTimedOut, TimeoutError):
    """Connecting took longer than the default of `socket.setdefaulttimeout`.

    3.8.2 raised the exception of `socket`. This is that, and also the exception of a connection's own `timeout`.
    """


class ProxyRefusal(ConnectionError):
    """The proxy has refused to open a tunnel with a status 4xx. It would refuse the same request again."""


def is_temp_network_error(exc: BaseException) -> bool:
    """Tell if the cause of *exc* is likely to be a temporary problem of the network, so that you can try again.

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
    """Return the named exception classes; none if *module* is not imported, because then they have no instances."""
    # If another thread is importing the module, some may be missing.
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
