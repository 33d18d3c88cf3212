"""A server in a process of its own, so that it does not share the client's GIL.

Called as `python interop_server.py [CERTIFICATE]`, where CERTIFICATE is a PEM file with key and chain. It prints its
port, and ends when its standard input does. Connections are numbered from 1.

    GET /n/TEXT     is answered by 'CONNECTION TEXT'
    GET /big/SIZE   is answered by SIZE bytes of `PATTERN`, repeated
    PUT /...        is answered by 'CONNECTION SIZE CRC' of its content, in hexadecimal
    GET /open       is answered by the number of connections that are open
    GET /silent     is not answered, and nothing behind it is
    GET /part       is answered by 5 bytes of 10, and nothing behind it is answered
    GET /deaf       is not answered, and nothing behind it is read

It reads and writes at the same time, and buffers the bytes that do not go out yet.
"""

from __future__ import annotations

import contextlib
import random
import re
import selectors
import socket
import ssl
import sys
import zlib
from collections import deque

PATTERN = random.Random(20).randbytes(1 << 20)
LENGTH = re.compile(rb'\r\ncontent-length: *(\d+)', re.IGNORECASE)
WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    def __init__(self, sock: socket.socket, number: int, server: Server) -> None:
        self.sock = sock
        self.number = number
        self.server = server
        self.received = bytearray()
        self.to_send: deque[memoryview] = deque()
        self.content_left = 0
        self.content_size = 0
        self.content_crc = 0
        self.silent = False
        self.deaf = False

    def run(self) -> bool:
        """Transfer as much as possible, and return whether the connection is still open."""
        try:
            while not self.deaf:
                try:
                    data = self.sock.recv(1 << 18)
                except WAIT:
                    break
                if not data:
                    return False
                self.take(data)
                self.send()
            self.send()
        except OSError:
            return False
        return True

    def send(self) -> None:
        with contextlib.suppress(*WAIT):
            while self.to_send:
                first = self.to_send[0]
                sent = self.sock.send(first)
                if sent == len(first):
                    self.to_send.popleft()
                else:
                    self.to_send[0] = first[sent:]

    def take(self, data: bytes) -> None:
        self.received += data
        at = 0
        answers: list[bytes] = []
        while not self.deaf:
            if self.content_left:
                part = memoryview(self.received)[at : at + self.content_left]
                self.content_crc = zlib.crc32(part, self.content_crc)
                at += len(part)
                self.content_left -= len(part)
                part.release()
                if self.content_left:
                    break
                self.answer(answers, b'%d %x %x' % (self.number, self.content_size, self.content_crc))
            end = self.received.find(b'\r\n\r\n', at)
            if end < 0:
                break
            head = bytes(self.received[at:end])
            at = end + 4
            self.request(answers, head)
        del self.received[:at]
        if answers:
            self.to_send.append(memoryview(b''.join(answers)))

    def request(self, answers: list[bytes], head: bytes) -> None:
        method, path, _ = head.split(b'\r\n', 1)[0].split(b' ')
        if method == b'PUT':
            length = LENGTH.search(head)
            assert length
            self.content_left = self.content_size = int(length[1])
            self.content_crc = 0
            if not self.content_left:
                self.answer(answers, b'%d 0 0' % self.number)
        elif path.startswith(b'/n/'):
            self.answer(answers, b'%d %s' % (self.number, path[3:]))
        elif path == b'/open':
            self.answer(answers, b'%d' % len(self.server.connections))
        elif path.startswith(b'/big/'):
            size = int(path[5:])
            answers.append(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % size)
            if not self.silent:
                self.to_send.append(memoryview(b''.join(answers)))
                self.to_send.extend([memoryview(PATTERN)] * (size // len(PATTERN)))
                self.to_send.append(memoryview(PATTERN)[: size % len(PATTERN)])
            answers.clear()
        elif path == b'/part':
            if not self.silent:
                answers.append(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
            self.silent = True
        elif path in (b'/silent', b'/deaf'):
            self.silent = True
            self.deaf = path == b'/deaf'
        else:
            raise AssertionError(head)

    def answer(self, answers: list[bytes], body: bytes) -> None:
        if not self.silent:
            answers.append(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))


class Server:
    def __init__(self, certificate: str | None) -> None:
        self.context: ssl.SSLContext | None = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.connections: set[Connection] = set()
        self.accepted = 0

    def run(self) -> None:
        with socket.create_server(('127.0.0.1', 0), backlog=100) as listener, selectors.DefaultSelector() as selector:
            selector.register(sys.stdin, selectors.EVENT_READ)
            selector.register(listener, selectors.EVENT_READ)
            print(listener.getsockname()[1], flush=True)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is sys.stdin:
                        return
                    if key.fileobj is listener:
                        self.accept(listener, selector)
                    else:
                        self.serve(key.data, selector)

    def accept(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        sock.setblocking(False)
        self.accepted += 1
        connection = Connection(sock, self.accepted, self)
        self.connections.add(connection)
        selector.register(sock, selectors.EVENT_READ, connection)

    def serve(self, connection: Connection, selector: selectors.BaseSelector) -> None:
        if connection.run():
            reading = 0 if connection.deaf else selectors.EVENT_READ
            writing = selectors.EVENT_WRITE if connection.to_send else 0
            if reading | writing:
                selector.modify(connection.sock, reading | writing, connection)
            else:
                selector.unregister(connection.sock)
        else:
            selector.unregister(connection.sock)
            self.connections.remove(connection)
            connection.sock.close()


if __name__ == '__main__':
    Server(sys.argv[1] if len(sys.argv) > 1 else None).run()
