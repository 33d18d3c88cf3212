from __future__ import annotations

import array
import asyncio
import select
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from interop_support import Worker, wait_until_blocked
from peers import LIMIT, Peer, Serve

from dugong import (
    POLLIN,
    POLLOUT,
    AioFuture,
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    ExcessBodyData,
    HTTPConnection,
    PollNeeded,
    StateError,
    eval_coroutine,
)

#: More than the system buffers while the peer does not read.
HUGE = 64 << 20


def answer_body(peer: Peer) -> None:
    """Answer with the body of the request, until the client closes."""
    while True:
        try:
            got = peer.request()
        except EOFError:
            assert peer.rest() == b''
            return
        peer.answer(got.body)


def finish(conn: HTTPConnection) -> bytes:
    assert conn.read_response().status == 200
    return bytes(conn.readall())


def stalls(crt: Any) -> PollNeeded:
    """Run an iterator until it waits and its descriptor really is not ready."""
    while True:
        need: PollNeeded = next(crt)
        if not readiness(need, 0.2):
            return need


def readiness(need: PollNeeded, timeout: float) -> int:
    poll = select.poll()
    poll.register(need.fd, need.mask)
    return dict(poll.poll(timeout * 1000)).get(need.fd, 0)


def arrives(need: PollNeeded) -> None:
    """Wait until data of the peer has arrived."""
    assert readiness(PollNeeded(need.fd, POLLIN), LIMIT) & POLLIN


def is_done_for(conn: HTTPConnection) -> None:
    """Check that the connection has no further answers, and that asking for one does not block."""
    conn.timeout = 2
    with pytest.raises(ConnectionClosed):
        conn.send_request('GET', '/')
        conn.read_response()


# 9.1


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview])
def test_9_1_parts(serve: Serve, kind: Any) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(10))
    untyped: Any = conn
    for part in b'1', b'234', b'567890':
        assert untyped.write(kind(part)) is None
    assert finish(conn) == b'1234567890'


def test_9_1_argument_by_name(serve: Serve) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(3))
    conn.write(buf=b'123')
    assert finish(conn) == b'123'


def test_9_1_returns_after_all_was_handed_over(serve: Serve) -> None:
    """The peer begins to read when the client is about to write, and the buffer may be used again at once."""
    started = threading.Event()
    size = 8 << 20

    def script(peer: Peer) -> None:
        peer.head()
        assert started.wait(LIMIT)
        for number in range(3):
            assert peer.exactly(size) == bytes([number]) * size
        peer.answer()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(3 * size))
    started.set()
    buf = bytearray(size)
    for number in range(3):
        buf[:] = bytes([number]) * size
        conn.write(buf)
        buf[:] = b'\xff' * size
    finish(conn)


def test_9_1_the_buffer_is_free_afterwards(serve: Serve) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    buf = bytearray(b'12345')
    conn.write(buf)
    buf.clear()  # an error if a view of it were left
    assert finish(conn) == b'12345'


def test_9_1_sizes_are_in_bytes(serve: Serve) -> None:
    conn = serve(answer_body)
    items = array.array('I', [1, 2, 3])
    conn.send_request('PUT', '/', body=BodyFollowing(12))
    conn.write(memoryview(items)[:2])
    assert conn._out_remaining
    conn.write(memoryview(items)[2:])
    assert not conn._out_remaining
    assert finish(conn) == items.tobytes()


def test_9_1_many_small_parts(serve: Serve) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(2000))
    for _ in range(1000):
        conn.write(b'xy')
    assert finish(conn) == b'xy' * 1000


@pytest.mark.parametrize('buf', ['x', None, 5, [1]], ids=repr)
def test_9_1_other_types_change_nothing(serve: Serve, buf: Any) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(4))
    for part in b'12', b'34':
        with pytest.raises(TypeError):
            conn.write(buf)
        conn.write(part)
    assert finish(conn) == b'1234'


def test_9_1_by_coroutine(serve: Serve) -> None:
    started = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert started.wait(LIMIT)
        assert peer.exactly(HUGE) == bytes(HUGE)
        peer.answer()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(HUGE))
    crt = conn.co_write(bytes(HUGE))
    stalls(crt)
    started.set()
    assert eval_coroutine(crt, LIMIT) is None
    finish(conn)


# 9.2, 9.3, 9.4


def test_9_2_excess(serve: Serve) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    for part, more in (b'12', b'123456'), (b'34', b'5678'), (b'5', b'56'):
        for _ in range(2):
            with pytest.raises(ExcessBodyData):
                conn.write(more)
            with pytest.raises(ExcessBodyData):
                conn.write(bytes(1 << 20))
            with pytest.raises(ExcessBodyData):
                eval_coroutine(conn.co_write(more))
            assert conn._out_remaining
            assert not conn.response_pending()
        conn.write(part)
    assert finish(conn) == b'12345'


def test_9_2_excess_is_counted_in_bytes(serve: Serve) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(11))
    with pytest.raises(ExcessBodyData):
        conn.write(memoryview(array.array('I', [1, 2, 3])))
    conn.write(b'12345678901')
    assert finish(conn) == b'12345678901'


def test_9_3_nothing_announced(serve: Serve) -> None:
    conn = serve(answer_body)
    with pytest.raises(StateError):
        conn.write(b'x')
    conn.connect()
    with pytest.raises(StateError):
        conn.write(b'x')
    for body in None, b'', b'12345':
        conn.send_request('PUT', '/', body=body)
        with pytest.raises(StateError):
            conn.write(b'x')
        assert finish(conn) == (body or b'')
        with pytest.raises(StateError):
            eval_coroutine(conn.co_write(b'x'))


def test_9_3_nothing_left(serve: Serve) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(3))
    conn.write(b'123')
    for _ in range(2):
        with pytest.raises(StateError):
            conn.write(b'x')
    assert finish(conn) == b'123'
    with pytest.raises(StateError):
        conn.write(b'x')


def test_9_3_awaited_100_continue(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        peer.answer(peer.exactly(3))

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(3), expect100=True)
    for part in b'x', b'123', b'1234':
        with pytest.raises(StateError):
            conn.write(part)
    assert conn.read_response().status == 100
    conn.write(b'123')
    assert finish(conn) == b'123'


def test_9_4_the_last_byte_completes_the_request(serve: Serve) -> None:
    conn = serve(answer_body)
    for _ in range(2):
        conn.send_request('PUT', '/', body=BodyFollowing(3))
        for part in b'1', b'2', b'3':
            assert not conn.response_pending()
            with pytest.raises(StateError):
                conn.read_response()
            conn.write(part)
        assert conn.response_pending()
        assert finish(conn) == b'123'
        assert not conn.response_pending()


def test_9_4_earlier_responses_can_be_read_before(serve: Serve) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/a', body=b'one')
    conn.send_request('PUT', '/b', body=BodyFollowing(3))
    assert conn.response_pending()
    conn.write(b'tw')
    assert conn.read_response().path == '/a'
    assert conn.readall() == b'one'
    assert not conn.response_pending()
    conn.write(b'o')
    assert conn.response_pending()
    conn.send_request('PUT', '/c', body=b'three')
    assert finish(conn) == b'two'
    assert finish(conn) == b'three'


# 9.5, 9.6


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview])
def test_9_5_an_empty_part_does_nothing(serve: Serve, kind: Any) -> None:
    conn = serve(answer_body)
    conn.send_request('PUT', '/', body=BodyFollowing(4))
    untyped: Any = conn
    for part in b'12', b'34':
        for _ in range(2):
            assert untyped.write(kind(b'')) is None
            assert eval_coroutine(conn.co_write(kind(b'')), LIMIT) is None
            assert conn._out_remaining
            assert not conn.response_pending()
        conn.write(part)
    assert finish(conn) == b'1234'


def test_9_6_an_empty_body_is_complete(serve: Serve) -> None:
    conn = serve(answer_body)
    for _ in range(2):
        conn.send_request('PUT', '/', body=BodyFollowing(0))
        assert conn.response_pending()
        assert not conn._out_remaining
        with pytest.raises(StateError):
            conn.write(b'x')
        conn.send_request('PUT', '/', body=b'next')
        assert finish(conn) == b''
        assert finish(conn) == b'next'


def test_9_6_an_empty_body_is_not_expected(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):
            got = peer.request()
            assert not got.values('Expect')
            assert got.values('Content-Length') == ['0']
            peer.answer()
        assert peer.rest() == b''

    conn = serve(script)
    for _ in range(2):
        conn.send_request('PUT', '/', body=BodyFollowing(0), expect100=True)
        assert conn.response_pending()
        assert conn.read_response().status == 200
    assert not conn.response_pending()


# 9.7


@pytest.mark.parametrize('answered', [True, False])
def test_9_7_reset_by_the_peer(serve: Serve, answered: bool) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        if answered:
            peer.answer(b'too big', '413 Content Too Large')
        peer.reset()
        gone.set()

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(HUGE))
    assert gone.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        for _ in range(HUGE >> 20):
            conn.write(bytes(1 << 20))
    assert not conn._out_remaining
    assert conn.response_pending()
    with pytest.raises(StateError):
        conn.write(b'x')
    if answered:
        resp = conn.read_response()
        assert (resp.status, resp.path) == (413, '/a')
        assert conn.readall() == b'too big'
        assert not conn.response_pending()
        with pytest.raises(StateError):
            conn.read_response()
    else:
        for _ in range(2):
            with pytest.raises(ConnectionClosed):
                conn.read_response()
    is_done_for(conn)


@pytest.mark.parametrize('how', ['close', 'cut'])
@pytest.mark.parametrize('answered', [True, False])
def test_9_7_closed_by_the_peer(serve: Serve, how: str, answered: bool) -> None:
    """Whether `write` notices the end depends on the sending that it leaves out, see 14.3."""
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        if answered:
            peer.answer(b'too big', '413 Content Too Large', [('Connection', 'close')])
        getattr(peer, how)()
        gone.set()

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(HUGE))
    assert gone.wait(LIMIT)
    try:
        for _ in range(HUGE >> 20):
            conn.write(bytes(1 << 20))
    except ConnectionClosed:
        with pytest.raises(StateError):
            conn.write(b'x')
    assert not conn._out_remaining
    assert conn.response_pending()
    if answered:
        assert conn.read_response().status == 413
        assert conn.readall() == b'too big'
    else:
        with pytest.raises(ConnectionClosed):
            conn.read_response()
    is_done_for(conn)


def test_9_7_earlier_responses_are_there_too(serve: Serve) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.head()
        peer.answer(b'one')
        peer.answer(b'two', '400 Bad Request')
        peer.reset()
        gone.set()

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.send_request('PUT', '/b', body=BodyFollowing(HUGE))
    assert gone.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        for _ in range(HUGE >> 20):
            conn.write(bytes(1 << 20))
    for path, status, body in ('/a', 200, b'one'), ('/b', 400, b'two'):
        resp = conn.read_response()
        assert (resp.path, resp.status) == (path, status)
        assert conn.readall() == body
    assert not conn.response_pending()


def test_9_7_in_chunks(serve: Serve) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'too big', '413 Content Too Large')
        peer.reset()
        gone.set()

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing())
    assert gone.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        for _ in range(HUGE >> 20):
            conn.write(bytes(1 << 20))
    assert not conn._out_remaining
    with pytest.raises(StateError):
        conn.finish()
    assert conn.read_response().status == 413
    assert conn.readall() == b'too big'


def test_9_7_by_coroutine(serve: Serve) -> None:
    """The peer closes while the iterator waits."""
    stalled = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert stalled.wait(LIMIT)
        peer.reset()

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(HUGE))
    crt = conn.co_write(bytes(HUGE))
    stalls(crt)
    stalled.set()
    with pytest.raises(ConnectionClosed):
        eval_coroutine(crt, LIMIT)
    assert not conn._out_remaining
    with pytest.raises(ConnectionClosed):
        conn.read_response()


# 9.8


@pytest.mark.parametrize('interim', [False, True])
@pytest.mark.parametrize('close', [False, True])
def test_9_8_an_early_answer_ends_the_wait(serve: Serve, interim: bool, close: bool) -> None:
    """The peer answers, and neither reads nor closes, so the client would wait for ever."""

    def script(peer: Peer) -> None:
        peer.head()
        if interim:
            peer.send(b'HTTP/1.1 102 Processing\r\n\r\n')
        peer.answer(b'too big', '413 Content Too Large', [('Connection', 'close')] if close else [])
        assert over.wait(LIMIT)

    over = threading.Event()
    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(HUGE))
    with pytest.raises(ConnectionClosed):
        conn.write(bytes(HUGE))
    assert not conn._out_remaining
    assert conn.response_pending()
    with pytest.raises(StateError):
        conn.write(b'x')
    resp = conn.read_response()
    assert (resp.status, resp.path) == (413, '/a')
    assert conn.readall() == b'too big'
    assert not conn.response_pending()
    is_done_for(conn)
    conn.disconnect()
    over.set()


def test_9_8_an_answer_that_comes_while_the_client_waits(serve: Serve) -> None:
    stalled, over = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert stalled.wait(LIMIT)
        peer.answer(b'too big', '413 Content Too Large')
        assert over.wait(LIMIT)

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(HUGE))
    crt = conn.co_write(bytes(HUGE))
    need = stalls(crt)
    assert need.mask == POLLIN | POLLOUT
    stalled.set()
    with pytest.raises(ConnectionClosed):
        eval_coroutine(crt, LIMIT)
    assert conn.read_response().status == 413
    assert conn.readall() == b'too big'
    is_done_for(conn)
    over.set()


@pytest.mark.parametrize('chunked', [False, True])
def test_9_8_a_blocked_thread_is_told(serve: Serve, chunked: bool) -> None:
    """The regular method: the peer answers a moment after the client has begun to wait."""
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(1000)
        peer.answer(b'too big', '413 Content Too Large')
        assert over.wait(LIMIT)

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(None if chunked else HUGE))
    with pytest.raises(ConnectionClosed):
        conn.write(bytes(HUGE))
    assert conn.read_response().status == 413
    assert conn.readall() == b'too big'
    is_done_for(conn)
    over.set()


@pytest.mark.parametrize(
    ('early', 'late'),
    [
        (b'HTTP/1.1 100 Continue\r\n\r\n', b'HTTP/1.1 200 OK\r\n'),
        (b'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', b'HTTP/1.1 200 OK\r\n'),
        (b'HTTP/1.1 ', b'200 OK\r\n'),
    ],
    ids=['100', 'others', 'part'],
)
def test_9_8_only_a_final_response_counts(serve: Serve, early: bytes, late: bytes) -> None:
    stalled, onwards = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert stalled.wait(LIMIT)
        peer.send(early)
        assert onwards.wait(LIMIT)
        assert peer.exactly(HUGE) == bytes(HUGE)
        peer.send(late + b'Content-Length: 2\r\n\r\nok')
        assert peer.request().body == b'next'
        peer.answer(b'fine')

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(HUGE))
    crt = conn.co_write(bytes(HUGE))
    need = stalls(crt)
    stalled.set()
    arrives(need)
    next(crt)
    onwards.set()
    eval_coroutine(crt, LIMIT)
    assert finish(conn) == b'ok'
    conn.send_request('PUT', '/b', body=b'next')
    assert finish(conn) == b'fine'


def test_9_8_only_a_response_to_this_request_counts(serve: Serve) -> None:
    stalled, onwards = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
        peer.head()
        assert stalled.wait(LIMIT)
        peer.answer(b'one')
        peer.answer(b'two', '404 Not Found')
        assert onwards.wait(LIMIT)
        assert peer.exactly(HUGE) == bytes(HUGE)
        peer.answer(b'three')

    conn = serve(script)
    for path in '/a', '/b':
        conn.send_request('GET', path)
    conn.send_request('PUT', '/c', body=BodyFollowing(HUGE))
    crt = conn.co_write(bytes(HUGE))
    need = stalls(crt)
    stalled.set()
    arrives(need)
    next(crt)
    onwards.set()
    eval_coroutine(crt, LIMIT)
    for status, body in (200, b'one'), (404, b'two'), (200, b'three'):
        assert conn.read_response().status == status
        assert conn.readall() == body


def test_9_8_an_answer_behind_others_counts(serve: Serve) -> None:
    stalled, over = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.head()
        assert stalled.wait(LIMIT)
        peer.answer(b'one')
        peer.answer(b'too big', '413 Content Too Large')
        assert over.wait(LIMIT)

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.send_request('PUT', '/b', body=BodyFollowing(HUGE))
    crt = conn.co_write(bytes(HUGE))
    stalls(crt)
    stalled.set()
    with pytest.raises(ConnectionClosed):
        eval_coroutine(crt, 3)
    for status, body in (200, b'one'), (413, b'too big'):
        assert conn.read_response().status == status
        assert conn.readall() == body
    is_done_for(conn)
    over.set()


def test_9_8_while_it_need_not_wait_it_goes_on(serve: Serve) -> None:
    """An early answer does not keep a body from being sent completely."""
    answered = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'early', '202 Accepted')
        answered.set()
        assert peer.exactly(6) == b'123456'
        peer.answer(peer.request().body)

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(6))
    assert answered.wait(LIMIT)
    for part in b'12', b'34', b'56':
        conn.write(part)
    assert conn.read_response().status == 202
    assert conn.readall() == b'early'
    conn.send_request('PUT', '/b', body=b'next')
    assert finish(conn) == b'next'


@pytest.mark.parametrize('way', ['threads', 'futures'])
def test_9_8_an_answer_that_comes_when_the_reader_has_gone(serve: Serve, way: str) -> None:
    """Beside a reader, the writer waits for writing alone, and gets no event when the reader has finished."""
    stalled, through, over = threading.Event(), threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.head()
        assert stalled.wait(LIMIT)
        peer.answer(b'one')
        assert through.wait(LIMIT)
        peer.answer(b'too big', '413 Content Too Large')
        assert over.wait(LIMIT)

    def read() -> Generator[PollNeeded, None, Any]:
        yield from conn.co_read_response()
        return (yield from conn.co_readall())

    async def futures() -> None:
        reader = AioFuture(read())
        await asyncio.sleep(0)
        writer: Any = AioFuture(conn.co_write(bytes(HUGE)))
        while not writer._wait or readiness(PollNeeded(conn._fileno(), writer._wait.mask), 0.1):
            await asyncio.sleep(0)
        assert writer._wait.mask == POLLOUT
        stalled.set()
        assert await reader == b'one'
        through.set()
        with pytest.raises(ConnectionClosed):
            await writer

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.send_request('PUT', '/b', body=BodyFollowing(HUGE))
    if way == 'threads':
        reader = Worker(eval_coroutine, read(), LIMIT)
        wait_until_blocked(reader.native_id)
        writer = Worker(conn.write, bytes(HUGE))
        wait_until_blocked(writer.native_id)
        stalled.set()
        assert reader.result() == b'one'
        through.set()
        assert type(writer.exception()) is ConnectionClosed
    else:
        asyncio.run(asyncio.wait_for(futures(), LIMIT))
    resp = conn.read_response()
    assert (resp.status, resp.path) == (413, '/b')
    assert conn.readall() == b'too big'
    is_done_for(conn)
    over.set()


# After a write that was interrupted


@pytest.mark.parametrize('chunked', [False, True], ids=['length', 'chunked'])
@pytest.mark.parametrize('end', ['timeout', 'close', 'throw', 'drop'])
def test_9_1_and_17_1_nothing_can_be_sent_after_a_part_of_a_write(serve: Serve, end: str, chunked: bool) -> None:
    """The number of bytes that went out is unknown, so the server would take the next bytes for the rest."""
    interrupted = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.head()
        assert interrupted.wait(LIMIT)
        peer.answer(b'first')
        got = peer.rest()
        assert b'y' in got
        assert len(got) < HUGE
        assert b'z' not in got
        assert not got.endswith(b'0\r\n\r\n')

    conn = serve(script, answer_body)
    conn.send_request('GET', '/a')
    conn.send_request('PUT', '/b', body=BodyFollowing(None if chunked else 2 * HUGE))
    if end == 'timeout':
        conn.timeout = 0.2
        with pytest.raises(ConnectionTimedOut):
            conn.write(b'y' * HUGE)
        conn.timeout = LIMIT
    else:
        crt = conn.co_write(b'y' * HUGE)
        stalls(crt)
        if end == 'close':
            crt.close()
        elif end == 'throw':
            with pytest.raises(KeyError):
                crt.throw(KeyError())
        del crt
    interrupted.set()
    calls: list[Callable[[], object]] = [
        lambda: conn.write(b'z'),
        lambda: conn.write(b'z' * 100_000),
        lambda: eval_coroutine(conn.co_write(b'z'), LIMIT),
        lambda: conn.finish(),
        lambda: conn.send_request('GET', '/z'),
        lambda: conn.send_request('PUT', '/z', body=b'z'),
    ]
    for _ in range(2):
        for call in calls:
            with pytest.raises(StateError):
                call()
        assert conn.response_pending()
    assert finish(conn) == b'first'
    assert not conn.response_pending()
    conn.disconnect()
    conn.send_request('PUT', '/c', body=BodyFollowing(4))
    conn.write(b'next')
    assert finish(conn) == b'next'


def test_9_1_and_17_1_a_write_that_has_sent_nothing_can_be_repeated(serve_plain: Serve) -> None:
    """A TLS layer may have taken bytes that it could not send."""
    go_on = threading.Event()
    body = bytes(range(251)) * (HUGE // 251)

    def script(peer: Peer) -> None:
        peer.head()
        assert go_on.wait(LIMIT)
        assert peer.exactly(len(body)) == body
        peer.answer()

    conn = serve_plain(script)
    conn.send_request('PUT', '/', body=BodyFollowing(len(body)))
    conn.timeout = 0.2
    taken, before, timeouts = 0, -1, 0
    while taken > before:  # the system may take some more after a moment
        before = taken
        while count := conn._write_some(body[taken : taken + 65536]):
            taken += count
        readiness(PollNeeded(conn._fileno(), POLLOUT), 0.1)
    for _ in range(100_000):  # a single byte is sent or not
        try:
            conn.write(body[taken : taken + 1])
        except ConnectionTimedOut:
            timeouts += 1
            if timeouts == 3:
                break
        else:
            taken += 1
    assert timeouts == 3
    conn.timeout = LIMIT
    go_on.set()
    conn.write(body[taken:])
    finish(conn)
