"""`dugong.httpio`: construction and requests."""

from __future__ import annotations

import inspect
import io
import ssl
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from httpio_log import (
    MUCH,
    Connect,
    Log,
    answer_before_reading_on,
    arrives,
    drive,
    get,
    readable,
    run,
    wait_for_response,
)
from peers import LIMIT, Peer, Received, Serve

import dugong
from dugong import httpio
from dugong.httpio import ConnectionTimedOut, HTTPConnection, StateError


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
    # A proxy learns the port of the request.
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
