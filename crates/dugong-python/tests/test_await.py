"""The `co_` methods, awaited under asyncio, uvloop and trio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import subprocess
import sys
import threading
import types
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import trio
from awaiting import HUGE, echo
from loops import Asyncio, Counted, Loop, drive, each_loop
from peers import LIMIT, Local, Peer, Serve

import dugong
from dugong import (
    POLLIN,
    AioFuture,
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    HTTPConnection,
    PollNeeded,
    StateError,
    eval_coroutine,
)

# The same line everywhere


@each_loop
def test_the_same_line_works_under_each_loop(serve: Serve, loop: Loop) -> None:
    async def main() -> None:
        async with conn as same:
            assert same is conn
            await conn.co_connect()
            await conn.co_send_request('GET', '/a')
            await conn.co_send_request('PUT', '/b', body=b'12345')
            await conn.co_send_request('PUT', '/c', body=BodyFollowing(6))
            await conn.co_write(b'123')
            await conn.co_write(b'456')
            await conn.co_send_request('PUT', '/d', body=BodyFollowing())
            await conn.co_write(b'1234567')
            await conn.co_finish()
            response = await conn.co_read_response()
            assert (response.status, response.path) == (200, '/a')
            assert await conn.co_readall() == b'/a 0'
            await conn.co_read_response()
            assert await conn.co_read(2) == b'/b'
            await conn.co_discard()
            await conn.co_read_response()
            buffer = bytearray(10)
            assert await conn.co_readinto(buffer) == 4
            assert buffer[:4] == b'/c 6'
            assert await conn.co_readinto(buffer) == 0
            await conn.co_read_response()
            assert await conn.co_readall() == b'/d 7'
        with pytest.raises(StateError):
            await conn.co_read_response()

    conn = serve(echo)
    loop.run(main)


@each_loop
def test_a_body_that_another_task_has_cut_does_not_end_on_the_next_connection(serve: Serve, loop: Loop) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
        peer.rest()

    async def main() -> None:
        async def again() -> None:
            conn.disconnect()
            await conn.co_send_request('GET', '/next')

        await conn.co_send_request('GET', '/')
        await conn.co_read_response()
        assert await conn.co_read(100) == b'hello'
        await loop.together(again)
        with pytest.raises(ConnectionClosed):
            await conn.co_read(100)
        await conn.co_read_response()
        assert await conn.co_readall() == b'/next 0'

    conn = serve(cut, echo)
    loop.run(main)


@each_loop
def test_a_body_that_comes_in_pieces(serve: Serve, loop: Loop) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        for i in range(200):
            peer.send(b'%x\r\n' % (i * 50 + 1) + bytes(i * 50 + 1) + b'\r\n')
        peer.send(b'0\r\n\r\n')

    async def main() -> int:
        await conn.co_send_request('GET', '/')
        await conn.co_read_response()
        size = 0
        while data := await conn.co_read(10000):
            size += len(data)
        return size

    conn = serve(script)
    assert loop.run(main) == sum(i * 50 + 1 for i in range(200))


@each_loop
def test_a_large_upload(serve: Serve, loop: Loop) -> None:
    async def main() -> bytes:
        await conn.co_send_request('PUT', '/a', body=BodyFollowing(HUGE))
        await conn.co_write(bytes(HUGE))
        await conn.co_read_response()
        return await conn.co_readall()

    conn = serve(echo)
    assert loop.run(main) == b'/a %d' % HUGE


@each_loop
def test_errors_are_raised_by_await(serve_plain: Serve, loop: Loop) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=r'.'):
            await conn.co_send_request('GET', '/a b')
        with pytest.raises(StateError):
            await conn.co_read_response()
        await conn.co_send_request('GET', '/')
        with pytest.raises(ConnectionClosed) as caught:
            await conn.co_read_response()
        assert caught.value.unanswered == (('GET', '/', True),)

    def script(peer: Peer) -> None:
        peer.request()

    conn = serve_plain(script)
    loop.run(main)


@each_loop
def test_async_with_always_disconnects(serve_plain: Serve, loop: Loop) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with conn:
                await conn.co_connect()
                assert conn._fileno() >= 0
                raise ZeroDivisionError
        with pytest.raises(StateError):
            conn._fileno()

    conn = serve_plain(echo)
    loop.run(main)


def test_async_with_calls_disconnect_of_a_subclass() -> None:
    class Own(HTTPConnection):
        calls = 0

        def disconnect(self) -> None:
            self.calls += 1
            super().disconnect()

    async def main() -> None:
        async with conn:
            pass

    conn = Own('127.0.0.1')
    asyncio.run(main())
    assert conn.calls == 1


@pytest.mark.parametrize(('mine', 'other'), [('asyncio', 'trio'), ('trio', 'asyncio')])
def test_the_other_library_is_not_needed(serve_plain: Serve, mine: str, other: str) -> None:
    code = f"""
import logging, sys
logging.getLogger('asyncio').setLevel('ERROR')  # on a busy machine, its debug mode warns of slow steps
sys.path.insert(0, sys.argv[1])
if {other!r} == 'trio':
    sys.modules['trio'] = None  # an import of it fails
import dugong, {mine}
async def main():
    async with dugong.HTTPConnection('127.0.0.1', int(sys.argv[2])) as conn:
        await conn.co_send_request('GET', '/a')
        await conn.co_read_response()
        print(await conn.co_readall())
{mine}.run({'main()' if mine == 'asyncio' else 'main'})
print(sys.modules.get({other!r}), 'dugong._{other}' in sys.modules)
"""
    conn = serve_plain(echo)
    source = str(Path(dugong.__path__[0]).parent)
    command = [sys.executable, '-X', 'dev', '-W', 'error', '-c', code, source, str(conn.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.stderr == ''
    assert done.stdout == "b'/a 0'\nNone False\n"


def test_trio_and_asyncio_in_two_threads(serve_plain: Serve) -> None:
    """Each thread has its own answer to which library runs."""

    async def get(conn: HTTPConnection, times: int) -> None:
        for i in range(times):
            await conn.co_send_request('GET', f'/{i}')
            await conn.co_read_response()
            assert await conn.co_readall() == f'/{i} 0'.encode()

    one, two = serve_plain(echo), serve_plain(echo)
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(asyncio.run(get(one, 200)))),
        threading.Thread(target=lambda: results.append(trio.run(get, two, 200))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert results == [None, None]


def test_trio_as_a_guest_of_asyncio(serve_plain: Serve) -> None:
    """Both run in the same thread, and each task gets a value that its own loop understands."""

    async def get(path: str) -> bytes:
        async with HTTPConnection('localhost', conn.port) as own:
            own.timeout = LIMIT
            await own.co_send_request('GET', path)
            await own.co_read_response()
            return await own.co_readall()

    async def host() -> tuple[bytes, bytes]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            get,
            '/trio',
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        mine = await get('/asyncio')
        return mine, (await done).unwrap()

    conn = serve_plain(echo, echo)
    assert asyncio.run(host()) == (b'/asyncio 0', b'/trio 0')


# Generator and awaitable


def test_it_is_a_generator_and_awaitable(local: Local) -> None:
    work = local.conn.co_read_response()
    assert isinstance(work, Generator)
    assert isinstance(work, Awaitable)
    assert inspect.isawaitable(work)
    assert iter(work) is work
    with pytest.raises(StateError):
        next(work)


def test_without_an_event_loop_await_yields_the_same_as_next(local: Local) -> None:
    """If you have an event loop of your own, it can run `async def` as well."""

    async def main() -> bytes:
        await local.conn.co_send_request('GET', '/')
        local.answer(b'hello')
        await local.conn.co_read_response()
        return await local.conn.co_readall()

    assert drive(main()) == b'hello'
    local.conn.send_request('GET', '/')
    need = next(iter(local.conn.co_read_response().__await__()))
    assert type(need) is PollNeeded
    assert need == (local.conn._fileno(), POLLIN)


@each_loop
def test_an_operation_that_has_ended_cannot_be_awaited_again(local: Local, loop: Loop) -> None:
    async def main() -> None:
        work = local.conn.co_discard()
        await work
        with pytest.raises(RuntimeError):
            await work
        closed = local.conn.co_discard()
        closed.close()
        with pytest.raises(RuntimeError):
            await closed

    loop.run(main)


@each_loop
def test_nothing_happens_before_it_is_awaited(local: Local, loop: Loop) -> None:
    async def main() -> None:
        work = local.conn.co_send_request('GET', '/')
        await loop.turns()
        with pytest.raises(BlockingIOError):
            local.peer.recv(1)
        await work
        assert local.peer.recv(100).startswith(b'GET / HTTP/1.1\r\n')

    loop.run(main)


@each_loop
def test_iterators_can_still_be_driven_by_hand_in_a_task(local: Local, loop: Loop) -> None:
    async def main() -> None:
        eval_coroutine(local.conn.co_send_request('GET', '/'))
        crt = local.conn.co_read_response()
        need = next(crt)
        assert isinstance(need, PollNeeded)
        assert need == (local.conn._fileno(), POLLIN)
        assert not need.poll(0.001)
        local.answer(b'hello')
        assert need.poll(LIMIT)
        with pytest.raises(StopIteration):
            next(crt)
        assert eval_coroutine(local.conn.co_readall()) == b'hello'

    loop.run(main)


def test_generators_of_the_callers_own_can_be_awaited_under_asyncio(local: Local) -> None:
    @types.coroutine
    def get() -> Generator[Any, Any, bytes]:
        yield from local.conn.co_send_request('GET', '/')
        asyncio.get_running_loop().call_later(0.01, local.answer, b'hello')
        yield from local.conn.co_read_response()
        body = yield from local.conn.co_readall()
        return bytes(body)

    async def main() -> None:
        assert await get() == b'hello'

    Asyncio().run(main)


@pytest.mark.parametrize(
    'wrap',
    [
        asyncio.ensure_future,
        lambda work: asyncio.create_task(work),
        lambda work: asyncio.wait_for(work, LIMIT),
        asyncio.shield,
        lambda work: asyncio.gather(work),
        AioFuture,
    ],
    ids='ensure_future create_task wait_for shield gather AioFuture'.split(),
)
def test_functions_of_asyncio_for_awaitables_take_it(local: Local, wrap: Callable[[Any], Any]) -> None:
    async def main() -> None:
        await local.conn.co_send_request('GET', '/')
        task = wrap(local.conn.co_read_response())
        asyncio.get_running_loop().call_later(0.02, local.answer, b'hello')
        result = await task
        response = result[0] if isinstance(result, list) else result
        assert response.length == 5
        assert await wrap(local.conn.co_readall()) in (b'hello', [b'hello'])

    Asyncio().run(main)


def test_a_task_group_takes_it(local: Local) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(local.conn.co_send_request('GET', '/'))
            await asyncio.sleep(0)
            reading = tasks.create_task(local.conn.co_read_response())
            await asyncio.sleep(0.01)
            local.answer(b'hello')
        assert reading.result().length == 5

    Asyncio().run(main)


# Waiting


@each_loop
def test_an_operation_that_need_not_wait_does_not_go_through_the_loop(local: Local, loop: Loop) -> None:
    async def main() -> None:
        sent = [Counted(local.conn.co_send_request('GET', f'/{i}')) for i in range(50)]
        for work in sent:
            await work
        for _ in range(50):
            local.answer(b'hello')
        read: list[Counted[Any]] = []
        for _ in range(50):
            read += [Counted(local.conn.co_read_response()), Counted(local.conn.co_readall())]
            await read[-2]
            assert await read[-1] == b'hello'
        assert [work.waits for work in sent + read] == [0] * 150

    loop.run(main)


def test_one_turn_of_the_loop_per_readiness(local: Local) -> None:
    async def main() -> None:
        got = bytearray()

        async def read() -> None:
            await conn.co_read_response()
            while data := await conn.co_read(100):
                got.extend(data)

        await conn.co_send_request('GET', '/')
        reading = asyncio.create_task(read())
        local.peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n')
        await asyncio.sleep(0.01)
        for i in range(50):
            local.peer.send(b'x')
            # Our own turn is the first in the queue. The reader's comes right after it.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(got) == i + 1
        await reading

    conn = local.conn
    asyncio.run(main())


@each_loop
def test_each_readiness_resumes_once(local: Local, loop: Loop) -> None:
    async def main() -> None:
        await conn.co_send_request('GET', '/')
        local.peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n')
        await conn.co_read_response()
        reading = Counted(conn.co_readall())

        async def feed() -> None:
            for i in range(20):
                await loop.turns()
                assert reading.waits == i + 1
                local.peer.send(b'x')

        async def read() -> None:
            assert await reading == b'x' * 20

        await loop.together(read, feed)
        assert reading.waits == 20

    conn = local.conn
    loop.run(main)


@each_loop
def test_a_second_reader_gets_runtime_error(local: Local, loop: Loop) -> None:
    async def main() -> None:
        await conn.co_send_request('GET', '/')
        local.peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
        await conn.co_read_response()
        got: list[bytes] = []

        async def first() -> None:
            got.append(await conn.co_readall())

        async def second() -> None:
            await loop.turns()
            with pytest.raises(RuntimeError, match='reading'):
                await conn.co_readall()
            if loop.waiting() >= 0:
                assert loop.waiting() == 1
            local.peer.send(b'hello')

        await loop.together(first, second)
        assert got == [b'hello']

    conn = local.conn
    loop.run(main)


@each_loop
def test_a_regular_call_that_reads_beside_a_task_is_refused(local: Local, loop: Loop) -> None:
    """It would block the loop, and take the data that the task waits for."""

    async def main() -> None:
        await conn.co_send_request('GET', '/')

        async def first() -> None:
            assert (await conn.co_read_response()).length == 5
            got.append(await conn.co_readall())

        async def second() -> None:
            await loop.turns()
            for read in reads:
                with pytest.raises(StateError, match='this thread is reading'):
                    read()
            local.answer(b'hello')

        got: list[bytes] = []
        await loop.together(first, second)
        assert got == [b'hello']
        await conn.co_send_request('GET', '/')
        local.answer(b'regular')
        assert conn.read_response().length == 7

    conn = local.conn
    reads: list[Callable[[], object]] = [
        conn.read_response,
        conn.readall,
        conn.discard,
        lambda: conn.read(1),
        lambda: conn.readinto(bytearray(1)),
        lambda: conn.read_raw(1),
        lambda: next(conn.pipeline([])),
        lambda: eval_coroutine(conn.co_read_response()),
    ]
    loop.run(main)


@each_loop
def test_a_second_writer_gets_runtime_error(local: Local, loop: Loop) -> None:
    async def main() -> None:
        await conn.co_send_request('PUT', '/', body=BodyFollowing(2 * HUGE))

        async def first(cancel: Callable[[], None]) -> None:
            stop.append(cancel)
            await conn.co_write(bytes(HUGE))

        async def second() -> None:
            await loop.turns()
            with pytest.raises(RuntimeError, match='writing'):
                await conn.co_write(bytes(HUGE))
            stop[0]()

        async def stopped() -> None:
            await loop.stopped(first)

        stop: list[Callable[[], None]] = []
        await loop.together(stopped, second)

    conn = local.conn
    loop.run(main)


def test_futures_and_tasks_share_the_descriptors(local: Local) -> None:
    async def main() -> None:
        await conn.co_send_request('GET', '/')
        future = AioFuture(conn.co_read_response())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match='reading'):
            await conn.co_read_response()
        local.answer(b'hello')
        assert (await future).length == 5

    conn = local.conn
    Asyncio().run(main)


@each_loop
def test_a_server_that_stops_reading_holds_up_the_sender_alone(serve: Serve, loop: Loop) -> None:
    """Sender and receiver in two tasks, with back-pressure and without spinning."""
    go_on = threading.Event()
    size = 20_000_000

    def script(peer: Peer) -> None:
        peer.request()
        head = peer.head()
        assert head.target == '/b'
        # The server does not read, but answers the first request slowly.
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n')
        for _ in range(50):
            peer.send(b'x')
            threading.Event().wait(0.002)
        assert go_on.wait(LIMIT)
        assert len(peer.exactly(size)) == size
        peer.answer(b'second')

    async def main() -> None:
        await conn.co_send_request('GET', '/a')
        await conn.co_send_request('PUT', '/b', body=BodyFollowing(size))
        written: list[Counted[None]] = []

        async def write() -> None:
            for _ in range(20):
                written.append(Counted(conn.co_write(bytes(size // 20))))
                await written[-1]

        async def read() -> None:
            await conn.co_read_response()
            assert await conn.co_readall() == b'x' * 50
            await loop.sleep(0.1)
            # The upload has stopped before its end, and was not resumed all the time.
            assert 0 < len(written) < 20
            waits = sum(each.waits for each in written)
            await loop.sleep(0.3)
            assert sum(each.waits for each in written) <= waits + 5
            assert waits < 200
            go_on.set()

        await loop.together(write, read)
        assert len(written) == 20
        await conn.co_read_response()
        assert await conn.co_readall() == b'second'

    conn = serve(script)
    loop.run(main)


@each_loop
def test_9_8_a_writer_that_waits_sees_an_early_answer(serve: Serve, loop: Loop) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'too big', '413 Content Too Large')
        assert over.wait(LIMIT)

    async def main() -> None:
        await conn.co_send_request('PUT', '/', body=BodyFollowing(HUGE))
        with pytest.raises(ConnectionClosed):
            await conn.co_write(bytes(HUGE))
        assert (await conn.co_read_response()).status == 413
        assert await conn.co_readall() == b'too big'
        over.set()

    over = threading.Event()
    conn = serve(script)
    loop.run(main)


@each_loop
def test_a_reader_and_a_writer_that_wants_to_know_of_answers(local: Local, loop: Loop) -> None:
    """The writer waits for both events. A reader comes, reads, and goes. Then the early answer arrives."""

    async def main() -> None:
        await conn.co_send_request('GET', '/a')
        await conn.co_send_request('PUT', '/b', body=BodyFollowing(HUGE))

        async def write() -> None:
            with pytest.raises(ConnectionClosed):
                await conn.co_write(bytes(HUGE))

        async def read() -> None:
            await loop.turns()
            await conn.co_read_response()
            assert await conn.co_readall() == b'first'

        async def serve() -> None:
            await loop.sleep(0.05)
            local.answer(b'first')
            await loop.sleep(0.05)
            local.answer(b'early')

        await loop.together(write, read, serve)
        await conn.co_read_response()
        assert await conn.co_readall() == b'early'

    conn = local.conn
    conn.timeout = LIMIT
    loop.run(main)


@each_loop
def test_17_3_the_timeout_of_the_connection_holds(serve: Serve, loop: Loop) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        assert go_on.wait(LIMIT)
        peer.answer(b'late')

    async def main() -> None:
        await conn.co_send_request('GET', '/')
        conn.timeout = 0.05
        for _ in range(3):
            with pytest.raises(ConnectionTimedOut):
                await conn.co_read_response()
        conn.timeout = LIMIT
        go_on.set()
        await conn.co_read_response()
        assert await conn.co_readall() == b'late'

    go_on = threading.Event()
    conn = serve(script)
    loop.run(main)


@each_loop
def test_an_operation_that_never_waits_lets_others_run(local: Local, loop: Loop) -> None:
    """A peer that sends as fast as we read must not hide a deadline."""

    def send() -> None:
        local.peer.setblocking(True)
        with contextlib.suppress(OSError):
            local.peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n')
            while True:
                local.peer.send(bytes(1 << 20))

    async def main() -> None:
        await conn.co_send_request('GET', '/')
        sender.start()
        await conn.co_read_response()
        assert await loop.is_too_slow(0.2, conn.co_discard())

        async def pieces() -> None:
            while await conn.co_read(1 << 16):
                pass

        assert await loop.is_too_slow(0.2, pieces())
        conn.disconnect()

    conn = local.conn
    sender = threading.Thread(target=send)
    loop.run(main)
    sender.join(LIMIT)
