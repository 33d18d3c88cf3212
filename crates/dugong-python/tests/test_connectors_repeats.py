"""What the connectors send again: what was not sent, and idempotent requests that a neighbour took down."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from peers import LIMIT, Peer, Server, answer_all

httpx = pytest.importorskip('httpx', reason='httpx is not installed')
requests = pytest.importorskip('requests', reason='requests is not installed')

import dugong.httpx  # noqa: E402  # they need the hosts
import dugong.requests  # noqa: E402

#: A method and a URL.
Call = tuple[str, str]
#: The text for each call, or the exception of the host.
Results = list[Any]
Way = Callable[..., Results]


def by_httpx(calls: list[Call], may_start: threading.Semaphore, all_wait: threading.Event | None = None) -> Results:
    """Make calls on one connection, each as soon as it may start, and tell when all of them wait for answers."""

    def call(method: str, url: str) -> Any:
        try:
            return client.request(method, url).text
        except httpx.TransportError as exc:
            return exc

    transport = dugong.httpx.Transport(connections=1)
    with httpx.Client(transport=transport) as client:
        return in_threads(call, transport, calls, may_start, all_wait)


def by_httpx_in_asyncio(
    calls: list[Call], may_start: threading.Semaphore, all_wait: threading.Event | None = None
) -> Results:
    async def call(client: Any, method: str, url: str) -> Any:
        try:
            return (await client.request(method, url)).text
        except httpx.TransportError as exc:
            return exc

    async def main() -> Results:
        transport = dugong.httpx.AsyncTransport(connections=1)
        async with httpx.AsyncClient(transport=transport) as client:
            tasks: list[Any] = []
            for method, url in calls:
                assert await asyncio.to_thread(may_start.acquire, timeout=LIMIT)
                tasks.append(asyncio.ensure_future(call(client, method, url)))
            if all_wait is not None:
                while jobs_of(transport) < len(calls):
                    await asyncio.sleep(0.001)
                all_wait.set()
            return await asyncio.gather(*tasks)

    return asyncio.run(asyncio.wait_for(main(), 3 * LIMIT))


def by_requests(calls: list[Call], may_start: threading.Semaphore, all_wait: threading.Event | None = None) -> Results:
    def call(method: str, url: str) -> Any:
        try:
            return session.request(method, url).text
        except requests.RequestException as exc:
            return exc

    adapter = dugong.requests.Adapter(connections=1)
    with requests.Session() as session:
        session.trust_env = False
        session.mount('http://', adapter)
        return in_threads(call, adapter, calls, may_start, all_wait)


def in_threads(
    call: Callable[[str, str], Any],
    connector: Any,
    calls: list[Call],
    may_start: threading.Semaphore,
    all_wait: threading.Event | None,
) -> Results:
    with ThreadPoolExecutor(len(calls)) as pool:
        futures: list[Any] = []
        for one in calls:
            assert may_start.acquire(timeout=LIMIT)
            futures.append(pool.submit(call, *one))
        end = time.monotonic() + LIMIT
        if all_wait is not None:
            while jobs_of(connector) < len(calls):
                assert time.monotonic() < end
                time.sleep(0.001)  # no event announces a queued request
            all_wait.set()
        return [future.result(LIMIT) for future in futures]


def jobs_of(connector: Any) -> int:
    """Return how many requests wait for answers."""
    pools = connector._pools._pools.values()
    return sum(figures['jobs'] for sessions in pools for figures in sessions.stats().values())


each = pytest.mark.parametrize('way', [by_httpx, by_httpx_in_asyncio, by_requests])
LOST = (httpx.RemoteProtocolError, requests.ConnectionError)


@each
@pytest.mark.parametrize('method', ['GET', 'PUT', 'POST'])
def test_a_request_that_was_sent_and_lost_arrives_once(way: Way, method: str) -> None:
    def lose(peer: Peer) -> None:
        arrived.append(peer.request().method)
        peer.end()

    arrived: list[str] = []
    with Server(lose) as server:
        (got,) = way([(method, f'http://127.0.0.1:{server.port}/')], threading.Semaphore(1))
    assert isinstance(got, LOST)
    assert (got.__cause__.attempts, got.__cause__.sent) == (1, 'yes')
    assert arrived == [method]


@each
def test_what_a_neighbour_takes_down_arrives_twice_at_most(way: Way) -> None:
    def lose(peer: Peer) -> None:
        # The first one shows that the connection lasts; then two leave together.
        arrived.append(peer.request().target)
        assert all_wait.wait(LIMIT)
        peer.answer(b'first')
        arrived.extend(peer.request().target for _ in range(2))
        peer.end()

    def answer(peer: Peer) -> None:
        for _ in range(2):
            arrived.append(peer.request().target)
            peer.answer(b'again')
        peer.rest()

    arrived: list[str] = []
    all_wait = threading.Event()
    with Server(lose, answer) as server:
        url = f'http://127.0.0.1:{server.port}'
        calls = [('GET', f'{url}/{number}') for number in range(3)]
        results = way(calls, threading.Semaphore(3), all_wait)
    assert sorted(arrived[1:3]) == sorted(arrived[3:])
    assert [f'/{number}' for number, result in enumerate(results) if result == 'first'] == arrived[:1]
    assert results.count('again') == 2, results


@each
def test_a_connection_that_ended_while_it_was_idle_costs_nothing(way: Way) -> None:
    def answer_one(peer: Peer) -> None:
        arrived.append(peer.request().target)
        peer.answer(b'a')
        peer.end()
        may_start.release()

    arrived: list[str] = []
    may_start = threading.Semaphore(1)
    with Server(*[answer_one] * 3) as server:
        url = f'http://127.0.0.1:{server.port}'
        assert way([('POST', f'{url}/0'), ('POST', f'{url}/1'), ('GET', f'{url}/2')], may_start) == ['a'] * 3
    assert arrived == ['/0', '/1', '/2']


@each
def test_a_connection_that_closes_just_when_a_get_is_on_its_way_is_not_noticed(way: Way) -> None:
    def close_under_the_second(peer: Peer) -> None:
        arrived.append(peer.request().target)
        peer.answer(b'a')
        may_start.release()
        arrived.append(peer.request().target)
        peer.end()

    def answer_one(peer: Peer) -> None:
        arrived.append(peer.request().target)
        peer.answer(b'b')
        peer.rest()

    arrived: list[str] = []
    may_start = threading.Semaphore(1)
    with Server(close_under_the_second, answer_one) as server:
        url = f'http://127.0.0.1:{server.port}'
        assert way([('GET', f'{url}/0'), ('GET', f'{url}/1')], may_start) == ['a', 'b']
    assert arrived == ['/0', '/1', '/1']


def test_retries_of_its_own_repeat_what_was_sent_and_lost() -> None:
    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    with Server(lose, answer_all) as server, requests.Session() as session:
        session.mount('http://', dugong.requests.Adapter(retries=1))
        assert session.get(f'http://127.0.0.1:{server.port}/a').text == '/a'
        session.close()
