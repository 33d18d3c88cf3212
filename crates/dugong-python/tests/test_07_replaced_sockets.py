"""Statement 7.5a: the replacement of a part of `socket` makes the connections."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_socket
import socks  # type: ignore[import-untyped]
from peers import LIMIT, Serve, answer_all

import dugong
from dugong import ConnectionTimedOut, HTTPConnection, eval_coroutine


def regular(conn: HTTPConnection) -> None:
    conn.send_request('GET', '/a')


def driven(conn: HTTPConnection) -> None:
    eval_coroutine(conn.co_send_request('GET', '/a'))


def awaited(conn: HTTPConnection) -> None:
    async def main() -> None:
        await conn.co_send_request('GET', '/a')

    asyncio.run(main())


ways = pytest.mark.parametrize('send', [regular, driven, awaited])
Send = Callable[[HTTPConnection], None]


class Recorded(socket.socket):
    """A socket that records its calls."""

    calls: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls.append('made')

    def connect(self, address: Any) -> None:
        self.calls.append('connect')
        super().connect(address)

    def send(self, *args: Any) -> int:
        self.calls.append('send')
        return super().send(*args)

    def recv(self, *args: Any) -> bytes:
        self.calls.append('recv')
        return super().recv(*args)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(Recorded, 'calls', calls, raising=False)
    return calls


def read(conn: HTTPConnection) -> bytes:
    assert conn.read_response().status == 200
    return conn.readall()


@ways
def test_7_5a_a_replaced_class_is_used(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, recorded: list[str], send: Send
) -> None:
    conn = serve(answer_all)
    monkeypatch.setattr(socket, 'socket', Recorded)
    send(conn)
    assert read(conn) == b'/a'
    assert recorded.count('connect') == 1
    if not serve.tls:
        # A replacement may not only connect in another way.
        assert {'send', 'recv'} <= set(recorded)
        assert conn.get_ssl_peercert() is None
        assert conn.get_ssl_cipher() is None
    else:
        assert conn.get_ssl_cipher()


@ways
@pytest.mark.parametrize('timeout', [None, 5])
def test_7_5a_a_replaced_create_connection_is_used(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, send: Send, timeout: float | None
) -> None:
    def create_connection(address: tuple[str, int]) -> socket.socket:
        asked.append(address)
        return usual(address)

    asked: list[tuple[str, int]] = []
    usual = socket.create_connection
    conn = serve(answer_all)
    conn.timeout = timeout
    monkeypatch.setattr(socket, 'create_connection', create_connection)
    send(conn)
    assert read(conn) == b'/a'
    assert asked == [(conn.hostname, conn.port)]


@ways
def test_7_5a_a_replaced_create_socket_is_used(monkeypatch: pytest.MonkeyPatch, serve: Serve, send: Send) -> None:
    def create_socket(address: tuple[str, int]) -> socket.socket:
        asked.append(address)
        return usual(address)

    asked: list[tuple[str, int]] = []
    usual = dugong.create_socket
    conn = serve(answer_all)
    monkeypatch.setattr(dugong, 'create_socket', create_socket)
    send(conn)
    assert read(conn) == b'/a'
    assert asked == [(conn.hostname, conn.port)]


def test_7_5a_a_patched_method_is_used(monkeypatch: pytest.MonkeyPatch, serve_plain: Serve) -> None:
    def connect(self: socket.socket, address: Any) -> None:
        asked.append(address)
        super(socket.socket, self).connect(address)

    asked: list[Any] = []
    conn = serve_plain(answer_all)
    monkeypatch.setattr(socket.socket, 'connect', connect, raising=False)
    conn.connect()
    assert asked == [('127.0.0.1', conn.port)]


def test_7_5a_a_timeout_is_passed_to_functions_that_take_it(
    monkeypatch: pytest.MonkeyPatch, serve_plain: Serve
) -> None:
    def create_connection(address: tuple[str, int], timeout: float | None = None) -> socket.socket:
        given.append(timeout)
        return usual(address, timeout)

    given: list[float | None] = []
    usual = socket.create_connection
    conn = serve_plain(answer_all, answer_all)
    monkeypatch.setattr(socket, 'create_connection', create_connection)
    for timeout in 5, None:
        conn.timeout = timeout
        conn.connect()
        conn.disconnect()
    assert given == [5, None]


@ways
def test_7_5a_errors_of_the_replacement_are_passed_on_and_leave_no_connection(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, send: Send
) -> None:
    class Blocked(RuntimeError):
        pass

    def create_socket(*args: Any, **kwargs: Any) -> socket.socket:
        raise Blocked

    conn = serve(answer_all)
    with monkeypatch.context() as patched:
        patched.setattr(dugong, 'create_socket', create_socket)
        with pytest.raises(Blocked):
            send(conn)
        assert not conn.response_pending()
    send(conn)
    assert read(conn) == b'/a'
    assert serve.server.connections == 1


@ways
@pytest.mark.parametrize('host', ['localhost', '127.0.0.1'])
@pytest.mark.filterwarnings('ignore:A test tried')
def test_7_5a_tests_without_a_network_have_none(serve: Serve, send: Send, host: str) -> None:
    """The event loop makes its own sockets before the replacement."""
    conn = serve(answer_all)
    conn.hostname = host
    if send is awaited:

        async def main() -> None:
            pytest_socket.disable_socket()
            try:
                await conn.co_send_request('GET', '/a')
            finally:
                pytest_socket.enable_socket()

        with pytest.raises(pytest_socket.SocketBlockedError):
            asyncio.run(main())
    else:
        pytest_socket.disable_socket()
        try:
            with pytest.raises(pytest_socket.SocketBlockedError):
                send(conn)
        finally:
            pytest_socket.enable_socket()
    serve.server.join()
    assert serve.server.connections == 0


@pytest.mark.filterwarnings('ignore:A test tried')
def test_7_5a_tests_with_a_network_of_some_hosts_have_these(serve_plain: Serve) -> None:
    conn = serve_plain(answer_all)
    try:
        pytest_socket.socket_allow_hosts(['192.0.2.1'])
        with pytest.raises(pytest_socket.SocketConnectBlockedError):
            conn.connect()
        pytest_socket.socket_allow_hosts(['127.0.0.1', 'localhost'])
        conn.connect()
    finally:
        pytest_socket._remove_restrictions()
        pytest_socket.enable_socket()


USUAL = socket.socket


class Proxy:
    """A SOCKS5 proxy with an accepting thread, and two threads for each connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = self.listener.getsockname()
        self.asked: list[tuple[str, int]] = []
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(LIMIT)
                count = self.take(client, 2)[1]
                self.take(client, count)
                client.sendall(b'\5\0')
                kind = self.take(client, 4)[3]
                if kind == 3:
                    host = self.take(client, self.take(client, 1)[0]).decode()
                else:
                    host = socket.inet_ntop(socket.AF_INET, self.take(client, 4))
                [port] = struct.unpack('>H', self.take(client, 2))
                self.asked.append((host, port))
                with USUAL() as server:
                    server.settimeout(LIMIT)
                    server.connect(('127.0.0.1', port))
                    client.sendall(b'\5\0\0\1\0\0\0\0\0\0')
                    back = threading.Thread(target=self.copy, args=(server, client))
                    back.start()
                    self.copy(client, server)
                    back.join()

    @staticmethod
    def take(sock: socket.socket, count: int) -> bytes:
        data = b''
        while len(data) < count:
            data += sock.recv(count - len(data)) or b'\0' * count
        return data

    @staticmethod
    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(10000):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


@ways
def test_7_5a_traffic_goes_through_the_proxy_of_pysocks(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, proxy: Proxy, send: Send
) -> None:
    conn = serve(answer_all)
    monkeypatch.setattr(socks.socksocket, 'default_proxy', None)
    socks.set_default_proxy(socks.SOCKS5, *proxy.address)
    monkeypatch.setattr(socket, 'socket', socks.socksocket)
    send(conn)
    assert read(conn) == b'/a'
    assert proxy.asked == [('127.0.0.1', conn.port)]
    conn.disconnect()


@ways
def test_7_5a_a_proxy_may_look_up_the_names(
    monkeypatch: pytest.MonkeyPatch, serve_plain: Serve, proxy: Proxy, send: Send
) -> None:
    """The recipe of PySocks: a resolver that returns names, and takes the arguments that `socket` passes."""

    def getaddrinfo(*args: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', args[:2])]

    conn = serve_plain(answer_all)
    conn.hostname = 'faß.de'
    monkeypatch.setattr(socks.socksocket, 'default_proxy', None)
    socks.set_default_proxy(socks.SOCKS5, *proxy.address)
    monkeypatch.setattr(socket, 'socket', socks.socksocket)
    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    send(conn)
    assert read(conn) == b'/a'
    assert proxy.asked == [('xn--fa-hia.de', conn.port)]
    conn.disconnect()


def test_7_5a_a_socket_that_comes_too_late_is_closed(monkeypatch: pytest.MonkeyPatch, serve_plain: Serve) -> None:
    def create_socket(address: tuple[str, int]) -> socket.socket:
        assert go_on.wait(LIMIT)
        made.append(usual(address))
        is_made.set()
        return made[0]

    made: list[socket.socket] = []
    go_on, is_made = threading.Event(), threading.Event()
    usual = dugong.create_socket
    conn = serve_plain(lambda peer: None)
    monkeypatch.setattr(dugong, 'create_socket', create_socket)
    iterator = conn.co_connect()
    next(iterator)
    iterator.close()
    go_on.set()
    assert is_made.wait(LIMIT)
    for _ in range(1000):
        if made[0].fileno() < 0:
            break
        gc.collect()
        threading.Event().wait(0.005)
    assert made[0].fileno() == -1


def test_17_2_the_timeout_bounds_the_replacement(monkeypatch: pytest.MonkeyPatch, serve_plain: Serve) -> None:
    go_on = threading.Event()

    def create_socket(address: tuple[str, int]) -> socket.socket:
        go_on.wait(LIMIT)
        raise OSError

    conn = serve_plain()
    conn.timeout = 0.05
    monkeypatch.setattr(dugong, 'create_socket', create_socket)
    with pytest.raises(ConnectionTimedOut):
        eval_coroutine(conn.co_connect())
    go_on.set()
    serve_plain.server.join()
