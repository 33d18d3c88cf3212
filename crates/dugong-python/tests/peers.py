"""The other end of the connection, for tests. It runs a script: a function that takes a `Peer`.

    def script(peer: Peer) -> None:
        assert peer.request().target == '/'
        peer.answer(b'hello')

    with Server(script) as server:
        ...  # talk to 127.0.0.1, port server.port

When a script returns, its connection ends in order, as by `Peer.end`. Bytes that arrive later are thrown away.
A script that wants to keep the connection open until the client has closed it calls `Peer.rest`. All waiting is limited
to `LIMIT` seconds, so that a test fails rather than hangs.

Most tests want the fixture `serve`, which is a `Serve`:

    def test_1_2_a_statement(serve: Serve) -> None:
        conn = serve(script)
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import dugong

#: Seconds that a single wait may take.
LIMIT = 10

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    method: str
    target: str
    version: str
    headers: Pairs
    body: bytes = b''  # without the chunked coding
    raw: bytes = b''  # every byte of it
    trailers: Pairs = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """Values of all headers with this name in any case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def names(self) -> list[str]:
        return [key for key, _ in self.headers]


class Peer:
    """The server's end of one connection. One thread may read while another sends."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(LIMIT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        #: Name that the client asked for in the TLS handshake, or None.
        self.server_name: str | None = None
        #: True after close_notify of the client was read.
        self.notified = False
        self._tls: ssl.SSLObject | None = None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls_lock = threading.Lock()  # an SSLObject must not be used by two threads at once
        self._send_lock = threading.Lock()
        self._wire = bytearray()  # received, not decrypted
        self._plain = bytearray()  # received, not used
        self._at_end = False
        self._ended = False

    # Receiving

    def request(self) -> Received:
        """Read a request with its body."""
        head = self.head()
        codings, lengths = head.values('Transfer-Encoding'), head.values('Content-Length')
        if codings:
            assert codings == ['chunked'], codings
            assert not lengths, lengths
            body, trailers, raw = self._chunks()
        else:
            assert len(lengths) <= 1, lengths
            raw = body = self.exactly(int(lengths[0])) if lengths else b''
            trailers = []
        return Received(head.method, head.target, head.version, head.headers, body, head.raw + raw, trailers)

    def head(self) -> Received:
        """Read request line and headers."""
        raw = self.until(b'\r\n\r\n')
        first, *lines = raw[:-4].decode('latin-1').split('\r\n')
        method, target, version = first.split(' ')
        return Received(method, target, version, [_field(line) for line in lines], raw=raw)

    def exactly(self, size: int) -> bytes:
        while len(self._plain) < size:
            self._more()
        return self._take(size)

    def until(self, end: bytes) -> bytes:
        """Read up to these bytes, which are part of the result."""
        start = 0
        while (at := self._plain.find(end, start)) < 0:
            start = max(len(self._plain) - len(end), 0)
            self._more()
        return self._take(at + len(end))

    def rest(self) -> bytes:
        """Read until the client has closed the connection, in order or not."""
        with contextlib.suppress(EOFError, BrokenPipeError):
            while True:
                self._more()
        return self._take(len(self._plain))

    def _chunks(self) -> tuple[bytes, Pairs, bytes]:
        body, raw = bytearray(), bytearray()
        while True:
            line = self.until(b'\r\n')
            raw += line
            size = int(line, 16)
            if not size:
                break
            data = self.exactly(size + 2)
            assert data.endswith(b'\r\n'), data
            body += data[:-2]
            raw += data
        trailers: Pairs = []
        while (line := self.until(b'\r\n')) != b'\r\n':
            raw += line
            trailers.append(_field(line[:-2].decode('latin-1')))
        return bytes(body), trailers, bytes(raw + line)

    def _take(self, size: int) -> bytes:
        data = bytes(self._plain[:size])
        del self._plain[:size]
        return data

    def _more(self) -> None:
        """Receive something, or raise `EOFError`."""
        if self._at_end:
            raise EOFError('connection ended')
        data = self._receive() if self._tls is None else self._decrypt(self._tls)
        if not data:
            self._at_end = True
            raise EOFError(f'connection ended after {bytes(self._plain[-200:])!r}')
        self._plain += data

    def _receive(self) -> bytes:
        """Receive from TCP. A reset counts as an end: systems send one if the client has not read all of our data."""
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            return b''

    def _decrypt(self, tls: ssl.SSLObject) -> bytes:
        while True:
            with self._tls_lock:
                try:
                    data = tls.read(65536)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:  # the same as b'', after our own close_notify
                    self.notified = True
                    return b''
                else:
                    self.notified = not data
                    return data
            self._flush()
            if not self._record():
                return b''

    def _record(self) -> bool:
        """Give the TLS layer one record at a time, so that it holds no data back when we call `end`."""
        while (size := _record_size(self._wire)) > len(self._wire):
            data = self._receive()
            if not data:
                return False
            self._wire += data
        with self._tls_lock:
            self._in.write(self._wire[:size])
        del self._wire[:size]
        return True

    # Sending

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._tls is None:
            with self._send_lock:
                self.sock.sendall(data)
            return
        for start in range(0, len(data), 1 << 16):
            with self._tls_lock:
                self._tls.write(data[start : start + (1 << 16)])
            self._flush()

    def answer(self, body: bytes = b'', status: str = '200 OK', headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a response with `Content-Length`."""
        pairs = [*headers, ('Content-Length', str(len(body)))]
        lines = [f'HTTP/1.1 {status}', *(f'{name}: {value}' for name, value in pairs)]
        self.send('\r\n'.join([*lines, '', '']).encode('latin-1') + body)

    def _flush(self) -> None:
        with self._send_lock:
            with self._tls_lock:
                data = self._out.read()
            if data:
                self.sock.sendall(data)

    # The connection

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on. Errors of the handshake are raised after our alert has been sent."""
        context.sni_callback = _remember_name
        tls = context.wrap_bio(self._in, self._out, server_side=True)
        _peers[id(tls)] = self
        self._wire, self._plain = self._plain, bytearray()
        try:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self._flush()
                    if not self._record():
                        raise EOFError('connection ended in the handshake') from None
        finally:
            del _peers[id(tls)]
            self._flush()
        self._tls = tls

    def end(self) -> None:
        """Close the sending direction in order: with TLS, close_notify comes before FIN. Reading goes on."""
        if self._ended:
            return
        self._ended = True
        if self._tls is not None:
            with self._tls_lock, contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
            self._flush()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as exc:
            if exc.errno != errno.ENOTCONN:  # the client has reset the connection
                raise

    def notify(self) -> None:
        """Send close_notify only, and leave TCP alone."""
        assert self._tls is not None
        with self._tls_lock, contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def cut(self) -> None:
        """Close TCP, without close_notify."""
        self._ended = True
        self.sock.close()

    def reset(self) -> None:
        """Make the system send RST."""
        self._ended = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Close in order, in both directions."""
        with contextlib.suppress(OSError):
            self.end()
        self.sock.close()

    @property
    def is_closed(self) -> bool:
        return self.sock.fileno() < 0


Script = Callable[[Peer], None]


class Server:
    """Listens on 127.0.0.1, port `port`, and runs `scripts[i]` for the i-th connection, each in a thread of its own.

    More connections than scripts are an error, which `join` raises.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts = scripts
        self.tls = tls
        self.peers: list[Peer] = []
        self._errors: dict[int, BaseException] = {}
        self._done: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        self._last_client: tuple[str, int] | None = None
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def connections(self) -> int:
        """Number of connections that have been accepted."""
        return len(self.peers)

    def join(self) -> None:
        """Accept no further connections, wait until all scripts have returned, and raise their first exception."""
        self._stop()
        for number, done in enumerate(self._done):
            if not done.wait(3 * LIMIT):
                self._errors.setdefault(number, TimeoutError(f'script {number} has not returned'))
        while self._errors:
            raise self._errors.pop(min(self._errors))

    def close(self) -> None:
        """End all connections and threads, even if scripts still run."""
        self._stop()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)
        for peer in self.peers:
            peer.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.join()
        finally:
            self.close()

    def _stop(self) -> None:
        if not self._acceptor.is_alive():
            return
        # Connections are accepted in their order: when ours arrives, all earlier ones are known.
        with socket.socket() as sock:
            sock.settimeout(LIMIT)
            sock.bind(('127.0.0.1', 0))
            self._last_client = sock.getsockname()
            sock.connect(self._listener.getsockname())
            self._acceptor.join(LIMIT)

    def _accept(self) -> None:
        with self._listener:
            while True:
                sock, address = self._listener.accept()
                if address == self._last_client:
                    sock.close()
                    return
                number = len(self.peers)
                self.peers.append(Peer(sock))
                self._done.append(threading.Event())
                thread = threading.Thread(target=self._run, args=[number], daemon=True)
                self._threads.append(thread)
                thread.start()

    def _run(self, number: int) -> None:
        peer = self.peers[number]
        try:
            assert number < len(self.scripts), f'connection {number} was not expected'
            if self.tls is not None:
                try:
                    peer.start_tls(self.tls)
                except (EOFError, ConnectionError):
                    # A session opens connections ahead, and may end before it needs them.
                    peer.close()
                    return
            self.scripts[number](peer)
        except BaseException as error:
            self._errors[number] = error
            peer.close()
        finally:
            self._done[number].set()
        if not peer.is_closed:
            with contextlib.suppress(OSError, EOFError):
                peer.end()
                while peer._receive():
                    pass


class Serve:
    """Starts a server for scripts, and returns a connection object for it that is not yet connected."""

    def __init__(self, server_tls: ssl.SSLContext | None = None, client_tls: ssl.SSLContext | None = None) -> None:
        self.server_tls = server_tls
        self.client_tls = client_tls
        self.servers: list[Server] = []
        self.conns: list[dugong.HTTPConnection] = []

    def __call__(
        self,
        *scripts: Script,
        hostname: str = 'localhost',
        kind: type[dugong.HTTPConnection] | None = None,
        proxy: tuple[str, int] | None = None,
    ) -> dugong.HTTPConnection:
        server = Server(*scripts, tls=self.server_tls)
        self.servers.append(server)
        conn = (kind or dugong.HTTPConnection)(hostname, server.port, ssl_context=self.client_tls, proxy=proxy)
        conn.timeout = LIMIT
        self.conns.append(conn)
        return conn

    @property
    def tls(self) -> bool:
        return self.server_tls is not None

    @property
    def server(self) -> Server:
        """The latest server."""
        return self.servers[-1]

    def finish(self, failed: bool) -> None:
        """Disconnect all connections, and raise the errors of the scripts unless the test has *failed* anyway."""
        try:
            for conn in self.conns:
                conn.disconnect()
            if not failed:
                for server in self.servers:
                    server.join()
        finally:
            for server in self.servers:
                server.close()


# Scripts


def says(*answers: bytes) -> Script:
    """Send one of these for each request, then wait until the client closes."""

    def script(peer: Peer) -> None:
        for answer in answers:
            peer.request()
            peer.send(answer)
        peer.rest()

    return script


def silent(peer: Peer) -> None:
    """Send nothing, and wait until the client closes."""
    peer.rest()


def answer_all(peer: Peer) -> None:
    """Answer each request with its target, until the client closes."""
    while True:
        try:
            got = peer.request()
        except EOFError:
            return
        peer.answer(got.target.encode())


# Clients


def get(conn: dugong.HTTPConnection, path: str = '/') -> bytes:
    """Return the body of a successful response."""
    conn.send_request('GET', path)
    response = conn.read_response()
    assert (response.status, response.path) == (200, path)
    return conn.readall()


def ask(conn: dugong.HTTPConnection, times: int = 1) -> dugong.HTTPResponse:
    """Send so many requests, and return the first response."""
    for number in range(times):
        conn.send_request('GET', f'/{number}')
    return conn.read_response()


class Local:
    """A connection and the other end of it, in the same thread."""

    def __init__(self) -> None:
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.conn = dugong.HTTPConnection('127.0.0.1', self.listener.getsockname()[1])
        self.conn.connect()
        self.peer, _ = self.listener.accept()
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer.setblocking(False)

    def close(self) -> None:
        self.conn.disconnect()
        self.peer.close()
        self.listener.close()

    def answer(self, body: bytes) -> None:
        self.peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(body) + body)


#: Peers in a handshake by the identity of their TLS object.
_peers: dict[int, Peer] = {}


def _remember_name(tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
    _peers[id(tls)].server_name = name


def _record_size(data: bytearray) -> int:
    """Size of the TLS record at the beginning of *data*, as far as it is known."""
    if data and data[0] not in range(20, 25):
        return len(data)  # not TLS; the TLS layer reports it
    return 5 + int.from_bytes(data[3:5], 'big')


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(':')
    assert colon, line
    assert '\r' not in line, line
    assert '\n' not in line, line
    return name, value.strip(' \t')
