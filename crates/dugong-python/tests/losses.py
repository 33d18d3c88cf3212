"""TLS objects and scripts for the tests of lost connections."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

import dugong

LIMIT = 10

HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'

CHUNKS = b'3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n'


def ask(conn: dugong.HTTPConnection, method: str = 'GET') -> dugong.HTTPResponse:
    conn.send_request(method, '/')
    return conn.read_response()


class Wrapped:
    """A socket of an unknown kind, as a context may return it. It fails on request."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.when_sending: Callable[[], Exception] | None = None
        self.when_reading: Callable[[], Exception] | None = None

    def send(self, data: Any, *args: Any) -> int:
        if self.when_sending:
            raise self.when_sending()
        try:
            return self.sock.send(data, *args)
        except BlockingIOError:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, 'wait') from None

    def recv(self, size: int, *args: Any) -> bytes:
        if self.when_reading:
            raise self.when_reading()
        try:
            return self.sock.recv(size, *args)
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, 'wait') from None

    def recv_into(self, buf: Any, *args: Any) -> int:
        data = self.recv(args[0] if args and args[0] else len(buf))
        buf[: len(data)] = data
        return len(data)

    def fileno(self) -> int:
        return self.sock.fileno()

    def setblocking(self, flag: bool) -> None:
        self.sock.setblocking(flag)

    def settimeout(self, timeout: float | None) -> None:
        self.sock.settimeout(timeout)

    def shutdown(self, how: int) -> None:
        self.sock.shutdown(how)

    def close(self) -> None:
        self.sock.close()

    def getpeercert(self, binary_form: bool = False) -> None:
        return None

    def cipher(self) -> None:
        return None


class Context:
    """Wraps sockets in `Wrapped`, the last one being `wrapped`, or raises `error` if it is set."""

    wrapped: Wrapped
    error: Exception | None = None

    def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> Wrapped:
        if self.error:
            raise self.error
        self.wrapped = Wrapped(sock)
        return self.wrapped


def no(number: int) -> Callable[[], Exception]:
    return lambda: OSError(number, os.strerror(number))


def unexpected_eof() -> ssl.SSLError:
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, 'unexpected eof while reading')
    error.reason = 'UNEXPECTED_EOF_WHILE_READING'
    return error


def bad_record() -> ssl.SSLError:
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, 'bad record mac')
    error.reason = 'BAD_RECORD_MAC'
    return error


GONE: list[Any] = [
    pytest.param(no(errno.ECONNRESET), id='ECONNRESET'),
    pytest.param(no(errno.EPIPE), id='EPIPE'),
    pytest.param(lambda: ConnectionResetError('no number'), id='reset'),
    pytest.param(lambda: BrokenPipeError('no number'), id='broken'),
    pytest.param(lambda: ssl.SSLEOFError(ssl.SSL_ERROR_EOF, 'EOF'), id='SSLEOFError'),
    pytest.param(lambda: ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, 'closed'), id='SSLZeroReturnError'),
    pytest.param(unexpected_eof, id='UNEXPECTED_EOF_WHILE_READING'),
]

OTHER: list[Any] = [
    pytest.param(no(errno.EIO), id='EIO'),
    pytest.param(no(errno.EHOSTUNREACH), id='EHOSTUNREACH'),
    pytest.param(no(errno.ETIMEDOUT), id='ETIMEDOUT'),
    pytest.param(no(errno.EPERM), id='EPERM'),
    pytest.param(no(errno.ENOBUFS), id='ENOBUFS'),
    pytest.param(lambda: ssl.SSLError(ssl.SSL_ERROR_SSL, 'what'), id='SSLError'),
    pytest.param(lambda: ssl.SSLSyscallError(ssl.SSL_ERROR_SYSCALL, 'what'), id='SSLSyscallError'),
    pytest.param(bad_record, id='BAD_RECORD_MAC'),
]
