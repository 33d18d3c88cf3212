"""A blocked sender learns of an error or an answer that another thread or task reads and that ends all sending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from interop_support import Worker, wait_until_blocked
from loops import Counted, Loop, each_loop
from peers import LIMIT, Peer, Serve
from test_09_write import readiness

from dugong import (
    POLLOUT,
    AioFuture,
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    HTTPConnection,
    InvalidResponse,
    PollNeeded,
    StateError,
    UnsupportedResponse,
    eval_coroutine,
)

#: More than the system buffers while the peer does not read.
HUGE = 16 << 20

NO_HEAD = b'HTTP/1.1 200 OK\r\nX y\r\n\r\n'
NO_CHUNK = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX'
TWO_LENGTHS = b'HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc'
NO_END = b'HTTP/1.1 200 OK\r\n\r\nabc'
LAST = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi'

#: The answer to an earlier request, and the exception or result of its reader.
ANSWERS: list[tuple[bytes, type[Exception] | None]] = [
    (NO_HEAD, InvalidResponse),
    (NO_CHUNK, InvalidResponse),
    (TWO_LENGTHS, InvalidResponse),
    (NO_END, UnsupportedResponse),
    (LAST, None),
]
each_answer = pytest.mark.parametrize(
    ('answer', 'error'), ANSWERS, ids=['no head', 'no chunk', 'two lengths', 'no end', 'the last one']
)
each_call = pytest.mark.parametrize('call', ['write', 'write chunks', 'send_request'])


class Stalled:
    """A connection to a peer that does not read, with a request that is unanswered before `answer`."""

    def __init__(self, serve: Serve, answer: bytes) -> None:
        self.stalled, self.told = threading.Event(), threading.Event()

        def script(peer: Peer) -> None:
            peer.head()
            assert self.stalled.wait(LIMIT)
            peer.send(answer)
            assert self.told.wait(LIMIT)
            peer.send(b'!')

        self.conn = serve(script)
        self.conn.timeout = None
        self.conn.send_request('GET', '/a')

    def begin(self, call: str) -> None:
        if call.startswith('write'):
            body = BodyFollowing(None if call == 'write chunks' else HUGE)
            self.conn.send_request('PUT', '/b', body=body)

    def send(self, call: str) -> Any:
        if call.startswith('write'):
            return self.conn.write(bytes(HUGE))
        return self.conn.send_request('PUT', '/b', body=bytes(HUGE))

    def co_send(self, call: str) -> Any:
        if call.startswith('write'):
            return self.conn.co_write(bytes(HUGE))
        return self.conn.co_send_request('PUT', '/b', body=bytes(HUGE))

    def read(self) -> bytes:
        self.conn.read_response()
        return self.conn.readall()

    def co_read(self) -> Generator[PollNeeded, None, bytes]:
        yield from self.conn.co_read_response()
        body: bytes = yield from self.conn.co_readall()
        return body

    async def awaits(self) -> bytes:
        await self.conn.co_read_response()
        return await self.conn.co_readall()

    def check(self, call: str, read: object, sent: object) -> None:
        """The outcomes of reader and sender. *read* reads the answer."""
        if isinstance(read, Exception):
            assert type(sent) is type(read)
            assert str(sent) == str(read)
            if call == 'send_request':
                assert not self.conn._out_remaining
        else:
            # The close was announced (14.3).
            assert read == b'hi'
            assert sent is None
            with pytest.raises(ConnectionClosed):
                self.conn.read_response()
        # Both directions stay open until the client closes, so the peer sees all further bytes.
        self.told.set()
        assert self.conn.read_raw(1000).endswith(b'!')


def outcome(worker: Worker) -> object:
    try:
        return worker.result()
    except Exception as exc:
        return exc


def polled(crt: Any) -> Any:
    """Drive an iterator as the documentation does, without a time limit."""
    while True:
        try:
            need = next(crt)
        except StopIteration as end:
            return end.value
        need.poll()


DRIVERS: dict[str, Callable[[Any], Any]] = {'eval_coroutine': eval_coroutine, 'poll': polled}


# The engine is the same on each version of Python; the futures below run on all of them.
@pytest.mark.slow
@each_answer
@each_call
@pytest.mark.parametrize(
    ('driver', 'first'), [('regular', 'sender'), ('regular', 'reader'), *((driver, 'sender') for driver in DRIVERS)]
)
def test_a_blocked_thread_gets_the_error_of_the_reader(
    serve: Serve, answer: bytes, error: type[Exception] | None, call: str, driver: str, first: str
) -> None:
    def send() -> Any:
        return peer.send(call) if driver == 'regular' else DRIVERS[driver](peer.co_send(call))

    def read() -> Any:
        return peer.read() if driver == 'regular' else DRIVERS[driver](peer.co_read())

    peer = Stalled(serve, answer)
    peer.begin(call)
    workers = {}
    for name in (first, *{'sender', 'reader'} - {first}):
        workers[name] = Worker(send if name == 'sender' else read)
        wait_until_blocked(workers[name].native_id)
    peer.stalled.set()
    got = outcome(workers['reader'])
    assert type(got) is (error or bytes)
    peer.check(call, got, outcome(workers['sender']))


async def nothing() -> None:
    pass


@pytest.mark.slow
@each_loop
@each_answer
@each_call
@pytest.mark.parametrize('first', ['sender', 'reader'])
def test_a_waiting_task_gets_the_error_of_the_reader(
    serve: Serve, loop: Loop, answer: bytes, error: type[Exception] | None, call: str, first: str
) -> None:
    got: dict[str, object] = {}

    async def main() -> None:
        async def sends() -> None:
            try:
                got['sender'] = await sender
            except Exception as exc:
                got['sender'] = exc

        async def reads() -> None:
            if first == 'sender':
                await releases()
            try:
                got['reader'] = await peer.awaits()
            except Exception as exc:
                got['reader'] = exc

        async def releases() -> None:
            while not sender.waits or readiness(PollNeeded(peer.conn._fileno(), POLLOUT), 0.1):
                await loop.sleep(0)
            peer.stalled.set()

        sender: Counted[Any] = Counted(peer.co_send(call))
        both = [sends, reads] if first == 'sender' else [reads, sends, releases]
        await loop.together(*both)

    # If the loop is not installed, the test ends here, before a server waits.
    loop.run(nothing)
    peer = Stalled(serve, answer)
    peer.begin(call)
    loop.run(main)
    assert type(got['reader']) is (error or bytes)
    peer.check(call, got['reader'], got['sender'])


@each_answer
@each_call
def test_a_waiting_future_gets_the_error_of_the_reader(
    serve: Serve, answer: bytes, error: type[Exception] | None, call: str
) -> None:
    async def main() -> tuple[Any, Any]:
        sender: Any = AioFuture(peer.co_send(call))
        while not sender._wait or readiness(PollNeeded(peer.conn._fileno(), sender._wait.mask), 0.1):
            await asyncio.sleep(0)
        reader = AioFuture(peer.co_read())
        peer.stalled.set()
        async with asyncio.timeout(LIMIT):
            return await asyncio.gather(reader, sender, return_exceptions=True)

    peer = Stalled(serve, answer)
    peer.begin(call)
    read, sent = asyncio.run(main())
    assert type(read) is (error or bytes)
    peer.check(call, read, sent)


@each_call
@pytest.mark.parametrize('end', ['cut', 'reset'])
def test_a_blocked_thread_is_told_that_the_connection_was_reset(serve: Serve, call: str, end: str) -> None:
    """Also if the reader of a body notices first."""
    stalled = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert stalled.wait(LIMIT)
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
        # The server has unread data, so the system sends a reset in both cases.
        getattr(peer, end)()

    conn = serve(script)
    conn.timeout = None
    conn.send_request('GET', '/a')
    if call.startswith('write'):
        conn.send_request('PUT', '/b', body=BodyFollowing(None if call == 'write chunks' else HUGE))
        sender = Worker(conn.write, bytes(HUGE))
    else:
        sender = Worker(conn.send_request, 'PUT', '/b', None, bytes(HUGE))
    wait_until_blocked(sender.native_id)

    def read() -> bytes:
        conn.read_response()
        return conn.readall()

    reader = Worker(read)
    wait_until_blocked(reader.native_id)
    stalled.set()
    assert type(reader.exception()) is ConnectionClosed
    assert type(sender.exception()) is ConnectionClosed


def test_an_unread_answer_is_no_error(serve: Serve) -> None:
    """The caller that asks for the response gets the fault of the response."""
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(1000)
        peer.send(NO_HEAD)
        assert over.wait(LIMIT)

    conn = serve(script)
    conn.timeout = None
    Worker(conn.send_request, 'PUT', '/b', None, bytes(HUGE)).result()
    with pytest.raises(InvalidResponse):
        conn.read_response()
    over.set()


def test_a_limit_for_each_wait_counts_while_a_sender_looks_again(serve: Serve) -> None:
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert over.wait(LIMIT)

    conn = serve(script)
    conn.timeout = None
    conn.send_request('PUT', '/b', body=BodyFollowing(HUGE))
    with pytest.raises(ConnectionTimedOut):
        Worker(eval_coroutine, conn.co_write(bytes(HUGE)), 1.2).result()
    over.set()


BROKEN_REFUSALS = {
    'cut': (b'Content-Length: 10\r\n\r\nbig', ConnectionClosed),
    'no chunk': (b'Transfer-Encoding: chunked\r\n\r\n3\r\nbigXX', InvalidResponse),
}


def by_request(conn: HTTPConnection) -> None:
    conn.send_request('GET', '/next')


def by_iterator(conn: HTTPConnection) -> None:
    eval_coroutine(conn.co_send_request('GET', '/next'))


def by_pipeline(conn: HTTPConnection) -> None:
    next(conn.pipeline(['/next']))


def by_co_pipeline(conn: HTTPConnection) -> None:
    async def main() -> None:
        async for _ in conn.co_pipeline(['/next']):
            pass

    asyncio.run(main())


@pytest.mark.parametrize(('rest', 'error'), BROKEN_REFUSALS.values(), ids=BROKEN_REFUSALS)
@pytest.mark.parametrize('call', [by_request, by_iterator, by_pipeline, by_co_pipeline])
def test_a_refusal_with_a_broken_body_ends_the_connection_as_any_response_does(
    serve: Serve, rest: bytes, error: type[Exception], call: Callable[[HTTPConnection], None]
) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 413 Too Large\r\n' + rest)
        if error is ConnectionClosed:
            peer.end()
        peer.rest()

    def ask(expect100: bool) -> list[str]:
        """Describe the state afterwards."""
        conn = serve(script)
        body = BodyFollowing(5) if expect100 else None
        conn.send_request('PUT', '/', body=body, expect100=expect100)
        assert conn.read_response().status == 413
        if expect100:
            with pytest.raises(StateError, match='in place of 100'):
                conn.send_request('GET', '/too-early')
        with pytest.raises(error):
            conn.readall()
        said: list[str] = []
        for step in call, call, HTTPConnection.read_response:
            try:
                step(conn)
                said.append('')
            except Exception as exc:
                said.append(f'{type(exc).__name__}: {exc}')
        conn.disconnect()
        return said

    assert ask(expect100=True) == ask(expect100=False)
