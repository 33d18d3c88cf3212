"""Scripts and drivers for the tests of the iterators that the `co_` methods return."""

from __future__ import annotations

import fcntl
import select
import struct
import termios
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import pytest
from peers import Peer, Script

from dugong import (
    BodyFollowing,
    HTTPConnection,
    PollNeeded,
)

T = TypeVar('T')

Crt = Generator[PollNeeded, None, T]

Make = Callable[[HTTPConnection], Any]

LIMIT = 10

BIG = 16 << 20  # more than both systems buffer while the peer does not read

HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'

HEAD = HELLO[:-5]


def stepwise(go_on: threading.Semaphore, *parts: bytes) -> Script:
    """Answer one request with these parts, each when the client has yielded."""

    def script(peer: Peer) -> None:
        peer.request()
        for part in parts:
            assert go_on.acquire(timeout=LIMIT)
            peer.send(part)
        peer.rest()

    return script


def deliver(peer: Peer, data: bytes) -> None:
    """Send *data*, and wait until the client's system has it."""
    peer.send(data)
    end = time.monotonic() + LIMIT
    while struct.unpack('i', fcntl.ioctl(peer.sock, termios.TIOCOUTQ, bytes(4)))[0]:
        assert time.monotonic() < end
        time.sleep(0.001)


def drive(iterator: Crt[T], on_yield: Callable[[], object] = lambda: None) -> T:
    for _ in range(100_000):
        try:
            need = next(iterator)
        except StopIteration as end:
            value: T = end.value
            return value
        assert type(need) is PollNeeded
        on_yield()
        assert need.poll(LIMIT)
    raise AssertionError('goes on for ever')


def drive_both(first: Crt[Any], second: Crt[Any]) -> tuple[Any, Any]:
    """Run two iterators side by side, and resume one only when its descriptor is ready."""
    values: dict[int, Any] = {}
    needs: dict[int, PollNeeded] = {}
    runs = [first, second]
    ready = [0, 1]
    for _ in range(100_000):
        for number in ready:
            try:
                needs[number] = next(runs[number])
            except StopIteration as end:
                values[number] = end.value
                needs.pop(number, None)
        if not needs:
            return values[0], values[1]
        ready = []
        poller = select.poll()
        for fd in {need.fd for need in needs.values()}:
            mask = 0
            for need in needs.values():
                mask |= need.mask if need.fd == fd else 0
            poller.register(fd, mask)
        events = dict(poller.poll(LIMIT * 1000))
        assert events
        ready = [
            number
            for number, need in needs.items()
            if events.get(need.fd, 0) & (need.mask | select.POLLHUP | select.POLLERR)
        ]
    raise AssertionError('goes on for ever')


READING: dict[str, Make] = {
    'read': lambda conn: conn.co_read(20),
    'read all': lambda conn: conn.co_read(),
    'readinto': lambda conn: conn.co_readinto(bytearray(20)),
    'readall': lambda conn: conn.co_readall(),
    'discard': lambda conn: conn.co_discard(),
}

every_reading = pytest.mark.parametrize('make', READING.values(), ids=READING.keys())

FRAMINGS = {
    'length': (HEAD, b'hello'),
    'chunked': (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', b'5\r\nhello\r\n0\r\n\r\n'),
}

every_framing = pytest.mark.parametrize(('head', 'body'), FRAMINGS.values(), ids=FRAMINGS.keys())

SENDING: dict[str, tuple[Make, Make]] = {
    'write': (
        lambda conn: conn.send_request('PUT', '/', body=BodyFollowing(BIG)),
        lambda conn: conn.co_write(bytes(BIG)),
    ),
    'write chunk': (
        lambda conn: conn.send_request('PUT', '/', body=BodyFollowing()),
        lambda conn: conn.co_write(bytes(BIG)),
    ),
    'send_request': (
        lambda conn: None,
        lambda conn: conn.co_send_request('PUT', '/', body=bytes(BIG)),
    ),
}
