"""Try again when the network fails, and only then.

A lost connection, a timeout or an unreachable network is worth another try. A name that does not exist or an invalid
certificate is not, so these errors are raised at once.

    $ python retry.py http://localhost:8000/flaky
    ConnectionClosed, trying again in 0.1 seconds
    ConnectionClosed, trying again in 0.2 seconds
    200 OK, 6 bytes
"""

import ssl
import sys
import time
from urllib.parse import urlsplit

from dugong import HTTPConnection, HTTPResponse, is_temp_network_error


def fetch(conn: HTTPConnection, path: str, attempts: int = 5) -> tuple[HTTPResponse, bytes]:
    """Get a document. Repeating a GET does no harm; do not repeat requests that might."""
    delay = 0.1
    while True:
        try:
            conn.send_request('GET', path)
            resp = conn.read_response()
            return resp, conn.readall()
        except Exception as exc:
            attempts -= 1
            if not attempts or not is_temp_network_error(exc):
                raise
            print(f'{type(exc).__name__}, trying again in {delay} seconds')
        conn.reset()  # the next request opens a new connection
        time.sleep(delay)
        delay *= 2


def main(url: str) -> None:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    with HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        conn.timeout = 30  # without it, you would wait forever for a silent server
        resp, body = fetch(conn, parts.path or '/')
    print(f'{resp.status} {resp.reason}, {len(body)} bytes')


if __name__ == '__main__':
    main(*sys.argv[1:])
