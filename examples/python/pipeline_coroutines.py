"""Fetch many documents over one connection in one thread, without an event loop.

A `co_` method yields where the regular method would wait. When the server takes no more requests until you read its
responses, that is the moment to read one.

    $ python pipeline_coroutines.py http://localhost:8000/doc/ 3
    /doc/1: 200, 20 bytes
    /doc/2: 200, 20 bytes
    /doc/3: 200, 20 bytes
"""

import contextlib
import ssl
import sys
from urllib.parse import urlsplit

from dugong import ConnectionClosed, HTTPConnection, StateError


def print_response(conn: HTTPConnection) -> None:
    """Read the next response."""
    resp = conn.read_response()
    body = conn.readall()
    print(f'{resp.path}: {resp.status}, {len(body)} bytes')


def main(url: str, count: str) -> None:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    with HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        try:
            for number in range(1, int(count) + 1):
                for need in conn.co_send_request('GET', f'{parts.path or "/"}{number}'):
                    if conn.response_pending():
                        print_response(conn)
                    else:
                        need.poll()  # a `PollNeeded` knows how to wait
        except ConnectionClosed:
            # If sending failed, you can still read responses that have arrived. If reading failed, this ends at once.
            with contextlib.suppress(ConnectionClosed, StateError):
                while conn.response_pending():
                    print_response(conn)
            raise
        while conn.response_pending():
            print_response(conn)


if __name__ == '__main__':
    main(*sys.argv[1:])
