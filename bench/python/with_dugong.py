"""Dugong's `HTTPConnection`, of the package or of the old module."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import repeat
from typing import Any, TypeAlias

from load import PIECE, Load

from dugong import BodyFollowing, HTTPConnection, PollNeeded

#: Yields `PollNeeded`, or None to wait for the other coroutine.
Waits: TypeAlias = Generator[Any, None, None]


class Coroutines:
    """Pipelines with two coroutines and a loop; content by `read(64 KiB)`."""

    def __init__(self, host: str, port: int) -> None:
        self.conn = HTTPConnection(host, port)

    def run(self, load: Load) -> int:
        """See `load.Client`."""
        if load.work == 'a':
            return self.one_by_one(load)
        if load.work in 'bf':
            return self.pipelined(load)
        if load.work == 'e':
            return self.upload(load)
        self.conn.send_request('GET', load.target)
        self.conn.read_response()
        return self.download()

    def one_by_one(self, load: Load) -> int:
        conn, target, count = self.conn, load.target, 0
        for _ in range(load.requests):
            conn.send_request('GET', target)
            conn.read_response()
            count += len(conn.readall())
        return count

    def pipelined(self, load: Load) -> int:
        # The sender continues when the reader waits, and when half of the window is used.
        window = Window(self.conn, load)
        sender = window.send(load.requests)
        wants = next(sender, None)
        for need in window.read(load.requests):
            if wants or window.in_flight <= window.half:
                wants = next(sender, None)
            if need and wants:
                PollNeeded(need.fd, need.mask | wants.mask).poll()
            elif need:
                need.poll()
            elif wants:
                wants.poll()
        return window.count

    def download(self) -> int:
        read, count = self.conn.read, 0
        while data := read(PIECE):
            count += len(data)
        return count

    def upload(self, load: Load) -> int:
        conn, piece = self.conn, bytes(PIECE)
        conn.send_request('PUT', load.target, body=BodyFollowing(load.content))
        for _ in range(load.content // PIECE):
            conn.write(piece)
        conn.read_response()
        conn.discard()
        return load.content


class Headers(Coroutines):
    """Looks up a header of each answer."""

    def one_by_one(self, load: Load) -> int:
        conn, target, count = self.conn, load.target, 0
        for _ in range(load.requests):
            conn.send_request('GET', target)
            resp = conn.read_response()
            conn.discard()
            count += int(resp.headers['Content-Length'])
        return count


class Readinto(Coroutines):
    """Reads content into a buffer."""

    def download(self) -> int:
        readinto, buffer, count = self.conn.readinto, bytearray(PIECE), 0
        while got := readinto(buffer):
            count += got
        return count


class Ahead(Coroutines):
    """Sends ahead, then reads. Sends more when half of the window is used."""

    def pipelined(self, load: Load) -> int:
        conn, target, depth, left = self.conn, load.target, load.depth, load.requests
        count = in_flight = 0
        while left or in_flight:
            if in_flight <= depth // 2:
                more = min(depth - in_flight, left)
                for _ in range(more):
                    conn.send_request('GET', target)
                left -= more
                in_flight += more
            conn.read_response()
            count += len(conn.readall())
            in_flight -= 1
        return count


class Asyncio(Coroutines):
    """Two tasks under asyncio, one for each direction. Each runs one coroutine for every window."""

    def pipelined(self, load: Load) -> int:
        import asyncio  # noqa: PLC0415

        from dugong import AioFuture  # noqa: PLC0415

        async def run() -> int:
            window = Window(self.conn, load)
            room, some = asyncio.Event(), asyncio.Event()
            window.on_room = room.set

            async def send() -> None:
                left = load.requests
                while left:
                    room.clear()
                    if window.in_flight > window.half:
                        await room.wait()
                    number = min(window.depth - window.in_flight, left)
                    await AioFuture(window.send(number))
                    some.set()
                    left -= number

            async def read() -> None:
                left = load.requests
                while left:
                    some.clear()
                    if not window.in_flight:
                        await some.wait()
                    number = window.in_flight
                    await AioFuture(window.read(number))
                    left -= number

            await asyncio.gather(send(), read())
            return window.count

        return asyncio.run(run())


class Pipeline(Coroutines):
    """Uses `pipeline`, which collects the bodies."""

    def pipelined(self, load: Load) -> int:
        count = 0
        for _, body in self.conn.pipeline(targets(load), max_requests=load.depth, collect=True):
            count += len(body)
        return count


class AsyncioPipeline(Coroutines):
    """Uses `co_pipeline` in a task of asyncio."""

    def pipelined(self, load: Load) -> int:
        import asyncio  # noqa: PLC0415

        return asyncio.run(collected(self.conn, load))


class TrioPipeline(Coroutines):
    """Uses `co_pipeline` in a task of trio."""

    def pipelined(self, load: Load) -> int:
        import trio  # noqa: PLC0415

        return trio.run(collected, self.conn, load)


class AsyncioOneByOne(Coroutines):
    """Sends one request at a time in a task of asyncio. The server is slow, so the task waits once for each."""

    def one_by_one(self, load: Load) -> int:
        import asyncio  # noqa: PLC0415

        async def run() -> int:
            conn, count = self.conn, 0
            for _ in range(load.requests):
                await conn.co_send_request('GET', SLOW)
                await conn.co_read_response()
                count += len(await conn.co_readall())
            return count

        return asyncio.run(run())


class PolledOneByOne(Coroutines):
    """Does the same without a loop: `poll` waits instead."""

    def one_by_one(self, load: Load) -> int:
        conn, count = self.conn, 0
        for _ in range(load.requests):
            polled(conn.co_send_request('GET', SLOW))
            polled(conn.co_read_response())
            count += len(polled(conn.co_readall()))
        return count


#: The server answers after 5 ms. By then the client waits, even under valgrind.
SLOW = '/small?delay=5'


def polled(operation: Generator[PollNeeded, None, Any]) -> Any:
    """Run *operation*, and wait with `poll`."""
    try:
        while True:
            next(operation).poll()
    except StopIteration as end:
        return end.value


def targets(load: Load) -> Iterator[str]:
    """Return the targets of the requests."""
    return repeat(load.target, load.requests)


async def collected(conn: HTTPConnection, load: Load) -> int:
    """Do *load*, and return the bytes of content received."""
    count = 0
    async for _, body in conn.co_pipeline(targets(load), max_requests=load.depth, collect=True):
        count += len(body)
    return count


class Window:
    """The state that the sending and the reading coroutine share."""

    def __init__(self, conn: HTTPConnection, load: Load) -> None:
        self.conn = conn
        self.target = load.target
        self.depth = load.depth
        self.half = load.depth // 2
        self.in_flight = 0
        #: The bytes of content read.
        self.count = 0
        #: Called when half of the window is used.
        self.on_room: Callable[[], object] = int

    def send(self, number: int) -> Waits:
        """Yield None when the window is full."""
        conn, target, depth = self.conn, self.target, self.depth
        for _ in range(number):
            while self.in_flight == depth:
                yield None
            yield from conn.co_send_request('GET', target)
            self.in_flight += 1

    def read(self, number: int) -> Waits:
        """Yield None when no request is in flight."""
        conn, half = self.conn, self.half
        for _ in range(number):
            while not self.in_flight:
                yield None
            yield from conn.co_read_response()
            self.count += len((yield from conn.co_readall()))
            self.in_flight -= 1
            if self.in_flight == half:
                self.on_room()
