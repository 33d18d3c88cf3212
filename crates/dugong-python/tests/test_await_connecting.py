"""Connecting by awaited methods: lookups, cancellation, and several tasks."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from awaiting import echo
from loops import Asyncio, Loop, each_loop
from peers import LIMIT, Serve

import dugong
from dugong import (
    ConnectionClosed,
    ConnectionTimedOut,
    HTTPConnection,
    eval_coroutine,
)
from dugong._lookup import Lookup

Resolver = Callable[..., list[Any]]


@each_loop
@pytest.mark.parametrize('method', ['co_connect', 'co_send_request', 'co_pipeline'])
def test_7_6_looking_up_a_name_does_not_block_the_loop(
    serve_plain: Serve, loop: Loop, slow_resolver: threading.Event, method: str
) -> None:
    async def main() -> None:
        async def connect() -> None:
            if method == 'co_connect':
                await conn.co_connect()
            elif method == 'co_send_request':
                await conn.co_send_request('GET', '/')
            else:
                async for _ in conn.co_pipeline(['/']):
                    break
            done.append(True)

        async def meanwhile() -> None:
            await loop.sleep(0.05)
            assert done == []
            slow_resolver.set()

        done: list[bool] = []
        await loop.together(connect, meanwhile)
        assert done == [True]
        assert threading.get_ident() not in slow_resolver.threads  # type: ignore[attr-defined]

    conn = serve_plain(echo, hostname='slow.test')
    loop.run(main)


def test_regular_methods_and_addresses_need_no_thread(serve_plain: Serve, slow_resolver: threading.Event) -> None:
    slow_resolver.set()
    conn = serve_plain(echo, echo, hostname='slow.test')
    conn.send_request('GET', '/')
    conn.hostname = '127.0.0.1'
    eval_coroutine(conn.co_connect())
    assert set(slow_resolver.threads) == {threading.get_ident()}  # type: ignore[attr-defined]


@each_loop
def test_7_7_names_that_do_not_exist(
    loop: Loop, slow_resolver: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        conn = HTTPConnection('missing.test')
        with pytest.raises(dugong.DNSUnavailable) as caught:
            await conn.co_send_request('GET', '/')
        assert caught.value.name == 'missing.test'
        monkeypatch.setattr(dugong, 'DNS_TEST_HOSTNAMES', [('slow.test', 80)])
        with pytest.raises(dugong.HostnameNotResolvable) as other:
            await conn.co_connect()
        assert other.value.name == 'missing.test'

    slow_resolver.set()
    loop.run(main)


@each_loop
def test_17_2_the_timeout_bounds_the_resolver(serve_plain: Serve, loop: Loop, slow_resolver: threading.Event) -> None:
    async def main() -> None:
        conn.timeout = 0.05
        with pytest.raises(ConnectionTimedOut):
            await conn.co_connect()
        with pytest.raises(ConnectionTimedOut):
            await conn.co_send_request('GET', '/')
        slow_resolver.set()
        conn.timeout = LIMIT
        await conn.co_send_request('GET', '/a')
        await conn.co_read_response()
        assert await conn.co_readall() == b'/a 0'

    conn = serve_plain(echo, hostname='slow.test')
    loop.run(main)


@each_loop
def test_a_lookup_can_be_cancelled(serve_plain: Serve, loop: Loop, slow_resolver: threading.Event) -> None:
    async def main() -> None:
        for _ in range(3):
            assert await loop.is_too_slow(0.02, conn.co_send_request('GET', '/'))
        slow_resolver.set()
        await conn.co_send_request('GET', '/a')
        await conn.co_read_response()
        assert await conn.co_readall() == b'/a 0'

    conn = serve_plain(echo, hostname='slow.test')
    loop.run(main)


@each_loop
def test_disconnect_ends_a_lookup(loop: Loop, slow_resolver: threading.Event) -> None:
    async def main() -> None:
        async def connect() -> None:
            with pytest.raises(ConnectionClosed):
                await conn.co_connect()

        async def disconnect() -> None:
            await loop.sleep(0.02)
            conn.disconnect()

        await loop.together(connect, disconnect)

    conn = HTTPConnection('slow.test')
    loop.run(main)


@each_loop
def test_a_reader_may_wait_for_the_connection_of_a_sender(
    serve: Serve, loop: Loop, slow_resolver: threading.Event
) -> None:
    async def main() -> None:
        async def send() -> None:
            await conn.co_send_request('GET', '/a')

        async def read() -> None:
            await loop.turns()
            await conn.co_read_response()
            assert await conn.co_readall() == b'/a 0'

        async def resolve() -> None:
            await loop.sleep(0.05)
            slow_resolver.set()

        await loop.together(send, read, resolve)

    conn = serve(echo, hostname='localhost')
    slow = socket.getaddrinfo

    def localhost(host: str, *args: Any, **kwargs: Any) -> Any:
        return slow('slow.test', *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, 'getaddrinfo', localhost)
        loop.run(main)


def test_few_threads_look_up_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        raise socket.gaierror(socket.EAI_FAIL, host)

    async def fail(i: int) -> str:
        with pytest.raises(socket.gaierror) as caught:
            await HTTPConnection(f'{i}.test').co_connect()
        return str(caught.value.args[1])

    async def main() -> None:
        assert await asyncio.gather(*map(fail, range(300))) == [f'{i}.test' for i in range(300)]

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    Asyncio().run(main)
    assert 1 < most <= Lookup.MOST_THREADS
    deadline = threading.Event()
    for _ in range(100):
        if not Lookup._threads:
            break
        deadline.wait(0.01)
    assert Lookup._threads == 0
