"""Proxies, resolvers and TLS objects for the tests of connecting."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
from peers import LIMIT, Peer, Server, answer_all

import dugong
import dugong.httpio
from dugong import (
    POLLIN,
    POLLOUT,
    HTTPConnection,
)

Table = dict[str, list[tuple[str, int]] | OSError]


def resolve(monkeypatch: pytest.MonkeyPatch, table: Table) -> list[str]:
    """Resolve names from a table, and return a list that grows by the names."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        answer = table[host]
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', address) for address in answer]

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    monkeypatch.setattr(dugong, 'DNS_TEST_HOSTNAMES', [('probe', 80)])
    return asked


class Plain:
    """A context without encryption. Its sockets have only the methods that may be called."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.made: list[Any] = []

    def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        self.made.append(Only(args[0]))
        return self.made[-1]


class Wrapping(Plain):
    """A context that hides the real one and its sockets."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context

    def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        self.made.append(Only(self.context.wrap_socket(*args, **kwargs)))
        return self.made[-1]


class Only:
    """The methods of a socket that may be called."""

    def __init__(self, sock: Any) -> None:
        def methods(name: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                self.called.append(name)
                if name == 'recv' or name == 'send':
                    assert len(args) == 1, args
                return getattr(sock, name)(*args, **kwargs)

            return call

        self.called: list[str] = []
        self._methods = {
            name: methods(name)
            for name in (
                'send',
                'recv',
                'recv_into',
                'fileno',
                'setblocking',
                'shutdown',
                'close',
                'getpeercert',
                'cipher',
            )
        }

    def __getattr__(self, name: str) -> Any:
        try:
            return self._methods[name]
        except KeyError:
            raise AttributeError(name) from None


class Tunnel:
    """A script for a proxy that opens a tunnel or fails to, and then expects the next attempt."""

    def __init__(self, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
        self.server_tls = server_tls
        self.client_tls = client_tls
        self.heads: list[bytes] = []

    def good(self, peer: Peer) -> None:
        self.heads.append(peer.head().raw)
        peer.send(b'HTTP/1.1 200 Connection established\r\n\r\n')
        peer.start_tls(self.server_tls)
        answer_all(peer)

    def failing(self, answer: bytes) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            self.heads.append(peer.head().raw)
            peer.send(answer)
            assert peer.rest() == b''  # in particular, no request in clear text

        return script

    def conn(self, server: Server) -> HTTPConnection:
        conn = HTTPConnection('localhost', 443, ssl_context=self.client_tls, proxy=('127.0.0.1', server.port))
        conn.timeout = LIMIT
        return conn


def drive(crt: Any, onwards: list[threading.Event]) -> int:
    """Run an iterator to its end. When it waits for the server, the next event lets the server go on."""
    count = 0
    while True:
        try:
            need = next(crt)
        except StopIteration:
            return count
        count += 1
        assert need.mask in (POLLIN, POLLOUT, POLLIN | POLLOUT)
        if need.mask & POLLIN and onwards:
            onwards.pop(0).set()
        poll = select.poll()
        poll.register(need.fd, need.mask)
        assert poll.poll(LIMIT * 1000), 'nothing happens'
