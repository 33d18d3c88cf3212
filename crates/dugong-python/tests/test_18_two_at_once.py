"""Statement 18.5: one sending and one reading iterator at the same time."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest
from iterators import BIG, HEAD, HELLO, LIMIT, SENDING, Crt, Make, drive, drive_both, every_reading
from peers import Peer, Serve, get, says, silent

from dugong import (
    POLLOUT,
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    PollNeeded,
    eval_coroutine,
)


def test_18_5_one_sends_while_the_other_reads(serve: Serve) -> None:
    """The server does not read the second request before it has sent the first response."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % BIG + data)
        assert peer.request().body == data
        peer.send(HELLO)
        peer.rest()

    data = bytes(range(256)) * (BIG >> 8)
    conn = serve(script)
    conn.send_request('GET', '/first')
    conn.send_request('PUT', '/second', body=BodyFollowing(BIG))
    writing, reading = conn.co_write(data), conn.co_read_response()
    need = next(writing)
    assert need.mask & POLLOUT
    assert drive(reading).path == '/first'
    assert drive_both(writing, conn.co_readall()) == (None, data)
    assert drive(conn.co_read_response()).path == '/second'
    assert drive(conn.co_readall()) == b'hello'


def test_18_5_one_reads_while_the_other_sends(serve: Serve) -> None:
    """The server does not answer the first request before it has read the second."""

    def script(peer: Peer) -> None:
        peer.request()
        assert peer.request().body == data
        peer.send(HELLO * 2)
        peer.rest()

    data = bytes(range(256)) * (BIG >> 8)
    conn = serve(script)
    conn.send_request('GET', '/first')
    reading, sending = conn.co_read_response(), conn.co_send_request('PUT', '/second', body=data)
    response, _ = drive_both(reading, sending)
    assert response.path == '/first'
    assert drive(conn.co_readall()) == b'hello'
    assert drive(conn.co_read_response()).path == '/second'
    assert drive(conn.co_readall()) == b'hello'


def test_18_5_many_requests_and_many_responses(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for number in range(50):
            request = peer.request()
            assert request.target == f'/{number}'
            peer.answer(request.body)
        peer.rest()

    def send() -> Crt[None]:
        for number in range(50):
            body = b'%d ' % number * 10000
            if number % 3 == 0:
                yield from conn.co_send_request('PUT', f'/{number}', body=body)
                continue
            announced = BodyFollowing(len(body)) if number % 3 == 1 else BodyFollowing()
            yield from conn.co_send_request('PUT', f'/{number}', body=announced)
            yield from conn.co_write(body[:12345])
            yield from conn.co_write(body[12345:])
            if number % 3 == 2:
                yield from conn.co_finish()

    def read() -> Crt[int]:
        number = 0
        while number < 50:
            if not conn.response_pending():
                yield PollNeeded(idle.fileno(), POLLOUT)
                continue
            response = yield from conn.co_read_response()
            assert response.path == f'/{number}'
            body = bytearray()
            while data := (yield from conn.co_read(30000)):
                body += data
            assert body == b'%d ' % number * 10000
            number += 1
        return number

    conn = serve(script)
    idle, other = socket.socketpair()
    with idle, other:
        assert drive_both(send(), read()) == (None, 50)


def test_18_5_one_that_reads_may_be_left_alone(serve: Serve) -> None:
    """Programs of 3.8.2 do not close an iterator that they give up, for instance after a timeout."""
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert go.wait(LIMIT)
        peer.send(HELLO)
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/')
    with pytest.raises(ConnectionTimedOut) as kept:
        eval_coroutine(conn.co_read_response(), 0.01)
    alone = conn.co_read_response()
    next(alone)
    go.set()
    assert drive(conn.co_read_response()).path == '/'
    assert conn.readall() == b'hello'
    assert kept
    alone.close()


#: The ways to close the connection, and the calls before the iterator is resumed.
CLOSING = [
    ('disconnect', 'nothing'),
    ('disconnect', 'connect'),
    ('disconnect', 'ask'),
    ('reset', 'connect'),
    ('close', 'ask'),
    ('connect', 'nothing'),
]

ACTIVE: dict[str, tuple[Make, Make]] = {
    **SENDING,
    'read_response': (
        lambda conn: conn.send_request('GET', '/'),
        lambda conn: conn.co_read_response(),
    ),
    'send requests': (
        lambda conn: None,
        lambda conn: conn.co_send_request('GET', '/', {'A': 'x' * BIG}),
    ),
}


@pytest.mark.parametrize(('closing', 'after'), CLOSING)
@pytest.mark.parametrize(('before', 'make'), ACTIVE.values(), ids=ACTIVE.keys())
def test_18_5_resumed_after_disconnect(serve: Serve, before: Make, make: Make, closing: str, after: str) -> None:
    def script(peer: Peer) -> None:
        assert disconnected.wait(LIMIT)

    connected_again = 'connect' in (closing, after) or after == 'ask'
    disconnected = threading.Event()
    answers = [HELLO, HELLO] if after == 'ask' else [HELLO]
    conn = serve(script, *([says(*answers)] if connected_again else []))
    conn.connect()
    before(conn)
    iterator = make(conn)
    next(iterator)
    getattr(conn, closing)()
    disconnected.set()
    if after == 'connect':
        conn.connect()
    elif after == 'ask':
        conn.send_request('GET', '/new')
    with pytest.raises(ConnectionClosed):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    if after == 'ask':
        assert conn.read_response().path == '/new'
        assert conn.readall() == b'hello'
    assert not conn.response_pending()
    if connected_again:
        assert get(conn, '/newer') == b'hello'


@pytest.mark.parametrize('new', [False, True])
@every_reading
def test_18_5_reading_a_body_resumed_after_disconnect(serve: Serve, make: Make, new: bool) -> None:
    conn = serve(says(HEAD), says(HELLO))
    conn.send_request('GET', '/old')
    conn.read_response()
    iterator = make(conn)
    next(iterator)
    conn.disconnect()
    if new:
        conn.send_request('GET', '/new')
        assert conn.read_response().path == '/new'
    with pytest.raises(ConnectionClosed):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    if new:
        assert conn.readall() == b'hello'


@pytest.mark.parametrize('new', [False, True])
def test_18_5_both_resumed_after_disconnect(serve: Serve, new: bool) -> None:
    def script(peer: Peer) -> None:
        assert disconnected.wait(LIMIT)

    disconnected = threading.Event()
    conn = serve(script, says(HELLO))
    conn.send_request('GET', '/')
    conn.send_request('PUT', '/', body=BodyFollowing(BIG))
    writing, reading = conn.co_write(bytes(BIG)), conn.co_read_response()
    next(writing)
    next(reading)
    conn.disconnect()
    disconnected.set()
    if new:
        conn.send_request('GET', '/new')
    for iterator in writing, reading:
        with pytest.raises(ConnectionClosed):
            eval_coroutine(iterator, LIMIT)
    if new:
        assert conn.read_response().path == '/new'
        assert conn.readall() == b'hello'


@pytest.mark.parametrize('new', [False, True])
def test_18_5_connecting_resumed_after_disconnect(serve_plain: Serve, client_tls: ssl.SSLContext, new: bool) -> None:
    """The server keeps silent in the handshake."""
    conn = serve_plain(silent, says(HELLO))
    conn.ssl_context = client_tls
    iterator = conn.co_send_request('GET', '/old')
    for need in iterator:
        if not need.poll(0.1):
            break
    conn.disconnect()
    if new:
        conn.ssl_context = None
        conn.send_request('GET', '/new')
    with pytest.raises(ConnectionClosed):
        next(iterator)
    if new:
        assert conn.read_response().path == '/new'
        assert conn.readall() == b'hello'
        assert not conn.response_pending()


def test_18_5_one_that_was_not_started_belongs_to_no_connection(serve: Serve) -> None:
    conn = serve(says(HELLO), says(HELLO, HELLO))
    assert get(conn) == b'hello'
    sending, reading, last = conn.co_send_request('GET', '/old'), conn.co_read_response(), conn.co_readall()
    conn.disconnect()
    assert get(conn) == b'hello'
    drive(sending)
    assert drive(reading).path == '/old'
    assert drive(last) == b'hello'
    assert serve.server.connections == 2
