from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers import Peer, Serve, says, silent

import dugong
from dugong import BodyFollowing, ConnectionClosed, InvalidResponse, StateError

LIMIT = 10
HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'

every_name = pytest.mark.parametrize('name', ['disconnect', 'reset'])


def ask(conn: dugong.HTTPConnection) -> dugong.HTTPResponse:
    conn.send_request('GET', '/')
    return conn.read_response()


def fill(conn: dugong.HTTPConnection) -> Any:
    """Send until both systems are full, and return the iterator that waits."""
    conn.send_request('PUT', '/', body=BodyFollowing(1 << 30))
    for _ in range(1 << 10):
        iterator = conn.co_write(bytes(1 << 20))
        for need in iterator:
            if not need.poll(0.3):
                return iterator
    raise AssertionError('there is no end')


@every_name
def test_15_1_closes_the_connection(serve: Serve, name: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        peer.rest()
        closed.set()

    closed = threading.Event()
    conn = serve(script)
    ask(conn)
    assert conn.readall() == b'hello'
    assert not closed.is_set()
    getattr(conn, name)()
    assert closed.wait(LIMIT)


@every_name
def test_15_1_says_so_with_tls(serve_tls: Serve, name: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        assert peer.rest() == b''
        assert peer.notified

    conn = serve_tls(script)
    ask(conn)
    assert conn.readall() == b'hello'
    getattr(conn, name)()


def test_15_1_a_peer_that_sends_notices_it_though_an_iterator_exists(serve: Serve) -> None:
    go_on, noticed = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert go_on.wait(LIMIT)
        with contextlib.suppress(OSError):
            for _ in range(1 << 10):
                peer.send(bytes(1 << 20))
        noticed.set()

    conn = serve(script)
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    need = next(iterator)
    go_on.set()
    assert need.poll(LIMIT)
    conn.disconnect()
    assert noticed.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        next(iterator)


@pytest.mark.parametrize('when', ['connected', 'asked', 'reading', 'writing'])
def test_15_1_says_so_with_tls_at_any_time(serve_tls: Serve, when: str) -> None:
    def script(peer: Peer) -> None:
        if when in ('asked', 'reading'):
            peer.request()
        if when == 'reading':
            peer.send(HELLO)
        assert received.wait(LIMIT)
        peer.rest()
        assert peer.notified

    received = threading.Event()
    conn = serve_tls(script)
    conn.connect()
    if when in ('asked', 'reading'):
        conn.send_request('GET', '/')
    if when == 'writing':
        conn.send_request('PUT', '/', body=BodyFollowing(5))
        conn.write(b'ab')
    if when == 'reading':
        conn.read_response()
        received.set()
        assert conn.readall() == b'hello'  # all is read; unread data would make the system send RST
    received.set()
    conn.disconnect()


def test_15_1_any_number_of_times(serve: Serve) -> None:
    conn = serve(says(HELLO), says(HELLO))
    for _ in range(3):
        conn.disconnect()
    assert serve.server.connections == 0
    for _ in range(2):
        ask(conn)
        assert conn.readall() == b'hello'
        for _ in range(3):
            conn.disconnect()
            conn.reset()
    assert serve.server.connections == 2


@pytest.mark.parametrize('ending', ['end', 'cut', 'reset', 'close'])
@pytest.mark.parametrize('sent', [b'', HELLO[:-20], HELLO[:-2], HELLO])
def test_15_1_never_raises_when_the_peer_has_gone(serve: Serve, ending: str, sent: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        if sent:
            peer.send(sent)
        getattr(peer, ending)()
        gone.set()

    gone = threading.Event()
    conn = serve(script, says(HELLO))
    conn.send_request('GET', '/')
    assert gone.wait(LIMIT)
    conn.disconnect()
    conn.disconnect()
    ask(conn)
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('ending', ['cut', 'reset'])
def test_15_1_never_raises_after_errors(serve: Serve, ending: str) -> None:
    def lost(peer: Peer) -> None:
        peer.request()
        getattr(peer, ending)()

    conn = serve(lost, says(b'garbage: \x00\r\n\r\n'), says(HELLO))
    with pytest.raises(ConnectionClosed):
        ask(conn)
    conn.disconnect()
    with pytest.raises((InvalidResponse, dugong.UnsupportedResponse)):
        ask(conn)
    conn.disconnect()
    ask(conn)
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    'error',
    [OSError(errno.ENOTCONN, 'what'), ssl.SSLError(1, 'what'), ssl.SSLWantReadError(2, 'what'), ValueError('what')],
)
@pytest.mark.parametrize('method', ['shutdown', 'unwrap', 'send', 'setblocking', 'close'])
def test_15_1_never_raises_even_if_the_socket_does(serve_plain: Serve, error: Exception, method: str) -> None:
    class Wrapped:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.failing = False

        def __getattr__(self, name: str) -> Any:
            if self.failing and name == method:
                raise error
            return getattr(self.sock, name)

    class Context:
        wrapped: Wrapped

        def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> Wrapped:
            self.wrapped = Wrapped(sock)
            return self.wrapped

    conn = serve_plain(silent, says(HELLO))
    context = Context()
    conn.ssl_context = context
    conn.connect()
    context.wrapped.failing = True
    conn.disconnect()
    context.wrapped.sock.close()
    conn.ssl_context = None
    ask(conn)
    assert conn.readall() == b'hello'


def test_15_1_does_not_block(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert disconnected.wait(LIMIT)  # without reading

    disconnected = threading.Event()
    conn = serve(script, says(HELLO))
    conn.timeout = None
    iterator = fill(conn)
    conn.disconnect()
    disconnected.set()
    with pytest.raises(ConnectionClosed):
        next(iterator)
    ask(conn)
    assert conn.readall() == b'hello'


def test_15_1_does_not_wait_for_the_answer_of_the_peer(serve_tls: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        assert disconnected.wait(LIMIT)

    disconnected = threading.Event()
    conn = serve_tls(script)
    conn.timeout = None
    conn.send_request('GET', '/')
    conn.disconnect()
    disconnected.set()


def test_15_1_closes_the_trace_file(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / 'trace'))
    conn = serve(says(HELLO))
    ask(conn)
    assert conn.readall() == b'hello'
    file = conn.trace_fh
    assert file is not None
    assert not file.closed
    conn.disconnect()
    assert file.closed


def test_15_1_and_21_3_trace_fh_is_none_afterwards(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / 'trace'))
    conn = serve(says(HELLO), says(HELLO))
    ask(conn)
    conn.readall()
    conn.disconnect()
    assert conn.trace_fh is None
    monkeypatch.delenv('DUGONG_TRACEFILE')
    ask(conn)
    assert conn.readall() == b'hello'
    assert conn.trace_fh is None


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='descriptors cannot be counted')
@every_name
def test_15_1_gives_back_all_descriptors(serve: Serve, name: str) -> None:
    def count() -> int:
        return sum(os.readlink(f'/proc/self/fd/{fd}') in sockets for fd in os.listdir('/proc/self/fd') if exists(fd))

    def exists(fd: str) -> bool:
        return os.path.lexists(f'/proc/self/fd/{fd}')

    def script(peer: Peer) -> None:
        peer.request()
        assert asked.wait(LIMIT)
        peer.send(HELLO)
        peer.rest()

    asked = threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    fds = {next(iterator).fd}
    asked.set()
    dugong.eval_coroutine(iterator, LIMIT)
    assert conn.readall() == b'hello'
    sockets = {os.readlink(f'/proc/self/fd/{fd}') for fd in fds}
    assert count() >= 1
    getattr(conn, name)()
    assert count() == 0


@every_name
@pytest.mark.parametrize(
    'state',
    [
        lambda conn: None,
        lambda conn: conn.connect(),
        lambda conn: conn.send_request('GET', '/'),
        lambda conn: conn.send_request('PUT', '/', body=BodyFollowing(5)),
        lambda conn: conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True),
    ],
)
def test_15_2_ready_for_use_and_not_connected(
    serve: Serve, name: str, state: Callable[[dugong.HTTPConnection], object]
) -> None:
    conn = serve(*[silent] * 2)
    state(conn)
    getattr(conn, name)()
    assert not conn.response_pending()
    conn.port = serve(says(HELLO)).port
    ask(conn)
    assert conn.readall() == b'hello'


@every_name
def test_15_2_does_not_connect(serve: Serve, name: str) -> None:
    conn = serve(says(HELLO), says(HELLO))
    getattr(conn, name)()
    assert serve.server.connections == 0
    ask(conn)
    getattr(conn, name)()
    ask(conn)
    getattr(conn, name)()
    serve.server.join()
    assert serve.server.connections == 2


@every_name
def test_15_2_works_where_connecting_does_not(serve: Serve, name: str) -> None:
    conn = serve(says(HELLO))
    ask(conn)
    with socket.create_server(('127.0.0.1', 0)) as sock:
        conn.port = sock.getsockname()[1]
    getattr(conn, name)()
    with pytest.raises(ConnectionRefusedError):
        conn.connect()
    getattr(conn, name)()


@every_name
def test_15_2_drops_buffered_data_and_pending_responses(serve: Serve, name: str) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold' * 3)
        peer.rest()

    conn = serve(script, says(HELLO))
    for _ in range(3):
        conn.send_request('GET', '/old')
    conn.read_response()
    conn.read(1)
    getattr(conn, name)()
    assert not conn.response_pending()
    conn.send_request('GET', '/new')
    assert conn.read_response().path == '/new'
    assert conn.readall() == b'hello'
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()


def make(serve: Serve) -> dugong.HTTPConnection:
    """Another connection to the latest server, used here only."""
    conn = dugong.HTTPConnection('localhost', serve.server.port, ssl_context=serve.client_tls)
    conn.timeout = LIMIT
    return conn


@pytest.mark.filterwarnings('error', 'ignore:unclosed HTTPConnection:ResourceWarning')
@pytest.mark.parametrize('read', [False, True])
@pytest.mark.parametrize('cycle', [False, True])
def test_15_3_dropping_the_object_closes_the_socket(serve: Serve, read: bool, cycle: bool) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        peer.rest()
        closed.set()

    closed = threading.Event()
    serve(script)
    conn: Any = make(serve)
    resp = ask(conn)
    if read:
        assert conn.readall() == b'hello'
    if cycle:
        conn.itself = conn
    ref = weakref.ref(conn)
    del conn
    gc.collect()
    assert ref() is None
    assert closed.wait(LIMIT)
    assert resp.headers['Content-Length'] == '5'


@pytest.mark.parametrize('cycle', [False, True])
def test_15_3_dropping_an_open_connection_gives_a_warning(serve: Serve, cycle: bool) -> None:
    serve(silent)
    conn: Any = make(serve)
    conn.connect()
    if cycle:
        conn.itself = conn
    kept, port = [conn], conn.port
    del conn

    def drop() -> None:
        kept.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match=f'unclosed HTTPConnection to localhost port {port}'):
        drop()


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('cycle', [False, True])
@pytest.mark.parametrize('how', ['never connected', 'disconnected', 'with', 'refused'])
def test_15_3_dropping_another_connection_gives_none(serve: Serve, how: str, cycle: bool) -> None:
    serve(silent)
    conn: Any = make(serve)
    if cycle:
        conn.itself = conn
    if how == 'disconnected':
        conn.connect()
        conn.disconnect()
    elif how == 'with':
        with conn:
            conn.connect()
    elif how == 'refused':
        with socket.create_server(('127.0.0.1', 0)) as listener:
            conn.hostname, conn.port = listener.getsockname()
        with pytest.raises(ConnectionRefusedError):
            conn.connect()
    del conn
    gc.collect()


@pytest.mark.filterwarnings('ignore:unclosed HTTPConnection:ResourceWarning')
def test_15_3_dropping_a_suspended_iterator_too(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.rest()
        closed.set()

    closed = threading.Event()
    serve(script)
    conn: Any = make(serve)
    conn.send_request('GET', '/')
    iterator: Any = conn.co_read_response()
    next(iterator)
    del conn
    gc.collect()
    assert not closed.is_set()
    del iterator
    gc.collect()
    assert closed.wait(LIMIT)
