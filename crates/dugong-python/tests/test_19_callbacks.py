"""Statements 19.5 and 19.6: the callbacks of a future, and `cancel`."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from futures import BOTH, Crt, Pair, Steps, empty, fill, future, receive, run, turns, watched

from dugong import POLLIN, POLLOUT, AioFuture, PollNeeded


def send(sock: socket.socket, data: bytes, mask: int = POLLOUT) -> Crt[int]:
    left = memoryview(data)
    while left:
        try:
            left = left[sock.send(left) :]
        except BlockingIOError:
            yield PollNeeded(sock.fileno(), mask)
    return len(data)


def test_19_5_resumed_only_when_ready(pair: Pair) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        read, write = PollNeeded(a.fileno(), POLLIN), PollNeeded(a.fileno(), POLLOUT)
        crt = Steps(read, write, read, write)
        fut = future(crt)
        expected = 1
        for wants in POLLIN, POLLOUT, POLLIN, POLLOUT:
            await turns()
            assert len(crt.calls) == expected
            assert watched(loop) == {a.fileno(): wants}
            if wants == POLLIN:
                b.send(b'x')
                await turns()
                # It is ready for reading, which *crt* does not wait for any more.
                assert len(crt.calls) == expected + 1
                empty(a)
            else:
                empty(b)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                fill(a)
            expected += 1
        assert await fut == 'end'
        assert watched(loop) == {}

    run(main())


def test_19_5_readiness_for_something_else_does_not_resume(pair: Pair) -> None:
    a, b = pair

    async def main() -> None:
        crt = Steps(PollNeeded(a.fileno(), POLLIN))
        fut = future(crt)  # a is always ready for writing
        await turns()
        assert crt.calls == ['next']
        b.send(b'x')
        await fut
        assert crt.calls == ['next'] * 2
        fill(a)
        crt = Steps(PollNeeded(a.fileno(), POLLOUT))
        fut = future(crt)  # from here on, a is always ready for reading
        await turns()
        assert crt.calls == ['next']
        empty(b)
        await fut

    run(main())


def test_19_5_ready_for_both_at_once_resumes_once(pair: Pair) -> None:
    a, b = pair

    async def main() -> None:
        b.send(b'x')
        other = Steps(PollNeeded(b.fileno(), POLLIN))
        crt = Steps(PollNeeded(a.fileno(), BOTH), PollNeeded(b.fileno(), POLLIN))
        fut = future(crt)
        await turns()
        assert crt.calls == ['next'] * 2
        a.send(b'x')
        await fut
        assert other.calls == []

    run(main())


def test_19_5_two_ready_at_once_where_one_gives_up_reading(pair: Pair) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        # In one turn of the loop, data arrives for the writer, and a reader begins.
        writing = Steps(PollNeeded(a.fileno(), BOTH), PollNeeded(a.fileno(), BOTH))
        writer = future(writing)
        await turns()
        b.send(b'x')
        reader = AioFuture(receive(a, POLLIN))
        assert await reader == b'x'
        await turns()
        assert len(writing.calls) <= 2
        calls = len(writing.calls)
        await turns()
        assert len(writing.calls) == calls  # it does not spin
        writer.cancel()

    run(main())


def test_19_5_a_callback_that_comes_too_late_does_nothing(pair: Pair) -> None:
    async def main() -> None:
        need = PollNeeded(pair[0].fileno(), POLLIN)
        crt = Steps(need, need)
        fut = future(crt)
        await turns()
        waits: list[Any] = [fut._wait]
        pair[1].send(b'x')
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waits.append(fut._wait)
        assert crt.calls == ['next', 'next']
        waits[0].wake()
        assert crt.calls == ['next', 'next']
        fut.cancel()
        waits[1].wake()
        assert crt.calls == ['next', 'next', 'close']

    run(main())


def test_19_5_both_end_in_the_same_turn(pair: Pair) -> None:
    a, b = pair

    async def main() -> None:
        # The first callback cancels the second future, whose callback has been queued already.
        c, d = socket.socketpair()
        with c, d:
            cranks: list[Steps] = []
            futures: list[AioFuture[Any]] = []

            def cancel_other(me: int) -> Callable[[], PollNeeded]:
                def do() -> PollNeeded:
                    futures[1 - me].cancel()
                    raise StopIteration(me)

                return do

            for me, sock in enumerate([a, c]):
                cranks.append(Steps(PollNeeded(sock.fileno(), POLLIN), cancel_other(me)))
                futures.append(future(cranks[me]))
            await turns()
            b.send(b'x')
            d.send(b'x')
            done, _ = await asyncio.wait(futures)
            assert len(done) == 2
            assert sorted(fut.cancelled() for fut in futures) == [False, True]
            assert sorted(crt.calls for crt in cranks) == [['next', 'close'], ['next', 'next']]

    run(main())


def test_19_5_a_step_may_close_the_descriptor_and_use_its_number_again() -> None:
    async def main() -> None:
        def crt() -> Crt[bytes]:
            a, b = socket.socketpair()
            a.setblocking(False)
            b.send(b'1')
            yield PollNeeded(a.fileno(), POLLIN)
            number = a.fileno()
            c, d = socket.socketpair()
            os.dup2(c.fileno(), number)  # closes the old one
            with a, b, c, d:
                d.send(b'2')
                yield PollNeeded(number, POLLIN)
                return a.recv(5)

        assert await AioFuture(crt()) == b'2'

    run(main())


def test_19_5_a_future_done_from_elsewhere_lets_go(pair: Pair) -> None:
    a, _ = pair

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for waiting in False, True:
            for action in 'set_result', 'set_exception':
                crt = Steps(PollNeeded(a.fileno(), POLLIN))
                fut = future(crt)
                if waiting:
                    await turns()
                getattr(fut, action)(ValueError('x'))
                assert watched(loop) == {}
                assert crt.calls == (['next'] if waiting else []) + ['close']
                await turns()
                assert fut.done()
                assert isinstance(fut.exception() or fut.result(), ValueError)
                with pytest.raises(asyncio.InvalidStateError):
                    fut.set_result(1)

    run(main())


@pytest.mark.parametrize('reader_goes', [True, False])
def test_19_5_a_descriptor_closed_while_two_wait_wakes_the_one_that_is_left(pair: Pair, reader_goes: bool) -> None:
    a, _ = pair
    fill(a)

    async def main() -> None:
        number = os.dup(a.fileno())
        writing = Steps(PollNeeded(number, BOTH))
        writer = future(writing)
        reader = future(Steps(PollNeeded(number, POLLIN)))
        await turns()
        # A connection must not do this, but if it did, the other waiter must not hang for ever.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, number)
        if reader_goes:
            reader.cancel()
            assert await writer == 'end'
        else:
            writer.cancel()
            assert await reader == 'end'
        os.close(null)
        os.close(number)

    run(main())


# 19.6


def test_19_6_cancel_before_the_start_closes() -> None:
    async def main() -> None:
        crt = Steps()
        fut = future(crt)
        assert fut.cancel()
        assert crt.calls == ['close']
        with pytest.raises(asyncio.CancelledError):
            await fut
        await turns()
        assert crt.calls == ['close']

    run(main())


@pytest.mark.parametrize('mask', [POLLIN, POLLOUT, BOTH])
def test_19_6_cancel_while_waiting_lets_go_and_closes(pair: Pair, mask: int) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        crt = Steps(PollNeeded(a.fileno(), mask))
        fut = future(crt)
        await turns()
        assert watched(loop) == {a.fileno(): mask}
        assert fut.cancel('why')
        assert watched(loop) == {}
        assert crt.calls == ['next', 'close']
        with pytest.raises(asyncio.CancelledError, match='why'):
            await fut
        assert not fut.cancel()
        b.send(b'x')
        empty(b)
        await turns()
        assert crt.calls == ['next', 'close']

    run(main())


def test_19_6_cancel_between_error_and_throw() -> None:
    async def main() -> None:
        crt = Steps(None)
        fut = future(crt)
        await asyncio.sleep(0)
        fut.cancel()
        await turns()
        assert crt.calls == ['next', 'close']

    run(main())


def test_19_6_a_cancelled_task_cancels_the_future_it_awaits(pair: Pair) -> None:
    a, b = pair
    closed: list[str] = []

    def crt() -> Crt[None]:
        try:
            yield PollNeeded(a.fileno(), POLLIN)
        finally:
            closed.append('yes')

    async def wait() -> None:
        await AioFuture(crt())

    async def main() -> None:
        task = asyncio.create_task(wait())
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed == ['yes']
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(AioFuture(crt()), 0.01)
        assert closed == ['yes', 'yes']
        b.send(b'x')
        assert await AioFuture(receive(a)) == b'x'

    run(main())


def test_19_6_cancel_of_a_mere_iterator(pair: Pair) -> None:
    async def main() -> None:
        fut = future(iter([PollNeeded(pair[0].fileno(), POLLIN)]))
        await turns()
        assert fut.cancel()

    run(main())


@pytest.mark.parametrize('then', ['yield', 'return', 'raise'])
def test_19_6_cancelled_by_the_iterator_itself(pair: Pair, then: str) -> None:
    a, _ = pair
    closed: list[str] = []

    async def main() -> None:
        futures: list[AioFuture[None]] = []

        def crt() -> Crt[None]:
            try:
                futures[0].cancel()
                if then == 'yield':
                    yield PollNeeded(a.fileno(), POLLIN)
                elif then == 'raise':
                    raise ValueError
            finally:
                closed.append('yes')

        futures.append(AioFuture(crt()))
        await turns()
        assert futures[0].cancelled()
        assert closed == ['yes']

    run(main(), expect_reports=then == 'raise')


def test_19_6_errors_of_close_are_reported_to_the_loop(pair: Pair) -> None:
    def crt() -> Crt[None]:
        try:
            yield PollNeeded(pair[0].fileno(), POLLIN)
        finally:
            raise ValueError('what')

    async def main() -> None:
        fut = AioFuture(crt())
        await turns()
        assert fut.cancel()
        assert fut.cancelled()

    run(main(), expect_reports=1)


# All of it


def test_full_duplex(pair: Pair) -> None:
    a, b = pair
    data = os.urandom(1_000_000)

    def receive_all(sock: socket.socket) -> Crt[bytes]:
        got = bytearray()
        while len(got) < len(data):
            got += yield from receive(sock)
        return bytes(got)

    async def main() -> None:
        results = await asyncio.gather(
            AioFuture(send(a, data, BOTH)),
            AioFuture(receive_all(a)),
            AioFuture(send(b, data)),
            AioFuture(receive_all(b)),
        )
        assert tuple(results) == (len(data), data, len(data), data)

    run(main())


def test_waiting_costs_no_time(pair: Pair) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        reader, writer = AioFuture(receive(a)), AioFuture(send(a, b'x', BOTH))
        await turns()
        start = time.process_time()
        threading.Timer(0.3, b.send, [b'x']).start()
        assert await reader == b'x'
        assert time.process_time() - start < 0.15
        empty(b)
        await writer

    run(main())


@pytest.mark.parametrize('end', ['value', 'own error', 'type error', 'cancel', 'cancel before start'])
def test_finished_futures_are_freed_without_garbage_collection(pair: Pair, end: str) -> None:
    a, b = pair

    def crt() -> Crt[None]:
        yield PollNeeded(a.fileno(), POLLOUT)
        if end == 'own error':
            raise ValueError
        if end == 'type error':
            wrong: Any = None
            yield wrong
        if end == 'cancel':
            yield PollNeeded(a.fileno(), POLLIN)

    async def main() -> None:
        iterator = crt()
        fut = AioFuture(iterator)
        refs: list[Callable[[], Any]] = [weakref.ref(iterator), weakref.ref(fut)]
        del iterator
        if end != 'cancel before start':
            await turns()
        if end.startswith('cancel'):
            fut.cancel()
        await asyncio.wait([fut])
        if not fut.cancelled():
            fut.exception()
        await turns()
        del fut
        assert [ref() for ref in refs] == [None, None]

    gc.disable()
    try:
        asyncio.run(main())  # debug mode itself keeps futures for longer
    finally:
        gc.enable()
