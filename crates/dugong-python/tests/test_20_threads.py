"""Statement 20.1: one thread sends, one reads, and any may disconnect."""

from __future__ import annotations

import contextlib
import os
import random
import ssl
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from interop_server import PATTERN
from interop_support import (
    PATIENCE,
    FullListener,
    Origin,
    Worker,
    authority_file,
    python_environment,
    wait_until_blocked,
)
from peers import Peer, Serve, get

import dugong
from dugong import BodyFollowing, ConnectionClosed, HTTPConnection, StateError

#: The requests that one thread sends while the other reads their answers.
COUNT = int(os.environ.get('DUGONG_TEST_REQUESTS', '20000'))

#: Millions of bytes in each direction of the duplex test.
DUPLEX_MB = int(os.environ.get('DUGONG_TEST_DUPLEX_MB', '200'))

#: The number of moments for `disconnect` that are tried.
ROUNDS = int(os.environ.get('DUGONG_TEST_ROUNDS', '60'))

#: More than all buffers between a client and a server that does not read.
LARGE = 64 << 20


def number_of(conn: HTTPConnection) -> int:
    """The number that the server gave to this connection."""
    return int(get(conn, '/n/0').split()[0])


# One sends, one reads


def test_20_1_one_thread_sends_while_another_reads(origin: Origin) -> None:
    conn = origin.connection()
    conn.connect()
    number = number_of(conn)
    sent = threading.Semaphore(0)

    def send() -> None:
        for i in range(COUNT):
            conn.send_request('GET', f'/n/{i}')
            sent.release()

    def read() -> None:
        for i in range(COUNT):
            assert sent.acquire(timeout=PATIENCE)
            response = conn.read_response()
            assert response.path == f'/n/{i}'
            assert conn.readall() == b'%d %d' % (number, i)

    with conn:
        sender, reader = Worker(send), Worker(read)
        sender.result()
        reader.result()
        assert not conn.response_pending()
        assert number_of(conn) == number


def test_20_1_tls_and_plain_in_both_directions_at_once(origin: Origin) -> None:
    """One thread uploads, the other downloads; each response is on its way while the next body is written."""
    part = 16 << 20
    rounds = max(DUPLEX_MB * 1_000_000 // part, 1)
    crc_of_part = zlib.crc32(PATTERN * (part // len(PATTERN)))
    sent = threading.Semaphore(0)
    conn = origin.connection()
    conn.connect()
    number = number_of(conn)

    def send() -> None:
        sizes = random.Random(1)
        whole = memoryview(PATTERN * (part // len(PATTERN)))
        for _ in range(rounds):
            conn.send_request('GET', f'/big/{part}')
            sent.release()
            conn.send_request('PUT', '/up', body=BodyFollowing(part))
            at = 0
            while at < part:
                size = sizes.choice([1, 1000, 16384, 100_000, 1 << 20])
                conn.write(whole[at : at + size])
                at += size
            sent.release()

    def read() -> None:
        sizes = random.Random(2)
        buf = memoryview(bytearray(1 << 20))
        for _ in range(rounds):
            assert sent.acquire(timeout=PATIENCE)
            assert conn.read_response().length == part
            crc = total = 0
            while True:
                size = sizes.choice([1, 1000, 16384, 100_000, 1 << 20])
                into = sizes.random() < 0.5
                got = buf[: conn.readinto(buf[:size])] if into else memoryview(conn.read(size))
                if not got:
                    break
                crc = zlib.crc32(got, crc)
                total += len(got)
            assert (total, crc) == (part, crc_of_part)
            # The request that is being written has no readable response until it is complete.
            assert sent.acquire(timeout=PATIENCE)
            assert conn.read_response().status == 200
            assert conn.readall() == b'%d %x %x' % (number, part, crc_of_part)

    with conn:
        sender, reader = Worker(send), Worker(read)
        reader.result()
        sender.result()


def test_20_1_both_may_be_blocked(serve: Serve) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.head()
        assert go.wait(PATIENCE)
        peer.answer(b'first')
        assert len(peer.exactly(LARGE)) == LARGE
        peer.answer(b'second')
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.send_request('PUT', '/b', body=BodyFollowing(LARGE))
    conn.timeout = PATIENCE
    reader = Worker(conn.read_response)
    wait_until_blocked(reader.native_id)
    writer = Worker(conn.write, bytes(LARGE))
    wait_until_blocked(writer.native_id)
    go.set()
    assert reader.result().path == '/a'
    assert conn.readall() == b'first'
    writer.result()
    assert conn.read_response().path == '/b'
    assert conn.readall() == b'second'


def test_20_1_a_reader_waits_while_the_writer_goes_on(serve: Serve) -> None:
    """A waiting thread does not hold the lock of the TLS object."""
    seen = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        for _ in range(100):
            peer.request()
        seen.set()
        for i in range(101):
            peer.answer(b'%d' % i)
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/')
    reader = Worker(conn.read_response)
    wait_until_blocked(reader.native_id)
    for _ in range(100):
        conn.send_request('PUT', '/', body=b'x' * 100)
    assert seen.wait(PATIENCE)
    reader.result()
    assert conn.readall() == b'0'
    for i in range(1, 101):
        conn.read_response()
        assert conn.readall() == b'%d' % i


def test_20_1_iterators_of_two_threads(origin: Origin) -> None:
    """The same with `co_` methods, each thread polling for itself (18.5)."""
    size = 20 << 20
    with origin.connection() as conn:
        conn.send_request('GET', f'/big/{size}')
        conn.send_request('PUT', '/', body=BodyFollowing(size))

        def write() -> None:
            part = PATTERN[:300_000]
            for at in range(0, size, len(part)):
                dugong.eval_coroutine(conn.co_write(part[: size - at]), PATIENCE)

        def read() -> int:
            dugong.eval_coroutine(conn.co_read_response(), PATIENCE)
            got = 0
            while data := dugong.eval_coroutine(conn.co_read(70_000), PATIENCE):
                got += len(data)
            return got

        writer, reader = Worker(write), Worker(read)
        assert reader.result() == size
        writer.result()
        conn.read_response()
        assert int(conn.readall().split()[1], 16) == size


# disconnect, while others certainly wait


def reading_a_head(conn: HTTPConnection) -> Callable[[], Any]:
    conn.send_request('GET', '/silent')
    return conn.read_response


def after_some_content(conn: HTTPConnection) -> None:
    conn.send_request('GET', '/part')
    assert conn.read_response().length == 10
    got = b''
    while len(got) < 5:
        got += conn.read(5 - len(got))
    assert got == b'hello'


def reading(conn: HTTPConnection) -> Callable[[], Any]:
    after_some_content(conn)
    return lambda: conn.read(10)


def reading_into(conn: HTTPConnection) -> Callable[[], Any]:
    after_some_content(conn)
    return lambda: conn.readinto(bytearray(10))


def reading_all(conn: HTTPConnection) -> Callable[[], Any]:
    after_some_content(conn)
    return conn.readall


def discarding(conn: HTTPConnection) -> Callable[[], Any]:
    after_some_content(conn)
    return conn.discard


def writing(conn: HTTPConnection) -> Callable[[], Any]:
    conn.send_request('GET', '/deaf')
    conn.send_request('PUT', '/', body=BodyFollowing(LARGE))
    return lambda: conn.write(bytes(LARGE))


def sending_a_request(conn: HTTPConnection) -> Callable[[], Any]:
    conn.send_request('GET', '/deaf')
    return lambda: conn.send_request('PUT', '/', body=bytes(LARGE))


SITUATIONS = [reading_a_head, reading, reading_into, reading_all, discarding, writing, sending_a_request]


@pytest.mark.parametrize('situation', SITUATIONS)
def test_20_1_disconnect_ends_waiting(origin: Origin, situation: Callable[[HTTPConnection], Callable[[], Any]]) -> None:
    with origin.connection() as conn:
        call = situation(conn)
        worker = Worker(call)
        wait_until_blocked(worker.native_id)
        conn.disconnect()
        assert type(worker.exception()) is ConnectionClosed
        assert not conn.response_pending()
        assert get(conn, '/n/again').endswith(b' again')


def test_20_1_reading_on_after_disconnect(origin: Origin) -> None:
    """Statement 14.4, for the thread that waited."""
    with origin.connection() as conn:
        worker = Worker(reading(conn))
        wait_until_blocked(worker.native_id)
        conn.disconnect()
        assert type(worker.exception()) is ConnectionClosed
        for call in conn.readall, conn.discard:
            with pytest.raises(ConnectionClosed):
                call()
        with pytest.raises(StateError):
            conn.read_response()


SECOND: dict[str, Callable[[HTTPConnection], object]] = {
    'read_response': lambda conn: conn.read_response(),
    'read': lambda conn: conn.read(10),
    'readinto': lambda conn: conn.readinto(bytearray(10)),
    'readall': lambda conn: conn.readall(),
    'discard': lambda conn: conn.discard(),
    'read_raw': lambda conn: conn.read_raw(10),
    'co_read': lambda conn: next(conn.co_read(10)),
    'pipeline': lambda conn: next(conn.pipeline([])),
}


@pytest.mark.parametrize('first', ['head', 'body', 'iterator', 'pipeline'])
def test_20_1_a_second_thread_that_reads_is_refused(serve: Serve, first: str) -> None:
    """The call is refused without a change of state, within a body or not."""
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        if first in ('body', 'iterator'):
            peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
            assert go.wait(PATIENCE)
            peer.send(b'hello')
        else:
            assert go.wait(PATIENCE)
            peer.answer(b'hello')
        peer.rest()

    conn = serve(script)
    conn.connect()
    if first == 'pipeline':
        call: Callable[[], object] = conn.pipeline(['/'], collect=True).__next__
    else:
        conn.send_request('GET', '/')
        call = conn.read_response
    if first in ('body', 'iterator'):
        conn.read_response()
        call = conn.readall
    if first == 'iterator':
        call = iter(conn.co_readall()).__next__
    reader = Worker(call)
    if first == 'iterator':
        reader.result()
    else:
        wait_until_blocked(reader.native_id)
    for second in SECOND.values():
        with pytest.raises(StateError):
            second(conn)
    go.set()
    if first != 'iterator':
        reader.result()
    if first == 'head':
        assert conn.readall() == b'hello'


def test_20_1_disconnect_ends_waiting_of_reader_and_writer(origin: Origin) -> None:
    with origin.connection() as conn:
        conn.send_request('GET', '/deaf')
        conn.send_request('PUT', '/', body=BodyFollowing(LARGE))
        reader = Worker(conn.read_response)
        wait_until_blocked(reader.native_id)
        writer = Worker(conn.write, bytes(LARGE))
        wait_until_blocked(writer.native_id)
        conn.disconnect()
        assert type(reader.exception()) is ConnectionClosed
        assert type(writer.exception()) is ConnectionClosed
        # 14.4: for an incomplete request, and for an unanswered one
        with pytest.raises(ConnectionClosed):
            conn.write(b'x')
        with pytest.raises(ConnectionClosed):
            conn.read_response()
        assert get(conn, '/n/again').endswith(b' again')


def test_20_1_disconnect_ends_waiting_for_100(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.head().values('Expect') == ['100-continue']
        peer.rest()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    worker = Worker(conn.read_response)
    wait_until_blocked(worker.native_id)
    conn.disconnect()
    assert type(worker.exception()) is ConnectionClosed


def test_20_1_disconnect_ends_a_handshake(serve_plain: Serve, client_tls: ssl.SSLContext) -> None:
    seen = threading.Event()

    def script(peer: Peer) -> None:
        peer.exactly(1)
        seen.set()
        peer.rest()

    conn = serve_plain(script)
    conn.ssl_context = client_tls
    worker = Worker(conn.connect)
    assert seen.wait(PATIENCE)
    wait_until_blocked(worker.native_id)
    conn.disconnect()
    assert type(worker.exception()) is ConnectionClosed


def test_20_1_disconnect_ends_a_tunnel(serve_plain: Serve, client_tls: ssl.SSLContext) -> None:
    seen = threading.Event()

    def script(peer: Peer) -> None:
        assert peer.head().method == 'CONNECT'
        seen.set()
        peer.rest()

    port = serve_plain(script).port
    conn = HTTPConnection('origin.example', 443, ssl_context=client_tls, proxy=('localhost', port))
    conn.timeout = PATIENCE
    worker = Worker(conn.connect)
    assert seen.wait(PATIENCE)
    wait_until_blocked(worker.native_id)
    conn.disconnect()
    assert type(worker.exception()) is ConnectionClosed


def test_20_1_disconnect_ends_a_connect() -> None:
    with FullListener() as (host, port), HTTPConnection(host, port) as conn:
        conn.timeout = PATIENCE
        worker = Worker(conn.connect)
        wait_until_blocked(worker.native_id)
        conn.disconnect()
        assert type(worker.exception()) is ConnectionClosed


def test_20_1_disconnect_ends_an_iterator(origin: Origin) -> None:
    """`eval_coroutine` itself waits; when it resumes the iterator, the connection is closed (18.5)."""
    with origin.connection() as conn:
        conn.send_request('GET', '/silent')
        worker = Worker(lambda: dugong.eval_coroutine(conn.co_read_response(), PATIENCE))
        wait_until_blocked(worker.native_id)
        conn.disconnect()
        assert type(worker.exception()) is ConnectionClosed


def test_20_1_all_threads_may_disconnect(origin: Origin) -> None:
    def disconnect(barrier: threading.Barrier) -> None:
        barrier.wait()
        conn.disconnect()

    with origin.connection() as conn:
        for _ in range(20):
            conn.send_request('GET', '/silent')
            reader = Worker(conn.read_response)
            wait_until_blocked(reader.native_id)
            barrier = threading.Barrier(8, timeout=PATIENCE)
            workers = [Worker(disconnect, barrier) for _ in range(8)]
            for worker in workers:
                worker.result()
            assert type(reader.exception()) is ConnectionClosed
            assert get(conn, '/n/1').endswith(b' 1')


class Callback:
    """A trace file that calls the connection at each transfer."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.raised: list[BaseException] = []
        self.calls = 0

    def write(self, data: bytes) -> int:
        self.calls += 1
        try:
            self.call()
        except Exception as exc:
            self.raised.append(exc)
        return len(data)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    'call', ['read_response', 'readall', 'disconnect', 'response_pending', 'send_request', 'write']
)
def test_20_1_python_code_that_calls_back_does_not_wait_for_itself(origin: Origin, call: str) -> None:
    args: tuple[Any, ...] = {'send_request': ('GET', '/n/back'), 'write': (b'x',)}.get(call, ())
    with origin.connection() as conn:
        conn.connect()
        trace: Any = Callback(lambda: getattr(conn, call)(*args))
        conn.trace_fh = trace

        def use() -> None:
            # It may be disconnected, or the callback has read the response.
            with contextlib.suppress(ConnectionClosed, StateError):
                assert get(conn, '/n/1')

        Worker(use).result()
        assert trace.calls
        for exc in trace.raised:
            assert 'borrow' not in str(exc)
        conn.trace_fh = None
        conn.disconnect()
        assert get(conn, '/n/again').endswith(b' again')


# disconnect, at any moment


class Round:
    """One thread sends until the connection is closed, one reads, and a third disconnects at some moment."""

    def __init__(self, conn: HTTPConnection, seed: int, upload: bool) -> None:
        self.conn = conn
        self.random = random.Random(seed)
        self.upload = upload
        self.requests = 400
        self.sent = threading.Semaphore(0)
        self.progress = threading.Condition()
        self.count = 0
        self.closing = False
        #: Pairs of connection and request in the order of the answers.
        self.answers: list[tuple[int, int]] = []

    def step(self) -> None:
        with self.progress:
            self.count += 1
            self.progress.notify_all()

    def send(self) -> None:
        for i in range(self.requests):
            try:
                if self.upload and i % 3 == 0:
                    self.conn.send_request('PUT', f'/n/{i}', body=BodyFollowing(200_000))
                    for _ in range(4):
                        self.conn.write(PATTERN[:50_000])
                else:
                    self.conn.send_request('GET', f'/n/{i}')
            except ConnectionClosed:
                assert self.closing
                break
            finally:
                self.sent.release()
                self.step()

    def read(self) -> None:
        while len(self.answers) < self.requests:
            assert self.sent.acquire(timeout=PATIENCE)
            try:
                response = self.conn.read_response()
                body = self.conn.readall()
            except (ConnectionClosed, StateError):
                # StateError: the sender has connected anew, and no response is pending there yet.
                assert self.closing
                return
            # 7.2 and 13.1: if a new connection was opened between the two calls, no body is pending.
            if not body:
                assert self.closing
                return
            number = int(response.path[3:])
            if response.method == 'GET':
                conn, answered = map(int, body.split())
                assert answered == number
            else:
                words = body.split()
                conn, size = int(words[0]), int(words[1], 16)
                assert size == 200_000
            self.answers.append((conn, number))
            self.step()

    def disconnect(self) -> None:
        moment = self.random.randrange(2 * self.requests)
        with self.progress:
            self.progress.wait_for(lambda: self.count >= moment, timeout=1)
        self.closing = True
        self.conn.disconnect()

    def run(self) -> None:
        workers = [Worker(self.disconnect), Worker(self.read), Worker(self.send)]
        for worker in workers:
            worker.result()
        # Answers come in the order of the requests, and none is missing or mixed in.
        connections = sorted({conn for conn, _ in self.answers})
        assert len(connections) <= 2
        assert [conn for conn, _ in self.answers] == sorted(conn for conn, _ in self.answers)
        for conn in connections:
            numbers = [number for other, number in self.answers if other == conn]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize('upload', [False, True], ids=['get', 'put'])
def test_20_1_disconnect_at_any_moment(origin: Origin, upload: bool) -> None:
    conn = origin.connection()
    with conn:
        last = number_of(conn)
        for seed in range(ROUNDS):
            conn.disconnect()
            Round(conn, seed, upload).run()
            conn.disconnect()
            # The object is like new, without data of the round before.
            conn.send_request('GET', '/n/new')
            response = conn.read_response()
            assert response.path == '/n/new'
            number, word = conn.readall().split()
            assert word == b'new'
            assert int(number) > last
            last = int(number)


CHAOS = """
import faulthandler, random, sys, threading
faulthandler.enable()
faulthandler.dump_traceback_later(120, exit=True)
import dugong

port, tls, seed = int(sys.argv[1]), sys.argv[2] == 'True', int(sys.argv[3])
context = None
if tls:
    import ssl
    context = ssl.create_default_context(cafile=sys.argv[4])
conn = dugong.HTTPConnection('localhost', port, ssl_context=context)
conn.timeout = 0.05
bad = []

def work(seed):
    rng = random.Random(seed)
    calls = [
        lambda: conn.send_request('GET', '/n/1'),
        lambda: conn.send_request('GET', '/big/300000'),
        lambda: conn.send_request('PUT', '/', body=b'x' * 1000),
        lambda: conn.send_request('PUT', '/', body=dugong.BodyFollowing(1000)),
        lambda: conn.write(b'x' * 500),
        conn.read_response, conn.readall, conn.discard, conn.response_pending,
        lambda: conn.read(1000), lambda: conn.readinto(bytearray(1000)),
        lambda: dugong.eval_coroutine(conn.co_read(1000), 0.05),
        lambda: dugong.eval_coroutine(conn.co_send_request('GET', '/n/2'), 0.05),
        lambda: next(conn.co_read_response(), None),
        lambda: conn.get_ssl_cipher(), lambda: conn._out_remaining,
        conn.disconnect, conn.connect,
    ]
    for _ in range(400):
        try:
            rng.choice(calls)()
        except BaseException as exc:
            # The result of calls without serialisation is open, but they do no harm.
            if not isinstance(exc, Exception) or 'borrow' in str(exc) or 'panic' in str(exc).lower():
                bad.append(repr(exc))

threads = [threading.Thread(target=work, args=[f'{seed}.{i}'], daemon=True) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(100)
    if thread.is_alive():
        faulthandler.dump_traceback()
        sys.exit('hang')
conn.disconnect()
conn.timeout = 10
conn.send_request('GET', '/n/last')
conn.read_response()
if not conn.readall().endswith(b' last'):
    bad.append('mixed')
sys.exit('; '.join(sorted(set(bad))) or 0)
"""


@pytest.mark.parametrize('seed', range(3))
def test_20_1_calls_without_serialisation_do_no_harm(origin: Origin, seed: int) -> None:
    args = [str(origin.port), str(origin.tls), str(seed), authority_file()]
    done = subprocess.run(
        [sys.executable, '-c', CHAOS, *args],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')
