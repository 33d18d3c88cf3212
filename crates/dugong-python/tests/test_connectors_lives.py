"""The connectors at the end of a program, a loop and a task, and in children: nothing leaks, and nothing warns."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from origins import running
from peers import Peer, Server, answer_all

httpx = pytest.importorskip('httpx', reason='httpx is not installed')
requests = pytest.importorskip('requests', reason='requests is not installed')
pytest.importorskip('fsspec', reason='fsspec is not installed')

import dugong  # noqa: E402
import dugong.fsspec  # noqa: E402  # it needs fsspec
import dugong.httpx  # noqa: E402
import dugong.requests  # noqa: E402


@pytest.fixture(scope='module')
def origin() -> Iterator[str]:
    with running() as port:
        yield f'http://127.0.0.1:{port}'


HEAD = """
import asyncio, multiprocessing, sys, threading
import httpx, requests, dugong.fsspec, dugong.httpx, dugong.requests
url = sys.argv[1]
large = url + '/bytes/30000000'
small = url + '/bytes/1000'
fs = dugong.fsspec.FileSystem()
client = httpx.Client(transport=dugong.httpx.Transport())
session = requests.Session()
session.mount('http://', dugong.requests.Adapter())
fork = multiprocessing.get_context('fork')
begun = threading.Event()
def by_fsspec(fs):
    return len(fs.cat_file(small)) + len(fs.cat_ranges([small], 0, 10)[0])
def by_requests(session):
    return len(session.get(small).content)
"""

#: What a program leaves behind when it ends, and what it prints.
PROGRAMS = {
    'an open file': ('file = fs.open(large)\nprint(len(file.read(10)))', '10'),
    'an open file of a task': (
        """
async def main():
    global file
    file = await dugong.fsspec.FileSystem(asynchronous=True).open_async(large)
    print(len(await file.read(10)))
asyncio.run(main())
""",
        '10',
    ),
    'a streamed response of requests': (
        'response = session.get(large, stream=True)\nprint(len(response.raw.read(10)))',
        '10',
    ),
    'a streamed response of httpx': (
        "response = client.send(httpx.Request('GET', large), stream=True)\nprint(len(next(response.iter_raw())) > 0)",
        'True',
    ),
    'requests of tasks': (
        """
async def main():
    client = httpx.AsyncClient(transport=dugong.httpx.AsyncTransport())
    global tasks
    tasks = [asyncio.ensure_future(client.get(large)) for _ in range(20)]
    print(len((await client.get(small)).content))
asyncio.run(main())
""",
        '1000',
    ),
    'a client of a loop that has ended': (
        """
client = httpx.AsyncClient(transport=dugong.httpx.AsyncTransport())
async def main():
    print(len((await client.get(small)).content))
asyncio.run(main())
""",
        '1000',
    ),
    'a request of another thread': (
        """
def work():
    begun.set()
    fs.cat_file(large)
threading.Thread(target=work, daemon=True).start()
begun.wait()
""",
        '',
    ),
    'children that were forked, with fsspec': (
        """
print(by_fsspec(fs))
with fork.Pool(2) as pool:
    print(pool.map(by_fsspec, [fs] * 4))
print(by_fsspec(fs))
""",
        '1010\n[1010, 1010, 1010, 1010]\n1010',
    ),
    'children that were forked, with requests': (
        """
print(by_requests(session))
with fork.Pool(2) as pool:
    print(pool.map(by_requests, [session] * 4))
child = fork.Process(target=lambda: print(by_requests(session), flush=True))
child.start()
child.join()
print(by_requests(session))
""",
        '1000\n[1000, 1000, 1000, 1000]\n1000\n1000',
    ),
    'a child that was forked, with httpx': (
        """
print(len(client.get(small).content), flush=True)
child = fork.Process(target=lambda: print(len(client.get(small).content), flush=True))
child.start()
child.join()
print(len(client.get(small).content))
""",
        '1000\n1000\n1000',
    ),
}


def ends(program: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with warnings as errors."""
    environment = {**os.environ, 'PYTHONPATH': str(Path(dugong.__file__).parents[1])}
    command = [sys.executable, '-W', 'error', '-c', HEAD + program, url]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize('what', PROGRAMS)
def test_a_program_ends_without_a_warning(origin: str, what: str) -> None:
    program, printed = PROGRAMS[what]
    found = ends(program, origin)
    assert (found.returncode, found.stderr, found.stdout.strip()) == (0, '', printed)


def test_a_program_that_leaves_a_file_open_for_writing_sends_nothing_and_says_so(origin: str) -> None:
    found = ends("file = fs.open(small, 'wb')\nfile.write(b'half')", origin)
    assert found.returncode == 0
    assert 'was not closed, so nothing was sent' in found.stderr


def jobs_of(sessions: Any) -> int:
    return sum(figures['jobs'] for figures in sessions.stats().values())


def test_tasks_of_asyncio_that_are_cancelled_leave_nothing(origin: str) -> None:
    async def main() -> None:
        transport = dugong.httpx.AsyncTransport()
        fs = dugong.fsspec.FileSystem(asynchronous=True, skip_instance_cache=True)
        async with httpx.AsyncClient(transport=transport) as client:
            for _ in range(5):
                tasks = [asyncio.ensure_future(client.get(f'{origin}/bytes/10000000')) for _ in range(20)]
                tasks += [asyncio.ensure_future(fs._cat_file(f'{origin}/bytes/10000000')) for _ in range(20)]
                tasks.append(asyncio.ensure_future(fs._cat_ranges([f'{origin}/bytes/10000000'] * 20, 0, 5_000_000)))
                await client.get(f'{origin}/bytes/5')
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                assert len((await client.get(f'{origin}/bytes/5')).content) == 5
                assert len(await fs._cat_file(f'{origin}/bytes/5')) == 5
            pools = list(transport._pools._pools.values())
            assert [jobs_of(sessions) for sessions in [*pools, fs.sessions]] == [0] * (len(pools) + 1)

    asyncio.run(main())


def test_tasks_of_trio_that_are_cancelled_leave_nothing(origin: str) -> None:
    async def main() -> None:
        transport = dugong.httpx.AsyncTransport()
        async with httpx.AsyncClient(transport=transport) as client:
            for _ in range(5):
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(client.get, f'{origin}/bytes/10000000')
                    await client.get(f'{origin}/bytes/5')
                    nursery.cancel_scope.cancel()
                assert len((await client.get(f'{origin}/bytes/5')).content) == 5
            assert [jobs_of(sessions) for sessions in transport._pools._pools.values()] == [0]

    trio.run(main)


SIZE = 100_000_000


class Large:
    """A server that sends a large content to its first client, and counts."""

    def __init__(self) -> None:
        self.sent = 0
        self.server = Server(self.send, answer_all)
        self.url = f'http://127.0.0.1:{self.server.port}'

    def send(self, peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % SIZE)
        for _ in range(SIZE // 100_000):
            peer.send(bytes(100_000))
            self.sent += 100_000
        peer.rest()

    def is_held_up(self) -> bool:
        """Tell whether no more went out than a window and the buffers of sockets take."""
        return self.sent < SIZE // 2


def test_content_that_a_thread_does_not_read_is_not_fetched() -> None:
    large = Large()
    with large.server, requests.Session() as session:
        session.trust_env = False
        session.mount('http://', dugong.requests.Adapter())
        with session.get(f'{large.url}/large', stream=True) as response:
            assert len(response.raw.read(10)) == 10
            for number in range(200):
                assert session.get(f'{large.url}/{number}').text == f'/{number}'
            assert large.is_held_up()
            assert len(response.content) == SIZE - 10
        session.close()


def test_content_that_a_task_does_not_read_is_not_fetched() -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=dugong.httpx.AsyncTransport()) as client:
            async with client.stream('GET', f'{large.url}/large') as response:
                pieces = response.aiter_raw()
                length = len(await anext(pieces))
                for number in range(200):
                    assert (await client.get(f'{large.url}/{number}')).text == f'/{number}'
                assert large.is_held_up()
                async for piece in pieces:
                    length += len(piece)
            assert length == SIZE

    large = Large()
    with large.server:
        asyncio.run(main())
