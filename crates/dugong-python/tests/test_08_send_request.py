"""Statements 8.1 to 8.4: requests, bodies, and the order of calls."""

from __future__ import annotations

import array
import io
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from peers import LIMIT, Peer, Serve
from recorder import Recorder, exchange, finish, md5

from dugong import (
    BodyFollowing,
    CaseInsensitiveDict,
    ConnectionClosed,
    HTTPConnection,
    StateError,
    eval_coroutine,
)

#: More than the system buffers while the peer does not read.
HUGE = 16 << 20


# 8.1


def test_8_1_bytes_on_the_wire(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    host = f'localhost:{conn.port}'
    untyped: Any = conn
    assert untyped.send_request('PUT', '/a?b', headers={'X-One': '1'}, body=b'hello') is None
    finish(conn)
    exchange(conn, 'GET', '/c')
    assert record.got[0].raw == (
        b'PUT /a?b HTTP/1.1\r\nHost: %s\r\nX-One: 1\r\nContent-Length: 5\r\nContent-MD5: %s\r\n'
        b'Accept-Encoding: identity\r\nConnection: keep-alive\r\n\r\nhello' % (host.encode(), md5(b'hello').encode())
    )
    assert record.got[1].raw == (
        b'GET /c HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nAccept-Encoding: identity\r\n'
        b'Connection: keep-alive\r\n\r\n' % host.encode()
    )


def test_8_1_nothing_but_the_head_and_the_body(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    exchange(conn, 'PUT', '/a', None, b'hello')
    assert record.last.body == b'hello'
    assert record.last.raw.endswith(b'\r\n\r\nhello')
    conn.disconnect()
    serve.server.join()
    assert len(record.got) == 1


def test_8_1_arguments_by_position_and_by_name(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    exchange(conn, 'PUT', '/a', {'X': 'y'}, b'z', False)
    exchange(conn, expect100=False, body=b'z', headers={'X': 'y'}, path='/a', method='PUT')
    exchange(conn, 'PUT', '/a', headers={'X': 'y'}, body=b'z')
    assert len({one.raw for one in record.got}) == 1
    nothing: Any = conn.send_request
    with pytest.raises(TypeError):
        nothing('GET')
    with pytest.raises(TypeError):
        nothing('GET', '/', other=1)


def test_8_1_requests_can_be_sent_ahead(serve: Serve) -> None:
    """The server answers only after all requests have arrived."""
    count = 50

    def script(peer: Peer) -> None:
        got = [peer.request() for _ in range(count)]
        for one in got:
            peer.answer(one.target.encode() + one.body)

    conn = serve(script)
    for number in range(count):
        conn.send_request('PUT' if number % 2 else 'GET', f'/{number}', body=b'!' if number % 2 else None)
    for number in range(count):
        resp = conn.read_response()
        assert (resp.method, resp.path) == ('PUT' if number % 2 else 'GET', f'/{number}')
        assert conn.readall() == f'/{number}'.encode() + b'!' * (number % 2)
    assert not conn.response_pending()


def test_8_1_requests_can_be_sent_while_a_response_is_read(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(b'0123456789')
        peer.request()
        peer.answer(b'/b')

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.read_response()
    assert conn.read(5)
    conn.send_request('GET', '/b')
    assert b'0123456789'.endswith(conn.readall())
    finish(conn)


def test_8_1_responses_are_not_read(serve: Serve) -> None:
    """Not even one that has already arrived."""
    answered = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(b'/a')
        answered.set()
        peer.request()
        peer.answer(b'/b')

    conn = serve(script)
    conn.send_request('GET', '/a')
    assert answered.wait(LIMIT)
    conn.send_request('GET', '/b')
    assert conn.response_pending()
    assert finish(conn) == b'/a'
    assert finish(conn) == b'/b'


def test_8_1_big_bodies(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    body = bytes(range(256)) * 20000
    exchange(conn, 'PUT', '/a', body=body)
    assert record.last.body == body


def done_for(conn: HTTPConnection) -> None:
    """Check that the connection has no further answers, and that asking for one does not block."""
    with pytest.raises(ConnectionClosed):
        for crt in conn.co_send_request('GET', '/'), conn.co_read_response():
            for need in crt:
                pytest.fail(f'waits: {need}')


@pytest.mark.parametrize('interim', [False, True])
@pytest.mark.parametrize('coroutine', [False, True])
def test_8_1_an_answer_ends_the_wait_of_a_body_that_was_given(serve: Serve, coroutine: bool, interim: bool) -> None:
    """The peer answers, and neither reads nor closes (9.8)."""
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.head()
        peer.answer(b'/a')
        if interim:
            peer.send(b'HTTP/1.1 102 Processing\r\n\r\n')
        peer.exactly(1000)
        peer.answer(b'too big', '413 Content Too Large')
        assert over.wait(LIMIT)

    conn = serve(script)
    conn.send_request('GET', '/a')
    if coroutine:
        eval_coroutine(conn.co_send_request('PUT', '/b', body=bytes(HUGE)), LIMIT)
    else:
        conn.send_request('PUT', '/b', body=bytes(HUGE))
    assert not conn._out_remaining
    assert finish(conn) == b'/a'
    resp = conn.read_response()
    assert (resp.status, resp.path) == (413, '/b')
    assert conn.readall() == b'too big'
    assert not conn.response_pending()
    done_for(conn)
    conn.disconnect()
    over.set()


@pytest.mark.parametrize('reads', [False, True])
@pytest.mark.parametrize('close', [False, True])
def test_8_1_the_peer_answers_and_closes_while_a_body_is_sent(serve_plain: Serve, close: bool, reads: bool) -> None:
    """The peer ends its own direction only: a reset could destroy the answer."""
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(1000)
        peer.answer(b'too big', '413 Content Too Large', [('Connection', 'close')] if close else [])
        peer.end()
        if not reads:
            assert over.wait(LIMIT)

    conn = serve_plain(script)
    conn.send_request('PUT', '/a', body=bytes(HUGE))
    assert not conn._out_remaining
    resp = conn.read_response()
    assert (resp.status, resp.path) == (413, '/a')
    assert conn.readall() == b'too big'
    assert not conn.response_pending()
    done_for(conn)
    over.set()


# 8.2


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview])
def test_8_2_bytes(serve: Serve, record: Recorder, kind: Any) -> None:
    conn = serve(record)
    for body in b'', b'x', b'\0\xff\r\n' * 1000:
        exchange(conn, 'PUT', '/a', body=kind(body))
        assert record.last.body == body
        assert record.last.values('Content-Length') == [str(len(body))]


def test_8_2_no_body(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    exchange(conn, 'PUT', '/a')
    exchange(conn, 'PUT', '/a', body=None)
    assert [one.body for one in record.got] == [b'', b'']


def test_8_2_body_following(serve: Serve, record: Recorder) -> None:
    class Mine(BodyFollowing):
        pass

    conn = serve(record)
    for body in BodyFollowing(5), BodyFollowing(length=5), Mine(5):
        conn.send_request('PUT', '/a', body=body)
        conn.write(b'12345')
        finish(conn)
        assert record.last.body == b'12345'
    body = BodyFollowing()
    body.length = 3
    conn.send_request('PUT', '/a', body=body)
    body.length = 7  # too late to have an effect
    conn.write(b'123')
    finish(conn)
    assert record.last.body == b'123'


def type_and_text(value: object) -> str:
    """A test id without an address, so that every process has the same."""
    return re.sub(' at 0x[0-9a-f]+', '', repr(value))


WRONG: list[Any] = [
    'text',
    '',
    5,
    0,
    True,
    [b'x'],
    [],
    {},
    object(),
    io.BytesIO(b'x'),
    array.array('B', b'x'),
    BodyFollowing,
]


@pytest.mark.parametrize('body', WRONG, ids=type_and_text)
def test_8_2_and_8_12_other_bodies(serve: Serve, record: Recorder, body: Any) -> None:
    conn = serve(record)
    for _ in range(2):
        with pytest.raises(TypeError):
            conn.send_request('PUT', '/wrong', body=body)
        exchange(conn, 'GET', '/a')
    assert [one.target for one in record.got] == ['/a'] * 2


@pytest.mark.parametrize('length', [-1, -(1 << 70)])
def test_8_2_and_8_12_negative_length(serve: Serve, record: Recorder, length: int) -> None:
    conn = serve(record)
    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('PUT', '/wrong', body=BodyFollowing(length))
        assert not conn._out_remaining
        exchange(conn, 'GET', '/a')
    assert [one.target for one in record.got] == ['/a'] * 2


def test_8_2_chunks(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    untyped: Any = conn
    conn.send_request('PUT', '/a', body=BodyFollowing())
    for part in b'one', b'', bytearray(b'two'), memoryview(b'three' * 20000):
        assert untyped.write(part) is None
    assert not conn.response_pending()
    assert untyped.finish() is None
    assert conn.response_pending()
    finish(conn)
    exchange(conn, 'GET', '/b')
    got = record.got[0]
    assert got.body == b'onetwo' + b'three' * 20000
    assert got.values('Transfer-Encoding') == ['chunked']
    assert not got.values('Content-Length')
    assert not got.values('Content-MD5')
    assert not got.values('Expect')
    assert got.trailers == []
    assert got.raw.endswith(b'\r\n0\r\n\r\n')


def test_8_2_chunks_of_none(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    for parts in [], [b''], [b'', b'']:
        conn.send_request('PUT', '/a', body=BodyFollowing(None))
        for part in parts:
            conn.write(part)
        conn.finish()
        finish(conn)
        assert record.last.raw.endswith(b'\r\n\r\n0\r\n\r\n')
        assert record.last.body == b''


@pytest.mark.parametrize(
    'trailers',
    [
        {'X-Sum': 'abc', 'X-Count': 17},
        [('X-Sum', 'abc'), ('X-Count', 17)],
        CaseInsensitiveDict({'X-Sum': 'abc', 'X-Count': 17}),
    ],
    ids=['dict', 'pairs', 'CaseInsensitiveDict'],
)
def test_8_2_trailers(serve: Serve, record: Recorder, trailers: Any) -> None:
    conn = serve(record)
    calls: list[Callable[[], None]] = [
        lambda: conn.finish(trailers),
        lambda: conn.finish(trailers=trailers),
        lambda: eval_coroutine(conn.co_finish(trailers), LIMIT),
        lambda: eval_coroutine(conn.co_finish(trailers=trailers), LIMIT),
    ]
    for call in calls:
        conn.send_request('PUT', '/a', headers={'Trailer': 'X-Sum, X-Count'}, body=BodyFollowing())
        conn.write(b'12345')
        call()
        finish(conn)
        assert record.last.body == b'12345'
        assert record.last.values('Trailer') == ['X-Sum, X-Count']
        assert record.last.trailers == [('X-Sum', 'abc'), ('X-Count', '17')]
        assert record.last.raw.endswith(b'\r\n0\r\nX-Sum: abc\r\nX-Count: 17\r\n\r\n')


def test_8_2_empty_trailers(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    empty: list[Any] = [None, {}, []]
    for trailers in empty:
        conn.send_request('PUT', '/a', body=BodyFollowing())
        conn.finish(trailers)
        finish(conn)
        assert record.last.trailers == []


@pytest.mark.parametrize(
    ('trailers', 'error'),
    [
        ({'X': 'a\r\nb'}, ValueError),
        ({'X': 'a\0'}, ValueError),
        ({'X Y': 'a'}, ValueError),
        ({'': 'a'}, ValueError),
        ({'X': '\u20ac'}, UnicodeEncodeError),
    ],
)
def test_8_2_trailers_must_be_of_the_grammar(
    serve: Serve, record: Recorder, trailers: Any, error: type[Exception]
) -> None:
    conn = serve(record)
    conn.send_request('PUT', '/a', body=BodyFollowing())
    conn.write(b'123')
    with pytest.raises(error):
        conn.finish(trailers)
    assert conn._out_remaining
    conn.write(b'45')
    conn.finish({'X': 'y'})
    finish(conn)
    assert record.last.body == b'12345'
    assert record.last.trailers == [('X', 'y')]


def test_8_2_states_of_chunks(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    for _ in range(2):
        with pytest.raises(StateError):
            conn.finish()
        conn.send_request('PUT', '/a', body=BodyFollowing())
        with pytest.raises(StateError):
            conn.send_request('GET', '/b')
        with pytest.raises(StateError):
            conn.read_response()
        conn.write(b'x')
        with pytest.raises(StateError):
            conn.send_request('GET', '/b')
        conn.finish()
        with pytest.raises(StateError):
            conn.finish()
        with pytest.raises(StateError):
            conn.write(b'x')
        finish(conn)
    with pytest.raises(StateError):
        conn.finish()
    assert [one.body for one in record.got] == [b'x', b'x']


def test_8_2_chunks_by_coroutines(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    big = b'x' * 3_000_000
    eval_coroutine(conn.co_send_request('PUT', '/a', body=BodyFollowing()), LIMIT)
    eval_coroutine(conn.co_write(big), LIMIT)
    eval_coroutine(conn.co_write(b'end'), LIMIT)
    crt = conn.co_finish()
    assert conn._out_remaining  # the body is due, and nothing of it was sent
    eval_coroutine(crt, LIMIT)
    assert not conn._out_remaining
    finish(conn)
    assert record.last.body == big + b'end'


def test_8_2_chunks_after_100_continue(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        head = peer.head()
        assert head.values('Expect') == ['100-continue']
        assert head.values('Transfer-Encoding') == ['chunked']
        assert not head.values('Content-Length')
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(13) == b'3\r\nabc\r\n0\r\n\r\n'
        peer.answer(b'/a')

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(), expect100=True)
    with pytest.raises(StateError):
        conn.finish()
    with pytest.raises(StateError):
        conn.write(b'x')
    assert conn.read_response().status == 100
    conn.write(b'abc')
    conn.finish()
    finish(conn)


def test_8_2_chunks_have_no_length_even_if_the_caller_gives_one(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    conn.send_request('PUT', '/a', headers={'content-length': '3', 'X': 'y'}, body=BodyFollowing())
    conn.write(b'12345')
    conn.finish()
    finish(conn)
    assert not record.last.values('Content-Length')
    assert record.last.body == b'12345'


# 8.3, 8.4


@pytest.mark.parametrize('body', [None, b'', b'x', bytearray(b'x'), memoryview(b'x')], ids=type_and_text)
def test_8_3_expect100_needs_body_following(serve: Serve, record: Recorder, body: Any) -> None:
    conn = serve(record)
    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('PUT', '/wrong', body=body, expect100=True)
        exchange(conn, 'PUT', '/a', body=body)
    assert not any(one.values('Expect') for one in record.got)
    assert [one.target for one in record.got] == ['/a'] * 2


def test_8_4_unfinished_body(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    conn.send_request('PUT', '/a', body=BodyFollowing(5))
    for part in b'12', b'34':
        for body in None, b'x', BodyFollowing(3):
            with pytest.raises(StateError):
                conn.send_request('PUT', '/wrong', body=body)
        conn.write(part)
    with pytest.raises(StateError):
        conn.send_request('PUT', '/wrong', body=BodyFollowing(3), expect100=True)
    conn.write(b'5')
    conn.send_request('GET', '/b')
    assert finish(conn) == b'/a'
    assert finish(conn) == b'/b'
    assert [one.body for one in record.got] == [b'12345', b'']


@pytest.mark.parametrize('end', ['close', 'throw', 'drop'])
@pytest.mark.parametrize('coroutine', [False, True])
def test_8_4_and_18_1_an_abandoned_request_is_sent_before_the_next(
    serve: Serve, record: Recorder, end: str, coroutine: bool
) -> None:
    """The body was given, so the caller does not have to write the rest."""
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        assert go_on.wait(LIMIT)
        record(peer)

    body = bytes(range(256)) * (HUGE >> 8)
    conn = serve(script)
    conn.connect()
    crt = conn.co_send_request('PUT', '/a', body=body)
    while next(crt).poll(0.2):
        pass
    if end == 'close':
        crt.close()
    elif end == 'throw':
        with pytest.raises(KeyError):
            crt.throw(KeyError())
    del crt
    assert conn._out_remaining is False
    with pytest.raises(StateError):
        conn.write(b'x')
    go_on.set()
    if coroutine:
        eval_coroutine(conn.co_send_request('PUT', '/b', body=b'next'), LIMIT)
    else:
        conn.send_request('PUT', '/b', body=b'next')
    assert finish(conn) == b'/a'
    assert finish(conn) == b'/b'
    assert [(got.method, got.target) for got in record.got] == [('PUT', '/a'), ('PUT', '/b')]
    assert record.got[0].body == body
    assert record.got[1].body == b'next'


def test_8_4_awaited_100_continue(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.head().target == '/a'
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(5) == b'12345'
        peer.answer(b'/a')
        assert peer.request().target == '/b'
        peer.answer(b'/b')

    conn = serve(script)
    conn.send_request('PUT', '/a', body=BodyFollowing(5), expect100=True)
    for _ in range(2):
        with pytest.raises(StateError):
            conn.send_request('GET', '/wrong')
    assert conn.read_response().status == 100
    with pytest.raises(StateError):
        conn.send_request('GET', '/wrong')
    conn.write(b'12345')
    conn.send_request('GET', '/b')
    finish(conn)
    finish(conn)
