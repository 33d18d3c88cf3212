"""No descriptors, objects, memory, warnings or references to arguments are left behind."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import socket
import ssl
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from interop_support import PATIENCE, Origin, Worker, authority_file, python_environment, wait_until_blocked
from peers import Peer, Serve, Server, get, says, silent

import dugong
from dugong import BodyFollowing, CaseInsensitiveDict, ConnectionClosed, HTTPConnection

# The test leaves them behind on purpose.
pytestmark = [
    pytest.mark.filterwarnings('ignore:unclosed HTTPConnection:ResourceWarning'),
    pytest.mark.filterwarnings('ignore:.* was never (awaited, )?iterated:RuntimeWarning'),
]


def descriptors() -> list[str]:
    """The targets of the open descriptors of this process, without the one that lists them."""
    found = []
    for name in os.listdir('/proc/self/fd'):
        with contextlib.suppress(OSError):
            found.append(f'{name} {os.readlink("/proc/self/fd/" + name)}')
    return sorted(found, key=lambda text: int(text.split()[0]))


@contextlib.contextmanager
def no_new_descriptors() -> Iterator[None]:
    gc.collect()
    before = len(descriptors())
    yield
    gc.collect()
    after = descriptors()
    assert len(after) == before, after


# Descriptors


def use_and_disconnect(conn: HTTPConnection) -> None:
    get(conn, '/n/1')
    conn.disconnect()


def use_and_close(conn: HTTPConnection) -> None:
    get(conn, '/n/1')
    conn.close()


def use_as_context(conn: HTTPConnection) -> None:
    with conn:
        get(conn, '/n/1')


def drop(conn: HTTPConnection) -> None:
    get(conn, '/n/1')


def drop_in_a_response(conn: HTTPConnection) -> None:
    conn.send_request('GET', '/part')
    conn.read_response()
    conn.read(1)


def drop_in_a_request(conn: HTTPConnection) -> None:
    conn.send_request('PUT', '/', body=BodyFollowing(10))
    conn.write(b'hello')


def drop_in_a_cycle(conn: HTTPConnection) -> None:
    vars(conn)['myself'] = conn
    get(conn, '/n/1')


def drop_with_an_iterator(conn: HTTPConnection) -> None:
    conn.send_request('GET', '/silent')
    crt = conn.co_read_response()
    next(crt)


def connect_twice(conn: HTTPConnection) -> None:
    """Statement 7.3."""
    conn.connect()
    conn.connect()
    get(conn, '/n/1')
    conn.connect()


@pytest.mark.parametrize(
    'use',
    [
        use_and_disconnect,
        use_and_close,
        use_as_context,
        drop,
        drop_in_a_response,
        drop_in_a_request,
        drop_in_a_cycle,
        drop_with_an_iterator,
        connect_twice,
    ],
)
def test_15_3_no_descriptor_is_left(origin: Origin, use: Callable[[HTTPConnection], None]) -> None:
    with no_new_descriptors():
        for _ in range(20):
            use(origin.connection())


def test_15_3_a_dropped_connection_is_closed_at_once(origin: Origin) -> None:
    """Without a cycle, the collector is not needed."""
    gc.disable()
    try:
        before = len(descriptors())
        conn = origin.connection()
        get(conn, '/n/1')
        assert len(descriptors()) > before
        del conn
        assert len(descriptors()) == before
    finally:
        gc.enable()


def test_15_1_the_server_sees_every_end(serve: Serve) -> None:
    ended = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(b'x')
        peer.rest()
        ended.release()

    conn = serve(*[script] * 4, silent)
    for end in (conn.disconnect, conn.reset, conn.close, conn.connect):
        assert get(conn, '/n/1') == b'x'
        end()
        assert ended.acquire(timeout=PATIENCE)


def test_7_4_no_descriptor_is_left_of_a_refused_connect() -> None:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
    with no_new_descriptors():
        conn = HTTPConnection('127.0.0.1', port)
        for _ in range(20):
            with pytest.raises(ConnectionRefusedError):
                conn.connect()


def test_7_4_no_descriptor_is_left_of_a_failed_handshake() -> None:
    with Origin(tls=True) as origin:
        conn = HTTPConnection('localhost', origin.port, ssl_context=ssl.create_default_context())
        with no_new_descriptors():
            for _ in range(20):
                with pytest.raises(ssl.SSLCertVerificationError):
                    conn.connect()


def test_7_4_no_descriptor_is_left_of_a_failed_tunnel() -> None:
    def refuse(peer: Peer) -> None:
        peer.head()
        peer.answer(status='403 Forbidden')
        peer.rest()

    with Server(*[refuse] * 10) as server:
        conn = HTTPConnection('a.example', 443, ssl.create_default_context(), ('127.0.0.1', server.port))
        before = sockets_to(server.port)
        for _ in range(10):
            with pytest.raises(ConnectionError):
                conn.connect()
            assert sockets_to(server.port) == before == 0


def sockets_to(port: int) -> int:
    """The number of sockets of this process that are connected to that port of 127.0.0.1."""
    inodes = {link[8:-1] for text in descriptors() if (link := text.split()[1]).startswith('socket:[')}
    count = 0
    for line in Path('/proc/net/tcp').read_text(encoding='ascii').splitlines()[1:]:
        words = line.split()
        count += words[9] in inodes and words[2].endswith(f':{port:04X}')
    return count


def test_7_4_no_descriptor_is_left_without_trace_file(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DUGONG_TRACEFILE', '/nowhere/trace')
    conn = origin.connection()
    with no_new_descriptors():
        for _ in range(5):
            with pytest.raises(FileNotFoundError):
                conn.connect()


def test_21_2_no_descriptor_is_left_of_trace_files(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The order of the collector does not matter, and no other warning comes with it."""
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / 'trace-%d'))
    with no_new_descriptors():
        for use in use_and_disconnect, drop, drop_in_a_cycle, drop_with_an_iterator, connect_twice:
            use(origin.connection())


# Objects


def test_1_5_weak_references(origin: Origin) -> None:
    conn = origin.connection()
    called: list[object] = []
    ref = weakref.ref(conn, called.append)
    assert ref() is conn
    get(conn, '/n/1')
    del conn
    assert ref() is None
    assert called == [ref]


class Note:
    """An object with a weak reference."""


def by_attribute(conn: Any) -> None:
    conn.other = conn


def by_iterator(conn: Any) -> None:
    conn.other = conn.co_read_response()


def by_active_iterator(conn: Any) -> None:
    conn.send_request('GET', '/silent')
    conn.other = conn.co_read_response()
    next(conn.other)


def by_headers(conn: Any) -> None:
    headers = CaseInsensitiveDict()
    headers.__dict__['conn'] = conn
    conn.other = conn.co_send_request('GET', '/n/1', headers)


def by_body(conn: Any) -> None:
    class Body(bytearray):
        conn: Any

    body = Body(10)
    body.conn = conn
    conn.other = conn.co_write(body)


def by_trace_file_of_an_active_iterator(conn: Any) -> None:
    conn.send_request('GET', '/silent')
    note: Any = Note()
    note.write = lambda *_: None
    conn.trace_fh = note
    note.crt = conn.co_read_response()
    next(note.crt)
    conn.trace_fh = None


def by_trace_file_of_an_active_sender(conn: Any) -> None:
    conn.send_request('GET', '/deaf')
    note: Any = Note()
    note.write = lambda *_: None
    conn.trace_fh = note
    note.crt = conn.co_send_request('PUT', '/', body=bytes(64 << 20))
    next(note.crt)


def by_path(conn: Any) -> None:
    """The response keeps it (4.1)."""

    class Path(str):
        conn: Any

    path = Path('/silent')
    path.conn = conn
    conn.send_request('GET', path)


def by_response(conn: Any) -> None:
    """While its body is read, the response waits for trailers."""
    conn.send_request('GET', '/n/1')
    response = conn.read_response()
    response.conn = conn


def by_trace_file(conn: Any) -> None:
    conn.trace_fh = Note()
    conn.trace_fh.write = lambda *_: conn


def by_context(conn: Any) -> None:
    conn.ssl_context = Note()
    conn.ssl_context.conn = conn


def by_hostname(conn: Any) -> None:
    class Name(str):
        conn: Any

    conn.hostname = Name('localhost')
    conn.hostname.conn = conn


def by_timeout(conn: Any) -> None:
    class Seconds(float):
        conn: Any

    conn.timeout = Seconds(5)
    conn.timeout.conn = conn


@pytest.mark.parametrize(
    'make',
    [
        by_attribute,
        by_iterator,
        by_active_iterator,
        by_headers,
        by_body,
        by_trace_file_of_an_active_iterator,
        by_trace_file_of_an_active_sender,
        by_path,
        by_response,
        by_trace_file,
        by_context,
        by_hostname,
        by_timeout,
    ],
)
def test_cycles_are_collected(origin: Origin, make: Callable[[Any], None]) -> None:
    """A cycle through each object that a connection or an iterator keeps."""
    conn = origin.connection()
    make(conn)
    ref = weakref.ref(conn)
    del conn
    gc.collect()
    assert ref() is None


def test_the_collector_may_come_at_any_time() -> None:
    """Also while an object is being made."""

    class Mine(HTTPConnection):
        pass

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for cls in HTTPConnection, Mine:
            conns = [cls('www.example.org') for _ in range(500)]
            for conn in conns:
                assert [conn.co_read(), conn.pipeline([]), conn.co_pipeline([])]
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize('threshold', [1, 2, 3, 4, 5, 7, 11])
def test_the_collector_may_come_while_a_response_is_being_made(serve: Serve, threshold: int) -> None:
    """Python 3.11 collects when it makes the `__dict__` of a response that has no content yet."""
    count = 500
    conn = serve(says(*[b'HTTP/1.1 204 No Content\r\n\r\n'] * count))
    for _ in range(count):
        conn.send_request('GET', '/')
    before = gc.get_threshold()
    # The interpreter has no old dicts to use again.
    dicts: list[dict[str, str]] = [{} for _ in range(1000)]
    gc.set_threshold(threshold)
    try:
        responses = [conn.read_response() for _ in range(count)]
    finally:
        gc.set_threshold(*before)
    assert len(dicts) + len(responses) == 1000 + count


def test_an_iterator_keeps_its_connection(origin: Origin) -> None:
    crt = origin.connection().co_send_request('GET', '/n/1')
    assert dugong.eval_coroutine(crt, PATIENCE) is None
    conn = origin.connection()
    conn.send_request('GET', '/n/1')
    ref = weakref.ref(conn)
    reading = conn.co_read_response()
    del conn
    gc.collect()
    assert dugong.eval_coroutine(reading, PATIENCE).status == 200
    # An iterator that has ended keeps no objects.
    assert ref() is None


def test_a_response_does_not_keep_its_connection(origin: Origin) -> None:
    conn = origin.connection()
    conn.send_request('GET', '/n/1')
    response = conn.read_response()
    ref = weakref.ref(conn)
    del conn
    assert ref() is None
    assert response.headers['Content-Length'] == '3' or int(response.headers['Content-Length']) > 2


def test_1_5_subclass_with_its_own_init(origin: Origin) -> None:
    class Mine(HTTPConnection):
        def __init__(self, server: Origin, note: str) -> None:
            super().__init__(server.host, server.port, ssl_context=server.context)
            self.note = note
            self.disconnected = 0

        def disconnect(self) -> None:
            self.disconnected += 1
            super().disconnect()

    with no_new_descriptors():
        conn = Mine(origin, 'hello')
        conn.timeout = PATIENCE
        with conn:
            assert get(conn, '/n/1')
        assert (conn.note, conn.disconnected) == ('hello', 1)
        ref = weakref.ref(conn)
        del conn
        assert ref() is None


def test_1_5_subclass_that_forgets_init() -> None:
    """Such an object cannot be used, but it does no harm."""

    class Forgetful(HTTPConnection):
        def __init__(self) -> None:
            pass

    conn = Forgetful()
    conn.disconnect()
    assert conn.response_pending() is False
    assert conn.read(10) == b''
    with pytest.raises(Exception):  # noqa: B017, PT011
        conn.connect()
    del conn
    gc.collect()


def test_init_again_does_no_harm(origin: Origin) -> None:
    with no_new_descriptors():
        conn = origin.connection()
        get(conn, '/n/1')
        conn.__init__(origin.host, origin.port, ssl_context=origin.context)  # type: ignore[misc]
        conn.disconnect()
        conn.timeout = PATIENCE
        assert get(conn, '/n/1')
        conn.disconnect()


def test_connections_are_not_copied(origin: Origin) -> None:
    conn = origin.connection()
    for duplicate in copy.copy, copy.deepcopy:
        with pytest.raises(TypeError):
            duplicate(conn)


# Iterators


def new(peer: Peer) -> None:
    peer.request()
    peer.answer(b'x')


def test_18_1_an_abandoned_iterator_leaves_the_connection_usable(serve: Serve) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert go.wait(PATIENCE)
        peer.answer(b'hello')
        peer.request()
        peer.answer(b'world')
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/a')
    for end in 'drop', 'close', 'throw', 'collect':
        crt = conn.co_read_response()
        next(crt)
        if end == 'close':
            crt.close()
        elif end == 'throw':
            with pytest.raises(KeyError):
                crt.throw(KeyError())
        elif end == 'collect':
            cycle: list[Any] = [crt]
            cycle.append(cycle)
            del cycle
        del crt
        gc.collect()
    go.set()
    assert conn.read_response().path == '/a'
    assert conn.readall() == b'hello'
    assert get(conn, '/n/1') == b'world'


def test_18_1_an_abandoned_read_loses_nothing(serve: Serve) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n')
        assert go.wait(PATIENCE)
        peer.send(b'helloworld')
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.read_response()
    for crt in conn.co_read(5), conn.co_readinto(bytearray(5)), conn.co_discard(), conn.co_readall():
        next(crt)
        crt.close()
        with pytest.raises(StopIteration):
            next(crt)
    go.set()
    assert conn.readall() == b'helloworld'


def test_18_1_an_iterator_that_was_never_started(origin: Origin) -> None:
    with no_new_descriptors(), origin.connection() as conn:
        for _ in range(10):
            conn.co_send_request('GET', '/n/1')
            conn.co_send_request('GET', '/n/1').close()
        assert not conn.response_pending()
        assert get(conn, '/n/1')


def test_18_1_an_abandoned_write_closes_or_can_go_on(serve: Serve) -> None:
    """The body is not half a buffer ahead of the connection: it is closed, or the rest is known."""
    conn = serve(silent, new)
    conn.send_request('PUT', '/', body=BodyFollowing(200 << 20))
    stuck = conn.co_write(bytes(100 << 20))
    next(stuck)
    stuck.close()
    conn.disconnect()
    assert get(conn, '/n/1') == b'x'


def test_iterators_dropped_after_disconnect(origin: Origin) -> None:
    with no_new_descriptors():
        conn = origin.connection()
        conn.send_request('GET', '/deaf')
        reading = conn.co_read_response()
        next(reading)
        writing = conn.co_send_request('PUT', '/', body=bytes(64 << 20))
        next(writing)
        conn.disconnect()
        # Neither dropping nor resuming them affects the new connection (18.5).
        assert get(conn, '/n/1')
        conn.send_request('GET', '/n/2')
        del writing
        with pytest.raises(ConnectionClosed):
            next(reading)
        del reading
        gc.collect()
        assert conn.read_response().path == '/n/2'
        assert conn.readall().endswith(b' 2')
        conn.disconnect()


def test_20_1_a_connection_dropped_by_one_thread_while_another_reads(origin: Origin) -> None:
    """The reading thread keeps it, and the last one that lets go closes the socket."""
    with no_new_descriptors():
        conn = origin.connection()
        conn.send_request('GET', '/silent')
        conn.timeout = 0.5
        reader = Worker(conn.read_response)
        wait_until_blocked(reader.native_id)
        ref = weakref.ref(conn)
        del conn
        exc = reader.exception()
        assert type(exc) is dugong.ConnectionTimedOut
        exc.__traceback__ = None
        reader._call = print
        assert ref() is None


# Arguments


def test_arguments_are_given_back(origin: Origin) -> None:
    body = bytearray(b'x' * 100_000)
    target = bytearray(100)
    headers = {'X-A': 'a' * 50}
    pairs = CaseInsensitiveDict({'X-B': 'b' * 50})
    method = ''.join(['P', 'UT'])
    path = ''.join(['/n', '/1'])
    following = BodyFollowing(len(body))
    held: list[Any] = [body, target, headers, pairs, headers['X-A'], pairs['X-B'], method, path, following]

    def use(conn: HTTPConnection) -> None:
        conn.send_request(method, path, headers, body)
        conn.send_request(method, path, pairs, following)
        conn.write(body)
        with memoryview(body) as view:
            conn.send_request(method, path, body=view)
            dugong.eval_coroutine(conn.co_send_request(method, path, headers, body=view), PATIENCE)
        for _ in range(4):
            assert conn.read_response().path is path
            conn.readinto(target)
            with memoryview(target) as view:
                conn.readinto(view)
            dugong.eval_coroutine(conn.co_readinto(target), PATIENCE)
            conn.discard()

    conn = origin.connection()
    use(conn)
    gc.collect()
    before = [sys.getrefcount(item) for item in held]
    for _ in range(5):
        use(conn)
    conn.disconnect()
    del conn
    gc.collect()
    assert [sys.getrefcount(item) for item in held] == before
    # No view of the bytearrays is left, so they can be resized.
    body.append(0)
    target.append(0)


def test_arguments_are_given_back_after_errors(origin: Origin) -> None:
    body = bytearray(b'x' * 1000)
    path = ''.join(['/n', '/1'])
    bad_path = ''.join(['/a', ' b'])
    headers = {'X': ''.join(['a', '\n'])}
    held: list[Any] = [body, path, bad_path, headers, headers['X']]
    conn = origin.connection()
    before = [sys.getrefcount(item) for item in held]
    for _ in range(5):
        for args in ('GET', bad_path, None, body), ('GET', path, headers, body), ('GET', path, None, headers):
            with pytest.raises((ValueError, TypeError)):
                conn.send_request(*args)
        conn.send_request('PUT', path, body=BodyFollowing(10))
        with pytest.raises(dugong.ExcessBodyData):
            conn.write(body)
        conn.disconnect()
        with pytest.raises(ConnectionClosed):
            conn.write(body)
        conn.connect()
        with pytest.raises(TypeError):
            conn.readinto(bytes(10))
        with pytest.raises(dugong.StateError):
            conn.write(body)
    del conn, args
    gc.collect()
    assert [sys.getrefcount(item) for item in held] == before
    body.append(0)


def test_arguments_are_given_back_by_abandoned_iterators(origin: Origin) -> None:
    body = bytearray(b'x' * (64 << 20))
    conn = origin.connection()
    conn.send_request('GET', '/deaf')
    before = sys.getrefcount(body)
    writing = conn.co_send_request('PUT', '/', body=body)
    next(writing)
    writing.close()
    conn.disconnect()
    assert sys.getrefcount(body) == before
    body.append(0)
    target = bytearray(10)
    conn.send_request('GET', '/part')
    conn.read_response()
    got = 0
    while got < 5:
        got += conn.readinto(target)
    reading = conn.co_readinto(target)
    next(reading)
    del reading
    target.append(0)
    conn.disconnect()


def test_results_belong_to_the_caller(origin: Origin) -> None:
    with origin.connection() as conn:
        conn.send_request('GET', '/big/100000')
        conn.read_response()
        first = conn.read(100)
        assert sys.getrefcount(first) == 2
        first += b'x' * 100_000  # 13.1: the result belongs to the caller
        whole = conn.readall()
        assert sys.getrefcount(whole) == 2
        conn.send_request('GET', '/n/1')
        response = conn.read_response()
        conn.discard()
        assert sys.getrefcount(response) == 2


# Memory


def resident() -> int:
    with open('/proc/self/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def test_memory_does_not_grow_with_requests(origin: Origin) -> None:
    headers = {'X-Header': 'x' * 1000}

    def use(times: int) -> None:
        for _ in range(times // 10):
            for _ in range(10):
                conn.send_request('PUT', '/n/1', headers, body=b'x' * 2000)
            for _ in range(10):
                response = conn.read_response()
                assert response.headers['Content-Length']
                conn.readall()

    with origin.connection() as conn:
        use(1000)
        gc.collect()
        before, objects = resident(), len(gc.get_objects())
        use(4000)
        gc.collect()
        # One reference or one kilobyte left behind with each request would be more than this.
        assert resident() - before < 3 << 20
        assert len(gc.get_objects()) - objects < 500


def test_memory_does_not_grow_with_connections(origin: Origin) -> None:
    conn = origin.connection()

    def use(times: int) -> None:
        for _ in range(times):
            get(conn, '/n/1')
            conn.send_request('GET', '/silent')
            conn.disconnect()

    use(100)
    gc.collect()
    before, objects = resident(), len(gc.get_objects())
    use(500)
    gc.collect()
    assert resident() - before < 6 << 20
    assert len(gc.get_objects()) - objects < 500


def test_memory_does_not_grow_with_iterators(origin: Origin) -> None:
    with origin.connection() as conn:
        conn.send_request('GET', '/silent')

        def use(times: int) -> None:
            for _ in range(times):
                next(conn.co_read_response())
                with pytest.raises(dugong.StateError):
                    conn.write(b'x')

        use(1000)
        gc.collect()
        before, objects = resident(), len(gc.get_objects())
        use(10_000)
        gc.collect()
        assert resident() - before < 2 << 20
        assert len(gc.get_objects()) - objects < 500


# The end of the interpreter

SITUATIONS = {
    'idle': 'get()',
    'not_connected': 'pass',
    'never_read': "conn.send_request('GET', '/n/1')",
    'in_a_response': "conn.send_request('GET', '/part'); response = conn.read_response(); conn.read(1)",
    'in_a_request': "conn.send_request('PUT', '/', body=dugong.BodyFollowing(10)); conn.write(b'x')",
    'iterator': "conn.send_request('GET', '/silent'); crt = conn.co_read_response(); next(crt)",
    'cycle': 'conn.me = conn; get(); conn.crt = conn.co_read(10)',
    'subclass': """
class Mine(dugong.HTTPConnection):
    def __del__(self):
        self.disconnect()
conn = Mine('localhost', conn.port, ssl_context=conn.ssl_context)
get()
""",
    'wrapper': "import io; conn.send_request('GET', '/part'); conn.read_response(); text = io.TextIOWrapper(conn)",
    'in_a_module': 'import builtins; get(); builtins.conn = conn',
    'daemon_thread_reads': """
import threading
from interop_support import wait_until_blocked
conn.timeout = None
conn.send_request('GET', '/silent')
thread = threading.Thread(target=conn.read_response, daemon=True)
thread.start()
wait_until_blocked(thread.native_id)
""",
    'daemon_thread_writes': """
import threading
from interop_support import wait_until_blocked
conn.timeout = None
conn.send_request('GET', '/deaf')
thread = threading.Thread(target=conn.send_request, args=['PUT', '/'], kwargs={'body': bytes(64 << 20)}, daemon=True)
thread.start()
wait_until_blocked(thread.native_id)
""",
    'atexit': 'import atexit; get(); atexit.register(conn.disconnect); atexit.register(get)',
    'future': """
import asyncio, logging
logging.getLogger('asyncio').setLevel('ERROR')  # on a busy machine, its debug mode warns of slow steps
async def main():
    conn.send_request('GET', '/silent')
    fut = dugong.AioFuture(conn.co_read_response())
    await asyncio.sleep(0.01)
    fut.cancel()
asyncio.run(main())
""",
    'exception': 'get(); raise SystemExit(0)',
    'trace_file': "import os; os.environ['DUGONG_TRACEFILE'] = os.devnull; get()",
}

EXIT = """
import faulthandler, ssl, sys
faulthandler.dump_traceback_later(60, exit=True)
import dugong
port, authority = sys.argv[1:]
context = ssl.create_default_context(cafile=authority) if authority else None
conn = dugong.HTTPConnection('localhost', int(port), ssl_context=context)
conn.timeout = 20
def get():
    conn.send_request('GET', '/n/1')
    conn.read_response()
    return conn.readall()
"""


@pytest.mark.parametrize('situation', SITUATIONS)
def test_the_interpreter_ends_in_silence(origin: Origin, situation: str) -> None:
    args = [str(origin.port), authority_file() if origin.tls else '']
    done = subprocess.run(
        [sys.executable, '-X', 'dev', '-W', 'error', '-c', EXIT + SITUATIONS[situation], *args],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_a_forked_child_does_not_end_the_connection_of_its_parent(origin: Origin) -> None:
    """The child's copy is closed when the child ends, without a byte to the peer, unless the child uses the object."""
    code = EXIT + (
        'import os\n'
        'get()\n'
        'faulthandler.cancel_dump_traceback_later()\n'  # its thread is one too many for fork
        'pid = os.fork()\n'
        'if not pid:\n'
        '    os._exit(0)\n'
        'assert os.waitpid(pid, 0)[1] == 0\n'
        'assert get().endswith(b" 1")\n'
    )
    args = [str(origin.port), authority_file() if origin.tls else '']
    done = subprocess.run(
        [sys.executable, '-X', 'dev', '-W', 'error', '-c', code, *args],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize('state', ['idle', 'in_a_response', 'iterator'])
@pytest.mark.parametrize(
    'end',
    [
        'del conn, crt; gc.collect(); os._exit(0)',
        'sys.exit()',
        'conn.disconnect(); os._exit(0)',
        'conn.close(); del conn, crt; gc.collect(); sys.exit()',
    ],
    ids=['drop', 'exit', 'disconnect', 'all'],
)
def test_15_3_a_forked_child_leaves_the_connection_to_its_parent(origin: Origin, state: str, end: str) -> None:
    """The child may do anything with its copy of the object."""
    before, after = {
        'idle': ('', 'get()'),
        'in_a_response': ("conn.send_request('GET', '/big/2000000'); conn.read_response()", 'conn.readall()'),
        'iterator': (
            "conn.send_request('GET', '/n/1'); crt = conn.co_discard()",
            'conn.read_response(); conn.readall()',
        ),
    }[state]
    code = EXIT + (
        'import gc, os\n'
        'crt = None\n'
        'first = get()\n'
        'faulthandler.cancel_dump_traceback_later()\n'  # its thread is one too many for fork
        f'{before}\n'
        'pid = os.fork()\n'
        'if not pid:\n'
        f'    {end}\n'
        'assert os.waitpid(pid, 0)[1] == 0\n'
        f'{after}\n'
        'assert get() == first\n'
    )
    args = [str(origin.port), authority_file() if origin.tls else '']
    done = subprocess.run(
        [sys.executable, '-X', 'dev', '-W', 'error', '-c', code, *args],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')
