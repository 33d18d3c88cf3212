"""`Request`: method, target, fields and content of one request, for sessions."""

from __future__ import annotations

import math
import operator

from ._content import Source, content_of
from ._dugong import check_head
from ._headers import make_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message
    from typing import Any

    from ._types import Content, Headers, Params


class Request:
    """One request: a method, a target, and what goes with it.

        request = dugong.Request('PUT', '/notes/1', json={'text': 'milk'}, timeout=5)

    *target* is sent as it is, so percent-encode it; for `Sessions` it is a URL. *headers* is a mapping or an iterable
    of pairs. *params*, a mapping or pairs, is percent-encoded and added to the query; a list as a value adds the name
    once for each item.

    *content* is one of these:

    - bytes, or another object with a buffer, which is copied;
    - a binary file, read from where it is, or a path (`os.PathLike`);
    - an iterable of bytes-like pieces;
    - a function that returns one of these, called again for each attempt.

    A session can repeat a request whose content is bytes, a path, a seekable file, a list or a function. It reads other
    content once, and then never repeats the request. Pass a `Content-Length` if you know the length of an iterable;
    otherwise it is sent in chunks. *json* is content, too: it is encoded at once, and sets `Content-Type` unless
    *headers* has that.

    With *stream*, the reply is returned as soon as its head is there. *timeout* and *total_timeout*, in seconds,
    *retry* and *expect* overrule those of the session and of the method.

    *digest* is what the content of a successful reply must have: `'sha256='` and 64 hexadecimal digits, or
    `'announced'` for what the server says in `Content-Digest` or `Content-MD5`, if it says that. Other content makes a
    `RequestFailed`; of a streamed reply, at its end.

    Wrong arguments raise `ValueError` or `TypeError`, and the message names them.
    """

    __slots__ = (
        '__weakref__',
        '_lines',
        '_message',
        'content',
        'digest',
        'expect',
        'method',
        'origin',
        'retry',
        'stream',
        'target',
        'timeout',
        'total_timeout',
    )

    #: The method, such as `'GET'`.
    method: str
    #: The target, with the *params*.
    target: str
    #: The origin that gets it, for functions that sign requests; None elsewhere.
    origin: str | None
    #: The content: bytes, or an object of this package that reads it; None without content.
    content: bytes | Source | None
    #: Whether the reply is read in pieces.
    stream: bool
    #: Seconds without progress; None means the session's.
    timeout: float | None
    #: Seconds from the call to the outcome; None means the session's.
    total_timeout: float | None
    #: Whether it may arrive twice; None lets the method decide.
    retry: bool | None
    #: Whether to ask the server before sending the content; None lets the session decide by the size.
    expect: bool | None
    #: The digest that the content of the reply must have: `'sha256=…'`, `'announced'` or None.
    digest: str | None
    # The field lines, until `headers` is used; then they are those of the message.
    _lines: tuple[tuple[str, str], ...]
    _message: Message | None

    def __init__(
        self,
        method: str,
        target: str,
        *,
        headers: Headers | None = None,
        params: Params | None = None,
        content: Content | None = None,
        json: Any = None,
        stream: bool = False,
        timeout: float | None = None,
        total_timeout: float | None = None,
        retry: bool | None = None,
        expect: bool | None = None,
        digest: str | None = None,
    ) -> None:
        self.method = _text(method, 'method')
        self.target = _text(target, 'target')
        if params is not None:
            self.target = with_params(self.target, params)
        lines = [] if headers is None or headers == _NO_FIELDS else _pairs(headers, 'headers')
        if json is not None:
            if content is not None:
                raise ValueError('content and json cannot be combined: both are the content of the request')
            content = encoded(json)
            if not any(name.lower() == 'content-type' for name, _ in lines):
                lines.append(('Content-Type', 'application/json'))
        self.content = None if content is None else content_of(content)
        self._lines = check_head(self.method, self.target, lines)
        self._message = None
        self.origin = None
        if self._lines:
            self._check_lengths()
        self.stream = bool(stream)
        # Most requests have none of these, so this spares the calls.
        self.timeout = None if timeout is None else seconds(timeout, 'timeout')
        self.total_timeout = None if total_timeout is None else seconds(total_timeout, 'total_timeout')
        self.retry = None if retry is None else _choice(retry, 'retry')
        self.expect = None if expect is None else _choice(expect, 'expect')
        self.digest = None if digest is None else _digest(digest)

    @property
    def headers(self) -> Message:
        """The field lines, as an `email.message.Message`; you may change it until the request is sent.

        Names are case-insensitive, and `headers['x'] = 'y'` adds a line.
        """
        if self._message is None:
            self._message = make_message(self._lines)
        return self._message

    def copy(self) -> Request:
        """Return an independent copy with the same content."""
        new = Request.__new__(type(self))
        for name, value in self.__getstate__().items():
            setattr(new, name, value)
        return new

    __copy__ = copy

    def _with_head(self, method: str, target: str, lines: Iterable[tuple[str, str]]) -> Request:
        """Return a copy with another head: after a redirect, or with the default fields of a session."""
        new = self.copy()
        new._lines = tuple(lines)
        new.target = target
        if new.method != method:
            new.method, new.content = method, None
        return new

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in _STATE}
        return {**state, '_lines': self._current_lines(), '_message': None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.method} {self.target}>'

    def _current_lines(self) -> tuple[tuple[str, str], ...]:
        """Return the field lines to send. The extension calls it for each attempt, unless `headers` was never used."""
        if self._message is None:
            return self._lines
        return check_head(self.method, self.target, [(name, str(value)) for name, value in self._message.items()])

    def _check_lengths(self) -> None:
        """Give a source the length that the caller announced, and refuse one that contradicts the content."""
        announced = [value for name, value in self._lines if name.lower() == 'content-length']
        if not announced:
            return
        if len(set(announced)) > 1 or not (announced[0].isascii() and announced[0].isdigit()):
            raise ValueError(f'Content-Length has to be one number, not {", ".join(announced)!r}')
        length = int(announced[0])
        content = self.content
        if isinstance(content, Source) and content.length is None:
            content.length = length
            return
        known = 0 if content is None else content.length if isinstance(content, Source) else len(content)
        if length != known:
            raise ValueError(f'Content-Length is {length}, but the content has {known} bytes')


_NO_FIELDS: dict[str, str] = {}

_STATE = ('method', 'target', 'origin', 'content', 'stream', 'timeout', 'total_timeout', 'retry', 'expect', 'digest')


def with_params(target: str, params: Params) -> str:
    """Return *target* with *params* added to its query."""
    from urllib.parse import quote, urlencode  # noqa: PLC0415  # takes long to import

    pairs: list[tuple[Any, str | bytes]] = []
    for name, value in _pairs(params, 'params'):
        if not isinstance(name, str):
            raise TypeError(f'names in params have to be str, not {type(name).__name__}')
        values: list[Any] = [*value] if isinstance(value, (list, tuple)) else [value]
        pairs += [(name, _param(name, one)) for one in values]
    if '#' in target:
        raise ValueError(f'a target has no fragment: {target!r}')
    if not pairs:
        return target
    separator = '?' if '?' not in target else '' if target.endswith(('?', '&')) else '&'
    return target + separator + urlencode(pairs, quote_via=quote)


def _param(name: str, value: Any) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if value is None or hasattr(value, '__iter__'):
        raise TypeError(f'params: {name!r} has to be a str, a number, or a list of them, not {type(value).__name__}')
    return str(value)


def encoded(value: object) -> bytes:
    """Return *value* as JSON."""
    import json  # noqa: PLC0415

    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(',', ':')).encode()


def seconds(value: object, name: str) -> float | None:
    """Check a number of seconds; None stays None."""
    if value is None:
        return None
    try:
        if isinstance(value, (bool, str)):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f'{name} has to be a number of seconds or None, not {value!r}') from None
    if not 0 < number < math.inf:
        raise ValueError(f'{name} has to be a positive number of seconds or None, not {value!r}')
    return number


#: The extension has no larger numbers.
MOST = 2**63 - 1


def whole_number(value: object, name: str, least: int = 0, most: int = MOST) -> int:
    """Check an integer."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise TypeError(f'{name} has to be an int, not {value!r}') from None
    if number < least:
        raise ValueError(f'{name} has to be at least {least}, not {_shown(number)}')
    if number > most:
        raise ValueError(f'{name} has to be at most {most}, not {_shown(number)}')
    return number


def _shown(number: int) -> str:
    # Python refuses to print thousands of digits.
    return str(number) if number.bit_length() <= 128 else f'a number of {number.bit_length()} bits'


def _choice(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f'{name} has to be True, False or None, not {value!r}')


def _digest(given: object) -> str:
    text = _text(given, 'digest')
    algorithm, _, digits = text.partition('=')
    is_hex = len(digits) == 64 and all(digit in '0123456789abcdefABCDEF' for digit in digits)
    if text != 'announced' and not (algorithm == 'sha256' and is_hex):
        raise ValueError(f"digest has to be 'sha256=' and 64 hexadecimal digits, or 'announced', not {text!r}")
    return text


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f'{name} has to be a str, not {type(value).__name__}')
    return value


def _pairs(given: Any, name: str) -> list[tuple[Any, Any]]:
    """Return the items of a mapping, or a list of pairs."""
    if isinstance(given, (str, bytes)):
        raise TypeError(f'{name} has to be a mapping or pairs, not {type(given).__name__}')
    try:
        pairs: list[tuple[Any, ...]] = [tuple(pair) for pair in (given.items() if hasattr(given, 'items') else given)]
    except TypeError:
        raise TypeError(f'{name} has to be a mapping or an iterable of pairs, not {given!r}') from None
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(f'{name} has to be a mapping or an iterable of pairs; found {pair!r}')
    return [(key, value) for key, value in pairs]


def request_of(given: Any) -> Request:
    """Make a request of an item of a run: a target for GET, a tuple, or a mapping."""
    if isinstance(given, Request):
        return given
    if isinstance(given, str):
        return Request('GET', given)
    if isinstance(given, tuple):
        return _of_tuple(given)  # pyright: ignore[reportUnknownArgumentType]
    if hasattr(given, 'keys'):
        return _of_mapping(dict(given))
    raise TypeError(
        'a request is a str, a tuple of method, target, headers and content, a mapping, or a dugong.Request, '
        f'not {type(given).__name__}'
    )


def _of_tuple(given: tuple[Any, ...]) -> Request:
    if not 2 <= len(given) <= 4:
        raise ValueError(f'a tuple has to be (method, target), with headers and content if you like, not {given!r}')
    method, target, headers, content, *_ = *given, None, None
    return Request(method, target, headers=headers, content=content)


def _of_mapping(given: dict[Any, Any]) -> Request:
    for old, new in ('path', 'target'), ('body', 'content'):
        if old in given:
            if new in given:
                raise ValueError(f'{old} and {new} mean the same; give one of them')
            given[new] = given.pop(old)
    for name in 'method', 'target':
        if name not in given:
            raise ValueError(f'a mapping has to have a {name}; found {sorted(map(str, given))}')
    try:
        return Request(given.pop('method'), given.pop('target'), **given)
    except TypeError as exc:
        if 'keyword' in str(exc):
            raise ValueError(f'a mapping has to have the names of the arguments of dugong.Request: {exc}') from None
        raise
