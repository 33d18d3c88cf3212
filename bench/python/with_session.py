"""Dugong's `Session`: `get` in a, `run` elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

from load import Load

import dugong


class Session:
    """A session whose limits are those of the workload."""

    def __init__(self, host: str, port: int) -> None:
        self.origin = f'http://{host}:{port}'
        self.session: dugong.Session | None = None

    def run(self, load: Load) -> int:
        """See `load.Client`."""
        if self.session is None:
            # The warm-up has less in flight than the work.
            connections, depth = (4, 32) if load.work == 'g' else (1, 1000 if load.work == 'f' else 64)
            self.session = dugong.Session(self.origin, connections=connections, depth=depth)
        session, target, count = self.session, load.target, 0
        if load.work == 'a':
            for _ in range(load.requests):
                count += len(session.get(target).content)
            return count
        for outcome in session.run(self.requests(load)):
            if outcome.reply is None:
                raise outcome.error
            count += len(outcome.reply.content)
        return count

    def requests(self, load: Load) -> Iterator[dugong.Request | str]:
        """Return the requests, by targets where that is enough, as `with_dugong` does."""
        if load.work != 'g':
            return repeat(load.target, load.requests)
        return (dugong.Request('GET', load.target, headers=load.fields(number)) for number in range(load.requests))
