"""What known applications do with a connection: object stores, backup tools, programs that load pages."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import pytest
from peers import Peer, Received, Serve, Server, says

import dugong
from dugong import (
    BodyFollowing,
    CaseInsensitiveDict,
    ConnectionClosed,
    ConnectionTimedOut,
    HostnameNotResolvable,
    HTTPConnection,
    HTTPResponse,
    UnsupportedResponse,
    is_temp_network_error,
)

LIMIT = 10
BUFFER_SIZE = 16 * 1024
BIG = 16 << 20  # more than both systems buffer while the peer does not read
DATA = bytes(range(256)) * 1000
HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'


class Store:
    """A server that stores the bodies it receives, for any number of connections."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[Received] = []

    def __call__(self, peer: Peer) -> None:
        while True:
            try:
                head = peer.head()
            except EOFError:
                return
            if head.values('Expect') == ['100-continue']:
                peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
            body = peer.exactly(int(head.values('Content-Length')[0]))
            self.requests.append(Received(head.method, head.target, head.version, head.headers, body))
            self._answer(peer, head, body)

    def _answer(self, peer: Peer, head: Received, body: bytes) -> None:
        key = urllib.parse.unquote(head.target.partition('?')[0])
        for value in head.values('Content-MD5'):
            assert base64.b64decode(value) == hashlib.md5(body).digest()
        if head.method == 'PUT':
            self.objects[key] = body
            peer.answer(status='201 Created', headers=[('ETag', f'"{hashlib.md5(body).hexdigest()}"')])
        elif head.method == 'DELETE':
            del self.objects[key]
            peer.send(b'HTTP/1.1 204 No Content\r\n\r\n')
        elif key not in self.objects:
            size = 0 if head.method == 'HEAD' else 9
            peer.send(
                b'HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 9\r\n\r\n'
                + b'not found'[:size]
            )
        else:
            found = self.objects[key]
            peer.send(b'HTTP/1.1 200 OK\r\nX-Meta-Kind: thing\r\nContent-Length: %d\r\n\r\n' % len(found))
            if head.method != 'HEAD':
                peer.send(found)


class Reads(Protocol):
    def read(self, size: int, /) -> bytes | bytearray: ...


class Writes(Protocol):
    def write(self, buf: bytes | bytearray, /) -> object: ...


def copy(source: Reads, target: Writes, digest: Any = None) -> int:
    """The copy loop of programs."""
    size = 0
    while True:
        buf = source.read(BUFFER_SIZE)
        if not buf:
            return size
        target.write(buf)
        if digest is not None:
            digest.update(buf)
        size += len(buf)


def send_body(conn: HTTPConnection, source: BinaryIO) -> HTTPResponse:
    """Write an announced body. If the server closes before the end, read its answer, if it sent one."""
    try:
        copy(source, conn)
    except ConnectionClosed as error:
        try:
            return conn.read_response()
        except ConnectionClosed:
            raise error from None
    return conn.read_response()


def with_retries(
    conn: HTTPConnection, make: Callable[[], bytes], before: Callable[[int], object] = lambda attempt: None
) -> bytes:
    """Repeat a call after a temporary error."""
    for attempt in range(5):
        before(attempt)
        try:
            return make()
        except Exception as error:
            if not (is_temp_network_error(error) or isinstance(error, ssl.SSLError)):
                raise
            conn.reset()
    raise AssertionError('repeated too often')


def fetch(conn: HTTPConnection, path: str = '/') -> bytes:
    conn.send_request('GET', path)
    response = conn.read_response()
    assert response.status == 200
    return conn.readall()


# 23.1 Calls and attributes


def test_23_1_construction(serve: Serve) -> None:
    serve(says(HELLO))
    conn = HTTPConnection('localhost', serve.server.port, proxy=None, ssl_context=serve.client_tls)
    conn.timeout = LIMIT
    assert conn.hostname == 'localhost'
    assert fetch(conn) == b'hello'
    conn.close()
    conn = HTTPConnection(hostname='localhost', port=serve.server.port, ssl_context=serve.client_tls)
    assert conn.timeout is None
    conn.timeout = int(LIMIT)
    assert conn.timeout == LIMIT


def test_23_1_through_a_proxy(serve_plain: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().target == 'http://store.example/a'
        peer.send(HELLO)
        peer.rest()

    serve_plain(script)
    with HTTPConnection('store.example', 80, proxy=('localhost', serve_plain.server.port), ssl_context=None) as conn:
        conn.timeout = LIMIT
        assert conn.hostname == 'store.example'
        assert fetch(conn, '/a') == b'hello'


def test_23_1_through_a_tunnel(serve_plain: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    def script(peer: Peer) -> None:
        head = peer.head()
        assert (head.method, head.target) == ('CONNECT', 'localhost:443')
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(server_tls)
        assert peer.request().target == '/a'
        peer.send(HELLO)
        peer.rest()

    serve_plain(script)
    proxy = ('localhost', serve_plain.server.port)
    with HTTPConnection('localhost', 443, proxy=proxy, ssl_context=client_tls) as conn:
        conn.timeout = LIMIT
        assert fetch(conn, '/a') == b'hello'


def test_23_1_a_context_manager_that_was_disconnected_inside(serve: Serve) -> None:
    serve(says(HELLO))
    with HTTPConnection('localhost', serve.server.port, ssl_context=serve.client_tls) as conn:
        conn.timeout = LIMIT
        assert fetch(conn) == b'hello'
        conn.disconnect()
    with HTTPConnection('localhost', serve.server.port, ssl_context=serve.client_tls):
        pass
    conn.disconnect()


def test_23_1_a_context_manager_lets_exceptions_pass(serve: Serve) -> None:
    conn = serve(says())
    with pytest.raises(ZeroDivisionError), conn:
        conn.send_request('GET', '/')
        raise ZeroDivisionError
    assert not conn.response_pending()


def test_23_1_all_arguments_by_keyword(serve: Serve) -> None:
    store = Store()
    conn = serve(store)
    conn.send_request(method='PUT', path='/a', headers={'X-Meta-Kind': 'thing'}, body=b'hello', expect100=False)
    assert conn.read_response().status == 201
    conn.send_request(method='PUT', path='/b', headers=None, body=BodyFollowing(5), expect100=True)
    assert conn.read_response().status == 100
    conn.write(b'world')
    assert conn.read_response().status == 201
    conn.send_request(method='GET', path='/b', headers=CaseInsensitiveDict(), body=None)
    assert conn.read_response().status == 200
    assert conn.readall() == b'world'
    assert store.objects == {'/a': b'hello', '/b': b'world'}
    assert store.requests[0].values('X-Meta-Kind') == ['thing']


def test_23_1_all_methods_that_read(serve: Serve) -> None:
    conn = serve(says(*[HELLO] * 5))
    for read in conn.read, conn.readall:
        conn.send_request('GET', '/')
        conn.read_response()
        assert read() == b'hello'
    conn.send_request('GET', '/')
    conn.read_response()
    body = b''
    while buf := conn.read(3):
        body += buf
    assert body == b'hello'
    conn.send_request('GET', '/')
    conn.read_response()
    conn.discard()
    assert not conn.response_pending()
    conn.send_request('GET', '/')
    assert conn.response_pending()
    conn.read_response()
    assert conn.read_raw(5) == b'hello'
    conn.close()


def test_23_1_pipelining(serve: Serve) -> None:
    store = Store()
    store.objects = {f'/{number}': b'%d' % number for number in range(20)}
    conn = serve(store)
    for number in range(20):
        conn.send_request('GET', f'/{number}')
    bodies = []
    while conn.response_pending():
        response = conn.read_response()
        bodies.append((response.path, conn.readall()))
    assert bodies == [(f'/{number}', b'%d' % number) for number in range(20)]


def test_23_1_clean_up_in_any_state(serve: Serve) -> None:
    """`_out_remaining` decides whether the connection can be used again."""

    def script(peer: Peer) -> None:
        with pytest.raises(EOFError):
            while True:
                peer.request()
                peer.send(HELLO)

    def clean_up() -> bool:
        if conn._out_remaining:
            conn.disconnect()
            return False
        while conn.response_pending():
            conn.read_response()
            conn.discard()
        return True

    conn = serve(script, script, script)
    assert clean_up()
    conn.send_request('GET', '/')
    conn.send_request('PUT', '/', body=b'hello')
    assert clean_up()
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    assert conn._out_remaining
    conn.write(b'hel')
    assert not clean_up()
    assert fetch(conn) == b'hello'
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    assert not clean_up()
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    conn.write(b'hello')
    assert clean_up()
    assert fetch(conn) == b'hello'


def test_23_1_every_way_to_end(serve: Serve) -> None:
    conn = serve(*[says(HELLO)] * 4)
    for end in conn.disconnect, conn.reset, conn.close:
        assert fetch(conn) == b'hello'
        end()
        end()
    assert fetch(conn) == b'hello'


def test_23_1_the_timeout_is_assigned_after_construction(serve: Serve) -> None:
    conn = serve(says(), says(HELLO))
    conn.send_request('GET', '/')
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        conn.read_response()
    conn.reset()
    conn.timeout = LIMIT
    assert fetch(conn) == b'hello'


# 23.2 Copies


def test_23_2_upload_and_download(serve: Serve) -> None:
    store = Store()
    conn = serve(store)
    conn.send_request('PUT', '/a', body=BodyFollowing(len(DATA)))
    digest = hashlib.md5()
    assert copy(io.BytesIO(DATA), conn, digest) == len(DATA)
    response = conn.read_response()
    conn.discard()
    assert response.headers['ETag'].strip('"') == digest.hexdigest()
    assert store.objects['/a'] == DATA

    conn.send_request('GET', '/a')
    assert conn.read_response().length == len(DATA)
    target, digest = io.BytesIO(), hashlib.sha256()
    assert copy(conn, target, digest) == len(DATA)
    assert target.getvalue() == DATA
    assert digest.digest() == hashlib.sha256(DATA).digest()
    assert conn.read(BUFFER_SIZE) == b''


def test_23_2_upload_after_100_continue(serve: Serve) -> None:
    store = Store()
    conn = serve(store)
    for _ in range(2):
        conn.send_request('PUT', '/a', body=BodyFollowing(len(DATA)), expect100=True)
        response = conn.read_response()
        assert response.status == 100
        assert not conn.response_pending()
        copy(io.BytesIO(DATA), conn)
        assert conn.read_response().status == 201
        conn.discard()
    assert store.objects['/a'] == DATA


def test_23_2_upload_that_is_refused(serve: Serve) -> None:
    def refuse(peer: Peer) -> None:
        assert peer.head().values('Expect') == ['100-continue']
        peer.answer(b'go away', status='403 Forbidden', headers=[('Content-Type', 'text/plain')])
        assert peer.rest() == b''

    conn = serve(refuse, says(HELLO))
    conn.send_request('PUT', '/a', body=BodyFollowing(len(DATA)), expect100=True)
    response = conn.read_response()
    assert (response.status, response.reason) == (403, 'Forbidden')
    assert conn.readall().decode('utf-8', errors='replace') == 'go away'
    assert fetch(conn) == b'hello'


def test_23_2_from_one_connection_to_another(serve: Serve) -> None:
    store = Store()
    store.objects['/old'] = DATA
    source, target = serve(store), serve(store)
    source.send_request('GET', '/old')
    length = source.read_response().length
    assert length == len(DATA)
    target.send_request('PUT', '/new', body=BodyFollowing(length))
    assert copy(source, target) == length
    assert target.read_response().status == 201
    target.discard()
    assert store.objects['/new'] == DATA


def test_23_2_chunks(serve: Serve) -> None:
    chunks = b''.join(
        b'%x\r\n%b\r\n' % (len(part), part) for part in (DATA[at : at + 7777] for at in range(0, len(DATA), 7777))
    )
    conn = serve(says(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + chunks + b'0\r\n\r\n'))
    conn.send_request('GET', '/')
    assert conn.read_response().length is None
    target = io.BytesIO()
    assert copy(conn, target) == len(DATA)
    assert target.getvalue() == DATA


def test_23_2_into_a_file(serve: Serve, tmp_path: Any) -> None:
    store = Store()
    conn = serve(store)
    path = tmp_path / 'file'
    path.write_bytes(DATA)
    with path.open('rb') as source:
        conn.send_request('PUT', '/a', body=BodyFollowing(os.fstat(source.fileno()).st_size))
        copy(source, conn)
    assert conn.read_response().status == 201
    assert conn.readall() == b''
    conn.send_request('GET', '/a')
    conn.read_response()
    with path.open('wb', buffering=0) as target:
        copy(conn, target)
    assert path.read_bytes() == DATA


def test_23_2_uses_of_results(serve: Serve) -> None:
    text = json.dumps({'name': 'caf\xe9'}, ensure_ascii=False)
    body = text.encode()
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)
    conn = serve(says(*[answer] * 4))
    conn.send_request('GET', '/')
    conn.read_response()
    assert json.loads(conn.readall().decode('utf-8')) == {'name': 'caf\xe9'}
    conn.send_request('GET', '/')
    conn.read_response()
    assert json.loads(conn.read().decode()) == {'name': 'caf\xe9'}
    conn.send_request('GET', '/')
    conn.read_response()
    digest = hashlib.md5()
    while True:
        buf = conn.read(5)
        digest.update(buf)
        if buf == b'':
            break
        assert buf
        assert buf != b''
    assert digest.digest() == hashlib.md5(body).digest()
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.read(1000).decode('utf-8', errors='replace') == text
    end = conn.read(1000)
    assert not end
    assert end == b''
    assert end.decode('utf-8') == ''


# 23.3 Responses


def is_ok(conn: HTTPConnection, response: HTTPResponse, method: str, path: str) -> bool:
    if (response.method, response.path) != (method, path):
        raise RuntimeError('out of step')
    if 200 <= response.status <= 299:
        return True
    content_type = response.headers['Content-Type']
    if content_type and content_type.startswith('text/plain'):
        raise KeyError(response.status, response.reason, conn.readall().decode('utf-8'))
    conn.discard()
    return False


def test_23_3_attributes_of_responses(serve: Serve) -> None:
    store = Store()
    store.objects['/b c'] = DATA
    conn = serve(store)
    path = f'/{urllib.parse.quote("b c")}?{urllib.parse.urlencode({"max": 5})}'
    conn.send_request('HEAD', path)
    response = conn.read_response()
    assert is_ok(conn, response, 'HEAD', path)
    assert (response.status, response.reason, response.length) == (200, 'OK', 0)
    assert int(response.headers['Content-Length']) == len(DATA)
    assert int(response.headers['content-length']) == len(DATA)
    assert response.headers.get('X-META-KIND') == 'thing'
    assert response.headers.get('X-Missing', 'default') == 'default'
    assert response.headers['X-Missing'] is None
    assert 'x-meta-kind' in response.headers
    meta = {name.lower()[7:]: value for name, value in response.headers.items() if name.lower().startswith('x-meta-')}
    assert meta == {'kind': 'thing'}

    conn.send_request('GET', path)
    response = conn.read_response()
    assert is_ok(conn, response, 'GET', path)
    assert response.length == len(DATA)
    conn.discard()

    conn.send_request('DELETE', path)
    assert is_ok(conn, conn.read_response(), 'DELETE', path)

    conn.send_request('GET', path)
    with pytest.raises(KeyError) as caught:
        is_ok(conn, conn.read_response(), 'GET', path)
    assert caught.value.args == (404, 'Not Found', 'not found')
    conn.send_request('HEAD', path)
    response = conn.read_response()
    assert (response.status, response.headers.get('Content-Type')) == (404, 'text/plain; charset=utf-8')
    assert not conn.response_pending()


def test_23_3_redirections(serve: Serve) -> None:
    conn = serve(
        says(
            b'HTTP/1.1 301 Moved Permanently\r\nLocation: http://other.example/a%20b\r\nContent-Length: 4\r\n\r\nlook',
            HELLO,
        )
    )
    conn.send_request('GET', '/')
    response = conn.read_response()
    assert 300 <= response.status <= 399
    parts = urllib.parse.urlsplit(response.headers['Location'])
    assert (parts.hostname, parts.path) == ('other.example', '/a%20b')
    conn.discard()
    assert fetch(conn, parts.path) == b'hello'


# 23.4 Headers


def test_23_4_headers_of_an_application(serve: Serve) -> None:
    store = Store()
    conn = serve(store)
    headers = CaseInsensitiveDict()
    headers['Date'] = 'Sat, 21 Nov 2026 12:00:00 GMT'
    headers['X-Meta-Name'] = 'a'
    headers.update({'x-meta-NAME': 'b', 'X-Meta-Size': 5})
    headers['host'] = conn.hostname
    assert 'DATE' in headers
    assert 'Content-MD5' not in headers
    if 'content-type' not in headers:
        headers['Content-Type'] = 'application/octet-stream'
    signed = sorted(name.lower() for name in headers if name.lower().startswith('x-meta-'))
    assert signed == ['x-meta-name', 'x-meta-size']
    headers['Authorization'] = 'Key ' + ','.join(f'{name}={headers[name]}' for name in signed)
    before = list(headers.items())

    conn.send_request('PUT', '/a', headers=headers, body=b'hello')
    assert conn.read_response().status == 201
    conn.send_request('PUT', '/a', headers=headers, body=b'other body')
    assert conn.read_response().status == 201
    conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(5))
    conn.write(b'hello')
    assert conn.read_response().status == 201
    conn.send_request('GET', '/a', headers=headers)
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'

    assert list(headers.items()) == before
    for request in store.requests:
        assert request.values('Host') == [f'localhost:{serve.server.port}']
        assert request.values('X-Meta-Name') == ['b']
        assert request.values('X-Meta-Size') == ['5']
        assert request.values('Date') == ['Sat, 21 Nov 2026 12:00:00 GMT']
        assert request.values('Authorization') == ['Key x-meta-name=b,x-meta-size=5']
        assert request.values('Content-Length') == [str(len(request.body))]
    md5 = [request.values('Content-MD5') for request in store.requests]
    assert md5[:3] == [
        [base64.b64encode(hashlib.md5(b'hello').digest()).decode()],
        [base64.b64encode(hashlib.md5(b'other body').digest()).decode()],
        [],
    ]


@pytest.mark.parametrize('kind', [dict, CaseInsensitiveDict])
def test_23_4_the_same_headers_for_a_repeated_request(serve: Serve, kind: Any) -> None:
    def first(peer: Peer) -> None:
        store.requests.append(peer.request())
        peer.cut()

    store = Store()
    conn = serve(first, store)
    headers = kind()
    headers['X-Meta-Name'] = 'a'
    headers['host'] = 'localhost'

    def put() -> bytes:
        conn.send_request('PUT', '/a', headers=headers, body=b'hello')
        assert conn.read_response().status == 201
        return conn.readall()

    assert with_retries(conn, put) == b''
    one, other = store.requests
    assert one.headers == other.headers
    assert one.values('Host') == [f'localhost:{serve.server.port}']
    assert dict(headers.items()) == {'X-Meta-Name': 'a', 'host': 'localhost'}


def test_23_4_plain_dicts(serve: Serve) -> None:
    store = Store()
    conn = serve(store)
    headers: dict[str, Any] = {'range': 'bytes=0-4', 'X-Number': 5}
    conn.send_request('GET', '/', headers=headers)
    conn.read_response()
    conn.discard()
    assert headers == {'range': 'bytes=0-4', 'X-Number': 5}
    (request,) = store.requests
    assert request.values('Range') == ['bytes=0-4']
    assert request.values('X-Number') == ['5']


# 23.5 Exceptions


def test_23_5_the_server_says_why_it_closes(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'too large', status='413 Content Too Large', headers=[('Connection', 'close')])
        with contextlib.suppress(OSError):  # the client may have read it and closed
            peer.end()
        assert answered.wait(LIMIT)

    answered = threading.Event()
    conn = serve(script, says(HELLO))
    conn.send_request('PUT', '/', body=BodyFollowing(BIG))
    response = send_body(conn, io.BytesIO(bytes(BIG)))
    assert response.status == 413
    assert conn.readall() == b'too large'
    answered.set()
    conn.disconnect()
    assert fetch(conn) == b'hello'


@pytest.mark.parametrize('end', ['cut', 'reset'])
def test_23_5_the_server_closes_and_does_not_say_why(serve: Serve, end: str) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        getattr(peer, end)()

    conn = serve(script, says(HELLO))
    conn.send_request('PUT', '/', body=BodyFollowing(BIG))
    with pytest.raises(ConnectionClosed) as caught:
        send_body(conn, io.BytesIO(bytes(BIG)))
    assert is_temp_network_error(caught.value)
    conn.reset()
    assert fetch(conn) == b'hello'


def test_23_5_the_first_exception_is_raised_again(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.reset()
        gone.set()

    gone = threading.Event()
    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(BIG))
    assert gone.wait(LIMIT)
    with pytest.raises(ConnectionClosed) as first:
        for _ in range(0, BIG, BUFFER_SIZE):
            conn.write(bytes(BUFFER_SIZE))
    with pytest.raises(ConnectionClosed) as second:
        conn.read_response()
    assert second.value is not first.value
    conn.reset()


@pytest.mark.parametrize('read', [lambda conn: conn.read(2048), lambda conn: conn.read(), lambda conn: conn.readall()])
def test_23_5_unsupported_responses(serve: Serve, read: Callable[[HTTPConnection], bytes]) -> None:
    """Some servers announce neither a length nor the end of the connection."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\nsomething went wrong')

    conn = serve(script, says(HELLO))
    conn.send_request('GET', '/')
    response = conn.read_response()
    assert (response.status, response.length) == (500, None)
    try:
        text = read(conn)
    except UnsupportedResponse:
        text = conn.read_raw(2048)
        conn.close()
    assert text == b'something went wrong'
    assert fetch(conn) == b'hello'


def test_23_5_closed_or_timed_out(serve: Serve) -> None:
    def closing(peer: Peer) -> None:
        peer.request()

    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO[:-1])
        peer.cut()

    conn = serve(says(), closing, cut, says(HELLO))
    kinds = []
    for timeout in 0.1, LIMIT, LIMIT, LIMIT:
        conn.timeout = timeout
        try:
            assert fetch(conn) == b'hello'
        except (ConnectionClosed, ConnectionTimedOut) as error:
            kinds.append(type(error))
            conn.reset()
    assert kinds == [ConnectionTimedOut, ConnectionClosed, ConnectionClosed]


def test_23_5_names_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == 'missing.example':
            raise socket.gaierror(socket.EAI_NONAME, 'no such name')
        return real(host, *args, **kwargs)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, 'getaddrinfo', resolve)
    monkeypatch.setattr(dugong, 'DNS_TEST_HOSTNAMES', [('localhost', 80)])
    conn = serve(says(HELLO))
    conn.hostname = 'missing.example'
    with pytest.raises(HostnameNotResolvable) as caught:
        fetch(conn)
    assert caught.value.name == 'missing.example'
    assert 'missing.example' in str(caught.value)
    assert not is_temp_network_error(caught.value)
    conn.hostname = 'localhost'
    assert fetch(conn) == b'hello'


def test_23_5_repeated_until_it_works(serve: Serve) -> None:
    def closes(peer: Peer) -> None:
        pass

    def resets(peer: Peer) -> None:
        peer.request()
        peer.reset()

    def half(peer: Peer) -> None:
        peer.request()
        peer.send(HELLO[:-2])

    conn = serve(closes, resets, half, says(HELLO))
    assert with_retries(conn, lambda: fetch(conn)) == b'hello'
    assert serve.server.connections == 4


def test_23_5_repeated_after_an_error_in_the_middle_of_a_body(serve: Serve) -> None:
    def fails(peer: Peer) -> None:
        peer.head()
        peer.exactly(1000)
        peer.reset()

    def put() -> bytes:
        conn.send_request('PUT', '/a', body=BodyFollowing(len(DATA)), expect100=False)
        assert send_body(conn, io.BytesIO(DATA)).status == 201
        return conn.readall()

    store = Store()
    conn = serve(fails, fails, store)
    assert with_retries(conn, put) == b''
    assert store.objects['/a'] == DATA


def test_23_5_repeated_after_an_error_of_tls(serve_tls: Serve, server_tls: ssl.SSLContext) -> None:
    def refused(peer: Peer) -> None:
        with pytest.raises(ssl.SSLError):
            peer.start_tls(server_tls)

    def choose(attempt: int) -> None:
        conn.ssl_context = strict if attempt == 0 else serve_tls.client_tls
        conn.port = untrusted.port if attempt == 0 else serve_tls.server.port

    strict = ssl.create_default_context()  # a context that trusts other authorities
    conn = serve_tls(says(HELLO))
    with Server(refused) as untrusted:
        assert with_retries(conn, lambda: fetch(conn), choose) == b'hello'
    assert (untrusted.connections, serve_tls.server.connections) == (1, 1)


def test_23_5_not_repeated(serve: Serve) -> None:
    conn = serve(says(HELLO))
    attempts: list[int] = []
    with pytest.raises(ValueError, match=r'.'):
        with_retries(conn, lambda: fetch(conn, '/a b'), attempts.append)
    assert attempts == [0]
    assert fetch(conn) == b'hello'
