"""`urllib3`, with a pool of as many connections as there are threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from load import PIECE, Load
from urllib3 import HTTPConnectionPool


class Urllib3:
    """Reads content with `read(64 KiB)`, unless it is small."""

    def __init__(self, host: str, port: int) -> None:
        self.pool = HTTPConnectionPool(host, port, maxsize=16)

    def run(self, load: Load) -> int:
        """See `load.Client`."""
        pool, target, count = self.pool, load.target, 0
        if load.work == 'e':
            pool.request('PUT', target, body=pieces(load), headers={'Content-Length': str(load.content)})
            return load.content
        if load.work == 'a':
            for _ in range(load.requests):
                count += len(pool.request('GET', target).data)
            return count
        if load.work in 'fg':
            # Each thread does its share: the requests all take as long as each other.
            def worker(first: int) -> int:
                numbers = range(first, load.requests, load.connections)
                return sum(len(pool.request('GET', target, headers=load.fields(number)).data) for number in numbers)

            with ThreadPoolExecutor(load.connections) as threads:
                return sum(threads.map(worker, range(load.connections)))
        response = pool.request('GET', target, preload_content=False)
        for data in response.stream(PIECE):
            count += len(data)
        response.release_conn()
        return count


def pieces(load: Load) -> Iterator[bytes]:
    piece = bytes(PIECE)
    for _ in range(load.content // PIECE):
        yield piece
