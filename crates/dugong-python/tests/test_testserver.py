"""The server for the examples of the documentation: `python -m dugong.testserver`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import dugong
from dugong import testserver
from dugong.testserver import Server


@pytest.fixture
def conn() -> Iterator[dugong.HTTPConnection]:
    with Server() as server, dugong.HTTPConnection('127.0.0.1', server.server_port, timeout=20) as connection:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05})
        thread.start()
        yield connection
        server.shutdown()
        thread.join()


def test_as_a_program_it_says_where_it_listens_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, '-m', 'dugong.testserver', '--port', '0']
    # A shell's background jobs ignore SIGINT, and so do their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout
        port = process.stdout.readline().removeprefix('listening on http://127.0.0.1:').split(',')[0]
        with dugong.HTTPConnection('127.0.0.1', int(port)) as conn:
            conn.send_request('GET', '/')
            conn.read_response()
            assert conn.readall() == (testserver.__doc__ or '').encode()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, '')


def test_answers_a_pipeline_in_order(conn: dugong.HTTPConnection) -> None:
    paths = [f'/doc/{i}' for i in range(1, 1001)]
    assert [response.path for response in conn.pipeline(paths)] == paths


@pytest.mark.parametrize(
    ('wanted', 'status', 'body'),
    [
        ('bytes=0-1', 206, b'\x00\x01'),
        ('bytes=298-', 206, b'*+'),
        ('bytes=298-1000', 206, b'*+'),
        ('bytes=300-', 416, b'The document ends before that.\n'),
        ('bytes=-2', 200, bytes(range(256)) + bytes(range(44))),
    ],
)
def test_sends_ranges(wanted: str, status: int, body: bytes, conn: dugong.HTTPConnection) -> None:
    conn.send_request('GET', '/bytes/300', headers={'Range': wanted})
    assert conn.read_response().status == status
    assert conn.readall() == body


@pytest.mark.parametrize('size', [0, 1, 100_000])
@pytest.mark.parametrize('chunked', [False, True])
def test_sends_content_back(size: int, chunked: bool, conn: dugong.HTTPConnection) -> None:
    conn.send_request('PUT', '/echo', body=dugong.BodyFollowing(None if chunked else size))
    if size:
        conn.write(bytes(size))
    if chunked:
        conn.finish()
    assert conn.read_response().status == 200
    assert conn.readall() == bytes(size)


def test_takes_or_refuses_content_that_it_is_asked_about(conn: dugong.HTTPConnection) -> None:
    conn.send_request('PUT', '/echo', body=dugong.BodyFollowing(3), expect100=True)
    assert conn.read_response().status == 100
    conn.write(b'abc')
    conn.read_response()
    assert conn.readall() == b'abc'
    conn.send_request('PUT', '/read-only/echo', body=dugong.BodyFollowing(3), expect100=True)
    assert conn.read_response().status == 403


@pytest.mark.parametrize('path', ['/doc/0', '/doc/1001', '/doc/-1', '/bytes/10000001', '/delay/11', '/x'])
def test_knows_no_other_documents(path: str, conn: dugong.HTTPConnection) -> None:
    conn.send_request('HEAD', path)
    assert conn.read_response().status == 404
    conn.send_request('GET', '/doc/1000')
    conn.read_response()
    assert conn.readall() == b'This is document 1000.\n'
