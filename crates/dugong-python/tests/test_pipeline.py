"""`pipeline` and `co_pipeline`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import signal
import socket
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest
from loops import Loop, each_loop
from peers import LIMIT, Peer, Serve

import dugong
from dugong import (
    BodyFollowing,
    CaseInsensitiveDict,
    ConnectionClosed,
    ConnectionTimedOut,
    HTTPConnection,
    HTTPResponse,
    InvalidResponse,
    StateError,
    eval_coroutine,
)


def echo(peer: Peer) -> None:
    """Answer each request with its path and its body."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            got = peer.request()
            peer.answer(f'{got.method} {got.target} '.encode() + got.body)


class Driver:
    """Asks a pipeline for the next response, blocking or as an iterator."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async

    def pipeline(self, conn: HTTPConnection, requests: Iterable[Any], **options: Any) -> Any:
        return (conn.co_pipeline if self.is_async else conn.pipeline)(requests, **options)

    def next(self, pipeline: Any) -> Any:
        """The next response; None at the end."""
        try:
            return eval_coroutine(pipeline.__anext__(), LIMIT) if self.is_async else next(pipeline)
        except (StopIteration, StopAsyncIteration):
            return None

    def all(self, pipeline: Any) -> Iterator[Any]:
        while (each := self.next(pipeline)) is not None:
            yield each

    def __repr__(self) -> str:
        return 'co_pipeline' if self.is_async else 'pipeline'


each_driver = pytest.mark.parametrize('driver', [Driver(False), Driver(True)], ids=repr)


@each_driver
def test_responses_come_in_the_order_of_the_requests(serve: Serve, driver: Driver) -> None:
    conn = serve(echo)
    pipeline = driver.pipeline(conn, (f'/{i}' for i in range(500)))
    for i, resp in enumerate(driver.all(pipeline)):
        assert (resp.method, resp.path, resp.status) == ('GET', f'/{i}', 200)
        assert conn.readall() == f'GET /{i} '.encode()
    assert pipeline.taken == 500
    assert pipeline.unanswered == []
    assert list(pipeline.rest) == []
    assert driver.next(pipeline) is None
    conn.send_request('GET', '/after')
    conn.read_response()
    assert conn.readall() == b'GET /after '


@each_loop
def test_async_for_under_each_loop(serve: Serve, loop: Loop) -> None:
    async def main() -> list[bytes]:
        async with conn:
            bodies = []
            async for resp in conn.co_pipeline(f'/{i}' for i in range(200)):
                assert resp.status == 200
                bodies.append(await conn.co_readall())
            async for resp, body in conn.co_pipeline(['/a', '/b'], collect=True):
                assert body == f'GET {resp.path} '.encode()
            return bodies

    conn = serve(echo)
    assert loop.run(main) == [f'GET /{i} '.encode() for i in range(200)]


@each_driver
def test_forms_of_a_request(serve_plain: Serve, driver: Driver) -> None:
    heads = []

    def script(peer: Peer) -> None:
        with contextlib.suppress(EOFError):
            while True:
                got = peer.request()
                heads.append(got)
                peer.answer(got.body)

    requests = [
        '/a',
        ('HEAD', '/b'),
        ('GET', '/c', {'X': '1'}),
        ('GET', '/d', [('X', 2)]),
        ('PUT', '/e', None, b'body'),
        ('PUT', '/f', CaseInsensitiveDict(x='3'), bytearray(b'body')),
        ('PUT', '/g', None, memoryview(b'body')),
        {'method': 'PUT', 'path': '/h', 'headers': {'X': '4'}, 'body': b'body'},
        {'method': 'GET', 'path': '/i'},
        ('GET', '/j', None, None),
    ]
    conn = serve_plain(script)
    bodies = [body for _, body in driver.all(driver.pipeline(conn, requests, collect=True))]
    assert [head.target for head in heads] == [f'/{name}' for name in 'abcdefghij']
    assert [head.method for head in heads] == 'GET HEAD GET GET PUT PUT PUT PUT GET GET'.split()
    assert [''.join(head.values('X')) for head in heads] == ['', '', '1', '2', '', '3', '', '4', '', '']
    assert bodies == [b'', b'', b'', b'', b'body', b'body', b'body', b'body', b'', b'']


@each_driver
@pytest.mark.parametrize(
    'wrong',
    [
        (TypeError, 5),
        (TypeError, None),
        (TypeError, ()),
        (TypeError, ('GET',)),
        (TypeError, ('GET', '/', None, None, None)),
        (TypeError, ['GET', '/']),
        (TypeError, ('GET', 5)),
        (TypeError, {'path': '/'}),
        (TypeError, {'method': 'GET', 'path': '/', 'expect100': True}),
        (TypeError, ('PUT', '/', None, BodyFollowing(5))),
        (TypeError, ('PUT', '/', None, BodyFollowing())),
        (TypeError, ('PUT', '/', None, 'text')),
        (TypeError, ('GET', '/', {'X': b'bytes'})),
        (TypeError, {'method': 'GET', 'path': '/', 'headers': {'X': None}}),
        (ValueError, '/a b'),
        (ValueError, 'a'),
        (ValueError, ('GET', '/', {'X': 'a\r\nb'})),
    ],
    ids=repr,
)
def test_a_request_that_is_not_valid_is_left_out(
    serve_plain: Serve, driver: Driver, wrong: tuple[type[Exception], Any]
) -> None:
    error, request = wrong
    conn = serve_plain(echo)
    pipeline = driver.pipeline(conn, ['/a', '/b', request, '/c'])
    paths = []
    errors = 0
    for _ in range(5):
        try:
            resp = driver.next(pipeline)
        except error:
            errors += 1
        else:
            if resp:
                paths.append(resp.path)
    assert (paths, errors) == (['/a', '/b', '/c'], 1)
    # It is not lost, because it was not sent.
    assert list(pipeline.rest) == [request]
    assert pipeline.unanswered == []


@each_driver
def test_no_request_is_lost_when_one_is_not_valid(serve_plain: Serve, driver: Driver) -> None:
    conn = serve_plain(echo)
    requests = ['/a', ('GET', 'b'), '/c', ('GET', '/d', {'X': b'x'}), '/e']
    pipeline = driver.pipeline(conn, iter(requests))
    with pytest.raises(ValueError, match="'b'"):
        driver.next(pipeline)
    assert [*pipeline.unanswered, *pipeline.rest] == requests


@each_driver
def test_an_exception_of_the_iterable_is_raised(serve_plain: Serve, driver: Driver) -> None:
    def requests() -> Iterator[str]:
        yield '/a'
        raise ZeroDivisionError

    conn = serve_plain(echo)
    pipeline = driver.pipeline(conn, requests())
    with pytest.raises(ZeroDivisionError):
        driver.next(pipeline)
    assert driver.next(pipeline).path == '/a'
    assert driver.next(pipeline) is None


def test_wrong_arguments() -> None:
    conn = HTTPConnection('127.0.0.1')
    for method in conn.pipeline, conn.co_pipeline:
        with pytest.raises(TypeError):
            method(5)  # type: ignore[call-overload]
        for path in '/obj/1', b'/obj/1', bytearray(b'/'), memoryview(b'/'):
            with pytest.raises(TypeError, match='iterable of requests'):
                method(path)  # type: ignore[arg-type]
        for most in 0, -1:
            with pytest.raises(ValueError, match=f'max_requests has to be at least 1, not {most}'):
                method([], max_requests=most)
        with pytest.raises(ValueError, match='max_bytes has to be at least 0, not -1'):
            method([], max_bytes=-1)
        with pytest.raises(ValueError, match='max_bytes has to be at least 0'):
            method([], max_bytes=-(2**70))
        with pytest.raises(TypeError, match='max_requests'):
            method([], max_requests='8')  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            method([], 5)  # type: ignore[call-overload]


@each_driver
def test_numbers_of_any_size_and_flags_of_any_kind(serve_plain: Serve, driver: Driver) -> None:
    conn = serve_plain(echo)
    pipeline = driver.pipeline(conn, ['/1', '/2'], max_requests=2**70, max_bytes=2**70, collect=1)
    assert [body for _, body in driver.all(pipeline)] == [b'GET /1 ', b'GET /2 ']
    assert driver.next(driver.pipeline(conn, ['/3'], collect='')).path == '/3'
    assert conn.readall() == b'GET /3 '


def test_one_that_is_never_iterated_warns() -> None:
    """As for the methods that can be awaited: a program that forgets `async for` sends nothing."""
    conn = HTTPConnection('127.0.0.1')
    with pytest.warns(RuntimeWarning, match=re.escape('co_pipeline() was never iterated, so that it sent nothing')):
        conn.co_pipeline(['/'])
    conn.pipeline(['/'])
    assert list(conn.co_pipeline(['/']).rest) == ['/']
    conn.co_pipeline(['/']).__anext__().close()


@each_driver
def test_nothing_happens_before_the_first_response_is_asked_for(serve_plain: Serve, driver: Driver) -> None:
    taken = []

    def requests() -> Iterator[str]:
        taken.append(True)
        yield '/'

    conn = serve_plain(echo)
    pipeline = driver.pipeline(conn, requests())
    assert taken == []
    with pytest.raises(StateError):
        conn._fileno()
    assert driver.next(pipeline).path == '/'


@each_driver
def test_no_requests(serve_plain: Serve, driver: Driver) -> None:
    conn = serve_plain(echo)
    assert list(driver.all(driver.pipeline(conn, []))) == []
    assert conn.response_pending() is False


# The window


@each_driver
@pytest.mark.parametrize('most', [1, 2, 7, 64])
def test_no_more_requests_are_in_flight_than_allowed(serve_plain: Serve, driver: Driver, most: int) -> None:
    conn = serve_plain(echo)
    in_flight: list[int] = []
    pipeline = driver.pipeline(conn, (f'/{i}' for i in range(200)), max_requests=most)
    for done, _ in enumerate(driver.all(pipeline)):
        in_flight.append(pipeline.taken - done)
    assert max(in_flight) <= most
    assert max(in_flight) >= min(most, 60)


@each_driver
def test_no_more_bytes_are_in_flight_than_allowed(serve_plain: Serve, driver: Driver) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.sock.settimeout(0.3)
        got = bytearray()
        with contextlib.suppress(TimeoutError):
            while True:
                got += peer.sock.recv(1 << 16)
        sizes.append(len(got))
        peer.sock.settimeout(LIMIT)
        peer._plain += got
        echo(peer)

    sizes: list[int] = []
    conn = serve_plain(script)
    pipeline = driver.pipeline(conn, [('PUT', f'/{i}', None, bytes(10_000)) for i in range(40)], max_bytes=55_000)
    assert sum(1 for _ in driver.all(pipeline)) == 40
    assert 50_000 < sizes[0] < 57_000
    go_on.set()


@each_driver
def test_a_request_that_is_larger_than_the_window_goes_alone(serve: Serve, driver: Driver) -> None:
    conn = serve(echo)
    requests = [('PUT', '/a', None, bytes(100_000)), '/b', ('PUT', '/c', None, bytes(2_000_000)), '/d']
    sizes = [len(body) for _, body in driver.all(driver.pipeline(conn, requests, max_bytes=1000, collect=True))]
    assert sizes == [100_007, 7, 2_000_007, 7]


@each_driver
def test_bodies_are_not_taken_from_the_iterable_before_they_have_room(serve: Serve, driver: Driver) -> None:
    """A generator may make any number of requests."""
    alive = 0
    most = 0

    class Body(bytes):
        def __init__(self, *_: object) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    conn = serve(echo)
    requests = (('PUT', '/', None, Body(100_000)) for _ in range(50))
    assert sum(1 for _ in driver.all(driver.pipeline(conn, requests, max_bytes=300_000))) == 50
    assert most <= 6


@each_driver
def test_it_cannot_deadlock(serve: Serve, driver: Driver) -> None:
    """Large requests, large responses, and a server that does not read while it cannot send."""

    def script(peer: Peer) -> None:
        for _ in range(30):
            body = peer.request().body
            peer.answer(body)

    body = bytes(1_500_000)
    conn = serve(script)
    pipeline = driver.pipeline(conn, [('PUT', f'/{i}', None, body) for i in range(30)], max_bytes=1 << 30)
    assert sum(len(conn.readall()) for _ in driver.all(pipeline)) == 30 * len(body)


# Bodies


@each_driver
def test_unread_bodies_are_discarded(serve: Serve, driver: Driver) -> None:
    conn = serve(echo)
    requests = [('PUT', f'/{i}', None, bytes(i * 3000)) for i in range(60)]
    for i, resp in enumerate(driver.all(driver.pipeline(conn, requests))):
        assert resp.path == f'/{i}'
        if i % 3:
            assert conn.read(3) == b'PUT'
        if i % 7 == 0:
            conn.discard()
    assert not conn.response_pending()


@each_driver
def test_collected_bodies(serve: Serve, driver: Driver) -> None:
    def script(peer: Peer) -> None:
        for body in b'', b'x' * 100_000, b'short':
            peer.request()
            peer.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
            if body:
                peer.send(b'%x\r\n%s\r\n' % (len(body), body))
            peer.send(b'0\r\nX: y\r\n\r\n')
        peer.request()
        peer.send(b'HTTP/1.1 204 No Content\r\n\r\n')

    conn = serve(script)
    pairs = list(driver.all(driver.pipeline(conn, ['/'] * 4, collect=True)))
    assert [body for _, body in pairs] == [b'', b'x' * 100_000, b'short', b'']
    assert [type(body) for _, body in pairs] == [bytes] * 4
    assert [resp.trailers['X'] for resp, _ in pairs] == ['y', 'y', 'y', None]


# Beside other methods


@each_driver
def test_responses_to_earlier_requests_come_first(serve: Serve, driver: Driver) -> None:
    conn = serve(echo)
    conn.send_request('GET', '/1')
    conn.send_request('GET', '/2')
    conn.send_request('GET', '/3')
    conn.read_response()
    pipeline = driver.pipeline(conn, ['/4', '/5'], max_requests=1)
    assert [resp.path for resp in driver.all(pipeline)] == ['/2', '/3', '/4', '/5']


@each_driver
def test_one_after_the_other(serve: Serve, driver: Driver) -> None:
    conn = serve(echo)
    first = driver.pipeline(conn, ['/1', '/2'])
    assert driver.next(first).path == '/1'
    second = driver.pipeline(conn, ['/3'])
    assert [resp.path for resp in driver.all(second)] == ['/2', '/3']
    assert driver.next(first) is None


@each_driver
def test_the_iterable_may_ask_the_connection(serve_plain: Serve, driver: Driver) -> None:
    """No lock is held while a request is made."""
    pending = []

    def requests() -> Iterator[str]:
        for i in range(3):
            pending.append(conn.response_pending())
            yield f'/{i}'

    conn = serve_plain(echo)
    assert sum(1 for _ in driver.all(driver.pipeline(conn, requests(), max_requests=1))) == 3
    assert pending == [False] * 3


@each_driver
def test_the_iterable_must_not_ask_the_pipeline(serve_plain: Serve, driver: Driver) -> None:
    def requests() -> Iterator[str]:
        with pytest.raises(ValueError, match='being used'):
            driver.next(pipeline)
        yield '/'

    conn = serve_plain(echo)
    pipeline = driver.pipeline(conn, requests())
    assert driver.next(pipeline).path == '/'


@each_driver
def test_a_body_that_is_owed_comes_first(serve_plain: Serve, driver: Driver) -> None:
    conn = serve_plain(echo)
    conn.send_request('PUT', '/a', body=BodyFollowing(3))
    pipeline = driver.pipeline(conn, ['/b'])
    with pytest.raises(StateError):
        driver.next(pipeline)
    conn.write(b'abc')
    assert [resp.path for resp in driver.all(pipeline)] == ['/a', '/b']


@each_driver
def test_through_a_proxy(serve_plain: Serve, driver: Driver) -> None:
    conn = serve_plain(echo)
    conn.proxy = ('127.0.0.1', conn.port)
    conn.hostname, conn.port = 'example.org', 80
    bodies = [body for _, body in driver.all(driver.pipeline(conn, ['/a', '/b'], collect=True))]
    assert bodies == [b'GET http://example.org/a ', b'GET http://example.org/b ']


# Errors


@each_driver
@pytest.mark.parametrize('end', ['end', 'reset'])
def test_errors_list_unanswered_requests(serve: Serve, driver: Driver, end: str) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
            peer.answer(b'good')
        for _ in range(5):
            peer.request()
        go_on.wait(LIMIT)
        getattr(peer, end)()

    go_on = threading.Event()
    conn = serve(script)
    requests = [('GET' if i % 2 else 'POST', f'/{i}') for i in range(20)]
    pipeline = driver.pipeline(conn, requests, max_requests=8)
    for i in range(3):
        assert driver.next(pipeline).path == f'/{i}'
        assert conn.readall() == b'good'
        assert pipeline.unanswered[0] == requests[i + 1]
    go_on.set()
    with pytest.raises(ConnectionClosed) as caught:
        driver.next(pipeline)
    unanswered = pipeline.unanswered
    assert [(method, path) for method, path, _ in caught.value.unanswered] == unanswered
    # A POST that the server has received is not safe to send again. An unsent one is.
    received = requests[:8]
    for method, path, safe in caught.value.unanswered:
        assert safe or method == 'POST'
        assert not safe or method == 'GET' or (method, path) not in received
    assert [*unanswered, *pipeline.rest] == requests[3:]
    assert len(unanswered) <= 8


@each_driver
def test_the_rest_can_be_sent_over_a_new_connection(serve: Serve, driver: Driver) -> None:
    def five(peer: Peer) -> None:
        for i in range(5):
            got = peer.request()
            peer.answer(got.target.encode(), headers=[('Connection', 'close')] if i == 4 else [])

    conn = serve(five, five, five, five)
    requests: Any = [f'/{i}' for i in range(20)]
    done = []
    while requests:
        pipeline = driver.pipeline(conn, requests, max_requests=8, collect=True)
        try:
            for _, body in driver.all(pipeline):
                done.append(body)
            requests = []
        except ConnectionClosed:
            requests = [*pipeline.unanswered, *pipeline.rest]
        conn.disconnect()
    assert done == [f'/{i}'.encode() for i in range(20)]


@each_driver
def test_a_body_that_is_cut_short_is_unanswered(serve: Serve, driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
        peer.request()

    conn = serve(script)
    pipeline = driver.pipeline(conn, ['/a', '/b'])
    assert driver.next(pipeline).path == '/a'
    with pytest.raises(ConnectionClosed):
        conn.readall()
    assert pipeline.unanswered == ['/a', '/b']
    with pytest.raises(ConnectionClosed):
        driver.next(pipeline)


@each_driver
def test_after_a_timeout_it_goes_on(serve: Serve, driver: Driver) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
        assert go_on.wait(LIMIT)
        peer.send(b'hello')
        peer.answer(b'second')
        peer.answer(b'third')

    conn = serve(script)
    pipeline = driver.pipeline(conn, ['/1', '/2', '/3'], collect=True)
    conn.timeout = 0.05
    for _ in range(2):
        with pytest.raises(ConnectionTimedOut):
            driver.next(pipeline)
    conn.timeout = LIMIT
    go_on.set()
    assert [body for _, body in driver.all(pipeline)] == [b'hellohello', b'second', b'third']


@each_driver
def test_disconnect_ends_it(serve_plain: Serve, driver: Driver) -> None:
    conn = serve_plain(echo, echo)
    pipeline = driver.pipeline(conn, ['/1', '/2', '/3'], max_requests=2)
    assert driver.next(pipeline).path == '/1'
    conn.disconnect()
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            driver.next(pipeline)
    # A new connection is independent of it.
    conn.connect()
    with pytest.raises(ConnectionClosed):
        driver.next(pipeline)
    assert [*pipeline.unanswered, *pipeline.rest] == ['/1', '/2', '/3']


@each_driver
def test_an_invalid_response(serve: Serve, driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nbad\r\n\r\n')

    conn = serve(script)
    pipeline = driver.pipeline(conn, ['/1', '/2'])
    with pytest.raises(InvalidResponse):
        driver.next(pipeline)
    assert pipeline.unanswered == ['/1', '/2']


@each_driver
def test_no_connection(driver: Driver) -> None:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
    conn = HTTPConnection('127.0.0.1', port)
    pipeline = driver.pipeline(conn, ['/1'])
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            driver.next(pipeline)
    assert list(pipeline.rest) == ['/1']


def test_a_signal_interrupts_it_and_it_goes_on(serve_plain: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert go_on.wait(LIMIT)
        peer.answer(b'late')

    def handle(*_: object) -> None:
        raise InterruptedError

    go_on = threading.Event()
    conn = serve_plain(script)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        pipeline = conn.pipeline(['/'], collect=True)
        with pytest.raises(InterruptedError):
            next(pipeline)
        go_on.set()
        assert next(pipeline)[1] == b'late'
    finally:
        signal.signal(signal.SIGUSR1, before)


# As objects


def test_it_is_an_iterator(serve_plain: Serve) -> None:
    conn = serve_plain(echo)
    pipeline = conn.pipeline(['/a'])
    assert iter(pipeline) is pipeline
    assert isinstance(pipeline, Iterator)
    assert isinstance(pipeline, dugong.Pipeline)
    other = conn.co_pipeline(['/a'])
    assert aiter(other) is other
    assert isinstance(other, AsyncIterator)
    assert isinstance(other, dugong.AsyncPipeline)
    assert str(dugong.Pipeline[HTTPResponse]) == 'dugong.Pipeline[dugong.HTTPResponse]'
    assert str(dugong.AsyncPipeline[HTTPResponse]) == 'dugong.AsyncPipeline[dugong.HTTPResponse]'


@each_driver
def test_cycles_are_collected(serve_plain: Serve, driver: Driver) -> None:
    class Requests:
        pipeline: Any = None

        def __iter__(self) -> Iterator[Any]:
            for i in range(10):
                yield f'/{i}'
            yield self

    conn = serve_plain(echo)
    requests = Requests()
    pipeline = driver.pipeline(conn, iter(requests), max_requests=5)
    requests.pipeline = pipeline
    assert driver.next(pipeline).path == '/0'
    ref = weakref.ref(requests)
    del requests, pipeline
    gc.collect()
    assert ref() is None


def test_a_pipeline_keeps_its_connection() -> None:
    conn = HTTPConnection('127.0.0.1')
    ref: Callable[[], object] = weakref.ref(conn)
    pipeline = conn.pipeline([])
    del conn
    gc.collect()
    assert ref() is not None
    del pipeline
    gc.collect()
    assert ref() is None


def test_log_messages_are_those_of_the_methods(serve_plain: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def messages(work: Callable[[HTTPConnection], object]) -> list[str]:
        caplog.clear()
        conn = serve_plain(echo)
        work(conn)
        conn.disconnect()
        return [record.getMessage().replace(str(conn.port), 'PORT') for record in caplog.records]

    def by_hand(conn: HTTPConnection) -> None:
        conn.send_request('GET', '/a')
        conn.read_response()
        conn.readall()

    caplog.set_level('DEBUG', 'dugong')
    assert messages(lambda conn: list(conn.pipeline(['/a'], collect=True))) == messages(by_hand)


def test_two_at_once_under_asyncio(serve: Serve) -> None:
    """The second caller gets an error, and the first goes on."""

    async def main() -> None:
        pipeline = conn.co_pipeline(['/a', '/b'])
        first = asyncio.ensure_future(pipeline.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match='being used'):
            await pipeline.__anext__()
        assert (await first).path == '/a'

    def script(peer: Peer) -> None:
        peer.request()
        threading.Event().wait(0.05)
        peer.answer(b'')
        echo(peer)

    conn = serve(script)
    asyncio.run(main())
