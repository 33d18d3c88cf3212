from __future__ import annotations

import inspect
import io
import socket
import ssl
import threading
from typing import Any

import pytest
from peers import Peer, Serve, Server, answer_all, get

from dugong import BodyFollowing, ConnectionClosed, ConnectionTimedOut, HTTPConnection, StateError, UnsupportedResponse


def test_6_1_arguments() -> None:
    proxy = ('proxy.example.org', 3128)
    context = ssl.create_default_context()
    for conn in (
        HTTPConnection('www.example.org', 8080, context, proxy),
        HTTPConnection(hostname='www.example.org', port=8080, ssl_context=context, proxy=proxy),
    ):
        assert conn.hostname == 'www.example.org'
        assert conn.port == 8080
        assert conn.ssl_context is context
        assert conn.proxy == proxy


def test_6_1_signature() -> None:
    signature = inspect.signature(HTTPConnection)
    assert list(signature.parameters) == ['hostname', 'port', 'ssl_context', 'proxy', 'timeout']
    assert [one.default for one in signature.parameters.values()][1:] == [None] * 4


def test_6_1_timeout_is_given_by_keyword() -> None:
    assert HTTPConnection('www.example.org').timeout is None
    assert HTTPConnection('www.example.org', timeout=None).timeout is None
    assert HTTPConnection('www.example.org', 80, None, None, timeout=2.5).timeout == 2.5
    nothing: Any = HTTPConnection
    with pytest.raises(TypeError):
        nothing('www.example.org', 80, None, None, 2.5)
    with pytest.raises(TypeError):
        nothing('www.example.org', timeout='1')
    with pytest.raises(ValueError, match='not a number'):
        nothing('www.example.org', timeout=float('nan'))


def test_6_1_timeout_of_the_constructor_counts(serve_plain: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    serve_plain(script)
    with HTTPConnection('127.0.0.1', serve_plain.server.port, timeout=0.05) as conn:
        conn.send_request('GET', '/')
        with pytest.raises(ConnectionTimedOut):
            conn.read_response()


def test_repr_has_host_and_state(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.rest()

    class Mine(HTTPConnection):
        pass

    conn = serve(script)
    where = f'localhost port {conn.port}{" over TLS" if serve.tls else ""}'
    assert repr(conn) == f'<dugong.HTTPConnection to {where}, not connected>'
    conn.connect()
    assert repr(conn) == f'<dugong.HTTPConnection to {where}, connected>'
    conn.send_request('GET', '/secret', {'Authorization': 'secret'})
    assert repr(conn) == f'<dugong.HTTPConnection to {where}, connected, 1 response due>'
    reading = conn.co_read_response()
    assert repr(reading) == f'<co_read_response() of {where}, connected, 1 response due: not begun>'
    next(reading)
    assert repr(reading).endswith(': suspended>')
    reading.close()
    assert repr(reading) == '<co_read_response(): over>'
    conn.send_request('GET', '/secret')
    pipeline = conn.pipeline(['/secret'])
    expected = f'{where}, connected, 2 responses due: 0 requests taken, 0 unanswered>'
    assert repr(pipeline) == f'<dugong.Pipeline to {expected}'
    assert repr(aiter(conn.co_pipeline(['/secret']))) == f'<dugong.AsyncPipeline to {expected}'
    conn.disconnect()
    assert repr(conn) == f'<dugong.HTTPConnection to {where}, not connected>'
    assert 'Mine to www.example.org port 80, not connected' in repr(Mine('www.example.org'))


def test_repr_never_fails_and_keeps_secrets() -> None:
    conn: Any = HTTPConnection('www.example.org', proxy=('proxy.example.org', 3128))
    conn.hostname = 'user:secret@www.example.org'
    assert repr(conn) == '<dugong.HTTPConnection to www.example.org port 80, not connected>'
    conn.hostname, conn.port = None, 'a\nb'
    assert repr(conn) == '<dugong.HTTPConnection to None port a\\nb, not connected>'


def test_6_1_only_the_host_name_is_needed() -> None:
    conn = HTTPConnection('www.example.org')
    assert conn.hostname == 'www.example.org'
    assert conn.ssl_context is None
    assert conn.proxy is None
    nothing: Any = HTTPConnection
    with pytest.raises(TypeError):
        nothing()


def test_6_1_default_ports() -> None:
    assert HTTPConnection('www.example.org').port == 80
    assert HTTPConnection('www.example.org', None).port == 80
    context: Any = object()
    for one in ssl.create_default_context(), context:
        assert HTTPConnection('www.example.org', ssl_context=one).port == 443
        assert HTTPConnection('www.example.org', None, one).port == 443
        assert HTTPConnection('www.example.org', 80, one).port == 80
    assert HTTPConnection('www.example.org', 443).port == 443


def test_6_1_nothing_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError('no connection was wanted')

    monkeypatch.setattr(socket, 'getaddrinfo', asked)
    with Server() as server:
        for conn in (
            HTTPConnection('127.0.0.1', server.port),
            HTTPConnection('127.0.0.1', server.port, ssl_context=ssl.create_default_context()),
            HTTPConnection('www.example.org', proxy=('127.0.0.1', server.port)),
            HTTPConnection('no.such.name.invalid'),
        ):
            assert conn.response_pending() is False
        server.join()
        assert server.connections == 0


def test_6_2_attributes_at_first() -> None:
    conn = HTTPConnection('www.example.org')
    assert conn.timeout is None
    assert conn.trace_fh is None


def test_6_2_attributes_are_readable_and_writable() -> None:
    conn = HTTPConnection('www.example.org')
    values = {
        'hostname': 'elsewhere.example.org',
        'port': 4711,
        'ssl_context': ssl.create_default_context(),
        'proxy': ('proxy.example.org', 3128),
        'timeout': 2.5,
        'trace_fh': io.BytesIO(),
    }
    for name, value in values.items():
        setattr(conn, name, value)
        assert getattr(conn, name) == value
    assert conn.ssl_context is values['ssl_context']
    assert conn.trace_fh is values['trace_fh']
    for name in 'ssl_context', 'proxy', 'timeout', 'trace_fh':
        setattr(conn, name, None)
        assert getattr(conn, name) is None
    conn.timeout = 7
    assert conn.timeout == 7


def test_6_1_subclasses(serve: Serve) -> None:
    class Mine(HTTPConnection):
        def __init__(self, hostname: str, port: int, **kwargs: Any) -> None:
            super().__init__(hostname, port, **kwargs)
            self.requests = 0

        def send_request(self, *args: Any, **kwargs: Any) -> None:
            self.requests += 1
            super().send_request(*args, **kwargs)

    conn = serve(answer_all, kind=Mine)
    assert isinstance(conn, Mine)
    assert get(conn, '/a') == b'/a'
    assert conn.requests == 1


def test_6_1_called_again_it_sets_everything_anew(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        answer.wait(0.3)
        peer.send(b'HTTP/1.1 200 OK\r\n\r\nbody')

    answer = threading.Event()
    conn = serve(script)
    conn.timeout = 0.05
    conn.tolerate_missing_length = True
    untyped: Any = conn
    untyped.__init__('localhost', conn.port, conn.ssl_context)
    assert conn.timeout is None
    assert conn.tolerate_missing_length is False
    conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises(UnsupportedResponse):
        conn.readall()


def test_6_1_a_port_may_be_a_text(serve: Serve) -> None:
    conn = serve(answer_all, answer_all)
    port: Any = str(conn.port)
    text = HTTPConnection('localhost', port, conn.ssl_context)
    assert text.port == port
    with text:
        assert get(text, '/a') == b'/a'
    conn.port = port
    assert get(conn, '/b') == b'/b'


@pytest.mark.parametrize('kind', [tuple, list])
@pytest.mark.parametrize('convert', [int, str])
def test_6_1_a_proxy_may_be_any_pair(serve_plain: Serve, kind: Any, convert: Any) -> None:
    port = serve_plain(answer_all).port
    with HTTPConnection('www.example.org', proxy=kind(['127.0.0.1', convert(port)])) as conn:
        assert get(conn, '/a') == b'http://www.example.org/a'


@pytest.mark.parametrize('port', [-1, 65536, 2**70, 'http', '-1', '65536', ''], ids=repr)
@pytest.mark.parametrize('place', ['port', 'proxy'])
def test_6_1_there_are_no_such_ports(port: Any, place: str) -> None:
    with Server() as server:
        if place == 'port':
            conn = HTTPConnection('127.0.0.1', port)
        else:
            conn = HTTPConnection('127.0.0.1', server.port, proxy=('127.0.0.1', port))
        for call in conn.connect, lambda: conn.send_request('GET', '/'):
            with pytest.raises(ValueError):  # noqa: PT011
                call()
            with pytest.raises(StateError):
                conn.read_response()
        server.join()
        assert server.connections == 0


@pytest.mark.parametrize('proxy', [(), '', [], False], ids=repr)
def test_6_1_a_false_proxy_is_none(serve: Serve, proxy: Any) -> None:
    conn = serve(answer_all, proxy=proxy)
    assert get(conn, '/a') == b'/a'


def test_6_2_the_port_counts_for_the_next_connection(serve: Serve) -> None:
    conn = serve(answer_all)
    first = serve.server
    assert get(conn, '/a') == b'/a'
    serve(answer_all)
    conn.port = serve.server.port
    assert get(conn, '/b') == b'/b'
    conn.disconnect()
    assert get(conn, '/c') == b'/c'
    assert (first.connections, serve.server.connections) == (1, 1)


def test_6_2_the_name_counts_for_the_next_request(serve: Serve) -> None:
    hosts: list[str] = []

    def script(peer: Peer) -> None:
        for _ in range(2):
            hosts.extend(peer.request().values('Host'))
            peer.answer(b'x')

    conn = serve(script)
    port = conn.port
    get(conn, '/')
    conn.hostname = 'elsewhere.example.org'
    conn.port = 4711
    get(conn, '/')
    assert hosts == [f'localhost:{port}', 'elsewhere.example.org:4711']


def test_6_2_the_name_counts_for_the_next_connection(serve: Serve) -> None:
    names: list[str | None] = []

    def script(peer: Peer) -> None:
        names.append(peer.server_name)
        answer_all(peer)

    conn = serve(script, script, hostname='localhost')
    get(conn, '/')
    conn.hostname = '127.0.0.1'
    conn.disconnect()
    get(conn, '/')
    assert names == (['localhost', None] if serve.tls else [None, None])  # addresses are not sent


def test_6_2_tls_may_be_switched_on(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    def secured(peer: Peer) -> None:
        peer.start_tls(server_tls)
        answer_all(peer)

    with Server(answer_all, secured, answer_all) as server:
        conn = HTTPConnection('localhost', server.port)
        for context in None, client_tls, None:
            conn.ssl_context = context
            conn.connect()
            assert get(conn, '/a') == b'/a'
            conn.disconnect()
        assert server.connections == 3


def test_6_2_proxy_may_be_set(serve_plain: Serve) -> None:
    conn = serve_plain(answer_all)
    conn.hostname = 'www.example.org'
    conn.proxy = ('127.0.0.1', conn.port)
    conn.port = 80
    assert get(conn, '/a') == b'http://www.example.org/a'


def test_6_2_timeout_counts_for_the_next_call(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(b'x')
        peer.rest()

    conn = serve(script)
    assert get(conn, '/a') == b'x'
    conn.timeout = 0.05
    conn.send_request('GET', '/b')
    with pytest.raises(ConnectionTimedOut):
        conn.read_response()


def test_6_2_trace_may_be_set(serve: Serve) -> None:
    conn = serve(answer_all)
    get(conn, '/a')
    trace = io.BytesIO()
    conn.trace_fh = trace
    get(conn, '/b')
    conn.trace_fh = None
    get(conn, '/c')
    recorded = trace.getvalue()
    assert recorded.startswith(b'GET /b HTTP/1.1\r\n')
    assert recorded.endswith(b'\r\n\r\n/b')
    assert recorded.count(b'HTTP/1.1') == 2


def test_6_3_out_remaining(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
            peer.answer()

    conn = serve(script)
    assert not conn._out_remaining
    conn.connect()
    assert not conn._out_remaining
    conn.send_request('GET', '/')
    assert not conn._out_remaining
    conn.send_request('PUT', '/', body=b'12345')
    assert not conn._out_remaining
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    assert conn._out_remaining
    conn.write(b'1234')
    assert conn._out_remaining
    for _ in range(2):
        conn.read_response()
    assert conn._out_remaining
    conn.write(b'5')
    assert not conn._out_remaining
    conn.read_response()
    assert not conn._out_remaining


def test_6_3_out_remaining_with_100_continue(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        peer.exactly(5)
        peer.answer()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    assert conn._out_remaining
    assert conn.read_response().status == 100
    assert conn._out_remaining
    conn.write(b'12345')
    assert not conn._out_remaining
    assert conn.read_response().status == 200


def test_6_3_out_remaining_after_a_refusal(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'no', '417 Expectation Failed')

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    assert conn.read_response().status == 417
    assert not conn._out_remaining


def test_6_3_out_remaining_of_an_empty_body(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.answer()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(0))
    assert not conn._out_remaining
    assert conn.read_response().status == 200


def test_6_3_out_remaining_of_a_body_in_chunks(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().body == b'12345'
        peer.answer()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing())
    assert conn._out_remaining
    conn.write(b'12345')
    assert conn._out_remaining
    conn.finish()
    assert not conn._out_remaining
    assert conn.read_response().status == 200


def test_6_3_out_remaining_after_the_peer_has_gone(serve: Serve) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.reset()
        gone.set()

    conn = serve(script)
    size = 1 << 40
    conn.send_request('PUT', '/', body=BodyFollowing(size))
    assert gone.wait(10)
    with pytest.raises(ConnectionClosed):
        for _ in range(100):
            conn.write(bytes(1 << 20))
    assert not conn._out_remaining


def test_6_3_out_remaining_is_forgotten(serve: Serve) -> None:
    conn = serve(lambda peer: None, answer_all)
    conn.send_request('PUT', '/', body=BodyFollowing(5))
    conn.disconnect()
    assert get(conn, '/a') == b'/a'
    assert not conn._out_remaining


def test_6_4_context_manager_yields_itself_without_connecting(serve: Serve) -> None:
    conn = serve()
    with conn as same:
        assert same is conn
    serve.server.join()
    assert serve.server.connections == 0


def test_6_4_context_manager_disconnects(serve: Serve) -> None:
    ends: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(b'hello')
        ends.append(peer.rest())

    conn = serve(script)
    with conn:
        assert get(conn, '/') == b'hello'
        conn.send_request('PUT', '/', body=BodyFollowing(5))
    serve.server.join()
    assert len(ends) == 1
    with pytest.raises(ConnectionClosed):
        conn.write(b'12345')


def test_6_4_context_manager_lets_exceptions_pass(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.rest() == b''

    conn = serve(script)
    error = ZeroDivisionError('mine')
    with pytest.raises(ZeroDivisionError) as caught, conn:
        conn.connect()
        raise error
    assert caught.value is error
    serve.server.join()
    assert serve.server.connections == 1


def test_6_4_context_manager_can_be_entered_again(serve: Serve) -> None:
    conn = serve(answer_all, answer_all)
    for path in '/a', '/b':
        with conn:
            assert get(conn, path) == path.encode()
            conn.disconnect()
    assert serve.server.connections == 2
