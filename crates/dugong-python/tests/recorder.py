"""A server that records the requests it receives."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from peers import Peer, Received, Serve

from dugong import (
    BodyFollowing,
    HTTPConnection,
    StateError,
    eval_coroutine,
)


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


class Recorder:
    """A script that keeps the requests and answers each with its target."""

    def __init__(self) -> None:
        self.got: list[Received] = []

    def __call__(self, peer: Peer) -> None:
        while True:
            try:
                self.got.append(peer.request())
            except EOFError:
                assert peer.rest() == b''
                return
            peer.answer(self.got[-1].target.encode('latin-1'))

    @property
    def last(self) -> Received:
        return self.got[-1]


def finish(conn: HTTPConnection) -> bytes:
    resp = conn.read_response()
    assert resp.status == 200
    body = bytes(conn.readall())
    assert body == resp.path.encode()
    return body


def exchange(conn: HTTPConnection, *args: Any, **kwargs: Any) -> None:
    conn.send_request(*args, **kwargs)
    finish(conn)


BODIES = [None, b'body', BodyFollowing(5), BodyFollowing()]


def refuses(serve: Serve, error: type[Exception], **changes: Any) -> None:
    """Check that new and used connections refuse the request, without a byte sent or a change of state."""
    record = Recorder()
    conn = serve(record, record)
    request = {'method': 'PUT', 'path': '/wrong', 'headers': {'X': 'y'}, **changes}
    for _ in range(2):
        for body in BODIES:
            for expect100 in (False, True) if isinstance(body, BodyFollowing) else (False,):
                with pytest.raises(error):
                    conn.send_request(**request, body=body, expect100=expect100)
                with pytest.raises(error):
                    eval_coroutine(conn.co_send_request(**request, body=body, expect100=expect100))
                assert not conn._out_remaining
                assert not conn.response_pending()
                with pytest.raises(StateError):
                    conn.write(b'x')
        exchange(conn, 'GET', '/a')
    conn.send_request('GET', '/b')
    with pytest.raises(error):
        conn.send_request(**request)
    assert conn.response_pending()
    finish(conn)
    conn.send_request('PUT', '/c', body=BodyFollowing(3))
    conn.write(b'123')
    finish(conn)
    assert [one.target for one in record.got] == ['/a', '/a', '/b', '/c']
