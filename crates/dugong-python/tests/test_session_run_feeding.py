"""The iterable of a run that wants outcomes of the same run, or is slow."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import trio
from loops import Loop, each_loop
from peers import Peer, Server, silent
from session_support import of, reply_of

from dugong import RequestFailed, Session, Sessions

Make = Callable[..., Any]


class Mail:
    """Hands targets from the consumer of a run to its iterable."""

    def __init__(self, loop: Loop) -> None:
        self._items: list[str | None] = []
        self._loop = loop

    def put(self, item: str | None) -> None:
        self._items.append(item)

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            while not self._items:
                await self._loop.sleep(0.001)
            item = self._items.pop(0)
            if item is None:
                return
            yield item


@pytest.fixture(params=['Session', 'Sessions'])
def co_run(request: pytest.FixtureRequest, origin_url: str) -> Iterator[Make]:
    """`co_run` of a session or of sessions, for targets."""
    if request.param == 'Session':
        with Session(origin_url) as session:
            yield session.co_run
        return
    with Sessions() as sessions:

        async def urls(targets: Any) -> AsyncIterator[str]:
            async for target in targets:
                yield origin_url + target

        yield lambda targets, **options: sessions.co_run(urls(targets), **options)


@pytest.mark.parametrize('ordered', [True, False])
@each_loop
def test_an_iterable_may_wait_for_outcomes_of_its_run(co_run: Make, ordered: bool, loop: Loop) -> None:
    """As a crawler does: each answer names the next target."""

    async def main() -> None:
        mail = Mail(loop)
        mail.put('/bytes/1')
        sizes: list[int] = []
        async for outcome in co_run(mail, ordered=ordered):
            sizes.append(len(reply_of(outcome).content))
            mail.put(f'/bytes/{sizes[-1] + 1}' if sizes[-1] < 20 else None)
        assert sizes == list(range(1, 21))

    loop.run(main)


@each_loop
def test_an_iterable_stays_in_one_task_with_the_variables_of_the_caller(session: Session, loop: Loop) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar('variable')
    tasks: set[object] = set()

    async def targets() -> AsyncIterator[str]:
        for _ in range(3):
            assert variable.get() == 'set'
            tasks.add(trio.lowlevel.current_task() if loop.name == 'trio' else asyncio.current_task())
            await loop.sleep(0)
            yield '/bytes/1'

    async def main() -> None:
        variable.set('set')
        assert len([outcome async for outcome in session.co_run(targets())]) == 3
        assert len(tasks) == 1

    loop.run(main)


@each_loop
def test_an_exception_of_an_iterable_that_waits_comes_last(session: Session, loop: Loop) -> None:
    async def targets() -> AsyncIterator[str]:
        yield '/bytes/1'
        await loop.sleep(0.01)
        raise KeyError('mine')

    async def main() -> None:
        run = session.co_run(targets())
        assert (await anext(run)).index == 0
        with pytest.raises(KeyError, match='mine'):
            await anext(run)
        assert await anext(run, None) is None

    loop.run(main)


@each_loop
def test_closing_a_run_ends_an_iterable_that_waits(session: Session, loop: Loop) -> None:
    ended: list[str] = []

    async def targets() -> AsyncIterator[str]:
        try:
            yield '/bytes/1'
            await loop.sleep(1000)
        finally:
            ended.append('ended')

    async def main() -> None:
        async with session.co_run(targets()) as run:
            assert (await anext(run)).index == 0
            assert ended == []
        assert ended == ['ended']
        assert run.abandoned == []
        assert await anext(run, None) is None

    loop.run(main)


@each_loop
def test_what_was_taken_when_a_run_is_closed_is_abandoned(loop: Loop) -> None:
    async def targets() -> AsyncIterator[str]:
        for i in range(1000):
            yield f'/{i}'

    async def main() -> None:
        with Server(silent, silent) as server, of(server, connections=2, depth=1, timeout=20) as session:
            run = session.co_run(targets())
            assert await loop.is_too_slow(0.05, anext(run))
            await run.co_close()
            assert 0 < run.taken < 1000
            assert [outcome.index for outcome in run.abandoned] == list(range(run.taken))
            assert [outcome.request for outcome in run.abandoned] == [f'/{i}' for i in range(run.taken)]
            assert {type(outcome.error) for outcome in run.abandoned} == {RequestFailed}

    loop.run(main)


@each_loop
def test_a_dropped_run_ends_an_iterable_that_waits(session: Session, loop: Loop) -> None:
    ended: list[str] = []

    async def targets() -> AsyncIterator[str]:
        try:
            yield '/bytes/1'
            await loop.sleep(1000)
        finally:
            ended.append('ended')

    async def main() -> None:
        run = session.co_run(targets())
        assert (await anext(run)).index == 0
        del run
        gc.collect()
        await loop.turns()
        assert ended == ['ended']

    loop.run(main)


@each_loop
def test_a_cancelled_consumer_leaves_the_iterable_alone(session: Session, loop: Loop) -> None:
    async def main() -> None:
        mail = Mail(loop)
        run = session.co_run(mail)
        assert await loop.is_too_slow(0.02, anext(run))
        mail.put('/bytes/7')
        mail.put(None)
        assert [len(reply_of(outcome).content) async for outcome in run] == [7]

    loop.run(main)


# Iterators that block


def answers_of(peer: Peer) -> None:
    while True:
        try:
            peer.request()
        except EOFError:
            return
        peer.answer(b'')


@pytest.mark.parametrize('make', ['Session', 'Sessions'])
def test_outcomes_that_are_there_come_before_the_next_request_is_taken(make: str) -> None:
    """The first two answers come while the second request is made; none may wait for the third one."""
    yielded: list[int] = []
    seen: list[list[int]] = []

    def targets(prefix: str) -> Iterator[str]:
        for i in range(6):
            seen.append(list(yielded))
            yield f'{prefix}/{i}'
            time.sleep(0.02)

    with Server(*[answers_of] * 8) as server, of(server) as session, Sessions() as sessions:
        origin = f'http://127.0.0.1:{server.port}'
        run = session.run(targets('')) if make == 'Session' else sessions.run(targets(origin))
        for outcome in run:
            yielded.append(outcome.index)
    assert yielded == list(range(6))
    # Each request is taken after the outcomes of all but the last two before it were yielded.
    assert all(len(before) >= index - 2 for index, before in enumerate(seen)), seen


@each_loop
def test_a_slow_iterator_does_not_hold_up_the_outcomes_of_tasks(session: Session, loop: Loop) -> None:
    def slowly() -> Iterator[str]:
        for _ in range(200):
            time.sleep(0.002)
            yield '/bytes/1'

    async def main() -> None:
        run = session.co_run(slowly())
        assert (await anext(run)).index == 0
        assert run.taken < 100
        assert len([outcome async for outcome in run]) == 199

    loop.run(main)
