"""Statement 7.5: hosts with several addresses, and the time limits of connecting."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from interop_support import Worker
from loops import Loop, each_loop
from peers import LIMIT, Peer, Serve

from dugong import POLLOUT, AioFuture, ConnectionClosed, ConnectionTimedOut, HTTPConnection, eval_coroutine

Place = tuple[str, int]


Named = Callable[..., HTTPConnection]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Named:
    """A connection to a host with these addresses."""

    def make(*addresses: Place, **settings: Any) -> HTTPConnection:
        def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> Any:
            if host != 'several.example':
                return usual(host, *args, **kwargs)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', address) for address in addresses]

        usual = socket.getaddrinfo
        monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
        return HTTPConnection('several.example', 80, **settings)

    return make


def answers(peer: Peer) -> None:
    peer.request()
    peer.answer(b'hello')
    peer.rest()


def place(serve: Serve) -> Place:
    return '127.0.0.1', serve(answers).port


def ask(conn: HTTPConnection) -> bytes:
    with conn:
        conn.send_request('GET', '/')
        assert conn.read_response().status == 200
        return conn.readall()


def sockets() -> set[str]:
    """The descriptors of sockets and epoll instances that are open."""
    found = set()
    for number in os.listdir('/proc/self/fd'):
        try:
            if stat.S_ISSOCK(os.stat(f'/proc/self/fd/{number}').st_mode):
                found.add(os.readlink(f'/proc/self/fd/{number}'))
            elif 'eventpoll' in os.readlink(f'/proc/self/fd/{number}'):
                found.add(number)
        except OSError:
            pass
    return found


def test_7_5_a_regular_method_does_not_wait_for_an_address_that_is_silent(
    serve_plain: Serve, named: Named, full: Place, refused: Place
) -> None:
    # Without a time limit, only the system gives up on the first address.
    conn = named(full, refused, full, place(serve_plain), full)
    assert Worker(ask, conn).result() == b'hello'


def test_7_5_the_losers_of_a_race_are_closed(serve_plain: Serve, named: Named, full: Place) -> None:
    conn = named(full, full, place(serve_plain))
    before = sockets()
    Worker(conn.connect).result()
    assert len(sockets() - before) <= 2  # the peer's end is one of them
    assert ask(conn) == b'hello'


@each_loop
@pytest.mark.parametrize('method', ['co_connect', 'co_send_request', 'co_pipeline'])
def test_7_5_an_awaited_method_does_not_either(
    serve_plain: Serve, named: Named, loop: Loop, full: Place, method: str
) -> None:
    async def main() -> None:
        conn = named(full, full, place(serve_plain))
        async with conn:
            if method == 'co_connect':
                await conn.co_connect()
            if method == 'co_pipeline':
                async for _ in conn.co_pipeline(['/']):
                    assert await conn.co_readall() == b'hello'
            else:
                await conn.co_send_request('GET', '/')
                await conn.co_read_response()
                assert await conn.co_readall() == b'hello'

    loop.run(main)


def test_7_5_by_hand_addresses_are_tried_in_turn_each_with_its_share(
    serve_plain: Serve, named: Named, full: Place, refused: Place
) -> None:
    conn = named(full, refused, full, place(serve_plain))
    conn.timeout = 0.8
    waits: list[Any] = []
    iterator = conn.co_connect()
    for need in iterator:
        if need.mask == POLLOUT:
            waits.append(need)
            assert os.readlink(f'/proc/self/fd/{need.fd}').startswith('socket:')
            assert need._timeout  # the lookup has the whole limit
            assert need._timeout <= 0.2
        need.poll(need._timeout)
    assert len(waits) >= 2
    assert ask(conn) == b'hello'


def test_7_5_by_hand_with_the_driver_of_the_package(serve_plain: Serve, named: Named, full: Place) -> None:
    conn = named(full, place(serve_plain))
    conn.timeout = 0.4
    eval_coroutine(conn.co_connect(), conn.timeout)
    conn.timeout = LIMIT
    assert ask(conn) == b'hello'


def test_7_5_in_a_future_too(serve_plain: Serve, named: Named, full: Place) -> None:
    async def main() -> None:
        conn = named(full, place(serve_plain))
        conn.timeout = 0.4
        await AioFuture(conn.co_connect())
        conn.timeout = LIMIT
        await conn.co_send_request('GET', '/')
        await conn.co_read_response()
        assert await conn.co_readall() == b'hello'
        conn.disconnect()

    asyncio.run(main())


def test_2_3_a_refusal_names_the_address(named: Named, refused: Place, full: Place) -> None:
    for conn in named(refused), HTTPConnection(*refused), named(refused, refused):
        with pytest.raises(ConnectionRefusedError, match=f'127.0.0.1:{refused[1]}') as caught:
            conn.connect()
        assert caught.value.errno
        with pytest.raises(ConnectionRefusedError, match=f'127.0.0.1:{refused[1]}'):
            eval_coroutine(conn.co_send_request('GET', '/'))


@pytest.mark.parametrize('count', [1, 3])
def test_17_2_all_addresses_are_silent(named: Named, full: Place, count: int) -> None:
    conn = named(*[full] * count)
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        conn.connect()
    with pytest.raises(ConnectionTimedOut):
        eval_coroutine(conn.co_connect())


def test_15_1_disconnect_ends_a_race(named: Named, full: Place) -> None:
    conn = named(full, full)
    before = sockets()
    worker = Worker(conn.connect)
    for _ in range(1000):
        if len(sockets() - before) == 3:  # both attempts, and the descriptor that gathers them
            break
        worker.join(0.01)
    else:
        pytest.fail('there are no two attempts')
    conn.disconnect()
    assert isinstance(worker.exception(), ConnectionClosed)


@pytest.fixture
def default() -> Iterator[None]:
    socket.setdefaulttimeout(0.05)
    yield
    socket.setdefaulttimeout(None)


@pytest.mark.usefixtures('default')
@pytest.mark.parametrize('count', [1, 2])
def test_7_5a_the_default_of_the_program_bounds_connecting(named: Named, full: Place, count: int) -> None:
    conn = named(*[full] * count)
    for call in conn.connect, lambda: eval_coroutine(conn.co_connect()):
        # 3.8.2 raised this class, and a timeout of the connection raises it.
        for error in TimeoutError, ConnectionTimedOut:
            with pytest.raises(error):
                call()


def test_7_5a_the_default_of_the_program_bounds_the_handshake(serve_plain: Serve, client_tls: ssl.SSLContext) -> None:
    def silent(peer: Peer) -> None:
        peer.rest()

    conn = HTTPConnection('localhost', serve_plain(silent, silent).port, client_tls)
    socket.setdefaulttimeout(0.1)
    try:
        for call in conn.connect, lambda: eval_coroutine(conn.co_connect()):
            with pytest.raises(TimeoutError):
                call()
    finally:
        socket.setdefaulttimeout(None)


def test_7_5a_the_timeout_of_the_connection_comes_first(serve_plain: Serve) -> None:
    def slow(peer: Peer) -> None:
        peer.request()
        Worker(peer.answer, b'hello').result()
        peer.rest()

    conn = serve_plain(slow)
    socket.setdefaulttimeout(0.001)
    try:
        conn.timeout = LIMIT
        conn.connect()
    finally:
        socket.setdefaulttimeout(None)
    conn.timeout = None
    assert ask(conn) == b'hello'
