"""What a response looks like to the caller, and how a caller announces a body."""

from __future__ import annotations

from functools import cached_property

from ._headers import make_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message
    from typing import Any, Self


class HTTPResponse:
    """The head of a response. All attributes can be assigned to.

    `method` and `path` are those of the request, just as they were passed to `send_request`. `status` is an int,
    `reason` a str that may be empty. `length` is the size in bytes of the body as transmitted: 0 if there is none,
    None if it is not known in advance.
    """

    method: str
    path: str
    status: int
    reason: str
    length: int | None

    # Where `headers` and `trailers` come from, when they are wanted.
    _header_lines: Iterable[tuple[str, str]] = ()
    _trailer_lines: Iterable[tuple[str, str]] = ()

    def __init__(
        self,
        method: str,
        path: str,
        status: int,
        reason: str,
        headers: Message,
        length: int | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        self.reason = reason
        self.headers = headers
        self.length = length

    @classmethod
    def _lazy(
        cls,
        method: str,
        path: str,
        status: int,
        reason: str,
        lines: Iterable[tuple[str, str]],
        length: int | None,
    ) -> Self:
        """Make a response whose `headers` are made of *lines* when they are first asked for.

        *lines* has to yield pairs of name and value, any number of times.
        """
        self = cls.__new__(cls)
        self.method = method
        self.path = path
        self.status = status
        self.reason = reason
        self.length = length
        self._header_lines = lines
        return self

    @cached_property
    def headers(self) -> Message:
        """The header section, as an `email.message.Message`.

        Names are case-insensitive; `headers['x']` is None if there is no such line, `headers.get_all('x')` gives all
        lines of a name that is repeated. Values are as sent, decoded as latin-1.
        """
        return make_message(self._header_lines)

    @cached_property
    def trailers(self) -> Message:
        """The trailer section of a chunked body, in the same form as `headers`.

        Empty until the body has been read to its end, and if there are no trailers.
        """
        return make_message(self._trailer_lines)

    def _set_trailers(self, lines: Iterable[tuple[str, str]]) -> None:
        """Let `trailers` be made of *lines* from now on."""
        self._trailer_lines = lines
        self.__dict__.pop('trailers', None)

    def __getstate__(self) -> dict[str, Any]:
        # For pickle and copy, which may not be able to handle the lines.
        state = self.__dict__ | {'headers': self.headers, 'trailers': self.trailers}
        state.pop('_header_lines', None)
        state.pop('_trailer_lines', None)
        return state

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.method} {self.path} {self.status} {self.reason}>'


class BodyFollowing:
    """Passed to `send_request` as the *body*: it will be written later, and is *length* bytes long.

    With a *length* of None, it is sent in chunks: any number of `write` calls, then `finish`.

        conn.send_request('PUT', '/a', body=BodyFollowing(len(data)))
        conn.write(data)
    """

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.length})'
