from __future__ import annotations

import collections.abc
import fcntl
import gc
import logging
import os
import re
import select
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import pytest
from peers import Peer, Script, Serve

from dugong import (
    POLLIN,
    POLLOUT,
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    ExcessBodyData,
    HTTPConnection,
    HTTPResponse,
    InvalidResponse,
    PollNeeded,
    StateError,
    eval_coroutine,
)

T = TypeVar('T')
Crt = Generator[PollNeeded, None, T]
Make = Callable[[HTTPConnection], Any]

LIMIT = 10
BOTH = POLLIN | POLLOUT
BIG = 16 << 20  # more than the systems of both sides take from one who sends to nobody
HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
HEAD = HELLO[:-5]


# Scripts of the server


def says(*answers: bytes) -> Script:
    """Send one of these for each request, then wait until the client closes."""

    def script(peer: Peer) -> None:
        for answer in answers:
            peer.request()
            peer.send(answer)
        peer.rest()

    return script


def silent(peer: Peer) -> None:
    """Read, and say nothing."""
    peer.rest()


def waiting(go_on: threading.Event, after: Script) -> Script:
    """Do nothing at all until the event is set."""

    def script(peer: Peer) -> None:
        assert go_on.wait(LIMIT)
        after(peer)

    return script


def stepwise(go_on: threading.Semaphore, *parts: bytes) -> Script:
    """Answer one request with these parts, each when the client has yielded."""

    def script(peer: Peer) -> None:
        peer.request()
        for part in parts:
            assert go_on.acquire(timeout=LIMIT)
            peer.send(part)
        peer.rest()

    return script


def deliver(peer: Peer, data: bytes) -> None:
    """Send it, and wait until the client's system has it."""
    peer.send(data)
    end = time.monotonic() + LIMIT
    while struct.unpack('i', fcntl.ioctl(peer.sock, termios.TIOCOUTQ, bytes(4)))[0]:
        assert time.monotonic() < end
        time.sleep(0.001)


# What the client does


def at_once(iterator: Crt[T]) -> T:
    """Run an iterator that must not yield."""
    with pytest.raises(StopIteration) as caught:
        next(iterator)
    value: T = caught.value.value
    return value


def drive(iterator: Crt[T], on_yield: Callable[[], object] = lambda: None) -> T:
    for _ in range(100_000):
        try:
            need = next(iterator)
        except StopIteration as end:
            value: T = end.value
            return value
        assert type(need) is PollNeeded
        on_yield()
        assert need.poll(LIMIT)
    raise AssertionError('goes on for ever')


def drive_both(first: Crt[Any], second: Crt[Any]) -> tuple[Any, Any]:
    """Run two iterators side by side; resume one only when what it has asked for is ready."""
    values: dict[int, Any] = {}
    needs: dict[int, PollNeeded] = {}
    runs = [first, second]
    ready = [0, 1]
    for _ in range(100_000):
        for number in ready:
            try:
                needs[number] = next(runs[number])
            except StopIteration as end:
                values[number] = end.value
                needs.pop(number, None)
        if not needs:
            return values[0], values[1]
        ready = []
        poller = select.poll()
        for fd in {need.fd for need in needs.values()}:
            mask = 0
            for need in needs.values():
                mask |= need.mask if need.fd == fd else 0
            poller.register(fd, mask)
        events = dict(poller.poll(LIMIT * 1000))
        assert events
        ready = [
            number
            for number, need in needs.items()
            if events.get(need.fd, 0) & (need.mask | select.POLLHUP | select.POLLERR)
        ]
    raise AssertionError('goes on for ever')


def port_of(fd: int) -> int:
    """The port that the socket with this descriptor is connected to."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        port: int = sock.getpeername()[1]
        return port


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def get(conn: HTTPConnection, path: str = '/') -> bytes:
    conn.send_request('GET', path)
    assert conn.read_response().path == path
    return conn.readall()


# 18.1 Iterators


def by_next(iterator: Any) -> Any:
    return drive(iterator)


def by_send(iterator: Any) -> Any:
    while True:
        try:
            need = iterator.send(None)
        except StopIteration as end:
            return end.value
        assert need.poll(LIMIT)


def by_yield_from(iterator: Any) -> Any:
    def inner() -> Crt[Any]:
        return (yield from iterator)

    def outer() -> Crt[Any]:
        value = yield from inner()
        return [value]

    (value,) = drive(outer())
    return value


every_driver = pytest.mark.parametrize('driver', [by_next, by_send, by_yield_from])


@every_driver
def test_18_1_values(serve: Serve, driver: Callable[[Any], Any]) -> None:
    def script(peer: Peer) -> None:
        request = peer.request()
        assert (request.method, request.target, request.values('A'), request.body) == ('PUT', '/a', ['b'], b'hello')
        peer.send(HELLO)
        request = peer.request()
        assert (request.method, request.body) == ('POST', b'hello')
        peer.send(b'HTTP/1.1 201 Yes\r\nTransfer-Encoding: chunked\r\n\r\n')
        peer.send(b'5\r\nhello\r\n')
        peer.send(b'5\r\nworld\r\n0\r\n\r\n')
        assert peer.head().values('Expect') == ['100-continue']
        peer.send(HELLO)
        peer.rest()

    conn = serve(script)
    assert driver(conn.co_send_request('PUT', '/a', {'A': 'b'}, b'hello')) is None
    response = driver(conn.co_read_response())
    assert type(response) is HTTPResponse
    assert (response.method, response.path, response.status, response.length) == ('PUT', '/a', 200, 5)
    data = driver(conn.co_read(3))
    assert type(data) is bytearray
    assert 1 <= len(data) <= 3
    assert b'hello'.startswith(data)
    rest = driver(conn.co_readall())
    assert type(rest) is bytes
    assert data + rest == b'hello'

    assert driver(conn.co_send_request('POST', '/b', body=BodyFollowing(5))) is None
    assert driver(conn.co_write(b'hel')) is None
    assert driver(conn.co_write(memoryview(b'lo'))) is None
    assert driver(conn.co_read_response()).status == 201
    buf = bytearray(20)
    size = driver(conn.co_readinto(buf))
    assert type(size) is int
    assert 1 <= size <= 10
    assert b'helloworld'.startswith(buf[:size])
    assert driver(conn.co_discard()) is None
    assert driver(conn.co_readinto(buf)) == 0
    assert driver(conn.co_read(10)) == b''

    assert (
        driver(conn.co_send_request(method='PUT', path='/', headers=None, body=BodyFollowing(5), expect100=True))
        is None
    )
    assert driver(conn.co_read_response()).status == 200
    assert driver(conn.co_read()) == b'hello'


@every_driver
def test_18_1_chunks(serve: Serve, driver: Callable[[Any], Any]) -> None:
    def script(peer: Peer) -> None:
        request = peer.request()
        assert (request.body, request.trailers) == (b'helloworld', [('Sum', '5')])
        peer.send(HELLO)
        assert peer.request().body == b''
        peer.send(HELLO)
        peer.rest()

    conn = serve(script)
    driver(conn.co_send_request('PUT', '/', body=BodyFollowing()))
    driver(conn.co_write(b'hello'))
    driver(conn.co_write(b'world'))
    assert driver(conn.co_finish({'Sum': '5'})) is None
    driver(conn.co_read_response())
    assert driver(conn.co_readall()) == b'hello'
    driver(conn.co_send_request('PUT', '/', body=BodyFollowing()))
    assert driver(conn.co_finish()) is None
    driver(conn.co_read_response())
    assert driver(conn.co_readall()) == b'hello'


def test_18_1_values_after_waiting(serve: Serve) -> None:
    go_on = threading.Semaphore(0)
    conn = serve(stepwise(go_on, HEAD[:20], HEAD[20:], b'h', b'e', b'l', b'lo'))
    conn.send_request('GET', '/')
    assert drive(conn.co_read_response(), go_on.release).length == 5
    assert drive(conn.co_read(1), go_on.release) == b'h'
    assert drive(conn.co_read(5), go_on.release) == b'e'
    buf = bytearray(5)
    assert drive(conn.co_readinto(buf), go_on.release) == 1
    assert drive(conn.co_readall(), go_on.release) == b'lo'
    assert not conn.response_pending()


def test_18_1_for(serve: Serve) -> None:
    go_on = threading.Semaphore(0)
    conn = serve(stepwise(go_on, HEAD, b'hello'))
    for need in conn.co_send_request('GET', '/'):
        need.poll(LIMIT)
    iterator = conn.co_read_response()
    yielded = 0
    for need in iterator:
        yielded += 1
        go_on.release()
        need.poll(LIMIT)
    assert yielded
    assert list(iterator) == []
    go_on.release()
    assert conn.readall() == b'hello'


def test_18_1_has_what_generators_have(serve: Serve) -> None:
    conn = serve()
    iterators: list[Any] = [
        conn.co_send_request('GET', '/'),
        conn.co_write(b''),
        conn.co_finish(),
        conn.co_read_response(),
        conn.co_read(5),
        conn.co_readinto(bytearray(5)),
        conn.co_readall(),
        conn.co_discard(),
    ]
    for iterator in iterators:
        assert iter(iterator) is iterator
        assert isinstance(iterator, collections.abc.Generator)
        iterator.close()


def test_18_1_value_of_one_that_is_over(serve: Serve) -> None:
    conn = serve(says(HELLO))
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    assert drive(iterator).status == 200
    for resume in iterator.__next__, lambda: iterator.send(None):
        for _ in range(2):
            with pytest.raises(StopIteration) as caught:
                resume()
            assert caught.value.value is None
    assert conn.readall() == b'hello'


def test_18_1_only_none_can_be_sent(serve: Serve) -> None:
    conn = serve(says(HELLO))
    iterator: Any = conn.co_send_request('GET', '/')
    with pytest.raises(TypeError):
        iterator.send(5)
    drive(iterator)
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


THROWN: list[Any] = [KeyError('x'), KeyError, KeyboardInterrupt(), GeneratorExit]


@pytest.mark.parametrize('thrown', THROWN)
@pytest.mark.parametrize('when', ['new', 'suspended', 'over'])
def test_18_1_throw(serve: Serve, thrown: Any, when: str) -> None:
    kind = thrown if isinstance(thrown, type) else type(thrown)
    go_on = threading.Semaphore(0)
    conn = serve(stepwise(go_on, HELLO))
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    if when == 'suspended':
        next(iterator)
    elif when == 'over':
        drive(iterator, go_on.release)
    with pytest.raises(kind) as caught:
        iterator.throw(thrown)
    assert type(caught.value) is kind
    if not isinstance(thrown, type):
        assert caught.value is thrown
    with pytest.raises(StopIteration):
        next(iterator)
    go_on.release()
    if when != 'over':
        assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('when', ['new', 'suspended', 'over'])
def test_18_1_close(serve: Serve, when: str) -> None:
    go_on = threading.Semaphore(0)
    conn = serve(stepwise(go_on, HELLO))
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    if when == 'suspended':
        next(iterator)
    elif when == 'over':
        drive(iterator, go_on.release)
    for _ in range(2):
        result: object = iterator.close()  # type: ignore[func-returns-value]
        assert result is None
        with pytest.raises(StopIteration):
            next(iterator)
    go_on.release()
    if when != 'over':
        assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_18_1_throw_and_close_reach_it_through_a_generator(serve: Serve) -> None:
    def outer(iterator: Crt[HTTPResponse]) -> Crt[HTTPResponse | None]:
        try:
            return (yield from iterator)
        except KeyError:
            return None

    go_on = threading.Semaphore(0)
    conn = serve(stepwise(go_on, HELLO))
    conn.send_request('GET', '/')
    inner = conn.co_read_response()
    generator = outer(inner)
    next(generator)
    with pytest.raises(StopIteration) as caught:
        generator.throw(KeyError())
    assert caught.value.value is None
    with pytest.raises(StopIteration):
        next(inner)
    inner = conn.co_read_response()
    generator = outer(inner)
    next(generator)
    generator.close()
    with pytest.raises(StopIteration):
        next(inner)
    go_on.release()
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


CALLS: dict[str, Callable[[HTTPConnection], object]] = {
    'co_connect': lambda conn: conn.co_connect(),
    'co_send_request': lambda conn: conn.co_send_request('GET', '/'),
    'co_write': lambda conn: conn.co_write(b'x'),
    'co_finish': lambda conn: conn.co_finish(),
    'co_read_response': lambda conn: conn.co_read_response(),
    'co_read': lambda conn: conn.co_read(5),
    'co_readinto': lambda conn: conn.co_readinto(bytearray(5)),
    'co_readall': lambda conn: conn.co_readall(),
    'co_discard': lambda conn: conn.co_discard(),
    '__aenter__': lambda conn: conn.__aenter__(),
    '__anext__': lambda conn: conn.co_pipeline([]).__anext__(),
}


@pytest.mark.parametrize('name', CALLS)
def test_18_1_one_that_is_dropped_without_a_beginning_gives_a_warning(name: str) -> None:
    conn = HTTPConnection('www.example.org')
    with pytest.warns(RuntimeWarning, match=re.escape(f'{name}() was never awaited, iterated or closed')):
        CALLS[name](conn)


def test_18_1_one_that_is_collected_without_a_beginning_gives_a_warning() -> None:
    def drop() -> None:
        conn: Any = HTTPConnection('www.example.org')
        conn.crt = conn.co_read()
        del conn
        gc.collect()

    with pytest.warns(RuntimeWarning, match=re.escape('co_read() was never awaited')):
        drop()


@pytest.mark.filterwarnings('error')
def test_18_1_one_that_was_begun_or_closed_gives_none(serve: Serve) -> None:
    conn = serve(says(HELLO))
    conn.co_read().close()
    with pytest.raises(ZeroDivisionError):
        conn.co_read().throw(ZeroDivisionError)
    conn.send_request('GET', '/')
    with pytest.raises(StateError):
        next(conn.co_read())
    assert drive(conn.co_read_response()).status == 200
    assert drive(conn.co_readall()) == b'hello'


@pytest.mark.filterwarnings('ignore:.* was never awaited, iterated or closed:RuntimeWarning')
def test_18_1_nothing_happens_before_the_first_next(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().target == '/first'
        peer.send(HELLO)
        assert peer.request().target == '/last'
        peer.send(HELLO)
        assert peer.rest() == b''

    def make() -> list[Any]:
        return [
            conn.co_send_request('GET', '/never'),
            conn.co_send_request('PUT', '/never', body=BodyFollowing(5)),
            conn.co_send_request('PUT', '/never', body=b'hello'),
            conn.co_write(b'hello'),
            conn.co_write(b''),
            conn.co_finish(),
            conn.co_read_response(),
            conn.co_read(5),
            conn.co_read(),
            conn.co_readinto(bytearray(5)),
            conn.co_readall(),
            conn.co_discard(),
        ]

    conn = serve(script)
    kept = make()
    assert not conn.response_pending()
    assert serve.server.connections == 0
    conn.connect()
    kept += make()
    conn.send_request('GET', '/first')
    kept += make()
    assert conn.response_pending()
    conn.read_response()
    kept += make()
    assert conn.readall() == b'hello'
    kept += make()
    assert not conn._out_remaining
    conn.send_request('GET', '/last')
    kept += make()
    conn.read_response()
    assert conn.readall() == b'hello'
    assert serve.server.connections == 1


def test_18_1_arguments_are_looked_at_with_the_first_next(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        request = peer.request()
        assert request.values('A') == ['after']
        assert request.body == b'after'
        peer.send(HELLO)
        request = peer.request()
        assert request.body == b'after again'
        peer.send(HELLO)
        peer.rest()

    conn = serve(script)
    headers = {'A': 'before'}
    body = bytearray(b'before')
    iterator = conn.co_send_request('PUT', '/', headers, body)
    headers['A'] = 'after'
    body[:] = b'after'
    drive(iterator)
    conn.read_response()
    conn.discard()

    announced = BodyFollowing(1)
    iterator = conn.co_send_request('PUT', '/', body=announced)
    announced.length = 11
    drive(iterator)
    writing = conn.co_write(body)
    body[:] = b'after again'
    drive(writing)
    conn.read_response()
    into = bytearray()
    reading = conn.co_readinto(into)
    into.extend(bytes(5))
    size = drive(reading)
    assert into[:size] + conn.readall() == b'hello'


def test_18_1_an_iterator_made_too_early(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().body == b'hello'
        peer.send(HELLO)
        peer.rest()

    conn = serve(script)
    last, reading, writing = conn.co_readall(), conn.co_read_response(), conn.co_write(b'hello')
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    drive(writing)
    assert drive(reading).status == 200
    assert drive(last) == b'hello'


WRONG: list[Any] = [
    pytest.param(lambda conn: conn.co_send_request('GET', ''), ValueError, id='path'),
    pytest.param(lambda conn: conn.co_send_request('GET', '/\u20ac'), UnicodeEncodeError, id='latin'),
    pytest.param(lambda conn: conn.co_send_request('G T', '/'), ValueError, id='method'),
    pytest.param(lambda conn: conn.co_send_request('GET', '/', {'a': 'b\nc'}), ValueError, id='header'),
    pytest.param(lambda conn: conn.co_send_request('PUT', '/', body='text'), TypeError, id='body'),
    pytest.param(lambda conn: conn.co_send_request('PUT', '/', body=b'x', expect100=True), ValueError, id='expect'),
    pytest.param(lambda conn: conn.co_send_request('PUT', '/', body=BodyFollowing(-1)), ValueError, id='length'),
    pytest.param(lambda conn: conn.co_write(b'x'), StateError, id='write'),
    pytest.param(lambda conn: conn.co_finish(), StateError, id='finish'),
    pytest.param(lambda conn: conn.co_read_response(), StateError, id='read_response'),
]


@pytest.mark.parametrize(('make', 'error'), WRONG)
def test_18_1_errors_come_with_the_first_next(serve: Serve, make: Make, error: type[Exception]) -> None:
    conn = serve(says(HELLO, HELLO))
    for _ in 'without a connection', 'connected':
        iterator = make(conn)
        with pytest.raises(error) as caught:
            next(iterator)
        assert type(caught.value) is error
        with pytest.raises(StopIteration):
            next(iterator)
        assert get(conn) == b'hello'


def test_18_1_state_is_looked_at_with_the_first_next(serve: Serve) -> None:
    conn = serve(says(HELLO, HELLO))
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    late, wrong, sending = conn.co_write(b'l'), conn.co_write(b'too much'), conn.co_send_request('GET', '/')
    with pytest.raises(ExcessBodyData):
        next(wrong)
    with pytest.raises(StateError):
        next(sending)
    sending = conn.co_send_request('GET', '/last')
    conn.write(b'hello')
    with pytest.raises(StateError):
        next(late)
    reading, late_reading = conn.co_read_response(), conn.co_read_response()
    drive(reading)
    with pytest.raises(StateError):
        next(late_reading)
    assert conn.readall() == b'hello'
    drive(sending)
    assert conn.read_response().path == '/last'
    assert conn.readall() == b'hello'


def test_18_1_wrong_buffers(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().body == b'hello'
        peer.send(HELLO)
        peer.rest()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    text: Any = 'hello'
    writing = conn.co_write(text)
    with pytest.raises(TypeError):
        next(writing)
    conn.write(b'hello')
    conn.read_response()
    constant: Any = b'hello'
    reading = conn.co_readinto(constant)
    with pytest.raises((TypeError, BufferError)):
        drive(reading)
    assert conn.readall() == b'hello'


# 18.2 What they yield


READING: dict[str, Make] = {
    'read': lambda conn: conn.co_read(20),
    'read all': lambda conn: conn.co_read(),
    'readinto': lambda conn: conn.co_readinto(bytearray(20)),
    'readall': lambda conn: conn.co_readall(),
    'discard': lambda conn: conn.co_discard(),
}
every_reading = pytest.mark.parametrize('make', READING.values(), ids=READING.keys())

FRAMINGS = {
    'length': (HEAD, b'hello'),
    'chunked': (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', b'5\r\nhello\r\n0\r\n\r\n'),
}
every_framing = pytest.mark.parametrize(('head', 'body'), FRAMINGS.values(), ids=FRAMINGS.keys())


@every_framing
@every_reading
def test_18_2_reading(serve: Serve, make: Make, head: bytes, body: bytes) -> None:
    go_on = threading.Semaphore(0)
    conn = serve(stepwise(go_on, head, body))
    conn.send_request('GET', '/')
    iterator: Any
    for iterator in conn.co_read_response(), make(conn):
        need = next(iterator)
        assert type(need) is PollNeeded
        assert need.mask == POLLIN
        assert port_of(need.fd) == serve.server.port
        assert [next(iterator) for _ in range(5)] == [need] * 5
        go_on.release()
        assert need.poll(LIMIT)
        drive(iterator)


def test_18_2_a_part_of_what_is_needed(serve: Serve) -> None:
    go_on = threading.Semaphore(0)
    conn = serve(stepwise(go_on, HEAD[:1], HEAD[1:-2], HEAD[-2:-1], HEAD[-1:]))
    conn.send_request('GET', '/')
    iterator = conn.co_read_response()
    first = next(iterator)
    for _ in range(3):
        go_on.release()
        assert first.poll(LIMIT)
        assert next(iterator) == first
    go_on.release()
    assert drive(iterator).length == 5
    conn.disconnect()


def test_18_2_waiting_for_100_continue(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        assert go_on.wait(LIMIT)
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(5) == b'hello'
        peer.send(HELLO)
        peer.rest()

    go_on = threading.Event()
    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    iterator = conn.co_read_response()
    need = next(iterator)
    assert need.mask == POLLIN
    assert next(iterator) == need
    go_on.set()
    assert drive(iterator).status == 100
    drive(conn.co_write(b'hello'))
    assert drive(conn.co_read_response()).status == 200
    assert drive(conn.co_readall()) == b'hello'


SENDING: dict[str, tuple[Make, Make]] = {
    'write': (
        lambda conn: conn.send_request('PUT', '/', body=BodyFollowing(BIG)),
        lambda conn: conn.co_write(bytes(BIG)),
    ),
    'write chunk': (
        lambda conn: conn.send_request('PUT', '/', body=BodyFollowing()),
        lambda conn: conn.co_write(bytes(BIG)),
    ),
    'send_request': (
        lambda conn: None,
        lambda conn: conn.co_send_request('PUT', '/', body=bytes(BIG)),
    ),
}
every_sending = pytest.mark.parametrize(('before', 'make'), SENDING.values(), ids=SENDING.keys())


@every_sending
def test_18_2_sending_a_body(serve: Serve, before: Make, make: Make) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().body == bytes(BIG)
        peer.send(HELLO)
        peer.rest()

    go_on = threading.Event()
    conn = serve(waiting(go_on, script))
    conn.connect()
    before(conn)
    iterator = make(conn)
    first = next(iterator)
    for _ in range(20):
        need = next(iterator)
        assert type(need) is PollNeeded
        assert need == first
    assert first.mask == BOTH
    assert port_of(first.fd) == serve.server.port
    go_on.set()
    assert drive(iterator) is None
    if conn._out_remaining:
        conn.finish()
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_18_2_sending_trailers(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().trailers == [('A', 'x' * BIG)]
        peer.send(HELLO)
        peer.rest()

    go_on = threading.Event()
    conn = serve(waiting(go_on, script))
    conn.send_request('PUT', '/', body=BodyFollowing())
    conn.write(b'hello')
    iterator = conn.co_finish({'A': 'x' * BIG})
    assert {next(iterator).mask for _ in range(5)} == {BOTH}
    go_on.set()
    assert drive(iterator) is None
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_18_2_sending_without_a_body(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for number in range(COUNT):
            assert peer.request().target == f'/{number}'
        peer.send(HELLO * COUNT)
        peer.rest()

    def send() -> Iterator[PollNeeded]:
        for number in range(COUNT):
            yield from conn.co_send_request('GET', f'/{number}', {'A': 'x' * (1 << 20)})

    COUNT = BIG >> 20  # noqa: N806
    go_on = threading.Event()
    conn = serve(waiting(go_on, script))
    conn.connect()
    iterator = send()
    needs = {next(iterator) for _ in range(20)}
    assert {need.mask for need in needs} == {POLLOUT}
    assert [port_of(need.fd) for need in needs] == [serve.server.port]
    go_on.set()
    for need in iterator:
        assert need.mask == POLLOUT
        assert need.poll(LIMIT)
    for number in range(COUNT):
        assert conn.read_response().path == f'/{number}'
        assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    ('sending', 'end'),
    [
        ('write', 'value'),
        ('write', 'close'),
        ('write', 'throw'),
        ('write', 'drop'),
        ('write chunk', 'value'),
        ('send_request', 'value'),
    ],
)
def test_18_2_sending_while_an_iterator_reads(serve: Serve, sending: str, end: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        assert first_answer.wait(LIMIT)
        deliver(peer, HELLO)
        sent.set()
        assert go_on.wait(LIMIT)
        assert peer.request().body == bytes(BIG)
        peer.send(HELLO)
        peer.rest()

    before, make = SENDING[sending]
    first_answer, sent, go_on = threading.Event(), threading.Event(), threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/first')
    before(conn)
    writing = make(conn)
    reading = conn.co_read_response()
    assert next(writing).mask == BOTH
    assert next(reading).mask == POLLIN
    for _ in range(3):
        assert next(writing).mask == POLLOUT
        assert next(reading).mask == POLLIN
    if end == 'value':
        first_answer.set()
        assert sent.wait(LIMIT)
        assert drive(reading).path == '/first'
    elif end == 'close':
        reading.close()
    elif end == 'throw':
        with pytest.raises(KeyError):
            reading.throw(KeyError())
    del reading
    assert next(writing).mask == BOTH
    first_answer.set()
    if end != 'value':
        assert drive(conn.co_read_response()).path == '/first'
    body = conn.co_readall()
    go_on.set()
    assert drive_both(writing, body) == (None, b'hello')
    if conn._out_remaining:
        conn.finish()
    assert conn.read_response().path == '/'
    assert conn.readall() == b'hello'


def test_18_2_sending_while_a_thread_reads(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        assert answer.wait(LIMIT)
        peer.send(HELLO)
        assert go_on.wait(LIMIT)
        assert peer.request().body == bytes(BIG)
        peer.send(HELLO)
        peer.rest()

    def read() -> None:
        paths.append(conn.read_response().path)

    paths: list[str] = []
    answer, go_on = threading.Event(), threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/first')
    conn.send_request('PUT', '/', body=BodyFollowing(BIG))
    writing = conn.co_write(bytes(BIG))
    assert next(writing).mask == BOTH
    reader = threading.Thread(target=read)
    reader.start()
    try:
        eventually(lambda: next(writing).mask == POLLOUT)
        for _ in range(5):
            assert next(writing).mask == POLLOUT
    finally:
        answer.set()
        reader.join(LIMIT)
    assert paths == ['/first']
    assert next(writing).mask == BOTH
    go_on.set()
    drive(writing)
    assert conn.readall() == b'hello'
    assert conn.read_response().path == '/'
    assert conn.readall() == b'hello'


class Layer:
    """A socket whose layer above TCP wants to do something of its own first, as TLS may."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        #: Before anything is sent, the layer has to get so many bytes from the peer, which are its own.
        self.before_sending = 0
        #: Before anything is received, the layer has to be called so often: it cannot get rid of its own bytes.
        self.before_receiving = 0
        #: What it has to get comes just after `send` has looked for it.
        self.just_after = False

    def send(self, data: Any) -> int:
        if not self.just_after:
            self._gets_its_own()
        elif self.before_sending:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, 'read')
        try:
            return self.sock.send(data)
        except BlockingIOError:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, 'write') from None

    def recv(self, size: int) -> bytes:
        self._receives()
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, 'read') from None

    def recv_into(self, buf: Any, size: int = 0) -> int:
        self._receives()
        try:
            return self.sock.recv_into(buf, size)
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, 'read') from None

    def _gets_its_own(self) -> None:
        try:
            while self.before_sending:
                assert self.sock.recv(1) == b'r'
                self.before_sending -= 1
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, 'read') from None

    def _receives(self) -> None:
        if self.just_after:
            assert select.select([self.sock], [], [], LIMIT)[0]
        self._gets_its_own()
        self.just_after = False
        if self.before_receiving:
            self.before_receiving -= 1
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, 'write')

    def __getattr__(self, name: str) -> Any:
        assert name in {'fileno', 'setblocking', 'shutdown', 'close', 'getpeercert', 'cipher'}, name
        return getattr(self.sock, name)


class Layers:
    """In the place of an `SSLContext`."""

    last: Layer

    def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> Any:
        self.last = Layer(sock)
        return self.last


def layered(conn: HTTPConnection) -> Layer:
    layers = Layers()
    conn.ssl_context = layers
    conn.connect()
    return layers.last


@pytest.mark.parametrize('body', [None, b'hello', BodyFollowing(5)])
def test_18_2_tls_wants_to_read_before_a_request(serve_plain: Serve, body: Any) -> None:
    def script(peer: Peer) -> None:
        assert go_on.wait(LIMIT)
        peer.send(b'r')
        peer.request()
        peer.send(HELLO)
        peer.rest()

    go_on = threading.Event()
    conn = serve_plain(script)
    layer = layered(conn)
    layer.before_sending = 1
    iterator = conn.co_send_request('PUT', '/', body=body)
    for _ in range(5):
        assert next(iterator) == PollNeeded(layer.fileno(), POLLIN)
    go_on.set()
    assert PollNeeded(layer.fileno(), POLLIN).poll(LIMIT)
    drive(iterator)
    if conn._out_remaining:
        conn.write(b'hello')
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_18_2_tls_wants_to_read_before_a_body(serve_plain: Serve) -> None:
    def script(peer: Peer) -> None:
        assert go_on.wait(LIMIT)
        peer.send(b'r')
        assert peer.request().body == b'hello'
        peer.send(HELLO)
        peer.rest()

    go_on = threading.Event()
    conn = serve_plain(script)
    layer = layered(conn)
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    layer.before_sending = 1
    iterator = conn.co_write(b'hello')
    for _ in range(5):
        assert next(iterator) == PollNeeded(layer.fileno(), POLLIN)
    go_on.set()
    assert PollNeeded(layer.fileno(), POLLIN).poll(LIMIT)
    drive(iterator)
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_18_2_tls_wants_to_write_before_a_response(serve_plain: Serve) -> None:
    conn = serve_plain(says(HELLO))
    layer = layered(conn)
    conn.send_request('GET', '/')
    layer.before_receiving = 5
    reading = conn.co_read_response()
    for _ in range(5):
        assert next(reading) == PollNeeded(layer.fileno(), POLLOUT)
    assert drive(reading).status == 200
    assert conn.readall() == b'hello'


@every_reading
def test_18_2_tls_wants_to_write_before_a_body(serve_plain: Serve, make: Make) -> None:
    go_on = threading.Semaphore(0)
    conn = serve_plain(stepwise(go_on, HEAD, b'hello'))
    layer = layered(conn)
    conn.send_request('GET', '/')
    go_on.release()
    conn.read_response()
    layer.before_receiving = 5
    iterator = make(conn)
    for _ in range(5):
        assert next(iterator) == PollNeeded(layer.fileno(), POLLOUT)
    go_on.release()
    drive(iterator)


@pytest.mark.parametrize('body', [b'hello', BodyFollowing(5)])
def test_18_2_what_tls_wants_to_read_is_taken_by_other_reading(serve_plain: Serve, body: Any) -> None:
    """Nothing more comes then: whoever goes on waiting to read waits for ever."""

    def script(peer: Peer) -> None:
        assert go_on.wait(LIMIT)
        peer.send(b'r')
        assert peer.request().body == b'hello'
        peer.send(HELLO)
        peer.rest()

    go_on = threading.Event()
    conn = serve_plain(script)
    layer = layered(conn)
    iterator: Any
    if isinstance(body, BodyFollowing):
        conn.send_request('PUT', '/', body=body)
        conn.write(b'hell')
        iterator = conn.co_write(b'o')
    else:
        iterator = conn.co_send_request('PUT', '/', body=body)
    layer.before_sending = 1
    layer.just_after = True
    go_on.set()
    drive(iterator)
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_18_2_tls_wants_the_other_and_regular_methods_do_not_fail(serve_plain: Serve) -> None:
    def script(peer: Peer) -> None:
        deliver(peer, b'r')
        sent.set()
        peer.request()
        peer.send(HELLO)
        peer.rest()

    sent = threading.Event()
    conn = serve_plain(script)
    layer = layered(conn)
    assert sent.wait(LIMIT)
    layer.before_sending = 1
    conn.send_request('GET', '/')
    layer.before_receiving = 3
    assert conn.read_response().status == 200
    layer.before_receiving = 3
    assert conn.readall() == b'hello'


# 18.3 When they do not yield


@every_framing
def test_18_3_everything_is_there(serve: Serve, head: bytes, body: bytes) -> None:
    def script(peer: Peer) -> None:
        for _ in range(len(READING)):
            peer.request()
        deliver(peer, (head + body) * len(READING))
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve(script)
    conn.connect()
    for number in range(len(READING)):
        assert at_once(conn.co_send_request('GET', f'/{number}')) is None
    assert sent.wait(LIMIT)
    for number, (name, make) in enumerate(READING.items()):
        assert at_once(conn.co_read_response()).path == f'/{number}'
        values = {'readinto': 5, 'discard': None}
        assert at_once(make(conn)) == values.get(name, b'hello')
        assert at_once(conn.co_read(5)) == b''


@pytest.mark.parametrize('size', [1, 1000, 16384, 40000])
@pytest.mark.parametrize('into', [False, True])
def test_18_3_what_tls_has_decrypted(serve: Serve, size: int, into: bool) -> None:
    """The TLS layer holds the rest of a record when the system has no more for it."""

    def script(peer: Peer) -> None:
        peer.request()
        deliver(peer, b'HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n' + data)
        sent.set()
        peer.rest()

    data = bytes(range(250)) * 160
    sent = threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/')
    assert sent.wait(LIMIT)
    assert at_once(conn.co_read_response()).length == 40000
    got, buf = bytearray(), bytearray(size)
    while len(got) < (len(data) if size > 1 else 1000):
        part = buf[: at_once(conn.co_readinto(buf))] if into else at_once(conn.co_read(size))
        assert 1 <= len(part) <= size
        got += part
    assert got + at_once(conn.co_readall()) == data
    assert at_once(conn.co_read(size)) == b''
    assert not conn.response_pending()


def test_18_3_what_tls_has_decrypted_of_many_small_responses(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for _ in range(300):
            peer.request()
        deliver(peer, HELLO * 300)  # 15,600 bytes: with TLS, one record
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve(script)
    for number in range(300):
        conn.send_request('GET', f'/{number}')
    assert sent.wait(LIMIT)
    for number in range(300):
        assert at_once(conn.co_read_response()).path == f'/{number}'
        assert at_once(conn.co_readall()) == b'hello'


def test_18_3_the_end_of_the_connection(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello')

    conn = serve(script)
    conn.send_request('GET', '/')
    assert drive(conn.co_read_response()).length is None
    assert drive(conn.co_readall()) == b'hello'
    assert at_once(conn.co_readall()) == b''
    assert at_once(conn.co_read(1)) == b''


def test_18_3_sending_what_the_system_takes(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for body in b'', b'hello', b'hello', b'helloworld', b'':
            assert peer.request().body == body
        peer.rest()

    conn = serve(script)
    conn.connect()
    assert at_once(conn.co_send_request('GET', '/')) is None
    assert at_once(conn.co_send_request('PUT', '/', body=b'hello')) is None
    assert at_once(conn.co_send_request('PUT', '/', body=BodyFollowing(5))) is None
    assert at_once(conn.co_write(b'hel')) is None
    assert at_once(conn.co_write(b'')) is None
    assert at_once(conn.co_write(b'lo')) is None
    assert at_once(conn.co_send_request('PUT', '/', body=BodyFollowing())) is None
    assert at_once(conn.co_write(b'hello')) is None
    reading = conn.co_read_response()
    assert next(reading).mask == POLLIN
    assert at_once(conn.co_write(b'world')) is None
    assert at_once(conn.co_finish()) is None
    assert at_once(conn.co_send_request('PUT', '/', body=BodyFollowing(0))) is None
    assert next(reading).mask == POLLIN


def test_18_3_nothing_to_read(serve: Serve) -> None:
    def check() -> None:
        assert at_once(conn.co_read(5)) == b''
        assert at_once(conn.co_read()) == b''
        assert at_once(conn.co_read(0)) == b''
        assert at_once(conn.co_readinto(bytearray(5))) == 0
        assert at_once(conn.co_readinto(bytearray())) == 0
        assert at_once(conn.co_readall()) == b''
        assert at_once(conn.co_discard()) is None

    conn = serve(says(HEAD, b'HTTP/1.1 204 No Content\r\n\r\n', b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', HELLO))
    check()
    conn.connect()
    check()
    for method in 'HEAD', 'GET', 'GET':
        conn.send_request(method, '/')
        assert at_once(conn.co_discard()) is None
        assert conn.read_response().length == 0
        check()
    conn.send_request('GET', '/')
    assert at_once(conn.co_read(0)) == b''
    conn.read_response()
    assert at_once(conn.co_read(0)) == b''
    assert at_once(conn.co_readinto(bytearray())) == 0
    assert conn.readall() == b'hello'
    check()


# 18.4 Twins


def regular(conn: HTTPConnection, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(conn, name)(*args, **kwargs)


def twin(conn: HTTPConnection, name: str, *args: Any, **kwargs: Any) -> Any:
    return eval_coroutine(getattr(conn, f'co_{name}')(*args, **kwargs), conn.timeout)


def mixed(conn: HTTPConnection, name: str, *args: Any, **kwargs: Any) -> Any:
    """Now this and now that."""
    mixed.number += 1  # type: ignore[attr-defined]
    return (regular, twin)[mixed.number % 2](conn, name, *args, **kwargs)  # type: ignore[attr-defined]


mixed.number = 0  # type: ignore[attr-defined]

every_way = pytest.mark.parametrize('call', [regular, twin, mixed])
Call = Callable[..., Any]


@every_way
def test_18_4_the_same_results(serve: Serve, call: Call) -> None:
    def script(peer: Peer) -> None:
        bodies = [peer.request().body for _ in range(4)]
        assert bodies == [b'', b'hello', bytes(BIG), b'helloworld']
        peer.send(HELLO * 2)
        peer.send(
            b'HTTP/1.1 201 Yes\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\nA: b\r\n\r\n'
        )
        peer.send(b'HTTP/1.1 204 No\r\n\r\n')
        peer.rest()

    conn = serve(script)
    results: list[Any] = [
        call(conn, 'send_request', 'GET', '/0'),
        call(conn, 'send_request', 'PUT', '/1', {'A': 'b'}, b'hello'),
        call(conn, 'send_request', 'PUT', '/2', body=BodyFollowing(BIG)),
        call(conn, 'write', bytes(BIG)),
        call(conn, 'send_request', 'PUT', '/3', body=BodyFollowing()),
        call(conn, 'write', b'hello'),
        call(conn, 'write', b'world'),
        call(conn, 'finish', {'C': 'd'}),
    ]
    assert results == [None] * 8
    response = call(conn, 'read_response')
    assert type(response) is HTTPResponse
    assert (response.method, response.path, response.status, response.length) == ('GET', '/0', 200, 5)
    data = call(conn, 'read', 20)
    assert (type(data), data) == (bytearray, b'hello')
    assert call(conn, 'read', 20) == b''
    assert call(conn, 'read_response').path == '/1'
    data = call(conn, 'readall')
    assert (type(data), data) == (bytes, b'hello')
    response = call(conn, 'read_response')
    assert (response.status, response.length) == (201, None)
    buf = bytearray(4)
    assert call(conn, 'readinto', buf) == 4
    assert buf == b'hell'
    assert call(conn, 'discard') is None
    assert response.trailers.items() == [('A', 'b')]
    assert call(conn, 'readinto', buf) == 0
    assert call(conn, 'read_response').status == 204
    assert call(conn, 'readall') == b''
    assert not conn.response_pending()


@every_way
def test_18_4_the_same_errors(serve: Serve, call: Call) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        assert peer.request().body == b'hello'
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n')
        peer.rest()

    def fails(error: type[Exception], *args: Any, **kwargs: Any) -> None:
        with pytest.raises(error) as caught:
            call(conn, *args, **kwargs)
        assert type(caught.value) is error

    conn = serve(script)
    fails(StateError, 'read_response')
    fails(StateError, 'write', b'x')
    fails(StateError, 'finish')
    fails(ValueError, 'send_request', 'GET', '')
    fails(TypeError, 'send_request', 'GET', '/', body='text')
    call(conn, 'send_request', 'GET', '/')
    call(conn, 'read_response')
    fails(StateError, 'read_response')
    assert call(conn, 'read', -1) == b'hello'
    fails(StateError, 'read_response')
    call(conn, 'send_request', 'PUT', '/', body=BodyFollowing(5))
    fails(StateError, 'send_request', 'GET', '/')
    fails(ExcessBodyData, 'write', b'too much')
    fails(TypeError, 'write', 'hello')
    call(conn, 'write', b'hello')
    call(conn, 'read_response')
    for name, args in ('readall', []), ('read', [5]), ('readinto', [bytearray(5)]), ('discard', []):
        fails(InvalidResponse, name, *args)
    conn.disconnect()
    fails(StateError, 'read_response')


@every_way
def test_18_4_the_same_when_the_connection_is_lost(serve: Serve, call: Call) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.request()
        peer.send(HEAD + b'hel')

    conn = serve(script)
    for _ in range(2):
        call(conn, 'send_request', 'GET', '/')
    call(conn, 'read_response')
    with pytest.raises(ConnectionClosed):
        call(conn, 'readall')
    conn.disconnect()


@every_way
def test_18_4_the_same_timeout(serve: Serve, call: Call) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        assert answer.wait(LIMIT)
        peer.send(HEAD)
        assert body.wait(LIMIT)
        peer.send(b'hello')
        peer.rest()

    answer, body = threading.Event(), threading.Event()
    conn = serve(script)
    call(conn, 'send_request', 'GET', '/')
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        call(conn, 'read_response')
    conn.timeout = LIMIT
    answer.set()
    assert call(conn, 'read_response').status == 200
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        call(conn, 'read', 5)
    with pytest.raises(ConnectionTimedOut):
        call(conn, 'discard')
    conn.timeout = LIMIT
    body.set()
    assert call(conn, 'read', 5)


@every_way
@every_framing
@pytest.mark.parametrize('debug', [False, True])
def test_18_4_read_without_a_size_reads_all(
    serve: Serve, caplog: pytest.LogCaptureFixture, call: Call, head: bytes, body: bytes, debug: bool
) -> None:
    caplog.set_level(logging.DEBUG if debug else logging.WARNING, 'dugong')
    conn = serve(says(*[head + body] * 6))
    for args in [], [None], [-1]:
        call(conn, 'send_request', 'GET', '/')
        with pytest.raises(StateError):
            call(conn, 'read', *args)
        call(conn, 'read_response')
        assert call(conn, 'read', *args) == b'hello'
        assert call(conn, 'read', *args) == b''
        assert not conn.response_pending()
        call(conn, 'send_request', 'GET', '/')
        call(conn, 'read_response')
        assert call(conn, 'read', 2) + call(conn, 'read', *args) == b'hello'


# 18.5 Two at the same time, and what is left of them after disconnect


def test_18_5_one_sends_while_the_other_reads(serve: Serve) -> None:
    """The server does not read the second request before it has sent the first response."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % BIG + data)
        assert peer.request().body == data
        peer.send(HELLO)
        peer.rest()

    data = bytes(range(256)) * (BIG >> 8)
    conn = serve(script)
    conn.send_request('GET', '/first')
    conn.send_request('PUT', '/second', body=BodyFollowing(BIG))
    writing, reading = conn.co_write(data), conn.co_read_response()
    need = next(writing)
    assert need.mask & POLLOUT
    assert drive(reading).path == '/first'
    assert drive_both(writing, conn.co_readall()) == (None, data)
    assert drive(conn.co_read_response()).path == '/second'
    assert drive(conn.co_readall()) == b'hello'


def test_18_5_one_reads_while_the_other_sends(serve: Serve) -> None:
    """The server does not answer the first request before it has read the second."""

    def script(peer: Peer) -> None:
        peer.request()
        assert peer.request().body == data
        peer.send(HELLO * 2)
        peer.rest()

    data = bytes(range(256)) * (BIG >> 8)
    conn = serve(script)
    conn.send_request('GET', '/first')
    reading, sending = conn.co_read_response(), conn.co_send_request('PUT', '/second', body=data)
    response, _ = drive_both(reading, sending)
    assert response.path == '/first'
    assert drive(conn.co_readall()) == b'hello'
    assert drive(conn.co_read_response()).path == '/second'
    assert drive(conn.co_readall()) == b'hello'


def test_18_5_many_requests_and_many_responses(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for number in range(50):
            request = peer.request()
            assert request.target == f'/{number}'
            peer.answer(request.body)
        peer.rest()

    def send() -> Crt[None]:
        for number in range(50):
            body = b'%d ' % number * 10000
            if number % 3 == 0:
                yield from conn.co_send_request('PUT', f'/{number}', body=body)
                continue
            announced = BodyFollowing(len(body)) if number % 3 == 1 else BodyFollowing()
            yield from conn.co_send_request('PUT', f'/{number}', body=announced)
            yield from conn.co_write(body[:12345])
            yield from conn.co_write(body[12345:])
            if number % 3 == 2:
                yield from conn.co_finish()

    def read() -> Crt[int]:
        number = 0
        while number < 50:
            if not conn.response_pending():
                yield PollNeeded(idle.fileno(), POLLOUT)
                continue
            response = yield from conn.co_read_response()
            assert response.path == f'/{number}'
            body = bytearray()
            while data := (yield from conn.co_read(30000)):
                body += data
            assert body == b'%d ' % number * 10000
            number += 1
        return number

    conn = serve(script)
    idle, other = socket.socketpair()
    with idle, other:
        assert drive_both(send(), read()) == (None, 50)


#: How the connection is closed, and what is done before the iterator is resumed.
CLOSING = [
    ('disconnect', 'nothing'),
    ('disconnect', 'connect'),
    ('disconnect', 'ask'),
    ('reset', 'connect'),
    ('close', 'ask'),
    ('connect', 'nothing'),
]
ACTIVE: dict[str, tuple[Make, Make]] = {
    **SENDING,
    'read_response': (
        lambda conn: conn.send_request('GET', '/'),
        lambda conn: conn.co_read_response(),
    ),
    'send requests': (
        lambda conn: None,
        lambda conn: conn.co_send_request('GET', '/', {'A': 'x' * BIG}),
    ),
}


@pytest.mark.parametrize(('closing', 'after'), CLOSING)
@pytest.mark.parametrize(('before', 'make'), ACTIVE.values(), ids=ACTIVE.keys())
def test_18_5_resumed_after_disconnect(serve: Serve, before: Make, make: Make, closing: str, after: str) -> None:
    def script(peer: Peer) -> None:
        assert disconnected.wait(LIMIT)

    connected_again = 'connect' in (closing, after) or after == 'ask'
    disconnected = threading.Event()
    answers = [HELLO, HELLO] if after == 'ask' else [HELLO]
    conn = serve(script, *([says(*answers)] if connected_again else []))
    conn.connect()
    before(conn)
    iterator = make(conn)
    next(iterator)
    getattr(conn, closing)()
    disconnected.set()
    if after == 'connect':
        conn.connect()
    elif after == 'ask':
        conn.send_request('GET', '/new')
    with pytest.raises(ConnectionClosed):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    if after == 'ask':
        assert conn.read_response().path == '/new'
        assert conn.readall() == b'hello'
    assert not conn.response_pending()
    if connected_again:
        assert get(conn, '/newer') == b'hello'


@pytest.mark.parametrize('new', [False, True])
@every_reading
def test_18_5_reading_a_body_resumed_after_disconnect(serve: Serve, make: Make, new: bool) -> None:
    conn = serve(says(HEAD), says(HELLO))
    conn.send_request('GET', '/old')
    conn.read_response()
    iterator = make(conn)
    next(iterator)
    conn.disconnect()
    if new:
        conn.send_request('GET', '/new')
        assert conn.read_response().path == '/new'
    with pytest.raises(ConnectionClosed):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    if new:
        assert conn.readall() == b'hello'


@pytest.mark.parametrize('new', [False, True])
def test_18_5_both_resumed_after_disconnect(serve: Serve, new: bool) -> None:
    def script(peer: Peer) -> None:
        assert disconnected.wait(LIMIT)

    disconnected = threading.Event()
    conn = serve(script, says(HELLO))
    conn.send_request('GET', '/')
    conn.send_request('PUT', '/', body=BodyFollowing(BIG))
    writing, reading = conn.co_write(bytes(BIG)), conn.co_read_response()
    next(writing)
    next(reading)
    conn.disconnect()
    disconnected.set()
    if new:
        conn.send_request('GET', '/new')
    for iterator in writing, reading:
        with pytest.raises(ConnectionClosed):
            eval_coroutine(iterator, LIMIT)
    if new:
        assert conn.read_response().path == '/new'
        assert conn.readall() == b'hello'


@pytest.mark.parametrize('new', [False, True])
def test_18_5_connecting_resumed_after_disconnect(serve_plain: Serve, client_tls: ssl.SSLContext, new: bool) -> None:
    """The server keeps silent in the handshake."""
    conn = serve_plain(silent, says(HELLO))
    conn.ssl_context = client_tls
    iterator = conn.co_send_request('GET', '/old')
    for need in iterator:
        if not need.poll(0.1):
            break
    conn.disconnect()
    if new:
        conn.ssl_context = None
        conn.send_request('GET', '/new')
    with pytest.raises(ConnectionClosed):
        next(iterator)
    if new:
        assert conn.read_response().path == '/new'
        assert conn.readall() == b'hello'
        assert not conn.response_pending()


def test_18_5_one_that_was_not_started_belongs_to_no_connection(serve: Serve) -> None:
    conn = serve(says(HELLO), says(HELLO, HELLO))
    assert get(conn) == b'hello'
    sending, reading, last = conn.co_send_request('GET', '/old'), conn.co_read_response(), conn.co_readall()
    conn.disconnect()
    assert get(conn) == b'hello'
    drive(sending)
    assert drive(reading).path == '/old'
    assert drive(last) == b'hello'
    assert serve.server.connections == 2
