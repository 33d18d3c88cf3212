"""Statements 7.1 to 7.4: when a connection is made, and the state after a failure."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interop_support import Worker
from peers import LIMIT, Peer, Serve, Server, answer_all, get, silent
from tunnels import Plain, Table, Tunnel, Wrapping, resolve

import dugong
import dugong.httpio
from dugong import (
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    HTTPConnection,
    InvalidResponse,
    StateError,
    UnsupportedResponse,
    eval_coroutine,
)


def gone(peer: Peer) -> None:
    """Expect a client that connects and closes without sending."""
    assert peer.rest() == b''


# 7.1


def test_7_1_connect_connects_now(serve: Serve) -> None:
    connected = threading.Event()

    def script(peer: Peer) -> None:
        connected.set()
        assert peer.request().target == '/a'
        peer.answer(b'x')

    conn = serve(script)
    assert conn.connect() is None  # type: ignore[func-returns-value]
    assert connected.wait(LIMIT)
    assert get(conn, '/a') == b'x'


def test_7_1_send_request_connects(serve: Serve) -> None:
    conn = serve(answer_all)
    assert get(conn, '/a') == b'/a'
    assert get(conn, '/b') == b'/b'
    assert serve.server.connections == 1


@pytest.mark.parametrize('name', ['get_ssl_peercert', 'get_ssl_cipher'])
def test_7_1_questions_about_tls_connect(serve: Serve, name: str) -> None:
    conn = serve(answer_all)
    assert (getattr(conn, name)() is None) is not serve.tls
    assert get(conn, '/a') == b'/a'
    getattr(conn, name)()
    assert serve.server.connections == 1


def test_7_1_nothing_else_connects(serve: Serve) -> None:
    conn = serve()
    for _ in range(2):
        assert conn.read(10) == b''
        assert conn.readall() == b''
        assert conn.readinto(bytearray(10)) == 0
        assert conn.discard() is None  # type: ignore[func-returns-value]
        assert conn.response_pending() is False
        with pytest.raises(StateError):
            conn.read_response()
        with pytest.raises(StateError):
            conn.write(b'x')
        with pytest.raises(StateError):
            conn.finish()
        with pytest.raises(ConnectionClosed):
            conn.read_raw(10)
        assert eval_coroutine(conn.co_read(10)) == b''
        with pytest.raises(StateError):
            eval_coroutine(conn.co_read_response())
        with pytest.raises(StateError):
            eval_coroutine(conn.co_write(b'x'))
        conn.disconnect()
        conn.reset()
    serve.server.join()
    assert serve.server.connections == 0


def test_7_1_no_reconnect_after_a_connection_was_lost(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(b'x', headers=[('Connection', 'close')])

    conn = serve(script, answer_all)
    assert get(conn, '/a') == b'x'
    for _ in range(2):
        try:
            conn.send_request('GET', '/b')
            conn.read_response()
        except ConnectionClosed:
            continue
        pytest.fail('the peer has answered')
    for name in 'get_ssl_peercert', 'get_ssl_cipher':
        getattr(conn, name)()
    assert serve.server.connections == 1
    conn.disconnect()
    assert get(conn, '/c') == b'/c'
    assert serve.server.connections == 2


# 7.2, 7.3: the end of an earlier connection, each time with and without disconnect().


Again = Callable[[HTTPConnection], None]


def directly(conn: HTTPConnection) -> None:
    """7.3: over an open connection."""
    conn.connect()


def after_disconnect(conn: HTTPConnection) -> None:
    conn.disconnect()
    conn.connect()


def by_itself(conn: HTTPConnection) -> None:
    """The next request will connect."""
    conn.disconnect()


@pytest.fixture(params=[directly, after_disconnect, by_itself])
def again(request: pytest.FixtureRequest) -> Again:
    return request.param  # type: ignore[no-any-return]


def test_7_2_pending_requests_are_forgotten(serve: Serve, again: Again) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
        peer.rest()

    conn = serve(script, answer_all)
    for _ in range(3):
        conn.send_request('GET', '/old')
    assert conn.response_pending()
    again(conn)
    assert not conn.response_pending()
    if again is not by_itself:
        with pytest.raises(StateError):
            conn.read_response()
    conn.send_request('GET', '/new')
    assert conn.read_response().path == '/new'
    assert conn.readall() == b'/new'
    assert not conn.response_pending()


@pytest.mark.parametrize('framing', ['Content-Length: 100', 'Transfer-Encoding: chunked', 'Connection: close'])
def test_7_2_an_unread_body_is_forgotten(serve: Serve, again: Again, framing: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(f'HTTP/1.1 200 OK\r\n{framing}\r\n\r\n50\r\n0123456789'.encode())
        peer.rest()

    conn = serve(script, answer_all)
    conn.send_request('GET', '/old')
    conn.read_response()
    assert conn.read(4)
    again(conn)
    if again is not by_itself:
        assert conn.read(100) == b''
    assert get(conn, '/new') == b'/new'


def test_7_2_an_unsent_body_is_forgotten(serve: Serve, again: Again) -> None:
    conn = serve(silent, answer_all)
    conn.send_request('PUT', '/old', body=BodyFollowing(10))
    conn.write(b'1234')
    again(conn)
    if again is not by_itself:
        with pytest.raises(StateError):
            conn.write(b'5')
    assert get(conn, '/new') == b'/new'


def test_7_2_the_wait_for_100_continue_is_forgotten(serve: Serve, again: Again) -> None:
    conn = serve(silent, answer_all)
    conn.send_request('PUT', '/old', body=BodyFollowing(10), expect100=True)
    again(conn)
    assert not conn.response_pending()
    assert get(conn, '/new') == b'/new'


def test_7_2_buffered_data_is_forgotten(serve: Serve, again: Again) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.request()
        one = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/old'
        peer.send(one + one)
        peer.rest()

    conn = serve(script, answer_all)
    conn.send_request('GET', '/old')
    conn.send_request('GET', '/old')
    assert conn.read_response().path == '/old'
    assert conn.readall() == b'/old'
    again(conn)
    assert get(conn, '/new') == b'/new'
    assert get(conn, '/newer') == b'/newer'


def test_7_3_connect_closes_the_old_connection_first(serve: Serve) -> None:
    closed = threading.Event()
    seen: list[bool] = []

    def first(peer: Peer) -> None:
        assert peer.rest() == b''
        closed.set()

    def second(peer: Peer) -> None:
        seen.append(closed.wait(LIMIT))
        answer_all(peer)

    conn = serve(first, second)
    conn.connect()
    conn.connect()
    assert get(conn, '/a') == b'/a'
    assert seen == [True]
    assert serve.server.connections == 2


def test_7_3_the_old_connection_is_closed_even_if_the_new_one_fails(serve: Serve, refused: tuple[str, int]) -> None:
    conn = serve(gone, answer_all)
    conn.connect()
    port, conn.port = conn.port, refused[1]
    with pytest.raises(ConnectionRefusedError):
        conn.connect()
    conn.port = port
    assert get(conn, '/a') == b'/a'


# 7.4


Call = Callable[[HTTPConnection], Any]


def connect(conn: HTTPConnection) -> None:
    conn.connect()


def send(conn: HTTPConnection) -> None:
    conn.send_request('POST', '/secret', headers={'Authorization': 'secret'}, body=b'secret')


def send_in_parts(conn: HTTPConnection) -> None:
    conn.send_request('POST', '/secret', body=BodyFollowing(10), expect100=True)


def co_send(conn: HTTPConnection) -> None:
    eval_coroutine(conn.co_send_request('POST', '/secret', body=b'secret'), LIMIT)


def ask(conn: HTTPConnection) -> None:
    conn.get_ssl_cipher()


@pytest.fixture(params=[connect, send, send_in_parts, co_send, ask])
def call(request: pytest.FixtureRequest) -> Call:
    """The calls that connect."""
    return request.param  # type: ignore[no-any-return]


def needs_a_connection(call: Call, serve: Serve) -> None:
    if call is ask and not serve.tls:
        pytest.skip('the answer is known without a connection')


def is_as_disconnected(conn: HTTPConnection) -> None:
    assert not conn.response_pending()
    assert not conn._out_remaining
    assert conn.trace_fh is None
    assert conn.read(10) == b''
    with pytest.raises(StateError):
        conn.write(b'x')
    with pytest.raises(StateError):
        conn.read_response()
    with pytest.raises(ConnectionClosed):
        conn.read_raw(10)


def test_7_4_failed_name(monkeypatch: pytest.MonkeyPatch, serve: Serve, call: Call) -> None:
    needs_a_connection(call, serve)
    conn = serve(answer_all)
    table: Table = {'localhost': socket.gaierror(socket.EAI_FAIL, 'no')}
    resolve(monkeypatch, table)
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            call(conn)
        is_as_disconnected(conn)
    table['localhost'] = [('127.0.0.1', conn.port)]
    assert get(conn, '/a') == b'/a'


def test_7_4_failed_tcp(serve: Serve, call: Call, refused: tuple[str, int]) -> None:
    needs_a_connection(call, serve)
    conn = serve(answer_all)
    port, conn.port = conn.port, refused[1]
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            call(conn)
        is_as_disconnected(conn)
    conn.port = port
    assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize(
    ('answer', 'error'),
    [
        (b'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n', ConnectionError),
        (b'HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno\n', ConnectionError),
        (b'HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\n\r\n', ConnectionError),
        (b'no proxy at all\r\n\r\n', (UnsupportedResponse, InvalidResponse)),
        (b'HTTP/1.1 2OO OK\r\n\r\n', (UnsupportedResponse, InvalidResponse)),
        (b'HTTP/1.1 200 OK\r\nno colon\r\n\r\n', InvalidResponse),
        (b'HTTP/1.1 200 OK\r\nX: ' + b'x' * 70000, InvalidResponse),
        (b'\0' * 70000, (UnsupportedResponse, InvalidResponse)),
    ],
    ids=['403', '407', '302', 'garbage', 'letters', 'colon', 'endless', 'zeros'],
)
def test_7_4_failed_tunnel(
    tunnel: Tunnel, call: Call, answer: bytes, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    bad = tunnel.failing(answer)
    with Server(bad, bad, tunnel.good) as server, tunnel.conn(server) as conn:
        for _ in range(2):
            with pytest.raises(error):
                call(conn)
            is_as_disconnected(conn)
        assert get(conn, '/a') == b'/a'
        assert server.connections == 3
    assert all(head.startswith(b'CONNECT localhost:443 HTTP/1.1\r\n') for head in tunnel.heads)
    assert len(tunnel.heads) == 3


@pytest.mark.parametrize(
    ('status', 'is_temporary'), [(400, False), (403, False), (407, False), (502, True), (503, True)]
)
def test_7_10_a_proxy_that_refuses_will_do_so_again(tunnel: Tunnel, status: int, is_temporary: bool) -> None:
    bad = tunnel.failing(f'HTTP/1.1 {status} Because\r\nContent-Length: 0\r\n\r\n'.encode())
    with Server(bad, bad) as server, tunnel.conn(server) as conn:
        for connect in conn.connect, lambda: eval_coroutine(conn.co_connect()):
            with pytest.raises(ConnectionError, match=f'{status} Because') as caught:
                connect()
            assert dugong.is_temp_network_error(caught.value) is is_temporary
            assert dugong.httpio.is_temp_network_error(caught.value) is is_temporary


@pytest.mark.parametrize('how', ['end', 'cut', 'reset', 'half'])
def test_7_4_failed_tunnel_because_the_proxy_has_gone(tunnel: Tunnel, call: Call, how: str) -> None:
    def bad(peer: Peer) -> None:
        peer.head()
        if how == 'half':
            peer.send(b'HTTP/1.1 200 OK\r\nX:')
        getattr(peer, how if how != 'half' else 'end')()

    with Server(bad, bad, tunnel.good) as server, tunnel.conn(server) as conn:
        for _ in range(2):
            with pytest.raises(ConnectionClosed):
                call(conn)
            is_as_disconnected(conn)
        assert get(conn, '/a') == b'/a'


def test_7_4_failed_tunnel_because_of_the_timeout(tunnel: Tunnel, call: Call) -> None:
    bad = tunnel.failing(b'HTTP/1.1 200 OK\r\n')
    with Server(bad, bad, tunnel.good) as server, tunnel.conn(server) as conn:
        conn.timeout = 0.1
        for _ in range(2):
            with pytest.raises(ConnectionTimedOut):
                call(conn)
            is_as_disconnected(conn)
        conn.timeout = LIMIT
        assert get(conn, '/a') == b'/a'


def opened(tunnelled: bool, script: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def begin(peer: Peer) -> None:
        if tunnelled:
            assert peer.head().method == 'CONNECT'
            peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        script(peer)

    return begin


@pytest.mark.parametrize('other_thread', [False, True])
def test_7_4_and_15_1_disconnected_by_the_context(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other_thread: bool
) -> None:
    """`disconnect` also ends a connection that is being made."""
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / 'trace%d'))

    class Leaving(Plain):
        def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
            if not self.calls:
                if other_thread:
                    Worker(conn.disconnect).result()
                else:
                    conn.disconnect()
            return super().wrap_socket(*args, **kwargs)

    context: Any = Leaving()
    with Server(gone, answer_all) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        conn.timeout = LIMIT
        with pytest.raises(ConnectionClosed):
            call(conn)
        is_as_disconnected(conn)
        with pytest.raises(StateError):
            conn._fileno()
        assert 'close' in context.made[0].called
        assert get(conn, '/a') == b'/a'
        assert conn.trace_fh is not None
        assert server.connections == 2


def test_7_4_and_15_1_disconnected_while_the_trace_file_is_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Serve, call: Call, server_tls: ssl.SSLContext
) -> None:
    """The trace file is a pipe without a reader, so that opening it takes time."""
    needs_a_connection(call, serve)
    accepted = threading.Event()

    def bad(peer: Peer) -> None:
        accepted.set()
        assert b'secret' not in peer.rest()

    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    monkeypatch.setenv('DUGONG_TRACEFILE', str(pipe))
    conn = serve(answer_all)
    with Server(bad) as server:
        port, conn.port = conn.port, server.port
        worker = Worker(call, conn)
        assert accepted.wait(LIMIT)
        wait_until_opening(worker.native_id)
        conn.disconnect()
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert type(worker.exception()) is ConnectionClosed
        finally:
            os.close(reader)
        is_as_disconnected(conn)
        with pytest.raises(StateError):
            conn._fileno()
    monkeypatch.delenv('DUGONG_TRACEFILE')
    conn.port = port
    assert get(conn, '/a') == b'/a'


def wait_until_opening(thread: int | None) -> None:
    """Wait until that thread opens a file, if the system tells."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            call = Path(f'/proc/self/task/{thread}/syscall').read_text(encoding='ascii').split()[0]
        except OSError:
            return
        if call in ('257', '56'):  # openat on x86_64 and on aarch64
            return


@pytest.mark.parametrize('tunnelled', [False, True], ids=['direct', 'tunnel'])
class TestHandshake:
    """Failures to start TLS, with and without a proxy."""

    @staticmethod
    def conn(tunnelled: bool, server: Server, context: Any) -> HTTPConnection:
        if tunnelled:
            conn = HTTPConnection('localhost', 443, context, ('127.0.0.1', server.port))
        else:
            conn = HTTPConnection('localhost', server.port, context)
        conn.timeout = LIMIT
        return conn

    def check(
        self,
        tunnelled: bool,
        bad: Callable[[Peer], None],
        tunnel: Tunnel,
        call: Call,
        error: type[Exception],
        timeout: float = LIMIT,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Two failures, and then a success."""

        def good(peer: Peer) -> None:
            peer.start_tls(tunnel.server_tls)
            answer_all(peer)

        scripts = [opened(tunnelled, script) for script in (bad, bad, good)]
        with Server(*scripts) as server, self.conn(tunnelled, server, context or tunnel.client_tls) as conn:
            conn.timeout = timeout
            for _ in range(2):
                with pytest.raises(error):
                    call(conn)
                is_as_disconnected(conn)
            conn.timeout = LIMIT
            conn.ssl_context = tunnel.client_tls
            assert get(conn, '/a') == b'/a'
            assert server.connections == 3

    def test_7_4_failed_handshake_because_of_garbage(self, tunnelled: bool, tunnel: Tunnel, call: Call) -> None:
        def bad(peer: Peer) -> None:
            assert peer.exactly(1) == b'\x16'
            peer.send(b'HTTP/1.1 400 Bad Request\r\n\r\n')
            assert b'secret' not in peer.rest()

        self.check(tunnelled, bad, tunnel, call, ssl.SSLError)

    def test_7_4_failed_handshake_because_of_the_certificate(self, tunnelled: bool, tunnel: Tunnel, call: Call) -> None:
        def bad(peer: Peer) -> None:
            with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
                peer.start_tls(tunnel.server_tls)
                peer.exactly(1)

        self.check(tunnelled, bad, tunnel, call, ssl.SSLCertVerificationError, context=ssl.create_default_context())

    @pytest.mark.parametrize('how', ['end', 'reset'])
    def test_7_4_failed_handshake_because_the_peer_has_gone(
        self, tunnelled: bool, tunnel: Tunnel, call: Call, how: str
    ) -> None:
        def bad(peer: Peer) -> None:
            assert peer.exactly(1) == b'\x16'
            getattr(peer, how)()

        self.check(tunnelled, bad, tunnel, call, ConnectionClosed)

    @pytest.mark.parametrize('wrapped', [False, True])
    def test_7_4_failed_handshake_because_of_the_timeout(
        self, tunnelled: bool, tunnel: Tunnel, call: Call, wrapped: bool
    ) -> None:
        def bad(peer: Peer) -> None:
            assert peer.exactly(1) == b'\x16'
            assert b'secret' not in peer.rest()

        context: Any = Wrapping(tunnel.client_tls) if wrapped else None
        self.check(tunnelled, bad, tunnel, call, ConnectionTimedOut, timeout=0.1, context=context)

    def test_7_4_failed_handshake_of_another_kind_of_context(self, tunnelled: bool, tunnel: Tunnel, call: Call) -> None:
        class Broken:
            def wrap_socket(self, sock: socket.socket, server_hostname: str) -> Any:
                raise ZeroDivisionError('mine')

        context: Any = Broken()
        self.check(tunnelled, gone, tunnel, call, ZeroDivisionError, context=context)


def test_7_4_failed_trace_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Serve, call: Call, server_tls: ssl.SSLContext
) -> None:
    """The order of the stages is open: the server may see a TLS handshake or none."""
    needs_a_connection(call, serve)
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / 'missing' / 'trace%d'))

    def bad(peer: Peer) -> None:
        if serve.tls:
            try:
                peer.start_tls(server_tls)
            except (EOFError, ssl.SSLError, ConnectionError):
                return
        assert peer.rest() == b''

    with Server(bad) as server:
        conn = serve()
        port, conn.port = conn.port, server.port
        with pytest.raises(FileNotFoundError):
            call(conn)
        is_as_disconnected(conn)
    monkeypatch.delenv('DUGONG_TRACEFILE')
    with Server(answer_all, tls=serve.server_tls) as server:
        conn.port = server.port
        assert get(conn, '/a') == b'/a'
        conn.disconnect()
    conn.port = port
