"""Every sentence of the specification of `dugong.httpio`, in its order."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import select
import socket
import ssl
import threading
from array import array
from collections.abc import Callable, Generator, Iterator
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest
from peers import LIMIT, Peer, Received, Script, Serve

import dugong
from dugong import httpio
from dugong.httpio import ConnectionClosed, ConnectionTimedOut, ExcessBodyData, HTTPConnection, StateError

Connect = Callable[..., HTTPConnection]

#: More than all buffers between the two ends can hold.
MUCH = bytes(range(256)) * 4 * 1024 * 16


@pytest.fixture
def connect(serve: Serve) -> Iterator[Connect]:
    """Start a server for scripts, and give a connection to it; plain and with TLS."""
    with contextlib.ExitStack() as stack:

        def make(*scripts: Callable[[Peer], object]) -> HTTPConnection:
            serve(*cast('tuple[Script, ...]', scripts))
            conn = HTTPConnection('localhost', serve.server.port, serve.client_tls)
            conn.timeout = LIMIT
            return stack.enter_context(conn)

        yield make


class Log:
    """A script that keeps requests and answers them with these bodies, until the client closes the connection."""

    def __init__(self, *bodies: bytes) -> None:
        self.bodies = bodies or (b'',)
        self.requests: list[Received] = []

    def __call__(self, peer: Peer) -> None:
        with contextlib.suppress(EOFError, OSError):
            for body in self.bodies:
                self.requests.append(peer.request())
                peer.answer(body)
        peer.rest()


def readable(conn: HTTPConnection, timeout: float = LIMIT) -> bool:
    return bool(select.select([conn], [], [], timeout)[0])


def arrives(conn: HTTPConnection) -> None:
    """Wait for a response; with TLS, tickets make the connection readable before."""
    while not conn._is_waiting():
        assert readable(conn)


def writable(conn: HTTPConnection, timeout: float = LIMIT) -> bool:
    return bool(select.select([], [conn], [], timeout)[1])


def get(conn: HTTPConnection, url: str = '/') -> tuple[int, bytes]:
    conn.send_request('GET', url)
    return conn.read_response()[2], conn.readall()


def test_is_a_thin_layer_with_one_class() -> None:
    assert len(Path(httpio.__file__).read_text().splitlines()) < 250
    own = [name for name, value in vars(httpio).items() if getattr(value, '__module__', '') == httpio.__name__]
    assert own == ['HTTPConnection']


def test_arguments() -> None:
    parameters = '(hostname, port=None, ssl_context=None, proxy=None)'
    assert plain_signature(HTTPConnection) == parameters
    parameters = '(self, method, url, headers=None, body=None, via_cofun=False, expect100=False)'
    assert plain_signature(HTTPConnection.send_request) == parameters
    assert plain_signature(HTTPConnection.write) == '(self, buf, partial=False)'
    assert plain_signature(HTTPConnection.co_sendfile) == '(self, fh)'


def plain_signature(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(inspect.Signature(parameters))


def test_there_is_the_constant_of_the_ancestor() -> None:
    assert httpio.BUFSIZE == 65536


def test_everything_public_has_a_docstring() -> None:
    assert httpio.__doc__
    for name, value in {'HTTPConnection': HTTPConnection, **vars(HTTPConnection)}.items():
        assert name.startswith('_') or inspect.getdoc(value), name


# HTTPConnection(hostname, port=None, ssl_context=None, proxy=None)


def test_a_whole_exchange(connect: Connect, serve: Serve) -> None:
    log = Log(b'hello')
    conn = connect(log)
    assert serve.server.connections == 0
    conn.send_request('GET', '/a?b', {'X-Own': 'yes'})
    method, url, status, reason, headers = conn.read_response()
    assert (method, url, status, reason, headers['content-length']) == ('GET', '/a?b', 200, 'OK', '5')
    assert conn.readall() == b'hello'
    conn.close()
    [request] = log.requests
    assert (request.method, request.target, request.version, request.body) == ('GET', '/a?b', 'HTTP/1.1', b'')
    assert request.values('X-Own') == ['yes']
    assert request.values('Host') == [f'localhost:{serve.server.port}']
    assert request.values('Content-Length') == ['0']


def test_the_port_is_that_of_the_scheme(serve_plain: Serve) -> None:
    log = Log()
    serve_plain(log)
    # A proxy is told what port the request is for.
    with HTTPConnection('example.invalid', proxy=('localhost', serve_plain.server.port)) as conn:
        conn.timeout = LIMIT
        get(conn)
    assert log.requests[0].target == 'http://example.invalid/'


def test_the_port_is_443_with_an_ssl_context(serve_plain: Serve, client_tls: ssl.SSLContext) -> None:
    def script(peer: Peer) -> None:
        heads.append(peer.head())
        peer.answer(b'', '403 Forbidden')

    heads: list[Received] = []
    serve_plain(script)
    conn = HTTPConnection('example.invalid', ssl_context=client_tls, proxy=('localhost', serve_plain.server.port))
    conn.timeout = LIMIT
    with conn, pytest.raises(ConnectionError, match='403'):
        conn.connect()
    assert [(head.method, head.target) for head in heads] == [('CONNECT', 'example.invalid:443')]


def test_proxy(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        if context:
            assert peer.head().method == 'CONNECT'
            peer.send(b'HTTP/1.1 200 Fine\r\n\r\n')
            peer.start_tls(context)
            assert peer.server_name == 'localhost'
        targets.append(peer.request().target)
        peer.answer(b'hello')
        peer.rest()

    targets: list[str] = []
    context, serve.server_tls = serve.server_tls, None  # the proxy itself is plain
    serve(script)
    with HTTPConnection('localhost', 8, serve.client_tls, ('127.0.0.1', serve.server.port)) as conn:
        conn.timeout = LIMIT
        conn.send_request('GET', '/a')
        assert conn.read_response()[:3] == ('GET', '/a', 200)
        assert conn.readall() == b'hello'
    assert targets == ['/a' if context else 'http://localhost:8/a']


def test_end_of_a_with_block_closes(connect: Connect) -> None:
    with connect(Log()) as conn:
        conn.connect()
        assert conn.fileno() >= 0
    with pytest.raises(StateError):
        conn.fileno()


# send_request: body is None, bytes-like, or an int: the size of content that follows by write


@pytest.mark.parametrize(
    'body',
    [
        b'hello',
        bytearray(b'hello'),
        memoryview(b'hello'),
        array('B', b'hello'),
        array('H', [1, 2, 3]),
        memoryview(array('I', [1, 2, 3])),
        memoryview(b'abcdef').cast('B', (2, 3)),
        b'',
        array('I'),
    ],
    ids=lambda body: f'{type(body).__name__} {bytes(body)!r}',
)
@pytest.mark.parametrize('via_cofun', [False, True])
def test_body_is_bytes_like(body: Any, via_cofun: bool, connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    sending = conn.send_request('PUT', '/', body=body, via_cofun=via_cofun)
    if sending is not None:
        assert list(sending) == []
    conn.read_response()
    [request] = log.requests
    assert request.body == bytes(body)
    assert request.values('Content-Length') == [str(len(bytes(body)))]


@pytest.mark.parametrize('via_cofun', [False, True])
def test_body_is_an_int(via_cofun: bool, connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    sending = conn.send_request('PUT', '/', body=5, via_cofun=via_cofun)
    if sending is not None:
        assert list(sending) == []
    assert not conn.response_pending()
    assert conn.write(b'he') == 2
    with pytest.raises(StateError):
        conn.send_request('GET', '/')
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.write(b'llo') == 3
    assert conn.response_pending()
    assert conn.read_response()[2] == 200
    [request] = log.requests
    assert request.body == b'hello'
    assert request.values('Content-Length') == ['5']


def test_body_of_size_0_needs_no_write(connect: Connect) -> None:
    conn = connect(Log(b''))
    conn.send_request('PUT', '/', body=0)
    with pytest.raises(StateError):
        conn.write(b'x')
    assert conn.read_response()[2] == 200


@pytest.mark.parametrize('body', ['text', 1.5, [1], io.BytesIO(b'x'), dugong.BodyFollowing(3)])
@pytest.mark.parametrize('via_cofun', [False, True])
def test_body_is_nothing_else(body: Any, via_cofun: bool, connect: Connect) -> None:
    conn = connect(Log(b'hello'))
    with pytest.raises(TypeError):
        run(conn.send_request('PUT', '/', body=body, via_cofun=via_cofun))
    assert get(conn) == (200, b'hello')


@pytest.mark.parametrize('via_cofun', [False, True])
def test_errors_before_anything_is_sent(via_cofun: bool, connect: Connect) -> None:
    log = Log(b'hello')
    conn = connect(log)
    wrong: list[dict[str, Any]] = [
        {'body': -1},
        {'expect100': True},
        {'body': b'hello', 'expect100': True},
        {'body': b'hello', 'headers': {'X': 'a\r\nb'}},
    ]
    for each in wrong:
        with pytest.raises(ValueError):  # noqa: PT011
            run(conn.send_request('PUT', '/', via_cofun=via_cofun, **each))
    assert get(conn) == (200, b'hello')
    assert len(log.requests) == 1


def run(sending: Generator[None, None, None] | None) -> None:
    for item in sending or ():
        assert item is None


# no Content-MD5 is added


@pytest.mark.parametrize('via_cofun', [False, True])
def test_no_content_md5_is_added(via_cofun: bool, connect: Connect) -> None:
    log = Log(b'', b'')
    conn = connect(log)
    for headers in {}, {'Content-MD5': 'mine'}:
        run(conn.send_request('PUT', '/', headers, b'hello', via_cofun=via_cofun))
        conn.read_response()
        conn.discard()
    assert [request.values('Content-MD5') for request in log.requests] == [[], ['mine']]
    assert headers == {'Content-MD5': 'mine'}


# with via_cofun nothing is sent by the call, and the iterator it returns sends


def test_via_cofun_the_call_sends_nothing(connect: Connect, serve: Serve) -> None:
    log = Log(b'', b'')
    conn = connect(log)
    sending = conn.send_request('PUT', '/first', body=b'hello', via_cofun=True)
    assert serve.server.connections == 0
    with pytest.raises(StateError):
        conn.fileno()
    conn.send_request('GET', '/second')
    conn.read_response()
    conn.discard()
    run(sending)
    assert conn.read_response()[:2] == ('PUT', '/first')
    conn.discard()
    assert [request.target for request in log.requests] == ['/second', '/first']


def test_via_cofun_errors_come_from_the_iterator(connect: Connect) -> None:
    conn = connect(Log(b'hello'))
    wrong: Any = 'text'
    for sending in (
        conn.send_request('PUT', '/', body=wrong, via_cofun=True),
        conn.send_request('PUT', '/', body=wrong, via_cofun=True),
    ):
        with pytest.raises(TypeError):
            next(sending)
    conn.send_request('PUT', '/', body=5)
    sending = conn.send_request('GET', '/', via_cofun=True)
    with pytest.raises(StateError):
        next(sending)
    conn.write(b'hello')
    assert conn.read_response()[2] == 200


# yields None whenever response data is waiting to be read before all is sent


def test_via_cofun_does_not_yield_while_no_response_is_due(connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    assert list(conn.send_request('PUT', '/', body=MUCH, via_cofun=True)) == []
    conn.read_response()
    assert log.requests[0].body == MUCH


def test_via_cofun_yields_none_when_response_data_is_waiting(connect: Connect) -> None:
    conn = connect(Log(b'first', b'second'))
    conn.send_request('GET', '/1')
    arrives(conn)
    sending = conn.send_request('PUT', '/2', body=b'hello', via_cofun=True)
    assert next(sending) is None
    wait_for_response(conn)
    assert conn.readall() == b'first'
    assert list(sending) == []
    assert conn.read_response()[1] == '/2'
    assert conn.readall() == b'second'


def test_via_cofun_yields_none_when_the_rest_of_a_body_is_waiting(connect: Connect) -> None:
    conn = connect(Log(b'first', b'second'))
    conn.send_request('GET', '/1')
    conn.read_response()
    assert conn.read(1) == b'f'
    sending = conn.send_request('PUT', '/2', body=b'hello', via_cofun=True)
    assert next(sending) is None
    assert conn.readall() == b'irst'
    assert list(sending) == []
    assert conn.read_response()[1] == '/2'


def test_via_cofun_yields_none_when_a_response_came_with_the_one_before(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello' * 2)
        peer.request()
        peer.answer()
        peer.rest()

    conn = connect(script)
    conn.send_request('GET', '/1')
    conn.send_request('GET', '/2')
    conn.read_response()
    assert conn.readall() == b'hello'
    assert not readable(conn, 0)  # it has been received
    sending = conn.send_request('PUT', '/3', body=b'hello', via_cofun=True)
    assert next(sending) is None
    assert conn.read_response()[1] == '/2'
    assert conn.readall() == b'hello'
    assert list(sending) == []
    assert conn.read_response()[1] == '/3'


def test_via_cofun_goes_on_when_the_data_is_not_read(connect: Connect) -> None:
    conn = connect(Log(b'first', b'second'))
    conn.send_request('GET', '/1')
    arrives(conn)
    sending = conn.send_request('PUT', '/2', body=b'hello', via_cofun=True)
    for count, item in enumerate(sending):
        assert item is None
        assert count < 10
    for body in b'first', b'second':
        conn.read_response()
        assert conn.readall() == body


def test_via_cofun_without_content_yields_too(connect: Connect) -> None:
    conn = connect(Log(b'first', b'second'))
    conn.send_request('GET', '/1')
    arrives(conn)
    sending = conn.send_request('GET', '/2', via_cofun=True)
    assert next(sending) is None
    wait_for_response(conn)
    assert conn.readall() == b'first'
    assert list(sending) == []
    assert conn.read_response()[1] == '/2'


def answer_before_reading_on(peer: Peer) -> None:
    """Answer a request with much, and read nothing more before it is sent."""
    peer.request()
    peer.answer(MUCH)
    assert peer.request().body == MUCH
    peer.answer(b'done')
    peer.rest()


def drive(conn: HTTPConnection, sending: Iterator[None], pieces: int = 65536) -> bytearray:
    """Run it, and read what is waiting each time; return the body that was read."""
    body = bytearray()
    for item in sending:
        assert item is None
        assert conn.response_pending()
        if conn.get_current_response() is None:
            wait_for_response(conn)
        else:
            body += conn.read(pieces)
    return body


def wait_for_response(conn: HTTPConnection) -> None:
    assert conn.read_response()[2] == 200


def test_via_cofun_cannot_deadlock(connect: Connect) -> None:
    conn = connect(answer_before_reading_on)
    conn.send_request('GET', '/1')
    body = drive(conn, conn.send_request('PUT', '/2', body=MUCH, via_cofun=True))
    if conn.get_current_response():
        body += conn.readall()
    assert body == MUCH
    assert conn.read_response()[:2] == ('PUT', '/2')
    assert conn.readall() == b'done'


def test_via_cofun_cannot_deadlock_on_heads(connect: Connect) -> None:
    count, long = 400, 'x' * 20000

    def script(peer: Peer) -> None:
        for number in range(count):
            assert peer.request().target == f'/{number}'
            peer.answer(bytes(40000))
        peer.rest()

    conn = connect(script)
    read = 0
    for number in range(count):
        for _ in conn.send_request('GET', f'/{number}', {'X-Long': long}, via_cofun=True):
            if conn.get_current_response() is None:
                assert conn.read_response()[1] == f'/{read}'
            elif not conn.read(65536):
                read += 1
    while conn.response_pending():
        if conn.get_current_response() is None:
            assert conn.read_response()[1] == f'/{read}'
        conn.discard()
        read += 1
    assert read == count


def test_via_cofun_waits_no_longer_than_the_timeout(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        done.wait(LIMIT)

    done = threading.Event()
    conn = connect(script)
    conn.timeout = 0.1
    conn.send_request('GET', '/')
    with pytest.raises(ConnectionTimedOut):
        list(conn.send_request('PUT', '/', body=MUCH, via_cofun=True))
    conn.close()
    done.set()


# write(buf, partial=False) returns the number of bytes taken


@pytest.mark.parametrize('partial', [False, True])
def test_write_returns_the_number_of_bytes(partial: bool, connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    conn.send_request('PUT', '/', body=15)
    assert conn.write(b'', partial) == 0
    assert conn.write(b'abc', partial=partial) == 3
    assert conn.write(bytearray(b'def'), partial=partial) == 3
    assert conn.write(memoryview(b'gh'), partial) == 2
    assert conn.write(array('H', [1, 2, 3]), partial) == 6
    assert conn.write(array('B', [33]), partial) == 1
    conn.read_response()
    assert log.requests[0].body == b'abcdefgh' + bytes(array('H', [1, 2, 3])) + b'!'


@pytest.mark.parametrize('partial', [False, True])
def test_write_more_than_announced(partial: bool, connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    conn.send_request('PUT', '/', body=5)
    conn.write(b'abc', partial)
    with pytest.raises(ExcessBodyData):
        conn.write(b'def', partial)
    assert conn.write(b'de', partial) == 2
    for data in b'x', b'xx':
        with pytest.raises(StateError):
            conn.write(data, partial)
    conn.read_response()
    assert log.requests[0].body == b'abcde'


@pytest.mark.parametrize('partial', [False, True])
def test_write_of_what_is_not_bytes_like(partial: bool, connect: Connect) -> None:
    conn = connect(Log(b''))
    conn.send_request('PUT', '/', body=5)
    wrong: Any = 'text'
    with pytest.raises(TypeError):
        conn.write(wrong, partial)
    conn.write(b'hello', partial)
    assert conn.read_response()[2] == 200


def test_write_without_partial_takes_all(connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    conn.send_request('PUT', '/', body=len(MUCH))
    assert conn.write(MUCH) == len(MUCH)
    conn.read_response()
    assert log.requests[0].body == MUCH


# with partial it takes what fits now


def test_partial_write_takes_what_fits_now(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        go_on.wait(LIMIT)
        body.append(peer.exactly(len(MUCH)))
        peer.answer(b'done')
        peer.rest()

    body: list[bytes] = []
    go_on = threading.Event()
    conn = connect(script)
    conn.send_request('PUT', '/', body=len(MUCH))
    view = memoryview(MUCH)
    while (count := conn.write(view[:300_000], partial=True)) or writable(conn, 0.2):
        view = view[count:]
    assert 0 < len(view) < len(MUCH)  # it did not fit, and nobody had to wait
    go_on.set()
    while view:
        assert writable(conn)
        view = view[conn.write(view, partial=True) :]
    conn.read_response()
    assert conn.readall() == b'done'
    assert body == [MUCH]


def test_partial_write_to_a_lost_connection(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.reset()

    conn = connect(script)
    conn.send_request('PUT', '/', body=len(MUCH))
    with pytest.raises(ConnectionClosed):
        while True:
            conn.write(bytes(1000), partial=True)


# co_sendfile(fh) sends announced content from a file object with readinto in the same manner


class OnlyReadinto:
    """The least that a file object can be."""

    def __init__(self, data: bytes, at_once: int = 1 << 20) -> None:
        self.file = io.BytesIO(data)
        self.at_once = at_once

    def readinto(self, buf: memoryview) -> int:
        return self.file.readinto(buf[: self.at_once])


def test_co_sendfile(connect: Connect, tmp_path: Path) -> None:
    log = Log(b'', b'', b'', b'')
    conn = connect(log)
    path = tmp_path / 'file'
    path.write_bytes(MUCH)
    with path.open('rb') as buffered, path.open('rb', buffering=0) as raw:
        for fh in buffered, raw, io.BytesIO(MUCH), OnlyReadinto(MUCH, 100_000):
            conn.send_request('PUT', '/', body=len(MUCH))
            assert list(conn.co_sendfile(fh)) == []
            assert conn.read_response()[2] == 200
            conn.discard()
    assert [request.body == MUCH for request in log.requests] == [True] * 4


def test_co_sendfile_leaves_what_was_not_announced(connect: Connect) -> None:
    log = Log(b'', b'')
    conn = connect(log)
    fh = io.BytesIO(b'first second')
    conn.send_request('PUT', '/', body=6)
    run(conn.co_sendfile(fh))
    conn.send_request('PUT', '/', body=6)
    assert conn.write(b's') == 1
    fh.read(1)
    run(conn.co_sendfile(fh))
    for _ in range(2):
        conn.read_response()
        conn.discard()
    assert [request.body for request in log.requests] == [b'first ', b'second']


def test_co_sendfile_of_a_file_that_is_too_short(connect: Connect) -> None:
    log = Log(b'')
    conn = connect(log)
    conn.send_request('PUT', '/', body=12)
    run(conn.co_sendfile(io.BytesIO(b'first ')))
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.send_request('GET', '/')
    run(conn.co_sendfile(io.BytesIO(b'second')))
    conn.read_response()
    assert log.requests[0].body == b'first second'


def test_co_sendfile_reads_nothing_while_no_content_is_due(connect: Connect) -> None:
    conn = connect(Log(b''))
    fh = io.BytesIO(b'hello')
    conn.connect()
    with pytest.raises(StateError):
        next(conn.co_sendfile(fh))
    conn.send_request('PUT', '/', body=5)
    conn.write(b'hello')
    with pytest.raises(StateError):
        next(conn.co_sendfile(fh))
    assert conn.read_response()[2] == 200
    with pytest.raises(StateError):
        next(conn.co_sendfile(fh))
    assert fh.tell() == 0


def test_co_sendfile_cannot_deadlock(connect: Connect) -> None:
    conn = connect(answer_before_reading_on)
    conn.send_request('GET', '/1')
    conn.send_request('PUT', '/2', body=len(MUCH))
    body = drive(conn, conn.co_sendfile(io.BytesIO(MUCH)))
    if conn.get_current_response():
        body += conn.readall()
    assert body == MUCH
    assert conn.read_response()[:2] == ('PUT', '/2')
    assert conn.readall() == b'done'


def test_co_sendfile_yields_none_when_response_data_is_waiting(connect: Connect) -> None:
    conn = connect(Log(b'first', b'second'))
    conn.send_request('GET', '/1')
    arrives(conn)
    conn.send_request('PUT', '/2', body=5)
    sending = conn.co_sendfile(io.BytesIO(b'hello'))
    assert next(sending) is None
    wait_for_response(conn)
    assert conn.readall() == b'first'
    assert list(sending) == []
    assert conn.read_response()[1] == '/2'
    assert conn.readall() == b'second'


# expect100


def test_expect100(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        head = peer.head()
        assert head.values('Expect') == ['100-continue']
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(5) == b'hello'
        peer.answer(b'done')
        peer.rest()

    conn = connect(script)
    fh = io.BytesIO(b'hello')
    conn.send_request('PUT', '/', body=5, expect100=True)
    assert conn.response_pending()
    for partial in False, True:
        with pytest.raises(StateError):
            conn.write(b'hello', partial)
    with pytest.raises(StateError):
        next(conn.co_sendfile(fh))
    assert fh.tell() == 0
    assert conn.read_response()[:3] == ('PUT', '/', 100)
    assert conn.get_current_response() is None
    assert not conn.response_pending()
    run(conn.co_sendfile(fh))
    assert conn.read_response()[:3] == ('PUT', '/', 200)
    assert conn.readall() == b'done'


def test_expect100_via_cofun(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(5) == b'hello'
        peer.answer(b'done')
        peer.rest()

    conn = connect(script)
    run(conn.send_request('PUT', '/', body=5, via_cofun=True, expect100=True))
    assert conn.read_response()[2] == 100
    assert conn.read(10) == b''  # may be done, and need not
    conn.write(b'hello')
    assert conn.read_response()[2] == 200
    assert conn.readall() == b'done'


def test_expect100_refused(connect: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'no', '403 Forbidden', [('Connection', 'close')])

    conn = connect(script, Log(b'hello'))
    conn.send_request('PUT', '/', body=5, expect100=True)
    assert conn.read_response()[2] == 403
    with pytest.raises(StateError):
        conn.write(b'hello')
    assert conn.readall() == b'no'
    with pytest.raises(StateError):
        next(conn.co_sendfile(io.BytesIO(b'hello')))
    conn.close()
    assert get(conn) == (200, b'hello')


# read_response() returns the tuple (method, url, status, reason, headers)


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
        assert conn.read(0) == b''  # which is no end
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
    assert conn.response_pending()  # even an empty body
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
        with contextlib.suppress(OSError):  # it is not read
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
