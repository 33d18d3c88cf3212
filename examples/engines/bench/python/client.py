"""One client of `make bench-engines`: `client.py WORK CLIENT CONNECTIONS URL`.

It prints how many seconds the work took, and how many of CPU time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
from fsspec.implementations.http import HTTPFileSystem

import dugong.fsspec
import dugong.httpx

# Work that is about to begin: called, it does the work and returns how many bytes came.
Work = Callable[[], int]


def file_system(client: str, connections: int) -> Any:
    if client == 'dugong':
        return dugong.fsspec.FileSystem(connections=connections, skip_instance_cache=True)

    async def get_client(**options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), **options)

    return HTTPFileSystem(get_client=get_client, skip_instance_cache=True)


def cat_ranges(client: str, connections: int, url: str) -> Work:
    files = file_system(client, connections)
    files.cat_ranges([f'{url}/bytes/10'], [0], [10])
    starts = [number * 4096 for number in range(5000)]
    ends = [start + 4096 for start in starts]
    paths = [f'{url}/bytes/{ends[-1]}'] * len(starts)
    return lambda: sum(len(part) for part in files.cat_ranges(paths, starts, ends)) - ends[-1]


def cat_file(client: str, connections: int, url: str) -> Work:
    files = file_system(client, connections)
    files.cat_file(f'{url}/bytes/10')
    return lambda: len(files.cat_file(f'{url}/bytes/200000000')) - 200_000_000


def httpx_gets(client: str, connections: int, url: str) -> Work:
    transport = dugong.httpx.Transport(connections=connections) if client == 'dugong' else None
    session = httpx.Client(transport=transport)
    session.get(f'{url}/small')
    return lambda: sum(len(session.get(f'{url}/small').content) for _ in range(2000)) - 240_000


def httpx_async(client: str, connections: int, url: str) -> Work:
    async def get() -> int:
        transport = dugong.httpx.AsyncTransport(connections=connections) if client == 'dugong' else None
        limits = httpx.Limits(max_connections=connections)
        async with httpx.AsyncClient(transport=transport, limits=limits) as session:

            async def some(count: int) -> int:
                return sum([len((await session.get(f'{url}/small')).content) for _ in range(count)])

            return sum(await asyncio.gather(*(some(2000 // 64 + (task < 2000 % 64)) for task in range(64))))

    return lambda: asyncio.run(get()) - 240_000


def httpx_stream(client: str, connections: int, url: str) -> Work:
    transport = dugong.httpx.Transport(connections=connections) if client == 'dugong' else None
    session = httpx.Client(transport=transport)
    session.get(f'{url}/small')

    def read() -> int:
        with session.stream('GET', f'{url}/bytes/1000000000') as response:
            return sum(len(piece) for piece in response.iter_bytes()) - 1_000_000_000

    return read


WORKS = {
    'cat_ranges': cat_ranges,
    'cat_file': cat_file,
    'httpx': httpx_gets,
    'httpx_async': httpx_async,
    'httpx_stream': httpx_stream,
}


def main(work: str, client: str, connections: str, url: str) -> None:
    begin = WORKS[work](client, int(connections), url)
    start, cpu = time.perf_counter(), time.process_time()
    surplus = begin()
    print(time.perf_counter() - start, time.process_time() - cpu)
    if surplus:
        sys.exit(f'{work}: {surplus} bytes more than expected')


if __name__ == '__main__':
    main(*sys.argv[1:])
