"""Statements 19.1 to 19.4: `AioFuture` runs an iterator."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from futures import BOTH, Crt, Pair, Steps, empty, fill, future, receive, run, turns, watched

import dugong
from dugong import POLLIN, POLLOUT, AioFuture, PollNeeded
from dugong import _asyncio as driver

# 19.1


def test_19_1_is_a_future() -> None:
    async def main() -> None:
        fut = future(Steps())
        assert isinstance(fut, asyncio.Future)
        assert asyncio.isfuture(fut)
        assert asyncio.ensure_future(fut) is fut
        assert [await one for one in (fut, future(Steps()))] == ['end', 'end']
        assert set(await asyncio.gather(fut, future(Steps()))) == {'end'}

    run(main())


def test_19_1_starts_with_a_callback_of_the_loop() -> None:
    async def main() -> None:
        crt = Steps()
        fut = future(crt)
        assert crt.calls == []
        assert not fut.done()
        await asyncio.sleep(0)
        assert crt.calls == ['next']
        assert fut.done()

    run(main())


def test_19_1_takes_generators_and_delegating_generators_and_iterators(pair: Pair) -> None:
    a, b = pair

    def two() -> Crt[list[bytes]]:
        first = yield from receive(a)
        b.send(b'y')
        return [first, (yield from receive(a))]

    async def main() -> None:
        fut = AioFuture(two())
        await turns()
        b.send(b'x')
        assert await fut == [b'x', b'y']
        assert await future(iter([PollNeeded(a.fileno(), POLLOUT)] * 3)) is None

    run(main())


def test_19_1_without_loop_it_is_the_current_one() -> None:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    asyncio.set_event_loop(loop)
    try:
        fut = future(Steps())
        assert fut.get_loop() is loop
        assert loop.run_until_complete(fut) == 'end'
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_19_1_with_loop_it_is_that_one() -> None:
    loop = asyncio.new_event_loop()
    try:
        for fut in future(Steps(), loop), AioFuture(receive_nothing(), loop=loop):
            assert fut.get_loop() is loop
            assert loop.run_until_complete(fut) == 'end'
    finally:
        loop.close()


def receive_nothing() -> Crt[str]:
    return 'end'
    yield


def test_19_1_runs_in_the_context_of_its_maker(pair: Pair) -> None:
    a, b = pair
    var: contextvars.ContextVar[int] = contextvars.ContextVar('var')

    def crt() -> Crt[list[int]]:
        seen = [var.get()]
        for value in 2, 3:
            var.set(value)
            yield PollNeeded(a.fileno(), POLLOUT)
            seen.append(var.get())
        return seen

    async def main() -> None:
        var.set(1)
        fut = AioFuture(crt())
        var.set(7)
        assert await fut == [1, 2, 3]

    run(main())


def test_asyncio_is_imported_only_when_it_is_needed() -> None:
    code = 'import dugong, sys; a = "asyncio" in sys.modules; dugong.AioFuture; print(a, "asyncio" in sys.modules)'
    env = {**os.environ, 'PYTHONPATH': str(dugong.__path__[0]).removesuffix('dugong')}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == 'False True\n'


# 19.2


def test_19_2_value_becomes_the_result(pair: Pair) -> None:
    a, b = pair

    async def main() -> None:
        b.send(b'x')
        fut = AioFuture(receive(a))
        assert await fut == b'x'
        assert fut.result() == b'x'
        assert fut.exception() is None

    run(main())


def test_19_2_exception_becomes_the_exception(pair: Pair) -> None:
    a, _ = pair
    error = dugong.ConnectionClosed('what')

    async def main() -> None:
        for needs in [error], [PollNeeded(a.fileno(), POLLOUT), error]:
            crt = Steps(*needs)
            fut = future(crt)
            with pytest.raises(dugong.ConnectionClosed) as caught:
                await fut
            assert caught.value is error
            assert 'close' not in crt.calls  # it has ended by itself

    run(main())


def test_19_2_cancelled_error_cancels() -> None:
    async def main() -> None:
        fut = future(Steps(asyncio.CancelledError()))
        await turns()
        assert fut.cancelled()

    run(main())


@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit])
def test_19_2_exceptions_that_end_programs_end_the_loop(kind: type[BaseException]) -> None:
    loop = asyncio.new_event_loop()
    try:
        fut = future(Steps(kind()), loop)
        with pytest.raises(kind):
            loop.run_forever()
        assert isinstance(fut.exception(), kind)
    finally:
        loop.close()


# 19.3


@pytest.mark.parametrize('wrong', [None, 5, 'x', [1], object], ids=repr)
def test_19_1_and_19_3_type_error_at_once_for_anything_but_an_iterator(wrong: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            AioFuture(wrong)
        with pytest.raises(TypeError):
            AioFuture(wrong, loop=asyncio.get_running_loop())
        await turns()

    run(main())


@pytest.mark.parametrize('wrong', [None, 5, 'x', (0, POLLIN), [0, POLLIN]])
def test_19_3_type_error_for_anything_but_poll_needed(wrong: Any) -> None:
    async def main() -> None:
        crt = Steps(wrong)
        assert await future(crt) == 'end'
        assert crt.calls[0] == 'next'
        assert type(crt.calls[1]) is TypeError
        assert len(crt.calls) == 2

        def stubborn() -> Crt[None]:
            yield wrong

        with pytest.raises(TypeError):
            await AioFuture(stubborn())
        with pytest.raises(TypeError):
            await future(iter([wrong]))

    run(main())


def test_19_3_it_may_go_on_after_the_type_error(pair: Pair) -> None:
    async def main() -> None:
        wrong: Any = None
        crt = Steps(wrong, wrong, PollNeeded(pair[0].fileno(), POLLOUT))
        assert await future(crt) == 'end'
        assert [type(call) for call in crt.calls] == [str, TypeError, TypeError, str]

    run(main())


def test_19_3_the_loop_runs_between_wrong_steps() -> None:
    async def main() -> None:
        crt = Steps(*[None] * 1000)
        fut = future(crt)
        await turns()
        assert not fut.done()
        await fut

    run(main())


def test_19_3_a_mask_that_asks_for_nothing_is_a_value_error(pair: Pair) -> None:
    async def main() -> None:
        crt = Steps(PollNeeded(pair[0].fileno(), 0))
        await future(crt)
        assert type(crt.calls[1]) is ValueError

    run(main())


def test_errors_of_the_loop_are_thrown_in(pair: Pair) -> None:
    async def main() -> None:
        number = os.dup(pair[0].fileno())
        os.close(number)
        for mask in POLLIN, POLLOUT, BOTH:
            crt = Steps(PollNeeded(number, mask), PollNeeded(-1, mask))
            await future(crt)
            assert isinstance(crt.calls[1], OSError)
            assert type(crt.calls[2]) is ValueError

    run(main())


def test_19_3_a_wait_that_failed_leaves_nothing_behind(pair: Pair) -> None:
    a, _ = pair

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()

        def fail(*args: Any) -> None:
            raise OSError('full')

        for method, mask in ('add_reader', POLLIN), ('add_writer', POLLOUT), ('add_reader', BOTH):
            fill(a)
            crt = Steps(PollNeeded(a.fileno(), mask), lambda: PollNeeded(loop._ssock.fileno(), 0))
            fut = future(crt)
            setattr(loop, method, fail)
            await asyncio.sleep(0)
            delattr(loop, method)
            assert crt.calls == ['next']
            assert watched(loop) == {}
            assert dict(driver._descriptors_of(loop)) == {}
            await fut
            assert type(crt.calls[1]) is OSError

    run(main())


# 19.4


@pytest.mark.parametrize(
    ('first', 'second'), [(POLLIN, POLLIN), (POLLOUT, POLLOUT), (BOTH, POLLOUT), (POLLOUT, BOTH), (BOTH, BOTH)]
)
def test_19_4_a_second_one_of_the_same_kind_gets_runtime_error(pair: Pair, first: int, second: int) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        one = Steps(PollNeeded(a.fileno(), first))
        two = Steps(PollNeeded(a.fileno(), second))
        fut = future(one)
        await turns()
        assert await future(two) == 'end'
        assert type(two.calls[1]) is RuntimeError
        assert one.calls == ['next']
        # The first one has not been disturbed.
        before = watched(asyncio.get_running_loop())
        assert before == {a.fileno(): first}
        empty(b)
        b.send(b'x')
        assert await fut == 'end'
        assert one.calls == ['next', 'next']

    run(main())


@pytest.mark.parametrize('write', [POLLOUT, BOTH])
@pytest.mark.parametrize('reader_first', [True, False])
def test_19_4_one_of_each_is_fine(pair: Pair, write: int, reader_first: bool) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reading, writing = Steps(PollNeeded(a.fileno(), POLLIN)), Steps(PollNeeded(a.fileno(), write))
        if reader_first:
            reader = future(reading)
            await turns()
            writer = future(writing)
        else:
            writer = future(writing)
            await turns()
            reader = future(reading)
        await turns()
        assert watched(loop) == {a.fileno(): BOTH}
        b.send(b'x')
        await turns()
        assert reading.calls == ['next', 'next']
        assert writing.calls[:1] == ['next']
        assert reader.done()
        empty(a)
        empty(b)
        assert await writer == 'end'

    run(main())


def test_19_4_a_wait_for_both_reads_without_a_reader(pair: Pair) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        writing = Steps(PollNeeded(a.fileno(), BOTH))
        writer = future(writing)
        await turns()
        assert watched(asyncio.get_running_loop()) == {a.fileno(): BOTH}
        b.send(b'x')
        assert await writer == 'end'

    run(main())


@pytest.mark.parametrize('reader_first', [True, False])
def test_19_4_a_wait_for_both_is_for_writing_alone_beside_a_reader(pair: Pair, reader_first: bool) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        reading = Steps(PollNeeded(a.fileno(), POLLIN), PollNeeded(a.fileno(), POLLIN))
        writing = Steps(PollNeeded(a.fileno(), BOTH))
        futures = [future(crt) for crt in ([reading, writing] if reader_first else [writing, reading])]
        await turns()
        assert (reading.calls, writing.calls) == (['next'], ['next'])
        # Data arrives, and the reader reads it at once.
        reading.needs[0] = lambda: empty(a) and PollNeeded(a.fileno(), POLLIN)
        b.send(b'x')
        await turns()
        assert (reading.calls, writing.calls) == (['next', 'next'], ['next'])
        empty(b)
        b.send(b'x')
        await asyncio.gather(*futures)
        assert (reading.calls, writing.calls) == (['next'] * 3, ['next'] * 2)

    run(main())


@pytest.mark.parametrize('how', ['done', 'cancelled'])
def test_19_4_a_wait_for_both_reads_again_when_the_reader_has_gone(pair: Pair, how: str) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        writing = Steps(PollNeeded(a.fileno(), BOTH))
        writer = future(writing)
        reader = AioFuture(receive(a))
        await turns()
        if how == 'done':
            b.send(b'x')
            assert await reader == b'x'
        else:
            reader.cancel()
        assert watched(loop) == {a.fileno(): BOTH}
        assert writing.calls == ['next']
        b.send(b'y')
        assert await writer == 'end'
        assert a.recv(5) == b'y'

    run(main())


def test_19_4_a_wait_for_writing_alone_does_not_read_when_the_reader_has_gone(pair: Pair) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        writer = future(Steps(PollNeeded(a.fileno(), POLLOUT)))
        reader = AioFuture(receive(a))
        await turns()
        reader.cancel()
        assert watched(asyncio.get_running_loop()) == {a.fileno(): POLLOUT}
        writer.cancel()

    run(main())


def test_19_4_a_reader_after_another_is_fine(pair: Pair) -> None:
    a, b = pair

    async def main() -> None:
        for _ in range(3):
            fut = AioFuture(receive(a))
            await turns()
            b.send(b'x')
            assert await fut == b'x'

    run(main())


def test_19_4_other_descriptors_are_independent() -> None:
    async def main() -> None:
        pairs = [socket.socketpair() for _ in range(5)]
        futures: list[AioFuture[bytes]] = []
        for a, _ in pairs:
            a.setblocking(False)
            futures.append(AioFuture(receive(a)))
        await turns()
        for number, (_, b) in enumerate(pairs):
            b.send(bytes([number]))
        assert await asyncio.gather(*futures) == [b'\0', b'\1', b'\2', b'\3', b'\4']
        for a, b in pairs:
            a.close()
            b.close()

    run(main())


def test_19_4_other_loops_are_independent(pair: Pair) -> None:
    a, b = pair
    loops = [asyncio.new_event_loop() for _ in range(2)]
    futures = [AioFuture(receive(a), loop) for loop in loops]
    for loop in loops:
        loop.run_until_complete(turns())
        assert watched(loop) == {a.fileno(): POLLIN}
    for loop, fut in zip(loops, futures, strict=True):
        b.send(b'x')
        assert loop.run_until_complete(fut) == b'x'
        loop.close()


class Loop(asyncio.SelectorEventLoop):
    """A loop that refuses calls after its end."""

    def remove_reader(self, fd: Any) -> bool:
        assert not self.is_closed()
        return super().remove_reader(fd)


def test_19_4_a_loop_that_was_closed_leaves_nothing_behind(pair: Pair) -> None:
    a, b = pair
    crt = receive(a)
    loop: asyncio.AbstractEventLoop = Loop()
    fut = AioFuture(crt, loop)
    loop.run_until_complete(turns())
    assert watched(loop) == {a.fileno(): POLLIN}
    loop.close()
    assert fut.cancel()
    refs: list[Callable[[], Any]] = [weakref.ref(loop), weakref.ref(fut)]
    del loop, fut, crt
    gc.collect()
    assert [ref() for ref in refs] == [None, None]

    async def main() -> None:
        b.send(b'x')
        assert await AioFuture(receive(a)) == b'x'

    run(main())


def test_19_4_a_loop_that_was_closed_and_dropped_takes_its_futures_along(pair: Pair) -> None:
    a, _ = pair
    crt = receive(a)
    loop = asyncio.new_event_loop()
    fut = AioFuture(crt, loop)
    loop.run_until_complete(turns())
    loop.close()
    refs: list[Callable[[], Any]] = [weakref.ref(loop), weakref.ref(fut), weakref.ref(crt)]
    del loop, fut, crt
    gc.collect()
    assert [ref() for ref in refs] == [None, None, None]
