"""Statement 14.6, and what may follow an exception."""

from __future__ import annotations

import errno
import ssl
import threading
from collections.abc import Callable

import pytest
from losses import CHUNKS, HELLO, LIMIT, OTHER, Context, ask
from peers import Peer, Serve, says

import dugong
from dugong import (
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    ExcessBodyData,
    InvalidResponse,
    StateError,
)

UNASKED = [
    b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
    b'HTTP/1.1 200 OK\r\n',
    b'HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n',
    b'HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\n408',
    b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
    b'SSH-2.0-OpenSSH_9.2p1\r\n',
    b'408',
    b'x',
]

TIMED_OUT = [
    b'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
    b'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n<html>',
    b'HTTP/1.0 408 Request Time-out\r\nCache-Control: no-cache\r\n\r\n<html>',
    b'HTTP/1.1 408\r\n\r\n',
]

every_unasked = pytest.mark.parametrize(
    ('unasked', 'error'),
    [(data, InvalidResponse) for data in UNASKED] + [(data, ConnectionClosed) for data in TIMED_OUT],
)


def the_next_request_fails(conn: dugong.HTTPConnection, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(conn)
    conn.reset()
    ask(conn)
    assert conn.readall() == b'hello'


@every_unasked
@pytest.mark.parametrize('end', [False, True])
def test_14_6_unasked_bytes(serve: Serve, unasked: bytes, error: type[Exception], end: bool) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        assert done.wait(LIMIT)
        peer.send(unasked)
        if end:
            peer.end()
        sent.set()
        peer.rest()

    done, sent = threading.Event(), threading.Event()
    conn = serve(script, says(HELLO))
    ask(conn)
    assert conn.readall() == b'hello'
    done.set()
    assert sent.wait(LIMIT)
    the_next_request_fails(conn, error)


@every_unasked
@pytest.mark.parametrize(
    ('method', 'answer', 'body'),
    [
        ('GET', HELLO, b'hello'),
        ('GET', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + CHUNKS, b'hello'),
        ('GET', b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', b''),
        ('GET', b'HTTP/1.1 204 No Content\r\n\r\n', b''),
        ('HEAD', b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', b''),
    ],
)
def test_14_6_bytes_that_came_with_the_last_answer(
    serve: Serve, unasked: bytes, error: type[Exception], method: str, answer: bytes, body: bytes
) -> None:
    conn = serve(says(answer + unasked), says(HELLO))
    assert ask(conn, method).status in (200, 204)
    assert conn.readall() == body
    the_next_request_fails(conn, error)


@every_unasked
def test_14_6_bytes_before_the_first_request(serve: Serve, unasked: bytes, error: type[Exception]) -> None:
    def script(peer: Peer) -> None:
        peer.send(unasked)
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve(script, says(HELLO))
    conn.connect()
    assert sent.wait(LIMIT)
    the_next_request_fails(conn, error)


# What may follow an exception


NOTHING_CHANGED: list[tuple[type[Exception], Callable[[dugong.HTTPConnection], object]]] = [
    (ValueError, lambda conn: conn.send_request('GET', '/', expect100=True)),
    (ValueError, lambda conn: conn.send_request('GET', '/a b')),
    (ValueError, lambda conn: conn.send_request('GET', '/', headers={'A': 'b\r\nC: d'})),
    (ValueError, lambda conn: conn.send_request('PUT', '/', body=BodyFollowing(-1))),
    (TypeError, lambda conn: conn.send_request('PUT', '/', body='text')),  # type: ignore[arg-type]
    (UnicodeEncodeError, lambda conn: conn.send_request('GET', '/\u20ac')),
    (UnicodeEncodeError, lambda conn: conn.send_request('GET', '/', headers={'A': '\u20ac'})),
    (UnicodeEncodeError, lambda conn: conn.send_request('PUT', '/\u20ac', body=BodyFollowing(4))),
    (StateError, lambda conn: conn.write(b'data')),
]


@pytest.mark.parametrize(('error', 'call'), NOTHING_CHANGED)
def test_14_after_wrong_calls_nothing_has_changed(
    serve: Serve, error: type[Exception], call: Callable[[dugong.HTTPConnection], object]
) -> None:
    def script(peer: Peer) -> None:
        for number in range(2):
            assert peer.request().target == f'/{number}'
        peer.answer(b'hello')
        peer.answer(b'world')
        assert peer.rest() == b''

    conn = serve(script)

    def wrong() -> None:
        with pytest.raises(error):
            call(conn)

    wrong()
    assert not conn.response_pending()
    conn.send_request('GET', '/0')
    wrong()
    conn.send_request('GET', '/1')
    wrong()
    assert conn.response_pending()
    assert conn.read_response().path == '/0'
    wrong()
    assert len(conn.read(2)) <= 2
    wrong()
    assert b'hello'.endswith(conn.readall())
    wrong()
    assert conn.read_response().path == '/1'
    assert conn.readall() == b'world'
    wrong()
    assert not conn.response_pending()


def test_14_after_state_errors_and_excess_data_nothing_has_changed(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().body == b'data'
        peer.answer(b'hello')
        assert peer.rest() == b''

    conn = serve(script)

    def wrong() -> None:
        with pytest.raises(ExcessBodyData):
            conn.write(b'excess')
        with pytest.raises(StateError):
            conn.send_request('GET', '/')
        with pytest.raises(StateError):
            conn.read_response()

    conn.send_request('PUT', '/', body=BodyFollowing(4))
    wrong()
    conn.write(b'da')
    wrong()
    conn.write(b'ta')
    conn.read_response()
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('at', [0, 1, 8, 12, 15, 16, 17, 20, 24, 35, 36, 37])
def test_14_after_a_timeout_read_response_goes_on(serve: Serve, at: int) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        if at:
            peer.send(HELLO[:at])
        assert timed_out.wait(LIMIT)
        peer.send(HELLO[at:])
        peer.rest()

    timed_out = threading.Event()
    conn = serve(script)
    conn.connect()
    conn.send_request('GET', '/')
    conn.timeout = 0.1
    for _ in range(2):
        with pytest.raises(ConnectionTimedOut):
            conn.read_response()
    timed_out.set()
    conn.timeout = LIMIT
    resp = conn.read_response()
    assert (resp.status, resp.reason, resp.headers.items()) == (200, 'OK', [('Content-Length', '5')])
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    ('head', 'parts'),
    [
        (b'Content-Length: 10', [b'', b'hello', b'world']),
        (b'Transfer-Encoding: chunked', [b'5', b'\r\nhel', b'lo\r', b'\n5\r\nworld\r\n', b'0\r', b'\n', b'\r\n']),
        (b'Connection: close', [b'', b'hello', b'world']),
    ],
)
@pytest.mark.parametrize('call', ['read', 'readinto', 'discard'])
def test_14_after_a_timeout_reading_goes_on(serve: Serve, head: bytes, parts: list[bytes], call: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n' % head)
        for part in parts:
            if part:
                peer.send(part)
            assert timed_out.acquire(timeout=LIMIT)

    timed_out = threading.Semaphore(0)
    conn = serve(script)
    ask(conn)
    conn.timeout = 0.1
    got, timeouts = b'', 0
    while timeouts <= len(parts):  # with the last part, reading ends without a timeout
        try:
            if call == 'read':
                data = bytes(conn.read(100))
            elif call == 'readinto':
                buf = bytearray(100)
                data = bytes(buf[: conn.readinto(buf)])
            else:
                conn.discard()
                data = b''
        except ConnectionTimedOut:
            timeouts += 1
            timed_out.release()
        else:
            if not data:
                break
            got += data
    for _ in parts:
        timed_out.release()
    assert timeouts >= len(parts) - 1
    assert got == (b'' if call == 'discard' else b'helloworld')
    assert not conn.response_pending()


@pytest.mark.parametrize('call', ['send_request', 'write'])
def test_14_after_a_timeout_while_sending_nothing_but_disconnecting(serve: Serve, call: str) -> None:
    def script(peer: Peer) -> None:
        assert disconnected.wait(LIMIT)

    disconnected = threading.Event()
    conn = serve(script, says(HELLO))
    conn.connect()
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        if call == 'write':
            conn.send_request('PUT', '/', body=BodyFollowing(1 << 26))
            for _ in range(1 << 6):
                conn.write(bytes(1 << 20))
        else:
            conn.send_request('PUT', '/', body=bytes(1 << 26))
    conn.timeout = LIMIT
    conn.disconnect()
    disconnected.set()
    ask(conn)
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    'error',
    [OSError(errno.EIO, 'what'), ssl.SSLCertVerificationError(1, 'what'), ConnectionResetError(), KeyError('x')],
)
def test_14_after_an_error_while_connecting_no_connection_exists(serve_plain: Serve, error: Exception) -> None:
    def nothing(peer: Peer) -> None:
        assert peer.rest() == b''

    conn = serve_plain(nothing, nothing, says(HELLO))
    context = Context()
    conn.ssl_context = context
    for call in conn.connect, lambda: conn.send_request('GET', '/'):
        context.error = error
        with pytest.raises((type(error), ConnectionClosed)):
            call()
        assert not conn.response_pending()
        assert conn.read(10) == b''
        with pytest.raises(StateError):
            conn.read_response()
        with pytest.raises(StateError):
            conn.write(b'x')
    context.error = None
    ask(conn)
    assert conn.readall() == b'hello'
    assert serve_plain.server.connections == 3


@pytest.mark.parametrize('error', OTHER)
@pytest.mark.parametrize('direction', ['when_sending', 'when_reading'])
def test_14_after_another_error_nothing_but_disconnecting(
    serve_plain: Serve, error: Callable[[], Exception], direction: str
) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    conn = serve_plain(script, says(HELLO))
    context = Context()
    conn.ssl_context = context
    conn.send_request('GET', '/')
    setattr(context.wrapped, direction, error)
    with pytest.raises(type(error())):
        ask(conn)
    conn.disconnect()
    ask(conn)
    assert conn.readall() == b'hello'
