"""Statement 18.2: an iterator yields the descriptor and the events that it waits for."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from iterators import (
    BIG,
    HEAD,
    HELLO,
    LIMIT,
    SENDING,
    Make,
    deliver,
    drive,
    drive_both,
    every_framing,
    every_reading,
    stepwise,
)
from peers import Peer, Script, Serve, says

from dugong import (
    POLLIN,
    POLLOUT,
    BodyFollowing,
    HTTPConnection,
    PollNeeded,
)

BOTH = POLLIN | POLLOUT


def waiting(go_on: threading.Event, after: Script) -> Script:
    """Wait for the event before doing anything."""

    def script(peer: Peer) -> None:
        assert go_on.wait(LIMIT)
        after(peer)

    return script


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


def test_18_2_a_part_of_the_data_arrives(serve: Serve) -> None:
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
    """A socket with a layer above TCP that first has traffic of its own, as TLS may have."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        #: Bytes of its own that the layer has to receive before it sends anything.
        self.before_sending = 0
        #: Calls that the layer needs before it receives anything, because its own bytes do not go out.
        self.before_receiving = 0
        #: Whether its own bytes arrive just after `send` has looked for them.
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
    """Stands in for an `SSLContext`."""

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
def test_18_2_data_that_tls_wants_is_read_by_another_iterator(serve_plain: Serve, body: Any) -> None:
    """No further data arrives, so an iterator that waited for reading would hang."""

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
