"""Upload a file, but only if the server wants it.

The request asks for consent with `Expect: 100-continue`. If the server refuses, it says so at once, before you send the
file.

    $ python upload.py letter.txt http://localhost:8000/inbox/letter.txt
    the server wants 31 bytes
    201 Created
    stored 31 bytes

    $ python upload.py letter.txt http://localhost:8000/read-only/letter.txt
    403 Forbidden
    nothing can be stored here
"""

import contextlib
import os
import shutil
import ssl
import sys
from urllib.parse import urlsplit

from dugong import BodyFollowing, ConnectionClosed, HTTPConnection


def main(filename: str, url: str) -> None:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    with open(filename, 'rb') as file, HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        size = os.stat(file.fileno()).st_size
        conn.send_request('PUT', parts.path or '/', body=BodyFollowing(size), expect100=True)

        resp = conn.read_response()
        if resp.status == 100:
            print(f'the server wants {size} bytes')
            # If the server closes the connection while you send, its response may say why.
            with contextlib.suppress(ConnectionClosed):
                shutil.copyfileobj(file, conn)
            resp = conn.read_response()

        print(resp.status, resp.reason)
        print(conn.readall().decode(), end='')


if __name__ == '__main__':
    main(*sys.argv[1:])
