"""How a request of a session fails."""

from __future__ import annotations

from ._exceptions import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from ._dugong import Reply


class RequestFailed(Error):
    """A request of a session got no complete reply; nothing was lost silently, and `__cause__` says why.

    If the connection was lost or could not be made, it is a `ConnectionError`, too; if a timeout has passed, it is a
    `TimeoutError`.
    """

    #: The request, as you gave it.
    request: Any = None
    #: How much of it was sent: the most in any attempt. `'no'`, `'partly'` or `'yes'`.
    sent: Literal['no', 'partly', 'yes'] = 'no'
    #: How much of a response came in the last attempt: `'no'`, `'head'` or `'partly'`. Half a head is `'no'`.
    answered: Literal['no', 'head', 'partly'] = 'no'
    #: Whether sending it again can do no harm.
    safe_to_retry: bool = True
    #: The number of connections on which a byte of it may have left.
    attempts: int = 0

    def __init__(
        self,
        message: str = '',
        *,
        request: Any = None,
        sent: Literal['no', 'partly', 'yes'] = 'no',
        answered: Literal['no', 'head', 'partly'] = 'no',
        safe_to_retry: bool = True,
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.request = request
        self.sent = sent
        self.answered = answered
        self.safe_to_retry = safe_to_retry
        self.attempts = attempts

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ''

    def __reduce__(self) -> tuple[Any, ...]:
        restore, arguments, *_ = super().__reduce__()
        # The constructor of `OSError` does not see the arguments of a class with one of its own.
        state: dict[str, Any] = {**self.__dict__, 'args': self.args}
        if self.__cause__ is not None:
            state['__cause__'] = self.__cause__
        return restore, arguments, state


class RequestLost(RequestFailed, ConnectionError):
    """`RequestFailed` because a connection was lost or could not be made."""


class RequestTimedOut(RequestFailed, TimeoutError):
    """`RequestFailed` because a timeout has passed."""


class RangeError(Error, OSError):
    """Parts of a content cannot be put together: it changed, or the server sent other bytes than it was asked for."""

    def __reduce__(self) -> tuple[Any, ...]:
        restore, arguments, *_ = super().__reduce__()
        return restore, arguments, {**self.__dict__, 'args': self.args}


class StatusError(Error):
    """`Reply.raise_for_status` found a status of 400 or more. `reply` is that reply."""

    reply: Reply

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply

    def __reduce__(self) -> tuple[Any, ...]:
        reply = _without_stream(self.reply)
        return type(self), (reply,), {**self.__dict__, 'reply': reply}

    def __str__(self) -> str:
        reply = self.reply
        request = reply.request
        method, target = getattr(request, 'method', ''), getattr(request, 'target', request)
        asked = f' to {method} {target}'.replace('  ', ' ') if request is not None else ''
        return f'the answer{asked} is {reply.status} {reply.reason}'.rstrip()


def _without_stream(reply: Reply) -> Reply:
    """Return the reply, or one without content if that was not read."""
    try:
        reply.__reduce__()
    except TypeError:
        items = reply.headers.items()
        return type(reply)(reply.status, reply.reason, items, request=reply.request, attempts=reply.attempts)
    return reply
