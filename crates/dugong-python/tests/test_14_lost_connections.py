from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
from peers import Peer, Script, Serve

import dugong
from dugong import (
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    ExcessBodyData,
    InvalidResponse,
    StateError,
    eval_coroutine,
)

LIMIT = 10
HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
CHUNKS = b'3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n'


def says(*answers: bytes) -> Script:
    """Send one of these for each request, then wait until the client closes."""

    def script(peer: Peer) -> None:
        for answer in answers:
            peer.request()
            peer.send(answer)
        peer.rest()

    return script


def ask(conn: dugong.HTTPConnection, method: str = 'GET') -> dugong.HTTPResponse:
    conn.send_request(method, '/')
    return conn.read_response()


class Wrapped:
    """What a context may return: a socket of a kind that nobody knows, and that fails when it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.when_sending: Callable[[], Exception] | None = None
        self.when_reading: Callable[[], Exception] | None = None

    def send(self, data: Any, *args: Any) -> int:
        if self.when_sending:
            raise self.when_sending()
        try:
            return self.sock.send(data, *args)
        except BlockingIOError:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, 'wait') from None

    def recv(self, size: int, *args: Any) -> bytes:
        if self.when_reading:
            raise self.when_reading()
        try:
            return self.sock.recv(size, *args)
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, 'wait') from None

    def recv_into(self, buf: Any, *args: Any) -> int:
        data = self.recv(args[0] if args and args[0] else len(buf))
        buf[: len(data)] = data
        return len(data)

    def fileno(self) -> int:
        return self.sock.fileno()

    def setblocking(self, flag: bool) -> None:
        self.sock.setblocking(flag)

    def settimeout(self, timeout: float | None) -> None:
        self.sock.settimeout(timeout)

    def shutdown(self, how: int) -> None:
        self.sock.shutdown(how)

    def close(self) -> None:
        self.sock.close()

    def getpeercert(self, binary_form: bool = False) -> None:
        return None

    def cipher(self) -> None:
        return None


class Context:
    """Wraps sockets in `Wrapped`; the last one is `wrapped`. Raises `error` instead, if there is one."""

    wrapped: Wrapped
    error: Exception | None = None

    def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> Wrapped:
        if self.error:
            raise self.error
        self.wrapped = Wrapped(sock)
        return self.wrapped


def no(number: int) -> Callable[[], Exception]:
    return lambda: OSError(number, os.strerror(number))


def unexpected_eof() -> ssl.SSLError:
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, 'unexpected eof while reading')
    error.reason = 'UNEXPECTED_EOF_WHILE_READING'
    return error


def bad_record() -> ssl.SSLError:
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, 'bad record mac')
    error.reason = 'BAD_RECORD_MAC'
    return error


GONE: list[Any] = [
    pytest.param(no(errno.ECONNRESET), id='ECONNRESET'),
    pytest.param(no(errno.EPIPE), id='EPIPE'),
    pytest.param(lambda: ConnectionResetError('no number'), id='reset'),
    pytest.param(lambda: BrokenPipeError('no number'), id='broken'),
    pytest.param(lambda: ssl.SSLEOFError(ssl.SSL_ERROR_EOF, 'EOF'), id='SSLEOFError'),
    pytest.param(lambda: ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, 'closed'), id='SSLZeroReturnError'),
    pytest.param(unexpected_eof, id='UNEXPECTED_EOF_WHILE_READING'),
]

OTHER: list[Any] = [
    pytest.param(no(errno.EIO), id='EIO'),
    pytest.param(no(errno.EHOSTUNREACH), id='EHOSTUNREACH'),
    pytest.param(no(errno.ETIMEDOUT), id='ETIMEDOUT'),
    pytest.param(no(errno.EPERM), id='EPERM'),
    pytest.param(no(errno.ENOBUFS), id='ENOBUFS'),
    pytest.param(lambda: ssl.SSLError(ssl.SSL_ERROR_SSL, 'what'), id='SSLError'),
    pytest.param(lambda: ssl.SSLSyscallError(ssl.SSL_ERROR_SYSCALL, 'what'), id='SSLSyscallError'),
    pytest.param(bad_record, id='BAD_RECORD_MAC'),
]


@pytest.mark.parametrize('ending', ['end', 'cut', 'reset'])
@pytest.mark.parametrize(
    'sent',
    [
        b'',
        b'H',
        b'HTTP/1.1 200 OK',
        b'HTTP/1.1 200 OK\r\n',
        b'HTTP/1.1 200 OK\r\nA: b\r\nConte',
        HELLO[:-7],
        HELLO[:-6],
    ],
)
def test_14_1_end_of_data_within_a_head(serve: Serve, ending: str, sent: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        if sent:
            peer.send(sent)
        getattr(peer, ending)()

    conn = serve(script, says(HELLO))
    conn.send_request('GET', '/')
    with pytest.raises(ConnectionClosed):
        conn.read_response()
    conn.reset()
    assert ask(conn).status == 200
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('ending', ['end', 'cut', 'reset'])
@pytest.mark.parametrize(
    'answer', [HELLO[:-2], b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel'], ids=['length', 'chunked']
)
@pytest.mark.parametrize('call', ['read', 'readinto', 'readall', 'discard'])
def test_14_1_end_of_data_within_a_body(serve: Serve, ending: str, answer: bytes, call: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        assert got_head.wait(LIMIT)
        getattr(peer, ending)()

    got_head = threading.Event()
    conn = serve(script)
    ask(conn)
    got_head.set()
    with pytest.raises(ConnectionClosed):
        while True:
            if call == 'read':
                assert conn.read(10)
            elif call == 'readinto':
                assert conn.readinto(bytearray(10))
            else:
                getattr(conn, call)()


@pytest.mark.parametrize('ending', ['cut', 'reset', 'close'])
def test_14_1_end_while_sending(serve: Serve, ending: str) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        getattr(peer, ending)()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(64 << 20))
    with pytest.raises(ConnectionClosed):
        for _ in range(64):
            conn.write(bytes(1 << 20))
        conn.read_response()  # it may be the first to raise (14.3)


@pytest.mark.parametrize('error', GONE)
@pytest.mark.parametrize('part', [b'', b'HTTP/1.1 200 OK\r\nCont'])
def test_14_1_signs_of_a_lost_connection_when_reading(
    serve_plain: Serve, error: Callable[[], Exception], part: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        if part:
            peer.send(part)
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve_plain(script)
    context = Context()
    conn.ssl_context = context
    conn.send_request('GET', '/')
    assert sent.wait(LIMIT)
    iterator = conn.co_read_response()
    next(iterator)  # takes what is there
    iterator.close()
    context.wrapped.when_reading = error
    with pytest.raises(ConnectionClosed):
        conn.read_response()


@pytest.mark.parametrize('error', GONE)
@pytest.mark.parametrize('head', [b'Content-Length: 5', b'Transfer-Encoding: chunked'])
def test_14_1_signs_of_a_lost_connection_within_a_body(
    serve_plain: Serve, error: Callable[[], Exception], head: bytes
) -> None:
    conn = serve_plain(says(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n' % head))
    context = Context()
    conn.ssl_context = context
    ask(conn)
    context.wrapped.when_reading = error
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            conn.read(10)


@pytest.mark.parametrize('error', [*GONE, pytest.param(no(errno.EINVAL), id='EINVAL')])
@pytest.mark.parametrize('call', ['send_request', 'write'])
def test_14_1_signs_of_a_lost_connection_when_sending(
    serve_plain: Serve, error: Callable[[], Exception], call: str
) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    conn = serve_plain(script)
    context = Context()
    conn.ssl_context = context
    conn.connect()
    if call == 'write':
        conn.send_request('PUT', '/', body=BodyFollowing(5))
    context.wrapped.when_sending = error
    with pytest.raises(ConnectionClosed):
        if call == 'write':
            conn.write(b'hello')
        else:
            conn.send_request('GET', '/')


@pytest.mark.parametrize('error', [*OTHER, pytest.param(no(errno.EINVAL), id='EINVAL')])
@pytest.mark.parametrize('call', ['read_response', 'readall'])
def test_14_1_other_errors_when_reading_are_passed_on(
    serve_plain: Serve, error: Callable[[], Exception], call: str
) -> None:
    conn = serve_plain(says(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n' * (call == 'readall')))
    context = Context()
    conn.ssl_context = context
    conn.send_request('GET', '/')
    if call == 'readall':
        conn.read_response()
    wanted = error()
    context.wrapped.when_reading = lambda: wanted
    with pytest.raises(type(wanted)) as caught:
        getattr(conn, call)()
    assert caught.value is wanted


@pytest.mark.parametrize('error', OTHER)
@pytest.mark.parametrize('call', ['send_request', 'write'])
def test_14_1_other_errors_when_sending_are_passed_on(
    serve_plain: Serve, error: Callable[[], Exception], call: str
) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    conn = serve_plain(script)
    context = Context()
    conn.ssl_context = context
    conn.connect()
    if call == 'write':
        conn.send_request('PUT', '/', body=BodyFollowing(5))
    wanted = error()
    context.wrapped.when_sending = lambda: wanted
    with pytest.raises(type(wanted)) as caught:
        if call == 'write':
            conn.write(b'hello')
        else:
            conn.send_request('GET', '/')
    assert caught.value is wanted


@pytest.mark.parametrize('ending', ['end', 'cut', 'reset'])
def test_14_1_and_2_4_what_got_no_answer(serve: Serve, ending: str) -> None:
    def script(peer: Peer) -> None:
        for _ in range(4):
            peer.request()
        peer.send(HELLO + HELLO[:-1])
        assert got_head.wait(LIMIT)
        getattr(peer, ending)()

    got_head = threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/0')
    conn.send_request('GET', '/1')
    conn.send_request('POST', '/2', body=b'data')
    conn.send_request('PUT', '/3', body=b'data')
    conn.read_response()
    assert conn.readall() == b'hello'
    conn.read_response()
    got_head.set()
    with pytest.raises(ConnectionClosed) as caught:
        conn.readall()
    assert caught.value.unanswered == (('GET', '/1', True), ('POST', '/2', False), ('PUT', '/3', True))


CLOSING = pytest.mark.parametrize(
    'answer',
    [
        b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n' + CHUNKS,
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello',
    ],
    ids=['length', 'chunked', 'close'],
)


@CLOSING
def test_14_2_delivered_in_full_but_what_was_sent_before_is_lost(serve: Serve, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
        peer.send(answer)

    conn = serve(script)
    for number in range(3):
        conn.send_request('GET', f'/{number}')
    assert conn.read_response().path == '/0'
    assert conn.readall() == b'hello'
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            conn.read_response()
    assert serve.server.connections == 1


@CLOSING
def test_14_2_and_14_3_what_is_sent_afterwards_is_lost(serve: Serve, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    conn = serve(script, says(HELLO))
    ask(conn)
    assert conn.readall() == b'hello'
    conn.send_request('GET', '/')
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            conn.read_response()
    assert serve.server.connections == 1
    conn.reset()
    ask(conn)
    assert conn.readall() == b'hello'
    assert serve.server.connections == 2


@pytest.mark.parametrize('status', ['204 No Content', '304 Not Modified', '200 OK'])
def test_14_2_a_closing_response_without_body(serve: Serve, status: str) -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
        peer.send(f'HTTP/1.1 {status}\r\nConnection: close\r\n\r\n'.encode())

    conn = serve(script)
    conn.send_request('HEAD', '/')
    conn.send_request('HEAD', '/')
    assert conn.read_response().length == 0
    with pytest.raises(ConnectionClosed):
        conn.read_response()


def test_14_2_the_rest_of_a_closing_response_comes_later(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000005\r\n\r\n')
        assert got_head.wait(LIMIT)
        peer.send(b'hello' + bytes(1000000))

    got_head = threading.Event()
    conn = serve(script)
    ask(conn)
    got_head.set()
    assert conn.readall() == b'hello' + bytes(1000000)


@CLOSING
@pytest.mark.parametrize('body', [None, b'data', 'following'])
def test_14_3_sending_does_not_raise_because_of_a_close(serve: Serve, answer: bytes, body: bytes | str | None) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.end()
        ended.set()

    ended = threading.Event()
    conn = serve(script)
    ask(conn)
    assert conn.readall() == b'hello'
    assert ended.wait(LIMIT)
    if isinstance(body, str):
        conn.send_request('PUT', '/', body=BodyFollowing(8))
        conn.write(b'data')
        conn.write(b'data')
    else:
        conn.send_request('PUT', '/', body=body)
    with pytest.raises(ConnectionClosed):
        conn.read_response()


def test_14_3_sending_does_not_raise_because_of_an_end_that_was_not_announced(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        peer.end()
        ended.set()

    ended = threading.Event()
    conn = serve(script)
    ask(conn)
    assert conn.readall() == b'hello'
    assert ended.wait(LIMIT)
    conn.send_request('PUT', '/', body=BodyFollowing(8))
    conn.write(b'data')
    conn.write(b'data')
    with pytest.raises(ConnectionClosed):
        conn.read_response()


def test_14_3_the_close_was_announced_while_a_body_is_written(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.head()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello')

    conn = serve(script)
    conn.send_request('GET', '/')
    conn.send_request('PUT', '/', body=BodyFollowing(8))
    conn.read_response()
    assert conn.readall() == b'hello'
    conn.write(b'data')
    conn.write(b'data')
    with pytest.raises(ConnectionClosed):
        conn.read_response()


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
    if where is elsewhere or not again.startswith('connect'):  # one that calls connect() knows (7.2)
        with pytest.raises(ConnectionClosed) as caught:
            call(conn)
        assert caught.value.unanswered == (('GET', '/', True),)
    # From now on this is a new connection.
    conn.discard()
    if again != 'send_request':
        conn.send_request('GET', '/next')
    assert conn.read_response().path == '/next'
    assert conn.readall() == b'hello'
    assert conn.read(100) == b''


def test_14_4_a_reader_of_the_next_response_is_not_told_of_the_body_that_was_cut(serve: Serve) -> None:
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
    elsewhere(lambda: conn.discard())  # for others this is a new connection
    with pytest.raises(ConnectionClosed):
        call(conn)
    assert conn.read(100) == b''
    ask(conn)
    assert conn.readall() == b'hello'


def test_14_4_a_reader_of_what_another_thread_has_asked_for_is_not_told(serve: Serve) -> None:
    """Threads that take turns may be any."""

    def work() -> None:
        conn.disconnect()
        ask(conn)

    conn = serve(says(CUT), says(HELLO))
    ask(conn)
    assert conn.read(100) == b'hello'
    elsewhere(work)
    assert conn.readall() == b'hello'
    assert conn.read(100) == b''


def test_14_4_a_reader_that_was_told_in_time_is_not_told_again(serve: Serve) -> None:
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


def test_14_4_a_reader_that_waits_is_told_once(serve: Serve) -> None:
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


def test_14_4_a_pipeline_on_the_next_connection_is_not_told_of_the_body_that_was_cut(serve: Serve) -> None:
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
def test_14_5_whatever_the_error_was(serve_plain: Serve, error: Callable[[], Exception]) -> None:
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


UNASKED = [
    b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
    b'HTTP/1.1 200 OK\r\n',
    b'HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n',
    b'HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\n408',
    b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
    b'SSH-2.0-OpenSSH_9.2p1\r\n',
    b'408',
    b'x',
]
TIMED_OUT = [
    b'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
    b'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n<html>',
    b'HTTP/1.0 408 Request Time-out\r\nCache-Control: no-cache\r\n\r\n<html>',
    b'HTTP/1.1 408\r\n\r\n',
]
every_unasked = pytest.mark.parametrize(
    ('unasked', 'error'),
    [(data, InvalidResponse) for data in UNASKED] + [(data, ConnectionClosed) for data in TIMED_OUT],
)


def the_next_request_fails(conn: dugong.HTTPConnection, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(conn)
    conn.reset()
    ask(conn)
    assert conn.readall() == b'hello'


@every_unasked
@pytest.mark.parametrize('end', [False, True])
def test_14_6_bytes_that_nobody_asked_for(serve: Serve, unasked: bytes, error: type[Exception], end: bool) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO)
        assert done.wait(LIMIT)
        peer.send(unasked)
        if end:
            peer.end()
        sent.set()
        peer.rest()

    done, sent = threading.Event(), threading.Event()
    conn = serve(script, says(HELLO))
    ask(conn)
    assert conn.readall() == b'hello'
    done.set()
    assert sent.wait(LIMIT)
    the_next_request_fails(conn, error)


@every_unasked
@pytest.mark.parametrize(
    ('method', 'answer', 'body'),
    [
        ('GET', HELLO, b'hello'),
        ('GET', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + CHUNKS, b'hello'),
        ('GET', b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', b''),
        ('GET', b'HTTP/1.1 204 No Content\r\n\r\n', b''),
        ('HEAD', b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', b''),
    ],
)
def test_14_6_bytes_that_came_with_the_last_answer(
    serve: Serve, unasked: bytes, error: type[Exception], method: str, answer: bytes, body: bytes
) -> None:
    conn = serve(says(answer + unasked), says(HELLO))
    assert ask(conn, method).status in (200, 204)
    assert conn.readall() == body
    the_next_request_fails(conn, error)


@every_unasked
def test_14_6_bytes_before_the_first_request(serve: Serve, unasked: bytes, error: type[Exception]) -> None:
    def script(peer: Peer) -> None:
        peer.send(unasked)
        sent.set()
        peer.rest()

    sent = threading.Event()
    conn = serve(script, says(HELLO))
    conn.connect()
    assert sent.wait(LIMIT)
    the_next_request_fails(conn, error)


# What may follow an exception


NOTHING_CHANGED: list[tuple[type[Exception], Callable[[dugong.HTTPConnection], object]]] = [
    (ValueError, lambda conn: conn.send_request('GET', '/', expect100=True)),
    (ValueError, lambda conn: conn.send_request('GET', '/a b')),
    (ValueError, lambda conn: conn.send_request('GET', '/', headers={'A': 'b\r\nC: d'})),
    (ValueError, lambda conn: conn.send_request('PUT', '/', body=BodyFollowing(-1))),
    (TypeError, lambda conn: conn.send_request('PUT', '/', body='text')),  # type: ignore[arg-type]
    (UnicodeEncodeError, lambda conn: conn.send_request('GET', '/\u20ac')),
    (UnicodeEncodeError, lambda conn: conn.send_request('GET', '/', headers={'A': '\u20ac'})),
    (UnicodeEncodeError, lambda conn: conn.send_request('PUT', '/\u20ac', body=BodyFollowing(4))),
    (StateError, lambda conn: conn.write(b'data')),
]


@pytest.mark.parametrize(('error', 'call'), NOTHING_CHANGED)
def test_14_after_wrong_calls_nothing_has_changed(
    serve: Serve, error: type[Exception], call: Callable[[dugong.HTTPConnection], object]
) -> None:
    def script(peer: Peer) -> None:
        for number in range(2):
            assert peer.request().target == f'/{number}'
        peer.answer(b'hello')
        peer.answer(b'world')
        assert peer.rest() == b''

    conn = serve(script)

    def wrong() -> None:
        with pytest.raises(error):
            call(conn)

    wrong()
    assert not conn.response_pending()
    conn.send_request('GET', '/0')
    wrong()
    conn.send_request('GET', '/1')
    wrong()
    assert conn.response_pending()
    assert conn.read_response().path == '/0'
    wrong()
    assert len(conn.read(2)) <= 2
    wrong()
    assert b'hello'.endswith(conn.readall())
    wrong()
    assert conn.read_response().path == '/1'
    assert conn.readall() == b'world'
    wrong()
    assert not conn.response_pending()


def test_14_after_state_errors_and_excess_data_nothing_has_changed(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().body == b'data'
        peer.answer(b'hello')
        assert peer.rest() == b''

    conn = serve(script)

    def wrong() -> None:
        with pytest.raises(ExcessBodyData):
            conn.write(b'excess')
        with pytest.raises(StateError):
            conn.send_request('GET', '/')
        with pytest.raises(StateError):
            conn.read_response()

    conn.send_request('PUT', '/', body=BodyFollowing(4))
    wrong()
    conn.write(b'da')
    wrong()
    conn.write(b'ta')
    conn.read_response()
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('at', [0, 1, 8, 12, 15, 16, 17, 20, 24, 35, 36, 37])
def test_14_after_a_timeout_read_response_goes_on(serve: Serve, at: int) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        if at:
            peer.send(HELLO[:at])
        assert timed_out.wait(LIMIT)
        peer.send(HELLO[at:])
        peer.rest()

    timed_out = threading.Event()
    conn = serve(script)
    conn.connect()
    conn.send_request('GET', '/')
    conn.timeout = 0.1
    for _ in range(2):
        with pytest.raises(ConnectionTimedOut):
            conn.read_response()
    timed_out.set()
    conn.timeout = LIMIT
    resp = conn.read_response()
    assert (resp.status, resp.reason, resp.headers.items()) == (200, 'OK', [('Content-Length', '5')])
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    ('head', 'parts'),
    [
        (b'Content-Length: 10', [b'', b'hello', b'world']),
        (b'Transfer-Encoding: chunked', [b'5', b'\r\nhel', b'lo\r', b'\n5\r\nworld\r\n', b'0\r', b'\n', b'\r\n']),
        (b'Connection: close', [b'', b'hello', b'world']),
    ],
)
@pytest.mark.parametrize('call', ['read', 'readinto', 'discard'])
def test_14_after_a_timeout_reading_goes_on(serve: Serve, head: bytes, parts: list[bytes], call: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n' % head)
        for part in parts:
            if part:
                peer.send(part)
            assert timed_out.acquire(timeout=LIMIT)

    timed_out = threading.Semaphore(0)
    conn = serve(script)
    ask(conn)
    conn.timeout = 0.1
    got, timeouts = b'', 0
    while timeouts <= len(parts):  # with the last part, reading ends without a timeout
        try:
            if call == 'read':
                data = bytes(conn.read(100))
            elif call == 'readinto':
                buf = bytearray(100)
                data = bytes(buf[: conn.readinto(buf)])
            else:
                conn.discard()
                data = b''
        except ConnectionTimedOut:
            timeouts += 1
            timed_out.release()
        else:
            if not data:
                break
            got += data
    for _ in parts:
        timed_out.release()
    assert timeouts >= len(parts) - 1
    assert got == (b'' if call == 'discard' else b'helloworld')
    assert not conn.response_pending()


@pytest.mark.parametrize('call', ['send_request', 'write'])
def test_14_after_a_timeout_while_sending_nothing_but_disconnecting(serve: Serve, call: str) -> None:
    def script(peer: Peer) -> None:
        assert disconnected.wait(LIMIT)

    disconnected = threading.Event()
    conn = serve(script, says(HELLO))
    conn.connect()
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        if call == 'write':
            conn.send_request('PUT', '/', body=BodyFollowing(1 << 26))
            for _ in range(1 << 6):
                conn.write(bytes(1 << 20))
        else:
            conn.send_request('PUT', '/', body=bytes(1 << 26))
    conn.timeout = LIMIT
    conn.disconnect()
    disconnected.set()
    ask(conn)
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    'error',
    [OSError(errno.EIO, 'what'), ssl.SSLCertVerificationError(1, 'what'), ConnectionResetError(), KeyError('x')],
)
def test_14_after_an_error_while_connecting_there_is_no_connection(serve_plain: Serve, error: Exception) -> None:
    def nothing(peer: Peer) -> None:
        assert peer.rest() == b''

    conn = serve_plain(nothing, nothing, says(HELLO))
    context = Context()
    conn.ssl_context = context
    for call in conn.connect, lambda: conn.send_request('GET', '/'):
        context.error = error
        with pytest.raises((type(error), ConnectionClosed)):
            call()
        assert not conn.response_pending()
        assert conn.read(10) == b''
        with pytest.raises(StateError):
            conn.read_response()
        with pytest.raises(StateError):
            conn.write(b'x')
    context.error = None
    ask(conn)
    assert conn.readall() == b'hello'
    assert serve_plain.server.connections == 3


@pytest.mark.parametrize('error', OTHER)
@pytest.mark.parametrize('direction', ['when_sending', 'when_reading'])
def test_14_after_another_error_nothing_but_disconnecting(
    serve_plain: Serve, error: Callable[[], Exception], direction: str
) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    conn = serve_plain(script, says(HELLO))
    context = Context()
    conn.ssl_context = context
    conn.send_request('GET', '/')
    setattr(context.wrapped, direction, error)
    with pytest.raises(type(error())):
        ask(conn)
    conn.disconnect()
    ask(conn)
    assert conn.readall() == b'hello'
