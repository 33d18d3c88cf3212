"""Statement 20.2: waiting releases the GIL, and signals interrupt it."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
from interop_support import (
    PATIENCE,
    FullListener,
    Origin,
    Worker,
    authority_file,
    python_environment,
    wait_until_blocked,
)
from peers import Peer, Serve, Server, silent

import dugong
from dugong import BodyFollowing, HTTPConnection, StateError

LARGE = 64 << 20


# A process that gets into a situation and is interrupted there. ARGS: situation, port, authority, other host and
# port. At the end it has to be able to talk to the server.
CHILD = """
import faulthandler, signal, ssl, sys
# A shell ignores the signal for programs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
faulthandler.dump_traceback_later(60, exit=True)
import dugong
from dugong import BodyFollowing

situation, port, authority, other_host, other_port = sys.argv[1:]
context = ssl.create_default_context(cafile=authority) if authority else None
conn = dugong.HTTPConnection('localhost', int(port), ssl_context=context)
large = bytes(64 << 20)
if situation in ('connect', 'handshake', 'tunnel'):
    conn.hostname, conn.port = other_host, int(other_port)
    if situation == 'tunnel':
        conn.proxy = other_host, int(other_port)
        conn.hostname = 'origin.example'
elif situation in ('write', 'send_request'):
    conn.send_request('GET', '/deaf')
    if situation == 'write':
        conn.send_request('PUT', '/', body=BodyFollowing(len(large)))
elif situation in ('read_response', 'eval_coroutine'):
    conn.send_request('GET', '/silent')
elif situation == 'continue':
    conn.send_request('GET', '/silent')
    conn.disconnect()
    conn.send_request('GET', '/deaf')
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
else:
    conn.send_request('GET', '/part')
    conn.read_response()
    got = 0
    while got < 5:
        got += len(conn.read(5))
call = {
    'connect': conn.connect, 'handshake': conn.connect, 'tunnel': conn.connect,
    'read_response': conn.read_response, 'continue': conn.read_response,
    'read': lambda: conn.read(5), 'readinto': lambda: conn.readinto(bytearray(5)),
    'readall': conn.readall, 'discard': conn.discard, 'read_raw': lambda: conn.read_raw(10),
    'write': lambda: conn.write(large), 'send_request': lambda: conn.send_request('PUT', '/', body=large),
    'eval_coroutine': lambda: dugong.eval_coroutine(conn.co_read_response()),
}[situation]
print('ready', flush=True)
try:
    call()
except KeyboardInterrupt:
    print('interrupted')
conn.disconnect()
conn.hostname, conn.port, conn.proxy = 'localhost', int(port), None
conn.send_request('GET', '/n/again')
conn.read_response()
print(conn.readall().split()[1].decode())
"""


def interrupt(situation: str, origin: Origin, host: str = '', port: int = 0) -> None:
    args = [situation, str(origin.port), authority_file() if origin.tls else '', host, str(port)]
    child = subprocess.Popen(
        [sys.executable, '-X', 'dev', '-W', 'error', '-c', CHILD, *args],
        env=python_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            assert child.stdout
            assert child.stdout.readline() == 'ready\n'
            wait_until_blocked(child.pid, child.pid)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
    assert (out, err, child.returncode) == ('interrupted\nagain\n', '', 0)


CALLS = ['read_response', 'read', 'readinto', 'readall', 'discard', 'read_raw', 'write', 'send_request', 'continue']


@pytest.mark.parametrize('situation', [*CALLS, 'eval_coroutine'])
def test_20_2_ctrl_c(origin: Origin, situation: str) -> None:
    interrupt(situation, origin)


def test_20_2_ctrl_c_while_connecting(origin: Origin) -> None:
    with FullListener() as (host, port):
        interrupt('connect', origin, host, port)


@pytest.mark.parametrize('situation', ['handshake', 'tunnel'])
def test_20_2_ctrl_c_while_the_connection_is_prepared(situation: str) -> None:
    with Origin(tls=True) as origin, Server(silent) as server:
        interrupt(situation, origin, '127.0.0.1', server.port)


def new(peer: Peer) -> None:
    peer.request()
    peer.answer(b'new')


# Handlers in this process


class Interrupted(Exception):
    pass


def raise_interrupted(number: int, frame: FrameType | None) -> None:
    raise Interrupted


@pytest.fixture(autouse=True)
def without_tickets(server_tls: ssl.SSLContext) -> Iterator[None]:
    """Tickets of TLS 1.3 come when they like. A thread that waits takes them, and the signal may find it in there."""
    before = server_tls.num_tickets
    server_tls.num_tickets = 0
    yield
    server_tls.num_tickets = before


@contextlib.contextmanager
def when_blocked(handler: signal._HANDLER) -> Iterator[None]:
    """Send SIGUSR1 to this thread as soon as it waits in the system."""
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGUSR1, handler)
    main, native = threading.get_ident(), threading.get_native_id()
    entered = threading.Event()

    def kill() -> None:
        assert entered.wait(PATIENCE)
        wait_until_blocked(native)
        signal.pthread_kill(main, signal.SIGUSR1)

    worker = Worker(kill)
    try:
        entered.set()
        try:
            yield
        finally:
            # A body that did not block has failed, and the signal is still to come.
            with contextlib.suppress(Interrupted):
                worker.result()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_20_2_handler_that_raises_while_reading(serve: Serve) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert go.wait(PATIENCE)
        peer.answer(b'hello')
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/')
    with when_blocked(raise_interrupted), pytest.raises(Interrupted):
        conn.read_response()
    # The response is complete.
    go.set()
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_20_2_handler_that_raises_while_content_is_read(serve: Serve) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
        assert go.wait(PATIENCE)
        peer.send(b'world')
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/')
    conn.read_response()
    got = b''
    while len(got) < 5:
        got += conn.read(10)
    for call in conn.discard, lambda: conn.read(10), lambda: conn.readinto(bytearray(10)):
        with when_blocked(raise_interrupted), pytest.raises(Interrupted):
            call()
    go.set()
    while data := conn.read(10):
        got += data
    assert got == b'helloworld'


def test_20_2_handler_that_raises_while_writing(serve: Serve) -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert done.wait(PATIENCE)
        peer.rest()

    conn = serve(script, new)
    conn.send_request('PUT', '/', body=BodyFollowing(LARGE))
    with when_blocked(raise_interrupted), pytest.raises(Interrupted):
        conn.write(bytes(LARGE))
    done.set()
    conn.disconnect()
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'new'


def test_20_2_handler_that_raises_while_connecting() -> None:
    with FullListener() as (host, port):
        conn = HTTPConnection(host, port)
        with when_blocked(raise_interrupted), pytest.raises(Interrupted):
            conn.connect()
    with Server(new) as server, conn:
        conn.port = server.port
        conn.send_request('GET', '/')
        conn.read_response()
        assert conn.readall() == b'new'


@pytest.mark.parametrize('tunnel', [False, True])
def test_20_2_handler_that_raises_while_the_connection_is_prepared(
    client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tunnel: bool
) -> None:
    """Statements 7.4 and 21.2: neither a socket nor a trace file is left."""
    before = os.listdir('/proc/self/fd')
    trace = tmp_path / 'trace'
    monkeypatch.setenv('DUGONG_TRACEFILE', str(trace))
    with Server(silent) as server:
        conn = HTTPConnection('localhost', server.port, client_tls, ('127.0.0.1', server.port) if tunnel else None)
        with when_blocked(raise_interrupted), pytest.raises(Interrupted):
            conn.connect()
        assert trace.exists()
        assert conn.trace_fh is None
        with pytest.raises(dugong.StateError):
            conn._fileno()
        server.join()
    assert len(os.listdir('/proc/self/fd')) == len(before)
    with Server(new) as server, conn:
        conn.port, conn.ssl_context, conn.proxy = server.port, None, None
        conn.send_request('GET', '/')
        conn.read_response()
        assert conn.readall() == b'new'
        assert conn.trace_fh is not None


def endless(peer: Peer) -> None:
    """Send without a pause until the client closes, but not for ever if it does not."""
    peer.request()
    peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % (1 << 40))
    with contextlib.suppress(OSError):
        for _ in range(1 << 14):
            peer.send(bytes(1 << 16))


@pytest.mark.parametrize('call', ['discard', 'readall'])
def test_20_2_handler_that_raises_while_a_stream_does_not_end(serve: Serve, call: str) -> None:
    """The call never has to wait."""
    conn = serve(endless, new)
    conn.send_request('GET', '/')
    conn.read_response()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            getattr(conn, call)()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    conn.disconnect()
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'new'


@pytest.mark.parametrize('call', ['discard', 'readall'])
def test_20_2_handler_that_raises_just_before_a_stream_stalls(serve: Serve, call: str) -> None:
    main = threading.get_ident()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % (1 << 40))
        with contextlib.suppress(OSError):
            for number in range(100):
                if number == 50:
                    signal.pthread_kill(main, signal.SIGUSR1)
                peer.send(bytes(1 << 16))
        peer.rest()

    conn = serve(script)
    before = signal.signal(signal.SIGUSR1, raise_interrupted)
    try:
        with pytest.raises(Interrupted):
            conn.send_request('GET', '/')
            conn.read_response()
            getattr(conn, call)()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_20_2_handler_that_returns_does_not_end_the_wait(serve: Serve) -> None:
    """The handler runs at once, and the call goes on afterwards (PEP 475)."""
    handled = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert handled.wait(PATIENCE)
        peer.answer(b'hello')
        assert peer.exactly(1)
        handled.clear()
        assert handled.wait(PATIENCE)
        peer.until(b'xx')
        peer.answer(b'world')
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/')
    with when_blocked(lambda *_: handled.set()):
        assert conn.read_response().status == 200
    assert conn.readall() == b'hello'
    conn.send_request('PUT', '/', body=BodyFollowing(LARGE))
    with when_blocked(lambda *_: handled.set()):
        conn.write(bytes(LARGE - 2) + b'xx')
    assert conn.read_response().status == 200
    assert conn.readall() == b'world'


def test_20_2_timeout_goes_on_counting_after_a_signal(serve: Serve) -> None:
    """A signal now and then does not make the wait endless."""
    conn = serve(silent)
    conn.timeout = 0.5
    conn.send_request('GET', '/')
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(dugong.ConnectionTimedOut):
            conn.read_response()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_20_2_handler_that_disconnects(serve: Serve) -> None:
    """Statement 20.1: any thread may call disconnect, also a handler in this one."""
    conn = serve(silent, silent, new)
    conn.send_request('GET', '/')
    with when_blocked(lambda *_: conn.disconnect()), pytest.raises(dugong.ConnectionClosed):
        conn.read_response()
    conn.send_request('PUT', '/', body=BodyFollowing(LARGE))
    with when_blocked(lambda *_: conn.disconnect()), pytest.raises(dugong.ConnectionClosed):
        conn.write(bytes(LARGE))
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'new'


def test_20_2_handler_that_sends(serve: Serve) -> None:
    """The other half is not locked."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer()
        peer.request()
        assert peer.request().target == '/b'
        peer.answer(b'a')
        peer.answer(b'b')
        peer.rest()

    conn = serve(script)
    # With TLS, tickets come with the first answer, and would wake the reader just when the signal comes.
    conn.send_request('GET', '/')
    conn.read_response()
    conn.send_request('GET', '/a')
    with when_blocked(lambda *_: conn.send_request('GET', '/b')):
        assert conn.read_response().path == '/a'
    assert conn.readall() == b'a'
    assert conn.read_response().path == '/b'
    assert conn.readall() == b'b'


@pytest.mark.parametrize('first', ['head', 'body', 'collected'])
def test_20_1_handler_that_reads_is_refused(serve: Serve, first: str) -> None:
    """Otherwise it would take the data that the interrupted call waits for."""
    handled = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer()
        peer.request()
        if first == 'body':
            peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
            assert handled.wait(PATIENCE)
            peer.send(b'hello')
        else:
            assert handled.wait(PATIENCE)
            peer.answer(b'hello')
        peer.rest()

    def handle(*_: object) -> None:
        for read in reads:
            with pytest.raises(StateError, match='this thread is reading'):
                read()
        handled.set()

    conn = serve(script)
    conn.timeout = PATIENCE
    # With TLS, tickets come with the first answer, and would wake the reader just when the signal comes.
    conn.send_request('GET', '/')
    conn.read_response()
    call: Callable[[], object] = conn.read_response
    if first == 'collected':
        call = conn.pipeline(['/'], collect=True).__next__
    else:
        conn.send_request('GET', '/')
    if first == 'body':
        conn.read_response()
        call = conn.readall
    reads: list[Callable[[], object]] = [
        conn.read_response,
        conn.read,
        conn.readall,
        conn.discard,
        lambda: conn.readinto(bytearray(1)),
        lambda: conn.read_raw(1),
        lambda: next(conn.co_read()),
        lambda: next(conn.pipeline([])),
    ]
    with when_blocked(handle):
        result = call()
    assert handled.is_set()
    if first == 'collected':
        assert isinstance(result, tuple)
        assert result[1] == b'hello'
    else:
        assert (result if first == 'body' else conn.readall()) == b'hello'


# A signal does not interrupt the system call if it comes between the last look for signals and the wait, or if its C
# handler runs in another thread. The test arranges the latter: only the interpreter's flag is set.


@contextlib.contextmanager
def just_before_blocking() -> Iterator[None]:
    main, native = threading.get_ident(), threading.get_native_id()
    assert main == threading.main_thread().ident
    entered = threading.Event()

    def kill() -> None:
        assert entered.wait(PATIENCE)
        wait_until_blocked(native)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raise_interrupted)
    worker = Worker(kill)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        entered.set()
        try:
            with pytest.raises(Interrupted):
                yield
        finally:
            # If the body did not block, the signal is still to come, and without our handler it would end the process.
            with contextlib.suppress(Interrupted):
                worker.result()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        signal.signal(signal.SIGUSR1, before)


GAPS: dict[str, Callable[[HTTPConnection], object]] = {
    'read_response': lambda conn: conn.read_response(),
    'co_read_response': lambda conn: dugong.eval_coroutine(conn.co_read_response()),
    'poll': lambda conn: next(conn.co_read_response()).poll(PATIENCE),
    'poll for ever': lambda conn: next(conn.co_read_response()).poll(),
    'pipeline': lambda conn: next(conn.pipeline(['/b'])),
    'write': lambda conn: conn.write(bytes(LARGE)),
    'send_request': lambda conn: conn.send_request('PUT', '/b', body=bytes(LARGE)),
}


@pytest.mark.parametrize('call', GAPS.values(), ids=GAPS)
def test_20_2_a_signal_just_before_blocking(serve: Serve, call: Callable[[HTTPConnection], object]) -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer()
        peer.head()
        assert done.wait(PATIENCE)
        peer.rest()

    conn = serve(script)
    conn.timeout = PATIENCE  # in case the signal does not end the wait
    # With TLS, tickets come with the first answer. A `poll` that they wake is over before the signal comes.
    conn.send_request('GET', '/')
    conn.read_response()
    if call is GAPS['write']:
        conn.send_request('PUT', '/', body=BodyFollowing(LARGE))
    else:
        conn.send_request('GET', '/')
    with just_before_blocking():
        call(conn)
    done.set()
    conn.disconnect()


def test_20_2_a_signal_just_before_bytes_come_does_not_end_the_connection(serve: Serve) -> None:
    """OpenSSL's read would run the handler, and lose the bytes."""
    native = threading.get_native_id()

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer()
        peer.request()
        wait_until_blocked(native)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        peer.answer(b'hello')
        peer.rest()

    conn = serve(script)
    conn.timeout = PATIENCE
    # With TLS, tickets come with the first answer.
    conn.send_request('GET', '/')
    conn.read_response()
    before = signal.signal(signal.SIGUSR1, raise_interrupted)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        conn.send_request('GET', '/')
        with pytest.raises(Interrupted):
            conn.read_response()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        signal.signal(signal.SIGUSR1, before)
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


READS: dict[str, Callable[[HTTPConnection], object]] = {
    'read': lambda conn: conn.read(10),
    'readinto': lambda conn: conn.readinto(bytearray(10)),
    'readall': lambda conn: conn.readall(),
    'discard': lambda conn: conn.discard(),
}


@pytest.mark.parametrize('call', READS.values(), ids=READS)
def test_20_2_a_signal_just_before_blocking_in_a_body(serve: Serve, call: Callable[[HTTPConnection], object]) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n')
        peer.rest()

    conn = serve(script)
    conn.timeout = PATIENCE
    conn.send_request('GET', '/')
    conn.read_response()
    with just_before_blocking():
        call(conn)


@pytest.mark.parametrize('stage', ['tcp', 'handshake', 'tunnel'])
def test_20_2_a_signal_just_before_connecting_blocks(client_tls: ssl.SSLContext, stage: str) -> None:
    with FullListener() as (host, port), Server(silent) as server:
        conn = HTTPConnection(host, port)
        conn.timeout = PATIENCE
        if stage != 'tcp':
            conn.port, conn.ssl_context = server.port, client_tls
            if stage == 'tunnel':
                conn.proxy = ('127.0.0.1', server.port)
        with just_before_blocking():
            conn.connect()


# The GIL


def test_20_2_others_run_while_one_waits(serve: Serve) -> None:
    """If the GIL were kept, neither the other thread nor the server, a thread as well, could go on."""
    turns = 0
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert go.wait(PATIENCE)
        peer.answer()
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/')
    reader = Worker(conn.read_response)
    wait_until_blocked(reader.native_id)
    while turns < 1000:
        turns += 1
        time.sleep(0)
    go.set()
    reader.result()


def test_20_2_others_run_while_one_connects() -> None:
    with FullListener() as (host, port), HTTPConnection(host, port) as conn:
        conn.timeout = 1
        worker = Worker(conn.connect)
        wait_until_blocked(worker.native_id)
        assert type(worker.exception()) is dugong.ConnectionTimedOut
