"""The methods of `Reply` for tasks."""

from __future__ import annotations

from ._reply import Splitter, encoding_of, piece_size
from ._waiting import watch_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ._dugong import Reply


async def itself(reply: Reply) -> Reply:
    """Enter the context of a reply."""
    return reply


async def read(reply: Reply, size: int | None) -> bytes:
    """Read at most *size* bytes; without it, all that is left."""
    if size is not None:
        return await _piece(reply, size) if size else b''
    return b''.join([piece async for piece in pieces(reply, None)])


async def _piece(reply: Reply, most: int | None) -> bytes:
    core = reply._core  # pyright: ignore[reportPrivateUsage]
    if core is None:  # collected
        return reply.read(-1 if most is None else most)
    with watch_of(core) as watch:
        number = watch.number()
        while (piece := reply._poll(watch.mailbox, number, most)) is None:  # pyright: ignore[reportPrivateUsage]
            watch.turn_soon()
            await watch.wait(number)
        return piece


def pieces(reply: Reply, size: int | None) -> AsyncIterator[bytes]:
    """Yield the content in pieces: of *size* bytes, except for the last one, or as they come."""
    return _pieces(reply, piece_size(size))


async def _pieces(reply: Reply, size: int | None) -> AsyncIterator[bytes]:
    kept = bytearray()
    while piece := await _piece(reply, None):
        if size is None:
            yield piece
            continue
        kept += piece
        while len(kept) >= size:
            yield bytes(kept[:size])
            del kept[:size]
    if kept:
        yield bytes(kept)


def lines(reply: Reply, encoding: str | None, errors: str) -> AsyncIterator[str]:
    """Yield the lines of the content."""
    return _lines(reply, Splitter(*encoding_of(reply, encoding, errors)))


async def _lines(reply: Reply, splitter: Splitter) -> AsyncIterator[str]:
    async for piece in pieces(reply, None):
        for line in splitter.feed(piece):
            yield line
    for line in splitter.end():
        yield line


async def close(reply: Reply) -> None:
    """Give up the rest of the content."""
    reply.close()
    core = reply._core  # pyright: ignore[reportPrivateUsage]
    if core is not None:
        with watch_of(core) as watch:
            watch.turn_soon()
