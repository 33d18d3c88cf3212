"""The end of awaited operations: what loops, tasks and processes keep."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from awaiting import HUGE
from loops import Counted, Loop, each_loop
from peers import LIMIT, Local, Peer, Serve

import dugong
from dugong import (
    POLLIN,
    POLLOUT,
    ConnectionClosed,
    HTTPConnection,
    eval_coroutine,
)


@each_loop
def test_no_wait_is_left_when_no_task_waits(local: Local, loop: Loop) -> None:
    async def main() -> None:
        await conn.co_send_request('GET', '/')

        async def read(cancel: Callable[[], None]) -> None:
            stop.append(cancel)
            await conn.co_read_response()

        async def stopper() -> None:
            await loop.turns()
            if loop.waiting() >= 0:
                assert loop.waiting() == 1
            stop[0]()

        async def reader() -> None:
            await loop.stopped(read)

        stop: list[Callable[[], None]] = []
        for _ in range(3):
            stop.clear()
            await loop.together(reader, stopper)
            assert loop.waiting() <= 0
        local.answer(b'hello')
        await conn.co_read_response()
        assert await conn.co_readall() == b'hello'
        assert loop.waiting() <= 0

    conn = local.conn
    loop.run(main)


@each_loop
def test_a_descriptor_that_is_used_again_does_not_wake_strangers(loop: Loop) -> None:
    async def main() -> None:
        one = Local()
        await one.conn.co_send_request('GET', '/')
        number = one.conn._fileno()

        async def read() -> None:
            with pytest.raises(ConnectionClosed):
                await one.conn.co_read_response()

        async def replace() -> None:
            await loop.turns()
            one.conn.disconnect()
            await loop.turns()

        await loop.together(read, replace)
        # The number is free: another socket gets it, and is readable at once.
        a, b = socket.socketpair()
        with a, b:
            again = next((each for each in (a, b) if each.fileno() == number), None)
            assert again is not None
            a.send(b'x')
            b.send(b'x')
            two = Local()
            await two.conn.co_send_request('GET', '/')
            reading = Counted(two.conn.co_read_response())

            async def wait() -> None:
                await reading

            async def answer() -> None:
                await loop.sleep(0.02)
                two.answer(b'')

            await loop.together(wait, answer)
            assert reading.waits <= 2
            two.close()
        one.close()

    loop.run(main)


@each_loop
def test_disconnect_wakes_waiting_tasks(local: Local, loop: Loop) -> None:
    async def main() -> None:
        await conn.co_send_request('GET', '/')

        async def read() -> None:
            with pytest.raises(ConnectionClosed):
                await conn.co_read_response()

        async def disconnect() -> None:
            await loop.turns()
            conn.disconnect()

        await loop.together(read, disconnect)

    conn = local.conn
    loop.run(main)


def test_a_loop_that_is_closed_while_a_task_waits(local: Local) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        loop = asyncio.new_event_loop()
        loop.set_debug(True)
        eval_coroutine(local.conn.co_send_request('GET', '/'))
        waiting = local.conn.co_read_response()

        async def read() -> None:
            await waiting

        task = loop.create_task(read())
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # that is the caller's own doing
        del task
        gc.collect()
        waiting.close()
    local.answer(b'hello')
    local.conn.read_response()
    assert local.conn.readall() == b'hello'


@pytest.mark.parametrize('library', ['asyncio', 'uvloop', 'trio'])
def test_a_program_that_is_interrupted_in_a_wait_ends_without_a_word(serve_plain: Serve, library: str) -> None:
    pytest.importorskip(library)
    code = """
import logging, os, signal, sys, threading
logging.getLogger('asyncio').setLevel('ERROR')  # on a busy machine, its debug mode warns of slow steps
# A shell ignores the signal for programs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[1])
import dugong
library = __import__(sys.argv[3])
async def main():
    async with dugong.HTTPConnection('127.0.0.1', int(sys.argv[2])) as conn:
        await conn.co_send_request('GET', '/')
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        await conn.co_read_response()
try:
    if sys.argv[3] == 'trio':
        library.run(main)
    else:
        library.run(main(), debug=True)
except KeyboardInterrupt:
    print('interrupted')
"""

    def silent(peer: Peer) -> None:
        peer.request()
        peer.rest()

    conn = serve_plain(silent)
    source = str(Path(dugong.__path__[0]).parent)
    command = [sys.executable, '-X', 'dev', '-W', 'error', '-c', code, source, str(conn.port), library]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.stderr == ''
    assert done.stdout == 'interrupted\n'


def test_a_program_ends_though_a_lookup_goes_on() -> None:
    code = """
import asyncio, logging, socket, sys, time
logging.getLogger('asyncio').setLevel('ERROR')  # on a busy machine, its debug mode warns of slow steps
sys.path.insert(0, sys.argv[1])
import dugong
usual = socket.getaddrinfo
def getaddrinfo(*args, **kwargs):
    time.sleep(1000)
socket.getaddrinfo = getaddrinfo
async def main():
    try:
        async with asyncio.timeout(0.05):
            await dugong.HTTPConnection('slow.test').co_connect()
    except TimeoutError:
        print('cancelled')
asyncio.run(main())
"""
    source = str(Path(dugong.__path__[0]).parent)
    command = [sys.executable, '-X', 'dev', '-W', 'error', '-c', code, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert (done.stdout, done.stderr, done.returncode) == ('cancelled\n', '', 0)


def test_one_that_is_dropped_while_it_connects_leaves_no_connection(
    serve_plain: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / 'trace'))

    def silent(peer: Peer) -> None:
        peer.rest()

    conn = serve_plain(silent)
    conn.proxy = ('127.0.0.1', conn.port)
    conn.ssl_context = ssl.create_default_context()
    crt = conn.co_connect()
    for need in crt:
        if need.mask == POLLIN:  # it waits for the answer of the proxy
            break
        assert need.poll(LIMIT)
    assert conn.trace_fh
    del crt
    assert conn.trace_fh is None
    never = conn.co_connect()
    with pytest.warns(RuntimeWarning, match=re.escape('co_connect() was never awaited')):
        del never


def test_a_cancelled_task_is_freed_without_garbage_collection(local: Local) -> None:
    async def main() -> None:
        await conn.co_send_request('GET', '/')
        work = conn.co_read_response()
        ref = weakref.ref(work)
        task = asyncio.create_task(work)
        del work
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        del task
        await asyncio.sleep(0)
        assert ref() is None

    conn = local.conn
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_a_fork_can_look_up_names(slow_resolver: threading.Event) -> None:
    """A child process does not have the threads of its parent."""
    for _ in range(40):  # more than the number of threads
        eval_until_waiting(HTTPConnection('slow.test'))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # later versions of Python warn of forking with threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            slow_resolver.set()
            conn = HTTPConnection('missing.test')
            conn.timeout = 5
            try:
                eval_coroutine(conn.co_connect())
            except dugong.DNSUnavailable:
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def eval_until_waiting(conn: HTTPConnection) -> None:
    crt = conn.co_connect()
    need = next(crt)
    assert need.mask in (POLLIN, POLLOUT)
    crt.close()


def test_one_that_is_awaited_cannot_be_awaited_again(local: Local) -> None:
    """The second await is refused, and the first gets its answer."""

    async def main() -> None:
        await local.conn.co_send_request('GET', '/')
        reading = local.conn.co_read_response()

        async def read() -> Any:
            return await reading

        first = asyncio.create_task(read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match='awaited already'):
            await reading
        local.answer(b'hello')
        assert (await first).status == 200

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_trio_sees_no_group_when_a_wait_for_both_directions_is_cancelled(local: Local) -> None:
    seen: list[BaseException] = []

    async def main() -> None:
        with trio.move_on_after(0.05):
            try:
                await local.conn.co_send_request('PUT', '/', body=bytes(HUGE))
            except BaseException as exc:
                seen.append(exc)
                raise

    trio.run(main)
    assert [type(exc) for exc in seen] == [trio.Cancelled]
