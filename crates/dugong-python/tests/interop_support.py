"""Servers and threads for the tests of threads, signals, leaks and real servers."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import platform
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import trustme

import dugong

#: Seconds after which a test fails rather than waits.
PATIENCE = 20

HERE = Path(__file__).parent


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


@functools.cache
def certificate_file() -> str:
    """The name of a PEM file with key and chain for localhost, which is removed with the interpreter."""
    folder = tempfile.TemporaryDirectory()
    _FOLDERS.append(folder)
    path = Path(folder.name) / 'localhost.pem'
    authority().issue_cert('localhost', '127.0.0.1').private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def authority_file() -> str:
    """The name of a PEM file with the certificate of the authority that issued that of localhost."""
    path = Path(certificate_file()).parent / 'authority.pem'
    authority().cert_pem.write_to_path(path)
    return str(path)


@contextlib.contextmanager
def s3_server(kind: str, **settings: str) -> Iterator[int]:
    """Run moto's S3 under cheroot or waitress, with variables of the environment, and give its port."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / 'interop_s3.py'), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, 'AWS_ACCESS_KEY_ID': 'access', 'AWS_SECRET_ACCESS_KEY': 'secret', **settings},
    )
    assert process.stdin
    assert process.stdout
    watchdog = threading.Timer(3 * PATIENCE, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
        watchdog.cancel()
        yield int(line)
    finally:
        watchdog.cancel()
        process.stdin.close()
        process.stdout.close()
        process.wait(PATIENCE)


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority_file())


def python_environment() -> dict[str, str]:
    """The environment of a Python process that imports `dugong` and the helpers of the tests."""
    paths = [str(Path(dugong.__path__[0]).parent), str(HERE)]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}


class Origin:
    """The server of `interop_server.py`, in a process of its own."""

    def __init__(self, tls: bool = False) -> None:
        self.tls = tls
        self.host = 'localhost'

    def __enter__(self) -> Self:
        args = [certificate_file()] if self.tls else []
        self.process = subprocess.Popen(
            [sys.executable, '-I', str(HERE / 'interop_server.py'), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        self.context = client_context() if self.tls else None
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def connection(self) -> dugong.HTTPConnection:
        conn = dugong.HTTPConnection(self.host, self.port, ssl_context=self.context)
        conn.timeout = PATIENCE
        return conn


class Worker(threading.Thread):
    """A thread with a result or an exception. It does not keep the interpreter from ending."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True, name=getattr(call, '__name__', None))
        self._call = call
        self._args = args
        self._result: Any = None
        self._exception: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._call(*self._args)
        except BaseException as exc:
            self._exception = exc

    def exception(self) -> BaseException | None:
        """Wait for the thread to end, and return its exception."""
        self.join(PATIENCE + 5)
        if self.is_alive():
            faulthandler.dump_traceback()
            pytest.fail(f'{self.name} hangs')
        return self._exception

    def result(self) -> Any:
        exc = self.exception()
        if exc is not None:
            raise exc
        return self._result


# Numbers of the system calls in which a thread waits for a peer: poll, ppoll, select, pselect6, epoll_wait,
# epoll_pwait, epoll_pwait2, connect, accept, read, recvfrom, recvmsg, write, sendto, sendmsg, writev.
_WAITING = {
    'x86_64': {7, 271, 23, 270, 232, 281, 441, 42, 43, 0, 45, 47, 1, 44, 46, 20},
    'aarch64': {73, 72, 22, 441, 203, 202, 63, 207, 212, 64, 206, 211, 66},
}.get(platform.machine(), set())


def wait_until_blocked(thread: int | None, process: int | None = None) -> None:
    """Wait until that thread waits for a peer inside the system. Waiting for the GIL does not count."""
    assert thread is not None
    file = Path(f'/proc/{process or "self"}/task/{thread}/syscall')
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            text = file.read_text(encoding='ascii').split()[0]
        except OSError:
            text = ''
        if not _WAITING or not text:
            # The system does not tell, so we can only hope that the thread blocks by now.
            time.sleep(0.5)
            return
        if text.isdecimal() and int(text) in _WAITING:
            return
        time.sleep(0.001)
    pytest.fail('the thread does not come to wait for its peer')


class FullListener:
    """A listening socket whose queue is full, so that further connects neither succeed nor fail for a while."""

    def __enter__(self) -> tuple[str, int]:
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=0)
        self.fillers: list[socket.socket] = []
        address: tuple[str, int] = self.listener.getsockname()
        while True:
            filler = socket.socket()
            self.fillers.append(filler)
            filler.settimeout(0.2)
            try:
                filler.connect(address)
            except TimeoutError:
                return address
            assert len(self.fillers) < 10

    def __exit__(self, *_: object) -> None:
        for sock in [*self.fillers, self.listener]:
            sock.close()
