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
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from urllib.parse import urlsplit

from dugong import HTTPConnection


def send_all(conn: HTTPConnection, paths: Iterable[str], sent: SimpleQueue[bool], stop: threading.Event) -> None:
    """Send the requests, until told to stop. For each of them put True into the queue, and False at the end."""
    try:
        for path in paths:
            if stop.is_set():
                break
            conn.send_request('GET', path)
            sent.put(True)
    finally:
        sent.put(False)


def main(url: str, count: str) -> None:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    paths = [f'{parts.path or "/"}{number}' for number in range(1, int(count) + 1)]
    sent: SimpleQueue[bool] = SimpleQueue()
    stop = threading.Event()

    # If reading fails, the connection is left first: that wakes the other thread. It has been told to stop, since its
    # next request would open a new connection. Then the pool is left.
    with ThreadPoolExecutor(1) as pool, HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        sender = pool.submit(send_all, conn, paths, sent, stop)
        try:
            while sent.get():  # no response may be read before its request has been sent
                resp = conn.read_response()
                body = conn.readall()
                print(f'{resp.path}: {resp.status}, {len(body)} bytes')
        finally:
            stop.set()
        sender.result()  # raises what went wrong there


if __name__ == '__main__':
    main(*sys.argv[1:])
