"""One client in Python, one workload, one line of JSON: the same as `dugong-bench load` for clients in Rust."""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Protocol

#: The bytes of content in one read or write.
PIECE = 65536

#: The bytes of a chunk in d.
CHUNK = 8192

#: The bytes of a range in g, and of the document that has 10,000 of them, 1 MiB apart.
RANGE = 4096
RANGES = 10_000 << 20

#: The module and class of each client, and the workloads that it does.
CLIENTS = {
    'dugong': ('with_dugong', 'Coroutines', 'abcdef'),
    'dugong-headers': ('with_dugong', 'Headers', 'a'),
    'dugong-readinto': ('with_dugong', 'Readinto', 'cd'),
    'dugong-ahead': ('with_dugong', 'Ahead', 'bf'),
    'dugong-asyncio': ('with_dugong', 'Asyncio', 'bf'),
    'dugong-pipeline': ('with_dugong', 'Pipeline', 'bf'),
    'dugong-asyncio-pipeline': ('with_dugong', 'AsyncioPipeline', 'bf'),
    'dugong-trio-pipeline': ('with_dugong', 'TrioPipeline', 'bf'),
    'dugong-asyncio-waits': ('with_dugong', 'AsyncioOneByOne', 'a'),
    'dugong-poll-waits': ('with_dugong', 'PolledOneByOne', 'a'),
    'dugong-session': ('with_session', 'Session', 'abfg'),
    'http.client': ('with_http_client', 'Read', 'acde'),
    'http.client-readinto': ('with_http_client', 'Readinto', 'cd'),
    'urllib3': ('with_urllib3', 'Urllib3', 'acdefg'),
    'pycurl': ('with_pycurl', 'Pycurl', 'acde'),
    'aiohttp': ('with_aiohttp', 'Aiohttp', 'acdfg'),
    'httpx': ('with_httpx', 'Httpx', 'acdfg'),
}


@dataclass(frozen=True)
class Load:
    """A workload and its size."""

    work: str
    #: Requests, or MiB of content.
    amount: int

    @property
    def requests(self) -> int:
        """The number of requests."""
        return 1 if self.work in 'cde' else self.amount

    @property
    def depth(self) -> int:
        """The number of requests that may be in flight."""
        return {'b': 64, 'f': self.amount, 'g': 32}.get(self.work, 1)

    @property
    def connections(self) -> int:
        """The number of connections of a client that does not pipeline."""
        return {'f': 16, 'g': 4}.get(self.work, 1)

    def fields(self, number: int) -> dict[str, str]:
        """Return the header fields of a request."""
        return {'Range': f'bytes={number << 20}-{(number << 20) + RANGE - 1}'} if self.work == 'g' else {}

    @property
    def content(self) -> int:
        """The bytes of content in c, d and e."""
        return self.amount << 20

    @property
    def target(self) -> str:
        """The target of its requests."""
        if self.work == 'c':
            return f'/bytes/{self.content}'
        if self.work == 'd':
            return f'/chunked/{self.content}?chunk={CHUNK}'
        special = {'e': '/upload?digest=0', 'f': '/small?delay=10', 'g': f'/bytes/{RANGES}?delay=5'}
        return special.get(self.work, '/small')

    def warm_up(self) -> Load:
        """Return a little of the same work, to be done before measuring."""
        return Load(self.work, {'a': 50, 'b': 200}.get(self.work, self.connections))


class Client(Protocol):
    """A client in one of the modules beside this one. Its constructor takes host and port."""

    def run(self, load: Load, /) -> int:
        """Do the work, and return the bytes of content that it moved."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--client', choices=CLIENTS, required=True, help='the client')
    parser.add_argument('--work', choices='abcdefg', required=True, help='the workload')
    parser.add_argument('--address', metavar='HOST:PORT', required=True, help='the address of `dugong-origin`')
    parser.add_argument('--requests', metavar='N', type=int, help='requests of the workloads a, b, f and g')
    parser.add_argument('--megabytes', metavar='N', type=int, help='MiB of content of the workloads c, d and e')
    flags = parser.parse_args()
    amount = flags.megabytes if flags.work in 'cde' else flags.requests
    if amount is None or amount < 1:
        parser.error('give --requests for a, b, f and g, or --megabytes for c, d and e; at least 1')
    if flags.work not in CLIENTS[flags.client][2]:
        parser.error(f'{flags.client} does not do {flags.work} in a way of its own')
    load = Load(flags.work, amount)

    try:
        print(measured(flags.client, load, flags.address))
    except Exception as error:
        sys.exit(f'{type(error).__name__}: {error}')


def measured(name: str, load: Load, address: str) -> str:
    """Run *load* after a warm-up on the same connection."""
    module, kind, _ = CLIENTS[name]
    host, port = address.rsplit(':', 1)
    client: Client = getattr(importlib.import_module(module), kind)(host, int(port))
    client.run(load.warm_up())
    before, start = getrusage(RUSAGE_SELF), perf_counter()
    count = client.run(load)
    wall, after = perf_counter() - start, getrusage(RUSAGE_SELF)
    if count != (load.content if load.work in 'cde' else (RANGE if load.work == 'g' else 120) * load.requests):
        raise ValueError(f'expected all of the content, but received {count} bytes')
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return (
        f'{{"client":"{name}","work":"{load.work}","operations":{load.requests},"bytes":{count},'
        f'"wall":{wall:.6f},"cpu_user":{user:.6f},"cpu_system":{system:.6f}}}'
    )


if __name__ == '__main__':
    main()
