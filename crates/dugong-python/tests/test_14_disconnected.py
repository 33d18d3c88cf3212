"""Statements 14.4 and 14.5: after `disconnect`, and responses that came before an error."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from losses import GONE, HELLO, LIMIT, Context, ask
from peers import Peer, Serve, says

import dugong
from dugong import (
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    StateError,
    eval_coroutine,
)


@pytest.mark.parametrize(
    'call',
    [
        lambda conn: conn.read(10),
        lambda conn: conn.readinto(bytearray(10)),
        lambda conn: conn.readall(),
        lambda conn: conn.discard(),
    ],
)
@pytest.mark.parametrize('already', [0, 3])
@pytest.mark.parametrize('disconnect', ['disconnect', 'reset'])
def test_14_4_reading_on_after_disconnecting(
    serve: Serve, call: Callable[[dugong.HTTPConnection], object], already: int, disconnect: str
) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n' + bytes(50000)))
    ask(conn)
    if already:
        conn.read(already)
    getattr(conn, disconnect)()
    with pytest.raises(ConnectionClosed):
        call(conn)
    with pytest.raises(StateError):
        conn.read_response()


READING = {
    'read': lambda conn: conn.read(100),
    'readinto': lambda conn: conn.readinto(bytearray(100)),
    'readall': lambda conn: conn.readall(),
    'discard': lambda conn: conn.discard(),
    'co_read': lambda conn: eval_coroutine(conn.co_read(100)),
    'co_readinto': lambda conn: eval_coroutine(conn.co_readinto(bytearray(100))),
    'co_readall': lambda conn: eval_coroutine(conn.co_readall()),
    'co_discard': lambda conn: eval_coroutine(conn.co_discard()),
}

CUT = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'


def elsewhere(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive()


def here(work: Callable[[], None]) -> None:
    work()


@pytest.mark.parametrize('again', ['send_request', 'connect', 'connect over it', 'cannot connect'])
@pytest.mark.parametrize('where', [here, elsewhere])
@pytest.mark.parametrize('call', READING.values(), ids=READING)
def test_14_4_a_body_that_was_cut_does_not_end_on_the_next_connection(
    serve: Serve, call: Callable[[dugong.HTTPConnection], object], where: Callable[..., None], again: str
) -> None:
    conn = serve(says(CUT), says(HELLO))
    port = conn.port

    def work() -> None:
        if again != 'connect over it':
            conn.disconnect()
        if again == 'send_request':
            conn.send_request('GET', '/next')
        elif again == 'cannot connect':
            conn.port = 'no port'
            with pytest.raises(ValueError, match='no port'):
                conn.connect()
            conn.port = port
        else:
            conn.connect()

    ask(conn)
    assert conn.read(100) == b'hello'
    where(work)
    if where is elsewhere or not again.startswith('connect'):  # a caller of connect() knows of the new connection (7.2)
        with pytest.raises(ConnectionClosed) as caught:
            call(conn)
        assert caught.value.unanswered == (('GET', '/', True),)
    # From here on, a new connection.
    conn.discard()
    if again != 'send_request':
        conn.send_request('GET', '/next')
    assert conn.read_response().path == '/next'
    assert conn.readall() == b'hello'
    assert conn.read(100) == b''


def test_14_4_a_reader_of_the_next_response_gets_no_error_for_the_body_that_was_cut(serve: Serve) -> None:
    conn = serve(says(CUT), says(b'HTTP/1.1 204 Fine\r\n\r\n', HELLO))
    ask(conn)
    conn.read(100)
    conn.reset()
    assert ask(conn).status == 204
    assert conn.read(100) == b''
    ask(conn)
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('call', READING.values(), ids=READING)
def test_14_4_a_body_that_was_cut_does_not_end_when_another_thread_has_read_another(
    serve: Serve, call: Callable[[dugong.HTTPConnection], object]
) -> None:
    def work() -> None:
        conn.disconnect()
        ask(conn)
        assert conn.readall() == b'hello'

    conn = serve(says(CUT), says(HELLO, HELLO))
    ask(conn)
    assert conn.read(100) == b'hello'
    elsewhere(work)
    elsewhere(lambda: conn.discard())  # the other threads may be on the new connection
    with pytest.raises(ConnectionClosed):
        call(conn)
    assert conn.read(100) == b''
    ask(conn)
    assert conn.readall() == b'hello'


def test_14_4_a_reader_of_a_response_to_another_thread_gets_no_error(serve: Serve) -> None:
    """The threads may take turns in any order."""

    def work() -> None:
        conn.disconnect()
        ask(conn)

    conn = serve(says(CUT), says(HELLO))
    ask(conn)
    assert conn.read(100) == b'hello'
    elsewhere(work)
    assert conn.readall() == b'hello'
    assert conn.read(100) == b''


def test_14_4_a_reader_that_got_the_error_in_time_gets_it_once(serve: Serve) -> None:
    conn = serve(says(CUT), says(HELLO))
    ask(conn)
    conn.read(100)
    conn.disconnect()
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            conn.read(100)
    conn.connect()
    assert conn.read(100) == b''
    ask(conn)
    assert conn.readall() == b'hello'


def test_14_4_a_reader_that_waits_gets_the_error_once(serve: Serve) -> None:
    conn = serve(says(CUT), says(HELLO))
    ask(conn)
    iterator = conn.co_readall()
    next(iterator)
    conn.disconnect()
    conn.connect()
    with pytest.raises(ConnectionClosed):
        next(iterator)
    assert conn.read(100) == b''
    ask(conn)
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('collect', [False, True])
def test_14_4_a_pipeline_ends_with_its_connection_and_the_next_one_begins_anew(serve: Serve, collect: bool) -> None:
    conn = serve(says(CUT), says(HELLO, HELLO))
    conn.connect()
    pipeline = conn.pipeline(['/1', '/2'], collect=collect)
    if collect:
        conn.timeout = 0.05
        with pytest.raises(ConnectionTimedOut):
            next(pipeline)
        conn.timeout = LIMIT
    else:
        next(pipeline)
        assert conn.read(100) == b'hello'
    conn.disconnect()
    conn.connect()
    with pytest.raises(ConnectionClosed):
        next(pipeline)
    assert conn.read(100) == b''
    assert [body for _, body in conn.pipeline(pipeline.unanswered, collect=True)] == [b'hello', b'hello']


def test_14_4_a_pipeline_on_the_next_connection_gets_no_error_for_the_body_that_was_cut(serve: Serve) -> None:
    conn = serve(says(CUT), says(HELLO))
    for _ in conn.pipeline(['/1']):
        assert conn.read(100) == b'hello'
        break
    conn.disconnect()
    for resp in conn.pipeline(['/1']):
        assert resp.path == '/1'
        assert conn.readall() == b'hello'


@pytest.mark.parametrize('already', [b'', b'da'])
def test_14_4_write_after_disconnecting(serve: Serve, already: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    conn = serve(script, says(HELLO))
    conn.send_request('PUT', '/', body=BodyFollowing(4))
    if already:
        conn.write(already)
    conn.disconnect()
    with pytest.raises(ConnectionClosed):
        conn.write(b'ta')
    ask(conn)
    assert conn.readall() == b'hello'
    assert serve.server.connections == 2


@pytest.mark.parametrize('requests', [1, 3])
def test_14_4_read_response_after_disconnecting(serve: Serve, requests: int) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    conn = serve(script, says(HELLO))
    for _ in range(requests):
        conn.send_request('GET', '/')
    conn.disconnect()
    with pytest.raises(ConnectionClosed):
        conn.read_response()
    ask(conn)
    assert conn.readall() == b'hello'
    assert serve.server.connections == 2


def test_14_4_nothing_was_left_when_disconnecting(serve: Serve) -> None:
    conn = serve(says(HELLO))
    ask(conn)
    conn.readall()
    conn.disconnect()
    with pytest.raises(StateError):
        conn.read_response()
    with pytest.raises(StateError):
        conn.write(b'x')
    assert conn.read(10) == b''


def test_14_5_responses_received_before_sending_failed(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for number in range(2):
            assert peer.request().target == f'/{number}'
        peer.send(HELLO + HELLO)
        assert peer.head().target == '/2'
        peer.close()
        closed.set()

    closed = threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/0')
    conn.send_request('GET', '/1')
    conn.send_request('PUT', '/2', body=BodyFollowing(1 << 30))
    assert closed.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        for _ in range(1 << 10):
            conn.write(bytes(1 << 20))
    for number in range(2):
        assert conn.read_response().path == f'/{number}'
        assert conn.readall() == b'hello'
    with pytest.raises(ConnectionClosed):
        conn.read_response()


@pytest.mark.parametrize('error', GONE)
def test_14_5_after_any_error(serve_plain: Serve, error: Callable[[], Exception]) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.request()
        peer.send(HELLO + HELLO)

    conn = serve_plain(script)
    context = Context()
    conn.ssl_context = context
    conn.send_request('GET', '/0')
    conn.send_request('GET', '/1')
    context.wrapped.when_sending = error
    with pytest.raises(ConnectionClosed):
        conn.send_request('GET', '/2')
    for number in range(2):
        assert conn.read_response().path == f'/{number}'
        assert conn.readall() == b'hello'
