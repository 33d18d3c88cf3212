from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any, TypeVar

import pytest

import dugong
from dugong import POLLIN, POLLOUT, AioFuture, PollNeeded
from dugong import _asyncio as driver

T = TypeVar('T')
Crt = Generator[PollNeeded, None, T]
Pair = tuple[socket.socket, socket.socket]
BOTH = POLLIN | POLLOUT


@pytest.fixture
def pair() -> Iterator[Pair]:
    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)
        b.setblocking(False)
        yield a, b


def watched(loop: asyncio.AbstractEventLoop) -> dict[int, int]:
    """What the loop waits for, by descriptor; without its own pipe."""
    inner: Any = loop
    keys = inner._selector.get_map().values()
    bits = {key.fd: (POLLIN if key.data[0] else 0) | (POLLOUT if key.data[1] else 0) for key in keys}
    bits.pop(inner._ssock.fileno())
    return bits


def run(main: Coroutine[Any, Any, T], expect_reports: int = 0) -> T:
    """Run *main* in debug mode. Nothing may be reported to the loop, and nothing may be left there."""
    reports: list[dict[str, Any]] = []

    async def outer() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        result = await asyncio.wait_for(main, 20)
        gc.collect()
        await turns()
        assert watched(loop) == {}
        assert dict(driver._descriptors_of(loop)) == {}
        return result

    result = asyncio.run(outer(), debug=True)
    assert len(reports) == expect_reports, reports
    return result


async def turns() -> None:
    """Let the loop go round often enough for everything that can happen to have happened."""
    for _ in range(10):
        await asyncio.sleep(0)


def fill(sock: socket.socket) -> int:
    sent = 0
    while True:
        try:
            sent += sock.send(bytes(65536))
        except BlockingIOError:
            return sent


def empty(sock: socket.socket) -> int:
    got = 0
    while True:
        try:
            got += len(sock.recv(65536))
        except BlockingIOError:
            return got


class Steps:
    """An iterator that yields what it is given, and notes how it is called."""

    def __init__(self, *needs: Any) -> None:
        self.needs = list(needs)
        self.calls: list[Any] = []

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: None) -> Any:
        self.calls.append('next')
        return self._step()

    def throw(self, exc: BaseException) -> Any:
        self.calls.append(exc)
        return self._step()

    def close(self) -> None:
        self.calls.append('close')

    def _step(self) -> Any:
        if not self.needs:
            raise StopIteration('end')
        need = self.needs.pop(0)
        if isinstance(need, BaseException):
            raise need
        return need() if callable(need) else need


def future(crt: Any, loop: asyncio.AbstractEventLoop | None = None) -> AioFuture[Any]:
    return AioFuture(crt, loop)


def receive(sock: socket.socket, mask: int = POLLIN) -> Crt[bytes]:
    while True:
        try:
            return sock.recv(65536)
        except BlockingIOError:
            yield PollNeeded(sock.fileno(), mask)


def send(sock: socket.socket, data: bytes, mask: int = POLLOUT) -> Crt[int]:
    left = memoryview(data)
    while left:
        try:
            left = left[sock.send(left) :]
        except BlockingIOError:
            yield PollNeeded(sock.fileno(), mask)
    return len(data)


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


def test_19_4_a_wait_for_both_reads_while_there_is_no_reader(pair: Pair) -> None:
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
def test_19_4_a_wait_for_both_is_for_writing_alone_while_there_is_a_reader(pair: Pair, reader_first: bool) -> None:
    a, b = pair
    fill(a)

    async def main() -> None:
        reading = Steps(PollNeeded(a.fileno(), POLLIN), PollNeeded(a.fileno(), POLLIN))
        writing = Steps(PollNeeded(a.fileno(), BOTH))
        futures = [future(crt) for crt in ([reading, writing] if reader_first else [writing, reading])]
        await turns()
        assert (reading.calls, writing.calls) == (['next'], ['next'])
        # Data comes, and the reader takes it at once.
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
    """A stern one."""

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


# 19.5


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
                # Ready for reading, but that is not asked for any more.
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
        fut = future(crt)  # a is ready for writing all the time
        await turns()
        assert crt.calls == ['next']
        b.send(b'x')
        await fut
        assert crt.calls == ['next'] * 2
        fill(a)
        crt = Steps(PollNeeded(a.fileno(), POLLOUT))
        fut = future(crt)  # now it is ready for reading all the time
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
        # In one turn of the loop: data for the writer arrive, and a reader comes.
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
        assert len(writing.calls) == calls  # and does not spin
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
        # The first to be called cancels the second, whose callback has been queued already.
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
        # Not what a connection may do, but then nobody must hang for ever.
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


def test_19_6_a_cancelled_task_cancels_what_it_awaits(pair: Pair) -> None:
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
