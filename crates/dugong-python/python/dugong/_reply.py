"""The methods of `Reply` that are written in Python."""

from __future__ import annotations

import codecs

from ._failures import StatusError
from ._request import whole_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ._dugong import Reply


def restore(cls: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Make an object again that was pickled."""
    return cls(*arguments, **keywords)


def text(reply: Reply, encoding: str | None, errors: str) -> str:
    """Decode the content."""
    return reply.content.decode(*encoding_of(reply, encoding, errors))


def parsed(reply: Reply, **keywords: Any) -> Any:
    """Decode the content as JSON, whose encoding is found by its first bytes."""
    import json  # noqa: PLC0415

    return json.loads(reply.content, **keywords)


def refuse(reply: Reply) -> None:
    """Raise the error of `raise_for_status`."""
    raise StatusError(reply)


def encoding_of(reply: Reply, encoding: str | None, errors: str) -> tuple[str, str]:
    """Check what the program says about decoding, and choose the encoding if it names none."""
    try:
        codecs.lookup_error(errors)
    except LookupError:
        raise ValueError(f"errors has to be a word of bytes.decode, such as 'strict', not {errors!r}") from None
    if encoding is None:
        return charset(reply), errors
    if not is_known(encoding):
        raise ValueError(
            f'Python has no encoding {encoding!r} for text; pass one of its standard encodings, such as '
            "'utf-8' or 'latin-1', or decode the content yourself"
        )
    return encoding, errors


def charset(reply: Reply) -> str:
    """Return the encoding that `Content-Type` names, if Python has it, or else UTF-8."""
    named: str | None = reply.headers.get_content_charset()
    return named if named and is_known(named) else 'utf-8'


def is_known(encoding: str) -> bool:
    """Whether Python decodes text of this encoding. Some of its codecs are for other things, such as base64."""
    try:
        b'a'.decode(encoding, 'replace')
    except (LookupError, ValueError):
        return False
    return True


def piece_size(size: object) -> int | None:
    """Check the size of pieces; None stays None."""
    return None if size is None else whole_number(size, 'size', 1)


def pieces(reply: Reply, size: int | None) -> Iterator[bytes]:
    """Read the content, and cut it into pieces."""
    size = piece_size(size)
    if not reply.is_streamed:
        return cut([reply.content], size)
    return cut(iter(lambda: reply.read(_PIECE), b''), size)


# A piece of a streamed reply has at most as many bytes as have arrived.
_PIECE = 1 << 30


def cut(given: Iterable[bytes], size: int | None) -> Iterator[bytes]:
    """Yield *given* in pieces of *size* bytes; the last one may be shorter."""
    if size is None:
        for piece in given:
            if piece:
                yield piece
        return
    kept = bytearray()
    for piece in given:
        kept += piece
        start = 0
        while len(kept) - start >= size:
            yield bytes(kept[start : start + size])
            start += size
        del kept[:start]
    if kept:
        yield bytes(kept)


def lines(reply: Reply, encoding: str | None, errors: str) -> Iterator[str]:
    """Decode the content line by line."""
    return split(pieces(reply, None), Splitter(*encoding_of(reply, encoding, errors)))


def split(given: Iterable[bytes], splitter: Splitter) -> Iterator[str]:
    """Yield the lines of *given*."""
    for piece in given:
        yield from splitter.feed(piece)
    yield from splitter.end()


class Splitter:
    """Makes lines of pieces of content. A line ends with LF, CR LF, or CR."""

    def __init__(self, encoding: str, errors: str) -> None:
        import io  # noqa: PLC0415

        decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._parts: list[str] = []

    def feed(self, piece: bytes) -> list[str]:
        """Take a piece, and return the lines that it completes."""
        return self._take(self._decoder.decode(piece))

    def end(self) -> list[str]:
        """Return the last lines."""
        found = self._take(self._decoder.decode(b'', final=True))
        last = ''.join(self._parts)
        return [*found, last] if last else found

    def _take(self, text: str) -> list[str]:
        head, *rest = text.split('\n')
        self._parts.append(head)
        if not rest:
            return []
        found = [''.join(self._parts), *rest[:-1]]
        self._parts = [rest[-1]]
        return found
