from __future__ import annotations

import array
import ctypes
import mmap
import threading
from collections.abc import Callable
from typing import Any

import pytest
from peers import Peer, Script, Serve, ask

import dugong
from dugong import (
    ConnectionClosed,
    ConnectionTimedOut,
    InvalidResponse,
    StateError,
    UnsupportedResponse,
    eval_coroutine,
)

LIMIT = 10
HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n'
EMPTY = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
CLOSE = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello'

every_framing = pytest.mark.parametrize('answer', [HELLO, CHUNKED, CLOSE], ids=['length', 'chunked', 'close'])


def says(*answers: bytes) -> Script:
    """Send one answer for each request, then wait until the client closes, unless the last answer closes."""

    def script(peer: Peer) -> None:
        for answer in answers:
            peer.request()
            peer.send(answer)
        if answers and answers[-1] == CLOSE:
            peer.end()
        peer.rest()

    return script


# Calls that read nothing without a body, and their results then.
NOTHING: list[tuple[str, Callable[[dugong.HTTPConnection], object], object]] = [
    ('read', lambda conn: conn.read(10), b''),
    ('readall', lambda conn: conn.readall(), b''),
    ('readinto', lambda conn: conn.readinto(bytearray(10)), 0),
    ('discard', lambda conn: conn.discard(), None),
]


def reads_nothing(conn: dugong.HTTPConnection) -> None:
    for name, call, nothing in NOTHING * 2:
        assert call(conn) == nothing, name


@every_framing
@pytest.mark.parametrize('size', [1, 2, 4, 5, 6, 65536, 1 << 30])
def test_13_1_from_1_to_n_bytes(serve: Serve, answer: bytes, size: int) -> None:
    conn = serve(says(answer))
    ask(conn)
    got = b''
    while len(got) < 5:
        data = conn.read(size)
        assert type(data) is bytearray
        assert 1 <= len(data) <= size
        got += data
    assert got == b'hello'
    for _ in range(3):
        assert conn.read(size) == b''
        assert not conn.read(size)


@every_framing
def test_13_1_the_result_belongs_to_the_caller(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer))
    ask(conn)
    one = conn.read(2)
    assert isinstance(one, bytearray)
    assert len(one) <= 2
    was = bytes(one)
    one[:] = b'x' * 1000
    two = conn.read(5)
    assert isinstance(two, bytearray)
    was += bytes(two)
    two.clear()
    rest = conn.readall()
    assert was + rest == b'hello'
    assert one == b'x' * 1000
    assert two == b''


def test_13_1_results_do_not_share_anything(serve: Serve) -> None:
    data = bytes(range(256)) * 1000
    conn = serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(data), data)))
    ask(conn)
    parts: list[bytes | bytearray] = []
    while part := conn.read(4096):
        assert not any(part is other for other in parts)
        assert isinstance(part, bytearray)
        parts.append(part)
        for byte in range(min(len(part), 16)):
            part[byte] ^= 0xFF
        for byte in range(min(len(part), 16)):
            part[byte] ^= 0xFF
    assert b''.join(parts) == data


def test_13_1_nothing_on_a_connection_never_used(serve: Serve) -> None:
    conn = serve(says())
    reads_nothing(conn)
    assert serve.server.connections == 0
    conn.connect()
    reads_nothing(conn)


# Calls that need a body, and would take the next response for one without.
WANTING: dict[str, Callable[[dugong.HTTPConnection], object]] = {
    'read': lambda conn: conn.read(10),
    'read all': lambda conn: conn.read(),
    'readall': lambda conn: conn.readall(),
    'readinto': lambda conn: conn.readinto(bytearray(10)),
    'co_read': lambda conn: eval_coroutine(conn.co_read(10)),
    'co_readall': lambda conn: eval_coroutine(conn.co_readall()),
    'co_readinto': lambda conn: eval_coroutine(conn.co_readinto(bytearray(10))),
}


def wants_a_head(conn: dugong.HTTPConnection) -> None:
    """Check that calls which need a body are refused without a change of state."""
    for call in WANTING.values():
        with pytest.raises(StateError, match='read_response'):
            call(conn)
    assert conn.read(0) == b''
    assert conn.readinto(bytearray()) == 0
    conn.discard()
    assert eval_coroutine(conn.co_discard()) is None
    assert conn.response_pending()


def test_13_1_a_response_is_not_taken_for_one_without_body(serve: Serve) -> None:
    conn = serve(says(HELLO, HELLO, EMPTY, HELLO, HELLO))
    for requests in 1, 1, 1, 2:
        for _ in range(requests):
            conn.send_request('GET', '/')
        wants_a_head(conn)  # no body has begun, or its end has been reported
        conn.read_response()
        conn.readall()
    reads_nothing(conn)  # its request was sent before the end of the last body was reported
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'
    reads_nothing(conn)


def test_13_1_a_body_has_to_have_ended_by_a_report(serve: Serve) -> None:
    conn = serve(says(HELLO, HELLO))
    ask(conn)
    assert conn.read(5) == b'hello'
    conn.send_request('GET', '/')
    reads_nothing(conn)  # this reports the end
    conn.read_response()
    assert conn.readall() == b'hello'


def test_13_1_a_response_without_body_ends_with_its_head(serve: Serve) -> None:
    conn = serve(says(EMPTY, EMPTY, HELLO))
    ask(conn, 2)
    reads_nothing(conn)
    conn.read_response()
    reads_nothing(conn)
    conn.send_request('GET', '/')
    wants_a_head(conn)
    conn.read_response()
    assert conn.readall() == b'hello'


def test_13_1_on_a_new_connection_there_was_no_body(serve: Serve) -> None:
    conn = serve(says(HELLO), says(HELLO))
    ask(conn, 2)
    conn.readall()
    conn.disconnect()
    reads_nothing(conn)
    conn.send_request('GET', '/')
    wants_a_head(conn)
    conn.read_response()
    assert conn.readall() == b'hello'


def test_13_1_a_request_that_is_not_complete_has_no_response(serve: Serve) -> None:
    conn = serve(says(HELLO))
    conn.send_request('PUT', '/', body=dugong.BodyFollowing(5))
    reads_nothing(conn)
    conn.write(b'hello')
    wants_a_head(conn)
    conn.read_response()
    assert conn.readall() == b'hello'


def test_13_1_a_pipeline_is_as_good_as_requests(serve: Serve) -> None:
    conn = serve(says(HELLO, HELLO))
    for _ in conn.pipeline(['/1', '/2']):
        assert conn.readall() == b'hello'
        reads_nothing(conn)
    reads_nothing(conn)


def test_13_1_sizes_that_cannot_be_counted_are_no_limit(serve: Serve) -> None:
    conn = serve(says(HELLO, HELLO))
    for size in 1 << 63, 1 << 100:
        ask(conn)
        assert conn.read(size) == b'hello'
        assert conn.read(size) == b''
    ask_nothing = -(1 << 100)
    assert conn.read(ask_nothing) == b''


@every_framing
def test_13_1_nothing_after_the_end(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer))
    ask(conn)
    assert conn.readall() == b'hello'
    reads_nothing(conn)


def test_13_1_nothing_with_other_responses_pending(serve: Serve) -> None:
    conn = serve(says(HELLO, EMPTY, CHUNKED))
    ask(conn, times=3)
    assert conn.readall() == b'hello'
    reads_nothing(conn)
    assert conn.read_response().path == '/1'
    reads_nothing(conn)
    assert conn.read_response().path == '/2'
    assert conn.readall() == b'hello'
    reads_nothing(conn)


@pytest.mark.parametrize('status', ['204 No Content', '304 Not Modified'])
def test_13_1_nothing_of_a_response_without_body(serve: Serve, status: str) -> None:
    conn = serve(says(f'HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n'.encode(), HELLO))
    ask(conn, times=2)
    reads_nothing(conn)
    assert conn.read_response().path == '/1'
    assert conn.readall() == b'hello'


def test_13_1_nothing_after_disconnecting(serve: Serve) -> None:
    conn = serve(says(HELLO))
    ask(conn)
    conn.readall()
    conn.disconnect()
    reads_nothing(conn)


@pytest.mark.parametrize(
    ('head', 'part', 'rest'),
    [
        (b'Content-Length: 100', b'abc', b'd' * 97),
        (b'Transfer-Encoding: chunked', b'64\r\nabc', b'd' * 97 + b'\r\n0\r\n\r\n'),
        (b'Transfer-Encoding: chunked', b'3\r\nabc', b'\r\n61\r\n%b\r\n0\r\n\r\n' % (b'd' * 97)),
        (b'Transfer-Encoding: chunked', b'3\r\nabc\r\n6', b'1\r\n%b\r\n0\r\n\r\n' % (b'd' * 97)),
        (b'Connection: close', b'abc', b'd' * 97),
    ],
)
@pytest.mark.parametrize('into', [False, True])
def test_13_1_and_13_4_waits_only_without_data(serve: Serve, head: bytes, part: bytes, rest: bytes, into: bool) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n' % head)
        peer.send(part)
        assert got_part.wait(LIMIT)
        peer.send(rest)

    got_part = threading.Event()
    conn = serve(script)
    ask(conn)
    got = b''
    while len(got) < 3:
        if into:
            buf = bytearray(100)
            got += buf[: conn.readinto(buf)]
        else:
            got += conn.read(100)
    assert got == b'abc'
    got_part.set()
    assert conn.readall() == b'd' * 97


@every_framing
def test_13_2_read_0_proves_nothing(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer))
    assert conn.read(0) == b''
    ask(conn)
    for _ in range(2):
        assert conn.read(0) == b''
        with pytest.raises(StateError):
            conn.read_response()
    got = b''
    while len(got) < 5:
        got += conn.read(5)
        assert conn.read(0) == b''
        assert conn.response_pending()
    assert conn.read(1) == b''
    assert not conn.response_pending()
    assert conn.read(0) == b''


def test_13_2_read_0_does_not_wait(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
        assert asked.wait(LIMIT)
        peer.send(b'hello')

    asked = threading.Event()
    conn = serve(script)
    ask(conn)
    assert conn.read(0) == b''
    asked.set()
    assert conn.readall() == b'hello'


@every_framing
@pytest.mark.parametrize('args', [(), (None,), (-1,)], ids=str)
def test_13_2_read_all(serve: Serve, answer: bytes, args: tuple[Any, ...]) -> None:
    conn = serve(says(answer))
    assert conn.read(*args) == b''
    ask(conn)
    got = conn.read(*args)
    assert type(got) is bytes
    assert got == b'hello'
    assert not conn.response_pending()
    assert conn.read(*args) == b''


@pytest.mark.parametrize('args', [(), (None,), (-1,)], ids=str)
def test_13_2_read_all_of_the_rest(serve: Serve, args: tuple[Any, ...]) -> None:
    conn = serve(says(HELLO))
    ask(conn)
    got = bytes(conn.read(2))
    assert got + conn.read(*args) == b'hello'


@every_framing
@pytest.mark.parametrize('already', [0, 1, 4, 5])
def test_13_3_the_rest_as_bytes(serve: Serve, answer: bytes, already: int) -> None:
    conn = serve(says(answer))
    ask(conn)
    got = b''
    while len(got) < already:
        got += conn.read(already - len(got))
    rest = conn.readall()
    assert type(rest) is bytes
    assert got + rest == b'hello'
    assert not conn.response_pending()
    assert conn.readall() == b''


@pytest.mark.parametrize('chunked', [False, True])
def test_13_3_a_large_body(serve: Serve, chunked: bool) -> None:
    data = bytes(range(256)) * 8000
    if chunked:
        head, body = b'Transfer-Encoding: chunked', b'%x\r\n%b\r\n0\r\n\r\n' % (len(data), data)
    else:
        head, body = b'Content-Length: %d' % len(data), data
    conn = serve(says(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n%b' % (head, body), HELLO))
    ask(conn)
    assert conn.readall() == data
    ask(conn)
    assert conn.readall() == b'hello'


def test_13_3_the_announced_length_is_not_believed(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\nhello')

    conn = serve(script)
    assert ask(conn).length == 10**15
    with pytest.raises(ConnectionClosed):
        conn.readall()


def test_13_3_if_it_fails_the_data_is_lost(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
        assert timed_out.wait(LIMIT)
        peer.send(b'world')
        peer.rest()

    timed_out = threading.Event()
    conn = serve(script)
    ask(conn)
    conn.timeout = 0.2
    with pytest.raises(ConnectionTimedOut):
        conn.readall()
    timed_out.set()
    conn.timeout = LIMIT
    assert conn.readall() == b'world'
    assert not conn.response_pending()


BUFFERS: list[Callable[[], Any]] = [
    lambda: bytearray(8),
    lambda: memoryview(bytearray(8)),
    lambda: memoryview(bytearray(10))[1:9],
    lambda: array.array('B', bytes(8)),
    lambda: array.array('I', bytes(8)),
    lambda: array.array('d', bytes(8)),
    lambda: memoryview(bytearray(8)).cast('B', (2, 4)),
    lambda: (ctypes.c_char * 8)(),
    lambda: mmap.mmap(-1, 8),
]


@pytest.mark.parametrize('make', BUFFERS)
@every_framing
def test_13_4_fills_a_writable_buffer(serve: Serve, answer: bytes, make: Callable[[], Any]) -> None:
    conn = serve(says(answer))
    ask(conn)
    got = b''
    while True:
        buf = make()
        number = conn.readinto(buf)
        assert type(number) is int
        got += bytes(memoryview(buf).cast('B'))[:number]
        if len(got) == 5:
            break
        assert 1 <= number <= 8
    assert got == b'hello'
    for _ in range(2):
        assert conn.readinto(make()) == 0


@every_framing
def test_13_4_no_more_than_fits(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer))
    ask(conn)
    memory = bytearray(b'.' * 5)
    with memoryview(memory)[2:4] as buf:
        number = conn.readinto(buf)
    assert number in (1, 2)
    assert memory[:2] == b'..'
    assert memory[4:] == b'.'
    assert memory[2 : 2 + number] == b'hello'[:number]
    assert bytes(memory[2 : 2 + number]) + conn.readall() == b'hello'


@every_framing
def test_13_4_an_empty_buffer(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer))
    assert conn.readinto(bytearray()) == 0
    ask(conn)
    assert conn.readinto(bytearray()) == 0
    assert conn.readinto(memoryview(bytearray(5))[2:2]) == 0
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.readall() == b'hello'
    assert conn.readinto(bytearray()) == 0


@pytest.mark.parametrize('buf', [b'12345', memoryview(b'12345'), 'text', None, 5, [1, 2]], ids=type)
def test_13_4_other_buffers_are_refused(serve: Serve, buf: Any) -> None:
    conn = serve(says(HELLO))
    ask(conn)
    with pytest.raises((TypeError, ValueError, BufferError)):
        conn.readinto(buf)
    assert conn.readall() == b'hello'


def test_13_4_the_buffer_is_free_afterwards(serve: Serve) -> None:
    conn = serve(says(HELLO))
    ask(conn)
    buf = bytearray(3)
    number = conn.readinto(buf)
    del buf[:number]
    buf.extend(b'xxxxx')
    assert conn.readinto(buf) > 0


@pytest.mark.parametrize('into', [False, True])
def test_13_4_many_chunks_at_once(serve: Serve, into: bool) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        peer.send(b'4\r\nabcd\r\n' * 1000 + b'0\r\n\r\n')
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve(script)
    ask(conn)
    assert sent.wait(LIMIT)
    sizes: list[int] = []
    got = b''
    while not sizes or sizes[-1]:
        if into:
            buf = bytearray(100)
            sizes.append(conn.readinto(buf))
            got += buf[: sizes[-1]]
        else:
            data = conn.read(100)
            sizes.append(len(data))
            got += data
    assert got == b'abcd' * 1000
    assert max(sizes) <= 100
    assert len(sizes) < 200


@every_framing
@pytest.mark.parametrize('already', [0, 2, 5])
def test_13_5_reads_to_the_end(serve: Serve, answer: bytes, already: int) -> None:
    conn = serve(says(answer, *[HELLO] * (answer != CLOSE)))
    ask(conn)
    got = b''
    while len(got) < already:
        got += conn.read(already - len(got))
    result: object = conn.discard()  # type: ignore[func-returns-value]
    assert result is None
    assert conn.read(10) == b''
    assert not conn.response_pending()
    if answer != CLOSE:
        ask(conn)
        assert conn.readall() == b'hello'


def test_13_5_a_large_body(serve: Serve) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n' + bytes(5000000), HELLO))
    ask(conn, times=2)
    conn.discard()
    assert conn.read_response().path == '/1'
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    ('answer', 'error'),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n', UnsupportedResponse),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n', InvalidResponse),
        (b'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n', InvalidResponse),
    ],
)
def test_13_6_bytes_after_the_headers(serve: Serve, answer: bytes, error: type[Exception]) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer + b'5\r\nhel')
        assert got_part.wait(LIMIT)
        peer.send(b'lo\r\n0')
        peer.send(b'\r\n\r\n')

    got_part = threading.Event()
    conn = serve(script)
    ask(conn)
    with pytest.raises(error):
        conn.readall()
    got = conn.read_raw(2)
    assert got == b'5\r'
    assert isinstance(got, (bytes, bytearray))
    assert conn.read_raw(3) == b'\nhe'
    got_part.set()
    assert conn.read_raw(7) == b'llo\r\n0\r'  # fewer only if the connection ends
    assert conn.read_raw(1000) == b'\n\r\n'
    for _ in range(2):
        assert conn.read_raw(1000) == b''


@pytest.mark.parametrize(
    ('answer', 'error'),
    [
        (b'garbage\r\nmore garbage\r\n\r\nand more', UnsupportedResponse),
        (b'HTTP/2.0 200 OK\r\nA: b\r\n\r\nhello', UnsupportedResponse),
        (b'HTTP/1.1 20 OK\r\nA: b\r\n\r\nhello', InvalidResponse),
        (b'x' * 100000, (InvalidResponse, UnsupportedResponse)),
    ],
)
def test_13_6_after_a_head_that_is_none(
    serve: Serve, answer: bytes, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    conn = serve(script)
    conn.send_request('GET', '/')
    with pytest.raises(error):
        conn.read_response()
    got = b''.join(iter(lambda: conn.read_raw(1000), b''))
    assert answer.endswith(got)
    assert got[-8:] == answer[-8:]


def test_13_6_after_a_bad_chunk(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nand more')

    conn = serve(script)
    ask(conn)
    with pytest.raises(InvalidResponse):
        conn.readall()
    assert conn.read_raw(1000).endswith(b'and more')
    assert conn.read_raw(1000) == b''


def test_13_6_without_interpreting(serve: Serve) -> None:
    conn = serve(says(CHUNKED))
    ask(conn)
    body = CHUNKED.partition(b'\r\n\r\n')[2]
    assert conn.read_raw(4) == body[:4]
    assert conn.read_raw(len(body) - 4) == body[4:]


def test_13_6_a_lot_of_bytes(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n' + data)

    data = bytes(range(256)) * 4000
    conn = serve(script)
    ask(conn)
    with pytest.raises(UnsupportedResponse):
        conn.readall()
    assert conn.read_raw(1000000) == data[:1000000]
    assert conn.read_raw(1000000) == data[1000000:]
    assert conn.read_raw(1000000) == b''


def test_13_6_blocks_regardless_of_the_timeout(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\n\r\nhello')
        never.wait(0.3)  # longer than the timeout, which this test is about
        peer.send(b'world')

    never = threading.Event()
    conn = serve(script)
    ask(conn)
    with pytest.raises(UnsupportedResponse):
        conn.readall()
    conn.timeout = 0.01
    assert conn.read_raw(10) == b'helloworld'


@pytest.mark.parametrize('restart', ['reset', 'disconnect', 'close'])
def test_13_6_then_the_connection_must_be_reset(serve: Serve, restart: str) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\n\r\nhello'), says(HELLO))
    ask(conn)
    with pytest.raises(UnsupportedResponse):
        conn.readall()
    assert conn.read_raw(5) == b'hello'
    getattr(conn, restart)()
    ask(conn)
    assert conn.readall() == b'hello'
    assert serve.server.connections == 2


def test_13_6_no_connection(serve: Serve) -> None:
    conn = serve(says(HELLO))
    with pytest.raises(ConnectionClosed):
        conn.read_raw(10)
    assert serve.server.connections == 0
    ask(conn)
    conn.disconnect()
    with pytest.raises(ConnectionClosed):
        conn.read_raw(10)


def test_13_6_sizes(serve: Serve) -> None:
    """A size that does not fit into a machine word reads up to the end of the connection, as for `read`."""
    conn = serve(says_and_ends)
    conn.send_request('GET', '/')
    with pytest.raises(ValueError, match='size has to be at least 0, not -1'):
        conn.read_raw(-1)
    with pytest.raises(TypeError):
        conn.read_raw(None)  # type: ignore[arg-type]
    assert conn.read_raw(0) == b''
    assert conn.read_raw(2**64) == b'HTTP/1.1 204 \r\n\r\n'


def says_and_ends(peer: Peer) -> None:
    peer.request()
    peer.send(b'HTTP/1.1 204 \r\n\r\n')
