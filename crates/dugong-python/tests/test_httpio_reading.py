"""`dugong.httpio`: responses, descriptors, and errors."""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import threading
from collections.abc import Callable
from email.message import Message

import pytest
from httpio_log import (
    MUCH,
    Connect,
    Log,
    get,
    readable,
    run,
    writable,
)
from peers import LIMIT, Peer, Serve

import dugong
from dugong import httpio
from dugong.httpio import ConnectionClosed, ConnectionTimedOut, HTTPConnection, StateError


def test_read_response_returns_a_tuple(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 404 Not\xa0Here\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n')
        peer.rest()

    conn = connect(script)
    method, url = 'GET', '/a'
    conn.send_request(method, url)
    response = conn.read_response()
    assert type(response) is tuple
    assert response[:4] == ('GET', '/a', 404, 'Not\xa0Here')
    assert response[0] is method
    assert response[1] is url
    assert isinstance(response[4], Message)
    assert response[4].get_all('X-a') == ['1', '2']
    assert response[4]['X-B'] is None


def test_read_response_without_a_request(connect: Connect, serve: Serve) -> None:
    conn = connect(Log(b'hello'))
    with pytest.raises(StateError):
        conn.read_response()
    get(conn)
    with pytest.raises(StateError):
        conn.read_response()


def test_responses_come_in_the_order_of_the_requests(connect: Connect) -> None:
    conn = connect(Log(*(b'%d' % i for i in range(50))))
    for i in range(50):
        conn.send_request('GET', f'/{i}')
    for i in range(50):
        assert conn.read_response()[1] == f'/{i}'
        assert conn.readall() == b'%d' % i
    assert not conn.response_pending()


# get_current_response() is the pair (method, url) of the response whose body is being read, or None


def test_get_current_response(connect: Connect) -> None:
    conn = connect(Log(b'hello', b'', b'hello'))
    assert conn.get_current_response() is None
    conn.send_request('GET', '/1')
    conn.send_request('DELETE', '/2')
    conn.send_request('POST', '/3')
    assert conn.get_current_response() is None
    conn.read_response()
    assert conn.get_current_response() == ('GET', '/1')
    body = b''
    while data := conn.read(3):
        assert conn.get_current_response() == ('GET', '/1')
        body += data
    assert body == b'hello'
    assert conn.get_current_response() is None
    conn.read_response()
    assert conn.get_current_response() == ('DELETE', '/2')
    conn.discard()
    assert conn.get_current_response() is None
    conn.read_response()
    assert conn.get_current_response() == ('POST', '/3')
    conn.readall()
    assert conn.get_current_response() is None


# read(n), readall(), discard(); a read after the end has been reported is a StateError


READS: dict[str, Callable[[HTTPConnection], object]] = {
    'read': lambda conn: conn.read(10),
    'read nothing': lambda conn: conn.read(0),
    'read all': lambda conn: conn.read(),
    'readall': lambda conn: conn.readall(),
    'discard': lambda conn: conn.discard(),
}


@pytest.fixture(params=READS)
def read_again(request: pytest.FixtureRequest) -> Callable[[HTTPConnection], object]:
    return READS[request.param]


def test_reading_without_a_response_is_a_state_error(
    read_again: Callable[[HTTPConnection], object], connect: Connect
) -> None:
    conn = connect(Log(b'hello'))
    with pytest.raises(StateError):
        read_again(conn)
    conn.send_request('GET', '/')
    with pytest.raises(StateError):
        read_again(conn)
    conn.read_response()
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('how', ['read', 'read all', 'read -1', 'readall', 'discard', 'some'])
def test_a_read_after_the_end_has_been_reported_is_a_state_error(
    how: str, read_again: Callable[[HTTPConnection], object], connect: Connect
) -> None:
    conn = connect(Log(b'hello', b'more'))
    conn.send_request('GET', '/1')
    conn.send_request('GET', '/2')
    conn.read_response()
    with pytest.raises(StateError):
        conn.read_response()
    if how in ('read', 'some'):
        assert conn.read(0) == b''  # not the end
        body = b''
        while data := conn.read(2):
            assert 1 <= len(data) <= 2
            body += data
            if how == 'some':
                body += conn.readall()
                break
        assert body == b'hello'
    elif how == 'discard':
        conn.discard()
    else:
        assert {'read all': conn.read, 'read -1': lambda: conn.read(-1), 'readall': conn.readall}[how]() == b'hello'
    for _ in range(2):
        with pytest.raises(StateError):
            read_again(conn)
    assert conn.read_response()[1] == '/2'
    assert conn.readall() == b'more'
    with pytest.raises(StateError):
        read_again(conn)


def test_the_last_byte_is_not_the_end(connect: Connect) -> None:
    conn = connect(Log(b'hello', b''))
    conn.send_request('GET', '/1')
    conn.send_request('GET', '/2')
    conn.read_response()
    body = b''
    while len(body) < 5:
        body += conn.read(5 - len(body))
    assert conn.response_pending()
    assert conn.get_current_response() == ('GET', '/1')
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.read(1) == b''
    assert conn.read_response()[1] == '/2'


# even an empty body must be read once


@pytest.mark.parametrize(
    'answer',
    [
        ('HEAD', b'200 OK\r\nContent-Length: 5'),
        ('GET', b'200 OK\r\nContent-Length: 0'),
        ('GET', b'204 No Content'),
        ('GET', b'304 Not Modified\r\nContent-Length: 5'),
        ('GET', b'200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0'),
    ],
    ids=['HEAD', 'length 0', '204', '304', 'chunked'],
)
@pytest.mark.parametrize('how', ['read', 'readall', 'discard'])
def test_even_an_empty_body_must_be_read_once(answer: tuple[str, bytes], how: str, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.request()
        peer.send(b'HTTP/1.1 ' + answer[1] + b'\r\n\r\n')
        peer.answer(b'next')
        peer.rest()

    conn = connect(script)
    conn.send_request(answer[0], '/1')
    conn.send_request('GET', '/2')
    conn.read_response()
    assert conn.get_current_response() == (answer[0], '/1')
    for _ in range(2):
        with pytest.raises(StateError):
            conn.read_response()
    assert not READS[how](conn)
    assert conn.get_current_response() is None
    with pytest.raises(StateError):
        conn.read(10)
    assert conn.read_response()[1] == '/2'
    assert conn.readall() == b'next'


# response_pending()


def test_response_pending(connect: Connect) -> None:
    conn = connect(Log(b'hello', b''))
    assert not conn.response_pending()
    conn.connect()
    assert not conn.response_pending()
    conn.send_request('GET', '/1')
    conn.send_request('PUT', '/2', body=3)
    assert conn.response_pending()
    conn.read_response()
    assert conn.response_pending()
    conn.readall()
    assert not conn.response_pending()
    conn.write(b'abc')
    assert conn.response_pending()
    conn.read_response()
    assert conn.response_pending()  # also for an empty body
    conn.discard()
    assert not conn.response_pending()


def test_no_response_is_pending_without_a_connection(connect: Connect) -> None:
    conn = connect(Log(b'hello'), Log(b''))
    conn.send_request('GET', '/')
    conn.close()
    assert not conn.response_pending()
    conn.send_request('GET', '/')
    conn.read_response()
    conn.close()
    assert not conn.response_pending()


# fileno(), connect(), close(); usable in select


def test_fileno_and_select(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        go_on.wait(LIMIT)
        peer.answer(b'hello')
        peer.rest()

    go_on = threading.Event()
    conn = connect(script)
    with pytest.raises(StateError):
        conn.fileno()
    with pytest.raises(StateError):
        select.select([conn], [], [], 0)
    conn.connect()
    with socket.socket(fileno=os.dup(conn.fileno())) as sock:
        assert sock.getpeername()[0] == '127.0.0.1'
    assert writable(conn)
    conn.send_request('GET', '/')
    poller = select.poll()
    poller.register(conn, select.POLLOUT)
    assert poller.poll(LIMIT * 1000) == [(conn.fileno(), select.POLLOUT)]
    go_on.set()
    assert readable(conn)
    assert conn.read_response()[2] == 200
    assert conn.readall() == b'hello'
    conn.close()
    with pytest.raises(StateError):
        conn.fileno()


def test_connect_opens_a_connection_and_forgets_the_one_before(connect: Connect, serve: Serve) -> None:
    conn = connect(Peer.rest, Log(b'unread'), Log(b'hello'))
    conn.connect()
    conn.send_request('PUT', '/', body=5)
    conn.connect()
    with pytest.raises(StateError):
        conn.write(b'hello')
    with pytest.raises(StateError):
        next(conn.co_sendfile(io.BytesIO(b'hello')))
    conn.send_request('GET', '/1')
    conn.read_response()
    conn.connect()
    assert conn.get_current_response() is None
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()
    assert get(conn) == (200, b'hello')
    assert serve.server.connections == 3


def test_close_and_go_on(connect: Connect, serve: Serve) -> None:
    conn = connect(Log(b'unread' * 100_000), Log(b'hello', b'again'))
    for _ in range(2):
        conn.close()
    conn.send_request('GET', '/1')
    conn.read_response()
    for _ in range(2):
        conn.close()
    with pytest.raises(ConnectionClosed):
        conn.readall()
    assert get(conn) == (200, b'hello')
    assert get(conn) == (200, b'again')
    assert serve.server.connections == 2


def test_close_while_an_iterator_is_active(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        with contextlib.suppress(OSError):  # the client does not read it
            peer.answer(MUCH)

    conn = connect(script, Log(b'hello'))
    conn.send_request('GET', '/1')
    sending = conn.send_request('PUT', '/2', body=MUCH, via_cofun=True)
    next(sending)
    next(sending)
    conn.close()
    with pytest.raises(ConnectionClosed):
        next(sending)
    assert get(conn) == (200, b'hello')


# Exceptions are those of dugong; is_temp_network_error too


def test_exceptions_are_those_of_dugong() -> None:
    for name in (
        'ConnectionClosed ConnectionTimedOut DNSUnavailable ExcessBodyData HostnameNotResolvable InvalidResponse '
        'StateError UnsupportedResponse is_temp_network_error'
    ).split():
        assert getattr(httpio, name) is getattr(dugong, name)
        assert name in httpio.__all__
    assert httpio.is_temp_network_error(ConnectionClosed())


def test_a_lost_connection_is_connection_closed(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')

    conn = connect(script, Peer.request)
    conn.send_request('GET', '/1')
    conn.read_response()
    with pytest.raises(ConnectionClosed):
        conn.readall()
    conn.close()
    conn.send_request('GET', '/2')
    with pytest.raises(ConnectionClosed):
        conn.read_response()


@pytest.mark.parametrize('how', ['bytes', 'via_cofun', 'write', 'co_sendfile'])
def test_a_refusal_can_be_read_when_the_rest_cannot_be_sent(how: str, connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'too large', '413 Content Too Large', [('Connection', 'close')])
        peer.end()
        done.wait(LIMIT)

    done = threading.Event()
    conn = connect(script)
    with pytest.raises(ConnectionClosed):
        if how == 'bytes':
            conn.send_request('PUT', '/', body=MUCH)
        elif how == 'via_cofun':
            run(conn.send_request('PUT', '/', body=MUCH, via_cofun=True))
        else:
            conn.send_request('PUT', '/', body=len(MUCH))
            if how == 'write':
                conn.write(MUCH)
            else:
                run(conn.co_sendfile(io.BytesIO(MUCH)))
    assert conn.response_pending()
    assert conn.read_response()[2] == 413
    assert conn.readall() == b'too large'
    done.set()


def test_timeout_is_that_of_the_connection(connect: Connect) -> None:
    assert HTTPConnection('localhost').timeout is None
    conn = connect(Peer.rest)
    conn.timeout = 0.05
    assert conn.timeout == 0.05
    conn.send_request('GET', '/')
    with pytest.raises(ConnectionTimedOut):
        conn.read_response()


def test_two_threads(connect: Connect) -> None:
    count = 1000
    conn = connect(Log(*(b'%d' % i for i in range(count))))
    conn.connect()
    sent = threading.Semaphore(0)
    failures: list[BaseException] = []

    def send() -> None:
        try:
            for i in range(count):
                conn.send_request('PUT', f'/{i}', body=b'hello')
                sent.release()
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=send)
    thread.start()
    for i in range(count):
        assert sent.acquire(timeout=LIMIT)
        assert conn.read_response()[1] == f'/{i}'
        assert conn.readall() == b'%d' % i
    thread.join(LIMIT)
    assert failures == []
