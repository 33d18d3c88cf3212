from __future__ import annotations

import asyncio
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

import pytest
from peers import Peer, Serve, silent

import dugong
from dugong import AioFuture, BodyFollowing, ConnectionTimedOut, PollNeeded

T = TypeVar('T')
LIMIT = 15
HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n'
never = threading.Event()


def pieces(data: bytes) -> list[bytes]:
    """Eight parts: more than a second in total if each comes 0.15 s after the one before."""
    return [data[len(data) * i // 8 : len(data) * (i + 1) // 8] for i in range(8)]


def drive(iterator: Generator[PollNeeded, None, T]) -> T:
    """Run to the end, and resume often. The iterator itself has to notice the timeout."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            need = next(iterator)
        except StopIteration as done:
            value: T = done.value
            return value
        need.poll(0.02)
    raise AssertionError('goes on for ever')


def run(main: Coroutine[Any, Any, T]) -> T:
    async def limited() -> T:
        return await asyncio.wait_for(main, LIMIT)

    return asyncio.run(limited(), debug=True)


def answer(*parts: bytes, go_on: threading.Event) -> Callable[[Peer], None]:
    """Send one part, and then one more each time the event is set."""

    def script(peer: Peer) -> None:
        peer.request()
        for index, part in enumerate(parts):
            if index > 0:
                assert go_on.wait(LIMIT)
                go_on.clear()
            peer.send(part)
        peer.rest()

    return script


READING: list[tuple[str, Callable[[dugong.HTTPConnection], object]]] = [
    ('read', lambda conn: conn.read(20)),
    ('readinto', lambda conn: conn.readinto(bytearray(20))),
    ('readall', lambda conn: conn.readall()),
    ('discard', lambda conn: conn.discard()),
]


@pytest.mark.parametrize('timeout', [0.1, 1])
def test_17_1_waiting_for_a_response(serve: Serve, timeout: float) -> None:
    conn = serve(silent)
    conn.connect()
    conn.timeout = timeout
    conn.send_request('GET', '/')
    start = time.monotonic()
    with pytest.raises(ConnectionTimedOut):
        conn.read_response()
    assert time.monotonic() - start >= timeout - 0.01


@pytest.mark.parametrize(('name', 'call'), READING)
def test_17_1_waiting_for_a_body(serve: Serve, name: str, call: Callable[[dugong.HTTPConnection], object]) -> None:
    conn = serve(answer(HEAD, go_on=threading.Event()))
    conn.send_request('GET', '/')
    conn.read_response()
    conn.timeout = 0.1
    start = time.monotonic()
    with pytest.raises(ConnectionTimedOut):
        call(conn)
    assert time.monotonic() - start >= 0.09
    conn.disconnect()
    serve.server.close()


@pytest.mark.parametrize('call', ['send_request', 'write'])
def test_17_1_waiting_to_send(serve: Serve, call: str) -> None:
    def script(peer: Peer) -> None:
        assert timed_out.wait(LIMIT)

    timed_out = threading.Event()
    conn = serve(script)
    conn.connect()
    conn.timeout = 0.2
    if call == 'write':
        conn.send_request('PUT', '/', body=BodyFollowing(1 << 27))
        with pytest.raises(ConnectionTimedOut):
            conn.write(bytes(1 << 27))
    else:
        with pytest.raises(ConnectionTimedOut):
            conn.send_request('PUT', '/', body=bytes(1 << 27))
    conn.disconnect()
    timed_out.set()


def test_17_1_waiting_for_100_continue(serve: Serve) -> None:
    conn = serve(silent)
    conn.connect()
    conn.timeout = 0.1
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    with pytest.raises(ConnectionTimedOut):
        conn.read_response()


@pytest.mark.parametrize('timeout', [None, 0, 0.0])
def test_17_1_no_limit(serve: Serve, timeout: float | None) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        for part in HEAD[:20], HEAD[20:], b'hello', b'world':
            never.wait(0.1)
            peer.send(part)
        peer.rest()

    conn = serve(script)
    conn.timeout = timeout
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'helloworld'


@pytest.mark.parametrize(
    'timeout', [math.inf, 2**70, 10**400, -(10**400), 1e300, -1, -0.5, -math.inf], ids=lambda limit: f'{limit!s:.6}'
)
def test_17_1_no_limit_if_it_cannot_be_counted_or_is_negative(serve: Serve, timeout: float) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
            never.wait(0.1)
            peer.answer(b'hello')
        peer.rest()

    async def in_futures() -> bytes:
        await AioFuture(conn.co_send_request('GET', '/'))
        await AioFuture(conn.co_read_response())
        return await AioFuture(conn.co_readall())

    conn = serve(script)
    conn.timeout = timeout
    assert conn.timeout == timeout
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'hello'
    drive(conn.co_send_request('GET', '/'))
    assert drive(conn.co_read_response()).status == 200
    assert drive(conn.co_readall()) == b'hello'
    assert run(in_futures()) == b'hello'


def test_17_1_not_a_number() -> None:
    conn = dugong.HTTPConnection('localhost')
    conn.timeout = 5
    with pytest.raises(ValueError, match='number'):
        conn.timeout = math.nan
    assert conn.timeout == 5


def test_17_1_no_limit_by_default() -> None:
    assert dugong.HTTPConnection('localhost').timeout is None


@pytest.mark.slow
@pytest.mark.parametrize('way', ['readall', 'discard'])
def test_17_1_bounds_each_wait_and_not_the_whole_call(serve: Serve, way: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        for data in HEAD, b'helloworld':
            for part in pieces(data):
                never.wait(0.15)
                peer.send(part)
        peer.rest()

    conn = serve(script)
    conn.timeout = 1
    conn.send_request('GET', '/')
    conn.read_response()
    if way == 'discard':
        conn.discard()
    else:
        assert conn.readall() == b'helloworld'


@pytest.mark.slow
@pytest.mark.parametrize('call', ['send_request', 'write'])
def test_17_1_bounds_each_wait_when_sending(serve: Serve, call: str) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        for _ in range(32):
            peer.exactly(1 << 20)
            never.wait(0.05)
        peer.answer(b'hello')
        peer.rest()

    conn = serve(script)
    conn.connect()
    conn.timeout = 1
    if call == 'write':
        conn.send_request('PUT', '/', body=BodyFollowing(32 << 20))
        conn.write(bytes(32 << 20))
    else:
        conn.send_request('PUT', '/', body=bytes(32 << 20))
    conn.read_response()
    assert conn.readall() == b'hello'


def test_17_1_can_be_changed_at_any_time(serve: Serve) -> None:
    go_on = threading.Event()
    conn = serve(answer(HEAD, b'hello', b'world', go_on=go_on))
    conn.send_request('GET', '/')
    conn.read_response()
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        conn.read(10)
    conn.timeout = None
    go_on.set()
    assert conn.read(10)
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        conn.discard()
    conn.timeout = LIMIT
    go_on.set()
    conn.discard()
    go_on.set()


# Ways to connect: `connect`, a request, and the twin of the latter


CONNECTING: list[tuple[str, Callable[[dugong.HTTPConnection], object]]] = [
    ('connect', lambda conn: conn.connect()),
    ('send_request', lambda conn: conn.send_request('GET', '/')),
    ('co_send_request', lambda conn: drive(conn.co_send_request('GET', '/'))),
    ('AioFuture', lambda conn: run(in_a_future(conn))),
]
every_way_to_connect = pytest.mark.parametrize(
    'connect', [call for _, call in CONNECTING], ids=[name for name, _ in CONNECTING]
)


async def in_a_future(conn: dugong.HTTPConnection) -> None:
    await AioFuture(conn.co_send_request('GET', '/'))


def no_connection_is_left(conn: dugong.HTTPConnection) -> None:
    assert not conn.response_pending()
    with pytest.raises(dugong.StateError):
        conn.read_response()
    with pytest.raises(dugong.ConnectionClosed):
        conn.read_raw(1)


@every_way_to_connect
@pytest.mark.parametrize('how', ['plain', 'tls', 'proxy', 'tunnel'])
def test_17_2_bounds_tcp(
    full: tuple[str, int], client_tls: ssl.SSLContext, connect: Callable[[dugong.HTTPConnection], object], how: str
) -> None:
    host, port, proxy = (*full, None) if how in ('plain', 'tls') else ('localhost', 80, full)
    with dugong.HTTPConnection(host, port, client_tls if how in ('tls', 'tunnel') else None, proxy) as conn:
        conn.timeout = 0.2
        with pytest.raises(ConnectionTimedOut):
            connect(conn)
        no_connection_is_left(conn)


@every_way_to_connect
@pytest.mark.parametrize('part', [b'', b'HTTP/1.1 200 OK\r\nA: b'])
def test_17_2_bounds_the_tunnel(
    serve_plain: Serve,
    client_tls: ssl.SSLContext,
    connect: Callable[[dugong.HTTPConnection], object],
    part: bytes,
) -> None:
    def script(peer: Peer) -> None:
        assert peer.head().method == 'CONNECT'
        if part:
            peer.send(part)
        assert peer.rest() == b''

    conn = serve_plain(script, proxy=('127.0.0.1', 1))
    conn.proxy = ('127.0.0.1', serve_plain.server.port)
    conn.ssl_context = client_tls
    conn.timeout = 0.2
    with pytest.raises(ConnectionTimedOut):
        connect(conn)
    no_connection_is_left(conn)


@every_way_to_connect
@pytest.mark.parametrize('tunnel', [False, True])
def test_17_2_bounds_the_tls_handshake(
    serve_plain: Serve,
    client_tls: ssl.SSLContext,
    connect: Callable[[dugong.HTTPConnection], object],
    tunnel: bool,
) -> None:
    def script(peer: Peer) -> None:
        if tunnel:
            assert peer.head().method == 'CONNECT'
            peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        assert b'GET' not in peer.rest()

    conn = serve_plain(script)
    if tunnel:
        conn.proxy = ('127.0.0.1', serve_plain.server.port)
    conn.ssl_context = client_tls
    conn.timeout = 0.2
    with pytest.raises(ConnectionTimedOut):
        connect(conn)
    no_connection_is_left(conn)


@pytest.mark.slow
@every_way_to_connect
def test_17_3_each_stage_of_connecting_starts_it_again(
    serve_plain: Serve,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    connect: Callable[[dugong.HTTPConnection], object],
) -> None:
    """Each part of the answer of a proxy starts the timeout anew."""

    def script(peer: Peer) -> None:
        peer.head()
        for part in b'HTTP/1.1 200 OK\r\n', b'A: b\r\n', b'\r\n':
            never.wait(0.4)
            peer.send(part)
        never.wait(0.4)
        peer.start_tls(server_tls)
        peer.rest()

    conn = serve_plain(script)
    conn.proxy = ('127.0.0.1', conn.port)
    conn.ssl_context = client_tls
    conn.timeout = 0.8
    connect(conn)
    conn.disconnect()


@pytest.mark.slow
@pytest.mark.parametrize('way', ['iterators', 'futures'])
def test_17_3_a_reader_that_waited_for_the_connection_has_all_the_time(
    serve_plain: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, way: str
) -> None:
    def script(peer: Peer) -> None:
        never.wait(0.5)
        peer.start_tls(server_tls)
        peer.request()
        never.wait(0.5)
        peer.answer(b'hello')
        peer.rest()

    def alternate() -> None:
        sender, reader = conn.co_send_request('GET', '/'), conn.co_read_response()
        next(sender)
        next(reader)
        end = time.monotonic() + LIMIT
        is_sent = False
        while time.monotonic() < end:
            never.wait(0.01)
            try:
                if not is_sent:
                    next(sender)
            except StopIteration:
                is_sent = True
            try:
                next(reader)
            except StopIteration:
                return
        raise AssertionError('goes on for ever')

    async def futures() -> None:
        await asyncio.gather(AioFuture(conn.co_send_request('GET', '/')), AioFuture(conn.co_read_response()))

    conn = serve_plain(script)
    conn.ssl_context = client_tls
    conn.timeout = 0.8
    if way == 'iterators':
        alternate()
    else:
        run(futures())
    assert conn.readall() == b'hello'


def test_17_3_resumed_when_nothing_came_for_that_long(serve: Serve) -> None:
    conn = serve(silent)
    conn.connect()
    conn.timeout = 0.2
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    while next(iterator).poll(0.4):
        pass  # with TLS, session tickets
    with pytest.raises(ConnectionTimedOut):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)


@pytest.mark.parametrize(
    'make',
    [
        lambda conn: conn.co_read(20),
        lambda conn: conn.co_readinto(bytearray(20)),
        lambda conn: conn.co_readall(),
        lambda conn: conn.co_discard(),
    ],
)
def test_17_3_reading_a_body(serve: Serve, make: Callable[[dugong.HTTPConnection], Any]) -> None:
    conn = serve(answer(HEAD, go_on=threading.Event()))
    conn.send_request('GET', '/')
    conn.read_response()
    conn.timeout = 0.2
    with pytest.raises(ConnectionTimedOut):
        drive(make(conn))
    with pytest.raises(ConnectionTimedOut):
        drive(make(conn))
    conn.disconnect()
    serve.server.close()


@pytest.mark.parametrize('call', ['co_send_request', 'co_write'])
def test_17_3_sending(serve: Serve, call: str) -> None:
    def script(peer: Peer) -> None:
        assert timed_out.wait(LIMIT)

    timed_out = threading.Event()
    conn = serve(script)
    conn.connect()
    conn.timeout = 0.2
    iterator: Any
    if call == 'co_write':
        conn.send_request('PUT', '/', body=BodyFollowing(1 << 27))
        iterator = conn.co_write(bytes(1 << 27))
    else:
        iterator = conn.co_send_request('PUT', '/', body=bytes(1 << 27))
    with pytest.raises(ConnectionTimedOut):
        drive(iterator)
    conn.disconnect()
    timed_out.set()


def test_17_3_resumed_early_it_yields_again(serve: Serve) -> None:
    conn = serve(silent)
    conn.timeout = LIMIT
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    need = next(iterator)
    for _ in range(10):
        assert next(iterator) == need


def test_17_3_resumed_late_it_takes_the_data_that_has_arrived(serve: Serve) -> None:
    go_on = threading.Event()
    conn = serve(answer(HEAD, b'helloworld', go_on=go_on))
    conn.send_request('GET', '/')
    conn.read_response()
    conn.timeout = 0.2
    iterator = conn.co_readall()
    need = next(iterator)
    go_on.set()
    assert need.poll(LIMIT)
    never.wait(0.4)
    assert drive(iterator) == b'helloworld'
    go_on.set()


def test_17_3_started_late_it_has_all_the_time(serve: Serve) -> None:
    conn = serve(silent)
    conn.connect()
    conn.timeout = 0.3
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    never.wait(0.6)
    next(iterator)


@pytest.mark.slow
def test_17_3_any_data_starts_it_again(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        for data in HEAD, b'helloworld':
            for part in pieces(data):
                never.wait(0.15)
                peer.send(part)
        peer.rest()

    conn = serve(script)
    conn.timeout = 1
    conn.send_request('GET', '/')
    assert drive(conn.co_read_response()).status == 200
    assert drive(conn.co_readall()) == b'helloworld'


@pytest.mark.parametrize('timeout', [None, 0])
def test_17_3_without_a_timeout_any_wait_is_fine(serve: Serve, timeout: int | None) -> None:
    go_on = threading.Event()
    conn = serve(answer(HEAD, b'helloworld', go_on=go_on))
    conn.timeout = timeout
    conn.send_request('GET', '/')
    drive(conn.co_read_response())
    iterator = conn.co_readall()
    for _ in range(3):
        assert not next(iterator).poll(0.1)
    go_on.set()
    assert drive(iterator) == b'helloworld'
    go_on.set()


@pytest.mark.parametrize('delegate', [False, True])
def test_17_3_a_future_that_reads_ends_by_itself(serve: Serve, delegate: bool) -> None:
    def delegated() -> Generator[PollNeeded, None, object]:
        return (yield from conn.co_read_response())

    async def main() -> None:
        future: AioFuture[object] = AioFuture(delegated() if delegate else conn.co_read_response())
        with pytest.raises(ConnectionTimedOut):
            await future
        assert type(future.exception()) is ConnectionTimedOut

    conn = serve(silent)
    conn.connect()
    conn.timeout = 0.2
    conn.send_request('GET', '/')
    run(main())


def test_17_3_a_future_that_reads_a_body_ends_by_itself(serve: Serve) -> None:
    async def main() -> None:
        for _ in range(2):
            with pytest.raises(ConnectionTimedOut):
                await AioFuture(conn.co_read(20))

    conn = serve(answer(HEAD, go_on=threading.Event()))
    conn.send_request('GET', '/')
    conn.read_response()
    conn.timeout = 0.2
    run(main())
    conn.disconnect()
    serve.server.close()


@pytest.mark.parametrize('call', ['co_send_request', 'co_write'])
def test_17_3_a_future_that_sends_ends_by_itself(serve: Serve, call: str) -> None:
    def script(peer: Peer) -> None:
        assert timed_out.wait(LIMIT)

    async def main() -> None:
        with pytest.raises(ConnectionTimedOut):
            if call == 'co_write':
                await AioFuture(conn.co_send_request('PUT', '/', body=BodyFollowing(1 << 27)))
                await AioFuture(conn.co_write(bytes(1 << 27)))
            else:
                await AioFuture(conn.co_send_request('PUT', '/', body=bytes(1 << 27)))

    timed_out = threading.Event()
    conn = serve(script)
    conn.connect()
    conn.timeout = 0.2
    run(main())
    conn.disconnect()
    timed_out.set()


@pytest.mark.slow
def test_17_3_a_future_goes_on_while_something_comes(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        for data in HEAD, b'helloworld':
            for part in pieces(data):
                never.wait(0.15)
                peer.send(part)
        peer.rest()

    async def main() -> bytes:
        await AioFuture(conn.co_send_request('GET', '/'))
        await AioFuture(conn.co_read_response())
        return await AioFuture(conn.co_readall())

    conn = serve(script)
    conn.timeout = 1
    assert run(main()) == b'helloworld'


@pytest.mark.parametrize('timeout', [None, 0])
def test_17_3_a_future_without_a_timeout_waits(serve: Serve, timeout: int | None) -> None:
    async def main() -> bytes:
        await AioFuture(conn.co_send_request('GET', '/'))
        await AioFuture(conn.co_read_response())
        future = AioFuture(conn.co_readall())
        done, pending = await asyncio.wait([future], timeout=0.3)
        assert not done
        go_on.set()
        return await future

    go_on = threading.Event()
    conn = serve(answer(HEAD, b'helloworld', go_on=go_on))
    conn.timeout = timeout
    assert run(main()) == b'helloworld'
    go_on.set()


def test_17_3_a_future_that_is_done_leaves_no_timer(serve: Serve) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        before = len(loop._scheduled)
        await AioFuture(conn.co_send_request('GET', '/'))
        await AioFuture(conn.co_read_response())
        future = AioFuture(conn.co_readall())
        await asyncio.sleep(0)
        go_on.set()
        assert await future == b'helloworld'
        cancelled = AioFuture(conn.co_read_response())
        cancelled.cancel()
        await asyncio.sleep(0)
        assert len([handle for handle in loop._scheduled if not handle.cancelled()]) == before

    go_on = threading.Event()
    conn = serve(answer(HEAD, b'helloworld', go_on=go_on))
    conn.timeout = LIMIT
    run(main())
    go_on.set()


class Leftovers:
    """A socket whose peer does not read. Each further call takes one byte, although the socket was not ready.

    The buffers of systems do the same: they report room only when they have much of it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.taken = 0
        self.is_full = False

    def send(self, data: Any) -> int:
        if not self.taken:
            sent = self.sock.send(data)
            while True:
                try:
                    self.sock.send(bytes(1 << 16))
                except BlockingIOError:
                    break
            self.taken = 1
            return sent
        self.is_full = not self.is_full
        if self.is_full:
            raise ssl.SSLWantWriteError
        self.taken += 1
        assert self.taken < 10, 'the limit has begun anew'
        return 1

    def recv_into(self, buffer: Any) -> int:
        raise ssl.SSLWantReadError

    def recv(self, size: int) -> bytes:
        raise ssl.SSLWantReadError

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class LeftoversContext:
    def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> Leftovers:
        return Leftovers(sock)


@pytest.mark.parametrize('body', ['given', 'written'])
@pytest.mark.parametrize('way', ['regular', 'iterator', 'future', 'await'])
def test_17_1_bytes_taken_in_a_last_attempt_do_not_begin_it_anew(serve_plain: Serve, way: str, body: str) -> None:
    def script(peer: Peer) -> None:
        over.wait(LIMIT)

    over = threading.Event()
    conn = serve_plain(script)
    context: Any = LeftoversContext()
    conn.ssl_context = context
    conn.timeout = 0.05

    def stall(method: str, *args: Any) -> None:
        if way == 'regular':
            getattr(conn, method)(*args)
            return
        iterator = getattr(conn, 'co_' + method)(*args)
        if way == 'iterator':
            drive(iterator)
        elif way == 'future':
            run(future(iterator))
        else:
            run(awaited(iterator))

    async def future(iterator: Any) -> None:
        await AioFuture(iterator)

    async def awaited(iterator: Any) -> None:
        await iterator

    try:
        if body == 'written':
            conn.send_request('PUT', '/', body=BodyFollowing(1 << 20))
        with pytest.raises(ConnectionTimedOut):
            if body == 'written':
                stall('write', bytes(1 << 20))
            else:
                stall('send_request', 'PUT', '/', None, bytes(1 << 20))
    finally:
        conn.disconnect()
        over.set()
