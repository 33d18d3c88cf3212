"""One client in Python, one workload, one line of JSON: the same as `dugong-bench load` for clients in Rust."""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Protocol

#: Bytes of content that are read or written at once.
PIECE = 65536

#: Bytes of a chunk in the workload d.
CHUNK = 8192

#: Where each client is, how it is called there, and what it does.
CLIENTS = {
    'dugong': ('with_dugong', 'Coroutines', 'abcdef'),
    'dugong-headers': ('with_dugong', 'Headers', 'a'),
    'dugong-readinto': ('with_dugong', 'Readinto', 'cd'),
    'dugong-ahead': ('with_dugong', 'Ahead', 'bf'),
    'dugong-asyncio': ('with_dugong', 'Asyncio', 'bf'),
    'http.client': ('with_http_client', 'Read', 'acde'),
    'http.client-readinto': ('with_http_client', 'Readinto', 'cd'),
    'urllib3': ('with_urllib3', 'Urllib3', 'acde'),
    'pycurl': ('with_pycurl', 'Pycurl', 'acde'),
    'aiohttp': ('with_aiohttp', 'Aiohttp', 'acd'),
    'httpx': ('with_httpx', 'Httpx', 'acd'),
}


@dataclass(frozen=True)
class Load:
    """A workload of a size."""

    work: str
    #: Requests, or MiB of content.
    amount: int

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return 1 if self.work in 'cde' else self.amount

    @property
    def depth(self) -> int:
        """How many requests may be in flight."""
        return {'b': 64, 'f': self.amount}.get(self.work, 1)

    @property
    def content(self) -> int:
        """Bytes of content, of c, d and e."""
        return self.amount << 20

    @property
    def target(self) -> str:
        """What its requests ask for."""
        if self.work == 'c':
            return f'/bytes/{self.content}'
        if self.work == 'd':
            return f'/chunked/{self.content}?chunk={CHUNK}'
        return {'e': '/upload?digest=0', 'f': '/small?delay=10'}.get(self.work, '/small')

    def warm_up(self) -> Load:
        """The same work, but little of it, before anything is measured."""
        return Load(self.work, {'a': 50, 'b': 200}.get(self.work, 1))


class Client(Protocol):
    """What the modules beside this one provide. Their constructors take host and port."""

    def run(self, load: Load, /) -> int:
        """Do the work; the result is how many bytes of content it moved."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--client', choices=CLIENTS, required=True, help='who asks')
    parser.add_argument('--work', choices='abcdef', required=True, help='what is asked for')
    parser.add_argument('--address', metavar='HOST:PORT', required=True, help='where `dugong-origin` listens')
    parser.add_argument('--requests', metavar='N', type=int, help='requests of the workloads a, b and f')
    parser.add_argument('--megabytes', metavar='N', type=int, help='MiB of content of the workloads c, d and e')
    flags = parser.parse_args()
    amount = flags.megabytes if flags.work in 'cde' else flags.requests
    if amount is None or amount < 1:
        parser.error('say how much is to be done')
    if flags.work not in CLIENTS[flags.client][2]:
        parser.error(f'{flags.client} does not do {flags.work} in a way of its own')
    load = Load(flags.work, amount)

    try:
        print(measured(flags.client, load, flags.address))
    except Exception as error:
        sys.exit(f'{type(error).__name__}: {error}')


def measured(name: str, load: Load, address: str) -> str:
    """Run *load* after a warm-up, on the same connection."""
    module, kind, _ = CLIENTS[name]
    host, port = address.rsplit(':', 1)
    client: Client = getattr(importlib.import_module(module), kind)(host, int(port))
    client.run(load.warm_up())
    before, start = getrusage(RUSAGE_SELF), perf_counter()
    count = client.run(load)
    wall, after = perf_counter() - start, getrusage(RUSAGE_SELF)
    if count != (load.content if load.work in 'cde' else 120 * load.requests):
        raise ValueError(f'{count} bytes of content came')
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return (
        f'{{"client":"{name}","work":"{load.work}","operations":{load.requests},"bytes":{count},'
        f'"wall":{wall:.6f},"cpu_user":{user:.6f},"cpu_system":{system:.6f}}}'
    )


if __name__ == '__main__':
    main()
