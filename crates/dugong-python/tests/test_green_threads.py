"""gevent and eventlet after their `monkey_patch`: while one green thread waits, others run (7.5a)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from interop_support import python_environment

# Run in processes of their own, because the libraries replace functions for the whole process.
LIBRARIES = {
    'gevent': """
from gevent import monkey
monkey.patch_all()
import gevent
spawn, sleep, Limit = gevent.spawn, gevent.sleep, gevent.Timeout
def wait(threads):
    gevent.joinall(threads, raise_error=True)
    return [thread.value for thread in threads]
""",
    'eventlet': """
import eventlet
eventlet.monkey_patch()
spawn, sleep, Limit = eventlet.spawn, eventlet.sleep, eventlet.Timeout
def wait(threads):
    return [thread.wait() for thread in threads]
""",
}

START = r"""
import socket
import dugong

HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
listener = socket.create_server(('127.0.0.1', 0))
port = listener.getsockname()[1]

def until_the_end(sock):
    while sock.recv(65536):
        pass
    sock.close()
"""

TOGETHER = """
def serve():
    # Answers when all have asked.
    socks = [listener.accept()[0] for _ in range(3)]
    for sock in socks:
        sock.recv(65536)
    for sock in socks:
        sock.sendall(HELLO)
    for sock in socks:
        until_the_end(sock)

def get(how):
    with dugong.HTTPConnection('localhost', port, timeout=20) as conn:
        if how == 'regular':
            conn.send_request('GET', '/')
            conn.read_response()
            return conn.readall()
        if how == 'pipeline':
            [(_, body)] = conn.pipeline(['/'], collect=True)
            return body
        dugong.eval_coroutine(conn.co_send_request('GET', '/'))
        dugong.eval_coroutine(conn.co_read_response())
        return dugong.eval_coroutine(conn.co_readall())

print(wait([spawn(serve), *[spawn(get, how) for how in ('regular', 'pipeline', 'iterator')]])[1:])
"""

LIMITED = """
def serve():
    sock, _ = listener.accept()
    sock.recv(65536)
    while not go_on:
        sleep(0.01)
    sock.sendall(HELLO)
    until_the_end(sock)

def get():
    with dugong.HTTPConnection('localhost', port, timeout=20) as conn:
        conn.send_request('GET', '/')
        try:
            with Limit(0.05):
                conn.read_response()
        except Limit:
            print('limited')
        # The response is not lost.
        go_on.append(True)
        conn.read_response()
        return conn.readall()

go_on = []
print(wait([spawn(serve), spawn(get)])[1:])
"""

TIMEOUT = """
def serve():
    sock, _ = listener.accept()
    until_the_end(sock)

def get(call):
    with dugong.HTTPConnection('localhost', port, timeout=0.05) as conn:
        conn.send_request('GET', '/')
        try:
            conn.read_response()
        except dugong.ConnectionTimedOut:
            return 'timed out'

print(wait([spawn(serve), spawn(get, None)])[1:])
"""

STREAMS = """
def serve():
    sock, _ = listener.accept()
    size = 0
    while size < 8_000_000:
        size += len(sock.recv(65536))
    sock.sendall(HELLO)
    until_the_end(sock)

def put():
    with dugong.HTTPConnection('localhost', port, timeout=20) as conn:
        conn.send_request('PUT', '/', body=bytes(8_000_000))
        conn.read_response()
        return conn.readall()

print(wait([spawn(serve), spawn(put)])[1:])
"""

SESSIONS = """
def serve(sock):
    # Answers a request when as many others have come as it says.
    came = sock.recv(65536)
    while came:
        for line in came.split(b'\\r\\n'):
            if line.startswith(b'GET '):
                asked.append(line)
                while len(asked) < 3:
                    sleep(0.001)
                sock.sendall(HELLO)
        came = sock.recv(65536)

def accept():
    while True:
        spawn(serve, listener.accept()[0])

asked = []
spawn(accept)
origin = f'http://127.0.0.1:{port}'
sessions = dugong.Sessions()
session = dugong.Session(origin, depth=1)
ways = [
    lambda: session.get('/').content,
    lambda: next(session.run(['/'])).reply.content,
    lambda: next(sessions.run([origin])).reply.content,
]
print(wait([spawn(way) for way in ways]))
asked *= 2
print(wait([spawn(lambda: sessions.get(origin).content), spawn(lambda: session.get('/').content)]))
"""

CONTENT = """
def serve(sock):
    # Sends the second half of a content when as many others have their first.
    sock.recv(65536)
    sock.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhello')
    while len(begun) < 4:
        sleep(0.001)
    sock.sendall(b'world')
    until_the_end(sock)

def accept():
    while True:
        spawn(serve, listener.accept()[0])

begun = []
spawn(accept)
session = dugong.Session(f'http://127.0.0.1:{port}', depth=1)

def get(read):
    with session.get('/', stream=True) as reply:
        first = reply.read(5)
        try:
            with Limit(0.01):
                reply.read(1)
        except Limit:
            pass
        begun.append(first)
        return first + read(reply)

ways = [
    lambda reply: reply.read(),
    lambda reply: reply.read(10),
    lambda reply: b''.join(reply.iter_bytes()),
    lambda reply: ''.join(reply.iter_lines()).encode(),
]
print(wait([spawn(get, way) for way in ways]))
"""


def run(library: str, program: str, first: str = '') -> str:
    if not importlib.util.find_spec(library):
        pytest.skip(f'{library} is not installed')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', first + LIBRARIES[library] + START + program],
        env=python_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout


each_library = pytest.mark.parametrize('library', LIBRARIES)


@each_library
@pytest.mark.parametrize('first', ['', 'import dugong\n'], ids=['before', 'after'])
def test_green_threads_wait_at_the_same_time(library: str, first: str) -> None:
    """Whether the package is imported before or after the library replaces the functions that wait."""
    assert run(library, TOGETHER, first) == "[b'hello', b'hello', b'hello']\n"


@each_library
def test_a_time_limit_of_the_library_ends_a_wait(library: str) -> None:
    assert run(library, LIMITED) == "limited\n[b'hello']\n"


@each_library
def test_the_timeout_of_a_connection_counts(library: str) -> None:
    assert run(library, TIMEOUT) == "['timed out']\n"


@each_library
def test_others_run_while_one_waits_to_send(library: str) -> None:
    assert run(library, STREAMS) == "[b'hello']\n"


@each_library
def test_green_threads_share_a_session(library: str) -> None:
    """The server runs in green threads, too, so that each request needs the others to go on."""
    assert run(library, SESSIONS) == "[b'hello', b'hello', b'hello']\n[b'hello', b'hello']\n"


@each_library
def test_others_run_while_one_reads_a_stream(library: str) -> None:
    """The server is one of them. A time limit of the library ends a read, and the content is not lost."""
    assert run(library, CONTENT) == f'{[b"helloworld"] * 4}\n'
