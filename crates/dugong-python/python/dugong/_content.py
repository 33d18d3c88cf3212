"""The content of a request: bytes, or a source that is opened for each attempt."""

from __future__ import annotations

import errno
import io
import os
import stat
from types import AsyncGeneratorType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

#: Bytes read from a file at once.
PIECE = 128 * 1024


class WrongLengthError(ValueError):
    """Content has more or fewer bytes than a field or a file announced."""


class Source:
    """Content that is read in the thread or task of the caller, and anew for each attempt.

    `length` is the number of bytes, or None if only the end tells; `is_read_once` tells if no second attempt is
    possible; `is_async` if only an async method can read it.
    """

    __slots__ = ('_given', '_is_used', '_open', 'is_async', 'is_read_once', 'length')

    def __init__(
        self,
        given: object,
        open_it: Callable[[Any], Iterator[Any]],
        length: int | None,
        *,
        is_read_once: bool = False,
        is_async: bool = False,
    ) -> None:
        self._given = given
        self._open = open_it
        self._is_used = False
        self.length: int | None = length
        self.is_read_once: bool = is_read_once
        self.is_async: bool = is_async

    def open(self) -> Any:
        """Begin to read: an iterator of pieces, which are not empty and have `length` bytes together."""
        if self._is_used and self.is_read_once:
            raise ValueError(f'the content can only be read once, and was: {self._given!r}')
        self._is_used = True
        pieces: Any = self._open(self._given)
        if hasattr(pieces, '__anext__') or hasattr(pieces, '__aiter__'):
            return _checked_later(pieces, self.length)
        return _checked(pieces, self.length)

    @property
    def was_opened(self) -> bool:
        """Whether it was read, at least in part."""
        return self._is_used

    def __repr__(self) -> str:
        return f'<content of {self._given!r}>'


def content_of(given: Any) -> bytes | Source:
    """Return *given* as bytes, or as a source."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, Source):
        return given
    if isinstance(given, str):
        raise TypeError('content has to be bytes, not str; encode a text, and pass a pathlib.Path for a file')
    if isinstance(given, io.TextIOBase):
        raise TypeError(f"content has to be a file opened in binary mode ('rb'), not {given!r}")
    if isinstance(given, os.PathLike):
        return _of_path(given)  # pyright: ignore[reportUnknownArgumentType]
    if hasattr(given, 'read'):
        return _of_file(given)
    try:
        return bytes(memoryview(given))  # a copy: the caller may change it
    except TypeError:
        pass
    if hasattr(given, '__anext__'):
        return Source(given, _itself, None, is_read_once=True, is_async=True)
    if hasattr(given, '__aiter__'):
        return Source(given, _async_iterator, None, is_async=True)
    if hasattr(given, '__next__'):
        return Source(given, _itself, None, is_read_once=True)
    if isinstance(given, dict):
        raise TypeError('content cannot be a dict; pass it as json, or encode it')
    if hasattr(given, '__iter__'):
        return Source(given, iter, None)
    if callable(given):
        return Source(given, _Calls(), None)
    raise TypeError(
        'content has to be bytes-like, a binary file, a path, an iterable of bytes, or a function that returns one, '
        f'not {type(given).__name__}'
    )


def _of_path(path: os.PathLike[Any]) -> Source:
    # A path that cannot be read is a mistake in the call.
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        return Source(os.fspath(path), _read_path, None, is_read_once=True)
    return Source(os.fspath(path), _read_path, found.st_size)


def _of_file(file: Any) -> Source:
    try:
        start = file.tell()
        # Not all that is like a file returns the position.
        file.seek(0, os.SEEK_END)
        length = file.tell() - start
        file.seek(start)
    except (OSError, AttributeError):
        # A pipe, or a socket's file.
        return Source(file, _read_file, None, is_read_once=True)

    def read(file: Any) -> Iterator[Any]:
        file.seek(start)
        return _read_file(file)

    return Source(file, read, max(length, 0))


def _read_path(path: Any) -> Iterator[bytes]:
    with open(path, 'rb', buffering=0) as file:
        yield from _read_file(file)


def _read_file(file: Any) -> Iterator[Any]:
    while piece := file.read(PIECE):
        yield piece


def _itself(given: Any) -> Any:
    return given


def _async_iterator(given: Any) -> Any:
    return given.__aiter__()


class _Calls:
    """Calls a function for content, and opens what it returns."""

    def __init__(self) -> None:
        self._last: tuple[Any, int | None] = None, None

    def __call__(self, function: Callable[[], Any]) -> Any:
        made = function()
        if callable(made) and not hasattr(made, 'read'):
            raise TypeError(f'the function for content has to return content, not {made!r}')
        if any(hasattr(made, name) for name in ('read', '__next__', '__anext__')):
            start = _position(made)
            if self._last[0] is made and (start is None or start != self._last[1]):
                # The bytes read before would be missing.
                raise ValueError(f'the function for content has to begin anew each time, but returned {made!r} again')
            self._last = made, start
        content = content_of(made)
        return iter([content]) if isinstance(content, bytes) else content._open(content._given)  # pyright: ignore[reportPrivateUsage]


def _position(file: Any) -> int | None:
    try:
        position: int = file.tell()
    except (OSError, AttributeError):
        return None
    return position


def _checked(pieces: Iterator[Any], length: int | None) -> Iterator[bytes]:
    count = 0
    for piece in pieces:
        taken = _piece(piece, count, length)
        count += len(taken)
        if taken:
            yield taken
    _end(count, length)


async def _checked_later(pieces: Any, length: int | None) -> Any:
    count = 0
    try:
        async for piece in pieces:
            taken = _piece(piece, count, length)
            count += len(taken)
            if taken:
                yield taken
    finally:
        # Other iterators, such as streams, are the caller's to close.
        if isinstance(pieces, AsyncGeneratorType):
            await pieces.aclose()
    _end(count, length)


def _piece(piece: object, count: int, length: int | None) -> bytes:
    if not isinstance(piece, bytes):
        if isinstance(piece, (str, int)):
            raise TypeError(f'content has to consist of bytes, not {type(piece).__name__}')
        try:
            piece = bytes(memoryview(piece))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        except TypeError:
            raise TypeError(f'content has to consist of bytes, not {type(piece).__name__}') from None
    if length is not None and count + len(piece) > length:
        raise WrongLengthError(f'the content has more than the {length} bytes that were announced')
    return piece


def _end(count: int, length: int | None) -> None:
    if length is not None and count < length:
        raise WrongLengthError(f'the content ended after {count} of {length} bytes')
