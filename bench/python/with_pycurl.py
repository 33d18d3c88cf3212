"""`pycurl` with one handle, used as its manual does: a buffer for each answer, a callback for large content."""

from __future__ import annotations

from io import BytesIO

import pycurl
from load import PIECE, Load


class Pycurl:
    """One handle, so one connection."""

    def __init__(self, host: str, port: int) -> None:
        self.base = f'http://{host}:{port}'
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.BUFFERSIZE, PIECE)

    def run(self, load: Load) -> int:
        """See `load.Client`."""
        curl = self.curl
        curl.setopt(pycurl.URL, self.base + load.target)
        if load.work == 'e':
            return self.upload(load)
        count = 0
        if load.work == 'a':
            for _ in range(load.requests):
                content = BytesIO()
                curl.setopt(pycurl.WRITEDATA, content)
                curl.perform()
                count += len(content.getvalue())
            return count

        def take(data: bytes) -> None:
            nonlocal count
            count += len(data)

        curl.setopt(pycurl.WRITEFUNCTION, take)
        curl.perform()
        return count

    def upload(self, load: Load) -> int:
        curl, piece = self.curl, bytes(PIECE)
        curl.setopt(pycurl.UPLOAD, 1)
        curl.setopt(pycurl.INFILESIZE_LARGE, load.content)
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, PIECE)
        curl.setopt(pycurl.HTTPHEADER, ['Expect:'])
        curl.setopt(pycurl.READFUNCTION, lambda size: piece[:size])
        curl.setopt(pycurl.WRITEFUNCTION, len)
        curl.perform()
        return load.content
