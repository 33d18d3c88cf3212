"""A server that does one harm to each connection.

Each response is right, each request is accounted for, and no byte follows the verdict. `DUGONG_CHAOS_SECONDS` sets
the time for each way to use a connection, `DUGONG_CHAOS_SEED` the first seed. A failure names seed and
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from origins import find_origin
from peers import LIMIT

from dugong import ConnectionClosed, HTTPConnection, InvalidResponse, StateError, UnsupportedResponse

SECONDS = float(os.environ.get('DUGONG_CHAOS_SECONDS', '2'))
SEED = int(os.environ.get('DUGONG_CHAOS_SEED', '0'))
FATAL = (ConnectionClosed, InvalidResponse, UnsupportedResponse)


class Server:
    """`dugong-origin --chaos`. The bytes it has received are in files with the numbers of the connections."""

    def __init__(self, port: int, record: Path) -> None:
        self.port = port
        self._record = record

    def received(self, number: int) -> bytes:
        path, end = self._record / str(number), time.monotonic() + LIMIT
        while not path.exists():
            assert time.monotonic() < end, f'connection {number} has not ended'
            time.sleep(0.001)  # the server is another process, and no event announces the file
        received = path.read_bytes()
        path.unlink()
        return received


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    command = [str(find_origin()), f'--chaos={SEED}', f'--record={tmp_path}', '--until-stdin-closes']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        found = re.search(r':(\d+)\s*$', process.stdout.readline())
        assert found
        try:
            yield Server(int(found[1]), tmp_path)
        finally:
            process.stdin.close()


def content(target: str) -> bytes:
    """The server's answer to a request."""
    digits = re.search(r'\d+$', target)
    return f'{target}\n'.encode() * (int(digits[0] if digits else 0) * 37 % 200 + 1)


Request = tuple[str, str, dict[str, str], bytes]


def requests(number: int) -> list[Request]:
    """The requests for connection `number`. The body of each shows whether it is complete."""
    made: list[Request] = []
    for i in range(40):
        method = 'GET GET GET POST PUT'.split()[(number * 31 + i * 7) % 5]
        target = f'/{method.lower()}/{i}'
        size = 8 << 20 if number % 40 == i else i * 500
        made.append((method, target, {}, b'' if method == 'GET' else bytes(size) + f'[end of {target}]\n'.encode()))
    return made


class Seen:
    """The responses and errors of one connection, as its client saw them."""

    def __init__(self, conn: HTTPConnection, number: int) -> None:
        self.conn = conn
        self.requests = requests(number)
        self.bodies: list[bytes] = []
        self.taken = 0
        self.error: Exception | None = None

    def check(self, received: bytes) -> None:
        for (_, target, _, _), body in zip(self.requests, self.bodies, strict=False):
            assert body == content(target)
        arrived = re.findall(rb'^(?:GET|PUT|POST) (\S+) HTTP/1.1\r$', received, re.MULTILINE)
        assert [target for _, target, _, _ in self.requests[: len(arrived)]] == [target.decode() for target in arrived]
        assert len(arrived) <= self.taken
        if self.error is None:
            assert len(self.bodies) == len(self.requests)
        elif isinstance(self.error, ConnectionClosed):
            left = [(method, target) for method, target, _, _ in self.requests[len(self.bodies) : self.taken]]
            told = [(method, target) for method, target, _ in self.error.unanswered]
            # An error of sending does not count the responses that were read after it.
            assert told == left or not left
            for method, target, safe in self.error.unanswered:
                assert not safe or method != 'POST' or target.encode() not in arrived

    def poke(self) -> None:
        """Try calls after the error. None of them may reach the server."""
        for path in '/later/1', '/later/2':
            with contextlib.suppress(*FATAL, StateError):
                self.conn.send_request('POST', path, body=b'again')
            with contextlib.suppress(*FATAL, StateError):
                self.conn.write(b'more')
            with contextlib.suppress(*FATAL, StateError):
                next(self.conn.pipeline(['/later/3']))


def in_batches(seen: Seen) -> None:
    conn = seen.conn
    for first in range(0, len(seen.requests), 5):
        for method, path, headers, body in seen.requests[first : first + 5]:
            seen.taken += 1
            try:
                conn.send_request(method, path, headers, body or None)
            except ConnectionClosed:
                # No response to it is pending (8.14), but others may have arrived.
                seen.taken -= 1
                read(seen, seen.taken)
                raise
        read(seen, seen.taken)


def read(seen: Seen, upto: int) -> None:
    while len(seen.bodies) < upto:
        seen.conn.read_response()
        seen.bodies.append(seen.conn.readall())


def in_a_pipeline(seen: Seen) -> None:
    pipeline: Any = seen.conn.pipeline(seen.requests, max_requests=7, collect=True)
    try:
        for _, body in pipeline:
            seen.bodies.append(body)
    finally:
        ends(seen, pipeline)


def in_a_task(seen: Seen) -> None:
    pipeline: Any = seen.conn.co_pipeline(seen.requests, max_requests=7, collect=True)

    async def main() -> None:
        async for _, body in pipeline:
            seen.bodies.append(body)

    try:
        asyncio.run(main())
    finally:
        ends(seen, pipeline)


def ends(seen: Seen, pipeline: Any) -> None:
    unanswered, rest = pipeline.unanswered, list(pipeline.rest)
    seen.taken = len(seen.requests) - len(rest)
    assert [*seen.requests[: len(seen.bodies)], *unanswered, *rest] == seen.requests


@pytest.mark.slow
@pytest.mark.parametrize('way', [in_batches, in_a_pipeline, in_a_task])
def test_nothing_is_wrong_and_nothing_is_lost(server: Server, way: Callable[[Seen], None]) -> None:
    end = time.monotonic() + SECONDS
    for number in itertools.count():
        conn = HTTPConnection('127.0.0.1', server.port)
        conn.timeout = LIMIT
        seen = Seen(conn, number)
        try:
            way(seen)
        except FATAL as error:
            seen.error = error
            seen.poke()
        conn.disconnect()
        received = server.received(number)
        try:
            assert b'/later/' not in received
            seen.check(received)
        except AssertionError as error:
            error.add_note(f'DUGONG_CHAOS_SEED={SEED}, connection {number}, after {seen.error!r}')
            raise
        if number >= 40 and time.monotonic() > end:
            break
