"""The loop of the tutorial that recovers from lost connections, against servers that close, or that do not pipeline."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from origins import find_origin

import dugong

TUTORIAL = Path(__file__).parents[3] / 'docs' / 'tutorial' / 'pipelining.md'

HABITS = [
    ['--when-pipelined=close'],
    ['--when-pipelined=stall'],
    ['--when-pipelined=silence'],
    ['--close-after=7'],
    ['--close-after=7', '--close-silently', '--close-with-reset'],
    ['--close-after=1', '--close-silently'],
]


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[[], dugong.HTTPConnection]]:
    """Start dugong-origin with an option."""
    with subprocess.Popen(
        [find_origin(), '--until-stdin-closes', *request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin
        assert server.stdout
        found = re.search(r':(\d+)\s*$', server.stdout.readline())
        assert found
        yield lambda: dugong.HTTPConnection('127.0.0.1', int(found[1]))
        server.stdin.close()


@pytest.fixture
def fetch_all(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function as the tutorial shows it, without real pauses."""
    shown = re.findall(r'```python\n(.*?)```', TUTORIAL.read_text(), re.S)
    [block] = [block for block in shown if 'def fetch_all(' in block]
    namespace: dict[str, Any] = {}
    exec(block[: block.index('\nwith ')], namespace)
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    return namespace['fetch_all']


@pytest.mark.parametrize('connect', HABITS, ids=' '.join, indirect=True)
def test_all_documents_come_in_the_end(connect: Callable[[], dugong.HTTPConnection], fetch_all: Any) -> None:
    paths = [f'/doc/{i}' for i in range(40)]
    with connect() as conn:
        conn.timeout = 0.5
        answers = list(fetch_all(conn, paths))
    assert [path for path, body in answers] == paths
    assert all(body for path, body in answers)


@pytest.mark.parametrize('connect', [['--close-after=0']], indirect=True)
def test_it_gives_up_after_a_few_tries(connect: Callable[[], dugong.HTTPConnection], fetch_all: Any) -> None:
    with connect() as conn, pytest.raises(dugong.ConnectionClosed):
        list(fetch_all(conn, ['/doc/1', '/doc/2']))
