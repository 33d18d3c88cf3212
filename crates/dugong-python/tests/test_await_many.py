"""Thousands of connections in one event loop."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loops import LOOPS, Loop
from origins import running

import dugong

CONNECTIONS = 2000
REQUESTS = 50

ROOT = Path(__file__).parents[3]


@pytest.fixture
def origin() -> Iterator[int]:
    """The port of a server that runs in a process of its own."""
    with running() as port:
        yield port


PROGRAM = """
import ctypes, gc, sys
sys.path.insert(0, sys.argv[1])
port, library = int(sys.argv[2]), __import__(sys.argv[3])
import dugong

CONNECTIONS, REQUESTS = int(sys.argv[4]), int(sys.argv[5])


class Mallinfo(ctypes.Structure):
    names = 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Mallinfo


def memory():
    gc.collect()
    info = mallinfo()
    return info.uordblks + info.hblkhd


async def work(conn):
    count = 0
    async for resp, body in conn.co_pipeline(['/small'] * REQUESTS, collect=True):
        assert resp.status == 200 and len(body) == 120
        count += 1
    answered.append(count)


async def together(conns):
    if sys.argv[3] == 'trio':
        async with library.open_nursery() as nursery:
            for conn in conns:
                nursery.start_soon(work, conn)
    else:
        import asyncio
        await asyncio.gather(*map(work, conns))


async def main():
    conns = [dugong.HTTPConnection('127.0.0.1', port) for _ in range(CONNECTIONS)]
    async with dugong.HTTPConnection('127.0.0.1', port) as first:
        await work(first)
    answered.clear()
    start = memory()
    for conn in conns:
        await conn.co_connect()
    idle = memory()
    await together(conns)
    assert answered == [REQUESTS] * CONNECTIONS
    print((idle - start) // CONNECTIONS, (memory() - start) // CONNECTIONS)
    for conn in conns:
        conn.disconnect()


answered = []
library.run(main() if sys.argv[3] != 'trio' else main)
"""


@pytest.mark.slow
@pytest.mark.parametrize('loop', LOOPS, ids=repr)
def test_many_connections_with_many_requests_each(origin: int, loop: Loop) -> None:
    """All requests are answered, and an idle connection takes little memory because it has returned its buffers."""
    if loop.name != 'trio':
        pytest.importorskip(loop.name)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CONNECTIONS + 100:
        pytest.skip('not enough descriptors are allowed')
    source = str(Path(dugong.__path__[0]).parent)
    arguments = [source, str(origin), loop.name, str(CONNECTIONS), str(REQUESTS)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3 * CONNECTIONS)), hard))
    try:
        command = [sys.executable, '-W', 'error', '-c', PROGRAM, *arguments]
        # Python's own allocations have to be counted as well, and exactly.
        env = {**os.environ, 'PYTHONMALLOC': 'malloc'}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=env)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert done.stderr == ''
    idle, used = map(int, done.stdout.split())
    assert idle < 4096
    assert used < 4096
