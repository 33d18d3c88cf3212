"""Statements 14.1 to 14.3: the signs of a lost connection."""

from __future__ import annotations

import errno
import pickle
import threading
from collections.abc import Callable

import pytest
from losses import CHUNKS, GONE, HELLO, LIMIT, OTHER, Context, ask, no
from peers import Peer, Serve, says

from dugong import (
    BodyFollowing,
    ConnectionClosed,
    RequestOutcome,
)


@pytest.mark.parametrize('ending', ['end', 'cut', 'reset'])
@pytest.mark.parametrize(
    'sent',
    [
        b'',
        b'H',
        b'HTTP/1.1 200 OK',
        b'HTTP/1.1 200 OK\r\n',
        b'HTTP/1.1 200 OK\r\nA: b\r\nConte',
        HELLO[:-7],
        HELLO[:-6],
    ],
)
def test_14_1_end_of_data_within_a_head(serve: Serve, ending: str, sent: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        if sent:
            peer.send(sent)
        getattr(peer, ending)()

    conn = serve(script, says(HELLO))
    conn.send_request('GET', '/')
    with pytest.raises(ConnectionClosed):
        conn.read_response()
    conn.reset()
    assert ask(conn).status == 200
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('ending', ['end', 'cut', 'reset'])
@pytest.mark.parametrize(
    'answer', [HELLO[:-2], b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel'], ids=['length', 'chunked']
)
@pytest.mark.parametrize('call', ['read', 'readinto', 'readall', 'discard'])
def test_14_1_end_of_data_within_a_body(serve: Serve, ending: str, answer: bytes, call: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        assert got_head.wait(LIMIT)
        getattr(peer, ending)()

    got_head = threading.Event()
    conn = serve(script)
    ask(conn)
    got_head.set()
    with pytest.raises(ConnectionClosed):
        while True:
            if call == 'read':
                assert conn.read(10)
            elif call == 'readinto':
                assert conn.readinto(bytearray(10))
            else:
                getattr(conn, call)()


@pytest.mark.parametrize('ending', ['cut', 'reset', 'close'])
def test_14_1_end_while_sending(serve: Serve, ending: str) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        getattr(peer, ending)()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(64 << 20))
    with pytest.raises(ConnectionClosed):
        for _ in range(64):
            conn.write(bytes(1 << 20))
        conn.read_response()  # it may be the first to raise (14.3)


@pytest.mark.parametrize('error', GONE)
@pytest.mark.parametrize('part', [b'', b'HTTP/1.1 200 OK\r\nCont'])
def test_14_1_signs_of_a_lost_connection_when_reading(
    serve_plain: Serve, error: Callable[[], Exception], part: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        if part:
            peer.send(part)
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve_plain(script)
    context = Context()
    conn.ssl_context = context
    conn.send_request('GET', '/')
    assert sent.wait(LIMIT)
    iterator = conn.co_read_response()
    next(iterator)  # reads the bytes that have arrived
    iterator.close()
    context.wrapped.when_reading = error
    with pytest.raises(ConnectionClosed):
        conn.read_response()


@pytest.mark.parametrize('error', GONE)
@pytest.mark.parametrize('head', [b'Content-Length: 5', b'Transfer-Encoding: chunked'])
def test_14_1_signs_of_a_lost_connection_within_a_body(
    serve_plain: Serve, error: Callable[[], Exception], head: bytes
) -> None:
    conn = serve_plain(says(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n' % head))
    context = Context()
    conn.ssl_context = context
    ask(conn)
    context.wrapped.when_reading = error
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            conn.read(10)


@pytest.mark.parametrize('error', [*GONE, pytest.param(no(errno.EINVAL), id='EINVAL')])
@pytest.mark.parametrize('call', ['send_request', 'write'])
def test_14_1_signs_of_a_lost_connection_when_sending(
    serve_plain: Serve, error: Callable[[], Exception], call: str
) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    conn = serve_plain(script)
    context = Context()
    conn.ssl_context = context
    conn.connect()
    if call == 'write':
        conn.send_request('PUT', '/', body=BodyFollowing(5))
    context.wrapped.when_sending = error
    with pytest.raises(ConnectionClosed):
        if call == 'write':
            conn.write(b'hello')
        else:
            conn.send_request('GET', '/')


@pytest.mark.parametrize('error', [*OTHER, pytest.param(no(errno.EINVAL), id='EINVAL')])
@pytest.mark.parametrize('call', ['read_response', 'readall'])
def test_14_1_other_errors_when_reading_are_passed_on(
    serve_plain: Serve, error: Callable[[], Exception], call: str
) -> None:
    conn = serve_plain(says(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n' * (call == 'readall')))
    context = Context()
    conn.ssl_context = context
    conn.send_request('GET', '/')
    if call == 'readall':
        conn.read_response()
    wanted = error()
    context.wrapped.when_reading = lambda: wanted
    with pytest.raises(type(wanted)) as caught:
        getattr(conn, call)()
    assert caught.value is wanted


@pytest.mark.parametrize('error', OTHER)
@pytest.mark.parametrize('call', ['send_request', 'write'])
def test_14_1_other_errors_when_sending_are_passed_on(
    serve_plain: Serve, error: Callable[[], Exception], call: str
) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    conn = serve_plain(script)
    context = Context()
    conn.ssl_context = context
    conn.connect()
    if call == 'write':
        conn.send_request('PUT', '/', body=BodyFollowing(5))
    wanted = error()
    context.wrapped.when_sending = lambda: wanted
    with pytest.raises(type(wanted)) as caught:
        if call == 'write':
            conn.write(b'hello')
        else:
            conn.send_request('GET', '/')
    assert caught.value is wanted


@pytest.mark.parametrize('ending', ['end', 'cut', 'reset'])
def test_14_1_and_2_4_unanswered_requests_are_listed(serve: Serve, ending: str) -> None:
    def script(peer: Peer) -> None:
        for _ in range(4):
            peer.request()
        peer.send(HELLO + HELLO[:-1])
        assert got_head.wait(LIMIT)
        getattr(peer, ending)()

    got_head = threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/0')
    conn.send_request('GET', '/1')
    conn.send_request('POST', '/2', body=b'data')
    conn.send_request('PUT', '/3', body=b'data')
    conn.read_response()
    assert conn.readall() == b'hello'
    conn.read_response()
    got_head.set()
    with pytest.raises(ConnectionClosed) as caught:
        conn.readall()
    assert caught.value.unanswered == (('GET', '/1', True), ('POST', '/2', False), ('PUT', '/3', True))
    assert caught.value.outcomes == (
        ('GET', '/1', 'whole', True, True),
        ('POST', '/2', 'whole', False, False),
        ('PUT', '/3', 'whole', False, True),
    )
    assert pickle.loads(pickle.dumps(caught.value)).outcomes[1] == RequestOutcome('POST', '/2', 'whole', False, False)


CLOSING = pytest.mark.parametrize(
    'answer',
    [
        b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n' + CHUNKS,
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello',
    ],
    ids=['length', 'chunked', 'close'],
)


@CLOSING
def test_14_2_delivered_in_full_but_requests_sent_before_are_lost(serve: Serve, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
        peer.send(answer)

    conn = serve(script)
    for number in range(3):
        conn.send_request('GET', f'/{number}')
    assert conn.read_response().path == '/0'
    assert conn.readall() == b'hello'
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            conn.read_response()
    assert serve.server.connections == 1


@CLOSING
def test_14_2_and_14_3_requests_sent_afterwards_are_lost(serve: Serve, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    conn = serve(script, says(HELLO))
    ask(conn)
    assert conn.readall() == b'hello'
    conn.send_request('GET', '/')
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            conn.read_response()
    assert serve.server.connections == 1
    conn.reset()
    ask(conn)
    assert conn.readall() == b'hello'
    assert serve.server.connections == 2


@pytest.mark.parametrize('status', ['204 No Content', '304 Not Modified', '200 OK'])
def test_14_2_a_closing_response_without_body(serve: Serve, status: str) -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
        peer.send(f'HTTP/1.1 {status}\r\nConnection: close\r\n\r\n'.encode())

    conn = serve(script)
    conn.send_request('HEAD', '/')
    conn.send_request('HEAD', '/')
    assert conn.read_response().length == 0
    with pytest.raises(ConnectionClosed):
        conn.read_response()


def test_14_2_the_rest_of_a_closing_response_comes_later(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000005\r\n\r\n')
        assert got_head.wait(LIMIT)
        peer.send(b'hello' + bytes(1000000))

    got_head = threading.Event()
    conn = serve(script)
    ask(conn)
    got_head.set()
    assert conn.readall() == b'hello' + bytes(1000000)


@CLOSING
@pytest.mark.parametrize('body', [None, b'data', 'following'])
def test_14_3_sending_does_not_raise_because_of_a_close(serve: Serve, answer: bytes, body: bytes | str | None) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.end()
        ended.set()

    ended = threading.Event()
    conn = serve(script)
    ask(conn)
    assert conn.readall() == b'hello'
    assert ended.wait(LIMIT)
    if isinstance(body, str):
        conn.send_request('PUT', '/', body=BodyFollowing(8))
        conn.write(b'data')
        conn.write(b'data')
    else:
        conn.send_request('PUT', '/', body=body)
    with pytest.raises(ConnectionClosed):
        conn.read_response()


def test_14_3_sending_does_not_raise_because_of_an_end_that_was_not_announced(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        peer.end()
        ended.set()

    ended = threading.Event()
    conn = serve(script)
    ask(conn)
    assert conn.readall() == b'hello'
    assert ended.wait(LIMIT)
    conn.send_request('PUT', '/', body=BodyFollowing(8))
    conn.write(b'data')
    conn.write(b'data')
    with pytest.raises(ConnectionClosed):
        conn.read_response()


def test_14_3_the_close_was_announced_while_a_body_is_written(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.head()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello')

    conn = serve(script)
    conn.send_request('GET', '/')
    conn.send_request('PUT', '/', body=BodyFollowing(8))
    conn.read_response()
    assert conn.readall() == b'hello'
    conn.write(b'data')
    conn.write(b'data')
    with pytest.raises(ConnectionClosed):
        conn.read_response()
