"""Python's own `http.client`."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPResponse

from load import PIECE, Load


class Read:
    """Reads content with `read(64 KiB)`."""

    def __init__(self, host: str, port: int) -> None:
        self.conn = HTTPConnection(host, port)

    def run(self, load: Load) -> int:
        """See `load.Client`."""
        if load.work == 'e':
            return self.upload(load)
        conn, target, count = self.conn, load.target, 0
        for _ in range(load.requests):
            conn.request('GET', target)
            response = conn.getresponse()
            count += len(response.read()) if load.work == 'a' else self.download(response)
        return count

    def download(self, response: HTTPResponse) -> int:
        read, count = response.read, 0
        while data := read(PIECE):
            count += len(data)
        return count

    def upload(self, load: Load) -> int:
        conn, piece = self.conn, bytes(PIECE)
        conn.putrequest('PUT', load.target)
        conn.putheader('Content-Length', str(load.content))
        conn.endheaders()
        for _ in range(load.content // PIECE):
            conn.send(piece)
        conn.getresponse().read()
        return load.content


class Readinto(Read):
    """Reads content into a buffer."""

    def download(self, response: HTTPResponse) -> int:
        readinto, buffer, count = response.readinto, bytearray(PIECE), 0
        while got := readinto(buffer):
            count += got
        return count
