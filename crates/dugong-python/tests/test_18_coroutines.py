"""Statement 18.1: the `co_` methods return iterators."""

from __future__ import annotations

import collections.abc
import gc
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from iterators import HEAD, HELLO, LIMIT, Crt, Make, drive, stepwise
from peers import Peer, Serve, get, says

from dugong import (
    BodyFollowing,
    ExcessBodyData,
    HTTPConnection,
    HTTPResponse,
    StateError,
)

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


def test_18_1_has_the_methods_of_generators(serve: Serve) -> None:
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
