"""Fetch many documents over one connection: one thread sends the requests, another reads the responses.

No request waits for the previous response, and the threads cannot block each other, however many and large the
documents are.

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
    """Send the requests until *stop* is set. Put True into the queue for each of them, and False at the end."""
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

    # If reading fails, the `with` statement closes the connection first, which wakes the other thread. `stop` keeps
    # that thread from opening a new connection with its next request. Then the pool ends.
    with ThreadPoolExecutor(1) as pool, HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        sender = pool.submit(send_all, conn, paths, sent, stop)
        try:
            while sent.get():  # read a response only after its request has been sent
                resp = conn.read_response()
                body = conn.readall()
                print(f'{resp.path}: {resp.status}, {len(body)} bytes')
        finally:
            stop.set()
        sender.result()  # raises the exception of the thread


if __name__ == '__main__':
    main(*sys.argv[1:])
