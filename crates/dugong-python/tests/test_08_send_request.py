from __future__ import annotations

import array
import base64
import hashlib
import io
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from peers import LIMIT, Peer, Received, Serve, Server

from dugong import (
    BodyFollowing,
    CaseInsensitiveDict,
    ConnectionClosed,
    ExcessBodyData,
    HTTPConnection,
    StateError,
    eval_coroutine,
)

#: More than the system takes while nobody reads.
HUGE = 32 << 20


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


class Recorder:
    """A script that keeps the requests and answers each with its target."""

    def __init__(self) -> None:
        self.got: list[Received] = []

    def __call__(self, peer: Peer) -> None:
        while True:
            try:
                self.got.append(peer.request())
            except EOFError:
                assert peer.rest() == b''
                return
            peer.answer(self.got[-1].target.encode('latin-1'))

    @property
    def last(self) -> Received:
        return self.got[-1]


@pytest.fixture
def record() -> Recorder:
    return Recorder()


def finish(conn: HTTPConnection) -> bytes:
    resp = conn.read_response()
    assert resp.status == 200
    body = bytes(conn.readall())
    assert body == resp.path.encode()
    return body


def exchange(conn: HTTPConnection, *args: Any, **kwargs: Any) -> None:
    conn.send_request(*args, **kwargs)
    finish(conn)


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
    """Nothing is answered before all has been sent."""
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
    """Not even if one has come already."""
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
    """No further answers over this connection, and nobody has to wait to be told so."""
    with pytest.raises(ConnectionClosed):
        for crt in conn.co_send_request('GET', '/'), conn.co_read_response():
            for need in crt:
                pytest.fail(f'waits: {need}')


@pytest.mark.parametrize('interim', [False, True])
@pytest.mark.parametrize('coroutine', [False, True])
def test_8_1_an_answer_ends_the_wait_of_a_body_that_was_given(serve: Serve, coroutine: bool, interim: bool) -> None:
    """The peer answers, neither reads nor closes (9.8)."""
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
    """It ends its direction only: a reset could destroy the answer."""
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
    body.length = 7  # too late
    conn.write(b'123')
    finish(conn)
    assert record.last.body == b'123'


def type_and_text(value: object) -> str:
    """A name without an address, so that every process has the same."""
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
    assert conn._out_remaining  # it has not begun
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


def test_8_2_chunks_have_no_length_whatever_the_caller_says(serve: Serve, record: Recorder) -> None:
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
    """Its body was given, so that nobody has to write the rest."""
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


# 8.5


class Twins(Mapping[str, str]):
    """A mapping that is no dict."""

    def __getitem__(self, key: str) -> str:
        return {'X-One': '1', 'b': '2'}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(['X-One', 'b'])

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(
    'make',
    [
        lambda: {'X-One': '1', 'b': '2'},
        lambda: CaseInsensitiveDict([('X-One', '1'), ('b', '2')]),
        lambda: MappingProxyType({'X-One': '1', 'b': '2'}),
        Twins,
        lambda: [('X-One', '1'), ('b', '2')],
        lambda: (('X-One', '1'), ['b', '2']),
        lambda: iter([('X-One', '1'), ('b', '2')]),
        lambda: {'X-One': '1', 'b': '2'}.items(),
        lambda: ((name, value) for name, value in [('X-One', '1'), ('b', '2')]),
    ],
)
def test_8_5_headers_are_a_mapping_or_pairs(serve_plain: Serve, record: Recorder, make: Any) -> None:
    conn = serve_plain(record)
    exchange(conn, 'GET', '/a', headers=make())
    assert record.last.headers[1:3] == [('X-One', '1'), ('b', '2')]


@pytest.mark.parametrize('headers', [None, {}, [], ()], ids=repr)
def test_8_5_no_headers(serve_plain: Serve, record: Recorder, headers: Any) -> None:
    conn = serve_plain(record)
    exchange(conn, 'GET', '/a', headers=headers)
    assert record.last.names == ['Host', 'Content-Length', 'Accept-Encoding', 'Connection']


def test_8_5_repeated_names_are_all_sent(serve: Serve, record: Recorder) -> None:
    """RFC 9110, 5.3. A mapping cannot express this, pairs can."""
    conn = serve(record)
    pairs = [('X', '1'), ('Y', '2'), ('X', '3'), ('x', '4')]
    exchange(conn, 'GET', '/a', headers=pairs)
    assert record.last.headers[1:5] == pairs


def test_8_5_values_are_formatted_with_str(serve: Serve, record: Recorder) -> None:
    class Name:
        def __str__(self) -> str:
            return 'my name'

    class Text(str):
        def __str__(self) -> str:
            return 'my text'

    conn = serve(record)
    values: list[Any] = [5, -1.5, True, Name(), Text('other'), '', 1 << 70]
    exchange(conn, 'GET', '/a', headers={f'X-{number}': value for number, value in enumerate(values)})
    for number, value in enumerate(values):
        assert record.last.values(f'X-{number}') == [str(value)]


NO_VALUES = [None, b'Basic secret', bytearray(b'x'), memoryview(b'x'), array.array('i', [1]), [1], (1,), {'a': 1}, {1}]


@pytest.mark.parametrize('value', NO_VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize('name', ['Authorization', 'Host', 'Content-Length', 'Content-MD5'])
def test_8_5_what_has_no_text_is_no_value(serve: Serve, name: str, value: object) -> None:
    refuses(serve, TypeError, headers={name: value})
    refuses(serve, TypeError, headers=[('A', 'b'), (name, value)])


@pytest.mark.parametrize('value', NO_VALUES, ids=lambda value: type(value).__name__)
def test_8_5_what_has_no_text_is_no_value_of_a_trailer(serve: Serve, record: Recorder, value: object) -> None:
    conn = serve(record)
    conn.send_request('PUT', '/a', body=BodyFollowing())
    conn.write(b'x')
    with pytest.raises(TypeError, match='X-Sum') as caught:
        conn.finish({'X-Sum': value})
    assert 'secret' not in str(caught.value)
    with pytest.raises(TypeError, match='X-Sum'):
        eval_coroutine(conn.co_finish({'X-Sum': value}))
    conn.finish({'X-Sum': 1})
    finish(conn)
    assert record.last.trailers == [('X-Sum', '1')]


def test_8_5_an_error_in_str_is_passed_on(serve: Serve, record: Recorder) -> None:
    class Broken:
        def __str__(self) -> str:
            raise ZeroDivisionError('mine')

    conn = serve(record)
    with pytest.raises(ZeroDivisionError):
        conn.send_request('PUT', '/wrong', headers={'X': Broken()}, body=BodyFollowing(5))
    exchange(conn, 'GET', '/a')
    assert len(record.got) == 1


@pytest.mark.parametrize('kind', [dict, CaseInsensitiveDict])
def test_8_5_the_object_of_the_caller_is_left_alone(serve: Serve, record: Recorder, kind: Any) -> None:
    conn = serve(record)
    headers = kind({'x-one': 1, 'accept-encoding': 'gzip', 'content-length': 99, 'HOST': 'x'})
    before = list(headers.items())
    for body in None, b'one', b'three':
        exchange(conn, 'PUT', '/a', headers=headers, body=body)
    conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3))
    conn.write(b'123')
    finish(conn)
    assert list(headers.items()) == before
    assert [one.values('Content-MD5') for one in record.got] == [[], [md5(b'one')], [md5(b'three')], []]
    assert [one.body for one in record.got] == [b'', b'one', b'three', b'123']


# 8.6, 8.7


@pytest.mark.parametrize('method', ['GET', 'HEAD', 'DELETE', 'PUT', 'POST', 'OPTIONS', 'get', 'M-SEARCH'])
def test_8_6_content_length_0_without_body(serve: Serve, method: str) -> None:
    def script(peer: Peer) -> None:
        got = peer.request()
        assert got.method == method
        assert got.values('Content-Length') == ['0']
        assert not got.values('Content-MD5')
        peer.answer()

    conn = serve(script)
    conn.send_request(method, '/a')
    assert conn.read_response().status == 200


def test_8_6_always_set_whatever_the_caller_says(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    host = f'localhost:{conn.port}'
    for headers in (
        {},
        {'Content-Length': '99', 'Host': 'x', 'Accept-Encoding': 'gzip'},
        {'content-length': 'no number', 'host': 'x', 'ACCEPT-ENCODING': ''},
    ):
        for body in None, b'12345':
            exchange(conn, 'PUT', '/a', headers=headers, body=body)
            assert record.last.values('Content-Length') == [str(len(body or b''))]
            assert record.last.values('Host') == [host]
            assert record.last.values('Accept-Encoding') == ['identity']
        conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3))
        conn.write(b'123')
        finish(conn)
        assert record.last.values('Content-Length') == ['3']


@pytest.mark.parametrize('headers', [{}, {'expect': 'nothing'}, {'Expect': '100-continue'}], ids=repr)
def test_8_6_expect(serve: Serve, headers: dict[str, str]) -> None:
    def script(peer: Peer) -> None:
        head = peer.head()
        assert head.values('Expect') == ['100-continue']
        assert 'Expect' in head.names
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(3) == b'123'
        peer.answer(b'/a')

    conn = serve(script)
    conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3), expect100=True)
    assert conn.read_response().status == 100
    conn.write(b'123')
    finish(conn)


def test_8_6_no_expect_without_expect100(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    conn.send_request('PUT', '/a', body=BodyFollowing(3))
    conn.write(b'123')
    finish(conn)
    assert not record.last.values('Expect')


@pytest.mark.parametrize('body', [None, b'123', BodyFollowing(3)])
def test_8_6_expect_of_the_caller_is_a_header_like_others(serve: Serve, record: Recorder, body: Any) -> None:
    """Without expect100 nothing is awaited; a 100 response is one that nobody asked for (10.4)."""
    conn = serve(record)
    conn.send_request('PUT', '/a', headers={'X': '1', 'expect': '100-continue', 'Y': '2'}, body=body)
    if isinstance(body, BodyFollowing):
        conn.write(b'123')
    finish(conn)
    assert record.last.headers[1:4] == [('X', '1'), ('expect', '100-continue'), ('Y', '2')]


@pytest.mark.parametrize('name', ['Transfer-Encoding', 'transfer-encoding', 'TRANSFER-ENCODING'])
@pytest.mark.parametrize('value', ['chunked', 'identity', ''])
def test_8_6_and_8_12_transfer_encoding_of_the_caller(serve: Serve, record: Recorder, name: str, value: str) -> None:
    conn = serve(record)
    for body in None, b'x', BodyFollowing(3), BodyFollowing():
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('PUT', '/wrong', headers={name: value}, body=body)
        assert not conn._out_remaining
        assert not conn.response_pending()
    exchange(conn, 'GET', '/a')
    assert len(record.got) == 1


def test_8_7_set_unless_the_caller_gives_them(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    for body in b'', b'x', b'hello' * 1000, bytearray(b'y'), memoryview(b'z'):
        exchange(conn, 'PUT', '/a', body=body)
        assert record.last.values('Connection') == ['keep-alive']
        assert record.last.values('Content-MD5') == [md5(bytes(body))]
    exchange(conn, 'PUT', '/a', headers={'content-md5': 'mine', 'CONNECTION': 'x-mine'}, body=b'x')
    assert record.last.values('Connection') == ['x-mine']
    assert record.last.values('Content-MD5') == ['mine']
    exchange(conn, 'PUT', '/a', headers={'Content-MD5': '', 'Connection': ''}, body=b'x')
    assert record.last.values('Connection') == ['']
    assert record.last.values('Content-MD5') == ['']


def test_8_7_connection_close_of_the_caller(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().values('Connection') == ['close']
        peer.answer(b'/a', headers=[('Connection', 'close')])

    conn = serve(script)
    exchange(conn, 'GET', '/a', headers={'Connection': 'close'})


def test_8_7_no_content_md5_without_bytes(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    exchange(conn, 'PUT', '/a')
    assert not record.last.values('Content-MD5')
    for headers in {}, {'Content-MD5': 'mine'}:
        conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3))
        conn.write(b'123')
        finish(conn)
        assert record.last.values('Content-MD5') == list(headers.values())


# 8.8


def test_8_8_order(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    mine = {'z': '1', 'A': '2', 'm': '3'}
    exchange(conn, 'PUT', '/a', headers=mine, body=b'x')
    assert record.last.headers == [
        ('Host', f'localhost:{conn.port}'),
        ('z', '1'),
        ('A', '2'),
        ('m', '3'),
        ('Content-Length', '1'),
        ('Content-MD5', md5(b'x')),
        ('Accept-Encoding', 'identity'),
        ('Connection', 'keep-alive'),
    ]
    exchange(conn, 'GET', '/a', headers=mine)
    assert record.last.names == ['Host', 'z', 'A', 'm', 'Content-Length', 'Accept-Encoding', 'Connection']


def test_8_8_order_with_expect(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.head().headers == [
            ('Host', f'localhost:{conn.port}'),
            ('z', '1'),
            ('Expect', '100-continue'),
            ('Content-Length', '3'),
            ('Accept-Encoding', 'identity'),
            ('Connection', 'keep-alive'),
        ]
        peer.answer(b'/a')

    conn = serve(script)
    conn.send_request('PUT', '/a', headers={'z': '1'}, body=BodyFollowing(3), expect100=True)
    finish(conn)


def test_8_8_generated_headers_in_the_place_of_the_caller(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    headers = {
        'one': '1',
        'accept-encoding': 'gzip',
        'two': '2',
        'content-length': '99',
        'CONTENT-md5': 'mine',
        'three': '3',
        'connection': 'x-mine',
        'four': '4',
    }
    exchange(conn, 'PUT', '/a', headers=headers, body=b'x')
    assert record.last.headers == [
        ('Host', f'localhost:{conn.port}'),
        ('one', '1'),
        ('Accept-Encoding', 'identity'),
        ('two', '2'),
        ('Content-Length', '1'),
        ('CONTENT-md5', 'mine'),
        ('three', '3'),
        ('connection', 'x-mine'),
        ('four', '4'),
    ]


def test_8_8_expect_in_the_place_of_the_caller(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.head().headers[1:5] == [
            ('a', '1'),
            ('Expect', '100-continue'),
            ('b', '2'),
            ('Content-Length', '3'),
        ]
        peer.answer(b'/a')

    conn = serve(script)
    headers = {'a': '1', 'eXPECT': 'nothing', 'b': '2'}
    conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3), expect100=True)
    finish(conn)


def test_8_8_host_is_first_whatever_the_caller_says(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    for name in 'Host', 'host':
        exchange(conn, 'GET', '/a', headers={'a': '1', name: 'elsewhere.example.org', 'b': '2'})
        assert record.last.headers[0] == ('Host', f'localhost:{conn.port}')
        assert record.last.names[1:3] == ['a', 'b']
        assert len(record.last.values('Host')) == 1


def test_8_8_generated_headers_are_sent_once(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    headers = [('content-length', '5'), ('a', '1'), ('Content-Length', '6'), ('accept-encoding', 'x')]
    exchange(conn, 'PUT', '/a', headers=[*headers, *headers[:1], ('host', 'x'), ('HOST', 'y')], body=b'123')
    assert record.last.values('Content-Length') == ['3']
    assert record.last.values('Accept-Encoding') == ['identity']
    assert record.last.values('Host') == [f'localhost:{conn.port}']


# 8.9


class Plain:
    """A context that does not encrypt, so that a proxy's script need not speak TLS."""

    def wrap_socket(self, sock: socket.socket, server_hostname: str) -> socket.socket:
        return sock


HOSTS = [
    ('www.example.org', 80, False, 'www.example.org'),
    ('www.example.org', None, False, 'www.example.org'),
    ('www.example.org', 443, False, 'www.example.org:443'),
    ('www.example.org', 8080, False, 'www.example.org:8080'),
    ('www.example.org', 443, True, 'www.example.org'),
    ('www.example.org', None, True, 'www.example.org'),
    ('www.example.org', 80, True, 'www.example.org:80'),
    ('www.example.org', 8443, True, 'www.example.org:8443'),
    ('127.0.0.1', 80, False, '127.0.0.1'),
    ('::1', 80, False, '[::1]'),
    ('::1', 8080, False, '[::1]:8080'),
    ('2001:db8::17', 443, True, '[2001:db8::17]'),
    ('2001:db8::17', 80, True, '[2001:db8::17]:80'),
    ('WWW.Example.ORG', 80, False, 'WWW.Example.ORG'),
]


@pytest.mark.parametrize(('name', 'port', 'tls', 'host'), HOSTS)
def test_8_9_host(
    monkeypatch: pytest.MonkeyPatch, record: Recorder, name: str, port: int | None, tls: bool, host: str
) -> None:
    with Server(record) as server:
        here = (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', server.port))
        monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: [here])
        context: Any = Plain() if tls else None
        with HTTPConnection(name, port, context) as conn:
            exchange(conn, 'GET', '/a')
    assert record.last.values('Host') == [host]
    assert record.last.target == '/a'


@pytest.mark.parametrize(('name', 'port', 'tls', 'host'), HOSTS)
def test_8_9_host_with_a_proxy(record: Recorder, name: str, port: int | None, tls: bool, host: str) -> None:
    hosts: list[str] = []

    def proxy(peer: Peer) -> None:
        if tls:
            assert peer.head().method == 'CONNECT'
            peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        hosts.extend(peer.request().values('Host'))
        peer.answer(b'/a')

    context: Any = Plain() if tls else None
    with Server(proxy) as server, HTTPConnection(name, port, context, ('127.0.0.1', server.port)) as conn:
        exchange(conn, 'GET', '/a')
    assert hosts == [host]


# 8.10


@pytest.mark.parametrize('method', ['GET', 'get', 'Patch', 'M-SEARCH', "!#$%&'*+-.^_`|~0aZ", 'X' * 100])
def test_8_10_methods_go_out_as_they_are(serve: Serve, record: Recorder, method: str) -> None:
    conn = serve(record)
    conn.send_request(method, '/a')
    resp = conn.read_response()
    assert (resp.method, resp.path) == (method, '/a')
    assert record.last.raw.startswith(f'{method} /a HTTP/1.1\r\n'.encode())


@pytest.mark.parametrize(
    'path',
    [
        '/',
        '*',
        '/a%20b%2Fc?d=%C3%A9&e=f+g',
        '/%',
        '//a//../b/./',
        'http://www.example.org/a',
        'HTTPS://user@www.example.org:8080',
        'urn+x-1.0://a?b',
        '/"<>\\^`{|}~[]@!$&\'()*+,;=:',
        '/' + 'x' * 20000,
    ],
)
def test_8_10_paths_go_out_as_they_are(serve: Serve, record: Recorder, path: str) -> None:
    conn = serve(record)
    conn.send_request('GET', path)
    resp = conn.read_response()
    assert resp.path == path
    assert conn.readall() == path.encode()
    assert record.last.raw.startswith(f'GET {path} HTTP/1.1\r\n'.encode())


@pytest.mark.parametrize(
    'path',
    [
        'a',
        'obj/1',
        '?',
        '?a=b',
        '**',
        '*/',
        'www.example.org:80',
        'http:a',
        'http:/a',
        'http://',
        '://a',
        '1://a',
        '\\a',
    ],
)
def test_8_10_paths_of_no_form_are_refused(serve: Serve, path: str) -> None:
    refuses(serve, ValueError, path=path)


def test_8_10_the_message_quotes_the_path() -> None:
    conn = HTTPConnection('127.0.0.1')
    with pytest.raises(ValueError, match=re.escape("begin with '/', or be '*' or an absolute URL, not 'obj/1'")):
        conn.send_request('GET', 'obj/1')
    with pytest.raises(ValueError, match=r"not 'x{20,70}…$"):
        conn.send_request('GET', 'x' * 1000)


# 8.11, 8.12

BODIES = [None, b'body', BodyFollowing(5), BodyFollowing()]


def refuses(serve: Serve, error: type[Exception], **changes: Any) -> None:
    """The request is refused on a new connection and on one in use; nothing of it is sent, and all goes on."""
    record = Recorder()
    conn = serve(record, record)
    request = {'method': 'PUT', 'path': '/wrong', 'headers': {'X': 'y'}, **changes}
    for _ in range(2):
        for body in BODIES:
            for expect100 in (False, True) if isinstance(body, BodyFollowing) else (False,):
                with pytest.raises(error):
                    conn.send_request(**request, body=body, expect100=expect100)
                with pytest.raises(error):
                    eval_coroutine(conn.co_send_request(**request, body=body, expect100=expect100))
                assert not conn._out_remaining
                assert not conn.response_pending()
                with pytest.raises(StateError):
                    conn.write(b'x')
        exchange(conn, 'GET', '/a')
    conn.send_request('GET', '/b')
    with pytest.raises(error):
        conn.send_request(**request)
    assert conn.response_pending()
    finish(conn)
    conn.send_request('PUT', '/c', body=BodyFollowing(3))
    conn.write(b'123')
    finish(conn)
    assert [one.target for one in record.got] == ['/a', '/a', '/b', '/c']


@pytest.mark.parametrize(
    'changes',
    [
        {'method': 'G\u20acT'},
        {'path': '/\u20ac'},
        {'path': '/\U0001f600'},
        {'path': '/\udc80'},
        {'headers': {'X-\u20ac': 'y'}},
        {'headers': {'X': '\u20ac'}},
        {'headers': {'A': 'b', 'X': 'y' * 1000 + '\u20ac'}},
        {'headers': {'X': '\udcff'}},
    ],
)
def test_8_11_and_8_12_what_latin_1_cannot_express(serve: Serve, changes: dict[str, Any]) -> None:
    refuses(serve, UnicodeEncodeError, **changes)


@pytest.mark.parametrize('char', ['\r', '\n', '\0', '\r\n'], ids=['CR', 'LF', 'NUL', 'CRLF'])
@pytest.mark.parametrize('place', ['method', 'path', 'name', 'value'])
def test_8_11_and_8_12_cr_lf_nul(serve: Serve, char: str, place: str) -> None:
    for text in f'a{char}b', f'{char}b', f'a{char}', f'a{char} b', f'a{char}X: y{char}{char}GET /wrong HTTP/1.1':
        if place == 'name':
            refuses(serve, ValueError, headers={text: 'y'})
        elif place == 'value':
            refuses(serve, ValueError, headers={'X': text})
        else:
            refuses(serve, ValueError, **{place: f'/{text}' if place == 'path' else text})


@pytest.mark.parametrize('name', ['Content-MD5', 'Connection', 'X', 'Host', 'Content-Length', 'Accept-Encoding'])
def test_8_11_values_of_any_header_must_not_inject(serve: Serve, record: Recorder, name: str) -> None:
    """Those of headers that are ours are refused, or they are not sent."""
    conn = serve(record)
    try:
        conn.send_request('PUT', '/a', headers={name: 'a\r\nInjected: b'}, body=b'x')
    except ValueError:
        conn.send_request('PUT', '/a', body=b'x')
    finish(conn)
    assert not record.last.values('Injected')
    if name in ('Content-MD5', 'Connection', 'X'):
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('PUT', '/a', headers={name: 'a\r\nInjected: b'}, body=b'x')


@pytest.mark.parametrize('char', [' ', '\t', '\x01', '\x0b', '\x0c', '\x1f', '\x7f'], ids=lambda char: hex(ord(char)))
@pytest.mark.parametrize('place', ['method', 'path', 'name'])
def test_8_11_and_8_12_blanks_and_control_characters(serve: Serve, char: str, place: str) -> None:
    for text in f'a{char}b', f'a{char}', f'{char}a':
        if place == 'name':
            refuses(serve, ValueError, headers={text: 'y'})
        else:
            refuses(serve, ValueError, **{place: text})


@pytest.mark.parametrize(
    'changes',
    [
        {'path': ''},
        {'method': ''},
        {'headers': {'': 'y'}},
        {'path': '/a#b'},
        {'path': '#'},
        {'path': '/caf\xe9'},
        {'path': '/\x80'},
        {'method': 'G\xc9T'},
        {'headers': {'X-caf\xe9': 'y'}},
        {'method': 'GET:'},
        {'method': 'GET/1'},
        {'headers': {'X:': 'y'}},
        {'headers': {'X(Y)': 'y'}},
        {'headers': {'"X"': 'y'}},
        {'headers': {'X,Y': 'y'}},
        {'headers': {'X': 'a\x01b'}},
        {'headers': {'X': 'a\x7fb'}},
        {'headers': [('X', 'y'), ('Y', 'a\nb')]},
    ],
)
def test_8_11_and_8_12_what_the_grammar_does_not_allow(serve: Serve, changes: dict[str, Any]) -> None:
    refuses(serve, ValueError, **changes)


def test_8_11_letters_beyond_ascii_are_fine_in_values(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    value = ''.join(map(chr, range(0xA1, 0x100)))
    exchange(conn, 'GET', '/a', headers={'X': value, 'Y': 'a\tb  c', 'Z': '\x80 x'})
    assert record.last.values('X') == [value]
    assert record.last.values('Y') == ['a\tb  c']
    assert record.last.values('Z') == ['\x80 x']
    assert b'\r\nX: ' + value.encode('latin-1') + b'\r\n' in record.last.raw


def test_8_12_headers_of_other_types_change_nothing(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    wrong: list[Any] = [5, {5: 'x'}, [5], [('a', 'b', 'c')]]
    for headers in wrong:
        with pytest.raises((TypeError, ValueError, AttributeError)):
            conn.send_request('PUT', '/wrong', headers=headers, body=BodyFollowing(5))
        assert not conn._out_remaining
    exchange(conn, 'GET', '/a')
    assert len(record.got) == 1


def test_8_12_method_and_path_of_other_types_change_nothing(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    wrong: list[Any] = [None, 5, b'/x', object()]
    for text in wrong:
        with pytest.raises(TypeError):
            conn.send_request('PUT', text, body=BodyFollowing(5))
        with pytest.raises(TypeError):
            conn.send_request(text, '/wrong', body=BodyFollowing(5))
        assert not conn._out_remaining
    exchange(conn, 'GET', '/a')
    assert len(record.got) == 1


def test_8_12_errors_while_a_body_is_due(serve: Serve, record: Recorder) -> None:
    """The unfinished body goes on as if nothing had been asked."""
    conn = serve(record)
    conn.send_request('PUT', '/a', body=BodyFollowing(4))
    wrong: list[dict[str, Any]] = [
        {'path': '/b'},
        {'path': '/b', 'body': BodyFollowing(9)},
        {'path': '/b', 'body': BodyFollowing()},
        {'path': '/b', 'body': b'x'},
        {'path': '/b', 'body': BodyFollowing(9), 'expect100': True},
    ]
    for part in b'12', b'34':
        for changes in wrong:
            with pytest.raises(StateError):
                conn.send_request('PUT', **changes)
        worse: list[dict[str, Any]] = [{'path': ''}, {'path': '/\u20ac'}, {'path': '/', 'body': 'x'}]
        for changes in worse:
            with pytest.raises((StateError, ValueError, TypeError)):
                conn.send_request('PUT', **changes)
        with pytest.raises(ExcessBodyData):
            conn.write(b'12345')
        conn.write(part)
    finish(conn)
    assert record.got[0].body == b'1234'
    assert len(record.got) == 1


def test_8_12_pipelined_requests_are_not_disturbed(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        got = [peer.request().target for _ in range(3)]
        assert got == ['/a', '/b', '/c']
        for path in got:
            peer.answer(path.encode())
        assert peer.rest() == b''

    conn = serve(script)
    for path in '/a', '/b', '/c':
        wrong: list[dict[str, Any]] = [{'path': '/\u20ac'}, {'path': ''}, {'path': '/', 'body': 'x'}]
        for changes in wrong:
            with pytest.raises((ValueError, TypeError)):
                conn.send_request('GET', **changes)
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('GET', '/', body=b'x', expect100=True)
        conn.send_request('GET', path)
    for path in '/a', '/b', '/c':
        assert finish(conn) == path.encode()
    assert not conn.response_pending()


# 8.13


def test_8_13_sizes_are_in_bytes(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    for code in 'HIQd':
        items = array.array(code, [1, 2, 3])
        view = memoryview(items)
        exchange(conn, 'PUT', '/a', body=view)
        assert record.last.body == items.tobytes()
        assert record.last.values('Content-Length') == [str(view.nbytes)]
        assert record.last.values('Content-MD5') == [md5(items.tobytes())]


def test_8_13_more_than_one_dimension(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    view = memoryview(bytes(range(24))).cast('B', [2, 3, 4])
    exchange(conn, 'PUT', '/a', body=view)
    assert record.last.body == bytes(range(24))


def test_8_13_empty_and_read_only_and_released(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    exchange(conn, 'PUT', '/a', body=memoryview(array.array('I')))
    assert record.last.body == b''
    body = bytearray(b'12345')
    conn.send_request('PUT', '/a', body=body)
    body.clear()  # nobody holds it any more
    finish(conn)
    assert record.last.body == b'12345'
    view = memoryview(b'x')
    view.release()
    with pytest.raises(ValueError):  # noqa: PT011
        conn.send_request('PUT', '/wrong', body=view)
    exchange(conn, 'GET', '/a')


# 8.14


def test_8_14_no_response_to_a_request_that_could_not_be_sent(serve: Serve) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
        peer.answer(b'/a')
        peer.answer(b'/b')
        peer.reset()
        gone.set()

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.send_request('GET', '/b')
    assert gone.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        for _ in range(3):
            conn.send_request('PUT', '/c', body=bytes(1 << 20))
    assert not conn._out_remaining
    assert finish(conn) == b'/a'
    assert finish(conn) == b'/b'
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()


def test_8_14_the_first_request_cannot_be_sent(serve: Serve) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.reset()
        gone.set()

    conn = serve(script)
    conn.connect()
    assert gone.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        for _ in range(3):
            conn.send_request('PUT', '/c', body=bytes(1 << 20))
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()
