from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from interop_support import Worker
from peers import LIMIT, Peer, Serve, Server

import dugong
import dugong.httpio
from dugong import (
    POLLIN,
    POLLOUT,
    AioFuture,
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    DNSUnavailable,
    HostnameNotResolvable,
    HTTPConnection,
    InvalidResponse,
    PollNeeded,
    StateError,
    UnsupportedResponse,
    eval_coroutine,
)


def answer_all(peer: Peer) -> None:
    """Answer with the target of the request, until the client has gone."""
    while True:
        try:
            got = peer.request()
        except EOFError:
            return
        peer.answer(got.target.encode())


def get(conn: HTTPConnection, path: str) -> bytes:
    conn.send_request('GET', path)
    assert conn.read_response().status == 200
    return bytes(conn.readall())


def silent(peer: Peer) -> None:
    peer.rest()


def gone(peer: Peer) -> None:
    """The client connects, and closes without a word."""
    assert peer.rest() == b''


@pytest.fixture
def refused() -> tuple[str, int]:
    """An address that refuses connections."""
    with socket.create_server(('127.0.0.1', 0)) as sock:
        return sock.getsockname()  # type: ignore[no-any-return]


@pytest.fixture
def full() -> Iterator[tuple[str, int]]:
    """An address where nobody answers: the queue of the listening socket is full."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        sock.listen(0)
        clients: list[socket.socket] = []
        for _ in range(8):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(sock.getsockname())
            clients.append(client)
        yield sock.getsockname()
        for client in clients:
            client.close()


Table = dict[str, list[tuple[str, int]] | OSError]


def resolve(monkeypatch: pytest.MonkeyPatch, table: Table) -> list[str]:
    """Answer questions for addresses from a table; the result grows by the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        answer = table[host]
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', address) for address in answer]

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    monkeypatch.setattr(dugong, 'DNS_TEST_HOSTNAMES', [('probe', 80)])
    return asked


class Plain:
    """A context without encryption. Its sockets have no more than the methods that may be called."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.made: list[Any] = []

    def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        self.made.append(Only(args[0]))
        return self.made[-1]


class Wrapping(Plain):
    """A context that hides the real one, and what that returns."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context

    def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        self.made.append(Only(self.context.wrap_socket(*args, **kwargs)))
        return self.made[-1]


class Only:
    """Of a socket, only what may be called."""

    def __init__(self, sock: Any) -> None:
        def methods(name: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                self.called.append(name)
                if name == 'recv' or name == 'send':
                    assert len(args) == 1, args
                return getattr(sock, name)(*args, **kwargs)

            return call

        self.called: list[str] = []
        self._methods = {
            name: methods(name)
            for name in (
                'send',
                'recv',
                'recv_into',
                'fileno',
                'setblocking',
                'shutdown',
                'close',
                'getpeercert',
                'cipher',
            )
        }

    def __getattr__(self, name: str) -> Any:
        try:
            return self._methods[name]
        except KeyError:
            raise AttributeError(name) from None


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
        pytest.fail('somebody has answered')
    for name in 'get_ssl_peercert', 'get_ssl_cipher':
        getattr(conn, name)()
    assert serve.server.connections == 1
    conn.disconnect()
    assert get(conn, '/c') == b'/c'
    assert serve.server.connections == 2


# 7.2, 7.3: how connecting ends what was before. Each is tried by name with and without disconnect().

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


class Tunnel:
    """A proxy's script: how it opens a tunnel, or fails to; what follows must be the next attempt."""

    def __init__(self, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
        self.server_tls = server_tls
        self.client_tls = client_tls
        self.heads: list[bytes] = []

    def good(self, peer: Peer) -> None:
        self.heads.append(peer.head().raw)
        peer.send(b'HTTP/1.1 200 Connection established\r\n\r\n')
        peer.start_tls(self.server_tls)
        answer_all(peer)

    def failing(self, answer: bytes) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            self.heads.append(peer.head().raw)
            peer.send(answer)
            assert peer.rest() == b''  # in particular no request in clear text

        return script

    def conn(self, server: Server) -> HTTPConnection:
        conn = HTTPConnection('localhost', 443, ssl_context=self.client_tls, proxy=('127.0.0.1', server.port))
        conn.timeout = LIMIT
        return conn


@pytest.fixture
def tunnel(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> Tunnel:
    return Tunnel(server_tls, client_tls)


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
    """`disconnect` means the connection that is being made, too."""
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
    """It is a pipe that nobody reads yet, so that opening it takes time."""
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
    """Wait until that thread is about to open a file, if the system tells that."""
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
    """What happens when TLS cannot be started, with and without a proxy."""

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
    """Which stage comes first is not said: the server may see a TLS handshake or none."""
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


# 7.5


@pytest.mark.parametrize('good', [0, 1, 2])
def test_7_5_all_addresses_are_tried(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, refused: tuple[str, int], good: int
) -> None:
    conn = serve(answer_all)
    addresses = [refused] * 2
    addresses.insert(good, ('127.0.0.1', conn.port))
    resolve(monkeypatch, {'localhost': addresses})
    assert get(conn, '/a') == b'/a'


def test_7_5_the_last_error_is_raised(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[str, int], full: tuple[str, int]
) -> None:
    resolve(monkeypatch, {'one': [full, refused], 'other': [refused, full]})
    conn = HTTPConnection('one')
    conn.timeout = 0.05
    with pytest.raises(ConnectionRefusedError):
        conn.connect()
    conn.hostname = 'other'
    with pytest.raises(ConnectionTimedOut):
        conn.connect()


# 7.6


def test_7_6_regular_methods_wait_for_the_server(serve: Serve) -> None:
    """The server begins its part of the handshake after a moment."""
    started = threading.Event()

    def script(peer: Peer) -> None:
        assert started.wait(LIMIT)
        if serve.server_tls is not None:
            peer.start_tls(serve.server_tls)
        answer_all(peer)

    with Server(script) as server:
        conn = HTTPConnection('localhost', server.port, serve.client_tls)
        timer = threading.Timer(0.05, started.set)
        timer.start()
        conn.connect()
        assert get(conn, '/a') == b'/a'
        conn.disconnect()
        timer.join()


def drive(crt: Any, onwards: list[threading.Event]) -> int:
    """Run an iterator to its end. When it waits for the server, the next event tells that to go on."""
    count = 0
    while True:
        try:
            need = next(crt)
        except StopIteration:
            return count
        count += 1
        assert need.mask in (POLLIN, POLLOUT, POLLIN | POLLOUT)
        if need.mask & POLLIN and onwards:
            onwards.pop(0).set()
        poll = select.poll()
        poll.register(need.fd, need.mask)
        assert poll.poll(LIMIT * 1000), 'nothing happens'


def test_7_6_coroutines_do_not_block_in_the_handshake(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    onwards = threading.Event()

    def script(peer: Peer) -> None:
        assert onwards.wait(LIMIT), 'blocked in the handshake'
        peer.start_tls(server_tls)
        answer_all(peer)

    with Server(script) as server, HTTPConnection('localhost', server.port, client_tls) as conn:
        assert drive(conn.co_send_request('GET', '/a'), [onwards])
        assert onwards.is_set()
        assert conn.read_response().length == 2
        assert conn.readall() == b'/a'


def test_7_6_coroutines_do_not_block_in_the_tunnel(tunnel: Tunnel) -> None:
    events = [threading.Event(), threading.Event()]

    def script(peer: Peer) -> None:
        assert peer.head().method == 'CONNECT'
        assert events[0].wait(LIMIT), 'blocked in the tunnel'
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        assert events[1].wait(LIMIT), 'blocked in the handshake'
        peer.start_tls(tunnel.server_tls)
        answer_all(peer)

    with Server(script) as server, tunnel.conn(server) as conn:
        assert drive(conn.co_send_request('GET', '/a'), list(events)) >= 2
        assert all(event.is_set() for event in events)
        assert conn.read_response().length == 2
        assert conn.readall() == b'/a'


def test_7_6_coroutines_do_not_block_in_tcp(full: tuple[str, int]) -> None:
    conn = HTTPConnection(*full)
    conn.timeout = LIMIT
    crt = conn.co_send_request('GET', '/a')
    need = next(crt)
    assert need.mask & POLLOUT
    assert not need.poll(0.01)
    assert next(crt) == need
    crt.close()
    conn.disconnect()


def after_the_name(crt: Generator[PollNeeded, None, Any]) -> None:
    """Resume it until it waits for the peer: by then the name has been looked up."""
    assert next(crt).poll(LIMIT)
    next(crt)


def test_7_6_an_abandoned_attempt_leaves_no_connection(serve_plain: Serve, client_tls: ssl.SSLContext) -> None:
    def first(peer: Peer) -> None:
        assert peer.exactly(1) == b'\x16'
        peer.rest()

    conn = serve_plain(first, answer_all)
    conn.ssl_context = client_tls
    crt = conn.co_send_request('GET', '/secret')
    after_the_name(crt)
    crt.close()
    conn.disconnect()
    conn.ssl_context = None
    assert get(conn, '/a') == b'/a'


def test_7_6_a_reader_waits_for_the_connection_of_the_sender(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """As if connecting blocked: then the request is out when the reader begins."""
    onwards = threading.Event()

    def script(peer: Peer) -> None:
        assert onwards.wait(LIMIT)
        peer.start_tls(server_tls)
        answer_all(peer)

    with Server(script) as server, HTTPConnection('localhost', server.port, client_tls) as conn:
        sender, reader = conn.co_send_request('GET', '/a'), conn.co_read_response()
        next(sender)
        need = next(reader)
        assert need.mask == POLLIN
        assert not need.poll(0.01)
        assert next(reader) == need
        with pytest.raises(StateError):  # this thread would wait for itself
            conn.read_response()
        onwards.set()
        drive(sender, [])
        assert need.poll(LIMIT)
        drive(reader, [])
        assert conn.readall() == b'/a'


def test_7_6_a_reader_is_told_when_there_is_no_connection(
    serve_plain: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    def refuses(peer: Peer) -> None:
        peer.exactly(1)
        assert go_on.wait(LIMIT)
        peer.send(b'HTTP/1.0 400 Bad Request\r\n\r\n')
        peer.end()

    go_on = threading.Event()
    conn = serve_plain(silent, refuses, answer_all)
    conn.ssl_context = client_tls
    sender, reader = conn.co_send_request('GET', '/a'), conn.co_read_response()
    after_the_name(sender)
    need = next(reader)
    conn.disconnect()
    assert need.poll(LIMIT)
    with pytest.raises(ConnectionClosed):
        next(reader)
    with pytest.raises(ConnectionClosed):
        next(sender)

    sender, reader = conn.co_send_request('GET', '/a'), conn.co_read_response()
    after_the_name(sender)
    need = next(reader)
    go_on.set()
    with pytest.raises(ssl.SSLError):
        drive(sender, [])
    assert need.poll(LIMIT)
    with pytest.raises(ConnectionClosed):
        next(reader)

    conn.ssl_context = None
    assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize('proxied', [False, True])
def test_7_6_both_halves_may_be_started_at_once(tunnel: Tunnel, proxied: bool) -> None:
    """A program that never had to wait for the connection before it read."""

    def script(peer: Peer) -> None:
        if proxied:
            peer.head()
            peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        answer_all(peer)

    def send() -> Generator[PollNeeded, None, None]:
        for number in range(100):
            yield from conn.co_send_request('GET', f'/{number}')

    def read() -> Generator[PollNeeded, None, None]:
        for number in range(100):
            yield from conn.co_read_response()
            assert (yield from conn.co_readall()) == f'/{number}'.encode()

    async def main() -> None:
        await asyncio.wait_for(asyncio.gather(AioFuture(send()), AioFuture(read())), LIMIT)

    with Server(script) as server, HTTPConnection('localhost', server.port, tunnel.client_tls) as conn:
        if proxied:
            conn.proxy = ('127.0.0.1', server.port)
        asyncio.run(main())


# 7.7, 7.8: more about them in test_07_dns.py


@pytest.mark.parametrize('code', [socket.EAI_NONAME, socket.EAI_AGAIN])
@pytest.mark.parametrize('proxied', [False, True])
def test_7_7_and_7_8_no_such_name(monkeypatch: pytest.MonkeyPatch, code: int, proxied: bool) -> None:
    no = socket.gaierror(code, 'no')
    asked = resolve(monkeypatch, {'host': no, 'proxy': no, 'probe': [('127.0.0.1', 1)]})
    conn = HTTPConnection('host', proxy=('proxy', 80) if proxied else None)
    name = 'proxy' if proxied else 'host'
    with pytest.raises(HostnameNotResolvable) as caught:
        conn.connect()
    assert caught.value.name == name
    assert name in str(caught.value)
    assert asked == [name, 'probe', name]


@pytest.mark.parametrize('code', [socket.EAI_NONAME, socket.EAI_AGAIN])
@pytest.mark.parametrize('proxied', [False, True])
def test_7_7_and_7_8_name_service_down(monkeypatch: pytest.MonkeyPatch, code: int, proxied: bool) -> None:
    no = socket.gaierror(code, 'no')
    asked = resolve(monkeypatch, {'host': no, 'proxy': no, 'probe': no})
    conn = HTTPConnection('host', proxy=('proxy', 80) if proxied else None)
    name = 'proxy' if proxied else 'host'
    with pytest.raises(DNSUnavailable) as caught:
        conn.send_request('GET', '/')
    assert caught.value.name == name
    assert asked == [name, 'probe']


def test_7_8_other_errors_of_the_resolver_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fail = socket.gaierror(socket.EAI_FAIL, 'no')
    resolve(monkeypatch, {'host': fail})
    with pytest.raises(socket.gaierror) as caught:
        HTTPConnection('host').connect()
    assert caught.value is fail


# 7.9


def test_7_9_requests_to_a_proxy_carry_the_absolute_url(monkeypatch: pytest.MonkeyPatch, serve_plain: Serve) -> None:
    hosts: list[str] = []

    def proxy(peer: Peer) -> None:
        for _ in range(3):
            got = peer.request()
            hosts.extend(got.values('Host'))
            peer.answer(f'{got.method} {got.target} {got.version}'.encode())

    conn = serve_plain(proxy)
    conn.hostname, port, conn.port = 'www.example.org', conn.port, 8080
    conn.proxy = ('proxy.example.org', port)
    asked = resolve(monkeypatch, {'proxy.example.org': [('127.0.0.1', port)]})
    for method, path in ('GET', '/a?b=c'), ('PUT', '/'):
        conn.send_request(method, path)
        resp = conn.read_response()
        assert (resp.method, resp.path) == (method, path)
        assert conn.readall() == f'{method} http://www.example.org:8080{path} HTTP/1.1'.encode()
    conn.port = 80
    assert get(conn, '/a') == b'GET http://www.example.org/a HTTP/1.1'
    assert hosts == ['www.example.org:8080', 'www.example.org:8080', 'www.example.org']
    assert asked == ['proxy.example.org']  # and nobody else


def test_7_9_ipv6(serve_plain: Serve) -> None:
    conn = serve_plain(answer_all)
    conn.proxy = ('127.0.0.1', conn.port)
    conn.hostname, conn.port = '::1', 8080
    assert get(conn, '/a') == b'http://[::1]:8080/a'


def test_7_9_the_host_is_ours_whatever_the_caller_says(serve_plain: Serve) -> None:
    conn = serve_plain(answer_all, hostname='www.example.org')
    port, conn.proxy = conn.port, ('127.0.0.1', conn.port)
    conn.send_request('GET', '/a', headers={'host': 'elsewhere.example.org'})
    conn.read_response()
    assert conn.readall() == f'http://www.example.org:{port}/a'.encode()


def test_7_9_names_that_are_no_names_are_not_sent(serve_plain: Serve) -> None:
    """CR and LF in a host name would be headers and requests of their own."""
    conn = serve_plain(answer_all)
    conn.proxy = ('127.0.0.1', conn.port)
    for name in 'x\r\nInjected: y', 'x HTTP/1.1\r\n\r\nGET /wrong', 'x y', 'x\n', 'x\0':
        conn.hostname = name
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('GET', '/wrong')
    conn.hostname, conn.port = 'www.example.org', 80
    assert get(conn, '/a') == b'http://www.example.org/a'


@pytest.mark.parametrize('path', ['x', '@evil.example/', 'http://other.example/', ':1/', '.evil.example/', '?/', '*'])
def test_7_9_and_8_11_a_path_is_not_a_part_of_the_name_of_the_host(serve_plain: Serve, path: str) -> None:
    heads: list[bytes] = []

    def proxy(peer: Peer) -> None:
        heads.append(peer.request().raw)
        peer.answer()
        assert peer.rest() == b''

    conn = serve_plain(proxy, hostname='www.example.org')
    conn.proxy, conn.port = ('127.0.0.1', conn.port), 80
    for is_connected in False, True:
        if is_connected:
            conn.connect()
        for body in None, b'secret', BodyFollowing(5):
            with pytest.raises(ValueError, match='/'):
                conn.send_request('PUT', path, body=body)
            with pytest.raises(ValueError, match='/'):
                eval_coroutine(conn.co_send_request('PUT', path, body=body), LIMIT)
        assert not conn.response_pending()
        assert not conn._out_remaining
    conn.send_request('GET', '/a')
    assert conn.read_response().status == 200
    [head] = heads
    assert head.startswith(b'GET http://www.example.org/a HTTP/1.1\r\n')


def test_7_9_body_and_pipelining(serve_plain: Serve) -> None:
    bodies: list[bytes] = []

    def proxy(peer: Peer) -> None:
        got = [peer.request() for _ in range(3)]
        bodies.extend(one.body for one in got)
        for one in got:
            peer.answer(one.target.encode())

    conn = serve_plain(proxy, hostname='www.example.org')
    url, conn.proxy = f'http://www.example.org:{conn.port}', ('127.0.0.1', conn.port)
    conn.send_request('GET', '/a')
    conn.send_request('PUT', '/b', body=b'12345')
    conn.send_request('PUT', '/c', body=BodyFollowing(3))
    conn.write(b'678')
    for path in '/a', '/b', '/c':
        assert conn.read_response().path == path
        assert conn.readall() == f'{url}{path}'.encode()
    assert bodies == [b'', b'12345', b'678']


# 7.10


def test_7_10_tunnel(monkeypatch: pytest.MonkeyPatch, tunnel: Tunnel) -> None:
    names: list[str | None] = []
    requests: list[tuple[str, list[str]]] = []

    def proxy(peer: Peer) -> None:
        got = peer.head()
        assert (got.method, got.target, got.version) == ('CONNECT', 'localhost:443', 'HTTP/1.1')
        assert got.values('Host') == ['localhost:443']
        assert got.values('Content-Length') in ([], ['0'])
        assert not got.values('Transfer-Encoding')
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        names.append(peer.server_name)
        for _ in range(2):
            got = peer.request()
            requests.append((got.target, got.values('Host')))
            peer.answer(got.target.encode())
        assert peer.rest() == b''

    with Server(proxy) as server, tunnel.conn(server) as conn:
        conn.proxy = ('proxy.example.org', server.port)
        asked = resolve(monkeypatch, {'proxy.example.org': [('127.0.0.1', server.port)]})
        for path in '/a', '/b':
            conn.send_request('GET', path)
            assert conn.read_response().path == path
            assert conn.readall() == path.encode()
        assert asked == ['proxy.example.org']
    assert names == ['localhost']
    assert requests == [('/a', ['localhost']), ('/b', ['localhost'])]


def test_7_10_other_ports(tunnel: Tunnel) -> None:
    def proxy(peer: Peer) -> None:
        got = peer.head()
        assert got.target == 'localhost:8443'
        assert got.values('Host') == ['localhost:8443']
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        got = peer.request()
        assert (got.target, got.values('Host')) == ('/a', ['localhost:8443'])
        peer.answer(b'x')

    with Server(proxy) as server, tunnel.conn(server) as conn:
        conn.port = 8443
        assert get(conn, '/a') == b'x'


@pytest.mark.parametrize(
    'answer',
    [
        b'HTTP/1.1 200 OK\r\n\r\n',
        b'HTTP/1.0 200 Connection established\r\n\r\n',
        b'HTTP/1.1 200\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nProxy-Agent: x\r\nVia: y\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nX: ' + b'x' * 60000 + b'\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',  # RFC 9110, 9.3.6: such headers are ignored
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n',
        b'HTTP/1.1 201 Created\r\n\r\n',
        b'HTTP/1.1 204 No Content\r\n\r\n',
        b'HTTP/1.1 299 Odd\r\n\r\n',
    ],
    ids=['plain', '1.0', 'reason', 'headers', 'big', 'length', 'chunked', 'close', '201', '204', '299'],
)
@pytest.mark.parametrize('cut', [None, 1, 10, -1])
def test_7_10_answers_that_open_the_tunnel(tunnel: Tunnel, answer: bytes, cut: int | None) -> None:
    def proxy(peer: Peer) -> None:
        peer.head()
        if cut is not None:
            peer.send(answer[:cut])
            peer.send(answer[cut:])
        else:
            peer.send(answer)
        peer.start_tls(tunnel.server_tls)
        answer_all(peer)

    with Server(proxy) as server, tunnel.conn(server) as conn:
        assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize(
    ('status', 'reason'),
    [
        (301, 'Moved Permanently'),
        (400, 'Bad Request'),
        (403, 'Forbidden'),
        (407, 'Proxy Authentication Required'),
        (502, 'Bad Gateway'),
        (999, 'Strange'),
    ],
)
def test_7_10_other_answers_are_a_connection_error(tunnel: Tunnel, status: int, reason: str) -> None:
    def proxy(peer: Peer) -> None:
        peer.head()
        peer.answer(b'a page with the details', f'{status} {reason}', [('Proxy-Authenticate', 'Basic realm="x"')])
        assert peer.rest() == b''

    with Server(proxy) as server, tunnel.conn(server) as conn:
        with pytest.raises(ConnectionError) as caught:
            conn.connect()
        assert str(status) in str(caught.value)
        assert reason in str(caught.value)


def test_7_10_ipv6_is_put_in_brackets(tunnel: Tunnel) -> None:
    def proxy(peer: Peer) -> None:
        got = peer.head()
        assert got.target == '[::1]:8443'
        assert got.values('Host') == ['[::1]:8443']
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        assert peer.request().values('Host') == ['[::1]:8443']
        peer.answer(b'x')

    with Server(proxy) as server, tunnel.conn(server) as conn:
        conn.hostname, conn.port = '::1', 8443
        assert get(conn, '/a') == b'x'


def test_7_10_the_certificate_is_that_of_the_server(authority: trustme.CA, tunnel: Tunnel) -> None:
    """A certificate for the proxy's name is no good."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('127.0.0.1').configure_cert(tls)

    def proxy(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            peer.start_tls(tls)
            peer.exactly(1)

    with Server(proxy) as server, tunnel.conn(server) as conn, pytest.raises(ssl.SSLCertVerificationError):
        conn.send_request('GET', '/')


def test_7_10_names_that_are_no_names_are_not_sent(tunnel: Tunnel) -> None:
    """CR and LF in a host name would be requests of their own to the proxy."""

    def proxy(peer: Peer) -> None:
        assert b'secret' not in peer.rest()

    with Server(*[proxy] * 3) as server:
        for name in 'localhost:443 HTTP/1.1\r\nX-secret: x\r\n\r\n', 'local secret', 'x\nsecret':
            with tunnel.conn(server) as conn:
                conn.hostname = name
                with pytest.raises(ValueError):  # noqa: PT011
                    conn.connect()


# 7.11


@pytest.mark.parametrize('proxied', [False, True])
def test_7_11_any_object_with_wrap_socket(tunnel: Tunnel, proxied: bool) -> None:
    up, down = b'up' * 500_000, b'down' * 500_000

    def script(peer: Peer) -> None:
        if proxied:
            peer.head()
            peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        assert peer.server_name == 'localhost'
        for _ in range(2):
            assert peer.request().body == up
            peer.answer(down)
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nend')

    context: Any = Wrapping(tunnel.client_tls)
    with Server(script) as server:
        with HTTPConnection('localhost', server.port, context) as conn:
            if proxied:
                conn.proxy = ('127.0.0.1', server.port)
            conn.timeout = LIMIT
            conn.send_request('PUT', '/', body=up)
            conn.read_response()
            assert conn.readall() == down
            conn.send_request('PUT', '/', body=BodyFollowing(len(up)))
            conn.write(up)
            conn.read_response()
            got = bytearray()
            while part := conn.read(1000):
                got += part
            assert got == down
            conn.send_request('GET', '/')
            conn.read_response()
            buf = bytearray(10)
            assert conn.readinto(buf) == 3
            assert conn.readinto(buf) == 0
        assert 'close' in context.made[0].called
    [((sock, *rest), kwargs)] = context.calls
    assert rest == []
    assert kwargs == {'server_hostname': 'localhost'}
    assert isinstance(sock, socket.socket)


def test_7_11_a_context_without_encryption() -> None:
    """The object need not be a TLS socket: then it raises `BlockingIOError` when it has to wait."""
    up, down = b'up' * 500_000, b'down' * 500_000

    def script(peer: Peer) -> None:
        assert peer.request().body == up
        peer.answer(down)

    context: Any = Plain()
    with Server(script) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        conn.timeout = LIMIT
        conn.send_request('PUT', '/', body=up)
        assert conn.read_response().length == len(down)
        assert conn.readall() == down
        assert context.made[0].called.count('close') == 0
    assert 'close' in context.made[0].called
    assert context.calls[0][1] == {'server_hostname': '127.0.0.1'}


def test_7_11_reading_and_writing_by_coroutines() -> None:
    down = b'down' * 500_000
    sent = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert sent.wait(LIMIT)
        peer.answer(down)

    context: Any = Plain()
    with Server(script) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        drive(conn.co_send_request('GET', '/'), [])
        crt = conn.co_read_response()
        need = next(crt)
        assert need.mask == POLLIN
        assert need.fd == context.calls[0][0][0].fileno()
        sent.set()
        drive(crt, [])
        assert eval_coroutine(conn.co_readall(), LIMIT) == down


class Lying(Only):
    """A socket that may say it has received more than it was asked for."""

    def __init__(self, sock: socket.socket) -> None:
        def recv(size: int) -> bytes:
            return sock.recv(size) + (bytes(size) if self.lies else b'')

        def recv_into(buf: Any, *size: int) -> int:
            return sock.recv_into(buf, *size) + (len(buf) if self.lies else 0)

        super().__init__(sock)
        self.lies = False
        self._methods.update(recv=recv, recv_into=recv_into)


@pytest.mark.parametrize('method', ['read_response', 'readall', 'readinto', 'discard'])
def test_7_11_more_received_than_asked_for(method: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        'read_response': lambda: conn.read_response(),
        'readall': lambda: conn.readall(),
        'readinto': lambda: conn.readinto(bytearray(1 << 20)),
        'discard': lambda: conn.discard(),
    }
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n')
        assert go_on.wait(LIMIT)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client takes a part, and goes
            peer.send(bytes(1_000_000))

    class Context(Plain):
        def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
            self.made.append(Lying(args[0]))
            return self.made[-1]

    context: Any = Context()
    with Server(script, answer_all) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        conn.timeout = LIMIT
        conn.send_request('GET', '/')
        if method != 'read_response':
            conn.read_response()
        context.made[0].lies = True
        go_on.set()
        with pytest.raises(OSError, match='asked') as caught:
            calls[method]()
        assert not isinstance(caught.value, BlockingIOError)
        conn.disconnect()
        assert get(conn, '/a') == b'/a'


def test_7_11_a_context_of_a_subclass(server_tls: ssl.SSLContext, authority: trustme.CA) -> None:
    class Mine(ssl.SSLContext):
        pass

    context = Mine(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    with Server(answer_all, tls=server_tls) as server, HTTPConnection('localhost', server.port, context) as conn:
        assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize('hostname', ['localhost', '127.0.0.1'])
@pytest.mark.parametrize('wrapped', [False, True])
def test_7_11_whether_names_are_checked_is_up_to_the_context(
    authority: trustme.CA, hostname: str, wrapped: bool
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('elsewhere.example.org').configure_cert(tls)
    names: list[str | None] = []

    def lenient(peer: Peer) -> None:
        peer.start_tls(tls)
        names.append(peer.server_name)
        answer_all(peer)

    def strict(peer: Peer) -> None:
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            peer.start_tls(tls)
            peer.exactly(1)

    real = ssl.create_default_context()
    authority.configure_trust(real)
    context: Any = Wrapping(real) if wrapped else real
    with Server(strict, lenient) as server, HTTPConnection(hostname, server.port, context) as conn:
        with pytest.raises(ssl.SSLCertVerificationError):
            conn.connect()
        real.check_hostname = False
        assert get(conn, '/a') == b'/a'
    assert names == [None if hostname == '127.0.0.1' else hostname]
    if wrapped:
        assert [kwargs for _, kwargs in context.calls] == [{'server_hostname': hostname}] * 2


@pytest.mark.parametrize('wrapped', [False, True])
def test_7_11_whether_certificates_are_checked_is_up_to_the_context(wrapped: bool) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert('localhost').configure_cert(tls)

    def script(peer: Peer) -> None:
        peer.start_tls(tls)
        answer_all(peer)

    real = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    real.check_hostname = False
    real.verify_mode = ssl.CERT_NONE
    context: Any = Wrapping(real) if wrapped else real
    with Server(script) as server, HTTPConnection('localhost', server.port, context) as conn:
        assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize('name', ['connect', 'get_ssl_cipher', 'get_ssl_peercert'])
def test_7_11_a_failed_check_is_raised_by_the_call_that_connects(server_tls: ssl.SSLContext, name: str) -> None:
    def script(peer: Peer) -> None:
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            peer.start_tls(server_tls)
            peer.exactly(1)

    with Server(script) as server:
        conn = HTTPConnection('localhost', server.port, ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError, match=re.escape('CERTIFICATE_VERIFY_FAILED')):
            getattr(conn, name)()
    gc.collect()


def test_7_11_tickets_of_the_session_are_no_data(serve_tls: Serve) -> None:
    """TLS 1.3 servers send tickets at once: something can be read, but it is not for us."""
    conn = serve_tls(answer_all)
    conn.connect()
    for path in '/a', '/b':
        assert get(conn, path) == path.encode()


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_7_11_versions_of_tls(authority: trustme.CA, client_tls: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = tls.maximum_version = version
    authority.issue_cert('localhost').configure_cert(tls)
    with Server(answer_all, tls=tls) as server, HTTPConnection('localhost', server.port, client_tls) as conn:
        assert get(conn, '/a') == b'/a'
        cipher = conn.get_ssl_cipher()
        assert cipher is not None
        assert len(cipher) == 3


# 7.12


def test_7_12_without_tls(serve_plain: Serve) -> None:
    conn = serve_plain(answer_all)
    for _ in range(2):
        assert conn.get_ssl_peercert() is None
        assert conn.get_ssl_peercert(binary_form=True) is None
        assert conn.get_ssl_cipher() is None
        get(conn, '/a')


def test_7_12_certificate(serve_tls: Serve, authority: trustme.CA) -> None:
    conn = serve_tls(answer_all)
    cert: Any = conn.get_ssl_peercert()
    assert ('DNS', 'localhost') in cert['subjectAltName']
    assert conn.get_ssl_peercert(False) == cert
    assert conn.get_ssl_peercert(binary_form=False) == cert
    get(conn, '/a')
    assert conn.get_ssl_peercert() == cert


def test_7_12_binary_form(serve_tls: Serve, client_tls: ssl.SSLContext) -> None:
    conn = serve_tls(answer_all, answer_all)
    der: Any = conn.get_ssl_peercert(binary_form=True)
    assert isinstance(der, bytes)
    assert conn.get_ssl_peercert(True) == der
    with (
        socket.create_connection(('127.0.0.1', conn.port), timeout=LIMIT) as sock,
        client_tls.wrap_socket(sock, server_hostname='localhost') as tls,
    ):
        assert tls.getpeercert(binary_form=True) == der


def test_7_12_cipher(serve_tls: Serve) -> None:
    conn = serve_tls(answer_all)
    cipher = conn.get_ssl_cipher()
    assert cipher is not None
    name, protocol, bits = cipher
    assert isinstance(name, str)
    assert protocol.startswith('TLSv1')
    assert bits >= 128


def test_7_12_an_unchecked_certificate(serve_tls: Serve) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    conn = serve_tls(answer_all)
    conn.ssl_context = context
    assert conn.get_ssl_peercert() == {}
    assert isinstance(conn.get_ssl_peercert(binary_form=True), bytes)


def test_7_12_whatever_the_socket_says() -> None:
    class Socket(Only):
        asked: list[bool] = []

        def getpeercert(self, binary_form: bool = False) -> Any:
            self.asked.append(binary_form)
            return ['my', 'certificate']

        def cipher(self) -> Any:
            return 'my cipher'

    class Context:
        def wrap_socket(self, sock: socket.socket, server_hostname: str) -> Any:
            return Socket(sock)

    context: Any = Context()
    with Server(answer_all) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        cert: Any = conn.get_ssl_peercert()
        assert cert == ['my', 'certificate']
        cert = conn.get_ssl_peercert(binary_form=True)
        assert cert == ['my', 'certificate']
        cipher: Any = conn.get_ssl_cipher()
        assert cipher == 'my cipher'
        assert Socket.asked == [False, True]
