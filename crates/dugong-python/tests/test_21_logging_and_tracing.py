from __future__ import annotations

import contextlib
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from peers import LIMIT, Peer, Serve, Server, get

import dugong
from dugong import (
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    InvalidResponse,
    StateError,
    UnsupportedResponse,
    eval_coroutine,
)


class Wire:
    """A script that answers each request, and records all bytes in the order in which they passed."""

    def __init__(self) -> None:
        self.passed = b''

    def __call__(self, peer: Peer) -> None:
        while True:
            try:
                got = peer.request()
            except EOFError:
                assert peer.rest() == b''
                return
            body = got.target.encode() * 10
            answer = b'HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body)
            self.passed += got.raw + answer
            peer.send(answer)


@pytest.fixture
def wire() -> Wire:
    return Wire()


# 21.1


def odd(answer: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    return script


def session(serve: Serve) -> None:
    """Use each part of the interface once."""

    def script(peer: Peer) -> None:
        peer.answer(peer.request().body)
        peer.head()
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        peer.answer(peer.exactly(5))
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n12345\r\n0\r\nX: y\r\n\r\n')
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nend')

    conn = serve(script)
    with pytest.raises(StateError):
        conn.read_response()
    conn.connect()
    conn.get_ssl_peercert()
    conn.get_ssl_cipher()
    conn.send_request('PUT', '/', body=b'12345')
    conn.read_response()
    assert conn.read(3)
    assert conn.readall()
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    conn.read_response()
    conn.write(b'12345')
    conn.read_response()
    conn.discard()
    eval_coroutine(conn.co_send_request('GET', '/'), LIMIT)
    eval_coroutine(conn.co_read_response(), LIMIT)
    assert eval_coroutine(conn.co_read(None), LIMIT) == b'12345'
    conn.send_request('GET', '/')
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'end'
    with pytest.raises(ConnectionClosed):
        conn.read_response()
    conn.disconnect()

    for answer, error in (
        (b'garbage\r\n\r\n', UnsupportedResponse),
        (b'HTTP/1.1 xxx OK\r\n\r\n', InvalidResponse),
        (b'HTTP/1.1 200 OK\r\nno colon\r\n\r\n', InvalidResponse),
        (b'', ConnectionClosed),
    ):
        conn = serve(odd(answer))
        conn.send_request('GET', '/')
        with pytest.raises(error):
            conn.read_response()
        conn.disconnect()


def test_21_1_name_of_the_logger() -> None:
    assert dugong.log is logging.getLogger('dugong')


def test_21_1_all_messages_are_debug(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    session(serve)
    ours = [record for record in caplog.records if record.name.split('.')[0] == 'dugong']
    assert {record.levelno for record in ours} <= {logging.DEBUG}
    assert {record.name for record in ours} <= {'dugong'}
    for record in ours:
        record.getMessage()


def test_21_1_debugging_changes_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that fails does no harm."""

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            return False

    handler = Broken()
    caplog.set_level(logging.DEBUG, 'dugong')
    dugong.log.addHandler(handler)
    try:
        session(serve)
    finally:
        dugong.log.removeHandler(handler)


def test_21_1_nothing_is_printed(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    session(serve)
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize(
    ('head', 'error'),
    [
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', InvalidResponse),
        (b'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', InvalidResponse),
        (b'HTTP/1.1 200 OK\r\n\r\n', None),
    ],
    ids=['coding', '1.0', 'length'],
)
def test_21_1_warnings(
    serve: Serve, caplog: pytest.LogCaptureFixture, head: bytes, error: type[Exception] | None
) -> None:
    """The warnings of 12.2 and 12.5."""
    caplog.set_level(logging.INFO)
    conn = serve(odd(head + b'body'))
    conn.tolerate_missing_length = True
    conn.send_request('GET', '/')
    conn.read_response()
    if error is None:
        assert conn.readall() == b'body'
    else:
        with pytest.raises(error):
            conn.readall()
    [(name, level, text)] = caplog.record_tuples
    assert (name, level) == ('dugong', logging.WARNING)
    assert text


@pytest.mark.parametrize('place', ['filter', 'handler'])
def test_21_1_and_12_5_an_error_of_the_logging_passes_and_does_no_harm(serve: Serve, place: str) -> None:
    class Broken(Exception):
        pass

    class Breaking(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise Broken

        filter = handle

    def script(peer: Peer) -> None:
        peer.request()
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\n\r\nbody')

    breaking = Breaking()
    conn = serve(script, Wire())
    conn.tolerate_missing_length = True
    conn.send_request('GET', '/a')
    conn.send_request('GET', '/b')
    if place == 'filter':
        dugong.log.addFilter(breaking)
    else:
        dugong.log.addHandler(breaking)
    try:
        with pytest.raises(Broken):
            conn.read_response()
    finally:
        dugong.log.removeFilter(breaking)
        dugong.log.removeHandler(breaking)
    assert conn.response_pending()
    assert conn.readall() == b'body'
    with pytest.raises(ConnectionClosed) as caught:
        conn.read_response()
    assert [path for _, path, _ in caught.value.unanswered] == ['/b']
    conn.disconnect()
    conn.send_request('GET', '/c')
    assert conn.read_response().path == '/c'
    assert conn.readall() == b'/c' * 10


def test_21_1_requests_and_responses_are_logged(serve: Serve, wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, 'dugong')
    conn = serve(wire)
    conn.connect()
    conn.send_request('GET', '/a')
    conn.read_response()
    conn.discard()
    conn.disconnect()
    assert {(record.name, record.levelno) for record in caplog.records} == {('dugong', logging.DEBUG)}
    texts = [record.getMessage() for record in caplog.records]
    found = [
        words for text in texts for words in ('connected to', 'request', 'response', 'disconnected') if words in text
    ]
    assert found == ['connected to', 'request', 'response', 'disconnected'], texts
    assert 'localhost' in texts[0]
    assert 'GET' in texts[1]
    assert '/a' in texts[1]
    assert '200' in texts[2]
    conn.disconnect()
    assert len(caplog.records) == len(texts)


def test_21_1_nothing_is_logged_unless_it_is_wanted(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, 'dugong')
    session(serve)
    assert [record for record in caplog.records if record.name.startswith('dugong')] == []


WARNED = r"""
import socket, sys, threading
import dugong

with socket.create_server(('127.0.0.1', 0)) as listener:
    def answer():
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(10)
            while not sock.recv(65536).endswith(b'\r\n\r\n'):
                pass
            sock.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nbody')

    thread = threading.Thread(target=answer)
    thread.start()
    with dugong.HTTPConnection('127.0.0.1', listener.getsockname()[1]) as conn:
        conn.timeout = 10
        conn.send_request('GET', '/')
        conn.read_response()
        try:
            conn.readall()
        except dugong.InvalidResponse:
            sys.exit(17)
        finally:
            thread.join()
"""


def test_21_1_warnings_are_not_printed_by_a_program_that_does_not_log() -> None:
    path = str(Path(dugong.__file__).parents[1])
    code = f'import sys; sys.path.insert(0, {path!r})\n{WARNED}'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (b'', b'')
    assert done.returncode == 17


# 21.2, 21.3


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The trace file, with a name without `%d`."""
    path = tmp_path / 'trace'
    monkeypatch.setenv('DUGONG_TRACEFILE', str(path))
    return path


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], dict[int, bytes]]:
    """Trace files by their numbers."""
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / 'trace.%d.log'))

    def files() -> dict[int, bytes]:
        found = {}
        for path in tmp_path.iterdir():
            match = re.fullmatch(r'trace\.([0-9]+)\.log', path.name)
            assert match is not None, path
            found[int(match[1])] = path.read_bytes()
        return found

    return files


def test_21_2_everything_is_recorded(serve: Serve, wire: Wire, numbered: Callable[[], dict[int, bytes]]) -> None:
    conn = serve(wire)
    get(conn, '/a')
    conn.send_request('PUT', '/b', headers={'X': '\xe9'}, body=b'\x00\xff')
    conn.read_response()
    while conn.read(7):
        pass
    conn.send_request('PUT', '/c', body=BodyFollowing(5))
    conn.write(b'123')
    conn.write(b'45')
    conn.read_response()
    conn.discard()
    [content] = numbered().values()
    assert content.count(b'HTTP/1.1 200 OK') == 3
    assert content == wire.passed


def test_21_2_nothing_is_buffered(serve: Serve, numbered: Callable[[], dict[int, bytes]]) -> None:
    received = threading.Event()
    raw = b''

    def script(peer: Peer) -> None:
        nonlocal raw
        raw = peer.request().raw
        received.set()
        assert peer.rest() == b''

    conn = serve(script)
    conn.connect()
    assert list(numbered().values()) == [b'']
    conn.send_request('PUT', '/a', body=b'12345')
    assert received.wait(LIMIT)
    assert list(numbered().values()) == [raw]


def test_21_2_each_connection_has_its_number(serve: Serve, numbered: Callable[[], dict[int, bytes]]) -> None:
    wires = [Wire() for _ in range(3)]
    conns = [serve(wire) for wire in wires]
    for number, conn in enumerate(conns):
        get(conn, f'/{number}')
    assert sorted(numbered().values()) == sorted(wire.passed for wire in wires)
    for conn in conns:
        conn.disconnect()
    assert sorted(numbered().values()) == sorted(wire.passed for wire in wires)


def test_21_2_a_later_connection_of_the_same_object(
    serve: Serve, wire: Wire, numbered: Callable[[], dict[int, bytes]]
) -> None:
    """Its file is new or truncated."""
    conn = serve(wire, wire)
    get(conn, '/a')
    conn.disconnect()
    wire.passed = b''
    get(conn, '/b')
    assert wire.passed in numbered().values()


def test_21_2_the_variable_counts_when_a_connection_is_made(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, wire: Wire, tmp_path: Path
) -> None:
    monkeypatch.delenv('DUGONG_TRACEFILE', raising=False)
    conn = serve(wire, wire, wire)
    get(conn, '/a')
    assert conn.trace_fh is None
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / 'x%d'))
    get(conn, '/b')
    assert list(tmp_path.iterdir()) == []
    conn.disconnect()
    wire.passed = b''
    get(conn, '/c')
    monkeypatch.delenv('DUGONG_TRACEFILE')
    get(conn, '/d')
    [path] = tmp_path.iterdir()
    assert path.read_bytes() == wire.passed
    conn.disconnect()
    get(conn, '/e')
    assert list(tmp_path.iterdir()) == [path]
    assert b'GET /e' not in path.read_bytes()


def test_21_2_trace_fh_is_the_open_file(serve: Serve, wire: Wire, numbered: Callable[[], dict[int, bytes]]) -> None:
    conn = serve(wire)
    assert conn.trace_fh is None
    conn.connect()
    file = conn.trace_fh
    assert file is not None
    assert not file.closed
    file.write(b'mine\n')
    assert list(numbered().values()) == [b'mine\n']
    get(conn, '/a')
    assert list(numbered().values()) == [b'mine\n' + wire.passed]
    conn.disconnect()
    assert file.closed


def test_21_2_pipelining(serve: Serve, numbered: Callable[[], dict[int, bytes]]) -> None:
    requests, answers = b'', b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345' * 20

    def script(peer: Peer) -> None:
        nonlocal requests
        for _ in range(20):
            requests += peer.request().raw
        peer.send(answers)
        assert peer.rest() == b''

    conn = serve(script)
    for number in range(20):
        conn.send_request('GET', f'/{number}')
    for _ in range(20):
        conn.read_response()
        assert conn.readall() == b'12345'
    assert list(numbered().values()) == [requests + answers]


def test_21_2_tunnel(serve_tls: Serve, wire: Wire, numbered: Callable[[], dict[int, bytes]]) -> None:
    tunnel: list[bytes] = []

    def proxy(peer: Peer) -> None:
        tunnel.append(peer.head().raw)
        tunnel.append(b'HTTP/1.1 200 Connection established\r\nVia: me\r\n\r\n')
        peer.send(tunnel[1])
        assert serve_tls.server_tls is not None
        peer.start_tls(serve_tls.server_tls)
        wire(peer)

    conn = serve_tls()
    with Server(proxy) as server:
        conn.proxy = ('127.0.0.1', server.port)
        get(conn, '/a')
        [content] = numbered().values()
        assert content == tunnel[0] + tunnel[1] + wire.passed
        conn.disconnect()


def test_21_2_a_proxy_without_tls(serve_plain: Serve, wire: Wire, numbered: Callable[[], dict[int, bytes]]) -> None:
    conn = serve_plain(wire, hostname='www.example.org')
    conn.proxy = ('127.0.0.1', conn.port)
    get(conn, '/a')
    assert list(numbered().values()) == [wire.passed]
    assert wire.passed.startswith(b'GET http://www.example.org')


def test_21_3_a_name_without_number(serve: Serve, wire: Wire, trace: Path) -> None:
    conn = serve(wire, wire)
    get(conn, '/a')
    assert trace.read_bytes() == wire.passed
    conn.disconnect()
    wire.passed = b''
    get(conn, '/b')
    assert trace.read_bytes() == wire.passed  # truncated first
    assert b'/a' not in trace.read_bytes()


def test_21_2_an_old_file_is_truncated(serve: Serve, wire: Wire, trace: Path) -> None:
    trace.write_bytes(b'old' * 10000)
    conn = serve(wire)
    conn.connect()
    assert trace.read_bytes() == b''
    get(conn, '/a')
    assert trace.read_bytes() == wire.passed


@pytest.mark.parametrize('name', ['100%', 'a%sb', '%', '%%', '%x%i', '{}', 'caf\xe9'])
def test_21_3_other_names_are_used_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Serve, wire: Wire, name: str
) -> None:
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / name))
    conn = serve(wire)
    get(conn, '/a')
    assert (tmp_path / name).read_bytes() == wire.passed
    assert len(list(tmp_path.iterdir())) == 1


def test_21_3_names_with_a_number_and_other_signs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Serve, wire: Wire
) -> None:
    monkeypatch.setenv('DUGONG_TRACEFILE', str(tmp_path / '100% %s %d'))
    conn = serve(wire)
    get(conn, '/a')
    [path] = tmp_path.iterdir()
    assert re.fullmatch(r'100% %s [0-9]+', path.name)


@pytest.mark.parametrize('following', [False, True])
def test_21_3_partial_sends_are_recorded_once(serve: Serve, trace: Path, following: bool) -> None:
    started = threading.Event()
    body = b'0123456789abcdef' * (1 << 20)
    raw = b''

    def script(peer: Peer) -> None:
        nonlocal raw
        head = peer.head().raw
        assert started.wait(LIMIT)
        raw = head + peer.exactly(len(body))
        peer.answer()

    conn = serve(script)
    if following:
        conn.send_request('PUT', '/a', body=BodyFollowing(len(body)))
        crt = conn.co_write(body)
    else:
        crt = conn.co_send_request('PUT', '/a', body=body)
    for _ in range(3):
        next(crt)
    started.set()
    eval_coroutine(crt, LIMIT)
    conn.read_response()
    assert trace.read_bytes() == raw + b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'


@pytest.mark.parametrize('how', ['readall', 'read', 'readinto', 'discard', 'co_readall', 'read_raw'])
@pytest.mark.parametrize('framing', ['length', 'chunked', 'close'])
def test_21_3_received_bytes_are_recorded_once(serve: Serve, trace: Path, how: str, framing: str) -> None:
    body = b'0123456789abcdef' * 50_000
    answer = {
        'length': b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body),
        'chunked': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n'
        % (len(body), body),
        'close': b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n' + body,
    }[framing]
    raw = b''

    def script(peer: Peer) -> None:
        nonlocal raw
        raw = peer.request().raw
        peer.send(answer)

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.read_response()
    got = bytearray()
    if how == 'read':
        while part := conn.read(100_000):
            got += part
    elif how == 'readinto':
        buf = bytearray(300_000)
        while size := conn.readinto(buf):
            got += buf[:size]
    elif how == 'co_readall':
        got += eval_coroutine(conn.co_readall(), LIMIT)
    elif how == 'discard':
        conn.discard()
        got += body
    elif how == 'readall':
        got += conn.readall()
    else:
        while part := conn.read_raw(100_000):
            got += part
        assert bytes(got) in answer
        got = bytearray(body)
    assert got == body
    assert trace.read_bytes() == raw + answer


def test_21_3_bytes_are_recorded_when_they_are_transferred(serve: Serve, trace: Path) -> None:
    """The file has just the received bytes, all or a part of them."""
    conn = serve(odd(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345'))
    conn.send_request('GET', '/a')
    assert trace.read_bytes().endswith(b'\r\n\r\n')
    assert b'200 OK' not in trace.read_bytes()
    conn.read_response()
    with pytest.raises(ConnectionClosed):
        conn.readall()
    content = trace.read_bytes()
    assert content.endswith(b'Content-Length: 10\r\n\r\n12345')
    assert content.count(b'12345') == 1


def test_21_3_after_disconnect(serve: Serve, wire: Wire, trace: Path) -> None:
    conn = serve(wire, wire)
    for _ in range(2):
        get(conn, '/a')
        file = conn.trace_fh
        assert file is not None
        conn.disconnect()
        assert conn.trace_fh is None
        assert file.closed
    conn.disconnect()
    assert conn.trace_fh is None


def test_21_3_a_later_tunnel(serve_tls: Serve, wire: Wire, trace: Path) -> None:
    def proxy(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        assert serve_tls.server_tls is not None
        peer.start_tls(serve_tls.server_tls)
        wire(peer)

    conn = serve_tls()
    with Server(proxy, proxy) as server:
        conn.proxy = ('127.0.0.1', server.port)
        for _ in range(2):
            get(conn, '/a')
            conn.disconnect()


def test_21_3_timeouts_record_nothing_twice(serve: Serve, trace: Path) -> None:
    may = threading.Event()
    raw = b''

    def script(peer: Peer) -> None:
        nonlocal raw
        raw = peer.request().raw
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Le')
        assert may.wait(LIMIT)
        peer.send(b'ngth: 5\r\n\r\n12345')

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        conn.read_response()
    may.set()
    conn.timeout = LIMIT
    conn.read_response()
    conn.discard()
    assert trace.read_bytes() == raw + b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345'


def test_21_2_a_user_can_close_the_file(serve: Serve, wire: Wire, trace: Path) -> None:
    """The caller owns the file. The connection is closed even if the request fails."""
    conn = serve(wire, wire)
    get(conn, '/a')
    assert conn.trace_fh is not None
    conn.trace_fh.close()
    with contextlib.suppress(ValueError):
        get(conn, '/b')
    conn.disconnect()
    assert conn.trace_fh is None
    get(conn, '/c')
