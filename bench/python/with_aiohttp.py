"""aiohttp, one request at a time on each connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
from load import PIECE, Load


class Aiohttp:
    """One session for the warm-up and the work, in one loop."""

    def __init__(self, host: str, port: int) -> None:
        self.origin = f'http://{host}:{port}'
        self.runner = asyncio.Runner()
        self.session: aiohttp.ClientSession | None = None

    def run(self, load: Load) -> int:
        """See `load.Client`."""
        return self.runner.run(self.work(load))

    async def work(self, load: Load) -> int:
        if self.session is None:
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=load.connections))
        session, url, count = self.session, self.origin + load.target, 0
        if load.work in 'fg':
            numbers = iter(range(load.requests))
            workers = [self.worker(session, url, load, numbers) for _ in range(load.connections)]
            return sum(await asyncio.gather(*workers))
        for _ in range(load.requests):
            async with session.get(url) as response:
                if load.work == 'a':
                    count += len(await response.read())
                else:
                    async for data in response.content.iter_chunked(PIECE):
                        count += len(data)
        return count

    async def worker(self, session: aiohttp.ClientSession, url: str, load: Load, numbers: Iterator[int]) -> int:
        count = 0
        for number in numbers:
            async with session.get(url, headers=load.fields(number)) as response:
                count += len(await response.read())
        return count
