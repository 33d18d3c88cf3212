"""Fetch many documents over one connection: one thread sends the requests, another reads the responses.

No request waits for the response before it, and the two threads cannot block each other, whatever the size and the
number of documents.

    $ python pipeline_threads.py http://localhost:8000/doc/ 3
    /doc/1: 200, 20 bytes
    /doc/2: 200, 20 bytes
    /doc/3: 200, 20 bytes
"""

import ssl
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from urllib.parse import urlsplit

from dugong import HTTPConnection


def send_all(conn: HTTPConnection, paths: Iterable[str], sent: SimpleQueue[bool]) -> None:
    """Send the requests. For each of them put True into the queue, and False at the end."""
    try:
        for path in paths:
            conn.send_request('GET', path)
            sent.put(True)
    finally:
        sent.put(False)


def main(url: str, count: str) -> None:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    paths = [f'{parts.path}{number}' for number in range(1, int(count) + 1)]
    sent: SimpleQueue[bool] = SimpleQueue()

    # If reading fails, the connection is left first: that ends the other thread, and then the pool.
    with ThreadPoolExecutor(1) as pool, HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        sender = pool.submit(send_all, conn, paths, sent)
        while sent.get():  # no response may be read before its request has been sent
            resp = conn.read_response()
            body = conn.readall()
            print(f'{resp.path}: {resp.status}, {len(body)} bytes')
        sender.result()  # raises what went wrong there


if __name__ == '__main__':
    main(*sys.argv[1:])
