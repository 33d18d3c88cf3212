"""Statements 7.5 to 7.8: several addresses, waiting, and names without an address."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Generator
from typing import Any

import pytest
from peers import LIMIT, Peer, Serve, Server, answer_all, get, silent
from tunnels import Tunnel, drive, resolve

from dugong import (
    POLLIN,
    POLLOUT,
    AioFuture,
    ConnectionClosed,
    ConnectionTimedOut,
    DNSUnavailable,
    HostnameNotResolvable,
    HTTPConnection,
    PollNeeded,
    StateError,
)


@pytest.mark.parametrize('good', [0, 1, 2])
def test_7_5_all_addresses_are_tried(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, refused: tuple[str, int], good: int
) -> None:
    conn = serve(answer_all)
    addresses = [refused] * 2
    addresses.insert(good, ('127.0.0.1', conn.port))
    resolve(monkeypatch, {'localhost': addresses})
    assert get(conn, '/a') == b'/a'


def test_7_5_the_last_error_is_raised(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[str, int], full: tuple[str, int]
) -> None:
    resolve(monkeypatch, {'one': [full, refused], 'other': [refused, full]})
    conn = HTTPConnection('one')
    conn.timeout = 0.05
    with pytest.raises(ConnectionRefusedError):
        conn.connect()
    conn.hostname = 'other'
    with pytest.raises(ConnectionTimedOut):
        conn.connect()


# 7.6


def test_7_6_regular_methods_wait_for_the_server(serve: Serve) -> None:
    """The server begins its part of the handshake after a moment."""
    started = threading.Event()

    def script(peer: Peer) -> None:
        assert started.wait(LIMIT)
        if serve.server_tls is not None:
            peer.start_tls(serve.server_tls)
        answer_all(peer)

    with Server(script) as server:
        conn = HTTPConnection('localhost', server.port, serve.client_tls)
        timer = threading.Timer(0.05, started.set)
        timer.start()
        conn.connect()
        assert get(conn, '/a') == b'/a'
        conn.disconnect()
        timer.join()


def test_7_6_coroutines_do_not_block_in_the_handshake(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    onwards = threading.Event()

    def script(peer: Peer) -> None:
        assert onwards.wait(LIMIT), 'blocked in the handshake'
        peer.start_tls(server_tls)
        answer_all(peer)

    with Server(script) as server, HTTPConnection('localhost', server.port, client_tls) as conn:
        assert drive(conn.co_send_request('GET', '/a'), [onwards])
        assert onwards.is_set()
        assert conn.read_response().length == 2
        assert conn.readall() == b'/a'


def test_7_6_coroutines_do_not_block_in_the_tunnel(tunnel: Tunnel) -> None:
    events = [threading.Event(), threading.Event()]

    def script(peer: Peer) -> None:
        assert peer.head().method == 'CONNECT'
        assert events[0].wait(LIMIT), 'blocked in the tunnel'
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        assert events[1].wait(LIMIT), 'blocked in the handshake'
        peer.start_tls(tunnel.server_tls)
        answer_all(peer)

    with Server(script) as server, tunnel.conn(server) as conn:
        assert drive(conn.co_send_request('GET', '/a'), list(events)) >= 2
        assert all(event.is_set() for event in events)
        assert conn.read_response().length == 2
        assert conn.readall() == b'/a'


def test_7_6_coroutines_do_not_block_in_tcp(full: tuple[str, int]) -> None:
    conn = HTTPConnection(*full)
    conn.timeout = LIMIT
    crt = conn.co_send_request('GET', '/a')
    need = next(crt)
    assert need.mask & POLLOUT
    assert not need.poll(0.01)
    assert next(crt) == need
    crt.close()
    conn.disconnect()


def after_the_name(crt: Generator[PollNeeded, None, Any]) -> None:
    """Resume the iterator until it waits for the peer: by then the name has been looked up."""
    assert next(crt).poll(LIMIT)
    next(crt)


def test_7_6_an_abandoned_attempt_leaves_no_connection(serve_plain: Serve, client_tls: ssl.SSLContext) -> None:
    def first(peer: Peer) -> None:
        assert peer.exactly(1) == b'\x16'
        peer.rest()

    conn = serve_plain(first, answer_all)
    conn.ssl_context = client_tls
    crt = conn.co_send_request('GET', '/secret')
    after_the_name(crt)
    crt.close()
    conn.disconnect()
    conn.ssl_context = None
    assert get(conn, '/a') == b'/a'


def test_7_6_a_reader_waits_for_the_connection_of_the_sender(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """If connecting blocked, the request would be out when the reader begins."""
    onwards = threading.Event()

    def script(peer: Peer) -> None:
        assert onwards.wait(LIMIT)
        peer.start_tls(server_tls)
        answer_all(peer)

    with Server(script) as server, HTTPConnection('localhost', server.port, client_tls) as conn:
        sender, reader = conn.co_send_request('GET', '/a'), conn.co_read_response()
        next(sender)
        need = next(reader)
        assert need.mask == POLLIN
        assert not need.poll(0.01)
        assert next(reader) == need
        with pytest.raises(StateError):  # this thread would wait for itself
            conn.read_response()
        onwards.set()
        drive(sender, [])
        assert need.poll(LIMIT)
        drive(reader, [])
        assert conn.readall() == b'/a'


def test_7_6_a_reader_gets_an_error_when_connecting_fails(
    serve_plain: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    def refuses(peer: Peer) -> None:
        peer.exactly(1)
        assert go_on.wait(LIMIT)
        peer.send(b'HTTP/1.0 400 Bad Request\r\n\r\n')
        peer.end()

    go_on = threading.Event()
    conn = serve_plain(silent, refuses, answer_all)
    conn.ssl_context = client_tls
    sender, reader = conn.co_send_request('GET', '/a'), conn.co_read_response()
    after_the_name(sender)
    need = next(reader)
    conn.disconnect()
    assert need.poll(LIMIT)
    with pytest.raises(ConnectionClosed):
        next(reader)
    with pytest.raises(ConnectionClosed):
        next(sender)

    sender, reader = conn.co_send_request('GET', '/a'), conn.co_read_response()
    after_the_name(sender)
    need = next(reader)
    go_on.set()
    with pytest.raises(ssl.SSLError):
        drive(sender, [])
    assert need.poll(LIMIT)
    with pytest.raises(ConnectionClosed):
        next(reader)

    conn.ssl_context = None
    assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize('proxied', [False, True])
def test_7_6_both_halves_may_be_started_at_once(tunnel: Tunnel, proxied: bool) -> None:
    """A program that need not wait for the connection before it reads."""

    def script(peer: Peer) -> None:
        if proxied:
            peer.head()
            peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        answer_all(peer)

    def send() -> Generator[PollNeeded, None, None]:
        for number in range(100):
            yield from conn.co_send_request('GET', f'/{number}')

    def read() -> Generator[PollNeeded, None, None]:
        for number in range(100):
            yield from conn.co_read_response()
            assert (yield from conn.co_readall()) == f'/{number}'.encode()

    async def main() -> None:
        await asyncio.wait_for(asyncio.gather(AioFuture(send()), AioFuture(read())), LIMIT)

    with Server(script) as server, HTTPConnection('localhost', server.port, tunnel.client_tls) as conn:
        if proxied:
            conn.proxy = ('127.0.0.1', server.port)
        asyncio.run(main())


# 7.7, 7.8: more about them in test_07_dns.py


@pytest.mark.parametrize('code', [socket.EAI_NONAME, socket.EAI_AGAIN])
@pytest.mark.parametrize('proxied', [False, True])
def test_7_7_and_7_8_no_such_name(monkeypatch: pytest.MonkeyPatch, code: int, proxied: bool) -> None:
    no = socket.gaierror(code, 'no')
    asked = resolve(monkeypatch, {'host': no, 'proxy': no, 'probe': [('127.0.0.1', 1)]})
    conn = HTTPConnection('host', proxy=('proxy', 80) if proxied else None)
    name = 'proxy' if proxied else 'host'
    with pytest.raises(HostnameNotResolvable) as caught:
        conn.connect()
    assert caught.value.name == name
    assert name in str(caught.value)
    assert asked == [name, 'probe', name]


@pytest.mark.parametrize('code', [socket.EAI_NONAME, socket.EAI_AGAIN])
@pytest.mark.parametrize('proxied', [False, True])
def test_7_7_and_7_8_name_service_down(monkeypatch: pytest.MonkeyPatch, code: int, proxied: bool) -> None:
    no = socket.gaierror(code, 'no')
    asked = resolve(monkeypatch, {'host': no, 'proxy': no, 'probe': no})
    conn = HTTPConnection('host', proxy=('proxy', 80) if proxied else None)
    name = 'proxy' if proxied else 'host'
    with pytest.raises(DNSUnavailable) as caught:
        conn.send_request('GET', '/')
    assert caught.value.name == name
    assert asked == [name, 'probe']


def test_7_8_other_errors_of_the_resolver_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fail = socket.gaierror(socket.EAI_FAIL, 'no')
    resolve(monkeypatch, {'host': fail})
    with pytest.raises(socket.gaierror) as caught:
        HTTPConnection('host').connect()
    assert caught.value is fail
