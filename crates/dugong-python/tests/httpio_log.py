"""A connection of `dugong.httpio` to a server that logs its requests."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Generator, Iterator

from peers import LIMIT, Peer, Received

from dugong.httpio import HTTPConnection

Connect = Callable[..., HTTPConnection]

#: More than all buffers between the two ends hold.
MUCH = bytes(range(256)) * 4 * 1024 * 16


class Log:
    """A script that records requests and answers them with these bodies, until the client closes the connection."""

    def __init__(self, *bodies: bytes) -> None:
        self.bodies = bodies or (b'',)
        self.requests: list[Received] = []

    def __call__(self, peer: Peer) -> None:
        with contextlib.suppress(EOFError, OSError):
            for body in self.bodies:
                self.requests.append(peer.request())
                peer.answer(body)
        peer.rest()


def readable(conn: HTTPConnection, timeout: float = LIMIT) -> bool:
    return bool(select.select([conn], [], [], timeout)[0])


def arrives(conn: HTTPConnection) -> None:
    """Wait for a response. With TLS, tickets make the connection readable before."""
    while not conn._is_waiting():
        assert readable(conn)


def writable(conn: HTTPConnection, timeout: float = LIMIT) -> bool:
    return bool(select.select([], [conn], [], timeout)[1])


def get(conn: HTTPConnection, url: str = '/') -> tuple[int, bytes]:
    conn.send_request('GET', url)
    return conn.read_response()[2], conn.readall()


def run(sending: Generator[None, None, None] | None) -> None:
    for item in sending or ():
        assert item is None


def answer_before_reading_on(peer: Peer) -> None:
    """Send a large answer, and read on only when all of it is sent."""
    peer.request()
    peer.answer(MUCH)
    assert peer.request().body == MUCH
    peer.answer(b'done')
    peer.rest()


def drive(conn: HTTPConnection, sending: Iterator[None], pieces: int = 65536) -> bytearray:
    """Run it, read the response data that waits at each step, and return the body."""
    body = bytearray()
    for item in sending:
        assert item is None
        assert conn.response_pending()
        if conn.get_current_response() is None:
            wait_for_response(conn)
        else:
            body += conn.read(pieces)
    return body


def wait_for_response(conn: HTTPConnection) -> None:
    assert conn.read_response()[2] == 200
