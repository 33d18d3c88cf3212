"""`dugong.Session` in tasks of asyncio, uvloop and trio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import threading
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from interop_support import Worker
from loops import Loop, each_loop
from peers import LIMIT, Peer, Server, answer_all, silent
from session_support import of, reply_of, words

import dugong
from dugong import Outcome, Request, RequestFailed, Session


def echo(peer: Peer) -> None:
    while True:
        try:
            got = peer.request()
        except EOFError:
            return
        if got.method == 'HEAD':
            peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
        else:
            peer.answer(f'{got.method} {got.target} '.encode() + got.body)


@each_loop
def test_all_methods_have_twins(loop: Loop) -> None:
    async def main() -> None:
        with Server(*[echo] * 4) as server:
            async with of(server) as session:
                assert (await session.co_get('/a')).content == b'GET /a '
                assert (await session.co_head('/a')).content == b''
                assert (await session.co_put('/a', content=b'b')).content == b'PUT /a b'
                assert (await session.co_post('/a', json=1)).content == b'POST /a 1'
                assert (await session.co_delete('/a')).content == b'DELETE /a '
                assert (await session.co_request('PATCH', '/a')).content == b'PATCH /a '
                made = Request('GET', '/made')
                assert (await session.co_request(made)).request is made
                await session.co_close()
                with pytest.raises(RequestFailed):
                    await session.co_get('/a')

    loop.run(main)


@each_loop
def test_a_thousand_tasks_share_the_connections(loop: Loop, origin_url: str) -> None:
    async def main() -> None:
        async with Session(origin_url) as session:
            sizes: dict[int, int] = {}

            async def one(number: int) -> None:
                sizes[number] = len((await session.co_get(f'/bytes/{number}')).content)

            await loop.together(*[lambda number=number: one(number) for number in range(1000)])
            assert sizes == {number: number for number in range(1000)}
            assert session.stats()['opened'] <= 4

    loop.run(main)


@each_loop
def test_failures_are_those_of_the_blocking_methods(loop: Loop) -> None:
    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    async def main() -> None:
        with Server(lose) as server:
            async with of(server) as session:
                with pytest.raises(ConnectionError) as caught:
                    await session.co_post('/x', content=b'y')
                assert isinstance(caught.value, RequestFailed)
                assert words(caught.value) == ('yes', 'no', False, 1)
                assert isinstance(caught.value.__cause__, dugong.ConnectionClosed)
                with pytest.raises(ValueError, match='percent-encoded'):
                    await session.co_get('/a b')
        with Server(silent) as server:
            async with of(server) as session:
                with pytest.raises(TimeoutError):
                    await session.co_get('/', total_timeout=0.1)

    loop.run(main)


@each_loop
def test_a_cancelled_request_is_given_up(loop: Loop) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().target == '/slow'
        peer.rest()

    async def main() -> None:
        with Server(script, answer_all) as server:
            async with of(server, connections=1) as session:
                assert await loop.is_too_slow(0.05, session.co_get('/slow'))
                assert (await session.co_get('/x')).content == b'/x'

    loop.run(main)


@each_loop
def test_cancelling_some_tasks_harms_no_others(loop: Loop, origin_url: str) -> None:
    async def main() -> None:
        async with Session(origin_url) as session:
            done: list[int] = []

            async def one(number: int) -> None:
                if number % 3:
                    done.append(len((await session.co_get(f'/bytes/{number}')).content))
                else:
                    await loop.is_too_slow(0.001 * (number % 7), session.co_get(f'/bytes/{number}'))

            await loop.together(*[lambda number=number: one(number) for number in range(300)])
            assert sorted(done) == [number for number in range(300) if number % 3]
            assert (await session.co_get('/bytes/5')).status == 200

    loop.run(main)


@each_loop
def test_a_streamed_reply_is_read_in_pieces(loop: Loop, origin_url: str) -> None:
    async def main() -> None:
        async with Session(origin_url) as session:
            whole = (await session.co_get('/bytes/300000')).content
            async with await session.co_get('/bytes/300000', stream=True) as reply:
                assert b''.join([piece async for piece in reply.co_iter_bytes()]) == whole
                assert await reply.co_read() == b''
            async with await session.co_get('/bytes/300000', stream=True) as reply:
                sizes = [len(piece) async for piece in reply.co_iter_bytes(100_001)]
                assert sizes == [100_001, 100_001, 99_998]
            async with await session.co_get('/bytes/300000', stream=True) as reply:
                first = await reply.co_read(10)
                assert first + await reply.co_read() == whole
            async with await session.co_get('/bytes/300000', stream=True) as reply:
                pass
            with pytest.raises(ValueError, match='closed'):
                await reply.co_read()
            collected = await session.co_get('/bytes/10')
            assert [piece async for piece in collected.co_iter_bytes()] == [collected.content]

    loop.run(main)


@each_loop
def test_lines_come_as_they_arrive(loop: Loop) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\nbc\r\n')
        assert go_on.wait(LIMIT)
        peer.send(b'3\r\n\r\nd\r\n0\r\n\r\n')
        peer.rest()

    async def main() -> None:
        with Server(script) as server:
            async with of(server) as session, await session.co_get('/', stream=True) as reply:
                lines = []
                async for line in reply.co_iter_lines():
                    lines.append(line)
                    go_on.set()
                assert lines == ['a', 'bc', 'd']

    loop.run(main)


@each_loop
def test_outcomes_of_a_run_come_in_order(loop: Loop, origin_url: str) -> None:
    async def main() -> None:
        async with Session(origin_url) as session:
            run = session.co_run(f'/bytes/{number}' for number in range(1000))
            outcomes = [outcome async for outcome in run]
            assert [outcome.index for outcome in outcomes] == list(range(1000))
            assert [len(reply_of(outcome).content) for outcome in outcomes] == list(range(1000))
            assert run.taken == 1000

            run = session.co_run([f'/bytes/{number}' for number in range(500)], ordered=False)
            assert sorted([outcome.index async for outcome in run]) == list(range(500))

    loop.run(main)


@each_loop
def test_a_run_takes_asynchronous_iterables(loop: Loop, origin_url: str) -> None:
    async def requests() -> AsyncIterator[str]:
        for number in range(20):
            await loop.sleep(0)
            yield f'/bytes/{number}'
        raise KeyError('mine')

    async def main() -> None:
        async with Session(origin_url) as session:
            outcomes = []
            with pytest.raises(KeyError, match='mine'):
                async for outcome in session.co_run(requests()):
                    outcomes.append(outcome)
            assert [len(reply_of(outcome).content) for outcome in outcomes] == list(range(20))

    loop.run(main)


@each_loop
def test_bad_requests_of_a_run_are_outcomes(loop: Loop, origin_url: str) -> None:
    async def main() -> None:
        async with Session(origin_url) as session:
            outcomes = [outcome async for outcome in session.co_run(['/bytes/1', '/a b', 7, '/bytes/2'])]
            assert [type(outcome.error) for outcome in outcomes] == [type(None), ValueError, ValueError, type(None)]
            assert words(outcomes[1]) == words(outcomes[2]) == ('no', 'no', True, 0)
            assert [outcome.request for outcome in outcomes] == ['/bytes/1', '/a b', 7, '/bytes/2']

    loop.run(main)


@each_loop
def test_a_closed_run_says_what_became_of_the_rest(loop: Loop) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().target == '/0'
        peer.answer(b'')
        with contextlib.suppress(EOFError):
            while True:
                peer.request()

    async def main() -> None:
        with Server(script) as server:
            async with of(server, connections=1, depth=2) as session:
                async with session.co_run(f'/{number}' for number in range(10)) as run:
                    async for outcome in run:
                        assert outcome.index == 0
                        break
                assert [outcome.index for outcome in run.abandoned] == list(range(1, run.taken))
                assert all(isinstance(outcome.error, RequestFailed) for outcome in run.abandoned)
                assert [outcome async for outcome in run] == []

    loop.run(main)


@each_loop
def test_a_cancelled_step_of_a_run_loses_nothing(loop: Loop, origin_url: str) -> None:
    async def main() -> None:
        async with Session(origin_url) as session:
            run = session.co_run(f'/bytes/{number}?delay=20ms' for number in range(20))
            indexes = []
            while True:
                with contextlib.suppress(StopAsyncIteration):
                    outcome = await asyncio_or_trio(loop, run)
                    if outcome is not None:
                        indexes.append(outcome.index)
                    continue
                break
            assert indexes == list(range(20))

    async def asyncio_or_trio(loop: Loop, run: Any) -> Outcome | None:
        found: list[Outcome] = []

        async def step() -> None:
            found.append(await run.__anext__())

        await loop.is_too_slow(0.005, step())
        return found[0] if found else None

    loop.run(main)


@each_loop
def test_content_may_be_asynchronous(loop: Loop) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            await loop.sleep(0)
            yield bytes(50_000)

    async def broken() -> AsyncIterator[bytes]:
        yield b'a'
        raise KeyError('mine')

    async def main() -> None:
        with Server(*[echo] * 8) as server:
            async with of(server) as session:
                for content in pieces(), pieces:
                    reply = await session.co_put('/x', content=content)
                    assert len(reply.content) == len(b'PUT /x ') + 1_000_000
                assert (await session.co_put('/x', content=io.BytesIO(b'y'))).content == b'PUT /x y'
                requests = [Request('PUT', '/x', content=pieces()) for _ in range(3)]
                async for outcome in session.co_run(requests):
                    assert len(reply_of(outcome).content) == len(b'PUT /x ') + 1_000_000
                with pytest.raises(KeyError, match='mine'):
                    await session.co_put('/x', content=broken())
                with pytest.raises(ValueError, match='co_ method'):
                    session.put('/x', content=pieces())
                [outcome] = session.run([Request('PUT', '/x', content=pieces)])
                assert isinstance(outcome.error, ValueError)

    loop.run(main)


@each_loop
def test_asynchronous_content_is_closed_when_the_answer_comes_first(loop: Loop) -> None:
    closed: list[bool] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                await loop.sleep(0)
                yield bytes(1000)
        finally:
            closed.append(True)

    def refuse(peer: Peer) -> None:
        peer.head()
        peer.until(b'\r\n')  # of the first chunk
        peer.send(b'HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n')
        peer.rest()

    async def main() -> None:
        with Server(refuse) as server:
            async with of(server) as session:
                assert (await session.co_put('/x', content=pieces(), expect=False)).status == 413
                assert closed

    loop.run(main)


@each_loop
def test_hooks_run_in_the_task(loop: Loop, origin_url: str) -> None:
    threads: set[int] = set()

    def sign(request: Request) -> dict[str, str]:
        threads.add(threading.get_ident())
        return {'X': request.target}

    async def main() -> None:
        async with Session(origin_url, sign=sign, redirects=3) as session:
            assert b'X: /echo' in (await session.co_get('/echo')).content
            assert (await session.co_get('/redirect/2')).status == 200

    loop.run(main)
    assert threads == {threading.get_ident()}


@each_loop
def test_threads_and_tasks_share_a_session(loop: Loop, origin_url: str) -> None:
    """Of all that wait, one drives for all, and hands over when it is done."""
    session = Session(origin_url)

    def blocking() -> list[int]:
        return [len(session.get(f'/bytes/{number}').content) for number in range(200)]

    async def main() -> None:
        workers = [Worker(blocking) for _ in range(3)]
        for number in range(200):
            assert len((await session.co_get(f'/bytes/{number}')).content) == number
        while any(worker.is_alive() for worker in workers):
            await loop.sleep(0.001)
        for worker in workers:
            assert worker.result() == list(range(200))

    loop.run(main)
    session.close()


def test_loops_of_several_threads_share_a_session(origin_url: str) -> None:
    with Session(origin_url) as session:

        async def main() -> list[int]:
            replies = await asyncio.gather(*[session.co_get(f'/bytes/{number}') for number in range(100)])
            return [len(reply.content) for reply in replies]

        workers = [Worker(lambda: asyncio.run(main())) for _ in range(4)]
        for worker in workers:
            assert worker.result() == list(range(100))


def test_one_loop_after_another(origin_url: str) -> None:
    with Session(origin_url) as session:
        for _ in range(3):
            assert asyncio.run(session.co_get('/bytes/7')).status == 200
        assert session.stats()['opened'] == 1


def test_sessions_are_freed_after_their_loop(origin_url: str) -> None:
    async def main(session: Session) -> None:
        await session.co_get('/bytes/1')
        async for _ in session.co_run(['/bytes/1', '/bytes/2']):
            break

    session = Session(origin_url)
    dead = weakref.ref(session._core)
    asyncio.run(main(session))
    del session
    gc.collect()
    assert dead() is None


def test_without_a_loop_nothing_is_awaited(origin_url: str) -> None:
    with Session(origin_url) as session:
        coroutine = session.co_get('/bytes/1')
        with pytest.raises(RuntimeError, match='no running event loop'):
            coroutine.send(None)


def test_a_task_that_begins_while_others_leave_is_served(origin_url: str) -> None:
    async def main() -> None:
        async with Session(origin_url, timeout=5) as session:
            first = await session.co_get('/bytes/10000000', stream=True)
            second = await session.co_get('/bytes/10000000', stream=True)
            # Each close leaves the session without tasks, and the request begins between what follows from that.
            await first.co_close()
            task = asyncio.ensure_future(session.co_get('/bytes/5'))
            await second.co_close()
            assert (await task).status == 200

    asyncio.run(main())
