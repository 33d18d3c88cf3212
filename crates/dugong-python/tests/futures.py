"""Iterators and sockets for the tests of `AioFuture`."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from dugong import POLLIN, POLLOUT, AioFuture, PollNeeded
from dugong import _asyncio as driver

T = TypeVar('T')

Crt = Generator[PollNeeded, None, T]

Pair = tuple[socket.socket, socket.socket]

BOTH = POLLIN | POLLOUT


def watched(loop: asyncio.AbstractEventLoop) -> dict[int, int]:
    """The events that the loop watches for, by descriptor, without its own pipe."""
    inner: Any = loop
    keys = inner._selector.get_map().values()
    bits = {key.fd: (POLLIN if key.data[0] else 0) | (POLLOUT if key.data[1] else 0) for key in keys}
    bits.pop(inner._ssock.fileno())
    return bits


def run(main: Coroutine[Any, Any, T], expect_reports: int = 0) -> T:
    """Run *main* in debug mode. It must not report anything to the loop or leave anything there."""
    reports: list[dict[str, Any]] = []

    async def outer() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        result = await asyncio.wait_for(main, 20)
        gc.collect()
        await turns()
        assert watched(loop) == {}
        assert dict(driver._descriptors_of(loop)) == {}
        return result

    result = asyncio.run(outer(), debug=True)
    assert len(reports) == expect_reports, reports
    return result


async def turns() -> None:
    """Let the loop go round often enough for all pending callbacks."""
    for _ in range(10):
        await asyncio.sleep(0)


def fill(sock: socket.socket) -> int:
    sent = 0
    while True:
        try:
            sent += sock.send(bytes(65536))
        except BlockingIOError:
            return sent


def empty(sock: socket.socket) -> int:
    got = 0
    while True:
        try:
            got += len(sock.recv(65536))
        except BlockingIOError:
            return got


class Steps:
    """An iterator that yields *needs*, and records its calls."""

    def __init__(self, *needs: Any) -> None:
        self.needs = list(needs)
        self.calls: list[Any] = []

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: None) -> Any:
        self.calls.append('next')
        return self._step()

    def throw(self, exc: BaseException) -> Any:
        self.calls.append(exc)
        return self._step()

    def close(self) -> None:
        self.calls.append('close')

    def _step(self) -> Any:
        if not self.needs:
            raise StopIteration('end')
        need = self.needs.pop(0)
        if isinstance(need, BaseException):
            raise need
        return need() if callable(need) else need


def future(crt: Any, loop: asyncio.AbstractEventLoop | None = None) -> AioFuture[Any]:
    return AioFuture(crt, loop)


def receive(sock: socket.socket, mask: int = POLLIN) -> Crt[bytes]:
    while True:
        try:
            return sock.recv(65536)
        except BlockingIOError:
            yield PollNeeded(sock.fileno(), mask)
