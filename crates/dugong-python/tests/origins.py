"""dugong-origin in a process of its own, for tests of sessions."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def find_origin() -> Path:
    """Return the path of the server for tests, which has to be built before."""
    places = [os.environ.get('DUGONG_ORIGIN', ''), os.environ.get('CARGO_TARGET_DIR', '')]
    candidates = [Path(places[0]), Path(places[1]) / 'release' / 'dugong-origin']
    candidates += [ROOT / 'target' / kind / 'dugong-origin' for kind in ('release', 'debug')]
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK):
            return path
    pytest.skip('dugong-origin is not built: cargo build --release -p dugong-origin')


@contextlib.contextmanager
def running(*options: str) -> Iterator[int]:
    """Run the server, and give its port."""
    with subprocess.Popen(
        [find_origin(), '--until-stdin-closes', *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        assert server.stdin
        try:
            found = re.search(r':(\d+)\s*$', server.stdout.readline())
            assert found
            yield int(found[1])
        finally:
            server.stdin.close()
            server.terminate()
