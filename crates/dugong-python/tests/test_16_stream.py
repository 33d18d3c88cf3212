from __future__ import annotations

import codecs
import csv
import gc
import hashlib
import io
import json
import shutil
import threading
from collections.abc import Callable
from typing import Any

import pytest
from peers import Peer, Serve, ask, says

import dugong
from dugong import BodyFollowing, ConnectionClosed, StateError

LIMIT = 10
TEXT = 'caf\xe9 \u20ac\nsecond line\nthe last one'
BODY = TEXT.encode()
NEXT = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext'

FRAMINGS = {
    'length': b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(BODY), BODY),
    'chunked': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
    + b''.join(b'%x\r\n%b\r\n' % (len(part), part) for part in (BODY[:4], BODY[4:8], BODY[8:]))
    + b'0\r\n\r\n',
}
every_framing = pytest.mark.parametrize('answer', FRAMINGS.values(), ids=FRAMINGS.keys())

Wrapper = Callable[[Any], Any]
WRAPPERS: dict[str, Wrapper] = {
    'text': lambda conn: io.TextIOWrapper(conn, encoding='utf-8'),
    'buffered': io.BufferedReader,
    'both': lambda conn: io.TextIOWrapper(io.BufferedReader(conn), encoding='utf-8'),
}
every_wrapper = pytest.mark.parametrize('wrap', WRAPPERS.values(), ids=WRAPPERS.keys())


def text(conn: Any, **args: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(conn, **{'encoding': 'utf-8', **args})


def buffered(conn: Any, *args: Any) -> io.BufferedReader:
    return io.BufferedReader(conn, *args)


@every_framing
def test_16_1_text(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer))
    ask(conn)
    stream = text(conn)
    assert stream.read() == TEXT
    for _ in range(2):
        assert stream.read() == ''
        assert stream.read(1) == ''
        assert stream.readline() == ''
    assert not conn.response_pending()


@every_framing
def test_16_1_lines_of_text(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer, NEXT))
    ask(conn, times=2)
    stream = text(conn)
    assert list(stream) == TEXT.splitlines(keepends=True)
    assert list(stream) == []
    assert conn.read_response().path == '/1'
    assert conn.readall() == b'next'


@every_framing
def test_16_1_text_in_parts(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer))
    ask(conn)
    stream = text(conn)
    assert stream.read(5) == TEXT[:5]
    assert stream.readline() == '\u20ac\n'
    assert stream.read(3) == 'sec'
    assert stream.readlines() == ['ond line\n', 'the last one']
    assert stream.read(3) == ''


@every_framing
@pytest.mark.parametrize('size', [1, 3, 8192])
def test_16_1_bytes(serve: Serve, answer: bytes, size: int) -> None:
    conn = serve(says(answer))
    ask(conn)
    stream = buffered(conn, size)
    assert stream.peek(1)
    assert stream.read(2) == BODY[:2]
    assert stream.readline() == BODY[2:].splitlines(keepends=True)[0]
    assert stream.read1(1) == b's'
    buf = bytearray(5)
    assert stream.readinto(buf) == 5
    assert buf == b'econd'
    assert stream.read() == b' line\nthe last one'
    for _ in range(2):
        assert stream.read() == b''
        assert stream.read(1) == b''
        assert stream.read1() == b''
        assert stream.readline() == b''
    assert not conn.response_pending()


def test_16_1_an_empty_body(serve: Serve) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', b'HTTP/1.1 204 No Content\r\n\r\n'))
    ask(conn)
    stream = text(conn)
    assert stream.read() == ''
    assert buffered(conn).read() == b''
    ask(conn)
    assert stream.read() == ''
    assert buffered(conn).read() == b''


def test_16_1_a_large_body(serve: Serve) -> None:
    data = b''.join(b'line %d\n' % number for number in range(100000))
    conn = serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(data), data)))
    ask(conn)
    assert [int(line.split()[1]) for line in text(conn)] == list(range(100000))


def test_16_1_up_to_the_end_of_the_connection(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n' + BODY)

    conn = serve(script)
    ask(conn)
    stream = text(conn)
    assert stream.read() == TEXT
    assert stream.read() == ''


def test_16_1_only_the_current_response(serve: Serve) -> None:
    conn = serve(says(FRAMINGS['length'], FRAMINGS['chunked'], NEXT))
    assert ask(conn, times=3).path == '/0'
    assert text(conn).read() == TEXT
    assert conn.read_response().path == '/1'
    assert buffered(conn).read() == BODY
    assert conn.read_response().path == '/2'
    assert text(conn).read() == 'next'


def test_16_1_other_modules_can_read_it(serve: Serve) -> None:
    table, tree = b'a,b\r\n1,"2\r\n3"\r\n', b'{"a": [1, 2]}'
    conn = serve(
        says(
            b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(table), table),
            b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(tree), tree),
            FRAMINGS['chunked'],
        )
    )
    ask(conn)
    assert list(csv.reader(text(conn, newline=''))) == [['a', 'b'], ['1', '2\r\n3']]
    ask(conn)
    stream: Any = conn
    assert json.load(stream) == {'a': [1, 2]}
    ask(conn)
    assert codecs.getreader('utf-8')(stream).read() == TEXT


def test_16_1_readable_writable_seekable_and_closed(serve: Serve) -> None:
    conn = serve(says(NEXT))

    def check() -> None:
        assert conn.readable() is True
        assert conn.writable() is True
        assert conn.seekable() is False
        assert conn.closed is False

    check()
    ask(conn)
    check()
    conn.readall()
    check()
    conn.disconnect()
    check()
    stream = text(conn)
    assert stream.readable()
    assert stream.writable()
    assert not stream.seekable()
    conn.close()
    check()


@every_framing
@pytest.mark.parametrize('args', [(), (7,)])
def test_16_1_copyfileobj_from_the_connection(serve: Serve, answer: bytes, args: tuple[int, ...]) -> None:
    conn = serve(says(answer, NEXT))
    ask(conn, times=2)
    target = io.BytesIO()
    source: Any = conn
    shutil.copyfileobj(source, target, *args)
    assert target.getvalue() == BODY
    assert conn.read_response().path == '/1'
    assert conn.readall() == b'next'


@pytest.mark.parametrize('args', [(), (7,)])
def test_16_1_copyfileobj_to_the_connection(serve: Serve, args: tuple[int, ...]) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().body == BODY * 100
        peer.answer(b'done')
        peer.rest()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(len(BODY) * 100))
    shutil.copyfileobj(io.BytesIO(BODY * 100), conn, *args)
    conn.read_response()
    assert conn.readall() == b'done'


def test_16_1_copyfileobj_to_the_connection_in_chunks(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().body == BODY
        peer.answer(b'done')
        peer.rest()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing())
    shutil.copyfileobj(io.BytesIO(BODY), conn, 7)
    conn.finish()
    conn.read_response()
    assert conn.readall() == b'done'


def test_16_1_copyfileobj_from_one_to_another(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert hashlib.sha256(peer.request().body).digest() == hashlib.sha256(data).digest()
        peer.answer(b'done')
        peer.rest()

    data = bytes(range(256)) * 4000
    source: Any = serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(data), data)))
    target = serve(script)
    length = ask(source).length
    assert length == len(data)
    target.send_request('PUT', '/', body=BodyFollowing(length))
    shutil.copyfileobj(source, target)
    target.read_response()
    assert target.readall() == b'done'


def test_16_2_the_other_methods_of_streams(serve: Serve) -> None:
    conn = serve(says(FRAMINGS['length']))

    def check() -> None:
        assert conn.isatty() is False
        result: object = conn.flush()  # type: ignore[func-returns-value]
        assert result is None
        assert not hasattr(conn, 'read1')

    check()
    ask(conn)
    check()
    assert conn.readall() == BODY
    conn.disconnect()
    check()
    assert serve.server.connections == 1


UNSUPPORTED: list[tuple[str, Callable[[dugong.HTTPConnection], object]]] = [
    ('fileno', lambda conn: conn.fileno()),
    ('readline', lambda conn: conn.readline()),
    ('readline', lambda conn: conn.readline(5)),
    ('readlines', lambda conn: conn.readlines()),
    ('readlines', lambda conn: conn.readlines(5)),
    ('seek', lambda conn: conn.seek(0)),
    ('seek', lambda conn: conn.seek(0, 2)),
    ('tell', lambda conn: conn.tell()),
    ('truncate', lambda conn: conn.truncate()),
    ('truncate', lambda conn: conn.truncate(5)),
]


@pytest.mark.parametrize(('name', 'call'), UNSUPPORTED)
def test_16_2_unsupported_operations(serve: Serve, name: str, call: Callable[[dugong.HTTPConnection], object]) -> None:
    conn = serve(says(FRAMINGS['length']))
    with pytest.raises(io.UnsupportedOperation):
        call(conn)
    assert serve.server.connections == 0
    ask(conn)
    with pytest.raises(io.UnsupportedOperation):
        call(conn)
    assert conn.readall() == BODY


def test_16_2_unsupported_operations_of_wrappers(serve: Serve) -> None:
    conn = serve(says(FRAMINGS['length']))
    ask(conn)
    stream = text(conn)
    for call in stream.fileno, stream.tell, lambda: stream.seek(0), stream.truncate:
        with pytest.raises(io.UnsupportedOperation):
            call()
    assert not stream.isatty()
    stream.flush()
    assert stream.read() == TEXT


def test_16_2_writelines_calls_write(serve: Serve) -> None:
    class Connection(dugong.HTTPConnection):
        def write(self, buf: bytes | bytearray | memoryview) -> None:
            written.append(buf)
            super().write(buf)

    def script(peer: Peer) -> None:
        assert peer.request().body == b'one\ntwothree'
        peer.answer(b'done')
        peer.rest()

    written: list[object] = []
    conn = serve(script, kind=Connection)
    conn.send_request('PUT', '/', body=BodyFollowing(12))
    lines: list[bytes | bytearray | memoryview] = [b'one\n', bytearray(b'two'), b'', memoryview(b'three')]
    result: object = conn.writelines(iter(lines))  # type: ignore[func-returns-value]
    assert result is None
    assert written == lines
    assert [type(line) for line in written] == [type(line) for line in lines]
    conn.read_response()
    assert conn.readall() == b'done'


def test_16_2_writelines_raises_the_errors_of_write(serve: Serve) -> None:
    conn = serve(says(NEXT))
    with pytest.raises(StateError):
        conn.writelines([b'x'])
    conn.writelines([])
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    with pytest.raises(dugong.ExcessBodyData):
        conn.writelines([b'abc', b'defg'])
    conn.writelines([b'de'])
    conn.read_response()
    assert conn.readall() == b'next'


@every_wrapper
@pytest.mark.parametrize('read', [False, True])
def test_16_2_and_16_3_closing_a_wrapper_disconnects(serve: Serve, wrap: Wrapper, read: bool) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(FRAMINGS['length'])
        peer.rest()
        closed.set()

    closed = threading.Event()
    conn = serve(script, says(NEXT))
    ask(conn)
    stream = wrap(conn)
    if read:
        stream.read()
    stream.close()
    assert closed.wait(LIMIT)
    assert conn.closed is False
    assert not conn.response_pending()
    ask(conn)
    assert conn.readall() == b'next'
    stream.close()
    del stream
    gc.collect()
    assert conn.closed is False


@every_wrapper
def test_16_3_a_wrapper_as_context_manager(serve: Serve, wrap: Wrapper) -> None:
    conn = serve(says(FRAMINGS['chunked']), says(NEXT))
    ask(conn)
    with wrap(conn) as stream:
        assert stream.read() in (TEXT, BODY)
    ask(conn)
    assert conn.readall() == b'next'
    assert serve.server.connections == 2


def test_16_3_close_is_disconnect(serve: Serve) -> None:
    conn = serve(says(FRAMINGS['length']), says(NEXT))
    for _ in range(2):
        conn.close()
        assert conn.closed is False
    ask(conn)
    for _ in range(2):
        conn.close()
        assert conn.closed is False
    assert not conn.response_pending()
    with pytest.raises(ConnectionClosed):
        conn.read(10)
    ask(conn)
    assert conn.readall() == b'next'
    assert serve.server.connections == 2


@pytest.mark.filterwarnings('error')
@every_wrapper
@pytest.mark.parametrize('read', ['all', 'some', 'none'])
@pytest.mark.parametrize('cycle', [False, True])
def test_16_3_the_connection_stays_open_when_a_wrapper_is_collected(
    serve: Serve, wrap: Wrapper, read: str, cycle: bool
) -> None:
    conn = serve(says(FRAMINGS['length'], FRAMINGS['chunked'], NEXT))
    ask(conn, times=3)
    for _ in range(2):
        stream = wrap(conn)
        if read == 'all':
            assert stream.read() in (TEXT, BODY)
        elif read == 'some':
            assert stream.read(3) in (TEXT[:3], BODY[:3])
        if cycle:
            keep = [stream]
            keep.append(keep)
            del keep
        del stream
        gc.collect()
        conn.discard()
        conn.read_response()
    assert conn.readall() == b'next'
    assert serve.server.connections == 1


@every_wrapper
def test_16_3_close_still_closes_after_a_wrapper_was_collected(serve: Serve, wrap: Wrapper) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(FRAMINGS['length'])
        peer.rest()
        closed.set()

    closed = threading.Event()
    conn = serve(script)
    ask(conn)
    for _ in range(3):
        wrap(conn)
    gc.collect()
    assert conn.readall() == BODY
    conn.close()
    assert closed.wait(LIMIT)


@every_wrapper
def test_16_3_closing_one_wrapper_after_another_was_collected(serve: Serve, wrap: Wrapper) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(FRAMINGS['length'])
        peer.rest()
        closed.set()

    closed = threading.Event()
    conn = serve(script)
    ask(conn)
    wrap(conn)
    gc.collect()
    stream = wrap(conn)
    assert stream.read() in (TEXT, BODY)
    stream.close()
    assert closed.wait(LIMIT)


@every_wrapper
def test_16_3_a_wrapper_that_was_closed_does_no_harm_when_collected(serve: Serve, wrap: Wrapper) -> None:
    conn = serve(says(FRAMINGS['length']), says(NEXT))
    ask(conn)
    stream = wrap(conn)
    stream.close()
    conn.send_request('GET', '/')
    del stream
    gc.collect()
    conn.read_response()
    assert conn.readall() == b'next'


@every_wrapper
def test_16_3_a_wrapper_that_was_detached_does_no_harm(serve: Serve, wrap: Wrapper) -> None:
    conn = serve(says(FRAMINGS['length'], NEXT))
    ask(conn, times=2)
    stream = wrap(conn)
    assert stream.read() in (TEXT, BODY)
    inner = stream.detach()
    if inner is not conn:
        inner = inner.detach()
    assert inner is conn
    del stream, inner
    gc.collect()
    conn.read_response()
    assert conn.readall() == b'next'


@pytest.mark.filterwarnings('error', 'ignore:unclosed HTTPConnection:ResourceWarning')
@every_wrapper
def test_16_3_collected_together_with_the_connection(serve: Serve, wrap: Wrapper) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(FRAMINGS['length'])
        peer.rest()
        closed.set()

    closed = threading.Event()
    serve(script)
    conn = dugong.HTTPConnection('localhost', serve.server.port, ssl_context=serve.client_tls)
    conn.timeout = LIMIT
    ask(conn)
    stream = wrap(conn)
    del conn
    assert stream.read() in (TEXT, BODY)
    del stream
    gc.collect()
    assert closed.wait(LIMIT)
