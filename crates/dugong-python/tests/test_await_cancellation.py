"""After any cancellation at any wait, the connection works, or it is closed and says so.

Each operation runs again and again, and is cancelled at its first wait, at its second, and so on, until it ends
before the cancellation. The stream is one whose reads and writes all have to wait once, a socket whose peer sends
piece by piece, or one with TLS. After the cancellation, the connection has to be in step with the server: the next
answer has to belong to the next request.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest
from loops import LOOPS, Counted, Loop
from peers import LIMIT, Peer, Server

from dugong import BodyFollowing, ConnectionClosed, HTTPConnection, StateError, eval_coroutine

#: More waits than any operation here has.
MOST = 400


class Hesitant:
    """A socket whose transfers all have to wait once, and move few bytes at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.may = {'send': False, 'recv': False}

    def send(self, data: bytes) -> int:
        self._hesitate('send')
        return self.sock.send(data[:20_000])

    def recv(self, size: int) -> bytes:
        self._hesitate('recv')
        return self.sock.recv(min(size, 700))

    def _hesitate(self, what: str) -> None:
        self.may[what] = not self.may[what]
        if self.may[what]:
            raise BlockingIOError

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class HesitantContext:
    def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> Any:
        return Hesitant(sock)


def echo(peer: Peer) -> None:
    """Answer each request with its method, target and body."""
    with contextlib.suppress(EOFError):
        while True:
            got = peer.head()
            if got.values('Expect'):
                peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
            if got.values('Transfer-Encoding'):
                body, _, _ = peer._chunks()
            else:
                body = peer.exactly(int(got.values('Content-Length')[0]))
            answer = content(got.method, got.target, body)
            head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\nX: {"x" * 100}\r\n\r\n'
            peer.send(head.encode() + answer)


def dribbling_echo(peer: Peer) -> None:
    """The same, in pieces."""
    send = peer.send

    def dribble(data: bytes) -> None:
        for start in range(0, len(data), 130):
            threading.Event().wait(0.001)
            send(data[start : start + 130])

    peer.send = dribble  # type: ignore[method-assign]
    echo(peer)


def content(method: str, target: str, body: bytes = b'') -> bytes:
    line = f'{method} {target} {len(body)} {hashlib.md5(body).hexdigest()}\n'
    return line.encode() * 20


class Ways:
    """How an operation is run, and cancelled at one of its waits."""

    def __init__(self, loop: Loop | None) -> None:
        self.loop = loop

    def cancelled(self, start: Callable[[], Awaitable[object]], number: int) -> bool:
        """Whether it was cancelled at the wait of this number. Otherwise it has ended."""
        if self.loop is None:
            crt: Any = start()
            if not isinstance(crt, Generator):
                crt = crt.__await__()
            for i, need in enumerate(crt, 1):
                if i == number:
                    crt.close()
                    return True
                assert need is None or need.poll(LIMIT)
            return False

        loop = self.loop

        async def main() -> bool:
            async def work(cancel: Callable[[], None]) -> bool:
                await Counted(start(), number, cancel)
                return True

            return await loop.stopped(work) is None

        return loop.run(main)

    def __repr__(self) -> str:
        return repr(self.loop) if self.loop else 'closed'


WAYS = [Ways(None), *map(Ways, LOOPS)]


class Case:
    """A connection before an operation."""

    def __init__(self, conn: HTTPConnection) -> None:
        self.conn = conn
        #: Answers that are due, oldest first.
        self.due: list[bytes] = []
        #: The bytes that the operation has read.
        self.got = b''
        self.is_reading = False
        self.pipeline: Any = None

    def ask(self, target: str, body: bytes | None = None) -> None:
        method = 'GET' if body is None else 'PUT'
        self.conn.send_request(method, target, body=body)
        self.due.append(content(method, target, body or b''))

    def check_in_step(self) -> None:
        """Check that all due answers arrive, and that a new request gets its own answer."""
        self.ask('/after')
        for answer in self.due:
            self.conn.read_response()
            assert self.conn.readall() == answer
        assert not self.conn.response_pending()

    def check_fresh(self) -> None:
        """Check that it can be used again after `disconnect`."""
        self.conn.disconnect()
        self.due = []
        self.check_in_step()


Operation = Callable[[Case], Generator[None, None, None]]


@pytest.fixture(params=['hesitant', 'dribbling', 'tls'])
def case(
    request: pytest.FixtureRequest, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> Iterator[Callable[[], Case]]:
    """Makes cases, each with a connection of its own."""
    with contextlib.ExitStack() as stack:

        def make() -> Case:
            script = echo if request.param == 'hesitant' else dribbling_echo
            server = Server(script, script, tls=server_tls if request.param == 'tls' else None)
            stack.callback(server.close)
            context: Any = {'hesitant': HesitantContext(), 'tls': client_tls}.get(request.param)
            conn = HTTPConnection('localhost', server.port, ssl_context=context)
            conn.timeout = LIMIT
            stack.callback(conn.disconnect)
            return Case(conn)

        yield make


@pytest.fixture
def fewest(request: pytest.FixtureRequest) -> int:
    """The waits that a read certainly has. A real peer may be faster than the client, and then it has none."""
    return 1 if request.node.callspec.params['case'] == 'hesitant' else 0


def each_wait(
    make: Callable[[], Case],
    way: Ways,
    prepare: Callable[[Case], None],
    start: Callable[[Case], Awaitable[object]],
    check: Callable[[Case, bool], None],
) -> int:
    """Cancel at each wait in turn, and call *check* with whether it was cancelled. Return the number of waits."""
    for number in range(1, MOST):
        case = make()
        prepare(case)
        cancelled = way.cancelled(lambda case=case: start(case), number)  # type: ignore[misc]
        check(case, cancelled)
        case.conn.disconnect()
        if not cancelled:
            return number - 1
    raise AssertionError('it never ends')


def nothing(case: Case) -> None:
    pass


def connect(case: Case) -> None:
    case.conn.connect()


each_way = pytest.mark.parametrize('way', WAYS, ids=repr)


@each_way
def test_connect_leaves_no_connection(case: Callable[[], Case], way: Ways) -> None:
    contexts: list[object] = []

    def check(case: Case, cancelled: bool) -> None:
        contexts.append(case.conn.ssl_context)
        if cancelled:
            with pytest.raises(StateError):
                case.conn._fileno()
        case.check_in_step()

    waits = each_wait(case, way, nothing, lambda case: case.conn.co_connect(), check)
    # Name and connection may need no wait, but a handshake does.
    assert waits >= 1 or not isinstance(contexts[0], ssl.SSLContext)


def exchange(case: Case) -> None:
    """A connection that was used before."""
    case.check_in_step()
    case.due = []


@each_way
@pytest.mark.parametrize('size', [None, 150_000])
@pytest.mark.parametrize('prepare', [nothing, exchange])
def test_a_request_is_taken_whole_or_not_at_all(
    case: Callable[[], Case], way: Ways, size: int | None, prepare: Callable[[Case], None]
) -> None:
    body = None if size is None else bytes(size)
    method = 'GET' if body is None else 'PUT'
    taken: list[bool] = []

    def check(case: Case, cancelled: bool) -> None:
        # The next operation sends the bytes that were taken.
        taken.append(case.conn.response_pending())
        assert taken[-1] or cancelled
        if taken[-1]:
            case.due = [content(method, '/a', body or b'')]
        case.check_in_step()

    each_wait(case, way, prepare, lambda case: case.conn.co_send_request(method, '/a', body=body), check)
    assert taken[-1]


@each_way
def test_requests_sent_before_are_not_lost(case: Callable[[], Case], way: Ways) -> None:
    def prepare(case: Case) -> None:
        case.ask('/1')
        case.ask('/2')

    def check(case: Case, cancelled: bool) -> None:
        conn = case.conn
        for answer in case.due:
            conn.read_response()
            assert conn.readall() == answer
        if conn.response_pending():
            assert conn.read_response().path == '/a'
            assert conn.readall() == content('PUT', '/a', bytes(50_000))
        else:
            assert cancelled
        case.due = []
        case.check_in_step()

    each_wait(case, way, prepare, lambda case: case.conn.co_send_request('PUT', '/a', body=bytes(50_000)), check)


@each_way
def test_a_write_can_be_repeated_or_says_that_nothing_can_be_sent(case: Callable[[], Case], way: Ways) -> None:
    data = bytes(range(256)) * 3000
    outcomes: list[str] = []

    def prepare(case: Case) -> None:
        exchange(case)
        case.conn.send_request('PUT', '/a', body=BodyFollowing(len(data)))

    def check(case: Case, cancelled: bool) -> None:
        conn = case.conn
        if not conn.response_pending():
            assert cancelled
            try:
                conn.write(data)
            except StateError:
                # The number of bytes that went out is unknown.
                outcomes.append('cut')
                with pytest.raises(StateError):
                    conn.send_request('GET', '/b')
                # No call waits for an answer that cannot come.
                with pytest.raises(StateError):
                    conn.read_response()
                with pytest.raises((ConnectionClosed, StateError)):
                    next(conn.pipeline(['/c']))
                with pytest.raises(ConnectionClosed):
                    next(conn.pipeline([]))
                case.check_fresh()
                return
            outcomes.append('repeated')
        else:
            outcomes.append('done')
        conn.read_response()
        assert conn.readall() == content('PUT', '/a', data)
        case.check_in_step()

    waits = each_wait(case, way, prepare, lambda case: case.conn.co_write(data), check)
    # At the last wait, all bytes have been taken, and some are still to be sent.
    assert waits < 3 or ('cut' in outcomes and outcomes[-2:] == ['done', 'done'])


@each_way
def test_a_body_in_chunks_ends_or_can_be_ended(case: Callable[[], Case], way: Ways) -> None:
    def prepare(case: Case) -> None:
        exchange(case)
        case.conn.send_request('PUT', '/a', body=BodyFollowing())
        case.conn.write(b'hello')

    def check(case: Case, cancelled: bool) -> None:
        conn = case.conn
        if not conn.response_pending():
            assert cancelled
            conn.finish()
        conn.read_response()
        assert conn.readall() == content('PUT', '/a', b'hello')
        case.check_in_step()

    each_wait(case, way, prepare, lambda case: case.conn.co_finish([('X', 'y')]), check)


@each_way
def test_the_wait_for_100_can_be_repeated(case: Callable[[], Case], way: Ways) -> None:
    def prepare(case: Case) -> None:
        case.conn.send_request('PUT', '/a', body=BodyFollowing(5), expect100=True)

    def check(case: Case, cancelled: bool) -> None:
        conn = case.conn
        if cancelled:
            assert conn.read_response().status == 100
        conn.write(b'hello')
        assert conn.read_response().status == 200
        assert conn.readall() == content('PUT', '/a', b'hello')
        case.check_in_step()

    each_wait(case, way, prepare, lambda case: case.conn.co_read_response(), check)


@each_way
def test_read_response_can_be_repeated(case: Callable[[], Case], way: Ways) -> None:
    def prepare(case: Case) -> None:
        case.ask('/a')
        case.ask('/b')

    def check(case: Case, cancelled: bool) -> None:
        if cancelled:
            assert case.conn.read_response().path == '/a'
        assert case.conn.readall() == case.due.pop(0)
        case.check_in_step()

    each_wait(case, way, prepare, lambda case: case.conn.co_read_response(), check)


def read_all_by_read(conn: HTTPConnection) -> Iterator[bytes]:
    while data := conn.read(100):
        yield bytes(data)


@each_way
@pytest.mark.parametrize('method', ['co_read', 'co_readinto'])
def test_a_read_that_is_cancelled_has_read_nothing(
    case: Callable[[], Case], way: Ways, method: str, fewest: int
) -> None:
    def prepare(case: Case) -> None:
        case.ask('/a')
        case.conn.read_response()

    def start(case: Case) -> Awaitable[object]:
        async def read() -> None:
            case.got = b''
            while True:
                if method == 'co_read':
                    data = bytes(await case.conn.co_read(300))
                else:
                    buffer = bytearray(300)
                    data = bytes(buffer[: await case.conn.co_readinto(buffer)])
                if not data:
                    return
                case.got += data

        return read()

    def check(case: Case, cancelled: bool) -> None:
        got: bytes = case.got
        assert got + b''.join(read_all_by_read(case.conn)) == case.due.pop(0)
        case.check_in_step()

    assert each_wait(case, way, prepare, start, check) >= fewest


@each_way
@pytest.mark.parametrize('method', ['co_readall', 'co_discard'])
def test_reading_all_goes_on_where_it_was(case: Callable[[], Case], way: Ways, method: str, fewest: int) -> None:
    def prepare(case: Case) -> None:
        case.ask('/a')
        case.ask('/b')
        case.conn.read_response()

    def check(case: Case, cancelled: bool) -> None:
        # The bytes that it had read are lost; the end of the body is left.
        assert case.due.pop(0).endswith(case.conn.readall())
        case.check_in_step()

    assert each_wait(case, way, prepare, lambda case: getattr(case.conn, method)(), check) >= fewest


# The other operations are cancelled on each version of Python.
@pytest.mark.slow
@each_way
@pytest.mark.parametrize('collect', [False, True])
def test_a_pipeline_goes_on_where_it_was(case: Callable[[], Case], way: Ways, collect: bool) -> None:
    requests: list[Any] = [
        ('GET', '/a'),
        ('PUT', '/b', None, b'hello'),
        ('PUT', '/c', None, bytes(30_000)),
        ('GET', '/d'),
    ]
    answers = [content(each[0], each[1], each[3] if len(each) > 3 else b'') for each in requests]

    def prepare(case: Case) -> None:
        case.due = []
        case.pipeline = case.conn.co_pipeline(requests, max_requests=3, collect=collect)

    def start(case: Case) -> Awaitable[object]:
        async def run() -> None:
            async for each in case.pipeline:
                case.is_reading = not collect
                case.due.append(each[1] if collect else await case.conn.co_readall())
                case.is_reading = False

        return run()

    def check(case: Case, cancelled: bool) -> None:
        conn, done = case.conn, len(case.due)
        pipeline = case.pipeline
        assert case.due == answers[:done]
        sent = pipeline.unanswered
        assert sent == requests[done : done + len(sent)]
        if not cancelled:
            assert done == 4
        # The caller has this response, and has to finish its body.
        if case.is_reading:
            assert answers[done].endswith(conn.readall())
            done += 1
        rest = []
        again = pipeline
        while True:
            try:
                each = eval_coroutine(again.__anext__())
            except StopAsyncIteration:
                break
            rest.append(each[1] if collect else conn.readall())
        assert rest == answers[done:]
        case.due = []
        case.check_in_step()

    each_wait(case, way, prepare, start, check)
