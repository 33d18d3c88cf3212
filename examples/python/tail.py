"""Print the end of a download of any size, with a buffer of the size of that end.

`readinto` receives into your buffer. This program fills it in a circle, so nothing is copied.

    $ python tail.py 50 http://localhost:8000/log
    00998 something happened
    00999 something happened
    of 25000 bytes
"""

import ssl
import sys
from urllib.parse import urlsplit

from dugong import HTTPConnection


def main(size: str, url: str) -> None:
    if int(size) < 1:
        sys.exit(f'the size has to be at least 1, not {size}')
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    with HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        conn.send_request('GET', (parts.path or '/') + (parts.query and f'?{parts.query}'))
        resp = conn.read_response()
        if resp.status != 200:
            sys.exit(f'{url}: {resp.status} {resp.reason}')

        buffer = bytearray(int(size))
        view = memoryview(buffer)
        position = total = 0
        while count := conn.readinto(view[position:]):
            position = (position + count) % len(buffer)
            total += count

    # The newest bytes end at the position. The bytes after it are older, once the buffer has been full.
    older = buffer[position:] if total >= len(buffer) else b''
    print((older + buffer[:position]).decode(errors='replace'), end='')
    print(f'of {total} bytes')


if __name__ == '__main__':
    main(*sys.argv[1:])
