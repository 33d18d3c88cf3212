"""`dugong.httpio`: writing content, files, and the wait for 100 (Continue)."""

from __future__ import annotations

import io
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest
from httpio_log import (
    MUCH,
    Connect,
    Log,
    answer_before_reading_on,
    arrives,
    drive,
    get,
    run,
    wait_for_response,
    writable,
)
from peers import LIMIT, Peer

from dugong.httpio import ConnectionClosed, ExcessBodyData, StateError


@pytest.mark.parametrize('partial', [False, True])
def test_write_returns_the_number_of_bytes(partial: bool, connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    conn.send_request('PUT', '/', body=15)
    assert conn.write(b'', partial) == 0
    assert conn.write(b'abc', partial=partial) == 3
    assert conn.write(bytearray(b'def'), partial=partial) == 3
    assert conn.write(memoryview(b'gh'), partial) == 2
    assert conn.write(array('H', [1, 2, 3]), partial) == 6
    assert conn.write(array('B', [33]), partial) == 1
    conn.read_response()
    assert log.requests[0].body == b'abcdefgh' + bytes(array('H', [1, 2, 3])) + b'!'


@pytest.mark.parametrize('partial', [False, True])
def test_write_more_than_announced(partial: bool, connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    conn.send_request('PUT', '/', body=5)
    conn.write(b'abc', partial)
    with pytest.raises(ExcessBodyData):
        conn.write(b'def', partial)
    assert conn.write(b'de', partial) == 2
    for data in b'x', b'xx':
        with pytest.raises(StateError):
            conn.write(data, partial)
    conn.read_response()
    assert log.requests[0].body == b'abcde'


@pytest.mark.parametrize('partial', [False, True])
def test_write_of_an_object_that_is_not_bytes_like(partial: bool, connect: Connect) -> None:
    conn = connect(Log(b''))
    conn.send_request('PUT', '/', body=5)
    wrong: Any = 'text'
    with pytest.raises(TypeError):
        conn.write(wrong, partial)
    conn.write(b'hello', partial)
    assert conn.read_response()[2] == 200


def test_write_without_partial_takes_all(connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    conn.send_request('PUT', '/', body=len(MUCH))
    assert conn.write(MUCH) == len(MUCH)
    conn.read_response()
    assert log.requests[0].body == MUCH


# with partial it takes what fits now


def test_partial_write_takes_as_much_as_fits(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        go_on.wait(LIMIT)
        body.append(peer.exactly(len(MUCH)))
        peer.answer(b'done')
        peer.rest()

    body: list[bytes] = []
    go_on = threading.Event()
    conn = connect(script)
    conn.send_request('PUT', '/', body=len(MUCH))
    view = memoryview(MUCH)
    while (count := conn.write(view[:300_000], partial=True)) or writable(conn, 0.2):
        view = view[count:]
    assert 0 < len(view) < len(MUCH)  # it did not fit, and the call did not wait
    go_on.set()
    while view:
        assert writable(conn)
        view = view[conn.write(view, partial=True) :]
    conn.read_response()
    assert conn.readall() == b'done'
    assert body == [MUCH]


def test_partial_write_to_a_lost_connection(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.reset()

    conn = connect(script)
    conn.send_request('PUT', '/', body=len(MUCH))
    with pytest.raises(ConnectionClosed):
        while True:
            conn.write(bytes(1000), partial=True)


# co_sendfile(fh) sends announced content from a file object with readinto in the same manner


class OnlyReadinto:
    """The least that a file object needs."""

    def __init__(self, data: bytes, at_once: int = 1 << 20) -> None:
        self.file = io.BytesIO(data)
        self.at_once = at_once

    def readinto(self, buf: memoryview) -> int:
        return self.file.readinto(buf[: self.at_once])


def test_co_sendfile(connect: Connect, tmp_path: Path) -> None:
    log = Log(b'', b'', b'', b'')
    conn = connect(log)
    path = tmp_path / 'file'
    path.write_bytes(MUCH)
    with path.open('rb') as buffered, path.open('rb', buffering=0) as raw:
        for fh in buffered, raw, io.BytesIO(MUCH), OnlyReadinto(MUCH, 100_000):
            conn.send_request('PUT', '/', body=len(MUCH))
            assert list(conn.co_sendfile(fh)) == []
            assert conn.read_response()[2] == 200
            conn.discard()
    assert [request.body == MUCH for request in log.requests] == [True] * 4


def test_co_sendfile_leaves_unannounced_content(connect: Connect) -> None:
    log = Log(b'', b'')
    conn = connect(log)
    fh = io.BytesIO(b'first second')
    conn.send_request('PUT', '/', body=6)
    run(conn.co_sendfile(fh))
    conn.send_request('PUT', '/', body=6)
    assert conn.write(b's') == 1
    fh.read(1)
    run(conn.co_sendfile(fh))
    for _ in range(2):
        conn.read_response()
        conn.discard()
    assert [request.body for request in log.requests] == [b'first ', b'second']


def test_co_sendfile_of_a_file_that_is_too_short(connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    conn.send_request('PUT', '/', body=12)
    run(conn.co_sendfile(io.BytesIO(b'first ')))
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.send_request('GET', '/')
    run(conn.co_sendfile(io.BytesIO(b'second')))
    conn.read_response()
    assert log.requests[0].body == b'first second'


def test_co_sendfile_reads_nothing_while_no_content_is_due(connect: Connect) -> None:
    conn = connect(Log(b''))
    fh = io.BytesIO(b'hello')
    conn.connect()
    with pytest.raises(StateError):
        next(conn.co_sendfile(fh))
    conn.send_request('PUT', '/', body=5)
    conn.write(b'hello')
    with pytest.raises(StateError):
        next(conn.co_sendfile(fh))
    assert conn.read_response()[2] == 200
    with pytest.raises(StateError):
        next(conn.co_sendfile(fh))
    assert fh.tell() == 0


def test_co_sendfile_cannot_deadlock(connect: Connect) -> None:
    conn = connect(answer_before_reading_on)
    conn.send_request('GET', '/1')
    conn.send_request('PUT', '/2', body=len(MUCH))
    body = drive(conn, conn.co_sendfile(io.BytesIO(MUCH)))
    if conn.get_current_response():
        body += conn.readall()
    assert body == MUCH
    assert conn.read_response()[:2] == ('PUT', '/2')
    assert conn.readall() == b'done'


def test_co_sendfile_yields_none_when_response_data_is_waiting(connect: Connect) -> None:
    conn = connect(Log(b'first', b'second'))
    conn.send_request('GET', '/1')
    arrives(conn)
    conn.send_request('PUT', '/2', body=5)
    sending = conn.co_sendfile(io.BytesIO(b'hello'))
    assert next(sending) is None
    wait_for_response(conn)
    assert conn.readall() == b'first'
    assert list(sending) == []
    assert conn.read_response()[1] == '/2'
    assert conn.readall() == b'second'


# expect100


def test_expect100(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        head = peer.head()
        assert head.values('Expect') == ['100-continue']
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(5) == b'hello'
        peer.answer(b'done')
        peer.rest()

    conn = connect(script)
    fh = io.BytesIO(b'hello')
    conn.send_request('PUT', '/', body=5, expect100=True)
    assert conn.response_pending()
    for partial in False, True:
        with pytest.raises(StateError):
            conn.write(b'hello', partial)
    with pytest.raises(StateError):
        next(conn.co_sendfile(fh))
    assert fh.tell() == 0
    assert conn.read_response()[:3] == ('PUT', '/', 100)
    assert conn.get_current_response() is None
    assert not conn.response_pending()
    run(conn.co_sendfile(fh))
    assert conn.read_response()[:3] == ('PUT', '/', 200)
    assert conn.readall() == b'done'


def test_expect100_via_cofun(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(5) == b'hello'
        peer.answer(b'done')
        peer.rest()

    conn = connect(script)
    run(conn.send_request('PUT', '/', body=5, via_cofun=True, expect100=True))
    assert conn.read_response()[2] == 100
    assert conn.read(10) == b''  # allowed, but not necessary
    conn.write(b'hello')
    assert conn.read_response()[2] == 200
    assert conn.readall() == b'done'


def test_expect100_refused(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'no', '403 Forbidden', [('Connection', 'close')])

    conn = connect(script, Log(b'hello'))
    conn.send_request('PUT', '/', body=5, expect100=True)
    assert conn.read_response()[2] == 403
    with pytest.raises(StateError):
        conn.write(b'hello')
    assert conn.readall() == b'no'
    with pytest.raises(StateError):
        next(conn.co_sendfile(io.BytesIO(b'hello')))
    conn.close()
    assert get(conn) == (200, b'hello')
