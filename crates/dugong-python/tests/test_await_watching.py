"""Between two waits, asyncio goes on watching a connection for reading, and lets go of it in time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import socket
import struct
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator
from select import POLLIN
from typing import Any

import pytest
from loops import LOOPS, Asyncio
from peers import Local

from dugong import AioFuture, BodyFollowing, ConnectionClosed, HTTPConnection, PollNeeded

# trio watches a descriptor during a wait only.
each_loop = pytest.mark.parametrize('loop', [loop for loop in LOOPS if isinstance(loop, Asyncio)], ids=repr)

TURNS = 10


class Watched:
    """Counts the calls that begin a watch for reading in the running loop, and knows the current ones."""

    def __init__(self) -> None:
        self.begun = 0
        self.readers: set[int] = set()
        loop: Any = asyncio.get_running_loop()
        add, remove = loop.add_reader, loop.remove_reader

        def add_reader(fd: int, *args: Any) -> Any:
            self.begun += 1
            self.readers.add(fd)
            return add(fd, *args)

        def remove_reader(fd: int) -> Any:
            self.readers.discard(fd)
            return remove(fd)

        loop.add_reader, loop.remove_reader = add_reader, remove_reader


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def begin_body(local: Local) -> int:
    """Read the head of a response with a large body, and return the number of the descriptor."""
    await local.conn.co_send_request('GET', '/')
    local.peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n')
    await local.conn.co_read_response()
    return local.conn._fileno()


async def wait_once(local: Local) -> None:
    """Read one byte that arrives while the task waits."""
    asyncio.get_running_loop().call_soon(local.peer.send, b'x')
    assert await local.conn.co_read(1) == b'x'


def is_open(fd: int, inode: int) -> bool:
    try:
        return os.fstat(fd).st_ino == inode
    except OSError:
        return False


def run(loop: Asyncio, main: Callable[[], Awaitable[None]]) -> None:
    loop.run(main)


@each_loop
def test_many_waits_begin_one_watch(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        watched = Watched()
        fd = await begin_body(local)
        for _ in range(20):
            await wait_once(local)
            assert watched.readers == {fd}
        assert watched.begun == 1

    run(loop, main)


@each_loop
def test_the_first_event_without_a_waiter_ends_the_watch(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        watched = Watched()
        await begin_body(local)
        for count in 1, 2:
            await wait_once(local)
            local.peer.send(b'y')
            await turns()
            assert watched.readers == set()
            assert watched.begun == count
            assert await local.conn.co_read(1) == b'y'

    run(loop, main)


@each_loop
def test_a_peer_that_closes_an_idle_connection_ends_the_watch(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        watched = Watched()
        await begin_body(local)
        await wait_once(local)
        local.peer.close()
        await turns()
        assert watched.readers == set()
        with pytest.raises(ConnectionClosed):
            await local.conn.co_read(1)

    run(loop, main)


@pytest.mark.parametrize('loop', [loop for loop in LOOPS if loop.name == 'uvloop'], ids=repr)
def test_a_descriptor_whose_handle_an_error_has_closed_can_be_watched_again(loop: Asyncio) -> None:
    async def main() -> None:
        running = asyncio.get_running_loop()
        listener = socket.create_server(('127.0.0.1', 0))
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        reset = asyncio.Event()
        number = client.fileno()
        running.add_reader(number, reset.set)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        server.close()
        await reset.wait()

        # The number of the socket that failed goes to the connection.
        local = Local()
        os.dup2(local.conn._fileno(), number)
        with pytest.raises(RuntimeError, match='closed'):
            running.add_reader(number, reset.set)
        need = PollNeeded(number, POLLIN)
        waiter = AioFuture(one_wait(need), loop=running)
        await turns()
        local.peer.send(b'x')
        await waiter
        for resource in client, listener, local:
            resource.close()

    run(loop, main)


def one_wait(need: PollNeeded) -> Generator[PollNeeded, None, None]:
    yield need


@each_loop
def test_a_cancelled_wait_leaves_a_watch_that_the_next_one_uses(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        watched = Watched()
        await begin_body(local)
        for _ in range(3):
            task = asyncio.ensure_future(local.conn.co_read(1))
            await turns()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        await wait_once(local)
        assert watched.begun == 1

    run(loop, main)


@each_loop
@pytest.mark.parametrize('how', ['disconnect', 'drop', 'connect again'])
def test_a_closed_connection_is_not_watched(local: Local, loop: Asyncio, how: str) -> None:
    async def main() -> None:
        watched = Watched()
        fd = await begin_body(local)
        inode = os.fstat(fd).st_ino
        await wait_once(local)
        if how == 'drop':
            with pytest.warns(ResourceWarning):
                local.conn = HTTPConnection('127.0.0.1')
        elif how == 'disconnect':
            local.conn.disconnect()
        else:
            local.conn.connect()
        # At once, because the program may use the number for something else.
        assert watched.readers == set()
        assert not is_open(fd, inode)
        assert local.peer.recv(1000).startswith(b'GET')
        assert local.peer.recv(1000) == b''

    run(loop, main)


@each_loop
def test_a_connection_closed_by_another_thread_keeps_its_number_until_the_loop_lets_go(
    local: Local, loop: Asyncio
) -> None:
    async def main() -> None:
        watched = Watched()
        fd = await begin_body(local)
        inode = os.fstat(fd).st_ino
        await wait_once(local)
        thread = threading.Thread(target=local.conn.disconnect)
        thread.start()
        thread.join()
        assert is_open(fd, inode)
        assert watched.readers == {fd}
        # The peer need not wait for the loop.
        assert local.peer.recv(1000).startswith(b'GET')
        assert local.peer.recv(1000) == b''
        await turns()
        assert watched.readers == set()
        assert not is_open(fd, inode)

    run(loop, main)


@each_loop
def test_a_connection_closed_during_a_wait_is_let_go_afterwards(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        watched = Watched()
        fd = await begin_body(local)
        inode = os.fstat(fd).st_ino
        task = asyncio.ensure_future(local.conn.co_read(1))
        await turns()
        local.conn.disconnect()
        with pytest.raises(ConnectionClosed):
            await task
        del task
        await turns()
        assert watched.readers == set()
        assert not is_open(fd, inode)

    run(loop, main)


@each_loop
def test_a_descriptor_number_that_is_used_again_is_watched_anew(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        for by_thread in True, False:
            fd = await begin_body(local)
            await wait_once(local)
            if by_thread:
                thread = threading.Thread(target=local.conn.disconnect)
                thread.start()
                thread.join()
            else:
                local.conn.disconnect()
            # asyncio's own connection may get the number now.
            others = [socket.socketpair() for _ in range(5)]
            assert any(fd in (a.fileno(), b.fileno()) for a, b in others) is not by_thread
            for a, b in others:
                reader, writer = await asyncio.open_connection(sock=a)
                b.send(b'hello')
                assert await asyncio.wait_for(reader.read(5), 10) == b'hello'
                writer.close()
                await writer.wait_closed()
                b.close()
            # So may our next connection.
            local.conn.connect()
            local.peer.close()
            local.peer, _ = local.listener.accept()
            await begin_body(local)
            await wait_once(local)
            local.conn.disconnect()
            local.conn.connect()
            local.peer.close()
            local.peer, _ = local.listener.accept()

    run(loop, main)


@each_loop
def test_a_loop_that_ends_lets_go(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        if len(loops) == 1:
            await begin_body(local)
        await wait_once(local)

    loops: list[Callable[[], Any]] = []
    for _ in range(3):
        run(loop, main)
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3
    # It is still connected, and closes as usual.
    fd = local.conn._fileno()
    inode = os.fstat(fd).st_ino
    local.peer.send(b'z')
    assert local.conn.read(1) == b'z'
    local.conn.disconnect()
    assert not is_open(fd, inode)


@each_loop
def test_a_loop_that_is_dropped_open_lets_go(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        await begin_body(local)
        await wait_once(local)

    inner = (loop.factory() or asyncio.new_event_loop)()
    inner.run_until_complete(main())
    fd = local.conn._fileno()
    inode = os.fstat(fd).st_ino
    # The loop does not run, so it can be told at once.
    local.conn.disconnect()
    assert not is_open(fd, inode)
    known = weakref.ref(inner)
    inner.close()
    del inner
    gc.collect()
    assert known() is None


@each_loop
def test_two_loops_take_turns(local: Local, loop: Asyncio) -> None:
    factory = loop.factory() or asyncio.new_event_loop
    loops = [factory(), factory()]
    try:
        loops[0].run_until_complete(begin_body(local))
        for _ in range(5):
            for inner in loops:
                inner.run_until_complete(wait_once(local))
    finally:
        for inner in loops:
            inner.close()


@each_loop
def test_two_loops_in_two_threads_take_turns(local: Local, loop: Asyncio) -> None:
    factory = loop.factory() or asyncio.new_event_loop
    inner = factory()
    thread = threading.Thread(target=inner.run_forever)
    thread.start()
    try:

        async def main() -> None:
            await begin_body(local)
            for _ in range(5):
                await wait_once(local)
                other = asyncio.run_coroutine_threadsafe(wait_once(local), inner)
                await asyncio.wrap_future(other)

        run(loop, main)
        fd = local.conn._fileno()
        inode = os.fstat(fd).st_ino
        local.conn.disconnect()
        asyncio.run_coroutine_threadsafe(turns(), inner).result(10)
        assert not is_open(fd, inode)
    finally:
        inner.call_soon_threadsafe(inner.stop)
        thread.join()
        inner.close()


@each_loop
def test_two_connections_are_independent(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        other = Local()
        watched = Watched()
        numbers = {await begin_body(local), await begin_body(other)}
        await wait_once(local)
        await wait_once(other)
        assert watched.readers == numbers
        waiting = asyncio.ensure_future(other.conn.co_read(1))
        await turns()
        local.peer.send(b'y')
        await turns()
        assert not waiting.done()
        assert watched.readers == {other.conn._fileno()}
        local.conn.disconnect()
        other.peer.send(b'z')
        assert await waiting == b'z'
        other.close()
        assert watched.readers == set()

    run(loop, main)


@each_loop
def test_19_5_a_future_that_is_done_leaves_no_watch(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        watched = Watched()
        fd = await begin_body(local)
        await wait_once(local)
        assert watched.readers == {fd}
        future = AioFuture(local.conn.co_read(1))
        await turns()
        assert watched.readers == {fd}
        local.peer.send(b'x')
        assert await future == b'x'
        assert watched.readers == set()
        await wait_once(local)
        future = AioFuture(local.conn.co_read(1))
        await turns()
        future.cancel()
        assert watched.readers == set()
        await wait_once(local)

    run(loop, main)


@each_loop
def test_a_pipeline_that_ends_leaves_no_watch(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        def answer() -> None:
            local.peer.recv(1 << 16)
            for _ in range(2):
                local.answer(b'hello')
                asyncio.get_running_loop().call_soon(local.answer, b'hello')

        watched = Watched()
        asyncio.get_running_loop().call_later(0, answer)
        async for _, body in local.conn.co_pipeline(['/'] * 4, collect=True):
            assert body == b'hello'
        assert watched.begun == 1
        assert watched.readers == set()

    run(loop, main)


@each_loop
def test_a_watch_does_not_keep_the_variables_of_a_task(local: Local, loop: Asyncio) -> None:
    class Value:
        pass

    async def main() -> None:
        async def task() -> None:
            value = Value()
            known.append(weakref.ref(value))
            variable.set(value)
            await begin_body(local)
            await wait_once(local)

        known: list[Callable[[], Any]] = []
        watched = Watched()
        await asyncio.create_task(task())
        assert watched.readers == {local.conn._fileno()}
        await turns()
        gc.collect()
        assert known[0]() is None

    variable: contextvars.ContextVar[Value] = contextvars.ContextVar('variable')
    run(loop, main)


@each_loop
def test_a_task_keeps_its_variables_over_a_wait(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        await begin_body(local)
        await wait_once(local)
        variable.set('value')
        await wait_once(local)
        await asyncio.sleep(0)
        assert variable.get(None) == 'value'

    variable: contextvars.ContextVar[str] = contextvars.ContextVar('variable')
    # A context without variables is false.
    contextvars.Context().run(run, loop, main)


@each_loop
def test_a_sender_waits_beside_a_watch(local: Local, loop: Asyncio) -> None:
    async def main() -> None:
        watched = Watched()
        fd = await begin_body(local)
        await wait_once(local)
        await local.conn.co_send_request('PUT', '/', body=BodyFollowing(30_000_000))
        writing = asyncio.ensure_future(local.conn.co_write(bytes(30_000_000)))
        await turns()
        assert not writing.done()
        assert watched.readers == {fd}
        await wait_once(local)
        while not writing.done():
            try:
                local.peer.recv(1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0)
        await writing
        await wait_once(local)
        assert watched.readers == {fd}

    run(loop, main)
