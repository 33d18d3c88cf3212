"""httpx under asyncio, one request at a time on each connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
from load import PIECE, Load


class Httpx:
    """One client for the warm-up and the work, in one loop."""

    def __init__(self, host: str, port: int) -> None:
        self.origin = f'http://{host}:{port}'
        self.runner = asyncio.Runner()
        self.client = httpx.AsyncClient(timeout=None, trust_env=False)

    def run(self, load: Load) -> int:
        """See `load.Client`."""
        return self.runner.run(self.work(load))

    async def work(self, load: Load) -> int:
        client, url, count = self.client, self.origin + load.target, 0
        if load.work in 'fg':
            numbers = iter(range(load.requests))
            return sum(await asyncio.gather(*(self.worker(url, load, numbers) for _ in range(load.connections))))
        for _ in range(load.requests):
            if load.work == 'a':
                count += len((await client.get(url)).content)
            else:
                async with client.stream('GET', url) as response:
                    async for data in response.aiter_raw(PIECE):
                        count += len(data)
        return count

    async def worker(self, url: str, load: Load, numbers: Iterator[int]) -> int:
        return sum([len((await self.client.get(url, headers=load.fields(number))).content) for number in numbers])
