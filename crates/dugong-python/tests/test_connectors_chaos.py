"""The connectors under a server, and a network, that do harm.

`DUGONG_CHAOS_SEED` sets the first seed. A failure names its seed.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio
from origins import find_origin, running
from peers import LIMIT

httpx = pytest.importorskip('httpx', reason='httpx is not installed')
requests = pytest.importorskip('requests', reason='requests is not installed')
pytest.importorskip('fsspec', reason='fsspec is not installed')

import dugong.fsspec  # noqa: E402  # they need the hosts
import dugong.httpx  # noqa: E402
import dugong.requests  # noqa: E402

SEED = int(os.environ.get('DUGONG_CHAOS_SEED', '0'))
#: Without a byte for so long, a request fails.
SILENCE = 0.3

#: A method and a target.
Call = tuple[str, str]
#: For each call, what came, or the exception of the host.
Results = list[Any]


def outcome(function: Callable[[], Any], kind: type[Exception]) -> Any:
    """Return what a function returns, or its exception of a kind. Others come through."""
    try:
        return function()
    except kind as exc:
        return exc


def content_for(method: str) -> bytes | None:
    return b'x' * 300 if method == 'POST' else None


def by_httpx(url: str, calls: list[Call]) -> Results:
    def perform(call: Call) -> Any:
        return outcome(lambda: client.request(call[0], url + call[1], content=content_for(call[0])).content, kind)

    kind = httpx.TransportError
    transport = dugong.httpx.Transport()
    with httpx.Client(transport=transport, timeout=SILENCE) as client, ThreadPoolExecutor(16) as pool:
        return list(pool.map(perform, calls))


async def of_httpx(client: Any, url: str, call: Call) -> Any:
    try:
        return (await client.request(call[0], url + call[1], content=content_for(call[0]))).content
    except httpx.TransportError as exc:
        return exc


def by_httpx_in_asyncio(url: str, calls: list[Call]) -> Results:
    async def main() -> Results:
        async with httpx.AsyncClient(transport=dugong.httpx.AsyncTransport(), timeout=SILENCE) as client:
            return await asyncio.gather(*(of_httpx(client, url, call) for call in calls))

    return asyncio.run(asyncio.wait_for(main(), LIMIT * 3))


def by_httpx_in_trio(url: str, calls: list[Call]) -> Results:
    found: dict[Call, Any] = {}

    async def perform(client: Any, call: Call) -> None:
        found[call] = await of_httpx(client, url, call)

    async def main() -> None:
        client = httpx.AsyncClient(transport=dugong.httpx.AsyncTransport(), timeout=SILENCE)
        with trio.fail_after(LIMIT * 3):
            async with client, trio.open_nursery() as nursery:
                for call in calls:
                    nursery.start_soon(perform, client, call)

    trio.run(main)
    return [found[call] for call in calls]


def by_requests(url: str, calls: list[Call]) -> Results:
    def perform(call: Call) -> Any:
        function = session.request
        return outcome(lambda: function(*call_of(call), timeout=SILENCE).content, requests.RequestException)

    def call_of(call: Call) -> tuple[Any, ...]:
        return call[0], url + call[1], None, content_for(call[0])

    with requests.Session() as session, ThreadPoolExecutor(16) as pool:
        session.trust_env = False
        session.mount('http://', dugong.requests.Adapter())
        return list(pool.map(perform, calls))


def by_fsspec(url: str, calls: list[Call]) -> Results:
    fs = dugong.fsspec.FileSystem(timeout=SILENCE, retries=0, skip_instance_cache=True)
    results: Results = fs.cat_ranges([url + target for _, target in calls], None, None, on_error='return')
    assert all(isinstance(one, (bytes, OSError)) for one in results), results
    return results


WAYS = [by_httpx, by_httpx_in_asyncio, by_httpx_in_trio, by_requests, by_fsspec]


@pytest.fixture(scope='module')
def origin() -> Iterator[int]:
    with running() as port:
        yield port


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(SEED, SEED + 3))
@pytest.mark.parametrize('way', WAYS)
def test_a_harmful_network_gives_right_bytes_or_errors_of_the_host(
    origin: int, way: Callable[[str, list[Call]], Results], seed: int
) -> None:
    sizes = [number * 37 % 30_000 for number in range(200)]
    calls = [('GET', f'/bytes/{size}?seed={number}') for number, size in enumerate(sizes)]
    expected = dugong.fsspec.FileSystem().cat_ranges(
        [f'http://127.0.0.1:{origin}{target}' for _, target in calls], None, None
    )
    assert [len(content) for content in expected] == sizes
    with running('--proxy-to', f'127.0.0.1:{origin}', '--chaos', str(seed)) as port:
        results = way(f'http://127.0.0.1:{port}', calls)
    wrong = [
        call
        for call, got, right in zip(calls, results, expected, strict=True)
        if isinstance(got, bytes) and got != right
    ]
    assert not wrong, f'DUGONG_CHAOS_SEED={seed}'
    assert sum(isinstance(got, bytes) for got in results) > 0, (
        f'DUGONG_CHAOS_SEED={seed}: {Counter(map(repr, results))}'
    )


class Chaos:
    """`dugong-origin --chaos`, which keeps what each connection received."""

    def __init__(self, seed: int, record: Path) -> None:
        command = [str(find_origin()), f'--chaos={seed}', f'--record={record}', '--until-stdin-closes']
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        found = re.search(r':(\d+)\s*$', self._process.stdout.readline())
        assert found
        self.port = int(found[1])
        self._record = record

    def arrived(self) -> Counter[str]:
        """Return how often each target arrived, when all connections have ended."""
        with socket.create_connection(('127.0.0.1', self.port)) as last:
            last.sendall(b'the last one')
        end = time.monotonic() + LIMIT
        while not self._is_complete():
            assert time.monotonic() < end, 'a connection has not ended'
            time.sleep(0.005)  # the server is another process, and no event announces the files
        received = b'\n'.join(path.read_bytes() for path in self._record.iterdir())
        found = re.findall(rb'^(?:GET|POST) (\S+) HTTP/1.1\r$', received, re.MULTILINE)
        return Counter(target.decode() for target in found)

    def _is_complete(self) -> bool:
        numbers = [int(path.name) for path in self._record.iterdir() if path.name.isdigit()]
        most = max(numbers, default=-1)
        return len(numbers) == most + 1 and b'the last one' in (self._record / str(most)).read_bytes()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(LIMIT)
        self._process.stdout.close()


#: They say that no byte of the request was sent.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, requests.ConnectTimeout)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(SEED, SEED + 3))
@pytest.mark.parametrize('way', [way for way in WAYS if way is not by_fsspec])
def test_a_harmful_server_gets_no_request_twice_that_may_arrive_once(
    tmp_path: Path, way: Callable[[str, list[Call]], Results], seed: int
) -> None:
    calls = [('POST' if number % 3 == 0 else 'GET', f'/{number}') for number in range(300)]
    server = Chaos(seed, tmp_path)
    try:
        results = way(f'http://127.0.0.1:{server.port}', calls)
        arrived = server.arrived()
    finally:
        server.close()
    for (method, target), got in zip(calls, results, strict=True):
        what = f'DUGONG_CHAOS_SEED={seed}: {method} {target} arrived {arrived[target]} times, and gave {got!r}'
        assert method == 'GET' or arrived[target] <= 1, what
        if isinstance(got, bytes):
            assert got == f'{target}\n'.encode() * (int(target[1:]) * 37 % 200 + 1), what
        elif isinstance(got, UNSENT):
            assert not arrived[target], what
    assert sum(isinstance(got, bytes) for got in results) > 0, (
        f'DUGONG_CHAOS_SEED={seed}: {Counter(map(repr, results))}'
    )
