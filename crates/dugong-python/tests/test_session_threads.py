"""Threads share a session: its connections, and the thread that drives for all."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from interop_support import Worker
from peers import LIMIT, Peer, Server

from dugong import RequestFailed, Session

TASKS = Path('/proc/self/task')


def test_requests_of_many_threads_are_pipelined_together() -> None:
    def script(peer: Peer) -> None:
        while (target := peer.request().target) != '/go':
            peer.answer(target.encode())
        peer.answer(b'')
        # Ten are on their way before one is answered.
        got = [peer.request().target for _ in range(10)]
        for target in got:
            peer.answer(target.encode())
        with contextlib.suppress(EOFError):
            while True:
                peer.answer(peer.request().target.encode())

    with Server(script) as server, Session(f'http://127.0.0.1:{server.port}', connections=1) as session:
        # These show the session that the server can take more than one.
        assert len(list(session.run(f'/{number}' for number in range(20)))) == 20
        assert session.get('/go').content == b''
        workers = [Worker(session.get, f'/{number}') for number in range(16)]
        assert [worker.result().content for worker in workers] == [f'/{number}'.encode() for number in range(16)]
        assert server.connections == 1


@pytest.mark.skipif(not TASKS.exists(), reason='counts threads in /proc')
def test_a_session_has_no_thread_of_its_own(origin_url: str) -> None:
    before = len(os.listdir(TASKS))
    with Session(origin_url) as session:
        most = []

        def work(number: int) -> list[int]:
            sizes = [len(session.get(f'/bytes/{number * 10 + one}').content) for one in range(50)]
            most.append(len(os.listdir(TASKS)))
            return sizes

        workers = [Worker(work, number) for number in range(16)]
        for number, worker in enumerate(workers):
            assert worker.result() == [number * 10 + one for one in range(50)]
        assert max(most) <= before + 16
        assert session.stats()['opened'] <= 4
        list(session.run(f'/bytes/{number}' for number in range(1000)))
    for worker in workers:
        worker.join(LIMIT)
    # A thread is gone a little later than it is joined.
    deadline = time.monotonic() + LIMIT
    while len(os.listdir(TASKS)) > before and time.monotonic() < deadline:
        os.sched_yield()
    assert len(os.listdir(TASKS)) <= before


def test_runs_of_many_threads_share_a_session(origin_url: str) -> None:
    with Session(origin_url) as session:

        def work(start: int) -> bool:
            outcomes = list(session.run(f'/bytes/{start + number}' for number in range(300)))
            return [len(outcome.reply.content) if outcome.reply else None for outcome in outcomes] == [
                start + number for number in range(300)
            ]

        workers = [Worker(work, start) for start in range(8)]
        assert all(worker.result() for worker in workers)
        assert session.stats()['opened'] <= 4


def test_timeouts_of_some_threads_harm_no_others(origin_url: str) -> None:
    with Session(origin_url, max_content=1 << 20) as session:

        def work(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(60):
                size = chance.randrange(50_000)
                timeout: Any = chance.choice([None, None, 0.0005])
                try:
                    reply = session.get(f'/bytes/{size}', total_timeout=timeout)
                except RequestFailed as exc:
                    assert isinstance(exc, TimeoutError)  # noqa: PT017
                    assert timeout
                else:
                    assert len(reply.content) == size

        workers = [Worker(work, seed) for seed in range(16)]
        for worker in workers:
            worker.result()
        assert session.get('/bytes/5').status == 200


def test_one_thread_may_close_what_others_use() -> None:
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        arrived.set()
        peer.rest()

    server = Server(*[script] * 4)
    try:
        session = Session(f'http://127.0.0.1:{server.port}')
        workers = [Worker(session.get, f'/{number}') for number in range(8)]
        assert arrived.wait(LIMIT)
        session.close()
        for worker in workers:
            assert isinstance(worker.exception(), RequestFailed)
    finally:
        server.close()


def test_threads_read_streams_while_others_make_requests(origin_url: str) -> None:
    with Session(origin_url) as session:

        def stream(size: int) -> int:
            with session.get(f'/bytes/{size}', stream=True) as reply:
                return sum(len(piece) for piece in reply.iter_bytes())

        def small() -> list[int]:
            return [len(session.get(f'/bytes/{number}').content) for number in range(100)]

        streams = [Worker(stream, 3_000_000) for _ in range(3)]
        others = [Worker(small) for _ in range(4)]
        assert [worker.result() for worker in streams] == [3_000_000] * 3
        assert [worker.result() for worker in others] == [list(range(100))] * 4


def test_memory_of_many_requests_is_given_back(origin_url: str) -> None:
    with Session(origin_url) as session:
        for _ in range(2):
            for outcome in session.run(f'/bytes/{number % 100}' for number in range(2000)):
                assert outcome.reply
        gc.collect()
        tracemalloc.start()
        try:
            first = tracemalloc.get_traced_memory()[0]
            for outcome in session.run(f'/bytes/{number % 100}' for number in range(2000)):
                assert outcome.reply
            del outcome
            for _ in range(200):
                session.get('/bytes/5')
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - first < 50_000
        finally:
            tracemalloc.stop()
