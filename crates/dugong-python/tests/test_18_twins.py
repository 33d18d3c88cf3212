"""Statements 18.3 and 18.4: when an iterator does not yield, and that it does the same as its regular twin."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from iterators import BIG, HEAD, HELLO, LIMIT, READING, Crt, T, deliver, drive, every_framing
from peers import Peer, Serve, says

from dugong import (
    POLLIN,
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    ExcessBodyData,
    HTTPConnection,
    HTTPResponse,
    InvalidResponse,
    StateError,
    eval_coroutine,
)


def at_once(iterator: Crt[T]) -> T:
    """Run an iterator that must not yield."""
    with pytest.raises(StopIteration) as caught:
        next(iterator)
    value: T = caught.value.value
    return value


@every_framing
def test_18_3_everything_is_there(serve: Serve, head: bytes, body: bytes) -> None:
    def script(peer: Peer) -> None:
        for _ in range(len(READING)):
            peer.request()
        deliver(peer, (head + body) * len(READING))
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve(script)
    conn.connect()
    for number in range(len(READING)):
        assert at_once(conn.co_send_request('GET', f'/{number}')) is None
    assert sent.wait(LIMIT)
    for number, (name, make) in enumerate(READING.items()):
        assert at_once(conn.co_read_response()).path == f'/{number}'
        values = {'readinto': 5, 'discard': None}
        assert at_once(make(conn)) == values.get(name, b'hello')
        assert at_once(conn.co_read(5)) == b''


@pytest.mark.parametrize('size', [1, 1000, 16384, 40000])
@pytest.mark.parametrize('into', [False, True])
def test_18_3_decrypted_data(serve: Serve, size: int, into: bool) -> None:
    """The TLS layer holds the rest of a record when the system has no more data."""

    def script(peer: Peer) -> None:
        peer.request()
        deliver(peer, b'HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n' + data)
        sent.set()
        peer.rest()

    data = bytes(range(250)) * 160
    sent = threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/')
    assert sent.wait(LIMIT)
    assert at_once(conn.co_read_response()).length == 40000
    got, buf = bytearray(), bytearray(size)
    while len(got) < (len(data) if size > 1 else 1000):
        part = buf[: at_once(conn.co_readinto(buf))] if into else at_once(conn.co_read(size))
        assert 1 <= len(part) <= size
        got += part
    assert got + at_once(conn.co_readall()) == data
    assert at_once(conn.co_read(size)) == b''
    assert not conn.response_pending()


def test_18_3_decrypted_data_of_many_small_responses(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for _ in range(300):
            peer.request()
        deliver(peer, HELLO * 300)  # 15,600 bytes: one record of TLS
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve(script)
    for number in range(300):
        conn.send_request('GET', f'/{number}')
    assert sent.wait(LIMIT)
    for number in range(300):
        assert at_once(conn.co_read_response()).path == f'/{number}'
        assert at_once(conn.co_readall()) == b'hello'


def test_18_3_the_end_of_the_connection(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello')

    conn = serve(script)
    conn.send_request('GET', '/')
    assert drive(conn.co_read_response()).length is None
    assert drive(conn.co_readall()) == b'hello'
    assert at_once(conn.co_readall()) == b''
    assert at_once(conn.co_read(1)) == b''


def test_18_3_sending_as_much_as_the_system_takes(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for body in b'', b'hello', b'hello', b'helloworld', b'':
            assert peer.request().body == body
        peer.rest()

    conn = serve(script)
    conn.connect()
    assert at_once(conn.co_send_request('GET', '/')) is None
    assert at_once(conn.co_send_request('PUT', '/', body=b'hello')) is None
    assert at_once(conn.co_send_request('PUT', '/', body=BodyFollowing(5))) is None
    assert at_once(conn.co_write(b'hel')) is None
    assert at_once(conn.co_write(b'')) is None
    assert at_once(conn.co_write(b'lo')) is None
    assert at_once(conn.co_send_request('PUT', '/', body=BodyFollowing())) is None
    assert at_once(conn.co_write(b'hello')) is None
    reading = conn.co_read_response()
    assert next(reading).mask == POLLIN
    assert at_once(conn.co_write(b'world')) is None
    assert at_once(conn.co_finish()) is None
    assert at_once(conn.co_send_request('PUT', '/', body=BodyFollowing(0))) is None
    assert next(reading).mask == POLLIN


def test_18_3_nothing_to_read(serve: Serve) -> None:
    def check() -> None:
        assert at_once(conn.co_read(5)) == b''
        assert at_once(conn.co_read()) == b''
        assert at_once(conn.co_read(0)) == b''
        assert at_once(conn.co_readinto(bytearray(5))) == 0
        assert at_once(conn.co_readinto(bytearray())) == 0
        assert at_once(conn.co_readall()) == b''
        assert at_once(conn.co_discard()) is None

    conn = serve(says(HEAD, b'HTTP/1.1 204 No Content\r\n\r\n', b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', HELLO))
    check()
    conn.connect()
    check()
    for method in 'HEAD', 'GET', 'GET':
        conn.send_request(method, '/')
        assert at_once(conn.co_discard()) is None
        assert conn.read_response().length == 0
        check()
    conn.send_request('GET', '/')
    assert at_once(conn.co_read(0)) == b''
    conn.read_response()
    assert at_once(conn.co_read(0)) == b''
    assert at_once(conn.co_readinto(bytearray())) == 0
    assert conn.readall() == b'hello'
    check()


# 18.4 Twins


def regular(conn: HTTPConnection, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(conn, name)(*args, **kwargs)


def twin(conn: HTTPConnection, name: str, *args: Any, **kwargs: Any) -> Any:
    return eval_coroutine(getattr(conn, f'co_{name}')(*args, **kwargs), conn.timeout)


def mixed(conn: HTTPConnection, name: str, *args: Any, **kwargs: Any) -> Any:
    """The regular method and the twin in turn."""
    mixed.number += 1  # type: ignore[attr-defined]
    return (regular, twin)[mixed.number % 2](conn, name, *args, **kwargs)  # type: ignore[attr-defined]


mixed.number = 0  # type: ignore[attr-defined]

every_way = pytest.mark.parametrize('call', [regular, twin, mixed])

Call = Callable[..., Any]


@every_way
def test_18_4_the_same_results(serve: Serve, call: Call) -> None:
    def script(peer: Peer) -> None:
        bodies = [peer.request().body for _ in range(4)]
        assert bodies == [b'', b'hello', bytes(BIG), b'helloworld']
        peer.send(HELLO * 2)
        peer.send(
            b'HTTP/1.1 201 Yes\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\nA: b\r\n\r\n'
        )
        peer.send(b'HTTP/1.1 204 No\r\n\r\n')
        peer.rest()

    conn = serve(script)
    results: list[Any] = [
        call(conn, 'send_request', 'GET', '/0'),
        call(conn, 'send_request', 'PUT', '/1', {'A': 'b'}, b'hello'),
        call(conn, 'send_request', 'PUT', '/2', body=BodyFollowing(BIG)),
        call(conn, 'write', bytes(BIG)),
        call(conn, 'send_request', 'PUT', '/3', body=BodyFollowing()),
        call(conn, 'write', b'hello'),
        call(conn, 'write', b'world'),
        call(conn, 'finish', {'C': 'd'}),
    ]
    assert results == [None] * 8
    response = call(conn, 'read_response')
    assert type(response) is HTTPResponse
    assert (response.method, response.path, response.status, response.length) == ('GET', '/0', 200, 5)
    data = call(conn, 'read', 20)
    assert (type(data), data) == (bytearray, b'hello')
    assert call(conn, 'read', 20) == b''
    assert call(conn, 'read_response').path == '/1'
    data = call(conn, 'readall')
    assert (type(data), data) == (bytes, b'hello')
    response = call(conn, 'read_response')
    assert (response.status, response.length) == (201, None)
    buf = bytearray(4)
    assert call(conn, 'readinto', buf) == 4
    assert buf == b'hell'
    assert call(conn, 'discard') is None
    assert response.trailers.items() == [('A', 'b')]
    assert call(conn, 'readinto', buf) == 0
    assert call(conn, 'read_response').status == 204
    assert call(conn, 'readall') == b''
    assert not conn.response_pending()


@every_way
def test_18_4_the_same_errors(serve: Serve, call: Call) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        assert peer.request().body == b'hello'
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n')
        peer.rest()

    def fails(error: type[Exception], *args: Any, **kwargs: Any) -> None:
        with pytest.raises(error) as caught:
            call(conn, *args, **kwargs)
        assert type(caught.value) is error

    conn = serve(script)
    fails(StateError, 'read_response')
    fails(StateError, 'write', b'x')
    fails(StateError, 'finish')
    fails(ValueError, 'send_request', 'GET', '')
    fails(TypeError, 'send_request', 'GET', '/', body='text')
    call(conn, 'send_request', 'GET', '/')
    call(conn, 'read_response')
    fails(StateError, 'read_response')
    assert call(conn, 'read', -1) == b'hello'
    fails(StateError, 'read_response')
    call(conn, 'send_request', 'PUT', '/', body=BodyFollowing(5))
    fails(StateError, 'send_request', 'GET', '/')
    fails(ExcessBodyData, 'write', b'too much')
    fails(TypeError, 'write', 'hello')
    call(conn, 'write', b'hello')
    call(conn, 'read_response')
    for name, args in ('readall', []), ('read', [5]), ('readinto', [bytearray(5)]), ('discard', []):
        fails(InvalidResponse, name, *args)
    conn.disconnect()
    fails(StateError, 'read_response')


@every_way
def test_18_4_the_same_when_the_connection_is_lost(serve: Serve, call: Call) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.request()
        peer.send(HEAD + b'hel')

    conn = serve(script)
    for _ in range(2):
        call(conn, 'send_request', 'GET', '/')
    call(conn, 'read_response')
    with pytest.raises(ConnectionClosed):
        call(conn, 'readall')
    conn.disconnect()


@every_way
def test_18_4_the_same_timeout(serve: Serve, call: Call) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        assert answer.wait(LIMIT)
        peer.send(HEAD)
        assert body.wait(LIMIT)
        peer.send(b'hello')
        peer.rest()

    answer, body = threading.Event(), threading.Event()
    conn = serve(script)
    call(conn, 'send_request', 'GET', '/')
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        call(conn, 'read_response')
    conn.timeout = LIMIT
    answer.set()
    assert call(conn, 'read_response').status == 200
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        call(conn, 'read', 5)
    with pytest.raises(ConnectionTimedOut):
        call(conn, 'discard')
    conn.timeout = LIMIT
    body.set()
    assert call(conn, 'read', 5)


@every_way
@every_framing
@pytest.mark.parametrize('debug', [False, True])
def test_18_4_read_without_a_size_reads_all(
    serve: Serve, caplog: pytest.LogCaptureFixture, call: Call, head: bytes, body: bytes, debug: bool
) -> None:
    caplog.set_level(logging.DEBUG if debug else logging.WARNING, 'dugong')
    conn = serve(says(*[head + body] * 6))
    for args in [], [None], [-1]:
        call(conn, 'send_request', 'GET', '/')
        with pytest.raises(StateError):
            call(conn, 'read', *args)
        call(conn, 'read_response')
        assert call(conn, 'read', *args) == b'hello'
        assert call(conn, 'read', *args) == b''
        assert not conn.response_pending()
        call(conn, 'send_request', 'GET', '/')
        call(conn, 'read_response')
        assert call(conn, 'read', 2) + call(conn, 'read', *args) == b'hello'
